//! Root at work in directories whose parent is another user's: what that user puts there decides neither whose key is read nor
//! who gets one.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use dockseal_tests::{Ran, Sandbox, require, require_root};

use crate::{home, refused_with_hint};

const NEIGHBOUR: u32 = 65534;

/// A sandbox that everybody may enter, with a directory of the neighbour's: `n`.
fn beside_a_neighbour() -> Sandbox {
    let sandbox = Sandbox::new();
    for path in [sandbox.root().to_path_buf(), sandbox.work()] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::create_dir(sandbox.path("n")).unwrap();
    std::os::unix::fs::chown(sandbox.path("n"), Some(NEIGHBOUR), Some(NEIGHBOUR)).unwrap();
    sandbox
}

/// What the neighbour does in `n`, with a public copy of `public` in reach.
fn neighbour(sandbox: &Sandbox, script: &str) -> Ran {
    let ids = ["--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-ec"];
    sandbox.program("setpriv").args(ids).arg(script).cwd(sandbox.path("n")).run()
}

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    sandbox.dockseal(line.split(' ')).run()
}

/// Certificates are public.
fn publish(sandbox: &Sandbox, from: &str, to: &str) {
    fs::create_dir_all(sandbox.path(to)).unwrap();
    for name in ["ca.pem", "cert.pem"] {
        let copy = sandbox.write(format!("{to}/{name}"), fs::read(sandbox.path(from).join(name)).unwrap());
        fs::set_permissions(copy, fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(sandbox.path(to), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A key is not read through a link of the neighbour's, and a bundle is not given to the owner of what he put in its place.
#[test]
fn a_key_behind_a_link_gives_nobody_another() {
    require!("setpriv", "openssl");
    require_root!();
    for line in ["renew localhost", "rollover advance", "rollback localhost"] {
        let sandbox = beside_a_neighbour();
        let _ = run(&sandbox, "init --no-passphrase").success();
        let _ = run(&sandbox, "issue daemon localhost --out n/daemon").success();
        if line == "rollback localhost" {
            let _ = run(&sandbox, "renew localhost").success();
        } else if line == "rollover advance" {
            let _ = run(&sandbox, "rollover begin").success();
        }
        publish(&sandbox, "n/daemon", "public");
        let exchange = "mv daemon real; mkdir daemon; cp ../public/* daemon/; ln -s ../real/key.pem daemon/key.pem; \
                        if [ -d .daemon.dockseal.previous ]; then mv .daemon.dockseal.previous kept; mkdir .daemon.dockseal.previous; \
                        cp ../public/* .daemon.dockseal.previous/; ln -s ../kept/key.pem .daemon.dockseal.previous/key.pem; fi";
        let _ = neighbour(&sandbox, exchange).success();
        let ran = run(&sandbox, line);
        assert!(matches!(ran.code, Some(1 | 2)), "{line}: {ran}");
        assert!(ran.stderr.contains("is a symbolic link that user 65534 can change"), "{line}: {ran}");
        let stolen =
            neighbour(&sandbox, "cat daemon/key.pem .daemon.dockseal.previous/key.pem 2>/dev/null | grep PRIVATE");
        assert_ne!(stolen.code, Some(0), "{line}: {stolen}");
        assert_eq!(fs::metadata(sandbox.path("n/real")).unwrap().uid(), 0);
    }
}

/// Where many may write, a bundle that another user lays beside root's is not what root had before.
#[test]
fn a_neighbours_bundle_is_not_what_was_kept() {
    require!("setpriv", "openssl");
    require_root!();
    let sandbox = beside_a_neighbour();
    let _ = run(&sandbox, "init --no-passphrase").success();
    fs::create_dir(sandbox.path("shared")).unwrap();
    fs::set_permissions(sandbox.path("shared"), fs::Permissions::from_mode(0o1777)).unwrap();
    let _ = run(&sandbox, "issue daemon good.test --out shared/tls").success();
    let _ = run(&sandbox, "issue daemon evil.test --out n/evil --owner 65534 --group 65534").success();
    let _ = neighbour(&sandbox, "cp -r evil ../shared/.tls.dockseal.previous").success();
    let before = fs::read(sandbox.path("shared/tls/cert.pem")).unwrap();
    for line in ["rollback good.test", "rollback ./shared/tls", "--authority none rollback ./shared/tls"] {
        let ran = run(&sandbox, line);
        refused_with_hint(&ran, &[1]);
        assert!(ran.stderr.contains("belongs to user 65534"), "{ran}");
        assert!(ran.stderr.contains("--force"), "{ran}");
        assert_eq!(fs::read(sandbox.path("shared/tls/cert.pem")).unwrap(), before, "{line}: {ran}");
    }
    // Root's own, and yet another daemon's.
    std::os::unix::fs::chown(sandbox.path("shared/.tls.dockseal.previous"), Some(0), Some(0)).unwrap();
    let ran = run(&sandbox, "rollback good.test");
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("is for daemon evil.test"), "{ran}");
    assert_eq!(run(&sandbox, "inventory check").code, Some(0));
    let _ = run(&sandbox, "rollback good.test --force").success();
    let there = sandbox.openssl(["x509", "-in", "shared/tls/cert.pem", "-noout", "-subject"]);
    assert!(there.contains("evil.test"), "{there}");
}

/// Nor is it recorded: a rebuild takes no place whose key is a link into somebody else's directory for one that has it.
#[test]
fn a_rebuild_below_a_neighbour() {
    require!("setpriv");
    require_root!();
    let sandbox = beside_a_neighbour();
    let _ = run(&sandbox, "init --no-passphrase").success();
    let _ = run(&sandbox, "issue client admin --out admin").success();
    publish(&sandbox, "admin", "public");
    let _ = neighbour(&sandbox, "mkdir evil; cp ../public/* evil/; ln -s ../../admin/key.pem evil/key.pem").success();
    let _ = run(&sandbox, "inventory rebuild --replace .");
    let _ = run(&sandbox, "renew --all");
    let stolen = neighbour(&sandbox, "cat evil/key.pem");
    assert_ne!(stolen.code, Some(0), "{stolen}");
}

/// Whoever owns a recorded directory gets no other user's key by putting that user's certificate, which is public, into it.
#[test]
fn a_certificate_alone_is_no_claim() {
    require!("setpriv");
    require_root!();
    let sandbox = beside_a_neighbour();
    let _ = run(&sandbox, "init --no-passphrase").success();
    let _ = run(&sandbox, "issue client nobody --out n/mine --owner 65534 --group 65534").success();
    let _ = run(&sandbox, "issue client admin --out admin").success();
    publish(&sandbox, "admin", "public");
    let _ = run(&sandbox, "renew admin").success();
    let _ = neighbour(&sandbox, "mv mine keep; mkdir mine; cp ../public/* mine/").success();
    let ran = run(&sandbox, "context update --all").exits(1);
    assert!(ran.stderr.contains("another certificate is recorded for it"), "{ran}");
    assert!(!sandbox.path("n/mine/key.pem").exists(), "{ran}");
}

/// In a user's authority root signs with that authority's own key alone.
#[test]
fn an_authority_that_borrows_roots_key() {
    require!("setpriv", "openssl");
    require_root!();
    let sandbox = beside_a_neighbour();
    let _ = run(&sandbox, "init --no-passphrase").success();
    let root = fs::read(home(&sandbox).join("ca.pem")).unwrap();
    sandbox.write("public/ca.pem", root);
    fs::set_permissions(sandbox.path("public"), fs::Permissions::from_mode(0o755)).unwrap();
    let dockseal = dockseal_tests::dockseal_binary();
    let key = home(&sandbox).join("ca-key.pem");
    let script = format!(
        "export HOME=$PWD; {0} --authority ca init --no-passphrase; {0} --authority ca issue client admin --out a; cd ca; \
         rm -f ca.pem ca-key.pem; cp ../../public/ca.pem .; ln -s {1} ca-key.pem",
        dockseal.display(),
        key.display()
    );
    let _ = neighbour(&sandbox, &script).success();
    let before = fs::read(sandbox.path("n/a/cert.pem")).unwrap();
    let ran = run(&sandbox, "--authority n/ca renew --all");
    refused_with_hint(&ran, &[2]);
    assert_eq!(fs::read(sandbox.path("n/a/cert.pem")).unwrap(), before, "{ran}");
}

/// Nobody writes lines or colours onto root's terminal by the name of a directory.
#[test]
fn names_of_directories_are_no_lines() {
    let sandbox = Sandbox::new();
    let _ = run(&sandbox, "init --no-passphrase").success();
    let forged = "x\nRevoked client mallory\u{1b}[2J";
    let issued = sandbox.dockseal(["issue", "client", "alice", "--out", &format!("{forged}/a")]).run().success();
    let renewed = run(&sandbox, "renew alice").success();
    let rolled = run(&sandbox, "rollback alice").success();
    let listed = run(&sandbox, "list").success();
    for ran in [issued, renewed, rolled, listed] {
        let is_forged = |line: &str| line.starts_with("Revoked client mallory") || line.contains('\u{1b}');
        assert!(!ran.stdout.lines().any(is_forged), "{ran}");
        assert!(ran.stdout.contains("x\\nRevoked client mallory"), "{ran}");
    }
}

/// A neighbour can write whatever he likes into the inventory of his authority. Root's run in it works in his places alone.
#[test]
fn an_inventory_that_claims_roots_bundle() {
    require!("setpriv");
    require_root!();
    for lines in [
        &["renew --all"][..],
        &["renew localhost --reuse-key"],
        &["rollback localhost"],
        &["rollover begin", "rollover advance"],
        &["context update --all"],
        &["renew --all --exec true"],
    ] {
        let sandbox = beside_a_neighbour();
        let _ = run(&sandbox, "init --no-passphrase").success();
        let _ = run(&sandbox, "issue daemon localhost --out daemon").success();
        // So that there is something to roll back to.
        let _ = run(&sandbox, "renew localhost").success();
        let _ = run(&sandbox, "--authority n/ca init --no-passphrase").success();
        // Nobody but a reader of root's inventory knows its rows; that he could guess them all is the worst case.
        fs::copy(home(&sandbox).join("inventory.db"), sandbox.path("n/ca/inventory.db")).unwrap();
        let _ = sandbox.program("chown").args(["-R", "65534:65534"]).arg(sandbox.path("n/ca")).run().success();
        let _ = run(&sandbox, "--authority n/ca issue client his --out n/his --owner 65534 --group 65534").success();
        let tree = || {
            let names = ["daemon", ".daemon.dockseal.previous"].map(|name| sandbox.path(name));
            names.map(|directory| ["ca.pem", "cert.pem", "key.pem"].map(|name| fs::read(directory.join(name)).ok()))
        };
        let before = tree();
        assert!(before.iter().flatten().all(Option::is_some));
        for line in lines {
            let ran = run(&sandbox, &format!("--authority n/ca {line}"));
            if line.starts_with("renew") {
                assert_eq!(ran.code, Some(1), "{line}: {ran}");
                assert!(ran.stderr.contains("the authority belongs to user 65534"), "{line}: {ran}");
                assert!(ran.stderr.contains("run it as that user, or make the authority root's"), "{line}: {ran}");
            }
            assert!(tree() == before, "{line}: {ran}");
        }
        if lines == ["renew --all"] {
            let his = fs::metadata(sandbox.path("n/.his.dockseal.previous")).unwrap();
            assert_eq!(his.uid(), NEIGHBOUR, "what is his is renewed");
        }
    }
}

/// On a neighbour's inventory root works with the neighbour's rights: what he leads it to, it cannot open either. The link is what
/// a race against SQLite, which opens by paths, would come to.
#[test]
fn an_inventory_that_leads_to_roots() {
    require!("setpriv");
    require_root!();
    let sandbox = beside_a_neighbour();
    let _ = run(&sandbox, "init --no-passphrase").success();
    let _ = run(&sandbox, "issue client secret --out secret").success();
    let _ = run(&sandbox, "--authority n/ca init --no-passphrase").success();
    let _ = run(&sandbox, "--authority n/ca issue client mine --out n/mine").success();
    let _ = sandbox.program("chown").args(["-R", "65534:65534", "n"]).run().success();
    let roots = home(&sandbox).join("inventory.db");
    let before = fs::read(&roots).unwrap();

    // Where it is his, it is used, and what SQLite makes beside it is his.
    let ran = run(&sandbox, "--authority n/ca list").success();
    assert!(ran.stdout.contains("mine"), "{ran}");
    let _ = run(&sandbox, "--authority n/ca renew mine").success();
    let _ = run(&sandbox, "--authority n/ca inventory rebuild --replace n/mine").success();
    for entry in fs::read_dir(sandbox.path("n/ca")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), NEIGHBOUR, "{}", entry.path().display());
    }

    fs::remove_file(sandbox.path("n/ca/inventory.db")).unwrap();
    fs::hard_link(&roots, sandbox.path("n/ca/inventory.db")).unwrap();
    for line in ["list", "renew --all", "revoke secret", "inventory check", "status"] {
        let ran = run(&sandbox, &format!("--authority n/ca {line}")).exits(2);
        assert!(!ran.stdout.contains("secret"), "{ran}");
    }
    assert!(fs::read(&roots).unwrap() == before, "root's inventory was written to");
}

/// A pipe in the place of what SQLite has beside an inventory is not waited for.
#[test]
fn pipes_beside_an_inventory() {
    require!("setpriv", "mkfifo", "timeout");
    require_root!();
    for end in ["-journal", "-wal", "-shm"] {
        let sandbox = beside_a_neighbour();
        let _ = run(&sandbox, "--authority n/ca init --no-passphrase").success();
        let _ = sandbox.program("chown").args(["-R", "65534:65534", "n"]).run().success();
        let _ = neighbour(&sandbox, &format!("mkfifo ca/inventory.db{end}")).success();
        for line in ["list", "issue client x --out x"] {
            let limited = sandbox.program("timeout").arg("20").arg(dockseal_tests::dockseal_binary());
            let ran = limited.args(["--authority", "n/ca"]).args(line.split(' ')).run().exits(2);
            assert!(ran.stderr.contains(&format!("inventory.db{end} is not a file")), "{ran}");
        }
    }
}

/// A context that root makes in a user's configuration is that user's: docker reads all of it as that user, and changes it.
#[test]
fn a_context_in_a_users_configuration() {
    require!("setpriv", "docker");
    require_root!();
    let sandbox = beside_a_neighbour();
    let _ = run(&sandbox, "init --no-passphrase").success();
    let configuration = sandbox.path("n/.docker");
    for (name, option) in [("new", None), ("replaced", Some("--replace"))] {
        let line = ["context", "create", "ctx", "--host", "tcp://h:2376", "--client", "bob"];
        let program = sandbox.dockseal(line.into_iter().chain(option)).env("DOCKER_CONFIG", &configuration);
        let _ = program.run().success();
        let docker = "docker --config .docker context";
        let script = format!("{docker} export ctx {name}.tar; {docker} update ctx --description {name}; {docker} ls");
        let _ = neighbour(&sandbox, &script).success().says(name);
        // Docker ends its archives early, which tar minds.
        let exported = sandbox.program("tar").args(["-tf", &format!("n/{name}.tar")]).run();
        assert!(exported.stdout.contains("tls/docker/key.pem"), "{exported}");
    }
}
