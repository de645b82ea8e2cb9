//! `fastport status`: how a server does, once or live.

use crate::arguments::StatusArguments;
use crate::commands::admin::connect;
use crate::failure::Failure;
use crate::quantity::{show_count, show_ns};
use crate::{dashboard, terminal};
use fastport_admin::client::AdminClient;
use fastport_admin::model::{HandlerTimes, Status, Totals};
use std::io::{IsTerminal, stdout};
use std::thread::park_timeout;
use std::time::Duration;

/// Samples are made once a second.
const PERIOD: Duration = Duration::from_secs(1);

/// Shows it.
///
/// # Errors
/// No server there, a server that refuses, no terminal for a dashboard.
pub(crate) fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    let client = connect(&arguments.target)?;
    match (arguments.watch, arguments.json) {
        (true, true) => loop {
            say_json(&client)?;
            // Nobody unparks this thread; an early return shows a line more.
            park_timeout(PERIOD);
        },
        (true, false) if !stdout().is_terminal() => Err(Failure::Usage(
            "--watch needs a terminal; use --watch --json for a line a second".into(),
        )),
        (true, false) => dashboard::run(&client),
        (false, true) => say_json(&client),
        (false, false) => {
            terminal::say(text(&client.status()?));
            Ok(())
        }
    }
}

fn say_json(client: &AdminClient) -> Result<(), Failure> {
    let status = serde_json::to_string(&client.status()?);
    terminal::say(status.map_err(|error| Failure::Runtime(error.to_string()))?);
    Ok(())
}

/// The most important of it, for people.
fn text(status: &Status) -> String {
    let (totals, rates) = (&status.totals, &status.rates);
    let reasons = |counts: &std::collections::BTreeMap<String, u64>| {
        let shown = counts
            .iter()
            .map(|(name, count)| format!("{name} {}", show_count(*count)));
        let shown: Vec<_> = shown.collect();
        if shown.is_empty() {
            "none".into()
        } else {
            shown.join(", ")
        }
    };
    format!(
        "fastport {} on {}, up {} s{}\n\
         sessions   {} now, {} accepted, {} ended\n\
         packets    {} received, {:.0} a second{}\n\
         bytes      {} in, {} out\n\
         handlers   {}\n\
         queues     {} bytes for peers, {} sessions for the pool, {} commands\n\
         ended      {}\n\
         refused    {}",
        status.version,
        status.engine,
        status.uptime_ms / 1000,
        if status.draining { ", draining" } else { "" },
        show_count(status.sessions),
        show_count(totals.accepted),
        show_count(totals.ended),
        show_count(totals.packets_in),
        rates.packets_in,
        unhandled(totals).map_or(String::new(), |line| format!("\nunhandled  {line}")),
        show_count(totals.bytes_in),
        show_count(totals.bytes_out),
        handler_times(&status.handler),
        show_count(status.queues.send_bytes),
        show_count(status.queues.pool_sessions),
        show_count(status.queues.mailboxes),
        reasons(&status.disconnects),
        reasons(&status.rejects),
    )
}

/// How long handlers took in the last second.
pub(crate) fn handler_times(times: &HandlerTimes) -> String {
    if times.samples == 0 {
        return "none yet".into();
    }
    // Of some batches only: that none was timed does not mean that no packet came.
    if times.p99_us == 0.0 {
        return "none timed in the last second".into();
    }
    let (p50, p99) = (times.p50_us * 1e3, times.p99_us * 1e3);
    format!("p50 {}, p99 {}", show_ns(p50), show_ns(p99))
}

/// How many packets nothing handled and what that means; `None` when there were none.
pub(crate) fn unhandled(totals: &Totals) -> Option<String> {
    let count = totals.unhandled;
    (count > 0).then(|| {
        format!(
            "{} packets have ids without a handler; the log names them",
            show_count(count)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_server_has_no_handler_times_yet() {
        let text = text(&Status::default());
        assert!(text.contains("handlers   none yet"), "{text}");
        assert!(!text.contains("unhandled"), "{text}");
    }

    #[test]
    fn unhandled_packets_are_told_with_what_they_mean() {
        let mut status = Status::default();
        status.totals.unhandled = 1234;
        let text = text(&status);
        let line = "\nunhandled  1,234 packets have ids without a handler; the log names them";
        assert!(text.contains(line), "{text}");
    }
}
