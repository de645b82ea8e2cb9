//! The limit on open descriptors: a thousand sockets pass the usual soft one.

#[cfg(unix)]
use rustix::process::{Resource, getrlimit, setrlimit};
use std::io;

/// Raises the soft limit to the hard one, for this process and what it starts. Returns the limit,
/// or `None` when there is none.
///
/// # Errors
/// When the system refuses.
#[cfg(unix)]
pub fn raise_limit() -> io::Result<Option<u64>> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    Ok(getrlimit(Resource::Nofile).current)
}

/// Windows has no such limit.
///
/// # Errors
/// None.
#[cfg(not(unix))]
pub fn raise_limit() -> io::Result<Option<u64>> {
    Ok(None)
}
