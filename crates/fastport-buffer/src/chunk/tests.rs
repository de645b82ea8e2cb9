//! The life of lent buffers: recycled, dropped elsewhere, split, outliving their store.

use super::*;

fn lend(store: &mut ChunkStore, bytes: &[u8]) -> Chunk {
    let id = store.acquire().expect("a free buffer");
    store.buffer_mut(id)[..bytes.len()].copy_from_slice(bytes);
    store.lend(id, bytes.len())
}

#[test]
fn a_recycled_buffer_is_the_next_one_out() {
    let mut store = ChunkStore::new(4, 128);
    let chunk = lend(&mut store, b"hello");
    let id = chunk.id;
    assert_eq!(chunk.as_slice(), b"hello");
    store.recycle(chunk);
    assert_eq!(store.acquire(), Some(id));
    store.release(id);
    store.check_invariants();
}

#[test]
fn a_buffer_dropped_on_another_thread_comes_home_when_collected() {
    let mut store = ChunkStore::new(1, 64);
    let chunk = lend(&mut store, b"x");
    assert_eq!(store.acquire(), None);
    std::thread::spawn(move || drop(chunk)).join().unwrap();
    assert!(store.has_returned());
    assert_eq!(store.acquire(), Some(0));
    store.check_invariants();
}

#[test]
fn a_buffer_is_lent_until_its_last_view_goes() {
    let mut store = ChunkStore::new(1, 64);
    let chunk = lend(&mut store, b"abcdef");
    let tail = chunk.split(2..6);
    let middle = tail.split(1..2);
    store.recycle(chunk);
    assert_eq!(store.lent(), 1);
    drop(tail);
    assert_eq!(middle.as_slice(), b"d");
    assert!(store.acquire().is_none());
    store.recycle(middle);
    assert_eq!(store.lent(), 0);
    store.check_invariants();
}

#[test]
fn views_grow_over_what_follows_only() {
    let mut store = ChunkStore::new(2, 64);
    let chunk = lend(&mut store, b"abcdef");
    let other = lend(&mut store, b"abcdef");
    let mut view = chunk.split(0..2);
    assert!(!view.extend_by(&chunk, 3, 1));
    assert!(!view.extend_by(&other, 2, 2));
    assert!(!view.extend_by(&chunk, 2, 5));
    assert!(view.extend_by(&chunk, 2, 2));
    let rest = chunk.split(4..6);
    assert!(view.extend_over(&rest));
    assert_eq!(view.as_slice(), b"abcdef");
    view.advance(5);
    assert_eq!(view.as_slice(), b"f");
}

#[test]
fn a_chunk_outlives_its_store() {
    let mut store = ChunkStore::new(2, 64);
    let chunk = lend(&mut store, b"still here");
    drop(store);
    assert_eq!(chunk.as_slice(), b"still here");
}

#[test]
fn a_copy_is_its_own_memory() {
    let mut store = ChunkStore::new(1, 64);
    let chunk = lend(&mut store, b"copy");
    let copy = Chunk::copied(chunk.as_slice());
    store.recycle(chunk);
    let id = store.acquire().unwrap();
    store.buffer_mut(id).fill(0xDE);
    assert_eq!(copy.as_slice(), b"copy");
    store.recycle(copy);
    assert!(Chunk::copied(b"").is_empty());
}

#[test]
#[should_panic(expected = "not held")]
fn a_lent_buffer_can_not_be_written() {
    let mut store = ChunkStore::new(1, 64);
    let _chunk = lend(&mut store, b"x");
    store.buffer_mut(0);
}

#[test]
fn more_than_half_lent_is_scarce() {
    let mut store = ChunkStore::new(4, 64);
    let _a = lend(&mut store, b"");
    let _b = lend(&mut store, b"");
    assert!(!store.is_scarce());
    let _c = lend(&mut store, b"");
    assert!(store.is_scarce());
}
