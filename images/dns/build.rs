//! Chooses the zone that is built into the image: the file that `FATA_DNS_ZONE` names, or the example.

fn main() {
    println!("cargo::rerun-if-env-changed=FATA_DNS_ZONE");
    let example = || format!("{}/example.zone", std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let file = std::env::var("FATA_DNS_ZONE").unwrap_or_else(|_| example());
    println!("cargo::rerun-if-changed={file}");
    println!("cargo::rustc-env=FATA_DNS_ZONE_FILE={file}");
}
