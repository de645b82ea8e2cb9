//! The checks that a change passes before it lands, in one list.
//!
//! All of them run, also after one failed, so that one round shows everything there is to mend.

use crate::{api, instrumented, mutants, simulation, tidy};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs every check in the repository at `root`, prints a summary, and tells whether all passed.
pub(crate) fn run(root: &Path) -> bool {
    let checks: [(&str, Check); 11] = [
        ("format", format),
        ("lints", lints),
        ("without TLS", lints_without_tls),
        ("documentation", documentation),
        ("public API", api::check),
        ("tidy", |root| tidy::run(root, false)),
        ("loom models", loom_models),
        ("simulation", simulation::short_run),
        ("planted mistakes", mutants::check),
        ("dependencies", dependencies),
        ("guide", guide),
    ];
    let mut summary = Vec::new();
    for (name, check) in checks {
        println!("== {name}");
        let start = Instant::now();
        let passed = check(root);
        summary.push((name, passed, start.elapsed()));
    }
    println!("== summary");
    for (name, passed, elapsed) in &summary {
        let verdict = if *passed { "ok" } else { "FAILED" };
        println!("{verdict:>6}  {name} ({:.1} s)", elapsed.as_secs_f64());
    }
    summary.iter().all(|(_, passed, _)| *passed)
}

type Check = fn(&Path) -> bool;

fn format(root: &Path) -> bool {
    let mut passed = cargo(root, &["fmt", "--all", "--", "--check"], &[]);
    for manifest in SEPARATE_FORMATTED {
        passed &= cargo(
            root,
            &["fmt", "--manifest-path", manifest, "--", "--check"],
            &[],
        );
    }
    passed
}

fn lints(root: &Path) -> bool {
    let lint = ["clippy", "--locked", "--all-targets"];
    let deny = ["--", "-D", "warnings"];
    let mut passed = cargo(root, &[&lint[..], &["--workspace"], &deny].concat(), &[]);
    for manifest in SEPARATE_LINTED {
        let arguments = [&lint[..], &["--manifest-path", manifest], &deny].concat();
        // Into the same folder: what they have in common is built once.
        passed &= cargo(root, &arguments, &[("CARGO_TARGET_DIR", "target")]);
    }
    passed
}

/// The features of TLS are on in the workspace as a whole; a build without them is another one.
fn lints_without_tls(root: &Path) -> bool {
    let cryptography_of_others = ["--package", "fastport", "--features", "tls"];
    let none = ["--package", "fastport", "--package", "fastport-cli"];
    [&none[..], &cryptography_of_others].iter().all(|packages| {
        let lint = ["clippy", "--locked", "--lib", "--no-default-features"];
        let deny = ["--", "-D", "warnings"];
        cargo(root, &[&lint[..], packages, &deny].concat(), &[])
    })
}

fn documentation(root: &Path) -> bool {
    cargo(
        root,
        &["doc", "--locked", "--workspace", "--no-deps"],
        &[("RUSTDOCFLAGS", "-D warnings")],
    )
}

/// The models explore every order of a few threads; a run in which no model ran is a failure, since
/// a wrong `cfg` would otherwise look like success. Build scripts and procedural macros are those
/// of the ordinary tests: with a target named, they take no notice of the flag.
fn loom_models(root: &Path) -> bool {
    let Some(host) = instrumented::host() else {
        return false;
    };
    let mut arguments = vec!["test", "--locked", "--lib", "--target", &host];
    for package in LOOM_PACKAGES {
        arguments.extend(["--package", package]);
    }
    // Models live in modules of this name; the other tests use no model and can not run beside one.
    arguments.push("models");
    let output = Command::new(env!("CARGO"))
        .args(&arguments)
        .current_dir(root)
        .env("RUSTFLAGS", "--cfg loom")
        // They run for seconds, and what is optimised further is built for longer than it saves.
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .stderr(Stdio::inherit())
        .output();
    let Ok(output) = output else {
        println!("cargo {} did not start", arguments.join(" "));
        return false;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}");
    let models = passed_tests(&text);
    println!("{models} models passed");
    output.status.success() && models > 0
}

/// The sum of what cargo's `test result:` lines say has passed.
fn passed_tests(output: &str) -> usize {
    output
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|rest| rest.split_once(" passed"))
        .filter_map(|(count, _)| count.parse::<usize>().ok())
        .sum()
}

/// Licences, sources and duplicates by deny.toml. cargo-deny is a tool of its own that takes
/// minutes to build, so a machine without it says that it did not look.
fn dependencies(root: &Path) -> bool {
    if !is_there(Command::new(env!("CARGO")).args(["deny", "--version"])) {
        println!("not checked: cargo-deny is not installed (cargo install cargo-deny)");
        return true;
    }
    let arguments = ["deny", "--locked", "check", "licenses", "bans", "sources"];
    cargo(root, &arguments, &[])
}

/// The guide as mdBook makes it, into target/guide. What makes it sound is checked by tidy; this is
/// the proof where mdBook is installed.
fn guide(root: &Path) -> bool {
    if !is_there(Command::new("mdbook").arg("--version")) {
        println!("not checked: mdBook is not installed (cargo install mdbook)");
        return true;
    }
    let built = Command::new("mdbook")
        .args(["build", "docs"])
        .current_dir(root)
        .status();
    built.is_ok_and(|status| status.success())
}

/// Whether a program can be started and says that it is well.
fn is_there(program: &mut Command) -> bool {
    let program = program.stdout(Stdio::null()).stderr(Stdio::null());
    program.status().is_ok_and(|status| status.success())
}

/// Runs cargo with its output shown.
pub(crate) fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> bool {
    println!("$ cargo {}", arguments.join(" "));
    Command::new(env!("CARGO"))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root)
        .status()
        .is_ok_and(|status| status.success())
}

/// What `--workspace` does not reach: workspaces of their own. The fuzz targets are not linted:
/// that would build libFuzzer, and they are one line each.
const SEPARATE_LINTED: [&str; 1] = ["bench/Cargo.toml"];
const SEPARATE_FORMATTED: [&str; 2] = ["bench/Cargo.toml", "fuzz/Cargo.toml"];

/// The crates whose atomics loom replaces.
const LOOM_PACKAGES: [&str; 3] = ["fastport-buffer", "fastport-engine", "fastport"];

#[cfg(test)]
mod tests {
    use super::passed_tests;

    #[test]
    fn passed_tests_are_summed_over_result_lines() {
        let output = "test result: ok. 2 passed; 0 failed\nnoise\ntest result: ok. 3 passed; 0\n";
        assert_eq!(passed_tests(output), 5);
    }

    #[test]
    fn a_run_without_models_counts_none() {
        assert_eq!(passed_tests("test result: ok. 0 passed; 0 failed\n"), 0);
        assert_eq!(passed_tests(""), 0);
    }
}
