//! Secrets stay where they belong: no passphrase and no key in what is said, in an
//! argument vector, or in a file that is not theirs.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use dockseal_tests::{Entry, Ran, Sandbox, require, require_root, tree};

use crate::home;

const PASSPHRASE: &str = "squeamish ossifrage 4711";

/// Fails when the run shows the passphrase, or any line of any key in the sandbox.
#[track_caller]
fn silent(sandbox: &Sandbox, ran: &Ran) {
    let said = format!("{}\n{}", ran.stdout, ran.stderr);
    assert!(!said.contains(PASSPHRASE), "the passphrase is shown\n{ran}");
    assert!(!said.contains("PRIVATE KEY"), "a key is shown\n{ran}");
    let plain = said.replace([':', ' ', '\n'], "").to_lowercase();
    for (path, (_, _, entry)) in &tree(sandbox.root()).0 {
        let Entry::File(bytes) = entry else { continue };
        let text = String::from_utf8_lossy(bytes);
        if !text.contains("PRIVATE KEY-----") {
            continue;
        }
        for line in text.lines().filter(|line| !line.starts_with("-----") && line.len() >= 16) {
            assert!(!said.contains(line), "{} is shown\n{ran}", path.display());
        }
        // The bytes themselves, in hexadecimal.
        let decoded = sandbox.program("openssl").args(["pkey", "-noout", "-text", "-passin", "file:pass", "-in"]);
        let decoded = decoded.arg(sandbox.root().join(path)).run();
        if let Some((_, rest)) = decoded.stdout.split_once("priv:") {
            let hex: String = rest.split("pub:").next().unwrap().chars().filter(char::is_ascii_hexdigit).collect();
            assert!(
                hex.len() >= 60 && !plain.contains(&hex[8..40]),
                "{} is shown in hexadecimal\n{ran}",
                path.display()
            );
        }
    }
}

#[test]
fn nothing_says_a_secret() {
    require!("openssl");
    for format in ["human", "json"] {
        let sandbox = Sandbox::new();
        sandbox.write("pass", format!("{PASSPHRASE}\n"));
        let lines = [
            "init --passphrase-file pass",
            "bootstrap h.test --client alice --passphrase-file pass",
            "bootstrap h.test --client alice --passphrase-file pass",
            "issue client bob --out bob --passphrase-file pass",
            "issue client bob --out bob --passphrase-file pass --replace",
            "issue client bob --out bob --passphrase-file pass",
            "request client carol --out carol",
            "issue client carol --csr carol/request.csr --out signed --passphrase-file pass",
            "inspect bob",
            "inspect h.test/daemon",
            "inspect bob/key.pem",
            "inspect carol",
            "env h.test/clients/alice --host tcp://h.test:2376",
            "issue client x --out h.test --passphrase-file pass",
            "--nonsense",
        ];
        for line in lines {
            let ran = sandbox.dockseal(["--format", format]).args(line.split(' ')).run();
            silent(&sandbox, &ran);
        }
        let authority = home(&sandbox);
        let _ = sandbox.dockseal(["--format", format, "inspect"]).arg(authority.join("ca-key.pem")).run();
        for (path, (_, _, entry)) in &tree(sandbox.root()).0 {
            let Entry::File(bytes) = entry else { continue };
            let holds = String::from_utf8_lossy(bytes).contains(PASSPHRASE);
            assert_eq!(holds, path.ends_with("here/pass"), "{} holds the passphrase", path.display());
        }
        assert!(fs::read_to_string(authority.join("ca-key.pem")).unwrap().contains("BEGIN ENCRYPTED PRIVATE KEY"));
    }
}

/// Wherever the passphrase comes from, it works, and is nowhere in /proc meanwhile.
#[test]
fn ways_to_say_a_passphrase() {
    require!("openssl");
    let dockseal = dockseal_tests::dockseal_binary().to_str().unwrap();
    let opens = |sandbox: &Sandbox| {
        let key = home(sandbox).join("ca-key.pem");
        let _ =
            sandbox.program("openssl").args(["pkey", "-noout", "-passin", "file:pass", "-in"]).arg(key).run().success();
    };
    let sandbox = || {
        let sandbox = Sandbox::new();
        sandbox.write("pass", format!("{PASSPHRASE}\n"));
        sandbox
    };
    for line in [
        format!("exec {dockseal} init --passphrase-file pass"),
        format!("exec {dockseal} init --passphrase-fd 3 3<pass"),
        format!("exec {dockseal} init --passphrase-fd 0 <pass"),
        format!("exec {dockseal} init --passphrase-file /dev/stdin <pass"),
        format!("mkdir cred; cp pass cred/dockseal.passphrase; CREDENTIALS_DIRECTORY=$PWD/cred exec {dockseal} init"),
    ] {
        println!("{line}");
        let sandbox = sandbox();
        let child = sandbox.program("sh").args(["-c", &line]).start();
        let ran = watched(child);
        assert_eq!(ran.code, Some(0), "{ran}");
        silent(&sandbox, &ran);
        opens(&sandbox);
    }
    // A line ending of Windows is no part of it.
    let windows = Sandbox::new();
    windows.write("pass", format!("{PASSPHRASE}\r\nsecond\r\n"));
    let _ = windows.dockseal(["init", "--passphrase-file", "pass"]).run().success();
    windows.write("pass", format!("{PASSPHRASE}\n"));
    opens(&windows);
}

/// Runs it to its end, looking at its /proc entries all the while.
fn watched(mut child: Child) -> Ran {
    let cmdline = format!("/proc/{}/cmdline", child.id());
    let environ = format!("/proc/{}/environ", child.id());
    let status = loop {
        for place in [&cmdline, &environ] {
            let bytes = fs::read(place).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&bytes).contains(PASSPHRASE), "the passphrase is in {place}");
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    Ran { shown: "sh".to_owned(), code: status.code(), stdout, stderr }
}

/// On a terminal it is asked for, twice when it is new, and not echoed.
#[test]
fn a_prompt_on_a_terminal() {
    require!("openssl", "script");
    let sandbox = Sandbox::new();
    sandbox.write("pass", format!("{PASSPHRASE}\n"));
    let dockseal = dockseal_tests::dockseal_binary().to_str().unwrap();
    let shown = typed(&sandbox, &format!("{dockseal} init"), &[PASSPHRASE, PASSPHRASE]);
    assert!(!shown.contains(PASSPHRASE), "the terminal shows what is typed:\n{shown}");
    let key = home(&sandbox).join("ca-key.pem");
    assert!(key.exists(), "{shown}");
    let _ = sandbox.program("openssl").args(["pkey", "-noout", "-passin", "file:pass", "-in"]).arg(key).run().success();

    // For an authority that is there, once.
    let shown = typed(&sandbox, &format!("{dockseal} issue client alice --out alice"), &[PASSPHRASE]);
    assert!(sandbox.path("alice/key.pem").exists() && !shown.contains(PASSPHRASE), "{shown}");

    // Two that differ are asked for again.
    let other = Sandbox::new();
    other.write("pass", format!("{PASSPHRASE}\n"));
    let shown = typed(&other, &format!("{dockseal} init"), &[PASSPHRASE, "something else", PASSPHRASE, PASSPHRASE]);
    let key = home(&other).join("ca-key.pem");
    assert!(key.exists() && !shown.contains("something else"), "{shown}");
    let _ = other.program("openssl").args(["pkey", "-noout", "-passin", "file:pass", "-in"]).arg(key).run().success();
}

/// Runs a line on a terminal of its own and types each answer after a prompt for it.
fn typed(sandbox: &Sandbox, line: &str, answers: &[&str]) -> String {
    let mut child = sandbox.program("script").args(["--quiet", "--return", "--command", line, "/dev/null"]).start();
    let mut keyboard = child.stdin.take().unwrap();
    let mut screen = child.stdout.take().unwrap();
    let (send, seen) = std::sync::mpsc::channel::<Vec<u8>>();
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(length) = screen.read(&mut buffer) {
            if length == 0 || send.send(buffer[..length].to_vec()).is_err() {
                break;
            }
        }
    });
    let mut shown = String::new();
    let mut asked = 0;
    let started = Instant::now();
    loop {
        match seen.recv_timeout(Duration::from_millis(100)) {
            Ok(bytes) => shown.push_str(&String::from_utf8_lossy(&bytes)),
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                // Quiet for a moment: it waits. What it waits for ends in a colon.
                let prompts = shown.matches(": ").count();
                if asked < answers.len() && prompts > asked && shown.trim_end_matches(' ').ends_with(':') {
                    keyboard.write_all(format!("{}\r", answers[asked]).as_bytes()).unwrap();
                    asked += 1;
                }
            }
        }
        if started.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            panic!("waits for ever; shown so far:\n{shown}");
        }
    }
    let _ = child.wait();
    shown
}

/// No core of a process that holds keys: the kernel says so by giving its files in /proc to root (proc(5), `/proc/pid`).
#[test]
fn no_core_is_dumped() {
    use std::os::unix::fs::MetadataExt;
    require!("setpriv");
    require_root!();
    let sandbox = Sandbox::new();
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let owner = |program: &Path, arguments: &[&str]| {
        let mut child = sandbox.program("setpriv").args(words).arg(program).args(arguments).start();
        let own = format!("/proc/{}", child.id());
        let name = program.file_name().unwrap().to_str().unwrap().to_owned();
        let deadline = Instant::now() + Duration::from_secs(60);
        // Once it waits for its input, it is that program, and past its beginning.
        let waits = || {
            fs::read_to_string(format!("{own}/comm")).is_ok_and(|comm| comm.trim() == name)
                && fs::read_to_string(format!("{own}/stat")).is_ok_and(|stat| stat.contains(") S "))
        };
        while !waits() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let owner = fs::metadata(format!("{own}/environ")).unwrap().uid();
        drop(child.stdin.take());
        let _ = child.wait().unwrap();
        owner
    };
    assert_eq!(owner(Path::new("cat"), &[]), 65534, "the test sees no difference");
    assert_eq!(owner(dockseal_tests::dockseal_binary(), &["inspect", "-"]), 0);
}
