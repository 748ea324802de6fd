//! Pictures of whole stories: each command, its exit code, both streams and the file
//! tree with modes. Looked at by a person, then kept in `snapshots/`; a change shows as
//! a difference. `DOCKSEAL_BLESS=1` writes them anew.

use std::fmt::Write;
use std::fs;

use dockseal_tests::{Sandbox, tree};

pub(crate) fn story(name: &str, lines: &[&str]) {
    let sandbox = Sandbox::new();
    let mut shown = String::new();
    for line in lines {
        let ran = sandbox.dockseal(["--at", "2030-06-15T12:00:00Z"]).args(line.split(' ')).run();
        writeln!(shown, "$ dockseal {line}\nexit code {}", ran.code.unwrap()).unwrap();
        for (stream, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
            if !text.is_empty() {
                writeln!(shown, "--- {stream}\n{}", text.trim_end_matches('\n')).unwrap();
            }
        }
        writeln!(shown).unwrap();
    }
    let root = sandbox.root();
    writeln!(shown, "--- files\n{}", tree(&root.join("here"))).unwrap();
    writeln!(shown, "--- authority\n{}", tree(&crate::home(&sandbox))).unwrap();
    let shown = normalised(&shown.replace(root.to_str().unwrap(), "[SANDBOX]"));
    let path = dockseal_tests::repository().join("tests/cli/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("DOCKSEAL_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &shown).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    if kept != shown {
        let sandbox = Sandbox::new();
        let new = sandbox.write("new", &shown);
        let difference = sandbox.program("diff").arg("-u").arg(&path).arg(&new).run().stdout;
        panic!("tests/cli/snapshots/{name}.txt differs (DOCKSEAL_BLESS=1 takes the new one over):\n{difference}");
    }
}

/// Replaces what differs from run to run: runs of hexadecimal digits (serials,
/// fingerprints, key ids), with or without colons, of 16 digits and more, and the part
/// of a subject that makes it unique.
fn normalised(text: &str) -> String {
    // Columns are as wide as the sandbox's path, which differs too.
    let lines = text.lines().map(|line| {
        let indent = line.len() - line.trim_start().len();
        let mut body = line[indent..].to_owned();
        while body.contains("   ") {
            body = body.replace("   ", "  ");
        }
        format!("{}{body}\n", &line[..indent])
    });
    let text = lines.collect::<String>();
    let mut rest = text.as_str();
    let mut out = String::new();
    while !rest.is_empty() {
        let run: usize = rest.chars().take_while(|c| c.is_ascii_hexdigit() || *c == ':').map(char::len_utf8).sum();
        let digits = rest[..run].chars().filter(char::is_ascii_hexdigit).count();
        if digits >= 12 && rest[..run].chars().any(|c| c.is_ascii_digit()) {
            out.push_str("[HEX]");
            rest = &rest[run..];
        } else {
            let step = rest.chars().next().map_or(1, char::len_utf8).max(run);
            out.push_str(&rest[..step]);
            rest = &rest[step..];
        }
    }
    out
}

#[test]
fn bootstrap() {
    story(
        "bootstrap",
        &[
            "bootstrap build.example.com 10.0.0.5 --client alice --no-passphrase",
            "bootstrap build.example.com 10.0.0.5 --client alice --no-passphrase",
            "bootstrap build.example.com 10.0.0.5 --client alice --client bob --no-passphrase",
        ],
    );
}

#[test]
fn bootstrap_json() {
    story("bootstrap-json", &["--format json bootstrap build.example.com 10.0.0.5 --client alice --no-passphrase"]);
}

#[test]
fn step_by_step() {
    story(
        "step-by-step",
        &[
            "init --name Office --permit example.com --permit 10.0.0.0/8 --no-passphrase",
            "init --name Office --no-passphrase",
            "issue daemon build.example.com 10.0.0.5 --out daemon --no-passphrase",
            "issue client alice --out alice --no-passphrase",
            "issue client alice --out alice --no-passphrase",
            "issue client alice --out alice --no-passphrase --replace",
            "issue client alice --out long --no-passphrase --lifetime 20y",
            "issue daemon evil.test --out evil --no-passphrase",
        ],
    );
}

#[test]
fn requests() {
    story(
        "requests",
        &[
            "init --no-passphrase",
            "request daemon build.example.com --out there",
            "issue daemon build.example.com --csr there/request.csr --out signed --no-passphrase",
            "issue client alice --csr there/request.csr --out other --no-passphrase",
        ],
    );
}

#[test]
fn refusals() {
    story(
        "refusals",
        &[
            "issue client alice --out alice --no-passphrase",
            "init",
            "init --no-passphrase",
            "issue daemon build.example.com. --out d --no-passphrase",
            "issue daemon tcp://build.example.com:2376 --out d --no-passphrase",
            "issue daemon fe80::1%eth0 --out d --no-passphrase",
            "issue daemon * --out d --no-passphrase",
            "issue daemon --out d --no-passphrase",
            "issue daemon h.test --out d --no-passphrase --lifetime 0d",
            "issue daemon h.test --out d --no-passphrase --lifetime 900d",
            "issue client a/b --out d --no-passphrase",
            "issue client alice --out d",
        ],
    );
}
