//! Skips that are heard: named on the terminal whatever the test runner captures,
//! written to `DOCKSEAL_SKIP_LOG` for `tests/run` to count, and failures when
//! `DOCKSEAL_NO_SKIP` is set.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

/// Returns from the test, loudly, unless every program named is there.
#[macro_export]
macro_rules! require {
    ($($name:expr),+ $(,)?) => {
        $(if $crate::tool($name).is_none() {
            $crate::note_skip(&format!("no {}", $name));
            return;
        })+
    };
}

/// Returns from the test, loudly, unless it runs as root.
#[macro_export]
macro_rules! require_root {
    () => {
        if !$crate::is_root() {
            $crate::note_skip("not root");
            return;
        }
    };
}

/// Where a program is: on the PATH, in a system directory, or among what
/// `tests/setup` put under the target directory.
#[must_use]
pub fn tool(name: &str) -> Option<PathBuf> {
    if name == "busybox" {
        return ["/bin/busybox", "/usr/bin/busybox"].iter().map(PathBuf::from).find(|path| path.is_file());
    }
    if name == "easyrsa" {
        return Some(PathBuf::from("/usr/share/easy-rsa/easyrsa")).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(PathBuf::from))
        .chain([tools_dir().join("pkilint/bin")])
        .chain(
            ["linux-x64", "linux-arm64"].map(|of| tools_dir().join(format!("nushell/node_modules/@nushell/{of}/bin"))),
        )
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

/// Where `tests/setup` puts tools of its own.
#[must_use]
pub fn tools_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| crate::repository().join("target"), PathBuf::from)
        .join("test-tools")
}

/// Whether the test has root's rights.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that the running test skips, and why.
///
/// # Panics
/// When `DOCKSEAL_NO_SKIP` is set.
pub fn note_skip(why: &str) {
    let current = std::thread::current();
    let line = format!("SKIPPED {}: {why}\n", current.name().unwrap_or("a test"));
    // Written past the test runner's capture, which would hide it.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(log) = std::env::var_os("DOCKSEAL_SKIP_LOG") {
        let mut file = OpenOptions::new().append(true).create(true).open(log).expect("skip log");
        file.write_all(line.as_bytes()).expect("skip log");
    }
    assert!(std::env::var_os("DOCKSEAL_NO_SKIP").is_none_or(|value| value.is_empty()), "{line}");
}
