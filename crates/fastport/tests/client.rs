//! The client against a server: blocking, async on an executor of ten lines, and when things fail.

use fastport::protocol::benchmark::{BenchmarkRequest, BenchmarkResponse};
use fastport::protocol::tests::{EchoRequest, EchoResponse};
use fastport::{
    Client, ClientError, CloseReason, Dispatch, EngineKind, Error, Identified, IoService, PacketId,
    Server, ServiceConfig,
};
use std::future::Future;
use std::io::Read;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
/// Nothing answers this id.
const SILENT: PacketId = PacketId::BENCHMARK_REQUEST;

/// An executor: the waker unparks the thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn echo_server() -> Server {
    Server::builder()
        .listen("127.0.0.1:0")
        .workers(1)
        .on(|session, request: EchoRequest| {
            let data_str = request.data_str;
            if data_str == "close" {
                session.disconnect();
            } else {
                let header = request.header;
                let answer = EchoResponse {
                    header,
                    data_str,
                    ..Default::default()
                };
                let _ = session.send(EchoRequest::ID, &answer);
            }
        })
        .on_packet(SILENT, |_, _| {})
        .start()
        .unwrap()
}

fn echo(text: &str) -> EchoRequest {
    EchoRequest {
        data_str: text.into(),
        ..Default::default()
    }
}

#[test]
fn a_blocking_request_gets_its_answer() {
    let server = echo_server();
    let client = Client::connect(&server.local_address().to_string()).unwrap();
    for text in ["one", "two", ""] {
        let answer: EchoResponse = client.request(echo(text)).unwrap();
        assert_eq!(answer.data_str, text);
    }
}

#[test]
fn async_requests_are_answered_each_with_its_own() {
    let server = echo_server();
    let to = server.local_address();
    block_on(async {
        let client = Client::builder().connect_async(to).unwrap().await.unwrap();
        let texts: Vec<String> = (0..100).map(|number| format!("message {number}")).collect();
        let requests: Vec<_> = texts
            .iter()
            .map(|text| client.request_async::<_, EchoResponse>(echo(text)).unwrap())
            .collect();
        // Awaited from the last to the first: correlation, not order, finds them.
        for (text, request) in texts.iter().zip(requests).rev() {
            assert_eq!(&request.await.unwrap().data_str, text);
        }
    });
}

#[test]
fn threads_share_a_client() {
    let server = echo_server();
    let client = Client::connect(&server.local_address().to_string()).unwrap();
    let start = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (client, start) = (&client, &start);
            scope.spawn(move || {
                start.wait();
                for round in 0..50 {
                    let text = format!("{thread}/{round}");
                    let answer: EchoResponse = client.request(echo(&text)).unwrap();
                    assert_eq!(answer.data_str, text);
                }
            });
        }
    });
}

#[test]
fn a_request_that_is_not_answered_times_out() {
    let server = echo_server();
    let builder = Client::builder().request_timeout(Duration::from_millis(20));
    let client = builder
        .connect(&server.local_address().to_string())
        .unwrap();
    let answer: Result<BenchmarkResponse, _> = client.request(BenchmarkRequest::default());
    assert!(matches!(answer, Err(ClientError::Timeout(_))), "{answer:?}");
    // The time of a busy machine, not the client's.
    let asked = client.request_async::<_, EchoResponse>(echo("still there"));
    let answer = asked.unwrap().wait(LIMIT).unwrap();
    assert_eq!(answer.data_str, "still there");
}

/// Each request has its own time, without an executor's timer; others of the session go on.
#[test]
fn async_requests_have_time_limits_of_their_own() {
    let server = echo_server();
    let to = server.local_address();
    block_on(async {
        let client = Client::builder().connect_async(to).unwrap().await.unwrap();
        let ask = |limit| {
            let request = BenchmarkRequest::default();
            client.request_async_within::<_, BenchmarkResponse>(request, limit)
        };
        let short = Duration::from_millis(60);
        let (late, waiting) = (ask(short).unwrap(), ask(LIMIT).unwrap());
        let answered = client.request_async_within::<_, EchoResponse>(echo("in time"), LIMIT);
        let answer = answered.unwrap().await.unwrap();
        assert_eq!(answer.data_str, "in time");
        let late = late.await;
        assert!(
            matches!(late, Err(ClientError::Timeout(limit)) if limit == short),
            "{late:?}"
        );
        // One that nobody waits for any more leaves nothing.
        drop(ask(LIMIT).unwrap());
        let closing = client.request_async::<_, EchoResponse>(echo("close"));
        let ended = Some(CloseReason::PeerClosed);
        assert_eq!(closing.unwrap().await.map(drop).map_err(reason), Err(ended));
        assert_eq!(waiting.await.map(drop).map_err(reason), Err(ended));
        assert!(ask(LIMIT).is_err());
    });
}

#[test]
fn requests_that_wait_fail_when_the_session_ends() {
    let server = echo_server();
    let client = Client::connect(&server.local_address().to_string()).unwrap();
    let request = BenchmarkRequest::default();
    let waiting = client
        .request_async::<_, BenchmarkResponse>(request)
        .unwrap();
    let closing = client.request::<_, EchoResponse>(echo("close"));
    let closed = Err(CloseReason::PeerClosed);
    assert_eq!(closing.map(drop).map_err(reason), closed.map_err(Some));
    assert_eq!(
        waiting.wait(LIMIT).map(drop).map_err(reason),
        closed.map_err(Some)
    );
    let later = client.request::<_, EchoResponse>(echo("too late"));
    assert!(later.is_err());
}

fn reason(error: ClientError) -> Option<CloseReason> {
    match error {
        ClientError::Closed(reason) => Some(reason),
        _ => None,
    }
}

#[test]
fn a_refused_connection_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::connect(&nobody.to_string()).unwrap_err();
    let Error::Connect {
        address,
        reason: CloseReason::ConnectFailed { .. },
    } = error
    else {
        panic!("{error:?}");
    };
    assert_eq!(address, nobody);
    assert!(matches!(
        Client::connect("no port").unwrap_err(),
        Error::Resolve { .. }
    ));
}

#[test]
fn packets_that_answer_nothing_go_to_their_handler() {
    let (seen, sees) = channel();
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .workers(1)
        .on_accepted(|session| {
            let _ = session.send_bytes(PacketId::new(0x0777), b"welcome");
        })
        .start()
        .unwrap();
    let client = Client::builder()
        .on_packet(move |_, packet| {
            seen.send((packet.id(), packet.payload().to_vec())).unwrap();
        })
        .connect(&server.local_address().to_string())
        .unwrap();
    let expected = (PacketId::new(0x0777), b"welcome".to_vec());
    assert_eq!(sees.recv_timeout(LIMIT), Ok(expected));
    client.close();
}

#[test]
fn an_answer_that_does_not_decode_says_so() {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .workers(1)
        .on(|session, request: EchoRequest| {
            let header = request.header;
            let answer = EchoResponse {
                header,
                ..Default::default()
            };
            // Behind its header: a string of 127 bytes that is not there.
            let broken = [&prost::Message::encode_to_vec(&answer)[..], &[0x1A, 0x7F]].concat();
            let _ = session.send_bytes(EchoRequest::ID, &broken);
        })
        .start()
        .unwrap();
    let client = Client::connect(&server.local_address().to_string()).unwrap();
    let answer: Result<EchoResponse, _> = client.request(echo("anything"));
    assert!(matches!(answer, Err(ClientError::Decode(_))), "{answer:?}");
}

#[test]
fn what_was_sent_before_the_client_is_dropped_arrives() {
    const FRAMES: usize = 15;
    const PAYLOAD_BYTES: usize = 60_000;
    for engine in engines() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let client = Client::builder()
            .engine(engine)
            .connect(&to.to_string())
            .unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(LIMIT)).unwrap();
        for _ in 0..FRAMES {
            let payload = [7; PAYLOAD_BYTES];
            let _ = client.session().send_bytes(SILENT, &payload).unwrap();
        }
        // More than the socket's buffers hold: most of it is still queued when the drop begins.
        let reader = std::thread::spawn(move || {
            let mut received = Vec::new();
            peer.read_to_end(&mut received).map(|_| received.len())
        });
        drop(client);
        let received = reader.join().unwrap().unwrap();
        assert_eq!(received, FRAMES * (PAYLOAD_BYTES + 4), "{engine:?}");
    }
}

#[test]
fn a_connection_that_nobody_waits_for_is_closed() {
    for engine in engines() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let service = Arc::new(
            IoService::start(ServiceConfig {
                engine: Some(engine),
                workers: 1,
                dispatch: Dispatch::Inline,
                ..ServiceConfig::default()
            })
            .unwrap(),
        );
        let connect = || {
            let builder = Client::builder().service(service.clone());
            builder.connect_async(to).unwrap()
        };
        let unwanted = connect();
        let (mut peer, _) = listener.accept().unwrap();
        // One worker, in order: when this one stands, the first does as well.
        let _wanted = connect().wait().unwrap();
        drop(unwanted);
        peer.set_read_timeout(Some(LIMIT)).unwrap();
        assert_eq!(peer.read(&mut [0; 8]).unwrap(), 0, "{engine:?}");
    }
}

fn engines() -> impl Iterator<Item = EngineKind> {
    let all = [EngineKind::IoUring, EngineKind::Iocp, EngineKind::Poll];
    all.into_iter()
        .filter(|engine| EngineKind::choose(Some(*engine)).is_ok())
}
