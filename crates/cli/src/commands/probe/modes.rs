//! What came of a docker client in each of its modes.

use dockseal_docker::mode::ClientMode;
use dockseal_probe::{ClientCertificate, Offer, Trouble};
use dockseal_verify::FileKind;

use super::{
    picture::{Picture, is_docker, is_dockers_yes, refusal},
    words::{answer, described, is_plain_on_tls, is_refusal_of_nginx, located},
};

/// What came of a docker client in each of its modes.
pub(super) enum ModeAnswer {
    Connects,
    Refused(String),
    NotTold(String),
    NotTried(&'static str),
}

pub(super) fn modes(picture: &Picture<'_>) -> Vec<(ClientMode, ModeAnswer)> {
    ClientMode::ALL.into_iter().map(|mode| (mode, mode_answer(picture, mode))).collect()
}

fn mode_answer(picture: &Picture<'_>, mode: ClientMode) -> ModeAnswer {
    let attempt = if mode == ClientMode::None {
        picture.observation.attempt(Offer::Plain)
    } else if mode.has_certificate() {
        match picture.client {
            None => return ModeAnswer::NotTried("no --client"),
            Some(client) if !client.has_certificate() => return ModeAnswer::NotTried("no certificate with its key"),
            Some(_) => picture.observation.attempt(Offer::WithCertificate),
        }
    } else {
        picture.bare()
    };
    if mode.uses_tls()
        && let Some(finding) = picture.client.and_then(|client| client.not_loaded.as_ref())
        // Without a certificate docker reads the CA file only.
        && (mode.has_certificate() || finding.place.as_ref().is_none_or(|place| place.file == FileKind::Ca))
    {
        return ModeAnswer::Refused(located(finding));
    }
    let Some(attempt) = attempt else { return ModeAnswer::NotTold("the key cannot be used here".to_owned()) };
    if mode.verifies_daemon() {
        match &picture.chain_verdict {
            None if picture.client.is_none() => return ModeAnswer::NotTried("no --client"),
            Some(verdict) if !verdict.is_accepted() => {
                let text = refusal(verdict).map_or_else(String::new, |finding| finding.text.clone());
                return ModeAnswer::Refused(text);
            }
            _ => {}
        }
    }
    match (&attempt.ping, &attempt.trouble) {
        (Some(ping), _) if is_dockers_yes(ping) => match &attempt.version {
            Some(version) if !is_dockers_yes(version) => ModeAnswer::Refused(answer(version)),
            _ => ModeAnswer::Connects,
        },
        (Some(ping), _) if is_plain_on_tls(ping) => ModeAnswer::Refused("the port speaks TLS".to_owned()),
        (Some(ping), _) if is_refusal_of_nginx(ping) => ModeAnswer::Refused(answer(ping)),
        (Some(ping), _) if ping.status >= 400 && !attempt.version.as_ref().is_some_and(is_dockers_yes) => {
            ModeAnswer::Refused(answer(ping))
        }
        (Some(ping), _) => ModeAnswer::NotTold(format!("no Docker: {}", answer(ping))),
        (None, Some(Trouble::Alert { name, .. })) => {
            let seen = attempt.handshake.as_ref().map(|seen| seen.client_certificate);
            ModeAnswer::Refused(match seen {
                Some(ClientCertificate::NothingToSend) => format!("a client certificate is demanded ({name})"),
                Some(ClientCertificate::Withheld) => format!(
                    "the certificate is of an authority that the daemon does not ask for, so it is not sent ({name})"
                ),
                Some(ClientCertificate::Sent) => format!("the client's certificate is refused ({name})"),
                _ => format!("it ends the handshake ({name})"),
            })
        }
        (None, Some(Trouble::ProxyRefused { .. })) => ModeAnswer::Refused(described(attempt)),
        (None, Some(Trouble::NotTls)) if plain_is_docker(picture) => {
            ModeAnswer::Refused("the port speaks plain HTTP".to_owned())
        }
        (None, Some(_)) if mode == ClientMode::None && attempt.is_answered_in_tls() => {
            ModeAnswer::Refused("the port speaks TLS".to_owned())
        }
        _ => ModeAnswer::NotTold(described(attempt)),
    }
}

fn plain_is_docker(picture: &Picture<'_>) -> bool {
    let plain = picture.observation.attempt(Offer::Plain).and_then(|attempt| attempt.ping.as_ref());
    plain.is_some_and(is_docker)
}
