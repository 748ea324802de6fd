//! The completion scripts in the shells themselves, and the manual pages by man, groff and lexgrog.
//!
//! PowerShell and elvish do not run here: their scripts come from the same generator (clap_complete), untried.

use std::fs;
use std::path::Path;

use dockseal_tests::{Sandbox, dockseal_binary, require, tool};

/// What is typed, what has to be offered for it, and what may not be.
const LINES: [(&str, &[&str], &[&str]); 4] = [
    ("dockseal rollo", &["rollover"], &["rollback", "verify"]),
    ("dockseal rollover a", &["advance", "abort"], &["begin"]),
    ("dockseal verify --client-m", &["--client-mode"], &["--client-ca"]),
    ("dockseal verify --client-mode tls", &["tls", "tlsverify"], &["none"]),
];

/// A sandbox with the program on its PATH.
fn with_program() -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let bin = sandbox.path("bin");
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(dockseal_binary(), bin.join("dockseal")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    (sandbox, path)
}

#[track_caller]
fn offers(shell: &str, line: &str, said: &str, wanted: &[&str], unwanted: &[&str]) {
    // Escape sequences and descriptions are no words of these.
    let words: Vec<&str> = said.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).collect();
    for word in wanted {
        assert!(words.contains(word), "{shell}, {line:?}: no {word}\n{said}");
    }
    for word in unwanted {
        assert!(!words.contains(word), "{shell}, {line:?}: {word}\n{said}");
    }
}

#[test]
fn bash() {
    require!("bash");
    let (sandbox, path) = with_program();
    for (line, wanted, unwanted) in LINES {
        // As bash itself calls it: the function that `complete -p` names.
        let script = format!(
            "source <(dockseal completions bash); COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             function=$(complete -p dockseal | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $function dockseal \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let ran = sandbox.program("bash").args(["--norc", "-c", &script]).env("PATH", &path).run().success();
        offers("bash", line, &ran.stdout, wanted, unwanted);
    }
}

#[test]
fn fish() {
    require!("fish");
    let (sandbox, path) = with_program();
    for (line, wanted, unwanted) in LINES {
        let script = format!("dockseal completions fish | source; complete -C '{line}'");
        let ran = sandbox.program("fish").args(["--no-config", "-c", &script]).env("PATH", &path).run().success();
        let words: Vec<&str> = ran.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
        offers("fish", line, &words.join("\n"), wanted, unwanted);
    }
}

/// At zsh's prompt, in a terminal of zsh's own making; a list of choices comes with the second tab.
#[test]
fn zsh() {
    require!("zsh");
    let (sandbox, path) = with_program();
    let script = sandbox.dockseal(["completions", "zsh"]).run().success().stdout;
    sandbox.write("functions/_dockseal", script);
    for (line, wanted, unwanted) in LINES {
        let typed = format!(
            "zmodload zsh/zpty; zpty z zsh -f -i\n\
             zpty -w z 'stty cols 200 -echo; PS1=; fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -u -D; \
             zstyle \":completion:*\" verbose no; setopt list_ambiguous; echo rea\"\"dy'\n\
             zpty -r -m z said '*ready*'\n\
             zpty -w -n z '{line}'$'\\t\\t'\n\
             said=; for i in {{1..100}}; do sleep 0.05; \
             while zpty -r -t z more; do said+=$more; done; [[ $said == *{last}* ]] && (( i > 20 )) && break; done\n\
             print -r -- \"$said\"; zpty -d z",
            last = wanted[wanted.len() - 1],
        );
        let ran = sandbox.program("zsh").args(["-f", "-c", &typed]).env("PATH", &path).env("TERM", "dumb").run();
        offers("zsh", line, &ran.stdout, wanted, unwanted);
    }
}

#[test]
fn nushell() {
    require!("nu");
    let (sandbox, path) = with_program();
    let script = sandbox.dockseal(["completions", "nushell"]).run().success().stdout;
    sandbox.write("dockseal.nu", script);
    for (line, wanted, unwanted) in LINES {
        // What an editor asks it: what completes the file at its end.
        let text = format!("use dockseal.nu *\n{line}");
        let file = sandbox.write("line.nu", &text);
        let nu =
            sandbox.program(tool("nu").unwrap()).args(["-n", "--ide-complete", &text.len().to_string()]).arg(&file);
        let ran = nu.env("PATH", &path).run().success();
        let said: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran}"));
        let words: Vec<&str> =
            said["completions"].as_array().unwrap().iter().filter_map(|word| word.as_str()).collect();
        offers("nu", line, &words.join("\n"), wanted, unwanted);
    }
}

fn pages(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut pages: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() > 30, "{pages:?}");
    pages
}

#[test]
fn manual_pages_have_no_faults() {
    require!("man", "groff", "lexgrog");
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(["man", "man/man1"]).run().success();
    let man = |page: &str| {
        let man = sandbox.program("man").args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]);
        man.arg(sandbox.path(page)).env("MANROFFSEQ", "").env("MANWIDTH", "80").run()
    };
    // They would say so.
    sandbox.write("wrong.1", ".TH x 1\n.SH NAME\nx \\- \\[nonsense]\n.nonsense\n");
    assert!(!man("wrong.1").stderr.is_empty());
    for page in pages(&sandbox.path("man/man1")) {
        let name = page.file_stem().unwrap().to_str().unwrap().to_owned();
        let ran = man(&format!("man/man1/{name}.1")).success();
        assert_eq!(ran.stderr, "", "{name}");
        let ran = sandbox.program("groff").args(["-man", "-ww", "-z"]).arg(&page).run().success();
        assert_eq!(ran.stderr, "", "{name}");
        // What apropos finds it by.
        let ran = sandbox.program("lexgrog").arg(&page).run().success();
        assert!(ran.stdout.contains(&format!("\"{name} - ")), "{ran}");
    }
    let text = sandbox.program("man").args(["-P", "cat", "-M"]).arg(sandbox.path("man")).arg("dockseal-verify");
    let text = text.env("MANWIDTH", "100").run().success().stdout;
    for part in ["SYNOPSIS", "--daemon-json", "tlsverify=false", "dockseal verify --chain cert.pem --ca ca.pem"] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn apropos_finds_them() {
    require!("man", "mandb", "apropos");
    let sandbox = Sandbox::new();
    let _ = sandbox.dockseal(["man", "man/man1"]).run().success();
    let _ = sandbox.program("mandb").args(["-q", "-c"]).arg(sandbox.path("man")).run().success();
    let found = sandbox.program("apropos").arg("-M").arg(sandbox.path("man")).args(["-a", "dockseal", "certificates"]);
    let found = found.run().success().stdout;
    assert!(found.contains("dockseal-verify (1)"), "{found}");
}
