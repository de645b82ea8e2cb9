//! libFuzzer's entry: a planted defect that the fuzzer must find, or a run proves nothing; see the
//! harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fastport_fuzz_harness::canary::run(data));
