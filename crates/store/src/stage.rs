//! A directory beside its place, in which a bundle is made before it is swapped in.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use dockseal_docker::{Contents, FilePlan, context};
use rustix::{
    fs::{CWD, RenameFlags},
    io::Errno,
};

use crate::{
    WriteError,
    files::{
        Sync, carry, lock_directory, make_directory, make_link, own, remove_tree, split, sync_directory, write_file,
    },
    found::Found,
};

/// Where bundles for one destination are made, and kept when they are replaced: beside it, on the same file system.
pub(crate) struct Bench {
    /// The directory, which is also the one to lock.
    pub(crate) directory: PathBuf,
    stem: OsString,
}

impl Bench {
    pub(crate) fn of(destination: &Path) -> Result<Self, WriteError> {
        if let Some((directory, stem)) = context::staging_of(destination) {
            return Ok(Self { directory, stem });
        }
        let (parent, name) = split(destination)?;
        Ok(Self { directory: parent.to_owned(), stem: name.to_owned() })
    }

    fn staging(&self, slot: usize) -> PathBuf {
        self.hidden(&format!("-{slot}"))
    }

    /// Where the fallback without `RENAME_EXCHANGE` puts the old bundle; outside the prefix that is swept.
    fn displaced(&self) -> PathBuf {
        self.hidden(".displaced")
    }

    /// Where a bundle is kept that another took the place of.
    pub(crate) fn previous(&self) -> PathBuf {
        self.hidden(".previous")
    }

    fn hidden(&self, end: &str) -> PathBuf {
        self.directory.join(format!(".{}.dockseal{end}", self.stem.to_string_lossy()))
    }
}

/// A directory beside the destination, locked for as long as this process works on it, and removed when that is over:
/// then it holds the old bundle after a swap, or a half-written one after a failure.
pub(crate) struct Stage {
    pub(crate) path: PathBuf,
    /// It was moved away: what may be at its path now is somebody else's.
    pub(crate) is_gone: bool,
    _lock: File,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.is_gone {
            remove_tree(&self.path);
        }
    }
}

impl Stage {
    pub(crate) fn new(bench: &Bench, destination: &Path) -> Result<Self, WriteError> {
        // Under the bench's lock, so that no other process sweeps the new directory before it is locked itself.
        let _bench_lock = lock_directory(&bench.directory)?;
        put_displaced_back(bench, destination)?;
        let mut slots = (0..SLOTS).map(|slot| bench.staging(slot));
        let path = slots.find(|path| is_free(path)).ok_or_else(|| {
            WriteError::io("stage a bundle for", destination)(io::Error::from(io::ErrorKind::ResourceBusy))
        })?;
        make_directory(&path)?;
        let lock = lock_directory(&path)?;
        Ok(Self { path, is_gone: false, _lock: lock })
    }

    pub(crate) fn fill(
        &self,
        plan: &FilePlan,
        destination: &Path,
        found: &Found,
        sync: Sync,
    ) -> Result<(), WriteError> {
        for file in plan.files.iter().filter(|file| !matches!(file.contents, Contents::Gone)) {
            let path = self.path.join(&file.path);
            if let Some(parent) = path.parent().filter(|parent| *parent != self.path && !parent.exists()) {
                make_directory(parent)?;
                own(parent, plan.ownership, plan.directory_mode)?;
            }
            match &file.contents {
                Contents::Link(target) => make_link(&path, target, plan.ownership)?,
                contents => write_file(&path, file.mode, contents.bytes(), plan.ownership, sync)?,
            }
            if let Some(parent) = path.parent().filter(|parent| *parent != self.path && sync == Sync::Each) {
                sync_directory(parent)?;
            }
        }
        if let Found::Bundle { carried } = found {
            for name in carried {
                carry(&destination.join(name), &self.path.join(name))?;
            }
        }
        own(&self.path, plan.ownership, plan.directory_mode)?;
        if sync == Sync::Each { sync_directory(&self.path) } else { Ok(()) }
    }

    pub(crate) fn swap(&self, destination: &Path, found: &Found) -> Result<(), WriteError> {
        if matches!(found, Found::Bundle { .. }) {
            return exchange(&self.path, destination);
        }
        // rename(2) replaces an empty directory and nothing else, so whoever was faster keeps their bundle.
        fs::rename(&self.path, destination).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                WriteError::AlreadyThere { path: destination.to_owned(), files: vec!["a bundle".to_owned()] }
            }
            _ => WriteError::Io { doing: "put in place", path: destination.to_owned(), source },
        })
    }
}

/// Swaps two directories that lie beside each other.
pub(crate) fn exchange(new: &Path, destination: &Path) -> Result<(), WriteError> {
    match rustix::fs::renameat_with(CWD, new, CWD, destination, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // NFS and some overlays cannot exchange. For an instant there is no bundle, never a mixed one; a run that is
        // killed right then is mended by the next one's sweep.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV) => {
            let displaced = Bench::of(destination)?.displaced();
            fs::rename(destination, &displaced).map_err(WriteError::io("move away", destination))?;
            fs::rename(new, destination).map_err(WriteError::io("put in place", destination))?;
            fs::rename(&displaced, new).map_err(WriteError::io("move away", new))
        }
        Err(error) => Err(WriteError::errno("put in place", destination)(error)),
    }
}

/// How many processes may stage a bundle for one place at once. Their directories have names that can be tried one by
/// one, since the parent may hold a hundred thousand others.
const SLOTS: usize = 64;

/// Removes the staging directories that nobody works on any more, and puts a displaced bundle back.
pub(crate) fn sweep(bench: &Bench, destination: &Path) -> Result<(), WriteError> {
    put_displaced_back(bench, destination)?;
    for slot in 0..SLOTS {
        is_free(&bench.staging(slot));
    }
    Ok(())
}

/// Whether a staging directory can be made there, after one that nobody works on was removed.
fn is_free(path: &Path) -> bool {
    let Ok(directory) = File::open(path) else { return true };
    if matches!(directory.try_lock(), Err(TryLockError::WouldBlock)) {
        return false;
    }
    remove_tree(path);
    true
}

fn put_displaced_back(bench: &Bench, destination: &Path) -> Result<(), WriteError> {
    let displaced = bench.displaced();
    if displaced.exists() {
        if destination.exists() {
            remove_tree(&displaced);
        } else {
            fs::rename(&displaced, destination).map_err(WriteError::io("put back", destination))?;
        }
    }
    Ok(())
}
