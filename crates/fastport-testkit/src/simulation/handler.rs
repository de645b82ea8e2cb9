//! The application of a simulated run: what a packet says, it does.
//!
//! The first byte of a payload names the behaviour, the next two are its parameter. So what a
//! handler does was decided by the peer that sent the packet, and a run needs no decisions inside
//! the session layer.

use super::directory::Directory;
use super::interlude::interlude;
use super::ledger::{Ledger, frame};
use fastport::{CloseReason, Handler, Packet, Session, SharedFrame};
use std::sync::Arc;

/// What a handler does with a packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Behaviour {
    /// Nothing.
    Ignore,
    /// Sends it back as it is.
    Forward,
    /// Sends a payload.
    Reply,
    /// Sends several.
    ReplyMany,
    /// Sends a frame by reference.
    Share,
    /// Ends the session.
    Disconnect,
    /// Sends, then ends the session.
    ReplyAndDisconnect,
    /// Panics.
    Panic,
    /// Panics while a message is encoded.
    PanicInEncoder,
    /// Sends to another session.
    SendToOther,
    /// Sends the packet on to another session.
    ForwardToOther,
    /// Ends another session.
    DisconnectOther,
    /// Sends a large message whose encoding takes long.
    ReplySlowly,
}

/// All behaviours, by the byte that names them.
pub const BEHAVIOURS: [Behaviour; 13] = [
    Behaviour::Ignore,
    Behaviour::Forward,
    Behaviour::Reply,
    Behaviour::ReplyMany,
    Behaviour::Share,
    Behaviour::Disconnect,
    Behaviour::ReplyAndDisconnect,
    Behaviour::Panic,
    Behaviour::PanicInEncoder,
    Behaviour::SendToOther,
    Behaviour::ForwardToOther,
    Behaviour::DisconnectOther,
    Behaviour::ReplySlowly,
];

/// Greetings: what happens when a session begins.
pub const GREETINGS: u8 = 5;

/// The handler of all sessions of a run.
pub struct SimHandler {
    directory: Arc<Directory>,
}

impl SimHandler {
    /// A handler whose sessions are in `directory`.
    #[must_use]
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }

    fn begin(&self, session: &Session) {
        let Some(ledger) = self.directory.of(session) else {
            return;
        };
        ledger.on_opened(session);
        let _ = session.attach(ledger.clone());
        session.set_send_policy(ledger.policy);
        ledger.enter(session, "greets", false);
        ledger.let_in_if_due(session, 0);
        match ledger.greeting {
            1 => {
                ledger.send(session, b"\0\0\0hello");
            }
            2 => ledger.disconnect(session),
            3 => {
                ledger.leave(true);
                simulated_panic();
            }
            _ => {}
        }
        ledger.leave(false);
    }

    fn act(&self, ledger: &Ledger, session: &Session, packet: Packet<'_>) {
        if packet.id() != super::ledger::ID {
            // An answer that nobody waits for any more.
            return;
        }
        let payload = packet.payload();
        let [name, high, low, ..] = *payload else {
            return;
        };
        let size = usize::from(u16::from_be_bytes([high, low]));
        let other = || self.directory.other(ledger.id, size);
        match BEHAVIOURS.get(usize::from(name)) {
            None | Some(Behaviour::Ignore) => {}
            Some(Behaviour::Forward) => forward(ledger, session, packet),
            Some(Behaviour::Reply) => {
                ledger.send(session, &answer(ledger, size));
            }
            Some(Behaviour::ReplyMany) => {
                for part in 0..1 + size % 7 {
                    ledger.send(session, &answer(ledger, size / 4 + part));
                }
            }
            Some(Behaviour::Share) => {
                let bytes = frame(&answer(ledger, size));
                let shared = SharedFrame::from(bytes.clone());
                ledger.account(session, bytes, || session.send_shared(&shared));
            }
            Some(Behaviour::Disconnect) => ledger.disconnect(session),
            Some(Behaviour::ReplyAndDisconnect) => {
                ledger.send(session, &answer(ledger, size));
                ledger.disconnect(session);
            }
            Some(Behaviour::Panic) => {
                ledger.leave(true);
                simulated_panic();
            }
            Some(Behaviour::PanicInEncoder) => {
                ledger.leave(true);
                ledger.account(session, Vec::new(), || {
                    session.send_with(super::ledger::ID, size, |memory| {
                        memory.fill(0xbb);
                        simulated_panic();
                    })
                });
                // It was refused before it was encoded.
                ledger.enter(session, "goes on", false);
            }
            Some(Behaviour::SendToOther) => {
                if let Some((ledger, session)) = other() {
                    ledger.send(&session, &answer(&ledger, size));
                }
            }
            Some(Behaviour::ForwardToOther) => {
                if let Some((ledger, session)) = other() {
                    forward(&ledger, &session, packet);
                }
            }
            Some(Behaviour::ReplySlowly) => {
                ledger.send_slowly(session, size % 500, interlude);
            }
            Some(Behaviour::DisconnectOther) => {
                if let Some((ledger, session)) = other() {
                    ledger.disconnect(&session);
                }
            }
        }
    }
}

impl Handler for SimHandler {
    fn on_accepted(&self, session: &Session) {
        self.begin(session);
    }

    fn on_connected(&self, session: &Session) {
        self.begin(session);
    }

    fn on_packet(&self, session: &Session, packet: Packet<'_>) {
        let Some(ledger) = session.attached::<Arc<Ledger>>() else {
            self.directory
                .stray("a packet of a session that has not begun");
            return;
        };
        ledger.enter(session, "packet", true);
        ledger.on_packet(packet.frame());
        ledger.let_in_if_due(session, packet.frame().len());
        if asks_for_interlude(packet) {
            interlude();
        }
        if packet.id() == super::ledger::ID && ledger.wants_to_ask(packet.payload()) {
            ledger.ask(session);
        }
        self.act(ledger, session, packet);
        ledger.leave(false);
    }

    fn on_writable(&self, session: &Session) {
        let Some(ledger) = session.attached::<Arc<Ledger>>() else {
            self.directory
                .stray("relief of a session that has not begun");
            return;
        };
        ledger.enter(session, "writable", true);
        ledger.on_writable();
        if ledger.greeting == 4 {
            ledger.send(session, &answer(ledger, 50));
        }
        ledger.leave(false);
    }

    fn on_disconnected(&self, session: &Session, reason: CloseReason) {
        let Some(ledger) = session.attached::<Arc<Ledger>>() else {
            self.directory
                .stray("the end of a session that has not begun");
            return;
        };
        ledger.on_disconnected(session, reason);
        if ledger.id % 16 == 3 {
            simulated_panic();
        }
    }
}

/// Whether others do something while this packet is handled.
fn asks_for_interlude(packet: Packet<'_>) -> bool {
    packet.payload().last().is_some_and(|byte| byte % 3 == 0)
}

fn forward(ledger: &Ledger, session: &Session, packet: Packet<'_>) {
    let bytes = packet.frame().to_vec();
    ledger.account(session, bytes, || session.forward(&packet));
}

/// A payload of `size` bytes that no other session sends.
fn answer(ledger: &Ledger, size: usize) -> Vec<u8> {
    let seed = ledger.id as usize;
    (0..size).map(|at| (at * 31 + seed * 7) as u8).collect()
}

/// A panic that is meant: it says nothing on standard error.
fn simulated_panic() -> ! {
    std::panic::resume_unwind(Box::new("simulated"))
}
