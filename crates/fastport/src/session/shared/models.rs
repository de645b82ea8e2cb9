//! Loom models of what a sender on another thread and the owner do to a session at once.
//!
//! They repeat the steps of `enqueue_remote`, `request_disconnect`, `unschedule`, `splice_until`,
//! `is_drained` and `take_backpressured` on loom's types; the session itself has too much to it.
//! Each flaw that the steps avoid is a variant of [`Flaw`], and a test shows that loom finds it.
//! `fastport-engine/src/mailbox/models.rs` has the mailbox, the `scheduled` flag and the splice.

use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;

/// What is done wrong, to see that the model notices.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// The sender looks for the disconnect request before it has the lock, and not again.
    LookBeforeTheLock,
    /// The owner half-closes when its own look says that nothing is queued.
    NoLockBeforeHalfClose,
    /// The sender raises the flag that it was told of back-pressure after it has posted.
    FlagAfterPost,
    /// The owner takes the flag before it lets senders post again.
    TakeBeforeUnschedule,
    /// The sender looks before it has the lock whether the session is on its way to the owner.
    LookForThePostBeforeTheLock,
    /// The owner lets senders post again without the lock.
    UnscheduleWithoutTheLock,
}

/// Above so many bytes a sender is told to slow down.
const HIGH: usize = 0;

struct Model {
    flaw: Flaw,
    remote: Mutex<usize>,
    remote_bytes: AtomicUsize,
    requested: AtomicBool,
    backpressured: AtomicBool,
    scheduled: AtomicBool,
    posts: AtomicUsize,
}

impl Model {
    fn new(flaw: Flaw) -> Arc<Self> {
        Arc::new(Self {
            flaw,
            remote: Mutex::new(0),
            remote_bytes: AtomicUsize::new(0),
            requested: AtomicBool::new(false),
            backpressured: AtomicBool::new(false),
            scheduled: AtomicBool::new(false),
            posts: AtomicUsize::new(0),
        })
    }

    /// A send that leaves the queue below the high watermark.
    fn send_little(&self) {
        let early = self.scheduled.load(Ordering::Relaxed);
        let late = {
            let mut remote = self.remote.lock().unwrap();
            *remote += 1;
            self.remote_bytes.store(*remote, Ordering::Release);
            self.scheduled.load(Ordering::Relaxed)
        };
        let is_scheduled = match self.flaw {
            Flaw::LookForThePostBeforeTheLock => early,
            _ => late,
        };
        if !is_scheduled {
            self.post();
        }
    }

    /// Whether the send was taken.
    fn send(&self) -> bool {
        if self.requested.load(Ordering::Acquire) {
            return false;
        }
        // Here a large message is encoded.
        {
            let mut remote = self.remote.lock().unwrap();
            if self.flaw != Flaw::LookBeforeTheLock && self.requested.load(Ordering::Acquire) {
                return false;
            }
            *remote += 1;
            self.remote_bytes.store(*remote, Ordering::Release);
        }
        if self.flaw == Flaw::FlagAfterPost {
            self.post();
            self.backpressured.store(true, Ordering::Release);
        } else {
            self.backpressured.store(true, Ordering::Release);
            self.post();
        }
        true
    }

    fn post(&self) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.posts.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Lets senders post again.
    fn unschedule(&self) {
        let has_lock = self.flaw != Flaw::UnscheduleWithoutTheLock;
        let _remote = has_lock.then(|| self.remote.lock().unwrap());
        self.scheduled.swap(false, Ordering::AcqRel);
    }

    fn splice(&self) -> usize {
        if self.remote_bytes.load(Ordering::Acquire) == 0 {
            return 0;
        }
        let mut remote = self.remote.lock().unwrap();
        self.remote_bytes.store(0, Ordering::Release);
        std::mem::take(&mut *remote)
    }

    fn is_drained(&self) -> bool {
        let none = self.remote_bytes.load(Ordering::Acquire) == 0;
        none && (self.flaw == Flaw::NoLockBeforeHalfClose || *self.remote.lock().unwrap() == 0)
    }

    fn take_backpressured(&self) -> bool {
        let was = self.backpressured.load(Ordering::Acquire);
        if was {
            self.backpressured.store(false, Ordering::Relaxed);
        }
        was
    }
}

/// A session as its owner sees it.
#[derive(Default)]
struct Owner {
    sent: usize,
    half_closed: bool,
    told_writable: bool,
}

impl Owner {
    /// Ends the session if that was asked for: sends what is queued, then half-closes.
    fn advance_close(&mut self, model: &Model) {
        if model.requested.load(Ordering::Acquire) && !self.half_closed {
            self.sent += model.splice();
            self.half_closed = model.is_drained();
        }
    }

    /// Takes the session from the mailbox, sends all of it, and tells of the end of back-pressure.
    fn attend(&mut self, model: &Model) {
        let posts = model.posts.load(Ordering::Acquire);
        if posts == 0 {
            return;
        }
        model.posts.fetch_sub(1, Ordering::AcqRel);
        let early = model.flaw == Flaw::TakeBeforeUnschedule && model.take_backpressured();
        model.unschedule();
        self.sent += model.splice();
        let late = model.flaw != Flaw::TakeBeforeUnschedule && model.take_backpressured();
        // All is sent at once here, so the queue is below the low watermark again. What the owner
        // sees above the high one it knows without the flag; here it never does.
        self.told_writable |= early || late;
    }
}

/// What is queued while the session is on its way to its owner, or has just come there, is sent.
fn nothing_is_left(flaw: Flaw) {
    check(move || {
        let model = Model::new(flaw);
        let sender = {
            let model = model.clone();
            thread::spawn(move || (0..2).for_each(|_| model.send_little()))
        };
        let mut owner = Owner::default();
        // Before what it sends itself.
        owner.sent += model.splice();
        owner.attend(&model);
        sender.join().unwrap();
        while model.posts.load(Ordering::Acquire) > 0 {
            owner.attend(&model);
        }
        assert_eq!(owner.sent, 2, "left behind");
    });
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A thread sends while another asks for the end and the owner closes: what was taken went out
/// before the FIN, and nothing comes behind it.
fn nothing_is_queued_behind_fin(flaw: Flaw) {
    let (taken, refused) = (Arc::new(Count::new(0)), Arc::new(Count::new(0)));
    let counts = (taken.clone(), refused.clone());
    check(move || {
        let model = Model::new(flaw);
        let sender = {
            let model = model.clone();
            thread::spawn(move || model.send())
        };
        let owner = {
            let model = model.clone();
            thread::spawn(move || {
                let mut owner = Owner::default();
                owner.advance_close(&model);
                owner
            })
        };
        model.requested.store(true, Ordering::Release);
        let sent = sender.join().unwrap();
        let mut owner = owner.join().unwrap();
        let fin_was_sent = owner.half_closed;
        let count = if sent { &counts.0 } else { &counts.1 };
        count.fetch_add(1, Ordering::Relaxed);
        if fin_was_sent {
            assert_eq!(owner.sent, usize::from(sent), "queued behind FIN");
            assert_eq!(*model.remote.lock().unwrap(), 0, "queued behind FIN");
        } else {
            // The post, or the next turn, brings the owner here again.
            owner.advance_close(&model);
            assert!(owner.half_closed);
            assert_eq!(owner.sent, usize::from(sent));
        }
    });
    for count in [taken, refused] {
        assert!(count.load(Ordering::Relaxed) > 0, "one outcome never came");
    }
}

/// Whoever was told of back-pressure is told of its end.
fn relief_is_told(flaw: Flaw, sends: usize) {
    check(move || {
        let model = Model::new(flaw);
        let sender = {
            let model = model.clone();
            thread::spawn(move || (0..sends).for_each(|_| assert!(model.send())))
        };
        let mut owner = Owner::default();
        owner.attend(&model);
        let early = std::mem::take(&mut owner.told_writable);
        sender.join().unwrap();
        while model.posts.load(Ordering::Acquire) > 0 {
            owner.attend(&model);
        }
        assert_eq!(owner.sent, sends);
        assert!(owner.sent > HIGH);
        assert!(early || owner.told_writable, "the sender is not told");
        let left = model.backpressured.load(Ordering::Acquire);
        assert!(!left, "the last sender is never told");
    });
}

#[test]
fn a_send_is_before_fin_or_refused() {
    nothing_is_queued_behind_fin(Flaw::None);
}

#[test]
#[should_panic(expected = "queued behind FIN")]
fn a_look_before_the_lock_queues_behind_fin() {
    nothing_is_queued_behind_fin(Flaw::LookBeforeTheLock);
}

#[test]
#[should_panic(expected = "queued behind FIN")]
fn a_half_close_without_the_lock_overtakes_a_sender() {
    nothing_is_queued_behind_fin(Flaw::NoLockBeforeHalfClose);
}

#[test]
fn what_is_queued_on_the_way_is_taken() {
    nothing_is_left(Flaw::None);
}

#[test]
#[should_panic(expected = "left behind")]
fn a_look_for_the_post_before_the_lock_leaves_bytes() {
    nothing_is_left(Flaw::LookForThePostBeforeTheLock);
}

#[test]
#[should_panic(expected = "left behind")]
fn an_owner_without_the_lock_leaves_bytes() {
    nothing_is_left(Flaw::UnscheduleWithoutTheLock);
}

#[test]
fn every_sender_is_told_of_relief() {
    relief_is_told(Flaw::None, 1);
    relief_is_told(Flaw::None, 2);
}

#[test]
#[should_panic(expected = "told")]
fn a_flag_after_the_post_is_never_looked_at() {
    relief_is_told(Flaw::FlagAfterPost, 1);
}

#[test]
#[should_panic(expected = "told")]
fn a_flag_taken_before_senders_may_post_is_lost() {
    relief_is_told(Flaw::TakeBeforeUnschedule, 2);
}
