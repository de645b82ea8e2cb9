//! The workloads, by the names that the performance document uses.

use crate::measurement::Metric;
use clap::ValueEnum;

#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum Scenario {
    /// 1,000 sessions, 4,096 to 16,384 random bytes.
    S1,
    /// 1,000 sessions, 64 bytes.
    S2,
    /// 100 sessions, 64 bytes, 64 requests outstanding on each.
    S3,
    /// As S3, with protobuf messages on both sides.
    S3P,
    /// 100 sessions, 64 bytes, 30,000 requests a second, whether or not answers come.
    S4,
    /// 15,000 sessions, idle after one echo each.
    S5,
    /// Connect, echo 64 bytes, close; 100 at a time.
    S6,
    /// 100 sessions, 64 bytes.
    S7,
    /// 500 sessions, 64 bytes: few beside thousands that are idle.
    S8,
    /// One message of 200 bytes to each of 10,000 sessions.
    #[value(name = "FANOUT")]
    FanOut,
}

/// How a scenario is run.
pub(crate) enum Work {
    /// `fastport bench` with these flags.
    Bench(&'static [&'static str]),
    /// Sessions that are opened, echo once and stay.
    Idle { sessions: usize },
    /// Requests at their times, whether or not answers come.
    OpenLoop {
        sessions: usize,
        payload: usize,
        per_second: u32,
    },
    /// A message to every session.
    FanOut { sessions: usize, payload: usize },
}

impl Scenario {
    /// What it is, for a heading.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::S1 => "1,000 sessions, 4,096 to 16,384 bytes",
            Self::S2 => "1,000 sessions, 64 bytes",
            Self::S3 => "100 sessions, 64 bytes, 64 in flight on each",
            Self::S3P => "100 sessions, 64 bytes, 64 in flight on each, protobuf",
            Self::S4 => "100 sessions, 64 bytes, 30,000 requests a second (open loop)",
            Self::S5 => "15,000 sessions, idle after one echo each",
            Self::S6 => "connect, echo 64 bytes, close; 100 at a time",
            Self::S7 => "100 sessions, 64 bytes",
            Self::S8 => "500 sessions, 64 bytes",
            Self::FanOut => "one message of 200 bytes to each of 10,000 sessions",
        }
    }

    /// Whether payloads are bytes that no server decodes.
    pub(crate) const fn is_raw(self) -> bool {
        !matches!(self, Self::S3P)
    }

    /// What is counted a second, and what processor time is for.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::S6 => "connection",
            Self::FanOut => "delivery",
            _ => "message",
        }
    }

    /// What the servers are measured by: less is better.
    pub(crate) const fn cost(self) -> Metric {
        match self {
            Self::S5 => Metric::SessionBytes,
            _ => Metric::ServerTime,
        }
    }

    /// The figures of the table.
    pub(crate) const fn metrics(self) -> &'static [Metric] {
        use Metric::{
            LoadTime, Max, MaxToP50, P50, P99, Peak, PerSecond, ServerTime, SessionBytes,
        };
        match self {
            Self::S5 => &[SessionBytes, Peak],
            Self::FanOut => &[PerSecond, ServerTime, LoadTime, Peak],
            _ => &[
                PerSecond, P50, P99, Max, MaxToP50, ServerTime, LoadTime, Peak,
            ],
        }
    }

    /// The figures that are compared with the references.
    pub(crate) const fn compared(self) -> &'static [Metric] {
        match self {
            Self::S5 => &[Metric::SessionBytes],
            Self::FanOut => &[Metric::PerSecond, Metric::ServerTime],
            Self::S4 => &[Metric::P50, Metric::P99, Metric::ServerTime],
            _ => &[Metric::PerSecond, Metric::P99, Metric::ServerTime],
        }
    }

    /// How it is run.
    pub(crate) const fn work(self) -> Work {
        Work::Bench(match self {
            Self::S4 => {
                return Work::OpenLoop {
                    sessions: 100,
                    payload: 64,
                    per_second: 30_000,
                };
            }
            Self::S5 => return Work::Idle { sessions: 15_000 },
            Self::FanOut => {
                return Work::FanOut {
                    sessions: 10_000,
                    payload: 200,
                };
            }
            Self::S1 => &[
                "--sessions",
                "1000",
                "--payload-min",
                "4096",
                "--payload-max",
                "16384",
            ],
            Self::S2 => &["--sessions", "1000", "--payload", "64"],
            Self::S3 | Self::S3P => &["--sessions", "100", "--payload", "64", "--inflight", "64"],
            Self::S6 => &[
                "--scenario",
                "churn",
                "--sessions",
                "100",
                "--payload",
                "64",
            ],
            Self::S7 => &["--sessions", "100", "--payload", "64"],
            Self::S8 => &["--sessions", "500", "--payload", "64"],
        })
    }
}
