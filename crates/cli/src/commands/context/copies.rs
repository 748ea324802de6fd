//! Copies of certificates on this machine, in contexts and directories: whose they are, and whether newer ones took their
//! place.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    rc::Rc,
};

use dockseal_docker::{Role, layout};
use dockseal_inventory::{CertificateId, Destination, Entry, Inventory, InventoryError, Kind, Place, State};
use dockseal_pki::Certificate;

use crate::{
    authority::read_certificates, contexts::Stored, failure::Failure, hints::inventory_failure, invocation::Invocation,
    ledger::open_to_read, reissue::visit,
};

/// How many places are read at once.
const PAGE: u32 = 256;

/// A copy, as it is.
pub(super) struct Copy {
    pub(super) place: Place,
    /// What is there, if it can be read.
    pub(super) leaf: Option<Certificate>,
    /// What the inventory knows of it.
    pub(super) entry: Option<Entry>,
    /// Whether renewals go there.
    pub(super) recorded: Recorded,
    pub(super) standing: Standing,
    /// What is to take its place.
    pub(super) newer: Option<Newer>,
}

/// What the inventory has for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    Not,
    AsItIs,
    /// Another certificate than the one that is there, so that no renewal goes there.
    AsAnother,
}

/// How a copy stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Current,
    /// A newer one is known.
    Stale,
    /// It counts no longer, and no newer one is known.
    Superseded,
    Revoked,
    Expired,
    /// The authority here did not issue it, or there is none.
    UnknownIssuer,
    /// There is none: plain TCP, ssh or a socket.
    NoCertificate,
    Unreadable(String),
}

impl Standing {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Superseded => "superseded",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::UnknownIssuer => "unknown issuer",
            Self::NoCertificate => "no certificate",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// A certificate that takes the place of another, and where its files are on this machine.
pub(super) struct Newer {
    pub(super) certificate: Certificate,
    /// Its number in the inventory; `None` for the directory from which a copy was made.
    pub(super) id: Option<CertificateId>,
    /// A directory with its key; `None` where it is somewhere else alone.
    pub(super) directory: Option<PathBuf>,
}

/// Who looks at copies, and what is known here.
pub(super) struct Looker<'l> {
    inventory: Option<&'l Inventory>,
    /// The certificates of a name, the oldest first: many contexts may be one user's.
    known: RefCell<BTreeMap<String, Rc<Vec<Entry>>>>,
    invocation: &'l Invocation,
    what: &'l str,
}

/// The inventory of the authority that is on this machine, if one is.
pub(super) fn inventory_here(invocation: &Invocation) -> Result<Option<Inventory>, Failure> {
    let home = invocation.home().ok().filter(|home| home.inventory_path().exists());
    Ok(home.map(|home| open_to_read(&home)).transpose()?)
}

impl<'l> Looker<'l> {
    pub(super) fn new(inventory: Option<&'l Inventory>, invocation: &'l Invocation, what: &'l str) -> Self {
        Self { inventory, known: RefCell::default(), invocation, what }
    }

    fn failed(&self) -> impl Fn(InventoryError) -> Failure {
        |error| inventory_failure(self.what, &error)
    }

    /// A context's copy.
    pub(super) fn context(&self, stored: &Stored) -> Result<Copy, Failure> {
        let place = Place { kind: Kind::Context, ..self.invocation.place(&stored.files.tls)? };
        let source = dockseal_store::read(&stored.files.source()).ok();
        let source = source.map(|file| PathBuf::from(std::ffi::OsStr::from_bytes(&file.bytes)));
        self.look(&place, source.as_deref())
    }

    /// The recorded directories of this machine whose copies are stale.
    pub(super) fn stale_directories(&self) -> Result<Vec<Copy>, Failure> {
        let Some(inventory) = self.inventory else { return Ok(Vec::new()) };
        let (mut stale, mut after) = (Vec::new(), None);
        loop {
            let page = inventory.destinations(after, PAGE).map_err(self.failed())?;
            let Some(last) = page.last() else { return Ok(stale) };
            after = Some(last.id);
            for destination in page {
                // Trees of other layouts are written anew by renewals alone.
                let is_directory = destination.place.kind == Kind::Directory
                    && destination.layout == dockseal_docker::Layout::Docker
                    && self.invocation.has(&destination.place)
                    && self.invocation.places().include_place(&destination.place);
                if is_directory && destination.place.path.is_dir() {
                    let copy = self.look(&destination.place, None)?;
                    stale.extend(Some(copy).filter(|copy| copy.standing == Standing::Stale));
                }
            }
        }
    }

    fn look(&self, place: &Place, source: Option<&Path>) -> Result<Copy, Failure> {
        let destination = match self.inventory {
            Some(inventory) => inventory.destination_at(place).map_err(self.failed())?,
            None => None,
        };
        let recorded = destination.and_then(|destination| destination.certificate);
        let copy = |leaf: Option<Certificate>, entry: Option<Entry>, standing, newer| {
            let recorded = match recorded {
                None => Recorded::Not,
                // What cannot be read is not another one.
                Some(id) if leaf.is_none() || entry.as_ref().is_some_and(|entry| entry.id == id) => Recorded::AsItIs,
                Some(_) => Recorded::AsAnother,
            };
            Copy { place: place.clone(), leaf, entry, recorded, standing, newer }
        };
        let leaf = match leaf_of(&place.path) {
            Ok(Some(leaf)) => leaf,
            Ok(None) => return Ok(copy(None, None, Standing::NoCertificate, None)),
            Err(cause) => return Ok(copy(None, None, Standing::Unreadable(cause), None)),
        };
        let entry = match self.inventory {
            Some(inventory) => inventory.entry_of(leaf.fingerprint()).map_err(self.failed())?,
            None => None,
        };
        let newer = match &entry {
            Some(entry) => self.newer(entry)?,
            None => source.and_then(|source| newer_in(source, &leaf)),
        };
        let is_expired = leaf.validity.not_after < self.invocation.now;
        let standing = match (&newer, entry.as_ref().map(|entry| &entry.state)) {
            (_, Some(State::Revoked(_))) => Standing::Revoked,
            (Some(_), _) => Standing::Stale,
            (None, _) if is_expired => Standing::Expired,
            (None, Some(State::Superseded)) => Standing::Superseded,
            (None, Some(State::Issued | State::Reserved)) => Standing::Current,
            (None, None) if self.is_ours(&leaf)? => Standing::Current,
            (None, None) => Standing::UnknownIssuer,
        };
        Ok(copy(Some(leaf), entry, standing, newer))
    }

    fn is_ours(&self, leaf: &Certificate) -> Result<bool, Failure> {
        let Some(inventory) = self.inventory else { return Ok(false) };
        let generations = inventory.generations().map_err(self.failed())?;
        Ok(generations.iter().any(|generation| leaf.is_signed_by(&generation.certificate)))
    }

    fn known_as(&self, inventory: &Inventory, named: String) -> Result<Rc<Vec<Entry>>, Failure> {
        if let Some(known) = self.known.borrow().get(&named) {
            return Ok(Rc::clone(known));
        }
        let known = Rc::new(inventory.known_as(&named, None).map_err(self.failed())?);
        self.known.borrow_mut().insert(named, Rc::clone(&known));
        Ok(known)
    }

    /// The certificate that counts in the place of another: made from it, of its key, or, where that one counts no longer,
    /// another of its name. Two that were issued side by side for one name leave each other alone.
    fn newer(&self, entry: &Entry) -> Result<Option<Newer>, Failure> {
        let Some(inventory) = self.inventory else { return Ok(None) };
        let named = format!("{}/{}", entry.role.word(), entry.name);
        let known = self.known_as(inventory, named)?;
        // Each is younger than what it takes the place of.
        let mut line = BTreeSet::from([entry.id]);
        for other in known.iter() {
            if other.predecessor.is_some_and(|id| id < other.id && line.contains(&id)) {
                line.insert(other.id);
            }
        }
        let rank = |other: &Entry| {
            let counts = other.state == State::Issued && other.certificate.validity.not_after >= self.invocation.now;
            let has_its_key = other.certificate.public_key.spki() == entry.certificate.public_key.spki();
            match () {
                () if !counts || other.id == entry.id || other.name != entry.name => None,
                () if other.id > entry.id && (line.contains(&other.id) || has_its_key) => Some(1),
                () if entry.state == State::Superseded => Some(0),
                () => None,
            }
        };
        let best = known
            .iter()
            .filter_map(|other| Some((rank(other)?, other.id, other)))
            .max_by_key(|(rank, id, _)| (*rank, *id));
        let Some((_, _, best)) = best else { return Ok(None) };
        let places = inventory.destinations_of(best.id).map_err(self.failed())?;
        let has_files = |place: &&Destination| visit(place, best, self.invocation).is_ok_and(|site| site.key.is_some());
        let directory = places.iter().find(has_files).map(|destination| destination.place.path.clone());
        Ok(Some(Newer { certificate: best.certificate.clone(), id: Some(best.id), directory }))
    }
}

/// The certificate in a directory; `None` where there is none.
fn leaf_of(directory: &Path) -> Result<Option<Certificate>, String> {
    let path = directory.join(layout::CERT_FILE);
    let file = match dockseal_store::read(&path) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other.map_err(|error| error.to_string())?,
    };
    let chain = read_certificates(&file.bytes, &path).map_err(|error| error.source.to_string())?;
    Ok(chain.into_iter().next())
}

/// What the directory that a copy was made of holds now, if that is newer and the same person's.
fn newer_in(source: &Path, leaf: &Certificate) -> Option<Newer> {
    let there = leaf_of(source).ok().flatten()?;
    let (begin, other) = (leaf.validity.not_before, there.validity.not_before);
    let is_newer = there != *leaf && (other, there.validity.not_after) > (begin, leaf.validity.not_after);
    let is_theirs = there.subject.common_name() == leaf.subject.common_name();
    (is_newer && is_theirs).then(|| Newer { certificate: there, id: None, directory: Some(source.to_owned()) })
}

impl Copy {
    /// Whose it is.
    pub(super) fn who(&self) -> Option<String> {
        let leaf = self.leaf.as_ref()?;
        let name = self.entry.as_ref().map(|entry| entry.name.clone());
        name.or_else(|| leaf.subject.common_name()).or_else(|| Some(leaf.subject.to_string()))
    }

    /// What it is for, as far as that is known.
    pub(super) fn role(&self) -> Option<Role> {
        self.entry.as_ref().map(|entry| entry.role).or_else(|| {
            let (role, _) = dockseal_lifecycle::identity::role_and_name(self.leaf.as_ref()?)?;
            Some(role)
        })
    }

    /// Renewals would go there if it were recorded.
    pub(super) fn can_be_recorded(&self) -> bool {
        self.recorded != Recorded::AsItIs && self.entry.as_ref().is_some_and(|entry| entry.state == State::Issued)
    }

    /// The inventory has the place as a destination, and a certificate that it does not know is there now.
    pub(super) fn is_foreign(&self) -> bool {
        self.recorded == Recorded::AsAnother && self.entry.is_none()
    }
}
