//! Builds and runs the fuzz targets: libFuzzer on a stable compiler, all targets beside each other.
//!
//! `cargo fuzz` asks for a nightly compiler; what it needs from it is a few code generation flags,
//! which the stable one takes as well once it is told to (RUSTC_BOOTSTRAP). The targets are built
//! here with the same flags, and `cargo fuzz` can run them too.
//!
//! A run begins with the canary, whose planted defect the fuzzer must find. New inputs stay in
//! `fuzz/target/corpus`; `--merge` takes what adds coverage over to `fuzz/corpus`, which is
//! committed. The calling thread; one more for each target that runs.

mod build;
mod coverage;
mod target;

use clap::Args;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use target::{Limit, Outcome, Workplace};

/// What of fuzzing is asked for.
#[derive(Args, Debug)]
pub(crate) struct FuzzArguments {
    /// Only this target; all by default.
    #[arg(long)]
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 10, conflicts_with = "runs")]
    seconds: u64,
    /// How often each target runs, instead of how long.
    #[arg(long)]
    runs: Option<u64>,
    /// Takes inputs that add coverage over into fuzz/corpus, after the run.
    #[arg(long)]
    merge: bool,
    /// Shows which of the code under test the corpora reach, instead of fuzzing.
    #[arg(long)]
    coverage: bool,
}

/// Fuzzes as asked and tells whether nothing crashed and the canary was found.
pub(crate) fn run(root: &Path, arguments: &FuzzArguments) -> bool {
    let Some(place) = build::build(root) else {
        return false;
    };
    let chosen = match &arguments.target {
        None => TARGETS.to_vec(),
        Some(name) => TARGETS
            .iter()
            .copied()
            .filter(|target| target == name)
            .collect(),
    };
    if chosen.is_empty() {
        println!("there is no such target; there are {}", TARGETS.join(", "));
        return false;
    }
    if arguments.coverage {
        return coverage::report(&place, &chosen);
    }
    if !target::finds_canary(&place) {
        println!("the canary's planted defect was not found: this fuzzer proves nothing");
        return false;
    }
    let limit = match arguments.runs {
        Some(runs) => Limit::Runs(runs),
        None => Limit::Seconds(arguments.seconds),
    };
    let outcomes = run_all(&place, &chosen, &limit);
    print_summary(&outcomes);
    let mut passed = outcomes.iter().all(|outcome| outcome.passed);
    if passed && arguments.merge {
        passed = chosen.iter().all(|name| target::merge(&place, name));
    }
    passed
}

/// Runs the targets, as many at a time as there are processors.
fn run_all(place: &Workplace, names: &[&'static str], limit: &Limit) -> Vec<Outcome> {
    let waiting = Mutex::new(names.iter());
    let outcomes = Mutex::new(Vec::new());
    let processors = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..processors.min(names.len()) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut names| names.next());
                    let Some(name) = next else { break };
                    let outcome = target::fuzz(place, name, limit);
                    if let Ok(mut outcomes) = outcomes.lock() {
                        outcomes.push(outcome);
                    }
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().unwrap_or_default();
    outcomes.sort_by_key(|outcome| outcome.name);
    outcomes
}

fn print_summary(outcomes: &[Outcome]) {
    println!("\n| target | executions | a second | edges | inputs | result |");
    println!("|---|---:|---:|---:|---:|---|");
    for outcome in outcomes {
        let Outcome { name, figures, .. } = outcome;
        println!(
            "| {name} | {} | {} | {} | {} | {} |",
            figures.executions,
            figures.per_second,
            figures.edges,
            figures.inputs,
            if outcome.passed { "no crash" } else { "CRASH" },
        );
    }
    let executions: u64 = outcomes
        .iter()
        .map(|outcome| outcome.figures.executions)
        .sum();
    let crashed = outcomes.iter().filter(|outcome| !outcome.passed).count();
    println!("\n{executions} executions in all, {crashed} targets crashed");
}

/// The targets, each a file below fuzz/fuzz_targets; the canary is not among them.
const TARGETS: [&str; 8] = [
    "chunks", "config", "framer", "protobuf", "proxy", "quantity", "ring", "session",
];
