//! A slab of values that are found by key, for the connections and listeners of one engine.
//!
//! A place is used again only after [`Slab::free`], and then with another generation, so what still
//! names the earlier use finds nothing. It grows by pages: no value is copied for another's sake.

use crate::Key;

const ENTRIES_PER_PAGE: usize = 256;

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

/// The values.
pub(crate) struct Slab<T> {
    pages: Vec<Box<[Entry<T>]>>,
    free: Vec<u32>,
    open: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            pages: Vec::new(),
            free: Vec::new(),
            open: 0,
        }
    }
}

impl<T> Slab<T> {
    /// Puts a value into the lowest free place of those that were free longest.
    ///
    /// # Panics
    /// When 2^32 places are in use.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        if self.free.is_empty() {
            self.grow();
        }
        let index = self.free.pop().expect("just grown");
        let entry =
            &mut self.pages[index as usize / ENTRIES_PER_PAGE][index as usize % ENTRIES_PER_PAGE];
        entry.value = Some(value);
        self.open += 1;
        Key::new(index, entry.generation)
    }

    /// The value of a key, unless it is stale.
    #[inline]
    pub(crate) fn find(&mut self, key: Key) -> Option<&mut T> {
        let page = self.pages.get_mut(key.index() / ENTRIES_PER_PAGE)?;
        let entry = &mut page[key.index() % ENTRIES_PER_PAGE];
        let current = entry.generation == key.generation();
        entry.value.as_mut().filter(|_| current)
    }

    /// As [`Slab::find`], for those who only look.
    pub(crate) fn look(&self, key: Key) -> Option<&T> {
        let entry = self.entry(key.index())?;
        let current = entry.generation == key.generation();
        entry.value.as_ref().filter(|_| current)
    }

    /// Has the memory of a place fetched, since it will be needed soon.
    #[cfg(target_os = "linux")]
    #[inline]
    pub(crate) fn prefetch(&self, index: usize) {
        if let Some(entry) = self.entry(index) {
            fastport_buffer::prefetch(entry);
        }
    }

    /// The key that uses the place of this index.
    #[inline]
    pub(crate) fn key_at(&self, index: usize) -> Option<Key> {
        let entry = self.entry(index)?;
        entry.value.as_ref()?;
        Some(Key::new(u32::try_from(index).ok()?, entry.generation))
    }

    /// The whole key of one whose generation lost its high bits on the way.
    #[cfg(target_os = "linux")]
    #[inline]
    pub(crate) fn whole(&self, partial: Key) -> Option<Key> {
        self.key_at(partial.index())
            .filter(|key| key.matches(partial))
    }

    /// Ends the use of a place and returns what was there.
    pub(crate) fn free(&mut self, key: Key) -> Option<T> {
        let index = u32::try_from(key.index()).ok()?;
        let page = self.pages.get_mut(key.index() / ENTRIES_PER_PAGE)?;
        let entry = &mut page[key.index() % ENTRIES_PER_PAGE];
        if entry.generation != key.generation() {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.open -= 1;
        self.free.push(index);
        Some(value)
    }

    /// Places in use.
    pub(crate) const fn open(&self) -> usize {
        self.open
    }

    /// Places that were ever made, in use or not.
    pub(crate) fn capacity(&self) -> usize {
        self.pages.len() * ENTRIES_PER_PAGE
    }

    /// The keys of all places in use.
    pub(crate) fn keys(&self) -> Vec<Key> {
        (0..self.capacity())
            .filter_map(|index| self.key_at(index))
            .collect()
    }

    fn entry(&self, index: usize) -> Option<&Entry<T>> {
        let page = self.pages.get(index / ENTRIES_PER_PAGE)?;
        Some(&page[index % ENTRIES_PER_PAGE])
    }

    fn grow(&mut self) {
        let first = u32::try_from(self.capacity()).expect("fewer than 2^32 places");
        let entry = |_| Entry {
            generation: 0,
            value: None,
        };
        self.pages.push((0..ENTRIES_PER_PAGE).map(entry).collect());
        // The lowest index goes out first.
        let last = first + ENTRIES_PER_PAGE as u32;
        self.free.extend((first..last).rev());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_an_earlier_use_finds_nothing() {
        let mut slab = Slab::default();
        let first = slab.insert('a');
        assert_eq!(slab.free(first), Some('a'));
        assert_eq!(slab.key_at(first.index()), None);
        let second = slab.insert('b');
        assert_eq!(first.index(), second.index());
        assert!(slab.find(first).is_none() && slab.look(first).is_none());
        assert_eq!(slab.free(first), None);
        assert_eq!(slab.find(second), Some(&mut 'b'));
        assert_eq!(slab.key_at(first.index()), Some(second));
        #[cfg(target_os = "linux")]
        assert_eq!(
            (slab.whole(first), slab.whole(second)),
            (None, Some(second))
        );
        assert_eq!((slab.keys(), slab.open()), (vec![second], 1));
    }

    #[test]
    fn it_grows_by_pages_and_values_stay_where_they_are() {
        let mut slab = Slab::default();
        let keys: Vec<_> = (0..ENTRIES_PER_PAGE).map(|n| slab.insert(n)).collect();
        let place = |slab: &Slab<usize>, key| std::ptr::from_ref(slab.look(key).unwrap());
        let places: Vec<_> = keys.iter().map(|key| place(&slab, *key)).collect();
        let more = slab.insert(0);
        assert_eq!(more.index(), ENTRIES_PER_PAGE);
        assert_eq!(slab.capacity(), 2 * ENTRIES_PER_PAGE);
        for (key, before) in keys.iter().zip(places) {
            assert!(std::ptr::eq(place(&slab, *key), before));
        }
    }
}
