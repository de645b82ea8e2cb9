//! Quantities as people write them: `60s`, `250ms`; and how they are shown.

use std::time::Duration;

/// Units of time, longest name first so that `ms` is not read as `m`.
const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration: a number, whole or with a fraction, and a unit. `0` needs none.
///
/// # Errors
/// What is expected instead.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let expected = || format!("`{text}` is not a duration: write a number and a unit, like 60s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let at = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(expected)?;
    let (number, unit) = text.split_at(at);
    let (_, unit_ns) = UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| format!("{}; units are ns, us, ms, s, m, h", expected()))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().map_err(|_| expected())?;
    let mut total = whole.checked_mul(unit_ns).ok_or_else(expected)?;
    let mut digit_ns = unit_ns;
    for digit in fraction.chars() {
        digit_ns /= 10;
        let digit = u64::from(digit.to_digit(10).ok_or_else(expected)?);
        total = total.saturating_add(digit * digit_ns);
    }
    Ok(Duration::from_nanos(total))
}

/// A duration in the shortest form that [`parse_duration`] reads back.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    let (name, unit_ns) = UNITS
        .into_iter()
        .rev()
        .find(|(_, unit)| ns >= *unit && ns % unit == 0)
        .unwrap_or(("s", 1));
    format!("{}{name}", ns / unit_ns)
}

/// Nanoseconds with three significant digits: `950 ns`, `12.3 µs`, `1.20 ms`, `2.50 s`.
pub(crate) fn show_ns(ns: f64) -> String {
    let (value, unit) = match ns {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let digits = match value {
        value if unit == "ns" || value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A count with separators: `1,234,567`.
pub(crate) fn show_count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("60s", ms(60_000)),
            ("250ms", ms(250)),
            ("1.5s", ms(1_500)),
            ("2m", ms(120_000)),
            ("1h", ms(3_600_000)),
            ("0", ms(0)),
            ("0s", ms(0)),
            ("7us", Duration::from_micros(7)),
            ("3ns", Duration::from_nanos(3)),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "5 s",
            "5x",
            "1.2.3s",
            "1e3s",
            "99999999999999h",
            ".s",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shown_durations_read_back() {
        for text in ["60ns", "1s", "250ms", "2m", "3h", "90s", "0s"] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(
                parse_duration(&show_duration(duration)),
                Ok(duration),
                "{text}"
            );
        }
        assert_eq!(show_duration(Duration::from_secs(60)), "1m");
        assert_eq!(show_duration(Duration::from_millis(1500)), "1500ms");
    }

    #[test]
    fn latencies_and_counts_are_shown_shortly() {
        assert_eq!(show_ns(950.0), "950 ns");
        assert_eq!(show_ns(12_345.0), "12.3 µs");
        assert_eq!(show_ns(1_200_000.0), "1.20 ms");
        assert_eq!(show_ns(123_000_000.0), "123 ms");
        assert_eq!(show_ns(2.5e9), "2.50 s");
        assert_eq!(show_count(0), "0");
        assert_eq!(show_count(999), "999");
        assert_eq!(show_count(1_000), "1,000");
        assert_eq!(show_count(1_234_567), "1,234,567");
    }
}
