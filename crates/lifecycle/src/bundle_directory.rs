//! A directory with a bundle: what is in it, for whom, and whose it is.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use dockseal_ca::Endpoint;
use dockseal_docker::{Layout, Ownership, Role, layout::Names};
use dockseal_pki::{
    Bundle, Certificate, KeyError, NameError, PrivateKey, PublicKey, Signer, SubjectAltName, TrustAnchors, UserName,
    UserNameError, printable,
};
use dockseal_store::{ReadError, Sight, keep_displaced};
use time::OffsetDateTime;

use crate::{
    certificates::{CertificateFileError, read_certificates},
    identity::{Nobody, endpoint_role, is_dialled, name_as},
    judgement::{self, NotAccepted},
    permit::plain,
};

/// Why what a directory holds is no bundle that can be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum BundleError {
    /// A file, or the directory.
    Read(ReadError),
    /// A file of certificates.
    Certificates(CertificateFileError),
    /// The private key.
    Key {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Its certificate is nobody's for whom there could be another one.
    NotRenewable(NotRenewable),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => error.fmt(f),
            Self::Certificates(error) => error.fmt(f),
            Self::Key { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NotRenewable(error) => error.fmt(f),
        }
    }
}

impl Error for BundleError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read(error) => error.source(),
            Self::Certificates(error) => error.source(),
            Self::Key { source, .. } => Some(source),
            Self::NotRenewable(error) => error.source(),
        }
    }
}

impl From<ReadError> for BundleError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl From<CertificateFileError> for BundleError {
    fn from(error: CertificateFileError) -> Self {
        Self::Certificates(error)
    }
}

impl From<NotRenewable> for BundleError {
    fn from(error: NotRenewable) -> Self {
        Self::NotRenewable(error)
    }
}

/// A certificate for whose endpoint there can be no other one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotRenewable {
    /// Whose it is, as in "the daemon certificate of build".
    pub whose: String,
    /// Why.
    pub reason: NotRenewableReason,
}

/// Why there can be no other one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRenewableReason {
    /// It is for nobody.
    Nobody(Nobody),
    /// It is a client's, and its name cannot be a user's.
    User(UserNameError),
    /// It is a daemon's, and one of its names is none that can be certified.
    Name(NameError),
    /// It is an authority's.
    Authority,
}

impl fmt::Display for NotRenewable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cannot be renewed", self.whose)
    }
}

impl Error for NotRenewable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.reason)
    }
}

impl fmt::Display for NotRenewableReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody(nobody) => nobody.fmt(f),
            Self::User(error) => error.fmt(f),
            Self::Name(error) => error.fmt(f),
            Self::Authority => f.write_str("it is neither a daemon's nor a client's"),
        }
    }
}

impl Error for NotRenewableReason {}

/// What a directory holds, and for whom.
#[derive(Debug)]
pub struct StoredBundle {
    /// Its files.
    pub bundle: Bundle,
    /// For whom it is.
    pub endpoint: Endpoint,
    /// What its files are called.
    pub layout: Layout,
}

impl StoredBundle {
    /// Asks the judge, and returns what it advises.
    ///
    /// # Errors
    /// When Docker would refuse it.
    pub fn judge(&self, now: OffsetDateTime) -> Result<Vec<String>, NotAccepted> {
        judgement::of_bundle(&self.bundle, &self.endpoint, now)
    }
}

/// What the files of a directory are called: docker's names, unless it has a bundle by others.
pub fn names_in(directory: &Path) -> Names {
    let there = |names: &Names| directory.join(names.chain).symlink_metadata().is_ok();
    Names::ALL.into_iter().find(there).unwrap_or(Names::DOCKER)
}

/// Whose names these are. Others share docker's, and renewals treat them alike.
pub fn layout_of(names: Names) -> Layout {
    if names == Names::DOCKER { Layout::Docker } else { Layout::Registry }
}

/// Reads a directory with ca.pem, cert.pem and, unless the key is elsewhere, key.pem, or what they are called there.
///
/// # Errors
/// When a file cannot be read, or its certificate is nobody's.
pub fn read(directory: &Path) -> Result<StoredBundle, BundleError> {
    let bundle = bundle(directory)?;
    let names = names_in(directory);
    let path = directory.join(names.chain);
    let endpoint = match bundle.leaf() {
        Some(leaf) => endpoint_in(leaf, &path)?,
        None => return Err(empty(path).into()),
    };
    Ok(StoredBundle { bundle, endpoint, layout: layout_of(names) })
}

/// The same, whoever it is for.
///
/// # Errors
/// When a file cannot be read.
pub fn bundle(directory: &Path) -> Result<Bundle, BundleError> {
    let names = names_in(directory);
    let sight = Sight::of(directory)?;
    let certificates = |name: &str| -> Result<Vec<Certificate>, BundleError> {
        Ok(read_certificates(&sight.read(name)?.bytes, &directory.join(name))?)
    };
    let chain = certificates(names.chain)?;
    let anchors =
        TrustAnchors::new(certificates(names.anchors)?).ok_or_else(|| empty(directory.join(names.anchors)))?;
    let key = key_in(&sight, directory, names.key)?.map(|stored| stored.key);
    Ok(Bundle { anchors, chain, key })
}

fn empty(path: PathBuf) -> CertificateFileError {
    CertificateFileError { path, source: dockseal_pki::PemCertificatesError::Missing }
}

/// A run that was killed between putting a bundle in place and keeping the one before it left that one beside the place, also
/// where no inventory remembers it. Where it cannot be kept, the bundle in place is valid nevertheless.
pub fn keep_what_a_kill_left(directory: &Path) {
    // What was only being made beside it may lack files, and began to be valid later.
    let is_it = |beside: &Path| {
        let (Some((here, key)), Some((found, found_key))) = (whole(directory), whole(beside)) else { return false };
        found != here && found_key == key && found.validity.not_before <= here.validity.not_before
    };
    let _ = keep_displaced(directory, is_it);
}

/// The leaf of a bundle that can be read, and whether its key is there.
fn whole(directory: &Path) -> Option<(Certificate, bool)> {
    let found = bundle(directory).ok()?;
    Some((found.leaf()?.clone(), found.key.is_some()))
}

/// A private key in a directory.
#[derive(Debug)]
pub struct StoredKey {
    /// The key.
    pub key: PrivateKey,
    /// The mode of its file.
    pub mode: u32,
    /// The name of its file.
    pub name: &'static str,
}

/// The key in this file of a directory, if the file is there.
///
/// # Errors
/// When it cannot be read.
pub fn key(directory: &Path, name: &'static str) -> Result<Option<StoredKey>, BundleError> {
    key_in(&Sight::of(directory)?, directory, name)
}

/// The same in a directory that is held already.
///
/// # Errors
/// As [`key`].
pub fn key_in(sight: &Sight, directory: &Path, name: &'static str) -> Result<Option<StoredKey>, BundleError> {
    let file = match sight.read(name) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other?,
    };
    let (key, _) = PrivateKey::from_pem(&file.bytes, None)
        .map_err(|source| BundleError::Key { path: directory.join(name), source })?;
    Ok(Some(StoredKey { key, mode: file.mode, name }))
}

impl StoredKey {
    /// Whether it is the key of this certificate or request.
    pub fn is_of(&self, public_key: &PublicKey) -> bool {
        self.key.public_key().spki() == public_key.spki()
    }

    /// Whether everybody on the machine may use it, and could have copied it.
    pub fn is_open_to_all(&self) -> bool {
        self.mode & 0o007 != 0
    }
}

/// Whose a directory is and which mode its key has: both stay, also when root renews what is in it.
///
/// # Errors
/// When it cannot be looked at.
pub fn ownership(directory: &Path, names: Names) -> Result<Ownership, ReadError> {
    Sight::of(directory)?.ownership(names.key)
}

/// For whom a certificate is, so that another one can be made in this role. Names that no client of Docker dials are none of
/// a daemon's: [`changes_on_renewal`](crate::identity::changes_on_renewal) tells of them.
///
/// # Errors
/// When there can be no other one.
pub fn endpoint(certificate: &Certificate, role: Role) -> Result<Endpoint, NotRenewable> {
    let name = name_as(certificate, role).unwrap_or_default();
    let cannot = |reason| NotRenewable { whose: format!("the {role} certificate of {}", printable(&name)), reason };
    match role {
        Role::Client => UserName::parse(&name)
            .map(|user| Endpoint::Client { user })
            .map_err(|error| cannot(NotRenewableReason::User(error))),
        Role::Daemon => {
            let names = certificate.names.iter().filter(|name| is_dialled(name));
            let names: Result<Vec<SubjectAltName>, _> =
                names.map(|name| SubjectAltName::parse(&plain(name)).map(|parsed| parsed.name)).collect();
            names.map(|names| Endpoint::Daemon { names }).map_err(|error| cannot(NotRenewableReason::Name(error)))
        }
        Role::Authority => Err(cannot(NotRenewableReason::Authority)),
    }
}

/// The same for a certificate that was found in this file.
///
/// # Errors
/// As [`endpoint`], and when it is for nobody.
pub fn endpoint_in(certificate: &Certificate, path: &Path) -> Result<Endpoint, NotRenewable> {
    let role = endpoint_role(certificate, Some(path)).map_err(|nobody| NotRenewable {
        whose: format!("the certificate of {}", certificate.subject),
        reason: NotRenewableReason::Nobody(nobody),
    })?;
    endpoint(certificate, role)
}
