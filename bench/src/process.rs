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
    let ticks = stat_ticks(&stat, 2).ok_or_else(|| unreadable("stat"))?;
    Ok(ticks_time(ticks))
}

/// Processor time of this process, and of those that it started and waited for. The resolution is
/// as that of [`processor_time`].
///
/// # Errors
/// When `/proc` can not be read.
pub fn own_time_with_children() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let ticks = stat_ticks(&stat, 4).ok_or_else(|| unreadable("stat"))?;
    Ok(ticks_time(ticks))
}

fn ticks_time(ticks: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_millis(ticks.saturating_mul(1000) / per_second)
}

/// How many descriptors a process has open.
///
/// # Errors
/// When there is no such process, or it is another user's.
pub fn open_descriptors(pid: u32) -> io::Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// How many descriptors a process may have: the soft and the hard limit, as the system writes them.
///
/// # Errors
/// When there is no such process.
pub fn descriptor_limits(pid: u32) -> io::Result<(String, String)> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let mut values = line.unwrap_or_default().split_whitespace();
    let both = values.next().zip(values.next());
    let (soft, hard) = both.ok_or_else(|| unreadable("limits"))?;
    Ok((soft.to_owned(), hard.to_owned()))
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

/// The sum of utime, stime, cutime and cstime of proc_pid_stat(5), or of the first of them: fields
/// 14 to 17. The name before them is in parentheses and may hold anything, parentheses and blanks
/// included.
fn stat_ticks(stat: &str, fields: usize) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11);
    (0..fields).try_fold(0_u64, |sum, _| sum.checked_add(times.next()?.parse().ok()?))
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
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 7 1 20 0";
        assert_eq!(stat_ticks(stat, 2), Some(300));
        assert_eq!(stat_ticks(stat, 4), Some(308));
        assert_eq!(stat_ticks("7 (a) S 1 2", 2), None);
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
        assert!(own_time_with_children().unwrap() >= processor_time(own).unwrap());
    }

    #[test]
    fn this_process_has_descriptors_and_a_limit() {
        let own = std::process::id();
        assert!(open_descriptors(own).unwrap() >= 3);
        let (soft, hard) = descriptor_limits(own).unwrap();
        for limit in [soft, hard] {
            assert!(
                limit == "unlimited" || limit.parse::<u64>().is_ok(),
                "{limit}"
            );
        }
    }
}
