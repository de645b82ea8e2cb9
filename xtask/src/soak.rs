//! Builds the server and the soak, and runs it.

use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What of a soak is asked for; the soak itself says what each means and is by default.
#[derive(Args, Debug)]
pub(crate) struct SoakArguments {
    /// How long the load lasts, in minutes.
    #[arg(long, default_value = "10")]
    minutes: String,
    /// The server's engine; more than one are servers beside each other.
    #[arg(long)]
    engine: Vec<String>,
    /// Where to write the report.
    #[arg(long)]
    report: Option<PathBuf>,
    /// What all choices follow from.
    #[arg(long)]
    seed: Option<u64>,
}

/// Soaks, and tells whether all was well.
pub(crate) fn run(root: &Path, arguments: &SoakArguments) -> bool {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked"])
        .args(["--package", "fastport-cli", "--package", "fastport-soak"])
        .current_dir(root)
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return false;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root.join("target"), PathBuf::from);
    let mut soak = Command::new(target.join("release/fastport-soak"));
    soak.args(["--minutes", &arguments.minutes]);
    for engine in &arguments.engine {
        soak.args(["--engine", engine]);
    }
    if let Some(report) = &arguments.report {
        soak.arg("--report").arg(report);
    }
    if let Some(seed) = arguments.seed {
        soak.args(["--seed", &seed.to_string()]);
    }
    soak.status().is_ok_and(|status| status.success())
}
