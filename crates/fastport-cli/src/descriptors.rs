//! The limit of open descriptors: each session takes one, and the usual soft limit of 1,024 is soon
//! reached.

/// Raises the soft limit as far as the hard one permits. Where that fails the limit stays; a
/// session that finds no descriptor says so itself.
pub(crate) fn raise_limit() {
    #[cfg(unix)]
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "descriptors"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of descriptors"),
    }
}
