//! Authorities that openssl made and kept, adopted: what they issued and revoked before counts here too.

use std::fs;

use dockseal_tests::{Ran, Sandbox, require};

use crate::{home, refused_with_hint};

/// What `openssl ca` is told, as its manual's example does.
const CONFIGURATION: &str = "[ca]\ndefault_ca = office\n[office]\ndatabase = old/index.txt\nserial = old/serial\n\
    crlnumber = old/crlnumber\nnew_certs_dir = old/newcerts\ncertificate = old/cacert.pem\nprivate_key = old/cakey.pem\n\
    default_md = sha256\ndefault_days = 300\ndefault_crl_days = 30\nunique_subject = no\npolicy = any\nemail_in_dn = yes\n\
    [any]\norganizationName = optional\norganizationalUnitName = optional\ncommonName = optional\nemailAddress = optional\n";
const CLIENT: &str = "extendedKeyUsage = clientAuth";

/// An authority in `old` that `openssl ca` keeps and that counts from this serial.
fn openssl_office(first: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("ca.cnf", CONFIGURATION);
    sandbox.write("old/index.txt", "");
    sandbox.write("old/serial", format!("{first}\n"));
    sandbox.write("old/crlnumber", "03EC\n");
    fs::create_dir(sandbox.path("old/newcerts")).unwrap();
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout old/cakey.pem -out old/cacert.pem -days 3000 \
                -subj /O=Office/CN=Old -addext keyUsage=critical,keyCertSign,cRLSign";
    let _ = sandbox.openssl(line.split_whitespace());
    sandbox
}

fn openssl_ca(sandbox: &Sandbox, line: &str) {
    let _ = sandbox.openssl("ca -batch -config ca.cnf".split(' ').chain(line.split(' ')));
}

/// Has openssl issue a bundle into this directory; its serial comes back as openssl prints it.
fn openssl_issues(sandbox: &Sandbox, directory: &str, subject: &str, extensions: &str) -> String {
    sandbox.write(format!("{directory}/extensions"), format!("{extensions}\n"));
    let key = format!(
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {directory}/key.pem -out {directory}/csr"
    );
    let _ = sandbox.openssl(key.split(' ').chain(["-subj", subject]));
    openssl_ca(
        sandbox,
        &format!("-notext -in {directory}/csr -out {directory}/cert.pem -extfile {directory}/extensions"),
    );
    fs::copy(sandbox.path("old/cacert.pem"), sandbox.path(format!("{directory}/ca.pem"))).unwrap();
    for file in ["extensions", "csr"] {
        fs::remove_file(sandbox.path(format!("{directory}/{file}"))).unwrap();
    }
    let serial = sandbox.openssl(["x509", "-noout", "-serial", "-in", &format!("{directory}/cert.pem")]);
    serial.trim().strip_prefix("serial=").unwrap().to_owned()
}

fn openssl_revokes(sandbox: &Sandbox, directory: &str, reason: &str) {
    openssl_ca(sandbox, &format!("-revoke {directory}/cert.pem -crl_reason {reason}"));
    openssl_ca(sandbox, "-gencrl -out old/crl.pem");
}

/// What openssl reads in a list: its serials, whose order says nothing, and its number.
fn listed(sandbox: &Sandbox, file: &str) -> (Vec<String>, String) {
    let text = sandbox.openssl(["crl", "-in", file, "-noout", "-text"]);
    let serials = text.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: ")).map(str::to_owned);
    let mut serials: Vec<String> = serials.collect();
    serials.sort();
    let number = sandbox.openssl(["crl", "-in", file, "-noout", "-crlnumber"]);
    (serials, number.trim().to_owned())
}

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    sandbox.dockseal(line.split(' ')).run()
}

fn adopt(sandbox: &Sandbox) -> Ran {
    run(sandbox, "adopt --ca old/cacert.pem --key old/cakey.pem --no-passphrase").success()
}

/// The state of whoever goes by this name.
fn state(sandbox: &Sandbox, name: &str) -> Vec<String> {
    sandbox.inventory(&format!("SELECT state FROM certificate WHERE name = '{name}'"))
}

/// Serials are numbers, however few octets they have: who was revoked by one stays revoked.
#[test]
fn revoked_by_a_short_serial_is_revoked() {
    require!("openssl", "python3");
    for first in ["01", "7F", "80", "0ABC", "1000", "FFFE"] {
        let sandbox = openssl_office(first);
        let _ = adopt(&sandbox);
        let mallory = openssl_issues(&sandbox, "mallory", "/CN=mallory", CLIENT);
        assert_eq!(mallory, first);
        let alice = openssl_issues(&sandbox, "alice", "/CN=alice", CLIENT);
        // Somebody is called like mallory's number.
        let _ = openssl_issues(&sandbox, "namesake", &format!("/CN={mallory}"), CLIENT);
        openssl_revokes(&sandbox, "mallory", "keyCompromise");
        let before = listed(&sandbox, "old/crl.pem").0;
        assert_eq!(before, [mallory.as_str()]);
        fs::copy(sandbox.path("old/crl.pem"), home(&sandbox).join("crl.pem")).unwrap();
        let _ = run(&sandbox, "inventory rebuild --replace mallory alice namesake")
            .success()
            .says("1 are revoked by crl.pem, 0 ");
        assert_eq!(state(&sandbox, "mallory"), ["revoked"], "{first}");
        assert_eq!(state(&sandbox, &mallory), ["issued"], "{first}");
        refused_with_hint(&run(&sandbox, "renew mallory"), &[1]);
        let ran = run(&sandbox, "renew --all").success();
        assert!(!ran.stdout.contains("client mallory"), "{ran}");
        let _ = run(&sandbox, "crl --out new.pem").success();
        assert_eq!(listed(&sandbox, "new.pem").0, before);

        // By number, as openssl prints it.
        let _ = run(&sandbox, &format!("revoke {alice}")).success();
        let _ = run(&sandbox, "crl --out new.pem").success();
        assert_eq!(listed(&sandbox, "new.pem").0, [mallory, alice]);
    }
}

/// Every way in which people copy a number, and no name that only looks like one.
#[test]
fn a_short_serial_is_found_however_it_is_written() {
    require!("openssl", "python3");
    let sandbox = openssl_office("0ADA");
    assert_eq!(openssl_issues(&sandbox, "alice", "/CN=alice", CLIENT), "0ADA");
    let _ = adopt(&sandbox);
    let _ = run(&sandbox, "inventory rebuild --replace alice").success();
    for text in ["0ADA", "0ada", "0xADA", "0xada", "0A:DA", "0a:da", "00000ADA", "00:0A:DA", "client/0ADA"] {
        assert_eq!(state(&sandbox, "alice"), ["issued"]);
        let _ = run(&sandbox, &format!("revoke --no-crl {text}")).success().says("serial 0ADA");
        sandbox.change_inventory("UPDATE certificate SET state = 'issued', revoked_at = NULL, reason = NULL");
    }
    // Ada may be somebody, who is just not known here.
    for text in ["ada", "Ada", "daemon/0ADA", "0ADB", "ADA0"] {
        refused_with_hint(&run(&sandbox, &format!("revoke --no-crl {text}")), &[2]);
    }
    assert_eq!(state(&sandbox, "alice"), ["issued"]);
}

/// Certificates as people have them, and what Go would take each for: `(directory, subject, extensions, role, name)`.
/// Go: no extKeyUsage and anyExtendedKeyUsage allow everything, and host names are alternative names alone.
const AS_PEOPLE_HAVE_THEM: [(&str, &str, &str, &str, &str); 14] = [
    ("none", "/CN=alice", "basicConstraints = CA:FALSE", "client", "alice"),
    ("none-named", "/CN=x", "subjectAltName = DNS:none.example.com", "daemon", "none.example.com"),
    ("any", "/CN=bob", "extendedKeyUsage = anyExtendedKeyUsage", "client", "bob"),
    (
        "any-named",
        "/CN=x",
        "extendedKeyUsage = anyExtendedKeyUsage\nsubjectAltName = IP:10.0.0.5",
        "daemon",
        "10.0.0.5",
    ),
    ("both", "/CN=carol", "extendedKeyUsage = serverAuth, clientAuth", "client", "carol"),
    (
        "both-email",
        "/CN=carl",
        "extendedKeyUsage = serverAuth, clientAuth\nsubjectAltName = email:carl@example.com",
        "client",
        "carl",
    ),
    (
        "both-named",
        "/CN=x",
        "extendedKeyUsage = serverAuth, clientAuth\nsubjectAltName = DNS:both.example.com",
        "daemon",
        "both.example.com",
    ),
    ("machine", "/O=jeff.<bootstrap>", CLIENT, "client", "jeff.<bootstrap>"),
    ("unit", "/OU=ops", CLIENT, "client", "ops"),
    ("email", "/OU=ops/emailAddress=erin@example.com", CLIENT, "client", "erin@example.com"),
    (
        "email-alone",
        "/OU=dev",
        "extendedKeyUsage = clientAuth\nsubjectAltName = email:dev@example.com",
        "client",
        "dev@example.com",
    ),
    ("uri", "/CN=uri", "extendedKeyUsage = clientAuth\nsubjectAltName = URI:urn:x", "client", "uri"),
    (
        "mixed",
        "/CN=x",
        "extendedKeyUsage = serverAuth\nsubjectAltName = email:root@example.com, DNS:mixed.example.com, URI:urn:x",
        "daemon",
        "mixed.example.com",
    ),
    ("slash", "/O=Office/OU=a\\/b", CLIENT, "client", "Office"),
];

/// A rebuild finds every kind of certificate that Docker accepts, says of each what `verify` and openssl say, and renews it.
#[test]
fn every_kind_that_docker_accepts_is_found_and_renewed() {
    require!("openssl", "python3");
    let sandbox = openssl_office("01");
    for (directory, subject, extensions, ..) in AS_PEOPLE_HAVE_THEM {
        let _ = openssl_issues(&sandbox, &format!("tree/{directory}"), subject, extensions);
    }
    let _ = adopt(&sandbox);
    let ran = run(&sandbox, "inventory rebuild --replace tree").success();
    assert!(ran.stdout.contains("14 certificates, in 14 directories"), "{ran}");
    let purpose = |role: &str| if role == "daemon" { "sslserver" } else { "sslclient" };
    for (directory, _, _, role, name) in AS_PEOPLE_HAVE_THEM {
        let place = format!("%/tree/{directory}");
        let known = sandbox.inventory(&format!(
            "SELECT role, name, state FROM certificate JOIN destination ON certificate = certificate.id \
             WHERE CAST(place AS TEXT) LIKE '{place}'"
        ));
        assert_eq!(known, [format!("{role}\t{name}\tissued")], "{directory}");
        let _ = run(&sandbox, &format!("verify tree/{directory}")).success().says(role);
        // openssl's purposes do not count anyExtendedKeyUsage; Go's do.
        if !directory.starts_with("any") {
            let certificate = format!("tree/{directory}/cert.pem");
            let _ = sandbox.openssl(["verify", "-purpose", purpose(role), "-CAfile", "old/cacert.pem", &certificate]);
        }
    }
    let ran = run(&sandbox, "renew --all").success();
    for said in [
        "client carol: the old certificate could be used by a daemon too",
        "daemon both.example.com: the old certificate could be used by a client too",
        "client carl: the new certificate is without email:carl@example.com",
        "client uri: the new certificate is without URI:urn:x",
        "daemon mixed.example.com: the new certificate is without email:root@example.com, URI:urn:x",
        "client jeff.<bootstrap>: the old certificate has no common name; the new one has CN=jeff.<bootstrap>",
    ] {
        assert!(ran.stderr.contains(said), "{said}\n{ran}");
    }
    for (directory, _, _, role, name) in AS_PEOPLE_HAVE_THEM {
        let certificate = format!("tree/{directory}/cert.pem");
        let verify = [
            "verify",
            "-x509_strict",
            "-purpose",
            purpose(role),
            "-CAfile",
            &format!("tree/{directory}/ca.pem"),
            &certificate,
        ];
        let _ = sandbox.program("openssl").args(verify).run().success();
        let text = sandbox.openssl([
            "x509",
            "-noout",
            "-subject",
            "-ext",
            "subjectAltName,extendedKeyUsage",
            "-in",
            &certificate,
        ]);
        let (usage, named) = match role {
            "daemon" => ("TLS Web Server Authentication\n", format!(":{name}")),
            _ => (
                "TLS Web Client Authentication\n",
                format!("CN = {name}").replace("jeff.<bootstrap>", "\"jeff.<bootstrap>\""),
            ),
        };
        assert!(
            text.contains(usage) && text.contains(&named) && !text.contains("email:") && !text.contains("URI:"),
            "{directory}: {text}"
        );
    }
    // And no name is lost by it: the old and the new are one person's.
    let _ = run(&sandbox, "revoke --no-crl ops").success();
    assert_eq!(state(&sandbox, "ops"), ["revoked", "revoked"]);
}

/// What cannot be taken is told of, one by one, with its reason: in text, in JSON and by the exit code.
#[test]
fn what_a_rebuild_leaves_out_is_told() {
    require!("openssl", "python3");
    let sandbox = openssl_office("01");
    let _ = openssl_issues(&sandbox, "tree/alice", "/CN=alice", CLIENT);
    let signer = openssl_issues(&sandbox, "tree/signer", "/CN=signer", "extendedKeyUsage = codeSigning");
    let below = openssl_issues(&sandbox, "tree/below", "/CN=Below", "basicConstraints = critical, CA:TRUE");
    sandbox.write("old/serial", "01\n");
    sandbox.write("old/index.txt", "");
    let twin = openssl_issues(&sandbox, "tree/twin", "/CN=twin", CLIENT);
    sandbox.write("tree/broken/cert.pem", "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n");
    let _ = adopt(&sandbox);
    let ran = run(&sandbox, "inventory rebuild --replace tree").exits(2);
    let json = run(&sandbox, "inventory rebuild --replace tree --format json").exits(2);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let left_out = json["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 4, "{json}");
    for (directory, serial, reason) in [
        ("signer", Some(signer), "codeSigning"),
        ("below", Some(below), "CA:TRUE"),
        ("twin", Some(twin), "serial number"),
        ("broken", None, "damaged"),
    ] {
        let file = sandbox.path(format!("tree/{directory}/cert.pem")).canonicalize().unwrap();
        let told = left_out.iter().find(|one| one["file"] == file.to_str().unwrap()).unwrap();
        assert_eq!(told["serial"].as_str(), serial.as_deref());
        let reason = Some(told["reason"].as_str().unwrap()).filter(|told| told.contains(reason)).unwrap();
        assert!(ran.stdout.lines().any(|line| line.contains(file.to_str().unwrap()) && line.contains(reason)), "{ran}");
    }
    assert_eq!(sandbox.inventory("SELECT name FROM certificate"), ["alice"]);
    for directory in ["signer", "below", "twin"] {
        refused_with_hint(&run(&sandbox, &format!("inventory record tree/{directory}")), &[1]);
    }
}

/// The same kinds, one at a time: recorded, asked to be renewed, and installed.
#[test]
fn every_kind_is_recorded_requested_and_installed() {
    require!("openssl", "python3");
    let sandbox = openssl_office("01");
    let _ = adopt(&sandbox);
    for (directory, subject, extensions, role, name) in AS_PEOPLE_HAVE_THEM {
        let _ = openssl_issues(&sandbox, directory, subject, extensions);
        let _ = run(&sandbox, &format!("inventory record {directory}")).success().says(&format!("of {role} {name}"));
        let _ = run(&sandbox, &format!("request --renew {directory}")).success();
        let word = format!("{role}/{name}");
        let csr = format!("{directory}/request.csr");
        let signed = sandbox.dockseal(["renew", &word, "--csr", &csr, "--out", "-"]).run().success();
        sandbox.write("new.pem", signed.stdout);
        let _ = run(&sandbox, &format!("install {directory} new.pem")).success().says(role);

        // The first time, as the answer of another authority's tool.
        let old = format!("{directory}.dockseal-previous");
        let kept = fs::read_dir(sandbox.work()).unwrap().flatten().map(|entry| entry.path());
        let kept =
            kept.filter(|path| path.to_string_lossy().contains(&format!(".{directory}.")) || path.ends_with(&old));
        let kept = kept.map(|path| path.join("cert.pem")).find(|path| path.exists()).unwrap();
        fs::create_dir(sandbox.path("first")).unwrap();
        fs::copy(kept.with_file_name("key.pem"), sandbox.path("first/key.pem")).unwrap();
        let install = sandbox.dockseal(["install", "first", kept.to_str().unwrap(), "--ca", "old/cacert.pem"]).run();
        let _ = install.success().says(&format!("Installed the {role} certificate"));
        fs::remove_dir_all(sandbox.path("first")).unwrap();
    }
}

/// Adopts an authority that revoked alice, whose list says so, and mallory, of whom only the index knows.
fn with_revocations(first: &str) -> (Sandbox, [String; 2]) {
    let sandbox = openssl_office(first);
    let alice = openssl_issues(&sandbox, "alice", "/CN=alice", CLIENT);
    let mallory = openssl_issues(&sandbox, "mallory", "/CN=mallory", CLIENT);
    let _ = openssl_issues(&sandbox, "bob", "/CN=bob", CLIENT);
    openssl_revokes(&sandbox, "alice", "keyCompromise");
    openssl_ca(&sandbox, "-revoke mallory/cert.pem -crl_reason superseded");
    (sandbox, [alice, mallory])
}

/// What openssl itself would put into its next list, and its number, from a copy of its files.
fn openssl_goes_on(sandbox: &Sandbox) -> (Vec<String>, String) {
    let _ = sandbox.program("cp").args(["-r", "old", "kept"]).run().success();
    openssl_ca(sandbox, "-gencrl -out theirs.pem");
    let listed = listed(sandbox, "theirs.pem");
    fs::remove_dir_all(sandbox.path("old")).unwrap();
    fs::rename(sandbox.path("kept"), sandbox.path("old")).unwrap();
    listed
}

fn rebuild(sandbox: &Sandbox, more: &str) -> Ran {
    run(sandbox, &format!("inventory rebuild --replace alice mallory bob{more}")).success()
}

/// Who was revoked before stays so, and the next list is the one that openssl would make, number and all.
#[test]
fn adoption_takes_what_openssl_revoked() {
    require!("openssl", "python3");
    for first in ["01", "1000", "00FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"] {
        let (sandbox, [alice, mallory]) = with_revocations(first);
        let theirs = openssl_goes_on(&sandbox);
        let mut both = vec![alice, mallory];
        both.sort();
        assert_eq!(theirs, (both, "crlNumber=0x03ED".to_owned()));
        let ran = adopt(&sandbox);
        assert!(ran.stdout.contains("2 certificates that it revoked stay revoked"), "{ran}");
        for file in ["crl.pem", "index.txt", "crlnumber"] {
            assert!(ran.stdout.contains(&format!("old/{file}")), "{ran}");
        }
        for revoked in ["alice", "mallory"] {
            let record = run(&sandbox, &format!("inventory record {revoked}"));
            refused_with_hint(&record, &[1]);
            assert!(record.stderr.contains("was revoked on"), "{record}");
        }
        let _ = run(&sandbox, "inventory record bob").success();
        let _ = rebuild(&sandbox, "");
        assert_eq!(
            sandbox.inventory("SELECT name, state, reason FROM certificate ORDER BY name"),
            ["alice\trevoked\tkeyCompromise", "bob\tissued\tNone", "mallory\trevoked\tsuperseded"]
        );
        refused_with_hint(&run(&sandbox, "renew mallory"), &[1]);
        let _ = run(&sandbox, "crl --out ours.pem").success();
        assert_eq!(listed(&sandbox, "ours.pem"), theirs);
        let ca = home(&sandbox).join("ca.pem");
        let verify =
            sandbox.program("openssl").args(["crl", "-in", "ours.pem", "-noout", "-verify", "-CAfile"]).arg(ca);
        let _ = verify.run().success();
        // Not even a lost inventory, or a lost list, brings them back.
        for lost in ["inventory.db", "crl.pem"] {
            fs::remove_file(home(&sandbox).join(lost)).unwrap();
            let _ = rebuild(&sandbox, "");
            assert_eq!(state(&sandbox, "mallory"), ["revoked"]);
        }
        let _ = run(&sandbox, "crl --out ours.pem").success();
        assert_eq!(listed(&sandbox, "ours.pem"), (theirs.0, "crlNumber=0x03EE".to_owned()));
    }
}

/// A list is wanted before anything was made again, and where the files are elsewhere.
#[test]
fn adoption_takes_what_is_named() {
    require!("openssl", "python3");
    let (sandbox, serials) = with_revocations("1000");
    let theirs = openssl_goes_on(&sandbox);
    fs::create_dir(sandbox.path("away")).unwrap();
    for file in ["crl.pem", "index.txt", "crlnumber"] {
        fs::rename(sandbox.path(format!("old/{file}")), sandbox.path(format!("away/{file}"))).unwrap();
    }
    let line = "adopt --ca old/cacert.pem --key old/cakey.pem --no-passphrase";
    let nothing = run(&sandbox, &format!("--authority nothing {line}")).success();
    assert!(nothing.stdout.contains("--crl or --index"), "{nothing}");
    let _ = sandbox.openssl(["crl", "-in", "away/crl.pem", "-outform", "DER", "-out", "away/list.der"]);
    let ran = run(&sandbox, &format!("{line} --crl away/list.der --index away/index.txt --format json")).success();
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&json["revoked"], &json["crl_number"]), (&2.into(), &0x03ec.into()));
    let _ = run(&sandbox, "crl --out ours.pem").success();
    assert_eq!(listed(&sandbox, "ours.pem"), theirs);
    assert_eq!(theirs.0, serials);

    // Too late, but all the same: the rebuild takes them by name, or where they lie.
    let late = |line: &str| sandbox.dockseal("--authority nothing".split(' ')).args(line.split(' ')).run();
    let _ = late("crl --out ours.pem").success();
    assert_eq!(listed(&sandbox, "ours.pem"), (Vec::new(), "crlNumber=0x01".to_owned()));
    let _ = late("inventory rebuild --replace alice --crl away/crl.pem --index away/index.txt").success();
    let _ = late("crl --out ours.pem").success();
    assert_eq!(listed(&sandbox, "ours.pem"), theirs);
}

#[test]
fn a_rebuild_takes_what_lies_below() {
    require!("openssl", "python3");
    let (sandbox, _) = with_revocations("1000");
    let theirs = openssl_goes_on(&sandbox);
    let _ = sandbox.program("cp").args(["-r", "old", "backup"]).run().success();
    for file in ["crl.pem", "index.txt", "crlnumber"] {
        fs::remove_file(sandbox.path(format!("old/{file}"))).unwrap();
    }
    let _ = adopt(&sandbox);
    let _ = rebuild(&sandbox, " backup");
    assert_eq!(state(&sandbox, "mallory"), ["revoked"]);
    let _ = run(&sandbox, "crl --out ours.pem").success();
    assert_eq!(listed(&sandbox, "ours.pem"), theirs);
    // What only the inventory knew goes on too.
    let _ = run(&sandbox, "revoke --no-crl bob").success();
    let _ = rebuild(&sandbox, "");
    assert_eq!(state(&sandbox, "bob"), ["revoked"]);
}

/// What should tell of revocations and does not is refused, and nothing is left behind.
#[test]
fn lists_that_tell_nothing_are_refused() {
    require!("openssl");
    let (sandbox, _) = with_revocations("1000");
    let whole = fs::read_to_string(sandbox.path("old/crl.pem")).unwrap();
    let index = fs::read_to_string(sandbox.path("old/index.txt")).unwrap();
    // Another authority of the same name signs a list.
    let _ = sandbox.program("cp").args(["-r", "old", "kept"]).run().success();
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout old/cakey.pem -out old/cacert.pem -days 3000 \
                -subj /O=Office/CN=Old";
    let _ = sandbox.openssl(line.split_whitespace());
    openssl_ca(&sandbox, "-gencrl -out forged.pem");
    let _ = sandbox.openssl(line.replace("CN=Old", "CN=Another").split_whitespace());
    openssl_ca(&sandbox, "-gencrl -out another.pem");
    fs::remove_dir_all(sandbox.path("old")).unwrap();
    fs::rename(sandbox.path("kept"), sandbox.path("old")).unwrap();
    let [forged, another] = ["forged.pem", "another.pem"].map(|file| fs::read_to_string(sandbox.path(file)).unwrap());
    let mut cut = whole.clone();
    cut.truncate(whole.len() / 2);
    let cases = [
        ("crl.pem", cut, "cannot be read"),
        ("crl.pem", String::new(), "cannot be read"),
        ("crl.pem", "rubbish".to_owned(), "cannot be read"),
        ("crl.pem", forged, "not signed by this authority"),
        ("crl.pem", another, "is that of"),
        ("index.txt", format!("{index}rubbish\n"), "line 4"),
        ("index.txt", index.replace("R\t", "X\t"), "line 1"),
        ("crlnumber", "rubbish\n".to_owned(), "not a number"),
        ("crlnumber", "FFFFFFFFFFFFFFFFFFFFFFFF\n".to_owned(), "too large"),
    ];
    for (file, text, says) in cases {
        let path = sandbox.path(format!("old/{file}"));
        let before = fs::read(&path).unwrap();
        fs::write(&path, text).unwrap();
        let ran = run(&sandbox, "adopt --ca old/cacert.pem --key old/cakey.pem --no-passphrase");
        refused_with_hint(&ran, &[2]);
        assert!(ran.stderr.contains(says) && ran.stderr.contains(&format!("old/{file}")), "{says}\n{ran}");
        assert!(!home(&sandbox).exists(), "{ran}");
        fs::write(&path, before).unwrap();
    }
    let _ = adopt(&sandbox);
    // A damaged list in the authority's own directory is no empty one.
    fs::write(home(&sandbox).join("crl.pem"), "rubbish").unwrap();
    refused_with_hint(&run(&sandbox, "inventory rebuild --replace alice"), &[2]);
}

/// easy-rsa's own directory: no number in its lists, so that ours begin.
#[test]
fn adoption_takes_what_easy_rsa_revoked() {
    require!("openssl", "easyrsa", "python3");
    let sandbox = Sandbox::new();
    let easyrsa = |words: &[&str]| {
        let program = sandbox.program(dockseal_tests::tool("easyrsa").unwrap()).env("EASYRSA_BATCH", "1");
        let _ = program.env("EASYRSA_PKI", sandbox.path("pki")).args(words).run().success();
    };
    let commands: [&[&str]; 7] = [
        &["init-pki"],
        &["--req-cn=Office", "build-ca", "nopass"],
        &["build-client-full", "bob", "nopass"],
        &["build-client-full", "mallory", "nopass"],
        &["build-client-full", "alice", "nopass"],
        &["revoke", "alice", "keyCompromise"],
        &["gen-crl"],
    ];
    commands.into_iter().for_each(easyrsa);
    easyrsa(&["revoke", "mallory", "superseded"]);
    let ran = run(&sandbox, "adopt --ca pki/ca.crt --key pki/private/ca.key --no-passphrase").success();
    assert!(ran.stdout.contains("2 certificates that it revoked stay revoked"), "{ran}");
    let _ = run(&sandbox, "inventory rebuild --replace pki").success();
    assert_eq!(
        sandbox.inventory("SELECT name, state, reason FROM certificate ORDER BY name"),
        ["alice\trevoked\tkeyCompromise", "bob\tissued\tNone", "mallory\trevoked\tsuperseded"]
    );
    let _ = run(&sandbox, "crl --out ours.pem").success();
    let (serials, number) = listed(&sandbox, "ours.pem");
    easyrsa(&["gen-crl"]);
    let text = sandbox.openssl(["crl", "-in", "pki/crl.pem", "-noout", "-text"]);
    let mut theirs: Vec<String> =
        text.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: ")).map(str::to_owned).collect();
    theirs.sort();
    assert_eq!((serials, number.as_str()), (theirs, "crlNumber=0x01"));
}

/// Large lists are read as well, and what is too large or too far down is told of: it may revoke somebody.
#[test]
fn nothing_is_too_large_or_too_deep_in_silence() {
    require!("openssl", "python3");
    let sandbox = openssl_office("01");
    let _ = openssl_issues(&sandbox, "tree/mallory", "/CN=mallory", CLIENT);
    openssl_revokes(&sandbox, "tree/mallory", "keyCompromise");
    let list = fs::read_to_string(sandbox.path("old/crl.pem")).unwrap();
    fs::rename(sandbox.path("old/crl.pem"), sandbox.path("old/away")).unwrap();
    fs::rename(sandbox.path("old/index.txt"), sandbox.path("old/away.txt")).unwrap();
    let _ = adopt(&sandbox);
    // Text around a block is skipped.
    let padded = |size: usize| format!("{}\n{list}", "# \n".repeat(size / 3));
    sandbox.write("tree/crl.pem", padded(3 << 20));
    let _ = run(&sandbox, "inventory rebuild --replace tree").success();
    assert_eq!(state(&sandbox, "mallory"), ["revoked"]);
    fs::remove_file(home(&sandbox).join("revoked-before.txt")).unwrap();
    fs::remove_file(home(&sandbox).join("inventory.db")).unwrap();
    sandbox.write("tree/crl.pem", padded(17 << 20));
    let ran = run(&sandbox, "inventory rebuild tree").exits(2);
    assert!(ran.stderr.contains("passed over") && ran.stderr.contains("crl.pem"), "{ran}");
    fs::remove_file(sandbox.path("tree/crl.pem")).unwrap();
    let deep = "tree/".to_owned() + &"d/".repeat(20);
    fs::create_dir_all(sandbox.path(&deep)).unwrap();
    let ran = run(&sandbox, "inventory rebuild --replace tree").exits(2);
    assert!(ran.stderr.contains("directories down"), "{ran}");
}
