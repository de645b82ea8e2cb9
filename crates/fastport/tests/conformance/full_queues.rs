//! What becomes of messages for a peer that does not keep up, by the policy of its session: which
//! ones it receives, that each is whole, and that every one which it does not is counted.

use super::harness::{Host, ID, LIMIT, Peer, Seen, Setup};
use fastport::{
    CloseReason, Dispatch, Room, SendError, SendPolicy, SendStatus, ServiceConfig, Session,
};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Barrier, Mutex};
use std::time::Duration;

const HIGH: usize = 64 * 1024;
/// Bytes of a message's payload.
const BYTES: usize = 1000;
/// Messages that are sent at once: more than the high watermark.
const BURST: u32 = 200;

fn small_queues(config: &mut ServiceConfig, policy: SendPolicy) {
    config.session.send_high_watermark = HIGH;
    config.session.send_low_watermark = HIGH / 2;
    config.session.send_queue_max = 1 << 20;
    config.session.send_policy = policy;
    config.session.socket.send_buffer = Some(64 * 1024);
    // The time of the peer that does not read is the test's.
    config.session.write_stall_timeout = Duration::ZERO;
}

/// A message that tells its number, and is not whole when one of its bytes is missing.
fn message(number: u32) -> Vec<u8> {
    let mut payload = vec![number as u8; BYTES];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

/// The number of the next message, which is whole.
fn number(peer: &mut Peer) -> u32 {
    let payload = peer.receive();
    let number = u32::from_be_bytes(payload[..4].try_into().unwrap());
    assert!(payload == message(number), "half a message");
    number
}

type Send = fn(&Session, u32) -> Result<SendStatus, SendError>;

fn plainly(session: &Session, number: u32) -> Result<SendStatus, SendError> {
    session.send_bytes(ID, &message(number))
}

/// One of ten keys.
fn with_a_key(session: &Session, number: u32) -> Result<SendStatus, SendError> {
    session.send_bytes_keyed(u64::from(number % 10), ID, &message(number))
}

/// A server that sends bursts of messages to a peer which does not read: from its handler when it
/// gets a packet, and from the thread of the case.
struct Flooded {
    host: Host,
    peer: Peer,
    session: Session,
    sent: Receiver<u32>,
    send: Send,
    /// Messages that were sent.
    next: u32,
    /// How many of them `send` did not queue.
    refused: u64,
}

impl Flooded {
    fn new(setup: Setup, policy: SendPolicy, send: Send) -> Self {
        let (told, sent) = channel();
        let told = Mutex::new(told);
        let host = setup.host(
            |config| small_queues(config, policy),
            move |session, packet| {
                let from = u32::from_be_bytes(packet.payload().try_into().unwrap());
                let refused = (from..from + BURST)
                    .filter(|number| send(session, *number) == Ok(SendStatus::Dropped));
                let refused = u32::try_from(refused.count()).unwrap();
                let _ = told.lock().unwrap().send(refused);
            },
        );
        let peer = host.connect();
        let session = host.accepted();
        Self {
            host,
            peer,
            session,
            sent,
            send,
            next: 0,
            refused: 0,
        }
    }

    fn burst(&mut self) {
        self.peer.send(&self.next.to_be_bytes());
        self.refused += u64::from(self.sent.recv_timeout(LIMIT).expect("a burst"));
        self.next += BURST;
        self.burst_from_here();
        // What is in flight, what waits, and what the owner has not spliced yet or just has.
        let most = 4 * HIGH;
        let queued = self.session.queued_bytes();
        assert!(queued <= most, "{queued} bytes are queued, {most} at most");
    }

    fn burst_from_here(&mut self) {
        for number in self.next..self.next + BURST {
            let status = (self.send)(&self.session, number).unwrap();
            self.refused += u64::from(status == SendStatus::Dropped);
        }
        self.next += BURST;
    }

    /// Sends until something was dropped, and some more.
    fn flood(&mut self) {
        while self.session.dropped_messages() == 0 {
            self.burst();
        }
        for _ in 0..5 {
            self.burst();
        }
        assert!(self.session.is_connected());
    }

    /// Reads what the peer was sent, the number of each message, until `last` says so.
    fn read_until(&mut self, mut last: impl FnMut(&[u32]) -> bool) -> Vec<u32> {
        let mut numbers = Vec::new();
        while !last(&numbers) {
            numbers.push(number(&mut self.peer));
        }
        numbers
    }

    /// Every message was received or counted, the counts being `[newest, oldest, replaced]`.
    fn all_are_accounted_for(&self, received: &[u32], counts: impl Fn(u64) -> [u64; 3]) {
        let missing = u64::from(self.next) - received.len() as u64;
        assert_eq!(self.session.dropped_messages(), missing);
        let stats = self.host.server.stats();
        let counted = [
            stats.sends_dropped_newest,
            stats.sends_dropped_oldest,
            stats.sends_replaced,
        ];
        assert_eq!(counted, counts(missing));
    }
}

fn ascend(numbers: &[u32]) -> bool {
    numbers.is_sorted_by(|a, b| a < b)
}

pub(crate) fn the_newest_are_dropped_if_so_set(setup: Setup) {
    let mut flooded = Flooded::new(setup, SendPolicy::DropNewest, plainly);
    flooded.flood();
    let refused = flooded.refused;
    assert!(refused > 0);
    let queued = u64::from(flooded.next) - refused;
    let numbers = flooded.read_until(|numbers| numbers.len() as u64 == queued);
    assert!(ascend(&numbers));
    flooded.all_are_accounted_for(&numbers, |missing| [missing, 0, 0]);
    assert_eq!(flooded.session.dropped_messages(), refused);
    // Who was told that a message was dropped is told when there is room again.
    let last = flooded.next;
    while plainly(&flooded.session, last) == Ok(SendStatus::Dropped) {
        let writable = |seen| matches!(seen, Seen::Writable(_));
        while !writable(flooded.host.next()) {}
    }
    assert_eq!(number(&mut flooded.peer), last);
}

/// Threads send at once while nobody reads: what each of them gets through is in its order, and
/// what is not received is counted.
pub(crate) fn what_threads_lose_at_once_is_counted_and_leaves_their_order(setup: Setup) {
    const THREADS: u32 = 4;
    const EACH: u32 = 1000;
    const LAST: u32 = THREADS << 16;
    for policy in [SendPolicy::DropNewest, SendPolicy::DropOldest] {
        let host = setup.host(|config| small_queues(config, policy), |_, _| {});
        let (mut peer, session) = (host.connect(), host.accepted());
        let start = Barrier::new(THREADS as usize);
        let flood = |thread: u32| {
            start.wait();
            let numbers = (thread << 16)..(thread << 16) + EACH;
            let refused = numbers.filter(|number| {
                let status = plainly(&session, *number).unwrap();
                let queued = session.queued_bytes();
                assert!(queued <= 4 * HIGH, "{queued} bytes are queued");
                status == SendStatus::Dropped
            });
            refused.count()
        };
        let refused: usize = std::thread::scope(|scope| {
            let floods = (0..THREADS).map(|thread| scope.spawn(move || flood(thread)));
            let floods: Vec<_> = floods.collect();
            floods.into_iter().map(|flood| flood.join().unwrap()).sum()
        });
        assert_eq!(refused > 0, policy == SendPolicy::DropNewest);
        let mut received = Vec::new();
        if policy == SendPolicy::DropNewest {
            let queued = (THREADS * EACH) as usize - refused;
            received.extend((0..queued).map(|_| number(&mut peer)));
        }
        // The newest is always kept by the one, and finds room now with the other.
        let mut sent = u64::from(THREADS * EACH) + 1;
        while plainly(&session, LAST) == Ok(SendStatus::Dropped) {
            sent += 1;
            let writable = |seen| matches!(seen, Seen::Writable(_));
            while !writable(host.next()) {}
        }
        while received.last() != Some(&LAST) {
            received.push(number(&mut peer));
        }
        for thread in 0..THREADS {
            let of = |number: &u32| number >> 16 == thread;
            let own: Vec<_> = received.iter().copied().filter(of).collect();
            assert!(ascend(&own), "{policy:?}: thread {thread} out of order");
        }
        let missing = sent - received.len() as u64;
        assert_eq!(session.dropped_messages(), missing, "{policy:?}");
    }
}

pub(crate) fn the_oldest_are_dropped_if_so_set(setup: Setup) {
    let mut flooded = Flooded::new(setup, SendPolicy::Report, plainly);
    assert_eq!(flooded.session.send_policy(), SendPolicy::Report);
    flooded.session.set_send_policy(SendPolicy::DropOldest);
    flooded.flood();
    assert_eq!(flooded.refused, 0);
    let last = flooded.next - 1;
    let numbers = flooded.read_until(|numbers| numbers.last() == Some(&last));
    assert!(ascend(&numbers));
    flooded.all_are_accounted_for(&numbers, |missing| [0, missing, 0]);
}

pub(crate) fn the_latest_of_each_key_is_kept_if_so_set(setup: Setup) {
    let mut flooded = Flooded::new(setup, SendPolicy::LatestByKey, with_a_key);
    flooded.flood();
    assert_eq!(flooded.refused, 0);
    let latest: Vec<u32> = (flooded.next - 10..flooded.next).collect();
    let numbers = flooded.read_until(|numbers| latest.iter().all(|last| numbers.contains(last)));
    for key in 0..10 {
        let of_key = numbers.iter().filter(|number| *number % 10 == key);
        assert!(ascend(&of_key.copied().collect::<Vec<_>>()), "key {key}");
    }
    flooded.all_are_accounted_for(&numbers, |missing| [0, 0, missing]);
}

/// More than the whole queue holds: what is dropped makes room, and keys are ordinary messages for
/// every other policy.
pub(crate) fn a_policy_may_change_while_the_queue_is_full(setup: Setup) {
    let mut flooded = Flooded::new(setup, SendPolicy::LatestByKey, with_a_key);
    flooded.flood();
    let replaced = flooded.session.dropped_messages();
    flooded.session.set_send_policy(SendPolicy::DropOldest);
    while flooded.host.server.stats().sends_dropped_oldest == 0 {
        flooded.burst();
    }
    flooded.session.set_send_policy(SendPolicy::DropNewest);
    while flooded.refused == 0 {
        flooded.burst();
    }
    let stats = flooded.host.server.stats();
    assert!(stats.sends_replaced >= replaced);
    assert_eq!(stats.sends_dropped_newest, flooded.refused);
    // The handler is given nothing more until the peer has read.
    flooded.session.set_send_policy(SendPolicy::LatestByKey);
    flooded.burst_from_here();
    let latest: Vec<u32> = (flooded.next - 10..flooded.next).collect();
    let _ = flooded.read_until(|numbers| latest.iter().all(|last| numbers.contains(last)));
}

pub(crate) fn a_queue_that_stays_full_ends_the_session_if_so_set(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        small_queues(config, SendPolicy::Disconnect);
        config.session.send_full_grace = Duration::from_millis(300);
    };
    let host = setup.host(change, |_, _| {});
    let peer = host.connect();
    let session = host.accepted();
    // The system takes some of it first.
    let reason = loop {
        while plainly(&session, 0) == Ok(SendStatus::Queued) {}
        match host.next() {
            Seen::Writable(_) | Seen::Accepted(_) => {}
            Seen::Disconnected(_, reason) => break reason,
            seen => panic!("{seen:?}"),
        }
    };
    assert_eq!(reason, CloseReason::SendQueueFull);
    assert_eq!(
        host.server.stats().closed_for(CloseReason::SendQueueFull),
        1
    );
    drop(peer);
}

/// A message beside which nothing can be dropped, since the kernel has it all, is refused; who sent
/// it is told when there is room.
pub(crate) fn what_has_no_room_beside_the_kernels_is_relieved(setup: Setup) {
    if setup.dispatch != Dispatch::Inline {
        // What other threads send waits in a half of its own.
        return;
    }
    let (told, statuses) = channel();
    let told = Mutex::new(told);
    let change = |config: &mut ServiceConfig| {
        small_queues(config, SendPolicy::DropOldest);
        config.session.send_queue_max = HIGH;
    };
    let host = setup.host(change, move |session, _| {
        let _ = told
            .lock()
            .unwrap()
            .send(session.send_bytes(ID, &[0; 60_000]));
    });
    let mut peer = host.connect();
    loop {
        peer.send(b"more");
        let status = statuses.recv_timeout(LIMIT).expect("a status");
        if status.unwrap() == SendStatus::Dropped {
            break;
        }
    }
    let mut reader = Peer {
        stream: peer.stream.try_clone().unwrap(),
    };
    let reader = std::thread::spawn(move || reader.drain().0.len());
    while !matches!(host.next(), Seen::Writable(_)) {}
    peer.finish();
    assert!(reader.join().unwrap() >= 60_000);
}

/// One session has less time than the others, also when its queue is full already.
pub(crate) fn a_session_may_have_a_grace_time_of_its_own(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        small_queues(config, SendPolicy::Disconnect);
        config.session.send_full_grace = Duration::from_secs(3600);
    };
    let host = setup.host(change, |_, _| {});
    let _peers = [host.connect(), host.connect()];
    let (patient, hurried) = (host.accepted(), host.accepted());
    for session in [&patient, &hurried] {
        // More than the system takes.
        for _ in 0..900 {
            let _ = plainly(session, 0).unwrap();
        }
    }
    hurried.set_send_full_grace(Duration::from_millis(200));
    assert_eq!(host.reason(), CloseReason::SendQueueFull);
    assert!(patient.is_connected() && !hurried.is_connected());
    // None is for ever; then it has less again.
    patient.set_send_full_grace(Duration::ZERO);
    patient.set_send_full_grace(Duration::from_millis(1));
    assert_eq!(host.reason(), CloseReason::SendQueueFull);
}

/// The grace time of a queue begins again each time that it becomes full.
pub(crate) fn a_queue_with_room_again_has_its_grace_time_anew(setup: Setup) {
    let change = |config: &mut ServiceConfig| {
        small_queues(config, SendPolicy::Disconnect);
        config.session.send_full_grace = Duration::from_secs(3);
        config.session.idle_timeout = Duration::from_secs(5);
    };
    let host = setup.host(change, |_, _| {});
    let peer = host.connect();
    let session = host.accepted();
    let mut reader = Peer {
        stream: peer.stream.try_clone().unwrap(),
    };
    let reader = std::thread::spawn(move || reader.drain().0.len());
    while plainly(&session, 0) == Ok(SendStatus::Queued) {}
    // It is emptied, and nothing more happens but that time passes.
    assert_eq!(host.reason(), CloseReason::Idle);
    assert!(reader.join().unwrap() > HIGH);
}

pub(crate) fn a_member_that_does_not_keep_up_misses_broadcasts_alone(setup: Setup) {
    let change = |config: &mut ServiceConfig| small_queues(config, SendPolicy::Report);
    let host = setup.host(change, |_, _| {});
    let room = Room::new();
    let join = |policy| {
        let peer = host.connect();
        let session = host.accepted();
        session.set_send_policy(policy);
        room.join(&session).unwrap();
        (peer, session)
    };
    let (mut reading, reader) = join(SendPolicy::DropOldest);
    let (mut slow, oldest) = join(SendPolicy::DropOldest);
    let (mut slower, newest) = join(SendPolicy::DropNewest);
    let (mut keyed, latest) = join(SendPolicy::LatestByKey);
    let mut next = 0;
    let mut last_round = false;
    loop {
        for _ in 0..20 {
            let of = fastport::protocol::tests::EchoRequest {
                data: message(next).into(),
                ..Default::default()
            };
            let key = u64::from(next % 10);
            assert_eq!(room.broadcast_keyed(key, ID, &of), Ok(4));
            next += 1;
        }
        // Who reads misses nothing.
        for expected in next - 20..next {
            assert_eq!(echoed(&mut reading), expected);
        }
        if last_round {
            break;
        }
        let dropped = [&oldest, &newest, &latest].map(Session::dropped_messages);
        last_round = dropped.into_iter().all(|dropped| dropped > 0);
    }
    assert_eq!(reader.dropped_messages(), 0);
    let mut received = vec![echoed(&mut slow)];
    while received.last() != Some(&(next - 1)) {
        received.push(echoed(&mut slow));
    }
    assert!(ascend(&received));
    let missing = u64::from(next) - received.len() as u64;
    assert_eq!(oldest.dropped_messages(), missing);
    let received = u64::from(next) - newest.dropped_messages();
    let received: Vec<_> = (0..received).map(|_| echoed(&mut slower)).collect();
    assert!(ascend(&received));
    let received = u64::from(next) - latest.dropped_messages();
    let received: Vec<_> = (0..received).map(|_| echoed(&mut keyed)).collect();
    assert!((next - 10..next).all(|last| received.contains(&last)));
}

/// The number of the next message, which came in an `EchoRequest`.
fn echoed(peer: &mut Peer) -> u32 {
    let payload = peer.receive();
    let of: fastport::protocol::tests::EchoRequest = prost::Message::decode(&*payload).unwrap();
    let number = u32::from_be_bytes(of.data[..4].try_into().unwrap());
    assert!(of.data == message(number), "half a message");
    number
}
