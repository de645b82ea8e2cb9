//! The audit log: one JSON line for each action, done or refused.
//!
//! Written by the admin thread before the answer goes out, so that nothing is done that is not
//! written, unless the disk fails, which the log then says.

use crate::AdminError;
use parking_lot::Mutex;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where actions are written.
pub(crate) struct Audit(Option<Mutex<File>>);

/// One line.
#[derive(Serialize)]
struct Entry<'a> {
    unix_ms: u64,
    from: &'a str,
    role: &'a str,
    action: &'a str,
    target: &'a str,
    outcome: &'a str,
}

impl Audit {
    /// Opens the file, to write behind what is there; without one only the log has the lines.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, AdminError> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|source| AdminError::File {
            what: "cannot write the audit log",
            path: path.display().to_string(),
            source,
        })?;
        Ok(Self(Some(Mutex::new(file))))
    }

    /// Writes a line.
    pub(crate) fn note(&self, from: &str, role: &str, action: &str, target: &str, outcome: &str) {
        tracing::info!(
            target: "fastport::audit", from, role, action, target, outcome, "admin action"
        );
        let Some(file) = &self.0 else { return };
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let entry = Entry {
            unix_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            from,
            role,
            action,
            target,
            outcome,
        };
        let written = serde_json::to_string(&entry)
            .map_err(std::io::Error::other)
            .and_then(|line| file.lock().write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            tracing::error!(target: "fastport::audit", %error, "the audit log can not be written");
        }
    }
}
