//! What other generations of docker and dockerd would do with the same files and the same answer.

use dockseal_docker::version::Version;
use dockseal_probe::{Offer, TlsVersion};
use time::OffsetDateTime;

use super::{
    picture::{ClientSide, Picture, not_accepted, not_loaded, refusal},
    words::located,
};

/// Where others than the version asked for answer otherwise.
pub(super) fn differences(picture: &Picture<'_>) -> Vec<String> {
    let own = docker_refuses(picture, picture.version);
    let others = || Version::ALL.into_iter().filter(|version| *version != picture.version);
    let mut found: Vec<String> = others()
        .filter_map(|version| match (&own, docker_refuses(picture, version)) {
            (None, Some(why)) => Some(format!("docker {version} would refuse it: {why}")),
            (Some(_), None) => Some(format!("docker {version} would not refuse it for that")),
            _ => None,
        })
        .collect();
    if let Some(client) = picture.client {
        found.extend(dockerds(picture, client, picture.now));
    }
    let is_chacha = |offer| {
        let seen = picture.observation.attempt(offer).and_then(|attempt| attempt.handshake.as_ref());
        seen.is_some_and(|seen| {
            seen.version == Some(TlsVersion::V1_2)
                && seen.suite.as_ref().is_some_and(|suite| suite.contains("CHACHA20"))
        })
    };
    // With TLS 1.3 the suites of 1.2 do not matter.
    if is_chacha(Offer::WithCertificate)
        || picture.client.is_none() && is_chacha(Offer::Tls12) && !speaks_tls13(picture)
    {
        found.push(
            "docker before 29 offers AES-GCM alone in TLS 1.2, and this server chose ChaCha20: see whether it has both \
             with --docker 28"
                .to_owned(),
        );
    }
    found
}

fn speaks_tls13(picture: &Picture<'_>) -> bool {
    let seen = picture.observation.attempt(Offer::Tls13).and_then(|attempt| attempt.handshake.as_ref());
    seen.is_some_and(|seen| seen.suite.is_some())
}

/// Why docker of this version does not come to ask for anything.
fn docker_refuses(picture: &Picture<'_>, version: Version) -> Option<String> {
    let client = picture.client?;
    if let Some(finding) = not_loaded(&client.material, version, picture.now) {
        return Some(located(&finding));
    }
    picture.served()?;
    let verdict = picture.judged_served(client.material.ca.bytes()?, version);
    refusal(&verdict).map(|finding| finding.text.clone())
}

/// dockerd of another version than the one that took the certificate.
fn dockerds(picture: &Picture<'_>, client: &ClientSide, now: OffsetDateTime) -> Vec<String> {
    let running = picture.docker.as_ref().and_then(|docker| docker.version.as_ref()?.parse::<Version>().ok());
    let Some(running) = running.filter(|_| client.has_certificate()) else { return Vec::new() };
    let refuses = |dockerd| not_accepted(&client.material, picture.version, dockerd, now);
    if refuses(running).is_some() {
        return Vec::new();
    }
    let others = Version::ALL.into_iter().filter(|dockerd| *dockerd != running);
    others
        .filter_map(|dockerd| {
            let finding = refuses(dockerd)?;
            Some(format!("dockerd {dockerd} would refuse the client's certificate: {}", finding.text))
        })
        .collect()
}
