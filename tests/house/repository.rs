//! What may lie where.

use std::fs;
use std::process::Command;

use dockseal_tests::repository;

/// The top level holds these and names that begin with a dot.
const TOP: [&str; 7] = ["Cargo.toml", "Cargo.lock", "crates", "examples", "tests", "README.md", "LICENSE"];

fn tracked() -> Option<Vec<String>> {
    let out = Command::new("git").args(["ls-files", "-z"]).current_dir(repository()).output().ok()?;
    out.status.success().then(|| {
        String::from_utf8_lossy(&out.stdout)
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    })
}

#[test]
fn top_level() {
    let Some(files) = tracked() else {
        dockseal_tests::note_skip("not a git checkout");
        return;
    };
    for file in &files {
        let first = file.split('/').next().unwrap();
        assert!(TOP.contains(&first) || first.starts_with('.'), "{file} has no place at the top level");
    }
}

/// No `unsafe`, and no private key that is not a test's own short-lived one.
#[test]
fn nothing_unsafe_and_no_keys() {
    let Some(files) = tracked() else {
        dockseal_tests::note_skip("not a git checkout");
        return;
    };
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let text = fs::read_to_string(repository().join(file)).unwrap_or_default();
        let keyword = ["uns", "afe "].concat();
        for opening in ["{", "fn", "impl", "trait"] {
            assert!(!text.contains(&format!("{keyword}{opening}")), "{file} has {keyword}{opening}");
        }
    }
    let kept: Vec<_> = files.iter().filter(|file| file.ends_with(".pem") || file.ends_with(".key")).collect();
    assert!(kept.is_empty(), "material is minted in the tests, not kept: {kept:?}");
}

/// The front page of every library's documentation has a program that runs.
#[test]
fn front_pages_have_a_program() {
    let mut libraries = 0;
    for entry in fs::read_dir(repository().join("crates")).unwrap() {
        let Ok(text) = fs::read_to_string(entry.unwrap().path().join("src/lib.rs")) else { continue };
        let page: Vec<&str> = text.lines().take_while(|line| line.starts_with("//!")).collect();
        // Fences come in pairs; one that opens a program has no word of another language.
        let opened = page.iter().filter(|line| line.starts_with("//! ```")).step_by(2).any(|line| *line == "//! ```");
        assert!(opened, "{}", text.lines().next().unwrap_or_default());
        libraries += 1;
    }
    assert!(libraries >= 10, "{libraries}");
}
