//! FastPort's development tasks, started with `cargo xtask`.
//!
//! `tidy` checks the rules of the code's style that no compiler knows; `ci` runs every check that
//! must pass before a change lands, except the tests themselves, which are `cargo test`.
#![forbid(unsafe_code)]

mod api;
mod ci;
mod faults;
mod fuzz;
mod instrumented;
mod mutants;
mod sanitizers;
mod sbom;
mod simulation;
mod soak;
mod tidy;

use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// FastPort's development tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs formatting, lints, documentation, tidy and the loom models; reports every failure.
    Ci,
    /// Holds the public API of the libraries against tests/api/.
    Api(api::Arguments),
    /// Runs the tests of faults and writes docs/fault-matrix.md; or measures single ordeals.
    Faults(faults::FaultsArguments),
    /// Builds and runs the fuzz targets; says how often each ran and whether one crashed.
    Fuzz(fuzz::FuzzArguments),
    /// Makes known mistakes in a copy of the tree and sees that each is found.
    Mutants(mutants::Arguments),
    /// Runs the session layer on simulated engines; one seed is shown step by step.
    Sim(simulation::Arguments),
    /// Runs the tests of what has unsafe code under AddressSanitizer.
    Asan,
    /// Runs the tests of what threads share under ThreadSanitizer.
    Tsan,
    /// Loads real servers with honest and hostile clients, and reports what came of it.
    Soak(soak::SoakArguments),
    /// Writes the bill of materials of the released program, deploy/fastport.cdx.json.
    Sbom,
    /// Checks the rules of style that no compiler knows.
    Tidy {
        /// Lowers xtask/tidy-exceptions.txt to what is still needed; never raises it.
        #[arg(long)]
        shrink: bool,
    },
}

fn main() -> ExitCode {
    if let Some(code) = api::act_as_rustdoc() {
        return ExitCode::from(code);
    }
    let root = repository_root();
    let passed = match Arguments::parse().task {
        Task::Ci => ci::run(&root),
        Task::Api(arguments) => api::run(&root, &arguments),
        Task::Faults(arguments) => faults::run(&root, &arguments),
        Task::Fuzz(arguments) => fuzz::run(&root, &arguments),
        Task::Mutants(arguments) => mutants::run(&root, &arguments),
        Task::Sim(arguments) => simulation::run(&root, &arguments),
        Task::Asan => sanitizers::address(&root),
        Task::Tsan => sanitizers::thread(&root),
        Task::Soak(arguments) => soak::run(&root, &arguments),
        Task::Sbom => sbom::write(&root),
        Task::Tidy { shrink } => tidy::run(&root, shrink),
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The folder above this crate's own, wherever the command was started.
fn repository_root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}
