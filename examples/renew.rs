//! Renews what is due, every month for a year, with its own ears for what happens on the way.
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::{env::current_dir, path::Path};

use dockseal_examples::{Failure, around, bootstrap};
use dockseal_inventory::Selection;
use dockseal_lifecycle::{
    Event, Events, authority,
    renewal::{RenewOptions, renew},
};
use dockseal_store::Home;
use time::{Duration, macros::datetime};

struct Ears;

impl Events for Ears {
    fn tell(&mut self, event: Event) {
        println!("{event:?}");
    }
}

fn main() -> Result<(), Failure> {
    let start = datetime!(2026-11-23 12:00 UTC);
    bootstrap(Path::new("ca"), &around(start, current_dir()?))?;
    for month in 1..=12 {
        let around = around(start + Duration::days(30 * month), current_dir()?);
        let opened = authority::open(Home::new(around.working_directory.join("ca")), None)?;
        let due = Selection::Due(around.now);
        renew(&opened, due, RenewOptions::default(), 100, &around, &mut Ears, &mut |outcome| {
            for place in outcome.issued.iter().flat_map(|issued| &issued.places) {
                println!("month {month}: renewed {} in {place}", outcome.subject.name);
            }
            for trouble in &outcome.troubles {
                println!("month {month}: {} was left alone: {}", outcome.subject.name, trouble.reason);
            }
        })?;
    }
    Ok(())
}
