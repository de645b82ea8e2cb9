//! An honest client on a plain socket: it sends in order and checks what it hears.

use fastport::PacketId;
use fastport_testkit::random::Random;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Of a client's frames and of their echoes.
pub(crate) const ECHO: PacketId = PacketId::RAW_ECHO;
/// Of a broadcast: the number of it.
pub(crate) const NEWS: PacketId = PacketId::new(0x7001);
/// Packets of the session layer itself.
const CONTROL: std::ops::RangeInclusive<u16> = 0x8F00..=0x8F0F;
/// How long a peer may be silent. Never waited for when all is well.
const LIMIT: Duration = Duration::from_secs(20);
/// Frames that are sent before the answers are read: they fit into the kernel's buffers.
const BURST: u32 = 8;

/// What became of a client.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Where it was, if it was connected.
    pub(crate) address: Option<SocketAddr>,
    /// Echoes that it heard, in order, each as it was sent.
    pub(crate) heard: u32,
    /// Whether that was all, and the stream ended as it should.
    pub(crate) is_done: bool,
}

/// The payload of a client's frame.
pub(crate) fn payload(client: u32, number: u32) -> Vec<u8> {
    let mut random = Random::new(u64::from(client) << 32 | u64::from(number));
    let length = 8 + random.below(700);
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(client.to_be_bytes());
    bytes.extend(number.to_be_bytes());
    bytes.extend((bytes.len()..length).map(|_| random.bits() as u8));
    bytes
}

pub(crate) fn run(to: SocketAddr, client: u32, frames: u32) -> Outcome {
    let mut outcome = Outcome {
        address: None,
        heard: 0,
        is_done: false,
    };
    // Nobody listens when the worker has died or the service has stopped.
    let Ok(stream) = TcpStream::connect(to) else {
        return outcome;
    };
    let limits = [Some(LIMIT); 2];
    stream.set_read_timeout(limits[0]).expect("a limit");
    stream.set_write_timeout(limits[1]).expect("a limit");
    outcome.address = stream.local_addr().ok();
    let mut talk = Talk {
        stream,
        client,
        heard: 0,
        news: None,
    };
    let all = talk.exchange(frames);
    outcome.heard = talk.heard;
    outcome.is_done = all.is_some() && talk.hear_the_end().is_some();
    outcome
}

struct Talk {
    stream: TcpStream,
    client: u32,
    heard: u32,
    /// The number of the last broadcast.
    news: Option<u64>,
}

impl Talk {
    /// Sends all frames and hears their echoes. `None` when the connection ended before.
    fn exchange(&mut self, frames: u32) -> Option<()> {
        let mut sent = 0;
        while self.heard < frames {
            let until = (sent + BURST).min(frames);
            while sent < until {
                let payload = payload(self.client, sent);
                let size = u16::try_from(payload.len() + 4).expect("a size");
                let mut frame = size.to_be_bytes().to_vec();
                frame.extend(ECHO.number().to_be_bytes());
                frame.extend(payload);
                if let Err(error) = self.stream.write_all(&frame) {
                    ended(&error);
                    // What was said before is still there, unless it is reset.
                    while self.hear(frames).is_some() {}
                    return None;
                }
                sent += 1;
            }
            while self.heard < until {
                self.hear(frames)?;
            }
        }
        Some(())
    }

    /// Says that nothing more comes and hears the rest, which is no echo. `None` when the stream
    /// did not end as it should.
    fn hear_the_end(&mut self) -> Option<()> {
        self.stream.shutdown(Shutdown::Write).ok()?;
        loop {
            let mut first = [0];
            match self.stream.read(&mut first) {
                Ok(0) => return Some(()),
                Ok(_) => self.hear_after(first[0], 0)?,
                Err(error) => {
                    ended(&error);
                    return None;
                }
            }
        }
    }

    fn hear(&mut self, frames: u32) -> Option<()> {
        let [first] = self.read()?;
        self.hear_after(first, frames)
    }

    /// The rest of a frame: the next echo, of which there are `frames`, or a broadcast.
    fn hear_after(&mut self, first: u8, frames: u32) -> Option<()> {
        let [second, high, low] = self.read()?;
        let size = usize::from(u16::from_be_bytes([first, second]));
        let id = u16::from_be_bytes([high, low]);
        if id == ECHO.number() {
            assert!(self.heard < frames, "an echo of nothing");
            let expected = payload(self.client, self.heard);
            assert_eq!(size, expected.len() + 4, "another frame's size");
            self.expect(&expected)?;
            self.heard += 1;
        } else if id == NEWS.number() {
            assert_eq!(size, 12);
            let number = u64::from_be_bytes(self.read()?);
            let before = self.news.replace(number);
            assert!(
                before.is_none_or(|before| before + 1 == number),
                "broadcast {number} after {before:?}"
            );
        } else {
            assert!(CONTROL.contains(&id), "a frame of id {id:#x}");
            let mut rest = vec![0; size - 4];
            self.read_into(&mut rest)?;
        }
        Some(())
    }

    /// Hears just these bytes, as far as the stream goes.
    fn expect(&mut self, bytes: &[u8]) -> Option<()> {
        let mut heard = vec![0; bytes.len()];
        let whole = self.read_some(&mut heard);
        assert!(bytes.starts_with(&heard[..whole]), "other bytes");
        (whole == bytes.len()).then_some(())
    }

    fn read<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read_into(&mut bytes)?;
        Some(bytes)
    }

    fn read_into(&mut self, bytes: &mut [u8]) -> Option<()> {
        (self.read_some(bytes) == bytes.len()).then_some(())
    }

    /// Fills `bytes` as far as the stream goes.
    fn read_some(&mut self, bytes: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < bytes.len() {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    ended(&error);
                    break;
                }
            }
        }
        filled
    }
}

/// A stream may end in any way, but not stand still.
fn ended(error: &std::io::Error) {
    let stands_still = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(!stands_still, "the stream neither went on nor ended");
}
