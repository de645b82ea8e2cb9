//! The server as a Windows service: what the service control manager starts.
//!
//! The manager's dispatcher keeps the main thread; the server lives on the thread that it makes.

use super::scm::{DRAIN_MARGIN, refused};
use crate::arguments::RunArguments;
use crate::failure::Failure;
use crate::logging::{self, Log, LogSettings};
use crate::serving::{NewsBox, Plan, Supervisor, serve};
use crate::settings::ServerSettings;
use crate::signals::Urgency;
use fastport::IoService;
use std::cell::Cell;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;
use windows_service::define_windows_service;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{
    ServiceControlHandlerResult, ServiceStatusHandle, register,
};
use windows_service::service_dispatcher;

/// How long the manager may have to wait for the next sign while the server starts.
const START_HINT: Duration = Duration::from_secs(10);

/// Most of what is told of how long a drain lasts: the manager counts milliseconds in 32 bits.
const HINT_MAX: Duration = Duration::from_secs(3_600);

/// What `service run` was called with, for the thread that the manager's dispatcher makes.
struct Run {
    arguments: RunArguments,
    log: Option<String>,
}

static RUN: OnceLock<Run> = OnceLock::new();

define_windows_service!(ffi_service_main, service_main);

/// Serves as a service until the manager stops it.
///
/// # Errors
/// A process that the manager did not start. Anything else is told to the manager, which would
/// otherwise only see that the service does not answer.
pub(crate) fn run(arguments: &RunArguments, log: Option<&str>) -> Result<(), Failure> {
    let run = Run {
        arguments: arguments.clone(),
        log: log.map(Into::into),
    };
    // Set once: a process runs one command.
    let _ = RUN.set(run);
    // A service that has a process of its own need not be named.
    service_dispatcher::start("", ffi_service_main)
        .map_err(|error| refused("cannot run as a service", &error).into())
}

/// The service's thread.
fn service_main(_arguments: Vec<OsString>) {
    let Some(run) = RUN.get() else { return };
    let settings = ServerSettings::resolve(&run.arguments.server).map_err(Failure::from);
    let log = start_log(run, settings.as_ref().ok());
    let news = NewsBox::new();
    let stop = news.stopper();
    let handler = move |control| match control {
        ServiceControl::Stop | ServiceControl::Preshutdown => {
            stop(Urgency::Orderly);
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Shutdown => {
            stop(Urgency::Final);
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let handle = match register("", handler) {
        Ok(handle) => handle,
        Err(error) => {
            tracing::error!(%error, "cannot register with the service manager");
            return;
        }
    };
    let supervisor = Scm {
        handle,
        checkpoint: Cell::new(0),
    };
    supervisor.pending(ServiceState::StartPending, START_HINT);
    let outcome = match &log {
        Ok(log) => settings.and_then(|settings| {
            let mut plan = Plan::new(&run.arguments.server, settings, log.control());
            serve(&mut plan, &news, &supervisor)
        }),
        Err(failure) => Err(Failure::Runtime(failure.to_string())),
    };
    let exit = match outcome {
        Ok(()) => ServiceExitCode::NO_ERROR,
        Err(failure) => {
            tracing::error!(%failure, "the service failed");
            ServiceExitCode::ServiceSpecific(failure.code().into())
        }
    };
    // The process may end as soon as the manager knows: what is queued is written before.
    drop(log);
    supervisor.set(ServiceState::Stopped, exit, 0, Duration::ZERO);
}

/// Starts to log, as far as it is known how.
fn start_log(run: &Run, settings: Option<&ServerSettings>) -> Result<Log, Failure> {
    let mut log = settings.map_or_else(LogSettings::default, |settings| settings.log.clone());
    log.file = run.arguments.log_file.clone().or(log.file);
    if let Some(folder) = log.file.as_deref().and_then(Path::parent) {
        // If it can not be made the file can not be opened, and that says why.
        let _ = std::fs::create_dir_all(folder);
    }
    logging::start_with(run.log.as_deref(), &log)
}

/// The manager, as the service tells it of its state.
struct Scm {
    handle: ServiceStatusHandle,
    /// Grows with each sign of life while starting or stopping.
    checkpoint: Cell<u32>,
}

impl Scm {
    fn pending(&self, state: ServiceState, hint: Duration) {
        self.checkpoint.set(self.checkpoint.get().wrapping_add(1));
        let exit = ServiceExitCode::NO_ERROR;
        self.set(state, exit, self.checkpoint.get(), hint);
    }

    fn set(&self, state: ServiceState, exit: ServiceExitCode, checkpoint: u32, hint: Duration) {
        let controls_accepted = match state {
            ServiceState::Running => {
                ServiceControlAccept::STOP
                    | ServiceControlAccept::PRESHUTDOWN
                    | ServiceControlAccept::SHUTDOWN
            }
            _ => ServiceControlAccept::empty(),
        };
        let status = ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state: state,
            controls_accepted,
            exit_code: exit,
            checkpoint,
            wait_hint: hint.min(HINT_MAX),
            process_id: None,
        };
        if let Err(error) = self.handle.set_service_status(status) {
            tracing::warn!(%error, ?state, "the service manager was not told");
        }
    }
}

impl Supervisor for Scm {
    fn tell(&self, line: &str) {
        // A service has no terminal.
        tracing::info!("{line}");
    }

    fn listening(&self, _service: &IoService, _address: SocketAddr) {
        let exit = ServiceExitCode::NO_ERROR;
        self.set(ServiceState::Running, exit, 0, Duration::ZERO);
    }

    fn draining(&self, _service: &IoService, left: Duration) {
        self.pending(ServiceState::StopPending, left.saturating_add(DRAIN_MARGIN));
    }
}
