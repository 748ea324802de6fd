//! A session on an authority: its inventory in the hands of one run, which has the authority to itself meanwhile.
//!
//! The lock is one of the whole process (flock(2) on a file of the authority): a threaded program opens one session for one piece
//! of work, or gives it to one thread.

mod error;
mod settle;

use std::{io, path::Path};

use dockseal_docker::{FilePlan, Layout, Ownership};
use dockseal_inventory::{
    Access, CertificateId, Delivered, Delivery, Destination, Entry, GenerationId, Inventory, InventoryError, KeyHolder,
    Place, Recorder, Reservation, Run, Signed,
};
use dockseal_pki::Certificate;
use dockseal_store::{Displaced, Existing, Home, HomeLock, stage};

pub use self::{
    error::{SessionError, Undelivered},
    settle::{newer_lists, settle},
};
use crate::{
    authority::{OpenAuthority, signing_issuer, trusted_issuers},
    events::Events,
    permit::{Issued, Permitted, name_of},
    places::PlacesOf,
    surroundings::Surroundings,
};

/// An authority that this run works on, and its inventory.
pub struct AuthoritySession {
    /// The inventory, for looking; [`recorder`](Self::recorder) writes.
    pub inventory: Inventory,
    /// The issuer that signs.
    pub generation: GenerationId,
    run: Run,
    /// Which file the inventory is: another run may make it again meanwhile.
    file: Option<(u64, u64)>,
    /// Where recorded places may be.
    places: PlacesOf,
    /// Nobody else works on the authority meanwhile. None while there is no authority yet.
    lock: Option<HomeLock>,
}

impl AuthoritySession {
    /// That of an authority that is being made, in memory until [`Inventory::to_bytes`] is written with the rest of it.
    ///
    /// # Errors
    /// When no inventory can be made in memory.
    pub fn draft(issuer: &Certificate, around: &Surroundings) -> Result<Self, SessionError> {
        let mut inventory = Inventory::in_memory()?;
        let run = around.run.clone();
        let generation = inventory.as_run(&run).generation(issuer)?;
        Ok(Self { inventory, generation, run, file: None, places: PlacesOf::Everybody, lock: None })
    }

    /// That of an authority that is there: waits for other runs, and settles what killed ones left open.
    ///
    /// # Errors
    /// When another run has it for too long, its files or its inventory cannot be used, or the clock went back.
    pub fn open(home: &Home, around: &Surroundings, events: &mut dyn Events) -> Result<Self, SessionError> {
        let run = around.run.clone();
        let lock = lock(home, around)?;
        let issuer = &signing_issuer(home)?;
        Self::locked(home, issuer, run, lock, around, events)
    }

    /// The same for a run that has the signing key: a roll-over may have gone on while it waited, or asked for a passphrase.
    ///
    /// # Errors
    /// As [`open`](Self::open), and with [`SessionError::AnotherGenerationSigns`]: nothing was done yet, and the run can begin anew.
    pub fn open_to_sign(
        opened: &OpenAuthority,
        around: &Surroundings,
        events: &mut dyn Events,
    ) -> Result<Self, SessionError> {
        let run = around.run.clone();
        let lock = lock(&opened.home, around)?;
        refuse_a_former_generation(opened)?;
        Self::locked(&opened.home, opened.authority.issuer(), run, lock, around, events)
    }

    fn locked(
        home: &Home,
        issuer: &Certificate,
        run: Run,
        lock: HomeLock,
        around: &Surroundings,
        events: &mut dyn Events,
    ) -> Result<Self, SessionError> {
        settle::import_old_records(home, issuer, &run, events)?;
        let mut inventory = open_inventory(home, Access::Write)?;
        refuse_a_clock_that_went_back(&inventory, around)?;
        let generation = inventory.as_run(&run).generation(issuer)?;
        let places = PlacesOf::authority(home)?;
        let mut session = Self { inventory, generation, run, file: identity(home), places, lock: Some(lock) };
        session.settle()?;
        session.take_newer_lists(home, events)?;
        Ok(session)
    }

    /// Where the places may be that the inventory names.
    pub fn places(&self) -> PlacesOf {
        self.places
    }

    /// Writes on behalf of this run.
    pub fn recorder(&mut self) -> Recorder<'_> {
        self.inventory.as_run(&self.run)
    }

    /// Takes the serial of what may be signed. `predecessor` is the certificate that it replaces.
    ///
    /// # Errors
    /// When the inventory cannot be written.
    pub fn reserve(
        &mut self,
        permitted: &Permitted,
        predecessor: Option<CertificateId>,
    ) -> Result<CertificateId, InventoryError> {
        let reservation = self.reservation(permitted, predecessor);
        self.recorder().reserve_one(&reservation)
    }

    /// Takes the serials of all that may be signed, in one transaction, each with the certificate that it replaces.
    ///
    /// # Errors
    /// When the inventory cannot be written; then none is taken.
    pub fn reserve_all(
        &mut self,
        wanted: &[(&Permitted, Option<CertificateId>)],
    ) -> Result<Vec<CertificateId>, InventoryError> {
        let reservations: Vec<Reservation> =
            wanted.iter().map(|(permitted, predecessor)| self.reservation(permitted, *predecessor)).collect();
        if reservations.is_empty() { Ok(Vec::new()) } else { self.recorder().reserve(&reservations) }
    }

    fn reservation(&self, permitted: &Permitted, predecessor: Option<CertificateId>) -> Reservation {
        Reservation {
            generation: self.generation,
            serial: permitted.serial().clone(),
            role: permitted.endpoint.role(),
            name: name_of(&permitted.endpoint),
            predecessor,
        }
    }

    /// Lets others work on the authority, until [`resume`](Self::resume).
    pub fn pause(&mut self) {
        self.lock = None;
    }

    /// Goes on after a pause, once no other run is at work.
    ///
    /// # Errors
    /// When another run has it for too long, or has made the inventory again.
    pub fn resume(&mut self, home: &Home, around: &Surroundings) -> Result<(), SessionError> {
        self.lock = Some(lock(home, around)?);
        if identity(home) != self.file {
            return Err(SessionError::Remade);
        }
        Ok(self.settle()?)
    }

    /// Lets others work on the authority, and then goes on, unless this run's key is no longer the one that signs.
    ///
    /// # Errors
    /// As [`resume`](Self::resume), and with [`SessionError::AnotherGenerationSignsNow`].
    pub fn give_way(&mut self, opened: &OpenAuthority, around: &Surroundings) -> Result<(), SessionError> {
        self.pause();
        self.resume(&opened.home, around)?;
        refuse_a_former_generation(opened).map_err(|error| match error {
            SessionError::AnotherGenerationSigns => SessionError::AnotherGenerationSignsNow,
            other => other,
        })
    }

    /// Puts one bundle into a directory, as [`deliver_to`](Self::deliver_to) does.
    ///
    /// # Errors
    /// As [`deliver_to`](Self::deliver_to).
    pub fn deliver(
        &mut self,
        issued: &Issued,
        plan: &FilePlan,
        layout: Layout,
        directory: &Path,
        existing: Existing,
        around: &Surroundings,
    ) -> Result<bool, Undelivered> {
        self.deliver_to(issued, plan, around.place(directory), layout, existing)
    }

    /// Puts one bundle into a place and remembers both, and returns whether what was there is kept for a rollback.
    ///
    /// # Errors
    /// When the place or the inventory cannot be written. After an error of the place that is [`InPlace`](dockseal_store::WriteError::InPlace) the new bundle
    /// is there and recorded; else what was there is untouched.
    pub fn deliver_to(
        &mut self,
        issued: &Issued,
        plan: &FilePlan,
        place: Place,
        layout: Layout,
        existing: Existing,
    ) -> Result<bool, Undelivered> {
        let displaced = if existing == Existing::Replace { Displaced::Keep } else { Displaced::Remove };
        let staged = stage(plan, &place.path, existing, displaced)?;
        let delivery = Delivery { place, layout, ownership: plan.ownership };
        self.signed(issued, &[delivery])?;
        let placed = match staged.put_in_place() {
            Ok(placed) => placed,
            Err(error) => {
                self.recorder().taken_back(&[issued.id])?;
                return Err(Undelivered::Place(error));
            }
        };
        let keeps_previous = placed.keeps_previous;
        let delivered = Delivered { id: issued.id, keeps_previous, command_due: false };
        self.recorder().delivered(&[delivered])?;
        placed.check().map_err(Undelivered::Place).map(|()| keeps_previous)
    }

    /// Puts a certificate that was issued before into one more place, or remembers that it is there already: without a plan.
    ///
    /// # Errors
    /// As [`deliver_to`](Self::deliver_to).
    pub fn install(
        &mut self,
        id: CertificateId,
        plan: Option<&FilePlan>,
        place: &Place,
        displaced: Displaced,
    ) -> Result<(), Undelivered> {
        let known = self.inventory.destination_at(place)?;
        let layout = known.as_ref().map_or(Layout::Docker, |known| known.layout);
        let before = known.and_then(|known| known.certificate);
        let delivery = |ownership| Delivery { place: place.clone(), layout, ownership };
        let Some(plan) = plan else {
            if before == Some(id) {
                return Ok(());
            }
            self.recorder().about_to_install(&delivery(Ownership::default()), id)?;
            let delivered = Delivered { id, keeps_previous: false, command_due: false };
            return Ok(self.recorder().delivered(&[delivered])?);
        };
        let staged = stage(plan, &place.path, Existing::Replace, displaced)?;
        let destination = self.recorder().about_to_install(&delivery(plan.ownership), id)?;
        let placed = match staged.put_in_place() {
            Ok(placed) => placed,
            Err(error) => {
                self.recorder().missed(&[destination])?;
                return Err(Undelivered::Place(error));
            }
        };
        let keeps_previous = placed.keeps_previous;
        self.recorder().delivered(&[Delivered { id, keeps_previous, command_due: false }])?;
        placed.check().map_err(Undelivered::Place)
    }

    /// Remembers a certificate that goes nowhere that we know of: to standard output.
    ///
    /// # Errors
    /// When the inventory cannot be written.
    pub fn hand_out(&mut self, issued: &Issued) -> Result<(), InventoryError> {
        let delivered = Delivered { id: issued.id, keeps_previous: false, command_due: false };
        self.signed(issued, &[])?;
        self.recorder().delivered(&[delivered])
    }

    /// Remembers certificates that go into a file which no renewal finds; `detail` says which.
    ///
    /// # Errors
    /// When the inventory cannot be written.
    pub fn hand_over(&mut self, all: &[Issued], detail: &str) -> Result<(), InventoryError> {
        for issued in all {
            self.hand_out(issued)?;
            self.recorder().handed_over(issued.id, detail)?;
        }
        Ok(())
    }

    /// The file did not come to be: nobody has them.
    ///
    /// # Errors
    /// When the inventory cannot be written.
    pub fn not_handed_over(&mut self, ids: &[CertificateId]) -> Result<(), InventoryError> {
        self.recorder().taken_back(ids)?;
        self.recorder().replaced(ids)
    }

    /// Ends that a place is a destination, and returns what is known of the certificate in it.
    ///
    /// # Errors
    /// When the inventory cannot be written.
    pub fn forget(&mut self, destination: &Destination) -> Result<Option<Entry>, InventoryError> {
        let entry = match destination.certificate {
            Some(id) => self.inventory.entry(id)?,
            None => None,
        };
        self.recorder().forget(destination.id)?;
        Ok(entry)
    }

    /// What is in a place now is none of ours: renewals no longer look for what was.
    ///
    /// # Errors
    /// When the inventory cannot be written.
    pub fn forget_place(&mut self, place: &Place) -> Result<(), InventoryError> {
        match self.inventory.destination_at(place)? {
            Some(former) if is_used(&former) => self.recorder().forget(former.id),
            _ => Ok(()),
        }
    }

    fn signed(&mut self, issued: &Issued, places: &[Delivery]) -> Result<(), InventoryError> {
        let key_holder = if issued.bundle.key.is_some() { KeyHolder::Here } else { KeyHolder::Elsewhere };
        let signed =
            Signed { id: issued.id, certificate: &issued.certificate, key_holder, places, command_follows: false };
        self.recorder().signed(&[signed])
    }
}

/// Which file the inventory is now.
fn identity(home: &Home) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    home.inventory_path().symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}

/// What would be signed now with that key would be of a generation that a roll-over may be about to end.
fn refuse_a_former_generation(opened: &OpenAuthority) -> Result<(), SessionError> {
    let is_signing = signing_issuer(&opened.home)? == *opened.authority.issuer();
    if is_signing { Ok(()) } else { Err(SessionError::AnotherGenerationSigns) }
}

/// Whether anything is, or was about to be, in a destination; one that was forgotten is still known.
pub fn is_used(destination: &Destination) -> bool {
    destination.certificate.is_some() || destination.pending.is_some()
}

/// What a clock that went back makes would not be valid yet for anybody, or end too soon. One rule for all that writes: the
/// last run says what the clock was, unless a person gave its time; and who gives the time now is believed, so that nobody
/// is locked out by a run whose clock was ahead.
///
/// # Errors
/// With [`SessionError::ClockWentBack`], or when the inventory cannot be read.
pub fn refuse_a_clock_that_went_back(inventory: &Inventory, around: &Surroundings) -> Result<(), SessionError> {
    match around.went_back(inventory.last_clock()?) {
        Some(last) => Err(SessionError::ClockWentBack { now: around.now, last }),
        None => Ok(()),
    }
}

/// Opens an authority's inventory for looking alone.
///
/// # Errors
/// When it cannot be read.
pub fn open_to_read(home: &Home) -> Result<Inventory, InventoryError> {
    open_inventory(home, Access::Read)
}

/// Opens an authority's inventory, with the rights of the user to whom the authority belongs where that is not who runs this.
///
/// # Errors
/// When it cannot be opened, or its directory is behind a link that others can change.
pub fn open_inventory(home: &Home, access: Access) -> Result<Inventory, InventoryError> {
    let path = home.inventory_path();
    let mut inventory = match home.ownership() {
        Ok(ownership) => Inventory::open_of(&path, access, ownership)?,
        Err(_) if !path.exists() => return Err(InventoryError::Missing { path }),
        Err(error) => return Err(InventoryError::Unreachable { path, source: io::Error::other(error) }),
    };
    // Where the authority's files cannot be read, nobody can tell; and what is damaged says so where it is asked for.
    if let (Ok(trusted), Ok(generations)) = (trusted_issuers(home), inventory.generations()) {
        // By the key: a certificate of the issuer may have been made again.
        let is_retired = |key: &[u8]| trusted.iter().all(|issuer| issuer.public_key.spki() != key);
        let retired = generations.into_iter().filter(|known| is_retired(known.certificate.public_key.spki()));
        inventory.retire(retired.map(|known| known.id).collect());
    }
    Ok(inventory)
}

/// The right to work on the authority, waited for.
///
/// # Errors
/// When another run has it for longer than this one is patient.
pub fn lock(home: &Home, around: &Surroundings) -> Result<HomeLock, SessionError> {
    home.lock(&around.lock_owner, around.patience).map_err(SessionError::Lock)
}
