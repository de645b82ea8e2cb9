//! What a seed decides before a run begins.

use fastport::{Dispatch, EngineConfig, ServiceConfig, WorkerFailure};
use fastport_testkit::faulty_engine::faults::Faults;
use fastport_testkit::random::Random;
use std::time::Duration;

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) config: ServiceConfig,
    pub(crate) faults: Faults,
    /// The worker whose queue of completions is lost, and after how many turns.
    pub(crate) lost: Option<(usize, u64)>,
    pub(crate) clients: u32,
    /// Frames that each client sends.
    pub(crate) frames: u32,
    /// Connections that the service makes to itself.
    pub(crate) connects: u32,
    /// Packets after which a session is kicked by another thread, and how often.
    pub(crate) kick_every: usize,
    pub(crate) kicks: usize,
    /// Packets after which the service stops, whoever is there; otherwise when all are done.
    pub(crate) stops_after: Option<usize>,
}

impl Plan {
    pub(crate) fn of_seed(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let faults = Faults::hard(&mut random);
        let config = config(&mut random);
        let lost = random.chance(250).then(|| {
            // Most runs have some dozens of turns.
            let most = 1 << random.between(2, 9);
            let turns = 2 + random.below(most);
            (random.below(config.workers), turns as u64)
        });
        let clients = random.between(2, 12) as u32;
        let frames = random.between(5, 80) as u32;
        let all = (clients * frames) as usize;
        Self {
            seed,
            config,
            faults,
            lost,
            clients,
            frames,
            connects: random.below(6) as u32,
            kick_every: random.between(1, all / 2),
            kicks: random.below(4),
            stops_after: random.chance(400).then(|| random.below(all)),
        }
    }

    /// The faults of a worker's engine.
    pub(crate) fn faults_of(&self, worker: usize) -> Faults {
        let lost = self.lost.filter(|(index, _)| *index == worker);
        Faults {
            lost_after: lost.map(|(_, turns)| turns),
            ..self.faults.clone()
        }
    }
}

fn config(random: &mut Random) -> ServiceConfig {
    let mut config = ServiceConfig {
        workers: random.between(1, 2),
        dispatch: match random.chance(500) {
            true => Dispatch::Inline,
            false => Dispatch::Pool { workers: 2 },
        },
        worker_failure: match random.chance(500) {
            true => WorkerFailure::Stop,
            false => WorkerFailure::GoOn,
        },
        engine_config: EngineConfig {
            chunk_bytes: 1024 << random.below(3),
            chunks: 4 << random.below(4),
            receive_budget: 2048 << random.below(4),
            ..EngineConfig::default()
        },
        sessions_max: 200,
        ..ServiceConfig::default()
    };
    config.session.send_high_watermark = 4096 << random.below(5);
    config.session.send_low_watermark = config.session.send_high_watermark / 2;
    config.session.announce_close = random.chance(300);
    // Peers are honest: none of these is to be the end of a session.
    let long = Duration::from_secs(30);
    config.session.flush_timeout = long;
    config.session.linger_timeout = long;
    config.session.write_stall_timeout = long;
    config
}
