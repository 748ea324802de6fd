//! From the port to the daemon's certificate.

use dockseal_docker::{gate::Gate, version::Version};
use dockseal_pki::{GeneralName, SubjectAltName};
use dockseal_probe::{Attempt, Offer, Phase, Proof, Target, Trouble};
use dockseal_verify::{Check, FileKind, Finding, Outcome as Judged};

use super::{Diagnosis, refused, unknown};
use crate::commands::probe::{
    picture::{OnDisk, Picture, certificates, is_docker, refusal, shortened},
    remedy::{RESTART, reissue_daemon, secure, word},
    warnings::NOTABLE_SKEW,
    words::{ahead, answer, described, shown},
};

/// Whether the proxy that docker goes through gives it a connection.
pub(super) fn proxy_lets_through(picture: &Picture<'_>) -> Option<Diagnosis> {
    let proxy = picture.routes.tls.as_ref()?;
    let stopped = |attempt: &Attempt| match &attempt.trouble {
        Some(Trouble::ProxyRefused { .. } | Trouble::ProxyNotHttp) => true,
        Some(Trouble::Silent { phase } | Trouble::Closed { phase } | Trouble::Reset { phase }) => {
            *phase == Phase::Proxy
        }
        _ => false,
    };
    if !picture.tls_attempts().all(stopped) {
        return None;
    }
    let attempt = picture.tls_attempts().next()?;
    let host = word(&picture.target.host);
    let authority = picture.target.authority();
    let past = format!("go past it, as docker then does too: export NO_PROXY={host}");
    let hint = match &attempt.trouble {
        Some(Trouble::ProxyRefused { status: 407, .. }) => {
            format!(
                "give it user and password: HTTPS_PROXY=http://USER:PASSWORD@{}; or {past}",
                proxy.address.authority()
            )
        }
        Some(Trouble::ProxyRefused { status, .. }) if *status < 500 => {
            format!("have it allow CONNECT to {authority}, or {past}")
        }
        Some(Trouble::ProxyRefused { .. }) => format!("see whether the proxy reaches {authority}, or {past}"),
        _ => format!("see whether HTTPS_PROXY names an HTTP proxy, or {past}"),
    };
    unknown(format!("docker goes through the proxy {proxy}, which HTTPS_PROXY names: {}", described(attempt)), hint)
}

pub(super) fn port_speaks_tls(picture: &Picture<'_>) -> Option<Diagnosis> {
    if picture.tls_attempts().any(Attempt::is_answered_in_tls) {
        return None;
    }
    let plain = picture.observation.attempt(Offer::Plain)?;
    if let Some(ping) = &plain.ping {
        if is_docker(ping) {
            return refused(
                Gate::SameProtocol,
                "the daemon speaks plain HTTP on this port: nothing is encrypted, and whoever reaches it is root on its \
                 host (DOCKER_TLS_VERIFY in dockerd's environment does not turn TLS on)",
                secure(picture),
            );
        }
        return unknown(
            format!("a web server or proxy that is no Docker answers there in plain HTTP: {}", answer(ping)),
            "find the daemon's port: it is 2376 with TLS unless its hosts setting says otherwise",
        );
    }
    let everything = || picture.observation.attempts.iter();
    let banner = everything().map(|attempt| &attempt.banner).find(|banner| !banner.is_empty());
    if let Some(banner) = banner {
        let said = shown(banner);
        return if banner.starts_with(b"SSH-") {
            unknown(
                format!("an SSH server listens there, not Docker: it says {said}"),
                format!(
                    "use that port with DOCKER_HOST=ssh://USER@{}, or dial the daemon's TLS port, usually 2376",
                    picture.target.authority()
                ),
            )
        } else {
            unknown(
                format!("what answers there speaks neither TLS nor HTTP: it says {said}"),
                "dial the daemon's TLS port, usually 2376",
            )
        };
    }
    let ended = everything().all(|attempt| {
        matches!(attempt.trouble, Some(Trouble::Closed { .. } | Trouble::Reset { .. } | Trouble::Local(_)))
    });
    if ended {
        return unknown(
            "it takes connections and ends each without a word",
            "look for what forwards the port: a forwarding or proxy with no daemon behind it does this; on the host, \
             see with: ss -ltnp",
        );
    }
    unknown(
        "it takes connections and never answers",
        "look whether the process behind the port hangs, or a firewall on the way; a slow one may need a longer --timeout",
    )
}

pub(super) fn handshake(picture: &Picture<'_>) -> Option<Diagnosis> {
    if let Some(seen) = picture.best().and_then(|attempt| attempt.handshake.as_ref())
        && seen.proof == Proof::Wrong
    {
        return refused(
            Gate::Handshake,
            "what answers there shows a certificate whose key it does not have",
            "make sure that nothing sits between here and the daemon; then replace its cert.pem and key.pem together",
        );
    }
    if picture.served().is_some() {
        return None;
    }
    let attempt = picture.best()?;
    if attempt.trouble == Some(Trouble::LongMessage) {
        // crypto/tls common.go `maxHandshake`, since 1.24 `maxHandshakeCertificateMsg`
        let hint = "serve the daemon's certificate and its intermediates alone: take every other certificate out of its \
                    cert.pem, and restart it";
        return if picture.version == Version::V20_10 {
            refused(Gate::Handshake, "it sends more than 64 KiB of certificates, and docker 20.10 reads no more", hint)
        } else {
            unknown(
                format!(
                    "it sends more than 64 KiB of certificates, which this program does not read; docker {} reads up to \
                     256 KiB, docker 20.10 up to 64",
                    picture.version
                ),
                hint,
            )
        };
    }
    let alerts = picture.tls_attempts().filter_map(|attempt| match &attempt.trouble {
        Some(Trouble::Alert { name, .. }) => Some(name.as_str()),
        _ => None,
    });
    let alerts: Vec<&str> = alerts.collect();
    if !alerts.is_empty() {
        let other = alerts.iter().find(|alert| **alert != "protocol_version");
        return if other.is_none() {
            refused(
                Gate::Handshake,
                "it speaks neither TLS 1.3 nor TLS 1.2, the only versions that docker takes",
                "put a server of this decade there: every dockerd since 18.09 speaks TLS 1.2",
            )
        } else {
            refused(
                Gate::Handshake,
                format!(
                    "it ends the handshake before it shows a certificate, with the alert {}",
                    other.unwrap_or(&alerts[0])
                ),
                "see its own log for the reason; a server that demands ALPN or an older cipher suite is no dockerd",
            )
        };
    }
    unknown(
        format!("the TLS handshake with it does not come to a certificate: {}", described(attempt)),
        "see the log of what listens there; the same from another machine tells whether something between interferes",
    )
}

pub(super) fn chain_is_accepted(picture: &Picture<'_>) -> Option<Diagnosis> {
    let verdict = picture.chain_verdict.as_ref()?;
    let finding = refusal(verdict);
    match verdict.outcome() {
        Judged::Accepted => return None,
        Judged::Undetermined(_) => {
            return unknown(
                finding.map_or_else(|| "the judge cannot tell".to_owned(), |finding| finding.text.clone()),
                finding.map_or("", |finding| finding.remedy),
            );
        }
        Judged::Refused(_) => {}
    }
    let finding = finding?;
    let not_restarted = matches!(picture.on_disk, Some(OnDisk::Differs { would_be_accepted: Some(true), .. }));
    if not_restarted {
        return refused(
            Gate::ClientAcceptsDaemon,
            format!(
                "the daemon still serves the certificate that it was started with, and docker refuses that one: {}",
                finding.text
            ),
            RESTART,
        );
    }
    let (cause, hint) = refused_chain(picture, finding);
    refused(Gate::ClientAcceptsDaemon, cause, hint)
}

fn refused_chain(picture: &Picture<'_>, finding: &Finding) -> (String, String) {
    let leaf = picture.chain.first().and_then(Option::as_ref);
    let cause = format!("docker refuses the daemon's certificate: {}", finding.text);
    let issue = reissue_daemon(picture, leaf);
    match finding.check {
        // Its authority is the one that is trusted, and another thing is wrong; or it is the authority that has expired.
        Check::UnknownAuthority | Check::Expired | Check::NotYetValid if finding.remedy != finding.check.remedy() => {
            (cause, finding.remedy.trim_end_matches('.').to_owned())
        }
        Check::UnknownAuthority => {
            let unread = picture.client.and_then(|client| client.unread(Check::UnknownAuthority, FileKind::Ca));
            if let Some((form, mending)) = unread {
                return (format!("{cause}; {form}"), mending);
            }
            let dir = picture.client.map_or("the client's directory", |client| client.dir.as_str());
            let Some(leaf) = leaf else { return (cause, issue) };
            let anchors = picture.client.and_then(|client| client.material.ca.bytes()).map(certificates);
            let same_name = anchors.into_iter().flatten().any(|anchor| anchor.subject == leaf.issuer);
            let cause = if same_name {
                format!(
                    "the daemon's certificate is of an authority {} that has the name, but not the key, of the one in \
                     {dir}/ca.pem: the authority was made anew",
                    leaf.issuer
                )
            } else {
                format!("{dir}/ca.pem does not hold the authority {} that issued the daemon's certificate", leaf.issuer)
            };
            let hint = format!(
                "copy that authority's ca.pem over {}/ca.pem, after making sure that it is the right one; or put \
                 certificates of the client's authority on the daemon: {issue}",
                word(dir)
            );
            (cause, hint)
        }
        // The host is in it, as a name of another kind.
        Check::HostMismatch if finding.remedy != finding.check.remedy() => {
            (cause, format!("issue it anew with the address as an IP name: {issue}"))
        }
        Check::HostMismatch => {
            let names: Vec<String> =
                leaf.map_or_else(Vec::new, |leaf| leaf.names.iter().map(ToString::to_string).collect());
            let cause = if names.is_empty() {
                format!(
                    "the daemon's certificate has no subject alternative name, so it is not for {}; docker does not look \
                     at the common name",
                    picture.target.host
                )
            } else {
                format!(
                    "the daemon's certificate is not for {}, but for {}",
                    picture.target.host,
                    shortened(&names.join(", "), 400)
                )
            };
            let known = leaf.into_iter().flat_map(|leaf| &leaf.names).find_map(dialled_as);
            let hint = known.map_or_else(
                || issue.clone(),
                |host| {
                    let target = Target::new(host, picture.target.port);
                    format!("dial it by a name that it has, e.g. tcp://{}; or {issue}", target.authority())
                },
            );
            (cause, hint)
        }
        Check::Expired | Check::NotYetValid if picture.skew.is_some_and(|skew| skew.abs() > NOTABLE_SKEW) => (
            format!("{cause}; the daemon's clock is {}", ahead(picture.skew.unwrap_or_default())),
            format!("set both clocks right (timedatectl), then see whether it still is; if so: {issue}"),
        ),
        Check::Expired | Check::NotYetValid | Check::UsageIncompatible => (cause, issue),
        other => (cause, format!("{} ({}); {issue}", other.remedy().trim_end_matches('.'), other.id())),
    }
}

/// The host to dial for a name in a certificate, if one can.
fn dialled_as(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::Dns(name)
            if !name.contains('*')
                && SubjectAltName::parse(name).is_ok()
                && name.parse::<std::net::IpAddr>().is_err() =>
        {
            Some(name.clone())
        }
        GeneralName::Ip(address) => Some(address.to_string()),
        _ => None,
    }
}
