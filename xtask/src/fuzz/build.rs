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
    ];
    let folder = root.join("fuzz");
    let place = Workplace {
        programs: folder.join("target").join(&host).join("release"),
        folder,
    };
    let flags = [&INSTRUMENTATION[..], &instrumented::ADDRESS].concat();
    instrumented::cargo(
        root,
        &arguments,
        &flags,
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
const INSTRUMENTATION: [&str; 7] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=16",
];
