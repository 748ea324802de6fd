//! What killed runs and former times left: deliveries half done, lists that are newer than the inventory, records without one.

use std::path::Path;

use dockseal_docker::{Ownership, Role};
use dockseal_inventory::{
    CertificateId, Delivered, Delivery, Destination, Found, GenerationId, Inventory, InventoryError, KeyHolder, Kind,
    Revocation, Run, State,
};
use dockseal_pki::{Certificate, Fingerprint, RevocationList};
use dockseal_store::{Home, keep_displaced, previous_path, remove_stale};

use super::{AuthoritySession, SessionError, open_to_read};
use crate::{
    certificates::{leaf_in, read_certificates},
    events::{Event, Events},
    identity::identify,
    revocation::kept_lists,
    surroundings::Surroundings,
};

impl AuthoritySession {
    /// A list with a greater number than any that the inventory remembers is from a time that it forgot: a copy of it came back,
    /// perhaps. Who was revoked then stays so.
    pub(super) fn take_newer_lists(&mut self, home: &Home, events: &mut dyn Events) -> Result<(), SessionError> {
        for list in newer_lists(&self.inventory, home, events)? {
            let (generation, list) = list;
            for revoked in &list.revoked {
                let known = self.inventory.numbered(generation, &revoked.serial)?;
                let Some(known) = known.filter(|known| !matches!(known.state, State::Revoked(_))) else { continue };
                let revocation = Revocation { at: revoked.at, reason: revoked.reason };
                self.recorder().revoke(&[known.id], revocation)?;
                events.tell(Event::RevokedByList { entry: Box::new(known) });
            }
            self.recorder().crl_number_was(generation, list.number.unwrap_or(0))?;
        }
        Ok(())
    }

    /// A run that was killed between putting a bundle in place and keeping the one before it: that one is kept now.
    fn keep_displaced(&self, destination: &Destination) -> Result<(), InventoryError> {
        let Some(pending) = destination.pending else { return Ok(()) };
        let Some(pending) = self.inventory.entry(pending)? else { return Ok(()) };
        let names = destination.layout.names(pending.role);
        // Whatever was there, recorded or not: another authority's bundle as well.
        let is_it = |directory: &Path| leaf_in(directory, names).is_some_and(|found| found != pending.fingerprint());
        if !is_it(&destination.place.path) {
            // Where it cannot be kept, the new bundle is in its place all the same, and nothing is recorded as kept.
            let _ = keep_displaced(&destination.place.path, is_it);
        }
        Ok(())
    }

    /// A rollback to what nobody recorded announces the certificate that goes: if it is gone, the place is remembered as what it
    /// has now.
    fn settle_return(&mut self, destination: &Destination) -> Result<(), InventoryError> {
        let Some(id) = destination.certificate.filter(|id| destination.pending == Some(*id)) else { return Ok(()) };
        let Some(entry) = self.inventory.entry(id)? else { return Ok(()) };
        match leaf_in(&destination.place.path, destination.layout.names(entry.role)) {
            Some(found) if found != entry.fingerprint() => self.holds_another(destination, Some(found)),
            _ => Ok(()),
        }
    }

    /// A place holds another certificate than the recorded one: one that is known, or nobody's of this authority. The recorded
    /// one is kept beside it, and is no longer in use unless it is somewhere else too.
    ///
    /// # Errors
    /// When the inventory cannot be written.
    pub fn holds_another(
        &mut self,
        destination: &Destination,
        leaf: Option<Fingerprint>,
    ) -> Result<(), InventoryError> {
        let known = leaf.map(|leaf| self.inventory.entry_of(leaf)).transpose()?.flatten();
        match known {
            Some(entry) => {
                let place = destination.place.clone();
                let delivery = Delivery { place, layout: destination.layout, ownership: Ownership::default() };
                self.recorder().about_to_install(&delivery, entry.id)?;
                let delivered = Delivered { id: entry.id, keeps_previous: false, command_due: false };
                self.recorder().delivered(&[delivered])?;
            }
            None => self.recorder().forget(destination.id)?,
        }
        let former: Vec<CertificateId> = destination.certificate.into_iter().collect();
        self.recorder().replaced(&former)
    }

    /// Looks at the places to which a killed run was delivering, and remembers what they hold.
    pub(super) fn settle(&mut self) -> Result<(), InventoryError> {
        let open = self.inventory.unfinished()?;
        // What another machine was doing is that machine's to settle.
        let ours: Vec<Destination> = open
            .into_iter()
            .filter(|destination| destination.place.kind != Kind::Ssh && destination.place.machine == self.run.machine)
            .filter(|destination| self.places.include_place(&destination.place))
            .collect();
        for destination in &ours {
            self.keep_displaced(destination)?;
            // What else was staged, or displaced, is not needed any more. Where that cannot be told, the place itself tells.
            let _ = remove_stale(&destination.place.path);
        }
        for destination in &ours {
            self.settle_return(destination)?;
        }
        let mut ids: Vec<CertificateId> = ours.iter().filter_map(|destination| destination.pending).collect();
        ids.sort();
        ids.dedup();
        for id in ids {
            let Some(entry) = self.inventory.entry(id)? else { continue };
            let (there, missing): (Vec<&Destination>, Vec<&Destination>) =
                ours.iter().filter(|destination| destination.pending == Some(id)).partition(|destination| {
                    leaf_in(&destination.place.path, destination.layout.names(entry.role)) == Some(entry.fingerprint())
                });
            if there.is_empty() {
                self.recorder().taken_back(&[id])?;
                continue;
            }
            let missing: Vec<_> = missing.iter().map(|destination| destination.id).collect();
            self.recorder().missed(&missing)?;
            let mut keeps_previous = true;
            for destination in there {
                let before = match destination.certificate {
                    Some(before) => self.inventory.entry(before)?.map(|entry| entry.fingerprint()),
                    None => None,
                };
                let names = destination.layout.names(entry.role);
                let kept = previous_path(&destination.place.path).ok().and_then(|path| leaf_in(&path, names));
                keeps_previous &= before.is_some() && before == kept;
            }
            self.recorder().delivered(&[Delivered { id, keeps_previous, command_due: false }])?;
        }
        Ok(())
    }
}

/// The lists of the home that have a greater number than any that the inventory remembers.
///
/// # Errors
/// When the lists or the inventory cannot be read.
pub fn newer_lists(
    inventory: &Inventory,
    home: &Home,
    events: &mut dyn Events,
) -> Result<Vec<(GenerationId, RevocationList)>, SessionError> {
    let lists = kept_lists(home)?;
    if !lists.is_whole {
        events.tell(Event::ListsDamaged { path: home.crl_path() });
    }
    let generations = inventory.generations()?;
    let mut newer = Vec::new();
    for list in lists.readable {
        for generation in generations.iter().filter(|generation| generation.certificate.subject == list.issuer) {
            // The number first: it costs less than the signature.
            let is_newer = list.number > Some(inventory.crl_number(generation.id)?);
            if is_newer && list.is_of(&generation.certificate) {
                newer.push((generation.id, list));
                break;
            }
        }
    }
    Ok(newer)
}

/// Settles what a killed run left open, where a command has nothing else to write.
///
/// # Errors
/// As [`AuthoritySession::open`].
pub fn settle(home: &Home, around: &Surroundings, events: &mut dyn Events) -> Result<(), SessionError> {
    if !home.inventory_path().exists() {
        return Ok(());
    }
    let unfinished = open_to_read(home)?.unfinished()?;
    if unfinished.is_empty() { Ok(()) } else { AuthoritySession::open(home, around, events).map(drop) }
}

/// An authority of the time before inventories gets one, made of the certificates that it kept.
pub(super) fn import_old_records(
    home: &Home,
    issuer: &Certificate,
    run: &Run,
    events: &mut dyn Events,
) -> Result<(), SessionError> {
    if home.inventory_path().symlink_metadata().is_ok() {
        return Ok(());
    }
    let records = home.old_records()?;
    // Where there never was a place for them, the inventory was lost: opening it says so.
    let Some(records) = records else { return Ok(()) };
    let mut inventory = Inventory::in_memory().map_err(SessionError::Import)?;
    let mut certificates: Vec<(Certificate, Role, String)> = Vec::new();
    for (path, file) in records {
        let found = read_certificates(&file.bytes, &path)?.into_iter().next();
        certificates.extend(found.and_then(|certificate| {
            let (role, name) = identify(&certificate, None).ok()?;
            certificate.is_signed_by(issuer).then_some((certificate, role, name))
        }));
    }
    let mut recorder = inventory.as_run(run);
    let generation = recorder.generation(issuer).map_err(SessionError::Import)?;
    let found: Vec<Found<'_>> = certificates
        .iter()
        .map(|(certificate, role, name)| Found {
            generation,
            role: *role,
            name: name.clone(),
            certificate,
            key_holder: KeyHolder::Elsewhere,
            place: None,
        })
        .collect();
    recorder.found(&found).map_err(SessionError::Import)?;
    let bytes = inventory.to_bytes().map_err(SessionError::Import)?;
    home.add_inventory(&bytes).map_err(|error| SessionError::ImportFiles(error.into()))?;
    events.tell(Event::InventoryMade { certificates: found.len() });
    Ok(())
}
