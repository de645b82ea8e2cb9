//! `cargo xtask sim`: builds the simulation, optimised and with debug assertions, and starts it.

use crate::ci::cargo;
use std::path::Path;

/// What to run; the first seeds, if nothing is said.
#[derive(clap::Args)]
#[group(multiple = false)]
pub(crate) struct Arguments {
    /// One seed, with every step.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// One seed, made as small as it still fails, with every step.
    #[arg(long, value_name = "N")]
    shrink: Option<u64>,
    /// Seeds from the first number to the one before the second.
    #[arg(long, value_name = "FROM..TO")]
    seeds: Option<String>,
    /// Seeds from 0 on until so many sessions began and ended.
    #[arg(long, value_name = "N")]
    lifetimes: Option<u64>,
}

/// Runs what was asked for; tells whether no rule was broken.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> bool {
    let wanted = match arguments {
        Arguments { seed: Some(n), .. } => vec!["--seed".into(), n.to_string()],
        Arguments {
            shrink: Some(n), ..
        } => {
            vec!["--seed".into(), n.to_string(), "--shrink".into()]
        }
        Arguments {
            seeds: Some(range), ..
        } => vec!["--seeds".into(), range.clone()],
        Arguments {
            lifetimes: Some(n), ..
        } => vec!["--lifetimes".into(), n.to_string()],
        _ => vec!["--seeds".into(), SHORT.into()],
    };
    start(root, &wanted)
}

/// What every round of checks runs: well under a minute once it is built.
pub(crate) fn short_run(root: &Path) -> bool {
    start(root, &["--seeds".into(), SHORT.into()])
}

fn start(root: &Path, wanted: &[String]) -> bool {
    let build = [
        "run",
        "--locked",
        "--quiet",
        "--profile",
        "simulation",
        "--package",
        "fastport-testkit",
        "--features",
        "simulation",
        "--bin",
        "fastport-sim",
        "--",
    ];
    let wanted = wanted.iter().map(String::as_str);
    let arguments: Vec<&str> = build.into_iter().chain(wanted).collect();
    cargo(root, &arguments, &[])
}

/// The seeds of a short run: about 300,000 sessions.
const SHORT: &str = "0..5000";
