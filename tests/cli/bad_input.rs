//! What people type wrong. Each is refused with a reason and a hint, and leaves every
//! file as it was.

use dockseal_tests::{Sandbox, require, tree};

use crate::{home, refused, refused_with_hint, with_authority};

/// Refused in the house's form, or, when the command line itself is none, in clap's.
fn unchanged(sandbox: &Sandbox, args: &[&str], codes: &[i32], says: &[&str]) {
    let before = tree(sandbox.root());
    let ran = sandbox.dockseal(args).run();
    refused(&ran, codes);
    assert!(ran.holds("hint:") || (ran.code == Some(2) && ran.holds("try '--help'")), "no hint is given\n{ran}");
    for text in says {
        assert!(ran.holds(text), "{text:?} is not said\n{ran}");
    }
    before.assert_same(&tree(sandbox.root()), &ran);
}

/// Every daemon name that is refused, and a word that the message owes the reader.
#[test]
fn names() {
    let long = format!("{}.example.com", "a.".repeat(140).trim_end_matches('.'));
    let label = format!("{}.example.com", "a".repeat(64));
    let cases: &[(&str, &str)] = &[
        ("build.example.com.", "dot"),
        ("*", "*"),
        ("foo.*.example.com", "*"),
        ("b*.example.com", "*"),
        ("tcp://build.example.com", "tcp://"),
        ("https://10.0.0.5", "https://"),
        ("tcp://build.example.com:2376", "build.example.com"),
        ("build.example.com:2376", "2376"),
        ("10.0.0.5:2376", "2376"),
        ("[::1]:2376", "2376"),
        ("fe80::1%eth0", "zone"),
        ("[fe80::1%eth0]", "zone"),
        (&long, "253"),
        (&label, "63"),
        ("", "empty"),
        (" ", ""),
        ("a..example.com", ""),
        (".example.com", ""),
        ("-a.example.com", ""),
        ("a b.example.com", ""),
        ("a\nb.example.com", ""),
        ("build.example.com/path", ""),
        ("256.1.1.1", ""),
        ("1.2.3", ""),
        ("10.0.0.0/8", ""),
        ("user@example.com", ""),
    ];
    let sandbox = with_authority();
    for (name, says) in cases {
        println!("name {name:?}");
        unchanged(&sandbox, &["issue", "daemon", name, "--out", "d", "--no-passphrase"], &[2], &[says]);
        unchanged(
            &sandbox,
            &["issue", "daemon", "good.example.com", name, "--out", "d", "--no-passphrase"],
            &[2],
            &[says],
        );
        unchanged(&sandbox, &["bootstrap", name, "--client", "a", "--out", "b", "--no-passphrase"], &[2], &[says]);
        unchanged(&sandbox, &["request", "daemon", name, "--out", "r"], &[2], &[says]);
    }
}

#[test]
fn no_name_at_all() {
    let sandbox = with_authority();
    unchanged(&sandbox, &["issue", "daemon", "--out", "d", "--no-passphrase"], &[2], &["NAME"]);
    unchanged(&sandbox, &["bootstrap", "--client", "a", "--out", "d", "--no-passphrase"], &[2], &["NAME"]);
    unchanged(&sandbox, &["request", "daemon", "--out", "d"], &[2], &["NAME"]);
}

/// An authority is not made on the way to a refusal.
#[test]
fn a_refused_bootstrap_makes_no_authority() {
    let sandbox = Sandbox::new();
    unchanged(&sandbox, &["bootstrap", "bad name", "--client", "a", "--no-passphrase"], &[2], &[]);
    unchanged(&sandbox, &["bootstrap", "good.example.com", "--client", "a/b", "--no-passphrase"], &[2], &[]);
    assert!(!home(&sandbox).exists());
}

#[test]
fn users() {
    let long = "u".repeat(65);
    let sandbox = with_authority();
    for user in ["", "a/b", "/", "a\nb", "a\tb", "a\u{7f}", ".", "..", "../up", &long] {
        println!("user {user:?}");
        unchanged(&sandbox, &["issue", "client", user, "--out", "c", "--no-passphrase"], &[2], &[]);
        unchanged(&sandbox, &["bootstrap", "h.test", "--client", user, "--out", "c", "--no-passphrase"], &[2], &[]);
        unchanged(&sandbox, &["request", "client", user, "--out", "c"], &[2], &[]);
    }
    // As after `--`, where it is no option.
    unchanged(&sandbox, &["issue", "client", "--out", "c", "--no-passphrase", "--", "-rf"], &[2], &[]);
}

#[test]
fn lifetimes() {
    let sandbox = with_authority();
    for lifetime in
        ["0d", "0s", "0", "-1d", "-5m", "10000y", "99999999999999999999y", "90", "", "d", "1.5y", "ninety days"]
    {
        println!("lifetime {lifetime:?}");
        let flag = format!("--lifetime={lifetime}");
        refused_with_hint(
            &sandbox.dockseal(["issue", "client", "a", &flag, "--out", "c", "--no-passphrase"]).run(),
            &[2],
        );
        unchanged(&sandbox, &["issue", "client", "a", &flag, "--out", "c", "--no-passphrase"], &[2], &[]);
        // For a daemon, too long is first of all not permitted.
        let bootstrap = ["bootstrap", "h.test", "--client", "a", &flag, "--out", "c", "--no-passphrase"];
        unchanged(&sandbox, &bootstrap, &[1, 2], &[]);
        unchanged(&sandbox, &["--authority", "other", "init", &flag, "--no-passphrase"], &[2], &[]);
    }
}

#[test]
fn a_daemon_of_more_than_825_days_wants_a_word() {
    require!("openssl");
    let sandbox = with_authority();
    let args = ["issue", "daemon", "h.test", "--lifetime", "826d", "--out", "d", "--no-passphrase"];
    unchanged(&sandbox, &args, &[1, 2], &["825", "--allow-long-lifetime"]);
    let _ = sandbox.dockseal(args).arg("--allow-long-lifetime").run().success();
    let within = ["issue", "daemon", "h.test", "--lifetime", "825d", "--out", "e", "--no-passphrase"];
    let _ = sandbox.dockseal(within).run().success();
    let client = ["issue", "client", "a", "--lifetime", "3y", "--out", "f", "--no-passphrase"];
    let _ = sandbox.dockseal(client).run().success();
}

#[test]
fn a_clock_before_the_authoritys_birth() {
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(["init", "--no-passphrase", "--at", "2030-01-01T00:00:00Z"]).run().success();
    for at in ["2029-12-31T00:00:00Z", "1999-01-01T00:00:00Z"] {
        unchanged(
            &sandbox,
            &["issue", "client", "a", "--out", "c", "--no-passphrase", "--at", at],
            &[1, 2],
            &["2029-12-31"],
        );
    }
    // And one after its end.
    let late = ["issue", "client", "a", "--out", "c", "--no-passphrase", "--at", "2041-01-01T00:00:00Z"];
    unchanged(&sandbox, &late, &[1, 2], &["2039-12-30"]);
    for at in ["yesterday", "2030-02-30T00:00:00Z", "2030-01-01", ""] {
        unchanged(&sandbox, &["issue", "client", "a", "--out", "c", "--no-passphrase", "--at", at], &[2], &[]);
    }
}

#[test]
fn other_arguments() {
    let sandbox = with_authority();
    let common = ["--out", "c", "--no-passphrase"];
    for more in [
        &["--key", "rsa1024"][..],
        &["--key", "dsa"],
        &["--key", ""],
        &["--mode", "999"],
        &["--mode", "rw"],
        &["--owner", "nobody-of-this-name"],
        &["--group", "no-such-group"],
        &["--nonsense"],
    ] {
        println!("{more:?}");
        unchanged(&sandbox, &[&["issue", "client", "a"], &common[..], more].concat(), &[2], &[]);
    }
    unchanged(&sandbox, &["no-such-command"], &[2], &[]);
    for permit in ["10.0.0.0/33", "10.0.0.1/8/8", "", "exa mple.com"] {
        println!("permit {permit:?}");
        unchanged(&sandbox, &["--authority", "new", "init", "--no-passphrase", "--permit", permit], &[2], &[]);
    }
}

/// Both and neither passphrase, an empty one, one from nowhere.
#[test]
fn passphrases() {
    let sandbox = Sandbox::new();
    sandbox.write("empty", "");
    sandbox.write("blank", "\nsecond\n");
    unchanged(&sandbox, &["init"], &[2], &["--no-passphrase"]);
    unchanged(&sandbox, &["bootstrap", "h.test", "--client", "a"], &[2], &["--no-passphrase"]);
    for file in ["empty", "blank", "missing", "."] {
        unchanged(&sandbox, &["init", "--passphrase-file", file], &[2], &[]);
    }
    unchanged(&sandbox, &["init", "--passphrase-fd", "99"], &[2], &[]);
    unchanged(&sandbox, &["init", "--passphrase-file", "empty", "--no-passphrase"], &[2], &[]);
}

/// Taken all the same, but not in silence.
#[test]
fn warnings() {
    require!("openssl");
    let sandbox = with_authority();
    let issue = |name: &str, out: &str| {
        sandbox.dockseal(["issue", "daemon", name, "--out", out, "--no-passphrase"]).run().success()
    };
    let names = |out: &str| {
        let cert = format!("{out}/cert.pem");
        sandbox.openssl(["x509", "-noout", "-ext", "subjectAltName", "-in", &cert])
    };
    let ran = issue("my_host.example.com", "underscore");
    assert!(ran.stderr.contains('_') || ran.stderr.contains("underscore"), "{ran}");
    assert!(names("underscore").contains("DNS:my_host.example.com"));

    // RFC 3492, from an independent encoder (Python's idna codec): xn--bcher-kva.
    let ran = issue("bücher.example.com", "unicode");
    assert!(ran.stderr.contains("xn--bcher-kva.example.com"), "{ran}");
    assert!(names("unicode").contains("DNS:xn--bcher-kva.example.com"));

    // A "DNS entry" that is really an address becomes one.
    for (given, shown) in [
        ("10.0.0.5", "IP Address:10.0.0.5"),
        ("[2001:db8::5]", "IP Address:2001:DB8:0:0:0:0:0:5"),
        ("2001:db8::6", "IP Address:2001:DB8:0:0:0:0:0:6"),
    ] {
        let out = given.replace(['[', ']', ':'], "_");
        let _ = issue(given, &out);
        let names = names(&out);
        assert!(names.contains(shown) && !names.contains("DNS:"), "{names}");
    }
    let _ = issue("*.example.com", "wildcard");
    assert!(names("wildcard").contains("DNS:*.example.com"));
}

/// What may not be re-created in silence: an authority.
#[test]
fn an_authority_is_made_once() {
    let sandbox = with_authority();
    unchanged(&sandbox, &["init", "--no-passphrase"], &[1], &[]);
    unchanged(&sandbox, &["init", "--no-passphrase", "--key", "rsa2048", "--name", "Other"], &[1], &[]);
}

#[test]
fn issuing_without_an_authority() {
    let sandbox = Sandbox::new();
    unchanged(&sandbox, &["issue", "client", "a", "--out", "c", "--no-passphrase"], &[2], &["init"]);
}

/// The global `--format json`: the same refusal for programs.
#[test]
fn errors_as_json() {
    let sandbox = with_authority();
    let ran = sandbox
        .dockseal(["--format", "json", "issue", "daemon", "a..b", "--out", "d", "--no-passphrase"])
        .run()
        .exits(2);
    let said: serde_json::Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|error| panic!("{error}\n{ran}"));
    assert_eq!(said["schema"], 1, "{ran}");
    assert!(said["error"].is_string() && said["hint"].is_string(), "{ran}");
    assert_eq!(ran.stdout, "");
    // A value that the command line's own parser refuses is no exception.
    let ran = sandbox
        .dockseal(["--format", "json", "issue", "client", "a", "--lifetime=0d", "--out", "d", "--no-passphrase"])
        .run()
        .exits(2);
    assert!(serde_json::from_str::<serde_json::Value>(&ran.stderr).is_ok(), "{ran}");
}

/// Arguments are octets: one that is no text is a wrong argument, or a path like any other.
#[test]
fn arguments_that_are_not_utf8() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let odd = OsStr::from_bytes(b"odd-\xff\xfe");
    let sandbox = with_authority();
    for words in
        [&[][..], &["--format", "json"], &["issue", "client"], &["renew"], &["--at"], &["explain"], &["completions"]]
    {
        let ran = sandbox.dockseal(words).arg(odd).run();
        assert!(matches!(ran.code, Some(1 | 2)), "{words:?} and an odd word: {ran}");
        assert!(!ran.stderr.is_empty() && !ran.stderr.contains("panicked"), "{ran}");
    }
    let ran = sandbox.dockseal(["issue", "client", "a", "--no-passphrase", "--out"]).arg(odd).run().success();
    assert!(sandbox.path("").join(odd).join("key.pem").exists(), "{ran}");
    let _ = sandbox.dockseal(["renew", "--all"]).run().success();
    let _ = sandbox.dockseal(["inventory", "check"]).run().success();
    for name in ["DOCKSEAL_AUTHORITY", "DOCKER_CERT_PATH", "DOCKER_HOST", "DOCKER_CONFIG"] {
        for words in [&["status"][..], &["env"], &["probe"], &["context", "list"]] {
            let ran = sandbox.dockseal(words).env(name, odd).run();
            assert!(matches!(ran.code, Some(0..=2)), "{name}, {words:?}: {ran}");
        }
    }
}

#[test]
fn repair_tells_where_it_looked() {
    let sandbox = Sandbox::new();
    let ca = dockseal_tests::pki("p256", "p256").ca.clone();
    sandbox.write("ca.crt", std::fs::read(ca).unwrap());
    sandbox.write("words", "no certificate\n");
    std::fs::create_dir(sandbox.path("there")).unwrap();
    for (args, cause) in [
        ("repair nowhere", "there is no directory nowhere\n"),
        ("repair there", "is in there\n"),
        ("repair new --from words", "no certificate that can be understood is in words\n"),
        ("repair new --from ca.crt", "no private key is in ca.crt\n"),
        ("repair there --from ca.crt --from words", "no private key is in there, ca.crt, words\n"),
    ] {
        let ran = sandbox.dockseal(args.split(' ')).run().exits(2);
        assert!(ran.stderr.contains(cause) && ran.stderr.contains("hint:"), "{ran}");
        assert!(!sandbox.path("nowhere").exists() && !sandbox.path("new").exists(), "{ran}");
    }
}
