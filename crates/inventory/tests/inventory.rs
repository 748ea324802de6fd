//! A serial's way, what counts and what no longer does, and files that are no inventory. What is on the disk is also read by
//! SQLite directly, without our queries.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test, which damages files by hand")]

use std::{fs, path::Path};

use dockseal_docker::{Layout, Ownership, Role};
use dockseal_inventory::{
    Access, CertificateId, Cursor, Delivered, Delivery, Found, GenerationId, Inventory, InventoryError, KeyHolder,
    Kind, Matches, Place, Reservation, Revocation, Run, Selection, Signed, State,
};
use dockseal_pki::{Certificate, RevocationReason, SerialNumber};
use rcgen::{CertificateParams, DnType, KeyPair};
use rusqlite::Connection;
use tempfile::TempDir;
use time::{Duration, OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);

fn run() -> Run {
    Run {
        at: NOW,
        user: "alice".to_owned(),
        machine: "1".repeat(32),
        machine_name: "here.test".to_owned(),
        command: "dockseal issue client alice".to_owned(),
        time_is_given: false,
    }
}

fn place(path: &str) -> Place {
    let run = run();
    Place { kind: Kind::Directory, machine: run.machine, machine_name: run.machine_name, path: path.into() }
}

/// A certificate of this serial that lives for so many days.
fn certificate(serial: &[u8], name: &str, days: i64) -> Certificate {
    let mut params = CertificateParams::new(vec![name.to_owned(), "10.0.0.5".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(rcgen::SerialNumber::from_slice(serial));
    (params.not_before, params.not_after) = (NOW, NOW + Duration::days(days));
    let key = KeyPair::generate().unwrap();
    Certificate::from_der(params.self_signed(&key).unwrap().der()).unwrap()
}

struct Fixture {
    root: TempDir,
    inventory: Inventory,
    generation: GenerationId,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(Inventory::FILE);
        let mut draft = Inventory::in_memory().unwrap();
        let generation = draft.as_run(&run()).generation(&certificate(&[1], "authority", 3650)).unwrap();
        fs::write(&path, draft.to_bytes().unwrap()).unwrap();
        let inventory = Inventory::open(&path, Access::Write).unwrap();
        Self { root, inventory, generation }
    }

    fn path(&self) -> std::path::PathBuf {
        self.root.path().join(Inventory::FILE)
    }

    fn reservation(&self, serial: &[u8], name: &str, predecessor: Option<CertificateId>) -> Reservation {
        Reservation {
            generation: self.generation,
            serial: SerialNumber::from_der_content(serial),
            role: Role::Client,
            name: name.to_owned(),
            predecessor,
        }
    }

    fn reserve(&mut self, serial: &[u8], name: &str, predecessor: Option<CertificateId>) -> CertificateId {
        let reservation = self.reservation(serial, name, predecessor);
        self.inventory.as_run(&run()).reserve(&[reservation]).unwrap()[0]
    }

    fn sign(&mut self, id: CertificateId, certificate: &Certificate, paths: &[&str]) {
        let delivery = |path: &&str| {
            let layout = if path.contains("certs.d") { Layout::Registry } else { Layout::Docker };
            Delivery { place: place(path), layout, ownership: Ownership::default() }
        };
        let places: Vec<_> = paths.iter().map(delivery).collect();
        let signed = Signed { id, certificate, key_holder: KeyHolder::Here, places: &places, command_follows: false };
        self.inventory.as_run(&run()).signed(&[signed]).unwrap();
    }

    fn deliver(&mut self, id: CertificateId, keeps_previous: bool) {
        self.inventory.as_run(&run()).delivered(&[Delivered { id, keeps_previous, command_due: false }]).unwrap();
    }

    /// The whole way: a certificate that is in these places.
    fn issue(&mut self, serial: &[u8], name: &str, paths: &[&str], before: Option<CertificateId>) -> CertificateId {
        let id = self.reserve(serial, name, before);
        self.sign(id, &certificate(serial, name, 90), paths);
        self.deliver(id, before.is_some());
        id
    }

    fn state(&self, id: CertificateId) -> &'static str {
        self.inventory.entry(id).unwrap().unwrap().state.word()
    }

    /// What SQLite itself finds in the file, a row a line.
    fn sql(&self, sql: &str) -> Vec<String> {
        let connection = Connection::open(self.path()).unwrap();
        let mut statement = connection.prepare(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cell = |column| row.get::<_, rusqlite::types::Value>(column).map(|value| format!("{value:?}"));
            (0..columns).map(cell).collect::<Result<Vec<_>, _>>().map(|cells| cells.join(" "))
        });
        rows.unwrap().map(Result::unwrap).collect()
    }
}

#[test]
fn a_serials_way_to_its_places() {
    let mut fixture = Fixture::new();
    let id = fixture.reserve(&[0x40, 2], "alice", None);
    // Taken, and nobody has it.
    assert!(fixture.inventory.entry(id).unwrap().is_none());
    assert!(matches!(fixture.inventory.find("alice", None).unwrap(), Matches::None));
    let made = certificate(&[0x40, 2], "alice", 90);
    fixture.sign(id, &made, &["/one", "/two"]);
    assert_eq!(fixture.state(id), "reserved");
    assert_eq!(fixture.inventory.unfinished().unwrap().len(), 2);
    assert_eq!(fixture.inventory.destinations(None, 9).unwrap().len(), 0);
    fixture.deliver(id, false);
    assert_eq!(fixture.state(id), "issued");
    assert!(fixture.inventory.unfinished().unwrap().is_empty());
    let entry = fixture.inventory.entry(id).unwrap().unwrap();
    assert_eq!((entry.certificate, entry.name.as_str()), (made.clone(), "alice"));
    assert_eq!(entry.due_at, NOW + Duration::days(60));
    let places = fixture.inventory.destinations_of(id).unwrap();
    assert_eq!(places.iter().map(|place| place.place.path.to_str().unwrap()).collect::<Vec<_>>(), ["/one", "/two"]);
    assert_eq!(places[0].delivered_at, Some(NOW));
    // By the user, by another name, by its number in any notation.
    for text in ["alice", "client/alice", "10.0.0.5"] {
        assert!(matches!(fixture.inventory.find(text, None).unwrap(), Matches::One(_)), "{text}");
    }
    assert!(matches!(fixture.inventory.find("daemon/alice", None).unwrap(), Matches::None));
    assert_eq!(fixture.inventory.entry_of(made.fingerprint()).unwrap().unwrap().id, id);
    let trail: Vec<String> = fixture.inventory.events(99).unwrap().into_iter().map(|event| event.what).collect();
    assert_eq!(trail, ["generation", "signed", "delivered", "delivered"]);
}

#[test]
fn a_serial_is_taken_once_and_for_all() {
    let mut fixture = Fixture::new();
    let id = fixture.reserve(&[0x40, 2], "alice", None);
    // With a fresh one beside it: neither is taken.
    let both = [fixture.reservation(&[0x40, 3], "bob", None), fixture.reservation(&[0x40, 2], "bob", None)];
    assert!(fixture.inventory.as_run(&run()).reserve(&both).is_err());
    assert_eq!(fixture.sql("SELECT hex(serial) FROM certificate"), ["Text(\"4002\")"]);
    // Not even by removing what took it.
    fixture.inventory.as_run(&run()).taken_back(&[id]).unwrap();
    assert!(fixture.inventory.as_run(&run()).reserve(&both[1..]).is_err());
    let connection = Connection::open(fixture.path()).unwrap();
    assert!(connection.execute("DELETE FROM certificate", []).is_err());
    // Another issuer has numbers of its own.
    let other = fixture.inventory.as_run(&run()).generation(&certificate(&[9], "successor", 3650)).unwrap();
    let of_other = Reservation { generation: other, ..fixture.reservation(&[0x40, 2], "bob", None) };
    fixture.inventory.as_run(&run()).reserve(&[of_other]).unwrap();
}

#[test]
fn what_is_taken_back_was_never_issued() {
    let mut fixture = Fixture::new();
    let old = fixture.issue(&[0x40, 2], "alice", &["/one"], None);
    let id = fixture.reserve(&[0x40, 3], "alice", Some(old));
    fixture.sign(id, &certificate(&[0x40, 3], "alice", 90), &["/one"]);
    fixture.inventory.as_run(&run()).taken_back(&[id]).unwrap();
    assert_eq!((fixture.state(old), fixture.state(id)), ("issued", "reserved"));
    assert!(fixture.inventory.unfinished().unwrap().is_empty());
    assert_eq!(fixture.inventory.destinations_of(old).unwrap().len(), 1);
    assert_eq!(fixture.inventory.page(Selection::Everything, Cursor::START, 9).unwrap().0.len(), 1);
}

#[test]
fn what_was_renewed_elsewhere_counts_no_longer_once_its_place_is_forgotten() {
    let mut fixture = Fixture::new();
    let old = fixture.issue(&[0x40, 2], "alice", &["/one", "/gone"], None);
    let alone = fixture.issue(&[0x40, 3], "bob", &["/bob"], None);
    let next = fixture.issue(&[0x40, 4], "alice", &["/one"], Some(old));
    let last = fixture.issue(&[0x40, 5], "alice", &["/one"], Some(next));
    assert_eq!([old, next, last].map(|id| fixture.state(id)), ["issued", "superseded", "issued"]);
    for id in [old, alone] {
        let place = fixture.inventory.destinations_of(id).unwrap().remove(0).id;
        fixture.inventory.as_run(&run()).forget(place).unwrap();
        assert!(fixture.inventory.destinations_of(id).unwrap().is_empty());
    }
    assert_eq!([old, last, alone].map(|id| fixture.state(id)), ["superseded", "issued", "issued"]);
}

#[test]
fn a_certificate_counts_until_its_last_place_has_another() {
    let mut fixture = Fixture::new();
    let old = fixture.issue(&[0x40, 2], "alice", &["/one", "/two"], None);
    let new = fixture.issue(&[0x40, 3], "alice", &["/one"], Some(old));
    assert_eq!((fixture.state(old), fixture.state(new)), ("issued", "issued"));
    let kept = &fixture.inventory.destinations_of(new).unwrap()[0];
    assert_eq!(kept.previous, Some(old));
    // The second place was missed, and gets it later.
    let id = fixture.reserve(&[0x40, 4], "alice", Some(old));
    fixture.sign(id, &certificate(&[0x40, 4], "alice", 90), &["/one", "/two"]);
    let places = fixture.inventory.unfinished().unwrap();
    let missed: Vec<_> =
        places.iter().filter(|place| place.place.path == Path::new("/two")).map(|one| one.id).collect();
    fixture.inventory.as_run(&run()).missed(&missed).unwrap();
    fixture.deliver(id, true);
    assert_eq!((fixture.state(old), fixture.state(new), fixture.state(id)), ("issued", "superseded", "issued"));
    let last = fixture.issue(&[0x40, 5], "alice", &["/two"], Some(old));
    assert_eq!((fixture.state(old), fixture.state(last)), ("superseded", "issued"));
}

#[test]
fn what_returns_counts_again() {
    let mut fixture = Fixture::new();
    let old = fixture.issue(&[0x40, 2], "alice", &["/one"], None);
    let new = fixture.issue(&[0x40, 3], "alice", &["/one"], Some(old));
    let destination = fixture.inventory.destinations_of(new).unwrap()[0].id;
    fixture.inventory.as_run(&run()).about_to_return(destination, old).unwrap();
    assert_eq!(fixture.inventory.unfinished().unwrap()[0].pending, Some(old));
    fixture.deliver(old, true);
    assert_eq!((fixture.state(old), fixture.state(new)), ("issued", "superseded"));
    assert_eq!(fixture.inventory.destinations_of(old).unwrap()[0].previous, Some(new));
}

#[test]
fn the_revoked_stays_revoked() {
    let mut fixture = Fixture::new();
    let id = fixture.issue(&[0x40, 2], "alice", &["/one"], None);
    let revocation = |reason| Revocation { at: NOW, reason };
    fixture.inventory.as_run(&run()).revoke(&[id], revocation(RevocationReason::KeyCompromise)).unwrap();
    let state = fixture.inventory.entry(id).unwrap().unwrap().state;
    assert_eq!(state, State::Revoked(revocation(RevocationReason::KeyCompromise)));
    // Neither another reason, nor a successor, nor coming back changes that.
    fixture.inventory.as_run(&run()).revoke(&[id], revocation(RevocationReason::Superseded)).unwrap();
    let new = fixture.issue(&[0x40, 3], "alice", &["/one"], Some(id));
    let destination = fixture.inventory.destinations_of(new).unwrap()[0].id;
    fixture.inventory.as_run(&run()).about_to_return(destination, id).unwrap();
    fixture.deliver(id, true);
    assert_eq!(fixture.inventory.entry(id).unwrap().unwrap().state, state);
    assert_eq!(fixture.inventory.page(Selection::Due(NOW + Duration::days(80)), Cursor::START, 9).unwrap().0.len(), 0);
    // On lists until one that was made after its end had it.
    let listed = |ended| fixture.inventory.revoked(fixture.generation, ended).unwrap().len();
    let end = NOW + Duration::days(90);
    assert_eq!((listed(end), listed(end + Duration::SECOND)), (1, 0));
    assert_eq!(fixture.inventory.tally(NOW).unwrap().revoked, 1);
    // What was only reserved was never anybody's.
    let reserved = fixture.reserve(&[0x40, 9], "bob", None);
    fixture.inventory.as_run(&run()).revoke(&[reserved], revocation(RevocationReason::Superseded)).unwrap();
    assert_eq!(fixture.sql("SELECT state FROM certificate WHERE name = 'bob'"), ["Text(\"reserved\")"]);
}

#[test]
fn crl_numbers_only_grow() {
    let mut fixture = Fixture::new();
    let generation = fixture.generation;
    let mut next = |after| fixture.inventory.as_run(&run()).next_crl_number(generation, after).unwrap();
    assert_eq!([next(0), next(0), next(40), next(3), next(u64::MAX) & 1], [1, 2, 41, 42, 1]);
}

#[test]
fn the_trail_is_never_changed() {
    let mut fixture = Fixture::new();
    let _ = fixture.issue(&[0x40, 2], "alice", &["/one"], None);
    let before = fixture.inventory.events(99).unwrap();
    let connection = Connection::open(fixture.path()).unwrap();
    for sql in [
        "DELETE FROM event",
        "UPDATE event SET what = 'nothing'",
        "DELETE FROM run",
        "UPDATE run SET user = 'mallory'",
        "DELETE FROM certificate",
    ] {
        assert!(connection.execute(sql, []).unwrap_err().to_string().contains("never"), "{sql}");
    }
    assert_eq!(fixture.inventory.events(99).unwrap(), before);
    assert_eq!(before.last().unwrap().run, run());
    assert_eq!(fixture.inventory.events(1).unwrap(), before[before.len() - 1..]);
    assert_eq!(fixture.inventory.last_written().unwrap(), Some(NOW));
}

/// What nobody accepts yet, or any more, is no less due than what ends.
#[test]
fn what_is_not_valid_yet_or_not_trusted_any_more_is_due() {
    let mut fixture = Fixture::new();
    let id = fixture.issue(&[0x40, 2], "alice", &["/one"], None);
    let begins = fixture.inventory.entry(id).unwrap().unwrap().certificate.validity.not_before;
    let early = begins - Duration::SECOND;
    let due = |inventory: &Inventory, at| {
        let (page, _) = inventory.page(Selection::Due(at), Cursor::START, 9).unwrap();
        assert_eq!(inventory.count(Selection::Due(at)).unwrap(), page.len() as u64);
        let tally = inventory.tally(at).unwrap();
        (page.len(), tally.due, tally.valid, tally.not_yet_valid, tally.untrusted)
    };
    assert_eq!(due(&fixture.inventory, begins), (0, 0, 1, 0, 0));
    assert_eq!(due(&fixture.inventory, early), (1, 1, 0, 1, 0));
    fixture.inventory.retire(vec![fixture.generation]);
    assert_eq!(due(&fixture.inventory, begins), (1, 1, 0, 0, 1));
    assert_eq!(due(&fixture.inventory, early), (1, 1, 0, 0, 1));
    fixture.inventory.retire(Vec::new());
    // What counts no longer is not.
    let revocation = Revocation { at: NOW, reason: RevocationReason::Superseded };
    fixture.inventory.as_run(&run()).revoke(&[id], revocation).unwrap();
    assert_eq!(due(&fixture.inventory, early), (0, 0, 0, 0, 0));
}

#[test]
fn pages_have_each_row_once_the_most_urgent_first() {
    let mut fixture = Fixture::new();
    for number in 0..25_u8 {
        let serial = [0x40, number];
        let id = fixture.reserve(&serial, &format!("user{number}"), None);
        // Many of one second, so that the order within it counts too.
        fixture.sign(id, &certificate(&serial, "x", i64::from(number % 3) + 1), &[]);
        fixture.deliver(id, false);
    }
    for selection in [Selection::Issued, Selection::Everything, Selection::Due(NOW + Duration::days(9))] {
        let (mut after, mut seen, mut ends) = (Some(Cursor::START), Vec::new(), Vec::new());
        while let Some(cursor) = after {
            let (page, next) = fixture.inventory.page(selection, cursor, 7).unwrap();
            seen.extend(page.iter().map(|entry| entry.name.clone()));
            ends.extend(page.iter().map(|entry| entry.certificate.validity.not_after));
            after = next;
        }
        assert!(ends.is_sorted(), "{selection:?}");
        seen.sort();
        seen.dedup();
        assert_eq!((seen.len(), ends.len()), (25, 25), "{selection:?}");
    }
    let by = |days| fixture.inventory.page(Selection::EndingBy(NOW + Duration::days(days)), Cursor::START, 99).unwrap();
    assert_eq!([by(0), by(1), by(2), by(3)].map(|(rows, _)| rows.len()), [0, 9, 17, 25]);
}

#[test]
fn what_was_found_is_known_again() {
    let mut fixture = Fixture::new();
    let made = certificate(&[0x40, 2], "alice", 90);
    let found = |key_holder, place| Found {
        generation: fixture.generation,
        role: Role::Client,
        name: "alice".to_owned(),
        certificate: &made,
        key_holder,
        place,
    };
    let (one, two) = (place("/one"), place("/two"));
    let all = [
        found(KeyHolder::Elsewhere, None),
        found(KeyHolder::Here, Some((&one, Layout::Docker))),
        found(KeyHolder::Here, Some((&two, Layout::Docker))),
    ];
    fixture.inventory.as_run(&run()).found(&all).unwrap();
    let Matches::One(entries) = fixture.inventory.find("alice", None).unwrap() else { unreachable!() };
    assert_eq!((entries.len(), entries[0].key_holder), (1, KeyHolder::Here));
    assert_eq!(fixture.inventory.destinations_of(entries[0].id).unwrap().len(), 2);
    // It is somewhere, so it counts even if it was found among the replaced too.
    fixture.inventory.as_run(&run()).replaced(&[entries[0].id]).unwrap();
    assert_eq!(fixture.state(entries[0].id), "issued");
}

#[test]
fn an_older_program_leaves_a_newer_inventory_alone() {
    let fixture = Fixture::new();
    let path = fixture.path();
    drop(fixture.inventory);
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let before = fs::read(&path).unwrap();
    for access in [Access::Read, Access::Write] {
        let refused = Inventory::open(&path, access).unwrap_err();
        assert!(matches!(refused, InventoryError::Newer { found: 99, .. }), "{refused}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_of_version_1_is_read_as_it_is_and_migrated_when_it_is_written_to() {
    let mut fixture = Fixture::new();
    let alice = fixture.issue(&[2], "alice", &["/a"], None);
    let now = fixture.path();
    // What was written before there were layouts: the same rows in the tables of then.
    let old = fixture.root.path().join("old.db");
    let connection = Connection::open(&old).unwrap();
    connection.execute_batch(include_str!("../src/schema-1.sql")).unwrap();
    connection.execute("ATTACH ?1 AS now", [now.to_str().unwrap()]).unwrap();
    for table in ["run", "generation", "certificate", "name", "destination", "event"] {
        let columns: String = connection
            .query_row(&format!("SELECT group_concat(name) FROM pragma_table_info('{table}', 'main')"), [], |row| {
                row.get(0)
            })
            .unwrap();
        connection
            .execute(&format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM now.{table}"), [])
            .unwrap();
    }
    let application: u32 = connection.pragma_query_value(Some("now"), "application_id", |row| row.get(0)).unwrap();
    connection.pragma_update(Some("main"), "application_id", application).unwrap();
    connection.pragma_update(Some("main"), "user_version", 1).unwrap();
    drop(connection);

    let before = fs::read(&old).unwrap();
    let reader = Inventory::open(&old, Access::Read).unwrap();
    let [there] = <[_; 1]>::try_from(reader.destinations_of(alice).unwrap()).unwrap();
    assert_eq!((there.layout, there.place), (Layout::Docker, place("/a")));
    drop(reader);
    assert_eq!(fs::read(&old).unwrap(), before, "looking changes nothing");

    let mut writer = Inventory::open(&old, Access::Write).unwrap();
    let delivery = Delivery { place: place("/a"), layout: Layout::Dind, ownership: Ownership::default() };
    writer.as_run(&run()).about_to_install(&delivery, alice).unwrap();
    assert_eq!(writer.destinations_of(alice).unwrap()[0].layout, Layout::Dind);
    drop(writer);
    let version = |path: &Path| -> u32 {
        Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    };
    assert_eq!(version(&old), version(&now));
}

#[test]
fn a_place_keeps_its_layout() {
    let mut fixture = Fixture::new();
    fixture.issue(&[2], "alice", &["/etc/docker/certs.d/r.test:5000", "/a"], None);
    let layouts = fixture.sql("SELECT layout FROM destination ORDER BY layout");
    assert_eq!(layouts, ["Text(\"docker\")", "Text(\"registry\")"]);
    let found = fixture.inventory.destination_at(&place("/etc/docker/certs.d/r.test:5000")).unwrap().unwrap();
    assert_eq!(found.layout, Layout::Registry);
}

#[test]
fn files_that_are_no_inventory() {
    let fixture = Fixture::new();
    let path = fixture.path();
    drop(fixture.inventory);
    let whole = fs::read(&path).unwrap();
    let stranger = fixture.root.path().join("stranger.db");
    Connection::open(&stranger).unwrap().execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);").unwrap();
    let mut header = whole.clone();
    header[..16].fill(b'x');
    let broken: [(&str, Vec<u8>); 5] = [
        ("empty", Vec::new()),
        ("text", b"not a database at all".to_vec()),
        ("cut off", whole[..whole.len() / 3].to_vec()),
        ("another program's", fs::read(&stranger).unwrap()),
        ("without its header", header),
    ];
    for (what, bytes) in broken {
        fs::write(&path, &bytes).unwrap();
        for access in [Access::Read, Access::Write] {
            // A file may open and only show its damage when it is read.
            let outcome = Inventory::open(&path, access).and_then(|inventory| match inventory.integrity()? {
                damage if damage.is_empty() => inventory.generations().map(drop),
                damage => Err(InventoryError::Damaged { path: path.clone(), detail: damage.join("; ") }),
            });
            assert!(matches!(outcome, Err(InventoryError::Damaged { .. })), "{what}, {access:?}: {outcome:?}");
        }
        assert_eq!(fs::read(&path).unwrap(), bytes, "{what}: changed");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(Inventory::open(&path, Access::Read), Err(InventoryError::Missing { .. })));
    fs::create_dir(&path).unwrap();
    assert!(matches!(Inventory::open(&path, Access::Write), Err(InventoryError::Damaged { .. })));
    fs::write(&stranger, &whole).unwrap();
    let link = fixture.root.path().join("link.db");
    std::os::unix::fs::symlink(&stranger, &link).unwrap();
    assert!(Inventory::open(&link, Access::Read).is_err(), "a link is followed");
}

/// One flipped octet after the other: an answer or an error, and never a certificate that was not there.
#[test]
fn flipped_octets_are_said_and_do_not_end_the_program() {
    let mut fixture = Fixture::new();
    let id = fixture.issue(&[0x40, 2], "alice", &["/one"], None);
    let real = fixture.inventory.entry(id).unwrap().unwrap().certificate;
    let path = fixture.path();
    drop(fixture.inventory);
    let whole = fs::read(&path).unwrap();
    for position in (0..whole.len()).step_by(97) {
        let mut bytes = whole.clone();
        bytes[position] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        let Ok(inventory) = Inventory::open(&path, Access::Read) else { continue };
        let _ = inventory.integrity();
        let _ = (inventory.tally(NOW), inventory.events(99), inventory.generations(), inventory.names());
        if let Ok((page, _)) = inventory.page(Selection::Everything, Cursor::START, 99) {
            assert!(page.len() <= 1);
            // The DER itself has no checksum here: a certificate with a changed octet is caught by its signature.
            assert!(page.iter().all(|entry| entry.certificate.der().len() == real.der().len()), "{position}");
        }
    }
}
