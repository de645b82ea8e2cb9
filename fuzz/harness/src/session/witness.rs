//! The handler of a fuzzed session, which writes down what it sees and what `send` takes.

use fastport::{CloseReason, Handler, Packet, SendError, SendStatus, Session};
use fastport_buffer::SharedFrame;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What happened so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) session: Option<Session>,
    /// What was delivered: packet ids and payloads.
    pub(super) packets: Vec<(u16, Vec<u8>)>,
    /// What `send` took: the bytes that the peer must read.
    pub(super) promised: Vec<u8>,
    /// An end was asked for, by the handler or from outside.
    pub(super) asked_to_end: bool,
    /// The handler panicked.
    pub(super) panicked: bool,
    pub(super) reason: Option<CloseReason>,
}

/// The handler. Its record is locked only between calls of the session layer.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness(Arc<Mutex<Record>>);

impl Witness {
    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, sent: Result<SendStatus, SendError>, frame: &[u8]) {
        if sent.is_ok() {
            let mut record = self.record();
            assert!(
                !record.asked_to_end,
                "send took a frame after the end was asked for"
            );
            record.promised.extend(frame);
        }
    }

    /// Does what the packet says; its payload's first byte is the behaviour, two more its size.
    fn act(&self, session: &Session, packet: &Packet<'_>) {
        let id = packet.id();
        let payload = packet.payload();
        let (behaviour, size) = match *payload {
            [behaviour, high, low, ..] => (behaviour, u16::from_be_bytes([high, low])),
            [behaviour, ..] => (behaviour, 0),
            [] => (0, 0),
        };
        let whole = frame(id.number(), payload);
        match behaviour % 10 {
            0 | 1 => {}
            2 | 3 => self.note(session.forward(packet), &whole),
            4 => self.note(session.send_bytes(id, payload), &whole),
            5 => {
                let reply = vec![behaviour; usize::from(size)];
                let sent = session.send_bytes(id, &reply);
                let fits = reply.len() <= 65_531;
                assert!(fits || sent.is_err(), "a frame that is too large was taken");
                if fits {
                    self.note(sent, &frame(id.number(), &reply));
                }
            }
            6 => {
                for number in 0..=size % 32 {
                    let reply = number.to_be_bytes();
                    self.note(session.send_bytes(id, &reply), &frame(id.number(), &reply));
                }
            }
            7 => self.note(session.send_shared(&SharedFrame::from(&whole[..])), &whole),
            8 => {
                self.note(session.send_bytes(id, payload), &whole);
                session.disconnect();
                self.record().asked_to_end = true;
            }
            _ => {
                self.record().panicked = true;
                // Unwinds as a panic does, without a fuzzer's hook that ends the process.
                resume_unwind(Box::new("a handler's panic"));
            }
        }
    }
}

impl Handler for Witness {
    fn on_accepted(&self, session: &Session) {
        let mut record = self.record();
        assert!(record.session.is_none(), "accepted twice");
        assert!(record.packets.is_empty() && record.reason.is_none());
        record.session = Some(session.clone());
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        {
            let mut record = self.record();
            assert!(record.session.is_some(), "a packet before the session");
            assert!(record.reason.is_none(), "a packet after the session");
            let over = record.asked_to_end || record.panicked;
            assert!(!over, "a packet after the end was asked for");
            record
                .packets
                .push((packet.id().number(), packet.payload().to_vec()));
        }
        self.act(session, &packet);
    }

    fn on_writable(&self, _session: &Session) {
        assert!(self.record().reason.is_none(), "writable after the session");
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        let mut record = self.record();
        assert!(
            record.session.is_some(),
            "disconnected before it was accepted"
        );
        assert_eq!(record.reason, None, "disconnected twice");
        assert_eq!(session.close_reason(), Some(reason));
        record.reason = Some(reason);
    }
}

/// A frame; the payload fits.
pub(super) fn frame(id: u16, payload: &[u8]) -> Vec<u8> {
    let size = u16::try_from(payload.len() + 4).expect("a payload that fits a frame");
    [&size.to_be_bytes()[..], &id.to_be_bytes(), payload].concat()
}
