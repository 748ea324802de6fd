//! Whom a certificate is for: what Docker would accept it as, and the name it goes by.
//!
//! What Go accepts is the measure: crypto/x509 verify.go, `checkChainForKeyUsage` (a certificate without extKeyUsage, or with
//! anyExtendedKeyUsage, may be used for everything) and `VerifyHostname` (names and addresses among the alternative names
//! alone, never the common name). People's certificates are of every such kind, and all of them are renewed.

use std::{fmt, path::Path};

use dockseal_docker::{Role, layout};
use dockseal_pki::{Certificate, ExtendedKeyUsage, GeneralName, UserName, printable};

use crate::permit::plain;

/// Why a certificate is nobody's that could be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nobody {
    /// It signs others.
    Authority,
    /// It may be used by neither a daemon nor a client.
    Usage(Vec<ExtendedKeyUsage>),
    /// It has neither a subject nor alternative names.
    Nameless,
}

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority => f.write_str("it is an authority's: CA:TRUE"),
            Self::Usage(usages) => {
                let usages: Vec<String> = usages.iter().map(ToString::to_string).collect();
                let usages = if usages.is_empty() { "nothing".to_owned() } else { usages.join(", ") };
                write!(f, "it is neither a daemon's nor a client's: its extended key usage allows {usages}")
            }
            Self::Nameless => f.write_str("it names nobody: it has neither a subject nor alternative names"),
        }
    }
}

/// Whom a certificate is for, and the main name it goes by. `path` is the file that it was found in, where it is known.
pub fn identify(certificate: &Certificate, path: Option<&Path>) -> Result<(Role, String), Nobody> {
    let role = endpoint_role(certificate, path)?;
    name_as(certificate, role).map(|name| (role, name)).ok_or(Nobody::Nameless)
}

/// What a certificate is for, and the main name it goes by, an authority's too.
pub fn role_and_name(certificate: &Certificate) -> Option<(Role, String)> {
    if certificate.is_ca() {
        let name = certificate.subject.common_name().unwrap_or_else(|| certificate.subject.to_string());
        return Some((Role::Authority, name));
    }
    identify(certificate, None).ok()
}

/// Whose a certificate is.
pub fn endpoint_role(certificate: &Certificate, path: Option<&Path>) -> Result<Role, Nobody> {
    if certificate.is_ca() {
        return Err(Nobody::Authority);
    }
    match (may_be(certificate, Role::Daemon), may_be(certificate, Role::Client)) {
        (false, false) => Err(Nobody::Usage(certificate.extended_key_usage.clone().unwrap_or_default())),
        _ => Ok(likely_role(certificate, path)),
    }
}

/// Whose a certificate is, for those who only want to look at it: by what its extended key usage names, else by what its
/// file is called, by whether it has a name that clients can dial, and by its directory.
pub fn likely_role(certificate: &Certificate, path: Option<&Path>) -> Role {
    match (names(certificate, &ExtendedKeyUsage::ServerAuth), names(certificate, &ExtendedKeyUsage::ClientAuth)) {
        (true, false) => Role::Daemon,
        (false, true) => Role::Client,
        _ => path
            .and_then(role_of_file)
            .or_else(|| dialled_name(certificate).map(|_| Role::Daemon))
            .unwrap_or_else(|| path.and_then(Path::parent).map_or(Role::Client, role_of_directory)),
    }
}

/// Whether Go would accept it in this role, as far as its extended key usage goes.
pub fn may_be(certificate: &Certificate, role: Role) -> bool {
    let usage = match role {
        Role::Authority => return certificate.is_ca(),
        Role::Daemon => ExtendedKeyUsage::ServerAuth,
        Role::Client => ExtendedKeyUsage::ClientAuth,
    };
    certificate.extended_key_usage.is_none() || names(certificate, &usage) || names(certificate, &ExtendedKeyUsage::Any)
}

fn names(certificate: &Certificate, usage: &ExtendedKeyUsage) -> bool {
    certificate.extended_key_usage.as_ref().is_some_and(|usages| usages.contains(usage))
}

/// Files whose names say whose they are: a registry's layout, where clients have names as daemons do.
fn role_of_file(path: &Path) -> Option<Role> {
    [Role::Daemon, Role::Client].into_iter().find(|role| {
        let name = dockseal_docker::Layout::Registry.names(*role).chain;
        path.file_name().is_some_and(|file| file == name)
    })
}

/// A directory in which a daemon's files are, as far as it shows.
pub fn role_of_directory(directory: &Path) -> Role {
    let named = directory.file_name().is_some_and(|name| name == "daemon" || name == "server");
    if named || directory.join(layout::DAEMON_JSON_FILE).exists() { Role::Daemon } else { Role::Client }
}

/// The first name that a client could dial.
pub fn dialled_name(certificate: &Certificate) -> Option<String> {
    certificate.names.iter().find(|name| is_dialled(name)).map(plain)
}

/// Whether Go looks at a name of this kind when it compares hosts (`VerifyHostname`).
pub fn is_dialled(name: &GeneralName) -> bool {
    matches!(name, GeneralName::Dns(_) | GeneralName::Ip(_))
}

/// The main name of a certificate in this role: a daemon's first host name, the user of a client.
pub fn name_as(certificate: &Certificate, role: Role) -> Option<String> {
    let host = if role == Role::Daemon { dialled_name(certificate) } else { None };
    host.or_else(|| user_of(certificate)).or_else(|| {
        let subject = certificate.subject.to_string();
        Some(subject).filter(|subject| !subject.is_empty())
    })
}

/// The user of a client: its common name, which is what dockerd hands on (moby pkg/authorization/middleware.go), else what
/// tells one person from another most narrowly. The first that can be a common name is taken, since that is what a renewal
/// makes it.
fn user_of(certificate: &Certificate) -> Option<String> {
    let subject = &certificate.subject;
    if let Some(common_name) = subject.common_name().filter(|name| !name.is_empty()) {
        return Some(common_name);
    }
    let names = &certificate.names;
    let email = names.iter().filter_map(|name| match name {
        GeneralName::Email(address) => Some(address.clone()),
        _ => None,
    });
    let others = names.iter().filter(|name| is_dialled(name)).map(plain);
    let all: Vec<String> = (subject.email_address().into_iter().chain(email).chain(others))
        .chain(subject.organizational_unit())
        .chain(subject.organization())
        .chain(names.iter().map(plain))
        .filter(|name| !name.is_empty())
        .collect();
    all.iter().find(|name| UserName::parse(name).is_ok()).or_else(|| all.first()).cloned()
}

/// What a renewal in this role leaves out or changes: our certificates have one role, a daemon's names are those that clients
/// dial, and a client is its common name.
pub fn changes_on_renewal(certificate: &Certificate, role: Role) -> Vec<String> {
    let mut changes = Vec::new();
    let dropped = certificate.further_names().filter(|name| role != Role::Daemon || !is_dialled(name));
    let dropped: Vec<String> = dropped.map(ToString::to_string).collect();
    if !dropped.is_empty() {
        changes
            .push(format!("the new certificate is without {}: Docker looks at none of it there", dropped.join(", ")));
    }
    if role == Role::Client
        && certificate.subject.common_name().is_none_or(|name| name.is_empty())
        && let Some(user) = name_as(certificate, role)
    {
        changes.push(format!(
            "the old certificate has no common name; the new one has CN={}, which authorization plugins see as the user",
            printable(&user)
        ));
    }
    let (kept, other) = match role {
        Role::Daemon => (role, Role::Client),
        Role::Authority | Role::Client => (role, Role::Daemon),
    };
    let was_both =
        names(certificate, &ExtendedKeyUsage::ServerAuth) && names(certificate, &ExtendedKeyUsage::ClientAuth);
    if was_both || role == Role::Daemon && may_be(certificate, other) {
        changes.push(format!("the old certificate could be used by a {other} too; the new one is a {kept}'s alone"));
    }
    changes
}
