//! pkilint's PKIX profile (RFC 5280 and its updates): no ERROR and no FATAL finding.

use std::path::Path;

use dockseal_tests::{KEY_TYPES, Ran, Sandbox, pki, require, tool};

fn lint(sandbox: &Sandbox, certificate: &Path) -> Ran {
    let args = ["lint", "--severity", "ERROR", "--format", "TEXT"];
    // Its exit code is the number of findings shown.
    sandbox.program(tool("lint_pkix_cert").expect("pkilint")).args(args).arg(certificate).run()
}

#[test]
fn pkilint_finds_no_error() {
    require!("lint_pkix_cert");
    let sandbox = Sandbox::new();
    for key in KEY_TYPES {
        let pki = pki(key, key);
        let authority = pki.ca.parent().unwrap();
        let run = |args: &[&str], out: &str| {
            let common = ["--key", key, "--no-passphrase", "--out", out];
            let _ = sandbox
                .dockseal(args.iter().copied().chain(common))
                .env("DOCKSEAL_AUTHORITY", authority)
                .run()
                .success();
        };
        let (daemon, client) = (format!("daemon-{key}"), format!("client-{key}"));
        // A bare "localhost" and a wildcard are errors to the linter whoever issues them:
        // RFC 5280 alone knows neither (4.2.1.6, "preferred name syntax").
        run(&["issue", "daemon", "build.example.com", "10.0.0.5", "2001:db8::5"], &daemon);
        run(&["issue", "client", "Ada Lovelace"], &client);
        for certificate in
            [pki.ca.clone(), sandbox.path(daemon).join("cert.pem"), sandbox.path(client).join("cert.pem")]
        {
            let ran = lint(&sandbox, &certificate);
            assert!(ran.code == Some(0) && !ran.stdout.contains("ERROR"), "{key}: {ran}");
        }
    }
}

/// A constrained authority, long names and the shortest life, for the same linter.
#[test]
fn pkilint_finds_no_error_at_the_edges() {
    require!("lint_pkix_cert");
    let sandbox = Sandbox::new();
    let permits = ["--permit", "example.com", "--permit", "10.0.0.0/8", "--permit", "2001:db8::/32"];
    let _ = sandbox.dockseal(["init", "--no-passphrase"]).args(permits).run().success();
    let long = format!("{}.{}.example.com", "a".repeat(63), "b".repeat(63));
    let daemon = ["issue", "daemon", &long, "10.1.2.3", "--no-passphrase", "--lifetime", "30m", "--out", "daemon"];
    let _ = sandbox.dockseal(daemon).run().success();
    let user = "ü".repeat(64);
    let _ = sandbox.dockseal(["issue", "client", &user, "--no-passphrase", "--out", "client"]).run().success();
    let authority = sandbox.root().join("home/.local/share/dockseal/ca.pem");
    for certificate in [authority, sandbox.path("daemon/cert.pem"), sandbox.path("client/cert.pem")] {
        let ran = lint(&sandbox, &certificate);
        assert!(ran.code == Some(0) && !ran.stdout.contains("ERROR"), "{ran}");
    }
    // openssl knows the constraints, and that these names are inside them.
    let verify = ["verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", "daemon/ca.pem", "daemon/cert.pem"];
    sandbox.openssl(verify);
}

/// The linter itself: what RFC 5280 forbids, it calls an error.
#[test]
fn control_pkilint_finds_an_error() {
    require!("lint_pkix_cert", "openssl");
    let sandbox = Sandbox::new();
    let bad = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k.pem -out bad.pem -subj / \
               -addext basicConstraints=critical,CA:TRUE";
    sandbox.openssl(bad.split_whitespace());
    let ran = lint(&sandbox, &sandbox.path("bad.pem"));
    assert!(ran.code != Some(0) && ran.stdout.contains("ERROR"), "{ran}");
}
