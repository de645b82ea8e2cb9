//! Message headers and iovec arrays of the sends that were queued since the last submission.
//!
//! The kernel copies them when it takes the entry (IORING_FEAT_SUBMIT_STABLE), so one arena serves
//! every send and is emptied after each submission. Its pages are never moved or freed while the
//! engine lives: in the steady state nothing is allocated.

use std::ptr;

/// The most pieces that one message may have (IOV_MAX, `sendmsg(2)`).
pub(super) const PIECES_MAX: usize = 1024;
const HEADERS_PER_PAGE: usize = 64;

type Pieces = Box<[libc::iovec; PIECES_MAX]>;
type Headers = Box<[libc::msghdr; HEADERS_PER_PAGE]>;

/// The arena.
#[derive(Default)]
pub(super) struct SendScratch {
    pieces: Vec<Pieces>,
    headers: Vec<Headers>,
    /// The page that is being filled, and how far.
    page: usize,
    used: usize,
    headers_used: usize,
}

impl SendScratch {
    /// Builds a message from at least one and at most [`PIECES_MAX`] slices, the first ones that
    /// come;
    /// `count` of them will. The message is valid until [`SendScratch::reset`].
    ///
    /// # Panics
    /// When `count` is above [`PIECES_MAX`].
    pub(super) fn message<'a>(
        &mut self,
        count: usize,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> *const libc::msghdr {
        let array = self.array(count);
        let mut filled = 0;
        for (place, slice) in array.iter_mut().zip(slices) {
            // The kernel only reads through it, although the type says otherwise.
            place.iov_base = slice.as_ptr().cast_mut().cast();
            place.iov_len = slice.len();
            filled += 1;
        }
        let pieces = array.as_mut_ptr();
        let header = self.header();
        header.msg_iov = pieces;
        header.msg_iovlen = filled;
        header
    }

    /// Forgets all messages. The kernel must have taken them.
    pub(super) const fn reset(&mut self) {
        self.page = 0;
        self.used = 0;
        self.headers_used = 0;
    }

    fn array(&mut self, count: usize) -> &mut [libc::iovec] {
        assert!(count <= PIECES_MAX, "a message of {count} pieces");
        if self.used + count > PIECES_MAX {
            self.page += 1;
            self.used = 0;
        }
        if self.page == self.pieces.len() {
            const EMPTY: libc::iovec = libc::iovec {
                iov_base: ptr::null_mut(),
                iov_len: 0,
            };
            self.pieces.push(Box::new([EMPTY; PIECES_MAX]));
        }
        let from = self.used;
        self.used += count;
        &mut self.pieces[self.page][from..from + count]
    }

    fn header(&mut self) -> &mut libc::msghdr {
        let page = self.headers_used / HEADERS_PER_PAGE;
        if page == self.headers.len() {
            // SAFETY: all zeroes is a message header without name, pieces or control data.
            let empty = || unsafe { std::mem::zeroed::<libc::msghdr>() };
            self.headers
                .push(Box::new(std::array::from_fn(|_| empty())));
        }
        let index = self.headers_used % HEADERS_PER_PAGE;
        self.headers_used += 1;
        &mut self.headers[page][index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a message says, read back.
    fn contents(message: *const libc::msghdr) -> Vec<Vec<u8>> {
        // SAFETY: made by `message` and not reset since.
        let header = unsafe { &*message };
        // SAFETY: as above; the array has that many initialised entries.
        let pieces = unsafe { std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen) };
        pieces
            .iter()
            .map(|piece| {
                // SAFETY: the test's slices are alive.
                unsafe { std::slice::from_raw_parts(piece.iov_base.cast::<u8>(), piece.iov_len) }
                    .to_vec()
            })
            .collect()
    }

    #[test]
    fn messages_stay_in_place_while_more_are_made() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut scratch = SendScratch::default();
        let messages: Vec<_> = (0..200usize)
            .map(|n| {
                let count = 1 + n * 5;
                scratch.message(count, (0..count).map(|at| &bytes[(at + n) % 256..][..1]))
            })
            .collect();
        for (n, message) in messages.into_iter().enumerate() {
            let expected: Vec<_> = (0..1 + n * 5)
                .map(|at| vec![bytes[(at + n) % 256]])
                .collect();
            assert_eq!(contents(message), expected);
        }
    }

    #[test]
    fn a_reset_reuses_the_pages() {
        let mut scratch = SendScratch::default();
        let first = scratch.message(1000, std::iter::repeat_n(&b"x"[..], 1000));
        scratch.reset();
        let again = scratch.message(1000, std::iter::repeat_n(&b"y"[..], 1000));
        assert_eq!(first, again);
        assert_eq!((scratch.pieces.len(), scratch.headers.len()), (1, 1));
    }
}
