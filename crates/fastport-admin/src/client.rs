//! A client of the admin listener, as the command line uses it.

use crate::model::{Action, BanRow, Outcome, SessionList, Status};
use crate::{AdminAddress, AdminError, Token};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer's bytes at most.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Asks an admin listener. Every method blocks, 10 s at most.
pub struct AdminClient {
    address: AdminAddress,
    token: Option<Token>,
    runtime: tokio::runtime::Runtime,
}

impl AdminClient {
    /// Makes a client; nothing is connected yet.
    ///
    /// # Errors
    /// When the system gives it no resources.
    pub fn new(address: AdminAddress, token: Option<Token>) -> Result<Self, AdminError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(AdminError::Thread)?;
        Ok(Self {
            address,
            token,
            runtime,
        })
    }

    /// The server at this moment.
    ///
    /// # Errors
    /// No server, or a server that refuses.
    pub fn status(&self) -> Result<Status, AdminError> {
        self.ask(Method::GET, "/api/status", String::new())
    }

    /// The first `limit` sessions in the order of `sort`: `id`, `packets`, `received`, `sent`,
    /// `queued`. By id, those behind `after`.
    ///
    /// # Errors
    /// As [`AdminClient::status`].
    pub fn sessions(
        &self,
        sort: &str,
        after: Option<u64>,
        limit: usize,
    ) -> Result<SessionList, AdminError> {
        let after = after.map_or(String::new(), |after| format!("&after={after}"));
        let path = format!("/api/sessions?sort={sort}&limit={limit}{after}");
        self.ask(Method::GET, &path, String::new())
    }

    /// The bans that hold.
    ///
    /// # Errors
    /// As [`AdminClient::status`].
    pub fn bans(&self) -> Result<Vec<BanRow>, AdminError> {
        self.ask(Method::GET, "/api/bans", String::new())
    }

    /// Does something. That it was not done is an outcome, no error.
    ///
    /// # Errors
    /// As [`AdminClient::status`].
    pub fn act(&self, action: &Action) -> Result<Outcome, AdminError> {
        let body = serde_json::to_string(action).map_err(|error| self.unreachable(error))?;
        self.ask(Method::POST, "/api/action", body)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<T, AdminError> {
        let asked =
            async { tokio::time::timeout(PATIENCE, self.request(method, path, body)).await };
        let (status, body) = self
            .runtime
            .block_on(asked)
            .map_err(|_| self.unreachable("it took too long"))??;
        if !(200..300).contains(&status) {
            return Err(AdminError::Refused {
                address: self.address.to_string(),
                status,
                message: String::from_utf8_lossy(&body).trim().to_owned(),
            });
        }
        serde_json::from_slice(&body).map_err(|error| self.unreachable(error))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: String,
    ) -> Result<(u16, Bytes), AdminError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            let bearer = format!("Bearer {}", token.reveal());
            request = request.header(header::AUTHORIZATION, bearer);
        }
        let host = match &self.address {
            AdminAddress::Tcp(address) => address.to_string(),
            AdminAddress::Unix(_) => "localhost".into(),
        };
        let request = request
            .header(header::HOST, host)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| self.unreachable(error))?;
        match &self.address {
            AdminAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await;
                self.exchange(stream.map_err(|error| self.unreachable(error))?, request)
                    .await
            }
            #[cfg(unix)]
            AdminAddress::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await;
                self.exchange(stream.map_err(|error| self.unreachable(error))?, request)
                    .await
            }
            #[cfg(not(unix))]
            AdminAddress::Unix(_) => Err(self.unreachable("no Unix sockets on this system")),
        }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<(u16, Bytes), AdminError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.unreachable(error))?;
        let exchange = async {
            let answer = sender.send_request(request).await;
            let answer = answer.map_err(|error| self.unreachable(error))?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
            let body = body.await.map_err(|error| self.unreachable(error))?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            answer = &mut exchange => answer,
            // Its end may come before the answer was taken.
            _ = &mut connection => exchange.await,
        }
    }

    fn unreachable(&self, problem: impl std::fmt::Display) -> AdminError {
        AdminError::Unreachable {
            address: self.address.to_string(),
            problem: problem.to_string(),
        }
    }
}

impl std::fmt::Debug for AdminClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminClient")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
