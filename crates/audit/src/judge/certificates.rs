//! The daemon's certificate and its CA file: dates, keys, and whether what is served is what is on disk.

use dockseal_docker::settings::{FileSetting, TlsFiles};
use dockseal_pki::{Certificate, PublicKeyAlgorithm, moment, pem};
use time::{Duration, OffsetDateTime};

use crate::{
    facts::{Daemon, Facts},
    finding::{Finding, Severity},
};

/// From when on an end is said.
const SOON: Duration = Duration::days(30);
/// The least RSA key in bits that is not weak (NIST SP 800-131A).
const RSA_BITS: usize = 2048;
/// Below this, others have factored keys.
const FACTORED_BITS: usize = 1024;

/// Where the settings name no files, or are damaged, what is served is judged alone.
pub(super) fn judge(
    facts: &Facts,
    daemon: &Daemon,
    tls: Option<&TlsFiles>,
    now: OffsetDateTime,
    found: &mut Vec<Finding>,
) {
    let read = |setting: &FileSetting| {
        let path = daemon.absolute(setting.path()?);
        let certificates = certificates(facts.content(&path)?);
        Some((path, certificates))
    };
    let on_disk = tls.and_then(|tls| read(&tls.cert));
    if let Some((path, chain)) = &on_disk {
        if chain.is_empty() {
            let none =
                Finding::new("certificate-unreadable", Severity::Warning, path, "no certificate can be read in it");
            found.push(none.fix("put a certificate there: dockerd will not start again without one"));
        }
        for (place, certificate) in chain.iter().enumerate() {
            let subject = if place == 0 { path.clone() } else { format!("{path}, certificate {}", place + 1) };
            dates(&subject, certificate, now, Severity::Critical, found);
            key(&subject, certificate, found);
        }
    }
    if let Some((path, anchors)) = tls.and_then(|tls| read(&tls.ca)) {
        // One of several may have ended: that is how a roll-over ends.
        let all_over = anchors.iter().all(|anchor| !anchor.validity.contains(now));
        let worst = if all_over { Severity::Critical } else { Severity::Advice };
        for (place, certificate) in anchors.iter().enumerate() {
            let subject = if anchors.len() == 1 { path.clone() } else { format!("{path}, certificate {}", place + 1) };
            dates(&subject, certificate, now, worst, found);
            key(&subject, certificate, found);
        }
    }
    let mut is_shown = false;
    let leaf = on_disk.as_ref().and_then(|(path, chain)| Some((path, chain.first()?)));
    for (address, listener) in &facts.listeners {
        if !daemon.tcp.as_ref().is_none_or(|addresses| addresses.contains(address)) {
            continue;
        }
        let Some(served) = served(listener.tls.as_deref().unwrap_or_default()) else { continue };
        if served.issuer.common_name().as_deref() == Some("swarm-ca") {
            continue;
        }
        is_shown = true;
        let address = address.to_string();
        if let Some((path, leaf)) = leaf {
            if served.fingerprint() == leaf.fingerprint() {
                let seen = format!("it serves the certificate in {path}");
                found.push(Finding::new("served", Severity::Ok, address, seen));
                continue;
            }
            let seen = format!("it serves another certificate than the one in {path}");
            let differs = Finding::new("served-differs", Severity::Warning, &address, seen);
            found.push(differs.fix("restart dockerd: it reads certificates only when it starts"));
        }
        dates(&address, &served, now, Severity::Critical, found);
        key(&address, &served, found);
    }
    let Some(tls) = tls else { return };
    let paths = [Some(&tls.cert).filter(|_| !is_shown), Some(&tls.ca)].into_iter().flatten();
    for path in paths.filter_map(|setting| Some(daemon.absolute(setting.path()?))) {
        if facts.file(&path).is_some_and(|file| file.content.is_none()) {
            found.push(unread(facts, &path));
        }
    }
}

/// What is there and could not be judged: a file with a key in it is never told, whoever looks.
fn unread(facts: &Facts, path: &str) -> Finding {
    if facts.uid == Some(0) {
        let seen = "its certificate was not looked at: there is a private key in the file";
        Finding::new("certificate-unread", Severity::Warning, path, seen).fix("keep the key in a file of its own")
    } else {
        let seen = "its certificate could not be looked at";
        Finding::new("unseen", Severity::Warning, path, seen).fix("look as root")
    }
}

/// What a listener shows: the first certificate in what `openssl s_client -showcerts` printed.
pub(super) fn served(printed: &[u8]) -> Option<Certificate> {
    certificates(printed).into_iter().next()
}

/// The certificates in a text, as many as can be read.
fn certificates(text: &[u8]) -> Vec<Certificate> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = String::from_utf8_lossy(text);
    text.split(BEGIN)
        .skip(1)
        .filter_map(|block| {
            let (body, _) = block.split_once(END)?;
            let blocks = pem::decode_all(format!("{BEGIN}{body}{END}\n").as_bytes()).ok()?;
            Certificate::from_der(blocks.first()?.contents()).ok()
        })
        .collect()
}

fn dates(subject: &str, certificate: &Certificate, now: OffsetDateTime, worst: Severity, found: &mut Vec<Finding>) {
    let validity = certificate.validity;
    let fix = "renew it";
    let finding = |id, severity, seen: String| Finding::new(id, severity, subject, seen);
    found.push(if validity.not_after < now {
        finding("certificate-expired", worst, format!("expired on {}", moment(validity.not_after))).fix(fix)
    } else if validity.not_before > now {
        let seen = format!("counts only from {}", moment(validity.not_before));
        finding("certificate-too-new", worst, seen).fix("set the host's clock, or issue it anew")
    } else if validity.not_after - now < SOON {
        finding("certificate-expires", Severity::Warning, format!("expires on {}", moment(validity.not_after))).fix(fix)
    } else {
        finding("certificate-dates", Severity::Ok, format!("counts until {}", moment(validity.not_after)))
    });
}

fn key(subject: &str, certificate: &Certificate, found: &mut Vec<Finding>) {
    let algorithm = certificate.public_key.algorithm();
    let severity = match algorithm {
        PublicKeyAlgorithm::Rsa { bits } if *bits < FACTORED_BITS => Severity::Critical,
        PublicKeyAlgorithm::Rsa { bits } if *bits < RSA_BITS => Severity::Warning,
        // NIST P-224 (RFC 5480 secp224r1).
        PublicKeyAlgorithm::Other { oid } if oid == "1.3.132.0.33" => Severity::Warning,
        _ => Severity::Ok,
    };
    let finding = Finding::new("key-strength", severity, subject, format!("the key is {algorithm}"));
    found.push(if severity == Severity::Ok {
        finding
    } else {
        finding.fix("make a new key, and a certificate for it")
    });
}
