//! A smaller run that still breaks a rule: fewer connections, fewer faults, fewer behaviours.

use super::plan::{Games, Plan};
use super::run::run;

/// How many runs a shrink may take.
const RUNS_MAX: usize = 4000;
/// Seeds that are tried for each smaller plan: a smaller plan draws other decisions.
const SEEDS_EACH: u64 = 12;

/// Makes the plan smaller while it still fails. The plan itself when it does not fail.
#[must_use]
pub fn shrink(plan: &Plan) -> Plan {
    let mut best = plan.clone();
    let mut runs = 0;
    loop {
        let mut smaller = false;
        for candidate in candidates(&best) {
            if runs >= RUNS_MAX {
                return best;
            }
            if let Some(fails) = failing(&candidate, &mut runs) {
                best = fails;
                smaller = true;
                break;
            }
        }
        if !smaller {
            return best;
        }
    }
}

fn failing(candidate: &Plan, runs: &mut usize) -> Option<Plan> {
    (0..SEEDS_EACH).find_map(|more| {
        *runs += 1;
        let plan = Plan {
            seed: candidate.seed.wrapping_add(more),
            ..candidate.clone()
        };
        run(&plan, false).violation.map(|_| plan)
    })
}

/// Plans that are a little smaller, the greatest steps first.
fn candidates(plan: &Plan) -> Vec<Plan> {
    let mut found = Vec::new();
    let mut with = |change: &dyn Fn(&mut Plan)| {
        let mut smaller = plan.clone();
        change(&mut smaller);
        if smaller != *plan {
            found.push(smaller);
        }
    };
    with(&|plan| plan.lifetimes = plan.lifetimes.div_ceil(4));
    with(&|plan| plan.lifetimes = plan.lifetimes.div_ceil(2));
    with(&|plan| plan.lifetimes -= usize::from(plan.lifetimes > 1));
    with(&|plan| plan.concurrent = 1);
    with(&|plan| plan.concurrent = plan.concurrent.div_ceil(2));
    with(&|plan| plan.workers = 1);
    with(&|plan| plan.pooled = false);
    with(&|plan| plan.meddling = 0);
    with(&|plan| plan.stalls = 0);
    with(&|plan| plan.games = Games::none());
    with(&|plan| plan.games.asks = 0);
    with(&|plan| plan.games.admission = None);
    with(&|plan| plan.outgoing = 0);
    with(&|plan| plan.stop_after = usize::MAX);
    with(&|plan| plan.frames_max /= 2);
    with(&|plan| plan.payload_max = plan.payload_max.div_ceil(4).max(3));
    for index in 0..plan.behaviours.len() {
        with(&|plan| drop_weight(&mut plan.behaviours, index));
    }
    for index in 0..plan.endings.len() {
        with(&|plan| drop_weight(&mut plan.endings, index));
    }
    let count = plan.faults.clone().fields_mut().len();
    for index in 0..count {
        with(&|plan| *plan.faults.fields_mut()[index].1 = 0);
    }
    with(&|plan| plan.limits.window = 50_000);
    with(&|plan| plan.limits.chunk_bytes = 4096);
    with(&|plan| plan.limits.chunks = 12);
    with(&|plan| plan.limits.descriptors = 1000);
    with(&|plan| plan.limits.sessions_max = 1000);
    found
}

/// Takes a weight away, unless it is the last.
fn drop_weight(weights: &mut [u32], index: usize) {
    if weights.iter().filter(|weight| **weight > 0).count() > 1 {
        weights[index] = 0;
    }
}
