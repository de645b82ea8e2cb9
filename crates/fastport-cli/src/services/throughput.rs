//! Throughput packets: a stream one way, answered once, at its end.

use super::Measurements;
use super::echo::ignore_gone;
use crate::clock::Clock;
use fastport::protocol::benchmark::ThroughputResult;
use fastport::protocol::views::ThroughputDataView;
use fastport::{Packet, PacketId, Session};

/// A session's stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    clock: Option<Clock>,
    packets: u32,
    bytes: u64,
}

/// Counts a packet of the stream; the last one is answered with what was counted.
pub(super) fn on_data(session: &Session, packet: &Packet<'_>) {
    let Ok(data) = ThroughputDataView::decode(packet.payload()) else {
        return session.reject_undecodable(packet.id());
    };
    let Some(measurements) = Measurements::of(session) else {
        return;
    };
    let mut stream = measurements.throughput.lock();
    stream.clock.get_or_insert_with(Clock::start);
    stream.packets = stream.packets.saturating_add(1);
    stream.bytes = stream.bytes.saturating_add(data.payload.len() as u64);
    if !data.is_last {
        return;
    }
    let ended = std::mem::take(&mut *stream);
    drop(stream);
    let elapsed_ns = ended.clock.map_or(0, |clock| clock.now_ns());
    ignore_gone(session.send(PacketId::THROUGHPUT_RESULT, &ended.result(elapsed_ns)));
}

impl Stream {
    /// What was counted, over a time that is at least 1 ns.
    fn result(&self, elapsed_ns: u64) -> ThroughputResult {
        let seconds = elapsed_ns.max(1) as f64 / 1e9;
        ThroughputResult {
            header: None,
            packets_received: self.packets,
            bytes_received: self.bytes,
            elapsed_ns,
            packets_per_second: f64::from(self.packets) / seconds,
            megabytes_per_second: self.bytes as f64 / 1e6 / seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second() {
        let stream = Stream {
            clock: None,
            packets: 50,
            bytes: 4_000_000,
        };
        let result = stream.result(500_000_000);
        assert_eq!(
            (result.packets_per_second, result.megabytes_per_second),
            (100.0, 8.0)
        );
        assert!(stream.result(0).packets_per_second.is_finite());
    }
}
