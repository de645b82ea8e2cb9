//! The ring's table of files: connections in it are direct descriptors and take none of the
//! process's.
//!
//! A connection comes as an ordinary socket, so that any worker may take it over and everything can
//! be asked of it, and moves into the table when it is first received from: two entries of the
//! turn's batch, no system call. Its place has the index of its key, which is nobody else's until
//! `Closed` was reported. A key past the end of the table stays an ordinary descriptor.

use super::probe::kernel_version;
use super::ring::Ring;
use crate::Key;
use std::io;
use std::os::fd::RawFd;

/// The oldest kernel whose tables let go of a file when its place is emptied: before, it stayed
/// open as long as an older operation of any other place was under way (liburing #1192).
const KERNEL_MIN: (u32, u32) = (6, 13);

/// The places.
pub(super) struct Table {
    /// The descriptor that moves into each place: the kernel reads it when the move is submitted.
    moving: Box<[RawFd]>,
}

impl Table {
    /// A table of so many places; with none, after a line in the log, where the system has no such
    /// tables. A process may have no larger one than it may have descriptors (RLIMIT_NOFILE).
    pub(super) fn register(ring: &Ring, places: u32) -> Self {
        let places = if places == 0 {
            0
        } else {
            Self::try_register(ring, places).unwrap_or_else(|error| {
                tracing::warn!(%error, "no direct descriptors; connections take ordinary ones");
                0
            })
        };
        Self {
            moving: vec![-1; places as usize].into(),
        }
    }

    fn try_register(ring: &Ring, places: u32) -> io::Result<u32> {
        let (major, minor) = kernel_version()?;
        if (major, minor) < KERNEL_MIN {
            let (need_major, need_minor) = KERNEL_MIN;
            return Err(io::Error::other(format!(
                "kernel {major}.{minor} is older than {need_major}.{need_minor}, from where on it \
                 closes them at once"
            )));
        }
        let places = u64::from(places).min(descriptor_limit()?);
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        ring.register_files(places)?;
        Ok(places)
    }

    /// Whether there is a place for the key.
    pub(super) fn has_place(&self, key: Key) -> bool {
        key.index() < self.moving.len()
    }

    /// Notes that a descriptor moves into the key's place, and tells where the kernel is to read
    /// that: it stays there until the place is used again.
    pub(super) fn stage(&mut self, key: Key, number: RawFd) -> *const RawFd {
        let entry = &mut self.moving[key.index()];
        *entry = number;
        entry
    }
}

/// The process's limit of descriptors.
fn descriptor_limit() -> io::Result<u64> {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call fills the structure that it is given.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limits.rlim_cur)
}
