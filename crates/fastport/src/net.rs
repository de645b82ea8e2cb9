//! From bytes to packets: framing, the packet that a handler sees, typed routing.

pub mod framer;
pub mod packet;
pub mod router;
