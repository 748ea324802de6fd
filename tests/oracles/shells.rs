//! `dockseal env` read by the shells themselves: each evaluates the text the way its last line says, in directories whose
//! names hold everything that a name can hold, and hands back the environment that it then gives to a program.
//!
//! Needed: the Debian packages bash, dash, ksh, zsh, fish and tcsh, and the npm package nushell (its binary is among the
//! packages; `tests/setup` puts it under the tools directory). PowerShell and cmd.exe do not run here; for them there are
//! the documented rules, in the tests of crates/docker/src/env.rs.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, str};

use dockseal_tests::{
    Bundle, Dockerd, DockerdOptions, Random, Sandbox, dockseal_binary, note_skip, pki, require, require_root, tool,
};

const URL: &str = "tcp://[2001:db8::1]:2376";

/// A shell, and how it is told to evaluate what the program `$PRINT` prints.
struct Shell {
    name: &'static str,
    program: &'static str,
    args: &'static [&'static str],
    /// Typed at its prompt; with `args` alone when empty.
    typed: &'static str,
    /// The characters of which it can be given none.
    refuses: &'static [u8],
    takes_any_bytes: bool,
}

const SH: &str = "eval \"$(\"$PRINT\")\"; exec env -0";
const SHELLS: [Shell; 10] = [
    sh("bash", "bash", &["--norc", "-c", SH], ""),
    sh("bash at its prompt", "bash", &["--norc", "-i"], "eval \"$(\"$PRINT\")\"; env -0\n"),
    sh("dash", "dash", &["-c", SH], ""),
    sh("ksh", "ksh", &["-c", SH], ""),
    sh("zsh", "zsh", &["-f", "-c", SH], ""),
    sh("zsh at its prompt", "zsh", &["-f", "-i"], "eval \"$(\"$PRINT\")\"; env -0\n"),
    sh("fish", "fish", &["--no-config", "-c", "$PRINT | source; env -0"], ""),
    Shell { refuses: b"\n", ..sh("tcsh", "tcsh", &["-f", "-c", "eval \"`$PRINT`\"; env -0"], "") },
    Shell { refuses: b"\n", ..sh("tcsh at its prompt", "tcsh", &["-f", "-i"], "eval \"`$PRINT`\"; env -0\n") },
    Shell {
        takes_any_bytes: false,
        ..sh("nushell", "nu", &["-n", "-c", "^$env.PRINT | from nuon | load-env; ^env -0"], "")
    },
];

const fn sh(name: &'static str, program: &'static str, args: &'static [&'static str], typed: &'static str) -> Shell {
    Shell { name, program, args, typed, refuses: b"", takes_any_bytes: true }
}

impl Shell {
    fn path(&self) -> Option<PathBuf> {
        tool(self.program)
    }

    fn can_be_given(&self, name: &[u8]) -> bool {
        (self.takes_any_bytes || str::from_utf8(name).is_ok()) && !name.iter().any(|byte| self.refuses.contains(byte))
    }

    /// What the shell then gives to a program, entry by entry, when `print` is the program it evaluates.
    fn environment(&self, sandbox: &Sandbox, print: &Path, before: &[(&str, &OsStr)]) -> Vec<OsString> {
        let mut program = sandbox.program(self.path().expect("the shell")).args(self.args).env("PRINT", print);
        program = program.env("HOME", sandbox.root().join("home"));
        for (name, value) in before {
            program = program.env(name, value);
        }
        let mut child = program.start();
        child.stdin.take().expect("stdin").write_all(self.typed.as_bytes()).expect("typed");
        let out = child.wait_with_output().expect("the shell ends");
        let entries = out.stdout.split(|byte| *byte == 0);
        entries.map(|entry| OsString::from_vec(entry.to_vec())).collect()
    }

    /// Whether `NAME=VALUE` is among the entries; at a prompt the first has the prompt before it.
    fn holds(&self, entries: &[OsString], name: &str, value: &OsStr) -> bool {
        let wanted = [name.as_bytes(), b"=", value.as_bytes()].concat();
        let at_prompt = !self.typed.is_empty();
        entries
            .iter()
            .map(|entry| entry.as_bytes())
            .any(|entry| entry == wanted || at_prompt && entry.ends_with(&wanted))
    }
}

/// Names of directories: everything that some shell takes for more than a character, then any mixture of it.
fn names() -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "plain",
        "two  blanks",
        "it's",
        "''",
        "'",
        "a\"b",
        "$HOME",
        "`id`",
        "$(id)",
        "a\\b",
        "a\\",
        "\\'",
        "!!",
        "a!b",
        "a\\!b",
        "!",
        "a\nb",
        "a\n\n",
        "\n",
        "%PATH%",
        "*",
        "?[a]",
        "~",
        "~root",
        "a\tb",
        " ",
        " a ",
        "caf\u{e9}",
        "\u{1f433}",
        "\u{2019}",
        "\u{2028}",
        "a;b&c|d<e>f(g){h}",
        "#",
        "# x",
        "\u{1b}[31m",
        "\u{7f}\u{1}",
        "a\rb",
        "-n",
        "--help",
        "^a^b",
        "{b,c}",
        "=ls",
        "a=b",
        ":q",
        "@x",
        "a\\\nb",
        "$'x'",
        "\u{feff}",
        "a\u{301}",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.extend([b"latin-\xe9".to_vec(), b"\xff\xfe".to_vec()]);
    let mut random = Random::seeded(2);
    let alphabet = b" '\"$`\\!\n*?%#&;|()<>{}[]~^=:@,\tab\xe2\x80";
    names.extend((0..40).map(|_| {
        let length = 1 + random.below(12);
        (0..length).map(|_| alphabet[random.below(alphabet.len() as u64) as usize]).collect()
    }));
    names.retain(|name| name != b"." && name != b"..");
    names
}

/// A program that prints what `dockseal env` prints for `arguments`, which are shell words.
fn printer(sandbox: &Sandbox, arguments: &str) -> PathBuf {
    let path = sandbox.write("print", format!("#!/bin/sh\nexec '{}' env {arguments}\n", dockseal_binary().display()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Runs `check` for every shell there is; the others are skips, each by its name.
fn for_every_shell(check: impl Fn(&Shell)) {
    let mut missing: Vec<&str> = Vec::new();
    for shell in &SHELLS {
        if shell.path().is_some() {
            check(shell);
        } else if !missing.contains(&shell.program) {
            missing.push(shell.program);
        }
    }
    if !missing.is_empty() {
        note_skip(&format!("no {}", missing.join(", no ")));
    }
}

#[test]
fn every_path_arrives_in_every_shell() {
    for_every_shell(|shell| {
        let sandbox = Sandbox::new();
        // The directory comes as an environment variable, so that no quoting of this test's own is involved.
        let print = printer(&sandbox, &format!("\"$TARGET\" --host '{URL}' 2>/dev/null"));
        let (mut read, mut refused) = (0, 0);
        for name in names() {
            let dir = sandbox.work().join("d").join(OsStr::from_bytes(&name));
            fs::create_dir_all(&dir).unwrap();
            let shown = format!("{}: {:?}", shell.name, OsStr::from_bytes(&name));
            if !shell.can_be_given(&name) {
                let ran = sandbox.dockseal(["env"]).arg(&dir).args(["--shell", shell.program]).run();
                assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{shown}");
                refused += 1;
                continue;
            }
            let entries = shell.environment(&sandbox, &print, &[("TARGET", dir.as_os_str())]);
            assert!(shell.holds(&entries, "DOCKER_CERT_PATH", dir.as_os_str()), "{shown}\n{entries:?}");
            assert!(shell.holds(&entries, "DOCKER_HOST", OsStr::new(URL)), "{shown}\n{entries:?}");
            assert!(shell.holds(&entries, "DOCKER_TLS_VERIFY", OsStr::new("1")), "{shown}\n{entries:?}");
            read += 1;
        }
        println!("{}: {read} paths read back, {refused} refused", shell.name);
        assert!(read > 60);
    });
}

#[test]
fn the_check_above_notices_text_that_is_not_quoted() {
    for_every_shell(|shell| {
        let sandbox = Sandbox::new();
        // As docker-machine wrote it.
        let line = match shell.program {
            "fish" => "set -gx DOCKER_CERT_PATH \"/a$HOME\";",
            "tcsh" => "setenv DOCKER_CERT_PATH \"/a$HOME\";",
            "nu" => "{DOCKER_CERT_PATH: $\"/a($env.HOME)\"}",
            _ => "export DOCKER_CERT_PATH=\"/a$HOME\"",
        };
        let print = sandbox.write("print", format!("#!/bin/sh\ncat <<'END'\n{line}\nEND\n"));
        fs::set_permissions(&print, fs::Permissions::from_mode(0o755)).unwrap();
        let entries = shell.environment(&sandbox, &print, &[]);
        assert!(!shell.holds(&entries, "DOCKER_CERT_PATH", OsStr::new("/a$HOME")), "{}", shell.name);
    });
}

#[test]
fn unset_leaves_none_of_the_three() {
    for_every_shell(|shell| {
        let sandbox = Sandbox::new();
        let print = printer(&sandbox, "--unset");
        let before = ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"].map(|name| (name, OsStr::new("/old")));
        // Nushell evaluates nothing at run time: the text goes through a file, as its last line says.
        let nushell = Shell { args: &["-n", "-c", "source unset.nu; ^env -0"], ..sh("nushell", "nu", &[], "") };
        let shell = if shell.program == "nu" {
            let text = sandbox.dockseal(["env", "--unset", "--shell", "nushell"]).run().success().stdout;
            sandbox.write("unset.nu", text);
            &nushell
        } else {
            shell
        };
        let held =
            |entries: &[OsString]| before.iter().filter(|(name, value)| shell.holds(entries, name, value)).count();
        let entries = shell.environment(&sandbox, &print, &before);
        assert!(entries.len() > 3, "{}: it printed no environment", shell.name);
        assert_eq!(held(&entries), 0, "{}\n{entries:?}", shell.name);
        if shell.program != "nu" {
            let nothing = printer(&sandbox, "--unset >/dev/null");
            assert_eq!(held(&shell.environment(&sandbox, &nothing, &before)), 3, "{}: the control", shell.name);
        }
    });
}

#[test]
fn the_last_line_does_what_it_says() {
    for_every_shell(|shell| {
        if !shell.typed.is_empty() {
            return;
        }
        let sandbox = Sandbox::new();
        let bin = sandbox.path("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(dockseal_binary(), bin.join("dockseal")).unwrap();
        let names: &[&str] =
            if shell.program == "tcsh" { &["plain"] } else { &["plain", "two  blanks", "it's $HOME", "-a\\\"b!"] };
        for name in names {
            let dir = sandbox.path(name);
            fs::create_dir(&dir).unwrap();
            let word = format!("./{name}");
            let text = sandbox.dockseal(["env", &word, "--shell", shell.program]).run().success().stdout;
            let line = text.lines().last().unwrap();
            let command = if shell.program == "tcsh" {
                line.strip_prefix(": '").unwrap().strip_suffix("';").unwrap()
            } else {
                line.strip_prefix("# ").unwrap()
            };
            let command = format!("{command}; {}env -0", if shell.program == "nu" { "^" } else { "" });
            let path = format!("{}:/usr/bin:/bin", bin.display());
            let args: Vec<&str> = shell.args.iter().copied().take_while(|arg| *arg != "-c").collect();
            let program = sandbox.program(shell.path().unwrap()).args(args).args(["-c", &command]).env("PATH", path);
            let ran = program.run();
            let wanted = format!("DOCKER_CERT_PATH={}", dir.display());
            assert!(ran.stdout.split('\0').any(|entry| entry == wanted), "{}: {command}\n{ran}", shell.name);
        }
    });
}

#[test]
fn docker_gets_through_with_what_a_shell_read() {
    require_root!();
    require!("dockerd", "containerd", "docker");
    let pki = pki("p256", "p256");
    let daemon = Dockerd::start(&DockerdOptions { material: pki.daemon.clone(), ipv6: true });
    let client = Bundle(daemon.sandbox().path("Ada's  $ecret \"files\" !\\"));
    fs::create_dir(&client.0).unwrap();
    for (from, to) in
        [(pki.client.ca(), client.ca()), (pki.client.cert(), client.cert()), (pki.client.key(), client.key())]
    {
        fs::copy(from, to).unwrap();
    }
    let binary = dockseal_binary().display().to_string();
    let docker = tool("docker").unwrap();
    for (shell, args, line) in [
        ("bash", ["--norc", "-c"], "eval \"$(\"$DS\" env . --host \"$URL\")\"; exec \"$DOCKER\" version"),
        ("dash", ["-f", "-c"], "eval \"$(\"$DS\" env . --host \"$URL\")\"; exec \"$DOCKER\" version"),
        ("fish", ["--no-config", "-c"], "$DS env . --host $URL | source; $DOCKER version"),
        ("tcsh", ["-f", "-c"], "set noglob; eval \"`$DS env . --host $URL`\"; $DOCKER version"),
    ] {
        require!(shell);
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            let program = daemon.sandbox().program(shell).args(args).arg(line).cwd(&client.0);
            let program = program.env("DS", &binary).env("DOCKER", &docker).env("URL", daemon.url(host));
            let _ = program.run().success().says("Server");
        }
    }
    // The control: with what --unset leaves, the same docker does not get there.
    let line = "eval \"$(\"$DS\" env . --host \"$URL\")\"; eval \"$(\"$DS\" env --unset)\"; exec \"$DOCKER\" -H \"$URL\" version";
    let program = daemon.sandbox().program("bash").args(["--norc", "-c", line]).cwd(&client.0);
    let ran = program.env("DS", &binary).env("DOCKER", &docker).env("URL", daemon.url("127.0.0.1")).run();
    assert_ne!(ran.code, Some(0), "{ran}");
}

#[test]
fn a_script_is_asked_for_by_its_interpreter() {
    // Below fish, a script of sh still needs sh's words, though the login shell is a third one.
    let Some(fish) = tool("fish") else { return note_skip("no fish") };
    let sandbox = Sandbox::new();
    let binary = dockseal_binary().display();
    let script = sandbox.write("script", format!("#!/bin/sh\n'{binary}' env --unset\ntrue\n"));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |line: &str| {
        sandbox.program(&fish).args(["--no-config", "-c", line]).env("SHELL", "/bin/tcsh").run().success().stdout
    };
    assert!(run("./script; true").starts_with("unset DOCKER_TLS_VERIFY\n"));
    assert!(run(&format!("'{binary}' env --unset; true")).starts_with("set -e DOCKER_TLS_VERIFY;\n"));
}
