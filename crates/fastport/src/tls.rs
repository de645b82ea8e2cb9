//! TLS by [rustls](https://docs.rs/rustls): whom a server says it is, whom a client trusts.
//!
//! The cryptography is the one that the process has installed
//! ([`CryptoProvider::install_default`](rustls::crypto::CryptoProvider::install_default)), or, with
//! the feature `tls-ring`, *ring*. TLS 1.2 and 1.3; no early data, which could be replayed.
//!
//! What a connection does with its keys is in `connection`; when it does so, the worker's
//! `handshake` and `secure` decide. Nothing here does I/O but reading files.

pub(crate) mod connection;
mod files;
pub(crate) mod sinks;

pub use files::{TlsClientFiles, TlsServerFiles};
pub use rustls;

use crate::lock::RwLock;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Why TLS can not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can not be read, or is not PEM.
    #[error("cannot read {}: {problem}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file has no certificate in it.
    #[error("{} holds no certificate: a PEM file with CERTIFICATE in it is wanted", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// rustls does not take what it was given: a key that is not the certificate's, for example.
    #[error("{what}: {source}")]
    Refused {
        /// What was given.
        what: String,
        /// What rustls says.
        source: rustls::Error,
    },
    /// There is no cryptography.
    #[error("there is no cryptography for TLS: use feature tls-ring, or install a CryptoProvider")]
    NoProvider,
    /// What the server is to be called is no name.
    #[error("{name:?} is neither a DNS name nor an address")]
    Name {
        /// What was given.
        name: String,
    },
}

/// Whom the sessions of a listener see: certificate, key, and which clients it takes. Clones are
/// the same one. Any thread.
#[derive(Clone)]
pub struct TlsServer {
    current: Arc<RwLock<Arc<ServerConfig>>>,
}

impl TlsServer {
    /// Takes a configuration of rustls. Early data is turned off in it.
    #[must_use]
    pub fn new(config: ServerConfig) -> Self {
        Self {
            current: Arc::new(RwLock::new(Arc::new(without_early_data(config)))),
        }
    }

    /// Reads certificate, key and the certificates of those who may vouch for clients. Blocks while
    /// the files are read.
    ///
    /// # Errors
    /// A file that can not be read or does not hold what it should, a key that is not the
    /// certificate's.
    pub fn from_files(files: &TlsServerFiles) -> Result<Self, TlsError> {
        Ok(Self::new(files.read()?))
    }

    /// Handshakes that begin from now on are made with this configuration; sessions that there are
    /// stay as they are.
    pub fn replace(&self, config: ServerConfig) {
        *self.current.write() = Arc::new(without_early_data(config));
    }

    /// As [`TlsServer::replace`], with what the files hold now.
    ///
    /// # Errors
    /// As [`TlsServer::from_files`]; nothing is changed then.
    pub fn reload(&self, files: &TlsServerFiles) -> Result<(), TlsError> {
        self.replace(files.read()?);
        Ok(())
    }

    /// The configuration of the moment.
    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.current.read().clone()
    }
}

/// Early data is handled before its sender is known to be there, and can be sent again by others.
fn without_early_data(mut config: ServerConfig) -> ServerConfig {
    config.max_early_data_size = 0;
    config
}

impl fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A configuration holds a key.
        f.debug_struct("TlsServer").finish_non_exhaustive()
    }
}

/// Which servers a client trusts, what the server must be called, and what the client shows. Clones
/// share what was kept of earlier sessions for quick handshakes.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Takes a configuration of rustls. Early data is turned off in it. `name` is the DNS name or
    /// the address that the server's certificate must be for.
    ///
    /// # Errors
    /// When `name` is neither.
    pub fn new(mut config: ClientConfig, name: &str) -> Result<Self, TlsError> {
        config.enable_early_data = false;
        let wrong = |_| TlsError::Name { name: name.into() };
        let name = ServerName::try_from(name.to_owned()).map_err(wrong)?;
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }

    /// Reads the certificates of those who may vouch for the server and, if there is one, the
    /// client's own certificate with its key. Blocks while the files are read.
    ///
    /// # Errors
    /// As [`TlsServer::from_files`], and as [`TlsClient::new`].
    pub fn from_files(files: &TlsClientFiles, name: &str) -> Result<Self, TlsError> {
        Self::new(files.read()?, name)
    }

    /// The same client, but with nothing kept of earlier sessions: each handshake is a whole one,
    /// and the server's certificate is checked in each.
    #[must_use]
    pub fn without_resumption(&self) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        Self {
            config: Arc::new(config),
            name: self.name.clone(),
        }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    pub(crate) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What a session's handshake agreed on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TlsInfo {
    /// The version of the protocol.
    pub version: rustls::ProtocolVersion,
    /// The cipher suite.
    pub suite: rustls::CipherSuite,
    /// The handshake went on with what an earlier connection of the two agreed on: shorter, and no
    /// certificate was shown and checked anew.
    pub resumed: bool,
    /// The peer's certificate and what it sent along to have it believed, the peer's own first.
    /// Empty for a client that showed none, which only a server that asks for none lets in.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The cryptography to use.
///
/// # Errors
/// [`TlsError::NoProvider`].
pub fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    if let Some(installed) = CryptoProvider::get_default() {
        return Ok(installed.clone());
    }
    built_in().ok_or(TlsError::NoProvider)
}

/// *ring*, with the suite of TLS 1.3 first that every implementation has (RFC 8446, 9.1). Its
/// SHA-256 runs on the instructions that processors have for it; for the SHA-384 of the one that it
/// puts first *ring* uses none, which was an eighth of a server's time for a handshake.
#[cfg(feature = "tls-ring")]
#[allow(clippy::unnecessary_wraps, reason = "other builds have none")]
fn built_in() -> Option<Arc<CryptoProvider>> {
    let mut ring = rustls::crypto::ring::default_provider();
    let first = rustls::CipherSuite::TLS13_AES_128_GCM_SHA256;
    // The others stay in their order.
    ring.cipher_suites
        .sort_by_key(|suite| suite.suite() != first);
    Some(Arc::new(ring))
}

#[cfg(not(feature = "tls-ring"))]
const fn built_in() -> Option<Arc<CryptoProvider>> {
    None
}
