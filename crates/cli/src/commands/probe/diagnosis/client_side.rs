//! From the client's files to the daemon that takes them.

use dockseal_docker::gate::Gate;
use dockseal_pki::moment;
use dockseal_probe::{Attempt, ClientCertificate, Offer, Trouble};
use dockseal_verify::{Check, FileKind, Finding, Purpose, judge_chain};

use super::{Diagnosis, refused, unknown};
use crate::{
    commands::probe::{
        picture::{ClientSide, Picture, certificates, refusal, shortened},
        remedy::{RESTART, leaf, reissue_client, word},
        words::{described, is_refusal_of_nginx, located, name},
    },
    correction::Correction,
};

pub(super) fn client_loads(picture: &Picture<'_>) -> Option<Diagnosis> {
    let client = picture.client?;
    let finding = client.not_loaded.as_ref()?;
    if let (Check::FileUnavailable, Some(Correction { wrong, fix })) = (finding.check, &client.correction) {
        let cause = format!("docker does not load {}: {}: {wrong}", client.dir, located(finding));
        return refused(Gate::ClientLoads, cause, fix);
    }
    let cause = format!("docker does not load {}: {}", client.dir, located(finding));
    if let Some((form, mending)) = client.unread_at_load() {
        return refused(Gate::ClientLoads, format!("{cause}: {form}"), mending);
    }
    let file = finding.place.as_ref().map(|place| place.file);
    let hint = match finding.check {
        Check::FileUnavailable if matches!(file, Some(FileKind::Cert | FileKind::Key)) => format!(
            "let docker read it as a file: see ls -l {}; to make all three anew: {}",
            word(&client.dir),
            reissue_client(picture)
        ),
        Check::FileUnavailable | Check::CaUnusable => format!(
            "put the ca.pem of the authority that issued the daemon's certificate into {}; for all three files: {}",
            client.dir,
            reissue_client(picture)
        ),
        Check::KeyEncrypted => format!(
            "store it without: openssl pkey -in {0}/key.pem -out {0}/key.new && mv {0}/key.new {0}/key.pem",
            word(&client.dir)
        ),
        _ => reissue_client(picture),
    };
    refused(Gate::ClientLoads, cause, hint)
}

pub(super) fn certificate_is_offered(picture: &Picture<'_>) -> Option<Diagnosis> {
    let authorities = picture.authorities()?;
    let Some(client) = picture.client else {
        return unknown(
            "the daemon asks for a client certificate, and none was given to try",
            format!("name the client's directory: dockseal probe {} --client DIR", picture.url()),
        );
    };
    if !client.has_certificate() {
        let missing = if client.material.cert.bytes().is_none() { "cert.pem" } else { "key.pem" };
        return refused(
            Gate::ClientOffersCertificate,
            format!("the daemon demands a client certificate, and {} has no {missing}", client.dir),
            reissue_client(picture),
        );
    }
    if let Err(why) = &client.identity {
        return unknown(
            format!("the client's certificate cannot be tried: {why}"),
            format!("try docker itself: docker --tlsverify -H {} version; or use a P-256 key", picture.url()),
        );
    }
    let attempt = picture.observation.attempt(Offer::WithCertificate)?;
    match attempt.handshake.as_ref().map(|seen| seen.client_certificate) {
        Some(ClientCertificate::Withheld) => {
            let issuer = leaf(client).map(|leaf| shortened(&leaf.issuer.to_string(), 200));
            let by = issuer.as_ref().map_or_else(String::new, |issuer| format!(", issued by {issuer},"));
            let names: Vec<String> = authorities.iter().map(|der| name(der)).collect();
            let cause = format!(
                "docker does not send the client's certificate{by} because the daemon takes only those of: {}",
                shortened(&names.join("; "), 400)
            );
            if let Some((form, mending)) = client.unread(Check::ClientCertificateWithheld, FileKind::Cert) {
                return refused(Gate::ClientOffersCertificate, format!("{cause}; {form}"), mending);
            }
            refused(
                Gate::ClientOffersCertificate,
                cause,
                format!(
                    "have one issued by that authority ({}), or add the certificate of {} to the daemon's ca.pem and \
                     {RESTART}",
                    reissue_client(picture),
                    issuer.as_deref().unwrap_or("the client's authority")
                ),
            )
        }
        Some(ClientCertificate::KeyUnusable) => refused(
            Gate::ClientOffersCertificate,
            "the daemon takes no signature that the client's key can make",
            reissue_client(picture),
        ),
        Some(ClientCertificate::Sent) => client_is_accepted(picture, client, attempt),
        _ => None,
    }
}

fn client_is_accepted(picture: &Picture<'_>, client: &ClientSide, attempt: &Attempt) -> Option<Diagnosis> {
    let alert = match (&attempt.trouble, &attempt.ping) {
        (Some(Trouble::Alert { name, .. }), _) => Some(name.as_str()),
        (Some(Trouble::Closed { .. } | Trouble::Reset { .. }), None) => None,
        (_, Some(ping)) if is_refusal_of_nginx(ping) => None,
        _ => return None,
    };
    let gate = Gate::DaemonAcceptsClient;
    let said = alert.map_or_else(String::new, |alert| format!(" (it says only {alert})"));
    // What is invalid about the certificate alone. A ca.pem without its issuer is not the daemon's, which asks for that one.
    let closer = |finding: &Finding| (finding.check, finding.text.clone(), finding.remedy);
    let is_told = |finding: &&Finding| {
        let rests_on_ca =
            finding.check == Check::UnknownAuthority || finding.gate == Some(Gate::ClientOffersCertificate);
        !rests_on_ca || knows_issuer(client)
    };
    let own = client.not_accepted.as_ref().filter(is_told).map(closer);
    // What is wrong with it for the CA file that the daemon has on disk.
    let against_disk = || {
        let verdict = judge_chain(
            client.material.cert.bytes()?,
            picture.daemon?.ca.bytes()?,
            Purpose::Client,
            None,
            picture.daemon_time(),
            Default::default(),
        );
        refusal(&verdict).map(closer)
    };
    match own.or_else(against_disk) {
        // Its authority is trusted, and another thing is wrong.
        Some((check, text, remedy)) if remedy != check.remedy() => {
            return refused(
                gate,
                format!("the daemon refuses the client's certificate{said}: {text}"),
                remedy.trim_end_matches('.'),
            );
        }
        Some((Check::UnknownAuthority, text, _)) => {
            if let Some((form, mending)) = client.unread(Check::UnknownAuthority, FileKind::Cert) {
                let cause = format!("the daemon refuses the client's certificate{said}: {text}; {form}");
                return refused(gate, cause, mending);
            }
            let whose = if picture.daemon.is_some() { "the daemon's ca.pem" } else { "the client's own ca.pem" };
            return refused(
                gate,
                format!(
                    "the daemon refuses the client's certificate{said}: it was not issued by what is in {whose}: {text}"
                ),
                format!("{}; or add its authority to the daemon's ca.pem and {RESTART}", reissue_client(picture)),
            );
        }
        Some((_, text, _)) => {
            return refused(
                gate,
                format!("the daemon refuses the client's certificate{said}: {text}"),
                reissue_client(picture),
            );
        }
        None => {}
    }
    if alert.is_none() && attempt.ping.is_none() {
        // Go says goodbye with an alert; who does not may have another reason, or be no Docker.
        return unknown(
            format!(
                "after the client's certificate, with which nothing is wrong here, {} and no reason is given",
                described(attempt)
            ),
            "see the daemon's log: journalctl -u docker | grep 'TLS handshake error'; if it has nothing, something between \
             ends the connection, as haproxy does where no daemon is behind it: see whether dockerd runs there",
        );
    }
    if alert == Some("certificate_expired") {
        let until = leaf(client).map_or_else(String::new, |leaf| {
            format!(", which is valid from {} to {}", moment(leaf.validity.not_before), moment(leaf.validity.not_after))
        });
        return refused(
            gate,
            format!(
                "the daemon takes the client's certificate{until} for expired or not yet valid: its clock is wrong"
            ),
            "set the daemon's clock: timedatectl set-ntp true; compare with: date -u",
        );
    }
    if let Some(algorithm) = leaf(client).map(|leaf| leaf.signature_algorithm).filter(|name| is_insecure(name)) {
        return refused(
            gate,
            format!(
                "the daemon refuses the client's certificate{said}: the signature algorithm {algorithm} is insecure"
            ),
            format!("have it signed by SHA-256: {}", reissue_client(picture)),
        );
    }
    if picture.asks_for_ca_on_disk() == Some(true) || matches!(alert, Some("unknown_ca" | "bad_certificate")) {
        let issuer = leaf(client).map_or_else(|| "its authority".to_owned(), |leaf| leaf.issuer.to_string());
        let stale = if picture.daemon.is_some() {
            "its ca.pem was replaced and the daemon not restarted"
        } else {
            "the daemon has another authority of the same name, made earlier or later"
        };
        return refused(
            gate,
            format!("the daemon refuses the client's certificate{said}, though it asks for one of {issuer}: {stale}"),
            format!("put the ca.pem of the authority that issued it on the daemon, and {RESTART}"),
        );
    }
    let ended = alert.map_or_else(|| described(attempt), |alert| format!("it sent the alert {alert}"));
    refused(
        gate,
        format!("the daemon does not take the client's certificate: {ended}"),
        "see the daemon's log for its reason: journalctl -u docker | grep 'TLS handshake error'",
    )
}

/// Whether the client's ca.pem holds an authority of a name that issued something of what the client sends.
fn knows_issuer(client: &ClientSide) -> bool {
    let anchors = client.material.ca.bytes().map(certificates).unwrap_or_default();
    let sent = client.material.cert.bytes().map(certificates).unwrap_or_default();
    sent.iter().any(|sent| anchors.iter().any(|anchor| anchor.subject == sent.issuer))
}

/// What Go verifies no signature of (crypto/x509 x509.go `checkSignature`).
fn is_insecure(algorithm: &str) -> bool {
    algorithm.starts_with("sha1") || algorithm.starts_with("md5")
}
