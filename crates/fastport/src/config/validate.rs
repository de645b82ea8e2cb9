//! The range of every setting, and what must hold between them.

use super::{ConfigError, Dispatch, ProtectionConfig, ServiceConfig, SessionConfig};
use crate::ResumeConfig;
use crate::protection::meter::Rate;
use fastport_engine::EngineConfig;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest time limit: longer ones are mistakes of units.
const TIME_LIMIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// The range of `spin_limit`.
const SPIN_LIMIT_MIN: Duration = Duration::from_micros(1);
const SPIN_LIMIT_MAX: Duration = Duration::from_millis(10);
/// Longer than a client of such a protocol may reasonably be silent; the kernel counts in retries.
const DEFER_ACCEPT_MAX: Duration = Duration::from_secs(60);
/// The most bytes that one session may queue.
const QUEUE_BYTES_MAX: usize = 1 << 30;
/// The most files that a ring can have in its table (IORING_MAX_FIXED_FILES).
const DIRECT_DESCRIPTORS_MAX: u32 = 1 << 20;

impl ServiceConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// The first one that is out of range or contradicts another: its key, value and range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        in_range("workers", self.workers, 1..=1024)?;
        if let Dispatch::Pool { workers } = self.dispatch {
            in_range("event_workers", workers, 1..=1024)?;
        }
        let spin = self.spin_limit;
        if !(SPIN_LIMIT_MIN..=SPIN_LIMIT_MAX).contains(&spin) {
            let expected = format!("{SPIN_LIMIT_MIN:?} to {SPIN_LIMIT_MAX:?} are allowed");
            return Err(ConfigError::new(
                "spin_limit",
                format!("{spin:?}"),
                expected,
            ));
        }
        in_range("max_sessions", self.sessions_max, 1..=16_777_216)?;
        in_range("backlog", self.backlog, 1..=65_535)?;
        in_range("accepts_posted", self.accepts_posted, 1..=4096)?;
        if self.defer_accept > DEFER_ACCEPT_MAX {
            return Err(ConfigError::new(
                "defer_accept",
                format!("{:?}", self.defer_accept),
                "at most 60 s are allowed",
            ));
        }
        self.session.validate()?;
        self.protection.validate()?;
        validate_engine(&self.engine_config)
    }
}

impl SessionConfig {
    /// Checks every setting of the sessions.
    ///
    /// # Errors
    /// As [`ServiceConfig::validate`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        in_range("frame_bytes_max", self.frame_bytes_max, 4..=65_535)?;
        let high = self.send_high_watermark;
        in_range(
            "send_queue_max",
            self.send_queue_max,
            65_536..=QUEUE_BYTES_MAX,
        )?;
        in_range("send_high_watermark", high, 4096..=self.send_queue_max)?;
        in_range("send_low_watermark", self.send_low_watermark, 1..=high)?;
        let receive = self.receive_high_watermark;
        in_range("receive_high_watermark", receive, 4096..=QUEUE_BYTES_MAX)?;
        for (key, limit) in [
            ("idle_timeout", self.idle_timeout),
            ("first_packet_timeout", self.first_packet_timeout),
            ("frame_timeout", self.frame_timeout),
            ("write_stall_timeout", self.write_stall_timeout),
            ("heartbeat_interval", self.heartbeat_interval),
            ("heartbeat_timeout", self.heartbeat_timeout),
        ] {
            // Zero turns the limit off.
            duration_up_to(key, limit)?;
        }
        if !self.heartbeat_interval.is_zero() && self.heartbeat_timeout <= self.heartbeat_interval {
            let expected = format!(
                "more than heartbeat_interval, {:?}",
                self.heartbeat_interval
            );
            let value = format!("{:?}", self.heartbeat_timeout);
            return Err(ConfigError::new("heartbeat_timeout", value, expected));
        }
        for (key, limit) in [
            ("send_full_grace", self.send_full_grace),
            ("flush_timeout", self.flush_timeout),
            ("linger_timeout", self.linger_timeout),
            ("connect_timeout", self.connect_timeout),
        ] {
            positive(key, limit)?;
        }
        Ok(())
    }
}

impl ProtectionConfig {
    /// Checks every setting of the protection.
    ///
    /// # Errors
    /// As [`ServiceConfig::validate`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        in_range("addresses_max", self.addresses_max, 16..=16_777_216)?;
        positive("proxy_timeout", self.proxy_timeout)?;
        positive("authentication_timeout", self.authentication_timeout)?;
        let most = self.unauthenticated_frame_bytes_max;
        in_range("unauthenticated_frame_bytes_max", most, 4..=65_535)?;
        positive("handshake_timeout", self.tls_handshake_timeout)?;
        burst("address_accept_burst", self.address_accept_rate)?;
        burst("accept_burst", self.accept_rate)?;
        burst("packet_burst", self.packet_rate)?;
        burst("byte_burst", self.byte_rate)?;
        for of in &self.packet_rates {
            burst("packet_rates", of.rate)?;
        }
        match self.queued_bytes_max {
            None | Some(0) => Ok(()),
            Some(bytes) => in_range("queued_bytes_max", bytes, 1 << 20..=usize::MAX),
        }
    }
}

impl ResumeConfig {
    /// Checks every setting of resumable sessions.
    ///
    /// # Errors
    /// As [`ServiceConfig::validate`].
    pub fn validate(&self) -> Result<(), ConfigError> {
        positive("keep", self.keep)?;
        let most = self.replay_bytes_max;
        in_range("replay_bytes_max", most, 1024..=QUEUE_BYTES_MAX)?;
        in_range("pauses_max", self.pauses_max, 0..=16_777_216)
    }
}

/// A rate whose burst is 0 would let nothing through.
fn burst(key: &'static str, rate: Rate) -> Result<(), ConfigError> {
    in_range(key, rate.burst, 1..=u32::MAX)
}

fn validate_engine(engine: &EngineConfig) -> Result<(), ConfigError> {
    in_range("chunk_bytes", engine.chunk_bytes, 1024..=1 << 20)?;
    in_range("chunks", engine.chunks, 2..=32_768)?;
    in_range("receive_budget", engine.receive_budget, 1024..=1 << 30)?;
    in_range("submission_entries", engine.submission_entries, 1..=32_768)?;
    if let Some(entries) = engine.completion_entries {
        in_range("completion_entries", entries, 2..=1 << 20)?;
    }
    in_range(
        "direct_descriptors",
        engine.direct_descriptors,
        0..=DIRECT_DESCRIPTORS_MAX,
    )?;
    let retry = engine.accept_retry_min;
    if retry.is_zero() || retry > engine.accept_retry_max {
        let expected = format!("more than 0 s and at most {:?}", engine.accept_retry_max);
        return Err(ConfigError::new(
            "accept_retry_min",
            format!("{retry:?}"),
            expected,
        ));
    }
    duration_up_to("accept_retry_max", engine.accept_retry_max)
}

fn in_range<T: PartialOrd + Display>(
    key: &'static str,
    value: T,
    range: RangeInclusive<T>,
) -> Result<(), ConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    let expected = format!("{} to {} are allowed", range.start(), range.end());
    Err(ConfigError::new(key, value, expected))
}

fn positive(key: &'static str, limit: Duration) -> Result<(), ConfigError> {
    if limit.is_zero() {
        let expected = "more than 0 s and at most 7 days";
        return Err(ConfigError::new(key, "0s", expected));
    }
    duration_up_to(key, limit)
}

fn duration_up_to(key: &'static str, limit: Duration) -> Result<(), ConfigError> {
    if limit <= TIME_LIMIT_MAX {
        return Ok(());
    }
    Err(ConfigError::new(
        key,
        format!("{limit:?}"),
        "at most 7 days are allowed",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies `change` to the defaults and returns the key of the error, if any.
    fn wrong(change: impl FnOnce(&mut ServiceConfig)) -> Option<&'static str> {
        let mut config = ServiceConfig::default();
        change(&mut config);
        config.validate().err().map(|error| error.key)
    }

    #[test]
    fn the_defaults_are_right() {
        assert_eq!(wrong(|_| {}), None);
    }

    #[test]
    fn each_edge_is_named() {
        assert_eq!(wrong(|c| c.workers = 0), Some("workers"));
        assert_eq!(wrong(|c| c.workers = 1024), None);
        assert_eq!(wrong(|c| c.workers = 1025), Some("workers"));
        let pool = |workers| move |c: &mut ServiceConfig| c.dispatch = Dispatch::Pool { workers };
        assert_eq!(wrong(pool(0)), Some("event_workers"));
        assert_eq!(wrong(|c| c.sessions_max = 0), Some("max_sessions"));
        assert_eq!(wrong(|c| c.backlog = 0), Some("backlog"));
        assert_eq!(wrong(|c| c.accepts_posted = 0), Some("accepts_posted"));
        let late = Duration::from_millis(60_001);
        assert_eq!(wrong(|c| c.defer_accept = late), Some("defer_accept"));
        assert_eq!(
            wrong(|c| c.session.frame_bytes_max = 3),
            Some("frame_bytes_max")
        );
        assert_eq!(wrong(|c| c.session.frame_bytes_max = 4), None);
        assert_eq!(
            wrong(|c| c.session.frame_bytes_max = 65_536),
            Some("frame_bytes_max")
        );
        assert_eq!(wrong(|c| c.engine_config.chunks = 1), Some("chunks"));
        assert_eq!(
            wrong(|c| c.engine_config.chunk_bytes = 1023),
            Some("chunk_bytes")
        );
        assert_eq!(
            wrong(|c| c.engine_config.receive_budget = 0),
            Some("receive_budget")
        );
        let no_retry = |c: &mut ServiceConfig| c.engine_config.accept_retry_min = Duration::ZERO;
        assert_eq!(wrong(no_retry), Some("accept_retry_min"));
        let direct =
            |count| move |c: &mut ServiceConfig| c.engine_config.direct_descriptors = count;
        assert_eq!(wrong(direct(1 << 20)), None);
        assert_eq!(wrong(direct((1 << 20) + 1)), Some("direct_descriptors"));
    }

    #[test]
    fn limits_of_strangers_have_ranges() {
        assert_eq!(
            wrong(|c| c.protection.addresses_max = 15),
            Some("addresses_max")
        );
        let no_burst = |c: &mut ServiceConfig| c.protection.accept_rate = Rate::new(1, 0);
        assert_eq!(wrong(no_burst), Some("accept_burst"));
        let no_burst = |c: &mut ServiceConfig| c.protection.address_accept_rate.burst = 0;
        assert_eq!(wrong(no_burst), Some("address_accept_burst"));
        assert_eq!(wrong(|c| c.protection.address_sessions_max = 0), None);
        let no_time = |c: &mut ServiceConfig| c.protection.proxy_timeout = Duration::ZERO;
        assert_eq!(wrong(no_time), Some("proxy_timeout"));
        let no_time = |c: &mut ServiceConfig| c.protection.authentication_timeout = Duration::ZERO;
        assert_eq!(wrong(no_time), Some("authentication_timeout"));
        let frame = |bytes| {
            move |c: &mut ServiceConfig| c.protection.unauthenticated_frame_bytes_max = bytes
        };
        assert_eq!(wrong(frame(4)), None);
        assert_eq!(wrong(frame(3)), Some("unauthenticated_frame_bytes_max"));
        assert_eq!(
            wrong(frame(65_536)),
            Some("unauthenticated_frame_bytes_max")
        );
        let no_time = |c: &mut ServiceConfig| c.protection.tls_handshake_timeout = Duration::ZERO;
        assert_eq!(wrong(no_time), Some("handshake_timeout"));
        assert_eq!(
            wrong(|c| c.protection.packet_rate.burst = 0),
            Some("packet_burst")
        );
        assert_eq!(
            wrong(|c| c.protection.byte_rate.burst = 0),
            Some("byte_burst")
        );
        let budget = |bytes| move |c: &mut ServiceConfig| c.protection.queued_bytes_max = bytes;
        assert_eq!(wrong(budget(Some(0))), None);
        assert_eq!(wrong(budget(Some(1 << 20))), None);
        assert_eq!(wrong(budget(Some((1 << 20) - 1))), Some("queued_bytes_max"));
    }

    #[test]
    fn watermarks_must_be_in_order() {
        let queue = |low, high, max| {
            move |c: &mut ServiceConfig| {
                c.session.send_low_watermark = low;
                c.session.send_high_watermark = high;
                c.session.send_queue_max = max;
            }
        };
        assert_eq!(wrong(queue(4096, 8192, 65_536)), None);
        assert_eq!(wrong(queue(8193, 8192, 65_536)), Some("send_low_watermark"));
        assert_eq!(
            wrong(queue(4096, 65_537, 65_536)),
            Some("send_high_watermark")
        );
        assert_eq!(wrong(queue(4096, 8192, 65_535)), Some("send_queue_max"));
    }

    #[test]
    fn time_limits_have_a_longest_and_some_may_be_off() {
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(wrong(|c| c.session.idle_timeout = Duration::ZERO), None);
        assert_eq!(
            wrong(|c| c.session.idle_timeout = day * 8),
            Some("idle_timeout")
        );
        assert_eq!(
            wrong(|c| c.session.flush_timeout = Duration::ZERO),
            Some("flush_timeout")
        );
        assert_eq!(
            wrong(|c| c.session.send_full_grace = Duration::ZERO),
            Some("send_full_grace")
        );
        assert_eq!(
            wrong(|c| c.session.connect_timeout = day * 8),
            Some("connect_timeout")
        );
    }

    #[test]
    fn the_message_names_key_value_and_range() {
        let config = ServiceConfig {
            workers: 0,
            ..ServiceConfig::default()
        };
        let text = config.validate().unwrap_err().to_string();
        assert_eq!(text, "workers = 0: 1 to 1024 are allowed");
    }
}
