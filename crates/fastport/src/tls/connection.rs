//! One connection's TLS: cipher text in, plain text out, and the other way; no I/O, no session.
//!
//! rustls' unbuffered interface: it decrypts where the worker put what came, and an idle connection
//! holds no buffer.

use super::sinks::{CipherSink, PlainSink};
use super::{TlsClient, TlsInfo, TlsServer};
use crate::close_reason::{CertificateFault, TlsFailure};
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{AlertDescription, CertificateError, CommonState, Error, HandshakeKind};

/// Plain bytes of one record at most.
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// More than what a record adds to its plain bytes, in any version.
const RECORD_OVERHEAD: usize = 64;

/// A connection's TLS state.
pub(crate) enum Connection {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// What came of received bytes.
pub(crate) struct Progress {
    /// So many of them are used up.
    pub(crate) used: usize,
    /// The peer has said that it sends no more.
    pub(crate) peer_closed: bool,
    /// What is wrong. What TLS tells the peer of it is in the output.
    pub(crate) failure: Option<TlsFailure>,
}

impl Connection {
    /// The side that is connected to. The failure is ours.
    pub(crate) fn server(of: &TlsServer) -> Result<Self, Error> {
        UnbufferedServerConnection::new(of.current()).map(Self::Server)
    }

    /// The side that connects.
    pub(crate) fn client(of: &TlsClient) -> Result<Self, Error> {
        UnbufferedClientConnection::new(of.config(), of.name()).map(Self::Client)
    }

    /// Whether no data may be sent or is received yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.common().is_handshaking()
    }

    /// What was agreed on; `None` while the handshake lasts.
    pub(crate) fn info(&self) -> Option<TlsInfo> {
        let common = self.common();
        Some(TlsInfo {
            version: common.protocol_version()?,
            suite: common.negotiated_cipher_suite()?.suite(),
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
            certificates: common.peer_certificates().unwrap_or_default().to_vec(),
        })
    }

    /// Takes in what came, which is changed where it is. Data goes to `plain`; what TLS itself has
    /// to say goes behind `own`.
    pub(crate) fn receive(
        &mut self,
        came: &mut [u8],
        own: &mut Vec<u8>,
        plain: &mut PlainSink<'_>,
    ) -> Progress {
        match self {
            Self::Server(side) => receive(side, came, own, plain),
            Self::Client(side) => receive(side, came, own, plain),
        }
    }

    /// Encrypts data of which `left` bytes follow in all. `unfinished` is what
    /// [`Connection::receive`] did not use up: rustls keeps places in it.
    ///
    /// # Errors
    /// When the keys are used up, or the connection has failed before.
    pub(crate) fn encrypt(
        &mut self,
        data: &[u8],
        left: usize,
        unfinished: &mut [u8],
        cipher: &mut CipherSink,
    ) -> Result<(), TlsFailure> {
        match self {
            Self::Server(side) => encrypt(side, data, left, unfinished, cipher),
            Self::Client(side) => encrypt(side, data, left, unfinished, cipher),
        }
    }

    /// Says behind `own` that nothing more is sent, if that can be said. `unfinished` as for
    /// [`Connection::encrypt`].
    pub(crate) fn close(&mut self, unfinished: &mut [u8], own: &mut Vec<u8>) {
        match self {
            Self::Server(side) => close(side, unfinished, own),
            Self::Client(side) => close(side, unfinished, own),
        }
    }

    fn common(&self) -> &CommonState {
        match self {
            Self::Server(side) => side,
            Self::Client(side) => side,
        }
    }
}

/// What both sides have, though rustls does not say so in one type.
trait Side {
    type Data;

    fn process<'c, 'i>(&'c mut self, came: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// Whether there is something of TLS itself to be said.
    fn wants_write(&self) -> bool;
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, came: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(came)
    }

    fn wants_write(&self) -> bool {
        CommonState::wants_write(self)
    }
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, came: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(came)
    }

    fn wants_write(&self) -> bool {
        CommonState::wants_write(self)
    }
}

fn receive<S: Side>(
    side: &mut S,
    came: &mut [u8],
    own: &mut Vec<u8>,
    plain: &mut PlainSink<'_>,
) -> Progress {
    let mut progress = Progress {
        used: 0,
        peer_closed: false,
        failure: None,
    };
    loop {
        let UnbufferedStatus { mut discard, state } = side.process(&mut came[progress.used..]);
        let mut goes_on = true;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    match record {
                        Ok(record) => {
                            discard += record.discard;
                            plain.push(record.payload);
                        }
                        Err(error) => progress.failure = Some(failure_of(&error)),
                    }
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                goes_on = append(own, |memory| data.encode(memory));
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => progress.peer_closed = true,
            // Early data is off.
            Ok(_) => goes_on = false,
            Err(error) => progress.failure = Some(failure_of(&error)),
        }
        progress.used += discard;
        if progress.failure.is_some() {
            take_last_words(side, &mut came[progress.used..], own);
            return progress;
        }
        if !goes_on {
            return progress;
        }
    }
}

/// What TLS tells the peer of a failure. What is wrong in `rest` must not be looked at twice, so
/// rustls is asked only while it has something to say.
fn take_last_words<S: Side>(side: &mut S, rest: &mut [u8], own: &mut Vec<u8>) {
    while side.wants_write() {
        let Ok(ConnectionState::EncodeTlsData(mut data)) = side.process(rest).state else {
            return;
        };
        if !append(own, |memory| data.encode(memory)) {
            return;
        }
    }
}

/// Whether the message went behind `own`.
fn append(
    own: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> bool {
    let at = own.len();
    let mut room = 512;
    loop {
        own.resize(at + room, 0);
        match encode(&mut own[at..]) {
            Ok(bytes) => {
                own.truncate(at + bytes);
                return true;
            }
            Err(EncodeError::InsufficientSize(wanted)) if wanted.required_size > room => {
                room = wanted.required_size;
            }
            Err(_) => {
                own.truncate(at);
                return false;
            }
        }
    }
}

fn encrypt<S: Side>(
    side: &mut S,
    mut data: &[u8],
    mut left: usize,
    unfinished: &mut [u8],
    cipher: &mut CipherSink,
) -> Result<(), TlsFailure> {
    while !data.is_empty() {
        let room = cipher.room_for(data.len(), left, RECORD_OVERHEAD);
        let record = data.len().min(RECORD_BYTES_MAX).min(room - RECORD_OVERHEAD);
        let ConnectionState::WriteTraffic(mut traffic) = side
            .process(unfinished)
            .state
            .map_err(|error| failure_of(&error))?
        else {
            return Err(TlsFailure::Local);
        };
        let mut outcome = cipher.write(room, |memory| traffic.encrypt(&data[..record], memory));
        // There was something of TLS itself to be said before.
        if let Err(EncryptError::InsufficientSize(wanted)) = outcome {
            let room = wanted.required_size;
            outcome = cipher.write(room, |memory| traffic.encrypt(&data[..record], memory));
        }
        outcome.map_err(|_| TlsFailure::Local)?;
        data = &data[record..];
        left -= record;
    }
    Ok(())
}

fn close<S: Side>(side: &mut S, unfinished: &mut [u8], own: &mut Vec<u8>) {
    let Ok(ConnectionState::WriteTraffic(mut traffic)) = side.process(unfinished).state else {
        return;
    };
    let at = own.len();
    own.resize(at + 2 * RECORD_OVERHEAD, 0);
    let bytes = traffic.queue_close_notify(&mut own[at..]).unwrap_or(0);
    own.truncate(at + bytes);
}

/// What an error of rustls is to whoever counts ends.
fn failure_of(error: &Error) -> TlsFailure {
    tracing::debug!(%error, "TLS failed");
    match error {
        Error::NoCertificatesPresented => TlsFailure::Certificate(CertificateFault::Missing),
        Error::InvalidCertificate(error) => TlsFailure::Certificate(match error {
            CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                CertificateFault::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                CertificateFault::NotValidYet
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                CertificateFault::WrongName
            }
            CertificateError::Revoked => CertificateFault::Revoked,
            _ => CertificateFault::Other,
        }),
        Error::AlertReceived(alert) => TlsFailure::Refused {
            alert: alert_code(*alert),
        },
        _ => TlsFailure::Protocol,
    }
}

fn alert_code(alert: AlertDescription) -> u8 {
    alert.into()
}

#[cfg(all(test, feature = "tls-ring"))]
mod tests;
