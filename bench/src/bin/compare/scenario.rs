//! The workloads, by the names that the performance document uses.

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
    /// As S3, with protobuf messages on both sides; the limit has none.
    S3P,
    /// 100 sessions, 64 bytes, 30,000 requests a second, whether or not answers come.
    S4,
    /// 100 sessions, 64 bytes.
    S7,
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
            Self::S7 => "100 sessions, 64 bytes",
        }
    }

    /// Whether payloads are bytes that no server decodes.
    pub(crate) const fn is_raw(self) -> bool {
        !matches!(self, Self::S3P)
    }

    /// The load generator's flags.
    pub(crate) const fn flags(self) -> &'static [&'static str] {
        match self {
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
            Self::S4 => &[
                "--sessions",
                "100",
                "--payload",
                "64",
                "--rate",
                "30000",
                // A load generator that sleeps would count its own waking.
                "--wait",
                "spin",
            ],
            Self::S7 => &["--sessions", "100", "--payload", "64"],
        }
    }
}
