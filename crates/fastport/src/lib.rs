//! FastPort: TCP servers with many long-lived sessions, completion-based on every system.
//!
//! Write a [`Handler`], or closures on a [`ServerBuilder`], and run. Sessions, framing,
//! back-pressure, time limits, ordered dispatch and draining are here; io_uring, IOCP or a
//! readiness fallback is below.
#![forbid(unsafe_code)]

pub mod client;
mod close_reason;
pub mod config;
mod dispatch;
mod error;
#[cfg(doctest)]
mod guide;
mod handler;
mod io_service;
mod lock;
mod monitor;
pub mod net;
mod protection;
mod resume;
mod rooms;
pub mod server;
mod session;
#[cfg(feature = "simulation")]
#[doc(hidden)]
pub mod simulation;
mod stats;
#[cfg(feature = "tls")]
pub mod tls;
mod worker;

pub use client::{Client, ClientBuilder, ClientError};
pub use close_reason::{CertificateFault, CloseReason, TlsFailure};
pub use config::{
    ConfigError, Dispatch, Profile, ProtectionConfig, ServiceConfig, SessionConfig, Undecodable,
    WaitStrategy, WorkerFailure,
};
pub use error::{Error, SendError, SendStatus};
pub use fastport_buffer::SharedFrame;
pub use fastport_engine::{
    EngineConfig, EngineError, EngineKind, KeepAlive, ReceiveForm, SocketOptions,
};
pub use fastport_protocol as protocol;
pub use fastport_protocol::{Identified, PacketId};
pub use handler::Handler;
pub use io_service::{IoService, StopReport};
pub use monitor::{Monitor, SessionPage, WorkerStats};
pub use net::framer::{FrameError, Framing, PacketFramer};
pub use net::packet::Packet;
pub use net::router::Router;
pub use protection::address_set::{AddressBlock, AddressBlockError, AddressSet};
pub use protection::bans::Ban;
pub use protection::meter::Rate;
pub use protection::packet_rate::{PacketRate, RateAction};
pub use protection::reject::RejectReason;
pub use resume::client::{ClientState, ReconnectConfig, ResumingClient};
pub use resume::host::{Conversation, RESUME_REFUSED, Resumable, ResumeConfig, ResumeHandler};
pub use rooms::everyone::Everyone;
pub use rooms::room::Room;
pub use server::{Server, ServerBuilder};
pub use session::control::Farewell;
pub use session::handle::{AlreadyAttached, Session, SessionId, shared_frame};
pub use session::requests::{PeerAnswer, RequestError};
pub use session::send_policy::SendPolicy;
pub use stats::handler_times::HandlerTimesSnapshot;
pub use stats::snapshot::StatsSnapshot;
#[cfg(feature = "tls")]
pub use tls::{TlsClient, TlsClientFiles, TlsError, TlsInfo, TlsServer, TlsServerFiles};
