//! A server from its start to the end of its drain, told step by step to whoever supervises it.
//!
//! Runs on the thread that calls [`serve`]: it starts the I/O service, waits for the order to stop
//! or for a failure, and drains.

use crate::arguments::ServerArguments;
use crate::failure::Failure;
use crate::logging::LogControl;
use crate::quantity::show_count;
use crate::services::{Resuming, Services};
use crate::settings::ServerSettings;
use crate::settings::written::{Changes, changes};
use crate::signals::Urgency;
use crate::tls::ServerTls;
use crate::{address, administration, terminal};
use fastport::{Dispatch, Error, Handler, IoService, StopReport};
use fastport_admin::AdminServer;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// How often a supervisor hears that a drain goes on.
const DRAIN_BEAT: Duration = Duration::from_secs(1);

/// Who is told how the server fares: a terminal, or the system's service manager. The methods are
/// called on the thread that serves.
pub(crate) trait Supervisor {
    /// A line for whoever reads along.
    fn tell(&self, line: &str) {
        terminal::say(line);
    }

    /// How often [`Supervisor::serving`] is to be called; never by default.
    fn beat(&self) -> Option<Duration> {
        None
    }

    /// Connections are taken.
    fn listening(&self, _service: &IoService, _address: SocketAddr) {}

    /// The server still serves.
    fn serving(&self, _service: &IoService) {}

    /// The drain has begun, or goes on, and takes no longer than `left` from now.
    fn draining(&self, _service: &IoService, _left: Duration) {}
}

/// What happens to a server from outside, and what its threads tell.
pub(crate) enum News {
    /// It is to stop.
    Stop(Urgency),
    /// It is to read its settings again, and to tell whoever asked how that went.
    Reload(Option<Sender<Result<Changes, String>>>),
    /// The service has ended; by itself, only a failure makes it do that.
    Ended(Result<(), Error>),
    /// The drain is done.
    Drained(Box<StopReport>),
}

/// Where a server hears news. Made before the server, so that an order to stop that comes while it
/// starts is not lost.
pub(crate) struct NewsBox {
    sender: Sender<News>,
    receiver: Receiver<News>,
}

impl NewsBox {
    /// Makes an empty one.
    pub(crate) fn new() -> Self {
        let (sender, receiver) = channel();
        Self { sender, receiver }
    }

    /// What whoever may stop the server keeps. Calling it for a server that has ended is harmless.
    pub(crate) fn stopper(&self) -> impl Fn(Urgency) + Send + Sync + 'static {
        let sender = self.sender.clone();
        move |urgency| {
            // Nobody listens when the server has ended.
            let _ = sender.send(News::Stop(urgency));
        }
    }

    /// What whoever may have the settings read again keeps. Returns at once.
    pub(crate) fn reloader(&self) -> impl Fn() + Send + Sync + 'static {
        let sender = self.sender.clone();
        move || {
            let _ = sender.send(News::Reload(None));
        }
    }

    /// The next news, or `None` when nothing came within `limit`.
    fn next(&self, limit: Option<Duration>) -> Option<News> {
        match limit {
            Some(limit) => self.receiver.recv_timeout(limit).ok(),
            None => self.receiver.recv().ok(),
        }
    }
}

/// What a server is to do, and what that was made from.
pub(crate) struct Plan {
    arguments: ServerArguments,
    settings: ServerSettings,
    log: LogControl,
    /// Set when the server has begun.
    tls: Option<ServerTls>,
}

impl Plan {
    /// Keeps what a reload needs.
    pub(crate) fn new(
        arguments: &ServerArguments,
        settings: ServerSettings,
        log: LogControl,
    ) -> Self {
        Self {
            arguments: arguments.clone(),
            settings,
            log,
            tls: None,
        }
    }

    /// Reads the settings again and changes what a running server can change. Whatever is wrong,
    /// the old ones stay.
    ///
    /// # Errors
    /// What is wrong.
    fn reload(&mut self, service: &IoService) -> Result<Changes, String> {
        let new = ServerSettings::resolve(&self.arguments).map_err(|error| error.to_string())?;
        let mut changes = changes(&self.settings, &new);
        let certificates = self.tls.as_ref().map(|tls| tls.reload(&new.tls));
        if certificates.transpose()? == Some(true) {
            tracing::info!("the certificates were read again, for new sessions");
        }
        if let Some(by) = self.log.overridden_by() {
            changes.override_by("log.level", by);
        } else if let Some(level) = new.log.level.as_deref()
            && self.settings.log.level != new.log.level
        {
            self.log
                .set_level(level)
                .map_err(|problem| format!("log.level: {problem}"))?;
        }
        let reloaded = service.reload(&new.service_config());
        reloaded.map_err(|error| error.to_string())?;
        self.settings.take_reloadable(new);
        Ok(changes)
    }

    /// As [`Plan::reload`], told in the log.
    fn reload_and_tell(&mut self, service: &IoService) -> Result<Changes, String> {
        let outcome = self.reload(service);
        match &outcome {
            Ok(changes) => {
                for change in &changes.applied {
                    tracing::info!(%change, "reloaded");
                }
                for change in &changes.needs_restart {
                    tracing::warn!(%change, "not reloaded: it counts from the next start on");
                }
                for change in &changes.overridden {
                    tracing::warn!(%change, "not reloaded");
                }
                if changes.is_empty() {
                    tracing::info!("reloaded: nothing has changed");
                }
            }
            Err(problem) => tracing::error!(%problem, "not reloaded; the old settings stay"),
        }
        outcome
    }
}

/// Serves until it is told to stop or fails. Blocks.
///
/// # Errors
/// Wrong settings, an address that can not be listened on, a worker that failed.
pub(crate) fn serve(
    plan: &mut Plan,
    news: &NewsBox,
    supervisor: &dyn Supervisor,
) -> Result<(), Failure> {
    let tls = ServerTls::read(&plan.settings.tls).map_err(Failure::Usage)?;
    plan.tls = Some(tls.clone());
    let service = IoService::start(plan.settings.service_config())?;
    let (steering, log) = (news.sender.clone(), plan.log.clone());
    let admin = administration::start(&plan.settings.admin, &service, steering, log)?;
    let in_band = admin.as_ref().filter(|_| plan.settings.admin.in_band);
    let in_band = in_band.map(AdminServer::in_band);
    let address = listen(&service, &plan.settings, &tls, Services { in_band })?;
    let secured = if tls.is_on() { " tls=on" } else { "" };
    supervisor.tell(&format!("{}{secured}", ready_line(&service, address)));
    for address in admin.iter().flat_map(|admin| admin.addresses()) {
        supervisor.tell(&format!("admin on {address}"));
    }
    supervisor.listening(&service, address);
    let (waiter, stopper) = (news.sender.clone(), news.sender.clone());
    let served = &service;
    let mut report = thread::scope(|scope| {
        scope.spawn(move || {
            // Whoever listens outlives this scope.
            let _ = waiter.send(News::Ended(served.wait()));
        });
        let (urgency, failure) = until_end(plan, news, &service, supervisor);
        if let Some(admin) = &admin {
            admin.set_draining();
        }
        let limit = urgency.limit(plan.settings.drain_timeout);
        // Ends the waiting thread as well.
        scope.spawn(move || {
            let _ = stopper.send(News::Drained(Box::new(served.stop(limit))));
        });
        let mut report = until_drained(news, &service, supervisor, limit);
        report.failure = failure.or(report.failure);
        report
    });
    // A worker that failed in the drain was told to the thread that waited for one.
    for late in news.receiver.try_iter() {
        if let News::Ended(Err(failure)) = late {
            report.failure.get_or_insert(failure);
        }
    }
    supervisor.tell(&report_line(&report));
    let lost = plan.log.lost();
    if lost > 0 {
        supervisor.tell(&format!("{} log lines were lost", show_count(lost)));
    }
    report
        .failure
        .map_or(Ok(()), |failure| Err(Failure::Defect(failure.to_string())))
}

/// Waits for the order to stop or a failure.
fn until_end(
    plan: &mut Plan,
    news: &NewsBox,
    service: &IoService,
    supervisor: &dyn Supervisor,
) -> (Urgency, Option<Error>) {
    loop {
        match news.next(supervisor.beat()) {
            Some(News::Stop(urgency)) => {
                tracing::info!(sessions = service.sessions(), "stopping: draining sessions");
                return (urgency, None);
            }
            Some(News::Ended(outcome)) => return (Urgency::Orderly, outcome.err()),
            Some(News::Drained(_)) => {}
            Some(News::Reload(asker)) => {
                let outcome = plan.reload_and_tell(service);
                if let Some(asker) = asker {
                    // The asker may have given up.
                    let _ = asker.send(outcome);
                }
            }
            None => supervisor.serving(service),
        }
    }
}

/// Waits for the end of the drain.
fn until_drained(
    news: &NewsBox,
    service: &IoService,
    supervisor: &dyn Supervisor,
    limit: Duration,
) -> Box<StopReport> {
    let mut left = limit;
    let mut failure = None;
    supervisor.draining(service, left);
    loop {
        match news.next(Some(DRAIN_BEAT)) {
            Some(News::Drained(mut report)) => {
                report.failure = report.failure.or(failure);
                return report;
            }
            Some(News::Ended(outcome)) => failure = failure.or(outcome.err()),
            Some(News::Stop(urgency)) => {
                left = urgency.limit(left);
                service.begin_stop(left);
            }
            // Dropping the asker's channel tells it that there is no answer.
            Some(News::Reload(_)) => {}
            None => {
                left = left.saturating_sub(DRAIN_BEAT);
                supervisor.draining(service, left);
            }
        }
    }
}

/// Starts to serve. Returns the address, with the port that the system chose for port 0.
///
/// # Errors
/// Wrong settings, an engine that this machine does not permit, an address that can not be listened
/// on.
pub(crate) fn start(settings: &ServerSettings) -> Result<(IoService, SocketAddr), Failure> {
    let tls = ServerTls::read(&settings.tls).map_err(Failure::Usage)?;
    let service = IoService::start(settings.service_config())?;
    let address = listen(&service, settings, &tls, Services::default())?;
    Ok((service, address))
}

/// Begins to take connections.
fn listen(
    service: &IoService,
    settings: &ServerSettings,
    tls: &ServerTls,
    services: Services,
) -> Result<SocketAddr, Failure> {
    let address = address::resolve(&settings.listen)?;
    let handler: Arc<dyn Handler> = if settings.resume.enabled {
        Arc::new(Resuming::new(settings.resume.config.clone(), services)?)
    } else {
        Arc::new(services)
    };
    let address = tls.listen(service, address, handler)?;
    tracing::info!(engine = %service.engine(), reason = service.engine_reason(), "engine chosen");
    Ok(address)
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
