//! What one server did in one round, as figures that a table may ask for.

use std::time::Duration;

/// One server in one round. What a workload does not measure is not there.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Measurement {
    /// Messages, connections or deliveries.
    pub(crate) per_second: Option<f64>,
    pub(crate) latency: Option<Latency>,
    /// Processor time of the server for each, warm-up included.
    pub(crate) server_time_ns: Option<f64>,
    /// Processor time of the load generator for each.
    pub(crate) load_time_ns: Option<f64>,
    pub(crate) server_peak_bytes: Option<f64>,
    /// Resident bytes of an idle session.
    pub(crate) session_bytes: Option<f64>,
}

/// From sending a request to its answer.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

/// A figure of a measurement.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Metric {
    PerSecond,
    P50,
    P99,
    Max,
    MaxToP50,
    ServerTime,
    LoadTime,
    Peak,
    SessionBytes,
}

impl Metric {
    /// The heading of its column, with the unit, and the decimals that are shown.
    pub(crate) const fn heading(self) -> (&'static str, usize) {
        match self {
            Self::PerSecond => ("per second", 0),
            Self::P50 => ("p50 µs", 0),
            Self::P99 => ("p99 µs", 0),
            Self::Max => ("max µs", 0),
            Self::MaxToP50 => ("max/p50", 1),
            Self::ServerTime => ("CPU µs", 3),
            Self::LoadTime => ("load CPU µs", 3),
            Self::Peak => ("peak MiB", 1),
            Self::SessionBytes => ("bytes a session", 0),
        }
    }

    /// Its short name where it is compared.
    pub(crate) const fn compared(self) -> &'static str {
        match self {
            Self::PerSecond => "rate",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Max => "max",
            Self::MaxToP50 => "max/p50",
            Self::ServerTime => "CPU",
            Self::LoadTime => "load CPU",
            Self::Peak => "peak",
            Self::SessionBytes => "bytes",
        }
    }

    /// The figure, in the unit of the heading.
    pub(crate) fn of(self, measured: &Measurement) -> Option<f64> {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let latency = measured.latency;
        match self {
            Self::PerSecond => measured.per_second,
            Self::P50 => latency.map(|latency| micros(latency.p50)),
            Self::P99 => latency.map(|latency| micros(latency.p99)),
            Self::Max => latency.map(|latency| micros(latency.max)),
            Self::MaxToP50 => latency.map(|latency| micros(latency.max) / micros(latency.p50)),
            Self::ServerTime => measured.server_time_ns.map(|time| time / 1e3),
            Self::LoadTime => measured.load_time_ns.map(|time| time / 1e3),
            Self::Peak => measured.server_peak_bytes.map(|bytes| bytes / MEBIBYTE),
            Self::SessionBytes => measured.session_bytes,
        }
    }
}

const MEBIBYTE: f64 = 1_048_576.0;
