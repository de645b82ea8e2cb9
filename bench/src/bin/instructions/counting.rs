//! Runs this program under valgrind and reads how many instructions it took.

use crate::paths::Path;
use std::io::{self, Error};
use std::process::{Command, Stdio};

/// The instructions of one round of a path.
///
/// # Errors
/// When valgrind is not there, or the run fails.
pub(crate) fn count(path: Path) -> io::Result<u64> {
    let rounds = path.rounds();
    let (once, twice) = (collected(path, rounds)?, collected(path, 2 * rounds)?);
    Ok(twice.saturating_sub(once) / u64::from(rounds))
}

fn collected(path: Path, rounds: u32) -> io::Result<u64> {
    let output = Command::new("valgrind")
        // The threads of one process run one at a time there; in turns, so that none spins.
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--fair-sched=yes",
        ])
        .arg(std::env::current_exe()?)
        .args(["--path", &path.name(), "--run", &rounds.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .map_err(|error| Error::other(format!("valgrind: {error}; install valgrind")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Error::other(format!("{path:?} under valgrind: {said}")));
    }
    parse(&said).ok_or_else(|| Error::other(format!("valgrind told no count: {said}")))
}

/// The line `==PID== Collected : N`.
fn parse(said: &str) -> Option<u64> {
    let (_, rest) = said.split_once("Collected :")?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_count_is_read() {
        let said = "==7== Events    : Ir\n==7== Collected : 12345\n==7== \n";
        assert_eq!(parse(said), Some(12345));
        assert_eq!(parse("==7== Collected"), None);
    }
}
