//! `--layout`: docker:dind's tree by its entrypoint's own checks and with a real dockerd and docker, a registry and dockerd
//! through `certs.d`, and BuildKit's files in the handshakes that buildkitd and buildctl make.
//!
//! Not run: the image docker:dind, buildkitd and buildctl themselves, which Debian does not have.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use dockseal_tests::{Bundle, Dockerd, Program, Sandbox, require, require_root};

fn with_authority() -> Sandbox {
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(["init", "--no-passphrase"]).run().success();
    sandbox
}

/// What docker-library/docker's dockerd-entrypoint.sh (`_tls_generate_certs`, and where it chooses dockerd's flags) decides
/// about a tree, before 23.0 and since, in our words: whether an authority is made and signs over what is there, whether what
/// is there passes `openssl verify`, and whether dockerd gets TLS.
const ENTRYPOINT: &str = r#"
dir=$1
full() { for file; do [ -s "$dir/$file" ] || return 1; done; }
makes_ca() { full ca/key.pem || ! full ca/cert.pem; }
echo "before 23.0: $(makes_ca && echo signs over it || echo leaves it)"
if full server/ca.pem server/cert.pem server/key.pem && ! full ca/key.pem; then
    openssl verify -CAfile "$dir/server/ca.pem" "$dir/server/cert.pem" >/dev/null && echo "since 23.0: verified"
else
    echo "since 23.0: $(makes_ca && echo signs over it || echo leaves it)"
fi
full server/ca.pem server/cert.pem server/key.pem && echo "tls" || echo "plain"
# docker-entrypoint.sh of the cli image: when a client is to use TLS
full client/ca.pem client/cert.pem client/key.pem && echo "client"
true
"#;

fn entrypoint(sandbox: &Sandbox, tree: &str) -> Vec<String> {
    let ran = sandbox.program("sh").args(["-c", ENTRYPOINT, "entrypoint", tree]).run().success();
    ran.stdout.lines().map(str::to_owned).collect()
}

const ACCEPTED: [&str; 4] = ["before 23.0: leaves it", "since 23.0: verified", "tls", "client"];

#[test]
fn the_entrypoint_of_dind_takes_the_tree_as_it_is() {
    require!("openssl");
    let sandbox = with_authority();
    let dind = ["issue", "daemon", "--layout", "dind", "--client", "ci", "--out", "the certs"];
    let _ = sandbox.dockseal(dind).run().success();
    assert_eq!(entrypoint(&sandbox, "the certs"), ACCEPTED);
    for line in [&["renew", "--all"][..], &["rollover", "begin"], &["rollover", "advance"], &["rollover", "finish"]] {
        let _ = sandbox.dockseal(line).run().success();
        assert_eq!(entrypoint(&sandbox, "the certs"), ACCEPTED, "{line:?}");
    }
    // A tar of it, unpacked, is the same.
    let _ = sandbox.dockseal(dind[..6].iter().chain(&["--as", "tar", "--out", "certs.tar"])).run().success();
    fs::create_dir(sandbox.path("unpacked")).unwrap();
    let _ = sandbox.program("tar").args(["-xf", "certs.tar", "-C", "unpacked"]).run().success();
    assert_eq!(entrypoint(&sandbox, "unpacked"), ACCEPTED);

    // The checks see what they are for: without the link the older ones sign over it; what is not the CA's is not verified;
    // with the CA's key there both sign over it.
    fs::rename(sandbox.path("the certs/ca"), sandbox.path("aside")).unwrap();
    assert_eq!(entrypoint(&sandbox, "the certs")[0], "before 23.0: signs over it");
    fs::create_dir(sandbox.path("the certs/ca")).unwrap();
    fs::write(sandbox.path("the certs/ca/key.pem"), "a key").unwrap();
    assert_eq!(entrypoint(&sandbox, "the certs")[1], "since 23.0: signs over it");
    fs::remove_file(sandbox.path("unpacked/server/cert.pem")).unwrap();
    sandbox.openssl("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -subj /CN=x -out unpacked/server/cert.pem".split(' '));
    assert!(!entrypoint(&sandbox, "unpacked").contains(&"since 23.0: verified".to_owned()));
}

/// dockerd by the flags that the entrypoint gives it, and docker by the variables of the cli image; before and after a
/// renewal.
#[test]
fn dockerd_and_docker_work_with_dinds_tree() {
    require!("dockerd", "containerd", "docker", "openssl");
    require_root!();
    let sandbox = with_authority();
    let dind = ["issue", "daemon", "--layout", "dind", "--client", "ci", "--out", "the certs"];
    let _ = sandbox.dockseal(dind).run().success();
    let certs = sandbox.path("the certs");
    for _ in 0..2 {
        let file = |name: &str| certs.join("server").join(name).display().to_string();
        let flags = [("--tlscacert", "ca.pem"), ("--tlscert", "cert.pem"), ("--tlskey", "key.pem")];
        let flags = flags.iter().flat_map(|(flag, name)| [(*flag).to_owned(), file(name)]);
        let flags: Vec<String> = ["--tlsverify".to_owned()].into_iter().chain(flags).collect();
        let daemon = Dockerd::start_in_mode(&flags, false);
        let version = ["version", "--format", "{{.Server.Version}}"];
        let said = daemon.docker("localhost", &certs.join("client"), version).run().success();
        assert!(said.stdout.starts_with(|c: char| c.is_ascii_digit()), "{said}");
        // An address is none of its names; and the server's certificate is no client's.
        let _ = daemon.docker("127.0.0.1", &certs.join("client"), version).run().failure();
        let _ = daemon.docker("localhost", &certs.join("server"), version).run().failure();
        let _ = sandbox.dockseal(["renew", "--all"]).run().success();
    }
}

/// The handshake that buildkitd and buildctl make of these files: mutual, TLS 1.2 at least, the name checked
/// (moby/buildkit cmd/buildkitd/main.go serverCredentials; cmd/buildctl/common/common.go ResolveClient).
#[test]
fn buildkits_files_make_its_handshake() {
    require!("openssl");
    let sandbox = with_authority();
    let both = ["issue", "daemon", "buildkitd.test", "--layout", "buildkitd", "--client", "ci", "--out", "the certs"];
    let _ = sandbox.dockseal(both).run().success();
    let certs = sandbox.path("the certs");
    for _ in 0..2 {
        let (daemon, client) = (Bundle(certs.join("daemon")), Bundle(certs.join("client")));
        assert_eq!(handshake(&sandbox, &daemon, Some(&client), "buildkitd.test"), Ok(()));
        assert!(handshake(&sandbox, &daemon, None, "buildkitd.test").is_err(), "without a certificate");
        assert!(handshake(&sandbox, &daemon, Some(&daemon), "buildkitd.test").is_err(), "with the daemon's");
        assert!(handshake(&sandbox, &daemon, Some(&client), "other.test").is_err(), "by another name");
        let _ = sandbox.dockseal(["renew", "--all"]).run().success();
    }
}

/// One request through `openssl s_server` and `s_client`.
fn handshake(sandbox: &Sandbox, daemon: &Bundle, client: Option<&Bundle>, name: &str) -> Result<(), String> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let with = |program: Program, bundle: &Bundle| {
        program.arg("-cert").arg(bundle.cert()).arg("-key").arg(bundle.key()).arg("-CAfile").arg(bundle.ca())
    };
    let server = with(sandbox.program("openssl").args(["s_server", "-accept", &address]), daemon);
    let mut server = server
        .args(["-Verify", "2", "-verify_return_error", "-purpose", "sslclient", "-www", "-quiet"])
        .start_quietly();
    let dial = || {
        let flags = ["s_client", "-connect", &address, "-servername", name, "-verify_hostname", name];
        let program = sandbox.program("openssl").args(flags).args(["-verify_return_error", "-quiet"]);
        let program = match client {
            Some(client) => with(program, client),
            None => program.arg("-CAfile").arg(daemon.ca()),
        };
        program.input("GET / HTTP/1.0\r\n\r\n").limit(Duration::from_secs(20)).run()
    };
    let mut ran = dial();
    for _ in 0..100 {
        if !ran.stderr.contains("Connection refused") {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        ran = dial();
    }
    server.kill().unwrap();
    let _ = server.wait();
    if ran.stdout.contains("HTTP/1.0 200") { Ok(()) } else { Err(ran.to_string()) }
}

/// See registry-daemon.sh.
#[test]
fn a_registry_and_dockerd_work_through_certs_d() {
    require!("dockerd", "containerd", "docker", "docker-registry", "openssl", "busybox", "unshare", "tar");
    require_root!();
    let sandbox = Sandbox::new();
    let script: &Path = &dockseal_tests::repository().join("tests/oracles/registry-daemon.sh");
    let ran = sandbox
        .program("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .arg(script)
        .arg(dockseal_tests::tool("busybox").unwrap())
        .arg(sandbox.root().join("tmp"))
        .arg(dockseal_tests::dockseal_binary())
        .limit(Duration::from_secs(300))
        .run();
    assert_eq!(ran.code, Some(0), "{ran}");
    let read = "10.99.0.1:5444: reads it";
    let unread = ["127.0.0.1", "127.9.9.9", "localhost"].map(|host| format!("{host}:5444: never reads it"));
    for step in ["with the certificate\n", "refused without", "with the renewed", "of the new authority", read]
        .into_iter()
        .chain(unread.iter().map(String::as_str))
    {
        assert!(ran.stdout.contains(step), "{step}: {ran}");
    }
}
