//! The build of the fuzz targets: instrumented, with AddressSanitizer, on the compiler that is
//! there.

use super::target::Workplace;
use crate::instrumented;
use std::path::Path;
use std::process::Command;

/// Builds all targets; says what is missing if it can not.
pub(super) fn build(root: &Path) -> Option<Workplace> {
    if !has_cpp() {
        println!("libFuzzer is C++ and there is no compiler for that: install g++ (or set CXX)");
        return None;
    }
    let host = instrumented::host()?;
    let arguments = [
        "build",
        "--release",
        "--bins",
        "--target",
        &host,
        "--manifest-path",
        "fuzz/Cargo.toml",
        "-Zprofile-rustflags",
    ];
    let flags = [&INSTRUMENTATION[..], &instrumented::ADDRESS].concat();
    let instrumented = INSTRUMENTED
        .map(|package| format!("--config=profile.release.package.{package}.rustflags={flags:?}"));
    let arguments: Vec<&str> = arguments
        .into_iter()
        .chain(instrumented.iter().map(String::as_str))
        .collect();
    let folder = root.join("fuzz");
    let place = Workplace {
        programs: folder.join("target").join(&host).join("release"),
        folder,
    };
    instrumented::cargo(
        root,
        &arguments,
        &["--cfg=fuzzing"],
        &[("CARGO_TARGET_DIR", "fuzz/target")],
    )
    .then_some(place)
}

fn has_cpp() -> bool {
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    let version = Command::new(compiler).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// What cargo-fuzz gives: counters on edges, the table of their places, and comparisons told to the
/// fuzzer, so that it learns the values that the code looks for.
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=16",
];

/// The packages under test, what they decode with, and the targets, which link the run-time
/// library. The rest is built faster without, and its edges would only distract the fuzzer.
const INSTRUMENTED: [&str; 11] = [
    "fastport",
    "fastport-buffer",
    "fastport-cli",
    "fastport-engine",
    "fastport-fuzz",
    "fastport-fuzz-harness",
    "fastport-protocol",
    "fastport-testkit",
    "prost",
    "toml",
    "toml_parser",
];
