//! Why a session ended: one list, stable from the first release.

use crate::net::framer::FrameError;
use fastport_protocol::PacketId;
use std::fmt;
use std::io;

/// Why a session ended, as the handler is told and as it is counted.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed its side, and everything that it sent was handled.
    PeerClosed,
    /// The peer closed its side in the middle of a frame.
    PeerTruncated,
    /// The connection was reset or failed; the system's error code, if there was one.
    PeerReset {
        /// `errno` or the Winsock code.
        os_code: Option<i32>,
    },
    /// The application asked for it with [`Session::disconnect`](crate::Session::disconnect).
    Requested,
    /// Nothing was received for the idle time limit.
    Idle,
    /// No first packet came within the time limit.
    FirstPacketTimeout,
    /// A frame was begun and not finished within the time limit.
    FrameTimeout,
    /// Something was queued and the peer took nothing for the time limit.
    WriteStalled,
    /// The send queue reached its hard limit.
    SendOverflow,
    /// The peer broke the frame format.
    Protocol(FrameError),
    /// A payload did not decode as its message.
    Undecodable {
        /// The id that named the message.
        id: PacketId,
    },
    /// A handler panicked while it served this session.
    HandlerPanic,
    /// The server is stopping.
    Stopping,
    /// An outgoing connection could not be made.
    ConnectFailed {
        /// `errno` or the Winsock code.
        os_code: Option<i32>,
    },
    /// An outgoing connection was not made within the time limit.
    ConnectTimeout,
    /// The worker that owned the session failed.
    WorkerFailed,
    /// Too many bytes waited for all peers together, and this session had more than its share.
    MemoryLimit,
    /// The peer sent faster than it may.
    RateLimited,
    /// The application ended it with [`Session::kick`](crate::Session::kick), and the peer was
    /// told.
    Kicked {
        /// The code that the peer was told.
        code: u16,
    },
    /// The peer ended it and said why; its words are
    /// [`Session::farewell`](crate::Session::farewell).
    ClosedByPeer {
        /// The code that the peer gave.
        code: u16,
    },
    /// The peer did not answer a heartbeat.
    Unresponsive,
    /// The send queue stayed full for the grace time of
    /// [`SendPolicy::Disconnect`](crate::SendPolicy).
    SendQueueFull,
    /// The application did not accept the peer within the time limit of
    /// [`ProtectionConfig::authentication`](crate::ProtectionConfig::authentication).
    AuthenticationTimeout,
    /// A peer that was not accepted yet began a frame larger than it may send until then.
    FrameBeforeAuthentication {
        /// Bytes of the frame.
        bytes: u32,
    },
    /// TLS failed: the handshake of an outgoing connection, or a session later on.
    Tls(TlsFailure),
    /// The peer's stream ended without TLS' own end: what it sent last may be missing.
    TlsTruncated,
}

/// What went wrong with TLS.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The handshake was not finished within its time limit.
    Timeout,
    /// The connection ended before the handshake was finished.
    Ended,
    /// The peer's certificate was not accepted.
    Certificate(CertificateFault),
    /// The peer ended TLS with an alert: it does not accept our certificate, for example.
    Refused {
        /// The alert's number (RFC 8446, 6.2).
        alert: u8,
    },
    /// The peer did not keep to the protocol, or it was not TLS at all, or the two have no version
    /// or cipher suite in common.
    Protocol,
    /// This side could not go on: its configuration can not be used, or its keys are used up.
    Local,
}

impl TlsFailure {
    /// The names of the codes, in their order, as metrics show them.
    pub const NAMES: [&'static str; 12] = [
        "timeout",
        "ended",
        "refused",
        "protocol",
        "local",
        "certificate_missing",
        "certificate_unknown_issuer",
        "certificate_wrong_name",
        "certificate_expired",
        "certificate_not_valid_yet",
        "certificate_revoked",
        "certificate_other",
    ];

    /// The failure's number: stable, dense, the index of its counter.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Timeout => 0,
            Self::Ended => 1,
            Self::Refused { .. } => 2,
            Self::Protocol => 3,
            Self::Local => 4,
            Self::Certificate(fault) => match fault {
                CertificateFault::Missing => 5,
                CertificateFault::UnknownIssuer => 6,
                CertificateFault::WrongName => 7,
                CertificateFault::Expired => 8,
                CertificateFault::NotValidYet => 9,
                CertificateFault::Revoked => 10,
                CertificateFault::Other => 11,
            },
        }
    }

    /// The failure's name in [`TlsFailure::NAMES`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.code() as usize]
    }
}

/// What is wrong with a peer's certificate.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CertificateFault {
    /// There is none.
    Missing,
    /// Nobody who is trusted vouches for it.
    UnknownIssuer,
    /// It is for another name.
    WrongName,
    /// It is not valid any more.
    Expired,
    /// It is not valid yet.
    NotValidYet,
    /// It was revoked.
    Revoked,
    /// Something else; the log has it at level debug.
    Other,
}

impl fmt::Display for TlsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("the handshake was not finished in time"),
            Self::Ended => f.write_str("the connection ended during the handshake"),
            Self::Certificate(fault) => f.write_str(match fault {
                CertificateFault::Missing => "the peer showed no certificate",
                CertificateFault::UnknownIssuer => {
                    "nobody who is trusted vouches for the peer's certificate"
                }
                CertificateFault::WrongName => "the peer's certificate is for another name",
                CertificateFault::Expired => "the peer's certificate has expired",
                CertificateFault::NotValidYet => "the peer's certificate is not valid yet",
                CertificateFault::Revoked => "the peer's certificate was revoked",
                CertificateFault::Other => "the peer's certificate is not accepted",
            }),
            Self::Refused { alert } => {
                write!(f, "the peer refused it with alert {alert}")?;
                alert_name(*alert).map_or(Ok(()), |name| write!(f, ", {name}"))
            }
            Self::Protocol => f.write_str("the peer does not keep to the protocol"),
            Self::Local => f.write_str("this side can not go on"),
        }
    }
}

/// The names of alerts that say something to people.
const fn alert_name(alert: u8) -> Option<&'static str> {
    Some(match alert {
        40 => "handshake failure",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        48 => "unknown certificate authority",
        49 => "access denied",
        51 => "decrypt error",
        70 => "protocol version",
        80 => "internal error",
        116 => "certificate required",
        _ => return None,
    })
}

impl CloseReason {
    /// The reason's number: stable, dense, the index of its counter.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::PeerClosed => 0,
            Self::PeerTruncated => 1,
            Self::PeerReset { .. } => 2,
            Self::Requested => 3,
            Self::Idle => 4,
            Self::FirstPacketTimeout => 5,
            Self::FrameTimeout => 6,
            Self::WriteStalled => 7,
            Self::SendOverflow => 8,
            Self::Protocol(_) => 9,
            Self::Undecodable { .. } => 10,
            Self::HandlerPanic => 11,
            Self::Stopping => 12,
            Self::ConnectFailed { .. } => 13,
            Self::ConnectTimeout => 14,
            Self::WorkerFailed => 15,
            Self::MemoryLimit => 16,
            Self::RateLimited => 17,
            Self::Kicked { .. } => 18,
            Self::ClosedByPeer { .. } => 19,
            Self::Unresponsive => 20,
            Self::SendQueueFull => 21,
            Self::AuthenticationTimeout => 22,
            Self::FrameBeforeAuthentication { .. } => 23,
            Self::Tls(_) => 24,
            Self::TlsTruncated => 25,
        }
    }

    /// The names of the codes, in their order, as metrics show them.
    pub const NAMES: [&'static str; 26] = [
        "peer_closed",
        "peer_truncated",
        "peer_reset",
        "requested",
        "idle",
        "first_packet_timeout",
        "frame_timeout",
        "write_stalled",
        "send_overflow",
        "protocol",
        "undecodable",
        "handler_panic",
        "stopping",
        "connect_failed",
        "connect_timeout",
        "worker_failed",
        "memory_limit",
        "rate_limited",
        "kicked",
        "closed_by_peer",
        "unresponsive",
        "send_queue_full",
        "authentication_timeout",
        "frame_before_authentication",
        "tls",
        "tls_truncated",
    ];

    /// The reason's name in [`CloseReason::NAMES`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        Self::NAMES[self.code() as usize]
    }

    /// Whether what is queued is still worth sending: the peer is there and keeps the rules.
    #[must_use]
    pub const fn flushes(self) -> bool {
        matches!(
            self,
            Self::PeerClosed
                | Self::PeerTruncated
                | Self::Requested
                | Self::Idle
                | Self::FirstPacketTimeout
                | Self::FrameTimeout
                | Self::Protocol(_)
                | Self::Undecodable { .. }
                | Self::HandlerPanic
                | Self::Stopping
                | Self::RateLimited
                | Self::Kicked { .. }
                | Self::ClosedByPeer { .. }
                | Self::AuthenticationTimeout
                | Self::FrameBeforeAuthentication { .. }
                | Self::Tls(_)
                | Self::TlsTruncated
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerClosed => f.write_str("the peer closed the connection"),
            Self::PeerTruncated => f.write_str("the peer closed in the middle of a frame"),
            Self::PeerReset { os_code } => with_code(f, "the connection was reset", *os_code),
            Self::Requested => f.write_str("the application asked for it"),
            Self::Idle => f.write_str("nothing was received for the idle time limit"),
            Self::FirstPacketTimeout => f.write_str("no first packet came in time"),
            Self::FrameTimeout => f.write_str("a frame was not finished in time"),
            Self::WriteStalled => f.write_str("the peer read nothing for the time limit"),
            Self::SendOverflow => f.write_str("the send queue reached its limit"),
            Self::Protocol(error) => write!(f, "protocol violation: {error}"),
            Self::Undecodable { id } => write!(f, "the payload of packet {id} does not decode"),
            Self::HandlerPanic => f.write_str("the handler panicked"),
            Self::Stopping => f.write_str("the server is stopping"),
            Self::ConnectFailed { os_code } => with_code(f, "connecting failed", *os_code),
            Self::ConnectTimeout => f.write_str("connecting took too long"),
            Self::WorkerFailed => f.write_str("the worker failed"),
            Self::MemoryLimit => f.write_str("too many bytes were queued in the whole service"),
            Self::RateLimited => f.write_str("the peer sent faster than it may"),
            Self::Kicked { code } => write!(f, "it was kicked with code {code}"),
            Self::ClosedByPeer { code } => write!(f, "the peer ended it with code {code}"),
            Self::Unresponsive => f.write_str("the peer did not answer a heartbeat"),
            Self::SendQueueFull => f.write_str("the send queue was full for the grace time"),
            Self::AuthenticationTimeout => f.write_str("the peer did not authenticate in time"),
            Self::FrameBeforeAuthentication { bytes } => {
                write!(
                    f,
                    "a frame of {bytes} bytes before the peer has authenticated"
                )
            }
            Self::Tls(failure) => write!(f, "TLS failed: {failure}"),
            Self::TlsTruncated => f.write_str("the peer's stream ended without TLS' own end"),
        }
    }
}

fn with_code(f: &mut fmt::Formatter<'_>, what: &str, os_code: Option<i32>) -> fmt::Result {
    match os_code {
        Some(code) => write!(f, "{what}: {}", io::Error::from_raw_os_error(code)),
        None => f.write_str(what),
    }
}
