//! A file that is put aside when it is full: `NAME` becomes `NAME.1`, that `NAME.2`; the oldest
//! goes.
//!
//! Runs on the log's own thread. When putting aside fails, writing goes on in the same file: a log
//! that is too long is better than none.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file that is written, and how much it has.
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    /// At so many bytes the file is put aside; later after a failure.
    rotate_at: u64,
    limit: u64,
    keep: usize,
}

impl RotatingFile {
    /// Opens the file, to write behind what is there.
    ///
    /// # Errors
    /// When it can not be made or written.
    pub(super) fn open(path: &Path, limit: u64, keep: usize) -> io::Result<Self> {
        let file = append_to(path)?;
        Ok(Self {
            bytes: file.metadata()?.len(),
            path: path.into(),
            file,
            rotate_at: limit,
            limit,
            keep,
        })
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.keep == 0 {
            self.file.set_len(0)?;
        } else {
            for number in (1..self.keep).rev() {
                let from = numbered(&self.path, number);
                if from.exists() {
                    fs::rename(from, numbered(&self.path, number + 1))?;
                }
            }
            fs::rename(&self.path, numbered(&self.path, 1))?;
            self.file = append_to(&self.path)?;
        }
        self.bytes = 0;
        self.rotate_at = self.limit;
        Ok(())
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let more = bytes.len() as u64;
        if self.bytes > 0 && self.bytes + more > self.rotate_at && self.rotate().is_err() {
            // Not again for every line.
            self.rotate_at = self.bytes + self.limit;
        }
        self.file.write_all(bytes)?;
        self.bytes += more;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn numbered(path: &Path, number: usize) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("fastport-rotating-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// No line is lost or cut but those of files that went, and no file is larger than allowed.
    #[test]
    fn files_are_bounded_by_size_and_count() {
        let folder = Folder::new("bounded");
        let path = folder.0.join("log");
        for part in 0..2 {
            // Opened again in the middle, as by a restart.
            let mut log = RotatingFile::open(&path, 100, 3).unwrap();
            for line in 0..50 {
                log.write_all(format!("line {:04}\n", part * 50 + line).as_bytes())
                    .unwrap();
            }
        }
        assert_eq!(folder.names(), ["log", "log.1", "log.2", "log.3"]);
        let mut all = String::new();
        for name in ["log.3", "log.2", "log.1", "log"] {
            let text = fs::read_to_string(folder.0.join(name)).unwrap();
            assert!(text.len() <= 100, "{name} has {} bytes", text.len());
            all.push_str(&text);
        }
        let expected: String = (60..100).map(|line| format!("line {line:04}\n")).collect();
        assert_eq!(all, expected);
    }

    #[test]
    fn without_files_to_keep_the_one_begins_anew() {
        let folder = Folder::new("none");
        let path = folder.0.join("log");
        let mut log = RotatingFile::open(&path, 20, 0).unwrap();
        for line in 0..5 {
            log.write_all(format!("line {line:04}\n").as_bytes())
                .unwrap();
        }
        assert_eq!(folder.names(), ["log"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "line 0004\n");
    }

    #[test]
    fn what_can_not_be_put_aside_is_written_on() {
        let folder = Folder::new("stuck");
        let path = folder.0.join("log");
        let mut log = RotatingFile::open(&path, 20, 1).unwrap();
        // A folder with something in it stands where the file is to go.
        fs::create_dir_all(folder.0.join("log.1").join("in the way")).unwrap();
        for line in 0..5 {
            log.write_all(format!("line {line:04}\n").as_bytes())
                .unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 5);
    }
}
