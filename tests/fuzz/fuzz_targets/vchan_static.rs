#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fata_hostile::vchan_static(input));
