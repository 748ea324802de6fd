//! `dockseal inspect` beside openssl: what one says of certificates, keys, requests and revocation lists, the other says
//! too; and what hostile or broken input does to it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dockseal_tests::{Program, Ran, Random, Sandbox};
use serde_json::Value;

/// Arguments of `openssl genpkey`, and what the key is called.
const KEYS: [(&[&str], &str); 6] = [
    (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "ECDSA P-256"),
    (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "ECDSA P-384"),
    (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"], "ECDSA P-521"),
    (&["-algorithm", "ED25519"], "Ed25519"),
    (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "RSA 2048"),
    (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"], "RSA 1024"),
];

fn new_key(sandbox: &Sandbox, kind: &[&str], name: &str) -> PathBuf {
    let path = sandbox.path(name);
    let _ = sandbox.openssl([&["genpkey", "-out", path.to_str().unwrap()], kind].concat());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A self-signed certificate; `more` are arguments of `openssl req`.
fn certificate(sandbox: &Sandbox, key: &Path, name: &str, more: &[&str]) -> PathBuf {
    let path = sandbox.path(name);
    let (key, out) = (key.to_str().unwrap(), path.to_str().unwrap());
    let _ =
        sandbox.openssl([&["req", "-x509", "-new", "-utf8", "-key", key, "-out", out, "-days", "90"], more].concat());
    path
}

fn inspect(sandbox: &Sandbox, path: &Path) -> (Value, Ran) {
    let ran = sandbox.dockseal(["inspect", "--format", "json"]).arg(path).limit(Duration::from_secs(20)).run();
    let json = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"));
    (json, ran)
}

/// The one thing in a file.
#[track_caller]
fn only_item(sandbox: &Sandbox, path: &Path) -> Value {
    let (json, ran) = inspect(sandbox, path);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_eq!(json["files"][0]["items"].as_array().map(Vec::len), Some(1), "{ran}");
    json["files"][0]["items"][0].clone()
}

/// What stands behind `=` in what `openssl x509` prints.
fn openssl_says(sandbox: &Sandbox, path: &Path, args: &[&str]) -> String {
    let text = sandbox.openssl([&["x509", "-noout", "-in", path.to_str().unwrap()], args].concat());
    text.trim().split_once('=').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
}

/// The lines below an extension's name in what openssl prints, joined.
fn openssl_extension(sandbox: &Sandbox, path: &Path, name: &str) -> String {
    let text = sandbox.openssl(["x509", "-noout", "-in", path.to_str().unwrap(), "-ext", name]);
    text.lines().skip(1).map(str::trim).collect::<Vec<_>>().join(" ")
}

/// The SHA-256 of a public key's DER, as openssl computes it from `pem`, in our notation.
fn openssl_digest(sandbox: &Sandbox, pem: &str) -> String {
    let der = sandbox.path("public.der");
    let _ = sandbox
        .program("openssl")
        .args(["pkey", "-pubin", "-outform", "DER", "-out"])
        .arg(&der)
        .input(pem)
        .run()
        .success();
    let text = sandbox.openssl(["dgst", "-sha256", "-c", der.to_str().unwrap()]);
    text.trim().rsplit(' ').next().unwrap().to_uppercase()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

#[test]
fn certificates_are_what_openssl_says_they_are() {
    let sandbox = Sandbox::new();
    for (kind, called) in KEYS {
        let key = new_key(&sandbox, kind, "key");
        let path = certificate(
            &sandbox,
            &key,
            "cert.crt",
            &[
                "-subj",
                "/C=DE/O=Müller & Söhne/OU=a+b/CN=build.example.com",
                "-addext",
                "subjectAltName=DNS:build.example.com,DNS:*.example.org,IP:10.0.0.5,IP:2001:db8::5,email:a@b.c,URI:https://x/",
                "-addext",
                "extendedKeyUsage=serverAuth,clientAuth,1.2.3.4.5",
                "-addext",
                "keyUsage=critical,digitalSignature,keyCertSign",
                "-addext",
                "nameConstraints=critical,permitted;DNS:example.com,excluded;IP:10.1.0.0/255.255.0.0",
                "-addext",
                "1.2.3.4=critical,ASN1:UTF8String:hello",
            ],
        );
        let item = only_item(&sandbox, &path);
        let openssl = |args: &[&str]| openssl_says(&sandbox, &path, args);
        assert_eq!(item["key"], called);
        assert_eq!(item["serial"], openssl(&["-serial"]));
        assert_eq!(item["fingerprint_sha256"], openssl(&["-fingerprint", "-sha256"]));
        let subject = openssl(&["-subject", "-nameopt", "sep_comma_plus_space,utf8"]);
        assert_eq!(item["subject"], subject);
        assert_eq!(item["issuer"], subject);
        let date = |args| openssl(args).replace(' ', "T");
        assert_eq!(item["not_before"], date(&["-startdate", "-dateopt", "iso_8601"]));
        assert_eq!(item["not_after"], date(&["-enddate", "-dateopt", "iso_8601"]));
        let names: Vec<String> = openssl_extension(&sandbox, &path, "subjectAltName")
            .split(", ")
            .map(|name| name.replace("IP Address:", "IP:").replace("2001:DB8:0:0:0:0:0:5", "2001:db8::5"))
            .collect();
        assert_eq!(texts(&item["names"]), names);
        assert_eq!(names.len(), 6);
        assert_eq!(item["subject_key_id"], openssl_extension(&sandbox, &path, "subjectKeyIdentifier"));
        let public = sandbox.openssl(["x509", "-noout", "-pubkey", "-in", path.to_str().unwrap()]);
        assert_eq!(item["public_key_sha256"], openssl_digest(&sandbox, &public));
        // openssl's words for them are other words: RFC 5280's stand here.
        assert_eq!(openssl_extension(&sandbox, &path, "keyUsage"), "Digital Signature, Certificate Sign");
        assert_eq!(texts(&item["key_usage"]), ["digitalSignature", "keyCertSign"]);
        let usage = openssl_extension(&sandbox, &path, "extendedKeyUsage");
        assert_eq!(usage, "TLS Web Server Authentication, TLS Web Client Authentication, 1.2.3.4.5");
        assert_eq!(texts(&item["extended_key_usage"]), ["serverAuth", "clientAuth", "1.2.3.4.5"]);
        assert_eq!(openssl_extension(&sandbox, &path, "basicConstraints"), "CA:TRUE");
        assert_eq!(item["basic_constraints"]["ca"], true);
        assert_eq!(texts(&item["uses"]), ["authority"]);
        assert_eq!(texts(&item["permitted_names"]), ["DNS:example.com"]);
        assert_eq!(texts(&item["excluded_names"]), ["IP:10.1.0.0/16"]);
        let unknown = item["unknown_extensions"].as_array().unwrap();
        assert_eq!(unknown.len(), 1, "{unknown:?}");
        assert_eq!((&unknown[0]["oid"], &unknown[0]["critical"]), (&"1.2.3.4".into(), &true.into()));
        // What is DER, and what comes from standard input, is the same.
        let der = sandbox.path("cert.der");
        let _ =
            sandbox.openssl(["x509", "-in", path.to_str().unwrap(), "-outform", "DER", "-out", der.to_str().unwrap()]);
        let mut from_der = only_item(&sandbox, &der);
        // The fuzzy one: seconds may pass between two runs.
        from_der["remaining_seconds"] = item["remaining_seconds"].clone();
        assert_eq!(from_der, item);
        let ran = sandbox.dockseal(["inspect", "--format", "json", "-"]).input(fs::read(&der).unwrap()).run().success();
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(json["files"][0]["items"][0]["serial"], item["serial"]);
    }
}

#[test]
fn remaining_life_is_counted_from_the_time_given() {
    let sandbox = Sandbox::new();
    let key = new_key(&sandbox, KEYS[0].0, "key");
    let path = certificate(&sandbox, &key, "c.pem", &["-subj", "/CN=x"]);
    let at = |time: &str| {
        let ran = sandbox.dockseal(["inspect", "--format", "json", "--at", time]).arg(&path).run().success();
        serde_json::from_str::<Value>(&ran.stdout).unwrap()["files"][0]["items"][0].clone()
    };
    let now = at("2020-01-01T00:00:00Z");
    assert_eq!(now["is_valid_now"], false);
    let end = now["not_after"].as_str().unwrap().to_owned();
    assert_eq!(at(&end)["remaining_seconds"], 0);
    assert_eq!(at(&end)["is_valid_now"], true);
    let later = at("2099-01-01T00:00:00Z");
    assert_eq!(later["is_valid_now"], false);
    assert!(later["remaining_seconds"].as_i64().unwrap() < -(70 * 365 * 86_400));
    let said = sandbox.dockseal(["inspect", "--at", "2099-01-01T00:00:00Z"]).arg(&path).run().success();
    let _ = said.says("EXPIRED");
}

#[test]
fn roles_are_those_that_docker_allows() {
    let sandbox = Sandbox::new();
    let key = new_key(&sandbox, KEYS[0].0, "key");
    let cases: [(&[&str], &[&str]); 5] = [
        (&["-addext", "extendedKeyUsage=serverAuth"], &["daemon"]),
        (&["-addext", "extendedKeyUsage=clientAuth"], &["client"]),
        (&["-addext", "extendedKeyUsage=anyExtendedKeyUsage"], &["daemon", "client"]),
        (&["-addext", "extendedKeyUsage=codeSigning"], &["neither authority, daemon nor client"]),
        (&["-addext", "keyUsage=digitalSignature"], &["daemon", "client"]),
    ];
    for (extension, uses) in cases {
        let leaf = ["-subj", "/CN=x", "-addext", "basicConstraints=critical,CA:FALSE"];
        let path = certificate(&sandbox, &key, "c.pem", &[&leaf, extension].concat());
        assert_eq!(texts(&only_item(&sandbox, &path)["uses"]), uses, "{extension:?}");
    }
}

#[test]
fn keys_are_named_in_every_form_and_never_shown() {
    let sandbox = Sandbox::new();
    for (kind, called) in KEYS {
        let key = new_key(&sandbox, kind, "plain.pem");
        let text = key.to_str().unwrap();
        let digest = openssl_digest(&sandbox, &sandbox.openssl(["pkey", "-in", text, "-pubout"]));
        let form = |name: &str, args: &[&str]| {
            let path = sandbox.path(name);
            let _ = sandbox.openssl([&["pkey", "-in", text, "-out", path.to_str().unwrap()], args].concat());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let traditional = if called.starts_with("RSA") {
            "PKCS#1"
        } else if called == "Ed25519" {
            "PKCS#8"
        } else {
            "SEC1"
        };
        let mut forms = vec![
            (key.clone(), "PKCS#8", false),
            (form("encrypted.pem", &["-aes256", "-passout", "pass:secret"]), "encrypted PKCS#8", true),
        ];
        let der = sandbox.path("encrypted.der");
        let _ = sandbox.openssl([
            "pkcs8",
            "-topk8",
            "-in",
            text,
            "-outform",
            "DER",
            "-passout",
            "pass:secret",
            "-out",
            der.to_str().unwrap(),
        ]);
        fs::set_permissions(&der, fs::Permissions::from_mode(0o600)).unwrap();
        forms.push((der, "encrypted PKCS#8", true));
        if called != "Ed25519" {
            forms.push((form("traditional.pem", &["-traditional"]), traditional, false));
            let args = ["-traditional", "-aes256", "-passout", "pass:secret"];
            forms.push((form("legacy.pem", &args), traditional, true));
        }
        for (path, wanted, encrypted) in forms {
            let item = only_item(&sandbox, &path);
            assert_eq!(item["kind"], "private key");
            assert_eq!((&item["form"], &item["encrypted"]), (&wanted.into(), &encrypted.into()), "{called} {path:?}");
            // Keys that ring does not take are named and no more.
            if !encrypted && !["ECDSA P-521", "RSA 1024"].contains(&called) {
                assert_eq!((&item["key"], &item["public_key_sha256"]), (&called.into(), &digest.clone().into()));
            }
            let ran = sandbox.dockseal(["inspect"]).arg(&path).run().success();
            assert_eq!(ran.stderr, "");
            let secret =
                sandbox.openssl(["pkey", "-in", path.to_str().unwrap(), "-passin", "pass:secret", "-text", "-noout"]);
            let secret: String = secret.lines().skip(2).take(2).collect::<String>().replace([':', ' '], "");
            let shown = ran.stdout.replace([':', ' '], "").to_lowercase();
            assert!(secret.len() >= 40 && !shown.contains(&secret[..40]), "{called} {path:?}");
            let body: Vec<String> =
                String::from_utf8_lossy(&fs::read(&path).unwrap()).lines().skip(1).map(str::to_owned).collect();
            assert!(body.iter().filter(|line| line.len() == 64).all(|line| !ran.stdout.contains(line)));
        }
    }
}

#[test]
fn a_key_is_held_beside_its_certificate() {
    let sandbox = Sandbox::new();
    let (one, two) = (new_key(&sandbox, KEYS[0].0, "one"), new_key(&sandbox, KEYS[0].0, "two"));
    let ca = certificate(&sandbox, &two, "d-ca.pem", &["-subj", "/CN=authority"]);
    for (key, matches) in [(&one, true), (&two, false)] {
        let dir = sandbox.path(format!("d{matches}"));
        fs::create_dir(&dir).unwrap();
        fs::copy(&ca, dir.join("ca.pem")).unwrap();
        fs::copy(key, dir.join("key.pem")).unwrap();
        let (request, out) = (sandbox.path("r"), dir.join("cert.pem"));
        let _ = sandbox.openssl([
            "req",
            "-new",
            "-key",
            one.to_str().unwrap(),
            "-subj",
            "/CN=leaf",
            "-out",
            request.to_str().unwrap(),
        ]);
        let _ = sandbox
            .program("openssl")
            .args(["x509", "-req", "-days", "9", "-in"])
            .arg(&request)
            .arg("-CA")
            .arg(&ca)
            .arg("-CAkey")
            .arg(&two)
            .arg("-out")
            .arg(&out)
            .run()
            .success();
        fs::copy(&request, dir.join("request.csr")).unwrap();
        fs::write(dir.join("notes.txt"), "not looked at").unwrap();
        let (json, ran) = inspect(&sandbox, &dir);
        assert_eq!(ran.code, Some(0), "{ran}");
        let files = json["files"].as_array().unwrap();
        let names: Vec<_> =
            files.iter().map(|file| file["path"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
        assert_eq!(names, ["ca.pem", "cert.pem", "key.pem", "request.csr"]);
        assert_eq!(files[0]["items"][0]["signed_by"], "itself");
        assert_eq!(files[1]["items"][0]["signed_by"], "ca.pem");
        assert_eq!(files[2]["items"][0]["matches_certificate"]["matches"], matches);
        let alone = only_item(&sandbox, &dir.join("key.pem"));
        assert_eq!(alone["matches_certificate"]["matches"], matches);
    }
}

#[test]
fn a_chain_is_followed_through_its_file() {
    let sandbox = Sandbox::new();
    let keys = ["root", "middle", "leaf"].map(|name| new_key(&sandbox, KEYS[0].0, name));
    let root = certificate(&sandbox, &keys[0], "ca.pem", &["-subj", "/CN=root"]);
    let signed = |name: &str, key: &Path, by: &Path, by_key: &Path, constraints: &str| {
        let (request, out) = (sandbox.path("r"), sandbox.path(format!("{name}.crt")));
        let (key, out_text) = (key.to_str().unwrap(), out.to_str().unwrap());
        let subject = format!("/CN={name}");
        let extension = format!("basicConstraints=critical,{constraints}");
        let extensions = sandbox.write("ext", extension);
        let _ = sandbox.openssl(["req", "-new", "-key", key, "-subj", &subject, "-out", request.to_str().unwrap()]);
        let program =
            sandbox.program("openssl").args(["x509", "-req", "-days", "9", "-out", out_text, "-in"]).arg(&request);
        let program = program.arg("-CA").arg(by).arg("-CAkey").arg(by_key).arg("-extfile").arg(extensions);
        let _ = program.run().success();
        out
    };
    let middle = signed("middle", &keys[1], &root, &keys[0], "CA:TRUE");
    let leaf = signed("leaf", &keys[2], &middle, &keys[1], "CA:FALSE");
    let chain = [fs::read(&leaf).unwrap(), fs::read(&middle).unwrap()].concat();
    let (json, ran) = inspect(&sandbox, &sandbox.write("cert.pem", chain));
    assert_eq!(ran.code, Some(0), "{ran}");
    let items = &json["files"][0]["items"];
    assert_eq!((&items[0]["subject"], &items[0]["signed_by"]), (&"CN=leaf".into(), &"number 2 of this file".into()));
    assert_eq!((&items[1]["subject"], &items[1]["signed_by"]), (&"CN=middle".into(), &"ca.pem".into()));
    // Another authority of the same name has not signed it.
    let other = certificate(&sandbox, &keys[2], "other.pem", &["-subj", "/CN=root"]);
    fs::rename(other, &root).unwrap();
    let (json, _) = inspect(&sandbox, &sandbox.path("cert.pem"));
    assert_eq!(json["files"][0]["items"][1]["signed_by"], Value::Null);
}

#[test]
fn a_key_that_everybody_can_read_is_warned_of() {
    let sandbox = Sandbox::new();
    let key = new_key(&sandbox, KEYS[0].0, "key.pem");
    for (mode, warned) in [(0o400, false), (0o600, false), (0o640, false), (0o644, true), (0o604, true), (0o620, true)]
    {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let (json, ran) = inspect(&sandbox, &key);
        assert_eq!(ran.code, Some(0));
        assert_eq!(json["files"][0]["mode"], format!("{mode:04o}"));
        assert_eq!(json["files"][0]["warnings"].as_array().unwrap().len(), usize::from(warned), "{mode:o}");
        assert_eq!(ran.stderr.contains("private key (mode"), warned, "{mode:o}\n{ran}");
    }
}

#[test]
fn requests_and_revocation_lists_are_shown() {
    let sandbox = Sandbox::new();
    let key = new_key(&sandbox, KEYS[0].0, "key");
    let csr = sandbox.path("r.csr");
    let _ = sandbox
        .program("openssl")
        .args(["req", "-new", "-subj", "/CN=leaf", "-addext", "subjectAltName=DNS:a.example,IP:10.0.0.1"])
        .args(["-addext", "basicConstraints=CA:TRUE", "-key"])
        .arg(&key)
        .arg("-out")
        .arg(&csr)
        .run()
        .success();
    let item = only_item(&sandbox, &csr);
    assert_eq!((&item["kind"], &item["subject"]), (&"certificate request".into(), &"CN=leaf".into()));
    assert_eq!(
        (texts(&item["names"]), &item["signature_fits"]),
        (vec!["DNS:a.example".into(), "IP:10.0.0.1".into()], &true.into())
    );
    assert_eq!(texts(&item["other_extensions"]), ["basicConstraints CA:TRUE"]);
    // The last octet of the DER belongs to the signature.
    let der = sandbox.path("r.der");
    let _ = sandbox
        .program("openssl")
        .args(["req", "-outform", "DER", "-in"])
        .arg(&csr)
        .arg("-out")
        .arg(&der)
        .run()
        .success();
    let mut bytes = fs::read(&der).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&der, bytes).unwrap();
    let item = only_item(&sandbox, &der);
    assert_eq!((&item["subject"], &item["signature_fits"]), (&"CN=leaf".into(), &false.into()));

    let ca = certificate(&sandbox, &key, "ca.pem", &["-subj", "/CN=authority", "-set_serial", "0x00f1e2d3"]);
    sandbox.write("index", "");
    sandbox.write("crlnumber", "0A1B\n");
    sandbox.write(
        "conf",
        "[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=30\n",
    );
    let openssl_ca = |args: &[&str]| {
        let ca_args = ["ca", "-config", "conf", "-cert", ca.to_str().unwrap(), "-keyfile", key.to_str().unwrap()];
        let _ = sandbox.openssl([&ca_args, args].concat());
    };
    openssl_ca(&["-revoke", ca.to_str().unwrap(), "-crl_reason", "keyCompromise"]);
    openssl_ca(&["-gencrl", "-out", "list.crl"]);
    let list = sandbox.path("list.crl");
    let item = only_item(&sandbox, &list);
    let openssl = |args: &[&str]| {
        sandbox
            .openssl([&["crl", "-noout", "-in", "list.crl", "-dateopt", "iso_8601"], args].concat())
            .trim()
            .split_once('=')
            .unwrap()
            .1
            .to_owned()
    };
    assert_eq!(item["issuer"], openssl(&["-issuer", "-nameopt", "sep_comma_plus_space"]));
    assert_eq!(item["this_update"], openssl(&["-lastupdate"]).replace(' ', "T"));
    assert_eq!(item["next_update"], openssl(&["-nextupdate"]).replace(' ', "T"));
    assert_eq!((&item["number"], openssl(&["-crlnumber"]).as_str()), (&"2587".into(), "0x0A1B"));
    assert_eq!(item["signature_algorithm"], "ecdsa-with-SHA256");
    assert_eq!(item["revoked"].as_array().unwrap().len(), 1);
    assert_eq!(item["revoked"][0]["serial"], "F1E2D3");
    assert_eq!(item["revoked"][0]["reason"], "keyCompromise");
}

#[test]
fn one_broken_block_hides_none_of_the_others() {
    let sandbox = Sandbox::new();
    let key = new_key(&sandbox, KEYS[0].0, "key");
    let text = fs::read_to_string(certificate(&sandbox, &key, "c.pem", &["-subj", "/CN=good"])).unwrap();
    let broken = [
        text.replace("MII", "!!!"),
        text.replace("-----END CERTIFICATE-----\n", ""),
        text[..text.len() / 2].to_owned() + "\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
        "-----BEGIN PKCS7-----\nMAAA\n-----END PKCS7-----\n".to_owned(),
        "-----BEGIN X\u{1b}[31m-----\nMAAA\n-----END X\u{1b}[31m-----\n".to_owned(),
        "-----BEGIN ".to_owned(),
    ];
    for middle in broken {
        let path = sandbox.write("many.pem", format!("preamble\n{text}{middle}{text}trailer"));
        let (json, ran) = inspect(&sandbox, &path);
        let file = &json["files"][0];
        assert_eq!(ran.code, Some(2), "{middle}\n{ran}");
        assert_eq!(
            (file["items"].as_array().unwrap().len(), file["problems"].as_array().unwrap().len()),
            (2, 1),
            "{ran}"
        );
        let human = sandbox.dockseal(["inspect"]).arg(&path).run();
        assert!(!human.stdout.contains('\u{1b}') && !human.stderr.contains('\u{1b}'));
    }
}

#[test]
fn hostile_text_cannot_write_to_the_terminal() {
    let sandbox = Sandbox::new();
    let key = new_key(&sandbox, KEYS[0].0, "key");
    let hostile = "a\u{1b}[2J\u{7}\u{9b}31m\u{202e}\u{2066}\u{200b}\nsigned by: root\r\tz";
    let subject = format!("/CN={hostile}/O={hostile}");
    let san = "subjectAltName=DNS:a\u{1b}[31mb,URI:https://\u{7}/,email:a\u{1b}@b";
    let path = certificate(&sandbox, &key, "c.pem", &["-subj", &subject, "-addext", san]);
    let named = sandbox.path("evil\u{1b}[31m\u{202e}\nname.pem");
    fs::rename(path, &named).unwrap();
    let csr = sandbox.path("r.csr");
    let _ = sandbox
        .program("openssl")
        .args(["req", "-new", "-utf8", "-subj", &subject, "-key"])
        .arg(&key)
        .arg("-out")
        .arg(&csr)
        .run()
        .success();
    let ran = sandbox.dockseal(["inspect"]).arg(&named).arg(&csr).run().success();
    assert!(ran.stdout.contains("2J") && ran.stdout.contains("signed by: root"), "the subject is there: {ran}");
    for text in [&ran.stdout, &ran.stderr] {
        let bad = |c: char| c.is_control() && c != '\n' || "\u{202e}\u{2066}\u{200b}".contains(c);
        assert!(!text.contains(bad), "{text:?}");
        assert!(!text.lines().any(|line| line.starts_with("signed by") || line.starts_with("name.pem")), "{text:?}");
    }
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let sandbox = Sandbox::new();
    let key = new_key(&sandbox, KEYS[0].0, "key");
    let good = certificate(&sandbox, &key, "good.pem", &["-subj", "/CN=good"]);
    let _ = sandbox.program("mkfifo").arg(sandbox.path("pipe")).run().success();
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("socket")).unwrap();
    fs::File::create(sandbox.path("huge")).unwrap().set_len((16 << 20) + 1).unwrap();
    fs::create_dir(sandbox.path("nothing")).unwrap();
    sandbox.write("empty", "");
    sandbox.write("text", "hello");
    sandbox.write("der", b"\x30\x03\x02\x01\x01");
    let cases = ["pipe", "socket", "huge", "nothing", "empty", "text", "der", "missing", "/dev/zero", "/dev/null"];
    for case in cases {
        let ran =
            sandbox.dockseal(["inspect", "--format", "json", case]).arg(&good).limit(Duration::from_secs(10)).run();
        assert_eq!(ran.code, Some(2), "{case}\n{ran}");
        let json: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(json["files"][0]["problems"].as_array().unwrap().len(), 1, "{case}");
        assert_eq!(json["files"][1]["items"][0]["subject"], "CN=good", "{case}");
    }
    // Nested a million deep, and nothing but openings.
    sandbox.write("deep", [b"\x30\x84\x00\xf0\x00\x00".as_slice(), &b"\x30\x80".repeat(1 << 20)].concat());
    sandbox.write("open", b"-----BEGIN CERTIFICATE-----\n".repeat(1 << 16));
    for case in ["deep", "open"] {
        let ran = sandbox.dockseal(["inspect", case]).limit(Duration::from_secs(30)).run();
        assert_eq!(ran.code, Some(2), "{case}: {:?}", ran.code);
    }
    let endless = sandbox.dockseal(["inspect", "-"]).input(vec![b'x'; (16 << 20) + 1]).run();
    assert_eq!(endless.code, Some(2));
    let _ = endless.says("larger than the 16 MiB");
}

#[test]
fn damaged_der_never_ends_it() {
    let sandbox = Sandbox::new();
    let key = new_key(&sandbox, KEYS[0].0, "key");
    let names = "subjectAltName=DNS:a.example,IP:10.0.0.1";
    let path = certificate(&sandbox, &key, "c.pem", &["-subj", "/CN=x", "-addext", names, "-outform", "DER"]);
    let whole = fs::read(&path).unwrap();
    let mut random = Random::seeded(3);
    // Many files a run, since starting the program takes longer than reading a file.
    for _ in 0..20 {
        let mut program: Program = sandbox.dockseal(["inspect"]).limit(Duration::from_secs(60));
        for number in 0..50 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = random.bits() as u8;
            }
            if random.below(8) == 0 {
                bytes.truncate(random.below(bytes.len() as u64) as usize);
            }
            program = program.arg(sandbox.write(format!("f{number}"), bytes));
        }
        let ran = program.run();
        assert!(matches!(ran.code, Some(0 | 2)), "{ran}");
        assert!(!ran.stdout.contains(|c: char| c.is_control() && c != '\n'), "{ran}");
    }
}
