//! Requests of the server to its clients: each has one outcome, in order with the packets around.

use super::harness::{Host, ID, LIMIT, Peer, Setup, frame};
use fastport::protocol::Headed;
use fastport::protocol::tests::{EchoRequest, EchoResponse, PingRequest, PingResponse};
use fastport::{
    Client, CloseReason, Handler, Identified, Packet, RequestError, Router, SendError, Session,
};
use prost::Message;
use std::future::Future;
use std::pin::pin;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// What a handler and who waits for its answers see, in this order.
#[derive(PartialEq, Debug)]
enum Event {
    Packet(Vec<u8>),
    Answer(String),
    NoAnswer(String),
    Ended(CloseReason),
}

/// Asks the peer when a packet has the id of the cases; tells what comes.
struct Asking {
    events: Mutex<Sender<Event>>,
    limit: Duration,
}

impl Asking {
    fn note(&self, event: Event) {
        // The case may have ended.
        let _ = self.events.lock().unwrap().send(event);
    }
}

fn ask(session: &Session, limit: Duration, events: Sender<Event>) -> Result<(), SendError> {
    let request = PingRequest {
        payload: "who?".into(),
        ..Default::default()
    };
    session.request(request, limit, move |_, answer| {
        let event = match answer {
            Ok(PingResponse { payload, .. }) => Event::Answer(payload),
            Err(error) => Event::NoAnswer(error.to_string()),
        };
        let _ = events.send(event);
    })
}

impl Handler for Asking {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        self.note(Event::Packet(packet.payload().to_vec()));
        if packet.payload() == b"ask" {
            let events = self.events.lock().unwrap().clone();
            ask(session, self.limit, events).unwrap();
        } else if packet.payload() == b"say" {
            let _ = session.send_bytes(ID, b"said").unwrap();
        }
    }

    fn on_disconnected(&self, _: &Session, reason: CloseReason) {
        self.note(Event::Ended(reason));
    }
}

fn asking(setup: Setup, limit: Duration) -> (fastport::Server, Receiver<Event>) {
    let (events, seen) = channel();
    let events = Mutex::new(events);
    (setup.serve(|_| {}, Asking { events, limit }), seen)
}

fn next(seen: &Receiver<Event>) -> Event {
    seen.recv_timeout(LIMIT).expect("nothing more was seen")
}

/// The server's next request.
fn asked(peer: &mut Peer) -> PingRequest {
    PingRequest::decode(&*peer.receive()).unwrap()
}

/// The frame that answers `request`.
fn answer(request: &PingRequest, said: &str) -> Vec<u8> {
    let mut answer = PingResponse {
        payload: said.into(),
        ..Default::default()
    };
    answer.set_header(*request.header().unwrap());
    frame(PingResponse::ID, &answer.encode_to_vec())
}

pub(crate) fn an_answer_comes_in_order_with_packets(setup: Setup) {
    let (server, seen) = asking(setup, LIMIT);
    let mut peer = Peer::connect(server.local_address());
    for round in 0..20 {
        peer.send(b"ask");
        assert_eq!(next(&seen), Event::Packet(b"ask".to_vec()));
        let request = asked(&mut peer);
        let said = format!("{round}");
        let around = [
            frame(ID, b"before"),
            answer(&request, &said),
            frame(ID, b"behind"),
        ];
        peer.write(&around.concat());
        assert_eq!(next(&seen), Event::Packet(b"before".to_vec()));
        assert_eq!(next(&seen), Event::Answer(said));
        assert_eq!(next(&seen), Event::Packet(b"behind".to_vec()));
    }
}

pub(crate) fn answers_find_the_servers_requests(setup: Setup) {
    let (server, seen) = asking(setup, LIMIT);
    let mut peer = Peer::connect(server.local_address());
    let mut requests: Vec<_> = (0..3)
        .map(|_| {
            peer.send(b"ask");
            assert_eq!(next(&seen), Event::Packet(b"ask".to_vec()));
            asked(&mut peer)
        })
        .collect();
    requests.reverse();
    for (number, request) in requests.iter().enumerate() {
        // With the id of another packet it is no answer, and the second is none either.
        let wrong = PingRequest {
            header: request.header,
            ..Default::default()
        };
        let wrong = wrong.encode_to_vec();
        peer.write(&frame(PingRequest::ID, &wrong));
        assert_eq!(next(&seen), Event::Packet(wrong));
        let said = format!("{number}");
        let right = answer(request, &said);
        peer.write(&[right.clone(), right.clone()].concat());
        assert_eq!(next(&seen), Event::Answer(said));
        assert_eq!(next(&seen), Event::Packet(right[4..].to_vec()));
    }
    // One that is broken behind its header is for who waits as well.
    peer.send(b"ask");
    assert_eq!(next(&seen), Event::Packet(b"ask".to_vec()));
    let request = asked(&mut peer);
    let mut broken = answer(&request, "")[4..].to_vec();
    broken.extend([0x1A, 0x7F]);
    peer.write(&frame(PingResponse::ID, &broken));
    assert!(matches!(next(&seen), Event::NoAnswer(why) if why.contains("does not decode")));
}

pub(crate) fn a_request_to_the_client_has_a_time_limit(setup: Setup) {
    let (server, seen) = asking(setup, Duration::from_millis(300));
    let mut peer = Peer::connect(server.local_address());
    // What was sent before has time limits of its own, which are longer.
    peer.send(b"say");
    assert_eq!(next(&seen), Event::Packet(b"say".to_vec()));
    assert_eq!(peer.receive(), b"said");
    peer.send(b"ask");
    assert_eq!(next(&seen), Event::Packet(b"ask".to_vec()));
    let request = asked(&mut peer);
    assert_eq!(
        next(&seen),
        Event::NoAnswer("no answer within 300ms".into())
    );
    // What comes too late is a packet like others.
    let late = answer(&request, "late");
    peer.write(&late);
    assert_eq!(next(&seen), Event::Packet(late[4..].to_vec()));
}

pub(crate) fn who_waits_is_told_once_that_the_session_ended(setup: Setup) {
    let (server, seen) = asking(setup, LIMIT);
    for end in 0..3 {
        let mut peer = Peer::connect(server.local_address());
        for _ in 0..10 {
            peer.send(b"ask");
            assert_eq!(next(&seen), Event::Packet(b"ask".to_vec()));
            let _ = asked(&mut peer);
        }
        match end {
            0 => peer.reset(),
            1 => drop(peer),
            _ => {
                server.stop(Duration::ZERO);
            }
        }
        let mut told = Vec::new();
        let reason = loop {
            match next(&seen) {
                Event::NoAnswer(why) => told.push(why),
                Event::Ended(reason) => break reason,
                event => panic!("{event:?}"),
            }
        };
        assert_eq!(told, vec![format!("the session ended: {reason}"); 10]);
    }
    drop(server);
    assert!(seen.recv_timeout(LIMIT).is_err(), "told twice");
}

pub(crate) fn nobody_is_asked_behind_the_end(setup: Setup) {
    let host = setup.echo();
    let peer = host.connect();
    let session = host.accepted();
    let (events, seen) = channel();
    session.disconnect();
    let outcome = ask(&session, LIMIT, events);
    assert_eq!(outcome, Err(SendError::Disconnected));
    drop(peer);
    assert_eq!(host.reason(), CloseReason::Requested);
    assert!(seen.try_recv().is_err());
}

/// Both sides ask at once, with the same messages, and nobody takes one for another.
pub(crate) fn both_sides_ask_at_once(setup: Setup) {
    let (told, answers) = channel();
    let told = Mutex::new(told);
    let host: Host = setup.host(
        |_| {},
        move |session, packet| {
            let asked: EchoRequest = packet.message().unwrap();
            let told = told.lock().unwrap().clone();
            let back = EchoRequest {
                data_str: format!("{} back", asked.data_str),
                ..Default::default()
            };
            let expected = back.data_str.clone();
            session
                .request(back, LIMIT, move |session, answer| {
                    let answer: EchoResponse = answer.unwrap();
                    assert_eq!(answer.data_str, expected);
                    // Only now the client has its own answer.
                    let answer = EchoResponse {
                        data_str: asked.data_str.clone(),
                        ..Default::default()
                    };
                    let _ = session.answer(&asked, answer).unwrap();
                    let _ = told.send(());
                })
                .unwrap();
        },
    );
    let router = Router::new().on_request(|_, asked: &EchoRequest| EchoResponse {
        data_str: asked.data_str.clone(),
        ..Default::default()
    });
    let client = Client::builder()
        .engine(setup.engine)
        .handler(router.build().unwrap())
        .connect(&host.address().to_string())
        .unwrap();
    let requests: Vec<_> = (0..50)
        .map(|number| {
            let request = EchoRequest {
                data_str: format!("{number}"),
                ..Default::default()
            };
            client.request_async::<_, EchoResponse>(request).unwrap()
        })
        .collect();
    for (number, request) in requests.into_iter().enumerate() {
        assert_eq!(request.wait(LIMIT).unwrap().data_str, format!("{number}"));
        answers.recv_timeout(LIMIT).unwrap();
    }
}

pub(crate) fn an_answer_may_be_awaited(setup: Setup) {
    let host = setup.host(|_| {}, |_, _| {});
    let mut peer = host.connect();
    let session = host.accepted();
    let request = || session.request_async::<_, PingResponse>(PingRequest::default(), LIMIT);
    let (first, second) = (request().unwrap(), request().unwrap());
    let _ = asked(&mut peer);
    let asked = asked(&mut peer);
    peer.write(&answer(&asked, "second"));
    assert_eq!(block_on(second).unwrap().payload, "second");
    peer.reset();
    let reason = host.reason();
    let outcome = block_on(first);
    assert!(matches!(outcome, Err(RequestError::Closed(why)) if why == reason));
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker: Waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return outcome;
        }
        std::thread::park_timeout(LIMIT);
    }
}
