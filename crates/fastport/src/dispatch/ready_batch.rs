//! The strands that this thread's worker has made ready and not handed to the event workers yet.
//!
//! Handed over one by one, the first would wake an event worker that takes the processor from the
//! worker in the middle of its turn, finds one strand, and sleeps again: two switches of threads
//! for each chunk that was received. A worker hands over what its turn led to, and in a long turn
//! every few strands, so that the event workers begin while it goes on.
//!
//! Thread-local, as the attention list is. Empty between turns: who adds must hand over.

use crate::dispatch::event_pool::ReadyQueue;
use crate::dispatch::strand::Strand;
use std::cell::RefCell;
use std::sync::Arc;

/// So many strands do not wait for the turn's end.
const STRANDS_MAX: usize = 32;

thread_local! {
    static BATCH: RefCell<Vec<Arc<Strand>>> = const { RefCell::new(Vec::new()) };
}

/// Adds a strand that became ready.
pub(crate) fn add(strand: Arc<Strand>, queue: &ReadyQueue) {
    let is_full = BATCH.with(|batch| {
        let mut batch = batch.borrow_mut();
        batch.push(strand);
        batch.len() >= STRANDS_MAX
    });
    if is_full {
        hand_over(queue);
    }
}

/// Hands all of them to the event workers.
pub(crate) fn hand_over(queue: &ReadyQueue) {
    BATCH.with(|batch| {
        let mut batch = batch.borrow_mut();
        if !batch.is_empty() {
            queue.inject_all(batch.drain(..));
        }
    });
}

/// Frees the memory of an empty batch.
#[cfg(feature = "simulation")]
pub(crate) fn release_spares() {
    BATCH.with(|batch| batch.borrow_mut().shrink_to_fit());
}
