//! Every command of the README runs. A fenced `sh` block is run line by line, all blocks
//! in one sandbox, in order, as a reader would.
//!
//! A line is one of: a comment; `cargo run … -- ARGS` or `dockseal ARGS`, which must
//! succeed; `tests/run`, which is what runs this; or another program's, which is checked
//! only for being one we know of (what talks to a Docker host is proven in the oracles).
//! Anything else fails: a block we cannot run is no block for `sh`.
//!
//! The README's host is a real one: a machine of the tests, which `build.example.com` leads
//! to by an `/etc/hosts` that only these commands see.

use std::fs;

use dockseal_tests::{HostOptions, Operator, dockseal_binary, repository, require_hosts};

/// First words of commands that are somebody else's.
const OTHERS: [&str; 15] = [
    "docker",
    "dockerd",
    "sudo",
    "install",
    "systemctl",
    "scp",
    "ssh",
    "openssl",
    "curl",
    "git",
    "cd",
    "export",
    "eval",
    "cargo",
    "rsync",
];

/// The lines of all fenced `sh` blocks, continuation lines joined.
fn commands(readme: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut joined = String::new();
    for line in readme.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside && matches!(line.trim(), "```sh" | "```bash" | "```console");
            continue;
        }
        if !inside {
            continue;
        }
        let line = line.trim().strip_prefix("$ ").unwrap_or(line.trim());
        if let Some(start) = line.strip_suffix('\\') {
            joined.push_str(start);
            continue;
        }
        joined.push_str(line);
        let command = std::mem::take(&mut joined);
        if !command.is_empty() && !command.starts_with('#') {
            found.push(command);
        }
    }
    found
}

/// The arguments for the binary, when the line runs it.
fn ours(command: &str) -> Option<&str> {
    command.strip_prefix("dockseal ").or_else(|| {
        let rest = command.strip_prefix("cargo run ")?;
        Some(rest.split_once("-- ").map_or("", |(_, arguments)| arguments))
    })
}

#[test]
fn every_command_runs() {
    require_hosts!();
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let commands = commands(&readme);
    let operator = Operator::new();
    let host = operator.boot(&HostOptions::named("build.example.com"));
    let sandbox = operator.sandbox();
    let bin = operator.bin();
    let hosts = sandbox.write("hosts", format!("127.0.0.1 localhost\n{} build.example.com\n", host.address()));
    std::os::unix::fs::symlink(dockseal_binary(), bin.join("dockseal")).unwrap();
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", bin.display());
    // What a command of the README reads that no command before it made.
    sandbox.write("users.txt", "carol\ndave\n");
    sandbox.write("passphrase.txt", "correct horse\n");
    let mut run = 0;
    for command in &commands {
        println!("$ {command}");
        if let Some(arguments) = ours(command) {
            // Nobody is there to be asked for a passphrase.
            let line = format!("mount --bind '{}' /etc/hosts && dockseal {arguments}", hosts.display());
            let asks = ["init", "adopt", "bootstrap", "issue"].iter().any(|verb| arguments.contains(verb));
            let needs = asks && !arguments.contains("passphrase");
            let program = sandbox.program("unshare").env("PATH", &path);
            let program = if needs {
                sandbox.write("credentials/dockseal.passphrase", "correct horse\n");
                program.env("CREDENTIALS_DIRECTORY", sandbox.path("credentials"))
            } else {
                program
            };
            let ran = program.args(["--mount", "sh", "-c", &line]).run().success();
            print!("{}{}", ran.stderr, ran.stdout);
            run += 1;
        } else if command.starts_with("tests/") {
            let script = command.split(' ').next().unwrap();
            assert!(repository().join(script).is_file(), "{script} is not there");
        } else {
            let first = command.split_whitespace().find(|word| !word.contains('=')).unwrap_or("export");
            assert!(OTHERS.contains(&first), "cannot tell whether this runs: {command}");
        }
    }
    assert!(run > 0, "the README has no command of ours in a ```sh block");
    assert_eq!(
        ours(&commands[0]).map(|arguments| arguments.starts_with("bootstrap ")),
        Some(true),
        "the first command does the main job"
    );
    assert!(commands.get(1).is_some_and(|command| command.starts_with("tests/run")), "the second runs all tests");
}

/// The reader of blocks itself.
#[test]
fn blocks_are_read() {
    let text = "a\n```sh\n# c\n$ one \\\n  two\nthree\n```\n```text\nfour\n```\n";
    assert_eq!(commands(text), ["one two", "three"]);
    assert_eq!(ours("cargo run --release -- bootstrap x"), Some("bootstrap x"));
    assert_eq!(ours("dockseal env"), Some("env"));
    assert_eq!(ours("docker version"), None);
}
