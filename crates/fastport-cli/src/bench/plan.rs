//! What a benchmark is to do, checked.

use crate::arguments::{BenchArguments, EngineChoice};
use crate::tls::ClientTls;
use fastport::{EngineKind, WaitStrategy};
use std::time::Duration;

/// The largest payload of a `BenchmarkRequest`: its response, with three time stamps more, must fit
/// a frame.
pub(crate) const MESSAGE_PAYLOAD_MAX: usize = 65_400;

/// A benchmark, ready to be run.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Plan {
    /// Its name in the results.
    pub(crate) test_name: String,
    /// What its sessions do.
    pub(crate) scenario: Scenario,
    /// Sessions at a time.
    pub(crate) sessions: usize,
    /// Least bytes of a payload.
    pub(crate) payload_min: usize,
    /// Most bytes of a payload.
    pub(crate) payload_max: usize,
    /// Payloads that are prepared.
    pub(crate) payload_pool: usize,
    /// Requests of each session before measuring.
    pub(crate) warmup: u64,
    /// How much is measured.
    pub(crate) extent: Extent,
    /// When a request is sent.
    pub(crate) pace: Pace,
    /// What is sent.
    pub(crate) kind: Kind,
    /// Of one in so many responses every byte is compared.
    pub(crate) verify: Option<u32>,
    /// Threads of the load generator.
    pub(crate) io_threads: usize,
    /// A run is given up when nothing comes back for so long.
    pub(crate) timeout: Duration,
    /// Engine of the load generator, or the best that there is.
    pub(crate) engine: Option<EngineKind>,
    /// How its threads wait.
    pub(crate) wait: WaitStrategy,
    /// Whether and how it connects with TLS.
    pub(crate) tls: ClientTls,
}

/// What the sessions of a run do.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub(crate) enum Scenario {
    /// They stay for the whole run.
    #[default]
    Steady,
    /// Each connects, sends one request, closes when it is answered, and another takes its place.
    Churn,
}

/// How much is measured.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) enum Extent {
    /// So many requests over all sessions.
    Requests(u64),
    /// Requests for so long.
    Time(Duration),
}

/// When a request is sent.
#[derive(Copy, Clone, PartialEq, Debug)]
pub(crate) enum Pace {
    /// Closed loop: a response makes room for the next; so many of a session are outstanding.
    Closed {
        /// Outstanding requests of a session.
        in_flight: usize,
    },
    /// Open loop: so many a second over all sessions, come what may.
    Open {
        /// Requests per second.
        rate: f64,
    },
}

/// What is sent.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// `BenchmarkRequest`, answered by `BenchmarkResponse`.
    Message,
    /// Raw echo, 0x0002.
    Raw,
}

impl Plan {
    /// The plan that the flags ask for.
    ///
    /// # Errors
    /// What is wrong with them, beyond what parsing refuses.
    pub(crate) fn new(arguments: &BenchArguments) -> Result<Self, String> {
        let fixed = arguments.payload.unwrap_or(64);
        let payload_min = arguments.payload_min.unwrap_or(fixed);
        let payload_max = arguments.payload_max.unwrap_or(fixed);
        if payload_min > payload_max {
            return Err(format!(
                "--payload-min {payload_min} is larger than --payload-max {payload_max}"
            ));
        }
        let kind = if arguments.raw {
            Kind::Raw
        } else {
            Kind::Message
        };
        if kind == Kind::Message && payload_max > MESSAGE_PAYLOAD_MAX {
            return Err(format!(
                "a payload of {payload_max} bytes does not fit a BenchmarkResponse: at most \
                 {MESSAGE_PAYLOAD_MAX}, or 65531 with --raw"
            ));
        }
        if arguments
            .duration
            .is_some_and(|duration| duration.is_zero())
        {
            return Err("--duration must be longer than 0".into());
        }
        let extent = match arguments.duration {
            Some(duration) => Extent::Time(duration),
            None => Extent::Requests(arguments.iterations.unwrap_or(100_000)),
        };
        let pace = match arguments.rate {
            Some(rate) => Pace::Open { rate },
            None => Pace::Closed {
                in_flight: arguments.inflight,
            },
        };
        let scenario = arguments.scenario;
        if scenario == Scenario::Churn && pace != (Pace::Closed { in_flight: 1 }) {
            return Err(
                "--scenario churn has one request a session: no --rate, no --inflight".into(),
            );
        }
        let EngineChoice(engine) = arguments.engine;
        Ok(Self {
            test_name: arguments
                .name
                .clone()
                .unwrap_or_else(|| test_name(scenario, kind, pace)),
            scenario,
            sessions: arguments.sessions,
            payload_min,
            payload_max,
            payload_pool: arguments.payload_pool,
            warmup: arguments.warmup,
            extent,
            pace,
            kind,
            verify: arguments.verify,
            io_threads: arguments.io_threads,
            timeout: arguments.timeout,
            engine,
            tls: ClientTls::default(),
            wait: arguments
                .wait
                .map_or_else(Default::default, WaitStrategy::from),
        })
    }

    /// Whether every byte of the response to request `sequence` of a session is compared.
    #[inline]
    pub(crate) fn verifies(&self, sequence: u32) -> bool {
        self.verify
            .is_some_and(|every| sequence.is_multiple_of(every))
    }

    /// Whether sessions that are warm go on until all are, so that measuring begins in the midst of
    /// the closed loop. A barrier instead would make all sessions send at once, and the longest
    /// latency that of this burst. Where requests are counted it stays: so many warm-up requests
    /// of each session, no more.
    #[inline]
    pub(crate) const fn goes_on_warm(&self) -> bool {
        matches!(
            (self.pace, self.extent),
            (Pace::Closed { .. }, Extent::Time(_))
        )
    }

    /// Measured requests, if that is what bounds the run.
    pub(crate) fn requests_max(&self) -> Option<u64> {
        match self.extent {
            Extent::Requests(requests) => Some(requests),
            Extent::Time(_) => None,
        }
    }

    /// One line that says what is run.
    pub(crate) fn summary(&self) -> String {
        let extent = match self.extent {
            Extent::Requests(requests) => format!("{requests} requests"),
            Extent::Time(time) => crate::quantity::show_duration(time),
        };
        let pace = match self.pace {
            _ if self.scenario == Scenario::Churn => "one a connection".into(),
            Pace::Closed { in_flight } => format!("closed loop, {in_flight} in flight a session"),
            Pace::Open { rate } => format!("open loop, {rate} requests/s"),
        };
        let payload = if self.payload_min == self.payload_max {
            format!("{} bytes", self.payload_min)
        } else {
            format!("{} to {} bytes", self.payload_min, self.payload_max)
        };
        format!(
            "{}: {} sessions, {payload}, {extent}, {pace}",
            self.test_name, self.sessions
        )
    }
}

impl Default for Plan {
    /// As without flags.
    fn default() -> Self {
        let (kind, pace) = (Kind::Message, Pace::Closed { in_flight: 1 });
        Self {
            test_name: test_name(Scenario::Steady, kind, pace),
            scenario: Scenario::Steady,
            sessions: 100,
            payload_min: 64,
            payload_max: 64,
            payload_pool: 1_024,
            warmup: 10,
            extent: Extent::Requests(100_000),
            pace,
            kind,
            verify: None,
            io_threads: 1,
            timeout: Duration::from_secs(10),
            engine: None,
            wait: WaitStrategy::Block,
            tls: ClientTls::default(),
        }
    }
}

fn test_name(scenario: Scenario, kind: Kind, pace: Pace) -> String {
    let kind = match kind {
        Kind::Message => "benchmark",
        Kind::Raw => "raw_echo",
    };
    match pace {
        _ if scenario == Scenario::Churn => format!("{kind}_churn"),
        Pace::Closed { in_flight: 1 } => format!("{kind}_closed"),
        Pace::Closed { in_flight } => format!("{kind}_closed_inflight_{in_flight}"),
        Pace::Open { rate } => format!("{kind}_open_{rate}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser;

    fn plan(flags: &str) -> Result<Plan, String> {
        let words = ["fastport", "bench"]
            .into_iter()
            .chain(flags.split_whitespace());
        match Arguments::try_parse_from(words).unwrap().command {
            Some(Command::Bench(bench)) => Plan::new(&bench),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_flags_give_the_default() {
        assert_eq!(plan(""), Ok(Plan::default()));
    }

    #[test]
    fn the_published_workload_can_be_asked_for() {
        let plan = plan(
            "--sessions 1000 --payload-min 4096 --payload-max 16384 --iterations 100000 \
             --warmup 10",
        )
        .unwrap();
        assert_eq!((plan.payload_min, plan.payload_max), (4_096, 16_384));
        assert_eq!(plan.extent, Extent::Requests(100_000));
        assert_eq!(plan.pace, Pace::Closed { in_flight: 1 });
    }

    #[test]
    fn a_rate_makes_an_open_loop() {
        let plan = plan("--rate 28000 --duration 5s --raw").unwrap();
        assert_eq!(plan.pace, Pace::Open { rate: 28_000.0 });
        assert_eq!(plan.extent, Extent::Time(Duration::from_secs(5)));
        assert_eq!(plan.test_name, "raw_echo_open_28000");
    }

    #[test]
    fn churn_has_one_request_a_session() {
        let churn = plan("--scenario churn --raw").unwrap();
        assert_eq!(churn.scenario, Scenario::Churn);
        assert_eq!(churn.test_name, "raw_echo_churn");
        for flags in ["--rate 10", "--inflight 2"] {
            let refused = plan(&format!("--scenario churn {flags}")).unwrap_err();
            assert!(refused.contains("one request a session"), "{refused}");
        }
    }

    #[test]
    fn all_responses_or_a_sample_can_be_verified() {
        let verified = |flags| {
            let plan = plan(flags).unwrap();
            (1..=32).filter(|sequence| plan.verifies(*sequence)).count()
        };
        assert_eq!(verified(""), 0);
        assert_eq!(verified("--verify"), 32);
        assert_eq!(verified("--verify=16"), 2);
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert!(
            plan("--payload-min 2 --payload-max 1")
                .unwrap_err()
                .contains("--payload-max 1")
        );
        assert!(
            plan("--payload 65401")
                .unwrap_err()
                .contains("at most 65400")
        );
        assert!(plan("--payload 65531 --raw").is_ok());
        assert!(plan("--duration 0").unwrap_err().contains("longer than 0"));
    }
}
