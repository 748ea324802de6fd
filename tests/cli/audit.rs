//! `dockseal audit` on this machine, with a process that passes for dockerd. Real hosts are in tests/remote.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use dockseal_audit::{Facts, Presence, Question, Severity, judge, script};
use dockseal_tests::{Sandbox, dockseal_binary, require, require_root, tool};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

/// A process that is called dockerd, waits, and ends when this is dropped.
struct Passing(Child);

impl Passing {
    fn start(sandbox: &Sandbox, words: &[&str]) -> Self {
        let program = sandbox.write("bin/dockerd", "#!/bin/sh\nread -r line\n");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let child =
            Command::new(program).args(words).current_dir(sandbox.work()).stdin(Stdio::piped()).spawn().unwrap();
        Self(child)
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The findings about what is below the sandbox: id, severity, subject and fix.
fn findings(sandbox: &Sandbox) -> Vec<[String; 4]> {
    let ran = sandbox.dockseal(["--format", "json", "audit"]).run();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let root = sandbox.root().to_string_lossy().into_owned();
    let found = report["findings"].as_array().unwrap().iter();
    found
        .map(|found| ["id", "severity", "subject", "fix"].map(|field| text(&found[field])))
        .filter(|[_, _, subject, _]| subject.contains(&root))
        .collect()
}

/// The files that another daemon.json than /etc/docker/daemon.json names are looked at too.
#[test]
fn the_files_of_any_daemon_json() {
    require!("openssl");
    let sandbox = Sandbox::new();
    sandbox.openssl(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 5 -subj /CN=x"
            .split(' '),
    );
    let named = |name: &str| sandbox.path(name).to_string_lossy().into_owned();
    let settings = json!({
        "tlsverify": true, "tlscacert": named("cert.pem"), "tlscert": named("cert.pem"), "tlskey": named("key.pem")
    });
    sandbox.write("far.json", settings.to_string());
    let _dockerd = Passing::start(&sandbox, &["--config-file", "far.json"]);
    let found = findings(&sandbox);
    let about = |id: &str, file: &str| found.iter().any(|found| found[0] == id && found[2] == named(file));
    assert!(about("certificate-expires", "cert.pem") && about("file-mode", "key.pem"), "{found:?}");
    assert!(!about("unseen", "key.pem"), "{found:?}");
}

/// A path that is none from the root is not looked for, least of all for ever.
#[test]
fn the_script_ends_whatever_it_is_asked() {
    let sandbox = Sandbox::new();
    sandbox.write("near.sock", "");
    let paths = ["near.sock", "near", "a/b", "./a", "", "-x", "/", "//", "/no/such", "/etc/passwd/x"];
    let text = script(&paths.map(|path| Question::File(path.to_owned())));
    for shell in ["sh -s", "bash -s", "busybox sh -s"] {
        let words: Vec<&str> = shell.split(' ').collect();
        if tool(words[0]).is_none() {
            continue;
        }
        let ran = sandbox.program("timeout").arg("20").args(words).input(text.clone()).run().success();
        let facts = Facts::read(ran.stdout.as_bytes()).unwrap();
        for path in ["near.sock", "near", "a/b", "-x"] {
            assert_eq!(facts.files.get(path), Some(&Presence::Hidden), "{shell}: {path}");
        }
        for path in ["/no/such", "/etc/passwd/x"] {
            assert_eq!(facts.files.get(path), Some(&Presence::Absent), "{shell}: {path}");
        }
    }
}

/// A line as the script prints it.
fn line(word: &str, fields: &[&str]) -> String {
    let mut line = word.to_owned();
    for field in fields {
        line.push(' ');
        for byte in field.bytes() {
            let _ = write!(line, "{byte:02x}");
        }
    }
    line + "\n"
}

/// A certificate of thirty days with a weak key, by openssl.
fn weak(sandbox: &Sandbox) -> String {
    sandbox.openssl("req -x509 -newkey rsa:1024 -nodes -days 30 -subj /CN=box -keyout weak-key.pem".split(' '))
}

/// What root sees of a dockerd on 127.0.0.1:2376 that shows this certificate, judged in sixty days.
fn showing(certificate: &str, json: &str, files: &str) -> Vec<(&'static str, Severity, String)> {
    let table = "head\n0: 0100007F:0948 00000000:0000 0A 0:0 0:0 0 0 0 4242 1 0\n";
    let daemon = ["17", "0", "dockerd\0-H\0tcp://127.0.0.1:2376", "", "/", "4242", table, "", ""];
    let lines = [
        line("uid", &["0"]),
        line("daemon", &daemon),
        line("file", &["/etc/docker/daemon.json", "644 0 0 regular file", json]),
        line(
            "plain",
            &["127.0.0.1:2376", "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server."],
        ),
        line("tls", &["127.0.0.1:2376", certificate]),
    ];
    let text = format!("dockseal-audit 1\n{}{files}end\n", lines.concat());
    let facts = Facts::read(text.as_bytes()).unwrap();
    let found = judge(&facts, OffsetDateTime::now_utc() + Duration::days(60)).into_iter();
    found.map(|found| (found.id, found.severity, found.subject)).collect()
}

/// A daemon.json that cannot be read says nothing of the listener, and what that shows is judged all the same.
#[test]
fn damaged_settings_hide_no_certificate() {
    require!("openssl");
    let found = showing(&weak(&Sandbox::new()), "{", "");
    assert!(found.iter().any(|found| found.0 == "settings-broken"), "{found:?}");
    assert!(!found.iter().any(|found| found.0 == "listener-differs"), "{found:?}");
    for (id, severity) in [
        ("listener-unknown", Severity::Warning),
        ("certificate-expired", Severity::Critical),
        ("key-strength", Severity::Warning),
    ] {
        assert!(found.contains(&(id, severity, "127.0.0.1:2376".to_owned())), "{id}: {found:?}");
    }
}

/// A certificate and its key in one file, as dockerd takes them: the key stays where it is, and what is served is judged.
#[test]
fn one_file_for_both() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let certificate = weak(&sandbox);
    let key = fs::read_to_string(sandbox.path("weak-key.pem")).unwrap();
    let both = sandbox.write("both.pem", certificate.clone() + &key).to_string_lossy().into_owned();
    let asked = script(&[Question::File(both.clone()), Question::Key(both.clone())]);
    let told = sandbox.program("sh").arg("-s").input(asked).run().success().stdout;
    let Some(Presence::There(file)) = Facts::read(told.as_bytes()).unwrap().files.remove(&both) else {
        panic!("{told}")
    };
    assert_eq!(file.content, None);

    let json = json!({ "tlsverify": true, "tlscacert": "/t/ca.pem", "tlscert": both, "tlskey": both }).to_string();
    let lines: Vec<&str> = told.lines().filter(|line| line.starts_with("file ")).collect();
    let files = lines.join("\n") + "\n" + &line("absent", &["/t/ca.pem"]);
    let found = showing(&certificate, &json, &files);
    let listener = "127.0.0.1:2376".to_owned();
    assert!(found.contains(&("certificate-expired", Severity::Critical, listener.clone())), "{found:?}");
    assert!(found.contains(&("key-strength", Severity::Warning, listener)), "{found:?}");
    // Where nothing shows it, that is said.
    let found = showing("", &json, &files);
    assert!(found.contains(&("certificate-unread", Severity::Warning, both)), "{found:?}");
}

/// Where /proc hides other people's processes, not to see dockerd is not to know that there is none.
#[test]
fn hidden_processes() {
    require_root!();
    require!("unshare", "setpriv");
    let sandbox = Sandbox::new();
    let binary = sandbox.root().join("dockseal");
    fs::copy(dockseal_binary(), &binary).unwrap();
    fs::set_permissions(sandbox.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let audit = |hidepid: u32| {
        let script = format!(
            "mount -t proc -o hidepid={hidepid} proc /proc && cd / && exec setpriv --reuid 65534 --regid 65534 --clear-groups \
             {} --format json audit",
            binary.display()
        );
        sandbox.program("unshare").args(["-m", "sh", "-c", &script]).run()
    };
    for hidepid in [1, 2] {
        let ran = audit(hidepid).exits(2).says("processes of others are hidden").says("look as root");
        assert!(!ran.holds("daemon-none"), "{ran}");
    }
    assert!(!audit(0).holds("are hidden"));
}

/// An address of TEST-NET-1 (RFC 5737), which no host has: dockerd does not start, and the audit says so beforehand.
#[test]
fn an_address_that_the_host_does_not_have() {
    require!("dockerd");
    require_root!();
    let sandbox = Sandbox::new();
    let real = |host: &str| {
        let path = |name: &str| sandbox.path(name).to_str().unwrap().to_owned();
        let options = ["--iptables=false", "--bridge=none", "--storage-driver=vfs", "-H", host, "--data-root"];
        let dockerd = sandbox.program("dockerd").args(options).arg(path("root"));
        dockerd.args(["--exec-root", &path("exec"), "--pidfile", &path("pid")]).run()
    };
    let missing = "tcp://192.0.2.77:2376";
    let ran = real(missing).failure();
    assert!(ran.stderr.contains("cannot assign requested address"), "{ran}");
    let _dockerd = Passing::start(&sandbox, &["-H", missing, "-H", "tcp://127.0.0.9:2376", "-H", "tcp://[::]:2376"]);
    let ran = sandbox.dockseal(["--format", "json", "audit"]).run();
    let report: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
    let found = report["findings"].as_array().unwrap().iter();
    let subjects: Vec<&str> = found
        .filter(|found| found["id"] == "listener-address-missing")
        .map(|found| found["subject"].as_str().unwrap())
        .collect();
    assert_eq!(subjects, [missing], "{ran}");
}
