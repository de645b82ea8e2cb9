//! One server and everything that is done to it, from its start to its judgement.

use crate::clients::{Client, honest, hostile, programs, vanishing};
use crate::clock::Clock;
use crate::halt::Halt;
use crate::ledger::Ledger;
use crate::message::Exchange;
use crate::process::{Ended, ServerProcess, wait_until};
use crate::random::Random;
use crate::samples::{Sample, Trend};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How long the server may take to have nothing left of its sessions: its longest limit, and half
/// as much again.
const SETTLE: Duration = Duration::from_secs(20);
/// For how long it is watched doing nothing.
const IDLE: Duration = Duration::from_secs(3);
/// What it may use of one processor meanwhile, per cent.
const IDLE_PERCENT_MAX: f64 = 5.0;

/// What a soak is made with.
pub(crate) struct Plan<'a> {
    pub(crate) program: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) duration: Duration,
    pub(crate) seed: u64,
}

/// How it was.
pub(crate) struct Outcome {
    pub(crate) ready: String,
    pub(crate) ledger: Ledger,
    pub(crate) trend: Trend,
    /// Before the load, with the first connection gone.
    pub(crate) before: Sample,
    /// After the load, with the last connection gone.
    pub(crate) after: Sample,
    pub(crate) idle_percent: f64,
    pub(crate) ended: Ended,
}

/// Runs a server with this engine through the plan. Blocks.
///
/// # Errors
/// When the server can not be started or looked at.
pub(crate) fn run(plan: &Plan<'_>, engine: &str) -> io::Result<Outcome> {
    let server = ServerProcess::start(plan.program, engine, plan.folder)?;
    println!("{engine}: {}", server.ready);
    let ledger = Ledger::default();
    let before = first_contact(&server, &ledger)?;
    let halt = Halt::default();
    let mut samples = Vec::new();
    thread::scope(|scope| {
        let mut number = 0;
        // Each server has choices of its own.
        let name = engine
            .bytes()
            .fold(0, |sum, byte| 31 * sum + u64::from(byte));
        let mut random = Random::new(plan.seed ^ (name << 32));
        let mut client = || {
            number += 1;
            Client {
                address: server.address,
                ledger: &ledger,
                halt: &halt,
                random: random.fork(),
                number,
            }
        };
        for (count, run) in CROWD {
            for _ in 0..*count {
                let client = client();
                scope.spawn(move || run(client));
            }
        }
        let (freezing, loading) = (client(), client());
        scope.spawn(|| programs::run_freezes(freezing, &server));
        scope.spawn(|| programs::run_benches(loading, plan.program));
        watch(engine, plan.duration, &server, &ledger, &mut samples);
        halt.give();
    });
    let (after, idle_percent) = settle(&server, &ledger, &before)?;
    let ready = server.ready.clone();
    let ended = server.end()?;
    judge_end(&ledger, &ended);
    Ok(Outcome {
        ready,
        trend: Trend::of(&samples),
        ledger,
        before,
        after,
        idle_percent,
        ended,
    })
}

type Run = fn(Client<'_>);

/// How many of which clients.
const CROWD: &[(usize, Run)] = &[
    (20, honest::run),
    (4, honest::run_slow),
    (5, hostile::run),
    (2, hostile::run_flood),
    (3, vanishing::run),
    (1, vanishing::run_storm),
];

/// One exchange, so that what the server makes when it is first used is made; then a look at it.
fn first_contact(server: &ServerProcess, ledger: &Ledger) -> io::Result<Sample> {
    let halt = Halt::default();
    let mut client = Client {
        address: server.address,
        ledger,
        halt: &halt,
        random: Random::new(0),
        number: 0,
    };
    let exchange = Exchange::small(client.key(), 0);
    let mut stream = client.connect(None).ok_or(io::ErrorKind::NotConnected)?;
    stream.write_all(&exchange.request)?;
    if honest::read_frame(&mut stream)? != exchange.answer {
        return Err(io::Error::other("the server does not echo"));
    }
    drop(stream);
    halt.pause(Duration::from_secs(1));
    server.sample(Duration::ZERO)
}

/// Looks at the server every second until the time is over or it can not be looked at any more.
fn watch(
    engine: &str,
    duration: Duration,
    server: &ServerProcess,
    ledger: &Ledger,
    samples: &mut Vec<Sample>,
) {
    let clock = Clock::start();
    let ticks = Halt::default();
    while clock.elapsed() < duration {
        match server.sample(clock.elapsed()) {
            Ok(sample) => samples.push(sample),
            Err(error) => return ledger.find(format!("{engine}: the server is gone: {error}")),
        }
        if let Some(sample) = samples.last()
            && samples.len().is_multiple_of(15)
        {
            println!(
                "{engine}: {:4} s  {} messages right, {} connections, {} KiB, {} descriptors",
                sample.at.as_secs(),
                ledger.checked().0,
                ledger.connections(),
                sample.resident_kib,
                sample.descriptors,
            );
        }
        let next = Duration::from_secs(samples.len() as u64);
        ticks.pause(next.saturating_sub(clock.elapsed()));
    }
}

/// Waits until nothing is left of the sessions, then watches the server doing nothing.
fn settle(server: &ServerProcess, ledger: &Ledger, before: &Sample) -> io::Result<(Sample, f64)> {
    let ticks = Halt::default();
    let pause = |time| {
        ticks.pause(time);
    };
    let mut after = server.sample(Duration::ZERO)?;
    let settled = wait_until(SETTLE, pause, || {
        after = server.sample(Duration::ZERO).unwrap_or(after);
        after.descriptors <= before.descriptors
    });
    if !settled || after.descriptors != before.descriptors {
        let (before, after) = (before.descriptors, after.descriptors);
        ledger.find(format!(
            "descriptors: {before} before, {after} {SETTLE:?} after"
        ));
    }
    ticks.pause(IDLE);
    let idle = server.sample(Duration::ZERO)?;
    let used = idle.processor.saturating_sub(after.processor).as_secs_f64();
    let percent = 100.0 * used / IDLE.as_secs_f64();
    if percent > IDLE_PERCENT_MAX {
        ledger.find(format!("{percent:.0} % of a processor with nothing to do"));
    }
    Ok((idle, percent))
}

/// Holds the server's own count against what was done to it.
fn judge_end(ledger: &Ledger, ended: &Ended) {
    if !ended.status.success() {
        ledger.find(format!("the server's end: {}", ended.status));
    }
    for error in &ended.errors {
        ledger.find(format!("the server's log: {error}"));
    }
    let counted = |word: &str| {
        let words: Vec<&str> = ended.summary.split_whitespace().collect();
        let at = words
            .iter()
            .position(|other| other.trim_end_matches(',') == word)?;
        words
            .get(at.checked_sub(1)?)?
            .replace(',', "")
            .parse::<u64>()
            .ok()
    };
    let (messages, _) = ledger.checked();
    match (counted("sessions"), counted("packets")) {
        (Some(_), Some(packets)) if packets >= messages => {}
        counts => ledger.find(format!(
            "the server counts {counts:?} sessions and packets, {messages} messages were right: {}",
            ended.summary
        )),
    }
}
