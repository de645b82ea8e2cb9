//! Where something was measured: what a reader of the figures has to know of the machine.
//!
//! Read once, before the first run; what the system does not tell is left out.

use crate::clock::unix_ns;
use std::fs::read_to_string;

/// Facts about the machine and the program, each with its name.
pub(crate) struct Environment(Vec<(&'static str, String)>);

impl Environment {
    /// Asks the system. `command` is the command line.
    pub(crate) fn read(command: String) -> Self {
        let version = concat!("fastport ", env!("CARGO_PKG_VERSION"));
        let profile = if cfg!(debug_assertions) {
            "debug build: figures say little"
        } else {
            "release build"
        };
        let cores = std::thread::available_parallelism().map(usize::from).ok();
        let facts = [
            ("measured", Some(utc(unix_ns() / 1_000_000_000))),
            ("command", Some(command)),
            ("load generator", Some(format!("{version}, {profile}"))),
            ("system", Some(system())),
            ("processor", processor()),
            (
                "cores",
                cores.map(|cores| format!("{cores} for this process")),
            ),
            ("memory", memory()),
            ("frequency governor", governor()),
            ("load before", load()),
        ];
        let known = facts
            .into_iter()
            .filter_map(|(name, fact)| Some((name, fact?)));
        Self(known.collect())
    }

    /// The facts in the order in which they are shown.
    pub(crate) fn facts(&self) -> &[(&'static str, String)] {
        &self.0
    }
}

fn system() -> String {
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let names = [std::env::consts::OS, kernel.trim(), std::env::consts::ARCH];
    let names = names.into_iter().filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().join(" ")
}

fn processor() -> Option<String> {
    let cores = read_to_string("/proc/cpuinfo").ok()?;
    field(&cores, "model name").or_else(|| std::env::var("PROCESSOR_IDENTIFIER").ok())
}

fn memory() -> Option<String> {
    let total = field(&read_to_string("/proc/meminfo").ok()?, "MemTotal")?;
    let kibibytes: u64 = total.strip_suffix(" kB")?.parse().ok()?;
    Some(format!("{:.1} GiB", kibibytes as f64 / (1024.0 * 1024.0)))
}

fn governor() -> Option<String> {
    let file = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    Some(read_to_string(file).ok()?.trim().to_owned())
}

/// The mean number of threads that wanted to run in the last minute: others than ours, so far.
fn load() -> Option<String> {
    let loads = read_to_string("/proc/loadavg").ok()?;
    let minute = loads.split(' ').next()?;
    Some(format!("{minute} threads in the last minute"))
}

/// The first value of `name: value` lines.
fn field(text: &str, name: &str) -> Option<String> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    let mut named = lines.filter(|(key, _)| key.trim() == name);
    named.next().map(|(_, value)| value.trim().to_owned())
}

/// A time of day as ISO 8601 writes it. Days to dates after Howard Hinnant's `civil_from_days`.
fn utc(unix_s: u64) -> String {
    let (days, seconds) = (unix_s / 86_400, unix_s % 86_400);
    // Years begin in March, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carried) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = era * 400 + year + carried;
    let (hour, minute) = (seconds / 3_600, seconds / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC",
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (unix_s, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_700_000_000, "2023-11-14 22:13:20 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(unix_s), expected);
        }
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "MemTotal:       1024 kB\nmodel name\t: A processor\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A processor"));
        assert_eq!(field(text, "Mem"), None);
    }

    #[test]
    fn what_is_always_known_is_there() {
        let environment = Environment::read("fastport bench".into());
        for name in ["measured", "command", "load generator", "system"] {
            assert!(
                environment.facts().iter().any(|(key, _)| *key == name),
                "{name}"
            );
        }
    }
}
