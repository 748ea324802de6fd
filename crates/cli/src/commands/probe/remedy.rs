//! The commands that mend what was found.

use dockseal_docker::{env::Shell, env::word_of_command};
use dockseal_pki::{Certificate, GeneralName, SubjectAltName};

use super::picture::{ClientSide, Picture, certificates};

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

pub(super) fn reissue_client(picture: &Picture<'_>) -> String {
    let user = picture.client.and_then(leaf).and_then(|leaf| leaf.subject.common_name());
    let user = user.map_or_else(|| "USER".to_owned(), |user| word(&user));
    let out = picture.client.map_or_else(|| "DIR".to_owned(), |client| word(&client.dir));
    format!("dockseal issue client {user} --out {out} --replace")
}

/// The certificate once more, for the names that it has and the one that is dialled.
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
    format!("dockseal issue daemon {} --out DIR --replace, put it in place and {RESTART}", names.join(" "))
}

pub(super) fn leaf(client: &ClientSide) -> Option<Certificate> {
    certificates(client.material.cert.bytes()?).into_iter().next()
}

pub(super) fn word(text: &str) -> String {
    word_of_command(Shell::Sh, text)
}
