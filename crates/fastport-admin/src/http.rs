//! The HTTP face: page, JSON, metrics, health.
//!
//! What keeps others out, in this order: the name that `Host` says (DNS rebinding), the token, and
//! for what changes something an origin and a content type that no foreign page can send.

use crate::access::{Denied, Origin, Role};
use crate::actions::Asker;
use crate::model::{Action, SessionList, SessionRow};
use crate::server::Shared;
use crate::{clock, metrics};
use fastport::Session;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

const PAGE: &str = include_str!("../page/index.html");
const SCRIPT: &str = include_str!("../page/page.js");
const STYLE: &str = include_str!("../page/page.css");

/// How long a request's head may take, waiting for it included.
const HEAD: Duration = Duration::from_secs(30);
/// How long a request's body may take, and its bytes at most.
const BODY: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 8 * 1024;
/// How long the workers may take to show that they live.
const PING: Duration = Duration::from_secs(1);
/// Sessions in an answer.
const SESSIONS_MAX: usize = 1000;

/// The page takes nothing from elsewhere and shows in no frame.
const HEADERS: [(HeaderName, &str); 7] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

type Answer = Response<Full<Bytes>>;

/// Speaks HTTP/1.1 with a client until it leaves.
pub(crate) async fn serve<S>(shared: Arc<Shared>, origin: Origin, stream: S) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(respond(&shared, origin, request).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await
        .map_err(io::Error::other)
}

async fn respond(shared: &Arc<Shared>, origin: Origin, request: Request<Incoming>) -> Answer {
    let mut answer = match check_host(shared, origin, request.headers()) {
        None => route(shared, origin, request).await,
        Some(answer) => answer,
    };
    for (name, value) in HEADERS {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// The answer to a request that does not name this machine.
fn check_host(shared: &Shared, origin: Origin, headers: &HeaderMap) -> Option<Answer> {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if origin == Origin::Owner || host.is_some_and(|host| shared.access.names_us(host)) {
        return None;
    }
    Some(plain(
        StatusCode::MISDIRECTED_REQUEST,
        "this host name is not known here: allow it with admin.hosts",
    ))
}

async fn route(shared: &Arc<Shared>, origin: Origin, request: Request<Incoming>) -> Answer {
    let path = request.uri().path();
    let read = request.method() == Method::GET || request.method() == Method::HEAD;
    // These say nothing about the server: a browser needs them to ask for the token.
    match path {
        "/" if read => return typed("text/html; charset=utf-8", PAGE),
        "/page.js" if read => return typed("text/javascript; charset=utf-8", SCRIPT),
        "/page.css" if read => return typed("text/css; charset=utf-8", STYLE),
        "/healthz" if read => return health(shared).await,
        "/readyz" if read && shared.is_draining() => {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "draining");
        }
        "/readyz" if read => return plain(StatusCode::OK, "ready"),
        _ => {}
    }
    let role = match check_token(shared, origin, request.headers()) {
        Ok(role) => role,
        Err(answer) => return *answer,
    };
    match (request.method(), path) {
        (&Method::GET, "/metrics") => {
            let memory = shared.board.latest().process.memory_bytes;
            let text = metrics::text(&shared.monitor, memory, shared.control.log_lines_lost());
            typed(metrics::CONTENT_TYPE, text)
        }
        (&Method::GET, "/api/status") => json(&*shared.board.latest()),
        (&Method::GET, "/api/history") => json(&shared.board.history()),
        (&Method::GET, "/api/bans") => json(&shared.actions.bans()),
        (&Method::GET, "/api/sessions") => {
            shared.scans.wait().await;
            match sessions(shared, request.uri().query().unwrap_or_default()) {
                Ok(list) => json(&list),
                Err(problem) => plain(StatusCode::BAD_REQUEST, problem),
            }
        }
        (&Method::POST, "/api/action") => {
            let role = Some(role);
            act(shared, Asker { origin, role }, request).await
        }
        _ => plain(StatusCode::NOT_FOUND, "nothing is here"),
    }
}

/// What a request may do, or the answer to one that may not be served.
fn check_token(shared: &Shared, origin: Origin, headers: &HeaderMap) -> Result<Role, Box<Answer>> {
    let said = headers.get(header::AUTHORIZATION);
    let guess = said.and_then(|said| said.as_bytes().strip_prefix(b"Bearer "));
    match shared.access.check(origin, guess, clock::now()) {
        Ok(role) => Ok(role),
        Err(denied) => {
            if guess.is_some() {
                shared.refused(origin, "request");
            }
            Err(Box::new(match denied {
                Denied::Token => {
                    let mut answer = plain(StatusCode::UNAUTHORIZED, "a token is needed");
                    let bearer = HeaderValue::from_static("Bearer");
                    answer
                        .headers_mut()
                        .insert(header::WWW_AUTHENTICATE, bearer);
                    answer
                }
                Denied::Guessing => plain(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many wrong tokens: wait half a minute",
                ),
            }))
        }
    }
}

/// Whether each worker takes its turns.
async fn health(shared: &Shared) -> Answer {
    let monitor = shared.monitor.clone();
    let pinged = tokio::task::spawn_blocking(move || monitor.ping_workers(PING));
    match pinged.await {
        Ok(true) => plain(StatusCode::OK, "ok"),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "a worker does not answer"),
    }
}

async fn act(shared: &Arc<Shared>, asker: Asker, request: Request<Incoming>) -> Answer {
    let headers = request.headers();
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    // A page of another origin can send JSON only after it asked, and nothing here says yes.
    if !is_json || !is_same_origin(headers) {
        return plain(
            StatusCode::FORBIDDEN,
            "actions are JSON, and from this page or a program only",
        );
    }
    let body = Limited::new(request.into_body(), BODY_BYTES_MAX);
    let body = body.collect();
    let Ok(Ok(body)) = tokio::time::timeout(BODY, body).await else {
        return plain(StatusCode::BAD_REQUEST, "the body is too long or too slow");
    };
    let action: Action = match serde_json::from_slice(&body.to_bytes()) {
        Ok(action) => action,
        Err(error) => return plain(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let actions = shared.actions.clone();
    let performed = tokio::task::spawn_blocking(move || actions.perform(asker, &action)).await;
    match performed {
        Ok(Some(outcome)) => json(&outcome),
        Ok(None) => plain(
            StatusCode::FORBIDDEN,
            "this token may only read: an action needs an operator's",
        ),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Whether the request is no browser's, or of our own page.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let site = text(HeaderName::from_static("sec-fetch-site"));
    if site.is_some_and(|site| site != "same-origin") {
        return false;
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => {
            let name = origin.split_once("://").map(|(_, name)| name);
            name.is_some_and(|name| name.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => false,
    }
}

/// Sessions by id from `after` on, or the first of another order: `sort` is `id`, `packets`,
/// `received`, `sent` or `queued`.
fn sessions(shared: &Shared, query: &str) -> Result<SessionList, &'static str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (mut after, mut limit, mut sort) = (None, 100, "id");
    for (name, value) in pairs {
        let number = value.parse::<u64>();
        match name {
            "after" => after = Some(number.map_err(|_| "after is a session's id")?),
            "limit" => {
                let number = number.map_err(|_| "limit is a number")?;
                limit = usize::try_from(number).unwrap_or(usize::MAX);
            }
            "sort" => sort = value,
            _ => return Err("after, limit and sort are known"),
        }
    }
    let limit = limit.clamp(1, SESSIONS_MAX);
    let key: fn(&Session) -> u64 = match sort {
        "id" => {
            let after = after.map(fastport::SessionId::from_value);
            let page = shared.monitor.page(after, limit);
            return Ok(SessionList {
                total: page.total,
                next: page.next.map(fastport::SessionId::value),
                sessions: rows(shared, &page.sessions),
            });
        }
        "packets" => Session::received_packets,
        "received" => Session::received_bytes,
        "sent" => Session::sent_bytes,
        "queued" => |session| session.queued_bytes() as u64,
        _ => return Err("sort is id, packets, received, sent or queued"),
    };
    let mut all = Vec::new();
    shared
        .monitor
        .for_each_session(|session| all.push((key(session), session.clone())));
    all.sort_unstable_by_key(|(key, session)| (std::cmp::Reverse(*key), session.id()));
    let first: Vec<_> = all.iter().take(limit).map(|(_, s)| s.clone()).collect();
    Ok(SessionList {
        total: all.len(),
        next: None,
        sessions: rows(shared, &first),
    })
}

fn rows(shared: &Shared, sessions: &[Session]) -> Vec<SessionRow> {
    let now = u64::try_from(shared.monitor.uptime().as_millis()).unwrap_or(u64::MAX);
    let row = |session: &Session| SessionRow {
        id: session.id().value(),
        peer: session.peer_address().to_string(),
        packets_in: session.received_packets(),
        bytes_in: session.received_bytes(),
        bytes_out: session.sent_bytes(),
        queued_bytes: session.queued_bytes() as u64,
        silent_ms: Some(session.last_received_ms())
            .filter(|at| *at > 0)
            .map(|at| now.saturating_sub(at)),
        traced: session.is_traced(),
    };
    sessions.iter().map(row).collect()
}

fn json(value: &impl Serialize) -> Answer {
    match serde_json::to_string(value) {
        Ok(text) => typed("application/json", text),
        Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut answer = typed("text/plain; charset=utf-8", text.into() + "\n");
    *answer.status_mut() = status;
    answer
}

fn typed(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}
