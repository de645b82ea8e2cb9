//! The service control manager of Windows, from outside: installs, starts, stops, asks.

use super::{DESCRIPTION, Launch, ManagerError};
use crate::arguments::InstallArguments;
use crate::failure::Failure;
use crate::terminal;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;
use windows_service::Error;
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceExitCode,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState,
    ServiceStatus, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

/// What is added to a drain's time for the steps after it.
pub(super) const DRAIN_MARGIN: Duration = Duration::from_secs(2);

/// How often a service is asked for its state while it starts or stops.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// How long a start or a stop is waited for, counted in intervals: 60 s.
const ASKS_MAX: u32 = 600;

/// Makes the manager know the service.
///
/// # Errors
/// No permission, a name that is taken, arguments that no service can be started with.
pub(crate) fn install(install: &InstallArguments) -> Result<(), Failure> {
    let launch = Launch::of(install)?;
    let drain = launch.settings()?.drain_timeout;
    let name = &install.service.name;
    let info = ServiceInfo {
        name: name.into(),
        display_name: match name.as_str() {
            "fastport" => DESCRIPTION.into(),
            name => format!("{DESCRIPTION} ({name})").into(),
        },
        service_type: ServiceType::OWN_PROCESS,
        start_type: if install.start.is_automatic() {
            ServiceStartType::AutoStart
        } else {
            ServiceStartType::OnDemand
        },
        error_control: ServiceErrorControl::Normal,
        executable_path: launch.program,
        launch_arguments: launch.arguments,
        dependencies: Vec::new(),
        account_name: Some("NT AUTHORITY\\LocalService".into()),
        account_password: None,
    };
    let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START;
    let service = manager(ServiceManagerAccess::CREATE_SERVICE)?
        .create_service(&info, access)
        .map_err(|error| refused("cannot install the service", &error))?;
    // A service without these still serves.
    for (what, outcome) in [
        ("description", service.set_description(DESCRIPTION)),
        ("recovery", service.update_failure_actions(recovery())),
        (
            "recovery",
            service.set_failure_actions_on_non_crash_failures(true),
        ),
        (
            "time to drain before a shutdown",
            service.set_preshutdown_timeout(drain.saturating_add(DRAIN_MARGIN)),
        ),
    ] {
        if let Err(error) = outcome {
            eprintln!("warning: {}", refused(&format!("no {what}"), &error));
        }
    }
    terminal::say(format_args!("installed {name}"));
    Ok(())
}

/// Where a service logs to unless told otherwise: it has no stderr.
pub(super) fn default_log_file(name: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os("ProgramData")?).join("fastport");
    Some(folder.join(format!("{name}.log")))
}

/// Stops the service if it runs, and makes the manager forget it.
///
/// # Errors
/// No permission, no such service.
pub(crate) fn uninstall(name: &str) -> Result<(), Failure> {
    let access = ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE;
    let service = open(name, access)?;
    if query(&service)?.current_state != ServiceState::Stopped {
        // It may stop by itself meanwhile: what counts is that it does.
        let _ = service.stop();
        wait_for(&service, ServiceState::Stopped)?;
    }
    service
        .delete()
        .map_err(|error| refused("cannot uninstall the service", &error))?;
    terminal::say(format_args!("removed {name}"));
    Ok(())
}

/// Starts the service and waits until it serves.
///
/// # Errors
/// No permission, no such service, a service that ends instead.
pub(crate) fn start(name: &str) -> Result<(), Failure> {
    let service = open(name, ServiceAccess::QUERY_STATUS | ServiceAccess::START)?;
    service
        .start::<&str>(&[])
        .map_err(|error| refused("cannot start the service", &error))?;
    wait_for(&service, ServiceState::Running)?;
    status(name)
}

/// Stops the service and waits until it has drained.
///
/// # Errors
/// No permission, no such service, a service that does not run.
pub(crate) fn stop(name: &str) -> Result<(), Failure> {
    let service = open(name, ServiceAccess::QUERY_STATUS | ServiceAccess::STOP)?;
    service
        .stop()
        .map_err(|error| refused("cannot stop the service", &error))?;
    wait_for(&service, ServiceState::Stopped)?;
    status(name)
}

/// Prints the state of the service.
///
/// # Errors
/// No such service.
pub(crate) fn status(name: &str) -> Result<(), Failure> {
    let status = query(&open(name, ServiceAccess::QUERY_STATUS)?)?;
    let process = status
        .process_id
        .filter(|process| *process != 0)
        .map_or(String::new(), |process| format!(" pid={process}"));
    let exit = match status.exit_code {
        ServiceExitCode::Win32(code) => format!("exit={code}"),
        ServiceExitCode::ServiceSpecific(code) => format!("exit={code} (of the service)"),
    };
    let state = format!("{:?}", status.current_state).to_lowercase();
    terminal::say(format_args!("{name}: {state}{process} {exit}"));
    Ok(())
}

/// What the manager does when the service fails: it starts it again, later each time.
fn recovery() -> ServiceFailureActions {
    let restart = |seconds| ServiceAction {
        action_type: ServiceActionType::Restart,
        delay: Duration::from_secs(seconds),
    };
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_secs(86_400)),
        reboot_msg: None,
        command: None,
        actions: Some(vec![restart(1), restart(5), restart(30)]),
    }
}

fn manager(more: ServiceManagerAccess) -> Result<ServiceManager, ManagerError> {
    ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT | more)
        .map_err(|error| refused("cannot reach the service manager", &error))
}

fn open(name: &str, access: ServiceAccess) -> Result<Service, ManagerError> {
    manager(ServiceManagerAccess::empty())?
        .open_service(name, access)
        .map_err(|error| refused(&format!("cannot open the service {name}"), &error))
}

fn query(service: &Service) -> Result<ServiceStatus, ManagerError> {
    service
        .query_status()
        .map_err(|error| refused("cannot ask for the state of the service", &error))
}

/// Waits for the state. The manager can only be asked: nothing of the safe interface wakes.
fn wait_for(service: &Service, wanted: ServiceState) -> Result<(), ManagerError> {
    // Nobody sends: its time limit is the clock.
    let (_sender, clock) = channel::<()>();
    for _ in 0..ASKS_MAX {
        let state = query(service)?.current_state;
        if state == wanted {
            return Ok(());
        }
        if state == ServiceState::Stopped {
            return Err(ManagerError::Refused {
                what: "the service has ended".into(),
                why: format!("{:?}", query(service)?.exit_code),
                hint: "; its log file says why: --log-file of install, or %ProgramData%\\fastport",
            });
        }
        let _ = clock.recv_timeout(ASK_INTERVAL);
    }
    Err(ManagerError::Refused {
        what: format!("the service is not {wanted:?}"),
        why: "waited for 60 s".into(),
        hint: "",
    })
}

/// The manager's error, with what helps against it.
pub(super) fn refused(what: &str, error: &Error) -> ManagerError {
    let source = match error {
        Error::Winapi(source) => Some(source),
        _ => None,
    };
    ManagerError::Refused {
        what: what.into(),
        why: source.map_or_else(|| error.to_string(), ToString::to_string),
        hint: source.and_then(io::Error::raw_os_error).map_or("", hint),
    }
}

/// The numbers are those of winerror.h.
fn hint(code: i32) -> &'static str {
    match code {
        5 => "; run it from an elevated prompt",
        1056 => "; it runs already",
        1060 => "; `fastport service install` makes it known",
        1062 => "; it does not run",
        1063 => "; `service run` is for the service manager, `fastport server` is for a terminal",
        1072 => "; it goes when its last window of the services console is closed",
        1073 => "; uninstall it first, or give another --name",
        _ => "",
    }
}
