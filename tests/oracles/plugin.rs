//! `docker seal` by the real docker, of each release that is here, and on a terminal what its hooks show.
//!
//! docker 28 runs hooks after its own commands, failed ones as well. The keys for failures alone, and hooks after other
//! plugins that failed, came with 29, which is not here: for them there is the protocol, in `tests/cli/plugin.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dockseal_tests::{Bundle, Dockerd, DockerdOptions, Pki, Program, Ran, Sandbox, pki, require, require_root};
use time::format_description::well_known::Rfc3339;

/// Every docker that is here.
fn dockers() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in dockseal_tests::tool("docker").into_iter().chain([PathBuf::from("/usr/bin/docker")]) {
        let Ok(path) = path.canonicalize() else { continue };
        if !found.contains(&path) {
            found.push(path);
        }
    }
    found
}

/// The docker that runs hooks: 26.1 and later.
fn docker_with_hooks() -> Option<PathBuf> {
    let release = |docker: &PathBuf| {
        let said = Program::new(docker).arg("--version").run().success().stdout;
        let version = said.strip_prefix("Docker version ")?.split(',').next()?.to_owned();
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        Some((parts.next()?, parts.next()?))
    };
    dockers().into_iter().find(|docker| release(docker).is_some_and(|release| release >= (26, 1)))
}

fn with_plugin(args: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(["plugin", "install"]).args(args).run().success();
    sandbox
}

/// The flags that name a client's files.
fn tls_flags(client: &Bundle, url: &str) -> [String; 6] {
    [
        "--tlsverify".to_owned(),
        format!("--tlscacert={}", client.ca().display()),
        format!("--tlscert={}", client.cert().display()),
        format!("--tlskey={}", client.key().display()),
        "-H".to_owned(),
        url.to_owned(),
    ]
}

/// A client whose intermediate lost lines when it was copied.
fn spoilt(sandbox: &Sandbox, client: &Bundle) -> Bundle {
    let bundle = Bundle(sandbox.path("spoilt"));
    fs::create_dir(&bundle.0).unwrap();
    for (from, to) in [(client.ca(), bundle.ca()), (client.key(), bundle.key())] {
        fs::copy(from, to).unwrap();
    }
    let rest = "-----BEGIN CERTIFICATE-----\nAAECAwQFBgcICQ==\n-----END CERTIFICATE-----\n";
    fs::write(bundle.cert(), fs::read_to_string(client.cert()).unwrap() + rest).unwrap();
    bundle
}

fn make_context(sandbox: &Sandbox, docker: &Path, name: &str, client: &Bundle, url: &str) {
    let files = format!(
        "host={url},ca={},cert={},key={}",
        client.ca().display(),
        client.cert().display(),
        client.key().display()
    );
    let _ = sandbox.program(docker).args(["context", "create", name, "--docker", &files]).run().success();
}

fn daemon_with(material: &Bundle) -> Dockerd {
    Dockerd::start(&DockerdOptions { material: material.clone(), ipv6: false })
}

/// Made so long ago that less than thirty days of the year are left.
fn nearly_ended(sandbox: &Sandbox) -> Pki {
    let then = (time::OffsetDateTime::now_utc() - time::Duration::days(350)).format(&Rfc3339).unwrap();
    let dockseal = sandbox.dockseal(["--at", &then, "bootstrap", "localhost", "127.0.0.1", "--client", "alice"]);
    let _ = dockseal.args(["--no-passphrase", "--out", "h"]).run().success();
    Pki {
        ca: sandbox.path("h/daemon/ca.pem"),
        daemon: Bundle(sandbox.path("h/daemon")),
        client: Bundle(sandbox.path("h/clients/alice")),
    }
}

#[test]
fn docker_lists_it() {
    require!("docker");
    let sandbox = with_plugin(&[]);
    for docker in dockers() {
        let help = sandbox.program(&docker).arg("--help").run().success();
        let line = help.stdout.lines().find(|line| line.trim_start().starts_with("seal*")).expect("listed").to_owned();
        assert!(line.contains("Mutual TLS"), "{line}");
        let info = sandbox.program(&docker).args(["info", "--format", "{{json .ClientInfo.Plugins}}"]).run();
        let plugins: serde_json::Value = serde_json::from_str(&info.stdout).expect(&info.stdout);
        let ours = plugins.as_array().unwrap().iter().find(|plugin| plugin["Name"] == "seal").expect("listed");
        assert_eq!(ours["Vendor"], "Dockseal");
        assert_eq!(ours.get("Err"), None, "{ours}");
    }
}

/// That docker would say so if the metadata were wrong.
#[test]
fn docker_refuses_wrong_metadata() {
    require!("docker");
    let sandbox = Sandbox::new();
    let right = sandbox.program("sh").arg("-c").arg(format!(
        "ln -s {} docker-seal; ./docker-seal docker-cli-plugin-metadata",
        dockseal_tests::dockseal_binary().display()
    ));
    let right = right.run().success().stdout;
    let plugin = sandbox.root().join("home/.docker/cli-plugins/docker-seal");
    fs::create_dir_all(plugin.parent().unwrap()).unwrap();
    for (from, to, runs) in [
        ("", "", true),
        ("\"SchemaVersion\": \"0.1.0\"", "\"SchemaVersion\": \"9.0.0\"", false),
        ("\"Vendor\": \"Dockseal\"", "\"Vendor\": \"\"", false),
    ] {
        let text = if to.is_empty() { right.clone() } else { right.replace(from, to) };
        assert_eq!(text == right, to.is_empty(), "{from} is in {right}");
        fs::write(&plugin, format!("#!/bin/sh\ncat <<'END'\n{text}END\n")).unwrap();
        fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).unwrap();
        for docker in dockers() {
            let ran = sandbox.program(&docker).args(["seal", "x"]).run();
            assert_eq!(ran.code == Some(0), runs, "{text}\n{ran}");
        }
    }
}

#[test]
fn help_is_dockers() {
    require!("docker");
    let sandbox = with_plugin(&[]);
    for docker in dockers() {
        let seal = |args: &[&str]| sandbox.program(&docker).args(args).run().success();
        assert!(seal(&["seal", "--help"]).stdout.contains("Usage: docker seal"));
        let verify = seal(&["seal", "verify", "--help"]).stdout;
        assert!(verify.contains("Usage: docker seal verify"), "{verify}");
        assert!(verify.contains("docker seal verify --daemon") && !verify.contains("dockseal verify"), "{verify}");
        for line in [["help", "seal"], ["--help", "seal"]] {
            assert!(seal(&line).stdout.contains("Usage: docker seal"), "{line:?}");
        }
        let ran = sandbox.program(&docker).args(["seal", "nonsense"]).run().exits(2);
        assert!(ran.stderr.contains("docker seal"), "{ran}");
    }
}

/// What the docker command around it would use, and nothing else.
#[test]
fn it_takes_the_connection_of_its_docker() {
    require!("docker", "openssl");
    let material = pki("p256", "p256");
    for docker in dockers() {
        let sandbox = with_plugin(&[]);
        let seal = |flags: &[String], args: &[&str]| sandbox.program(&docker).args(flags).arg("seal").args(args).run();
        make_context(&sandbox, &docker, "far.away", &material.client, "tcp://127.0.0.1:1");
        let context = ["--context".to_owned(), "far.away".to_owned()];
        let flags = tls_flags(&material.client, "tcp://localhost:1");
        for (flags, dialled) in [(&context[..], "tcp://127.0.0.1:1"), (&flags[..], "tcp://localhost:1")] {
            let verified = seal(flags, &["verify"]).success();
            assert!(verified.stdout.contains(&format!("docker dials {dialled}")), "{verified}");
            let status = seal(flags, &["status", "--format", "json"]).success();
            let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
            assert_eq!(status["docker"]["dials"], dialled);
            assert_eq!((&status["due"], status["certificates"].as_array().unwrap().len()), (&false.into(), 2));
            let subject = sandbox.openssl(
                ["x509", "-noout", "-serial", "-in"].map(str::to_owned).into_iter().chain([material
                    .client
                    .cert()
                    .display()
                    .to_string()]),
            );
            let serial = status["certificates"][0]["serial"].as_str().unwrap();
            assert_eq!(subject.trim(), format!("serial={serial}"), "the client's own");
            // The exit codes are those of the program: due, and nobody there.
            let _ = seal(flags, &["status", "--within", "2y"]).exits(1).says("renew alice");
            let _ = seal(flags, &["probe", "--timeout", "3s"]).exits(2).says("Connection refused");
            let env = seal(flags, &["env", "--shell", "sh"]).success().stdout;
            let evaluated =
                sandbox.program("sh").arg("-c").arg(format!("{env}\necho $DOCKER_HOST; ls $DOCKER_CERT_PATH"));
            assert_eq!(evaluated.run().success().stdout, format!("{dialled}\nca.pem\ncert.pem\nkey.pem\n"));
        }
        // Without flags it is what the environment says, and nothing here does.
        let bare = seal(&[], &["verify"]).success();
        assert!(bare.stdout.contains("docker dials unix:"), "{bare}");
        let _ = seal(&[], &["env"]).exits(1).says("no certificate is used");
        let by_environment = sandbox.program(&docker).args(["seal", "verify"]).env("DOCKER_CONTEXT", "far.away");
        assert!(by_environment.run().success().stdout.contains("docker dials tcp://127.0.0.1:1"));
        // The release of that docker decides.
        let release = Program::new(&docker).arg("--version").run().success().stdout;
        let wire = seal(&context, &["verify", "--format", "json"]).success().stdout;
        let wire: serde_json::Value = serde_json::from_str(&wire).unwrap();
        let named = wire["docker"].as_str().unwrap();
        assert!(release.contains(&format!("Docker version {named}.")), "{release}: {named}");
    }
}

#[test]
fn probe_of_a_real_daemon() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let material = pki("p256", "p256");
    let stranger = Pki::stranger();
    let daemon = daemon_with(&material.daemon);
    let url = daemon.url("127.0.0.1");
    for docker in dockers() {
        let sandbox = with_plugin(&[]);
        let probe = |flags: &[String]| sandbox.program(&docker).args(flags).args(["seal", "probe"]).run();
        let _ = probe(&tls_flags(&material.client, &url)).exits(0).says("works");
        let _ = probe(&tls_flags(&stranger.client, &url)).exits(1);
        // What is no certificate is sent all the same, and refused.
        let spoilt = spoilt(&sandbox, &material.client);
        let _ = probe(&tls_flags(&spoilt, &url)).exits(1).says("refuses the client's certificate");
        make_context(&sandbox, &docker, "right", &material.client, &url);
        make_context(&sandbox, &docker, "wrong", &stranger.client, &url);
        let _ = probe(&["--context".to_owned(), "right".to_owned()]).exits(0);
        let _ = probe(&["--context".to_owned(), "wrong".to_owned()]).exits(1);
        // As docker itself has it.
        let ps = |name: &str| sandbox.program(&docker).args(["--context", name, "ps"]).run().code;
        assert_eq!((ps("right"), ps("wrong")), (Some(0), Some(1)));
        assert_eq!(sandbox.program(&docker).args(tls_flags(&spoilt, &url)).arg("ps").run().code, Some(1));
    }
}

/// docker on a terminal, where alone it runs hooks.
fn on_terminal(sandbox: &Sandbox, docker: &Path, line: &str) -> Ran {
    let line = format!("{} {line}", docker.display());
    sandbox.program("script").args(["-qec", &line, "/dev/null"]).run()
}

const NEXT: &str = "What's next:";

#[test]
fn a_notice_before_the_end() {
    require!("dockerd", "docker", "script");
    require_root!();
    let Some(docker) = docker_with_hooks() else { return dockseal_tests::note_skip("no docker with hooks") };
    let sandbox = with_plugin(&["--hooks"]);
    let material = nearly_ended(&sandbox);
    let daemon = daemon_with(&material.daemon);
    let url = daemon.url("localhost");
    make_context(&sandbox, &docker, "old", &material.client, &url);

    let ran = on_terminal(&sandbox, &docker, "--context old ps").success();
    for text in ["CONTAINER ID", NEXT, "\"alice\"", &url, "ends in 15 days", "docker seal renew alice"] {
        assert!(ran.stdout.contains(text), "{text:?} is not said\n{ran}");
    }
    let by_flags = tls_flags(&material.client, &url).join(" ");
    assert!(on_terminal(&sandbox, &docker, &format!("{by_flags} version")).success().stdout.contains("\"alice\""));
    // Neither off a terminal, nor where it is switched off, nor after commands that dial nobody, nor for another docker.
    let piped = sandbox.program(&docker).args(["--context", "old", "ps"]).run().success();
    assert!(!piped.holds(NEXT), "{piped}");
    let off = sandbox.program("script").env("DOCKER_CLI_HOOKS", "false");
    let off = off.args(["-qec", &format!("{} --context old ps", docker.display()), "/dev/null"]).run().success();
    assert!(!off.holds(NEXT), "{off}");
    assert!(!on_terminal(&sandbox, &docker, "--context old context ls").success().holds(NEXT));

    // Within a shorter time, and for a certificate that was renewed, there is nothing to say.
    let _ = sandbox.dockseal(["plugin", "install", "--hooks", "--within", "14d"]).run().success();
    assert!(!on_terminal(&sandbox, &docker, "--context old ps").success().holds(NEXT));
    let _ = sandbox.dockseal(["plugin", "install", "--hooks"]).run().success();
    assert!(on_terminal(&sandbox, &docker, "--context old ps").success().holds(NEXT));
    let _ = sandbox.dockseal(["renew", "alice"]).run().success();
    let ran = on_terminal(&sandbox, &docker, &format!("{by_flags} ps")).success();
    assert!(!ran.holds(NEXT), "{ran}");
    // The context still holds the old copy.
    let stale = on_terminal(&sandbox, &docker, "--context old ps").success();
    assert!(stale.holds("old copy") && stale.holds("list --name alice"), "{stale}");

    let _ = sandbox.dockseal(["plugin", "remove"]).run().success();
    assert!(!on_terminal(&sandbox, &docker, "--context old ps").success().holds(NEXT));
}

#[test]
fn the_cause_after_trouble() {
    require!("dockerd", "docker", "script");
    require_root!();
    let Some(docker) = docker_with_hooks() else { return dockseal_tests::note_skip("no docker with hooks") };
    let sandbox = with_plugin(&["--hooks"]);
    let material = pki("p256", "p256");
    let stranger = Pki::stranger();
    let daemon = daemon_with(&material.daemon);
    let url = daemon.url("127.0.0.1");
    make_context(&sandbox, &docker, "right", &material.client, &url);
    assert!(!on_terminal(&sandbox, &docker, "--context right ps").success().holds(NEXT), "nothing is wrong");

    // A client of another authority that trusts this daemon: docker itself says no more than "bad certificate".
    let mixed = Bundle(sandbox.path("mixed"));
    fs::create_dir(&mixed.0).unwrap();
    fs::copy(material.client.ca(), mixed.ca()).unwrap();
    fs::copy(stranger.client.cert(), mixed.cert()).unwrap();
    fs::copy(stranger.client.key(), mixed.key()).unwrap();
    make_context(&sandbox, &docker, "mixed", &mixed, &url);
    let ran = on_terminal(&sandbox, &docker, "--context mixed ps").exits(1);
    for text in [NEXT, "docker did not get through:", "To mend it:", "docker --context mixed seal probe"] {
        assert!(ran.holds(text), "{text:?} is not said\n{ran}");
    }
    // The one that the daemon asks for, by openssl's word.
    let subject = sandbox.openssl(
        ["x509", "-noout", "-subject", "-nameopt", "sep_comma_plus,lname", "-in"]
            .map(str::to_owned)
            .into_iter()
            .chain([material.client.ca().display().to_string()]),
    );
    let unique = subject.trim().rsplit('=').next().unwrap();
    assert!(ran.holds(&format!("takes only those of: CN=Docker authority, serialNumber={unique}")), "{subject}\n{ran}");

    // A daemon of another authority, and a name that its certificate does not have.
    make_context(&sandbox, &docker, "stranger", &stranger.client, &url);
    let ran = on_terminal(&sandbox, &docker, "--context stranger ps").exits(1);
    assert!(ran.holds("docker did not get through:"), "{ran}");
    assert!(ran.holds("x509: certificate signed by unknown authority"), "docker's own word\n{ran}");
    // Plain HTTP to a daemon that speaks TLS.
    let ran = on_terminal(&sandbox, &docker, &format!("-H {url} ps")).exits(1);
    assert!(ran.holds("docker speaks plain HTTP, and the port speaks TLS"), "{ran}");
    // What the daemon answers is no trouble on the way.
    let ran = on_terminal(&sandbox, &docker, "--context right inspect certificate").exits(1);
    assert!(!ran.holds(NEXT), "{ran}");
}

/// An address that the daemon's certificate does not have.
#[test]
fn the_cause_is_a_missing_name() {
    require!("dockerd", "docker", "script");
    require_root!();
    let Some(docker) = docker_with_hooks() else { return dockseal_tests::note_skip("no docker with hooks") };
    let sandbox = with_plugin(&["--hooks"]);
    let bootstrap = ["bootstrap", "localhost", "--client", "alice", "--no-passphrase", "--out", "h"];
    let _ = sandbox.dockseal(bootstrap).run().success();
    let daemon = daemon_with(&Bundle(sandbox.path("h/daemon")));
    let client = Bundle(sandbox.path("h/clients/alice"));
    make_context(&sandbox, &docker, "name", &client, &daemon.url("localhost"));
    make_context(&sandbox, &docker, "address", &client, &daemon.url("127.0.0.1"));
    assert!(!on_terminal(&sandbox, &docker, "--context name ps").success().holds(NEXT));
    let ran = on_terminal(&sandbox, &docker, "--context address ps").exits(1);
    assert!(ran.holds("x509: cannot validate certificate for 127.0.0.1"), "docker's own word\n{ran}");
    for text in ["docker did not get through:", "127.0.0.1", "localhost", "To mend it:"] {
        assert!(ran.stdout.split(NEXT).nth(1).unwrap().contains(text), "{text:?} is not said\n{ran}");
    }
}

/// Whatever happens to the plugin, docker does what it did.
#[test]
fn it_is_never_in_the_way() {
    require!("docker", "script");
    let Some(docker) = docker_with_hooks() else { return dockseal_tests::note_skip("no docker with hooks") };
    let sandbox = with_plugin(&["--hooks"]);
    let material = pki("p256", "p256");
    // Accepts, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    make_context(&sandbox, &docker, "silent", &material.client, &url);
    let plugin = sandbox.root().join("home/.docker/cli-plugins/docker-seal");
    let started = Instant::now();
    let request = r#"{"RootCmd":"ps","Flags":{},"CommandError":"error during connect: tls: x"}"#;
    let ran = sandbox.program(&plugin).args(["seal", "docker-cli-plugin-hooks", request]);
    let ran = ran.env("DOCKER_CONTEXT", "silent").run().success();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(ran.stderr, "", "{ran}");
    // Authority, configuration and certificate that cannot be read.
    let before = on_terminal(&sandbox, &docker, "version --format {{.Client.Version}}");
    fs::write(sandbox.root().join("home/.local"), "no directory").unwrap();
    let after = on_terminal(&sandbox, &docker, "version --format {{.Client.Version}}");
    assert_eq!((before.code, before.stdout), (after.code, after.stdout));
    // Gone, while docker is still told to ask it.
    fs::remove_file(&plugin).unwrap();
    let gone = on_terminal(&sandbox, &docker, "version --format {{.Client.Version}}");
    assert!(!gone.holds(NEXT), "{gone}");
}

/// docker that is told to end while its plugin runs, and is not on a terminal.
#[test]
fn it_ends_with_its_docker() {
    require!("docker");
    let Some(docker) = docker_with_hooks() else {
        return dockseal_tests::note_skip("no docker with a socket for plugins");
    };
    let sandbox = with_plugin(&[]);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("tcp://{}", silent.local_addr().unwrap());
    let mut child = sandbox.program(&docker).args(["-H", &url, "seal", "probe", "--timeout", "2m"]).start_quietly();
    // It dials, so it runs.
    let _dialled = silent.accept().unwrap();
    let told = Instant::now();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).unwrap();
    // docker waits for its plugin.
    let status = child.wait().unwrap();
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(!status.success());
}

/// docker asks the plugin what completes its line, and a shell gets to see it.
#[test]
fn completion_behind_docker() {
    require!("docker", "fish");
    let Some(docker) = docker_with_hooks() else {
        return dockseal_tests::note_skip("no docker that completes plugins");
    };
    let sandbox = with_plugin(&[]);
    let words = |args: &[&str]| {
        let said = sandbox.program(&docker).args(["__complete", "seal"]).args(args).run().success().stdout;
        let words: Vec<String> = said.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
        words
    };
    assert_eq!(words(&["ver"]), ["verify", ":4"]);
    assert_eq!(words(&["verify", "--client-mode", "tls"]), ["tls", "tlsverify", ":4"]);
    assert_eq!(words(&["verify", "--client", ""]), [":16"]);
    let _ = sandbox.dockseal(["init", "--no-passphrase"]).run().success();
    for user in ["ada", "adam", "bob"] {
        let _ = sandbox.dockseal(["issue", "client", user, "--out", user]).run().success();
    }
    assert_eq!(words(&["revoke", "ad"]), ["ada", "adam", ":4"]);
    assert_eq!(words(&["explain", "daemon-not-v"]), ["daemon-not-verified", ":4"]);
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(&docker, bin.join("docker")).unwrap();
    let script = "docker completion fish | source; complete -C 'docker seal issue cl'";
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let ran = sandbox.program("fish").args(["--no-config", "-c", script]).env("PATH", path).run().success();
    let offered: Vec<&str> = ran.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(offered, ["client", "clients"], "{ran}");
}
