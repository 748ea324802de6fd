//! What the environment says, against what docker makes of it: the probe without an address answers as docker does, and the
//! fix in its hint, run as it stands, lets docker through.

use std::fs;

use dockseal_tests::{Dockerd, Program, Sandbox, pki, require, require_root};

use super::{Probed, Server, probed, utf8};

type Variables<'v> = &'v [(&'v str, &'v str)];

fn with(program: Program, variables: Variables<'_>) -> Program {
    variables.iter().fold(program, |program, (name, value)| program.env(name, value))
}

fn docker(sandbox: &Sandbox) -> Program {
    sandbox.program(dockseal_tests::tool("docker").unwrap())
}

/// The probe of what docker would dial; it ends with 0 exactly where docker gets through.
#[track_caller]
fn agrees(sandbox: &Sandbox, variables: Variables<'_>) -> Probed {
    let docker = with(docker(sandbox), variables).arg("version").run();
    let probed = probed(|| with(sandbox.dockseal(["probe"]), variables));
    assert_eq!(probed.human.code == Some(0), docker.code == Some(0), "{variables:?}\n{}\n{docker}", probed.human);
    probed
}

/// docker after the command that a hint begins with.
#[track_caller]
fn after(sandbox: &Sandbox, variables: Variables<'_>, command: &str) {
    let docker = dockseal_tests::tool("docker").unwrap();
    let path = format!("{}:/usr/bin:/bin", utf8(docker.parent().unwrap()));
    let line = format!("{command}\ndocker version");
    let _ = with(sandbox.program("sh").args(["-c", &line]), variables).env("PATH", path).run().success();
}

fn verifying() -> Dockerd {
    let flags = [&["--tlsverify".to_owned()][..], &Dockerd::file_flags(&pki("p256", "p256").daemon)].concat();
    Dockerd::start_in_mode(&flags, false)
}

#[test]
fn nothing_turns_tls_on() {
    require!("dockerd", "docker");
    require_root!();
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let (daemon, files) = (verifying(), utf8(&pki.client.0));
    let url = daemon.url("127.0.0.1");
    let host = ("DOCKER_HOST", url.as_str());
    let path = ("DOCKER_CERT_PATH", files);

    for (variables, cause, works_after) in [
        (&[host, path][..], "DOCKER_CERT_PATH=", true),
        (&[host, path, ("DOCKER_TLS_VERIFY", "")], "DOCKER_TLS_VERIFY is empty", true),
        (&[host, path, ("DOCKER_TLS", "")], "DOCKER_TLS_VERIFY is not set", true),
        (&[host], "nothing turns TLS on", false),
    ] {
        let probed = agrees(&sandbox, variables).is(1, "same-protocol", "docker speaks plain HTTP");
        assert!(probed.text("/verdict/cause").contains(cause), "{}", probed.human);
        let hint = probed.text("/verdict/hint");
        if works_after {
            assert_eq!(hint, "export DOCKER_TLS_VERIFY=1");
            after(&sandbox, variables, hint);
        } else {
            let line = hint.split(", with").next().unwrap();
            let line = line.replace("dockseal", utf8(dockseal_tests::dockseal_binary())).replace("DIR", files);
            after(&sandbox, variables, &line);
        }
    }
    // The same behind docker, which hands its flags on.
    let _ = sandbox.dockseal(["plugin", "install"]).run().success();
    let flags = ["ca", "cert", "key"].map(|file| format!("--tls{}={files}/{file}.pem", file.replace("ca", "cacert")));
    let ran = docker(&sandbox).args(&flags).args(["-H", &url, "seal", "probe"]).run().exits(1);
    assert!(ran.stderr.contains("--tlskey does not turn TLS on"), "{ran}");
    assert!(ran.stderr.contains("hint:  export DOCKER_TLS_VERIFY=1\n"), "{ran}");
    let line = format!("export DOCKER_TLS_VERIFY=1; alias docker='docker -H {url} {}'", flags.join(" "));
    after(&sandbox, &[], &line);

    // TLS is turned on, and the daemon is verified or not.
    for switch in ["DOCKER_TLS", "DOCKER_TLS_VERIFY"] {
        let probed = agrees(&sandbox, &[host, path, (switch, "0")]);
        assert_eq!(probed.human.stderr.contains("would not verify"), switch == "DOCKER_TLS", "{}", probed.human);
    }
    // What is wrong besides is told too.
    fs::create_dir(sandbox.path("half")).unwrap();
    fs::copy(pki.client.ca(), sandbox.path("half/ca.pem")).unwrap();
    let half = sandbox.path("half");
    let probed = agrees(&sandbox, &[host, ("DOCKER_CERT_PATH", utf8(&half))]).is(1, "same-protocol", "plain HTTP");
    assert!(probed.text("/verdict/hint").contains("has no cert.pem"), "{}", probed.human);
}

#[test]
fn a_context_without_certificates() {
    require!("dockerd", "docker");
    require_root!();
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let daemon = verifying();
    let endpoint = format!("host={}", daemon.url("127.0.0.1"));
    let _ = docker(&sandbox).args(["context", "create", "bare", "--docker", &endpoint]).run().success();
    let variables = [("DOCKER_CONTEXT", "bare"), ("DOCKER_TLS_VERIFY", "1")];
    let probed = agrees(&sandbox, &variables).is(1, "same-protocol", "the context bare has no certificates");
    let hint = probed.text("/verdict/hint");
    let line = hint[hint.find("docker context update").unwrap()..].replace("DIR", utf8(&pki.client.0));
    after(&sandbox, &variables, &line);
}

/// docker takes whoever answers for the daemon; that is told, and not that docker refuses.
#[test]
fn nobody_verifies_the_daemon() {
    require!("dockerd", "docker");
    require_root!();
    let (pki, stranger, sandbox) = (pki("p256", "p256"), dockseal_tests::Pki::stranger(), Sandbox::new());
    let daemon = verifying();
    for (name, from) in [("ca", &stranger), ("cert", &pki), ("key", &pki)] {
        let file = format!("{name}.pem");
        sandbox.write(format!("mixed/{file}"), fs::read(from.client.0.join(file)).unwrap());
    }
    let (url, mixed) = (daemon.url("127.0.0.1"), sandbox.path("mixed"));
    let variables = [("DOCKER_HOST", url.as_str()), ("DOCKER_TLS", "1"), ("DOCKER_CERT_PATH", utf8(&mixed))];
    let _ = with(docker(&sandbox), &variables).arg("version").run().success();
    let probed = probed(|| with(sandbox.dockseal(["probe"]), &variables));
    let _ = probed.is(1, "client-accepts-daemon", "docker connects without verifying the daemon; with --tlsverify, ");
    // What docker does stop at comes first.
    fs::remove_file(mixed.join("key.pem")).unwrap();
    let _ = agrees(&sandbox, &variables).is(1, "client-offers-certificate", "has no key.pem");
}

/// docker puts a path before those of its requests: dockerd has nothing there, and a proxy may.
#[test]
fn a_path_in_docker_host() {
    require!("dockerd", "docker", "nginx");
    require_root!();
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let (daemon, files) = (verifying(), utf8(&pki.client.0));
    let url = daemon.url("127.0.0.1");
    let tls = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", files)];
    for path in ["/x", "/v1.41", "/a%20b/"] {
        let host = format!("{url}{path}");
        let variables = [("DOCKER_HOST", host.as_str()), tls[0], tls[1]];
        let probed = agrees(&sandbox, &variables).is(1, "", "docker puts the path");
        let fix = probed.text("/verdict/hint").trim_start_matches("leave the path out: ").split(" (").next().unwrap();
        assert_eq!(fix, format!("export DOCKER_HOST={url}"));
        after(&sandbox, &variables, fix);
    }
    for path in ["/", "//", "?x"] {
        let host = format!("{url}{path}");
        let _ = agrees(&sandbox, &[("DOCKER_HOST", &host), tls[0], tls[1]]);
    }

    let proxy = Server::on_a_port(|sandbox, port| {
        let root = sandbox.root().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {root}/tmp;")).concat();
        let (client, trusted) = (&pki.client, pki.daemon.ca());
        let text = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log; events {{}}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {}; \
             ssl_client_certificate {}; ssl_verify_client on; location /docker/ {{ proxy_pass https://127.0.0.1:{}/; \
             proxy_ssl_certificate {}; proxy_ssl_certificate_key {}; }} }} }}\n",
            pki.daemon.cert().display(),
            pki.daemon.key().display(),
            trusted.display(),
            daemon.port(),
            client.cert().display(),
            client.key().display(),
        );
        let path = sandbox.write("nginx.conf", text);
        let nginx = sandbox.program(dockseal_tests::tool("nginx").unwrap());
        nginx.arg("-c").arg(path).arg("-e").arg(sandbox.root().join("error.log"))
    });
    let host = format!("{}/docker", proxy.url());
    let probed = agrees(&sandbox, &[("DOCKER_HOST", &host), tls[0], tls[1]]).is(0, "", "");
    assert_eq!(probed.text("/target"), host);
    let _ = agrees(&sandbox, &[("DOCKER_HOST", &proxy.url()), tls[0], tls[1]]).is(2, "", "no Docker");
    // What docker uses comes into the variables as it is.
    let _ = sandbox.dockseal(["plugin", "install"]).run().success();
    let variables = [("DOCKER_HOST", host.as_str()), tls[0], tls[1]];
    let said = with(docker(&sandbox), &variables).args(["seal", "env", "--shell", "sh"]).run().success().stdout;
    assert!(said.contains(&format!("export DOCKER_HOST='{host}'\n")), "{said}");
}

/// A probe that is refused or stops; verify, which reads the same variables, says the same; and the fix lets docker through.
#[track_caller]
fn is_put_right(sandbox: &Sandbox, variables: Variables<'_>, wrong: &str, fix: &str) {
    let docker = with(docker(sandbox), variables).arg("version").run();
    let probe = with(sandbox.dockseal(["probe", "--timeout", "5s"]), variables).run();
    assert!(docker.code == Some(1) && matches!(probe.code, Some(1 | 2)), "{docker}\n{probe}");
    let line = |start: &str| probe.stderr.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default();
    assert!(line("  cause: ").contains(wrong), "{wrong}\n{probe}");
    assert_eq!(line("  hint:  "), fix, "{probe}");
    after(sandbox, variables, fix);
    let verify = with(sandbox.dockseal(["verify"]), variables).run();
    assert!(verify.stdout.contains(wrong) && verify.stdout.contains(fix), "{verify}");
}

#[test]
fn a_host_that_is_miswritten() {
    require!("dockerd", "docker");
    require_root!();
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let (daemon, files) = (verifying(), utf8(&pki.client.0));
    let url = daemon.url("127.0.0.1");
    let address = url.trim_start_matches("tcp://");
    let tls = [("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", files)];
    for (host, wrong) in [
        (format!("https://{address}"), "takes no http:// or https:// address"),
        (format!("http://{address}/"), "takes no http:// or https:// address"),
        (format!("TCP://{address}"), "does not begin with tcp://"),
        (format!("tcp:{address}"), "does not begin with tcp://"),
        (format!("tcp:/{address}"), "does not begin with tcp://"),
        (format!("tcp//{address}"), "does not begin with tcp://"),
        (format!("tcp:///{address}"), "more than the host after tcp://"),
        (format!("\"{url}\""), "quotation marks"),
        (format!("'{url}'"), "quotation marks"),
        (format!("\"{url}\r\""), "carriage return"),
        (format!("{url};"), "separator"),
        (format!("DOCKER_HOST={url}"), "variable's name"),
        (url.replace("1:", "1 :"), "blanks"),
        (format!("{url},{url}"), "several hosts"),
    ] {
        is_put_right(&sandbox, &[("DOCKER_HOST", &host), tls[0], tls[1]], wrong, &format!("export DOCKER_HOST={url}"));
    }
    // What docker takes works.
    for host in
        [format!(" {url}\r\n"), address.to_owned(), format!("tcp://me@{address}"), format!("tcp://tcp://{address}")]
    {
        let _ = agrees(&sandbox, &[("DOCKER_HOST", &host), tls[0], tls[1]]).is(0, "", "");
    }
    // Without a port it is docker that names the one that it takes.
    for host in ["tcp://127.0.0.3", "127.0.0.3", "tcp://127.0.0.3:"] {
        let variables = [("DOCKER_HOST", host), tls[0], tls[1]];
        let docker = with(docker(&sandbox), &variables).arg("version").run().exits(1);
        assert!(docker.stderr.contains("tcp://127.0.0.3:2375"), "{docker}");
        let probe = with(sandbox.dockseal(["probe"]), &variables).run().exits(2);
        assert!(probe.stderr.contains("has no port, for which docker takes 2375"), "{probe}");
        assert!(probe.stderr.contains("  hint:  export DOCKER_HOST=tcp://127.0.0.3:2376\n"), "{probe}");
    }
}

#[test]
fn a_directory_that_is_miswritten() {
    require!("dockerd", "docker");
    require_root!();
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let daemon = verifying();
    let url = daemon.url("127.0.0.1");
    let home = sandbox.root().join("home");
    let directory = home.join("ada");
    fs::create_dir_all(&directory).unwrap();
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(pki.client.0.join(file), directory.join(file)).unwrap();
    }
    let right = utf8(&directory);
    let on = [("DOCKER_HOST", url.as_str()), ("DOCKER_TLS_VERIFY", "1")];
    let _ = agrees(&sandbox, &[on[0], on[1], ("DOCKER_CERT_PATH", right)]).is(0, "", "");
    for (path, wrong) in [
        ("~/ada".to_owned(), "home directory unexpanded"),
        ("$HOME/ada".to_owned(), "home directory unexpanded"),
        (format!("\"{right}\""), "quotation marks"),
        ("'~/ada'".to_owned(), "quotation marks"),
        (format!("{right}\r"), "carriage return"),
        (format!("\"{right}\r\""), "carriage return"),
        (format!(" {right}"), "blanks around"),
        (format!("{right} "), "blanks around"),
        (format!("{right}:"), "ends with"),
        (format!("file://{right}"), "URL"),
        (format!("DOCKER_CERT_PATH={right}"), "variable's name"),
        (format!("{right}/cert.pem"), "is a file"),
        (format!("'{right}/ca.pem'"), "is a file"),
    ] {
        let variables = [on[0], on[1], ("DOCKER_CERT_PATH", path.as_str())];
        is_put_right(&sandbox, &variables, wrong, &format!("export DOCKER_CERT_PATH={right}"));
        let env = sandbox.dockseal(["env", &path]).run().exits(2);
        assert!(env.stderr.contains(&format!("  hint:  name {right} instead\n")), "{env}");
    }
    // Not set at all, and one that is not there.
    for (variables, wrong) in [
        (&on[..], format!("DOCKER_CERT_PATH is not set, so docker reads {}/.docker", home.display())),
        (&[on[0], on[1], ("DOCKER_CERT_PATH", "/nowhere")][..], "names no directory that is there".to_owned()),
    ] {
        let probed = agrees(&sandbox, variables).is(1, "client-loads", &wrong);
        let fix = probed.text("/verdict/hint").split(", with").next().unwrap().replace("DIR", right);
        after(&sandbox, variables, &fix);
    }
}

/// docker-py takes a bundle in the environment for stronger than ca.pem. The note is there exactly where it is refused for that,
/// and docker is not concerned.
#[test]
fn a_bundle_for_python_programs() {
    const PROGRAM: &str = "import docker; print(docker.from_env().version()['Version'])";
    require!("dockerd", "docker");
    require_root!();
    let python = dockseal_tests::tools_dir().join("docker-py/bin/python");
    if !python.is_file() {
        return dockseal_tests::note_skip("no docker-py (tests/setup installs it)");
    }
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let daemon = verifying();
    let url = daemon.url("127.0.0.1");
    let all = [
        ("DOCKER_HOST", url.as_str()),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", utf8(&pki.client.0)),
        ("REQUESTS_CA_BUNDLE", ""),
        ("CURL_CA_BUNDLE", ""),
    ];
    let (ca, stranger) = (pki.client.ca(), dockseal_tests::Pki::stranger().client.ca());
    let both = sandbox.write("both.pem", [fs::read(&stranger).unwrap(), fs::read(&ca).unwrap()].concat());
    let (ca, other, both) = (utf8(&ca), utf8(&stranger), utf8(&both));
    for (requests, curl) in
        [("", ""), (other, ""), ("", other), ("/nowhere", ""), (ca, other), (other, ca), (both, ""), ("", both)]
    {
        let mut variables = all;
        (variables[3].1, variables[4].1) = (requests, curl);
        let library = with(sandbox.program(&python).args(["-c", PROGRAM]), &variables).run();
        let probed = agrees(&sandbox, &variables).is(0, "", "");
        let env = with(sandbox.dockseal(["env", utf8(&pki.client.0)]), &variables).run().success();
        for said in [&probed.human, &env] {
            let noted = said.stderr.contains("note: Python programs");
            assert_eq!(noted, library.code != Some(0), "{requests:?} {curl:?}\n{said}\n{library}");
        }
        // The fix, word for word.
        if let Some((_, fix)) = env.stderr.split_once("for them: ") {
            let line = format!("{}\nexec \"$0\" -c \"$1\"", fix.lines().next().unwrap());
            let program = sandbox.program("sh").args(["-c", &line]).arg(&python).arg(PROGRAM);
            let _ = with(program, &variables).run().success();
        }
    }
}
