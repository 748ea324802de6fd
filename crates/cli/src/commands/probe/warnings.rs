//! What works and should be mended all the same.

use dockseal_probe::{Attempt, Offer};

use super::{
    generations::differences,
    picture::{OnDisk, Picture, is_docker},
    remedy::RESTART,
    words::{ahead, answer},
};

/// A clock that is off by this many seconds is worth a word.
pub(super) const NOTABLE_SKEW: i64 = 60;

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
    warnings.extend(differences(picture));
    warnings
}
