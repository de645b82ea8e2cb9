//! libFuzzer's entry: the header that a proxy sends; see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::proxy::run(data));
