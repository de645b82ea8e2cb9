//! One simulated machine with one listener and one connection, moved a step at a time.

use super::witness::{Record, Witness, frame};
use crate::input::Input;
use crate::naive_reader::NaiveReader;
use fastport::simulation::{Elsewhere, Remains, Stepped, release_spares};
use fastport::{CloseReason, Dispatch, PacketId, Rate, ServiceConfig};
use fastport_engine::{Engine, Wait};
use fastport_testkit::random::Random;
use fastport_testkit::sim_engine::SimEngine;
use fastport_testkit::sim_engine::faults::Faults;
use fastport_testkit::sim_engine::net::Net;
use fastport_testkit::sim_engine::wire::{End, Wire, address_of};
use fastport_testkit::verdict::Verdict;
use std::sync::Arc;
use std::time::Duration;

/// Steps after which a session that was told to end has ended, whatever is in the way.
const STEPS_TO_END: usize = 20_000;

/// The machine, the connection, and what is known of it outside.
pub(super) struct World {
    verdict: Verdict,
    net: Net,
    service: Stepped<SimEngine>,
    /// Event workers, and other threads of the application.
    elsewhere: Elsewhere,
    asleep: Option<Wait>,
    wire: Wire,
    witness: Witness,
    /// Reads what the peer sent, as long as the host could have taken it.
    naive: NaiveReader,
    /// The rest of a frame whose front was sent.
    unsent: Vec<u8>,
    /// What the peer read and is no whole frame yet.
    read: Vec<u8>,
    /// The whole frames that it read, but for answers to its own heartbeats.
    told: Vec<u8>,
    fate: Fate,
}

/// What was done to the connection.
#[derive(Debug, Default)]
struct Fate {
    finished: bool,
    reset: bool,
    vanished: bool,
    stopped: bool,
}

impl World {
    /// Input: settings and faults, four bytes.
    pub(super) fn new(input: &mut Input<'_>) -> Self {
        let (choice, sizes) = (input.byte(), input.byte());
        let (faults, seed) = (input.byte(), input.byte());
        let config = config(choice, sizes);
        let verdict = Verdict::new(false);
        let net = Net::new(10);
        let faults = chances(faults);
        let random = Random::new(u64::from(seed));
        let engine_config = &config.engine_config;
        let engine = SimEngine::new(net.clone(), faults, random, verdict.clone(), engine_config);
        let bytes_max = config.session.frame_bytes_max;
        let mut service = Stepped::new(config, vec![engine]);
        let witness = Witness::default();
        service
            .listen(address_of(0), Arc::new(witness.clone()))
            .expect("a listener");
        let wire = Wire::new(1, 1 + usize::from(sizes & 15) * 997);
        assert!(net.dial(wire.clone()), "nobody listens");
        Self {
            verdict,
            net,
            elsewhere: service.elsewhere(),
            service,
            asleep: None,
            wire,
            witness,
            naive: NaiveReader::new(bytes_max),
            unsent: Vec::new(),
            read: Vec::new(),
            told: Vec::new(),
            fate: Fate::default(),
        }
    }

    /// The peer sends bytes, after what it has not sent yet of a frame.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let mut all = std::mem::take(&mut self.unsent);
        all.extend(bytes);
        // What goes to a host that is gone does not arrive.
        if self.wire.peer_end() == End::Open && self.wire.peer_send(&all) {
            self.naive.read(&all);
        }
    }

    /// The peer sends a frame that tells the handler what to do, with so many bytes of content.
    pub(super) fn send_frame(&mut self, behaviour: u8, bytes: usize) {
        self.send(&told(behaviour, bytes));
    }

    /// The peer sends the front of such a frame, and the rest with whatever it sends next.
    pub(super) fn send_cut(&mut self, behaviour: u8, front: usize) {
        let whole = told(behaviour, usize::from(behaviour) * 5);
        let (front, rest) = whole.split_at(front.min(whole.len()));
        self.send(front);
        self.unsent = rest.to_vec();
    }

    /// The kernel works, and the worker, so often.
    pub(super) fn work(&mut self, times: usize) {
        for _ in 0..times {
            self.kernel();
            self.turn();
            self.turn();
        }
    }

    /// The kernel works once.
    pub(super) fn kernel(&mut self) {
        self.service.engine(0).step_kernel();
        self.check();
    }

    /// The worker goes to sleep, or wakes if there is something to wake for.
    fn turn(&mut self) {
        if self.service.is_finished(0) {
            return;
        }
        match self.asleep.take() {
            None => self.asleep = Some(self.service.begin_turn(0)),
            Some(wait) if self.service.engine(0).is_wait_over(wait) => {
                self.service.finish_turn(0, wait).expect("a turn");
            }
            sleeping => self.asleep = sleeping,
        }
        self.check();
    }

    /// An event worker runs a strand; `last` takes the one that waits shortest.
    pub(super) fn strand(&mut self, packets: usize, last: bool) {
        let ready = self.elsewhere.ready_strands();
        if ready > 0 {
            self.elsewhere
                .run_strand(if last { ready - 1 } else { 0 }, packets);
            self.check();
        }
    }

    /// Time passes, in milliseconds.
    pub(super) fn pass(&mut self, ms: u64) {
        self.net.advance(Duration::from_millis(ms));
    }

    /// The peer reads.
    pub(super) fn read(&mut self, bytes_max: usize) {
        self.wire.peer_read(bytes_max, &mut self.read);
        while let &[high, low, id_high, id_low, ..] = &self.read[..] {
            let size = usize::from(u16::from_be_bytes([high, low])).max(4);
            if self.read.len() < size {
                break;
            }
            let frame = self.read.drain(..size);
            if u16::from_be_bytes([id_high, id_low]) != PacketId::SESSION_PONG.number() {
                self.told.extend(frame);
            }
        }
        let record = self.witness.record();
        let is_prefix = record.promised.starts_with(&self.told);
        assert!(
            is_prefix,
            "the peer read what was not sent, or not in this order"
        );
    }

    /// The peer sends FIN.
    pub(super) fn finish(&mut self) {
        self.wire.peer_finish();
        self.fate.finished = true;
    }

    /// The peer resets; with `loses` what it sent before is lost.
    pub(super) fn reset(&mut self, loses: bool) {
        self.wire.peer_reset(loses);
        self.fate.reset = true;
    }

    /// The peer is gone without a word.
    pub(super) fn vanish(&mut self) {
        self.wire.peer_vanish();
        self.fate.vanished = true;
    }

    /// Another thread of the application ends the session.
    pub(super) fn disconnect(&mut self) {
        let session = self.witness.record().session.clone();
        if let Some(session) = session
            && session.is_connected()
        {
            self.elsewhere.assume(|| session.disconnect());
            self.witness.record().asked_to_end = true;
        }
    }

    /// The service is told to stop.
    pub(super) fn stop(&mut self) {
        self.fate.stopped = true;
        self.service
            .stop(self.net.now() + Duration::from_millis(500));
    }

    fn check(&self) {
        if let Some(violation) = self.verdict.violation() {
            panic!("{violation}");
        }
    }

    /// Lets everything end, and holds what came of it against what was done.
    pub(super) fn end(mut self) {
        self.service.engine(0).heal();
        // What is there is worked off first, with a peer that reads.
        for _ in 0..40 {
            self.read(usize::MAX);
            self.work(1);
            self.strand(8, false);
        }
        self.stop();
        let mut steps = 0;
        while !(self.service.is_finished(0) && self.elsewhere.ready_strands() == 0) {
            self.read(usize::MAX);
            self.work(1);
            self.strand(64, false);
            self.net.advance(Duration::from_millis(20));
            steps += 1;
            assert!(
                steps < STEPS_TO_END,
                "it does not end: {:?}",
                self.service.remains()
            );
        }
        self.read(usize::MAX);
        self.judge();
        self.leaves_nothing();
    }

    fn judge(&mut self) {
        let found = self.naive.take();
        // What session layers exchange by themselves is for no handler.
        let found: Vec<_> = found
            .filter(|(id, _)| !PacketId::new(*id).is_session_control())
            .collect();
        let record = self.witness.record();
        let Some(reason) = record.reason else {
            assert!(record.session.is_none(), "a session that never ended");
            return;
        };
        let delivered = &record.packets;
        assert!(
            found.starts_with(delivered),
            "a packet was lost, doubled or changed"
        );
        self.judge_reason(&record, reason, found.len() == delivered.len());
        // Only what broke the connection, or cut its end short, may keep back what was promised.
        if self.wire.seen_by_peer() == End::Finished && !self.fate.vanished && !self.fate.reset {
            assert_eq!(
                self.told.len() + self.read.len(),
                record.promised.len(),
                "{reason:?}: promised, not sent"
            );
        }
    }

    /// Whether what happened can give this reason; `all` tells that each whole frame that was sent
    /// was delivered.
    fn judge_reason(&self, record: &Record, reason: CloseReason, all: bool) {
        let fate = &self.fate;
        let possible = match reason {
            CloseReason::PeerClosed => fate.finished && all && self.naive.frame().is_empty(),
            CloseReason::PeerTruncated => fate.finished && all && !self.naive.frame().is_empty(),
            CloseReason::Requested => record.asked_to_end,
            CloseReason::Protocol(error) => all && self.naive.error() == Some(error),
            CloseReason::HandlerPanic => record.panicked,
            CloseReason::Stopping => fate.stopped,
            CloseReason::WorkerFailed | CloseReason::ConnectTimeout => false,
            // Time passes in the steps and at the end; what broke is seen as one of several things.
            _ => true,
        };
        assert!(possible, "{reason:?} after {fate:?}, all delivered: {all}");
    }

    fn leaves_nothing(mut self) {
        self.check();
        assert_eq!(self.service.remains(), Remains::default());
        let stats = self.service.stats();
        // A session keeps its handler, whose record must not keep the session.
        let session = self.witness.record().session.take();
        assert_eq!(stats.accepted, u64::from(session.is_some()));
        drop(session);
        let engine = self.service.engine(0);
        assert_eq!(
            (engine.open_keys(), engine.in_flight(), engine.lent_chunks()),
            (0, 0, 0)
        );
        let Self {
            service,
            net,
            verdict,
            ..
        } = self;
        service.finish();
        release_spares();
        assert_eq!(net.descriptors(), 0, "descriptors are left");
        assert_eq!(verdict.violation(), None);
    }
}

/// A frame that tells the handler what to do.
fn told(behaviour: u8, bytes: usize) -> Vec<u8> {
    let bytes = bytes.min(65_531);
    let mut payload: Vec<u8> = (0..bytes).map(|at| (at % 251) as u8).collect();
    if let Some(first) = payload.first_mut() {
        *first = behaviour;
    }
    frame(u16::from(behaviour) << 4, &payload)
}

fn config(choice: u8, sizes: u8) -> ServiceConfig {
    let mut config = ServiceConfig {
        workers: 1,
        ..ServiceConfig::default()
    };
    config.dispatch = match choice & 1 {
        0 => Dispatch::Inline,
        _ => Dispatch::Pool { workers: 1 },
    };
    let session = &mut config.session;
    if choice & 2 != 0 {
        session.send_high_watermark = 300;
        session.send_low_watermark = 100;
        session.receive_high_watermark = 500;
    }
    if choice & 4 != 0 {
        session.send_queue_max = 65_535;
        session.send_high_watermark = session.send_high_watermark.min(30_000);
        session.send_low_watermark = session.send_low_watermark.min(10_000);
    }
    session.frame_bytes_max = [65_535, 4096, 64, 4][usize::from(choice >> 3) & 3];
    // Small: what it would take for a real service costs more than a run.
    config.sessions_max = 4;
    let protection = &mut config.protection;
    protection.addresses_max = 16;
    protection.queued_bytes_max = Some(if choice & 64 == 0 { 1 << 20 } else { 3000 });
    if choice & 32 != 0 {
        protection.packet_rate = Rate::new(20, 5);
    }
    let engine = &mut config.engine_config;
    engine.chunk_bytes = [1024, 64, 7, 4096][usize::from(sizes >> 4) & 3];
    engine.chunks = [8, 2][usize::from(sizes >> 6) & 1];
    config
}

/// Which faults there are, each as likely as not.
fn chances(bits: u8) -> Faults {
    let chance = |bit: u8| if bits & (1 << bit) == 0 { 0 } else { 300 };
    Faults {
        lazy: chance(0),
        short_read: chance(1),
        short_write: chance(2),
        receive_error: chance(3) / 10,
        send_error: chance(4) / 10,
        no_buffer: chance(5),
        late_close: chance(6),
        few_events: chance(7),
        ..Faults::default()
    }
}
