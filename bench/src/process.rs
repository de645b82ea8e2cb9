//! What the system says about a running process: processor time and memory, from `/proc`.

use std::time::Duration;
use std::{fs, io};

/// Processor time that all threads of a process have taken, in user and kernel mode. The system's
/// resolution is one clock tick, 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn processor_time(pid: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = stat_ticks(&stat).ok_or_else(|| unreadable("stat"))?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(
        ticks.saturating_mul(1000) / per_second,
    ))
}

/// Memory of a process.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Bytes in physical memory now.
    pub resident_bytes: u64,
    /// The most that it was.
    pub peak_bytes: u64,
}

/// The memory of a process.
///
/// # Errors
/// When there is no such process.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name| status_bytes(&status, name).ok_or_else(|| unreadable("status"));
    Ok(Memory {
        resident_bytes: field("VmRSS:")?,
        peak_bytes: field("VmHWM:")?,
    })
}

/// utime and stime of proc_pid_stat(5): fields 14 and 15. The name before them is in parentheses
/// and may hold anything, parentheses and blanks included.
fn stat_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

/// A line of proc_pid_status(5), which counts in KiB.
fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn unreadable(file: &str) -> io::Error {
    let sentence = format!("/proc/PID/{file} does not read as proc(5) says");
    io::Error::new(io::ErrorKind::InvalidData, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0";
        assert_eq!(stat_ticks(stat), Some(300));
        assert_eq!(stat_ticks("7 (a) S 1 2"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(status_bytes(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(status_bytes(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.resident_bytes > 0);
        assert!(memory.peak_bytes >= memory.resident_bytes);
        assert!(processor_time(own).unwrap() < Duration::from_secs(3600));
    }
}
