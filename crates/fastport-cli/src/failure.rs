//! Why a command ended without success, and the exit status that tells it.

use crate::settings::SettingsError;
use fastport::Error;
use std::fmt;
use std::process::ExitCode;

/// A command's error.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for is wrong: status 2.
    Usage(String),
    /// It went wrong while running: status 1.
    Runtime(String),
    /// It went wrong, and was told already: status 1.
    Told,
    /// A worker died, a defect: status 70 (`EX_SOFTWARE` of sysexits.h).
    Defect(String),
}

impl Failure {
    /// A run-time error with what was being done.
    pub(crate) fn while_doing(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::Runtime(format!("{what}: {error}"))
    }

    /// The exit status.
    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The exit status as a number.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Runtime(_) | Self::Told => 1,
            Self::Defect(_) => 70,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Runtime(text) | Self::Defect(text) => f.write_str(text),
            Self::Told => Ok(()),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Config(error) => Self::Usage(error.to_string()),
            Error::WorkerDied { .. } => Self::Defect(error.to_string()),
            error => Self::Runtime(error.to_string()),
        }
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::Usage(error.to_string())
    }
}
