//! What others do while a handler or an encoder runs on another thread.
//!
//! A simulated run has one thread, so a handler on a strand would have the machine for itself. Here
//! it lets the workers take turns and other strands run before it goes on, as they would beside it.
//! Inside a worker's own turn nothing can happen, and nothing does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

thread_local! {
    static ACT: RefCell<Option<Rc<dyn Fn()>>> = const { RefCell::new(None) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Interludes inside interludes.
const DEPTH_MAX: u32 = 2;

/// What happens in interludes while this exists.
pub(super) struct Interludes;

impl Interludes {
    pub(super) fn are(act: Rc<dyn Fn()>) -> Self {
        ACT.set(Some(act));
        DEPTH.set(0);
        Self
    }
}

impl Drop for Interludes {
    fn drop(&mut self) {
        ACT.set(None);
    }
}

/// Others have their turn.
pub(super) fn interlude() {
    let act = ACT.with_borrow(Clone::clone);
    if let Some(act) = act
        && DEPTH.get() < DEPTH_MAX
    {
        DEPTH.set(DEPTH.get() + 1);
        act();
        DEPTH.set(DEPTH.get() - 1);
    }
}
