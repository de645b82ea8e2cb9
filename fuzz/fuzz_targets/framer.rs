//! libFuzzer's entry: frames found in a stream that is cut anywhere; see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::framer::run(data));
