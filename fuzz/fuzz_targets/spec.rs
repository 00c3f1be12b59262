#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mimeo_fuzz::spec(data));
