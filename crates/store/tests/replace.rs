//! Single files that others read, and finding files.
#![expect(clippy::disallowed_methods, reason = "a test, which prepares files by hand")]

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use dockseal_store::{Home, ReadError, Replacement, Walk, WriteError, replace};

#[test]
fn readers_see_the_old_file_until_the_new_one_is_whole() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("metrics.prom");
    fs::write(&path, "old").unwrap();
    let mut file = Replacement::new(&path, 0o644).unwrap();
    file.write_all(b"new").unwrap();
    file.flush().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"old");
    file.put_in_place().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    // One that is given up leaves nothing.
    let mut file = Replacement::new(&path, 0o644).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_file_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("other"), "theirs").unwrap();
    symlink("other", root.path().join("link")).unwrap();
    fs::create_dir(root.path().join("directory")).unwrap();
    assert!(matches!(replace(&root.path().join("link"), 0o644, b"x"), Err(WriteError::Symlink { .. })));
    assert!(matches!(replace(&root.path().join("directory"), 0o644, b"x"), Err(WriteError::Io { .. })));
    assert!(matches!(replace(&PathBuf::from("/dev/null"), 0o644, b"x"), Err(WriteError::Io { .. })));
    assert!(matches!(replace(&root.path().join("missing/file"), 0o644, b"x"), Err(WriteError::Io { .. })));
    assert_eq!(fs::read(root.path().join("other")).unwrap(), b"theirs");
}

#[test]
fn a_walk_ends_whatever_the_tree_looks_like() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("a/b/c")).unwrap();
    fs::create_dir(at("empty")).unwrap();
    for name in ["top", "a/one", "a/b/two", "a/b/c/three"] {
        fs::write(at(name), name).unwrap();
    }
    fs::write(at("large"), [b'x'; 101]).unwrap();
    symlink("..", at("a/loop")).unwrap();
    symlink(root.path(), at("a/b/loop")).unwrap();
    symlink("top", at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let found = |depth| -> Vec<String> {
        let name = |path: PathBuf| path.strip_prefix(root.path()).unwrap().to_str().unwrap().to_owned();
        let path = |found: Result<PathBuf, ReadError>| {
            found.unwrap_or_else(|error| match error {
                ReadError::Io { path, .. } => path,
                error => panic!("{error}"),
            })
        };
        Walk::new(root.path(), depth, 100).map(|found| name(path(found))).collect()
    };
    assert_eq!(found(9), ["a/b/c/three", "a/b/two", "a/one", "link", "top"]);
    // What is too far down is told of.
    assert_eq!(found(1), ["a/b", "a/one", "link", "top"]);
    // So is a list of any size.
    fs::write(at("crl.pem"), [b'x'; 101]).unwrap();
    assert_eq!(found(1), ["a/b", "a/one", "crl.pem", "link", "top"]);
    assert!(Walk::new(&at("missing"), 9, 100).next().unwrap().is_err());
}

#[test]
fn an_inventory_is_replaced_with_its_log_and_the_old_one_kept() {
    let root = tempfile::tempdir().unwrap();
    let home = Home::new(root.path().to_owned());
    assert_eq!(home.replace_inventory(b"first").unwrap(), None);
    fs::write(root.path().join("inventory.db-wal"), "log of the first").unwrap();
    fs::write(root.path().join("inventory.db-shm"), "index").unwrap();
    let kept = home.replace_inventory(b"second").unwrap().unwrap();
    assert_eq!(kept, root.path().join("inventory.db.damaged-1"));
    let kept = home.replace_inventory(b"third").unwrap().unwrap();
    assert_eq!(kept, root.path().join("inventory.db.damaged-2"));
    let read = |name: &str| String::from_utf8(fs::read(root.path().join(name)).unwrap()).unwrap();
    assert_eq!(
        ["inventory.db", "inventory.db.damaged-1", "inventory.db.damaged-1-wal", "inventory.db.damaged-2"].map(read),
        ["third", "first", "log of the first", "second"]
    );
    assert!(!root.path().join("inventory.db-wal").exists() && !root.path().join("inventory.db-shm").exists());
    assert_eq!(fs::metadata(home.inventory_path()).unwrap().permissions().mode() & 0o7777, 0o600);
}
