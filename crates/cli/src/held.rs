//! A bundle that lies in a directory already.

use std::path::Path;

use dockseal_ca::Endpoint;
use dockseal_docker::{Layout, Ownership, Role, layout::Names};
use dockseal_pki::{
    Bundle, Certificate, PrivateKey, PublicKey, Signer, SubjectAltName, TrustAnchors, UserName, printable,
};

use dockseal_store::{ReadError, Sight, keep_displaced};

use crate::{
    authority::{read_certificates, read_hint},
    endpoint::plain,
    failure::Failure,
    identity::{endpoint_role, is_dialled, name_as},
    invocation::Invocation,
    judgement,
    ledger::leaf_in,
};

/// What a directory holds, and for whom.
pub(crate) struct Held {
    pub(crate) bundle: Bundle,
    pub(crate) endpoint: Endpoint,
    /// What its files are called.
    pub(crate) layout: Layout,
}

/// What the files of a directory are called: docker's names, unless it has a bundle by others.
pub(crate) fn names_in(directory: &Path) -> Names {
    let there = |names: &Names| directory.join(names.chain).symlink_metadata().is_ok();
    Names::ALL.into_iter().find(there).unwrap_or(Names::DOCKER)
}

/// Whose names these are. Others share docker's, and renewals treat them alike.
pub(crate) fn layout_of(names: Names) -> Layout {
    if names == Names::DOCKER { Layout::Docker } else { Layout::Registry }
}

/// Reads a directory with ca.pem, cert.pem and, unless the key is elsewhere, key.pem, or what they are called there.
pub(crate) fn read(directory: &Path, what: &str) -> Result<Held, Failure> {
    let bundle = bundle(directory, what)?;
    let names = names_in(directory);
    let layout = layout_of(names);
    let leaf = bundle.leaf().ok_or_else(|| Failure::trouble(what).cause(format!("{} is empty", names.chain)))?;
    let endpoint = endpoint_in(leaf, &directory.join(names.chain))
        .map_err(|failure| Failure { what: what.to_owned(), ..failure })?;
    Ok(Held { bundle, endpoint, layout })
}

/// The same, whoever it is for.
pub(crate) fn bundle(directory: &Path, what: &str) -> Result<Bundle, Failure> {
    let names = names_in(directory);
    let sight = look(directory, what)?;
    let certificates = |name: &str| {
        let file = sight.read(name).map_err(|error| read_hint(Failure::trouble(what).cause(&error), &error))?;
        read_certificates(&file.bytes, &directory.join(name))
    };
    let chain = certificates(names.chain)?;
    let anchors = TrustAnchors::new(certificates(names.anchors)?)
        .ok_or_else(|| Failure::trouble(what).cause(format!("{} is empty", names.anchors)))?;
    let key = key_in(&sight, directory, names.key, what)?.map(|held| held.key);
    Ok(Bundle { anchors, chain, key })
}

/// A run that was killed between putting a bundle in place and keeping the one before it left that one beside the place, also
/// where no inventory remembers it. Where it cannot be kept, the bundle in place is valid nevertheless.
pub(crate) fn keep_what_a_kill_left(directory: &Path) {
    let names = names_in(directory);
    let here = leaf_in(directory, names);
    let is_it = |beside: &Path| leaf_in(beside, names).is_some_and(|found| Some(found) != here);
    if here.is_some() {
        let _ = keep_displaced(directory, is_it);
    }
}

/// A directory, held while it is read.
pub(crate) fn look(directory: &Path, what: &str) -> Result<Sight, Failure> {
    Sight::of(directory).map_err(|error| read_hint(Failure::trouble(what).cause(&error), &error))
}

impl Held {
    /// Asks the judge; what it advises comes back, what it refuses is a failure.
    pub(crate) fn judge(&self, invocation: &Invocation, what: &str) -> Result<Vec<String>, Failure> {
        judgement::of_bundle(&self.bundle, &self.endpoint, invocation.now, what)
    }
}

/// A private key in a directory.
pub(crate) struct HeldKey {
    pub(crate) key: PrivateKey,
    mode: u32,
    name: &'static str,
}

/// The key in this file of a directory, if the file is there.
pub(crate) fn key(directory: &Path, name: &'static str, what: &str) -> Result<Option<HeldKey>, Failure> {
    key_in(&look(directory, what)?, directory, name, what)
}

/// The same in a directory that is held already.
pub(crate) fn key_in(
    sight: &Sight,
    directory: &Path,
    name: &'static str,
    what: &str,
) -> Result<Option<HeldKey>, Failure> {
    let file = match sight.read(name) {
        Err(error) if error.is_not_found() => return Ok(None),
        other => other.map_err(|error| read_hint(Failure::trouble(what).cause(&error), &error))?,
    };
    let unusable = |error| Failure::trouble(what).cause(format!("{}: {error}", directory.join(name).display()));
    let (key, _) = PrivateKey::from_pem(&file.bytes, None).map_err(unusable)?;
    Ok(Some(HeldKey { key, mode: file.mode, name }))
}

impl HeldKey {
    /// Whether it is the key of this certificate or request.
    pub(crate) fn is_of(&self, public_key: &PublicKey) -> bool {
        self.key.public_key().spki() == public_key.spki()
    }

    /// A key that everybody on the machine could have copied gets no new certificate.
    pub(crate) fn refuse_if_open(&self, what: &str) -> Result<(), Failure> {
        if self.mode & 0o007 == 0 {
            return Ok(());
        }
        Err(Failure::no(what)
            .cause(format!("everybody on this machine may use {} (mode {:04o})", self.name, self.mode))
            .hint("if nobody else was here, chmod 0400 it; else make a new key with dockseal request --renew DIR --replace"))
    }
}

/// Whose a directory is and which mode its key has: both stay, also when root renews what is in it.
pub(crate) fn ownership(directory: &Path, names: Names) -> Result<Ownership, ReadError> {
    Sight::of(directory)?.ownership(names.key)
}

/// For whom a certificate is, so that another one can be made in this role. Names that no client of Docker dials are none of
/// a daemon's: [`changes_on_renewal`](crate::identity::changes_on_renewal) tells of them.
pub(crate) fn endpoint(certificate: &Certificate, role: Role) -> Result<Endpoint, Failure> {
    let name = name_as(certificate, role).unwrap_or_default();
    let cannot = |cause: String| cannot_renew(&format!("the {role} certificate of {}", printable(&name)), cause);
    match role {
        Role::Client => {
            UserName::parse(&name).map(|user| Endpoint::Client { user }).map_err(|error| cannot(error.to_string()))
        }
        Role::Daemon => {
            let names = certificate.names.iter().filter(|name| is_dialled(name));
            let names: Result<Vec<SubjectAltName>, _> =
                names.map(|name| SubjectAltName::parse(&plain(name)).map(|parsed| parsed.name)).collect();
            names.map(|names| Endpoint::Daemon { names }).map_err(|error| cannot(error.to_string()))
        }
        Role::Authority => Err(cannot("it is neither a daemon's nor a client's".to_owned())),
    }
}

/// The same for a certificate that was found in this file.
pub(crate) fn endpoint_in(certificate: &Certificate, path: &Path) -> Result<Endpoint, Failure> {
    let role = endpoint_role(certificate, Some(path))
        .map_err(|nobody| cannot_renew(&format!("the certificate of {}", certificate.subject), nobody.to_string()))?;
    endpoint(certificate, role)
}

fn cannot_renew(what: &str, cause: String) -> Failure {
    Failure::no(format!("{what} cannot be renewed"))
        .cause(cause)
        .hint("issue another one for names that Docker's clients dial")
}
