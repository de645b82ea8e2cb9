//! Log lines on stderr or in a file, written by a thread of their own so that no I/O worker waits
//! for a terminal or a disk.

use crate::failure::Failure;
use std::fs::OpenOptions;
use std::io::{IsTerminal, stderr};
use std::path::Path;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// The variables that say what to log, the first one that is set.
const VARIABLES: [&str; 2] = ["FASTPORT_LOG", "RUST_LOG"];

/// Starts to log to stderr. What is queued when the guard is dropped is still written.
///
/// # Errors
/// When the flag is no filter.
pub(crate) fn start(flag: Option<&str>, default: &str) -> Result<WorkerGuard, Failure> {
    start_to(flag, default, None)
}

/// Starts to log to the end of a file, or to stderr. What is queued when the guard is dropped is
/// still written.
///
/// # Errors
/// When the flag is no filter or the file can not be written.
pub(crate) fn start_to(
    flag: Option<&str>,
    default: &str,
    file: Option<&Path>,
) -> Result<WorkerGuard, Failure> {
    let variable = VARIABLES
        .into_iter()
        .find_map(|name| std::env::var(name).ok().map(|value| (name, value)));
    let (source, directives) = match (flag, &variable) {
        (Some(flag), _) => ("--log", flag),
        (None, Some((name, value))) => (*name, value.as_str()),
        (None, None) => ("", default),
    };
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::Usage(format!(
            "{source} {directives}: {error}; use error, warn, info, debug, trace, or directives \
             like fastport=debug"
        ))
    })?;
    let (writer, guard) = match file {
        None => NonBlocking::new(stderr()),
        Some(path) => NonBlocking::new(
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|error| Failure::while_doing(path.display(), error))?,
        ),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(file.is_none() && stderr().is_terminal())
        .init();
    Ok(guard)
}
