//! The committed figures, and how far a count may be from them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fmt, fs, io};

/// Instructions of a round, by path.
pub(crate) type Figures = BTreeMap<String, u64>;

/// What a count says about a path.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Fine { committed: u64 },
    Dearer { committed: u64 },
    Cheaper { committed: u64 },
    Unknown,
}

impl Verdict {
    pub(crate) const fn is_fine(self) -> bool {
        matches!(self, Self::Fine { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hint = "if that is meant: instructions --write, and say why in the commit";
        match self {
            Self::Fine { committed } => write!(f, "ok, {committed} is committed"),
            Self::Dearer { committed } => write!(
                f,
                "FAILED: more than {TOLERANCE_PERCENT} % above the committed {committed}; {hint}"
            ),
            Self::Cheaper { committed } => write!(
                f,
                "FAILED: more than {TOLERANCE_PERCENT} % below the committed {committed}, so that \
                 it would let the path become dearer again; instructions --write"
            ),
            Self::Unknown => f.write_str("FAILED: no figure is committed; instructions --write"),
        }
    }
}

/// Compares a count with what is committed.
pub(crate) fn judge(figures: &Figures, path: &str, counted: u64) -> Verdict {
    let Some(&committed) = figures.get(path) else {
        return Verdict::Unknown;
    };
    let margin = committed * TOLERANCE_PERCENT / 100;
    if counted > committed + margin {
        Verdict::Dearer { committed }
    } else if counted + margin < committed {
        Verdict::Cheaper { committed }
    } else {
        Verdict::Fine { committed }
    }
}

/// Reads the file; one that is not there has no figures.
///
/// # Errors
/// A line that is none, or what the system says.
pub(crate) fn read() -> io::Result<Figures> {
    match fs::read_to_string(file()) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Figures::new()),
        Err(error) => Err(error),
    }
}

/// Writes the file.
///
/// # Errors
/// What the system says.
pub(crate) fn write(figures: &Figures) -> io::Result<()> {
    let lines = figures
        .iter()
        .map(|(path, count)| format!("{path} {count}\n"));
    fs::write(file(), HEAD.to_owned() + &lines.collect::<String>())
}

fn parse(text: &str) -> io::Result<Figures> {
    let lines = text.lines().map(str::trim);
    let figures = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    figures
        .map(|line| {
            let (path, count) = line.split_once(' ')?;
            Some((path.to_owned(), count.trim().parse().ok()?))
        })
        .collect::<Option<Figures>>()
        .ok_or_else(|| io::Error::other("instructions.txt: a line is `path count`"))
}

fn file() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt"))
}

/// Compilers differ by a few per cent, runs of one binary by less than one.
const TOLERANCE_PERCENT: u64 = 10;

const HEAD: &str = "\
# Instructions of a round of each hot path, as valgrind counts them. `.ci/run` fails when a count is
# further off than the tolerance. `cargo run --release --bin instructions -- --write` renews them.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_judged_both_ways() {
        let figures = parse("# a comment\n\nframer 1000\n").unwrap();
        let verdict = |counted| judge(&figures, "framer", counted);
        assert_eq!(verdict(1100), Verdict::Fine { committed: 1000 });
        assert_eq!(verdict(900), Verdict::Fine { committed: 1000 });
        assert_eq!(verdict(1101), Verdict::Dearer { committed: 1000 });
        assert_eq!(verdict(899), Verdict::Cheaper { committed: 1000 });
        assert_eq!(judge(&figures, "ring", 1), Verdict::Unknown);
        assert!(parse("framer many").is_err());
    }

    #[test]
    fn every_path_has_a_committed_figure() {
        let figures = read().unwrap();
        for path in crate::paths::Path::ALL {
            assert!(figures.contains_key(&path.name()), "{path:?}");
        }
    }
}
