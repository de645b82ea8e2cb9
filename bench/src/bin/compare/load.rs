//! Runs the load generator against one server and reads what both did.

use crate::scenario::Scenario;
use crate::server::Server;
use fastport_bench::cores::on_core;
use fastport_bench::process;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

/// How the load generator runs.
pub(crate) struct Load {
    pub(crate) program: PathBuf,
    pub(crate) core: usize,
    pub(crate) duration: String,
    pub(crate) warmup: u32,
}

/// One server in one round.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Measurement {
    pub(crate) messages_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
    /// Processor time of the server for each message, warm-up included.
    pub(crate) server_time_ns: f64,
    pub(crate) server_peak_bytes: u64,
}

impl Load {
    /// Runs the scenario; a lost session makes the whole run a failure.
    pub(crate) fn run(&self, scenario: Scenario, server: &Server) -> Result<Measurement, String> {
        let readable = |error: std::io::Error| error.to_string();
        let before = process::processor_time(server.pid()).map_err(readable)?;
        let output = self.start(scenario, server).map_err(readable)?;
        let after = process::processor_time(server.pid()).map_err(readable)?;
        let memory = process::memory(server.pid()).map_err(readable)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{}: {}", output.status, said.trim()));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        let report = Report::parse(&said)?;
        Ok(Measurement {
            messages_per_second: report.messages_per_second,
            p50: report.p50,
            p99: report.p99,
            max: report.max,
            server_time_ns: (after - before).as_nanos() as f64 / report.responses,
            server_peak_bytes: memory.peak_bytes,
        })
    }

    fn start(&self, scenario: Scenario, server: &Server) -> std::io::Result<Output> {
        let mut command = Command::new(&self.program);
        command
            .args(["bench", "--json", "--io-threads", "1"])
            .args(scenario.is_raw().then_some("--raw"))
            .args(["--connect", &server.address.to_string()])
            .args(["--duration", &self.duration])
            .args(["--warmup", &self.warmup.to_string()])
            .args(scenario.flags())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        on_core(self.core, || command.spawn())?.wait_with_output()
    }
}

/// What the load generator says.
struct Report {
    messages_per_second: f64,
    p50: Duration,
    p99: Duration,
    max: Duration,
    /// Of warm-up and measurement.
    responses: f64,
}

impl Report {
    fn parse(text: &str) -> Result<Self, String> {
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
        let responses = number("warmup_responses")? + number("measured_responses")?;
        if responses < 1.0 {
            return Err("nothing was answered".to_owned());
        }
        Ok(Self {
            messages_per_second: number("packets_per_sec")?,
            p50: time("p50_latency_ns")?,
            p99: time("p99_latency_ns")?,
            max: time("max_latency_ns")?,
            responses,
        })
    }
}

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
        let report = Report::parse(&report(0, 7)).unwrap();
        assert!((report.messages_per_second - 1000.5).abs() < 1e-9);
        assert_eq!(report.p99, Duration::from_nanos(3000));
    }

    #[test]
    fn a_loss_no_answer_and_a_missing_number_are_failures() {
        assert!(Report::parse(&report(1, 7)).is_err());
        assert!(Report::parse(&report(0, 0)).is_err());
        assert!(Report::parse("{}").is_err());
        assert!(Report::parse("").is_err());
    }
}
