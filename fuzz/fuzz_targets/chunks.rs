//! libFuzzer's entry: lent receive memory against a model of who has it; see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::chunks::run(data));
