//! Puts one server under a scenario's load and meters what both sides spend on it.

use crate::measurement::{Latency, Measurement};
use crate::open_loop::OpenLoop;
use crate::scenario::{Scenario, Work};
use crate::server::Server;
use crate::{fan_out, memory};
use fastport_bench::cores::on_core;
use fastport_bench::process;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The time of a load: the only place that reads the clock.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// How the load generator runs.
pub(crate) struct Load {
    pub(crate) program: PathBuf,
    pub(crate) core: usize,
    pub(crate) duration: Duration,
    pub(crate) warmup: u32,
}

impl Load {
    /// Runs the scenario; a lost session makes the whole run a failure.
    pub(crate) fn run(&self, scenario: Scenario, server: &Server) -> Result<Measurement, String> {
        let readable = |error: std::io::Error| error.to_string();
        match scenario.work() {
            Work::Bench(flags) => {
                let raw: &[&str] = if scenario.is_raw() { &["--raw"] } else { &[] };
                let metered = Metered::run(server, || self.bench(server, &[raw, flags].concat()))?;
                Ok(metered.measurement())
            }
            Work::Idle { sessions } => {
                let measure = || memory::measure(server, sessions);
                on_core(self.core, measure).map_err(readable)
            }
            Work::OpenLoop {
                sessions,
                payload,
                per_second,
            } => {
                let opened = || OpenLoop::open(server.address, sessions, payload, per_second);
                let mut open_loop = on_core(self.core, opened).map_err(readable)?;
                let warmup = self.warmup as usize * sessions;
                let ask = || open_loop.run(warmup, self.duration);
                let metered = Metered::run(server, || on_core(self.core, ask).map_err(readable))?;
                Ok(metered.measurement())
            }
            Work::FanOut { sessions, payload } => {
                let opened = || fan_out::Receivers::open(server.address, sessions, payload);
                let mut receivers = on_core(self.core, opened).map_err(readable)?;
                let deliver = || receivers.run(self.duration);
                let metered =
                    Metered::run(server, || on_core(self.core, deliver).map_err(readable))?;
                Ok(metered.measurement())
            }
        }
    }

    fn bench(&self, server: &Server, flags: &[&str]) -> Result<Done, String> {
        let output = self
            .start(server, flags)
            .map_err(|error| error.to_string())?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {}", output.status, said.trim()));
        }
        parse(&String::from_utf8_lossy(&output.stdout))
    }

    fn start(&self, server: &Server, flags: &[&str]) -> std::io::Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(["bench", "--json", "--io-threads", "1", VERIFY])
            .args(["--connect", &server.address.to_string()])
            .args(["--duration", &format!("{}ms", self.duration.as_millis())])
            .args(["--warmup", &self.warmup.to_string()])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        on_core(self.core, || command.spawn())?.wait_with_output()
    }
}

/// What a load has done.
pub(crate) struct Done {
    pub(crate) per_second: f64,
    pub(crate) latency: Option<Latency>,
    /// Messages, connections or deliveries in all, warm-up included.
    pub(crate) count: f64,
}

/// What a load has done, and the processor time of both sides for it.
struct Metered {
    done: Done,
    server: Duration,
    load: Duration,
    server_peak_bytes: u64,
}

impl Metered {
    fn run(server: &Server, load: impl FnOnce() -> Result<Done, String>) -> Result<Self, String> {
        let readable = |error: std::io::Error| error.to_string();
        let times = || {
            let server = process::processor_time(server.pid())?;
            Ok((server, process::own_time_with_children()?))
        };
        let (server_before, load_before) = times().map_err(readable)?;
        let done = load()?;
        let (server_after, load_after) = times().map_err(readable)?;
        if done.count < 1.0 {
            return Err("nothing was answered".to_owned());
        }
        let memory = process::memory(server.pid()).map_err(readable)?;
        Ok(Self {
            done,
            server: server_after.saturating_sub(server_before),
            load: load_after.saturating_sub(load_before),
            server_peak_bytes: memory.peak_bytes,
        })
    }

    fn measurement(&self) -> Measurement {
        let each = |time: Duration| Some(time.as_nanos() as f64 / self.done.count);
        Measurement {
            per_second: Some(self.done.per_second),
            latency: self.done.latency,
            server_time_ns: each(self.server),
            load_time_ns: each(self.load),
            server_peak_bytes: Some(self.server_peak_bytes as f64),
            session_bytes: None,
        }
    }
}

/// What the load generator says.
fn parse(text: &str) -> Result<Done, String> {
    let json: Value = serde_json::from_str(text.trim()).map_err(|error| error.to_string())?;
    let number = |key: &str| {
        let value = json.get(key).and_then(Value::as_f64);
        value.ok_or_else(|| format!("the report has no number {key}"))
    };
    let losses = number("connection_losses")?;
    if losses > 0.0 {
        return Err(format!("{losses} sessions lost"));
    }
    let time = |key| number(key).map(|nanos| Duration::from_nanos(nanos as u64));
    Ok(Done {
        per_second: number("packets_per_sec")?,
        latency: Some(Latency {
            p50: time("p50_latency_ns")?,
            p99: time("p99_latency_ns")?,
            max: time("max_latency_ns")?,
        }),
        count: number("warmup_responses")? + number("measured_responses")?,
    })
}

/// Every byte of every sixteenth answer is compared with what was sent.
const VERIFY: &str = "--verify=16";

#[cfg(test)]
mod tests {
    use super::*;

    fn report(losses: u32, responses: u32) -> String {
        format!(
            r#"{{"packets_per_sec": 1000.5, "p50_latency_ns": 2000, "p99_latency_ns": 3000,
            "max_latency_ns": 4000,
            "connection_losses": {losses}, "warmup_responses": 0,
            "measured_responses": {responses}}}"#
        )
    }

    #[test]
    fn a_report_is_read() {
        let done = parse(&report(0, 7)).unwrap();
        assert!((done.per_second - 1000.5).abs() < 1e-9);
        assert!((done.count - 7.0).abs() < 1e-9);
        assert_eq!(done.latency.unwrap().p99, Duration::from_nanos(3000));
    }

    #[test]
    fn a_loss_and_a_missing_number_are_failures() {
        assert!(parse(&report(1, 7)).is_err());
        assert!(parse("{}").is_err());
        assert!(parse("").is_err());
    }
}
