//! A planted defect: a byte is read after its memory was freed, as an engine would that gives up a
//! buffer before its last completion. `cargo xtask asan` runs it first: a sanitizer that does not
//! report it proves nothing. Without one, it says so and fails.

use std::process::ExitCode;

fn main() -> ExitCode {
    let buffer = Box::new([7_u8; 64]);
    let received = std::hint::black_box(buffer.as_ptr());
    drop(buffer);
    // Nothing makes this sound: it is the defect.
    // SAFETY: none.
    let byte = unsafe { received.read_volatile() };
    println!("read {byte} from freed memory, and nobody minded");
    ExitCode::SUCCESS
}
