//! Proxies that end TLS in front of a daemon, each beside the real docker: the probe ends with 0 where `docker version` does,
//! and with nothing else where it does not.

use dockseal_tests::{Dockerd, Pki, Sandbox, pki, require, require_root, tool};

use super::{Probed, Server, probe, utf8};

/// What nginx and haproxy need to demand client certificates, as the hint has it.
const DEMAND: [&str; 2] = ["ssl_verify_client on", "verify required ca-file ca.pem"];

/// nginx with the daemon's certificate; `server` and `location` are its configuration, in which `ca.pem` is the authority.
fn nginx(pki: &Pki, server: &str, location: &str) -> Server {
    Server::on_a_port(|sandbox, port| {
        let root = sandbox.root().display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
        let temporary = temporary.map(|name| format!("{name}_temp_path {root}/tmp;")).concat();
        let text = format!(
            "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log; events {{}}\n\
             http {{ access_log off; {temporary}\n\
             server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {}; {}\n\
             location / {{ {location} }} }} }}\n",
            pki.daemon.cert().display(),
            pki.daemon.key().display(),
            server.replace("ca.pem", utf8(&pki.daemon.ca())),
        );
        let path = sandbox.write("nginx.conf", text);
        sandbox.program(tool("nginx").unwrap()).arg("-c").arg(path).arg("-e").arg(sandbox.root().join("error.log"))
    })
}

/// haproxy with the daemon's certificate; `bind` and `rules` are its configuration.
fn haproxy(pki: &Pki, mode: &str, bind: &str, rules: &str, to: u16) -> Server {
    Server::on_a_port(|sandbox, port| {
        let both = [pki.daemon.cert(), pki.daemon.key()].map(|file| std::fs::read(file).unwrap()).concat();
        let both = sandbox.write("both.pem", both);
        let bind = bind.replace("ca.pem", utf8(&pki.daemon.ca()));
        let text = format!(
            "defaults\n mode {mode}\n timeout connect 2s\n timeout client 9s\n timeout server 9s\n retries 0\n\
             frontend f\n bind 127.0.0.1:{port} ssl crt {} {bind}\n {rules}\n default_backend b\n\
             backend b\n server s 127.0.0.1:{to}\n",
            both.display()
        );
        sandbox.program(tool("haproxy").unwrap()).arg("-f").arg(sandbox.write("haproxy.cfg", text))
    })
}

/// What the probe says, after docker was asked for the same.
#[track_caller]
fn beside_docker(sandbox: &Sandbox, server: &Server, docker_works: bool) -> Probed {
    let pki = pki("p256", "p256");
    let docker = sandbox
        .program(tool("docker").unwrap())
        .env("DOCKER_HOST", server.url())
        .env("DOCKER_TLS_VERIFY", "1")
        .env("DOCKER_CERT_PATH", &pki.client.0)
        .arg("version")
        .run();
    assert_eq!(docker.code == Some(0), docker_works, "{docker}");
    let probed = probe(sandbox, &server.url(), &["--client", utf8(&pki.client.0)]);
    assert!(docker_works || probed.human.code != Some(0), "{docker}\n{}", probed.human);
    assert!(docker_works || !probed.human.stdout.contains("Mutual TLS works"), "{}", probed.human);
    if !docker_works {
        assert_ne!(probed.mode("tlsverify+cert"), "connects", "{}", probed.human);
    }
    probed
}

/// The proxy takes everybody; the fix is to have it demand certificates, after which docker gets in with one alone.
#[test]
fn a_proxy_that_asks_for_no_certificate() {
    require!("nginx", "haproxy", "dockerd", "docker");
    require_root!();
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let daemon = Dockerd::start_in_mode(&[], false);
    let forward = format!("proxy_pass http://127.0.0.1:{};", daemon.port());
    let tcp = |bind: &str| haproxy(&pki, "tcp", bind, "", daemon.port());

    for (server, says) in [
        (nginx(&pki, "", &forward), "a proxy (nginx/"),
        (nginx(&pki, "ssl_client_certificate ca.pem; ssl_verify_client optional;", &forward), "a proxy (nginx/"),
        // It hands on octets, and what dockerd calls itself with them.
        (tcp(""), "a proxy that ends TLS in front of it"),
        (tcp("ca-file ca.pem verify optional"), "which no dockerd does"),
    ] {
        let probed = beside_docker(&sandbox, &server, true).is(1, "daemon-accepts-client", says);
        let hint = probed.text("/verdict/hint");
        assert!(DEMAND.iter().all(|directive| hint.contains(directive)), "{hint}");
    }
    for server in [
        nginx(&pki, &format!("ssl_client_certificate ca.pem; {};", DEMAND[0]), &forward),
        tcp(DEMAND[1]),
        haproxy(&pki, "http", DEMAND[1], "", daemon.port()),
    ] {
        let _ = beside_docker(&sandbox, &server, true).is(0, "", "");
        let probed = probe(&sandbox, &server.url(), &["--client", utf8(&Pki::stranger().client.0)]);
        let _ = probed.is(1, "client-accepts-daemon", "");
    }
}

/// The handshake is mutual, and what is behind does not work or refuses.
#[test]
fn a_proxy_that_does_not_get_on() {
    require!("nginx", "haproxy", "dockerd", "docker");
    require_root!();
    let (pki, sandbox) = (pki("p256", "p256"), Sandbox::new());
    let mutual = "ssl_client_certificate ca.pem; ssl_verify_client on;";
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead = format!("proxy_pass http://127.0.0.1:{nobody};");
    let unreached = ["does not reach the daemon", "dockerd runs"];
    let refused = ["takes the client's certificate and refuses", "rules let this client through"];
    for (server, code, [cause, hint]) in [
        (nginx(&pki, mutual, &dead), 1, unreached),
        (nginx(&pki, mutual, "return 503;"), 1, unreached),
        (nginx(&pki, mutual, "return 504;"), 1, unreached),
        (haproxy(&pki, "http", DEMAND[1], "", nobody), 1, unreached),
        (nginx(&pki, mutual, "return 403;"), 1, refused),
        (nginx(&pki, mutual, "return 401;"), 1, refused),
        (haproxy(&pki, "http", DEMAND[1], "http-request deny", nobody), 1, refused),
        (haproxy(&pki, "tcp", DEMAND[1], "", nobody), 2, ["the connection was closed", "no daemon is behind it"]),
        (nginx(&pki, mutual, "return 404;"), 2, ["no Docker", "below a path"]),
    ] {
        let probed = beside_docker(&sandbox, &server, false).is(code, "", cause);
        assert!(probed.text("/verdict/hint").contains(hint), "{}", probed.human);
    }

    // The fix for each: a daemon behind it, and what docker asks for let through.
    let daemon = Dockerd::start_in_mode(&[], false);
    let forward = format!("proxy_pass http://127.0.0.1:{};", daemon.port());
    let _ = beside_docker(&sandbox, &nginx(&pki, mutual, &forward), true).is(0, "", "");
    let _ = beside_docker(&sandbox, &haproxy(&pki, "http", DEMAND[1], "", daemon.port()), true).is(0, "", "");
    // A part of it is not enough.
    let ping_alone = format!("if ($uri != /_ping) {{ return 403; }} {forward}");
    let _ = beside_docker(&sandbox, &nginx(&pki, mutual, &ping_alone), false).is(1, "", refused[0]);
    let all_but_ping = format!("if ($uri = /_ping) {{ return 403; }} {forward}");
    let server = nginx(&pki, mutual, &all_but_ping);
    let probed = probe(&sandbox, &server.url(), &["--client", utf8(&pki.client.0)]).is(2, "", "/_ping");
    assert!(probed.text("/verdict/hint").contains("for /_ping through"), "{}", probed.human);
    // Plain HTTP to the daemon's TLS port.
    let flags = [&["--tlsverify".to_owned()][..], &Dockerd::file_flags(&pki.daemon)].concat();
    let daemon = Dockerd::start_in_mode(&flags, false);
    let server = nginx(&pki, mutual, &format!("proxy_pass http://127.0.0.1:{};", daemon.port()));
    let _ = beside_docker(&sandbox, &server, false).is(1, "", "speaks plain HTTP to a port that speaks TLS");
}
