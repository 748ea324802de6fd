//! `dockseal completions` and `dockseal man`: what is written. What shells and man make of it is among the oracles.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockseal_tests::{Sandbox, tree};

use crate::refused;

#[test]
fn a_script_for_each_shell() {
    let sandbox = Sandbox::new();
    let before = tree(sandbox.root());
    for shell in ["bash", "zsh", "fish", "nushell", "powershell", "elvish"] {
        let script = sandbox.dockseal(["completions", shell]).run().success().stdout;
        for word in ["rollover", "client-mode", "dockerd-flags"] {
            assert!(script.contains(word), "{shell} has no {word}");
        }
    }
    refused(&sandbox.dockseal(["completions", "ksh"]).run(), &[2]);
    before.assert_same(&tree(sandbox.root()), "completions");
}

#[test]
fn a_page_for_each_command() {
    let sandbox = Sandbox::new();
    let page = sandbox.dockseal(["man"]).run().success().stdout;
    assert!(page.contains(".SH NAME") && page.is_ascii(), "{page}");
    let _ = sandbox.dockseal(["man", "a/man1"]).run().success();
    assert_eq!(fs::read_to_string(sandbox.path("a/man1/dockseal.1")).unwrap(), page);
    let pages: Vec<String> = fs::read_dir(sandbox.path("a/man1"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    // Every command that --help names has one.
    let help = sandbox.dockseal(["--help"]).run().success().stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<&str> = names.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 20, "{help}");
    for name in names.iter().filter(|name| **name != "help") {
        assert!(pages.contains(&format!("dockseal-{name}.1")), "{name}: {pages:?}");
    }
    let mode = |path: &str| fs::metadata(sandbox.path(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a/man1"), mode("a/man1/dockseal-issue-daemon.1")), (0o755, 0o644));
    let after = tree(sandbox.root());
    let _ = sandbox.dockseal(["man", "a/man1"]).run().success();
    after.assert_same(&tree(sandbox.root()), "a second time");
    sandbox.write("file", "mine");
    refused(&sandbox.dockseal(["man", "file/x"]).run(), &[2]);
}
