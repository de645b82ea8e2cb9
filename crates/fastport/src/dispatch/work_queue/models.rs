//! Loom models of a strand: no work is lost, none is done twice or out of order, and no two event
//! workers run the strand at once, in whatever order owner and event workers meet.
//!
//! The real [`WorkQueue`] runs here; the ready queue is a count of how often the strand is in it.
//! Mutants that fail here: a run that goes idle although work came meanwhile, a push that makes a
//! strand ready which is scheduled already, what is left put behind what came meanwhile
//! (`fastport-testkit/mutants/strand-*.patch`).

use super::{State, WorkQueue};
use loom::sync::Mutex;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize as Count;

/// Work that is done although the strand is blocked.
const LAST: u32 = 9;

struct Model {
    work: WorkQueue<u32>,
    /// How often the strand is in the ready queue.
    ready: AtomicUsize,
    running: AtomicBool,
    done: Mutex<Vec<u32>>,
}

impl Model {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            work: WorkQueue::default(),
            ready: AtomicUsize::new(0),
            running: AtomicBool::new(false),
            done: Mutex::new(Vec::new()),
        })
    }

    fn push(&self, work: u32) {
        if self.work.push(work, work == LAST) {
            self.ready.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn unblock(&self) {
        if self.work.unblock() {
            self.ready.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// An event worker looks into the ready queue and does one piece of work, if the strand is
    /// there. With `blocks` the strand is to wait afterwards.
    fn run(&self, blocks: bool) -> bool {
        let take = |ready: usize| ready.checked_sub(1);
        let taken = self
            .ready
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        if taken.is_err() {
            return false;
        }
        let alone = !self.running.swap(true, Ordering::AcqRel);
        assert!(alone, "two event workers run the strand at once");
        let mut mine = self.work.take();
        if let Some(work) = mine.pop_front() {
            self.done.lock().unwrap().push(work);
        }
        self.running.store(false, Ordering::Release);
        if self.work.end_run(mine, blocks, |work| *work == LAST) == State::Scheduled {
            self.ready.fetch_add(1, Ordering::AcqRel);
        }
        true
    }
}

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// The owner pushes while two event workers run; what they leave is done afterwards.
fn all_is_done_in_order(work: &'static [u32], blocks: bool) {
    let ran = Arc::new(Count::new(0));
    let count = ran.clone();
    check(move || {
        let model = Model::new();
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (model, count) = (model.clone(), count.clone());
                thread::spawn(move || {
                    count.fetch_add(usize::from(model.run(blocks)), Ordering::Relaxed);
                })
            })
            .collect();
        for piece in work {
            model.push(*piece);
        }
        for thread in threads {
            thread.join().unwrap();
        }
        // The owner looks at a session that a run has blocked, and finds room.
        model.unblock();
        while model.run(false) {}
        assert_eq!(*model.done.lock().unwrap(), work);
        assert!(model.work.take().is_empty(), "work is left");
    });
    assert!(ran.load(Ordering::Relaxed) > 0, "no event worker was early");
}

#[test]
fn work_that_comes_during_a_run_is_done() {
    all_is_done_in_order(&[1, 2], false);
}

#[test]
fn three_pieces_keep_their_order() {
    all_is_done_in_order(&[1, 2, 3], false);
}

#[test]
fn a_blocked_strand_goes_on() {
    all_is_done_in_order(&[1, 2], true);
}

/// Nobody unblocks a session that is gone: its last work is done all the same.
#[test]
fn the_last_work_is_done_although_the_strand_is_blocked() {
    check(|| {
        let model = Model::new();
        let there = model.clone();
        let event_worker = thread::spawn(move || {
            there.run(true);
            there.run(true);
        });
        model.push(1);
        model.push(LAST);
        event_worker.join().unwrap();
        while model.run(true) {}
        assert_eq!(*model.done.lock().unwrap(), [1, LAST]);
    });
}
