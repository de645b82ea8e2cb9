//! What the fuzz targets check, for any bytes: `run` of each module takes what a fuzzer invents and
//! panics when something is wrong. Nothing here knows libFuzzer, so that corpora run as tests, too.
//!
//! | module | holds against each other |
//! |---|---|
//! | [`framer`] | `PacketFramer`, and a reader that takes a byte at a time |
//! | [`ring`] | the byte rings, and a naive queue (the property tests' model) |
//! | [`chunks`] | the chunk store, and a model of who has which buffer (the same) |
//! | [`protobuf`] | the generated messages, what they encode to, and the borrowed views |
//! | [`session`] | a whole session on a simulated engine, and what must come of it |
//! | [`proxy`] | PROXY headers, and a reader that takes them apart by position |
//! | [`config`] | configuration files, and what an error message must say |
//! | [`quantity`] | durations, and how they are written back |
//! | [`canary`] | nothing: its defect is planted, for the fuzzer to find |
#![forbid(unsafe_code)]

pub mod canary;
pub mod chunks;
#[path = "../../../crates/fastport-buffer/tests/chunk_store/model.rs"]
mod chunks_model;
pub mod config;
pub mod framer;
pub mod input;
mod naive_reader;
pub mod protobuf;
pub mod proxy;
pub mod quantity;
pub mod ring;
#[path = "../../../crates/fastport-buffer/tests/oracle/model.rs"]
mod ring_model;
pub mod session;

/// A harness by its target's name.
pub type Harness = (&'static str, fn(&[u8]));

/// Every harness whose runs must pass; the canary's must not.
pub const HARNESSES: &[Harness] = &[
    ("chunks", chunks::run),
    ("config", config::run),
    ("framer", framer::run),
    ("protobuf", protobuf::run),
    ("proxy", proxy::run),
    ("quantity", quantity::run),
    ("ring", ring::run),
    ("session", session::run),
];
