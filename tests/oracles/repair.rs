//! Client bundles as other tools leave them: docker cannot use them, and can after `dockseal repair`, before a real dockerd.

use std::fs;

use dockseal_tests::{Dockerd, DockerdOptions, Sandbox, pki, require, require_root};

/// What is done to the three files in `client`, as lines of sh.
const FORMS: [(&str, &str); 10] = [
    ("DER", "for f in ca cert; do openssl x509 -in $f.pem -outform der -out x && mv x $f.pem; done"),
    ("a key in DER", "openssl pkcs8 -topk8 -nocrypt -in key.pem -outform der -out x && mv x key.pem"),
    ("PKCS#7", "for f in ca cert; do openssl crl2pkcs7 -nocrl -certfile $f.pem -out x && mv x $f.pem; done"),
    ("UTF-16", "for f in ca cert; do iconv -f UTF-8 -t UTF-16LE $f.pem >x && mv x $f.pem; done"),
    ("one line", "for f in ca cert; do awk '{printf \"%s\\\\n\", $0}' $f.pem >x && mv x $f.pem; done"),
    ("old label", "for f in ca cert; do sed 's/CERTIFICATE/X509 CERTIFICATE/' $f.pem >x && mv x $f.pem; done"),
    (
        "trusted",
        "for f in ca cert; do openssl x509 -in $f.pem -trustout -addtrust clientAuth -out x && mv x $f.pem; done",
    ),
    (
        "PKCS#12",
        "openssl pkcs12 -export -in cert.pem -inkey key.pem -certfile ca.pem -out x -passout file:../secret && rm *.pem && mv x key.pem",
    ),
    ("locked key", "openssl pkcs8 -topk8 -v2 aes-256-cbc -in key.pem -out x -passout file:../secret && mv x key.pem"),
    ("the anchor first", "cat ca.pem cert.pem >x && mv x cert.pem"),
];

#[test]
fn docker_gets_through_after_a_repair() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let material = pki("p256", "p256");
    let daemon = Dockerd::start(&DockerdOptions { material: material.daemon.clone(), ipv6: false });
    for (form, how) in FORMS {
        let sandbox = Sandbox::new();
        sandbox.write("secret", "hunter2\n");
        let client = sandbox.path("client");
        fs::create_dir(&client).unwrap();
        for (from, to) in
            [(material.client.ca(), "ca.pem"), (material.client.cert(), "cert.pem"), (material.client.key(), "key.pem")]
        {
            sandbox.write(format!("client/{to}"), fs::read(from).unwrap());
        }
        let secret = ["--passphrase-file", "secret"];
        let docker = || daemon.docker("127.0.0.1", &client, ["version"]).run();
        assert_eq!(docker().code, Some(0), "{form}");
        // In order already: nothing is touched.
        let ran = sandbox.dockseal(["repair", "client"]).args(secret).run().success();
        assert!(ran.stdout.contains("nothing was changed"), "{form}: {ran}");
        let _ = sandbox.program("sh").cwd(&client).args(["-e", "-c", how]).run().success();
        let before = dockseal_tests::tree(&client);
        assert_ne!(docker().code, Some(0), "{form}: docker reads that");

        let ran = sandbox.dockseal(["repair", "client"]).args(secret).run();
        assert_eq!(ran.code, Some(0), "{form}: {ran}");
        let again = docker();
        assert_eq!(again.code, Some(0), "{form}: {ran}\n{again}");
        let kept = dockseal_tests::tree(&sandbox.path(".client.dockseal.previous"));
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            let path = std::path::Path::new(".").join(name);
            let content = |tree: &dockseal_tests::Tree| tree.0.get(&path).map(|(_, _, entry)| entry.clone());
            assert!(content(&before) == content(&kept), "{form}: what was there is not kept: {name}");
        }
    }
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
