//! The keys of `[server]`.

use super::{Field, Key, Reload, count, lasting, plain, quoted, size, small, text, time, word};
use crate::arguments::{DispatchKind, parse_engine};
use fastport::{EngineKind, WaitStrategy, WorkerFailure};
use std::time::Duration;

const ENGINES: &[&str] = &["auto", "io_uring", "poll", "iocp"];

pub(super) static KEYS: &[Key] = &[
    Key::new(
        "server",
        "listen",
        |s| quoted(&s.listen),
        text("an address with a port", |s, v| s.listen = v.into()),
    )
    .about("Where to listen: an address or a name, with a port; port 0 lets the system choose."),
    Key::new(
        "server",
        "workers",
        |s| plain(s.service.workers),
        count(1, 1_024, |s, v| s.service.workers = size(v)),
    )
    .about("I/O workers, each a thread with its own completion queue; by default one a core."),
    Key::new(
        "server",
        "engine",
        |s| quoted(s.service.engine.map_or("auto", EngineKind::name)),
        word(ENGINES, |s, v| {
            s.service.engine = parse_engine(v).ok().and_then(|choice| choice.0);
        }),
    )
    .about("How sockets are served; auto takes the best that the machine permits."),
    Key::new(
        "server",
        "dispatch",
        |s| {
            quoted(match s.dispatch {
                DispatchKind::Inline => "inline",
                DispatchKind::Pool => "pool",
            })
        },
        word(&["inline", "pool"], |s, v| {
            s.dispatch = if v == "pool" {
                DispatchKind::Pool
            } else {
                DispatchKind::Inline
            };
        }),
    )
    .about("Where handlers run: inline on the I/O workers, or on a pool that may block."),
    Key::new(
        "server",
        "event_workers",
        |s| s.event_workers.and_then(plain),
        count(1, 1_024, |s, v| s.event_workers = Some(size(v))),
    )
    .about("Threads of the pool, with dispatch = \"pool\"; by default one a core."),
    Key::new(
        "server",
        "wait",
        |s| {
            quoted(match s.service.wait {
                WaitStrategy::Block => "block",
                WaitStrategy::Spin => "spin",
                WaitStrategy::Adaptive => "adaptive",
            })
        },
        word(&["block", "spin", "adaptive"], |s, v| {
            s.service.wait = match v {
                "spin" => WaitStrategy::Spin,
                "adaptive" => WaitStrategy::Adaptive,
                _ => WaitStrategy::Block,
            };
        }),
    )
    .about(
        "How an I/O worker waits: it sleeps, looks again for a while first, or does while it pays.",
    ),
    Key::new(
        "server",
        "worker_failure",
        |s| {
            quoted(match s.service.worker_failure {
                WorkerFailure::Stop => "stop",
                WorkerFailure::GoOn => "go_on",
            })
        },
        word(&["stop", "go_on"], |s, v| {
            s.service.worker_failure = match v {
                "go_on" => WorkerFailure::GoOn,
                _ => WorkerFailure::Stop,
            };
        }),
    )
    .about(
        "What happens when a worker dies: the process ends, with status 70, or the others go on.",
    ),
    Key::new(
        "server",
        "spin_limit",
        |s| lasting(s.service.spin_limit),
        Field::Time {
            least: Duration::from_micros(1),
            most: Duration::from_millis(10),
            set: |s, v| s.service.spin_limit = v,
        },
    )
    .about("For how long it looks again before it sleeps; not used by \"block\"."),
    Key::new(
        "server",
        "max_sessions",
        |s| plain(s.service.sessions_max),
        count(1, 10_000_000, |s, v| s.service.sessions_max = size(v)),
    )
    .about("Sessions at a time; connections above it are closed at once.")
    .reload(Reload::Now),
    Key::new(
        "server",
        "backlog",
        |s| plain(s.service.backlog),
        count(1, 65_535, |s, v| s.service.backlog = small(v)),
    )
    .about("Connections that the kernel keeps before they are accepted."),
    Key::new(
        "server",
        "accepts_posted",
        |s| plain(s.service.accepts_posted),
        count(1, 4_096, |s, v| {
            s.service.accepts_posted = u16::try_from(v).unwrap_or(u16::MAX);
        }),
    )
    .about("Accepts posted in advance over all workers (iocp)."),
    Key::new(
        "server",
        "defer_accept",
        |s| lasting(s.service.defer_accept),
        Field::Time {
            least: Duration::ZERO,
            most: Duration::from_secs(60),
            set: |s, v| s.service.defer_accept = v,
        },
    )
    .about(
        "How long a connection waits for its first bytes before it is accepted without (Linux); \
         for clients that speak first.",
    ),
    Key::new(
        "server",
        "drain_timeout",
        |s| lasting(s.drain_timeout),
        time(Duration::ZERO, |s, v| s.drain_timeout = v),
    )
    .about("How long a stop waits for sessions to finish.")
    .reload(Reload::Now),
];
