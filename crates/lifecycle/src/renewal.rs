//! New certificates in the place of old ones, at every place where those are: looked at, signed, judged, staged, made
//! durable together, swapped in.

use std::{error::Error, fmt};

use dockseal_ca::{Authority, Profile};
use dockseal_docker::{Ownership, Role, plan};
use dockseal_inventory::{
    CertificateId, Cursor, Destination, Entry, Inventory, InventoryError, KeyHolder, Selection, State,
};
use dockseal_pki::{KeyAlgorithm, Lifetime, PrivateKey};
use dockseal_store::{Displaced, Existing, Sight, remove_stale, stage_for_batch};

use crate::{
    authority::OpenAuthority,
    bundle_directory,
    certificates::read_certificates,
    delivery::{BatchError, LeftAlone, Outcome, Prepared, StagedAt, Trouble, fitted, record_and_swap},
    events::Events,
    identity::changes_on_renewal,
    parallel::in_parallel,
    permit::{IssueError, IssueOptions, Permitted, SignedBundle, SubjectKey, new_key, permit},
    places::PlacesOf,
    session::{AuthoritySession, SessionError},
    surroundings::Surroundings,
};

/// What becomes of the private key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyChoice {
    /// A new one of the same kind.
    #[default]
    New,
    /// The one that is there.
    Same,
}

/// How to renew.
#[derive(Clone, Copy, Debug, Default)]
pub struct RenewOptions {
    /// What becomes of the private key.
    pub key: KeyChoice,
    /// How long the new certificate is to be valid; `None` for as long as the old one was.
    pub lifetime: Option<Lifetime>,
    /// A command is to follow each delivery, and is remembered until it has run.
    pub command_follows: bool,
}

/// A certificate to be renewed, and where it is.
#[derive(Clone, Debug)]
pub struct Job {
    /// The certificate.
    pub entry: Entry,
    /// Its places.
    pub destinations: Vec<Destination>,
}

/// A place that can be written to, as it is now.
#[derive(Debug)]
pub struct Site {
    /// The place.
    pub destination: Destination,
    /// Whose its files are.
    pub ownership: Ownership,
    /// The key that is there, if there is one.
    pub key: Option<PrivateKey>,
}

/// Why a run of renewals ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum RenewError {
    /// The authority cannot be worked on.
    Session(SessionError),
    /// A batch as a whole was not put in place.
    Batch(BatchError),
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(error) => error.fmt(f),
            Self::Batch(error) => error.fmt(f),
        }
    }
}

impl Error for RenewError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Session(error) => error.source(),
            Self::Batch(error) => error.source(),
        }
    }
}

impl From<SessionError> for RenewError {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<InventoryError> for RenewError {
    fn from(error: InventoryError) -> Self {
        Self::Session(error.into())
    }
}

impl From<BatchError> for RenewError {
    fn from(error: BatchError) -> Self {
        Self::Batch(error)
    }
}

/// Renews every certificate of a selection in the directories and contexts of this machine, `batch` at a time; others may work
/// on the authority between two batches. What becomes of each is handed out as it happens, so that memory stays flat.
///
/// # Errors
/// When the authority, its inventory or the disk as a whole refuses. Trouble with one certificate or place is part of its
/// outcome.
pub fn renew(
    opened: &OpenAuthority,
    selection: Selection,
    options: RenewOptions,
    batch: usize,
    around: &Surroundings,
    events: &mut dyn Events,
    each: &mut dyn FnMut(Outcome<Entry>),
) -> Result<(), RenewError> {
    let mut session = AuthoritySession::open_to_sign(opened, around, events)?;
    each_batch(
        opened,
        &mut session,
        selection,
        batch,
        around,
        |_| true,
        |session, jobs| {
            renew_jobs(&opened.authority, session, jobs, options, around)?.into_iter().for_each(&mut *each);
            Ok(())
        },
    )
}

/// Every certificate of a selection that `keep` keeps and that is there when this begins, with its places, a batch at a time.
///
/// # Errors
/// When the inventory cannot be read, or `each` fails.
pub fn each_batch<E: From<SessionError>>(
    opened: &OpenAuthority,
    session: &mut AuthoritySession,
    selection: Selection,
    batch: usize,
    around: &Surroundings,
    keep: impl Fn(&Entry) -> bool,
    mut each: impl FnMut(&mut AuthoritySession, Vec<Job>) -> Result<(), E>,
) -> Result<(), E> {
    let failure = |error: InventoryError| E::from(error.into());
    // What could not be renewed stays selected, so pages go on after it; what was renewed is gone from them.
    let mut after = Some(Cursor::START);
    let newest = session.inventory.newest().map_err(failure)?;
    let limit = u32::try_from(batch).unwrap_or(u32::MAX);
    while let Some(cursor) = after {
        let (mut entries, next) = session.inventory.page(selection, cursor, limit).map_err(failure)?;
        // Not what this very run made: with all of them, that is selected too.
        entries.retain(|entry| keep(entry) && newest.is_some_and(|newest| entry.id <= newest));
        let jobs = jobs(&session.inventory, entries).map_err(failure)?;
        if !jobs.is_empty() {
            each(session, jobs)?;
        }
        after = next;
        if after.is_some() {
            session.give_way(opened, around)?;
        }
    }
    Ok(())
}

/// Certificates and where they are.
///
/// # Errors
/// When the inventory cannot be read.
pub fn jobs(inventory: &Inventory, entries: Vec<Entry>) -> Result<Vec<Job>, InventoryError> {
    let job = |entry: Entry| Ok(Job { destinations: inventory.destinations_of(entry.id)?, entry });
    entries.into_iter().map(job).collect()
}

/// Those that are still in use: another run may have renewed them meanwhile.
///
/// # Errors
/// When the inventory cannot be read.
pub fn still_in_use(inventory: &Inventory, entries: Vec<Entry>) -> Result<Vec<Entry>, InventoryError> {
    let mut in_use = Vec::new();
    for entry in entries {
        in_use.extend(inventory.entry(entry.id)?.filter(|now| now.state == State::Issued));
    }
    Ok(in_use)
}

/// A job of which every place was looked at.
struct Looked {
    entry: Entry,
    sites: Vec<Site>,
    permitted: Option<(Permitted, KeyHolder)>,
    troubles: Vec<Trouble>,
}

/// Renews certificates in one batch, and returns what became of each, in order.
///
/// # Errors
/// When the inventory or the disk as a whole refuses. Trouble with one certificate or place is part of its outcome.
pub fn renew_jobs(
    authority: &Authority,
    session: &mut AuthoritySession,
    jobs: Vec<Job>,
    options: RenewOptions,
    around: &Surroundings,
) -> Result<Vec<Outcome<Entry>>, RenewError> {
    let places = session.places();
    let looked = in_parallel(jobs, |job| look(authority, job, options, places, around));
    let wanted: Vec<_> = looked
        .iter()
        .filter_map(|looked| looked.permitted.as_ref().map(|(permitted, _)| (permitted, Some(looked.entry.id))))
        .collect();
    let mut ids = session.reserve_all(&wanted)?.into_iter();
    let numbered: Vec<(Looked, Option<CertificateId>)> = looked
        .into_iter()
        .map(|looked| {
            let id = if looked.permitted.is_some() { ids.next() } else { None };
            (looked, id)
        })
        .collect();
    let prepared = in_parallel(numbered, |(looked, id)| prepare(authority, looked, id, around));
    let mut outcomes = record_and_swap(session, prepared, options.command_follows)?;
    outcomes.iter_mut().for_each(note_changes);
    Ok(outcomes)
}

/// Adds to an outcome's notes what the new certificate has no longer.
pub fn note_changes<Reason>(outcome: &mut Outcome<Entry, Reason>) {
    let Outcome { subject, issued, .. } = outcome;
    if let Some(issued) = issued {
        issued.notes.extend(changes_on_renewal(&subject.certificate, subject.role));
    }
}

/// Looks at every place of a job, and whether the authority may sign for it.
fn look(authority: &Authority, job: Job, options: RenewOptions, places: PlacesOf, around: &Surroundings) -> Looked {
    let mut sites = Vec::new();
    let mut troubles = Vec::new();
    for destination in job.destinations {
        match visit(&destination, &job.entry, places, around) {
            Ok(site) => sites.push(site),
            Err(reason) => troubles.push(Trouble { place: Some(destination.place), reason }),
        }
    }
    let mut looked = Looked { entry: job.entry, sites, permitted: None, troubles };
    if looked.sites.is_empty() {
        if looked.troubles.is_empty() {
            looked.troubles.push(Trouble { place: None, reason: LeftAlone::HandedOut });
        }
        return looked;
    }
    match ask(authority, &looked, options, around) {
        Ok(permitted) => looked.permitted = Some(permitted),
        Err(reason) => looked.troubles.push(Trouble { place: None, reason }),
    }
    looked
}

/// What there is at a place, if it is still what was delivered there.
///
/// # Errors
/// When it is not, is on another machine, or is none of those that the inventory may name.
pub fn visit(
    destination: &Destination,
    entry: &Entry,
    places: PlacesOf,
    around: &Surroundings,
) -> Result<Site, LeftAlone> {
    let path = &destination.place.path;
    if !around.has(&destination.place) {
        return Err(LeftAlone::OnAnotherMachine { machine_name: destination.place.machine_name.clone() });
    }
    // A run that was killed may have moved it away.
    if path.symlink_metadata().is_err() && places.include_place(&destination.place) {
        remove_stale(path).map_err(|source| LeftAlone::Stale { path: path.clone(), source })?;
    }
    let metadata = path.symlink_metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => LeftAlone::Gone,
        _ => LeftAlone::Unseen(error),
    })?;
    if !metadata.is_dir() {
        return Err(LeftAlone::NotADirectory);
    }
    let names = destination.layout.names(entry.role);
    let sight = Sight::of(path).map_err(LeftAlone::Unreadable)?;
    if let PlacesOf::User(user) = places
        && !places.include(&sight)
    {
        return Err(LeftAlone::NotTheirs { user });
    }
    let file = sight.read(names.chain).map_err(LeftAlone::ChainUnreadable)?;
    // As it was written, nearly always: then there is nothing to parse.
    if !file.bytes.starts_with(entry.certificate.to_pem().as_bytes()) {
        let chain = read_certificates(&file.bytes, &path.join(names.chain)).map_err(LeftAlone::Certificates)?;
        if chain.first() != Some(&entry.certificate) {
            return Err(LeftAlone::HoldsAnother { leaf: chain.into_iter().next().map(Box::new) });
        }
    }
    let key = match bundle_directory::key_in(&sight, path, names.key) {
        Ok(Some(stored)) if !stored.is_of(&entry.certificate.public_key) => return Err(LeftAlone::KeyOfAnother),
        Ok(Some(stored)) => Some(stored.key),
        // Without it the bundle is of no use to anybody, and a new certificate alone would not change that.
        Ok(None) if entry.key_holder == KeyHolder::Here => return Err(LeftAlone::KeyGone { name: names.key }),
        Ok(None) => None,
        Err(error) => return Err(error.into()),
    };
    let ownership = sight.ownership(names.key).map_err(LeftAlone::Unreadable)?;
    Ok(Site { destination: destination.clone(), ownership, key })
}

impl From<bundle_directory::BundleError> for LeftAlone {
    /// What is wrong with the key of a directory.
    fn from(error: bundle_directory::BundleError) -> Self {
        use bundle_directory::BundleError;
        match error {
            BundleError::Read(error) => Self::KeyUnreadable(error),
            BundleError::Key { path, source } => Self::Key { path, source },
            BundleError::Certificates(error) => Self::Certificates(error),
            BundleError::NotRenewable(error) => Self::NotRenewable(error),
        }
    }
}

fn ask(
    authority: &Authority,
    looked: &Looked,
    options: RenewOptions,
    around: &Surroundings,
) -> Result<(Permitted, KeyHolder), LeftAlone> {
    let entry = &looked.entry;
    let endpoint = bundle_directory::endpoint(&entry.certificate, entry.role).map_err(LeftAlone::NotRenewable)?;
    let kept_key = || looked.sites.iter().find_map(|site| site.key.as_ref());
    let (key, holder) = match (kept_key(), options.key) {
        (None, _) => (SubjectKey::Elsewhere(entry.certificate.public_key.clone()), KeyHolder::Elsewhere),
        (Some(_), KeyChoice::New) => {
            let kind = KeyAlgorithm::like(entry.certificate.public_key.algorithm()).unwrap_or(KeyAlgorithm::P256);
            let key = new_key(kind, &around.random).map_err(LeftAlone::NotIssued)?;
            (SubjectKey::Here(Box::new(key)), KeyHolder::Here)
        }
        (Some(key), KeyChoice::Same) => {
            let same = PrivateKey::from_pkcs8_der(key.secret_pkcs8_der())
                .map_err(|error| LeftAlone::NotIssued(IssueError::KeptKey(error)))?;
            (SubjectKey::Here(Box::new(same)), KeyHolder::Here)
        }
    };
    let issue = issue_options(entry, options.lifetime);
    let permitted = permit(authority, &endpoint, key, issue, around).map_err(LeftAlone::NotIssued)?;
    Ok((permitted, holder))
}

/// As long a life as the old certificate was given, unless its authority's end cut it short.
pub fn issue_options(entry: &Entry, lifetime: Option<Lifetime>) -> IssueOptions {
    let old = entry.certificate.validity.lifetime();
    let longest = Profile::LONGEST_FOR_EVERY_PLATFORM;
    let allow_long_lifetime = entry.role == Role::Daemon && old.is_some_and(|old| old > longest);
    IssueOptions { lifetime: lifetime.or(old), allow_long_lifetime }
}

/// Signs, judges and stages.
fn prepare(
    authority: &Authority,
    looked: Looked,
    id: Option<CertificateId>,
    around: &Surroundings,
) -> Result<Prepared<Entry>, Box<Outcome<Entry>>> {
    let Looked { entry, sites, permitted, mut troubles } = looked;
    let (Some((permitted, key_holder)), Some(id)) = (permitted, id) else {
        return Err(Box::new(Outcome::nothing(entry, troubles)));
    };
    let signed = match permitted.sign(authority, around) {
        Ok(signed) => signed,
        Err(error) => {
            troubles.push(Trouble { place: None, reason: LeftAlone::NotIssued(error) });
            return Err(Box::new(Outcome::nothing(entry, troubles)));
        }
    };
    let mut staged = Vec::new();
    for Site { destination, ownership, .. } in sites {
        let Destination { id, place, layout, .. } = destination;
        let plan = fitted(plan(&signed.bundle, entry.role, layout, ownership), &place);
        match stage_for_batch(&plan, &place.path, Existing::Replace, Displaced::Keep) {
            Ok(bundle) => staged.push(StagedAt { place, layout, ownership, destination: Some(id), bundle }),
            Err(error) => troubles.push(Trouble { place: Some(place), reason: LeftAlone::InTheWay(error) }),
        }
    }
    if staged.is_empty() {
        return Err(Box::new(Outcome::nothing(entry, troubles)));
    }
    let SignedBundle { certificate, notes, .. } = signed;
    Ok(Prepared { id, subject: entry, certificate, key_holder, staged, notes, troubles })
}
