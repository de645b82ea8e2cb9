//! How much memory this process may use, where the system tells it in a file.

use std::fs;

/// The machine's memory or, if it is less, what the process's control group may use, in bytes.
/// `None` where neither can be read: on systems other than Linux.
pub(crate) fn available() -> Option<usize> {
    let total = fs::read_to_string("/proc/meminfo").ok();
    let total = total.as_deref().and_then(total_of_meminfo);
    // Version 2, then version 1 of control groups, as a container sees its own.
    let limits = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limits = limits.iter().filter_map(|path| {
        let text = fs::read_to_string(path).ok()?;
        text.trim().parse().ok()
    });
    limits.chain(total).min()
}

fn total_of_meminfo(text: &str) -> Option<usize> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        let text = "MemTotal:       24576 kB\nMemFree:        1 kB\n";
        assert_eq!(total_of_meminfo(text), Some(24 << 20));
        assert_eq!(total_of_meminfo("MemFree: 1 kB\n"), None);
        assert_eq!(total_of_meminfo("MemTotal: much\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_some() {
        assert!(available().is_some_and(|bytes| bytes > 16 << 20));
    }
}
