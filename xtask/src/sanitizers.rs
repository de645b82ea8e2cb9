//! The tests of what has unsafe code, under a sanitizer, on the compiler that is there.
//!
//! Before anything counts, a planted defect must be reported: a job that can not fail proves
//! nothing. What sanitizers do not see is the kernel's part: an operation of io_uring that writes
//! into freed memory is found by the poisoning allocator of `fastport-testkit` instead, in the same
//! tests without a sanitizer.

use crate::instrumented;
use std::path::Path;
use std::process::Command;

/// A sanitizer, and what is run under it.
struct Job {
    /// As in the folder of its build.
    name: &'static str,
    flags: &'static [&'static str],
    /// The variables by which the run-time library is told what to do.
    options: Vec<(&'static str, String)>,
    /// The example whose defect must be reported, and the words of the report.
    planted: (&'static str, &'static str),
    /// Arguments of `cargo test`.
    runs: &'static [&'static [&'static str]],
}

/// AddressSanitizer: what is used after it was freed, or beyond its end, or never freed.
pub(crate) fn address(root: &Path) -> bool {
    let leaks = root.join("xtask/lsan-suppressions.txt");
    let told = "detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0";
    run(
        root,
        &Job {
            name: "asan",
            flags: &instrumented::ADDRESS,
            options: vec![
                ("ASAN_OPTIONS", told.to_owned()),
                ("LSAN_OPTIONS", format!("suppressions={}", leaks.display())),
            ],
            planted: ("planted_use_after_free", "heap-use-after-free"),
            runs: &[
                &[
                    "--package",
                    "fastport-buffer",
                    "--package",
                    "fastport-engine",
                ],
                &["--package", "fastport", "--test", "killed_sessions"],
                // Each engine, each of its forms and each way of dispatch, but not each with each.
                &[
                    "--package",
                    "fastport",
                    "--test",
                    "conformance",
                    "--",
                    "--skip=io_uring_inline::",
                    "--skip=poll_pool::",
                ],
            ],
        },
    )
}

/// ThreadSanitizer: what two threads touch without an order between them.
///
/// The compiler's own standard library is not instrumented, so that what is ordered by a lock of
/// `std` looks like a race; the code here orders by atomics and by `parking_lot`, which are built
/// with it. What is known to be false is listed with its reason. Tests come one at a time: their
/// harness orders them by such locks. Of the engines it is the one whose memory no kernel touches.
/// The session layer is left out: an `Arc` orders its last drop by a fence, of which this sanitizer
/// knows nothing, and only a standard library that is built with it does that in another way.
pub(crate) fn thread(root: &Path) -> bool {
    let suppressions = root.join("xtask/tsan-suppressions.txt");
    let told = format!("halt_on_error=0:suppressions={}", suppressions.display());
    run(
        root,
        &Job {
            name: "tsan",
            flags: &[
                "-Zsanitizer=thread",
                "-Cunsafe-allow-abi-mismatch=sanitizer",
                "--cfg=sanitizer",
            ],
            options: vec![("TSAN_OPTIONS", told)],
            planted: ("planted_data_race", "WARNING: ThreadSanitizer: data race"),
            runs: &[
                &[
                    "-p",
                    "fastport-buffer",
                    "--lib",
                    "--test",
                    "chunk_store",
                    "--",
                    ONE,
                ],
                &["-p", "fastport-engine", "--lib", "--", ONE],
                &[
                    "-p",
                    "fastport-engine",
                    "--test",
                    "conformance",
                    "--",
                    ONE,
                    "poll::",
                ],
            ],
        },
    )
}

fn run(root: &Path, job: &Job) -> bool {
    let Some(host) = instrumented::host() else {
        return false;
    };
    if !reports_planted(root, job, &host) {
        println!(
            "{}: the planted defect was not reported: this job proves nothing",
            job.name
        );
        return false;
    }
    println!("{}: the planted defect was reported", job.name);
    let mut passed = true;
    for run in job.runs {
        let test = ["test", "--locked", "--no-fail-fast", "--target", &host];
        let arguments = [&test, *run].concat();
        passed &= instrumented::cargo(root, &arguments, job.flags, &variables(job));
    }
    println!("{}: {}", job.name, if passed { "passed" } else { "FAILED" });
    passed
}

/// Builds and runs the example with the planted defect; true when it fails with the right words.
fn reports_planted(root: &Path, job: &Job, host: &str) -> bool {
    let (example, words) = job.planted;
    let arguments = [
        "build",
        "--locked",
        "--target",
        host,
        "--package",
        "fastport-testkit",
        "--example",
        example,
    ];
    if !instrumented::cargo(root, &arguments, job.flags, &variables(job)) {
        return false;
    }
    let built = root
        .join("target")
        .join(job.name)
        .join(host)
        .join("debug/examples");
    let output = Command::new(built.join(example))
        .envs(job.options.iter().map(|(name, told)| (*name, told)))
        .output();
    output.is_ok_and(|output| {
        let told = String::from_utf8_lossy(&output.stderr).contains(words);
        told && !output.status.success()
    })
}

/// One test at a time.
const ONE: &str = "--test-threads=1";

/// What all of a job's builds and runs have in common. Fewer cases of each property: every access
/// is checked, and takes its time.
fn variables(job: &Job) -> Vec<(&'static str, &str)> {
    let folder = match job.name {
        "asan" => "target/asan",
        _ => "target/tsan",
    };
    let told = job.options.iter();
    let told = told.map(|(name, told)| (*name, told.as_str()));
    let fixed = [
        ("CARGO_TARGET_DIR", folder),
        ("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
        ("PROPTEST_CASES", "64"),
    ];
    fixed.into_iter().chain(told).collect()
}
