//! What was seen, put beside the files: everything that the report and the diagnosis rest on.

use dockseal_docker::{gate::Gate, version::Version};
use dockseal_pki::{Certificate, pem};
use dockseal_probe::{Attempt, ClientCertificate, Handshake, Identity, Observation, Offer, Reply, Routes, Target};
use dockseal_verify::{
    Check, Designation, FileKind, Finding, Material, MaterialFile, Purpose, Scenario, Severity, Verdict, judge,
    judge_chain,
};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

pub(super) use super::pem_certificates as certificates;
use super::{dialled::Manner, remedy::OwnAuthority};
use crate::{correction::Correction, hints::as_hint, invocation::Invocation, unread};

/// The client's files.
pub(super) struct ClientSide {
    /// The directory, printable.
    pub(super) dir: String,
    pub(super) material: Material,
    /// What can be offered, or why nothing can.
    pub(super) identity: Result<Identity, String>,
    /// Why docker does not even load the files.
    pub(super) not_loaded: Option<Finding>,
    /// Why a daemon with the same CA file would refuse the certificate.
    pub(super) not_accepted: Option<Finding>,
    docker: Version,
    /// What mends files in a form that docker does not read.
    mending: String,
    /// What is wrong with the name of their directory.
    pub(super) correction: Option<Correction>,
}

impl ClientSide {
    pub(super) fn new(
        dir: String,
        material: Material,
        identity: Result<Identity, String>,
        docker: Version,
        invocation: &Invocation,
    ) -> Self {
        let now = invocation.now;
        let not_loaded = not_loaded(&material, docker, now);
        // The daemon that refuses does not tell its version.
        let mut dockerds = Version::RELEASED.into_iter().rev();
        let not_accepted = dockerds.find_map(|dockerd| not_accepted(&material, docker, dockerd, now));
        let mending = as_hint(&unread::remedy(&material, invocation));
        Self { dir, material, identity, not_loaded, not_accepted, docker, mending, correction: None }
    }

    /// The same, with what is wrong with the name of their directory.
    pub(super) fn corrected(self, correction: Option<Correction>) -> Self {
        Self { correction, ..self }
    }

    /// The form of a file that is the reason for this check's refusal, and what mends it.
    pub(super) fn unread(&self, check: Check, file: FileKind) -> Option<(String, String)> {
        let reason = unread::reason(check.id(), Some(file), &[file], &self.material, self.docker.docker_go());
        reason.map(|(kind, form)| (format!("{} {form}", kind.default_name()), self.mending.clone()))
    }

    /// The same for what docker does not load.
    pub(super) fn unread_at_load(&self) -> Option<(String, String)> {
        let finding = self.not_loaded.as_ref()?;
        let file = finding.place.as_ref().map_or(FileKind::Cert, |place| place.file);
        self.unread(finding.check, file)
    }

    /// Whether docker has both certificate and key, and so offers them.
    pub(super) fn has_certificate(&self) -> bool {
        self.material.cert.bytes().is_some() && self.material.key.bytes().is_some()
    }
}

/// Why docker does not even load these files.
pub(super) fn not_loaded(material: &Material, docker: Version, now: OffsetDateTime) -> Option<Finding> {
    client_refusal(material, docker, Version::default(), now, &[Gate::ClientLoads])
}

/// Why a dockerd with the same CA file would refuse the certificate.
pub(super) fn not_accepted(
    material: &Material,
    docker: Version,
    dockerd: Version,
    now: OffsetDateTime,
) -> Option<Finding> {
    client_refusal(material, docker, dockerd, now, &[Gate::ClientOffersCertificate, Gate::DaemonAcceptsClient])
}

/// What is wrong with the client's files at these gates, whatever the daemon's are.
fn client_refusal(
    material: &Material,
    docker: Version,
    dockerd: Version,
    now: OffsetDateTime,
    gates: &[Gate],
) -> Option<Finding> {
    let absent = || MaterialFile::missing("", Designation::Default);
    let daemon = Material { ca: material.ca.clone(), cert: absent(), key: absent() };
    let verdict = judge(&daemon, material, &Scenario::mutual("localhost").between(docker, dockerd), now);
    verdict.refusals().find(|finding| finding.gate.is_some_and(|gate| gates.contains(&gate))).cloned()
}

/// What is asked, and beside what it is put.
#[derive(Clone, Copy)]
pub(super) struct Question<'p> {
    pub(super) target: &'p Target,
    pub(super) routes: &'p Routes,
    pub(super) docker: Version,
    pub(super) client: Option<&'p ClientSide>,
    pub(super) manner: &'p Manner,
    pub(super) daemon: Option<&'p Material>,
    pub(super) own: &'p OwnAuthority,
    pub(super) now: OffsetDateTime,
    /// This machine's clock when the probe began.
    pub(super) began: OffsetDateTime,
}

/// What the daemon says about itself.
#[derive(Default)]
pub(super) struct DockerFacts {
    pub(super) version: Option<String>,
    pub(super) api: Option<String>,
    pub(super) os: Option<String>,
    pub(super) arch: Option<String>,
}

/// What the daemon serves, beside what is in its directory.
pub(super) enum OnDisk {
    Same,
    /// The certificate in the directory is another one.
    Differs {
        disk: Box<Certificate>,
        would_be_accepted: Option<bool>,
    },
    /// The certificate is served, and other certificates after it.
    OtherIntermediates,
    /// There is nothing to compare.
    Unknown(String),
}

/// Everything that is known.
pub(super) struct Picture<'p> {
    pub(super) target: &'p Target,
    pub(super) routes: &'p Routes,
    /// The client's version.
    pub(super) version: Version,
    pub(super) observation: &'p Observation,
    pub(super) client: Option<&'p ClientSide>,
    pub(super) manner: &'p Manner,
    pub(super) daemon: Option<&'p Material>,
    pub(super) own: &'p OwnAuthority,
    /// The chain that was served; what cannot be read is `None`.
    pub(super) chain: Vec<Option<Certificate>>,
    chain_pem: String,
    /// What docker makes of the chain with the client's ca.pem.
    pub(super) chain_verdict: Option<Verdict>,
    pub(super) docker: Option<DockerFacts>,
    /// How far the daemon's clock is ahead of this machine's, in seconds.
    pub(super) skew: Option<i64>,
    pub(super) on_disk: Option<OnDisk>,
    pub(super) now: OffsetDateTime,
}

impl<'p> Picture<'p> {
    pub(super) fn new(question: Question<'p>, observation: &'p Observation) -> Self {
        let Question { target, routes, docker: version, client, manner, daemon, own, now, began } = question;
        let mut picture = Self {
            target,
            routes,
            version,
            observation,
            client,
            manner,
            daemon,
            own,
            chain: Vec::new(),
            chain_pem: String::new(),
            chain_verdict: None,
            docker: None,
            skew: None,
            on_disk: None,
            now,
        };
        let served = picture.served().map(|seen| seen.chain.clone()).unwrap_or_default();
        picture.chain_pem = served.iter().map(|der| pem::encode("CERTIFICATE", der)).collect();
        picture.chain = served.iter().map(|der| Certificate::from_der(der).ok()).collect();
        if let (Some(client), false) = (client, served.is_empty()) {
            picture.chain_verdict = client.material.ca.bytes().map(|anchors| picture.judged_served(anchors, version));
        }
        let replies: Vec<&Reply> = observation.attempts.iter().flat_map(|a| [&a.version, &a.ping]).flatten().collect();
        picture.docker = replies.iter().any(|reply| is_docker(reply)).then(|| facts(&replies));
        picture.skew = replies.iter().find_map(|reply| skew(reply, began));
        picture.on_disk = daemon.map(|daemon| picture.compared(daemon, &served));
        picture
    }

    fn judged(&self, chain: &[u8], anchors: &[u8], docker: Version) -> Verdict {
        judge_chain(chain, anchors, Purpose::Server, Some(&self.target.host), self.now, docker)
    }

    /// What this docker makes of the chain that was served.
    pub(super) fn judged_served(&self, anchors: &[u8], docker: Version) -> Verdict {
        self.judged(self.chain_pem.as_bytes(), anchors, docker)
    }

    /// `tcp://HOST:PORT`, with the path that there is.
    pub(super) fn url(&self) -> String {
        format!("tcp://{}{}", self.target.authority(), self.target.base_path)
    }

    /// The attempts over TLS, the one with the client's certificate first.
    pub(super) fn tls_attempts(&self) -> impl Iterator<Item = &'p Attempt> {
        [Offer::WithCertificate, Offer::Tls13, Offer::Tls12]
            .into_iter()
            .filter_map(|offer| self.observation.attempt(offer))
    }

    /// The handshake in which a chain was served.
    pub(super) fn served(&self) -> Option<&'p Handshake> {
        self.tls_attempts().filter_map(|attempt| attempt.handshake.as_ref()).find(|seen| !seen.chain.is_empty())
    }

    /// The attempt that docker would make: with the certificate that there is, in the best version.
    pub(super) fn best(&self) -> Option<&'p Attempt> {
        let came_far = |attempt: &&Attempt| attempt.handshake.as_ref().is_some_and(|seen| !seen.chain.is_empty());
        self.tls_attempts().find(came_far).or_else(|| self.tls_attempts().next())
    }

    /// The attempt that docker would make without a certificate.
    pub(super) fn bare(&self) -> Option<&'p Attempt> {
        let bare = || self.tls_attempts().filter(|attempt| attempt.offer != Offer::WithCertificate);
        let came_far = |attempt: &&Attempt| attempt.handshake.as_ref().is_some_and(|seen| !seen.chain.is_empty());
        bare().find(came_far).or_else(|| bare().next())
    }

    /// The names of the authorities that the daemon asks for; none when it asks for no certificate.
    pub(super) fn authorities(&self) -> Option<&'p Vec<Vec<u8>>> {
        self.tls_attempts().filter_map(|attempt| attempt.handshake.as_ref()).find_map(|seen| seen.authorities.as_ref())
    }

    /// What became of the client's certificate.
    pub(super) fn client_certificate(&self) -> ClientCertificate {
        let with = self.observation.attempt(Offer::WithCertificate).or(self.best());
        with.and_then(|attempt| attempt.handshake.as_ref()).map(|seen| seen.client_certificate).unwrap_or_default()
    }

    /// The daemon's clock, as far as that is known.
    pub(super) fn daemon_time(&self) -> OffsetDateTime {
        self.now.saturating_add(time::Duration::seconds(self.skew.unwrap_or_default()))
    }

    fn compared(&self, daemon: &Material, served: &[Vec<u8>]) -> OnDisk {
        let Some(text) = daemon.cert.bytes() else {
            return OnDisk::Unknown("there is no cert.pem to compare with".to_owned());
        };
        if served.is_empty() {
            return OnDisk::Unknown("the daemon served no certificate".to_owned());
        }
        let disk: Vec<Vec<u8>> = dockseal_verify::certificates(text, Version::default().dockerd_go()).collect();
        let Some(leaf) = disk.first().and_then(|der| Certificate::from_der(der).ok()) else {
            return OnDisk::Unknown("its cert.pem cannot be read".to_owned());
        };
        if leaf.der() != served[0] {
            let anchors = self.client.and_then(|client| client.material.ca.bytes());
            let would_be_accepted = anchors.map(|anchors| self.judged(text, anchors, self.version).is_accepted());
            return OnDisk::Differs { disk: Box::new(leaf), would_be_accepted };
        }
        if disk == served { OnDisk::Same } else { OnDisk::OtherIntermediates }
    }

    /// Whether the daemon asks for the authorities that are in its ca.pem; none when that is not known.
    pub(super) fn asks_for_ca_on_disk(&self) -> Option<bool> {
        let on_disk = certificates(self.daemon?.ca.bytes()?);
        let asked = self.authorities()?;
        Some(on_disk.iter().all(|ca| asked.iter().any(|name| name == ca.subject.der())))
    }
}

/// What docker refuses the chain for.
pub(super) fn refusal(verdict: &Verdict) -> Option<&Finding> {
    verdict.findings().iter().find(|finding| finding.severity == Severity::Refusal)
}

/// Whether an answer is a Docker daemon's: it names the API's version, or itself, or a plugin of its refused
/// (moby daemon/server/middleware/version.go, pkg/authorization/authz.go).
pub(super) fn is_docker(reply: &Reply) -> bool {
    let body = || String::from_utf8_lossy(&reply.body).contains("authorization denied by plugin");
    reply.header("api-version").is_some()
        || reply.header("server").is_some_and(|server| server.starts_with("Docker/"))
        || reply.status == 403 && body()
}

/// Whether Docker answers, and not that it refuses.
pub(super) fn is_dockers_yes(reply: &Reply) -> bool {
    is_docker(reply) && reply.status < 400
}

fn facts(replies: &[&Reply]) -> DockerFacts {
    let mut facts = DockerFacts::default();
    for reply in replies.iter().filter(|reply| reply.status == 200) {
        let json: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let text = |name: &str| {
            let text = json.get(name)?.as_str()?;
            Some(shortened(text, 80))
        };
        facts.version = facts.version.or_else(|| text("Version"));
        facts.api =
            facts.api.or_else(|| text("ApiVersion")).or_else(|| Some(shortened(reply.header("api-version")?, 80)));
        facts.os = facts.os.or_else(|| text("Os")).or_else(|| Some(shortened(reply.header("ostype")?, 80)));
        facts.arch = facts.arch.or_else(|| text("Arch"));
    }
    facts
}

/// Text of the peer's, fit to be shown.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let mut shown: String = text.chars().take(most).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    dockseal_pki::printable(&shown)
}

/// RFC 9110 section 5.6.7, IMF-fixdate.
const DATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// How far the clock behind this answer is ahead of ours, in seconds.
fn skew(reply: &Reply, began: OffsetDateTime) -> Option<i64> {
    let date = time::PrimitiveDateTime::parse(reply.header("date")?, DATE).ok()?.assume_utc();
    // It was some moment of that second, and on its way since.
    let theirs = date.checked_add(time::Duration::milliseconds(500))?;
    let ours = began.checked_add(reply.after.try_into().ok()?)?;
    Some((theirs - ours).as_seconds_f64().round() as i64)
}
