//! Builds Fata's images and runs them.
fn main() {}
