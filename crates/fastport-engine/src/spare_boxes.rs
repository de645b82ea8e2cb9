//! Boxes that are used again: state that few keys have at a time, and none while idle.
//!
//! A slot holds a pointer instead of room for it, so an idle key is small; taking a box and giving
//! it back allocates nothing once as many were in use at a time. One per engine, on its thread.

/// Spare boxes that are kept; those of a burst beyond go back to the allocator.
const SPARE_MAX: usize = 1024;

/// Empty boxes for values of one kind.
#[allow(clippy::vec_box, reason = "the boxes are what is kept")]
#[derive(Debug)]
pub(crate) struct SpareBoxes<T>(Vec<Box<T>>);

impl<T> Default for SpareBoxes<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> SpareBoxes<T> {
    /// Puts a value into a spare box, or into a new one when there is none.
    #[inline]
    pub(crate) fn fill(&mut self, value: T) -> Box<T> {
        match self.0.pop() {
            Some(mut spare) => {
                *spare = value;
                spare
            }
            None => Box::new(value),
        }
    }

    /// Takes the value out of a box and keeps the box.
    #[inline]
    pub(crate) fn empty(&mut self, mut full: Box<T>) -> T {
        let value = std::mem::take(&mut *full);
        if self.0.len() < SPARE_MAX {
            self.0.push(full);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_that_was_emptied_is_filled_again() {
        let mut spare = SpareBoxes::default();
        let first = spare.fill(vec![1]);
        let place = std::ptr::from_ref(&*first);
        assert_eq!(spare.empty(first), [1]);
        let second = spare.fill(vec![2]);
        assert!(std::ptr::eq(place, &raw const *second));
        assert_eq!(spare.empty(second), [2]);
    }

    #[test]
    fn no_more_boxes_are_kept_than_the_maximum() {
        let mut spare = SpareBoxes::default();
        let full: Vec<_> = (0..=SPARE_MAX).map(|n| spare.fill(n)).collect();
        for (n, full) in full.into_iter().enumerate() {
            assert_eq!(spare.empty(full), n);
        }
        assert_eq!(spare.0.len(), SPARE_MAX);
    }
}
