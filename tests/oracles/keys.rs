//! Keys that docker does not take: which kind or form it is, and what is advised against it.

use std::fs;

use dockseal_tests::{Sandbox, pki, require};

/// How the key is made, as a line of sh, and what is said of it.
const KEYS: [(&str, &str); 10] = [
    ("openssl genpkey -algorithm ED448 -out key.pem", "is Ed448"),
    ("openssl genpkey -algorithm X25519 -out key.pem", "is X25519"),
    ("openssl genpkey -algorithm RSA-PSS -out key.pem", "is bound to RSA-PSS"),
    ("openssl genpkey -algorithm DH -pkeyopt group:ffdhe2048 -out key.pem", "is Diffie-Hellman"),
    ("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:secp256k1 -out key.pem", "on the curve secp256k1"),
    ("openssl genpkey -algorithm SM2 -out key.pem", "on the curve of SM2"),
    ("openssl ecparam -genkey -noout -name brainpoolP256r1 -out key.pem", "on a curve that is unknown to it"),
    ("openssl ec -in key.pem -param_enc explicit -out x && mv x key.pem", "the parameters of its curve"),
    (
        "openssl ec -in key.pem -param_enc explicit -out x && openssl pkcs8 -topk8 -nocrypt -in x -out key.pem",
        "the parameters of its curve",
    ),
    ("rm key.pem && ssh-keygen -q -t ecdsa -N '' -f key.pem", "in OpenSSH's own form"),
];

#[test]
fn keys_that_docker_does_not_take() {
    require!("docker", "openssl", "ssh-keygen");
    let material = pki("p256", "p256");
    for (how, called) in KEYS {
        let sandbox = Sandbox::new();
        let client = sandbox.path("client");
        fs::create_dir(&client).unwrap();
        for name in ["ca.pem", "cert.pem", "key.pem"] {
            sandbox.write(format!("client/{name}"), fs::read(material.client.0.join(name)).unwrap());
        }
        let sh = |line: &str| sandbox.program("sh").cwd(&client).args(["-e", "-c", line]).run().success();
        // Nobody answers at port 1, once the files are loaded.
        let loads = || {
            let files = ["ca", "cert", "key"]
                .map(|file| format!("--tls{file}=client/{file}.pem").replace("tlsca=", "tlscacert="));
            let ran = sandbox
                .program("docker")
                .args(["-H", "tcp://127.0.0.1:1", "--tlsverify"])
                .args(files)
                .arg("version")
                .run();
            assert_eq!(ran.code, Some(1), "{ran}");
            !ran.stderr.contains("private key")
        };
        assert!(loads(), "{how}");
        let _ = sh(how);
        assert!(!loads(), "{how}: docker takes it");
        let ran = sandbox.dockseal(["verify", "--client", "client", "--client-mode", "tlsverify"]).run().exits(1);
        assert!(ran.stdout.contains(called), "{how}: {ran}");
        let (_, advice) = ran.stdout.split_once("    do:   ").unwrap();
        if called.starts_with("the parameters") {
            let _ = sh("openssl ec -param_enc named_curve -in key.pem -out x && mv x key.pem");
            assert!(advice.contains("openssl ec -param_enc named_curve") && loads(), "{how}: {ran}");
            let _ = sandbox.dockseal(["verify", "client"]).run().success();
        } else if called.contains("OpenSSH") {
            assert!(advice.contains("ssh-keygen -p -m PEM"), "{ran}");
            let _ = sh("ssh-keygen -q -p -N '' -m PEM -f key.pem");
            // It is another key than the certificate's, and one that is read.
            let ran = sandbox.dockseal(["verify", "client"]).run().exits(1);
            assert!(ran.stdout.contains("key-mismatch"), "{ran}");
        } else {
            assert!(advice.starts_with("Make another key") && !advice.contains("PKCS#8"), "{how}: {ran}");
        }
    }
}
