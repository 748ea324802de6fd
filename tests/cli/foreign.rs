//! Bundles of other authorities in the places that ours are put into.

use std::fs;
use std::path::PathBuf;

use dockseal_tests::{Ran, Sandbox, require};

/// An authority of openssl's, in `ca/`, with the files that `openssl ca` keeps.
fn openssl_authority() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write(
        "ca/openssl.cnf",
        "[ca]\ndefault_ca=own\n[own]\ndatabase=ca/index.txt\ncrlnumber=ca/crlnumber\ncertificate=ca/ca.pem\nprivate_key=ca/ca-key.pem\n\
         default_md=sha256\ndefault_crl_days=30\n[req]\ndistinguished_name=name\n[name]\n",
    );
    sandbox.write("ca/index.txt", "");
    sandbox.write("ca/crlnumber", "1000\n");
    let made = "req -x509 -newkey rsa:2048 -noenc -days 900 -subj /O=jeff -keyout ca/ca-key.pem -out ca/ca.pem \
                -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign";
    let _ = sandbox.openssl(made.split_whitespace());
    sandbox
}

/// A certificate of it in `directory`, with a subject, a serial number and extensions of openssl's notation.
fn issue(sandbox: &Sandbox, directory: &str, subject: &str, serial: &str, extensions: &str) -> PathBuf {
    sandbox.write(format!("{directory}/extensions"), extensions);
    let at = |name: &str| format!("{directory}/{name}");
    let (key, request, cert) = (at("key.pem"), at("request"), at("cert.pem"));
    let ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc", "-keyout", &key];
    let _ = sandbox.openssl(["req", "-new", "-subj", subject, "-out", &request].iter().chain(&ec));
    let by = ["-CA", "ca/ca.pem", "-CAkey", "ca/ca-key.pem", "-set_serial", serial, "-days", "800"];
    let signed = ["x509", "-req", "-in", &request, "-extfile", &at("extensions"), "-out", &cert];
    let _ = sandbox.openssl(signed.iter().map(|word| (*word).to_owned()).chain(by.map(str::to_owned)));
    for name in ["request", "extensions"] {
        fs::remove_file(sandbox.path(at(name))).unwrap();
    }
    fs::copy(sandbox.path("ca/ca.pem"), sandbox.path(at("ca.pem"))).unwrap();
    sandbox.path(directory)
}

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    sandbox.dockseal(line.split_whitespace()).run()
}

const CLIENT: &str = "extendedKeyUsage=clientAuth";

/// The three files of a bundle.
fn contents(sandbox: &Sandbox, place: &str) -> [Vec<u8>; 3] {
    ["ca.pem", "cert.pem", "key.pem"].map(|name| fs::read(sandbox.path(place).join(name)).unwrap())
}

/// Whatever replaces a bundle keeps the one that was there, also one of another authority's, and `rollback` brings it back.
#[test]
fn a_replaced_bundle_of_another_authority_comes_back() {
    require!("openssl", "strace");
    let before = |sandbox: &Sandbox| {
        let _ = issue(sandbox, "theirs", "/CN=alice", "0x30", CLIENT);
        let _ = run(sandbox, "init --no-passphrase").success();
        contents(sandbox, "theirs")
    };
    for line in ["issue client alice --out theirs --replace", "issue clients alice --out . --replace"] {
        let sandbox = openssl_authority();
        let theirs = before(&sandbox);
        let place = if line.contains("clients") { "alice" } else { "theirs" };
        fs::rename(sandbox.path("theirs"), sandbox.path(place)).unwrap();
        let _ = run(&sandbox, line).success();
        assert_ne!(contents(&sandbox, place), theirs);
        let ran = run(&sandbox, &format!("rollback {place}")).success();
        assert_eq!(contents(&sandbox, place), theirs, "{ran}");
        // It is nobody's of this authority, and no renewal overwrites it.
        let _ = run(&sandbox, "renew --all").success();
        assert_eq!(contents(&sandbox, place), theirs, "{ran}");
        let _ = run(&sandbox, "inventory check").success();
        // Twice changes nothing: ours is back, and known as ours.
        let _ = run(&sandbox, &format!("rollback ./{place}")).success();
        let _ = run(&sandbox, "inventory check").success().says("1 of 1");
    }
    // Killed at every rename: it is never lost.
    for nth in 1..=3 {
        let sandbox = openssl_authority();
        let theirs = before(&sandbox);
        let how = format!("inject=renameat2:signal=KILL:when={nth}");
        let killed =
            sandbox.program("strace").args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=renameat2", "-e", &how]);
        let killed = killed
            .arg(dockseal_tests::dockseal_binary())
            .args("issue client alice --out theirs --replace".split(' '))
            .run();
        let _ = run(&sandbox, "issue client bob --out bob").success();
        if contents(&sandbox, "theirs") != theirs {
            let ran = run(&sandbox, "rollback theirs").success();
            assert_eq!(
                contents(&sandbox, "theirs"),
                theirs,
                "rename {nth}: {killed}
{ran}"
            );
        }
        let _ = run(&sandbox, "inventory check").success();
    }
}

/// The same for a daemon and a client of a bootstrap, and for a context.
#[test]
fn bootstrap_and_contexts_keep_what_they_replace() {
    let sandbox = Sandbox::new();
    let bootstrap = "bootstrap h.test --client alice --out host --no-passphrase";
    let context = "context create far --host tcp://h.test --client alice";
    for line in [bootstrap, context] {
        let _ = run(&sandbox, line).success();
    }
    let tls = fs::read_dir(sandbox.root().join("home/.docker/contexts/tls")).unwrap().next().unwrap().unwrap();
    let places = [sandbox.path("host/daemon"), sandbox.path("host/clients/alice"), tls.path().join("docker")];
    let before = places.clone().map(|place| fs::read(place.join("cert.pem")).unwrap());
    for line in [bootstrap, context] {
        let _ = run(&sandbox, &format!("{line} --replace")).success();
    }
    for (place, before) in places.iter().zip(&before) {
        assert_ne!(&fs::read(place.join("cert.pem")).unwrap(), before, "{}", place.display());
        let _ = sandbox.dockseal(["rollback"]).arg(place).run().success();
        assert_eq!(&fs::read(place.join("cert.pem")).unwrap(), before, "{}", place.display());
    }
    let _ = run(&sandbox, "inventory check").success();
}

/// Killed at any rename or sync of a rollback to another authority's bundle: the record is so, and nothing is lost.
#[test]
fn a_rollback_to_another_authority_that_is_killed() {
    require!("openssl", "strace");
    for call in ["renameat2", "fsync", "syncfs"] {
        for nth in 1..=4 {
            let sandbox = openssl_authority();
            let _ = issue(&sandbox, "a", "/CN=alice", "0x30", CLIENT);
            let theirs = contents(&sandbox, "a");
            let _ = run(&sandbox, "init --no-passphrase").success();
            let _ = run(&sandbox, "issue client alice --out a --replace").success();
            let ours = contents(&sandbox, "a");
            for end in ["signal=KILL", "error=EIO"] {
                let how = format!("inject={call}:{end}:when={nth}");
                let traced = sandbox.program("strace").args(["-f", "-qq", "-o", "/dev/null", "-e"]);
                let traced =
                    traced.arg(format!("trace={call}")).args(["-e", &how]).arg(dockseal_tests::dockseal_binary());
                let ended = traced.args(["rollback", "./a"]).run();
                let when = format!("{how}: {ended}");
                let _ = run(&sandbox, "issue client bob --out bob --replace").success();
                let checked = run(&sandbox, "inventory check");
                assert_eq!(checked.code, Some(0), "{when}\n{checked}");
                let now = contents(&sandbox, "a");
                assert!(now == ours || now == theirs, "{when}");
                let back = run(&sandbox, "rollback ./a");
                assert_eq!(back.code, Some(0), "{when}\n{back}");
                assert_ne!(contents(&sandbox, "a"), now, "{when}\n{back}");
                let checked = run(&sandbox, "inventory check");
                assert_eq!(checked.code, Some(0), "{when}\n{back}\n{checked}");
            }
        }
    }
}
