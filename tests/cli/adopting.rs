//! `adopt` and the forms in which other tools leave certificates and keys: taken as they are, or told what they are. openssl
//! makes them and has the last word.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockseal_tests::{Ran, Sandbox, require};

use crate::{home, refused, refused_with_hint};

/// An authority of openssl's: `ca.pem` and `key.pem`, of the key that these words make.
fn authority(sandbox: &Sandbox, key: &str, more: &[&str]) {
    let _ = sandbox.openssl(["genpkey", "-out", "key.pem"].into_iter().chain(key.split_whitespace()));
    let made = "req -x509 -new -key key.pem -days 900 -subj /CN=theirs -out ca.pem -addext basicConstraints=critical,CA:TRUE,pathlen:0 \
                -addext keyUsage=critical,keyCertSign,cRLSign";
    let _ = sandbox.openssl(made.split_whitespace().chain(more.iter().copied()));
    private(sandbox, "key.pem");
}

fn private(sandbox: &Sandbox, name: &str) {
    fs::set_permissions(sandbox.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

const P256: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

fn adopt(sandbox: &Sandbox, ca: &str, key: &str, passphrase: bool) -> Ran {
    let given: &[&str] = if passphrase { &["--passphrase-file", "secret"] } else { &["--no-passphrase"] };
    sandbox.dockseal(["adopt", "--ca", ca, "--key", key]).args(given).run()
}

/// Adopted, and what it issues is openssl's to verify.
#[track_caller]
fn works(sandbox: &Sandbox, ran: &Ran, passphrase: bool) {
    assert_eq!(ran.code, Some(0), "{ran}");
    let given: &[&str] = if passphrase { &["--passphrase-file", "secret"] } else { &[] };
    let _ = sandbox.dockseal(["issue", "client", "alice", "--out", "alice"]).args(given).run().success();
    let _ = sandbox.openssl(["verify", "-CAfile", "ca.pem", "-purpose", "sslclient", "alice/cert.pem"]);
    fs::remove_dir_all(sandbox.path("alice")).unwrap();
    fs::remove_dir_all(home(sandbox)).unwrap();
}

/// Ways to encrypt a key that are older than PBES2, or have another cipher: named, and the hint's command opens them.
#[test]
fn encryptions_are_named_and_the_hint_opens_them() {
    require!("openssl");
    let sandbox = Sandbox::new();
    // openssl takes the second line where both of its passphrases come from one file.
    sandbox.write("secret", "hunter2\nhunter2\n");
    private(&sandbox, "secret");
    authority(&sandbox, P256, &[]);
    let old = ["-provider", "legacy", "-provider", "default"];
    for (how, cause) in [
        ("-v1 PBE-MD5-DES", "pbeWithMD5AndDES-CBC"),
        ("-v1 PBE-SHA1-RC2-64", "pbeWithSHA1AndRC2-CBC"),
        ("-v1 PBE-SHA1-DES", "pbeWithSHA1AndDES-CBC"),
        ("-v1 PBE-SHA1-3DES", "pbeWithSHA1And3-KeyTripleDES-CBC"),
        ("-v1 PBE-SHA1-RC4-128", "pbeWithSHA1And128BitRC4"),
        ("-v2 camellia-256-cbc", "PBES2 of PBKDF2 and CAMELLIA-256-CBC"),
        ("-v2 rc2-cbc", "PBES2 of PBKDF2 and RC2-CBC"),
    ] {
        let made = ["pkcs8", "-topk8", "-in", "key.pem", "-out", "locked.pem", "-passout", "file:secret"];
        let _ = sandbox.openssl(made.into_iter().chain(how.split(' ')).chain(old));
        private(&sandbox, "locked.pem");
        let ran = adopt(&sandbox, "ca.pem", "locked.pem", true);
        refused_with_hint(&ran, &[2]);
        assert!(ran.stderr.contains(&format!("is encrypted with {cause}, which")), "{how}: {ran}");
        let (_, hint) = ran.stderr.split_once("re-encrypt a copy with openssl ").unwrap();
        let (command, more) = hint.split_once('\n').unwrap();
        let (_, providers) = more.split_once("only with ").unwrap();
        let providers = providers.split_once(" as well").unwrap().0;
        let words = command.split(' ').chain(providers.split(' '));
        let _ = sandbox.openssl(words.chain(["-passin", "file:secret", "-passout", "file:secret"]));
        private(&sandbox, "COPY");
        let ran = adopt(&sandbox, "ca.pem", "COPY", true);
        works(&sandbox, &ran, true);
    }
    // What can be opened is opened, and a wrong passphrase is called that.
    let _ = sandbox.openssl("pkcs8 -topk8 -v2 aes-256-cbc -in key.pem -out locked.pem -passout pass:other".split(' '));
    private(&sandbox, "locked.pem");
    let ran = adopt(&sandbox, "ca.pem", "locked.pem", true);
    refused(&ran, &[1]);
    assert!(ran.stderr.contains("the passphrase does not open"), "{ran}");
}

/// Java and old Go write no public half.
#[test]
fn a_curve_key_without_its_public_half() {
    require!("openssl", "python3");
    for curve in ["P-256", "P-384"] {
        let sandbox = Sandbox::new();
        authority(&sandbox, &format!("-algorithm EC -pkeyopt ec_paramgen_curve:{curve}"), &[]);
        for form in [&["ec", "-no_public"][..], &["pkcs8", "-topk8", "-nocrypt"]] {
            let _ = sandbox.openssl(["ec", "-in", "key.pem", "-no_public", "-out", "half.pem"]);
            let _ = sandbox.openssl(form.iter().copied().chain(["-in", "half.pem", "-out", "bare.pem"]));
            private(&sandbox, "bare.pem");
            let ran = adopt(&sandbox, "ca.pem", "bare.pem", false);
            works(&sandbox, &ran, false);
        }
    }
}

/// What cannot sign here is called what it is.
#[test]
fn kinds_of_keys_are_named() {
    require!("openssl");
    for (key, named) in [
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:2048 -pkeyopt rsa_keygen_pubexp:3", "RSA with the public exponent 3"),
        ("-algorithm RSA -pkeyopt rsa_keygen_bits:1024", "RSA with 1024 bits"),
        ("-algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048", "RSA-PSS"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-521", "ECDSA P-521"),
        ("-algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit", "explicit parameters"),
        ("-algorithm ED448", "Ed448"),
    ] {
        let sandbox = Sandbox::new();
        authority(&sandbox, key, &[]);
        let ran = adopt(&sandbox, "ca.pem", "key.pem", false);
        refused_with_hint(&ran, &[2]);
        assert!(ran.stderr.contains(named) && !ran.stderr.contains("damaged"), "{named}: {ran}");
        let inspected = sandbox.dockseal(["inspect", "key.pem"]).run();
        assert!(!inspected.holds("damaged"), "{named}: {inspected}");
        // The older forms of the same.
        if !key.contains("RSA-PSS") && !key.contains("ED448") {
            let _ = sandbox.openssl(["pkey", "-in", "key.pem", "-traditional", "-out", "old.pem"]);
            private(&sandbox, "old.pem");
            let ran = adopt(&sandbox, "ca.pem", "old.pem", false);
            assert!(ran.stderr.contains(named) && !ran.stderr.contains("damaged"), "{named}: {ran}");
        }
    }
    let sandbox = Sandbox::new();
    let _ =
        sandbox.openssl("genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:2048 -out parameters".split(' '));
    let _ = sandbox.openssl("genpkey -paramfile parameters -out key.pem".split(' '));
    let _ = sandbox.openssl("req -x509 -new -key key.pem -subj /CN=dsa -days 9 -out ca.pem".split(' '));
    let _ = sandbox.openssl("pkey -in key.pem -traditional -out old.pem".split(' '));
    for key in ["key.pem", "old.pem"] {
        private(&sandbox, key);
        let ran = adopt(&sandbox, "ca.pem", key, false);
        refused_with_hint(&ran, &[2]);
        assert!(ran.stderr.contains("of the kind DSA"), "{ran}");
    }
}

/// A file may have more than one certificate, or more than one key: those that belong together are taken.
#[test]
fn the_right_one_of_several() {
    require!("openssl");
    let sandbox = Sandbox::new();
    authority(&sandbox, P256, &[]);
    let ours = ["ca.pem", "key.pem"].map(|name| fs::read(sandbox.path(name)).unwrap());
    authority(&sandbox, P256, &["-subj", "/CN=another"]);
    let others = ["ca.pem", "key.pem"].map(|name| fs::read(sandbox.path(name)).unwrap());
    let parameters = sandbox.openssl("ecparam -name prime256v1".split(' '));
    sandbox.write("ca.pem", &ours[0]);
    sandbox.write("both.pem", [&others[0][..], &ours[0]].concat());
    sandbox.write("keys.pem", [parameters.as_bytes(), &others[1], &ours[1]].concat());
    sandbox.write("key.pem", &ours[1]);
    for (ca, key) in [("both.pem", "key.pem"), ("ca.pem", "keys.pem")] {
        private(&sandbox, key);
        let ran = adopt(&sandbox, ca, key, false);
        assert!(ran.stdout.contains("CN=theirs"), "{ran}");
        works(&sandbox, &ran, false);
    }
    sandbox.write("neither.pem", &others[1]);
    private(&sandbox, "neither.pem");
    let ran = adopt(&sandbox, "ca.pem", "neither.pem", false);
    refused_with_hint(&ran, &[1]);
    assert!(ran.stderr.contains("does not belong to the certificate of CN=theirs"), "{ran}");
}

/// What a certificate lacks to be an authority's for Docker, each in words of its own.
#[test]
fn why_it_is_no_authority_for_docker() {
    require!("openssl");
    let sandbox = Sandbox::new();
    authority(&sandbox, P256, &[]);
    let make = |words: &str| {
        let _ = sandbox.openssl("req -x509 -new -key key.pem -days 900 -out ca.pem".split(' ').chain(words.split(' ')));
    };
    let refuses = |cause: &str| {
        let ran = adopt(&sandbox, "ca.pem", "key.pem", false);
        refused_with_hint(&ran, &[1, 2]);
        assert!(ran.stderr.contains(cause), "{cause:?} is not in\n{ran}");
        // No Rust, and no error of a library.
        assert!(!ran.stderr.contains("Error") && !ran.stderr.contains("Undetermined"), "{ran}");
    };
    make("-subj /CN=x -addext basicConstraints=CA:FALSE");
    refuses("it has basicConstraints CA:FALSE");
    make("-subj /CN=x -addext basicConstraints=critical,CA:TRUE -addext keyUsage=digitalSignature");
    refuses("its keyUsage lacks keyCertSign");
    make("-subj /CN=x -addext basicConstraints=critical,CA:TRUE -set_serial -5");
    refuses("the serial number of CN=x is negative");
    make("-subj /CN=x -addext basicConstraints=critical,CA:TRUE -addext extendedKeyUsage=codeSigning");
    refuses("extendedKeyUsage");
    let _ = sandbox.openssl("req -new -key key.pem -subj /CN=x -out request".split(' '));
    let _ = sandbox.openssl("x509 -req -in request -signkey key.pem -days 9 -out ca.pem".split(' '));
    refuses("X.509 before version 3");
}

/// An authority for one role is good for that one, and that is said.
#[test]
fn an_authority_for_one_role() {
    require!("openssl");
    for (usage, said, works, fails) in [
        ("serverAuth", "certify daemons alone", "daemon h.test", "client alice"),
        ("clientAuth", "certify clients alone", "client alice", "daemon h.test"),
    ] {
        let sandbox = Sandbox::new();
        authority(&sandbox, P256, &["-addext", &format!("extendedKeyUsage={usage}")]);
        let ran = adopt(&sandbox, "ca.pem", "key.pem", false).success();
        assert!(ran.stderr.contains(said), "{ran}");
        let issue = |what: &str| sandbox.dockseal(format!("issue {what} --out out").split(' ')).run();
        refused_with_hint(&issue(fails), &[1]);
        let _ = issue(works).success();
        let purpose = if usage == "serverAuth" { "sslserver" } else { "sslclient" };
        let _ = sandbox.openssl(["verify", "-CAfile", "ca.pem", "-purpose", purpose, "out/cert.pem"]);
    }
}

/// An authority that is to last for ever gets a successor that X.509 can express, and a dry run says what would fail.
#[test]
fn an_authority_for_ever_is_rolled_over() {
    require!("openssl");
    let sandbox = Sandbox::new();
    authority(&sandbox, P256, &["-days", "2912000"]);
    let _ = adopt(&sandbox, "ca.pem", "key.pem", false).success();
    let run = |line: &str| {
        sandbox.dockseal(format!("--at 2099-01-01T00:00:00Z rollover begin {line}").split_whitespace()).run()
    };
    for line in ["--dry-run --lifetime 7999y", "--lifetime 7999y"] {
        let ran = run(line);
        refused_with_hint(&ran, &[2]);
        assert!(ran.stderr.contains("9999-12-31"), "{ran}");
    }
    let _ = run("--dry-run").success();
    let _ = run("").success();
    let generation = home(&sandbox).join("generation-2/ca.pem");
    let text = sandbox.openssl(["x509", "-noout", "-enddate", "-in", generation.to_str().unwrap()]);
    assert!(text.contains("notAfter="), "{text}");
}

/// Whatever form other tools leave certificates and keys in: adopted, and what was adopted is openssl's to compare.
#[test]
fn other_forms_are_taken() {
    require!("openssl", "python3");
    let sandbox = Sandbox::new();
    sandbox.write("secret", "hunter2\n");
    private(&sandbox, "secret");
    authority(&sandbox, P256, &[]);
    let openssl = |line: &str| sandbox.openssl(line.split(' '));
    let _ = openssl("x509 -in ca.pem -outform der -out ca.der");
    let _ = openssl("crl2pkcs7 -nocrl -certfile ca.pem -out ca.p7b");
    let _ = openssl("crl2pkcs7 -nocrl -certfile ca.pem -outform der -out ca.p7c");
    let _ = openssl("x509 -in ca.pem -trustout -addtrust serverAuth -out ca.trusted");
    let text = fs::read_to_string(sandbox.path("ca.pem")).unwrap();
    sandbox.write("ca.x509", text.replace("CERTIFICATE", "X509 CERTIFICATE"));
    sandbox.write("ca.bom", format!("\u{feff}{text}"));
    sandbox.write("ca.crlf", text.replace('\n', "\r\n"));
    sandbox.write("ca.escaped", text.replace('\n', "\\n"));
    let wide =
        |order: fn(u16) -> [u8; 2]| format!("\u{feff}{text}").encode_utf16().flat_map(order).collect::<Vec<u8>>();
    sandbox.write("ca.le", wide(u16::to_le_bytes));
    sandbox.write("ca.be", wide(u16::to_be_bytes));
    for form in ["der", "p7b", "p7c", "trusted", "x509", "bom", "crlf", "escaped", "le", "be"] {
        println!("{form}");
        let ran = adopt(&sandbox, &format!("ca.{form}"), "key.pem", false);
        assert_eq!(ran.code, Some(0), "{form}: {ran}");
        assert_eq!(fs::read_to_string(home(&sandbox).join("ca.pem")).unwrap(), text, "{form}");
        works(&sandbox, &ran, false);
    }
    // Keys in DER, by each of their forms.
    let _ = openssl("pkcs8 -topk8 -nocrypt -in key.pem -outform der -out key.pkcs8");
    let _ = openssl("pkey -in key.pem -traditional -outform der -out key.sec1");
    let _ = openssl("pkcs8 -topk8 -in key.pem -outform der -out key.locked -passout file:secret");
    for (key, locked) in [("key.pkcs8", false), ("key.sec1", false), ("key.locked", true)] {
        private(&sandbox, key);
        let ran = adopt(&sandbox, "ca.der", key, locked);
        works(&sandbox, &ran, locked);
    }
    // Both in one file.
    let _ = openssl("pkcs12 -export -in ca.pem -inkey key.pem -out ca.p12 -passout file:secret");
    let _ = openssl("pkcs12 -export -in ca.pem -inkey key.pem -out open.p12 -passout pass:");
    let _ = openssl("pkcs12 -export -in ca.pem -inkey key.pem -out old.p12 -legacy -passout file:secret");
    for (file, locked) in [("ca.p12", true), ("open.p12", false)] {
        private(&sandbox, file);
        let ran = adopt(&sandbox, file, file, locked);
        works(&sandbox, &ran, locked);
        let ran = adopt(&sandbox, "ca.pem", file, locked);
        works(&sandbox, &ran, locked);
    }
    private(&sandbox, "old.p12");
    let ran = adopt(&sandbox, "old.p12", "old.p12", true);
    refused_with_hint(&ran, &[2]);
    assert!(ran.stderr.contains("ciphers of before 2000"), "{ran}");
    sandbox.write("other", "other\n");
    private(&sandbox, "other");
    let wrong = sandbox.dockseal("adopt --ca ca.p12 --key ca.p12 --passphrase-file other".split(' ')).run();
    refused_with_hint(&wrong, &[1]);
    for (form, bytes) in [("none", &b"no certificate"[..]), ("short", b"0\x82"), ("p12.short", b"0\x03\x02\x01\x03")] {
        sandbox.write(form, bytes);
        refused_with_hint(&adopt(&sandbox, form, "key.pem", false), &[2]);
    }
}

/// An answer comes in DER or PKCS#7 from many authorities (Active Directory, EJBCA).
#[test]
fn an_answer_in_another_form_is_installed() {
    require!("openssl");
    let sandbox = Sandbox::new();
    authority(&sandbox, P256, &[]);
    let openssl = |line: &str| sandbox.openssl(line.split(' '));
    for form in
        ["x509 -in cert.pem -outform der -out answer", "crl2pkcs7 -nocrl -certfile cert.pem -outform der -out answer"]
    {
        let _ = sandbox.dockseal("request client alice --out alice".split(' ')).run().success();
        sandbox.write("extensions", "extendedKeyUsage=clientAuth\n");
        let _ = openssl(
            "x509 -req -in alice/request.csr -CA ca.pem -CAkey key.pem -days 9 -extfile extensions -out cert.pem -set_serial 77",
        );
        let _ = openssl(form);
        let _ = openssl("x509 -in ca.pem -outform der -out ca.der");
        let ran = sandbox.dockseal("install alice answer --ca ca.der".split(' ')).run().success();
        assert!(ran.stdout.contains("serial       4D"), "{ran}");
        assert_eq!(fs::read(sandbox.path("alice/cert.pem")).unwrap(), fs::read(sandbox.path("cert.pem")).unwrap());
        assert_eq!(fs::read(sandbox.path("alice/ca.pem")).unwrap(), fs::read(sandbox.path("ca.pem")).unwrap());
        fs::remove_dir_all(sandbox.path("alice")).unwrap();
    }
}

/// A request of a kind that is not checked here is called that; nobody is accused of a false signature.
#[test]
fn requests_are_not_accused() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(["init", "--no-passphrase"]).run().success();
    for (key, more) in [
        ("-newkey rsa:1024", ""),
        ("-newkey rsa-pss", ""),
        ("-newkey rsa:2048", "-sigopt rsa_padding_mode:pss"),
        ("-newkey ec -pkeyopt ec_paramgen_curve:secp256k1", ""),
        ("-newkey ed448", ""),
    ] {
        let made = format!("req -new {key} -noenc -keyout own.pem -subj /CN=alice -out own.csr {more}");
        let _ = sandbox.openssl(made.split_whitespace());
        let _ = sandbox.openssl("req -in own.csr -verify -noout".split(' '));
        let ran = sandbox.dockseal("issue client alice --csr own.csr --out alice".split(' ')).run();
        if ran.code != Some(0) {
            refused_with_hint(&ran, &[1, 2]);
            assert!(ran.stderr.contains("not supported") || ran.stderr.contains("bits"), "{key}: {ran}");
        }
        assert!(!ran.stderr.contains("does not fit"), "{key}: {ran}");
        let _ = fs::remove_dir_all(sandbox.path("alice"));
    }
    // One that is false is.
    let _ = sandbox.openssl(
        "req -new -newkey rsa:2048 -noenc -keyout own.pem -subj /CN=alice -outform der -out own.csr".split(' '),
    );
    let mut der = fs::read(sandbox.path("own.csr")).unwrap();
    *der.last_mut().unwrap() ^= 1;
    sandbox.write("own.csr", &der);
    let _ = sandbox.openssl("req -inform der -in own.csr -out false.csr".split(' '));
    let ran = sandbox.dockseal("issue client alice --csr false.csr --out alice".split(' ')).run();
    refused_with_hint(&ran, &[2]);
    assert!(ran.stderr.contains("does not fit"), "{ran}");
}

/// The two options the wrong way round are told of as that, and the hint helps.
#[test]
fn exchanged_options_are_named() {
    require!("openssl");
    let sandbox = Sandbox::new();
    authority(&sandbox, "-algorithm EC -pkeyopt ec_paramgen_curve:P-256", &[]);
    let ran = sandbox.dockseal(["adopt", "--ca", "key.pem", "--key", "ca.pem"]).run();
    refused_with_hint(&ran, &[2]);
    assert!(ran.stderr.contains("--ca names a private key, and --key a certificate"), "{ran}");
    assert!(!ran.stderr.contains("can be read by others"), "{ran}");
    let hint = ran.stderr.split("exchange them: dockseal ").nth(1).unwrap().trim().to_owned();
    let _ = sandbox.dockseal(hint.split(' ')).run().success();
}
