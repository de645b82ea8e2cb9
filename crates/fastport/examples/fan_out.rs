//! One message to many sessions: a server with one room, and a load that measures it.
//!
//! ```text
//! cargo run --release --example fan_out                      both, in two processes: two figures
//! cargo run --release --example fan_out -- serve ADDRESS     the server alone, for another load
//! cargo run --release --example fan_out -- load ADDRESS MEMBERS STALLED SECONDS [WINDOW]
//! ```
//!
//! Every session is a member. A packet with the id 0x0100 is broadcast, as it is, to all of them;
//! one with 0x0101 is answered, to its sender alone, with two big-endian numbers of 64 bits: how
//! many messages were encoded for sharing, and how many times one was queued. The load counts what
//! its members receive, and has the next message sent when all that read have the last one. STALLED
//! of the members never read.

use fastport::{
    CloseReason, Dispatch, Handler, IoService, Packet, PacketId, Room, Server, ServiceConfig,
    Session, StatsSnapshot,
};
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Broadcast this.
const SAY: PacketId = PacketId::new(0x0100);
/// Tell what was done.
const COUNT: PacketId = PacketId::new(0x0101);
/// Bytes of a message.
const PAYLOAD_BYTES: usize = 200;
/// Bytes that the kernel takes for a member that does not read: little, so that it soon counts as
/// one.
const STALLED_BYTES: u32 = 4096;
/// Connections that are made at once.
const CONNECTING: usize = 256;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => both(),
        ["serve", address] => serve(address),
        ["load", address, members, stalled, seconds] => {
            let plan = Plan::parse(members, stalled, seconds, "1")?;
            load(address.parse()?, &plan)
        }
        ["load", address, members, stalled, seconds, window] => {
            let plan = Plan::parse(members, stalled, seconds, window)?;
            load(address.parse()?, &plan)
        }
        _ => Err(
            "expected nothing, `serve ADDRESS`, or `load ADDRESS MEMBERS STALLED SECONDS`".into(),
        ),
    }
}

/// Everybody who connects is in the room.
#[derive(Default)]
struct Hall {
    room: Room,
    stats: Arc<OnceLock<Arc<Server>>>,
}

impl Handler for Hall {
    fn on_accepted(&self, session: &Session) {
        // The session may have ended already; then it needs no room.
        let _ = self.room.join(session);
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        match packet.id() {
            SAY => {
                if let Err(error) = self.room.broadcast_bytes(SAY, packet.payload()) {
                    eprintln!("not broadcast: {error}");
                }
            }
            COUNT => {
                let stats = self.stats.get().map(|server| server.stats());
                let StatsSnapshot {
                    broadcasts,
                    shared_queued,
                    ..
                } = stats.unwrap_or_default();
                let answer = [broadcasts.to_be_bytes(), shared_queued.to_be_bytes()].concat();
                let _ = session.send_bytes(COUNT, &answer);
            }
            other => session.note_unhandled(other),
        }
    }
}

fn serve(address: &str) -> Result<()> {
    let hall = Hall::default();
    let stats = hall.stats.clone();
    let server = Server::builder()
        .listen(address)
        .workers(1)
        .dispatch(Dispatch::Inline)
        .sessions_max(20_000)
        .session_config(|config| {
            config.idle_timeout = Duration::ZERO;
            // Members that do not read are to stay for as long as the load runs.
            config.write_stall_timeout = Duration::ZERO;
            config.send_queue_max = 1 << 26;
            config.socket.notsent_bytes_max = Some(STALLED_BYTES);
        })
        .handler(hall)
        .start()?;
    println!("listening on {}", server.local_address());
    let server = Arc::new(server);
    let _ = stats.set(server.clone());
    Ok(server.wait()?)
}

/// What the load does.
struct Plan {
    members: usize,
    stalled: usize,
    seconds: f64,
    /// Messages on their way at once.
    window: usize,
}

impl Plan {
    fn parse(members: &str, stalled: &str, seconds: &str, window: &str) -> Result<Self> {
        let plan = Self {
            members: members.parse()?,
            stalled: stalled.parse()?,
            seconds: seconds.parse()?,
            window: window.parse()?,
        };
        if plan.stalled >= plan.members || plan.window == 0 {
            return Err("at least one member must read, and a window is at least 1".into());
        }
        Ok(plan)
    }
}

/// Counts what the reading members receive.
struct Counting {
    /// What came of [`SAY`], on the one worker; said at each full round.
    received: Mutex<(usize, usize)>,
    rounds: Mutex<Sender<()>>,
    counts: Mutex<Sender<Vec<u8>>>,
}

impl Handler for Counting {
    fn on_packet(&self, _session: &Session, packet: Packet<'_>) {
        if packet.id() == COUNT {
            let counts = self.counts.lock().unwrap_or_else(|e| e.into_inner());
            // The load may have ended.
            let _ = counts.send(packet.payload().to_vec());
            return;
        }
        let mut received = self.received.lock().unwrap_or_else(|e| e.into_inner());
        received.0 += 1;
        if received.0.is_multiple_of(received.1) {
            let rounds = self.rounds.lock().unwrap_or_else(|e| e.into_inner());
            let _ = rounds.send(());
        }
    }
}

fn load(to: SocketAddr, plan: &Plan) -> Result<()> {
    let reading = plan.members - plan.stalled;
    let service = IoService::start(ServiceConfig {
        workers: 1,
        dispatch: Dispatch::Inline,
        sessions_max: reading,
        ..ServiceConfig::default()
    })?;
    let (rounds, round) = channel();
    let (counts, count) = channel();
    let handler = Arc::new(Counting {
        received: Mutex::new((0, reading)),
        rounds: Mutex::new(rounds),
        counts: Mutex::new(counts),
    });
    let sessions = connect_all(&service, to, &handler, reading)?;
    let _stalled = connect_stalled(to, plan.stalled)?;
    let leader = sessions.first().ok_or("nobody connected")?;
    await_members(leader, &count, &round, plan.members)?;
    *handler.received.lock().unwrap_or_else(|e| e.into_inner()) = (0, reading);

    let before = counters(leader, &count)?;
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut sent = 0;
    let mut finished = 0u64;
    let mut last = Duration::ZERO;
    while finished < sent || began.elapsed().as_secs_f64() < plan.seconds {
        while sent - finished < plan.window as u64 && began.elapsed().as_secs_f64() < plan.seconds {
            let _ = leader.send_bytes(SAY, &[7; PAYLOAD_BYTES])?;
            sent += 1;
        }
        round.recv_timeout(Duration::from_secs(30))?;
        finished += 1;
        slowest = slowest.max(began.elapsed() - last);
        last = began.elapsed();
    }
    let took = began.elapsed().as_secs_f64();
    let after = counters(leader, &count)?;
    println!(
        "{} members, {} of them not reading, {PAYLOAD_BYTES} bytes: {:.0} deliveries/s \
         ({finished} messages in {took:.2} s, slowest {:.1} ms; encoded {} times, queued {} times)",
        plan.members,
        plan.stalled,
        (finished as f64 * reading as f64) / took,
        slowest.as_secs_f64() * 1000.0,
        after.0 - before.0,
        after.1 - before.1,
    );
    service.stop(Duration::ZERO);
    Ok(())
}

fn connect_all(
    service: &IoService,
    to: SocketAddr,
    handler: &Arc<Counting>,
    count: usize,
) -> Result<Vec<Session>> {
    let (made, makes) = channel::<std::result::Result<Session, CloseReason>>();
    let mut sessions = Vec::with_capacity(count);
    for started in 0..count {
        if started >= CONNECTING {
            sessions.push(makes.recv()?.map_err(|reason| reason.to_string())?);
        }
        let made = made.clone();
        service.connect(to, handler.clone(), move |outcome| {
            let _ = made.send(outcome);
        })?;
    }
    while sessions.len() < count {
        sessions.push(makes.recv()?.map_err(|reason| reason.to_string())?);
    }
    Ok(sessions)
}

fn connect_stalled(to: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = socket2::Socket::new(
            socket2::Domain::for_address(to),
            socket2::Type::STREAM,
            None,
        )?;
        socket.set_recv_buffer_size(STALLED_BYTES as usize)?;
        socket.connect(&to.into())?;
        streams.push(socket.into());
    }
    Ok(streams)
}

/// Waits until the server has let everybody in: until one message is queued for all.
fn await_members(
    leader: &Session,
    count: &Receiver<Vec<u8>>,
    round: &Receiver<()>,
    members: usize,
) -> Result<()> {
    loop {
        let before = counters(leader, count)?;
        let _ = leader.send_bytes(SAY, &[7; PAYLOAD_BYTES])?;
        let after = counters(leader, count)?;
        if after.1 - before.1 == members as u64 {
            // Earlier ones went to fewer: what comes of them is not counted.
            while round.recv_timeout(Duration::from_millis(500)).is_ok() {}
            return Ok(());
        }
    }
}

fn counters(leader: &Session, count: &Receiver<Vec<u8>>) -> Result<(u64, u64)> {
    let _ = leader.send_bytes(COUNT, &[])?;
    let answer = count.recv_timeout(Duration::from_secs(30))?;
    let number = |at: usize| -> Result<u64> {
        let bytes = answer.get(at..at + 8).ok_or("a short answer")?;
        Ok(u64::from_be_bytes(bytes.try_into()?))
    };
    Ok((number(0)?, number(8)?))
}

/// The server in a process of its own, and the load in this one: once with all members reading,
/// once with 1% that do not.
fn both() -> Result<()> {
    let mut server = Command::new(std::env::current_exe()?)
        .args(["serve", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()?;
    let outcome = measure_both(&mut server);
    // It may have ended; then there is nothing to end.
    let _ = server.kill();
    let _ = server.wait();
    outcome
}

fn measure_both(server: &mut std::process::Child) -> Result<()> {
    let mut line = String::new();
    let output = server.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut line)?;
    let address = line
        .trim()
        .strip_prefix("listening on ")
        .ok_or("no address")?;
    for stalled in ["0", "100"] {
        std::io::stdout().flush()?;
        let load = Command::new(std::env::current_exe()?)
            .args(["load", address, "10000", stalled, "10"])
            .status()?;
        if !load.success() {
            return Err("the load failed".into());
        }
    }
    Ok(())
}
