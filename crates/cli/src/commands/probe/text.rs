//! The report for people.

use dockseal_pki::moment;
use dockseal_probe::{Attempt, ClientCertificate, Connecting, Offer, Proof, Proxy, Routes};

use super::{
    diagnosis::{Diagnosis, Outcome},
    modes::{ModeAnswer, modes},
    picture::{OnDisk, Picture, is_docker, shortened},
    words::{ahead, answer, described, is_gateways, is_plain_on_tls, name},
};
use crate::output::{fields, table};

pub(super) fn report(picture: &Picture<'_>, diagnosis: &Diagnosis) -> String {
    let mut text = format!("{}\n", picture.url());
    text.push_str(&fields(&port(picture)));
    chain(picture, &mut text);
    authorities(picture, &mut text);
    on_disk(picture, &mut text);

    text.push_str("\nWhat docker gets\n");
    let rows = modes(picture).into_iter().map(|(mode, answer)| {
        let answer = match answer {
            ModeAnswer::Connects => "connects".to_owned(),
            ModeAnswer::Refused(why) => format!("refused: {}", shortened(&why, 160)),
            ModeAnswer::NotTold(why) => format!("cannot tell: {}", shortened(&why, 160)),
            ModeAnswer::NotTried(why) => format!("not tried: {why}"),
        };
        [mode.to_string(), answer]
    });
    text.push_str(&table(&["mode", "answer"], &rows.collect::<Vec<_>>()));
    text.push_str(match diagnosis.outcome {
        Outcome::Works => "\nMutual TLS works.\n",
        Outcome::Refused => "\nMutual TLS does not work.\n",
        Outcome::Unknown => "\nWhether mutual TLS works cannot be told.\n",
    });
    text
}

fn port(picture: &Picture<'_>) -> Vec<(&'static str, String)> {
    let mut rows = Vec::new();
    let observation = picture.observation;
    let others = observation.addresses.iter().filter(|(address, _)| *address != observation.dialled);
    let others: Vec<String> = others
        .map(|(address, connecting)| match connecting {
            Connecting::Connected => format!("{address} would do too"),
            Connecting::Failed(error) => format!("{address}: {error}"),
            Connecting::NotAwaited => format!("{address}: slower"),
        })
        .collect();
    let others = if others.is_empty() { String::new() } else { format!(" ({})", others.join("; ")) };
    let whose = if picture.routes.tls.is_some() { ", the proxy's" } else { "" };
    rows.push(("address", format!("{}{whose}{others}", observation.dialled)));
    let through = |proxy: &Option<Proxy>| proxy.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    match picture.routes {
        Routes { tls: None, plain: None } => {}
        Routes { tls, plain } if tls == plain => rows.push(("proxy", through(tls))),
        Routes { tls, plain } => {
            rows.push(("proxy", format!("{} for TLS, {} for plain HTTP", through(tls), through(plain))));
        }
    }

    for (label, offer) in [("plain HTTP", Offer::Plain), ("TLS 1.3", Offer::Tls13), ("TLS 1.2", Offer::Tls12)] {
        rows.extend(observation.attempt(offer).map(|attempt| (label, spoken(attempt))));
    }
    if let Some(docker) = &picture.docker {
        let version = docker.version.as_ref().map(|version| format!("Docker {version}"));
        let api = docker.api.as_ref().map(|api| format!("API {api}"));
        let platform = match (&docker.os, &docker.arch) {
            (Some(os), Some(arch)) => Some(format!("{os}/{arch}")),
            (os, arch) => os.clone().or_else(|| arch.clone()),
        };
        let parts: Vec<String> =
            [version.or_else(|| Some("Docker".to_owned())), api, platform].into_iter().flatten().collect();
        rows.push(("daemon", parts.join(", ")));
    }
    if let Some(skew) = picture.skew {
        rows.push(("clock", if skew.abs() <= 2 { "as this machine's".to_owned() } else { ahead(skew) }));
    }
    rows
}

/// How the port took to an offer.
fn spoken(attempt: &Attempt) -> String {
    if attempt.offer == Offer::Plain {
        return match &attempt.ping {
            Some(ping) if is_docker(ping) => "yes, and Docker answers".to_owned(),
            Some(ping) if is_plain_on_tls(ping) => "no, the port speaks TLS".to_owned(),
            Some(ping) => format!("yes: {}", answer(ping)),
            None if attempt.is_answered_in_tls() => "no, the port speaks TLS".to_owned(),
            None => format!("no: {}", described(attempt)),
        };
    }
    let Some(seen) = attempt.handshake.as_ref().filter(|seen| seen.suite.is_some()) else {
        return format!("no: {}", described(attempt));
    };
    let mut text = seen.suite.clone().unwrap_or_default();
    if let Some(group) = &seen.group {
        text.push_str(&format!(", {group}"));
    }
    text.push_str(&match seen.client_certificate {
        ClientCertificate::NotAskedFor => "; asks for no client certificate".to_owned(),
        _ => match &attempt.ping {
            Some(ping) => format!("; asks for a client certificate, and answers without: {}", answer(ping)),
            None => format!("; demands a client certificate, without one: {}", described(attempt)),
        },
    });
    text
}

fn chain(picture: &Picture<'_>, text: &mut String) {
    let Some(seen) = picture.served() else { return };
    text.push_str("\nServes, leaf first\n");
    for (position, certificate) in picture.chain.iter().enumerate() {
        let number = format!("  {} ", position + 1);
        let Some(certificate) = certificate else {
            text.push_str(&format!(
                "{number}a certificate of {} bytes that cannot be read\n",
                seen.chain[position].len()
            ));
            continue;
        };
        text.push_str(&format!("{number}{}\n", shortened(&certificate.subject.to_string(), 300)));
        let mut rows = vec![("issuer", shortened(&certificate.issuer.to_string(), 300))];
        let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
        if !names.is_empty() {
            rows.push(("names", shortened(&names.join(", "), 1000)));
        }
        let validity = certificate.validity;
        let state = if picture.now > validity.not_after {
            ", expired"
        } else if picture.now < validity.not_before {
            ", not yet valid"
        } else {
            ""
        };
        rows.push(("valid", format!("{} to {}{state}", moment(validity.not_before), moment(validity.not_after))));
        rows.push(("sha256", certificate.fingerprint().to_string()));
        text.push_str(&fields(&rows).replace("\n  ", "\n    ").replacen("  ", "    ", 1));
    }
    match &seen.proof {
        Proof::Verified | Proof::NotSeen => {}
        Proof::Wrong => text.push_str("  It does not have the key of that certificate.\n"),
        Proof::NotChecked(why) => {
            text.push_str(&format!("  Whether it has the key was not checked: {}\n", shortened(why, 200)));
        }
    }
}

fn authorities(picture: &Picture<'_>, text: &mut String) {
    let Some(authorities) = picture.authorities() else { return };
    text.push_str("\nAsks for client certificates of\n");
    if authorities.is_empty() {
        text.push_str("  any authority: it names none\n");
    }
    for der in authorities.iter().take(50) {
        text.push_str(&format!("  {}\n", name(der)));
    }
    if authorities.len() > 50 {
        text.push_str(&format!("  and {} more\n", authorities.len() - 50));
    }
    let state = match picture.client_certificate() {
        ClientCertificate::NotAskedFor => "not asked for",
        ClientCertificate::NothingToSend => "none to send",
        ClientCertificate::Withheld => "not sent, as docker does with one of another authority",
        ClientCertificate::KeyUnusable => "not sent: the daemon takes no signature of its key",
        ClientCertificate::Sent if is_accepted(picture) => "sent and accepted",
        ClientCertificate::Sent => "sent, and not accepted",
    };
    if picture.client.is_some() {
        text.push_str(&format!("  The client's certificate: {state}\n"));
    }
}

/// Whether an answer came after the certificate was sent: only that shows it, in TLS 1.3.
pub(super) fn is_accepted(picture: &Picture<'_>) -> bool {
    let ping = picture.observation.attempt(Offer::WithCertificate).and_then(|attempt| attempt.ping.as_ref());
    ping.is_some_and(|ping| is_docker(ping) || ping.status < 400 || is_gateways(ping))
}

fn on_disk(picture: &Picture<'_>, text: &mut String) {
    let Some(on_disk) = &picture.on_disk else { return };
    text.push_str("\nOn disk\n");
    match on_disk {
        OnDisk::Same => text.push_str("  cert.pem is what is served\n"),
        OnDisk::OtherIntermediates => {
            text.push_str("  cert.pem has the certificate that is served, and other intermediates\n");
        }
        OnDisk::Unknown(why) => text.push_str(&format!("  not compared: {why}\n")),
        OnDisk::Differs { disk, .. } => text.push_str(&format!(
            "  cert.pem is not what is served: {}, valid from {} to {}\n",
            shortened(&disk.subject.to_string(), 300),
            moment(disk.validity.not_before),
            moment(disk.validity.not_after)
        )),
    }
    match picture.asks_for_ca_on_disk() {
        Some(true) => text.push_str("  ca.pem holds authorities that are asked for\n"),
        Some(false) => text.push_str("  ca.pem holds an authority that is not asked for\n"),
        None => {}
    }
}
