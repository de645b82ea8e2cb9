//! libFuzzer's entry: byte rings against a naive queue; see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::ring::run(data));
