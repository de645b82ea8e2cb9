//! Log lines on stderr or in rotating files, written by a thread of their own so that no I/O worker
//! waits for a terminal or a disk: when its queue is full, lines are dropped and counted.

mod escaped;
mod rotating;

use crate::failure::Failure;
use escaped::Escaped;
use rotating::RotatingFile;
use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as lines, reload};

/// The variables that say what to log, the first one that is set.
const VARIABLES: [&str; 2] = ["FASTPORT_LOG", "RUST_LOG"];

/// What is logged, where and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LogSettings {
    /// A level or filter directives, if the settings say so.
    pub(crate) level: Option<String>,
    /// How a line looks.
    pub(crate) format: Format,
    /// The file; stderr without one.
    pub(crate) file: Option<PathBuf>,
    /// A file of so many bytes is rotated.
    pub(crate) rotate_bytes: u64,
    /// Rotated files that are kept.
    pub(crate) keep_files: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: Some("info".into()),
            format: Format::Text,
            file: None,
            rotate_bytes: 10 << 20,
            keep_files: 5,
        }
    }
}

/// How a line looks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Its name in the settings.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// The log of this process. What is queued when it is dropped is still written.
pub(crate) struct Log {
    control: LogControl,
    _guard: WorkerGuard,
}

impl Log {
    /// What steers the log while it runs.
    pub(crate) fn control(&self) -> LogControl {
        self.control.clone()
    }
}

/// Changes what is logged, and tells what was lost. Cheap to clone; any thread.
#[derive(Clone)]
pub(crate) struct LogControl {
    /// What counts before the level of the settings, if anything does.
    overridden_by: Option<&'static str>,
    filter: reload::Handle<EnvFilter, Registry>,
    dropped: ErrorCounter,
    failed: Arc<AtomicU64>,
}

impl LogControl {
    /// Logs by other directives from now on.
    ///
    /// # Errors
    /// What is wrong with them; the old ones stay.
    pub(crate) fn set_level(&self, directives: &str) -> Result<(), String> {
        let filter = parse(directives)?;
        self.filter
            .reload(filter)
            .map_err(|error| error.to_string())
    }

    /// What counts before the level of the settings: the flag or a variable.
    pub(crate) const fn overridden_by(&self) -> Option<&'static str> {
        self.overridden_by
    }

    /// Lines that were lost: the queue was full, or writing failed.
    pub(crate) fn lost(&self) -> u64 {
        self.dropped.dropped_lines() as u64 + self.failed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for LogControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogControl").finish_non_exhaustive()
    }
}

/// Starts to log to stderr by `default`, unless the flag or the environment says something else.
///
/// # Errors
/// When the directives are none.
pub(crate) fn start(flag: Option<&str>, default: &str) -> Result<Log, Failure> {
    start_with(
        flag,
        &LogSettings {
            level: Some(default.into()),
            ..LogSettings::default()
        },
    )
}

/// Starts to log as the settings say; the flag and the environment count before their level.
///
/// # Errors
/// When the directives are none, or the file can not be written.
pub(crate) fn start_with(flag: Option<&str>, settings: &LogSettings) -> Result<Log, Failure> {
    let variable = VARIABLES
        .into_iter()
        .find_map(|name| std::env::var(name).ok().map(|value| (name, value)));
    let (overridden_by, directives) = match (flag, &variable) {
        (Some(flag), _) => (Some("--log"), flag),
        (None, Some((name, value))) => (Some(*name), value.as_str()),
        (None, None) => (None, settings.level.as_deref().unwrap_or("info")),
    };
    let source = overridden_by.unwrap_or("log.level");
    let filter = parse(directives)
        .map_err(|problem| Failure::Usage(format!("{source} {directives}: {problem}")))?;
    let failed = Arc::<AtomicU64>::default();
    let (writer, guard) = match &settings.file {
        None => NonBlocking::new(Counted(stderr(), failed.clone())),
        Some(path) => {
            let file = RotatingFile::open(path, settings.rotate_bytes, settings.keep_files)
                .map_err(|error| Failure::while_doing(path.display(), error))?;
            NonBlocking::new(Counted(file, failed.clone()))
        }
    };
    let dropped = writer.error_counter();
    let is_plain = settings.file.is_some() || settings.format == Format::Json;
    let ansi = !is_plain && stderr().is_terminal();
    let writer = move || Escaped::new(writer.clone(), ansi);
    let layer = match settings.format {
        Format::Text => lines::layer().with_writer(writer).with_ansi(ansi).boxed(),
        Format::Json => lines::layer()
            .json()
            .flatten_event(true)
            .with_writer(writer)
            .boxed(),
    };
    let (filter, handle) = reload::Layer::new(filter);
    tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .init();
    Ok(Log {
        control: LogControl {
            overridden_by,
            filter: handle,
            dropped,
            failed,
        },
        _guard: guard,
    })
}

fn parse(directives: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(directives).map_err(|error| {
        format!("{error}; use error, warn, info, debug, trace, or directives like fastport=debug")
    })
}

/// Counts what could not be written: a full disk must not end the log.
struct Counted<W>(W, Arc<AtomicU64>);

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.write_all(bytes).is_err() {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        // Whatever is wrong shows at the next write.
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full;

    impl Write for Full {
        fn write(&mut self, _bytes: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_full_disk_is_counted_and_no_error() {
        let failed = Arc::<AtomicU64>::default();
        let mut writer = Counted(Full, failed.clone());
        writer.write_all(b"a line\n").unwrap();
        writer.flush().unwrap();
        assert_eq!(failed.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn directives_that_are_none_are_told() {
        assert!(parse("fastport=debug,info").is_ok());
        assert!(parse("fastport=loud").unwrap_err().contains("use error"));
    }
}
