//! Who has each buffer of a chunk store and how many views there are, and the store that is held
//! against it operation by operation. The property test and the fuzz target run the same; it knows
//! nothing of either. One thread, but for views that are dropped on another.

use fastport_buffer::{Chunk, ChunkStore};

/// Bytes of a buffer.
pub(crate) const BYTES: usize = 24;

/// One of whatever there is then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index(pub(crate) u16);

impl Index {
    fn index(self, count: usize) -> usize {
        usize::from(self.0) % count
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Acquire,
    Release(Index),
    Lend(Index, usize),
    Split(Index, Index, Index),
    Advance(Index, Index),
    /// Grows a view over another, if that is what follows.
    Extend(Index, Index),
    Recycle(Index),
    Drop(Index),
    DropElsewhere(Index),
    Copy(Index),
    Collect,
}

/// Who has a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Held,
    /// Out, with so many views.
    Lent(usize),
    /// Its last view is gone and the store has not looked yet.
    Returned,
}

/// A view, the buffer it belongs to (a copy has none), where in it, and the bytes it must show.
struct View {
    chunk: Chunk,
    id: Option<u16>,
    from: usize,
    expected: Vec<u8>,
}

/// The store, and what should be where.
pub(crate) struct Harness {
    store: ChunkStore,
    places: Vec<Place>,
    views: Vec<View>,
    stamp: u8,
}

impl Harness {
    pub(crate) fn new(count: u16) -> Self {
        Self {
            store: ChunkStore::new(count, BYTES),
            places: vec![Place::Free; usize::from(count)],
            views: Vec::new(),
            stamp: 0,
        }
    }

    pub(crate) fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Acquire => self.acquire(),
            Operation::Release(at) => {
                if let Some(id) = self.held(at) {
                    self.store.release(id);
                    self.places[usize::from(id)] = Place::Free;
                }
            }
            Operation::Lend(at, bytes) => self.lend(at, bytes),
            Operation::Split(at, a, b) => self.split(at, a, b),
            Operation::Advance(at, bytes) => self.advance(at, bytes),
            Operation::Extend(at, next) => self.extend(at, next),
            Operation::Recycle(at) => {
                if let Some(view) = self.take(at) {
                    self.forget(view.id, Place::Free);
                    self.store.recycle(view.chunk);
                }
            }
            Operation::Drop(at) => {
                if let Some(view) = self.take(at) {
                    self.forget(view.id, Place::Returned);
                }
            }
            Operation::DropElsewhere(at) => {
                if let Some(view) = self.take(at) {
                    self.forget(view.id, Place::Returned);
                    std::thread::spawn(move || drop(view)).join().unwrap();
                }
            }
            Operation::Copy(at) => {
                if let Some(at) = self.pick(at) {
                    let expected = self.views[at].expected.clone();
                    let chunk = Chunk::copied(&expected);
                    self.add(chunk, None, 0, expected);
                }
            }
            Operation::Collect => {
                self.store.collect();
                self.collected();
            }
        }
    }

    fn acquire(&mut self) {
        if !self.places.contains(&Place::Free) {
            self.collected();
        }
        match self.store.acquire() {
            Some(id) => {
                let place = &mut self.places[usize::from(id)];
                assert_eq!(*place, Place::Free, "buffer {id} was given out");
                *place = Place::Held;
            }
            None => assert!(!self.places.contains(&Place::Free), "a free buffer is lost"),
        }
    }

    fn lend(&mut self, at: Index, bytes: usize) {
        let Some(id) = self.held(at) else { return };
        // All of the buffer is overwritten: a view that wrongly still shows it would see that.
        self.stamp = self.stamp.wrapping_add(37);
        let content: Vec<u8> = (0..BYTES)
            .map(|index| self.stamp.wrapping_add(u8::try_from(index).unwrap()))
            .collect();
        self.store.buffer_mut(id).copy_from_slice(&content);
        let chunk = self.store.lend(id, bytes);
        self.places[usize::from(id)] = Place::Lent(0);
        self.add(chunk, Some(id), 0, content[..bytes].to_vec());
    }

    fn split(&mut self, at: Index, a: Index, b: Index) {
        let Some(at) = self.pick(at) else { return };
        let view = &self.views[at];
        let ends = view.chunk.len() + 1;
        let (a, b) = (a.index(ends), b.index(ends));
        let range = a.min(b)..a.max(b);
        let part = view.chunk.split(range.clone());
        let (id, from) = (view.id, view.from + range.start);
        let expected = view.expected[range].to_vec();
        self.add(part, id, from, expected);
    }

    fn advance(&mut self, at: Index, bytes: Index) {
        let Some(at) = self.pick(at) else { return };
        let view = &mut self.views[at];
        let bytes = bytes.index(view.chunk.len() + 1);
        view.chunk.advance(bytes);
        view.from += bytes;
        view.expected.drain(..bytes);
    }

    fn extend(&mut self, at: Index, next: Index) {
        let (Some(at), Some(next)) = (self.pick(at), self.pick(next)) else {
            return;
        };
        if at == next {
            return;
        }
        let mut view = self.views.swap_remove(at);
        // The removal moved the last view into the gap.
        let next = &self.views[if next == self.views.len() { at } else { next }];
        let follows =
            view.id.is_some() && view.id == next.id && view.from + view.chunk.len() == next.from;
        let grew = view.chunk.extend_over(&next.chunk);
        // Copies are told apart by their memory alone, which the model does not track.
        if view.id.is_some() || next.id.is_some() {
            assert_eq!(grew, follows);
        }
        if grew {
            view.expected.extend(&next.expected);
        }
        self.views.push(view);
    }

    fn add(&mut self, chunk: Chunk, id: Option<u16>, from: usize, expected: Vec<u8>) {
        if let Some(Place::Lent(views)) = id.map(|id| &mut self.places[usize::from(id)]) {
            *views += 1;
        }
        self.views.push(View {
            chunk,
            id,
            from,
            expected,
        });
    }

    /// A view goes; after the last one the buffer is at `after`.
    fn forget(&mut self, id: Option<u16>, after: Place) {
        if let Some(id) = id {
            let place = &mut self.places[usize::from(id)];
            *place = match *place {
                Place::Lent(1) => after,
                Place::Lent(views) => Place::Lent(views - 1),
                other => panic!("a view of buffer {id}, which is {other:?}"),
            };
        }
    }

    fn collected(&mut self) {
        for place in &mut self.places {
            if *place == Place::Returned {
                *place = Place::Free;
            }
        }
    }

    fn pick(&self, at: Index) -> Option<usize> {
        (!self.views.is_empty()).then(|| at.index(self.views.len()))
    }

    fn take(&mut self, at: Index) -> Option<View> {
        self.pick(at).map(|at| self.views.swap_remove(at))
    }

    fn held(&self, at: Index) -> Option<u16> {
        let held: Vec<u16> = (0..)
            .zip(&self.places)
            .filter_map(|(id, place)| (*place == Place::Held).then_some(id))
            .collect();
        (!held.is_empty()).then(|| held[at.index(held.len())])
    }

    /// Holds the store against the model.
    pub(crate) fn compare(&self) {
        self.store.check_invariants();
        let returned = self.places.contains(&Place::Returned);
        assert_eq!(self.store.has_returned(), returned);
        let out = |place: &&Place| matches!(place, Place::Lent(_) | Place::Returned);
        let lent = self.places.iter().filter(out).count();
        assert_eq!(self.store.lent(), lent);
        assert_eq!(self.store.is_scarce(), lent * 2 > self.places.len());
        for view in &self.views {
            assert_eq!(view.chunk.as_slice(), view.expected);
        }
    }

    /// Drops the store first: what is still lent must stay readable.
    pub(crate) fn finish(self) {
        drop(self.store);
        for view in &self.views {
            assert_eq!(view.chunk.as_slice(), view.expected);
        }
    }
}
