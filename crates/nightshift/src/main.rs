//! The `nightshift` binary.
fn main() {}
