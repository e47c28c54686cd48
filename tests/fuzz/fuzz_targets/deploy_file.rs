//! Any text as a deployment file: an error with a line and a cure, or a plan that keeps to the board.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fata_hostile::deploy_file(input));
