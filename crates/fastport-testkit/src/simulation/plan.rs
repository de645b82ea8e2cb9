//! What a seed decides before the first step: sizes, limits, faults, and how everybody behaves.
//!
//! Each seed turns on a part of the faults and behaviours only, with weights of its own ("swarm
//! testing"): all of them at once would hide what only a few bring about.

use super::handler::BEHAVIOURS;
use crate::random::Random;
use crate::sim_engine::faults::Faults;
use fastport::{
    Dispatch, ProtectionConfig, Rate, RateAction, SendPolicy, ServiceConfig, SessionConfig,
};
use std::time::Duration;

/// Everything that a run depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed of the steps.
    pub seed: u64,
    /// Connections to be made in all.
    pub lifetimes: usize,
    /// Connections at the same time.
    pub concurrent: usize,
    /// I/O workers.
    pub workers: usize,
    /// Whether handlers run on strands.
    pub pooled: bool,
    /// Frames that a peer sends at most.
    pub frames_max: usize,
    /// Bytes of a payload at most.
    pub payload_max: usize,
    /// Of 1,000 connections so many are made by us.
    pub outgoing: u16,
    /// Of 1,000 of a peer's steps so many make it stop reading for a while.
    pub stalls: u16,
    /// How likely another thread of the application meddles.
    pub meddling: u32,
    /// After how many connections the service is stopped, if before the last.
    pub stop_after: usize,
    /// Milliseconds that the stop may take.
    pub drain_ms: usize,
    /// How likely each behaviour of the handler is.
    pub behaviours: [u32; BEHAVIOURS.len()],
    /// How likely each end of a peer is.
    pub endings: [u32; ENDINGS.len()],
    /// What fails.
    pub faults: Faults,
    /// Sizes and limits.
    pub limits: Limits,
    /// What games ask of sessions; half of the seeds have none of it.
    pub games: Games,
}

/// Send policies, requests to the peer, and admission in two phases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Games {
    /// How likely each send policy is, in the order of `SendPolicy::ALL`.
    pub policies: [u32; SendPolicy::ALL.len()],
    /// Milliseconds that a queue may stay full where that ends the session.
    pub full_grace_ms: usize,
    /// Of 1,000 packets so many make the handler ask the peer.
    pub asks: u16,
    /// Milliseconds that the peer has for its answer.
    pub ask_ms: usize,
    /// Whether a stranger is short until it is let in, and how.
    pub admission: Option<Admission>,
}

/// Until the application lets a session in.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// Bytes of a frame at most.
    pub frame_bytes: usize,
    /// Milliseconds until it must be let in.
    pub time_ms: usize,
    /// Sessions that may wait for it; 0 is no limit.
    pub sessions_max: usize,
}

/// Sizes and limits of the service and the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Receive buffers and their bytes.
    pub chunks: u16,
    /// Bytes of a receive buffer.
    pub chunk_bytes: usize,
    /// Bytes on the way to a peer.
    pub window: usize,
    /// Connections that the machine has descriptors for.
    pub descriptors: usize,
    /// Sessions that the service takes.
    pub sessions_max: usize,
    /// The send queue's watermarks and hard limit.
    pub send: [usize; 3],
    /// The strand's watermark.
    pub receive_high: usize,
    /// Bytes that may wait for all peers together; 0 is no limit.
    pub queued_bytes: usize,
    /// Packets that a session may send in a second, and at once; 0 is no limit.
    pub packet_rate: [u32; 2],
    /// Whether what is above the rate waits, or ends the session.
    pub rate_delays: bool,
    /// Milliseconds: idle, first packet, frame, write stall, flush, linger, connect.
    pub times_ms: [usize; 7],
}

/// How a peer ends, once it has sent what it had.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// FIN, then it reads on until ours.
    Finish,
    /// RST.
    Reset,
    /// Nothing is ever heard of it again.
    Vanish,
    /// It waits for us.
    Wait,
    /// FIN in the middle of a frame.
    Truncate,
    /// Bytes that are no frame.
    Garbage,
    /// It stays, and reads nothing.
    StopReading,
}

/// All endings.
pub const ENDINGS: [Ending; 7] = [
    Ending::Finish,
    Ending::Reset,
    Ending::Vanish,
    Ending::Wait,
    Ending::Truncate,
    Ending::Garbage,
    Ending::StopReading,
];

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x5eed_0fa9_1a00);
        let random = &mut random;
        let mut faults = Faults::default();
        for (_, chance) in faults.fields_mut() {
            *chance = some_chance(random);
        }
        // Errors are rare beside cuts and delays, or no session would live long enough.
        for chance in [
            &mut faults.receive_error,
            &mut faults.send_error,
            &mut faults.accept_error,
            &mut faults.accept_aborted,
            &mut faults.adopt_error,
            &mut faults.address_error,
        ] {
            *chance /= 12;
        }
        let lifetimes = random.between(60, 140);
        Self {
            seed,
            lifetimes,
            concurrent: random.between(1, 14),
            workers: random.between(1, 2),
            pooled: random.chance(500),
            frames_max: random.between(0, 8),
            payload_max: [20, 60, 300, 3000][random.below(4)],
            outgoing: [0, 200, 500, 1000][random.below(4)],
            stalls: [0, 20, 200][random.below(3)],
            meddling: [0, 2, 10][random.below(3)],
            stop_after: match random.chance(300) {
                true => random.between(1, lifetimes),
                false => usize::MAX,
            },
            drain_ms: [0, 100, 5000][random.below(3)],
            behaviours: swarm(random),
            endings: swarm(random),
            faults,
            limits: Limits::drawn(random),
            // From numbers of its own: a seed without any of it is the run that it was before.
            games: Games::drawn(&mut Random::new(seed ^ 0x6a3e_5000)),
        }
    }

    /// The settings of the service.
    #[must_use]
    pub fn config(&self) -> ServiceConfig {
        let limits = &self.limits;
        let ms = |index: usize| Duration::from_millis(limits.times_ms[index] as u64);
        let mut config = ServiceConfig {
            workers: self.workers,
            dispatch: match self.pooled {
                true => Dispatch::Pool { workers: 1 },
                false => Dispatch::Inline,
            },
            sessions_max: limits.sessions_max,
            session: SessionConfig {
                send_low_watermark: limits.send[0],
                send_high_watermark: limits.send[1],
                send_queue_max: limits.send[2],
                receive_high_watermark: limits.receive_high,
                idle_timeout: ms(0),
                first_packet_timeout: ms(1),
                frame_timeout: ms(2),
                write_stall_timeout: ms(3),
                flush_timeout: ms(4),
                linger_timeout: ms(5),
                connect_timeout: ms(6),
                ..SessionConfig::default()
            },
            ..ServiceConfig::default()
        };
        let [per_second, burst] = limits.packet_rate;
        config.protection = ProtectionConfig {
            packet_rate: Rate::new(per_second, burst),
            rate_action: match limits.rate_delays {
                true => RateAction::Delay,
                false => RateAction::Disconnect,
            },
            queued_bytes_max: Some(limits.queued_bytes),
            ..ProtectionConfig::default()
        };
        config.session.send_full_grace = Duration::from_millis(self.games.full_grace_ms as u64);
        if let Some(admission) = self.games.admission {
            let limits = &mut config.protection;
            limits.authentication = true;
            limits.authentication_timeout = Duration::from_millis(admission.time_ms as u64);
            limits.unauthenticated_frame_bytes_max = admission.frame_bytes;
            limits.unauthenticated_sessions_max = admission.sessions_max;
        }
        config.engine_config.chunks = limits.chunks;
        config.engine_config.chunk_bytes = limits.chunk_bytes;
        config
    }
}

impl Games {
    /// None of it.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            policies: [1, 0, 0, 0, 0],
            full_grace_ms: 1000,
            asks: 0,
            ask_ms: 100,
            admission: None,
        }
    }

    fn drawn(random: &mut Random) -> Self {
        if random.chance(500) {
            return Self::none();
        }
        Self {
            policies: swarm(random),
            full_grace_ms: [60, 300, 3000][random.below(3)],
            asks: [0, 100, 500][random.below(3)],
            ask_ms: [1, 100, 3000][random.below(3)],
            admission: random.chance(400).then(|| Admission {
                frame_bytes: [10, 40, 400][random.below(3)],
                time_ms: [100, 1000][random.below(2)],
                sessions_max: [0, 2, 1000][random.below(3)],
            }),
        }
    }
}

impl Limits {
    fn drawn(random: &mut Random) -> Self {
        let high = [100, 1000, 8000, 100_000][random.below(4)];
        let concurrent_max = [3, 12, 1000, 1000][random.below(4)];
        Self {
            chunks: random.between(2, 12) as u16,
            chunk_bytes: [7, 64, 500, 4096][random.below(4)],
            window: [1, 100, 2000, 50_000][random.below(4)],
            descriptors: [4, 10, 1000, 1000][random.below(4)],
            sessions_max: concurrent_max,
            send: [high / 2, high, high * random.between(1, 4) + 100],
            receive_high: [50, 1000, 50_000][random.below(3)],
            queued_bytes: [0, 0, 3000, 200_000][random.below(4)],
            packet_rate: [[0, 1], [0, 1], [5, 2], [200, 4]][random.below(4)],
            rate_delays: random.chance(700),
            times_ms: [
                [1000, 60_000][random.below(2)],
                [0, 0, 500][random.below(3)],
                [300, 20_000][random.below(2)],
                [200, 10_000][random.below(2)],
                [100, 2000][random.below(2)],
                [100, 2000][random.below(2)],
                [100, 5000][random.below(2)],
            ],
        }
    }
}

/// Weights of which a part is 0, and at least one is not.
fn swarm<const N: usize>(random: &mut Random) -> [u32; N] {
    let mut weights = [0; N];
    for weight in &mut weights {
        if random.chance(600) {
            *weight = random.between(1, 10) as u32;
        }
    }
    weights[random.below(N)] += 5;
    weights
}

fn some_chance(random: &mut Random) -> u16 {
    [0, 0, 0, 20, 100, 300, 700][random.below(7)]
}
