//! Bundles arrive whole, where nothing else is, with their modes.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test, which prepares what is in the way by hand"
)]

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use dockseal_docker::{Contents, FilePlan, Ownership, PlannedFile};
use dockseal_store::{
    Batch, Displaced, Existing, Placed, ReadError, WriteError, deliver, previous_path, read, remove_stale, roll_back,
    stage_for_batch, write_new,
};
use zeroize::Zeroizing;

/// A bundle whose files all say which one it is.
fn plan(text: &str) -> FilePlan {
    let key = Contents::Secret(Zeroizing::new(text.to_owned()));
    FilePlan {
        directory_mode: 0o700,
        files: vec![
            PlannedFile::public("ca.pem", 0o444, text.to_owned()),
            PlannedFile::public("cert.pem", 0o444, text.to_owned()),
            PlannedFile { path: "key.pem".to_owned(), mode: 0o400, contents: key },
        ],
        ownership: Ownership::default(),
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn a_new_directory_appears_with_its_modes_and_nothing_beside_it() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("parents that are missing/bundle");
    deliver(&plan("one"), &place, Existing::Keep).and_then(Placed::check).unwrap();
    assert_eq!(names(&place), ["ca.pem", "cert.pem", "key.pem"]);
    assert_eq!(names(place.parent().unwrap()), ["bundle"]);
    assert_eq!((mode(&place), mode(&place.join("cert.pem")), mode(&place.join("key.pem"))), (0o700, 0o444, 0o400));
    assert_eq!(mode(place.parent().unwrap()), 0o700);
}

#[test]
fn a_bundle_is_replaced_only_when_asked_and_keeps_what_the_plan_does_not_bring() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    deliver(&plan("one"), &place, Existing::Keep).and_then(Placed::check).unwrap();
    fs::write(place.join("daemon.json"), "edited").unwrap();
    fs::create_dir(place.join("docker.service.d")).unwrap();
    fs::write(place.join("docker.service.d/x.conf"), "unit").unwrap();

    let refused = deliver(&plan("two"), &place, Existing::Keep).unwrap_err();
    assert!(matches!(refused, WriteError::AlreadyThere { ref files, .. } if files.len() == 3), "{refused:?}");
    assert_eq!(fs::read_to_string(place.join("key.pem")).unwrap(), "one");

    deliver(&plan("two"), &place, Existing::Replace).and_then(Placed::check).unwrap();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        assert_eq!(fs::read_to_string(place.join(file)).unwrap(), "two");
    }
    assert_eq!(fs::read_to_string(place.join("daemon.json")).unwrap(), "edited");
    assert_eq!(fs::read_to_string(place.join("docker.service.d/x.conf")).unwrap(), "unit");
    assert_eq!(names(root.path()), ["bundle"]);
}

#[test]
fn somebody_elses_things_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("foreign")).unwrap();
    fs::write(at("foreign/config.json"), "{}").unwrap();
    fs::write(at("file"), "text").unwrap();
    fs::create_dir(at("target")).unwrap();
    symlink(at("target"), at("link")).unwrap();

    for existing in [Existing::Keep, Existing::Replace] {
        let foreign = deliver(&plan("x"), &at("foreign"), existing).unwrap_err();
        assert!(matches!(foreign, WriteError::ForeignFiles { ref files, .. } if files == &["config.json"]));
        assert!(matches!(deliver(&plan("x"), &at("file"), existing), Err(WriteError::NotADirectory { .. })));
        assert!(matches!(deliver(&plan("x"), &at("link"), existing), Err(WriteError::Symlink { .. })));
        assert!(matches!(deliver(&plan("x"), Path::new("/"), existing), Err(WriteError::NoName { .. })));
    }
    assert_eq!(names(root.path()), ["file", "foreign", "link", "target"]);
    assert_eq!(names(&at("foreign")), ["config.json"]);
    assert!(names(&at("target")).is_empty());
}

#[test]
fn what_a_killed_run_left_is_removed_unless_it_is_at_work() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    let left = root.path().join(".bundle.dockseal-3");
    let busy = root.path().join(".bundle.dockseal-0");
    let other = root.path().join(".other.dockseal-0");
    for directory in [&left, &busy, &other] {
        fs::create_dir(directory).unwrap();
        fs::write(directory.join("key.pem"), "secret").unwrap();
    }
    let lock = fs::File::open(&busy).unwrap();
    lock.lock().unwrap();
    remove_stale(&place).unwrap();
    assert_eq!((left.exists(), busy.exists(), other.exists()), (false, true, true));
    drop(lock);
    deliver(&plan("one"), &place, Existing::Keep).and_then(Placed::check).unwrap();
    assert_eq!(names(root.path()), [".other.dockseal-0", "bundle"]);
}

#[test]
fn a_bundle_that_was_moved_away_and_not_replaced_comes_back() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    deliver(&plan("one"), &root.path().join(".bundle.dockseal.displaced"), Existing::Keep)
        .and_then(Placed::check)
        .unwrap();
    remove_stale(&place).unwrap();
    assert_eq!(fs::read_to_string(place.join("key.pem")).unwrap(), "one");
    assert_eq!(names(root.path()), ["bundle"]);
}

#[test]
fn of_many_at_once_one_wins_and_the_others_are_told() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    let results: Vec<_> = std::thread::scope(|scope| {
        let deliver_one = |n: usize| {
            let place = &place;
            scope.spawn(move || deliver(&plan(&n.to_string()), place, Existing::Keep))
        };
        let threads: Vec<_> = (0..16).map(deliver_one).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        results
            .iter()
            .flat_map(|result| result.as_ref().err())
            .all(|error| matches!(error, WriteError::AlreadyThere { .. }))
    );
    let texts: Vec<String> =
        ["ca.pem", "cert.pem", "key.pem"].iter().map(|file| fs::read_to_string(place.join(file)).unwrap()).collect();
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]));
    assert_eq!(names(root.path()), ["bundle"]);
}

/// Processes that stage for one place take turns with its slots; none removes what another is working on.
#[test]
fn of_many_that_replace_at_once_all_succeed() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    deliver(&plan("first"), &place, Existing::Keep).and_then(Placed::check).unwrap();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let place = &place;
            let _ = scope.spawn(move || {
                for round in 0..20 {
                    deliver(&plan(&format!("{n} {round}")), place, Existing::Replace).and_then(Placed::check).unwrap();
                }
            });
        }
    });
    let texts: Vec<String> =
        ["ca.pem", "cert.pem", "key.pem"].iter().map(|file| fs::read_to_string(place.join(file)).unwrap()).collect();
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
    assert_eq!(names(root.path()), ["bundle"]);
}

#[test]
fn a_batch_is_put_in_place_one_by_one_and_keeps_what_was_there() {
    let root = tempfile::tempdir().unwrap();
    let place = |name: &str| root.path().join("places").join(name);
    deliver(&plan("old"), &place("a"), Existing::Keep).and_then(Placed::check).unwrap();
    let mut batch = Batch::default();
    for name in ["a", "b"] {
        batch.push(stage_for_batch(&plan("new"), &place(name), Existing::Replace, Displaced::Keep).unwrap());
    }
    let text = |path: &Path| fs::read_to_string(path.join("key.pem")).unwrap();
    assert_eq!((text(&place("a")), place("b").exists()), ("old".to_owned(), false));
    // Somebody else's directory gets in between: one is told, the other goes on.
    fs::create_dir(place("b")).unwrap();
    fs::write(place("b").join("notes.txt"), "mine").unwrap();
    let outcomes = batch.put_in_place().unwrap();
    assert!(matches!(&outcomes[..], [Ok(_), Err(WriteError::AlreadyThere { .. })]), "{outcomes:?}");
    assert_eq!(text(&place("a")), "new");
    assert_eq!(names(&place("")), [".a.dockseal.previous", "a", "b"]);
    assert_eq!(names(&place("b")), ["notes.txt"]);

    let previous = previous_path(&place("a")).unwrap();
    assert_eq!((text(&previous), mode(&previous.join("key.pem"))), ("old".to_owned(), 0o400));
    roll_back(&place("a")).unwrap().check().unwrap();
    assert_eq!((text(&place("a")), text(&previous)), ("old".to_owned(), "new".to_owned()));
    roll_back(&place("a")).unwrap().check().unwrap();
    assert_eq!(text(&place("a")), "new");
    assert!(roll_back(&place("b")).is_err());
    assert_eq!(names(&place("b")), ["notes.txt"]);
}

#[test]
fn a_batch_that_is_given_up_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    deliver(&plan("old"), &place, Existing::Keep).and_then(Placed::check).unwrap();
    let mut batch = Batch::default();
    batch.push(stage_for_batch(&plan("new"), &place, Existing::Replace, Displaced::Keep).unwrap());
    assert_eq!(names(root.path()), [".bundle.dockseal-keep-0", "bundle"]);
    drop(batch);
    assert_eq!(names(root.path()), ["bundle"]);
    assert_eq!(fs::read_to_string(place.join("key.pem")).unwrap(), "old");
}

/// Who holds the directory open sees one bundle, never parts of two.
#[test]
fn a_reader_never_sees_a_mixed_bundle() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    deliver(&plan("0"), &place, Existing::Keep).and_then(Placed::check).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut seen = 0;
            while !done.load(Ordering::Relaxed) {
                let directory =
                    rustix::fs::open(&place, rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap();
                let text = |name: &str| {
                    let file =
                        rustix::fs::openat(&directory, name, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty());
                    // The old bundle is being removed: that is a bundle that is gone, not a mixed one.
                    file.ok().map(|file| std::io::read_to_string(fs::File::from(file)).unwrap())
                };
                if let (Some(ca), Some(cert), Some(key)) = (text("ca.pem"), text("cert.pem"), text("key.pem")) {
                    assert_eq!((&ca, &ca), (&cert, &key));
                    seen += 1;
                }
            }
            seen
        });
        for n in 1..200 {
            deliver(&plan(&n.to_string()), &place, Existing::Replace).and_then(Placed::check).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        assert!(reader.join().unwrap() > 0);
    });
}

#[test]
fn a_single_file_is_never_overwritten() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("key.pem");
    write_new(&path, 0o400, b"one").unwrap();
    assert!(matches!(write_new(&path, 0o400, b"two"), Err(WriteError::AlreadyThere { .. })));
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o400));
    assert_eq!(names(root.path()), ["key.pem"]);
}

#[test]
fn only_regular_files_are_read() {
    let root = tempfile::tempdir().unwrap();
    let fifo = root.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert!(matches!(read(&fifo), Err(ReadError::NotAFile { kind: "pipe", .. })));
    assert!(matches!(read(root.path()), Err(ReadError::NotAFile { kind: "directory", .. })));
    assert!(matches!(read(Path::new("/dev/null")), Err(ReadError::NotAFile { kind: "device", .. })));
    assert!(read(&root.path().join("none")).err().is_some_and(|error| error.is_not_found()));
    let large = root.path().join("large");
    fs::File::create(&large).unwrap().set_len((16 << 20) + 1).unwrap();
    assert!(matches!(read(&large), Err(ReadError::TooLarge { .. })));
    let open = root.path().join("open");
    fs::write(&open, "text").unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o640)).unwrap();
    let file = read(&open).unwrap();
    assert!(file.is_readable_by_others());
    assert_eq!(&file.bytes[..], b"text");
}
