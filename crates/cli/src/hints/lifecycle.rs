//! The same for the use-cases.

use std::error::Error;

use dockseal_inventory::{InventoryError, Kind, Place};
use dockseal_lifecycle::{
    authority::{AuthorityFilesError, OpenError},
    bundle_directory::{BundleError, NotRenewable, StoredKey},
    certificates::CertificateFileError,
    delivery::{BatchError, LeftAlone},
    init::InitError,
    judgement::NotAccepted,
    permit::IssueError,
    renewal::RenewError,
    session::{SessionError, Undelivered},
};

use super::{
    authority_failure, home_failure, inventory_failure, key_failure, read_hint, refusal_failure, write_failure,
};
use crate::{contexts::shown, failure::Failure, report::rfc3339};

/// What a session on an authority fails at.
const SESSION: &str = "cannot use the authority's inventory";
const IMPORT: &str = "cannot make the authority's inventory";
/// What only a look at the place can tell.
const MAKE_BOTH_ANEW: &str = "bring its key back from a copy; dockseal issue … --replace makes both anew";

fn cause_of(error: &dyn Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

impl From<InventoryError> for Failure {
    fn from(error: InventoryError) -> Self {
        inventory_failure(SESSION, &error)
    }
}

impl From<CertificateFileError> for Failure {
    fn from(error: CertificateFileError) -> Self {
        Self::trouble(error.to_string())
            .cause(cause_of(&error))
            .hint("it is to be PEM: a line -----BEGIN CERTIFICATE-----")
    }
}

pub(crate) fn authority_files_failure(what: &str, error: AuthorityFilesError) -> Failure {
    match error {
        AuthorityFilesError::Home(error) => home_failure(what, &error),
        AuthorityFilesError::Certificates(error) => error.into(),
        error => Failure::trouble(what).cause(error),
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        const WHAT: &str = "cannot open the authority";
        match error {
            OpenError::Files(error) => authority_files_failure(WHAT, error),
            OpenError::Key { path, source } => {
                key_failure(format!("cannot use the private key {}", path.display()), &path, &source)
            }
            OpenError::Authority(error) => authority_failure(WHAT, &error),
            error => Self::trouble(WHAT).cause(error),
        }
    }
}

/// `what` is the whole of which the authority is a part.
pub(crate) fn init_failure(what: &str, error: InitError) -> Failure {
    let own = error.to_string();
    match error {
        InitError::Key(error) | InitError::Encrypt(error) => Failure::trouble(own).cause(error),
        InitError::Serial(error) => error.into(),
        InitError::Authority(error) => authority_failure(&own, &error),
        InitError::Session(SessionError::Inventory(error)) => inventory_failure(what, &error),
        InitError::Session(error) => error.into(),
        InitError::Home(error) => home_failure(what, &error),
        error => Failure::trouble(what).cause(error),
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        session_failure(SESSION, error)
    }
}

/// `what` is what a clock that went back is in the way of.
pub(crate) fn session_failure(what: &str, error: SessionError) -> Failure {
    match error {
        SessionError::Lock(error) => home_failure("cannot work on the authority", &error),
        SessionError::Files(error) => authority_files_failure(SESSION, error),
        SessionError::Inventory(error) => inventory_failure(SESSION, &error),
        SessionError::ImportFiles(error) => authority_files_failure(IMPORT, error),
        SessionError::Import(error) => inventory_failure(IMPORT, &error),
        SessionError::ClockWentBack { now, .. } => Failure::trouble(what)
            .cause(&error)
            .hint(format!("set the clock of this machine; if it is right now, say so with --at {}", rfc3339(now))),
        SessionError::AnotherGenerationSigns => {
            let failure = Failure::trouble(SESSION).cause(&error).hint("run it again; nothing was changed");
            Failure { is_outdated: true, ..failure }
        }
        SessionError::AnotherGenerationSignsNow | SessionError::Remade => {
            Failure::trouble(SESSION).cause(&error).hint("run it again for the rest; what was done stays")
        }
        error => Failure::trouble(SESSION).cause(error),
    }
}

pub(crate) fn undelivered_failure(what: &str, error: &Undelivered) -> Failure {
    match error {
        Undelivered::Place(error) => write_failure(what, error),
        Undelivered::Inventory(error) => inventory_failure(SESSION, error),
    }
}

pub(crate) fn not_accepted_failure(what: &str, error: &NotAccepted) -> Failure {
    let hint = match error.refusal() {
        Some(finding) => format!("{} ({})", as_hint(finding.remedy), finding.check.id()),
        None => "see what the judge says of it: dockseal verify DIR".to_owned(),
    };
    Failure::no(what).cause(error).hint(hint)
}

/// A sentence as hints have it: lower case, no period.
pub(crate) fn as_hint(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let mut characters = sentence.chars();
    match (characters.next(), characters.as_str()) {
        // An abbreviation keeps its capitals.
        (Some(first), rest) if rest.starts_with(|c: char| !c.is_uppercase()) => {
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => sentence.to_owned(),
    }
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        let what = error.to_string();
        match error {
            IssueError::Serial => Self::trouble(what).cause("the system's random source failed"),
            IssueError::Refused { refusal, .. } => refusal_failure(&what, &refusal),
            IssueError::NotAccepted { source, .. } => not_accepted_failure(&what, &source),
            IssueError::Inventory(error) => inventory_failure(SESSION, &error),
            error => Self::trouble(what).cause(cause_of(&error)),
        }
    }
}

impl From<NotRenewable> for Failure {
    fn from(error: NotRenewable) -> Self {
        Self::no(error.to_string()).cause(error.reason).hint("issue another one for names that Docker's clients dial")
    }
}

pub(crate) fn bundle_failure(what: &str, error: BundleError) -> Failure {
    match error {
        BundleError::Read(error) => read_hint(Failure::trouble(what).cause(&error), &error),
        BundleError::Certificates(error) => error.into(),
        BundleError::NotRenewable(error) => Failure { what: what.to_owned(), ..error.into() },
        error => Failure::trouble(what).cause(error),
    }
}

/// A key that everybody on the machine could have copied gets no new certificate.
pub(crate) fn open_key_failure(what: &str, key: &StoredKey) -> Failure {
    Failure::no(what)
        .cause(format!("everybody on this machine may use {} (mode {:04o})", key.name, key.mode))
        .hint("if nobody else was here, chmod 0400 it; else make a new key with dockseal request --renew DIR --replace")
}

impl From<RenewError> for Failure {
    fn from(error: RenewError) -> Self {
        match error {
            RenewError::Session(error) => error.into(),
            RenewError::Batch(error) => error.into(),
            error => Self::trouble("cannot renew").cause(error),
        }
    }
}

impl From<BatchError> for Failure {
    fn from(error: BatchError) -> Self {
        let what = error.to_string();
        match error {
            BatchError::Inventory(error) => inventory_failure(&what, &error),
            BatchError::Disk(error) => write_failure(&what, &error),
            error => Self::trouble(what).cause(error),
        }
    }
}

/// Why a place, or a certificate as a whole, was left as it was.
pub(crate) fn left_alone_failure(place: Option<&Place>, reason: LeftAlone) -> Failure {
    let what = format!("{} was left as it is", place.map(shown).unwrap_or_default());
    let cause = reason.to_string();
    let no = |hint: &str| Failure::no(&what).cause(&cause).hint(hint);
    match reason {
        LeftAlone::OnAnotherMachine { .. } => no("run it there, with the same authority"),
        LeftAlone::NotTheirs { .. } => {
            no("run it as that user, or make the authority root's (chown); whoever can write the inventory could name any place")
        }
        LeftAlone::Stale { path, source } => write_failure(&format!("cannot look at {}", path.display()), &source),
        LeftAlone::Gone if place.is_some_and(|place| place.kind == Kind::Context) => no(
            "make it again with dockseal context create, or say that it is to stay away with dockseal inventory forget DIR",
        ),
        LeftAlone::Gone => no("put it back, or say that it is to stay away with dockseal inventory forget DIR"),
        LeftAlone::Unseen(_) | LeftAlone::Unreadable(_) => no("check the path"),
        LeftAlone::NotADirectory => no("see who put that there"),
        LeftAlone::ChainUnreadable(_) => no("see who changed it; dockseal issue … --replace makes it anew"),
        LeftAlone::Certificates(error) => error.into(),
        LeftAlone::HoldsAnother { .. } => no("if that one is right, say so with dockseal inventory record DIR"),
        LeftAlone::Key { .. } => no("bring its key back from a copy"),
        LeftAlone::KeyOfAnother | LeftAlone::KeyGone { .. } => no(MAKE_BOTH_ANEW),
        LeftAlone::KeyUnreadable(_) => no("check the file"),
        LeftAlone::HandedOut => Failure::no("it cannot be renewed here").cause(cause).hint(
            "make a request where it is with dockseal request --renew DIR, and sign it with dockseal renew NAME --csr FILE;\nwhat is in \
             a tar or a .p12 is made anew with dockseal renew NAME --as KIND --out FILE",
        ),
        LeftAlone::NotRenewable(error) => error.into(),
        LeftAlone::NotIssued(error) => error.into(),
        LeftAlone::InTheWay(error) => write_failure(&what, &error),
        LeftAlone::Unsafe(error) => {
            write_failure(&format!("{} may not be safe", place.map(shown).unwrap_or_default()), &error)
        }
        _ => Failure::no(what).cause(cause),
    }
}
