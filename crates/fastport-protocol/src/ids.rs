//! Which packet id belongs to which message, and which ids are whose.

use crate::{admin, benchmark, tests};
use std::fmt;
use std::ops::RangeInclusive;

/// The id in a frame's header, which says what its payload is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(u16);

impl PacketId {
    /// An echo, both the request and the answer.
    pub const ECHO: Self = Self(0x0001);
    /// An echo whose payload is not decoded: it comes back as it is.
    pub const RAW_ECHO: Self = Self(0x0002);

    /// A timed request.
    pub const BENCHMARK_REQUEST: Self = Self(0x1001);
    /// The answer to [`PacketId::BENCHMARK_REQUEST`].
    pub const BENCHMARK_RESPONSE: Self = Self(0x1002);
    /// Announces a run.
    pub const BENCHMARK_START_REQUEST: Self = Self(0x1003);
    /// The answer to [`PacketId::BENCHMARK_START_REQUEST`].
    pub const BENCHMARK_START_RESPONSE: Self = Self(0x1004);
    /// Ends a run.
    pub const BENCHMARK_END_REQUEST: Self = Self(0x1005);
    /// The answer to [`PacketId::BENCHMARK_END_REQUEST`].
    pub const BENCHMARK_END_RESPONSE: Self = Self(0x1006);
    /// A packet of a one-way stream.
    pub const THROUGHPUT_DATA: Self = Self(0x1007);
    /// What the server saw of a one-way stream.
    pub const THROUGHPUT_RESULT: Self = Self(0x1008);

    /// Asks whether the peer lives. The origin names no id for it; this one was chosen here.
    pub const PING_REQUEST: Self = Self(0x1009);
    /// The answer to [`PacketId::PING_REQUEST`]. Chosen here.
    pub const PING_RESPONSE: Self = Self(0x100A);
    /// The answer to a request that could not be served. Chosen here.
    pub const ERROR_RESPONSE: Self = Self(0x100B);

    /// Asks how the server does. Admin only.
    pub const ADMIN_STATUS_SUMMARY_REQUEST: Self = Self(0x8001);
    /// The answer to [`PacketId::ADMIN_STATUS_SUMMARY_REQUEST`].
    pub const ADMIN_STATUS_SUMMARY_RESPONSE: Self = Self(0x8002);
    /// Asks for a page of the sessions. Admin only.
    pub const ADMIN_SESSION_LIST_REQUEST: Self = Self(0x8003);
    /// The answer to [`PacketId::ADMIN_SESSION_LIST_REQUEST`].
    pub const ADMIN_SESSION_LIST_RESPONSE: Self = Self(0x8004);

    /// What an operator tells the people behind a session. Chosen here.
    pub const ADMIN_NOTICE: Self = Self(0x8010);
    /// Says why its sender ends the session; its last packet.
    pub const SESSION_CLOSE: Self = Self(0x8F01);
    /// Asks the peer's session layer whether it lives.
    pub const SESSION_PING: Self = Self(0x8F02);
    /// The answer to [`PacketId::SESSION_PING`], with its payload.
    pub const SESSION_PONG: Self = Self(0x8F03);

    /// Begins a resumable session, or goes on with one; see `docs/session-control.md`.
    pub const RESUME_HELLO: Self = Self(0x8F10);
    /// The answer to [`PacketId::RESUME_HELLO`].
    pub const RESUME_WELCOME: Self = Self(0x8F11);
    /// Says how many packets of a resumable session were handled.
    pub const RESUME_HANDLED: Self = Self(0x8F12);

    /// The ids that applications choose from.
    pub const APPLICATION: RangeInclusive<u16> = 0x0003..=0x0FFF;
    /// The ids of the admin channel, and from 0x8F00 of session layers; an application can not
    /// register them.
    pub const RESERVED: RangeInclusive<u16> = 0x8000..=0x8FFF;

    /// The id with this number; every number is an id.
    #[must_use]
    #[inline]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number that is sent.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// Whether applications choose from the range that the id is in.
    #[must_use]
    pub fn is_application(self) -> bool {
        Self::APPLICATION.contains(&self.0)
    }

    /// Whether session layers exchange the id by themselves; no handler sees it.
    #[must_use]
    #[inline]
    pub const fn is_session_control(self) -> bool {
        self.0 & 0xFFF0 == 0x8F00
    }

    /// Whether the id is the admin channel's or the session layer's.
    #[must_use]
    pub fn is_reserved(self) -> bool {
        Self::RESERVED.contains(&self.0)
    }
}

impl From<u16> for PacketId {
    #[inline]
    fn from(number: u16) -> Self {
        Self(number)
    }
}

impl From<PacketId> for u16 {
    #[inline]
    fn from(id: PacketId) -> Self {
        id.0
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X}", self.0)
    }
}

impl fmt::Debug for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketId({self})")
    }
}

/// A message that is sent under one id of its own.
///
/// Two messages share an id only where the direction tells them apart, as echo's do.
pub trait Identified: prost::Message + Default {
    /// The id of the message's frames.
    const ID: PacketId;
}

macro_rules! identified {
    ($($message:ty => $id:ident),* $(,)?) => {$(
        impl Identified for $message {
            const ID: PacketId = PacketId::$id;
        }
    )*};
}

identified!(
    tests::EchoRequest => ECHO,
    tests::EchoResponse => ECHO,
    tests::PingRequest => PING_REQUEST,
    tests::PingResponse => PING_RESPONSE,
    tests::ErrorResponse => ERROR_RESPONSE,
    benchmark::BenchmarkRequest => BENCHMARK_REQUEST,
    benchmark::BenchmarkResponse => BENCHMARK_RESPONSE,
    benchmark::BenchmarkStartRequest => BENCHMARK_START_REQUEST,
    benchmark::BenchmarkStartResponse => BENCHMARK_START_RESPONSE,
    benchmark::BenchmarkEndRequest => BENCHMARK_END_REQUEST,
    benchmark::BenchmarkEndResponse => BENCHMARK_END_RESPONSE,
    benchmark::ThroughputData => THROUGHPUT_DATA,
    benchmark::ThroughputResult => THROUGHPUT_RESULT,
    admin::AdminStatusSummaryRequest => ADMIN_STATUS_SUMMARY_REQUEST,
    admin::AdminStatusSummaryResponse => ADMIN_STATUS_SUMMARY_RESPONSE,
    admin::AdminSessionListRequest => ADMIN_SESSION_LIST_REQUEST,
    admin::AdminSessionListResponse => ADMIN_SESSION_LIST_RESPONSE,
    admin::AdminNotice => ADMIN_NOTICE,
);

#[cfg(test)]
mod bounds {
    use super::*;

    #[test]
    fn ranges_end_where_the_wire_says() {
        let application = |number| PacketId::new(number).is_application();
        let reserved = |number| PacketId::new(number).is_reserved();
        assert!(!application(0x0002) && application(0x0003));
        assert!(application(0x0FFF) && !application(0x1000));
        assert!(!reserved(0x7FFF) && reserved(0x8000));
        assert!(reserved(0x8FFF) && !reserved(0x9000));
        let control = |number| PacketId::new(number).is_session_control();
        assert!(!control(0x8EFF) && control(0x8F00) && control(0x8F0F) && !control(0x8F10));
    }

    #[test]
    fn an_id_is_shown_with_four_digits() {
        assert_eq!(PacketId::ECHO.to_string(), "0x0001");
        assert_eq!(format!("{:?}", PacketId::new(0xBEEF)), "PacketId(0xBEEF)");
    }
}
