//! Has the processor fetch memory that will be needed soon.
//!
//! A worker serves a thousand sessions in turn, and what it knows of each has left the nearer
//! caches when its turn comes again. It knows a few events ahead whose turn that is. This only
//! hints: it reads nothing, so that a place which changes meanwhile, or is another thread's, does
//! no harm.

/// Bytes that the processor fetches at once, on all machines that FastPort runs on; one where it
/// is more fetches a line twice.
const LINE_BYTES: usize = 64;

/// Has every cache line of `value`, but not of what it points to, fetched. Nothing on a processor
/// other than x86-64 and ARM64.
#[inline]
pub fn prefetch<T>(value: &T) {
    let start = std::ptr::from_ref(value).cast::<u8>();
    let mut offset = 0;
    while offset < size_of::<T>() {
        fetch_line(start.wrapping_add(offset));
        offset += LINE_BYTES;
    }
    // A value that begins within a line ends in one more.
    if size_of::<T>() > 0 && align_of::<T>() < LINE_BYTES {
        fetch_line(start.wrapping_add(size_of::<T>() - 1));
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
fn fetch_line(at: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint, which reads nothing and faults at no address (Intel's manual, PREFETCHh);
    // every x86-64 has it.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
}

#[cfg(all(target_arch = "aarch64", not(miri)))]
#[inline]
fn fetch_line(at: *const u8) {
    // SAFETY: a hint, which reads nothing and faults at no address (ARM's manual, PRFM).
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{}]",
            in(reg) at,
            options(nostack, readonly, preserves_flags)
        );
    };
}

#[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[inline]
fn fetch_line(_at: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_read_or_changed() {
        let bytes = [7_u8; 1000];
        prefetch(&bytes);
        prefetch(&bytes[999]);
        prefetch(&());
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}
