//! Places whose owner is not who writes there: what such a neighbour can put in the way, change in between, or hold.
//!
//! The neighbour is user 65534 where this runs as root; those tests do nothing for other users, who own no user but
//! themselves.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test, which prepares what is in the way by hand"
)]

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, PermissionsExt, chown, symlink},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use dockseal_docker::{Contents, FilePlan, Ownership, PlannedFile};
use dockseal_store::{
    Displaced, Existing, Home, Placed, Replacement, Sight, WriteError, deliver, previous_path, remove_stale, replace,
    resolve, roll_back, stage,
};
use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use zeroize::Zeroizing;

const NEIGHBOUR: u32 = 65534;
/// A group that nobody here is in.
const GROUP: u32 = 31_337;
/// How often the race is run. Without handles the neighbour wins within ten.
const TRIES: usize = 500;

fn plan(text: &str, owner: Option<u32>) -> FilePlan {
    let key = Contents::Secret(Zeroizing::new(text.to_owned()));
    FilePlan {
        directory_mode: 0o700,
        files: vec![
            PlannedFile::public("ca.pem", 0o444, text.to_owned()),
            PlannedFile::public("cert.pem", 0o444, text.to_owned()),
            PlannedFile { path: "key.pem".to_owned(), mode: 0o400, contents: key },
        ],
        ownership: Ownership { user: owner, group: owner, key_mode: None },
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory of the neighbour's, in one that everybody may enter.
fn home_of_neighbour() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let home = root.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(NEIGHBOUR), Some(NEIGHBOUR)).unwrap();
    (root, home)
}

fn names(directory: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

fn text(place: &Path) -> String {
    fs::read_to_string(place.join("key.pem")).unwrap()
}

/// The attack of the issue, for a bounded number of tries: whatever lies at the staging path is exchanged for a link to a
/// directory of root's, over and over. That directory is never given away nor
/// written to.
#[test]
fn a_staging_directory_that_is_exchanged_for_a_link() {
    if !is_root() {
        return;
    }
    let (root, home) = home_of_neighbour();
    let place = home.join("bundle");
    let target = root.path().join("etc");
    fs::create_dir(&target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).unwrap();
    deliver(&plan("first", Some(NEIGHBOUR)), &place, Existing::Keep).and_then(Placed::check).unwrap();
    let (done, exchanged) = (AtomicBool::new(false), AtomicUsize::new(0));
    let clear = |path: &Path| {
        let _ = fs::remove_file(path);
        let _ = fs::remove_dir_all(path);
    };
    let staged = |n: usize| home.join(format!(".bundle.dockseal-{n}"));
    std::thread::scope(|scope| {
        for n in 0..2 {
            let (home, target, done, exchanged) = (&home, &target, &done, &exchanged);
            scope.spawn(move || {
                let link = home.join(format!("link-{n}"));
                while !done.load(Ordering::Relaxed) {
                    clear(&link);
                    // While root still writes into what was taken from it, it cannot be removed.
                    if symlink(target, &link).is_err() {
                        continue;
                    }
                    let exchange = || rustix::fs::renameat_with(CWD, &link, CWD, staged(n), RenameFlags::EXCHANGE);
                    while !done.load(Ordering::Relaxed) && exchange().is_err() {}
                    exchanged.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for n in 0..TRIES {
            let _ = deliver(&plan(&n.to_string(), Some(NEIGHBOUR)), &place, Existing::Replace);
            let found = fs::symlink_metadata(&target).unwrap();
            let seen = (found.uid(), found.mode() & 0o7777, names(&target));
            if seen != (0, 0o755, Vec::new()) || n + 1 == TRIES {
                done.store(true, Ordering::Relaxed);
                assert_eq!(seen, (0, 0o755, Vec::new()), "at try {n}");
            }
            // The neighbour removes what is staged there as well, so that each try begins anew.
            for slot in 0..2 {
                clear(&staged(slot));
            }
        }
    });
    assert!(exchanged.load(Ordering::Relaxed) > 0, "nobody attacked");
}

/// What is above the place is exchanged for a link to a directory of root's.
#[test]
fn a_parent_that_becomes_a_link() {
    if !is_root() {
        return;
    }
    let (root, home) = home_of_neighbour();
    let target = root.path().join("etc");
    fs::create_dir(&target).unwrap();
    let above = home.join("docker");
    symlink(&target, &above).unwrap();
    let error = deliver(&plan("x", Some(NEIGHBOUR)), &above.join("bundle"), Existing::Replace).unwrap_err();
    assert!(matches!(error, WriteError::UnsafeLink { ref path, .. } if *path == above), "{error}");
    let error = replace(&above.join("crl.pem"), 0o644, b"x").unwrap_err();
    assert!(matches!(error, WriteError::UnsafeLink { .. }), "{error}");
    assert!(Home::new(above.clone()).lock("me", std::time::Duration::ZERO).is_err());
    assert_eq!(resolve(&above.join("bundle")), above.join("bundle"), "a place does not become what a stranger says");
    assert!(names(&target).is_empty());
    // The same link, put by root where nobody else can change it, is followed.
    let safe = root.path().join("safe");
    symlink("etc", &safe).unwrap();
    deliver(&plan("x", None), &safe.join("bundle"), Existing::Keep).and_then(Placed::check).unwrap();
    assert_eq!(text(&target.join("bundle")), "x");
    assert_eq!(resolve(&safe.join("bundle/key.pem")), root.path().canonicalize().unwrap().join("etc/bundle/key.pem"));
}

/// In a directory that anybody may write to, a link counts for whose it is.
#[test]
fn a_link_in_a_shared_directory() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::create_dir(root.path().join("real")).unwrap();
    for (name, owner, is_followed) in [("of-root", 0, true), ("of-neighbour", NEIGHBOUR, false)] {
        let link = root.path().join(name);
        symlink("real", &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(owner), Some(owner)).unwrap();
        assert_eq!(replace(&link.join(name), 0o600, b"x").is_ok(), is_followed, "{name}");
    }
}

/// A pipe, a device, a file, a link, or somebody's own directory at a staging path: another slot is taken, nobody waits.
#[test]
fn what_is_in_the_way_of_staging() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    let slot = |n: usize| root.path().join(format!(".bundle.dockseal-{n}"));
    rustix::fs::mknodat(CWD, slot(0), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    fs::write(slot(1), "mine").unwrap();
    symlink("/dev/zero", slot(2)).unwrap();
    fs::create_dir(slot(3)).unwrap();
    fs::write(slot(3).join("thesis.txt"), "mine").unwrap();
    let before = names(root.path());
    for n in ["one", "two"] {
        deliver(&plan(n, None), &place, Existing::Replace).and_then(Placed::check).unwrap();
        assert_eq!(text(&place), n);
    }
    remove_stale(&place).unwrap();
    let after: Vec<_> = names(root.path()).into_iter().filter(|name| name != "bundle").collect();
    assert_eq!(after, before);
}

/// A name so long that what is kept beside it could not have its usual one.
#[test]
fn long_names_are_kept_as_well_and_never_share_a_place() {
    let root = tempfile::tempdir().unwrap();
    let long = |end: &str| root.path().join(format!("{}{end}", "n".repeat(254)));
    for end in ["a", "b"] {
        deliver(&plan("old", None), &long(end), Existing::Keep).and_then(Placed::check).unwrap();
        let staged = stage(&plan(end, None), &long(end), Existing::Replace, Displaced::Keep).unwrap();
        let placed = staged.put_in_place().unwrap();
        assert!(placed.keeps_previous && placed.trouble.is_none());
    }
    for end in ["a", "b"] {
        assert_eq!((text(&long(end)).as_str(), text(&previous_path(&long(end)).unwrap()).as_str()), (end, "old"));
    }
    // Two names that are alike when what is no UTF-8 in them is left out.
    let [first, second] = [b"x\xff", b"x\xfe"].map(|name| root.path().join(OsStr::from_bytes(name)));
    assert_ne!(previous_path(&first).unwrap(), previous_path(&second).unwrap());
}

/// The bundle before the last cannot be removed: the new one is in place and what was there is kept all the same; where
/// keeping fails, nothing has changed.
#[test]
fn after_an_error_what_is_said_is_there() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    deliver(&plan("one", None), &place, Existing::Keep).and_then(Placed::check).unwrap();
    // Something that is not a directory and cannot be exchanged away silently: a directory of somebody's.
    let previous = previous_path(&place).unwrap();
    fs::create_dir(&previous).unwrap();
    fs::write(previous.join("key.pem"), "zero").unwrap();
    let staged = stage(&plan("two", None), &place, Existing::Replace, Displaced::Keep).unwrap();
    let placed = staged.put_in_place().unwrap();
    assert!(placed.keeps_previous);
    assert_eq!((text(&place), text(&previous)), ("two".to_owned(), "one".to_owned()));
    if !is_root() {
        return;
    }
    // A mount point cannot be exchanged (EBUSY): the swap is taken back, and the error means that nothing changed.
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "dockseal-test"]).arg(&previous).status();
    assert!(mounted.unwrap().success());
    let staged = stage(&plan("three", None), &place, Existing::Replace, Displaced::Keep).unwrap();
    let outcome = staged.put_in_place();
    assert!(std::process::Command::new("umount").arg(&previous).status().unwrap().success());
    assert!(outcome.is_err(), "{outcome:?}");
    assert_eq!((text(&place), text(&previous)), ("two".to_owned(), "one".to_owned()));
    assert_eq!(names(root.path()), [".bundle.dockseal.previous", "bundle"]);
}

/// An owner and a mode that were made stricter stay so when the bundle before comes back.
#[test]
fn a_rollback_does_not_loosen() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("bundle");
    let mut first = plan("old", is_root().then_some(NEIGHBOUR));
    first.files[2].mode = 0o640;
    first.directory_mode = 0o750;
    deliver(&first, &place, Existing::Keep).and_then(Placed::check).unwrap();
    let staged = stage(&plan("new", is_root().then_some(0)), &place, Existing::Replace, Displaced::Keep).unwrap();
    staged.put_in_place().and_then(Placed::check).unwrap();
    roll_back(&place).and_then(Placed::check).unwrap();
    assert_eq!(text(&place), "old");
    let of = |path: &Path| fs::symlink_metadata(path).map(|found| (found.uid(), found.mode() & 0o7777)).unwrap();
    let user = rustix::process::geteuid().as_raw();
    assert_eq!((of(&place), of(&place.join("key.pem"))), ((user, 0o700), (user, 0o400)));
}

/// Whoever has the place now has what comes back into it as well, and the former owner and group nothing: as chown(1) and
/// chgrp(1) left the place, so it stays.
#[test]
fn a_rollback_gives_nothing_back_to_a_former_owner() {
    if !is_root() {
        return;
    }
    for (user, group, key_mode) in [(NEIGHBOUR - 1, NEIGHBOUR - 1, 0o640), (NEIGHBOUR, 0, 0o640), (0, NEIGHBOUR, 0o600)]
    {
        let root = tempfile::tempdir().unwrap();
        let place = root.path().join("bundle");
        let mut first = plan("old", Some(NEIGHBOUR));
        first.ownership.group = Some(NEIGHBOUR);
        first.files[2].mode = 0o640;
        first.directory_mode = 0o750;
        deliver(&first, &place, Existing::Keep).and_then(Placed::check).unwrap();
        // Only what is kept has it: it goes to who has the directory.
        fs::write(place.join("renewal-key.pem"), "waits").unwrap();
        chown(place.join("renewal-key.pem"), Some(NEIGHBOUR), Some(NEIGHBOUR)).unwrap();
        let staged = stage(&first, &place, Existing::Replace, Displaced::Keep).unwrap();
        staged.put_in_place().and_then(Placed::check).unwrap();
        fs::remove_file(place.join("renewal-key.pem")).unwrap();
        for path in [place.clone(), place.join("ca.pem"), place.join("cert.pem"), place.join("key.pem")] {
            chown(&path, Some(user), Some(group)).unwrap();
        }
        fs::set_permissions(place.join("key.pem"), fs::Permissions::from_mode(key_mode)).unwrap();
        roll_back(&place).and_then(Placed::check).unwrap();
        let of = |path: &Path| {
            let found = fs::symlink_metadata(path).unwrap();
            (found.uid(), found.gid(), found.mode() & 0o7777)
        };
        assert_eq!(of(&place), (user, group, 0o750));
        assert_eq!(of(&place.join("key.pem")), (user, group, key_mode));
        assert_eq!(of(&place.join("cert.pem")), (user, group, 0o444));
        assert_eq!(of(&place.join("renewal-key.pem")), (user, group, 0o600));
    }
}

/// Another process of the same user's ends the work, and does not hold it up for ever.
#[test]
fn a_directory_that_somebody_keeps_locked() {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let lock = File::open(root.path()).unwrap();
    lock.lock().unwrap();
    let error = deliver(&plan("x", None), &root.path().join("bundle"), Existing::Keep).unwrap_err();
    assert!(
        matches!(error, WriteError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::TimedOut),
        "{error}"
    );
    drop(lock);
    deliver(&plan("x", None), &root.path().join("bundle"), Existing::Keep).and_then(Placed::check).unwrap();
}

/// Anybody who may read a directory can lock it (flock(2)): that costs a moment, and neither the work nor what is there. Those
/// who work there at once without the lock each bring a whole bundle, and leave nothing.
#[test]
fn a_directory_that_anybody_keeps_locked() {
    let root = tempfile::tempdir().unwrap();
    let shared = root.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    let lock = File::open(&shared).unwrap();
    lock.lock().unwrap();
    let place = shared.join("bundle");
    deliver(&plan("first", None), &place, Existing::Keep).and_then(Placed::check).unwrap();
    for n in 0..20 {
        deliver(&plan("again", None), &shared.join(n.to_string()), Existing::Keep).and_then(Placed::check).unwrap();
        fs::remove_dir_all(shared.join(n.to_string())).unwrap();
    }
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (place, done) = (&place, &done);
            let _ = scope.spawn(move || {
                for round in 0..40 {
                    let displaced = [Displaced::Remove, Displaced::Keep][round % 2];
                    let staged = stage(&plan(&format!("{n} {round}"), None), place, Existing::Replace, displaced);
                    match staged.and_then(dockseal_store::Staged::put_in_place).and_then(Placed::check) {
                        Ok(()) => done.fetch_add(1, Ordering::Relaxed),
                        // Another one was faster, which is said.
                        Err(WriteError::Changed { .. }) => 0,
                        Err(error) => panic!("{error}"),
                    };
                }
            });
        }
    });
    assert!(done.load(Ordering::Relaxed) > 0);
    for bundle in [place.clone(), previous_path(&place).unwrap()] {
        let texts: Vec<_> =
            ["ca.pem", "cert.pem", "key.pem"].map(|file| fs::read_to_string(bundle.join(file)).unwrap()).into();
        assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "{texts:?}");
    }
    remove_stale(&place).unwrap();
    assert_eq!(names(&shared), [".bundle.dockseal.previous", "bundle"]);
}

/// Every name that could be known before is somebody else's, in a directory where those cannot be removed (sticky).
#[test]
fn all_names_are_taken() {
    let root = tempfile::tempdir().unwrap();
    let (place, list) = (root.path().join("bundle"), root.path().join("crl.pem"));
    for slot in 0..64 {
        for name in [format!(".bundle.dockseal-{slot}"), format!(".bundle.dockseal-keep-{slot}")] {
            fs::create_dir_all(root.path().join(name).join("mine")).unwrap();
        }
        fs::create_dir(root.path().join(format!(".crl.pem.dockseal-{slot}"))).unwrap();
    }
    let before = names(root.path()).len();
    for n in ["one", "two"] {
        replace(&list, 0o644, n.as_bytes()).unwrap();
        let staged = stage(&plan(n, None), &place, Existing::Replace, Displaced::Keep).unwrap();
        staged.put_in_place().and_then(Placed::check).unwrap();
        assert_eq!((text(&place).as_str(), fs::read_to_string(&list).unwrap().as_str()), (n, n));
    }
    assert_eq!(text(&previous_path(&place).unwrap()), "one");
    assert_eq!(names(root.path()).len(), before + 3);
}

/// What root has to make on the way in a user's directory is that user's, who could not get to the bundle otherwise.
#[test]
fn directories_on_the_way_belong_to_who_owns_the_nearest() {
    if !is_root() {
        return;
    }
    let (root, home) = home_of_neighbour();
    let place = home.join("certs/x/y");
    deliver(&plan("x", Some(NEIGHBOUR)), &place, Existing::Keep).and_then(Placed::check).unwrap();
    for made in [home.join("certs"), home.join("certs/x")] {
        let found = fs::symlink_metadata(&made).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (NEIGHBOUR, NEIGHBOUR, 0o700), "{made:?}");
    }
    let number = NEIGHBOUR.to_string();
    let ids = ["--reuid", &number, "--regid", &number, "--clear-groups", "cat"];
    let read = std::process::Command::new("setpriv").args(ids).arg(place.join("key.pem")).output().unwrap();
    assert_eq!(read.stdout, b"x", "{read:?}");
    // In root's own it stays root's.
    deliver(&plan("x", None), &root.path().join("certs/y"), Existing::Keep).and_then(Placed::check).unwrap();
    assert_eq!(fs::symlink_metadata(root.path().join("certs")).unwrap().uid(), 0);
}

/// What a run that was killed between linking a file and renaming it has left goes with the next one.
#[test]
fn a_file_that_was_left_half_way() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("crl.pem");
    let left = root.path().join(".crl.pem.dockseal-0");
    fs::write(&left, "left").unwrap();
    replace(&place, 0o644, b"one").unwrap();
    assert_eq!(names(root.path()), ["crl.pem"]);
    // One on which a process works stays, and so does what is none of ours.
    fs::write(&left, "busy").unwrap();
    let busy = File::open(&left).unwrap();
    busy.lock().unwrap();
    fs::create_dir(root.path().join(".crl.pem.dockseal-1")).unwrap();
    let mut replacement = Replacement::new(&place, 0o644).unwrap();
    std::io::Write::write_all(&mut replacement, b"two").unwrap();
    replacement.put_in_place().unwrap();
    assert_eq!(names(root.path()), [".crl.pem.dockseal-0", ".crl.pem.dockseal-1", "crl.pem"]);
    assert_eq!(fs::read_to_string(&place).unwrap(), "two");
}

/// The lock of an authority empties the file that it is: that must be nobody else's.
#[test]
fn a_lock_that_is_another_file() {
    let root = tempfile::tempdir().unwrap();
    let home = root.path().join("home");
    fs::create_dir(&home).unwrap();
    fs::write(root.path().join("precious"), "mine").unwrap();
    fs::hard_link(root.path().join("precious"), home.join("lock")).unwrap();
    assert!(Home::new(home.clone()).lock("me", std::time::Duration::ZERO).is_err());
    fs::remove_file(home.join("lock")).unwrap();
    symlink("../precious", home.join("lock")).unwrap();
    assert!(Home::new(home.clone()).lock("me", std::time::Duration::ZERO).is_err());
    assert_eq!(fs::read_to_string(root.path().join("precious")).unwrap(), "mine");
}

/// Root at work in a user's authority leaves it the user's.
#[test]
fn files_of_an_authority_belong_to_its_owner() {
    if !is_root() {
        return;
    }
    let (_root, path) = home_of_neighbour();
    let home = Home::new(path.clone());
    drop(home.lock("root", std::time::Duration::ZERO).unwrap());
    home.write_crls("list").unwrap();
    home.set_generations(&dockseal_store::Generations::only(1)).unwrap();
    home.add_inventory(b"inventory").unwrap();
    for name in ["lock", "crl.pem", "generations.json", "inventory.db"] {
        let found = fs::symlink_metadata(path.join(name)).unwrap();
        assert_eq!((found.uid(), found.gid()), (NEIGHBOUR, NEIGHBOUR), "{name}");
    }
}

/// What a directory hands down to all that is made in it (its group by setgid, rights by a default ACL, acl(5)) reaches no key:
/// neither when a bundle is new nor when it replaces one.
#[test]
fn a_parent_that_hands_down_rights() {
    if !is_root() {
        return;
    }
    let (_root, home) = home_of_neighbour();
    chown(&home, Some(0), Some(NEIGHBOUR)).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o2755)).unwrap();
    // Version 2, then tag, rights and number of each: the owner, the neighbour, the group, the mask, others (acl_ea.h).
    let entries =
        [(0x01, 7, u32::MAX), (0x02, 7, NEIGHBOUR), (0x04, 7, u32::MAX), (0x10, 7, u32::MAX), (0x20, 7, u32::MAX)];
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, number) in entries {
        acl.extend(u16::to_le_bytes(tag).iter().chain(&u16::to_le_bytes(rights)).chain(&u32::to_le_bytes(number)));
    }
    rustix::fs::setxattr(&home, "system.posix_acl_default", &acl, rustix::fs::XattrFlags::empty()).unwrap();
    let place = home.join("bundle");
    let neighbour_reads = |file: &Path| {
        let number = NEIGHBOUR.to_string();
        let ids = ["--reuid", &number, "--regid", &number, "--clear-groups", "cat"];
        std::process::Command::new("setpriv").args(ids).arg(file).output().unwrap().status.success()
    };
    // The test can tell: what anybody makes there is the neighbour's to read.
    fs::write(home.join("anything"), "x").unwrap();
    assert!(neighbour_reads(&home.join("anything")));
    let assert_kept_from_neighbour = |when: &str| {
        let found = fs::metadata(&place).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, 0o700, "{when}");
        assert_eq!(fs::metadata(place.join("key.pem")).unwrap().permissions().mode() & 0o7777, 0o400, "{when}");
        assert!(!neighbour_reads(&place.join("key.pem")) && !neighbour_reads(&place.join("ca.pem")), "{when}");
        // Not even once the way to it is open.
        fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(neighbour_reads(&place.join("ca.pem")) && !neighbour_reads(&place.join("key.pem")), "{when}");
        fs::set_permissions(&place, fs::Permissions::from_mode(0o700)).unwrap();
    };
    deliver(&plan("one", None), &place, Existing::Keep).and_then(Placed::check).unwrap();
    assert_kept_from_neighbour("new");
    deliver(&plan("two", None), &place, Existing::Replace).and_then(Placed::check).unwrap();
    assert_eq!(text(&place), "two");
    assert_kept_from_neighbour("replaced");
    // A key for a group is for that group alone: what the mode gives to it is given to nobody else of the list.
    let mut shared = plan("three", None);
    shared.ownership.group = Some(GROUP);
    shared.directory_mode = 0o750;
    shared.files[2].mode = 0o640;
    deliver(&shared, &place, Existing::Replace).and_then(Placed::check).unwrap();
    assert!(!neighbour_reads(&place.join("key.pem")) && !neighbour_reads(&place.join("ca.pem")));
    let found = fs::metadata(place.join("key.pem")).unwrap();
    assert_eq!((found.gid(), found.mode() & 0o7777), (GROUP, 0o640));
    replace(&home.join("crl.pem"), 0o600, b"x").unwrap();
    deliver(&plan("x", None), &home.join("made/bundle"), Existing::Keep).and_then(Placed::check).unwrap();
    for made in ["crl.pem", "made", "made/bundle", "made/bundle/key.pem", "bundle"] {
        assert!(!has_acl(&home.join(made)), "{made}");
    }
    assert!(has_acl(&home), "this test can tell");
}

/// Whether a list says more than the mode does.
fn has_acl(path: &Path) -> bool {
    let lists = ["system.posix_acl_access", "system.posix_acl_default"];
    lists.iter().any(|list| rustix::fs::getxattr(path, *list, &mut [0; 256][..]).is_ok())
}

/// Without a group that was asked for, a bundle is of the group of who makes it; the group that its parent hands down
/// (setgid, inode(7)) is never taken for one, however often the bundle is replaced as it is found.
#[test]
fn a_group_that_is_handed_down_is_not_kept() {
    if !is_root() {
        return;
    }
    let (_root, home) = home_of_neighbour();
    chown(&home, Some(0), Some(GROUP)).unwrap();
    fs::set_permissions(&home, fs::Permissions::from_mode(0o2775)).unwrap();
    let place = home.join("bundle");
    let mut plan = plan("x", None);
    plan.directory_mode = 0o750;
    plan.files[2].mode = 0o640;
    let groups = || [&place, &place.join("key.pem")].map(|path| fs::metadata(path).unwrap().gid());
    let own = rustix::process::getegid().as_raw();
    for round in 0..4 {
        deliver(&plan, &place, Existing::Replace).and_then(Placed::check).unwrap();
        assert_eq!(groups(), [own; 2], "round {round}");
        plan.ownership = Sight::of(&place).unwrap().ownership("key.pem").unwrap();
    }
    // One that was made before this was so: who may read the key is what is kept.
    chown(&place, None, Some(GROUP)).unwrap();
    plan.ownership = Sight::of(&place).unwrap().ownership("key.pem").unwrap();
    deliver(&plan, &place, Existing::Replace).and_then(Placed::check).unwrap();
    assert_eq!(groups(), [own; 2]);
}
