//! The commands in the probe's hints, run as they stand in the situation that prints them: afterwards docker gets through,
//! and nothing is lost. Only what a person has to fill in is filled in: a user, and directories.

use std::fs;
use std::path::{Path, PathBuf};

use dockseal_tests::{Bundle, Dockerd, Sandbox, require, require_root};

use super::{probe, utf8};

/// Whose authority it is that daemon and client trust.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Whose {
    /// The one of the machine that probes.
    Ours,
    /// openssl's; the machine that probes has another one.
    Theirs,
    /// openssl's; the machine that probes has none.
    TheirsAlone,
}

impl Whose {
    const ALL: [Self; 3] = [Self::Ours, Self::Theirs, Self::TheirsAlone];
}

/// A host's and a client's files in `host` and `client`, and the authority's where a hint says they are to be.
fn world(whose: Whose) -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("bin")).unwrap();
    std::os::unix::fs::symlink(dockseal_tests::dockseal_binary(), sandbox.path("bin/dockseal")).unwrap();
    let dockseal = |line: &str| drop(sandbox.dockseal(line.split(' ')).run().success());
    if whose != Whose::TheirsAlone {
        dockseal("init --no-passphrase");
    }
    if whose == Whose::Ours {
        dockseal("issue daemon 127.0.0.1 --out host");
        dockseal("issue client someone --out client");
    } else {
        let openssl = |line: String| drop(sandbox.openssl(line.split_whitespace()));
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        openssl(format!("req -x509 {key} -keyout ca-key.pem -out ca.pem -days 365 -subj /CN=theirs"));
        for (who, extensions) in [
            ("host", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\n"),
            ("client", "extendedKeyUsage=clientAuth\n"),
        ] {
            sandbox.write(format!("{who}/ext"), extensions);
            openssl(format!("req {key} -keyout {who}/key.pem -out {who}/csr -subj /CN={who}"));
            openssl(format!(
                "x509 -req -days 365 -in {who}/csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out {who}/cert.pem -extfile {who}/ext"
            ));
            fs::copy(sandbox.path("ca.pem"), sandbox.path(format!("{who}/ca.pem"))).unwrap();
            for file in ["ext", "csr"] {
                fs::remove_file(sandbox.path(format!("{who}/{file}"))).unwrap();
            }
        }
    }
    sandbox
}

fn start(files: &Path) -> Dockerd {
    let flags = [&["--tlsverify".to_owned()][..], &Dockerd::file_flags(&Bundle(files.to_owned()))].concat();
    Dockerd::start_in_mode(&flags, false)
}

/// The command that a hint ends with: what surrounds it is words.
fn command(hint: &str) -> String {
    let from = hint.find("dockseal ").unwrap_or_else(|| panic!("no command: {hint}"));
    let rest = &hint[from..];
    let end = ["; ", "), ", ", put it", ", or "].iter().filter_map(|end| rest.find(end)).min();
    rest[..end.unwrap_or(rest.len())].to_owned()
}

fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

/// Runs a hint's command with what is to be filled in.
fn follow(sandbox: &Sandbox, hint: &str, dir: &str) -> String {
    let line = command(hint).replace("USER", "ada").replace("NEW", "adopted").replace("DIR", dir);
    let path = format!("{}:{}", utf8(&sandbox.path("bin")), std::env::var("PATH").unwrap());
    let _ = sandbox.program("sh").args(["-c", &line]).env("PATH", path).run().success();
    line
}

fn overwrite(path: PathBuf, bytes: &[u8]) {
    let _ = fs::remove_file(&path);
    fs::write(path, bytes).unwrap();
}

/// What is wrong, the gate that refuses for it, and how it comes to be.
type Spoilt = (&'static str, &'static str, fn(&Sandbox));

/// What can be wrong with a client's files.
const CLIENTS: [Spoilt; 6] = [
    ("the daemon's certificate in its place", "daemon-accepts-client", |sandbox| {
        for file in ["cert.pem", "key.pem"] {
            overwrite(sandbox.path("client").join(file), &fs::read(sandbox.path("host").join(file)).unwrap());
        }
    }),
    ("no certificate", "client-offers-certificate", |sandbox| {
        fs::remove_file(sandbox.path("client/cert.pem")).unwrap();
    }),
    ("no ca.pem", "client-loads", |sandbox| fs::remove_file(sandbox.path("client/ca.pem")).unwrap()),
    ("another's certificate", "client-offers-certificate", |sandbox| {
        let other = dockseal_tests::Pki::stranger_by_openssl();
        for (from, file) in [(other.client.cert(), "cert.pem"), (other.client.key(), "key.pem")] {
            overwrite(sandbox.path("client").join(file), &fs::read(from).unwrap());
        }
    }),
    ("another's key", "client-loads", |sandbox| {
        let key = fs::read(sandbox.path("host/key.pem")).unwrap();
        overwrite(sandbox.path("client/key.pem"), &key);
    }),
    ("something that is no certificate", "daemon-accepts-client", |sandbox| {
        let cert = fs::read_to_string(sandbox.path("client/cert.pem")).unwrap();
        let more = "-----BEGIN CERTIFICATE-----\nAAECAwQFBgcICQ==\n-----END CERTIFICATE-----\n";
        overwrite(sandbox.path("client/cert.pem"), (cert + more).as_bytes());
    }),
];

#[test]
fn a_hint_about_the_client_lets_it_in() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    for whose in Whose::ALL {
        for (what, gate, spoil) in CLIENTS {
            let sandbox = world(whose);
            let daemon = start(&sandbox.path("host"));
            let url = daemon.url("127.0.0.1");
            let client = sandbox.path("client");
            let _ = daemon.docker("127.0.0.1", &client, ["version"]).run().success();
            spoil(&sandbox);
            let before = contents(&client);
            assert_ne!(daemon.docker("127.0.0.1", &client, ["version"]).run().code, Some(0), "{whose:?} {what}");
            let probed = probe(&sandbox, &url, &["--client", "client"]).is(1, gate, "");
            let hint = probed.text("/verdict/hint");
            assert_eq!(command(hint).contains("adopt"), whose != Whose::Ours, "{whose:?} {what}: {hint}");
            let line = follow(&sandbox, hint, "client");
            // Never a user that a host's certificate names.
            assert!(!line.contains("issue client host") && !line.contains("issue client 127"), "{what}: {line}");
            let _ = daemon.docker("127.0.0.1", &client, ["version"]).run().success();
            let _ = probe(&sandbox, &url, &["--client", "client"]).is(0, "", "");
            // What it took the place of is there still.
            let kept = sandbox.path(".client.dockseal.previous");
            let kept: Vec<_> = contents(&kept).into_iter().map(|(_, bytes)| bytes).collect();
            assert_eq!(kept, before.into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>(), "{whose:?} {what}");
        }
    }
}

/// What can be wrong with a daemon's certificate: dialled by another name, and of another authority than the client's.
#[test]
fn a_hint_about_the_daemon_lets_clients_in() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    for whose in Whose::ALL {
        let sandbox = world(whose);
        let daemon = start(&sandbox.path("host"));
        let url = daemon.url("localhost");
        let mismatch = probe(&sandbox, &url, &["--client", "client"]).is(1, "client-accepts-daemon", "is not for");
        drop(daemon);
        let other = start(&dockseal_tests::Pki::stranger_by_openssl().daemon.0);
        let unknown = probe(&sandbox, &other.url("localhost"), &["--client", "client"]);
        let unknown = unknown.is(1, "client-accepts-daemon", "does not hold the authority");
        drop(other);
        for (probed, dir) in [(mismatch, "named"), (unknown, "issued")] {
            let hint = probed.text("/verdict/hint");
            assert_eq!(command(hint).contains("adopt"), whose != Whose::Ours, "{whose:?} {dir}: {hint}");
            let _ = follow(&sandbox, hint, dir);
            let daemon = start(&sandbox.path(dir));
            let _ = daemon.docker("localhost", &sandbox.path("client"), ["version"]).run().success();
            let _ = fs::remove_dir_all(sandbox.path("adopted"));
        }
    }
}

/// What openssl signs and Go does not accept: the key usage of the authority, the digest, what happens to the certificate and
/// how many days the authority is valid; then the check, its text and the hint.
const REFUSED_BY_GO: [(&str, &str, bool, &str, [&str; 3]); 4] = [
    (USABLE, "-sha1", false, "9", ["unknown-authority", "insecure", "SHA-256"]),
    ("critical,digitalSignature", "-sha256", false, "9", ["unknown-authority", "keyUsage", "keyCertSign"]),
    (USABLE, "-sha256", true, "9", ["unknown-authority", "signature does not verify", "damaged"]),
    (USABLE, "-sha256", false, "-1", ["expired", "expired at", "Renew the CA certificate"]),
];
const USABLE: &str = "critical,keyCertSign";

/// An authority in `NAME/ca.pem` and what it issued beside it, as a row of the table has it.
fn refused_by_go(sandbox: &Sandbox, name: &str, extensions: &str, row: (&str, &str, bool, &str)) {
    let (usage, digest, damaged, days) = row;
    let openssl = |line: &str| drop(sandbox.openssl(line.split_whitespace()));
    sandbox.write(format!("{name}/ext"), extensions);
    sandbox.write(
        format!("{name}/caext"),
        format!("basicConstraints=critical,CA:TRUE\nkeyUsage={usage}\nsubjectKeyIdentifier=hash\n"),
    );
    openssl(&format!("req -newkey rsa:2048 -nodes -keyout {name}/cak -out {name}/csr -subj /CN={name}"));
    openssl(&format!(
        "x509 -req -in {name}/csr -signkey {name}/cak -out {name}/ca.pem -days {days} -extfile {name}/caext"
    ));
    openssl(&format!("req -newkey rsa:2048 -nodes -keyout {name}/key.pem -out {name}/csr -subj /CN=leaf"));
    openssl(&format!(
        "x509 -req -days 9 -in {name}/csr -CA {name}/ca.pem -CAkey {name}/cak -CAcreateserial -out {name}/cert.pem \
         -extfile {name}/ext {digest}"
    ));
    if damaged {
        openssl(&format!("x509 -in {name}/cert.pem -outform der -out der"));
        let mut der = fs::read(sandbox.path("der")).unwrap();
        *der.last_mut().unwrap() ^= 1;
        fs::write(sandbox.path("der"), der).unwrap();
        openssl(&format!("x509 -inform der -in der -out {name}/cert.pem"));
    }
}

/// What verify says of two directories: the finding's line, and what to do.
fn verified(sandbox: &Sandbox, daemon: &str, client: &str, check: &str) -> [String; 2] {
    let args = ["verify", "--daemon", daemon, "--client", client, "--host", "127.0.0.1"];
    let ran = sandbox.dockseal(args).run().exits(1);
    let mut lines = ran.stdout.lines().skip_while(|line| !line.trim_start().starts_with(check));
    let finding = lines.next().unwrap_or_else(|| panic!("{ran}")).to_owned();
    [finding, lines.find(|line| line.trim_start().starts_with("do:")).unwrap_or_else(|| panic!("{ran}")).to_owned()]
}

/// Of an authority that the client trusts: cause and hint are about what is wrong, in probe and in verify.
#[test]
fn a_daemons_certificate_of_the_trusted_authority_that_go_refuses() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    for (usage, digest, damaged, days, [check, cause, hint]) in REFUSED_BY_GO {
        let sandbox = Sandbox::new();
        refused_by_go(&sandbox, "host", "subjectAltName=IP:127.0.0.1\n", (usage, digest, damaged, days));
        let daemon = start(&sandbox.path("host"));
        assert_ne!(daemon.docker("127.0.0.1", &sandbox.path("host"), ["version"]).run().code, Some(0), "{cause}");
        let probed = probe(&sandbox, &daemon.url("127.0.0.1"), &["--client", "host"]);
        let probed = probed.is(1, "client-accepts-daemon", cause);
        assert!(probed.text("/verdict/hint").contains(hint), "{}", probed.human);
        assert!(!probed.text("/verdict/cause").contains("made anew"), "{}", probed.human);
        let [finding, remedy] = verified(&sandbox, "host", "host", check);
        assert!(finding.contains(cause) && remedy.contains(hint), "{finding}\n{remedy}");
    }
}

/// The same of a client's certificate, of an authority that is in the daemon's ca.pem; the client's own may have it or not.
#[test]
fn a_clients_certificate_of_the_trusted_authority_that_go_refuses() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    for (usage, digest, damaged, days, [check, cause, hint]) in REFUSED_BY_GO {
        let sandbox = world(Whose::TheirsAlone);
        refused_by_go(&sandbox, "spoilt", "extendedKeyUsage=clientAuth\n", (usage, digest, damaged, days));
        let (theirs, spoilt) = (sandbox.path("ca.pem"), sandbox.path("spoilt/ca.pem"));
        let both = [fs::read(&theirs).unwrap(), fs::read(&spoilt).unwrap()].concat();
        fs::write(sandbox.path("host/ca.pem"), &both).unwrap();
        let daemon = start(&sandbox.path("host"));
        let url = daemon.url("127.0.0.1");
        let _ = daemon.docker("127.0.0.1", &sandbox.path("client"), ["version"]).run().success();

        fs::write(&spoilt, &both).unwrap();
        assert_ne!(daemon.docker("127.0.0.1", &sandbox.path("spoilt"), ["version"]).run().code, Some(0), "{cause}");
        let [finding, remedy] = verified(&sandbox, "host", "spoilt", check);
        assert!(finding.contains(cause) && remedy.contains(hint), "{finding}\n{remedy}");
        let told = |args: &[&str]| {
            let probed = probe(&sandbox, &url, args).is(1, "daemon-accepts-client", cause);
            assert!(probed.text("/verdict/hint").contains(hint), "{}", probed.human);
        };
        told(&["--client", "spoilt"]);
        // What the client trusts says nothing of its own authority.
        fs::copy(&theirs, &spoilt).unwrap();
        told(&["--client", "spoilt", "--daemon", "host"]);
        let probed = probe(&sandbox, &url, &["--client", "spoilt"]).is(1, "daemon-accepts-client", "");
        assert!(!probed.text("/verdict/cause").contains("not issued by"), "{}", probed.human);
    }
}

/// RFC 5280, 4.2.1.6: an address is an iPAddress; docker does not match one that is written as a dNSName.
#[test]
fn an_address_as_a_dns_name() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    let openssl = |line: &str| drop(sandbox.openssl(line.split_whitespace()));
    sandbox.write("host/ext", "subjectAltName=DNS:127.0.0.1\n");
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout cak -out host/ca.pem -days 9 -subj /CN=ca");
    openssl("req -newkey rsa:2048 -nodes -keyout host/key.pem -out csr -subj /CN=host");
    openssl(
        "x509 -req -days 9 -in csr -CA host/ca.pem -CAkey cak -CAcreateserial -out host/cert.pem -extfile host/ext",
    );
    let daemon = start(&sandbox.path("host"));
    assert_ne!(daemon.docker("127.0.0.1", &sandbox.path("host"), ["version"]).run().code, Some(0));
    let probed = probe(&sandbox, &daemon.url("127.0.0.1"), &["--client", "host"]);
    let probed = probed.is(1, "client-accepts-daemon", "as a DNS name");
    assert!(!probed.text("/verdict/hint").contains("dial it by"), "{}", probed.human);
    let [finding, remedy] = verified(&sandbox, "host", "host", "host-mismatch");
    assert!(finding.contains("as a DNS name") && remedy.contains("as an IP name"), "{finding}\n{remedy}");
}
