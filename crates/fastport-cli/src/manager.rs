//! Running under the system's service manager: systemd on Linux, the SCM on Windows.
//!
//! What is common to both: what is installed, and what can go wrong. The folder holds the rest.

use crate::arguments::{Arguments, Command, InstallArguments, RunArguments, ServiceAction};
use crate::failure::Failure;
use crate::settings::{ServerSettings, SettingsError};
use clap::Parser;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
pub(crate) mod notify;
#[cfg(windows)]
pub(crate) mod scm;
#[cfg(windows)]
pub(crate) mod scm_run;
#[cfg(target_os = "linux")]
pub(crate) mod systemd;
#[cfg(target_os = "linux")]
pub(crate) mod unit;

/// What the manager's own listings say of the service.
#[cfg(any(windows, target_os = "linux"))]
pub(crate) const DESCRIPTION: &str = "FastPort server";

/// What can go wrong between this program and the service manager.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(
    not(any(windows, target_os = "linux")),
    expect(dead_code, reason = "no service manager is served there")
)]
pub(crate) enum ManagerError {
    /// There is no manager that this program knows.
    #[cfg(not(windows))]
    #[error("services are not supported here: {0}")]
    Unsupported(&'static str),
    /// What is to be installed can not be.
    #[error("{0}")]
    Argument(String),
    /// A file of the manager's.
    #[error("{what} {}: {source}{}", path.display(), hint_of(source))]
    File {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// The manager refused, or can not be reached.
    #[error("{what}: {why}{hint}")]
    Refused {
        what: String,
        why: String,
        hint: &'static str,
    },
}

impl From<ManagerError> for Failure {
    fn from(error: ManagerError) -> Self {
        match error {
            ManagerError::Argument(text) => Self::Usage(text),
            error => Self::Runtime(error.to_string()),
        }
    }
}

/// The command line that the manager is to run: this program, or the one that was named.
#[cfg_attr(not(any(windows, target_os = "linux")), expect(dead_code))]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// What the arguments say.
    run: RunArguments,
}

#[cfg_attr(not(any(windows, target_os = "linux")), expect(dead_code))]
impl Launch {
    /// Checks what the service is to be started with, so that a mistake is told now and not by a
    /// service that does not start.
    ///
    /// # Errors
    /// A flag that `service run` does not know, a path that depends on the current folder.
    pub(crate) fn of(install: &InstallArguments) -> Result<Self, ManagerError> {
        let program = match &install.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(|source| ManagerError::File {
                what: "cannot find this program",
                path: PathBuf::new(),
                source,
            })?,
        };
        let mut arguments: Vec<OsString> = vec!["service".into(), "run".into()];
        let log_file = install.log_file.clone();
        #[cfg(windows)]
        let log_file = log_file.or_else(|| scm::default_log_file(&install.service.name));
        let paths = [("--config", &install.config), ("--log-file", &log_file)];
        for (flag, path) in paths {
            if let Some(path) = path {
                arguments.push(flag.into());
                arguments.push(absolute(path)?.into());
            }
        }
        arguments.extend(install.server.iter().map(OsString::from));
        let whole = [OsString::from("fastport")]
            .into_iter()
            .chain(arguments.clone());
        let parsed = Arguments::try_parse_from(whole)
            .map_err(|error| ManagerError::Argument(error.to_string()))?;
        let run = match parsed.command {
            Some(Command::Service(service)) => match service.action {
                ServiceAction::Run(run) => Some(run),
                _ => None,
            },
            _ => None,
        };
        let run = run.ok_or_else(|| ManagerError::Argument("no flags of a server".into()))?;
        let paths = [&run.server.config, &run.log_file];
        if let Some(path) = paths.into_iter().flatten().find(|path| path.is_relative()) {
            return Err(ManagerError::Argument(format!(
                "{}: a service has another current folder; give the whole path",
                path.display()
            )));
        }
        Ok(Self {
            program: absolute(&program)?,
            arguments,
            run,
        })
    }

    /// The settings that the service will have, as far as they are known now.
    ///
    /// # Errors
    /// When the configuration file can not be read, or something in it is wrong.
    pub(crate) fn settings(&self) -> Result<ServerSettings, SettingsError> {
        ServerSettings::resolve(&self.run.server)
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ManagerError> {
    std::path::absolute(path).map_err(|source| ManagerError::File {
        what: "cannot find",
        path: path.into(),
        source,
    })
}

fn hint_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; run it as root, or with --user",
        _ => "",
    }
}
