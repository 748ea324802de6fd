//! Several of us at the same moment, on one authority and on one directory.

use std::collections::HashSet;
use std::fs;
use std::sync::Barrier;
use std::thread;

use dockseal_tests::{Bundle, Ran, Sandbox, require, tree};

use crate::{home, with_authority};

/// Runs the commands at the same moment.
fn at_once(sandbox: &Sandbox, commands: &[Vec<String>]) -> Vec<Ran> {
    let _ = dockseal_tests::dockseal_binary();
    let start = Barrier::new(commands.len());
    thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter()
            .map(|args| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    sandbox.dockseal(args).run()
                })
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(ToOwned::to_owned).collect()
}

/// One key for one certificate in the authority's home.
fn authority_is_whole(sandbox: &Sandbox) {
    let home = home(sandbox);
    let certificate = dockseal_tests::public_key_of_certificate(&home.join("ca.pem"));
    assert_eq!(certificate, dockseal_tests::public_key_of_key(&home.join("ca-key.pem")));
    assert_eq!(tree(sandbox.root()).leftovers(), Vec::<String>::new());
}

#[test]
fn two_inits() {
    require!("openssl");
    for _ in 0..5 {
        let sandbox = Sandbox::new();
        let all = at_once(&sandbox, &[words("init --no-passphrase"), words("init --no-passphrase")]);
        let codes: Vec<_> = all.iter().map(|ran| ran.code).collect();
        // One makes it; the other is told that it is there.
        assert!(codes.contains(&Some(0)) && codes.contains(&Some(1)), "{}\n{}", all[0], all[1]);
        authority_is_whole(&sandbox);
    }
}

#[test]
fn ten_issues() {
    require!("openssl");
    let sandbox = with_authority();
    let commands: Vec<_> =
        (0..10).map(|n| words(&format!("issue client user{n} --out c{n} --no-passphrase"))).collect();
    for ran in at_once(&sandbox, &commands) {
        let _ = ran.success();
    }
    let mut serials = HashSet::new();
    for n in 0..10 {
        Bundle(sandbox.path(format!("c{n}"))).assert_complete();
        let cert = format!("c{n}/cert.pem");
        let serial = sandbox.openssl(["x509", "-noout", "-serial", "-in", &cert]);
        let serial = serial.trim().trim_start_matches("serial=").to_lowercase();
        let kept =
            sandbox.inventory(&format!("SELECT name, state FROM certificate WHERE hex(serial) = upper('{serial}')"));
        assert_eq!(kept, [format!("user{n}\tissued")]);
        assert!(serials.insert(serial));
    }
    assert_eq!(sandbox.inventory("SELECT count(*), count(DISTINCT serial) FROM certificate"), ["10\t10"]);
    authority_is_whole(&sandbox);
}

#[test]
fn ten_issues_into_one_directory() {
    require!("openssl");
    let sandbox = with_authority();
    let commands = vec![words("issue client alice --out c --no-passphrase"); 10];
    let all = at_once(&sandbox, &commands);
    let made = all.iter().filter(|ran| ran.code == Some(0)).count();
    let refused = all.iter().filter(|ran| ran.code == Some(1)).count();
    assert_eq!((made, refused), (1, 9), "{}", all.iter().map(ToString::to_string).collect::<String>());
    Bundle(sandbox.path("c")).assert_complete();
    // Replacing, all may: one after the other.
    let commands = vec![words("issue client alice --out c --no-passphrase --replace"); 10];
    for ran in at_once(&sandbox, &commands) {
        let _ = ran.success();
    }
    Bundle(sandbox.path("c")).assert_complete();
    authority_is_whole(&sandbox);
}

#[test]
fn ten_bootstraps_on_one_authority() {
    require!("openssl");
    // No authority yet: one of them makes it, all of them use it.
    let sandbox = Sandbox::new();
    let commands: Vec<_> =
        (0..10).map(|n| words(&format!("bootstrap h{n}.test --client user{n} --out b{n} --no-passphrase"))).collect();
    for ran in at_once(&sandbox, &commands) {
        let _ = ran.success();
    }
    let ca = fs::read(home(&sandbox).join("ca.pem")).unwrap();
    for n in 0..10 {
        for bundle in [format!("b{n}/daemon"), format!("b{n}/clients/user{n}")] {
            Bundle(sandbox.path(&bundle)).assert_complete();
            assert_eq!(
                ca,
                fs::read(sandbox.path(&bundle).join("ca.pem")).unwrap(),
                "{bundle} trusts another authority"
            );
        }
    }
    authority_is_whole(&sandbox);
}

#[test]
fn ten_bootstraps_on_one_directory() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let commands: Vec<_> = (0..10)
        .map(|n| words(&format!("bootstrap h.test --client alice --client user{n} --out b --no-passphrase")))
        .collect();
    for ran in at_once(&sandbox, &commands) {
        let _ = ran.success();
    }
    for bundle in std::iter::once("daemon".to_owned())
        .chain(std::iter::once("clients/alice".to_owned()))
        .chain((0..10).map(|n| format!("clients/user{n}")))
    {
        Bundle(sandbox.path("b").join(bundle)).assert_complete();
    }
    authority_is_whole(&sandbox);
    // And then there is nothing left to do.
    let before = tree(sandbox.root());
    let _ = sandbox.dockseal(&commands[0]).run().success();
    before.assert_same(&tree(sandbox.root()), "");
}

/// A reader that opens the directory once finds one generation in it, whole, however
/// often the bundle is replaced meanwhile.
#[test]
fn a_reader_during_replacements() {
    require!("openssl");
    let sandbox = with_authority();
    let issue = words("issue client alice --out c --no-passphrase --replace");
    let _ = sandbox.dockseal(&issue).run().success();
    let pairs: std::sync::Mutex<HashSet<(Vec<u8>, Vec<u8>)>> = std::sync::Mutex::default();
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            use std::os::fd::AsRawFd;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let dir = fs::File::open(sandbox.path("c")).expect("the directory is always there");
                let through = std::path::PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd()));
                // Gone while we read: the old generation, removed after the swap. Try again.
                let (Ok(cert), Ok(key)) = (fs::read(through.join("cert.pem")), fs::read(through.join("key.pem")))
                else {
                    continue;
                };
                pairs.lock().unwrap().insert((cert, key));
                thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        for _ in 0..20 {
            let _ = sandbox.dockseal(&issue).run().success();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let pairs = pairs.into_inner().unwrap();
    assert!(pairs.len() >= 5, "the reader saw only {} generations", pairs.len());
    for (cert, key) in pairs {
        let (cert, key) = (sandbox.write("seen/cert.pem", cert), sandbox.write("seen/key.pem", key));
        assert_eq!(dockseal_tests::public_key_of_certificate(&cert), dockseal_tests::public_key_of_key(&key));
    }
}

/// Twenty at once on one authority, half of them renewing what the others do not know of: all succeed, all is recorded,
/// and no two certificates share a serial.
#[test]
fn twenty_that_issue_and_renew() {
    require!("openssl", "python3");
    let sandbox = with_authority();
    for n in 0..5 {
        let _ = sandbox.dockseal(["issue", "client", &format!("old{n}"), "--out", &format!("old{n}")]).run().success();
    }
    let commands: Vec<_> = (0..20)
        .map(|n| match n % 4 {
            0 => words(&format!("renew old{}", n / 4)),
            // Two of these at the same moment renew one after the other.
            1 => words("renew --all"),
            2 => words(&format!("issue clients a{n} b{n} c{n} --out many")),
            _ => words(&format!("issue client new{n} --out new{n}")),
        })
        .collect();
    for ran in at_once(&sandbox, &commands) {
        let _ = ran.success();
    }
    authority_is_whole(&sandbox);
    let check = sandbox.dockseal(["inventory", "check"]).run().success();
    assert_eq!(
        sandbox.inventory(
            "SELECT count(*) - count(DISTINCT serial), count(*) FILTER (WHERE state = 'reserved') FROM certificate"
        ),
        ["0\t0"],
        "{check}"
    );
    // Five old ones, five new ones and fifteen of many: one certificate of each counts, in one place, and that holds it.
    let names = "SELECT count(DISTINCT name), count(*) FROM certificate WHERE state = 'issued'";
    assert_eq!(sandbox.inventory(names), ["25\t25"], "{check}");
    assert_eq!(
        sandbox.inventory("SELECT count(*), count(DISTINCT certificate) FROM destination WHERE pending IS NULL"),
        ["25\t25"]
    );
    for n in 0..5 {
        Bundle(sandbox.path(format!("old{n}"))).assert_complete();
    }
}
