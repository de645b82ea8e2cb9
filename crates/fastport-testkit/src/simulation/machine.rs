//! The simulated service between two decisions of a run: workers that sleep or take turns, and the
//! kernel's work for them.

use super::plan::Plan;
use crate::check;
use crate::random::Random;
use crate::sim_engine::SimEngine;
use crate::sim_engine::net::Net;
use crate::verdict::Verdict;
use fastport::simulation::Stepped;
use fastport_engine::Wait;

/// Workers and engines.
pub(super) struct Machine {
    pub(super) service: Stepped<SimEngine>,
    pub(super) net: Net,
    pub(super) stopping: bool,
    random: Random,
    verdict: Verdict,
    /// How long each worker sleeps; none for one that is between two turns.
    asleep: Vec<Option<Wait>>,
    idle_turns: u32,
}

/// Turns in a row in which a worker may look again without anything to do.
const IDLE_TURNS_MAX: u32 = 200;

impl Machine {
    pub(super) fn new(plan: &Plan, net: Net, verdict: Verdict, mut random: Random) -> Self {
        let config = plan.config();
        let engine = |_| {
            let (faults, random) = (plan.faults.clone(), random.fork());
            let verdict = verdict.clone();
            SimEngine::new(net.clone(), faults, random, verdict, &config.engine_config)
        };
        let engines: Vec<_> = (0..plan.workers).map(engine).collect();
        Self {
            service: Stepped::new(config.clone(), engines),
            net,
            stopping: false,
            random,
            verdict,
            asleep: vec![None; plan.workers],
            idle_turns: 0,
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.asleep.len()
    }

    /// Some engine's kernel works.
    pub(super) fn step_kernel(&mut self) {
        let worker = self.random.below(self.workers());
        self.service.engine(worker).step_kernel();
    }

    /// Some worker goes to sleep, or wakes up if there is something to wake up for.
    pub(super) fn take_half_turn(&mut self) {
        let worker = self.random.below(self.workers());
        let Some(wait) = self.asleep[worker].take() else {
            let wait = self.service.begin_turn(worker);
            self.asleep[worker] = Some(wait);
            return;
        };
        let finished = self.service.is_finished(worker);
        if finished || !self.service.engine(worker).is_wait_over(wait) {
            self.asleep[worker] = Some(wait);
            return;
        }
        let spins = matches!(wait, Wait::Poll) && !self.stopping;
        self.idle_turns = if spins { self.idle_turns + 1 } else { 0 };
        let spun = self.idle_turns > IDLE_TURNS_MAX;
        check!(self.verdict, !spun, "worker {worker} looks again and again");
        let brief = match wait {
            Wait::Poll => "no wait",
            Wait::Until(_) => "a wait with an end",
            Wait::Forever => "a wait",
        };
        self.verdict
            .trace(format_args!("worker {worker} turns after {brief}"));
        if let Err(error) = self.service.finish_turn(worker, wait) {
            self.verdict
                .violate(format_args!("worker {worker}: {error}"));
        }
    }

    /// Some of the workers and kernels get on, while somebody else is in the middle of something.
    pub(super) fn get_on(&mut self) {
        for _ in 0..self.random.between(1, 8) {
            match self.random.chance(300) {
                true => self.step_kernel(),
                false => self.take_half_turn(),
            }
        }
    }

    /// Whether every worker sleeps for good reason.
    pub(super) fn is_at_rest(&mut self) -> bool {
        (0..self.workers()).all(|worker| {
            let wait = self.asleep[worker];
            let finished = self.service.is_finished(worker);
            let engine = self.service.engine(worker);
            finished || wait.is_some_and(|wait| !engine.is_wait_over(wait))
        })
    }

    /// Lets time pass until somebody has something to do.
    pub(super) fn sleep_until_next(&mut self) {
        let mut next = self.net.next_answer();
        for worker in 0..self.workers() {
            let retry = self.service.engine(worker).next_retry();
            let timer = match self.asleep[worker] {
                Some(Wait::Until(deadline)) if !self.service.is_finished(worker) => Some(deadline),
                _ => None,
            };
            next = [next, retry, timer].into_iter().flatten().min();
        }
        if let Some(next) = next {
            let by = next.saturating_duration_since(self.net.now());
            self.net.advance(by);
        }
    }

    /// Nothing fails by chance from now on.
    pub(super) fn heal(&mut self) {
        (0..self.workers()).for_each(|worker| self.service.engine(worker).heal());
    }

    /// Whether all workers have ended.
    pub(super) fn is_finished(&self) -> bool {
        (0..self.workers()).all(|worker| self.service.is_finished(worker))
    }
}
