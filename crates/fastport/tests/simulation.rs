//! A short run of the simulation with every `cargo test`; `cargo xtask sim` takes more seeds.
//!
//! The seeds here are the first ones. What a seed once found has a test of its own beside the code
//! that was wrong, since a seed means another run as soon as the simulation changes.

use fastport::CloseReason;
use fastport_testkit::live_alloc::{LiveAllocator, live_bytes};
use fastport_testkit::simulation::{Plan, run};

#[global_allocator]
static ALLOCATOR: LiveAllocator = LiveAllocator;

const SEEDS: u64 = 120;

/// No rule of a session's life is broken, and each run gives back all memory that it took.
#[test]
fn the_first_seeds_break_no_rule() {
    let _ = run(&Plan::of_seed(0), false);
    let mut lifetimes = 0;
    let mut closed = [0; CloseReason::NAMES.len()];
    for seed in 0..SEEDS {
        let before = live_bytes();
        let outcome = run(&Plan::of_seed(seed), false);
        assert_eq!(outcome.violation, None, "cargo xtask sim --seed {seed}");
        lifetimes += outcome.lifetimes;
        let sums = closed.iter_mut().zip(outcome.closed);
        sums.for_each(|(sum, count)| *sum += count);
        drop(outcome);
        assert_eq!(live_bytes(), before, "bytes lost by seed {seed}");
    }
    assert!(lifetimes > 20 * SEEDS, "{lifetimes} sessions only");
    // Decoding is the application's, failed connects are no sessions, workers do not fail here.
    let unreached = [
        "undecodable",
        "connect_failed",
        "connect_timeout",
        "worker_failed",
        // The simulation sends no control packets yet.
        "kicked",
        "closed_by_peer",
        "unresponsive",
        // Nor has it TLS.
        "tls",
        "tls_truncated",
    ];
    let counted = CloseReason::NAMES.into_iter().zip(closed);
    let never = counted.filter(|(_, count)| *count == 0);
    let never: Vec<_> = never.map(|(name, _)| name).collect();
    assert_eq!(never, unreached, "the reasons for which no session ended");
}

/// A seed decides everything: two runs of it have the same trace.
#[test]
fn a_seed_is_the_same_run_each_time() {
    for seed in 0..8 {
        let plan = Plan::of_seed(seed);
        let (first, second) = (run(&plan, true), run(&plan, true));
        assert!(first.trace.len() > 100, "seed {seed} did next to nothing");
        let differ = first.trace.iter().zip(&second.trace).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
        assert!(first == second, "seed {seed}");
    }
}
