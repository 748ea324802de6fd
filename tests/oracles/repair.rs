//! Client bundles as other tools leave them: docker cannot use them, and can after `dockseal repair`, before a real dockerd.

use std::fs;

use dockseal_tests::{Dockerd, DockerdOptions, Pki, Sandbox, pki, require, require_root};

/// What is done to the three files in `client`, as lines of sh, and what it is called, unless Docker reads the form.
const FORMS: [(&str, &str, Option<&str>); 23] = [
    (
        "DER",
        "for f in ca cert; do openssl x509 -in $f.pem -outform der -out x && mv x $f.pem; done",
        Some("ca.pem is DER, not PEM"),
    ),
    ("a key in DER", "openssl pkcs8 -topk8 -nocrypt -in key.pem -outform der -out x && mv x key.pem", Some("is DER")),
    (
        "PKCS#7",
        "for f in ca cert; do openssl crl2pkcs7 -nocrl -certfile $f.pem -out x && mv x $f.pem; done",
        Some("is PKCS#7"),
    ),
    (
        "PKCS#7 in DER",
        "openssl crl2pkcs7 -nocrl -certfile cert.pem -outform der -out x && mv x cert.pem",
        Some("is PKCS#7"),
    ),
    ("UTF-16", "for f in ca cert key; do iconv -f UTF-8 -t UTF-16LE $f.pem >x && mv x $f.pem; done", Some("in UTF-16")),
    ("UTF-16 with its mark", "iconv -f UTF-8 -t UTF-16 key.pem >x && mv x key.pem", Some("in UTF-16")),
    ("a byte order mark", "printf '\\357\\273\\277' | cat - cert.pem >x && mv x cert.pem", Some("byte order mark")),
    (
        "a byte order mark before the one of two that counts",
        "printf '\\357\\273\\277' | cat - ca.pem ../other >x && mv x ca.pem",
        Some("ca.pem begins with a byte order mark"),
    ),
    (
        "joined blocks",
        "(printf %s \"$(cat ca.pem)\"; cat ../other) >x && mv x ca.pem",
        Some("on one line, which hides both"),
    ),
    (
        "line ends as two characters",
        "for f in ca cert key; do awk '{printf \"%s\\\\n\", $0}' $f.pem >x && mv x $f.pem; done",
        Some("as the two characters \\n"),
    ),
    (
        "no line ends",
        "for f in ca cert key; do tr -d '\\n' <$f.pem >x && mv x $f.pem; done",
        Some("has lost the line ends"),
    ),
    ("blanks as line ends", "tr '\\n' ' ' <key.pem >x && mv x key.pem", Some("has lost the line ends")),
    (
        "carriage returns",
        "for f in ca cert key; do tr '\\n' '\\r' <$f.pem >x && mv x $f.pem; done",
        Some("has carriage returns"),
    ),
    (
        "indented",
        "for f in ca cert key; do sed 's/^/  /' $f.pem >x && mv x $f.pem; done",
        Some("blanks or other characters"),
    ),
    ("an indented END", "sed 's/^-----END/ &/' key.pem >x && mv x key.pem", Some("blanks or other characters")),
    ("base64 of PEM", "for f in ca cert key; do base64 $f.pem >x && mv x $f.pem; done", Some("is base64")),
    ("base64 of DER", "for f in ca cert key; do grep -v -e ----- $f.pem >x && mv x $f.pem; done", Some("is base64")),
    (
        "old label",
        "for f in ca cert; do sed 's/CERTIFICATE/X509 CERTIFICATE/' $f.pem >x && mv x $f.pem; done",
        Some("has the PEM label X509 CERTIFICATE"),
    ),
    (
        "trusted",
        "for f in ca cert; do openssl x509 -in $f.pem -trustout -addtrust clientAuth -out x && mv x $f.pem; done",
        Some("has the PEM label TRUSTED CERTIFICATE"),
    ),
    (
        "PKCS#12",
        "openssl pkcs12 -export -in cert.pem -inkey key.pem -certfile ca.pem -out x -passout file:../secret && rm *.pem && mv x key.pem",
        Some("key.pem is PKCS#12"),
    ),
    (
        "PKCS#12 beside the others",
        "openssl pkcs12 -export -in cert.pem -inkey key.pem -out x -passout file:../secret && mv x cert.pem",
        Some("is PKCS#12"),
    ),
    (
        "locked key",
        "openssl pkcs8 -topk8 -v2 aes-256-cbc -in key.pem -out x -passout file:../secret && mv x key.pem",
        None,
    ),
    ("the anchor first", "cat ca.pem cert.pem >x && mv x cert.pem", None),
];

#[test]
fn docker_gets_through_after_a_repair() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let material = pki("p256", "p256");
    let daemon = Dockerd::start(&DockerdOptions { material: material.daemon.clone(), ipv6: false });
    let other = fs::read(&Pki::stranger().ca).unwrap();
    for (form, how, called) in FORMS {
        let sandbox = Sandbox::new();
        sandbox.write("secret", "hunter2\n");
        sandbox.write("other", &other);
        let client = sandbox.path("client");
        fs::create_dir(&client).unwrap();
        for (from, to) in
            [(material.client.ca(), "ca.pem"), (material.client.cert(), "cert.pem"), (material.client.key(), "key.pem")]
        {
            sandbox.write(format!("client/{to}"), fs::read(from).unwrap());
        }
        let docker = || daemon.docker("127.0.0.1", &client, ["version"]).run();
        if form == FORMS[0].0 {
            assert_eq!(docker().code, Some(0));
            // In order already: nothing is touched.
            let ran = sandbox.dockseal(["repair", "client"]).run().success();
            assert!(ran.stdout.contains("nothing was changed"), "{ran}");
        }
        let _ = sandbox.program("sh").cwd(&client).args(["-e", "-c", how]).run().success();
        let before = dockseal_tests::tree(&client);
        assert_ne!(docker().code, Some(0), "{form}: docker reads that");

        let url = daemon.url("127.0.0.1");
        let commands = match called {
            None => vec!["dockseal repair client".to_owned()],
            Some(called) => told(&sandbox, &url, called),
        };
        assert!(commands.iter().all(|command| command == "dockseal repair client"), "{form}: {commands:?}");
        let ran = sandbox.dockseal(commands[0].split(' ').skip(1)).args(["--passphrase-file", "secret"]).run();
        assert_eq!(ran.code, Some(0), "{form}: {ran}");
        let again = docker();
        assert_eq!(again.code, Some(0), "{form}: {ran}\n{again}");
        let _ = sandbox.dockseal(["verify", "client"]).run().success();
        let _ = sandbox.dockseal(["probe", &url, "--client", "client"]).run().success();
        let kept = dockseal_tests::tree(&sandbox.path(".client.dockseal.previous"));
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            let path = std::path::Path::new(".").join(name);
            let content = |tree: &dockseal_tests::Tree| tree.0.get(&path).map(|(_, _, entry)| entry.clone());
            assert!(content(&before) == content(&kept), "{form}: what was there is not kept: {name}");
        }
    }
}

/// The commands that verify, probe and inspect give against a form, which each of them names.
fn told(sandbox: &Sandbox, url: &str, called: &str) -> Vec<String> {
    let command = |text: &str| {
        let start = text.find("dockseal repair").unwrap_or_else(|| panic!("no repair is advised: {text}"));
        text[start..].lines().next().unwrap().to_owned()
    };
    let form = called.split_once(".pem ").map_or(called, |(_, form)| form);
    let verify = sandbox.dockseal(["verify", "--client", "client", "--client-mode", "tlsverify"]).run();
    let refused = verify.code == Some(1) && verify.stdout.contains(form);
    // ca.pem is right by itself where a certificate of another authority is left.
    let daemon_is_needed = called.contains("ca.pem begins");
    assert!(refused || daemon_is_needed, "{called}: {verify}");
    let each = sandbox.dockseal(["verify", "client"]).run();
    assert!(each.stdout.contains(form), "{called}: {each}");
    let probe = sandbox.dockseal(["probe", url, "--client", "client"]).run().exits(1);
    assert!(probe.stderr.contains(form), "{called}: {probe}");
    let inspect = sandbox.dockseal(["inspect", "client"]).run();
    assert!(format!("{}{}", inspect.stdout, inspect.stderr).contains(form), "{called}: {inspect}");
    [&verify.stdout, &each.stdout, &probe.stderr].into_iter().map(|text| command(text)).collect()
}

/// A .p12 becomes the three files of a directory that is not there yet.
#[test]
fn a_directory_of_a_p12() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let material = pki("p256", "p256");
    let daemon = Dockerd::start(&DockerdOptions { material: material.daemon.clone(), ipv6: false });
    let sandbox = Sandbox::new();
    sandbox.write("secret", "hunter2\n");
    let files = [material.client.cert(), material.client.key(), material.client.ca()];
    let [cert, key, ca] = files.each_ref().map(|path| path.to_str().unwrap());
    let _ = sandbox.openssl([
        "pkcs12",
        "-export",
        "-in",
        cert,
        "-inkey",
        key,
        "-certfile",
        ca,
        "-out",
        "alice.p12",
        "-passout",
        "file:secret",
    ]);
    let ran = sandbox.dockseal("repair new --from alice.p12 --passphrase-file secret".split(' ')).run().success();
    let docker = daemon.docker("127.0.0.1", &sandbox.path("new"), ["version"]).run();
    assert_eq!(docker.code, Some(0), "{ran}\n{docker}");
    // What Docker would refuse for another reason is in order, and said.
    let ran = sandbox.dockseal("--at 2099-01-01T00:00:00Z repair new".split(' ')).run().exits(1);
    assert!(ran.stdout.contains("is in order") && ran.stderr.contains("Docker would refuse"), "{ran}");
    for (from, cause) in [("secret", "no certificate"), (ca, "no private key")] {
        let ran = sandbox.dockseal(["repair", "other", "--from", from]).run().exits(2);
        assert!(ran.stderr.contains(cause) && ran.stderr.contains("hint:"), "{ran}");
        assert!(!sandbox.path("other").exists());
    }
}
