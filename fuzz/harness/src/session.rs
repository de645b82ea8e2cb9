//! A whole inbound session on a simulated engine: a peer that sends any bytes in any pieces, reads
//! when it likes and ends as it likes, and a handler that does with a packet what the packet says.
//!
//! What must come of it is kept beside it, by means that know nothing of the session layer:
//!
//! * the handler sees the frames that a byte-by-byte reader finds, in order, and no other, but for
//!   those that session layers exchange;
//! * the peer reads what `send` took, in order, and no other, but for answers to heartbeats;
//! * `on_accepted` is first, `on_disconnected` last and once, and nothing is delivered after an end
//!   was asked for;
//! * the reason of the end is one that what happened can give;
//! * afterwards nothing is left: no session, no key, no buffer, no descriptor.

mod witness;
mod world;

use crate::input::Input;
use world::World;

/// More steps than that find nothing that fewer do not.
const STEPS_MAX: usize = 400;

/// Input: the settings, then steps: what happens next, and with how many bytes.
///
/// # Panics
/// When one of the rules above is broken.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new(&mut input);
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        step(&mut world, &mut input);
    }
    world.end();
}

fn step(world: &mut World, input: &mut Input<'_>) {
    let what = input.byte();
    let size = usize::from(what >> 4);
    match what & 15 {
        // Bytes as they are, mostly the beginning or the middle of a frame.
        0 | 1 => world.send(input.bytes(size + 1)),
        // A whole frame that says what to do, with more content than the input has bytes for.
        2..=4 => {
            let (behaviour, bytes) = (input.byte(), input.pair());
            world.send_frame(behaviour, usize::from(bytes) >> (size & 7));
        }
        // A frame's front, the rest with the next ones.
        5 => world.send_cut(input.byte(), size * 16),
        6..=8 => world.work(size + 1),
        9 => world.kernel(),
        10 => world.read(size * size * 300),
        11 => world.pass(1 << size),
        12 => world.strand(1 + (size & 7), size > 7),
        13 if size == 15 => world.finish(),
        13 if size == 14 => world.reset(false),
        13 if size == 13 => world.reset(true),
        13 if size == 12 => world.vanish(),
        14 if size == 15 => world.disconnect(),
        14 if size == 14 => world.stop(),
        _ => world.work(1),
    }
}
