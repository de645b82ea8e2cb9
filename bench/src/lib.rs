//! What the programs of this workspace share: the system's view of a process, cores, frames.
//!
//! | module | owns |
//! |---|---|
//! | [`answers`] | what servers that are not FastPort answer |
//! | `cores` | which core a program runs on |
//! | [`descriptors`] | how many sockets this process may open |
//! | [`frames`] | the wire's header, for servers that are not FastPort |
//! | [`idle_sessions`] | sessions that do nothing but live |
//! | [`listening`] | the peers' listening sockets |
//! | `process` | processor time, memory and descriptors of a process, from `/proc` |
#![forbid(unsafe_code)]

pub mod answers;
#[cfg(unix)]
pub mod cores;
pub mod descriptors;
pub mod frames;
pub mod idle_sessions;
pub mod listening;
#[cfg(unix)]
pub mod process;
