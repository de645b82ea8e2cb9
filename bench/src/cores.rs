//! Pins programs to cores, so that a server and its load do not take each other's time.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io;

/// Runs `start` with the calling thread on `core` alone, then gives it its old cores back. A
/// process or thread that `start` makes keeps `core`.
///
/// # Errors
/// When this process may not run on `core`, or `start` fails.
pub fn on_core<T>(core: usize, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    if core >= CpuSet::MAX_CPU || !before.is_set(core) {
        let sentence = format!(
            "core {core} is not among the {} usable ones",
            before.count()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, sentence));
    }
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calling_thread_gets_its_cores_back() {
        let before = sched_getaffinity(None).unwrap();
        let core = (0..CpuSet::MAX_CPU)
            .find(|core| before.is_set(*core))
            .unwrap();
        let inside = on_core(core, || Ok(sched_getaffinity(None)?)).unwrap();
        assert_eq!(inside.count(), 1);
        assert!(inside.is_set(core));
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }

    #[test]
    fn a_core_that_does_not_exist_is_an_error() {
        assert!(on_core(CpuSet::MAX_CPU, || Ok(())).is_err());
    }
}
