//! Accepts on Unix sockets and addresses, and hands each connection to HTTP or to the wire.

use crate::access::Origin;
use crate::server::Shared;
use crate::sniffed::Sniffed;
use crate::{AdminAddress, AdminError, http, wire};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Connections at a time; further ones wait in the kernel.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to say its first byte.
const FIRST_BYTE: Duration = Duration::from_secs(10);
/// How long a connection may live: whoever stays connects again.
const LIFETIME: Duration = Duration::from_secs(600);
/// After a failed accept.
const RETRY: Duration = Duration::from_millis(200);

/// A socket that listens.
pub(crate) enum Bound {
    Tcp(TcpListener, AdminAddress),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener, OwnedSocket),
}

impl Bound {
    pub(crate) fn address(&self) -> AdminAddress {
        match self {
            Self::Tcp(_, address) => address.clone(),
            #[cfg(unix)]
            Self::Unix(_, socket) => AdminAddress::Unix(socket.0.clone()),
        }
    }
}

/// Listens on all of them. In a runtime.
pub(crate) async fn bind_all(addresses: &[AdminAddress]) -> Result<Vec<Bound>, AdminError> {
    let mut bound = Vec::new();
    for address in addresses {
        let failed = |source| AdminError::Listen {
            address: address.to_string(),
            source,
        };
        bound.push(bind(address).await.map_err(failed)?);
    }
    Ok(bound)
}

async fn bind(address: &AdminAddress) -> io::Result<Bound> {
    match address {
        AdminAddress::Tcp(address) => {
            let listener = TcpListener::bind(address).await?;
            let address = listener.local_addr()?;
            Ok(Bound::Tcp(listener, AdminAddress::Tcp(address)))
        }
        #[cfg(unix)]
        AdminAddress::Unix(path) => OwnedSocket::bind(path),
        #[cfg(not(unix))]
        AdminAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// The path of a Unix socket, removed with it.
#[cfg(unix)]
pub(crate) struct OwnedSocket(std::path::PathBuf);

#[cfg(unix)]
impl OwnedSocket {
    /// Listens where nobody does. The socket gets its name only when nobody but its owner may
    /// connect.
    fn bind(path: &std::path::Path) -> io::Result<Bound> {
        use std::os::unix::fs::PermissionsExt;
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let unnamed = path.with_extension(format!("new-{}", std::process::id()));
        let listener = tokio::net::UnixListener::bind(&unnamed)?;
        let owner_only = std::fs::Permissions::from_mode(0o600);
        let named = std::fs::set_permissions(&unnamed, owner_only)
            .and_then(|()| std::fs::rename(&unnamed, path));
        if let Err(error) = named {
            let _ = std::fs::remove_file(&unnamed);
            return Err(error);
        }
        Ok(Bound::Unix(listener, Self(path.into())))
    }
}

#[cfg(unix)]
impl Drop for OwnedSocket {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Accepts for as long as the runtime lives.
pub(crate) async fn accept(shared: Arc<Shared>, bound: Bound) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Nobody closes the semaphore.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let shared = shared.clone();
        let accepted = match &bound {
            Bound::Tcp(listener, _) => listener.accept().await.map(|(stream, peer)| {
                let origin = Origin::Peer(peer.ip().to_canonical());
                tokio::spawn(async move {
                    serve(&shared, origin, stream).await;
                    drop(place);
                });
            }),
            #[cfg(unix)]
            Bound::Unix(listener, _) => listener.accept().await.map(|(stream, _)| {
                tokio::spawn(async move {
                    serve(&shared, Origin::Owner, stream).await;
                    drop(place);
                });
            }),
        };
        if let Err(error) = accepted {
            tracing::debug!(%error, "the admin listener could not accept");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// A frame of the wire begins with the high byte of its size, and an admin request is short; a
/// request of HTTP begins with a letter.
async fn serve<S>(shared: &Arc<Shared>, origin: Origin, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(Ok(Some((first, stream)))) =
        tokio::time::timeout(FIRST_BYTE, Sniffed::read(stream)).await
    else {
        return;
    };
    let outcome = tokio::time::timeout(LIFETIME, async {
        if first.is_ascii_alphabetic() {
            http::serve(shared.clone(), origin, stream).await
        } else {
            wire::serve(shared, origin, stream).await
        }
    });
    if let Ok(Err(error)) = outcome.await {
        tracing::debug!(%error, from = %origin, "an admin connection ended early");
    }
}

#[cfg(test)]
mod tests;
