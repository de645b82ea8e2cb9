//! Certificates and keys from PEM files. Reads files; knows no connection.

use super::{TlsError, provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a server's certificate and key are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsServerFiles {
    /// PEM file with the server's certificate and, behind it, those that lead to one that clients
    /// trust.
    pub certificates: PathBuf,
    /// PEM file with the certificate's private key.
    pub key: PathBuf,
    /// PEM file with the certificates of those who vouch for clients: a client must show a
    /// certificate of theirs. `None`: clients are asked for none.
    pub client_ca: Option<PathBuf>,
}

impl TlsServerFiles {
    pub(super) fn read(&self) -> Result<ServerConfig, TlsError> {
        let provider = provider()?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|source| refused("the TLS versions", source))?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let roots = Arc::new(roots(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                let verifier = verifier.map_err(|problem| wrong(path, problem))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = certificates(&self.certificates)?;
        let config = builder
            .with_single_cert(chain, key(&self.key)?)
            .map_err(|source| pair_refused(&self.certificates, &self.key, source))?;
        Ok(with_tickets(config))
    }
}

/// Lets clients that come back go on with what they agreed on before. They bring it along
/// themselves, encrypted, so it costs no memory here, and holds for any number of them; rustls
/// keeps it for 256 otherwise. One ticket is enough for a client that has one connection.
///
/// What a ticket is encrypted with is of this configuration: a reload makes those before it void,
/// and with them what clients were let in by an authority that is not trusted any more.
#[cfg(feature = "tls-ring")]
fn with_tickets(mut config: ServerConfig) -> ServerConfig {
    config.send_tls13_tickets = 1;
    match rustls::crypto::ring::Ticketer::new() {
        Ok(ticketer) => config.ticketer = ticketer,
        Err(error) => tracing::warn!(%error, "TLS sessions can not be resumed by tickets"),
    }
    config
}

/// Tickets are of *ring*.
#[cfg(not(feature = "tls-ring"))]
const fn with_tickets(config: ServerConfig) -> ServerConfig {
    config
}

/// Where is whom a client trusts, and what it shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TlsClientFiles {
    /// PEM file with the certificates of those who vouch for servers.
    pub ca: PathBuf,
    /// PEM files with the client's own certificate and its private key, for servers that want one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl TlsClientFiles {
    pub(super) fn read(&self) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider()?)
            .with_safe_default_protocol_versions()
            .map_err(|source| refused("the TLS versions", source))?
            .with_root_certificates(roots(&self.ca)?);
        let Some((certificate, private)) = &self.identity else {
            return Ok(builder.with_no_client_auth());
        };
        builder
            .with_client_auth_cert(certificates(certificate)?, key(private)?)
            .map_err(|source| pair_refused(certificate, private, source))
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|problem| wrong(path, problem))?;
    let found: Vec<_> = found
        .collect::<Result<_, _>>()
        .map_err(|problem| wrong(path, problem))?;
    if found.is_empty() {
        return Err(TlsError::NoCertificate { path: path.into() });
    }
    Ok(found)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|source| refused(path.display(), source))?;
    }
    Ok(roots)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|problem| wrong(path, problem))
}

fn wrong(path: &Path, problem: impl Display) -> TlsError {
    TlsError::File {
        path: path.into(),
        problem: problem.to_string(),
    }
}

fn refused(what: impl Display, source: rustls::Error) -> TlsError {
    let what = what.to_string();
    TlsError::Refused { what, source }
}

fn pair_refused(certificate: &Path, key: &Path, source: rustls::Error) -> TlsError {
    let what = format!("{} with {}", certificate.display(), key.display());
    refused(what, source)
}
