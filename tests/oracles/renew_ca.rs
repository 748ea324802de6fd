//! An authority's certificate is renewed under the eyes of the real docker and dockerd: whose leaves go on, by whom.

use std::fs;
use std::path::Path;

use dockseal_tests::{Bundle, Dockerd, DockerdOptions, Sandbox, require, require_root};

/// An authority as Active Directory names it, that easy-rsa's settings signed, and that ended in 2020.
fn ended(sandbox: &Sandbox) {
    fs::create_dir(sandbox.path("foreign")).unwrap();
    sandbox.write("foreign/index.txt", "");
    sandbox.write(
        "ca.cnf",
        "[ca]\ndefault_ca = own\n[own]\ndatabase = foreign/index.txt\nnew_certs_dir = foreign\nrand_serial = yes\n\
         default_md = sha256\npolicy = any\nx509_extensions = extensions\n[any]\ncommonName = supplied\n\
         [req]\nstring_mask = pkix\ndistinguished_name = any\n\
         [extensions]\nbasicConstraints = CA:TRUE\nsubjectKeyIdentifier = hash\n\
         authorityKeyIdentifier = keyid:always,issuer:always\nkeyUsage = cRLSign,keyCertSign\n\
         nameConstraints = critical,permitted;DNS:localhost,permitted;IP:127.0.0.0/255.0.0.0\n",
    );
    for line in [
        "req -new -newkey rsa:2048 -nodes -keyout foreign/ca-key.pem -out foreign/ca.csr -config ca.cnf -utf8 \
         -multivalue-rdn -subj /DC=local/DC=corp/OU=Issuing+UID=7/CN=Żółw",
        "ca -batch -notext -selfsign -config ca.cnf -keyfile foreign/ca-key.pem -in foreign/ca.csr -out foreign/ca.pem \
         -startdate 20200101000000Z -enddate 20200201000000Z -preserveDN",
    ] {
        let _ = sandbox.openssl(line.split_whitespace());
    }
}

/// A leaf that outlives its authority, as openssl makes them.
fn leaf(sandbox: &Sandbox, directory: &str, extensions: &str) {
    fs::create_dir(sandbox.path(directory)).unwrap();
    sandbox.write("extensions", extensions);
    for line in [
        format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {directory}/key.pem -out csr -subj /CN={directory}"
        ),
        format!(
            "x509 -req -in csr -CA foreign/ca.pem -CAkey foreign/ca-key.pem -CAserial serial -CAcreateserial -days 900 -extfile extensions -out {directory}/cert.pem"
        ),
    ] {
        let _ = sandbox.openssl(line.split(' '));
    }
    fs::copy(sandbox.path("foreign/ca.pem"), sandbox.path(directory).join("ca.pem")).unwrap();
}

fn daemon(directory: &Path) -> Dockerd {
    Dockerd::start(&DockerdOptions { material: Bundle(directory.to_owned()), ipv6: false })
}

/// Whether docker gets through, and what it says if not.
fn docker(daemon: &Dockerd, client: &Path) -> Result<(), String> {
    let ran = daemon.docker("localhost", client, ["version", "--format", "{{.Server.Version}}"]).run();
    if ran.code == Some(0) { Ok(()) } else { Err(ran.stderr) }
}

/// What openssl shows of a certificate but what a renewal changes.
fn shown(sandbox: &Sandbox, path: &Path) -> String {
    let options = "no_serial,no_validity,no_sigdump,no_aux";
    sandbox.openssl(["x509", "-noout", "-text", "-certopt", options, "-in", path.to_str().unwrap()])
}

#[test]
fn an_ended_authority_is_renewed_and_its_leaves_work_again() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    ended(&sandbox);
    leaf(
        &sandbox,
        "daemon",
        "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nauthorityKeyIdentifier=keyid\n",
    );
    leaf(&sandbox, "alice", "extendedKeyUsage=clientAuth\nauthorityKeyIdentifier=keyid\n");
    leaf(&sandbox, "easy", "extendedKeyUsage=clientAuth\nauthorityKeyIdentifier=keyid:always,issuer:always\n");
    let run = |line: &str| sandbox.dockseal(line.split(' ')).run().success();
    let [at_daemon, alice, easy] = ["daemon", "alice", "easy"].map(|name| sandbox.path(name));
    let before = daemon(&at_daemon);
    let refused = docker(&before, &alice).unwrap_err();
    assert!(refused.contains("expired"), "{refused}");

    let adopted = run("adopt --ca foreign/ca.pem --key foreign/ca-key.pem --no-passphrase");
    assert!(adopted.stderr.contains("ended on 2020-02-01"), "{adopted}");
    let _ = run("inventory rebuild --replace daemon alice easy");
    let leaves = || ["daemon", "alice", "easy"].map(|name| fs::read(sandbox.path(name).join("cert.pem")).unwrap());
    let old_leaves = leaves();
    let renewed = run("renew-ca --lifetime 5y");
    assert_eq!(leaves(), old_leaves, "leaves stay");
    assert!(renewed.stderr.contains("easy") && !renewed.stderr.contains("alice"), "who names a serial: {renewed}");

    let home = sandbox.root().join("home/.local/share/dockseal");
    let [old, new] = [sandbox.path("foreign/ca.pem"), home.join("ca.pem")];
    assert_eq!(fs::read(home.join("ca.pem.previous-1")).unwrap(), fs::read(&old).unwrap(), "the old one is kept");
    // Name, key and extensions, but for the identifier that names the old one's serial number.
    let text = shown(&sandbox, &old);
    let identifier = text.find("X509v3 Authority Key Identifier").expect("it has one");
    let end = identifier + text[identifier..].find("X509v3 Key Usage").expect("which is followed by another");
    let expected = format!("{}{}", &text[..identifier], &text[end..]);
    let lines = |text: &str| {
        text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect::<Vec<_>>()
    };
    assert_eq!(lines(&shown(&sandbox, &new)), lines(&expected));

    // docker's turn. A daemon that was not restarted still has the old anchor.
    let refused = docker(&before, &alice).unwrap_err();
    assert!(refused.contains("certificate"), "{refused}");
    drop(before);
    let after = daemon(&at_daemon);
    for client in [&alice, &easy] {
        assert_eq!(docker(&after, client), Ok(()), "{}\n{}", client.display(), after.log());
    }
    drop(after);
    // Both anchors in one file, in either order, do as well: what people have who append instead of replacing.
    let both = |first: &Path, second: &Path| [fs::read(first).unwrap(), fs::read(second).unwrap()].concat();
    fs::write(at_daemon.join("ca.pem"), both(&old, &new)).unwrap();
    fs::write(alice.join("ca.pem"), both(&new, &old)).unwrap();
    fs::write(easy.join("ca.pem"), both(&old, &new)).unwrap();
    let appended = daemon(&at_daemon);
    for client in [&alice, &easy] {
        assert_eq!(docker(&appended, client), Ok(()), "{}\n{}", client.display(), appended.log());
    }

    // OpenSSL heeds the serial number in an authority key identifier.
    let openssl = |leaf: &Path| {
        let ran = sandbox.program("openssl").args(["verify", "-CAfile"]).arg(&new).arg(leaf.join("cert.pem")).run();
        ran.code == Some(0)
    };
    assert_eq!([&at_daemon, &alice, &easy].map(|leaf| openssl(leaf)), [true, true, false]);
}
