//! The bans of operators in a file, so that they hold after a restart.
//!
//! A JSON array, one object a ban, with the end in wall-clock time: a ban runs on while the server
//! is down. The file is replaced as a whole, so that a crash leaves the old one or the new one.

use crate::AdminError;
use fastport::{AddressBlock, Ban, Monitor};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where bans are kept, if anywhere.
pub(crate) struct BanFile(Option<Mutex<PathBuf>>);

/// A ban as it is written.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Entry {
    block: String,
    /// Seconds of Unix time; without it the ban has no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl BanFile {
    /// Puts the bans of the file that still hold into force. A file that is not there has none.
    ///
    /// # Errors
    /// A file that can not be read or has something else in it: a server that forgets whom it bans
    /// is not to start unnoticed.
    pub(crate) fn open(path: Option<&Path>, monitor: &Monitor) -> Result<Self, AdminError> {
        let Some(path) = path else {
            return Ok(Self(None));
        };
        let failed = |source| AdminError::File {
            what: "cannot read the bans of",
            path: path.display().to_string(),
            source,
        };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        for (block, left) in read(&text, unix_seconds()).map_err(failed)? {
            monitor.ban(block, left);
        }
        // Tells at the start what would fail with the first ban otherwise.
        let file = Self(Some(Mutex::new(path.to_owned())));
        file.save(monitor).map_err(|source| AdminError::File {
            what: "cannot keep bans in",
            path: path.display().to_string(),
            source,
        })?;
        Ok(file)
    }

    /// Writes the bans that hold. Blocks on the disk.
    ///
    /// # Errors
    /// What the system says; the file is as it was then.
    pub(crate) fn save(&self, monitor: &Monitor) -> io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        // Locked before the bans are listed, so that the later list is the later file.
        let path = path.lock();
        let text = written(&monitor.bans(), unix_seconds())?;
        let mut beside = path.clone().into_os_string();
        beside.push(".new");
        let mut file = create(Path::new(&beside))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        drop(file);
        std::fs::rename(&beside, &*path)
    }
}

/// A file that its owner alone reads: it has addresses of people.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn read(text: &str, now: u64) -> io::Result<Vec<(AddressBlock, Option<Duration>)>> {
    let invalid = |problem: String| io::Error::new(ErrorKind::InvalidData, problem);
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<Entry> =
        serde_json::from_str(text).map_err(|error| invalid(error.to_string()))?;
    let mut bans = Vec::with_capacity(entries.len());
    for entry in entries {
        let block = entry
            .block
            .parse()
            .map_err(|error: fastport::AddressBlockError| invalid(error.to_string()))?;
        let left = entry.until.map(|until| until.saturating_sub(now));
        if left != Some(0) {
            bans.push((block, left.map(Duration::from_secs)));
        }
    }
    Ok(bans)
}

fn written(bans: &[Ban], now: u64) -> io::Result<String> {
    let entries: Vec<Entry> = bans
        .iter()
        .map(|ban| Entry {
            block: ban.block.to_string(),
            // Up, so that a restart does not shorten a ban.
            until: ban.left.map(|left| {
                let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                now.saturating_add(seconds)
            }),
        })
        .collect();
    let text = serde_json::to_string_pretty(&entries).map_err(io::Error::other)?;
    Ok(text + "\n")
}

fn unix_seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(block: &str, left: Option<Duration>) -> Ban {
        Ban {
            block: block.parse().unwrap(),
            left,
        }
    }

    #[test]
    fn what_is_written_is_read_until_it_is_over() {
        let bans = [
            ban("192.0.2.0/24", Some(Duration::from_millis(9_001))),
            ban("2001:db8::/32", None),
        ];
        let text = written(&bans, 1_000).unwrap();
        let in_time = read(&text, 1_009).unwrap();
        assert_eq!(in_time.len(), 2);
        assert_eq!(in_time[0].1, Some(Duration::from_secs(1)));
        assert_eq!(read(&text, 1_010).unwrap(), [(bans[1].block, None)]);
        assert_eq!(read("", 0).unwrap(), []);
    }

    #[test]
    fn what_is_no_list_of_bans_is_told() {
        for text in [
            "{}",
            "[{\"block\": \"nobody\"}]",
            "[{\"block\": \"192.0.2.1\", \"untill\": 5}]",
            "[{\"block\": \"192.0.2.1\"",
        ] {
            let error = read(text, 0).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
    }
}
