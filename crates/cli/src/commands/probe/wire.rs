//! The report for programs.

use dockseal_probe::{Attempt, ClientCertificate, Connecting, Offer, Proof, Reply};
use serde_json::{Value, json};

use super::{
    diagnosis::{Diagnosis, Outcome},
    generations::differences,
    modes::{ModeAnswer, modes},
    picture::{OnDisk, Picture, is_docker, shortened},
    text::is_accepted,
    warnings::warnings,
    words::{described, name, pem},
};
use crate::report::{SCHEMA, rfc3339};

pub(super) fn report(picture: &Picture<'_>, diagnosis: &Diagnosis) -> Value {
    let observation = picture.observation;
    let addresses = observation.addresses.iter().map(|(address, connecting)| {
        let (state, error) = match connecting {
            Connecting::Connected => ("connected", None),
            Connecting::Failed(error) => ("failed", Some(error.to_string())),
            Connecting::NotAwaited => ("not-awaited", None),
        };
        json!({ "address": address.to_string(), "state": state, "error": error })
    });
    let modes = modes(picture).into_iter().map(|(mode, answer)| {
        let (answer, reason) = match answer {
            ModeAnswer::Connects => ("connects", None),
            ModeAnswer::Refused(why) => ("refused", Some(why)),
            ModeAnswer::NotTold(why) => ("unknown", Some(why)),
            ModeAnswer::NotTried(why) => ("not-tried", Some(why.to_owned())),
        };
        json!({ "mode": mode.to_string(), "answer": answer, "reason": reason })
    });
    let chain = picture.served().map(|seen| &seen.chain[..]).unwrap_or_default().iter().zip(&picture.chain);
    let chain = chain.map(|(der, certificate)| match certificate {
        None => json!({ "readable": false, "pem": pem(der) }),
        Some(certificate) => json!({
            "readable": true,
            "subject": certificate.subject.to_string(),
            "issuer": certificate.issuer.to_string(),
            "serial": certificate.serial.to_string(),
            "names": certificate.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "not_before": rfc3339(certificate.validity.not_before),
            "not_after": rfc3339(certificate.validity.not_after),
            "fingerprint_sha256": certificate.fingerprint().to_string(),
            "pem": pem(der),
        }),
    });
    let proof = picture.served().map(|seen| match &seen.proof {
        Proof::NotSeen => "not-seen",
        Proof::Verified => "verified",
        Proof::Wrong => "wrong",
        Proof::NotChecked(_) => "not-checked",
    });
    let client_certificate = match picture.client_certificate() {
        ClientCertificate::NotAskedFor => "not-asked-for",
        ClientCertificate::NothingToSend => "none-to-send",
        ClientCertificate::Withheld => "withheld",
        ClientCertificate::KeyUnusable => "key-unusable",
        ClientCertificate::Sent if is_accepted(picture) => "accepted",
        ClientCertificate::Sent => "sent",
    };
    let verdict = json!({
        "outcome": diagnosis.outcome.word(),
        "gate": diagnosis.gate.map(|gate| gate.name()),
        "cause": Some(&diagnosis.cause).filter(|_| diagnosis.outcome != Outcome::Works),
        "hint": Some(&diagnosis.hint).filter(|_| diagnosis.outcome != Outcome::Works),
    });
    json!({
        "schema": SCHEMA,
        "target": picture.url(),
        "address": observation.dialled.to_string(),
        "addresses": addresses.collect::<Vec<_>>(),
        "proxies": {
            "tls": picture.routes.tls.as_ref().map(ToString::to_string),
            "plain": picture.routes.plain.as_ref().map(ToString::to_string),
        },
        "docker_version": picture.version.word(),
        "docker_version_is_from_go_alone": picture.version.is_from_go_alone(),
        "version_differences": differences(picture),
        "speaks": speaks(picture),
        "attempts": observation.attempts.iter().map(attempt).collect::<Vec<_>>(),
        "chain": chain.collect::<Vec<_>>(),
        "key_proof": proof,
        "authorities": picture.authorities().map(|names| names.iter().map(|der| name(der)).collect::<Vec<_>>()),
        "client_certificate": client_certificate,
        "modes": modes.collect::<Vec<_>>(),
        "docker": picture.docker.as_ref().map(|docker| json!({
            "version": docker.version, "api": docker.api, "os": docker.os, "arch": docker.arch,
        })),
        "clock_skew_seconds": picture.skew,
        "on_disk": picture.on_disk.as_ref().map(|on_disk| on_disk_wire(picture, on_disk)),
        "warnings": warnings(picture),
        "verdict": verdict,
    })
}

fn speaks(picture: &Picture<'_>) -> &'static str {
    let plain = picture.observation.attempt(Offer::Plain);
    if picture.tls_attempts().any(Attempt::is_answered_in_tls) {
        "tls"
    } else if plain.is_some_and(|attempt| attempt.ping.is_some()) {
        "http"
    } else if plain.is_some_and(|attempt| attempt.banner.starts_with(b"SSH-")) {
        "ssh"
    } else if picture.observation.attempts.iter().all(|attempt| attempt.received == 0) {
        "nothing"
    } else {
        "something-else"
    }
}

fn attempt(attempt: &Attempt) -> Value {
    let offer = match attempt.offer {
        Offer::Plain => "plain",
        Offer::Tls13 => "tls1.3",
        Offer::Tls12 => "tls1.2",
        Offer::WithCertificate => "with-certificate",
    };
    let seen = attempt.handshake.as_ref();
    json!({
        "offer": offer,
        "tls_version": seen.and_then(|seen| seen.version).map(|version| version.to_string()),
        "cipher_suite": seen.and_then(|seen| seen.suite.clone()),
        "key_exchange": seen.and_then(|seen| seen.group.clone()),
        "handshake_complete": seen.map(|seen| seen.complete),
        "client_certificate_asked_for": seen.map(|seen| seen.authorities.is_some()),
        "client_certificate_sent": seen.map(|seen| seen.client_certificate == ClientCertificate::Sent),
        "ping": attempt.ping.as_ref().map(reply),
        "version": attempt.version.as_ref().map(reply),
        "trouble": attempt.trouble.as_ref().map(|_| described(attempt)),
        "bytes_received": attempt.received,
        "milliseconds": u64::try_from(attempt.took.as_millis()).unwrap_or(u64::MAX),
    })
}

fn reply(reply: &Reply) -> Value {
    json!({
        "status": reply.status,
        "server": reply.header("server").map(|server| shortened(server, 200)),
        "is_docker": is_docker(reply),
    })
}

fn on_disk_wire(picture: &Picture<'_>, on_disk: &OnDisk) -> Value {
    let (certificate, reason, fingerprint) = match on_disk {
        OnDisk::Same => ("served", None, None),
        OnDisk::OtherIntermediates => ("other-intermediates", None, None),
        OnDisk::Differs { disk, .. } => ("not-served", None, Some(disk.fingerprint().to_string())),
        OnDisk::Unknown(why) => ("unknown", Some(why), None),
    };
    json!({
        "certificate": certificate,
        "reason": reason,
        "fingerprint_sha256": fingerprint,
        "authorities_asked_for": picture.asks_for_ca_on_disk(),
    })
}
