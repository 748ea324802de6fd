//! The harness itself: that what the other tests stand on holds.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::disallowed_methods, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockseal_tests::{Bundle, Pki, Program, Random, Sandbox, tree};

#[test]
fn a_program_sees_only_the_sandbox() {
    let sandbox = Sandbox::new();
    let ran = sandbox.program("env").run().success();
    for line in ran.stdout.lines() {
        let (name, value) = line.split_once('=').expect("a pair");
        let own = value.starts_with(sandbox.root().to_str().expect("UTF-8"));
        assert!(own || ["PATH", "LC_ALL", "NO_COLOR", "PYENV_ROOT"].contains(&name), "{line} comes from outside");
    }
}

#[test]
fn a_sandbox_leaves_nothing() {
    let sandbox = Sandbox::new();
    let root = sandbox.root().to_path_buf();
    sandbox.write("a/b", "c");
    drop(sandbox);
    assert!(!root.exists());
}

#[test]
fn a_tree_tells_modes_contents_and_links() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("d/f", "1");
    let before = tree(&sandbox.work());
    assert_eq!(before, tree(&sandbox.work()));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let modes = tree(&sandbox.work());
    assert_ne!(before, modes);
    fs::write(&file, "2").unwrap();
    assert_ne!(modes, tree(&sandbox.work()));
    assert_eq!(modes.paths(), ["./d", "./d/f"]);
}

#[test]
fn a_mismatched_bundle_is_noticed() {
    let (one, two) = (Pki::by_openssl(), Pki::stranger_by_openssl());
    one.client.assert_complete();
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("mixed")).unwrap();
    let mixed = Bundle(sandbox.path("mixed"));
    fs::copy(one.client.ca(), mixed.ca()).unwrap();
    fs::copy(one.client.cert(), mixed.cert()).unwrap();
    fs::copy(two.client.key(), mixed.key()).unwrap();
    assert!(std::panic::catch_unwind(|| mixed.assert_complete()).is_err());
    fs::copy(one.client.key(), mixed.key()).unwrap();
    fs::copy(two.client.ca(), mixed.ca()).unwrap();
    assert!(std::panic::catch_unwind(|| mixed.assert_complete()).is_err());
}

#[test]
fn a_program_that_hangs_is_ended() {
    let hung =
        std::panic::catch_unwind(|| Program::new("sleep").arg("60").limit(std::time::Duration::from_millis(100)).run());
    assert!(hung.is_err());
}

#[test]
fn a_seed_repeats() {
    let draw = || {
        (0..4)
            .map({
                let mut random = Random::seeded(7);
                move |_| random.below(100)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(draw(), draw());
}

/// Every file of tests belongs to a target, so that none is forgotten: a module of
/// its directory's `main.rs`, or itself named in Cargo.toml.
#[test]
fn every_test_file_is_included() {
    let tests = dockseal_tests::repository().join("tests");
    for dir in ["cli", "oracles", "house", "harness", "remote"] {
        let roots = ["main.rs", "lib.rs", "tests.rs"];
        let text: String =
            roots.iter().filter_map(|root| fs::read_to_string(tests.join(dir).join(root)).ok()).collect();
        for entry in fs::read_dir(tests.join(dir)).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let Some(module) = name.strip_suffix(".rs") else { continue };
            let included = text.lines().any(|line| line.trim() == format!("mod {module};"));
            assert!(included || roots.contains(&name.as_str()), "tests/{dir}/{name} is in no test target");
        }
    }
}
