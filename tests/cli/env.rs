//! `dockseal env`: which directory, which host, and what is said when docker would not get through. The shells' own view
//! of its text is in tests/oracles/shells.rs.

use std::fs;
use std::path::Path;

use dockseal_tests::{Ran, Sandbox};
use serde_json::Value;

use crate::refused_with_hint;

fn bootstrapped(names: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    let more = ["--client", "ada", "--out", "d", "--no-passphrase"];
    let _ = sandbox.dockseal([&["bootstrap"], names, &more].concat()).run().success();
    sandbox
}

fn variables(ran: &Ran) -> Value {
    serde_json::from_str::<Value>(&ran.stdout).unwrap()["variables"].clone()
}

fn env(sandbox: &Sandbox, args: &[&str]) -> Ran {
    sandbox.dockseal([&["env", "--format", "json"], args].concat()).run()
}

/// The same for people, which must be refused.
fn refused_env(sandbox: &Sandbox, args: &[&str]) {
    refused_with_hint(&sandbox.dockseal([&["env"], args].concat()).run(), &[2]);
}

#[test]
fn the_host_is_the_daemons_first_name() {
    let cases: [(&[&str], &str); 4] = [
        (&["build.example.com", "10.0.0.5"], "tcp://build.example.com:2376"),
        (&["10.0.0.5", "build.example.com"], "tcp://10.0.0.5:2376"),
        (&["2001:db8::5"], "tcp://[2001:db8::5]:2376"),
        (&["*.example.com", "10.0.0.5"], "tcp://10.0.0.5:2376"),
    ];
    for (names, url) in cases {
        let sandbox = bootstrapped(names);
        let ran = env(&sandbox, &["d/clients/ada"]).success();
        assert_eq!(ran.stderr, "");
        let expected = serde_json::json!({
            "DOCKER_HOST": url, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": sandbox.path("d/clients/ada"),
        });
        assert_eq!(variables(&ran), expected);
    }
}

#[test]
fn a_host_that_is_given_counts() {
    let sandbox = bootstrapped(&["build.example.com"]);
    let host = |host: &str| env(&sandbox, &["d/clients/ada", "--host", host]);
    assert_eq!(variables(&host("other.example.com").success())["DOCKER_HOST"], "tcp://other.example.com:2376");
    assert_eq!(variables(&host("tcp://[::1]:99").success())["DOCKER_HOST"], "tcp://[::1]:99");
    for bad in ["https://h", "unix:///run/docker.sock", "tcp://", "h:x", "a'b", "a b", "$(id)", "h:1;id", "h:1/\n"] {
        refused_env(&sandbox, &["d/clients/ada", "--host", bad]);
    }
}

#[test]
fn without_a_directory_the_current_one_counts_if_it_is_one() {
    let sandbox = bootstrapped(&["build.example.com"]);
    refused_env(&sandbox, &[]);
    let inside = sandbox.dockseal(["env", "--format", "json"]).cwd(sandbox.path("d/clients/ada")).run().success();
    assert_eq!(variables(&inside)["DOCKER_CERT_PATH"], sandbox.path("d/clients/ada").to_str().unwrap());
    assert_eq!(variables(&inside)["DOCKER_HOST"], "tcp://build.example.com:2376");
}

#[test]
fn a_symbolic_link_stays_one() {
    // Whoever swaps the directory behind the link need not change the variable.
    let sandbox = bootstrapped(&["build.example.com"]);
    std::os::unix::fs::symlink("d/clients/ada", sandbox.path("link")).unwrap();
    let ran = env(&sandbox, &["./link/."]).success();
    assert_eq!(variables(&ran)["DOCKER_CERT_PATH"], sandbox.path("link").to_str().unwrap());
    assert_eq!(variables(&ran)["DOCKER_HOST"], Value::Null);
    let _ = ran.says("DOCKER_HOST is left alone");
}

#[test]
fn what_docker_will_refuse_is_said() {
    let sandbox = bootstrapped(&["build.example.com"]);
    let daemon = env(&sandbox, &["d/daemon", "--host", "build.example.com"]).success();
    assert!(daemon.stderr.contains("warning") && daemon.stderr.contains("not a client's"), "{daemon}");
    for file in ["ca.pem", "cert.pem", "key.pem"] {
        let path = sandbox.path("d/clients/ada").join(file);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let ran = env(&sandbox, &["d/clients/ada"]).success();
        assert!(ran.stderr.contains("warning") && ran.stderr.contains(&format!("holds no {file}")), "{ran}");
        fs::write(&path, kept).unwrap();
    }
    for wrong in ["nothing", "d/clients/ada/ca.pem"] {
        refused_env(&sandbox, &[wrong]);
    }
}

#[test]
fn unset_needs_no_directory() {
    let sandbox = Sandbox::new();
    let ran = env(&sandbox, &["--unset"]).success();
    let expected = serde_json::json!({ "DOCKER_HOST": null, "DOCKER_TLS_VERIFY": null, "DOCKER_CERT_PATH": null });
    assert_eq!(variables(&ran), expected);
    for shell in ["sh", "zsh", "/usr/bin/fish", "pwsh", "cmd.exe", "csh", "nu"] {
        let ran = sandbox.dockseal(["env", "--unset", "--shell", shell]).run().success();
        assert_eq!(ran.stdout.matches("DOCKER_").count(), 3, "{shell}\n{ran}");
    }
    assert_eq!(sandbox.dockseal(["env", "--unset", "--shell", "elvish"]).run().code, Some(2));
}

#[test]
fn a_pipe_in_place_of_a_certificate_does_not_hold_it_up() {
    let sandbox = bootstrapped(&["build.example.com"]);
    for path in ["d/clients/ada/cert.pem", "d/daemon/cert.pem"] {
        let path = sandbox.path(Path::new(path));
        fs::remove_file(&path).unwrap();
        let _ = sandbox.program("mkfifo").arg(&path).run().success();
    }
    let limit = std::time::Duration::from_secs(10);
    let ran = sandbox.dockseal(["env", "--format", "json", "d/clients/ada"]).limit(limit).run().success();
    assert_eq!(variables(&ran)["DOCKER_HOST"], Value::Null);
}
