//! What the tests under `tests/` stand on: sandboxes, programs run in them, a
//! real `dockerd` on loopback, skips that are heard, and pictures of file trees.
//!
//! Nothing here knows how Dockseal works inside; it only runs the binary.
//!
//! Rules kept here so that no test has to: every program runs with an empty
//! environment of its own (never the caller's `~/.docker`), every process started
//! is ended by its own id, every mount and directory made is taken away again, and
//! ports are the kernel's choice with a retry where a program must bind by number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "test code: the clock, the environment and raw files are its business, and it fails by panicking"
)]

mod bundle;
mod dockerd;
mod fixture;
mod host;
mod program;
mod random;
mod sandbox;
mod skip;
mod tree;

pub use bundle::{Bundle, public_key_of_certificate, public_key_of_key};
pub use dockerd::{Dockerd, DockerdOptions, busybox_image};
pub use fixture::{KEY_TYPES, MIXED_PAIRS, Pki, pki};
pub use host::{Cable, DockerAtBoot, Host, HostOptions, Init, Operator, host_base};
pub use program::{Program, Ran};
pub use random::Random;
pub use sandbox::Sandbox;
pub use skip::{is_root, note_skip, tool, tools_dir};
pub use tree::{Entry, Tree, tree};

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The top of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent")
}

/// The `dockseal` binary under test: `DOCKSEAL_BIN` when `tests/run` built it, else
/// built here, once.
///
/// # Panics
/// When cargo cannot build it.
#[must_use]
pub fn dockseal_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("DOCKSEAL_BIN") {
            return PathBuf::from(given);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        // What cargo tells of this package would be a change to the build scripts of others: it builds them anew.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
                build.env_remove(name);
            }
        }
        let out = build
            .args(["build", "--quiet", "--package", "dockseal-cli", "--bin", "dockseal", "--message-format=json"])
            .current_dir(repository())
            .output()
            .expect("cargo runs");
        assert!(out.status.success(), "cargo build failed:\n{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter(|message| message["target"]["name"] == "dockseal")
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the executable")
    })
}
