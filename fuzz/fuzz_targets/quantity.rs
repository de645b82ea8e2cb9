//! libFuzzer's entry: quantities on the command line; see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::quantity::run(data));
