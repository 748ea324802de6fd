//! `dockseal timer`: what it refuses. What systemd and cron make of the rest is among the oracles.

use std::fs;

use dockseal_tests::{Sandbox, tree};

use crate::{refused_with_hint, with_authority};

#[track_caller]
fn unchanged(sandbox: &Sandbox, args: &[&str], codes: &[i32], says: &str) {
    let before = tree(sandbox.root());
    let ran = sandbox.dockseal(["timer", "--user", "--root", "/"]).args(args).run();
    refused_with_hint(&ran, codes);
    assert!(ran.stderr.contains(says), "{says:?} is not said\n{ran}");
    before.assert_same(&tree(sandbox.root()), &ran);
}

#[test]
fn without_an_authority() {
    unchanged(&Sandbox::new(), &["--install"], &[2], "no authority");
}

#[test]
fn what_cannot_stand_in_a_unit() {
    let sandbox = with_authority();
    for unit in ["", "../x", "a/b", "a b", "a@b", "%n"] {
        unchanged(&sandbox, &["--install", "--unit", unit], &[2], "no name for units");
    }
    for calendar in ["", " ", "daily\nOnBootSec=1", "%h", "[Install]"] {
        unchanged(&sandbox, &["--install", "--calendar", calendar], &[2], "calendar");
    }
    for jitter in ["soon", "-1h", ""] {
        unchanged(&sandbox, &["--install", &format!("--jitter={jitter}")], &[2], "lifetime");
    }
    for command in ["", "  "] {
        unchanged(&sandbox, &["--install", "--exec", command], &[2], "command is empty");
    }
    // A directory whose name a line of a unit cannot hold.
    let _ = sandbox.dockseal(["--authority", "line\nend", "init", "--no-passphrase"]).run().success();
    unchanged(&sandbox, &["--install", "--authority", "line\nend"], &[2], "systemd unit");
}

#[test]
fn places_that_do_not_take_units() {
    let sandbox = with_authority();
    let config = sandbox.root().join("home/.config");
    fs::write(&config, "mine").unwrap();
    unchanged(&sandbox, &["--install"], &[2], "config");
    fs::remove_file(&config).unwrap();
    let unit = config.join("systemd/user/dockseal-renew.timer");
    fs::create_dir_all(&unit).unwrap();
    unchanged(&sandbox, &["--install"], &[2], "dockseal-renew.timer");
    unchanged(&sandbox, &["--remove"], &[2], "dockseal-renew.timer");
    fs::remove_dir(&unit).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &unit).unwrap();
    unchanged(&sandbox, &["--install", "--replace"], &[1], "not made by dockseal timer");
    unchanged(&sandbox, &["--remove"], &[1], "not made by dockseal timer");
}
