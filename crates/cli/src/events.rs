//! What a run tells on the way, in words.

use dockseal_lifecycle::{Event, Events};
use dockseal_pki::printable;

use crate::output::Output;

impl Events for Output {
    fn tell(&mut self, event: Event) {
        match event {
            Event::InventoryMade { certificates } => self.note(&format!(
                "made an inventory of the {certificates} certificates that were issued before there was one; \
                 dockseal inventory rebuild DIR… finds where they are"
            )),
            Event::ListsDamaged { path } => {
                self.warn(&format!("{} is damaged; what cannot be read of it is left out", path.display()));
            }
            Event::RevokedByList { entry } => self.warn(&format!(
                "{} {}, serial {}, is revoked by crl.pem, which is newer than the inventory",
                entry.role,
                printable(&entry.name),
                entry.serial()
            )),
            _ => {}
        }
    }
}
