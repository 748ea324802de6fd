//! The recorded materials and the recorder's words.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;

use dockseal_docker::gate::Gate;
use dockseal_verify::{Outcome, Verdict};
use time::macros::datetime;

/// When docker and dockerd were asked.
pub(crate) const AT: time::OffsetDateTime = datetime!(2026-11-23 18:00 UTC);

/// Every recorded file by its path in the archive.
pub(crate) fn materials() -> HashMap<String, Vec<u8>> {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/docker-truth/materials.tar.gz");
    let mut files = HashMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(archive).unwrap()));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    files
}

/// The recorder's word for a verdict.
pub(crate) fn word(verdict: &Verdict) -> String {
    match verdict.outcome() {
        Outcome::Accepted => "ok".into(),
        Outcome::Refused(gate) => match gate {
            Gate::DaemonStarts => "daemon-start",
            Gate::ClientLoads => "client-config",
            Gate::SameProtocol if verdict.client_uses_tls() => "tls-to-plain-http",
            Gate::SameProtocol => "plain-http-to-tls",
            Gate::Handshake => "handshake",
            Gate::ClientReadsDaemon | Gate::ClientAcceptsDaemon => "client-verify",
            Gate::ClientOffersCertificate | Gate::DaemonAcceptsClient => "daemon-verify",
        }
        .into(),
        Outcome::Undetermined(gate) => format!("undetermined at {gate}"),
    }
}
