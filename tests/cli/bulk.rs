//! `issue clients`: many at once.

use dockseal_tests::{Bundle, Ran, Sandbox, require, tree};
use serde_json::Value;

use crate::{home, refused_with_hint, with_authority};

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    sandbox.dockseal(line.split(' ')).run()
}

#[test]
fn a_directory_for_each_line_of_a_file() {
    require!("openssl", "python3");
    let sandbox = with_authority();
    let users: String = (0..300).map(|n| format!("  user {n}  \r\n\n# nobody\nuser {n}\n")).collect();
    let ran = sandbox
        .dockseal(["issue", "clients", "ada", "--from", "-", "--out", "many", "--lifetime", "30d", "--format", "json"])
        .input(users)
        .run()
        .success();
    let results: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(results["results"].as_array().unwrap().len(), 301, "{ran}");
    assert_eq!(results["left"], 0);
    assert_eq!(tree(&sandbox.path("many")).leftovers(), Vec::<String>::new());
    for name in ["ada", "user 0", "user 299"] {
        let bundle = Bundle(sandbox.path("many").join(name));
        bundle.assert_complete();
        let cert = bundle.cert();
        let text = sandbox.openssl(["x509", "-noout", "-subject", "-in", cert.to_str().unwrap()]);
        assert_eq!(text.trim(), format!("subject=CN = {name}"));
        let ca = home(&sandbox).join("ca.pem");
        let (ca, cert) = (ca.to_str().unwrap(), cert.to_str().unwrap());
        let _ = sandbox.openssl(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", ca, cert]);
    }
    let modes = tree(&sandbox.path("many/ada")).to_string();
    assert!(modes.contains("0600 key.pem") && modes.contains("0444 cert.pem"), "{modes}");
    assert_eq!(
        sandbox.inventory("SELECT count(*), count(DISTINCT serial) FROM certificate WHERE state = 'issued'"),
        ["301\t301"]
    );
    let _ = run(&sandbox, "inventory check").success();

    // Again: what is there stays, and one more comes.
    let before = std::fs::read(sandbox.path("many/ada/cert.pem")).unwrap();
    let again = run(&sandbox, "issue clients ada bea --out many").success();
    assert!(again.stdout.contains("kept client ada") && again.stdout.contains("issued client bea"), "{again}");
    assert_eq!(std::fs::read(sandbox.path("many/ada/cert.pem")).unwrap(), before);
    let _ = run(&sandbox, "issue clients ada --out many --replace").success();
    assert_ne!(std::fs::read(sandbox.path("many/ada/cert.pem")).unwrap(), before);
}

/// One that cannot be had does not stop the others, and the exit code says so.
#[test]
fn some_cannot_be_had() {
    require!("openssl");
    let sandbox = with_authority();
    sandbox.write("many/zed/notes.txt", "somebody else's");
    sandbox.write("users", "good\nbad/name\nzed\n");
    let ran = run(&sandbox, "issue clients --from users --out many").exits(1).says("hint:");
    assert!(ran.stderr.contains("bad/name") && ran.stderr.contains("notes.txt"), "{ran}");
    Bundle(sandbox.path("many/good")).assert_complete();
    assert_eq!(tree(&sandbox.path("many/zed")).paths(), ["./notes.txt"]);
}

/// What is refused for all alike, or cannot be read, changes nothing.
#[test]
fn nothing_is_changed_by_what_is_refused() {
    let sandbox = with_authority();
    sandbox.write("long", "x".repeat(1 << 20));
    sandbox.write("binary", [b'a', 0xff, 0xfe, b'\n']);
    sandbox.write("users", "ada\n");
    sandbox.write("empty", "# nobody\n\n");
    let before = tree(sandbox.root());
    for (line, code) in [
        ("issue clients --from long --out many", 2),
        ("issue clients --from binary --out many", 2),
        ("issue clients --from nowhere --out many", 2),
        ("issue clients --from here --out many", 2),
        ("issue clients --from users --out many --lifetime 0d", 2),
        ("issue clients --from users --out many --lifetime 10000y", 2),
        ("issue clients --from users --out many --mode 0644", 2),
    ] {
        let ran = run(&sandbox, line);
        refused_with_hint(&ran, &[code]);
        before.assert_same(&tree(sandbox.root()), &ran);
    }
    let none = run(&sandbox, "issue clients --from empty --out many").success();
    assert_eq!(none.stdout, "");
    before.assert_same(&tree(sandbox.root()), &none);
}
