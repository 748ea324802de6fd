//! The gates of whole scenarios, one reason to refuse at a time.

use dockseal_docker::gate::Gate;
use dockseal_docker::mode::{ClientMode, DaemonMode};
use dockseal_docker::version::Version;
use dockseal_verify::{
    Check, Designation, Finding, Material, MaterialFile, Outcome, Scenario, Severity, Side, Status, Verdict,
    differences, judge, judge_client, judge_daemon, judge_generations,
};
use time::OffsetDateTime;
use time::macros::datetime;

mod mint;

use mint::{Key, Recipe, usage};

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

/// A CA and a good bundle for each side.
struct Site {
    ca_key: Key,
    ca: String,
    daemon: Material,
    client: Material,
}

impl Site {
    fn new() -> Self {
        let ca_key = Key::new();
        let ca = Recipe::root().issue(&ca_key, &ca_key);
        let bundle = |recipe: Recipe| {
            let key = Key::new();
            Material::from_bytes("", ca.as_bytes(), recipe.issue(&key, &ca_key), key.pem())
        };
        let daemon = bundle(Recipe::server("Root"));
        let client = bundle(Recipe::new("client", "Root", vec![usage(2)]));
        Self { ca_key, ca, daemon, client }
    }

    fn judge(&self, client: ClientMode, daemon: DaemonMode) -> Verdict {
        judge(&self.daemon, &self.client, &Scenario::mutual("a.test").in_modes(client, daemon), NOW)
    }

    fn mutual(&self) -> Verdict {
        self.judge(ClientMode::TlsVerifyCert, DaemonMode::TlsVerify)
    }
}

fn refused(verdict: &Verdict) -> Option<(Gate, Check)> {
    match verdict.outcome() {
        Outcome::Refused(gate) => {
            let finding = verdict.refusals().find(|finding| finding.gate == Some(gate));
            finding.map(|finding| (gate, finding.check))
        }
        _ => None,
    }
}

#[test]
fn who_is_authenticated_in_each_mode() {
    let site = Site::new();
    let table = [
        (ClientMode::None, DaemonMode::None, true, (false, false, false)),
        (ClientMode::None, DaemonMode::Tls, false, (false, false, false)),
        (ClientMode::Tls, DaemonMode::None, false, (false, false, false)),
        (ClientMode::Tls, DaemonMode::Tls, false, (false, false, false)),
        (ClientMode::Tls, DaemonMode::TlsVerifyFalse, true, (true, false, false)),
        (ClientMode::TlsCert, DaemonMode::Tls, true, (true, false, true)),
        (ClientMode::TlsVerify, DaemonMode::TlsVerify, false, (false, false, false)),
        (ClientMode::TlsVerify, DaemonMode::TlsVerifyFalse, true, (true, true, false)),
        (ClientMode::TlsVerifyCert, DaemonMode::TlsVerify, true, (true, true, true)),
    ];
    for (client, daemon, accepted, authenticated) in table {
        let verdict = site.judge(client, daemon);
        assert_eq!(verdict.is_accepted(), accepted, "{client} against {daemon}");
        let answers = (verdict.is_encrypted(), verdict.authenticates_daemon(), verdict.authenticates_client());
        assert_eq!(answers, authenticated, "{client} against {daemon}");
    }
}

#[test]
fn warnings_about_modes_do_not_refuse() {
    let verdict = Site::new().judge(ClientMode::TlsCert, DaemonMode::Tls);
    let warnings = verdict.findings().iter().filter(|finding| finding.severity == Severity::Warning);
    let checks: Vec<Check> = warnings.map(|finding| finding.check).collect();
    assert!(verdict.is_accepted());
    assert_eq!(checks, [Check::DaemonNotVerified, Check::DaemonTlsVerifies]);
}

#[test]
fn files_of_the_daemon() {
    let start = |change: fn(&mut Site)| {
        let mut site = Site::new();
        change(&mut site);
        refused(&site.mutual())
    };
    let at = |check| Some((Gate::DaemonStarts, check));
    let missing = || MaterialFile::missing("x", Designation::Default);
    assert_eq!(start(|_| ()), None);
    assert_eq!(
        start(|site| site.daemon.ca = MaterialFile::missing("x", Designation::Default)),
        at(Check::FileUnavailable)
    );
    assert_eq!(
        start(|site| site.daemon.key = MaterialFile::missing("x", Designation::Default)),
        at(Check::FileUnavailable)
    );
    assert_eq!(
        start(|site| site.daemon.ca = MaterialFile::from_bytes("x", Designation::Named, "no")),
        at(Check::CaUnusable)
    );
    assert_eq!(start(|site| site.daemon.key = site.client.key.clone()), at(Check::KeyMismatch));
    assert_eq!(start(|site| site.daemon.cert = site.daemon.key.clone()), at(Check::CertificateMissing));
    assert_eq!(start(|site| site.daemon.key = site.daemon.cert.clone()), at(Check::KeyMissing));
    // Without verification nobody opens the CA file.
    let mut site = Site::new();
    site.daemon.ca = missing();
    assert!(site.judge(ClientMode::TlsVerify, DaemonMode::TlsVerifyFalse).is_accepted());
}

#[test]
fn files_of_the_client() {
    let mut site = Site::new();
    site.client.ca = MaterialFile::missing("x", Designation::Default);
    assert_eq!(
        refused(&site.judge(ClientMode::Tls, DaemonMode::TlsVerifyFalse)),
        Some((Gate::ClientLoads, Check::FileUnavailable))
    );
    let mut site = Site::new();
    site.client.key = MaterialFile::missing("x", Designation::Named);
    assert_eq!(refused(&site.mutual()), Some((Gate::ClientLoads, Check::FileUnavailable)));
    site.client.key = MaterialFile::missing("x", Designation::Default);
    let verdict = site.mutual();
    assert_eq!(refused(&verdict), Some((Gate::ClientOffersCertificate, Check::ClientCertificateMissing)));
    assert!(verdict.findings().iter().any(|finding| finding.check == Check::CertificateIncomplete));
    let mut site = Site::new();
    site.client.ca = MaterialFile::not_named();
    assert!(matches!(site.mutual().outcome(), Outcome::Undetermined(Gate::ClientAcceptsDaemon)), "system roots");
    assert!(site.judge(ClientMode::TlsVerify, DaemonMode::None).is_accepted(), "docker forgets about TLS");
    let old = Scenario::mutual("a.test").between(Version::V20_10, Version::V29);
    assert_eq!(refused(&judge(&site.daemon, &site.client, &old, NOW)), Some((Gate::ClientLoads, Check::ClientPanics)));
}

#[test]
fn a_certificate_of_a_ca_that_the_daemon_does_not_name_stays_at_home() {
    let mut site = Site::new();
    let (other_key, key) = (Key::new(), Key::new());
    let leaf = Recipe::new("client", "Other", vec![usage(2)]).issue(&key, &other_key);
    site.client.cert = MaterialFile::from_bytes("c", Designation::Named, leaf);
    site.client.key = MaterialFile::from_bytes("k", Designation::Named, key.pem());
    assert_eq!(refused(&site.mutual()), Some((Gate::ClientOffersCertificate, Check::ClientCertificateWithheld)));
    // Of the same name and another key: sent, and refused.
    let leaf = Recipe::new("client", "Root", vec![usage(2)]).issue(&key, &other_key);
    site.client.cert = MaterialFile::from_bytes("c", Designation::Named, leaf);
    assert_eq!(refused(&site.mutual()), Some((Gate::DaemonAcceptsClient, Check::UnknownAuthority)));
}

#[test]
fn messages_have_a_limit() {
    let mut site = Site::new();
    let chain = |site: &Site, copies: usize| {
        let mut chain = site.daemon.cert.bytes().unwrap_or_default().to_vec();
        chain.extend(site.ca.repeat(copies).as_bytes());
        MaterialFile::from_bytes("c", Designation::Named, chain)
    };
    let leaf = site.daemon.cert.clone();
    site.daemon.cert = chain(&site, 1000);
    assert_eq!(refused(&site.mutual()), Some((Gate::Handshake, Check::MessageTooLarge)));
    site.daemon.cert = leaf;
    site.daemon.cert = chain(&site, 300);
    assert!(site.mutual().is_accepted());
    let old = Scenario::mutual("a.test").between(Version::V20_10, Version::V29);
    let verdict = judge(&site.daemon, &site.client, &old, NOW);
    assert_eq!(refused(&verdict), Some((Gate::Handshake, Check::MessageTooLarge)), "64 KiB until Go 1.20");
}

#[test]
fn one_side_alone() {
    let site = Site::new();
    assert!(judge_daemon(&site.daemon, &["a.test"], NOW).is_accepted());
    assert!(judge_daemon(&site.daemon, &[], NOW).is_accepted());
    assert!(!judge_daemon(&site.client, &[], NOW).is_accepted());
    assert_eq!(
        refused(&judge_daemon(&site.daemon, &["a.test", "b.test"], NOW)),
        Some((Gate::ClientAcceptsDaemon, Check::HostMismatch))
    );
    assert_eq!(
        refused(&judge_daemon(&site.client, &["a.test"], NOW)).map(|(gate, _)| gate),
        Some(Gate::ClientAcceptsDaemon)
    );
    assert!(judge_client(&site.client, NOW).is_accepted());
    assert_eq!(refused(&judge_client(&site.daemon, NOW)), Some((Gate::DaemonAcceptsClient, Check::UsageIncompatible)));
    let verdict = judge_client(&site.client, NOW);
    assert!(verdict.gates().contains(&(Gate::DaemonStarts, Status::NotApplicable("the client is judged alone"))));
    let key = Key::new();
    let negative = Recipe { serial: vec![0x80], ..Recipe::new("c", "Root", vec![usage(2)]) }.issue(&key, &site.ca_key);
    let material = Material::from_bytes("", site.ca.as_bytes(), negative, key.pem());
    assert!(!judge_client(&material, NOW).is_accepted(), "one generation that refuses is enough");
}

#[test]
fn advice_never_changes_the_verdict() {
    let mut site = Site::new();
    let key = Key::new();
    let both = Recipe { not_after: "261201000000Z", ..Recipe::new("c", "Root", vec![]) }.issue(&key, &site.ca_key);
    site.client.cert = MaterialFile::from_bytes("c", Designation::Named, both);
    site.client.key = MaterialFile::from_bytes("k", Designation::Named, key.pem());
    let verdict = site.mutual();
    assert!(verdict.is_accepted());
    let about_the_client = |finding: &&Finding| {
        finding.check != Check::OtherStacksRefuse
            && finding.place.as_ref().is_some_and(|place| place.side == Side::Client)
    };
    let checks: Vec<Check> = verdict.findings().iter().filter(about_the_client).map(|finding| finding.check).collect();
    assert_eq!(checks, [Check::ExpiresSoon, Check::BothUsages]);
}

#[test]
fn generations_can_differ() {
    let mut site = Site::new();
    let scenario = Scenario::mutual("a.test");
    let verdicts = judge_generations(&site.daemon, &site.client, &scenario, NOW);
    assert_eq!(verdicts.len(), 16);
    assert_eq!(differences(&verdicts, &scenario), None);
    let key = Key::new();
    let negative = Recipe { serial: vec![0x80], ..Recipe::new("c", "Root", vec![usage(2)]) };
    site.client.cert = MaterialFile::from_bytes("c", Designation::Named, negative.issue(&key, &site.ca_key));
    site.client.key = MaterialFile::from_bytes("k", Designation::Named, key.pem());
    let verdicts = judge_generations(&site.daemon, &site.client, &scenario, NOW);
    let finding = differences(&verdicts, &scenario);
    let text = finding.unwrap().text;
    assert!(text.contains("docker 28 with dockerd 20.10: accepted"), "{text}");
    assert!(text.contains("docker go1.27 (from Go, not yet from a docker) with dockerd 20.10: accepted"), "{text}");
}

#[test]
fn docker_looks_at_the_first_block_of_the_key_file_whatever_it_is() {
    let foreign = "-----BEGIN X-----\nDEK-Info: a\n\nAA==\n-----END X-----\n";
    let behind = |key: &MaterialFile| {
        let bytes = [foreign.as_bytes(), key.bytes().unwrap_or_default()].concat();
        MaterialFile::from_bytes("k", Designation::Named, bytes)
    };
    let mut site = Site::new();
    site.daemon.key = behind(&site.daemon.key);
    assert!(site.mutual().is_accepted());
    site.client.key = behind(&site.client.key);
    assert_eq!(refused(&site.mutual()), Some((Gate::ClientLoads, Check::KeyEncrypted)));
}
