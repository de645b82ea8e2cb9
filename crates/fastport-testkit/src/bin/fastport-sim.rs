//! The simulation by command: `cargo xtask sim` builds and starts it.
//!
//! One seed with its trace, or a range of seeds on all processors. Prints what fails and how to see
//! it again; the exit status is 1 then.
#![forbid(unsafe_code)]

use fastport::CloseReason;
use fastport_testkit::live_alloc::{LiveAllocator, live_bytes};
use fastport_testkit::simulation::{Outcome, Plan, run, shrink};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: LiveAllocator = LiveAllocator;

const USAGE: &str = "usage: fastport-sim --seed N [--shrink] | --seeds FROM..TO | --lifetimes N";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let passed = match words[..] {
        ["--seed", seed] => seed.parse().ok().map(|seed| one(seed, false)),
        ["--seed", seed, "--shrink"] => seed.parse().ok().map(|seed| one(seed, true)),
        ["--seeds", seeds] => range(seeds).map(|seeds| many(seeds, u64::MAX)),
        ["--lifetimes", count] => count.parse().ok().map(|count| many(0..u64::MAX, count)),
        _ => None,
    };
    match passed {
        Some(true) => ExitCode::SUCCESS,
        Some(false) => ExitCode::FAILURE,
        None => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn range(text: &str) -> Option<Range<u64>> {
    let (from, to) = text.split_once("..")?;
    Some(from.parse().ok()?..to.parse().ok()?)
}

/// Runs one seed, or what is left of it when it is shrunk, and prints every step.
fn one(seed: u64, shrinks: bool) -> bool {
    let mut plan = Plan::of_seed(seed);
    if shrinks {
        plan = shrink(&plan);
    }
    println!("{plan:#?}");
    let outcome = run(&plan, true);
    for step in &outcome.trace {
        println!("{step}");
    }
    report(seed, &outcome);
    outcome.violation.is_none()
}

fn report(seed: u64, outcome: &Outcome) {
    let Outcome {
        lifetimes, steps, ..
    } = outcome;
    match &outcome.violation {
        None => println!("seed {seed}: {lifetimes} sessions in {steps} steps, no violation"),
        Some(violation) => {
            println!("seed {seed}: VIOLATION: {violation}");
            println!("  see it again: cargo xtask sim --seed {seed}, or --shrink {seed}");
        }
    }
}

/// Runs seeds on all processors until the range, or the number of lifetimes, is reached.
fn many(seeds: Range<u64>, lifetimes: u64) -> bool {
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicBool::new(false);
    let total = Mutex::new(Outcome::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                // What lives for the thread's whole life is there after the first run.
                let _ = run(&Plan::of_seed(seeds.start), false);
                while !failed.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || lock(&total).lifetimes >= lifetimes {
                        return;
                    }
                    let outcome = run_and_weigh(seed);
                    let mut total = lock(&total);
                    total.lifetimes += outcome.lifetimes;
                    total.connections += outcome.connections;
                    total.steps += outcome.steps;
                    let closed = total.closed.iter_mut().zip(outcome.closed);
                    closed.for_each(|(sum, count)| *sum += count);
                    if outcome.violation.is_some() {
                        failed.store(true, Ordering::Relaxed);
                        report(seed, &outcome);
                    }
                }
            });
        }
    });
    let total = lock(&total);
    for (name, count) in CloseReason::NAMES.iter().zip(total.closed) {
        println!("{count:>12}  {name}");
    }
    let ran = next.load(Ordering::Relaxed).min(seeds.end) - seeds.start;
    println!(
        "{ran} seeds, {} sessions of {} connections in {} steps, {:.1} s on {threads} threads: {}",
        total.lifetimes,
        total.connections,
        total.steps,
        began.elapsed().as_secs_f64(),
        if failed.load(Ordering::Relaxed) {
            "VIOLATION"
        } else {
            "no violation"
        },
    );
    !failed.load(Ordering::Relaxed)
}

/// Runs a seed; memory that was there before and only that is there afterwards.
fn run_and_weigh(seed: u64) -> Outcome {
    let before = live_bytes();
    let mut outcome = run(&Plan::of_seed(seed), false);
    let after = live_bytes();
    if outcome.violation.is_none() && after != before {
        outcome.violation = Some(format!("{} bytes were lost", after - before));
    }
    outcome
}

fn lock(total: &Mutex<Outcome>) -> std::sync::MutexGuard<'_, Outcome> {
    total
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
