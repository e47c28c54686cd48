//! Any bytes as a board's device tree, edited for a small deployment.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fata_hostile::deploy_tree(input));
