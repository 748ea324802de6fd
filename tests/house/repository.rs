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
