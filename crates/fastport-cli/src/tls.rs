//! TLS as the command line knows it: files. What the library makes of them is used by the server,
//! the client and the benchmark; a build without the feature `tls` says that it has none.

use crate::arguments::{TlsClientArguments, TlsFlags};
use crate::failure::Failure;
use std::path::PathBuf;

/// The files of a server's TLS.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct TlsSettings {
    /// Certificate and chain; without it there is no TLS.
    pub(crate) certificates: Option<PathBuf>,
    /// The private key.
    pub(crate) key: Option<PathBuf>,
    /// Who vouches for clients.
    pub(crate) client_ca: Option<PathBuf>,
}

impl TlsSettings {
    /// The key of the file that is lacking beside those that are there, and what to do.
    pub(crate) fn lacks(&self) -> Option<(&'static str, String)> {
        let lacks = |key, beside: &str| Some((key, format!("is wanted beside tls.{beside}")));
        match (&self.certificates, &self.key, &self.client_ca) {
            (Some(_), None, _) => lacks("key_file", "certificate_file"),
            (None, Some(_), _) => lacks("certificate_file", "key_file"),
            (None, None, Some(_)) => lacks("certificate_file", "client_ca_file"),
            _ => None,
        }
    }
}

#[cfg(feature = "tls")]
pub(crate) use with::{ClientTls, ServerTls};
#[cfg(not(feature = "tls"))]
pub(crate) use without::{ClientTls, ServerTls};

#[cfg(feature = "tls")]
mod with {
    use super::{Failure, TlsClientArguments, TlsFlags, TlsSettings, server_name};
    use fastport::{
        CloseReason, Error, Handler, IoService, Session, TlsClient, TlsClientFiles, TlsServer,
        TlsServerFiles,
    };
    use std::net::SocketAddr;
    use std::sync::Arc;

    /// A server's TLS, or that it has none.
    #[derive(Clone, Debug)]
    pub(crate) struct ServerTls(Option<TlsServer>);

    impl ServerTls {
        /// Reads the files.
        ///
        /// # Errors
        /// What is wrong with them.
        pub(crate) fn read(settings: &TlsSettings) -> Result<Self, String> {
            let Some(files) = files(settings) else {
                return Ok(Self(None));
            };
            let server = TlsServer::from_files(&files);
            server
                .map(|server| Self(Some(server)))
                .map_err(|error| error.to_string())
        }

        /// Reads the files again, for handshakes that begin from now on. Whether there were any.
        ///
        /// # Errors
        /// What is wrong with them, or that TLS can not be turned on and off in a running server;
        /// nothing is changed then.
        pub(crate) fn reload(&self, settings: &TlsSettings) -> Result<bool, String> {
            match (&self.0, files(settings)) {
                (None, None) => Ok(false),
                (Some(server), Some(files)) => {
                    let outcome = server.reload(&files);
                    outcome.map(|()| true).map_err(|error| error.to_string())
                }
                _ => Err("TLS is turned on and off by a restart only".into()),
            }
        }

        pub(crate) const fn is_on(&self) -> bool {
            self.0.is_some()
        }

        /// Listens with TLS, or without.
        pub(crate) fn listen(
            &self,
            service: &IoService,
            address: SocketAddr,
            handler: Arc<dyn Handler>,
        ) -> Result<SocketAddr, Error> {
            match &self.0 {
                Some(tls) => service.listen_tls(address, handler, tls),
                None => service.listen(address, handler),
            }
        }
    }

    fn files(settings: &TlsSettings) -> Option<TlsServerFiles> {
        Some(TlsServerFiles {
            certificates: settings.certificates.clone()?,
            key: settings.key.clone()?,
            client_ca: settings.client_ca.clone(),
        })
    }

    /// A client's TLS, or that it has none.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct ClientTls(Option<TlsClient>);

    /// Plans of a benchmark are compared: what matters there is whether there is TLS.
    impl PartialEq for ClientTls {
        fn eq(&self, other: &Self) -> bool {
            self.0.is_some() == other.0.is_some()
        }
    }

    impl ClientTls {
        /// Reads the files that the flags name; `to` is where the client connects.
        ///
        /// # Errors
        /// What is wrong with them.
        pub(crate) fn read(flags: &TlsFlags, to: &str) -> Result<Self, Failure> {
            let TlsClientArguments { ca, identity } = match flags.checked() {
                Ok(Some(arguments)) => arguments,
                Ok(None) => return Ok(Self(None)),
                Err(problem) => return Err(Failure::Usage(problem)),
            };
            let name = server_name(flags.tls_name.as_deref(), to);
            let client = TlsClient::from_files(&TlsClientFiles { ca, identity }, name);
            client
                .map(|client| Self(Some(client)))
                .map_err(|error| Failure::Usage(error.to_string()))
        }

        /// Whole handshakes alone, where earlier ones would make later ones shorter.
        pub(crate) fn without_resumption(self) -> Self {
            Self(self.0.map(|client| client.without_resumption()))
        }

        /// Connects with TLS, or without.
        pub(crate) fn connect(
            &self,
            service: &IoService,
            to: SocketAddr,
            handler: Arc<dyn Handler>,
            done: impl FnOnce(Result<Session, CloseReason>) + Send + 'static,
        ) -> Result<(), Error> {
            match &self.0 {
                Some(tls) => service.connect_tls(to, handler, tls, done),
                None => service.connect(to, handler, done),
            }
        }
    }
}

#[cfg(not(feature = "tls"))]
mod without {
    use super::{Failure, TlsFlags, TlsSettings};
    use fastport::{CloseReason, Error, Handler, IoService, Session};
    use std::net::SocketAddr;
    use std::sync::Arc;

    const NONE: &str = "this build has no TLS: build it with the feature tls-ring";

    #[derive(Clone, Debug)]
    pub(crate) struct ServerTls;

    impl ServerTls {
        pub(crate) fn read(settings: &TlsSettings) -> Result<Self, String> {
            match settings.certificates {
                Some(_) => Err(NONE.into()),
                None => Ok(Self),
            }
        }

        pub(crate) fn reload(&self, settings: &TlsSettings) -> Result<bool, String> {
            Self::read(settings).map(|_| false)
        }

        pub(crate) const fn is_on(&self) -> bool {
            false
        }

        pub(crate) fn listen(
            &self,
            service: &IoService,
            address: SocketAddr,
            handler: Arc<dyn Handler>,
        ) -> Result<SocketAddr, Error> {
            service.listen(address, handler)
        }
    }

    #[derive(Clone, PartialEq, Debug, Default)]
    pub(crate) struct ClientTls {}

    impl ClientTls {
        pub(crate) fn read(flags: &TlsFlags, _to: &str) -> Result<Self, Failure> {
            match flags.checked() {
                Ok(None) => Ok(Self {}),
                _ => Err(Failure::Usage(NONE.into())),
            }
        }

        pub(crate) const fn without_resumption(self) -> Self {
            self
        }

        pub(crate) fn connect(
            &self,
            service: &IoService,
            to: SocketAddr,
            handler: Arc<dyn Handler>,
            done: impl FnOnce(Result<Session, CloseReason>) + Send + 'static,
        ) -> Result<(), Error> {
            service.connect(to, handler, done)
        }
    }
}

impl TlsFlags {
    /// What the flags ask for; `None` without TLS.
    ///
    /// # Errors
    /// What they lack.
    fn checked(&self) -> Result<Option<TlsClientArguments>, String> {
        let others = self.tls_name.is_some() || self.tls_cert.is_some() || self.tls_key.is_some();
        let Some(ca) = &self.tls_ca else {
            return match self.tls || others {
                true => Err(
                    "TLS needs to know whom to trust: --tls-ca FILE.pem, the certificate of the \
                     server or of who vouches for it"
                        .into(),
                ),
                false => Ok(None),
            };
        };
        let identity = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
            (None, None) => None,
            _ => return Err("--tls-cert and --tls-key belong together".into()),
        };
        Ok(Some(TlsClientArguments {
            ca: ca.clone(),
            identity,
        }))
    }
}

/// What the server must be called: what was asked for, or the host that is connected to.
#[cfg(feature = "tls")]
fn server_name<'a>(asked: Option<&'a str>, to: &'a str) -> &'a str {
    let host = to.rsplit_once(':').map_or(to, |(host, _)| host);
    asked.unwrap_or_else(|| host.trim_start_matches('[').trim_end_matches(']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_belong_together() {
        let some = || Some(PathBuf::from("x.pem"));
        let of = |certificates, key, client_ca| TlsSettings {
            certificates,
            key,
            client_ca,
        };
        assert_eq!(of(None, None, None).lacks(), None);
        assert_eq!(of(some(), some(), some()).lacks(), None);
        assert_eq!(of(some(), None, None).lacks().unwrap().0, "key_file");
        assert_eq!(
            of(None, some(), None).lacks().unwrap().0,
            "certificate_file"
        );
        assert_eq!(
            of(None, None, some()).lacks().unwrap().0,
            "certificate_file"
        );
    }

    #[test]
    fn flags_that_lack_something_say_what() {
        let flags = TlsFlags {
            tls: true,
            ..TlsFlags::default()
        };
        assert!(flags.checked().unwrap_err().contains("--tls-ca"));
        let flags = TlsFlags {
            tls_ca: Some("ca.pem".into()),
            tls_cert: Some("me.pem".into()),
            ..TlsFlags::default()
        };
        assert!(flags.checked().unwrap_err().contains("--tls-key"));
        assert_eq!(TlsFlags::default().checked().unwrap(), None);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn the_server_is_called_as_it_is_connected_to() {
        assert_eq!(server_name(None, "game.example:6628"), "game.example");
        assert_eq!(server_name(None, "[::1]:6628"), "::1");
        assert_eq!(server_name(Some("other"), "game.example:1"), "other");
    }
}
