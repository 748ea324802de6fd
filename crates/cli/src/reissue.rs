//! New certificates in the place of old ones, at every place where those are: looked at, signed, judged, staged, made
//! durable together, swapped in.

use std::thread;

use dockseal_ca::Authority;
use dockseal_docker::{FilePlan, Layout, Ownership, Role, plan};
use dockseal_inventory::{
    CertificateId, Delivered, Delivery, Destination, DestinationId, Entry, InventoryError, KeyHolder, Kind, Place,
    Signed,
};
use dockseal_pki::{Certificate, KeyAlgorithm, Lifetime, PrivateKey, Signer};
use dockseal_store::{Batch, Displaced, Existing, Sight, Staged, WriteError, remove_stale, stage_for_batch};
use ring::rand::SystemRandom;

use crate::{
    authority::{read_certificates, write_failure},
    contexts::shown,
    endpoint::{Permitted, SignedBundle, SubjectKey, Wish, permit},
    failure::Failure,
    held,
    hosts::renewal,
    identity::changes_on_renewal,
    invocation::Invocation,
    ledger::{Ledger, inventory_failure},
};

/// How many certificates are made durable together at most. Larger batches wait for the disk more seldom and keep others
/// who want to work on the authority waiting for longer.
const BATCH: usize = 1024;
/// Files that are open besides one for each bundle that is staged.
const OTHER_FILES: u64 = 64;

/// How many certificates to make durable together, with as many open files as this process may have; a certificate may
/// well be in two places.
pub(crate) fn batch_size() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = 2 * BATCH as u64 + OTHER_FILES;
    let mut allowed = limit.current.unwrap_or(u64::MAX);
    if allowed < wanted {
        let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
        let limit = Rlimit { current: Some(raised), maximum: limit.maximum };
        if raised > allowed && setrlimit(Resource::Nofile, limit).is_ok() {
            allowed = raised;
        }
    }
    usize::try_from(allowed.saturating_sub(OTHER_FILES) / 2).unwrap_or(BATCH).clamp(1, BATCH)
}

/// What becomes of the private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyChoice {
    /// A new one of the same kind.
    New,
    /// The one that is there.
    Same,
}

/// How to re-issue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) key: KeyChoice,
    /// `None` for the lifetime that the old certificate had.
    pub(crate) lifetime: Option<Lifetime>,
    /// A command is to follow each delivery.
    pub(crate) command_follows: bool,
}

/// A certificate to be re-issued, and where it is.
pub(crate) struct Job {
    pub(crate) entry: Entry,
    pub(crate) destinations: Vec<Destination>,
}

/// Why one place, or the whole certificate, was left as it was.
pub(crate) struct Trouble {
    /// Which place; `None` for the certificate itself.
    pub(crate) place: Option<Place>,
    pub(crate) failure: Failure,
}

/// What became of what was to get a certificate: another certificate's entry, or an endpoint.
pub(crate) struct Outcome<Subject> {
    pub(crate) subject: Subject,
    /// The new certificate and the places that hold it now; none where nothing changed.
    pub(crate) issued: Option<InPlace>,
    pub(crate) troubles: Vec<Trouble>,
}

/// A certificate in its places.
pub(crate) struct InPlace {
    pub(crate) certificate: Certificate,
    pub(crate) places: Vec<Place>,
    pub(crate) notes: Vec<String>,
}

impl<Subject> Outcome<Subject> {
    fn nothing(subject: Subject, troubles: Vec<Trouble>) -> Self {
        Self { subject, issued: None, troubles }
    }
}

/// A place that can be written to, as it is now.
pub(crate) struct Site {
    pub(crate) destination: Destination,
    pub(crate) ownership: Ownership,
    /// The key that is there, if there is one.
    pub(crate) key: Option<PrivateKey>,
}

/// A job of which every place was looked at.
struct Looked {
    entry: Entry,
    sites: Vec<Site>,
    permitted: Option<(Permitted, KeyHolder)>,
    troubles: Vec<Trouble>,
}

/// A signed certificate whose bundles lie beside their places.
pub(crate) struct Prepared<Subject> {
    pub(crate) id: CertificateId,
    pub(crate) subject: Subject,
    pub(crate) certificate: Certificate,
    pub(crate) key_holder: KeyHolder,
    pub(crate) staged: Vec<StagedAt>,
    pub(crate) notes: Vec<String>,
    pub(crate) troubles: Vec<Trouble>,
}

/// One of its bundles.
pub(crate) struct StagedAt {
    pub(crate) place: Place,
    pub(crate) layout: Layout,
    pub(crate) ownership: Ownership,
    /// The place's number, where it is known already.
    pub(crate) destination: Option<DestinationId>,
    pub(crate) bundle: Staged,
}

impl StagedAt {
    fn delivery(&self) -> Delivery {
        Delivery { place: self.place.clone(), layout: self.layout, ownership: self.ownership }
    }
}

/// Re-issues up to [`batch_size`] certificates; what became of each, in order, comes back.
///
/// # Errors
/// When the inventory or the disk as a whole refuses. Trouble with one certificate or place is part of its outcome.
pub(crate) fn reissue(
    authority: &Authority,
    ledger: &mut Ledger,
    mut jobs: Vec<Job>,
    order: Order,
    invocation: &Invocation,
) -> Result<Vec<Outcome<Entry>>, Failure> {
    let on_hosts = renewal::take_out(&mut jobs);
    let looked = in_parallel(jobs, |job| look(authority, job, order, invocation));
    let wanted: Vec<_> = looked
        .iter()
        .filter_map(|looked| looked.permitted.as_ref().map(|(permitted, _)| (permitted, Some(looked.entry.id))))
        .collect();
    let mut ids = ledger.reserve_all(&wanted)?.into_iter();
    let numbered: Vec<(Looked, Option<CertificateId>)> = looked
        .into_iter()
        .map(|looked| {
            let id = if looked.permitted.is_some() { ids.next() } else { None };
            (looked, id)
        })
        .collect();
    let prepared = in_parallel(numbered, |(looked, id)| prepare(authority, looked, id, invocation));
    let mut outcomes = record_and_swap(ledger, prepared, order.command_follows)?;
    outcomes.extend(renewal::reissue(authority, ledger, on_hosts, order, invocation)?);
    for Outcome { subject, issued, .. } in &mut outcomes {
        let changes = || changes_on_renewal(&subject.certificate, subject.role);
        issued.iter_mut().for_each(|issued| issued.notes.extend(changes()));
    }
    Ok(outcomes)
}

/// Looks at every place of a job, and whether the authority may sign for it.
fn look(authority: &Authority, job: Job, order: Order, invocation: &Invocation) -> Looked {
    let mut sites = Vec::new();
    let mut troubles = Vec::new();
    for destination in job.destinations {
        match visit(&destination, &job.entry, invocation) {
            Ok(site) => sites.push(site),
            Err(failure) => troubles.push(Trouble { place: Some(destination.place), failure }),
        }
    }
    let mut looked = Looked { entry: job.entry, sites, permitted: None, troubles };
    if looked.sites.is_empty() {
        if looked.troubles.is_empty() {
            let failure = Failure::no("it cannot be renewed here")
                .cause("it was handed out, and is in no directory that this authority knows of")
                .hint("make a request where it is with dockseal request --renew DIR, and sign it with dockseal renew NAME --csr FILE;\nwhat is in a tar or a .p12 is made anew with dockseal renew NAME --as KIND --out FILE");
            looked.troubles.push(Trouble { place: None, failure });
        }
        return looked;
    }
    match ask(authority, &looked, order, invocation) {
        Ok(permitted) => looked.permitted = Some(permitted),
        Err(failure) => looked.troubles.push(Trouble { place: None, failure }),
    }
    looked
}

/// What there is at a place, if it is still what was delivered there.
pub(crate) fn visit(destination: &Destination, entry: &Entry, invocation: &Invocation) -> Result<Site, Failure> {
    let path = &destination.place.path;
    let no = |cause: String, hint: &str| {
        Failure::no(format!("{} was left as it is", shown(&destination.place))).cause(cause).hint(hint)
    };
    if !invocation.has(&destination.place) {
        return Err(no(
            format!("it is on the machine {}, and this is another one", destination.place.machine_name),
            "run it there, with the same authority",
        ));
    }
    // A run that was killed may have moved it away.
    if path.symlink_metadata().is_err() {
        remove_stale(path).map_err(|error| write_failure(&format!("cannot look at {}", path.display()), &error))?;
    }
    let metadata = path.symlink_metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => no("it is gone".to_owned(), gone_hint(&destination.place)),
        _ => no(error.to_string(), "check the path"),
    })?;
    if !metadata.is_dir() {
        return Err(no("it is not a directory any more".to_owned(), "see who put that there"));
    }
    let names = destination.layout.names(entry.role);
    let cert_path = path.join(names.chain);
    let sight = Sight::of(path).map_err(|error| no(error.to_string(), "check the path"))?;
    let file = sight
        .read(names.chain)
        .map_err(|error| no(error.to_string(), "see who changed it; dockseal issue … --replace makes it anew"))?;
    // As it was written, nearly always: then there is nothing to parse.
    if !file.bytes.starts_with(entry.certificate.to_pem().as_bytes())
        && let chain = read_certificates(&file.bytes, &cert_path)?
        && chain.first() != Some(&entry.certificate)
    {
        let holds = chain.first().map_or_else(String::new, |leaf| format!("{}, serial {}", leaf.subject, leaf.serial));
        return Err(no(
            format!("it was changed by hand: it holds the certificate of {holds}"),
            "if that one is right, say so with dockseal inventory record DIR",
        ));
    }
    let key_path = path.join(names.key);
    let key = match sight.read(names.key) {
        Ok(file) => {
            let key = PrivateKey::from_pem(&file.bytes, None)
                .map_err(|error| no(format!("{}: {error}", key_path.display()), "bring its key back from a copy"))?
                .0;
            if key.public_key().spki() != entry.certificate.public_key.spki() {
                return Err(no(
                    "it was changed by hand: its key does not belong to its certificate".to_owned(),
                    "bring its key back from a copy; dockseal issue … --replace makes both anew",
                ));
            }
            Some(key)
        }
        // Without it the bundle is of no use to anybody, and a new certificate alone would not change that.
        Err(error) if error.is_not_found() && entry.key_holder == KeyHolder::Here => {
            return Err(no(
                format!("its key {} is gone", names.key),
                "bring its key back from a copy; dockseal issue … --replace makes both anew",
            ));
        }
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(no(error.to_string(), "check the file")),
    };
    let ownership = sight.ownership(names.key).map_err(|error| no(error.to_string(), "check the path"))?;
    Ok(Site { destination: destination.clone(), ownership, key })
}

fn gone_hint(place: &Place) -> &'static str {
    match place.kind {
        Kind::Context => {
            "make it again with dockseal context create, or say that it is to stay away with dockseal inventory forget DIR"
        }
        Kind::Directory | Kind::Ssh => "put it back, or say that it is to stay away with dockseal inventory forget DIR",
    }
}

fn ask(
    authority: &Authority,
    looked: &Looked,
    order: Order,
    invocation: &Invocation,
) -> Result<(Permitted, KeyHolder), Failure> {
    let entry = &looked.entry;
    let endpoint = held::endpoint(&entry.certificate, entry.role)?;
    let kept_key = || looked.sites.iter().find_map(|site| site.key.as_ref());
    let (key, holder) = match (kept_key(), order.key) {
        (None, _) => (SubjectKey::Elsewhere(entry.certificate.public_key.clone()), KeyHolder::Elsewhere),
        (Some(_), KeyChoice::New) => {
            let kind = KeyAlgorithm::like(entry.certificate.public_key.algorithm()).unwrap_or(KeyAlgorithm::P256);
            let key = PrivateKey::generate(kind, &SystemRandom::new())
                .map_err(|error| Failure::trouble("cannot make a private key").cause(error))?;
            (SubjectKey::Here(Box::new(key)), KeyHolder::Here)
        }
        (Some(key), KeyChoice::Same) => {
            let same = PrivateKey::from_pkcs8_der(key.secret_pkcs8_der())
                .map_err(|error| Failure::trouble("cannot use the private key").cause(error))?;
            (SubjectKey::Here(Box::new(same)), KeyHolder::Here)
        }
    };
    let wish = wish_of(entry, order.lifetime);
    permit(authority, &endpoint, key, wish, invocation).map(|permitted| (permitted, holder))
}

/// As long a life as the old certificate was given, unless its authority's end cut it short.
pub(crate) fn wish_of(entry: &Entry, lifetime: Option<Lifetime>) -> Wish {
    let old = entry.certificate.validity.lifetime();
    let longest = dockseal_ca::Profile::LONGEST_FOR_EVERY_PLATFORM;
    let allow_long_lifetime = entry.role == Role::Daemon && old.is_some_and(|old| old > longest);
    Wish { lifetime: lifetime.or(old), allow_long_lifetime }
}

/// Signs, judges and stages.
fn prepare(
    authority: &Authority,
    looked: Looked,
    id: Option<CertificateId>,
    invocation: &Invocation,
) -> Result<Prepared<Entry>, Box<Outcome<Entry>>> {
    let Looked { entry, sites, permitted, mut troubles } = looked;
    let (Some((permitted, key_holder)), Some(id)) = (permitted, id) else {
        return Err(Box::new(Outcome::nothing(entry, troubles)));
    };
    let signed = match permitted.sign(authority, invocation) {
        Ok(signed) => signed,
        Err(failure) => {
            troubles.push(Trouble { place: None, failure });
            return Err(Box::new(Outcome::nothing(entry, troubles)));
        }
    };
    let mut staged = Vec::new();
    for Site { destination, ownership, .. } in sites {
        let Destination { id, place, layout, .. } = destination;
        let plan = fitted(plan(&signed.bundle, entry.role, layout, ownership), &place);
        match stage_for_batch(&plan, &place.path, Existing::Replace, Displaced::Keep) {
            Ok(bundle) => staged.push(StagedAt { place, layout, ownership, destination: Some(id), bundle }),
            Err(error) => troubles.push(in_the_way(place, &error)),
        }
    }
    if staged.is_empty() {
        return Err(Box::new(Outcome::nothing(entry, troubles)));
    }
    let SignedBundle { certificate, notes, .. } = signed;
    Ok(Prepared { id, subject: entry, certificate, key_holder, staged, notes, troubles })
}

/// A plan with the modes that its place is to have.
pub(crate) fn fitted(plan: FilePlan, place: &Place) -> FilePlan {
    if place.kind == Kind::Context { plan.for_context() } else { plan }
}

pub(crate) fn in_the_way(place: Place, error: &WriteError) -> Trouble {
    let what = format!("{} was left as it is", shown(&place));
    Trouble { failure: write_failure(&what, error), place: Some(place) }
}

/// A place whose bundle is staged, and its number, where it is known already.
type Waiting = (Place, Option<DestinationId>);

/// Announces what is staged, makes it durable, swaps it in, and remembers what came of it.
pub(crate) fn record_and_swap<Subject: Send>(
    ledger: &mut Ledger,
    prepared: Vec<Result<Prepared<Subject>, Box<Outcome<Subject>>>>,
    command_follows: bool,
) -> Result<Vec<Outcome<Subject>>, Failure> {
    let failure = |error| inventory_failure("cannot keep what was issued", &error);
    announce(ledger, &prepared, command_follows).map_err(failure)?;

    let mut batch = Batch::default();
    let mut outcomes: Vec<(Option<CertificateId>, Outcome<Subject>, Vec<Waiting>)> = Vec::new();
    for one in prepared {
        outcomes.push(match one {
            Err(outcome) => (None, *outcome, Vec::new()),
            Ok(one) => {
                let mut waiting = Vec::new();
                for at in one.staged {
                    batch.push(at.bundle);
                    waiting.push((at.place, at.destination));
                }
                let issued = InPlace { certificate: one.certificate, places: Vec::new(), notes: one.notes };
                let outcome = Outcome { subject: one.subject, issued: Some(issued), troubles: one.troubles };
                (Some(one.id), outcome, waiting)
            }
        });
    }
    let ids: Vec<CertificateId> = outcomes.iter().filter_map(|(id, ..)| *id).collect();
    let mut swapped = match batch.put_in_place() {
        Ok(swapped) => swapped.into_iter(),
        Err(error) => {
            ledger.recorder().taken_back(&ids).map_err(failure)?;
            return Err(write_failure("cannot put the new bundles in place", &error));
        }
    };

    let (mut delivered, mut taken_back, mut missed): (Vec<Delivered>, Vec<CertificateId>, Vec<DestinationId>) =
        Default::default();
    for (id, outcome, waiting) in &mut outcomes {
        let (Some(id), Some(issued)) = (*id, outcome.issued.as_mut()) else { continue };
        let mut left = Vec::new();
        let mut keeps_previous = true;
        for (place, destination) in waiting.drain(..) {
            match swapped.next() {
                Some(Err(error)) => {
                    left.extend(destination);
                    outcome.troubles.push(in_the_way(place, &error));
                }
                Some(Ok(placed)) => {
                    keeps_previous &= placed.keeps_previous;
                    if let Err(error) = placed.check() {
                        let failure = write_failure(&format!("{} may not be safe", shown(&place)), &error);
                        outcome.troubles.push(Trouble { place: Some(place.clone()), failure });
                    }
                    issued.places.push(place);
                }
                None => left.extend(destination),
            }
        }
        if issued.places.is_empty() {
            taken_back.push(id);
            outcome.issued = None;
        } else {
            missed.extend(left);
            delivered.push(Delivered { id, keeps_previous, command_due: command_follows });
        }
    }
    if !taken_back.is_empty() {
        ledger.recorder().taken_back(&taken_back).map_err(failure)?;
    }
    if !missed.is_empty() {
        ledger.recorder().missed(&missed).map_err(failure)?;
    }
    if !delivered.is_empty() {
        ledger.recorder().delivered(&delivered).map_err(failure)?;
    }
    Ok(outcomes.into_iter().map(|(_, outcome, _)| outcome).collect())
}

fn announce<Subject>(
    ledger: &mut Ledger,
    prepared: &[Result<Prepared<Subject>, Box<Outcome<Subject>>>],
    command_follows: bool,
) -> Result<(), InventoryError> {
    let places: Vec<Vec<_>> =
        prepared.iter().flatten().map(|one| one.staged.iter().map(StagedAt::delivery).collect()).collect();
    let signed: Vec<Signed<'_>> = prepared
        .iter()
        .flatten()
        .zip(&places)
        .map(|(one, places)| {
            let Prepared { id, certificate, key_holder, .. } = one;
            Signed { id: *id, certificate, key_holder: *key_holder, places, command_follows }
        })
        .collect();
    if signed.is_empty() { Ok(()) } else { ledger.recorder().signed(&signed) }
}

/// Does the same with each, on every core; the results keep their order.
pub(crate) fn in_parallel<T: Send, R: Send>(items: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    // A thread costs more than a few certificates.
    if cores == 1 || items.len() < 8 {
        return items.into_iter().map(each).collect();
    }
    let share = items.len().div_ceil(cores);
    let mut items = items.into_iter();
    let shares: Vec<Vec<T>> =
        std::iter::from_fn(|| Some(items.by_ref().take(share).collect()).filter(|share: &Vec<T>| !share.is_empty()))
            .collect();
    thread::scope(|scope| {
        let each = &each;
        let threads: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || share.into_iter().map(each).collect::<Vec<R>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}
