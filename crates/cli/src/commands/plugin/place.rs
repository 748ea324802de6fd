//! What is at the places where docker looks for its plugin.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use dockseal_docker::plugin;
use serde_json::Value;

use super::Root;
use crate::{connection, failure::Failure, invocation::Invocation};

/// How long a plugin may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(2);
/// No program is larger, in bytes.
const LARGEST: u64 = 1 << 30;

/// A file that docker would take for its plugin.
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// What it is a link to; nothing for a file.
    pub(super) target: Option<PathBuf>,
    pub(super) whose: Whose,
}

#[derive(PartialEq, Eq)]
pub(super) enum Whose {
    /// This program, or a copy of it.
    This,
    /// Another release of this program, with its version.
    Ours(String),
    /// A link of ours to a program that is gone.
    Gone,
    /// Somebody else's.
    Foreign(String),
}

impl Found {
    pub(super) fn kind(&self) -> &'static str {
        if self.target.is_some() { "link" } else { "copy" }
    }

    /// In words, behind the path.
    pub(super) fn description(&self) -> String {
        let whose = match &self.whose {
            Whose::This => "this program".to_owned(),
            Whose::Ours(version) => format!("another dockseal, version {version}"),
            Whose::Gone => "a program that is no longer there".to_owned(),
            Whose::Foreign(why) => format!("not dockseal: {why}"),
        };
        match &self.target {
            Some(target) => format!("a link to {}: {whose}", target.display()),
            None => whose,
        }
    }
}

/// What is at `path`, if anything is.
pub(super) fn look(path: &Path, program: &Path) -> io::Result<Option<Found>> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let target = metadata.is_symlink().then(|| fs::read_link(path)).transpose()?;
    let whose = match (fs::metadata(path), &target) {
        (Err(error), Some(target)) if error.kind() == io::ErrorKind::NotFound => {
            let name = target.file_name().unwrap_or_default();
            if name == "dockseal" || name == plugin::FILE {
                Whose::Gone
            } else {
                Whose::Foreign("it leads nowhere".to_owned())
            }
        }
        (Err(error), _) => return Err(error),
        (Ok(found), _) if !found.is_file() => Whose::Foreign("it is no file".to_owned()),
        (Ok(_), _) if is_same(path, program) => Whose::This,
        (Ok(_), _) => ask(path),
    };
    Ok(Some(Found { path: path.to_owned(), target, whose }))
}

/// All that docker finds, in its order.
pub(super) fn search(root: &Root, invocation: &Invocation) -> Result<Vec<Found>, Failure> {
    let what = "cannot tell what docker seal runs";
    let program = invocation.program()?;
    let config_directory = super::config_directory(what, invocation)?;
    let config = match connection::read_json(&config_directory.join("config.json")) {
        Ok(file) => file.bytes.to_vec(),
        Err(error) if error.is_not_found() => Vec::new(),
        Err(error) => return Err(connection::unreadable("docker's config.json", &error)),
    };
    let mut found = Vec::new();
    for directory in plugin::search_directories(&config, &config_directory) {
        let system = plugin::SYSTEM_DIRECTORIES.iter().any(|system| directory == Path::new(system));
        let path = if system { root.below(directory) } else { directory }.join(plugin::FILE);
        // What cannot be looked at does not run either, and docker goes on (manager.go `PluginRunCommand`).
        found.extend(look(&path, &program).ok().flatten());
    }
    Ok(found)
}

/// The same file, or the same bytes.
fn is_same(path: &Path, program: &Path) -> bool {
    if fs::canonicalize(path).ok().is_some_and(|path| Some(path) == fs::canonicalize(program).ok()) {
        return true;
    }
    let same = || {
        let (one, other) = (dockseal_store::open(path).ok()?, dockseal_store::open(program).ok()?);
        if one.length() != other.length() {
            return Some(false);
        }
        one.equals(&other.read(LARGEST).ok()?.bytes).ok()
    };
    same().unwrap_or(false)
}

/// Whose it is by its own word, which docker asks for as well.
fn ask(path: &Path) -> Whose {
    let metadata = match said(path) {
        Ok(said) => serde_json::from_slice::<Value>(&said).unwrap_or_default(),
        Err(error) => return Whose::Foreign(format!("it does not run: {error}")),
    };
    let text = |name: &str| metadata.get(name).and_then(Value::as_str).map(dockseal_pki::printable);
    match text("Vendor") {
        Some(vendor) if vendor == plugin::VENDOR => Whose::Ours(text("Version").unwrap_or_default()),
        Some(vendor) => Whose::Foreign(format!("it is from {vendor:?}")),
        None => Whose::Foreign("it does not say whose it is".to_owned()),
    }
}

fn said(path: &Path) -> io::Result<Vec<u8>> {
    let mut child = Command::new(path)
        .arg(plugin::METADATA)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let started = Instant::now();
    // Metadata fits into a pipe; what says more than that waits for a reader that never comes.
    while child.try_wait()?.is_none() {
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return Err(io::Error::other("it does not end"));
        }
        thread::sleep(Duration::from_millis(2));
    }
    let mut said = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        io::Read::read_to_end(&mut io::Read::take(stdout, 1 << 16), &mut said)?;
    }
    Ok(said)
}
