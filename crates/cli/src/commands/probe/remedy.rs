//! The commands that mend what was found.

use dockseal_docker::{env::Shell, env::word_of_command};
use dockseal_pki::{Certificate, ExtendedKeyUsage, GeneralName, SubjectAltName};

use super::{
    picture::{ClientSide, Picture, certificates, shortened},
    words::name,
};
use crate::{
    authority::{known_issuers, read_certificates},
    invocation::Invocation,
};

/// TLS files are read at start only; SIGHUP does not read them again (moby daemon/reload.go Reload).
pub(super) const RESTART: &str =
    "restart dockerd, which reads certificates only when it starts: systemctl restart docker";

/// What to start instead of whatever is there.
pub(super) fn secure(picture: &Picture<'_>) -> String {
    format!(
        "give it mutual TLS: dockseal bootstrap {} --client USER, and put the daemon directory in place as that says",
        picture.target.host
    )
}

/// The authority of this machine, as far as there is one that can be read.
#[derive(Default)]
pub(crate) struct OwnAuthority {
    /// The certificate that signs, then those above it.
    chain: Vec<Certificate>,
    /// The certificates that sign or signed once.
    issuers: Vec<Certificate>,
}

impl OwnAuthority {
    pub(crate) fn here(invocation: &Invocation) -> Self {
        let read = || {
            let home = invocation.home().ok()?;
            let chain = read_certificates(&home.read_chain().ok()?, home.path()).ok()?;
            Some(Self { chain, issuers: known_issuers(&home, "cannot look at the authority").ok()? })
        };
        read().unwrap_or_default()
    }

    fn issued(&self, leaf: &Certificate) -> bool {
        self.issuers.iter().any(|issuer| leaf.issuer == issuer.subject && leaf.is_signed_by(issuer))
    }

    /// Whether a client of this authority gets through: the daemon asks for it by name, and shows a certificate that
    /// proves that it is not another authority of that name.
    fn is_the_daemons(&self, picture: &Picture<'_>) -> bool {
        let is_asked =
            |names: &Vec<Vec<u8>>| self.chain.iter().any(|own| names.iter().any(|name| name == own.subject.der()));
        let served = picture.chain.first().and_then(Option::as_ref);
        picture.authorities().is_none_or(is_asked) && served.is_some_and(|leaf| self.issued(leaf))
    }

    /// Whether the clients that were looked at trust a daemon of this authority.
    fn is_the_clients(&self, picture: &Picture<'_>) -> bool {
        let Some(client) = picture.client else {
            return picture.chain.first().and_then(Option::as_ref).is_some_and(|leaf| self.issued(leaf));
        };
        let anchors = client.material.ca.bytes().map(certificates).unwrap_or_default();
        anchors.iter().any(|anchor| self.chain.iter().any(|own| own.is_of_same_authority(anchor)))
    }
}

/// How to issue from an authority that is not this machine's. It gets a directory of its own, and what it issues takes the
/// place of nothing that `rollback` does not bring back.
fn elsewhere(authority: &str, issue: &str) -> String {
    format!(
        "ask the owner of {authority}, or do it with that authority's ca.pem and ca-key.pem: dockseal adopt --ca ca.pem \
         --key ca-key.pem --authority NEW && dockseal --authority NEW {issue}"
    )
}

/// The client's files once more, from the authority that the daemon trusts.
pub(super) fn reissue_client(picture: &Picture<'_>) -> String {
    let user = picture.client.and_then(leaf).filter(is_a_clients).and_then(|leaf| leaf.subject.common_name());
    let user = user.map_or_else(|| "USER".to_owned(), |user| word(&user));
    let out = picture.client.map_or_else(|| "DIR".to_owned(), |client| word(&client.dir));
    let issue = format!("issue client {user} --out {out} --replace");
    if picture.own.is_the_daemons(picture) {
        return format!("dockseal {issue}");
    }
    let names: Vec<String> = picture.authorities().into_iter().flatten().map(|der| name(der)).collect();
    let authority = match &names[..] {
        [] => "the authority that the daemon trusts".to_owned(),
        names => format!("the authority {}", shortened(&names.join("; or "), 400)),
    };
    elsewhere(&authority, &issue)
}

/// Whether it names a user: a daemon's names a host.
fn is_a_clients(leaf: &Certificate) -> bool {
    let usages = leaf.extended_key_usage.as_deref().unwrap_or_default();
    let is_for = |wanted: fn(&ExtendedKeyUsage) -> bool| usages.iter().any(wanted);
    is_for(|usage| matches!(usage, ExtendedKeyUsage::ClientAuth))
        && !is_for(|usage| matches!(usage, ExtendedKeyUsage::ServerAuth))
}

/// The daemon's certificate once more, for the names that it has and the one that is dialled, from the authority that the
/// client trusts.
pub(super) fn reissue_daemon(picture: &Picture<'_>, leaf: Option<&Certificate>) -> String {
    let mut names: Vec<String> = leaf
        .into_iter()
        .flat_map(|leaf| &leaf.names)
        .filter_map(|name| match name {
            GeneralName::Dns(name) => Some(name.clone()),
            GeneralName::Ip(address) => Some(address.to_string()),
            _ => None,
        })
        // A foreign certificate may say anything; what could not be issued is left out.
        .filter(|name| SubjectAltName::parse(name).is_ok())
        .take(20)
        .collect();
    if !names.contains(&picture.target.host) {
        names.push(picture.target.host.clone());
    }
    let names: Vec<String> = names.iter().map(|name| word(name)).collect();
    let issue = format!("issue daemon {} --out DIR --replace", names.join(" "));
    let issue = if picture.own.is_the_clients(picture) {
        format!("dockseal {issue}")
    } else {
        let anchors =
            picture.client.and_then(|client| client.material.ca.bytes()).map(certificates).unwrap_or_default();
        let authority = match &anchors[..] {
            [] => "the authority that its clients trust".to_owned(),
            [anchor, ..] => format!("the authority {}", shortened(&anchor.subject.to_string(), 200)),
        };
        elsewhere(&authority, &issue)
    };
    format!("{issue}, put it in place and {RESTART}")
}

pub(super) fn leaf(client: &ClientSide) -> Option<Certificate> {
    certificates(client.material.cert.bytes()?).into_iter().next()
}

pub(super) fn word(text: &str) -> String {
    word_of_command(Shell::Sh, text)
}
