//! The paths that are counted, each with fixed inputs.
//!
//! The echoes have their client in the same process: valgrind runs one thread at a time, and a
//! thread that waits takes no time: a round is the server's turn and the client's two calls. They
//! run on the readiness engine, since a session on io_uring does not survive valgrind; all above
//! the engine is the same on each.

use clap::ValueEnum;
use fastport::{
    Dispatch, EngineKind, Framing, Handler, Packet, PacketFramer, PacketId, Server, Session,
};
use fastport_bench::frames::{RAW_ECHO, header};
use fastport_buffer::{BlockChain, BlockPool, CircularBuffer, RingBuffer};
use std::hint::black_box;
use std::io::{self, Error, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Path {
    /// 64 frames of 64 bytes are found in a buffer.
    Framer,
    /// 64 times 64 bytes go through the ring that wraps.
    Ring,
    /// 64 times 64 bytes go through a chain of blocks.
    Blocks,
    /// A turn: one message of 64 bytes is forwarded.
    Turn,
    /// 64 messages of 64 bytes come at once and are answered one by one.
    Send,
    /// 64 messages of 64 bytes come at once and are forwarded one by one.
    Forward,
    /// A connection is made, one message of 64 bytes is forwarded, and it is closed.
    Session,
    /// The framer's with a defect: every fourth frame is looked for twice. It must be found.
    #[value(hide = true)]
    Planted,
}

impl Path {
    pub(crate) const ALL: [Self; 7] = [
        Self::Framer,
        Self::Ring,
        Self::Blocks,
        Self::Turn,
        Self::Send,
        Self::Forward,
        Self::Session,
    ];

    /// As it is written on the command line and in the file.
    pub(crate) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Rounds that make what happens once in a while small beside them.
    pub(crate) const fn rounds(self) -> u32 {
        match self {
            Self::Framer | Self::Ring | Self::Blocks | Self::Planted => 2000,
            Self::Turn => 1000,
            Self::Send | Self::Forward | Self::Session => 500,
        }
    }

    /// Runs the path.
    ///
    /// # Errors
    /// A server that does not start or does not answer.
    pub(crate) fn run(self, rounds: u32) -> io::Result<()> {
        match self {
            Self::Framer => {
                let bytes = frames(BURST);
                (0..rounds).for_each(|_| frame(&bytes));
            }
            Self::Planted => {
                let bytes = frames(BURST);
                (0..rounds).for_each(|_| {
                    frame(&bytes);
                    frame(&bytes[..bytes.len() / 4]);
                });
            }
            Self::Ring => through(&mut CircularBuffer::new(RING_BYTES), rounds),
            Self::Blocks => through(
                &mut BlockChain::new(CHAIN_BYTES_MAX, BlockPool::new(CHAIN_BYTES_MAX)),
                rounds,
            ),
            Self::Turn => return echo(Forward, 1, rounds),
            Self::Forward => return echo(Forward, BURST, rounds),
            Self::Session => return sessions(rounds),
            Self::Send => return echo(Answer, BURST, rounds),
        }
        Ok(())
    }
}

/// So many frames of 64 bytes.
fn frames(count: usize) -> Vec<u8> {
    let payload = [0x5a; FRAME_BYTES - 4];
    let header = header(RAW_ECHO, payload.len()).unwrap_or_default();
    [&header[..], &payload].concat().repeat(count)
}

fn frame(mut bytes: &[u8]) {
    let framer = PacketFramer::default();
    while let Framing::Ok(frame) = framer.try_frame(black_box(bytes)) {
        bytes = &bytes[black_box(frame.bytes)..];
    }
}

/// Written in 64 pieces, read as a send would: in place, and dropped when it is done.
fn through(ring: &mut impl RingBuffer, rounds: u32) {
    let bytes = [0x5a; FRAME_BYTES];
    for _ in 0..rounds {
        for _ in 0..BURST {
            if let Some(mut room) = ring.allocate_write(bytes.len()) {
                room.copy_from_slice(black_box(&bytes));
                ring.commit_write(bytes.len());
            }
        }
        loop {
            let (first, second) = black_box(ring.read_buffers());
            let there = first.len() + second.len();
            if there == 0 {
                break;
            }
            ring.consume(there);
        }
    }
}

struct Forward;

impl Handler for Forward {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        // It fails only when the client has gone.
        let _ = session.forward(&packet);
    }
}

struct Answer;

impl Handler for Answer {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        // It fails only when the client has gone.
        let _ = session.send_bytes(PacketId::RAW_ECHO, packet.payload());
    }
}

/// One session on one inline worker; each round a burst at once, and all its answers.
fn echo(handler: impl Handler, burst: usize, rounds: u32) -> io::Result<()> {
    let server = server(handler)?;
    let mut burst = Burst::new(burst);
    let mut client = connect(&server)?;
    for _ in 0..rounds {
        burst.exchange(&mut client)?;
    }
    drop(client);
    server.stop(PATIENCE);
    Ok(())
}

/// One session after the other on one inline worker.
fn sessions(count: u32) -> io::Result<()> {
    let server = server(Forward)?;
    let mut burst = Burst::new(1);
    for _ in 0..count {
        burst.exchange(&mut connect(&server)?)?;
    }
    server.stop(PATIENCE);
    Ok(())
}

fn server(handler: impl Handler) -> io::Result<Server> {
    Server::builder()
        .listen("127.0.0.1:0")
        .engine(EngineKind::Poll)
        .workers(1)
        .dispatch(Dispatch::Inline)
        .handler(handler)
        .start()
        .map_err(Error::other)
}

fn connect(server: &Server) -> io::Result<TcpStream> {
    let client = TcpStream::connect(server.local_address())?;
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(PATIENCE))?;
    Ok(client)
}

/// What is sent at once, and room for the answers: made once, since that is not what is counted.
struct Burst {
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Burst {
    fn new(count: usize) -> Self {
        let request = frames(count);
        Self {
            answer: vec![0; request.len()],
            request,
        }
    }

    /// Sends it and reads all its answers.
    fn exchange(&mut self, client: &mut TcpStream) -> io::Result<()> {
        client.write_all(&self.request)?;
        client.read_exact(&mut self.answer)?;
        if self.answer == self.request {
            Ok(())
        } else {
            Err(Error::other("the answer is not what was sent"))
        }
    }
}

const BURST: usize = 64;
const FRAME_BYTES: usize = 64;
/// Not a multiple of what goes through, so that it wraps at every place.
const RING_BYTES: usize = 5000;
const CHAIN_BYTES_MAX: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(30);
