//! A planted defect. A fuzzer that does not find it within moments gets no feedback from the code
//! that it runs, and its other results mean nothing.

/// Panics on an input that begins with four certain bytes. Random bytes begin so once in four
/// thousand million; with feedback from the comparisons it takes some thousand runs.
///
/// # Panics
/// On that input.
pub fn run(data: &[u8]) {
    let planted = data.first() == Some(&b'F')
        && data.get(1) == Some(&b'P')
        && data.get(2) == Some(&0xC0)
        && data.get(3) == Some(&0xDE);
    assert!(!planted, "the canary's planted defect");
}
