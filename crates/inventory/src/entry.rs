//! What is remembered.

use std::{fmt, path::PathBuf};

use dockseal_docker::{Layout, Ownership, Role};
use dockseal_pki::{Certificate, Fingerprint, RevocationReason, SerialNumber, printable};
use time::OffsetDateTime;

/// A certificate's number in the inventory, in the order of reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateId(pub(crate) i64);

/// A destination's number in the inventory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DestinationId(pub(crate) i64);

/// The number of an issuer: 1 for the first, one more for each that takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GenerationId(pub(crate) i64);

impl GenerationId {
    /// The number, from 1.
    pub fn number(self) -> i64 {
        self.0
    }
}

/// Who runs which command, where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The present.
    pub at: OffsetDateTime,
    /// The user's name, or number where there is no name.
    pub user: String,
    /// What tells this machine from others.
    pub machine: String,
    /// What people call this machine.
    pub machine_name: String,
    /// The command and its arguments. Never anything secret: no option of this program takes a secret.
    pub command: String,
    /// A person said what time it is: it is not this machine's clock that says so.
    pub time_is_given: bool,
}

/// An issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub id: GenerationId,
    /// Its certificate.
    pub certificate: Certificate,
}

/// What became of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its serial is taken; nobody has it, and if it was ever signed, nobody will.
    Reserved,
    /// It counts.
    Issued,
    /// Another took its place. Docker accepts it until it expires.
    Superseded,
    /// It was revoked. Docker accepts it until it expires: it reads no CRLs.
    Revoked(Revocation),
}

impl State {
    /// Its name, in lower case.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Issued => "issued",
            Self::Superseded => "superseded",
            Self::Revoked(_) => "revoked",
        }
    }
}

/// When and why a certificate was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When.
    pub at: OffsetDateTime,
    /// Why.
    pub reason: RevocationReason,
}

/// Where a certificate's private key was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyHolder {
    /// Beside the certificate, at its destinations.
    Here,
    /// On the machine that made the request.
    Elsewhere,
}

impl KeyHolder {
    /// Its name, in lower case.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// A certificate that was signed.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number here.
    pub id: CertificateId,
    /// Who issued it.
    pub generation: GenerationId,
    /// What it is for.
    pub role: Role,
    /// Its user, or the daemon's first name.
    pub name: String,
    /// What became of it.
    pub state: State,
    /// The certificate.
    pub certificate: Certificate,
    /// Where its key is.
    pub key_holder: KeyHolder,
    /// When two thirds of its life are gone.
    pub due_at: OffsetDateTime,
    /// What it took the place of.
    pub predecessor: Option<CertificateId>,
}

impl Entry {
    /// Its serial number.
    pub fn serial(&self) -> &SerialNumber {
        &self.certificate.serial
    }

    /// Its fingerprint.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }
}

/// The kinds of places to which bundles go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A directory of one machine.
    Directory,
    /// A context in a docker client's store, by the path of its TLS files.
    Context,
    /// A directory of a host that is reached by ssh.
    Ssh,
}

impl Kind {
    /// Its name, in lower case.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Directory => "directory",
            Self::Context => "context",
            Self::Ssh => "ssh",
        }
    }
}

/// A place to which bundles go. The same path on two machines is two places.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What it is.
    pub kind: Kind,
    /// What tells its machine from others.
    pub machine: String,
    /// What people call its machine.
    pub machine_name: String,
    /// The absolute path.
    pub path: PathBuf,
}

impl fmt::Display for Place {
    /// As people find it: a path, after the host where ssh leads there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::Ssh {
            write!(f, "{}:", self.machine_name)?;
        }
        // Whoever named a directory may have put a line into the name.
        f.write_str(&printable(&self.path.to_string_lossy()))
    }
}

/// A place that is about to get a bundle, and how that is laid out there.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Where it is.
    pub place: Place,
    /// What the files are called.
    pub layout: Layout,
    /// The owner and mode that were asked for.
    pub ownership: Ownership,
}

/// A place that got a bundle, or is about to.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Its number here.
    pub id: DestinationId,
    /// Where it is.
    pub place: Place,
    /// What its files are called.
    pub layout: Layout,
    /// The owner and mode that were asked for.
    pub ownership: Ownership,
    /// What was delivered last.
    pub certificate: Option<CertificateId>,
    /// What is being delivered, or was when a run was killed.
    pub pending: Option<CertificateId>,
    /// What was there before, and is kept beside it.
    pub previous: Option<CertificateId>,
    /// When it was delivered.
    pub delivered_at: Option<OffsetDateTime>,
    /// Whether the command that follows a renewal has yet to succeed.
    pub command_due: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: OffsetDateTime,
    /// By whom, and with which command.
    pub run: Run,
    /// What, in one word.
    pub what: String,
    /// The serial number of the certificate concerned.
    pub serial: Option<SerialNumber>,
    /// Its role and name.
    pub endpoint: Option<(Role, String)>,
    /// The place concerned.
    pub path: Option<PathBuf>,
    /// More about it.
    pub detail: Option<String>,
}
