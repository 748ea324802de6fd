//! Makes an authority, a daemon's directory and a client's, as files that Docker reads, and shows them.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::{env::current_dir, path::Path};

use dockseal_examples::{Failure, around, bootstrap};
use time::macros::datetime;

fn main() -> Result<(), Failure> {
    let around = around(datetime!(2026-11-23 12:00 UTC), current_dir()?);
    bootstrap(Path::new("ca"), &around)?;
    for directory in ["daemon", "client"] {
        let stored = dockseal_lifecycle::bundle_directory::read(Path::new(directory))?;
        let leaf = stored.bundle.leaf().ok_or("a bundle has a certificate")?;
        println!("{directory}: {} until {}", leaf.subject, leaf.validity.not_after.date());
    }
    Ok(())
}
