//! Loom models of what other threads hand to a worker: its wake-up, the bytes and their order.
//!
//! The real [`Parking`] runs here. The queue is a counter that is pushed with release and looked at
//! with acquire, the least that a queue must do: loom does not know `SegQueue`, and a mutex in its
//! place would order push and look by itself and so hide the lost wake-up. The kernel is a flag
//! under a mutex.
//!
//! Each flaw that the protocol avoids is a variant of [`Flaw`], put in by hand, and a test shows
//! that loom finds it: the worker sleeps for ever, which loom reports as a deadlock, or the order
//! breaks. What the threads share is in the standard library's `Arc`, since loom's would panic
//! again while such a failure unwinds.

use super::Parking;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;

/// What is done wrong, to see that the model notices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The worker announces its sleep with a plain store, which its look at the queue may pass.
    PlainPark,
    /// The worker sleeps without a last look.
    NoLastLook,
    /// The poster looks at the flag before its entry is in.
    WakeBeforePush,
    /// The worker takes the sender's bytes before it lets the sender schedule again.
    UnscheduleAfterSplice,
    /// The worker queues its own bytes without taking in those of other threads first.
    NoSpliceBeforeOwn,
    /// A sender announces bytes before they are there.
    AnnounceBeforeAppend,
    /// The worker takes what is left before it closes.
    DrainBeforeClose,
    /// The poster looks whether the mailbox is closed before its entry is in.
    LookBeforePush,
}

/// What a worker sleeps in: remembers one wake-up, as an eventfd does.
#[derive(Default)]
struct Kernel {
    woken: Mutex<bool>,
    changed: Condvar,
}

impl Kernel {
    fn wake(&self) {
        *self.woken.lock().unwrap() = true;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut woken = self.woken.lock().unwrap();
        while !*woken {
            woken = self.changed.wait(woken).unwrap();
        }
        *woken = false;
    }
}

/// A mailbox as `Mailbox` is, with a counter in place of the queue.
struct Model {
    flaw: Flaw,
    entries: AtomicUsize,
    parking: Parking,
    kernel: Kernel,
}

impl Model {
    fn new(flaw: Flaw) -> Self {
        Self {
            flaw,
            entries: AtomicUsize::new(0),
            parking: Parking::default(),
            kernel: Kernel::default(),
        }
    }

    fn post(&self) {
        if self.flaw == Flaw::WakeBeforePush {
            self.wake();
            self.entries.fetch_add(1, Ordering::Release);
        } else {
            self.entries.fetch_add(1, Ordering::Release);
            self.wake();
        }
    }

    fn wake(&self) {
        if self.parking.take() {
            self.kernel.wake();
        }
    }

    fn take(&self) -> bool {
        let there = self.entries.load(Ordering::Acquire) > 0;
        if there {
            self.entries.fetch_sub(1, Ordering::AcqRel);
        }
        there
    }

    /// Takes everything; true when there was something. Others may do so as well.
    fn clear(&self) -> bool {
        self.entries.swap(0, Ordering::AcqRel) > 0
    }

    /// Sleeps unless there is work; true when it slept.
    fn sleep(&self) -> bool {
        if self.flaw == Flaw::PlainPark {
            self.parking.parked.store(true, Ordering::Release);
        } else {
            self.parking.park();
        }
        let may = self.flaw == Flaw::NoLastLook || self.entries.load(Ordering::Acquire) == 0;
        if may {
            self.kernel.wait();
        }
        self.parking.unpark();
        may
    }
}

/// The half of a session's send queue that other threads append to, with the flags around it.
struct Remote {
    bytes: Mutex<Vec<u8>>,
    /// Set under the lock; the owner's one load when there is nothing.
    nonempty: AtomicBool,
    scheduled: AtomicBool,
}

impl Remote {
    fn new() -> Self {
        Self {
            bytes: Mutex::new(Vec::new()),
            nonempty: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
        }
    }

    fn append(&self, byte: u8) {
        let mut bytes = self.bytes.lock().unwrap();
        bytes.push(byte);
        self.nonempty.store(true, Ordering::Release);
    }

    fn send(&self, mailbox: &Model, byte: u8) {
        self.append(byte);
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            mailbox.post();
        }
    }

    fn splice(&self, own: &mut Vec<u8>) {
        if self.nonempty.load(Ordering::Acquire) {
            let mut bytes = self.bytes.lock().unwrap();
            own.append(&mut bytes);
            self.nonempty.store(false, Ordering::Release);
        }
    }

    /// The owner took the session from its mailbox.
    fn attend(&self, flaw: Flaw, own: &mut Vec<u8>) {
        if flaw == Flaw::UnscheduleAfterSplice {
            self.splice(own);
            self.scheduled.swap(false, Ordering::AcqRel);
        } else {
            self.scheduled.swap(false, Ordering::AcqRel);
            self.splice(own);
        }
    }
}

/// Three preemptions per schedule: each flaw here needs two at most.
fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// `posters` threads post `each` entries; the worker takes them all, sleeping when there is none.
fn posts_are_taken(flaw: Flaw, posters: usize, each: usize) {
    let slept = Arc::new(Count::new(0));
    let count = slept.clone();
    check(move || {
        let mailbox = Arc::new(Model::new(flaw));
        let threads: Vec<_> = (0..posters)
            .map(|_| {
                let mailbox = mailbox.clone();
                thread::spawn(move || (0..each).for_each(|_| mailbox.post()))
            })
            .collect();
        let mut taken = 0;
        loop {
            while mailbox.take() {
                taken += 1;
            }
            if taken == posters * each {
                break;
            }
            count.fetch_add(usize::from(mailbox.sleep()), Ordering::Relaxed);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!mailbox.take());
    });
    assert!(slept.load(Ordering::Relaxed) > 0, "no schedule slept");
}

/// `senders` threads send `each` bytes over one session; the worker gets them all, in each one's
/// order.
fn sends_are_flushed(flaw: Flaw, senders: u8, each: u8) {
    check(move || {
        let mailbox = Arc::new(Model::new(flaw));
        let remote = Arc::new(Remote::new());
        let threads: Vec<_> = (0..senders)
            .map(|sender| {
                let (mailbox, remote) = (mailbox.clone(), remote.clone());
                let bytes = sender * each..(sender + 1) * each;
                thread::spawn(move || bytes.for_each(|byte| remote.send(&mailbox, byte)))
            })
            .collect();
        let mut own = Vec::new();
        while own.len() < usize::from(senders * each) {
            if mailbox.take() {
                remote.attend(flaw, &mut own);
            } else {
                mailbox.sleep();
            }
        }
        for thread in threads {
            thread.join().unwrap();
        }
        for sender in 0..senders {
            let bytes = own.iter().filter(|byte| *byte / each == sender);
            assert!(bytes.is_sorted(), "a sender's bytes are out of order");
        }
        assert!(remote.bytes.lock().unwrap().is_empty());
    });
}

/// `posters` threads post an entry each while the worker closes: none stays behind.
fn nothing_is_left(flaw: Flaw, posters: usize) {
    let late = Arc::new(Count::new(0));
    let count = late.clone();
    check(move || {
        let mailbox = Arc::new(Model::new(flaw));
        let threads: Vec<_> = (0..posters)
            .map(|_| {
                let (mailbox, count) = (mailbox.clone(), count.clone());
                thread::spawn(move || {
                    let before = mailbox.parking.is_closed();
                    mailbox.post();
                    let closed = match flaw {
                        Flaw::LookBeforePush => before,
                        _ => mailbox.parking.is_closed(),
                    };
                    if closed {
                        count.fetch_add(usize::from(mailbox.clear()), Ordering::Relaxed);
                    }
                })
            })
            .collect();
        if flaw == Flaw::DrainBeforeClose {
            mailbox.clear();
            mailbox.parking.close();
        } else {
            mailbox.parking.close();
            mailbox.clear();
        }
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!mailbox.take(), "an entry stays behind");
    });
    assert!(late.load(Ordering::Relaxed) > 0, "no poster came late");
}

/// Another thread sends `B` and tells the owner, by whatever way; then the owner's `C` goes out
/// after it. The owner's earlier `A` stays before it.
fn what_was_told_goes_first(flaw: Flaw) {
    let told_early = Arc::new(Count::new(0));
    let count = told_early.clone();
    check(move || {
        let remote = Arc::new(Remote::new());
        let told = Arc::new(AtomicBool::new(false));
        let owner = {
            let (remote, told, count) = (remote.clone(), told.clone(), count.clone());
            thread::spawn(move || {
                let mut own = vec![b'A'];
                let knows = told.load(Ordering::Acquire);
                count.fetch_add(usize::from(knows), Ordering::Relaxed);
                if flaw != Flaw::NoSpliceBeforeOwn {
                    remote.splice(&mut own);
                }
                own.push(b'C');
                (own, knows)
            })
        };
        if flaw == Flaw::AnnounceBeforeAppend {
            told.store(true, Ordering::Release);
            remote.append(b'B');
        } else {
            remote.append(b'B');
            told.store(true, Ordering::Release);
        }
        let (mut own, knows) = owner.join().unwrap();
        remote.splice(&mut own);
        let order = if knows { [b"ABC"; 2] } else { [b"ABC", b"ACB"] };
        assert!(order.iter().any(|order| own == **order), "order broken");
    });
    assert!(told_early.load(Ordering::Relaxed) > 0, "nobody was told");
}

#[test]
fn one_poster_twice() {
    posts_are_taken(Flaw::None, 1, 2);
}

#[test]
fn two_posters() {
    posts_are_taken(Flaw::None, 2, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_plain_store_loses_the_wake_up() {
    posts_are_taken(Flaw::PlainPark, 1, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_sleep_without_a_last_look_is_for_ever() {
    posts_are_taken(Flaw::NoLastLook, 1, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn a_wake_up_before_the_push_is_lost() {
    posts_are_taken(Flaw::WakeBeforePush, 1, 1);
}

#[test]
fn one_sender_twice() {
    sends_are_flushed(Flaw::None, 1, 2);
}

#[test]
fn two_senders() {
    sends_are_flushed(Flaw::None, 2, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn bytes_between_the_splice_and_the_flag_are_stuck() {
    sends_are_flushed(Flaw::UnscheduleAfterSplice, 1, 2);
}

#[test]
fn a_closed_mailbox_is_empty() {
    nothing_is_left(Flaw::None, 1);
    nothing_is_left(Flaw::None, 2);
}

#[test]
#[should_panic(expected = "an entry stays behind")]
fn an_entry_between_the_last_look_and_the_end_is_stuck() {
    nothing_is_left(Flaw::DrainBeforeClose, 1);
}

#[test]
#[should_panic(expected = "an entry stays behind")]
fn an_entry_after_an_early_look_is_stuck() {
    nothing_is_left(Flaw::LookBeforePush, 1);
}

#[test]
fn causal_order() {
    what_was_told_goes_first(Flaw::None);
}

#[test]
#[should_panic(expected = "order broken")]
fn own_bytes_without_a_splice_overtake() {
    what_was_told_goes_first(Flaw::NoSpliceBeforeOwn);
}

#[test]
#[should_panic(expected = "order broken")]
fn bytes_announced_too_early_are_overtaken() {
    what_was_told_goes_first(Flaw::AnnounceBeforeAppend);
}
