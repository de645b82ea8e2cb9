//! `fastport status`: how a server does, once or live.

use crate::arguments::StatusArguments;
use crate::commands::admin::connect;
use crate::failure::Failure;
use crate::quantity::{show_count, show_ns};
use crate::{dashboard, terminal};
use fastport_admin::client::AdminClient;
use fastport_admin::model::Status;
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
         packets    {} received, {:.0} a second\n\
         bytes      {} in, {} out\n\
         handlers   p50 {}, p99 {}\n\
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
        show_count(totals.bytes_in),
        show_count(totals.bytes_out),
        show_ns(status.handler.p50_us * 1e3),
        show_ns(status.handler.p99_us * 1e3),
        show_count(status.queues.send_bytes),
        show_count(status.queues.pool_sessions),
        show_count(status.queues.mailboxes),
        reasons(&status.disconnects),
        reasons(&status.rejects),
    )
}
