//! Advice about material that Docker takes, one piece at a time; each time on an otherwise exemplary site.

use dockseal_verify::{Check, Designation, FileKind, Finding, Material, MaterialFile, Scenario, Severity, Side, judge};
use time::OffsetDateTime;
use time::macros::datetime;

mod mint;

use mint::{Key, Recipe, alt_names, ca, dns, extension, key_usage, sequence, usage};

const NOW: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

/// keyCertSign and cRLSign; digitalSignature.
const SIGNS: u8 = 0x06;
const PROVES: u8 = 0x80;

fn key_id(id: u8) -> Vec<u8> {
    extension(14, false, &[4, 1, id])
}

fn issuer_id(id: u8) -> Vec<u8> {
    extension(35, false, &sequence(&[&[0x80, 1, id]]))
}

/// What RFC 5280 wants of a CA.
fn root() -> Recipe {
    Recipe::new("Root", "Root", vec![ca(None), key_usage(SIGNS), key_id(1)])
}

fn leaf(common_name: &str, purpose: u8) -> Recipe {
    let extensions = vec![key_usage(PROVES), usage(purpose), issuer_id(1), alt_names(&[&dns("a.test")])];
    Recipe { not_after: "280101000000Z", not_before: "260101000000Z", ..Recipe::new(common_name, "Root", extensions) }
}

/// A CA, a daemon and a client.
struct Site {
    root: Recipe,
    daemon: Recipe,
    client: Recipe,
}

impl Site {
    fn new() -> Self {
        Self { root: root(), daemon: leaf("daemon", 1), client: leaf("client", 2) }
    }

    /// What the judge says of this site, which Docker must take.
    fn advice(&self) -> Vec<Finding> {
        let ca_key = Key::new();
        let ca = self.root.issue(&ca_key, &ca_key);
        let bundle = |folder, recipe: &Recipe| {
            let key = Key::new();
            Material::from_bytes(folder, ca.as_bytes(), recipe.issue(&key, &ca_key), key.pem())
        };
        let (daemon, client) = (bundle("daemon", &self.daemon), bundle("client", &self.client));
        let verdict = judge(&daemon, &client, &Scenario::mutual("a.test"), NOW);
        assert!(verdict.is_accepted(), "{:?}", verdict.findings());
        assert!(verdict.findings().iter().all(|finding| finding.severity == Severity::Advice));
        verdict.findings().to_vec()
    }
}

/// Checks, whose file, and a part of the text.
fn assert_says(site: &Site, expected: &[(Check, Side, FileKind, &str)]) {
    let advice = site.advice();
    assert_eq!(advice.len(), expected.len(), "{advice:#?}");
    for (finding, (check, side, file, text)) in advice.iter().zip(expected) {
        assert_eq!(finding.check, *check, "{finding:?}");
        assert!(finding.place.as_ref().is_some_and(|place| (place.side, place.file) == (*side, *file)), "{finding:?}");
        assert!(finding.text.contains(text), "{finding:?}");
    }
}

#[test]
fn nothing_to_say_about_an_exemplary_site() {
    assert_says(&Site::new(), &[]);
}

#[test]
fn long_lifetimes() {
    // 825 days, and a second more.
    let site = |not_after| Site { daemon: Recipe { not_after, ..leaf("daemon", 1) }, ..Site::new() };
    assert_says(&site("280405000000Z"), &[]);
    let long = (Check::LongLifetime, Side::Daemon, FileKind::Cert, "Apple's platforms");
    assert_says(&site("280405000001Z"), &[long]);
    let client = Recipe { not_after: "300101000000Z", ..leaf("client", 2) };
    let long = (Check::LongLifetime, Side::Client, FileKind::Cert, "valid for 1461 days: whoever gets hold");
    assert_says(&Site { client, ..Site::new() }, &[long]);
}

#[test]
fn ends_of_leaves_and_cas() {
    let daemon = Recipe { not_after: "261223115959Z", ..leaf("daemon", 1) };
    let soon = (Check::ExpiresSoon, Side::Daemon, FileKind::Cert, "expires at 2026-12-23T11:59:59Z");
    assert_says(&Site { daemon, ..Site::new() }, &[soon]);
    let daemon = Recipe { not_after: "261223120000Z", ..leaf("daemon", 1) };
    assert_says(&Site { daemon, ..Site::new() }, &[]);

    let outlives = |side| (Check::OutlivesCa, side, FileKind::Cert, "its CA \"Root\" only until 2027-12-31T00:00:00Z");
    let root = |not_after| Recipe { not_after, ..root() };
    let (daemon, client) = (outlives(Side::Daemon), outlives(Side::Client));
    assert_says(&Site { root: root("271231000000Z"), ..Site::new() }, &[daemon, client]);
    assert_says(&Site { root: root("280101000000Z"), ..Site::new() }, &[]);

    let short = |recipe| Recipe { not_after: "270201000000Z", ..recipe };
    let site = Site { root: root("270220000000Z"), daemon: short(leaf("daemon", 1)), client: short(leaf("client", 2)) };
    // Each side verifies with its own copy of the CA file.
    let ends = |side| (Check::CaExpiresSoon, side, FileKind::Ca, "the CA \"Root\" expires at 2027-02-20");
    assert_says(&site, &[ends(Side::Client), ends(Side::Daemon)]);
}

#[test]
fn other_stacks() {
    const STRICT: &str = "strict OpenSSL (Python since 3.13) refuses what Docker takes: ";
    let of_cas = |text: &'static str| {
        [Side::Client, Side::Daemon].map(|side| (Check::OtherStacksRefuse, side, FileKind::Ca, text))
    };
    let root = |extensions| Site { root: Recipe::new("Root", "Root", extensions), ..Site::new() };
    assert_says(
        &root(vec![ca(None), key_id(1)]),
        &of_cas("(Python since 3.13) refuses what Docker takes: a CA has no keyUsage"),
    );
    assert_says(&root(vec![ca(None), key_usage(SIGNS)]), &of_cas("a CA has no subjectKeyIdentifier"));
    let lax = extension(19, false, &sequence(&[&[1, 1, 0xff]]));
    assert_says(&root(vec![lax, key_usage(SIGNS), key_id(1)]), &of_cas("a CA's basicConstraints is not critical"));

    let daemon = |extensions: Vec<Vec<u8>>| {
        let names = alt_names(&[&dns("a.test")]);
        let extensions = [vec![names], extensions].concat();
        Site { daemon: Recipe { extensions, ..leaf("daemon", 1) }, ..Site::new() }
    };
    let says = |text| (Check::OtherStacksRefuse, Side::Daemon, FileKind::Cert, text);
    let without = daemon(vec![key_usage(PROVES), usage(1)]);
    assert_says(&without, &[says(STRICT)]);
    let of_another = daemon(vec![key_usage(PROVES), usage(1), issuer_id(7)]);
    assert_says(&of_another, &[says("OpenSSL and Java refuse what Docker takes: the authorityKeyIdentifier")]);
    let empty = daemon(vec![key_usage(PROVES), extension(37, false, &sequence(&[])), issuer_id(1)]);
    let both = (Check::BothUsages, Side::Daemon, FileKind::Cert, "by a daemon and by a client");
    assert_says(&empty, &[both, says("OpenSSL, rustls (with ring) and Java refuse")]);
    let a_ca = daemon(vec![ca(None), key_usage(PROVES | SIGNS), usage(1), issuer_id(1), key_id(2)]);
    assert_says(&a_ca, &[says("rustls (with ring) refuses what Docker takes: the certificate is a CA's")]);
    let only_signs = daemon(vec![key_usage(0x20), usage(1), issuer_id(1)]);
    assert_says(
        &only_signs,
        &[says("Java refuses what Docker takes: the certificate's keyUsage lacks digitalSignature")],
    );
}

#[test]
fn what_the_daemon_lists_and_what_the_client_has() {
    let (ca_key, other_key, key) = (Key::new(), Key::new(), Key::new());
    let ca = root().issue(&ca_key, &ca_key);
    let daemon = Material::from_bytes("daemon", ca.as_bytes(), leaf("daemon", 1).issue(&key, &ca_key), key.pem());
    let foreign = Recipe { issuer: mint::name("Other"), ..leaf("client", 2) }.issue(&key, &other_key);
    let mut client = Material::from_bytes("client", ca.as_bytes(), foreign, key.pem());
    let withheld = |daemon: &Material, client: &Material| {
        let verdict = judge(daemon, client, &Scenario::mutual("a.test"), NOW);
        verdict.refusals().map(|finding| (finding.check, finding.text.clone())).next()
    };
    let text = "docker sends no certificate: the daemon lists \"CN=Root\", and the client's was issued by \"CN=Other\"";
    assert_eq!(withheld(&daemon, &client), Some((Check::ClientCertificateWithheld, text.to_owned())));
    // Many names are cut short, in an order that does not change.
    let mut many = ca.clone();
    for number in 0..6 {
        let name = format!("Root {number}");
        many +=
            &Recipe { issuer: mint::name(&name), subject: mint::name(&name), ..root() }.issue(&other_key, &other_key);
    }
    let daemon = Material { ca: MaterialFile::from_bytes("ca.pem", Designation::Named, many), ..daemon };
    client.ca = daemon.ca.clone();
    let text = "the daemon lists \"CN=Root\", \"CN=Root 0\", \"CN=Root 1\", \"CN=Root 2\" and 3 more, and";
    assert!(withheld(&daemon, &client).is_some_and(|(_, said)| said.contains(text)));
}
