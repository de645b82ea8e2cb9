//! The fault matrix: which fault was brought about on which back-end, and what came of it.
//!
//! It runs the tests themselves and writes down what they said; nothing in the table is by hand but
//! the names of the faults and of the tests that bring them about.

mod matrix;

use clap::Args;
use matrix::{FAULTS, Fault};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What of the faults is asked for.
#[derive(Args, Debug)]
pub(crate) struct FaultsArguments {
    /// Run the Windows suite under Wine as well, by scripts/cargo-windows.sh.
    #[arg(long)]
    windows: bool,
    /// Instead: measure what single ordeals cost a release server, and show the figures.
    #[arg(long)]
    figures: bool,
    /// With --figures: a tenth of each ordeal.
    #[arg(long, requires = "figures")]
    small: bool,
}

/// The back-ends, in the order of their columns.
const ENGINES: [&str; 3] = ["io_uring", "poll", "iocp"];

/// What a test said, by engine.
#[derive(Clone, Default)]
struct Outcome {
    passed: usize,
    failed: usize,
    /// Of those that passed: how many said that they did nothing, and why the last of them did.
    skipped: usize,
    why: String,
}

type Outcomes = BTreeMap<(&'static str, String), Outcome>;

/// Runs the faults and writes the matrix; tells whether every test passed.
pub(crate) fn run(root: &Path, arguments: &FaultsArguments) -> bool {
    if arguments.figures {
        return figures(root, arguments.small);
    }
    let mut outcomes = Outcomes::new();
    let mut ran = true;
    for (package, target) in targets() {
        println!("== {package}, {target}");
        ran &= run_tests(root, &mut outcomes, package, target, false);
        if arguments.windows && matrix::runs_on_windows(package, target) {
            ran &= run_tests(root, &mut outcomes, package, target, true);
        }
    }
    let (page, passed) = page(&outcomes, arguments.windows);
    let path = root.join("docs/fault-matrix.md");
    if let Err(error) = fs::write(&path, page) {
        eprintln!("cannot write {}: {error}", path.display());
        return false;
    }
    println!("wrote {}", path.display());
    ran && passed
}

/// The test programs that there are faults in, each once.
fn targets() -> Vec<(&'static str, &'static str)> {
    let mut targets: Vec<_> = FAULTS.iter().map(|of| (of.package, of.target)).collect();
    targets.sort_unstable();
    targets.dedup();
    targets
}

/// Runs the cases of one test program and notes what each said. False when it did not run.
fn run_tests(
    root: &Path,
    outcomes: &mut Outcomes,
    package: &'static str,
    target: &'static str,
    on_windows: bool,
) -> bool {
    let cases = FAULTS
        .iter()
        .filter(|of| (of.package, of.target) == (package, target));
    let mut cases: Vec<_> = cases.flat_map(|of| of.cases).copied().collect();
    let known = outcomes.len();
    if on_windows {
        leave_out_skipped(root, package, &mut cases, outcomes);
    }
    if cases.is_empty() {
        return outcomes.len() > known;
    }
    let mut command = if on_windows {
        Command::new(root.join("scripts/cargo-windows.sh"))
    } else {
        Command::new(env::var_os("CARGO").unwrap_or("cargo".into()))
    };
    command
        .args(["test", "--package", package, "--test", target, "--"])
        .args(&cases)
        .arg("--show-output")
        .current_dir(root);
    let Ok(output) = command.output() else {
        return false;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let before = outcomes.len();
    note(&text, outcomes, &cases, on_windows);
    if outcomes.len() == before {
        eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    outcomes.len() > before
}

/// Takes the cases out that do not hold under Wine, and notes why.
fn leave_out_skipped(
    root: &Path,
    package: &str,
    cases: &mut Vec<&'static str>,
    outcomes: &mut Outcomes,
) {
    let list = fs::read_to_string(root.join("tests/windows-skips.txt")).unwrap_or_default();
    for line in list.lines() {
        let mut words = line.split_whitespace();
        let (Some("skip"), Some(of), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let last = name.rsplit("::").next().unwrap_or(name);
        let found = cases.iter().position(|case| *case == last);
        if let Some(found) = found.filter(|_| of == package) {
            let outcome = outcomes.entry((cases.remove(found), "iocp".to_owned()));
            let outcome = outcome.or_default();
            // As a test that says that it skips, which passes.
            (outcome.passed, outcome.skipped) = (1, 1);
            outcome.why = "Wine, see tests/windows-skips.txt".to_owned();
        }
    }
}

/// Reads what the test program wrote.
fn note(text: &str, outcomes: &mut Outcomes, cases: &[&'static str], on_windows: bool) {
    let mut shown = None;
    for line in text.lines() {
        if let Some((name, verdict)) = verdict_of(line) {
            let Some((case, engine)) = case_of(name, cases, on_windows) else {
                continue;
            };
            let outcome = outcomes.entry((case, engine)).or_default();
            match verdict {
                "ok" => outcome.passed += 1,
                _ => outcome.failed += 1,
            }
        } else if let Some(name) = line.strip_prefix("---- ") {
            let name = name.split_whitespace().next().unwrap_or_default();
            shown = case_of(name, cases, on_windows);
        } else if let Some(reason) = line.strip_prefix("skipped: ")
            && let Some(key) = shown.clone()
        {
            let outcome = outcomes.entry(key).or_default();
            outcome.skipped += 1;
            outcome.why = reason.to_owned();
        }
    }
}

/// The name and the verdict of `test module::case ... ok`.
fn verdict_of(line: &str) -> Option<(&str, &str)> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    matches!(verdict, "ok" | "FAILED").then_some((name, verdict))
}

/// Which case a test is of, and on which engine.
fn case_of(name: &str, cases: &[&'static str], on_windows: bool) -> Option<(&'static str, String)> {
    let last = name.rsplit("::").next()?;
    let case = cases.iter().find(|case| **case == last)?;
    let module = name.split("::").next()?;
    let engine = match module {
        _ if on_windows => "iocp",
        module if module.starts_with("poll") => "poll",
        // Tests of one engine alone have no module of an engine.
        _ if module.starts_with("io_uring") || module.starts_with("uring") => "io_uring",
        _ => matrix::only_engine(case)?,
    };
    Some((case, engine.to_owned()))
}

fn page(outcomes: &Outcomes, with_windows: bool) -> (String, bool) {
    let mut page = String::from(
        "# Fault matrix\n\n\
         Written by `cargo xtask faults`, which runs the tests that are named here: do not edit.\n\
         A cell is how many tests passed on that back-end, both ways of dispatch counted. A dash:\n\
         the fault is not one of this back-end. Packets that are lost, late and out of order:\n\
         scripts/faults-network.sh, which takes root.\n\n",
    );
    if !with_windows {
        page.push_str(
            "The column of IOCP was not run this time; with `--windows` it is what Wine shows.\n\n",
        );
    }
    page.push_str("| Fault | io_uring | poll | IOCP | Tests |\n|---|---|---|---|---|\n");
    let mut passed = true;
    for fault in FAULTS {
        let cells = ENGINES.map(|engine| {
            let (cell, well) = cell(outcomes, fault, engine, with_windows);
            passed &= well;
            cell
        });
        let tests: Vec<_> = fault.cases.iter().map(|case| format!("`{case}`")).collect();
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            fault.what,
            cells.join(" | "),
            tests.join(", ")
        );
    }
    (page, passed)
}

/// What is known of a fault on an engine, and whether that is well.
fn cell(outcomes: &Outcomes, fault: &Fault, engine: &str, with_windows: bool) -> (String, bool) {
    if !fault.engines.contains(&engine) {
        return ("-".into(), true);
    }
    if engine == "iocp" && !with_windows {
        return ("not run".into(), true);
    }
    let mut sum = Outcome::default();
    for case in fault.cases {
        let Some(one) = outcomes.get(&(*case, engine.to_owned())) else {
            return (format!("**missing: {case}**"), false);
        };
        sum.passed += one.passed;
        sum.failed += one.failed;
        sum.skipped += one.skipped;
        if one.skipped > 0 {
            sum.why.clone_from(&one.why);
        }
    }
    let well = sum.passed.saturating_sub(sum.skipped);
    match sum {
        Outcome { failed: 1.., .. } => (format!("**{} failed**", sum.failed), false),
        Outcome {
            skipped: 1.., why, ..
        } if well == 0 => (format!("skipped: {why}"), true),
        Outcome {
            skipped: skipped @ 1..,
            why,
            ..
        } => (format!("{well} ok, {skipped} skipped: {why}"), true),
        Outcome { .. } => (format!("{well} ok"), true),
    }
}

/// Builds a release server and the program that measures it, and runs that.
fn figures(root: &Path, small: bool) -> bool {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked"])
        .args(["--package", "fastport-cli", "--package", "fastport-soak"])
        .current_dir(root)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return false;
    }
    let target = env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let mut soak = Command::new(target.join("release/fastport-soak"));
    soak.arg("--figures").args(small.then_some("--small"));
    soak.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
running 5 tests
test io_uring_inline::the_case ... ok
test io_uring_pool::the_case ... ok
test poll_inline::the_case ... FAILED
test poll_pool::another_case ... ok
test poll_inline::skipping ... ok

successes:

---- poll_inline::skipping stdout ----
skipped: not permitted here

";

    fn outcomes() -> Outcomes {
        let mut outcomes = Outcomes::new();
        note(OUTPUT, &mut outcomes, &["the_case", "skipping"], false);
        outcomes
    }

    fn seen(cases: &'static [&'static str], engine: &'static str) -> (String, bool) {
        let fault = Fault {
            what: "",
            package: "",
            target: "",
            engines: &["io_uring", "poll"],
            cases,
        };
        cell(&outcomes(), &fault, engine, false)
    }

    #[test]
    fn what_tests_say_is_what_stands_in_the_table() {
        assert_eq!(seen(&["the_case"], "io_uring"), ("2 ok".into(), true));
        assert_eq!(seen(&["the_case"], "poll"), ("**1 failed**".into(), false));
        assert_eq!(
            seen(&["skipping"], "poll"),
            ("skipped: not permitted here".into(), true)
        );
    }

    /// A test that was renamed or is not built does not pass for one that passed.
    #[test]
    fn a_case_that_did_not_run_is_told() {
        assert!(!seen(&["another_case"], "poll").1);
        assert!(!seen(&["skipping"], "io_uring").1);
    }
}
