//! A simulated peer: what it sends, how it cuts it, when it reads, how it ends.

use super::ledger::{Ledger, frame, reads_on};
use super::plan::{ENDINGS, Ending, Plan};
use crate::random::Random;
use crate::sim_engine::wire::{End, Wire};
use std::sync::Arc;

/// The other end of a connection.
#[derive(Debug)]
pub struct Peer {
    /// What becomes of the connection.
    pub ledger: Arc<Ledger>,
    wire: Wire,
    frames_left: usize,
    /// Bytes of the frame that is being sent, the next one first.
    unsent: Vec<u8>,
    at: usize,
    ending: Ending,
    has_ended: bool,
    /// Steps for which it does not read.
    stalled: usize,
    is_done: bool,
    scratch: Vec<u8>,
}

impl Peer {
    /// A peer as the plan wants it.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, plan: &Plan, random: &mut Random) -> Self {
        Self {
            wire: ledger.wire.clone(),
            ledger,
            frames_left: random.between(0, plan.frames_max),
            unsent: Vec::new(),
            at: 0,
            ending: ENDINGS[random.weighted(&plan.endings)],
            has_ended: false,
            stalled: 0,
            is_done: false,
            scratch: Vec::new(),
        }
    }

    /// Whether it will do nothing more that matters.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let deaf = self.has_ended && !reads_on(self.ending);
        self.is_done || deaf && self.ledger.is_over()
    }

    /// One thing that it does.
    pub fn step(&mut self, plan: &Plan, random: &mut Random) {
        if self.is_done {
            return;
        }
        let gone = self.has_ended && matches!(self.ending, Ending::Vanish | Ending::Reset);
        if gone || self.wire.seen_by_peer() == End::Reset {
            self.is_done = true;
            return;
        }
        if random.chance(plan.stalls) {
            self.stalled = random.between(1, 40);
        }
        if random.chance(600) {
            self.read(random);
        } else {
            self.write(plan, random);
        }
        if self.wire.seen_by_peer() == End::Finished {
            self.ledger.note_fin();
            // It closes as well, now or a little later.
            if random.chance(300) {
                self.end_by(Ending::Finish);
                self.is_done = true;
            }
        }
    }

    /// It reads what is there. True when there was something.
    pub fn read(&mut self, random: &mut Random) -> bool {
        if let Some(left) = self.stalled.checked_sub(1) {
            self.stalled = left;
            return true;
        }
        if self.has_ended && !reads_on(self.ending) {
            return false;
        }
        let there = self.wire.readable_by_peer();
        let bytes = match random.chance(300) {
            true => random.between(0, there),
            false => there,
        };
        self.scratch.clear();
        self.wire.peer_read(bytes, &mut self.scratch);
        if !self.scratch.is_empty() {
            self.ledger.note_read(&self.scratch);
        }
        !self.scratch.is_empty()
    }

    fn write(&mut self, plan: &Plan, random: &mut Random) {
        if self.has_ended {
            return;
        }
        if self.at < self.unsent.len() {
            self.send_some(random);
        } else if let Some(answers) = self.ledger.next_answers(random) {
            self.unsent = answers;
            self.at = 0;
            if !self.unsent.is_empty() {
                self.send_some(random);
            }
        } else if self.frames_left > 0 {
            self.frames_left -= 1;
            self.unsent = frame(&payload(plan, random));
            self.at = 0;
            self.send_some(random);
        } else {
            self.end(plan, random);
        }
    }

    /// Sends the rest of the frame, or a part of it.
    fn send_some(&mut self, random: &mut Random) {
        let left = self.unsent.len() - self.at;
        let bytes = match random.chance(400) {
            true => random.between(1, left),
            false => left,
        };
        let part = &self.unsent[self.at..self.at + bytes];
        // What can not be sent any more is nobody's.
        if self.wire.peer_end() == End::Open && self.wire.peer_send(part) {
            self.ledger.note_received(part);
        }
        self.at += bytes;
    }

    fn end(&mut self, plan: &Plan, random: &mut Random) {
        match self.ending {
            Ending::Truncate => {
                self.unsent = frame(&payload(plan, random));
                self.unsent.truncate(random.between(1, 3));
                self.at = 0;
                while self.at < self.unsent.len() {
                    self.send_some(random);
                }
            }
            Ending::Garbage => {
                self.ledger.note_garbage();
                self.unsent = vec![0, random.between(0, 3) as u8, 9, 9, 9];
                self.at = 0;
                while self.at < self.unsent.len() {
                    self.send_some(random);
                }
            }
            _ => {}
        }
        self.end_by(self.ending);
        if self.ending == Ending::Reset {
            self.wire.peer_reset(random.chance(500));
        }
        self.has_ended = true;
    }

    fn end_by(&mut self, ending: Ending) {
        match ending {
            Ending::Finish | Ending::Truncate => self.wire.peer_finish(),
            Ending::Vanish => self.wire.peer_vanish(),
            Ending::Reset | Ending::Wait | Ending::Garbage | Ending::StopReading => {}
        }
    }
}

fn payload(plan: &Plan, random: &mut Random) -> Vec<u8> {
    let length = match random.chance(100) {
        true => 0,
        false => random.between(3, plan.payload_max.max(3)),
    };
    let mut payload: Vec<u8> = (0..length).map(|_| random.bits() as u8).collect();
    if let [name, high, low, ..] = &mut payload[..] {
        *name = random.weighted(&plan.behaviours) as u8;
        let size = random.between(0, plan.payload_max) as u16;
        [*high, *low] = size.to_be_bytes();
    }
    payload
}
