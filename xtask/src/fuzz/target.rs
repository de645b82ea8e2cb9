//! One fuzz target's run: its command line, its output, its outcome.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where programs and corpora are.
#[derive(Debug)]
pub(super) struct Workplace {
    /// The folder of the built targets.
    pub(super) programs: PathBuf,
    /// The repository's `fuzz`.
    pub(super) folder: PathBuf,
}

impl Workplace {
    /// The inputs that are committed.
    pub(super) fn corpus(&self, name: &str) -> PathBuf {
        self.folder.join("corpus").join(name)
    }

    /// The inputs that runs here found.
    fn found(&self, name: &str) -> PathBuf {
        self.folder.join("target/corpus").join(name)
    }

    /// Where inputs that crash are put, with a `/` at the end since it is a prefix.
    fn artifacts(&self, name: &str) -> PathBuf {
        self.folder.join("artifacts").join(name).join("")
    }

    /// The program of a target, with what all runs have in common.
    pub(super) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .arg(format!(
                "-artifact_prefix={}",
                self.artifacts(name).display()
            ))
            .args(["-max_len=4096", "-timeout=20", "-rss_limit_mb=4096"])
            .current_dir(&self.folder);
        command
    }
}

/// When a run ends.
pub(super) enum Limit {
    /// After so much time.
    Seconds(u64),
    /// After so many executions.
    Runs(u64),
}

/// How a run was.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) name: &'static str,
    pub(super) passed: bool,
    pub(super) figures: Figures,
}

/// What libFuzzer counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) executions: u64,
    pub(super) per_second: u64,
    pub(super) edges: u64,
    pub(super) inputs: u64,
}

impl Figures {
    /// Takes what a line of libFuzzer's output tells, such as
    /// `#4096 pulse  cov: 46 ft: 70 corp: 9/4Kb lim: 43 exec/s: 2048 rss: 40Mb`.
    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let &[key, value] = pair else { continue };
            let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
            let Ok(number) = digits.parse() else { continue };
            match key {
                "cov:" => self.edges = number,
                "corp:" => self.inputs = number,
                "exec/s:" => self.per_second = number,
                "stat::number_of_executed_units:" => self.executions = number,
                "stat::average_exec_per_sec:" => self.per_second = number,
                _ => {}
            }
        }
    }
}

/// Fuzzes one target until `limit`, showing now and then how far it is.
pub(super) fn fuzz(place: &Workplace, name: &'static str, limit: &Limit) -> Outcome {
    let limit = match limit {
        Limit::Seconds(seconds) => format!("-max_total_time={seconds}"),
        Limit::Runs(runs) => format!("-runs={runs}"),
    };
    let (found, corpus) = (place.found(name), place.corpus(name));
    let mut command = place.command(name);
    command
        .args([&limit, "-print_final_stats=1"])
        .args([&found, &corpus]);
    let mut figures = Figures::default();
    let passed = make_folders(&[&found, &corpus, &place.artifacts(name)])
        && follow(command, &mut |line| {
            figures.read(line);
            if line.starts_with('#') && line.contains("pulse") {
                println!("{name:>9}  {line}");
            } else if !line.starts_with('#') && !line.starts_with("stat::") {
                // Quiet while all is well; a crash tells itself in these.
                crash_line(name, line);
            }
        });
    println!("{name:>9}  {} executions", figures.executions);
    Outcome {
        name,
        passed: passed && figures.executions > 0,
        figures,
    }
}

/// Shows a line unless it is one of those that each run prints.
fn crash_line(name: &str, line: &str) {
    let usual = line.starts_with("INFO:")
        || line.starts_with("Done ")
        || line.contains("# Uses: ")
        || line.contains("NEW_FUNC[");
    if !usual && !line.trim().is_empty() && !line.starts_with("###### ") {
        println!("{name:>9}  {line}");
    }
}

/// Whether the fuzzer finds the planted defect.
pub(super) fn finds_canary(place: &Workplace) -> bool {
    let name = "canary";
    let found = place.found(name);
    // What an earlier run found would be no find.
    let _ = fs::remove_dir_all(&found);
    let mut command = place.command(name);
    command
        .args([
            "-runs=4000000",
            "-use_value_profile=1",
            "-print_final_stats=1",
        ])
        .arg(&found);
    let (mut told, mut figures) = (false, Figures::default());
    let survived = make_folders(&[&found, &place.artifacts(name)])
        && follow(command, &mut |line| {
            told |= line.contains("planted defect");
            figures.read(line);
        });
    let _ = fs::remove_dir_all(place.artifacts(name));
    if told && !survived {
        println!("   canary  found after {} executions", figures.executions);
    }
    told && !survived
}

/// Takes over into the committed corpus what adds coverage.
pub(super) fn merge(place: &Workplace, name: &str) -> bool {
    let mut command = place.command(name);
    command
        .arg("-merge=1")
        .args([place.corpus(name), place.found(name)]);
    follow(command, &mut |line| {
        if line.starts_with("MERGE-OUTER") {
            println!("{name:>9}  {line}");
        }
    })
}

/// Runs a command to its end, hands over each line that it says on stderr, and tells whether it
/// ended well. What it says on stdout is nobody's.
pub(super) fn follow(mut command: Command, each: &mut dyn FnMut(&str)) -> bool {
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            println!("{} did not start: {error}", command.get_program().display());
            return false;
        }
    };
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr);
        let mut line = Vec::new();
        // Inputs in there need not be UTF-8.
        while lines
            .read_until(b'\n', &mut line)
            .is_ok_and(|bytes| bytes > 0)
        {
            each(String::from_utf8_lossy(&line).trim_end());
            line.clear();
        }
    }
    let _ = std::io::stdout().flush();
    child.wait().is_ok_and(|status| status.success())
}

fn make_folders(folders: &[&Path]) -> bool {
    folders
        .iter()
        .all(|folder| match fs::create_dir_all(folder) {
            Ok(()) => true,
            Err(error) => {
                println!("{}: {error}", folder.display());
                false
            }
        })
}

#[cfg(test)]
mod tests {
    use super::Figures;

    #[test]
    fn figures_are_read_from_what_the_fuzzer_says() {
        let mut figures = Figures::default();
        figures.read("#4096\tpulse  cov: 46 ft: 70 corp: 9/4Kb lim: 43 exec/s: 2048 rss: 40Mb");
        figures.read("stat::number_of_executed_units: 4100");
        figures.read("Done 4100 runs in 2 second(s)");
        let expected = Figures {
            executions: 4100,
            per_second: 2048,
            edges: 46,
            inputs: 9,
        };
        assert_eq!(figures, expected);
    }
}
