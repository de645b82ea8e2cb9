//! libFuzzer's entry: configuration files; see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::config::run(data));
