//! Loom models of the way home of a lent buffer: all reads by views happen before the owner writes.
//!
//! The real [`ChunkStore`] runs here. Its bytes are plain memory that loom does not watch, so each
//! model has a loom cell that stands for buffer 0: a view's holder reads it, the buffer's owner
//! writes it, and loom fails the model when the two are not ordered. Joining a thread orders
//! everything, so what the owner does before the join is what counts.
//!
//! Mutants that fail here: `Relaxed` for the `fetch_sub` in `Chunk::drop` (both models), `Relaxed`
//! for the load in `ChunkStore::recycle` (`the_last_view_..`), `Relaxed` for the push or the swap
//! of `ReturnStack` (`a_collected_..`).

use super::*;
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::atomic::AtomicUsize;

/// Stands for the bytes of buffer 0.
struct Bytes(UnsafeCell<u32>);

// SAFETY: the cell is read under a view and written by the owner of a free buffer; that these
// exclude each other is what loom checks.
unsafe impl Sync for Bytes {}
// SAFETY: as above.
unsafe impl Send for Bytes {}

impl Bytes {
    fn read(&self) {
        // SAFETY: the caller holds a view of the buffer; loom fails the model when somebody writes.
        self.0.with(|cell| unsafe { *cell });
    }

    fn write(&self) {
        // SAFETY: the caller has acquired the buffer; loom fails the model when somebody else uses
        // it.
        self.0.with_mut(|cell| unsafe { *cell += 1 });
    }
}

fn acquire_and_write(store: &mut ChunkStore, bytes: &Bytes) -> bool {
    let acquired = store.acquire();
    if let Some(id) = acquired {
        bytes.write();
        store.release(id);
    }
    store.check_invariants();
    acquired.is_some()
}

fn lent(store: &mut ChunkStore, bytes: &Bytes) -> Chunk {
    let id = store.acquire().expect("all are free");
    bytes.write();
    store.lend(id, 8)
}

#[test]
fn a_collected_buffer_is_read_by_nobody() {
    static HOME_EARLY: AtomicUsize = AtomicUsize::new(0);
    loom::model(|| {
        let bytes = Arc::new(Bytes(UnsafeCell::new(0)));
        let mut store = ChunkStore::new(1, 8);
        let chunk = lent(&mut store, &bytes);
        let view = chunk.split(0..4);
        let (there, owner) = (bytes.clone(), bytes.clone());
        let reader = thread::spawn(move || {
            there.read();
            drop(view);
        });
        let owner = thread::spawn(move || {
            let early = acquire_and_write(&mut store, &owner);
            HOME_EARLY.fetch_add(usize::from(early), Ordering::Relaxed);
            store
        });
        bytes.read();
        drop(chunk);
        reader.join().unwrap();
        let mut store = owner.join().unwrap();
        assert!(acquire_and_write(&mut store, &bytes));
    });
    assert!(HOME_EARLY.load(Ordering::Relaxed) > 0);
}

#[test]
fn the_last_view_comes_home_by_one_way_only() {
    static HOME_EARLY: AtomicUsize = AtomicUsize::new(0);
    loom::model(|| {
        let bytes = Arc::new(Bytes(UnsafeCell::new(0)));
        let mut store = ChunkStore::new(1, 8);
        let chunk = lent(&mut store, &bytes);
        let view = chunk.split(0..4);
        let owner = bytes.clone();
        let owner = thread::spawn(move || {
            owner.read();
            store.recycle(chunk);
            let early = acquire_and_write(&mut store, &owner);
            HOME_EARLY.fetch_add(usize::from(early), Ordering::Relaxed);
            store
        });
        bytes.read();
        drop(view);
        let mut store = owner.join().unwrap();
        assert!(acquire_and_write(&mut store, &bytes));
        assert_eq!(store.lent(), 0);
    });
    assert!(HOME_EARLY.load(Ordering::Relaxed) > 0);
}
