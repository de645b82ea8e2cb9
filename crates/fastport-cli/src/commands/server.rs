//! `fastport server`: listens, serves, drains on a signal.

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::quantity::show_count;
use crate::services::Services;
use crate::settings::ServerSettings;
use crate::{address, descriptors, logging, signals, terminal};
use fastport::{Dispatch, Error, IoService, StopReport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

/// Why the server is to end.
enum End {
    /// A signal asked for it.
    Signal,
    /// The service ended by itself, which only a failure makes it do.
    Service(Result<(), Error>),
}

/// Runs the server until a signal ends it.
///
/// # Errors
/// Wrong settings, an address that can not be listened on, a worker that failed.
pub(crate) fn run(arguments: &ServerArguments, log: Option<&str>) -> Result<(), Failure> {
    let settings = ServerSettings::resolve(arguments)?;
    let _log = logging::start(log, settings.log.as_deref().unwrap_or("info"))?;
    descriptors::raise_limit();
    let (end, ends) = channel();
    let signal = end.clone();
    // Before the service: a signal that comes while it starts must not be lost.
    signals::on_first(move || {
        // Nobody listens when the server is ending anyway.
        let _ = signal.send(End::Signal);
    })
    .map_err(|error| Failure::while_doing("cannot handle signals", error))?;
    let (service, address) = start(&settings)?;
    terminal::say(ready_line(&service, address));
    let report = thread::scope(|scope| {
        scope.spawn(|| end.send(End::Service(service.wait())));
        let end = ends.recv().unwrap_or(End::Service(Ok(())));
        if matches!(end, End::Signal) {
            tracing::info!(sessions = service.sessions(), "stopping: draining sessions");
        }
        // Ends the waiting thread as well.
        let mut report = service.stop(settings.drain_timeout);
        if let End::Service(Err(failure)) = end {
            report.failure = Some(failure);
        }
        report
    });
    terminal::say(report_line(&report));
    report
        .failure
        .map_or(Ok(()), |failure| Err(Failure::Defect(failure.to_string())))
}

/// Starts to serve. Returns the address, with the port that the system chose for port 0.
///
/// # Errors
/// Wrong settings, an engine that this machine does not permit, an address that can not be listened
/// on.
pub(crate) fn start(settings: &ServerSettings) -> Result<(IoService, SocketAddr), Failure> {
    let address = address::resolve(&settings.listen)?;
    let service = IoService::start(settings.service_config())?;
    let address = service.listen(address, Arc::new(Services))?;
    tracing::info!(engine = %service.engine(), reason = service.engine_reason(), "engine chosen");
    Ok((service, address))
}

/// The line that tells that connections are taken.
pub(crate) fn ready_line(service: &IoService, address: SocketAddr) -> String {
    let config = service.config();
    let dispatch = match config.dispatch {
        Dispatch::Inline => "inline",
        Dispatch::Pool { .. } => "pool",
    };
    let (engine, workers) = (service.engine(), config.workers);
    format!("listening on {address} engine={engine} workers={workers} dispatch={dispatch}")
}

/// The line that tells how it was.
fn report_line(report: &StopReport) -> String {
    let stats = &report.stats;
    format!(
        "stopped after {:.1} s: {} sessions served, {} were drained in {:.3} s, \
         {} packets in {} sends",
        report.uptime.as_secs_f64(),
        show_count(stats.accepted),
        show_count(report.sessions_at_stop as u64),
        report.took.as_secs_f64(),
        show_count(stats.packets_in),
        show_count(stats.sends),
    )
}
