//! A bundle that lies in a directory already.

use std::path::Path;

use dockseal_ca::Endpoint;
use dockseal_docker::{Role, layout};
use dockseal_pki::{Bundle, Certificate, GeneralName, PrivateKey, SubjectAltName, TrustAnchors, UserName};

use crate::{
    authority::{read_certificates, read_hint},
    failure::Failure,
    invocation::Invocation,
    judgement,
    ledger::role_and_name,
};

/// What a directory holds, and for whom.
pub(crate) struct Held {
    pub(crate) bundle: Bundle,
    pub(crate) endpoint: Endpoint,
}

/// Reads a directory with ca.pem, cert.pem and, unless the key is elsewhere, key.pem.
pub(crate) fn read(directory: &Path, what: &str) -> Result<Held, Failure> {
    let file = |name: &str| {
        let path = directory.join(name);
        dockseal_store::read(&path)
            .map(|file| (file, path))
            .map_err(|error| read_hint(Failure::trouble(what).cause(&error), &error))
    };
    let certificates = |name: &str| file(name).and_then(|(file, path)| read_certificates(&file.bytes, &path));
    let chain = certificates(layout::CERT_FILE)?;
    let anchors = TrustAnchors::new(certificates(layout::CA_FILE)?)
        .ok_or_else(|| Failure::trouble(what).cause(format!("{} is empty", layout::CA_FILE)))?;
    let key = match file(layout::KEY_FILE) {
        Err(_) if !directory.join(layout::KEY_FILE).exists() => None,
        other => {
            let (file, path) = other?;
            let unusable = |error| Failure::trouble(what).cause(format!("{}: {error}", path.display()));
            Some(PrivateKey::from_pem(&file.bytes, None).map_err(unusable)?.0)
        }
    };
    let leaf = chain.first().ok_or_else(|| Failure::trouble(what).cause(format!("{} is empty", layout::CERT_FILE)))?;
    let endpoint = endpoint(leaf).map_err(|failure| Failure { what: what.to_owned(), ..failure })?;
    Ok(Held { bundle: Bundle { anchors, chain, key }, endpoint })
}

impl Held {
    /// Asks the judge; what it advises comes back, what it refuses is a failure.
    pub(crate) fn judge(&self, invocation: &Invocation, what: &str) -> Result<Vec<String>, Failure> {
        judgement::of_bundle(&self.bundle, &self.endpoint, invocation.now, what)
    }
}

/// For whom a certificate is, so that another one can be made.
pub(crate) fn endpoint(certificate: &Certificate) -> Result<Endpoint, Failure> {
    let (role, name) = role_and_name(certificate).unwrap_or((Role::Authority, certificate.subject.to_string()));
    let cannot = |cause: String| {
        Failure::no(format!("the {role} certificate of {name} cannot be renewed"))
            .cause(cause)
            .hint("issue another one for names that Docker's clients dial")
    };
    match role {
        Role::Client => UserName::parse(&certificate.subject.common_name().unwrap_or_default())
            .map(|user| Endpoint::Client { user })
            .map_err(|error| cannot(error.to_string())),
        Role::Daemon => {
            let name = |name: &GeneralName| match name {
                GeneralName::Dns(text) => SubjectAltName::parse(text).map(|parsed| parsed.name),
                GeneralName::Ip(address) => SubjectAltName::parse(&address.to_string()).map(|parsed| parsed.name),
                other => SubjectAltName::parse(&other.to_string()).map(|parsed| parsed.name),
            };
            let names: Result<Vec<SubjectAltName>, _> = certificate.names.iter().map(name).collect();
            names.map(|names| Endpoint::Daemon { names }).map_err(|error| cannot(error.to_string()))
        }
        Role::Authority => Err(cannot("it is neither a daemon's nor a client's".to_owned())),
    }
}
