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
            Self::S7 => "100 sessions, 64 bytes",
        }
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
            Self::S3 => &["--sessions", "100", "--payload", "64", "--inflight", "64"],
            Self::S7 => &["--sessions", "100", "--payload", "64"],
        }
    }
}
