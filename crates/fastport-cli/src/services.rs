//! What the server serves: echo, raw echo, ping, benchmark and throughput packets.

mod benchmark;
mod echo;
mod resuming;
mod throughput;

pub(crate) use resuming::Resuming;

use fastport::{Handler, Packet, PacketId, Session};
use fastport_admin::InBand;
use parking_lot::Mutex;

/// The server's handler. What a session measures is attached to it.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// Takes admin packets, where the game port may have them.
    pub(crate) in_band: Option<InBand>,
}

impl Handler for Services {
    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        if packet.id() == PacketId::RAW_ECHO {
            echo::on_raw(session, &packet);
        } else {
            self.on_other(session, packet);
        }
    }
}

impl Services {
    /// Apart, so that the way of an echo is short, and by value: a packet that is pointed to is put
    /// together in memory first.
    #[inline(never)]
    fn on_other(&self, session: &Session, packet: Packet<'_>) {
        match packet.id() {
            PacketId::BENCHMARK_REQUEST => benchmark::on_request(session, &packet),
            PacketId::ECHO => echo::on_echo(session, &packet),
            PacketId::PING_REQUEST => echo::on_ping(session, &packet),
            PacketId::THROUGHPUT_DATA => throughput::on_data(session, &packet),
            PacketId::BENCHMARK_START_REQUEST => benchmark::on_start(session, &packet),
            PacketId::BENCHMARK_END_REQUEST => benchmark::on_end(session, &packet),
            id => match &self.in_band {
                Some(in_band) if id.is_reserved() => in_band.offer(session, &packet),
                _ => session.note_unhandled(id),
            },
        }
    }
}

/// What a session has measured. Attached at the first packet that measures, so that others cost
/// nothing.
#[derive(Debug, Default)]
struct Measurements {
    benchmark: Mutex<benchmark::Run>,
    throughput: Mutex<throughput::Stream>,
}

impl Measurements {
    /// The session's measurements, made if there are none.
    fn of(session: &Session) -> Option<&Self> {
        if session.attached::<Self>().is_none() {
            // Handlers of a session run one at a time: nobody was faster.
            let _ = session.attach(Self::default());
        }
        session.attached()
    }
}
