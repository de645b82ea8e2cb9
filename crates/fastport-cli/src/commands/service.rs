//! `fastport service`: installs, steers and runs the server under the system's service manager.

#[cfg(any(windows, target_os = "linux"))]
use crate::arguments::ServiceAction;
use crate::arguments::ServiceArguments;
use crate::failure::Failure;
#[cfg(not(any(windows, target_os = "linux")))]
use crate::manager::ManagerError;
#[cfg(target_os = "linux")]
use crate::manager::systemd;
#[cfg(windows)]
use crate::manager::{scm, scm_run};

/// Does what was asked for.
///
/// # Errors
/// No service manager, no permission, no such service, a server that can not run.
#[cfg(target_os = "linux")]
pub(crate) fn run(arguments: &ServiceArguments, log: Option<&str>) -> Result<(), Failure> {
    match &arguments.action {
        ServiceAction::Install(install) => systemd::install(install),
        ServiceAction::Uninstall(service) => systemd::uninstall(service),
        ServiceAction::Start(service) => systemd::control(service, &["start"]),
        ServiceAction::Stop(service) => systemd::control(service, &["stop"]),
        ServiceAction::Status(service) => systemd::status(service),
        ServiceAction::Run(run) => systemd::run(run, log),
    }
}

/// Does what was asked for.
///
/// # Errors
/// No service manager, no permission, no such service, a server that can not run.
#[cfg(windows)]
pub(crate) fn run(arguments: &ServiceArguments, log: Option<&str>) -> Result<(), Failure> {
    match &arguments.action {
        ServiceAction::Install(install) => scm::install(install),
        ServiceAction::Uninstall(service) => scm::uninstall(&service.name),
        ServiceAction::Start(service) => scm::start(&service.name),
        ServiceAction::Stop(service) => scm::stop(&service.name),
        ServiceAction::Status(service) => scm::status(&service.name),
        ServiceAction::Run(run) => scm_run::run(run, log),
    }
}

/// Says that there is nothing to do it with.
///
/// # Errors
/// Always.
#[cfg(not(any(windows, target_os = "linux")))]
pub(crate) fn run(_arguments: &ServiceArguments, _log: Option<&str>) -> Result<(), Failure> {
    Err(ManagerError::Unsupported("have launchd or rc run `fastport server`").into())
}
