//! Many bundles into their places: staged, made durable together, swapped in, recorded.

use std::{error::Error, fmt, io, path::PathBuf};

use dockseal_docker::{FilePlan, Layout, Ownership};
use dockseal_inventory::{
    CertificateId, Delivered, Delivery, DestinationId, InventoryError, KeyHolder, Kind, Place, Signed,
};
use dockseal_pki::{Certificate, KeyError};
use dockseal_store::{Batch, ReadError, Staged, WriteError};

use crate::{
    bundle_directory::NotRenewable, certificates::CertificateFileError, permit::IssueError, session::AuthoritySession,
};

/// Why one place, or the whole certificate, was left as it was.
#[derive(Debug)]
pub struct Trouble<Reason = LeftAlone> {
    /// Which place; `None` for the certificate itself.
    pub place: Option<Place>,
    /// Why.
    pub reason: Reason,
}

/// The reasons.
#[derive(Debug)]
#[non_exhaustive]
pub enum LeftAlone {
    /// The place is on another machine.
    OnAnotherMachine {
        /// What people call that machine.
        machine_name: String,
    },
    /// It is another user's authority, and the place is not that user's: see [`PlacesOf`](crate::PlacesOf).
    NotTheirs {
        /// The number of the user whose authority it is.
        user: u32,
    },
    /// What a killed run left beside it cannot be taken away.
    Stale {
        /// The place.
        path: PathBuf,
        /// Why.
        source: WriteError,
    },
    /// The directory is gone.
    Gone,
    /// The directory cannot be looked at.
    Unseen(io::Error),
    /// It is no directory any more.
    NotADirectory,
    /// The directory cannot be opened.
    Unreadable(ReadError),
    /// Its file of certificates cannot be read.
    ChainUnreadable(ReadError),
    /// Its file of certificates is damaged.
    Certificates(CertificateFileError),
    /// It holds another certificate.
    HoldsAnother {
        /// That certificate, if there is one.
        leaf: Option<Box<Certificate>>,
    },
    /// Its key cannot be used.
    Key {
        /// The key's file.
        path: PathBuf,
        /// Why.
        source: KeyError,
    },
    /// Its key belongs to another certificate.
    KeyOfAnother,
    /// Its key is gone.
    KeyGone {
        /// The key's file.
        name: &'static str,
    },
    /// Its key cannot be read.
    KeyUnreadable(ReadError),
    /// The certificate is in no place that is known.
    HandedOut,
    /// There can be no other certificate for its endpoint.
    NotRenewable(NotRenewable),
    /// No certificate was issued.
    NotIssued(IssueError),
    /// The bundle cannot be put there.
    InTheWay(WriteError),
    /// The new bundle is there, and something failed afterwards.
    Unsafe(WriteError),
}

impl fmt::Display for LeftAlone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnAnotherMachine { machine_name } => {
                write!(f, "it is on the machine {machine_name}, and this is another one")
            }
            Self::NotTheirs { user } => {
                write!(f, "the authority belongs to user {user}, whose inventory names it, and it is not that user's")
            }
            Self::Stale { source, .. } | Self::InTheWay(source) | Self::Unsafe(source) => source.fmt(f),
            Self::Gone => f.write_str("it is gone"),
            Self::Unseen(error) => error.fmt(f),
            Self::NotADirectory => f.write_str("it is not a directory any more"),
            Self::Unreadable(error) | Self::ChainUnreadable(error) | Self::KeyUnreadable(error) => error.fmt(f),
            Self::Certificates(error) => error.fmt(f),
            Self::HoldsAnother { leaf } => {
                let holds =
                    leaf.as_ref().map_or_else(String::new, |leaf| format!("{}, serial {}", leaf.subject, leaf.serial));
                write!(f, "it was changed by hand: it holds the certificate of {holds}")
            }
            Self::Key { path, source } => write!(f, "{}: {source}", path.display()),
            Self::KeyOfAnother => f.write_str("it was changed by hand: its key does not belong to its certificate"),
            Self::KeyGone { name } => write!(f, "its key {name} is gone"),
            Self::HandedOut => f.write_str("it was handed out, and is in no directory that this authority knows of"),
            Self::NotRenewable(error) => error.fmt(f),
            Self::NotIssued(error) => error.fmt(f),
        }
    }
}

impl Error for LeftAlone {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Stale { source, .. } | Self::InTheWay(source) | Self::Unsafe(source) => source.source(),
            Self::Unreadable(error) | Self::ChainUnreadable(error) | Self::KeyUnreadable(error) => error.source(),
            Self::Certificates(error) => error.source(),
            Self::Key { source, .. } => Some(source),
            Self::NotRenewable(error) => error.source(),
            Self::NotIssued(error) => error.source(),
            Self::OnAnotherMachine { .. }
            | Self::NotTheirs { .. }
            | Self::Gone
            | Self::Unseen(_)
            | Self::NotADirectory
            | Self::HoldsAnother { .. }
            | Self::KeyOfAnother
            | Self::KeyGone { .. }
            | Self::HandedOut => None,
        }
    }
}

/// What became of what was to get a certificate: another certificate's entry, or an endpoint.
#[derive(Debug)]
pub struct Outcome<Subject, Reason = LeftAlone> {
    /// What was to get one.
    pub subject: Subject,
    /// The new certificate and the places that hold it now; none where nothing changed.
    pub issued: Option<InPlace>,
    /// What was left as it was.
    pub troubles: Vec<Trouble<Reason>>,
}

/// A certificate in its places.
#[derive(Debug)]
pub struct InPlace {
    /// The certificate.
    pub certificate: Certificate,
    /// The places that hold it.
    pub places: Vec<Place>,
    /// What the profile and the judge advise, and what changed.
    pub notes: Vec<String>,
}

impl<Subject, Reason> Outcome<Subject, Reason> {
    /// Nothing changed.
    pub fn nothing(subject: Subject, troubles: Vec<Trouble<Reason>>) -> Self {
        Self { subject, issued: None, troubles }
    }

    /// The same with other reasons.
    pub fn map_reasons<Other>(self, mut map: impl FnMut(Option<&Place>, Reason) -> Other) -> Outcome<Subject, Other> {
        let mut map = |Trouble { place, reason }| Trouble { reason: map(place.as_ref(), reason), place };
        let troubles = self.troubles.into_iter().map(&mut map).collect();
        Outcome { subject: self.subject, issued: self.issued, troubles }
    }
}

/// A signed certificate whose bundles lie beside their places.
pub struct Prepared<Subject> {
    /// Its number in the inventory.
    pub id: CertificateId,
    /// What gets it.
    pub subject: Subject,
    /// The certificate.
    pub certificate: Certificate,
    /// Where its key is.
    pub key_holder: KeyHolder,
    /// Its bundles.
    pub staged: Vec<StagedAt>,
    /// What the profile and the judge advise.
    pub notes: Vec<String>,
    /// The places that were left as they were.
    pub troubles: Vec<Trouble>,
}

/// One of its bundles.
pub struct StagedAt {
    /// Where it is to be.
    pub place: Place,
    /// What its files are called.
    pub layout: Layout,
    /// Whose they are.
    pub ownership: Ownership,
    /// The place's number, where it is known already.
    pub destination: Option<DestinationId>,
    /// The files, staged beside the place.
    pub bundle: Staged,
}

impl StagedAt {
    fn delivery(&self) -> Delivery {
        Delivery { place: self.place.clone(), layout: self.layout, ownership: self.ownership }
    }
}

/// Why a batch of bundles as a whole was not put in place.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchError {
    /// The inventory cannot be written.
    Inventory(InventoryError),
    /// The disk refuses; nothing was put in place.
    Disk(WriteError),
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inventory(_) => "cannot keep what was issued",
            Self::Disk(_) => "cannot put the new bundles in place",
        })
    }
}

impl Error for BatchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Inventory(error) => Some(error),
            Self::Disk(error) => Some(error),
        }
    }
}

impl From<InventoryError> for BatchError {
    fn from(error: InventoryError) -> Self {
        Self::Inventory(error)
    }
}

/// A plan with the modes that its place is to have.
pub fn fitted(plan: FilePlan, place: &Place) -> FilePlan {
    if place.kind == Kind::Context { plan.for_context() } else { plan }
}

/// A place whose bundle is staged, and its number, where it is known already.
type Waiting = (Place, Option<DestinationId>);

/// Announces what is staged, makes it durable, swaps it in, and records what came of it. `command_follows`: a command is to
/// follow each delivery, and is remembered until it has run.
///
/// # Errors
/// When the inventory or the disk as a whole refuses. Trouble with one place is part of its outcome.
pub fn record_and_swap<Subject: Send>(
    session: &mut AuthoritySession,
    prepared: Vec<Result<Prepared<Subject>, Box<Outcome<Subject>>>>,
    command_follows: bool,
) -> Result<Vec<Outcome<Subject>>, BatchError> {
    announce(session, &prepared, command_follows)?;

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
            session.recorder().taken_back(&ids)?;
            return Err(BatchError::Disk(error));
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
                    outcome.troubles.push(Trouble { place: Some(place), reason: LeftAlone::InTheWay(error) });
                }
                Some(Ok(placed)) => {
                    keeps_previous &= placed.keeps_previous;
                    if let Err(error) = placed.check() {
                        let reason = LeftAlone::Unsafe(error);
                        outcome.troubles.push(Trouble { place: Some(place.clone()), reason });
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
        session.recorder().taken_back(&taken_back)?;
    }
    if !missed.is_empty() {
        session.recorder().missed(&missed)?;
    }
    if !delivered.is_empty() {
        session.recorder().delivered(&delivered)?;
    }
    Ok(outcomes.into_iter().map(|(_, outcome, _)| outcome).collect())
}

fn announce<Subject>(
    session: &mut AuthoritySession,
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
    if signed.is_empty() { Ok(()) } else { session.recorder().signed(&signed) }
}
