//! An authority's inventory in the hands of one run, which has the authority to itself meanwhile.

use std::{path::Path, time::Duration};

use dockseal_docker::{FilePlan, Layout, Ownership, Role, layout::Names};
use dockseal_inventory::{
    Access, CertificateId, Delivered, Delivery, Destination, Entry, Found, GenerationId, Inventory, InventoryError,
    KeyHolder, Kind, Place, Recorder, Reservation, Revocation, Run, Signed, State,
};
use dockseal_pki::{Certificate, Fingerprint, RevocationList, moment, printable};
use dockseal_store::{
    Displaced, Existing, Home, HomeLock, WriteError, keep_displaced, previous_path, remove_stale, stage,
};

pub(crate) use crate::hints::inventory_failure;
use crate::{
    authority::{Opened, home_failure, read_certificates, signing_issuer, write_failure},
    endpoint::{Issued, Permitted, name_of},
    failure::Failure,
    identity::identify,
    invocation::Invocation,
    output::Output,
    report::rfc3339,
};

const WHAT: &str = "cannot use the authority's inventory";

/// An inventory that this run writes to.
pub(crate) struct Ledger {
    pub(crate) inventory: Inventory,
    /// The issuer that signs.
    pub(crate) generation: GenerationId,
    run: Run,
    /// Which file the inventory is: another run may make it again meanwhile.
    file: Option<(u64, u64)>,
    /// Nobody else works on the authority meanwhile. None while there is no authority yet.
    lock: Option<HomeLock>,
}

/// Why a bundle was not delivered.
pub(crate) enum Undelivered {
    /// The place: something is in the way, or the system refuses.
    Place(WriteError),
    /// The inventory.
    Inventory(Failure),
}

impl Undelivered {
    pub(crate) fn failure(self, what: &str) -> Failure {
        match self {
            Self::Place(error) => write_failure(what, &error),
            Self::Inventory(failure) => failure,
        }
    }
}

impl Ledger {
    /// That of an authority that is being made, in memory until [`Inventory::to_bytes`] is written with the rest of it.
    pub(crate) fn draft(issuer: &Certificate, invocation: &Invocation) -> Result<Self, Failure> {
        let mut inventory = Inventory::in_memory().map_err(|error| inventory_failure(WHAT, &error))?;
        let run = invocation.run();
        let generation = inventory.as_run(&run).generation(issuer).map_err(|error| inventory_failure(WHAT, &error))?;
        Ok(Self { inventory, generation, run, file: None, lock: None })
    }

    /// That of an authority that is there: waits for other runs, and settles what killed ones left open.
    pub(crate) fn open(home: &Home, invocation: &Invocation, output: &mut Output) -> Result<Self, Failure> {
        let run = invocation.run();
        let lock = lock(home, &run, invocation)?;
        let issuer = &signing_issuer(home, WHAT)?;
        Self::locked(home, issuer, run, lock, invocation, output)
    }

    /// The same for a run that has the signing key: a roll-over may have gone on while it waited, or asked for a passphrase.
    /// The failure of that is [`Failure::is_outdated`].
    pub(crate) fn open_to_sign(opened: &Opened, invocation: &Invocation, output: &mut Output) -> Result<Self, Failure> {
        let run = invocation.run();
        let lock = lock(&opened.home, &run, invocation)?;
        refuse_a_former_generation(opened)?;
        Self::locked(&opened.home, opened.authority.issuer(), run, lock, invocation, output)
    }

    fn locked(
        home: &Home,
        issuer: &Certificate,
        run: Run,
        lock: HomeLock,
        invocation: &Invocation,
        output: &mut Output,
    ) -> Result<Self, Failure> {
        import_old_records(home, issuer, &run, output)?;
        let failure = |error| inventory_failure(WHAT, &error);
        let mut inventory = Inventory::open(&home.inventory_path(), Access::Write).map_err(failure)?;
        refuse_a_clock_that_went_back(&inventory, invocation, WHAT)?;
        let generation = inventory.as_run(&run).generation(issuer).map_err(failure)?;
        let mut ledger = Self { inventory, generation, run, file: identity(home), lock: Some(lock) };
        ledger.settle().map_err(failure)?;
        ledger.take_newer_lists(home, output)?;
        Ok(ledger)
    }

    /// Writes on behalf of this run.
    pub(crate) fn recorder(&mut self) -> Recorder<'_> {
        self.inventory.as_run(&self.run)
    }

    /// Takes the serial of what may be signed.
    pub(crate) fn reserve(
        &mut self,
        permitted: &Permitted,
        predecessor: Option<CertificateId>,
    ) -> Result<CertificateId, Failure> {
        let ids = self.reserve_all(&[(permitted, predecessor)])?;
        ids.first().copied().ok_or_else(|| Failure::trouble(WHAT))
    }

    /// Takes the serials of all that may be signed, each with what it takes the place of.
    pub(crate) fn reserve_all(
        &mut self,
        wanted: &[(&Permitted, Option<CertificateId>)],
    ) -> Result<Vec<CertificateId>, Failure> {
        let reservations: Vec<Reservation> = wanted
            .iter()
            .map(|(permitted, predecessor)| Reservation {
                generation: self.generation,
                serial: permitted.serial().clone(),
                role: permitted.endpoint.role(),
                name: name_of(&permitted.endpoint),
                predecessor: *predecessor,
            })
            .collect();
        if reservations.is_empty() {
            return Ok(Vec::new());
        }
        self.recorder().reserve(&reservations).map_err(|error| inventory_failure(WHAT, &error))
    }

    /// Lets others work on the authority, until [`resume`](Self::resume).
    pub(crate) fn pause(&mut self) {
        self.lock = None;
    }

    /// Goes on after a pause, once no other run is at work.
    pub(crate) fn resume(&mut self, home: &Home, invocation: &Invocation) -> Result<(), Failure> {
        self.lock = Some(lock(home, &self.run, invocation)?);
        if identity(home) != self.file {
            return Err(Failure::trouble(WHAT)
                .cause("it was made again meanwhile, and knows the certificates by other numbers")
                .hint("run it again for the rest; what was done stays"));
        }
        self.settle().map_err(|error| inventory_failure(WHAT, &error))
    }

    /// Lets others work on the authority, and then goes on, unless this run's key is no longer the one that signs.
    pub(crate) fn give_way(&mut self, opened: &Opened, invocation: &Invocation) -> Result<(), Failure> {
        self.pause();
        self.resume(&opened.home, invocation)?;
        refuse_a_former_generation(opened).map_err(|failure| Failure {
            is_outdated: false,
            ..failure.hint("run it again for the rest; what was done stays")
        })
    }

    /// Puts one bundle into a directory and remembers both; whether what was there is kept for `rollback`.
    pub(crate) fn deliver(
        &mut self,
        issued: &Issued,
        plan: &FilePlan,
        layout: Layout,
        directory: &Path,
        existing: Existing,
        invocation: &Invocation,
    ) -> Result<bool, Undelivered> {
        let place = invocation.place(directory).map_err(Undelivered::Inventory)?;
        self.deliver_to(issued, plan, place, layout, existing)
    }

    /// The same for a place.
    pub(crate) fn deliver_to(
        &mut self,
        issued: &Issued,
        plan: &FilePlan,
        place: Place,
        layout: Layout,
        existing: Existing,
    ) -> Result<bool, Undelivered> {
        let inventory = |error| Undelivered::Inventory(inventory_failure(WHAT, &error));
        let displaced = if existing == Existing::Replace { Displaced::Keep } else { Displaced::Remove };
        let staged = stage(plan, &place.path, existing, displaced).map_err(Undelivered::Place)?;
        let delivery = Delivery { place, layout, ownership: plan.ownership };
        self.signed(issued, &[delivery]).map_err(inventory)?;
        let placed = match staged.put_in_place() {
            Ok(placed) => placed,
            Err(error) => {
                self.recorder().taken_back(&[issued.id]).map_err(inventory)?;
                return Err(Undelivered::Place(error));
            }
        };
        let keeps_previous = placed.keeps_previous;
        let delivered = Delivered { id: issued.id, keeps_previous, command_due: false };
        self.recorder().delivered(&[delivered]).map_err(inventory)?;
        placed.check().map_err(Undelivered::Place).map(|()| keeps_previous)
    }

    /// Puts a certificate that was issued before into one more place, or remembers that it is there already: without a plan.
    pub(crate) fn install(
        &mut self,
        id: CertificateId,
        plan: Option<&FilePlan>,
        place: &Place,
        displaced: Displaced,
    ) -> Result<(), Undelivered> {
        let inventory = |error| Undelivered::Inventory(inventory_failure(WHAT, &error));
        let known = self.inventory.destination_at(place).map_err(inventory)?;
        let layout = known.as_ref().map_or(Layout::Docker, |known| known.layout);
        let before = known.and_then(|known| known.certificate);
        let delivery = |ownership| Delivery { place: place.clone(), layout, ownership };
        let Some(plan) = plan else {
            if before == Some(id) {
                return Ok(());
            }
            self.recorder().about_to_install(&delivery(Ownership::default()), id).map_err(inventory)?;
            let delivered = Delivered { id, keeps_previous: false, command_due: false };
            return self.recorder().delivered(&[delivered]).map_err(inventory);
        };
        let staged = stage(plan, &place.path, Existing::Replace, displaced).map_err(Undelivered::Place)?;
        let destination = self.recorder().about_to_install(&delivery(plan.ownership), id).map_err(inventory)?;
        let placed = match staged.put_in_place() {
            Ok(placed) => placed,
            Err(error) => {
                self.recorder().missed(&[destination]).map_err(inventory)?;
                return Err(Undelivered::Place(error));
            }
        };
        let keeps_previous = placed.keeps_previous;
        self.recorder().delivered(&[Delivered { id, keeps_previous, command_due: false }]).map_err(inventory)?;
        placed.check().map_err(Undelivered::Place)
    }

    /// Remembers a certificate that goes nowhere that we know of: to standard output.
    pub(crate) fn hand_out(&mut self, issued: &Issued) -> Result<(), Failure> {
        let delivered = Delivered { id: issued.id, keeps_previous: false, command_due: false };
        self.signed(issued, &[])
            .and_then(|()| self.recorder().delivered(&[delivered]))
            .map_err(|error| inventory_failure(WHAT, &error))
    }

    /// Remembers certificates that go into a file which no renewal finds; `detail` says which.
    pub(crate) fn hand_over(&mut self, all: &[Issued], detail: &str) -> Result<(), Failure> {
        for issued in all {
            self.hand_out(issued)?;
            self.recorder().handed_over(issued.id, detail).map_err(|error| inventory_failure(WHAT, &error))?;
        }
        Ok(())
    }

    /// The file did not come to be: nobody has them.
    pub(crate) fn not_handed_over(&mut self, ids: &[CertificateId]) -> Result<(), Failure> {
        self.recorder()
            .taken_back(ids)
            .and_then(|()| self.recorder().replaced(ids))
            .map_err(|error| inventory_failure(WHAT, &error))
    }

    /// A place is no destination any more. What is known of the certificate in it comes back, and what people are told of it.
    pub(crate) fn forget(&mut self, destination: &Destination) -> Result<(Option<Entry>, String), InventoryError> {
        let entry = match destination.certificate {
            Some(id) => self.inventory.entry(id)?,
            None => None,
        };
        self.recorder().forget(destination.id)?;
        let told = entry.as_ref().map_or_else(String::new, |entry| {
            format!(
                "The certificate of {} {} counts until {}: revoke it if nobody is to use it any more\n",
                entry.role,
                printable(&entry.name),
                moment(entry.certificate.validity.not_after)
            )
        });
        Ok((entry, told))
    }

    /// What is in a place now is none of ours: renewals no longer look for what was.
    pub(crate) fn forget_place(&mut self, place: &Place) -> Result<(), Undelivered> {
        let inventory = |error| Undelivered::Inventory(inventory_failure(WHAT, &error));
        match self.inventory.destination_at(place).map_err(inventory)? {
            Some(former) if is_used(&former) => self.recorder().forget(former.id).map_err(inventory),
            _ => Ok(()),
        }
    }

    fn signed(&mut self, issued: &Issued, places: &[Delivery]) -> Result<(), InventoryError> {
        let key_holder = if issued.bundle.key.is_some() { KeyHolder::Here } else { KeyHolder::Elsewhere };
        let signed =
            Signed { id: issued.id, certificate: &issued.certificate, key_holder, places, command_follows: false };
        self.recorder().signed(&[signed])
    }

    /// A list with a greater number than any that the inventory remembers is from a time that it forgot: a copy of it came back,
    /// perhaps. Who was revoked then stays so.
    fn take_newer_lists(&mut self, home: &Home, output: &mut Output) -> Result<(), Failure> {
        let failure = |error| inventory_failure(WHAT, &error);
        for list in newer_lists(&self.inventory, home, output)? {
            let (generation, list) = list;
            for revoked in &list.revoked {
                let known = self.inventory.numbered(generation, &revoked.serial).map_err(failure)?;
                let Some(known) = known.filter(|known| !matches!(known.state, State::Revoked(_))) else { continue };
                let revocation = Revocation { at: revoked.at, reason: revoked.reason };
                self.recorder().revoke(&[known.id], revocation).map_err(failure)?;
                output.warn(&format!(
                    "{} {}, serial {}, is revoked by crl.pem, which is newer than the inventory",
                    known.role,
                    printable(&known.name),
                    known.serial()
                ));
            }
            self.recorder().crl_number_was(generation, list.number.unwrap_or(0)).map_err(failure)?;
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
    /// one is kept beside it, and counts no longer unless it is somewhere else too.
    pub(crate) fn holds_another(
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
    fn settle(&mut self) -> Result<(), InventoryError> {
        let open = self.inventory.unfinished()?;
        // What another machine was doing is that machine's to settle.
        let ours: Vec<Destination> = open
            .into_iter()
            .filter(|destination| destination.place.kind != Kind::Ssh && destination.place.machine == self.run.machine)
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

/// Which file the inventory is now.
fn identity(home: &Home) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    home.inventory_path().symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// What would be signed now with that key would be of a generation that a roll-over may be about to end.
fn refuse_a_former_generation(opened: &Opened) -> Result<(), Failure> {
    if signing_issuer(&opened.home, WHAT)? == *opened.authority.issuer() {
        return Ok(());
    }
    let failure = Failure::trouble(WHAT)
        .cause("another generation of the authority signs since a moment ago")
        .hint("run it again; nothing was changed");
    Err(Failure { is_outdated: true, ..failure })
}

/// The lists of the home that have a greater number than any that the inventory remembers.
pub(crate) fn newer_lists(
    inventory: &Inventory,
    home: &Home,
    output: &mut Output,
) -> Result<Vec<(GenerationId, RevocationList)>, Failure> {
    let failure = |error| inventory_failure(WHAT, &error);
    let lists = crate::revocations::before(home)?;
    if !lists.is_whole {
        output.warn(&format!("{} is damaged; what cannot be read of it is left out", home.crl_path().display()));
    }
    let generations = inventory.generations().map_err(failure)?;
    let mut newer = Vec::new();
    for list in lists.readable {
        for generation in generations.iter().filter(|generation| generation.certificate.subject == list.issuer) {
            // The number first: it costs less than the signature.
            let is_newer = list.number > Some(inventory.crl_number(generation.id).map_err(failure)?);
            if is_newer && list.is_of(&generation.certificate) {
                newer.push((generation.id, list));
                break;
            }
        }
    }
    Ok(newer)
}

/// Settles what a killed run left open, where a command has nothing else to write.
pub(crate) fn settle(home: &Home, invocation: &Invocation, output: &mut Output) -> Result<(), Failure> {
    if !home.inventory_path().exists() {
        return Ok(());
    }
    let unfinished = open_to_read(home)?.unfinished().map_err(|error| inventory_failure(WHAT, &error))?;
    if unfinished.is_empty() { Ok(()) } else { Ledger::open(home, invocation, output).map(drop) }
}

/// The certificate in the inventory of an authority that is on this machine as well.
pub(crate) fn known_here(
    leaf: &Certificate,
    invocation: &Invocation,
    output: &mut Output,
    what: &str,
) -> Result<Option<(Ledger, Entry)>, Failure> {
    let Some(home) = invocation.home().ok().filter(|home| home.inventory_path().exists()) else { return Ok(None) };
    let failure = |error| inventory_failure(what, &error);
    if open_to_read(&home)?.entry_of(leaf.fingerprint()).map_err(failure)?.is_none() {
        return Ok(None);
    }
    let ledger = Ledger::open(&home, invocation, output)?;
    let entry = ledger.inventory.entry_of(leaf.fingerprint()).map_err(failure)?;
    if let Some(State::Revoked(revocation)) = entry.as_ref().map(|entry| &entry.state) {
        return Err(Failure::no(what)
            .cause(format!("it was revoked on {} ({})", moment(revocation.at), revocation.reason))
            .hint("have another one issued"));
    }
    Ok(entry.map(|entry| (ledger, entry)))
}

/// The inventory of an authority that is on this machine as well, where it has this place as a destination.
pub(crate) fn recorded_here(
    place: &Place,
    invocation: &Invocation,
    output: &mut Output,
    what: &str,
) -> Result<Option<Ledger>, Failure> {
    let Some(home) = invocation.home().ok().filter(|home| home.inventory_path().exists()) else { return Ok(None) };
    let known = open_to_read(&home)?.destination_at(place).map_err(|error| inventory_failure(what, &error))?;
    if !known.is_some_and(|known| is_used(&known)) {
        return Ok(None);
    }
    Ledger::open(&home, invocation, output).map(Some)
}

/// Whether anything is, or was about to be, in a destination; one that was forgotten is still known.
fn is_used(destination: &Destination) -> bool {
    destination.certificate.is_some() || destination.pending.is_some()
}

/// The fingerprint of the certificate in a directory, if there is one that can be read.
pub(crate) fn leaf_in(directory: &Path, names: Names) -> Option<Fingerprint> {
    let path = directory.join(names.chain);
    let bytes = dockseal_store::read(&path).ok()?.bytes;
    read_certificates(&bytes, &path).ok()?.first().map(Certificate::fingerprint)
}

/// What a clock that went back makes would not be valid yet for anybody, or end too soon. One rule for all that writes: the
/// last run says what the clock was, unless a person gave its time; and who gives the time now is believed, so that nobody
/// is locked out by a run whose clock was ahead.
pub(crate) fn refuse_a_clock_that_went_back(
    inventory: &Inventory,
    invocation: &Invocation,
    what: &str,
) -> Result<(), Failure> {
    let last = inventory.last_clock().map_err(|error| inventory_failure(what, &error))?;
    let Some(last) = invocation.went_back(last) else { return Ok(()) };
    Err(Failure::trouble(what)
        .cause(format!(
            "the clock went back: it says {}, and this authority was used on {}",
            moment(invocation.now),
            moment(last)
        ))
        .hint(format!(
            "set the clock of this machine; if it is right now, say so with --at {}",
            rfc3339(invocation.now)
        )))
}

/// Opens an authority's inventory for looking alone.
pub(crate) fn open_to_read(home: &Home) -> Result<Inventory, Failure> {
    Inventory::open(&home.inventory_path(), Access::Read).map_err(|error| inventory_failure(WHAT, &error))
}

/// The right to work on the authority, waited for.
pub(crate) fn lock(home: &Home, run: &Run, invocation: &Invocation) -> Result<HomeLock, Failure> {
    let who = format!("{} (process {}, by {} on {})", run.command, std::process::id(), run.user, run.machine_name);
    home.lock(&who, invocation.patience).map_err(|error| home_failure("cannot work on the authority", &error))
}

/// An authority of the time before inventories gets one, made of the certificates that it kept.
fn import_old_records(home: &Home, issuer: &Certificate, run: &Run, output: &mut Output) -> Result<(), Failure> {
    if home.inventory_path().symlink_metadata().is_ok() {
        return Ok(());
    }
    let records = home.old_records().map_err(|error| home_failure(WHAT, &error))?;
    // Where there never was a place for them, the inventory was lost: opening it says so.
    let Some(records) = records else { return Ok(()) };
    let failure = |error| inventory_failure("cannot make the authority's inventory", &error);
    let mut inventory = Inventory::in_memory().map_err(failure)?;
    let mut certificates: Vec<(Certificate, Role, String)> = Vec::new();
    for (path, file) in records {
        let found = read_certificates(&file.bytes, &path)?.into_iter().next();
        certificates.extend(found.and_then(|certificate| {
            let (role, name) = identify(&certificate, None).ok()?;
            certificate.is_signed_by(issuer).then_some((certificate, role, name))
        }));
    }
    let mut recorder = inventory.as_run(run);
    let generation = recorder.generation(issuer).map_err(failure)?;
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
    recorder.found(&found).map_err(failure)?;
    let bytes = inventory.to_bytes().map_err(failure)?;
    home.add_inventory(&bytes).map_err(|error| home_failure("cannot make the authority's inventory", &error))?;
    output.note(&format!(
        "made an inventory of the {} certificates that were issued before there was one; \
         dockseal inventory rebuild DIR… finds where they are",
        found.len()
    ));
    Ok(())
}

/// How long a run waits for another one, unless `--wait` says otherwise.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
