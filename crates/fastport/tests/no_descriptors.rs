//! Connecting without a descriptor left: an error that says so, and no more than that.
//!
//! A program of its own, since the limit is the process's.
#![cfg(unix)]

use fastport::{CloseReason, Dispatch, EngineKind, IoService, ServiceConfig, Session};
use rlimit::{Resource, getrlimit, setrlimit};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// The same number on every Unix.
const EMFILE: i32 = 24;

struct Nothing;

impl fastport::Handler for Nothing {
    fn on_packet(&self, _session: &Session, _packet: fastport::Packet<'_>) {}
}

/// Connects and waits for what comes of it.
fn connect(service: &IoService, to: SocketAddr) -> Result<(), CloseReason> {
    let (told, tells) = channel();
    let done = move |outcome: Result<Session, CloseReason>| {
        let _ = told.send(outcome.map(drop));
    };
    service
        .connect(to, Arc::new(Nothing), done)
        .expect("the service runs");
    tells.recv_timeout(LIMIT).expect("an outcome")
}

fn connecting_without_descriptors_fails_and_recovers(engine: &str) {
    let service = IoService::start(ServiceConfig {
        engine: Some(engine.parse::<EngineKind>().expect("an engine")),
        workers: 1,
        dispatch: Dispatch::Inline,
        ..ServiceConfig::default()
    })
    .expect("a service");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let to = listener.local_addr().expect("an address");
    let (soft, hard) = getrlimit(Resource::NOFILE).expect("a limit");
    // No descriptor below the limit is free: what is open stays open.
    setrlimit(Resource::NOFILE, 0, hard).expect("a lower limit");
    let outcomes: Vec<_> = (0..50).map(|_| connect(&service, to)).collect();
    setrlimit(Resource::NOFILE, soft, hard).expect("the old limit");
    for outcome in outcomes {
        let os_code = Some(EMFILE);
        assert_eq!(outcome, Err(CloseReason::ConnectFailed { os_code }));
    }
    assert_eq!(connect(&service, to), Ok(()));
    assert_eq!(service.stats().connect_failures, 50);
    assert_eq!(service.sessions(), 1);
}

/// One after the other: the limit is the process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

macro_rules! mount {
    ($engine:ident) => {
        mod $engine {
            #[test]
            fn connecting_without_descriptors_fails_and_recovers() {
                let _turn = super::ONE_AT_A_TIME.lock();
                super::connecting_without_descriptors_fails_and_recovers(stringify!($engine));
            }
        }
    };
}

#[cfg(target_os = "linux")]
mount!(io_uring);
mount!(poll);
