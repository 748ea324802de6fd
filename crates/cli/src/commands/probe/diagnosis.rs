//! The one cause: the first gate, in Docker's order, that is not passed; and the command that mends it.

use dockseal_docker::{env::Shell, env::word_of_command, gate::Gate, mode::ClientMode};
use dockseal_pki::{Certificate, GeneralName, SubjectAltName, moment, pem::encode};
use dockseal_probe::{Attempt, ClientCertificate, Offer, Phase, Proof, Reply, Trouble};
use dockseal_verify::{Check, FileKind, Finding, Outcome as Judged, Purpose, judge_chain};

use super::picture::{ClientSide, OnDisk, Picture, certificates, is_docker, refusal, shortened};

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Works,
    Refused,
    Unknown,
}

impl Outcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

pub(super) struct Diagnosis {
    pub(super) outcome: Outcome,
    /// Where it stops.
    pub(super) gate: Option<Gate>,
    pub(super) cause: String,
    pub(super) hint: String,
}

/// TLS files are read at start only; SIGHUP does not read them again (moby daemon/reload.go Reload).
const RESTART: &str = "restart dockerd, which reads certificates only when it starts: systemctl restart docker";

/// What Go's and nginx's servers answer with when they are asked in plain HTTP.
const PLAIN_ON_TLS: [&str; 2] =
    ["Client sent an HTTP request to an HTTPS server", "The plain HTTP request was sent to HTTPS port"];

/// What nginx answers where Docker would end the handshake (ngx_http_special_response.c, 495 and 496).
const NGINX_REFUSALS: [&str; 2] = ["The SSL certificate error", "No required SSL certificate was sent"];

/// A clock that is off by this many seconds is worth a word.
const NOTABLE_SKEW: i64 = 60;

fn refused(gate: Gate, cause: impl Into<String>, hint: impl Into<String>) -> Option<Diagnosis> {
    Some(Diagnosis { outcome: Outcome::Refused, gate: Some(gate), cause: cause.into(), hint: hint.into() })
}

fn unknown(cause: impl Into<String>, hint: impl Into<String>) -> Option<Diagnosis> {
    Some(Diagnosis { outcome: Outcome::Unknown, gate: None, cause: cause.into(), hint: hint.into() })
}

impl Diagnosis {
    pub(super) fn of(picture: &Picture<'_>) -> Self {
        let gates: [fn(&Picture<'_>) -> Option<Self>; 7] = [
            port_speaks_tls,
            client_loads,
            handshake,
            chain_is_accepted,
            certificate_is_demanded,
            certificate_is_offered,
            daemon_answers,
        ];
        gates.into_iter().find_map(|gate| gate(picture)).unwrap_or_else(|| Self {
            outcome: Outcome::Works,
            gate: None,
            cause: String::new(),
            hint: String::new(),
        })
    }
}

/// What to start instead of whatever is there.
fn secure(picture: &Picture<'_>) -> String {
    format!(
        "give it mutual TLS: dockseal bootstrap {} --client USER, and put the daemon directory in place as that says",
        picture.target.host
    )
}

fn port_speaks_tls(picture: &Picture<'_>) -> Option<Diagnosis> {
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

fn client_loads(picture: &Picture<'_>) -> Option<Diagnosis> {
    let client = picture.client?;
    let finding = client.not_loaded.as_ref()?;
    let hint = match finding.check {
        Check::FileUnavailable | Check::CaUnusable => format!(
            "put the ca.pem of the authority that issued the daemon's certificate into {}; dockseal issue client USER \
             --out DIR writes all three files",
            client.dir
        ),
        Check::KeyEncrypted => format!(
            "store it without: openssl pkey -in {0}/key.pem -out {0}/key.new && mv {0}/key.new {0}/key.pem",
            word(&client.dir)
        ),
        _ => reissue_client(picture),
    };
    refused(Gate::ClientLoads, format!("docker does not load {}: {}", client.dir, located(finding)), hint)
}

fn handshake(picture: &Picture<'_>) -> Option<Diagnosis> {
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

fn chain_is_accepted(picture: &Picture<'_>) -> Option<Diagnosis> {
    let verdict = picture.chain_verdict.as_ref()?;
    let finding = refusal(verdict);
    match verdict.outcome() {
        Judged::Accepted => return None,
        Judged::Undetermined(_) => {
            return unknown(
                finding.map_or_else(|| "the judge cannot tell".to_owned(), |finding| finding.text.clone()),
                finding.map_or("", |finding| finding.check.remedy()),
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
        Check::UnknownAuthority => {
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
            (cause, issue)
        }
        Check::Expired | Check::NotYetValid if picture.skew.is_some_and(|skew| skew.abs() > NOTABLE_SKEW) => (
            format!("{cause}; the daemon's clock is {}", ahead(picture.skew.unwrap_or_default())),
            format!("set both clocks right (timedatectl), then see whether it still is; if so: {issue}"),
        ),
        Check::Expired | Check::NotYetValid | Check::UsageIncompatible => (cause, issue),
        other => (cause, format!("{} ({}); {issue}", other.remedy().trim_end_matches('.'), other.id())),
    }
}

/// Whether the daemon lets in who has no certificate at all: then no client is authenticated.
fn certificate_is_demanded(picture: &Picture<'_>) -> Option<Diagnosis> {
    let ping = picture.bare()?.ping.as_ref()?;
    if !is_docker(ping) {
        return None;
    }
    let cause = match picture.authorities() {
        None => {
            "the daemon asks for no client certificate (--tlsverify=false): whoever reaches the port is root on its host"
        }
        Some(_) => {
            "it asks for a client certificate and answers without one as well, which no dockerd does: see the proxy \
                    in front of it"
        }
    };
    refused(
        Gate::DaemonAcceptsClient,
        cause,
        "start dockerd with --tlsverify --tlscacert=ca.pem, or \"tlsverify\": true and \"tlscacert\" in daemon.json, and \
         restart it",
    )
}

fn certificate_is_offered(picture: &Picture<'_>) -> Option<Diagnosis> {
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
            let issuer = leaf(client).map_or_else(String::new, |leaf| format!(", issued by {},", leaf.issuer));
            let names: Vec<String> = authorities.iter().map(|der| name(der)).collect();
            refused(
                Gate::ClientOffersCertificate,
                format!(
                    "docker does not send the client's certificate{issuer} because the daemon takes only those of: {}",
                    shortened(&names.join("; "), 400)
                ),
                format!(
                    "have one issued by that authority ({}), or add the client's ca.pem to the daemon's and {RESTART}",
                    reissue_client(picture)
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
    // What is wrong with the certificate by itself.
    let own = client.not_accepted.as_ref().map(|finding| (finding.check, finding.text.clone()));
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
        refusal(&verdict).map(|finding| (finding.check, finding.text.clone()))
    };
    match own.or_else(against_disk) {
        Some((Check::UnknownAuthority, text)) => {
            let whose = if picture.daemon.is_some() { "the daemon's ca.pem" } else { "the client's own ca.pem" };
            return refused(
                gate,
                format!(
                    "the daemon refuses the client's certificate{said}: it was not issued by what is in {whose}: {text}"
                ),
                format!("{}; or add its authority to the daemon's ca.pem and {RESTART}", reissue_client(picture)),
            );
        }
        Some((_, text)) => {
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
             ends the connection",
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

fn daemon_answers(picture: &Picture<'_>) -> Option<Diagnosis> {
    let attempt = picture.observation.attempt(Offer::WithCertificate).or(picture.best())?;
    let Some(ping) = &attempt.ping else {
        return unknown(
            format!("TLS works, and then comes no answer to a request: {}", described(attempt)),
            "dial the daemon's TLS port, usually 2376; if this is it, see dockerd's log: journalctl -u docker",
        );
    };
    if !is_docker(ping) {
        return unknown(
            format!("a TLS server that is no Docker answers there: {}", answer(ping)),
            "find the daemon's port: it is 2376 with TLS unless its hosts setting says otherwise",
        );
    }
    if let Some(Proof::NotChecked(why)) = attempt.handshake.as_ref().map(|seen| &seen.proof) {
        return unknown(
            format!("this program cannot check the signature that proves the daemon's key: {why}"),
            format!("try docker itself: docker --tlsverify -H {} version", picture.url()),
        );
    }
    if picture.client.is_none() || picture.chain_verdict.is_none() {
        return unknown(
            "there is no ca.pem of a client to hold the daemon's certificate against",
            format!("name the client's directory: dockseal probe {} --client DIR", picture.url()),
        );
    }
    None
}

/// What works and should be mended all the same.
pub(super) fn warnings(picture: &Picture<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Some(OnDisk::Differs { disk, .. }) = &picture.on_disk {
        let served = picture.chain.first().and_then(Option::as_ref);
        let newer = served.is_some_and(|served| disk.validity.not_before > served.validity.not_before);
        let what = if newer { "the certificate on disk was renewed" } else { "the certificate on disk is another one" };
        warnings.push(format!("{what}, and the daemon still serves the one that it was started with: {RESTART}"));
    }
    if picture.asks_for_ca_on_disk() == Some(false) {
        warnings.push(format!(
            "the daemon does not ask for certificates of every authority in its ca.pem on disk: {RESTART}"
        ));
    }
    if let Some(skew) = picture.skew.filter(|skew| skew.abs() > NOTABLE_SKEW) {
        warnings.push(format!(
            "the daemon's clock is {}: certificates count by it, so set both right (timedatectl)",
            ahead(skew)
        ));
    }
    let plain = picture.observation.attempt(Offer::Plain).and_then(|attempt| attempt.ping.as_ref());
    if picture.tls_attempts().any(Attempt::is_answered_in_tls) && plain.is_some_and(is_docker) {
        warnings.push("the port answers plain HTTP as well as TLS: whoever reaches it is root on its host".to_owned());
    }
    let denied = picture.tls_attempts().filter_map(|attempt| attempt.ping.as_ref()).find(|ping| ping.status == 403);
    if let Some(ping) = denied.filter(|ping| is_docker(ping)) {
        warnings.push(format!("an authorization plugin refuses this client: {}", answer(ping)));
    }
    warnings
}

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
        (Some(ping), _) if is_docker(ping) => ModeAnswer::Connects,
        (Some(ping), _) if is_plain_on_tls(ping) => ModeAnswer::Refused("the port speaks TLS".to_owned()),
        (Some(ping), _) if is_refusal_of_nginx(ping) => ModeAnswer::Refused(answer(ping)),
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

pub(super) fn is_plain_on_tls(reply: &Reply) -> bool {
    let body = String::from_utf8_lossy(&reply.body);
    reply.status == 400 && PLAIN_ON_TLS.iter().any(|text| body.contains(text))
}

fn is_refusal_of_nginx(reply: &Reply) -> bool {
    let body = String::from_utf8_lossy(&reply.body);
    reply.status == 400 && NGINX_REFUSALS.iter().any(|text| body.contains(text))
}

/// `HTTP 400, Server: nginx, "…"`.
pub(super) fn answer(reply: &Reply) -> String {
    let mut text = format!("HTTP {}", reply.status);
    if let Some(server) = reply.header("server") {
        text.push_str(&format!(", Server: {}", shortened(server, 60)));
    }
    let body = String::from_utf8_lossy(&reply.body);
    let first = body.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let known = NGINX_REFUSALS.iter().chain(&PLAIN_ON_TLS).find(|text| body.contains(**text));
    let line = known.copied().unwrap_or(first);
    if !line.is_empty() {
        text.push_str(&format!(", \"{}\"", shortened(line, 120)));
    }
    text
}

/// Why an attempt went no further, in words.
pub(super) fn described(attempt: &Attempt) -> String {
    let during = |phase: Phase| match phase {
        Phase::Connect => "when connecting",
        Phase::Handshake => "during the handshake",
        Phase::Request => "after the request",
    };
    match &attempt.trouble {
        None => "it ended".to_owned(),
        Some(Trouble::Silent { phase }) if attempt.received == 0 => format!("silence {}", during(*phase)),
        Some(Trouble::Silent { phase }) => {
            format!("{} bytes came and it did not get done in time {}", attempt.received, during(*phase))
        }
        Some(Trouble::Closed { phase }) => format!("the connection was closed {}", during(*phase)),
        Some(Trouble::Reset { phase }) => format!("the connection was reset {}", during(*phase)),
        Some(Trouble::Alert { name, .. }) => format!("the alert {name}"),
        Some(Trouble::NotTls) => format!("no TLS: it says {}", shown(&attempt.banner)),
        Some(Trouble::BrokenTls(text)) => format!("broken TLS: {}", shortened(text, 200)),
        Some(Trouble::NotHttp) if attempt.is_answered_in_tls() => "the answer is no HTTP".to_owned(),
        Some(Trouble::NotHttp) => format!("no HTTP: it says {}", shown(&attempt.banner)),
        Some(Trouble::TooMuch) => format!("more came than any daemon sends ({} bytes)", attempt.received),
        Some(Trouble::Local(text)) => shortened(text, 200),
    }
}

/// `92 seconds behind this machine's`.
pub(super) fn ahead(skew: i64) -> String {
    let (count, unit) = match skew.unsigned_abs() {
        seconds @ 0..120 => (seconds, "seconds"),
        seconds @ 120..7200 => (seconds / 60, "minutes"),
        seconds @ 7200..172_800 => (seconds / 3600, "hours"),
        seconds => (seconds / 86_400, "days"),
    };
    format!("{count} {unit} {} this machine's", if skew < 0 { "behind" } else { "ahead of" })
}

/// The first line of what was said, in quotes.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    format!("\"{}\"", shortened(text.lines().next().unwrap_or_default(), 80))
}

/// A distinguished name from its DER, as the report has it.
pub(super) fn name(der: &[u8]) -> String {
    use x509_parser::{prelude::FromDer, x509::X509Name};
    match X509Name::from_der(der) {
        Ok((_, name)) => shortened(&name.to_string(), 200),
        Err(_) => format!("(unreadable name of {} bytes)", der.len()),
    }
}

fn leaf(client: &ClientSide) -> Option<Certificate> {
    certificates(client.material.cert.bytes()?).into_iter().next()
}

fn word(text: &str) -> String {
    word_of_command(Shell::Sh, text)
}

fn reissue_client(picture: &Picture<'_>) -> String {
    let user = picture.client.and_then(leaf).and_then(|leaf| leaf.subject.common_name());
    let user = user.map_or_else(|| "USER".to_owned(), |user| word(&user));
    let out = picture.client.map_or_else(|| "DIR".to_owned(), |client| word(&client.dir));
    format!("dockseal issue client {user} --out {out} --replace")
}

/// The certificate once more, for the names that it has and the one that is dialled.
fn reissue_daemon(picture: &Picture<'_>, leaf: Option<&Certificate>) -> String {
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

/// What was found, and in which file.
fn located(finding: &Finding) -> String {
    match &finding.place {
        Some(place) => format!("{}: {}", place.file.default_name(), finding.text),
        None => finding.text.clone(),
    }
}

/// The PEM text of a certificate that was served.
pub(super) fn pem(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}
