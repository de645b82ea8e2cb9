//! One run: step after step as the seed chooses, each followed by the checks, and the last look.

use super::directory::Directory;
use super::handler::{GREETINGS, SimHandler};
use super::interlude::{Interludes, interlude};
use super::ledger::Ledger;
use super::machine::Machine;
use super::peer::Peer;
use super::plan::Plan;
use crate::check;
use crate::random::Random;
use crate::sim_engine::net::{Answer, Attempt, Net};
use crate::sim_engine::wire::{Wire, address_of};
use crate::verdict::Verdict;
use fastport::CloseReason;
use fastport::simulation::{Elsewhere, Remains, release_spares};
use fastport_engine::Engine;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The first rule that was broken.
    pub violation: Option<String>,
    /// Sessions that began and ended.
    pub lifetimes: u64,
    /// Connections that were tried.
    pub connections: u64,
    /// Steps taken.
    pub steps: u64,
    /// Sessions by the reason of their end, in the order of `CloseReason::NAMES`.
    pub closed: [u64; CloseReason::NAMES.len()],
    /// Each step and what came of it, if a trace was wanted.
    pub trace: Vec<String>,
}

/// Runs a plan; with `traces` keeps a trace. What panics is a violation.
#[must_use]
pub fn run(plan: &Plan, traces: bool) -> Outcome {
    let verdict = Verdict::new(traces);
    let mut outcome = Outcome::default();
    let whole = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(plan, verdict.clone());
        run.take_steps();
        run.outcome(&mut outcome);
        run.end();
    }));
    if let Err(panic) = whole {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).into()));
        verdict.violate(format_args!("panic: {}", text.unwrap_or_default()));
    }
    release_spares();
    outcome.violation = verdict.violation();
    outcome.trace = verdict.take_trace();
    outcome
}

struct Run<'a> {
    plan: &'a Plan,
    random: Random,
    /// Decides what games ask of each session.
    games: Random,
    verdict: Verdict,
    net: Net,
    directory: Arc<Directory>,
    handler: Arc<SimHandler>,
    machine: Rc<RefCell<Machine>>,
    elsewhere: Rc<Elsewhere>,
    interludes: Interludes,
    peers: Vec<Peer>,
    /// Connections that are not over.
    live: Vec<Arc<Ledger>>,
    steps: u64,
    stopping: bool,
}

/// What a step may be, with its weight.
const STEPS: [(Step, u32); 7] = [
    (Step::Dial, 6),
    (Step::Peer, 40),
    (Step::Kernel, 14),
    (Step::Worker, 24),
    (Step::Strand, 14),
    (Step::Time, 6),
    // Its weight is the plan's.
    (Step::Meddle, 0),
];

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Step {
    Dial,
    Peer,
    Kernel,
    Worker,
    Strand,
    Time,
    Meddle,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, verdict: Verdict) -> Self {
        let mut random = Random::new(plan.seed);
        let net = Net::new(plan.limits.descriptors);
        let directory = Arc::new(Directory::new(verdict.clone()));
        let handler = Arc::new(SimHandler::new(directory.clone()));
        let mut machine = Machine::new(plan, net.clone(), verdict.clone(), random.fork());
        if let Err(error) = machine.service.listen(address_of(0), handler.clone()) {
            verdict.violate(format_args!("no listener: {error}"));
        }
        let elsewhere = Rc::new(machine.service.elsewhere());
        let machine = Rc::new(RefCell::new(machine));
        Self {
            plan,
            verdict,
            net,
            directory,
            handler,
            interludes: interludes(&machine, &elsewhere, random.fork()),
            machine,
            elsewhere,
            games: Random::new(plan.seed ^ 0x6a3e_5001),
            random,
            peers: Vec::new(),
            live: Vec::new(),
            steps: 0,
            stopping: false,
        }
    }

    fn take_steps(&mut self) {
        let mut weights = STEPS.map(|(_, weight)| weight);
        weights[STEPS.len() - 1] = self.plan.meddling;
        let heal_at = 4000 + 300 * self.plan.lifetimes as u64;
        let steps_max = heal_at + 200_000;
        while !self.verdict.is_violated() && !self.is_over() {
            self.steps += 1;
            if self.steps == heal_at {
                self.machine.borrow_mut().heal();
            }
            if self.steps > steps_max {
                self.report_stuck("is not over after all these steps");
                return;
            }
            let (step, _) = STEPS[self.random.weighted(&weights)];
            self.take(step);
            self.begin_stop_if_due();
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Dial => self.dial(),
            Step::Peer => {
                let at = self.random.below(self.peers.len());
                if let Some(peer) = self.peers.get_mut(at) {
                    peer.step(self.plan, &mut self.random);
                    if peer.is_done() {
                        self.peers.swap_remove(at);
                    }
                }
            }
            Step::Kernel => self.machine.borrow_mut().step_kernel(),
            Step::Worker => self.machine.borrow_mut().take_half_turn(),
            Step::Strand => run_some_strand(&self.elsewhere, &mut self.random, &self.verdict),
            Step::Time => self.pass_time(),
            Step::Meddle => self.meddle(),
        }
    }

    /// Somebody connects to us, or we connect to somebody.
    fn dial(&mut self) {
        self.live.retain(|ledger| !ledger.is_over());
        let made = self.directory.len();
        let full = self.live.len() >= self.plan.concurrent;
        if full || made >= self.plan.lifetimes || self.stopping {
            return;
        }
        let id = made as u32 + 1;
        let wire = Wire::new(id, self.plan.limits.window);
        let inbound = !self.random.chance(self.plan.outgoing);
        let greeting = match self.random.chance(200) {
            true => self.random.below(usize::from(GREETINGS)) as u8,
            false => 0,
        };
        let ledger = Arc::new(Ledger::new(
            wire.clone(),
            inbound,
            greeting,
            self.plan,
            &mut self.games,
            self.verdict.clone(),
        ));
        self.verdict.trace(format_args!(
            "#{id} dials, inbound {inbound}, greeting {greeting}"
        ));
        self.directory.add(ledger.clone());
        self.live.push(ledger.clone());
        let mut has_peer = true;
        if inbound {
            let heard = self.net.dial(wire);
            check!(self.verdict, heard, "nobody listens any more");
        } else {
            has_peer = self.connect(id, wire, &ledger);
        }
        if has_peer {
            let peer = Peer::new(ledger, self.plan, &mut self.random);
            self.peers.push(peer);
        }
    }

    /// Whether there will be a peer.
    fn connect(&mut self, id: u32, wire: Wire, ledger: &Arc<Ledger>) -> bool {
        let answer = match self.random.weighted(&[8, 1, 1]) {
            0 => Answer::Accepted(wire),
            1 => Answer::Refused(111),
            _ => Answer::Never,
        };
        let has_peer = matches!(answer, Answer::Accepted(_));
        let after = Duration::from_millis([0, 1, 90, 6000][self.random.below(4)]);
        let at = self.net.now() + after;
        self.net.expect_connect(id, Attempt { at, answer });
        let worker = self.random.below(self.plan.workers);
        let done = ledger.clone();
        self.machine.borrow().service.connect(
            worker,
            address_of(id),
            self.handler.clone(),
            move |outcome| {
                done.on_connect_done(&outcome);
            },
        );
        has_peer
    }

    /// A little time, seldom much; and when everybody sleeps, all the time until somebody wakes.
    fn pass_time(&mut self) {
        let at_rest = self.elsewhere.ready_strands() == 0 && self.machine.borrow_mut().is_at_rest();
        if at_rest {
            self.live.iter().for_each(|ledger| ledger.check_at_rest());
            if self.random.chance(400) {
                self.machine.borrow_mut().sleep_until_next();
                return;
            }
        }
        let by = match self.random.chance(8) {
            true => Duration::from_millis(self.random.between(50, 4000) as u64),
            false => Duration::from_micros(self.random.between(0, 2000) as u64),
        };
        self.net.advance(by);
    }

    /// Another thread of the application does something to a session.
    fn meddle(&mut self) {
        let at = self.random.below(self.live.len());
        let Some(ledger) = self.live.get(at).cloned() else {
            return;
        };
        let Some(session) = ledger.session() else {
            return;
        };
        let what = self.random.weighted(&[60, 10, 20, 10]);
        let size = self.random.below(200);
        self.verdict
            .trace(format_args!("meddle with #{}, {what}", ledger.id));
        self.elsewhere.assume(|| match what {
            0 if ledger.wants_to_ask(&[size as u8]) => ledger.ask(&session),
            0 => {
                ledger.send(&session, &vec![7; size]);
            }
            1 => ledger.disconnect(&session),
            // Much happens while it is encoded.
            2 => {
                ledger.send_slowly(&session, size, interlude);
            }
            _ => {
                ledger.send_slowly(&session, size, || {
                    ledger.disconnect(&session);
                    (0..10).for_each(|_| interlude());
                });
            }
        });
    }

    fn begin_stop_if_due(&mut self) {
        let made = self.directory.len();
        let all = made >= self.plan.lifetimes && self.live.iter().all(|ledger| ledger.is_over());
        if self.stopping || !(all && self.peers.is_empty() || made >= self.plan.stop_after) {
            return;
        }
        self.verdict.trace(format_args!("stop"));
        self.stopping = true;
        self.machine.borrow_mut().stopping = true;
        self.live.iter().for_each(|ledger| ledger.note_stopping());
        let drain = Duration::from_millis(self.plan.drain_ms as u64);
        let deadline = self.net.now() + drain;
        self.machine.borrow().service.stop(deadline);
    }

    fn is_over(&self) -> bool {
        self.stopping && self.machine.borrow().is_finished() && self.elsewhere.ready_strands() == 0
    }

    fn report_stuck(&self, what: &str) {
        let live = self.live.iter().filter(|ledger| !ledger.is_over());
        let live: Vec<_> = live.take(3).map(|ledger| ledger.describe()).collect();
        let remains = self.machine.borrow().service.remains();
        self.verdict
            .violate(format_args!("the run {what}: {remains:?} {live:#?}"));
    }

    fn outcome(&self, outcome: &mut Outcome) {
        let made = self.directory.len() as u32;
        outcome.connections = u64::from(made);
        outcome.steps = self.steps;
        outcome.closed = self.machine.borrow().service.stats().closed;
        let ledgers = (1..=made).filter_map(|id| self.directory.at(id));
        outcome.lifetimes = ledgers.filter(|ledger| ledger.was_session()).count() as u64;
    }

    /// Everything is back where it began.
    fn end(mut self) {
        if self.verdict.is_violated() {
            return;
        }
        let verdict = self.verdict.clone();
        // Peers that are still there read to the end.
        for peer in &mut self.peers {
            for _ in 0..100 {
                peer.step(self.plan, &mut self.random);
            }
        }
        for id in 1..=self.directory.len() as u32 {
            if let Some(ledger) = self.directory.at(id) {
                ledger.check_at_end();
            }
        }
        let Self {
            machine,
            interludes,
            net,
            ..
        } = self;
        // They hold the machine as well.
        drop(interludes);
        let Some(machine) = Rc::into_inner(machine) else {
            verdict.violate(format_args!("the machine is still in use"));
            return;
        };
        check_rest(machine.into_inner(), &verdict);
        let descriptors = net.descriptors();
        check!(
            verdict,
            descriptors == 0,
            "{descriptors} descriptors are left"
        );
    }
}

/// Nothing of the service is left, and it has counted right.
fn check_rest(mut machine: Machine, verdict: &Verdict) {
    let remains = machine.service.remains();
    let none = remains == Remains::default();
    check!(verdict, none, "something remains: {remains:?}");
    let stats = machine.service.stats();
    let (begun, ended) = (stats.accepted + stats.connected, stats.closed_total());
    let agree = begun == ended;
    check!(verdict, agree, "{begun} sessions began, {ended} ended");
    for worker in 0..machine.workers() {
        let engine = machine.service.engine(worker);
        let left = (engine.open_keys(), engine.in_flight(), engine.lent_chunks());
        let none = left == (0, 0, 0);
        check!(verdict, none, "keys, operations, buffers left: {left:?}");
    }
    machine.service.finish();
}

/// Some strand runs for a while, if one is ready.
fn run_some_strand(elsewhere: &Elsewhere, random: &mut Random, verdict: &Verdict) {
    let ready = elsewhere.ready_strands();
    if ready > 0 {
        let (index, packets) = (random.below(ready), random.between(1, 5));
        verdict.trace(format_args!("strand {index}, {packets} packets"));
        elsewhere.run_strand(index, packets);
    }
}

/// While something runs elsewhere, workers get on and other strands run.
fn interludes(
    machine: &Rc<RefCell<Machine>>,
    elsewhere: &Rc<Elsewhere>,
    random: Random,
) -> Interludes {
    let (machine, elsewhere) = (machine.clone(), elsewhere.clone());
    let random = RefCell::new(random);
    Interludes::are(Rc::new(move || {
        let mut own = random.borrow_mut().fork();
        if own.chance(300) {
            run_some_strand(&elsewhere, &mut own, &Verdict::default());
        } else if let Ok(mut machine) = machine.try_borrow_mut() {
            machine.get_on();
        }
    }))
}
