//! libFuzzer's entry: a whole inbound session on a simulated engine; see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::session::run(data));
