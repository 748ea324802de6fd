//! TCP listeners: what each answers to a stranger, and what the settings say.

use std::net::SocketAddr;

use dockseal_docker::{daemon_settings::DaemonSettings, endpoint::Endpoint, mode::DaemonMode, settings::FileSetting};

use super::certificates::served;
use crate::{
    facts::{Daemon, Facts, Listener},
    finding::{Finding, Severity},
};

/// Whether there is a TCP listener of the API.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// There is.
    Tcp,
    /// There is none.
    LocalOnly,
}

/// What a stranger met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    /// The API, in plain HTTP.
    PlainApi,
    /// The API, in TLS.
    OpenApi,
    /// TLS, and no answer without a certificate.
    ClosedTls,
    /// TLS of swarm's own authority.
    Swarm,
    /// HTTP that is not the API's: metrics.
    OtherHttp,
    /// Nothing of the kind.
    Nothing,
    /// Nobody dialled.
    Unknown,
}

pub(super) fn judge(
    facts: &Facts,
    daemon: &Daemon,
    settings: Option<&DaemonSettings>,
    found: &mut Vec<Finding>,
) -> Reach {
    let mut reach = Reach::LocalOnly;
    let named: Vec<&Endpoint> = settings
        .iter()
        .flat_map(|settings| &settings.listeners)
        .filter(|listener| matches!(listener, Endpoint::Tcp { .. }))
        .collect();
    match &daemon.tcp {
        Some(addresses) => {
            for address in addresses {
                let met = met(facts.listeners.get(address));
                let is_api = named.iter().any(|named| is_at(named, *address));
                if let Some(finding) = one(&address.to_string(), met, is_api, settings) {
                    if !matches!(met, Met::Swarm | Met::OtherHttp) && finding.id != "listener-other" {
                        reach = Reach::Tcp;
                    }
                    found.push(finding);
                }
            }
        }
        // Without a look at the sockets: what the settings name.
        None => {
            for listener in named {
                let dialled = facts.listeners.iter().find(|(address, _)| is_at(listener, **address));
                let met = met(dialled.map(|(_, listener)| listener));
                found.extend(one(&listener.to_string(), met, true, settings));
                reach = Reach::Tcp;
            }
        }
    }
    if reach == Reach::LocalOnly {
        found.push(Finding::new("listener-none", Severity::Ok, "dockerd", "it does not listen on TCP").bench(&["2.7"]));
    }
    reach
}

fn one(subject: &str, met: Met, is_api: bool, settings: Option<&DaemonSettings>) -> Option<Finding> {
    const BENCH: &[&str] = &["2.7"];
    let finding = |id, severity, seen: &str| Finding::new(id, severity, subject, seen).bench(BENCH);
    let plain = |seen: &str| {
        finding("listener-plain", Severity::Critical, seen)
            .fix("turn mutual TLS on, or take the listener out: whoever reaches it is root here")
    };
    let unverified = |seen: &str| {
        finding("listener-unverified", Severity::Critical, seen)
            .fix("set tlsverify to true with a tlscacert of your own: whoever reaches it is root here")
    };
    let mode = settings.map(|settings| settings.mode);
    let ca = settings.and_then(|settings| settings.files.as_ref()).map(|files| &files.ca);
    let verified = |seen: &str| match (mode, ca) {
        (Some(mode), Some(FileSetting::Empty)) if mode.verifies_client() => finding(
            "listener-public-ca",
            Severity::Critical,
            "it takes the certificates of every public CA, for tlscacert is empty",
        )
        .fix("set tlscacert to your own authority's certificate: anybody can get one from a public CA"),
        (Some(mode), _) if mode.verifies_client() => finding("listener-mutual", Severity::Ok, seen),
        (None, _) => finding(
            "listener-unknown",
            Severity::Warning,
            "it asks for a certificate, and whose it takes cannot be told: its settings are damaged",
        )
        .fix("mend daemon.json and look again"),
        _ => finding(
            "listener-differs",
            Severity::Warning,
            "it asks for a certificate, and the settings as they are now do not",
        )
        .fix("dockerd runs with older settings; after a restart it will take everybody"),
    };
    Some(match met {
        Met::PlainApi => plain("it answers everybody, without TLS"),
        Met::OpenApi => unverified("it answers everybody: TLS without a client's certificate"),
        Met::ClosedTls if is_api || mode.is_none_or(DaemonMode::uses_tls) => {
            verified("mutual TLS; it did not answer without a certificate")
        }
        Met::Swarm => {
            Finding::new("listener-swarm", Severity::Ok, subject, "swarm's own port, under swarm's own authority")
        }
        Met::OtherHttp => {
            Finding::new("listener-other", Severity::Advice, subject, "HTTP, but not the API: metrics, perhaps")
                .fix("see who may reach it")
        }
        Met::ClosedTls | Met::Nothing if !is_api => {
            Finding::new("listener-other", Severity::Advice, subject, "it listens, and is not the API")
        }
        Met::ClosedTls | Met::Nothing => {
            finding("listener-unknown", Severity::Warning, "it listens and gave no answer that tells what it is")
                .fix("dial it by hand")
        }
        Met::Unknown => match mode {
            Some(DaemonMode::None) => plain("no TLS, as its settings say; nothing on the host could dial it"),
            Some(mode) if !mode.verifies_client() => {
                unverified("TLS without a client's certificate, as its settings say; nothing on the host could dial it")
            }
            Some(_) => verified("mutual TLS, as its settings say; nothing on the host could dial it"),
            None => finding("listener-unknown", Severity::Warning, "nothing on the host could dial it")
                .fix("install curl and openssl there, or dial it from elsewhere"),
        },
    })
}

/// Authorization plugins see every request on a TCP listener (docker-bench-security 2.12).
pub(super) fn authorization(facts: &Facts, daemon: &Daemon, reach: Reach, found: &mut Vec<Finding>) {
    if reach == Reach::LocalOnly {
        return;
    }
    let plugins = facts.configured(daemon, "authorization-plugin", "authorization-plugins");
    found.push(if plugins.is_empty() {
        Finding::new(
            "authorization-none",
            Severity::Advice,
            "dockerd",
            "no authorization plugin: every client may do everything",
        )
        .bench(&["2.12"])
    } else {
        Finding::new("authorization", Severity::Ok, "dockerd", format!("authorization by {}", plugins.join(", ")))
            .bench(&["2.12"])
    });
}

/// The first release without the hole: plugins saw no body where it was too large (moby GHSA-x744-4wpc-v9h2).
const AUTHORIZATION_MENDED: [u32; 3] = [29, 3, 1];

/// Whether authorization plugins can be passed by: CVE-2026-34040, on every kind of listener.
pub(super) fn authorization_bypass(facts: &Facts, daemon: &Daemon, found: &mut Vec<Finding>) {
    let plugins = facts.configured(daemon, "authorization-plugin", "authorization-plugins");
    let Some(release) = facts.release_number().filter(|_| !plugins.is_empty()) else { return };
    if numbers(release).is_none_or(|numbers| numbers >= AUTHORIZATION_MENDED) {
        return;
    }
    let seen = format!(
        "dockerd {release} lets requests with large bodies past {} (CVE-2026-34040), unless the distribution mended it",
        plugins.join(", ")
    );
    let bypass = Finding::new("authorization-bypass", Severity::Warning, "dockerd", seen);
    found.push(bypass.fix("install dockerd 29.3.1 or later: until then count every client of the API as root here"));
}

/// `29.3.1-rc.1` and `20.10.24+dfsg1` as numbers.
fn numbers(release: &str) -> Option<[u32; 3]> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    Some([parts.next()??, parts.next()??, parts.next().flatten().unwrap_or_default()])
}

/// Addresses to listen on that the host does not have (bind(2), EADDRNOTAVAIL).
pub(super) fn unbindable(facts: &Facts, settings: &DaemonSettings, found: &mut Vec<Finding>) {
    for listener in &settings.listeners {
        let Endpoint::Tcp { host, .. } = listener else { continue };
        let Ok(address) = host.parse() else { continue };
        if facts.local.has(address) == Some(false) {
            let seen = "this host does not have the address, so dockerd cannot listen there and does not start";
            let missing = Finding::new("listener-address-missing", Severity::Warning, listener.to_string(), seen);
            found.push(missing.fix("name an address that the host has, or 0.0.0.0 with mutual TLS"));
        }
    }
}

fn met(listener: Option<&Listener>) -> Met {
    let Some(Listener { plain, tls }) = listener else { return Met::Unknown };
    let text = |bytes: &Option<Vec<u8>>| String::from_utf8_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    let (plain_text, tls_text) = (text(plain), text(tls));
    // Every answer of the API bears it (moby api/server/middleware/version.go).
    let is_api = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.contains("http/1.") && (text.contains("\napi-version:") || text.contains("\nserver: docker/"))
    };
    // Go's answer to a plain request on a TLS port (net/http server.go).
    let speaks_tls = plain_text.contains("Client sent an HTTP request to an HTTPS server");
    let certificate = served(tls.as_deref().unwrap_or_default());
    match certificate {
        _ if is_api(&plain_text) => Met::PlainApi,
        _ if is_api(&tls_text) => Met::OpenApi,
        Some(certificate) if certificate.issuer.common_name().as_deref() == Some("swarm-ca") => Met::Swarm,
        Some(_) => Met::ClosedTls,
        // Without openssl there is no telling whether it asks for a certificate: the settings have to.
        None if speaks_tls && tls.is_none() => Met::Unknown,
        None if speaks_tls => Met::ClosedTls,
        None if plain_text.starts_with("HTTP/1.") => Met::OtherHttp,
        None if plain.is_none() && tls.is_none() => Met::Unknown,
        None => Met::Nothing,
    }
}

/// Whether an address is where an endpoint of the settings listens; a name may be any.
fn is_at(endpoint: &Endpoint, address: SocketAddr) -> bool {
    let Endpoint::Tcp { host, port } = endpoint else { return false };
    let same_host = match host.parse::<std::net::IpAddr>() {
        // A dual-stack socket shows as [::].
        Ok(ip) => ip == address.ip() || (ip.is_unspecified() && address.ip().is_unspecified()),
        Err(_) => true,
    };
    same_host && port.is_none_or(|port| port == address.port())
}
