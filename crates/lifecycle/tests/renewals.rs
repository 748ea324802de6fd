//! What a run of renewals decides, on real directories and without a command line.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dockseal_ca::{Authority, AuthorityRequest, Endpoint, PermittedName, Refusal};
use dockseal_docker::{Layout, Ownership, layout::Names, plan};
use dockseal_inventory::{Entry, Run, Selection};
use dockseal_lifecycle::{
    AuthoritySession, Event, Events, Silence, Surroundings, authority,
    authority::OpenAuthority,
    bundle_directory,
    certificates::leaf_in,
    delivery::{LeftAlone, Outcome},
    init,
    permit::{IssueError, IssueOptions, SubjectKey, new_key, permit},
    renewal::{KeyChoice, RenewOptions, renew},
    session::SessionError,
};
use dockseal_pki::{
    KeyAlgorithm, PrivateKey, PublicKey, SignatureScheme, Signer, SigningError, SubjectAltName, UserName,
};
use dockseal_store::{Existing, Home, previous_path};
use tempfile::TempDir;
use time::{Duration as Span, OffsetDateTime, macros::datetime};

const START: OffsetDateTime = datetime!(2026-11-23 12:00 UTC);

struct House {
    directory: TempDir,
}

impl House {
    /// An authority, a daemon's directory and a client's.
    fn new() -> Self {
        let house = Self { directory: tempfile::tempdir().unwrap() };
        let request =
            AuthorityRequest { name: "Test".to_owned(), lifetime: Authority::USUAL_LIFETIME, permitted: Vec::new() };
        let around = house.at(START);
        let home = Home::new(house.path("ca"));
        let opened = init::draft(&request, KeyAlgorithm::P256, None, home, &around).unwrap().create(&around).unwrap();
        let mut session = AuthoritySession::open_to_sign(&opened, &around, &mut Silence).unwrap();
        let names = vec![SubjectAltName::parse("build.example.com").unwrap().name];
        house.issue(&opened, &mut session, &Endpoint::Daemon { names }, "daemon");
        house.issue(&opened, &mut session, &Endpoint::Client { user: UserName::parse("ada").unwrap() }, "client");
        house
    }

    fn issue(&self, opened: &OpenAuthority, session: &mut AuthoritySession, endpoint: &Endpoint, directory: &str) {
        let around = self.at(START);
        let key = SubjectKey::Here(Box::new(new_key(KeyAlgorithm::P256, &around.random).unwrap()));
        let permitted = permit(&opened.authority, endpoint, key, IssueOptions::default(), &around).unwrap();
        let issued = permitted.issue(&opened.authority, session, None, &around).unwrap();
        let plan = plan(&issued.bundle, endpoint.role(), Layout::Docker, Ownership::default());
        session.deliver(&issued, &plan, Layout::Docker, Path::new(directory), Existing::Keep, &around).unwrap();
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().canonicalize().unwrap().join(name)
    }

    fn at(&self, at: OffsetDateTime) -> Surroundings {
        let run = Run {
            at,
            user: "ada".to_owned(),
            machine: "here".to_owned(),
            machine_name: "here".to_owned(),
            command: "a test".to_owned(),
            time_is_given: false,
        };
        Surroundings::new(run, self.directory.path().canonicalize().unwrap(), Duration::ZERO)
    }

    fn open(&self) -> OpenAuthority {
        authority::open(Home::new(self.path("ca")), None).unwrap()
    }

    /// Renews what is due at a time, and returns what became of each by its name.
    fn renew_at(&self, at: OffsetDateTime, options: RenewOptions) -> Vec<Outcome<Entry>> {
        let around = self.at(at);
        let mut all = Vec::new();
        renew(&self.open(), Selection::Due(at), options, 1, &around, &mut Silence, &mut |outcome| all.push(outcome))
            .unwrap();
        all.sort_by(|one, other| one.subject.name.cmp(&other.subject.name));
        all
    }
}

/// Two thirds of a year, and a day.
const DUE: OffsetDateTime = START.saturating_add(Span::days(245));

#[test]
fn what_is_due_is_renewed_once() {
    let house = House::new();
    assert!(house.renew_at(START + Span::days(240), RenewOptions::default()).is_empty(), "not due yet");
    let before = leaf_in(&house.path("client"), Names::DOCKER).unwrap();
    let renewed = house.renew_at(DUE, RenewOptions::default());
    assert_eq!(renewed.iter().map(|one| one.subject.name.as_str()).collect::<Vec<_>>(), ["ada", "build.example.com"]);
    for outcome in &renewed {
        let issued = outcome.issued.as_ref().unwrap();
        assert!(outcome.troubles.is_empty(), "{:?}", outcome.troubles);
        let [place] = &issued.places[..] else { panic!("{:?}", issued.places) };
        assert_eq!(leaf_in(&place.path, Names::DOCKER), Some(issued.certificate.fingerprint()));
        assert!(issued.certificate.validity.not_after > outcome.subject.certificate.validity.not_after);
    }
    let kept = previous_path(&house.path("client")).unwrap();
    assert_eq!(leaf_in(&kept, Names::DOCKER), Some(before), "the one before is kept");
    assert!(house.renew_at(DUE, RenewOptions::default()).is_empty(), "nothing is due any more");
}

#[test]
fn the_key_is_new_unless_it_is_to_stay() {
    for (key, stays) in [(KeyChoice::New, false), (KeyChoice::Same, true)] {
        let house = House::new();
        let key_of = || {
            let stored = bundle_directory::key(&house.path("client"), "key.pem").unwrap().unwrap();
            stored.key.public_key().spki().to_vec()
        };
        let before = key_of();
        house.renew_at(DUE, RenewOptions { key, ..RenewOptions::default() });
        assert_eq!(before == key_of(), stays, "{key:?}");
    }
}

#[test]
fn what_somebody_changed_is_left_alone() {
    let house = House::new();
    let (client, daemon) = (house.path("client"), house.path("daemon"));
    fs::copy(daemon.join("cert.pem"), client.join("cert.pem")).unwrap();
    fs::remove_file(daemon.join("key.pem")).unwrap();
    let left = house.renew_at(DUE, RenewOptions::default());
    let reasons: Vec<&LeftAlone> = left.iter().flat_map(|one| &one.troubles).map(|trouble| &trouble.reason).collect();
    assert!(left.iter().all(|outcome| outcome.issued.is_none()));
    assert!(
        matches!(reasons[..], [LeftAlone::HoldsAnother { .. }, LeftAlone::KeyGone { name: "key.pem" }]),
        "{reasons:?}"
    );

    fs::remove_dir_all(&client).unwrap();
    fs::remove_dir_all(&daemon).unwrap();
    fs::write(&daemon, "a file").unwrap();
    let left = house.renew_at(DUE, RenewOptions::default());
    let reasons: Vec<&LeftAlone> = left.iter().flat_map(|one| &one.troubles).map(|trouble| &trouble.reason).collect();
    assert!(matches!(reasons[..], [LeftAlone::Gone, LeftAlone::NotADirectory]), "{reasons:?}");
    assert_eq!(fs::read_to_string(&daemon).unwrap(), "a file");
}

/// A link that leads to itself ends like any file that cannot be read, and the others are renewed.
#[test]
fn a_loop_of_links_stops_nobody_else() {
    for file in ["cert.pem", "key.pem"] {
        let house = House::new();
        let client = house.path("client");
        fs::remove_file(client.join(file)).unwrap();
        std::os::unix::fs::symlink("loop", client.join(file)).unwrap();
        std::os::unix::fs::symlink(file, client.join("loop")).unwrap();
        let renewed = house.renew_at(DUE, RenewOptions::default());
        let [ada, daemon] = &renewed[..] else { panic!("{renewed:?}") };
        let (LeftAlone::ChainUnreadable(error) | LeftAlone::KeyUnreadable(error)) = &ada.troubles[0].reason else {
            panic!("{ada:?}")
        };
        assert!(error.to_string().contains("Too many levels of symbolic links"), "{error}");
        assert!(daemon.issued.is_some(), "{daemon:?}");
    }
}

#[test]
fn another_machine_leaves_the_places_of_this_one_alone() {
    let house = House::new();
    let mut around = house.at(DUE);
    around.run.machine = "there".to_owned();
    let mut reasons = Vec::new();
    renew(&house.open(), Selection::Due(DUE), RenewOptions::default(), 10, &around, &mut Silence, &mut |outcome| {
        reasons.extend(outcome.troubles);
    })
    .unwrap();
    assert_eq!(reasons.len(), 2);
    for trouble in reasons {
        assert!(matches!(&trouble.reason, LeftAlone::OnAnotherMachine { machine_name } if machine_name == "here"));
    }
}

#[test]
fn a_clock_that_went_back_ends_the_run() {
    let house = House::new();
    house.renew_at(DUE, RenewOptions::default());
    let open = |around: &Surroundings| AuthoritySession::open(&house.open().home, around, &mut Silence).map(drop);
    let error = open(&house.at(START)).unwrap_err();
    assert!(matches!(error, SessionError::ClockWentBack { now, last } if (now, last) == (START, DUE)), "{error:?}");
    let mut told = house.at(START);
    told.run.time_is_given = true;
    open(&told).unwrap();
}

#[test]
fn one_session_at_a_time() {
    let house = House::new();
    let (opened, around) = (house.open(), house.at(START));
    let first = AuthoritySession::open(&opened.home, &around, &mut Silence).unwrap();
    let second = AuthoritySession::open(&opened.home, &around, &mut Silence);
    assert!(matches!(second.map(drop), Err(SessionError::Lock(_))));
    drop(first);
    AuthoritySession::open(&opened.home, &around, &mut Silence).unwrap();
}

#[test]
fn an_authority_that_has_ended_permits_nothing() {
    let house = House::new();
    let after = START + Span::days(3651);
    let left = house.renew_at(after, RenewOptions::default());
    assert_eq!(left.len(), 2);
    for outcome in left {
        let reason = &outcome.troubles[0].reason;
        let refused =
            matches!(reason, LeftAlone::NotIssued(IssueError::Refused { refusal: Refusal::IssuerExpired { .. }, .. }));
        assert!(refused && outcome.issued.is_none(), "{reason:?}");
    }
}

#[test]
fn a_damaged_list_is_an_event_and_ends_nothing() {
    struct Heard(Vec<String>);
    impl Events for Heard {
        fn tell(&mut self, event: Event) {
            self.0.push(format!("{event:?}"));
        }
    }
    let house = House::new();
    fs::write(house.path("ca").join("crl.pem"), "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n").unwrap();
    let mut heard = Heard(Vec::new());
    AuthoritySession::open(&house.open().home, &house.at(START), &mut heard).unwrap();
    assert!(matches!(&heard.0[..], [one] if one.starts_with("ListsDamaged")), "{:?}", heard.0);
}

/// A key that counts how often it signs.
struct Counting(PrivateKey, Arc<AtomicUsize>);

impl Signer for Counting {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn scheme(&self) -> SignatureScheme {
        self.0.scheme()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.sign(message)
    }
}

/// What Docker would refuse was never signed by the authority, and has no serial number.
#[test]
fn what_the_judge_refuses_is_not_signed() {
    for kind in [KeyAlgorithm::P256, KeyAlgorithm::P384, KeyAlgorithm::Ed25519, KeyAlgorithm::Rsa2048] {
        let house = House { directory: tempfile::tempdir().unwrap() };
        let around = house.at(START);
        let request = AuthorityRequest {
            name: "Test".to_owned(),
            lifetime: Authority::USUAL_LIFETIME,
            permitted: vec![PermittedName::parse("example.com").unwrap()],
        };
        init::draft(&request, kind, None, Home::new(house.path("ca")), &around).unwrap().create(&around).unwrap();
        let key = PrivateKey::from_pem(&fs::read(house.path("ca/ca-key.pem")).unwrap(), None).unwrap().0;
        let (count, opened) = (Arc::new(AtomicUsize::new(0)), house.open());
        let signer = Box::new(Counting(key, Arc::clone(&count)));
        let authority = Authority::load(opened.authority.chain().to_vec(), signer).unwrap();
        let opened = OpenAuthority { authority, home: opened.home };
        let mut session = AuthoritySession::open_to_sign(&opened, &around, &mut Silence).unwrap();
        let issue = |session: &mut AuthoritySession, name: &str| {
            let endpoint = Endpoint::Daemon { names: vec![SubjectAltName::parse(name).unwrap().name] };
            let key = SubjectKey::Here(Box::new(new_key(KeyAlgorithm::P256, &around.random).unwrap()));
            permit(&opened.authority, &endpoint, key, IssueOptions::default(), &around)
                .and_then(|permitted| permitted.issue(&opened.authority, session, None, &around))
        };
        let refused = issue(&mut session, "build.example.org").unwrap_err();
        assert!(matches!(refused, IssueError::NotAccepted { .. }), "{kind:?}: {refused:?}");
        assert_eq!(count.load(Ordering::Relaxed), 0, "{kind:?}");
        assert_eq!(session.inventory.newest().unwrap(), None, "{kind:?}: a serial number was taken");
        let issued = issue(&mut session, "build.example.com").unwrap();
        assert_eq!(count.load(Ordering::Relaxed), 1, "{kind:?}");
        assert!(issued.certificate.is_signed_by(opened.authority.issuer()), "{kind:?}");
        assert_eq!(session.inventory.newest().unwrap(), Some(issued.id));
    }
}
