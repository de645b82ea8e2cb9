//! The event workers: threads that run the strands of sessions which have work.
//!
//! One queue of ready strands under one lock, first in first out. The lock is taken once per run of
//! a strand, which is a batch of packets, not per packet. Sleepers are counted under the same lock,
//! so a wake-up can not be lost.

use crate::Error;
use crate::dispatch::strand::Strand;
use crate::lock::{Condvar, Mutex};
use crate::stats::handler_times::{HandlerTimes, HandlerTimesSnapshot, Stopwatch};
use std::collections::VecDeque;
use std::iter;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// Strands that are ready to run.
#[derive(Default)]
pub(crate) struct ReadyQueue {
    state: Mutex<ReadyState>,
    wake: Condvar,
}

#[derive(Default)]
struct ReadyState {
    ready: VecDeque<Arc<Strand>>,
    sleepers: usize,
    stopping: bool,
}

impl ReadyQueue {
    /// Strands that wait for a thread.
    pub(crate) fn len(&self) -> usize {
        self.state.lock().ready.len()
    }

    /// Puts a strand at the tail. The strand's own state keeps it from being in here twice.
    pub(crate) fn inject(&self, strand: Arc<Strand>) {
        self.inject_all(iter::once(strand));
    }

    /// As [`ReadyQueue::inject`], for several strands, under one lock.
    pub(crate) fn inject_all(&self, strands: impl ExactSizeIterator<Item = Arc<Strand>>) {
        let mut state = self.state.lock();
        let wanted = strands.len().min(state.sleepers);
        state.ready.extend(strands);
        for _ in 0..wanted {
            self.wake.notify_one();
        }
    }

    /// The next strand; blocks while there is none. `None` when the pool stops and the queue is
    /// empty.
    fn next(&self) -> Option<Arc<Strand>> {
        let mut state = self.state.lock();
        loop {
            if let Some(strand) = state.ready.pop_front() {
                return Some(strand);
            }
            if state.stopping {
                return None;
            }
            state.sleepers += 1;
            self.wake.wait(&mut state);
            state.sleepers -= 1;
        }
    }
}

/// What a simulation does in place of the event workers.
#[cfg(feature = "simulation")]
impl ReadyQueue {
    /// Takes the strand at `index`, which some event worker might be the first to run.
    pub(crate) fn take(&self, index: usize) -> Option<Arc<Strand>> {
        self.state.lock().ready.remove(index)
    }
}

/// A pool of event workers.
pub(crate) struct EventPool {
    queue: Arc<ReadyQueue>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    times: Vec<Arc<HandlerTimes>>,
}

impl EventPool {
    /// Starts `workers` threads.
    ///
    /// # Errors
    /// When the system gives no thread; those that were started end.
    pub(crate) fn start(workers: usize) -> Result<Self, Error> {
        let times = iter::repeat_with(Arc::default);
        let pool = Self {
            queue: Arc::default(),
            threads: Mutex::default(),
            times: times.take(workers).collect(),
        };
        for (index, times) in pool.times.iter().enumerate() {
            let name = format!("fastport-event-{index}");
            let (queue, times) = (pool.queue.clone(), times.clone());
            let thread = thread::Builder::new()
                .name(name.clone())
                .spawn(move || {
                    let mut stopwatch = Stopwatch::new(times);
                    while let Some(strand) = queue.next() {
                        strand.run(&queue, &mut stopwatch);
                    }
                })
                .map_err(|source| Error::Thread { name, source })?;
            pool.threads.lock().push(thread);
        }
        Ok(pool)
    }

    /// A pool without threads: whoever made it runs the strands.
    #[cfg(feature = "simulation")]
    pub(crate) fn without_threads() -> Self {
        Self {
            queue: Arc::default(),
            threads: Mutex::default(),
            times: Vec::new(),
        }
    }

    /// Adds how long handlers took here.
    pub(crate) fn add_times_to(&self, snapshot: &mut HandlerTimesSnapshot) {
        for times in &self.times {
            times.add_to(snapshot);
        }
    }

    /// Where strands become ready.
    pub(crate) fn queue(&self) -> &ReadyQueue {
        &self.queue
    }

    /// Lets the workers finish what is queued and joins them. Called on an event worker it does not
    /// wait for that one. Calling it again does nothing.
    pub(crate) fn stop(&self) {
        self.queue.state.lock().stopping = true;
        self.queue.wake.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            if thread.thread().id() != thread::current().id() {
                // Handlers' panics are caught inside; there is nothing else to learn.
                let _ = thread.join();
            }
        }
    }
}

impl Drop for EventPool {
    fn drop(&mut self) {
        self.stop();
    }
}
