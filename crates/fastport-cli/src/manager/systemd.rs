//! systemd as the manager: files of units, `systemctl`, and what a running service tells.

use super::notify::Notifier;
use super::{Launch, ManagerError, unit};
use crate::arguments::{InstallArguments, NamedService, RunArguments};
use crate::failure::Failure;
use crate::quantity::show_count;
use crate::serving::{NewsBox, Plan, Supervisor, serve};
use crate::settings::ServerSettings;
use crate::{descriptors, logging, signals, terminal};
use fastport::IoService;
use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

/// With which `systemctl status` ends for a unit that does not run (systemctl(1), "Exit status").
const NOT_RUNNING: i32 = 3;

/// More than the time between two steps of a drain: while they come, the manager waits.
const DRAIN_EXTENSION: Duration = Duration::from_secs(5);

/// Writes the unit, and has the manager read and enable it.
///
/// # Errors
/// No systemd, no permission, arguments that no service can be started with.
pub(crate) fn install(install: &InstallArguments) -> Result<(), Failure> {
    let launch = Launch::of(install)?;
    let text = unit::text(&launch, install.service.user)?;
    if install.print {
        terminal::say(text.trim_end());
        return Ok(());
    }
    launch.settings()?;
    require_systemd(&install.service)?;
    let path = unit_path(&install.service)?;
    let file_error = |source| ManagerError::File {
        what: "cannot write the unit",
        path: path.clone(),
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(file_error)?;
    }
    fs::write(&path, text).map_err(file_error)?;
    systemctl(&install.service, &["daemon-reload"], false)?;
    if install.start.is_automatic() {
        systemctl(&install.service, &["enable"], true)?;
    }
    terminal::say(format_args!("installed {}", path.display()));
    Ok(())
}

/// Stops and disables the service and removes its unit.
///
/// # Errors
/// No systemd, no permission, no such unit.
pub(crate) fn uninstall(service: &NamedService) -> Result<(), Failure> {
    require_systemd(service)?;
    let path = unit_path(service)?;
    systemctl(service, &["disable", "--now"], true)?;
    fs::remove_file(&path).map_err(|source| ManagerError::File {
        what: "cannot remove the unit",
        path: path.clone(),
        source,
    })?;
    systemctl(service, &["daemon-reload"], false)?;
    terminal::say(format_args!("removed {}", path.display()));
    Ok(())
}

/// Has the manager do something with the unit.
///
/// # Errors
/// What `systemctl` could not do; it tells why on stderr.
pub(crate) fn control(service: &NamedService, verb: &[&str]) -> Result<(), Failure> {
    require_systemd(service)?;
    Ok(systemctl(service, verb, true)?)
}

/// Shows what the manager says of the unit. That it does not run is an answer, as on Windows.
///
/// # Errors
/// No systemd, no such unit.
pub(crate) fn status(service: &NamedService) -> Result<(), Failure> {
    require_systemd(service)?;
    let verb = ["status", "--no-pager"];
    let status = call(service, &verb, true)?;
    if status.success() || status.code() == Some(NOT_RUNNING) {
        return Ok(());
    }
    Err(refused(&verb, status.to_string()).into())
}

/// What the manager calls: serves, and tells it of each step.
///
/// # Errors
/// As for `fastport server`.
pub(crate) fn run(arguments: &RunArguments, log: Option<&str>) -> Result<(), Failure> {
    let mut settings = ServerSettings::resolve(&arguments.server)?;
    settings.log.file = arguments.log_file.clone().or(settings.log.file);
    let log = logging::start_with(log, &settings.log)?;
    descriptors::raise_limit();
    let supervisor = Systemd(
        Notifier::from_environment()
            .map_err(|error| Failure::while_doing("cannot notify the service manager", error))?,
    );
    let news = NewsBox::new();
    signals::handle(news.stopper(), news.reloader())
        .map_err(|error| Failure::while_doing("cannot handle signals", error))?;
    let mut plan = Plan::new(&arguments.server, settings, log.control());
    serve(&mut plan, &news, &supervisor)
}

/// The manager, or nobody when the process was started by hand.
struct Systemd(Option<Notifier>);

impl Systemd {
    fn send(&self, message: &str) {
        if let Some(notifier) = &self.0 {
            notifier.send(message);
        }
    }
}

impl Supervisor for Systemd {
    fn beat(&self) -> Option<Duration> {
        self.0.as_ref().and_then(Notifier::beat)
    }

    fn listening(&self, _service: &IoService, address: SocketAddr) {
        self.send(&format!("READY=1\nSTATUS=listening on {address}\n"));
    }

    fn serving(&self, service: &IoService) {
        // A worker that does not turn answers no client either: then silence gets the service
        // restarted. Half a beat leaves the other half for the manager to hear of it in time.
        let limit = self.beat().unwrap_or(DRAIN_EXTENSION) / 2;
        if service.ping_workers(limit) {
            let sessions = show_count(service.sessions() as u64);
            self.send(&format!("WATCHDOG=1\nSTATUS={sessions} sessions\n"));
        } else {
            tracing::error!("a worker does not answer: the watchdog is not told that all is well");
        }
    }

    fn draining(&self, service: &IoService, left: Duration) {
        let sessions = show_count(service.sessions() as u64);
        let extension = left.min(DRAIN_EXTENSION) + DRAIN_EXTENSION;
        // A drain has a time limit of its own, so the watchdog is content with it.
        self.send(&format!(
            "STOPPING=1\nWATCHDOG=1\nEXTEND_TIMEOUT_USEC={}\nSTATUS=draining {sessions} sessions\n",
            extension.as_micros()
        ));
    }
}

/// Runs `systemctl`, with the unit's name where `names_unit` says so; it must succeed.
fn systemctl(service: &NamedService, verb: &[&str], names_unit: bool) -> Result<(), ManagerError> {
    let status = call(service, verb, names_unit)?;
    if status.success() {
        Ok(())
    } else {
        Err(refused(verb, status.to_string()))
    }
}

fn call(
    service: &NamedService,
    verb: &[&str],
    names_unit: bool,
) -> Result<ExitStatus, ManagerError> {
    let mut command = Command::new("systemctl");
    if service.user {
        command.arg("--user");
    }
    command.args(verb);
    if names_unit {
        command.arg(unit_name(service));
    }
    command
        .status()
        .map_err(|error| refused(verb, error.to_string()))
}

fn refused(verb: &[&str], why: String) -> ManagerError {
    ManagerError::Refused {
        what: format!("systemctl {}", verb.join(" ")),
        why,
        hint: "",
    }
}

/// Whether a manager runs at all, by the test of sd_booted(3).
fn require_systemd(service: &NamedService) -> Result<(), ManagerError> {
    let has_manager = fs::symlink_metadata("/run/systemd/system").is_ok_and(|it| it.is_dir());
    if has_manager
        || service.user
            && env::var_os("XDG_RUNTIME_DIR")
                .is_some_and(|folder| PathBuf::from(folder).join("systemd/private").exists())
    {
        return Ok(());
    }
    Err(ManagerError::Unsupported(
        "systemd does not run on this machine; `fastport service install --print` shows the \
         unit, `fastport server` runs without a manager",
    ))
}

fn unit_name(service: &NamedService) -> String {
    format!("{}.service", service.name)
}

/// Where the manager looks for units that were not packaged.
fn unit_path(service: &NamedService) -> Result<PathBuf, ManagerError> {
    if !service.user {
        return Ok(PathBuf::from("/etc/systemd/system").join(unit_name(service)));
    }
    let config = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".config"));
    let folder = config.or_else(home).ok_or_else(|| ManagerError::File {
        what: "cannot find the folder of units",
        path: PathBuf::new(),
        source: io::Error::other("neither XDG_CONFIG_HOME nor HOME is set"),
    })?;
    Ok(folder.join("systemd/user").join(unit_name(service)))
}
