//! The open loop: each request goes out at its time, whether or not answers come.
//!
//! A thread of its own, since a timer of an I/O thread would run late exactly when that thread is
//! busy. A request that goes out late is measured from when it should have gone: waiting never
//! hides.

use super::load::Load;
use super::plan::Extent;
use fastport::Session;
use std::thread;
use std::time::Duration;

/// The longest single wait, after which the pacer looks whether the run was given up.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Sends requests at `rate` per second, over the sessions in turn, from `start_ns` on. Blocks until
/// the last one was sent or the run was given up.
pub(crate) fn pace(load: &Load, sessions: &[Session], rate: f64, start_ns: u64) {
    ask_for_exact_timers();
    let schedule = Schedule::new(rate, load.plan.extent);
    let in_turn = sessions.iter().cycle();
    for (index, session) in (0..schedule.requests).zip(in_turn) {
        let due_ns = start_ns + schedule.offset_ns(index);
        if !wait_until(load, due_ns) {
            break;
        }
        load.send_due(session, due_ns);
    }
    sessions.iter().for_each(|session| load.end_open(session));
}

/// When the requests are due.
struct Schedule {
    interval_ns: f64,
    requests: u64,
}

impl Schedule {
    fn new(rate: f64, extent: Extent) -> Self {
        let requests = match extent {
            Extent::Requests(requests) => requests,
            // At least one, or there would be nothing to measure.
            Extent::Time(time) => (time.as_secs_f64() * rate).round().max(1.0) as u64,
        };
        Self {
            interval_ns: 1e9 / rate,
            requests,
        }
    }

    /// From the start to request `index`. Not summed up, so that no error does.
    fn offset_ns(&self, index: u64) -> u64 {
        (index as f64 * self.interval_ns) as u64
    }
}

/// Waits until the time has come. False when the run was given up.
fn wait_until(load: &Load, due_ns: u64) -> bool {
    loop {
        let now_ns = load.clock.now_ns();
        if now_ns >= due_ns {
            return true;
        }
        if load.is_ended() {
            return false;
        }
        // Wakes early, if at all wrongly; the loop looks again.
        thread::park_timeout(Duration::from_nanos(due_ns - now_ns).min(WAIT_MAX));
    }
}

/// Asks the kernel to end this thread's waits on time. By default Linux lets them run 50 µs over to
/// save wake-ups, more than the interval at 28,000 requests a second (`proc(5)`, `timerslack_ns`;
/// writing one's own needs no privilege). Where it fails the pacer is less exact, and the latencies
/// say so.
fn ask_for_exact_timers() {
    #[cfg(target_os = "linux")]
    if let Some(thread) = std::fs::read_link("/proc/thread-self")
        .ok()
        .as_deref()
        .and_then(file_name)
    {
        let file = format!("/proc/{thread}/timerslack_ns");
        if let Err(error) = std::fs::write(&file, "1") {
            tracing::debug!(%error, file, "timers stay coarse");
        }
    }
}

#[cfg(target_os = "linux")]
fn file_name(path: &std::path::Path) -> Option<&str> {
    path.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_keeps_its_rate_without_drift() {
        let schedule = Schedule::new(28_000.0, Extent::Time(Duration::from_secs(5)));
        assert_eq!(schedule.requests, 140_000);
        assert_eq!(schedule.offset_ns(0), 0);
        assert_eq!(schedule.offset_ns(28_000), 1_000_000_000);
        assert_eq!(schedule.offset_ns(28_000 * 3_600), 3_600_000_000_000);
    }

    #[test]
    fn a_slow_rate_still_sends_one() {
        let schedule = Schedule::new(0.001, Extent::Time(Duration::from_secs(1)));
        assert_eq!(schedule.requests, 1);
    }

    #[test]
    fn a_number_of_requests_is_kept() {
        assert_eq!(Schedule::new(7.0, Extent::Requests(9)).requests, 9);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_threads_waits_can_be_made_exact() {
        ask_for_exact_timers();
        let thread = std::fs::read_link("/proc/thread-self").unwrap();
        let file = format!("/proc/{}/timerslack_ns", file_name(&thread).unwrap());
        // A container may hide it; where it is shown, it was set.
        if let Ok(slack) = std::fs::read_to_string(file) {
            assert_eq!(slack.trim(), "1");
        }
    }
}
