//! libFuzzer's entry: every message, and the views that read it in place; see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::protobuf::run(data));
