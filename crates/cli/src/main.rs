//! The command `dockseal`.
fn main() {}
