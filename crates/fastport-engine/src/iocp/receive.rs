//! Receiving: a wait that takes no bytes while there are none, then receives until there are no
//! more or the turn's budget is spent, then the wait again.
//!
//! ```text
//!             arm                 packet                 short, or none
//!   Idle ----------> wait posted ---------> readable ---------------------> wait posted
//!                                            |  ^  +-- budget spent --> readable, next turn
//!                                            +--+ a full buffer
//! ```
//!
//! A pause needs no cancel while only the wait is outstanding: it takes nothing. The result of the
//! wait tells nothing but that it ended; only a receive tells bytes from the end of the stream.
//! [`steady`](super::steady) says for which connections a receive stands in the place of the wait.

use super::buffers::{Buffer, Buffers};
use super::operation::Operation;
use super::slots::{Receive, Role, Slot};
use super::turn::Served;
use super::winsock::{self, Begun};
use super::{Event, IocpEngine, Parts};
use crate::{Key, Op, ReceiveForm};
use socket2::SockRef;
use std::io::{self, Read};
use std::time::Duration;

/// How long a wait may take at first while keys starve, since nobody wakes us when another thread
/// drops a chunk.
pub(super) const STARVED_WAIT_MIN: Duration = Duration::from_millis(1);
/// What it grows to while nothing comes back.
const STARVED_WAIT_MAX: Duration = Duration::from_millis(4);

/// What a receive came to.
enum Outcome {
    /// So many bytes in the buffer; 0 is the end of the stream.
    Bytes(usize),
    /// A packet will tell.
    Pending,
    /// There is nothing now.
    Nothing,
    /// The kernel has no memory for a buffer that waits.
    Refused,
    Failed(io::Error),
}

impl IocpEngine {
    /// See [`Engine::arm_recv`](crate::Engine::arm_recv).
    pub(super) fn want_receive(&mut self, key: Key) {
        let slot = self.memory.slots.find(key);
        let Some(slot) = slot.filter(|slot| slot.in_flight.is_open()) else {
            return;
        };
        if matches!(slot.role, Role::Listener(_)) {
            return;
        }
        if !matches!(slot.receive, Receive::Idle | Receive::Pausing) {
            return;
        }
        slot.receive = Receive::Armed;
        // Begun at once, so that the next wait need not be cut short for it.
        let waits = matches!(slot.role, Role::Connecting(_))
            || slot.in_flight.has(Op::Recv)
            || !slot.readable && !self.post_wait(key);
        if !waits {
            self.enqueue(key);
        }
    }

    /// See [`Engine::pause_recv`](crate::Engine::pause_recv).
    pub(super) fn pause_receive(&mut self, key: Key) {
        let Parts {
            slots, operations, ..
        } = &mut *self.memory;
        let Some(slot) = slots.find(key) else { return };
        if slot.receive != Receive::Armed || !slot.in_flight.is_open() {
            return;
        }
        slot.receive = Receive::Pausing;
        if let (Some(_), Some(socket)) = (slot.filling, &slot.socket) {
            // Its packet ends the pause. Should this fail, the next bytes do.
            let _ = winsock::cancel(socket, operations.of(key.index()).receive.address());
        } else {
            self.enqueue(key);
        }
    }

    /// What the receiving of a connection leads to.
    #[inline]
    pub(super) fn receive(&mut self, key: Key) -> Served {
        let Some(slot) = self.memory.slots.find(key) else {
            return Served::Idle;
        };
        match slot.receive {
            Receive::Pausing if slot.filling.is_none() => {
                slot.receive = Receive::Idle;
                return Served::Event(Event::RecvPaused { key });
            }
            Receive::Armed if !slot.in_flight.has(Op::Recv) => {}
            _ => return Served::Idle,
        }
        if !slot.readable {
            // What is sent for these bytes goes first: the next may be there when it has gone.
            if slot.budget.has_moved(self.turn) {
                return Served::NextTurn;
            }
            if !slot.lucky || self.receive_form == ReceiveForm::Overlapped {
                return self.await_bytes(key);
            }
        }
        self.receive_some(key)
    }

    /// Posts what tells of the next bytes: a receive for a connection with steady traffic, else a
    /// wait.
    fn await_bytes(&mut self, key: Key) -> Served {
        let parts = &mut *self.memory;
        if parts
            .slots
            .look(key)
            .is_some_and(|slot| slot.pace.is_steady())
            && let Some(page) = parts.buffers.acquire_page()
        {
            return self.receive_into(key, page);
        }
        match self.post_wait(key) {
            true => self.receive_some(key),
            false => Served::Idle,
        }
    }

    /// Waits for bytes. True when there are some, or a failure, already.
    fn post_wait(&mut self, key: Key) -> bool {
        let Parts {
            slots, operations, ..
        } = &mut *self.memory;
        let Some(slot) = slots.find(key) else {
            return false;
        };
        let Some(socket) = &slot.socket else {
            return false;
        };
        let overlapped = operations.of(key.index()).receive.begin();
        // SAFETY: it stays in place until `Op::Recv` is finished (`Operations`, `KernelMemory`).
        let begun = unsafe { winsock::wait_for_bytes(socket, overlapped) };
        slot.lucky |= matches!(begun, Ok(Begun::Done));
        match begun {
            Ok(Begun::Done) if slot.skips => slot.readable = true,
            Ok(_) => {
                slot.in_flight.begin(Op::Recv);
                self.operations += 1;
            }
            Err(error) => {
                slot.readable = true;
                slot.failure = Some(error);
            }
        }
        slot.readable
    }

    /// One receive of a connection that has bytes, or may have.
    fn receive_some(&mut self, key: Key) -> Served {
        let Parts { slots, buffers, .. } = &mut *self.memory;
        let Some(slot) = slots.find(key) else {
            return Served::Idle;
        };
        if !slot.budget.allows(self.turn, self.receive_budget) {
            return Served::NextTurn;
        }
        match buffers.acquire_large() {
            Some(buffer) => self.receive_into(key, buffer),
            None => Served::Starved,
        }
    }

    /// A receive into a buffer: a page stays posted until there is something, a large one only
    /// takes what there is, unless overlapped receives are asked for.
    fn receive_into(&mut self, key: Key, buffer: Buffer) -> Served {
        let Parts {
            slots,
            operations,
            buffers,
        } = &mut *self.memory;
        let Some(slot) = slots.find(key) else {
            buffers.release(buffer);
            return Served::Idle;
        };
        let outcome = match (buffer, self.receive_form) {
            (Buffer::Large(_), ReceiveForm::Direct | ReceiveForm::Adaptive) => {
                slot.read_now(buffers.slice_mut(buffer))
            }
            _ => {
                let operation = &operations.of(key.index()).receive;
                slot.begin_read(operation, buffers, buffer)
            }
        };
        let outcome = match (outcome, buffer) {
            (Outcome::Refused, Buffer::Large(_)) => slot.read_now(buffers.slice_mut(buffer)),
            (outcome, _) => outcome,
        };
        match outcome {
            Outcome::Bytes(bytes) => self.received(key, buffer, bytes),
            Outcome::Pending => {
                slot.filling = Some(buffer);
                slot.in_flight.begin(Op::Recv);
                self.operations += 1;
                self.posted_buffers += 1;
                Served::Idle
            }
            Outcome::Nothing => {
                buffers.release(buffer);
                slot.readable = false;
                slot.lucky = false;
                slot.budget.spend(0);
                match slot.failure.take() {
                    Some(error) => self.receive_failed(key, error),
                    None => Served::Again,
                }
            }
            Outcome::Refused => {
                buffers.release(buffer);
                slot.pace.forget();
                Served::Again
            }
            Outcome::Failed(error) => {
                buffers.release(buffer);
                self.receive_failed(key, error)
            }
        }
    }

    /// Tells of the bytes in a buffer, or of the end of the stream.
    fn received(&mut self, key: Key, buffer: Buffer, bytes: usize) -> Served {
        let Parts { slots, buffers, .. } = &mut *self.memory;
        let Some(slot) = slots.find(key) else {
            buffers.release(buffer);
            return Served::Idle;
        };
        if bytes == 0 {
            buffers.release(buffer);
            slot.receive = Receive::Ended;
            return Served::Event(Event::PeerFinished { key });
        }
        slot.budget.spend(bytes);
        // A short one took all that there was.
        slot.readable = bytes == buffers.bytes(buffer) || slot.failure.is_some();
        self.steady.note(key, slot, bytes);
        let chunk = buffers.lend(buffer, bytes);
        Served::Event(Event::Received { key, chunk })
    }

    fn receive_failed(&mut self, key: Key, error: io::Error) -> Served {
        if let Some(slot) = self.memory.slots.find(key) {
            slot.receive = Receive::Ended;
        }
        Served::Event(Event::Failed { key, error })
    }

    /// The packet of a wait or of a receive.
    pub(super) fn on_receive_ended(&mut self, key: Key) -> Option<Event> {
        let Parts {
            slots,
            operations,
            buffers,
        } = &mut *self.memory;
        let slot = slots.find(key)?;
        let operation = &operations.of(key.index()).receive;
        let failure = slot.failure_of(operation);
        let bytes = operation.bytes();
        let filled = slot.filling.take();
        self.posted_buffers -= usize::from(filled.is_some());
        if !slot.in_flight.is_open() {
            if let Some(buffer) = filled {
                buffers.release(buffer);
            }
            self.finish(key, Op::Recv);
            return None;
        }
        slot.readable = true;
        self.finish(key, Op::Recv);
        // For what there is to receive, or for more of it, or to tell of a pause.
        self.enqueue(key);
        let Some(buffer) = filled else {
            self.memory.slots.find(key)?.failure = failure;
            return None;
        };
        let served = match failure {
            // A receive that was cancelled may have taken bytes.
            Some(error) if bytes == 0 => {
                self.memory.buffers.release(buffer);
                if winsock::is_cancelled(&error) {
                    return None;
                }
                self.receive_failed(key, error)
            }
            _ => self.received(key, buffer, bytes),
        };
        match served {
            Served::Event(event) => Some(event),
            _ => None,
        }
    }

    /// Serves the starved keys again when buffers are back. True when none is and keys wait.
    pub(super) fn feed_starved(&mut self) -> bool {
        if self.starved.is_empty() {
            return false;
        }
        let Parts { slots, buffers, .. } = &mut *self.memory;
        if !buffers.has_large() {
            // Keys that were closed meanwhile must not pile up.
            self.starved.retain(|key| slots.look(*key).is_some());
            self.starved_wait = (self.starved_wait * 2).min(STARVED_WAIT_MAX);
            return !self.starved.is_empty();
        }
        self.starved_wait = STARVED_WAIT_MIN;
        for key in std::mem::take(&mut self.starved) {
            if let Some(slot) = self.memory.slots.find(key) {
                slot.starved = false;
                self.enqueue(key);
            }
        }
        false
    }
}

impl Slot {
    /// Receives what there is, without waiting.
    fn read_now(&self, buffer: &mut [u8]) -> Outcome {
        let Some(socket) = &self.socket else {
            return Outcome::Nothing;
        };
        match (&*SockRef::from(socket)).read(buffer) {
            Ok(bytes) => Outcome::Bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Outcome::Nothing,
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Begins a receive into a buffer that is held.
    fn begin_read(
        &mut self,
        operation: &Operation,
        buffers: &mut Buffers,
        buffer: Buffer,
    ) -> Outcome {
        let Some(socket) = &self.socket else {
            return Outcome::Nothing;
        };
        let (address, bytes) = (buffers.address(buffer).as_ptr(), buffers.bytes(buffer));
        // SAFETY: both stay in place, and nobody else uses them, until `Op::Recv` is finished: the
        // buffer is held until then (`KernelMemory`).
        let begun = unsafe { winsock::receive_into(socket, address, bytes, operation.begin()) };
        self.lucky |= matches!(begun, Ok(Begun::Done));
        match begun {
            Ok(Begun::Done) if self.skips => Outcome::Bytes(operation.bytes()),
            Ok(_) => Outcome::Pending,
            Err(error) if winsock::is_out_of_memory(&error) => Outcome::Refused,
            Err(error) => Outcome::Failed(error),
        }
    }
}
