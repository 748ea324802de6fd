//! Carrying out a plan: staged, synced, swapped.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use dockseal_docker::FilePlan;

use crate::{
    Existing, WriteError,
    files::{Sync, lock_directory, make_parents, remove_tree, split, sync_directory},
    found::{Found, inspect},
    stage::{Bench, Stage, exchange, sweep},
};

/// What becomes of a bundle in whose place another is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Displaced {
    /// It is removed.
    Remove,
    /// It is kept beside the new one, in place of what was kept there before: [`roll_back`] brings it back.
    Keep,
}

/// Writes the plan's directory as one unit.
///
/// Missing parents are made with mode 0700. Files of ours that the plan does not bring (a key beside a new certificate, an
/// edited `daemon.json`) stay, as hard links to what they were.
///
/// # Errors
/// When something else is in the way, or the system refuses; then nothing has changed.
pub fn deliver(plan: &FilePlan, destination: &Path, existing: Existing) -> Result<(), WriteError> {
    stage(plan, destination, existing, Displaced::Remove)?.put_in_place()
}

/// The first half of [`deliver`]: all files, durable, with their modes and owner, beside the place where they are to be.
///
/// # Errors
/// As [`deliver`].
pub fn stage(
    plan: &FilePlan,
    destination: &Path,
    existing: Existing,
    displaced: Displaced,
) -> Result<Staged, WriteError> {
    remove_stale(destination)?;
    prepare(plan, destination, existing, displaced, Sync::Each)
}

/// A bundle that is complete beside its place. Dropped without being put there, it is removed again.
#[must_use = "dropped, it is removed again"]
pub struct Staged {
    stage: Stage,
    destination: PathBuf,
    found: Found,
    displaced: Displaced,
}

/// Bundles that are made durable together and put in place one after the other: one wait for the disk instead of one for
/// each file.
#[derive(Default)]
pub struct Batch(Vec<Staged>);

/// Stages a bundle for a [`Batch`]: as [`stage`] does, but nothing waits for the disk yet.
///
/// # Errors
/// As [`deliver`].
pub fn stage_for_batch(
    plan: &FilePlan,
    destination: &Path,
    existing: Existing,
    displaced: Displaced,
) -> Result<Staged, WriteError> {
    prepare(plan, destination, existing, displaced, Sync::Together)
}

impl Batch {
    /// One more bundle.
    pub fn push(&mut self, staged: Staged) {
        self.0.push(staged);
    }

    /// Waits until all are on the disk, then swaps each in; what became of each, in order, comes back.
    ///
    /// # Errors
    /// When the disk does not take them; then none was put in place.
    pub fn put_in_place(self) -> Result<Vec<Result<(), WriteError>>, WriteError> {
        let mut parents: BTreeSet<PathBuf> = BTreeSet::new();
        for staged in &self.0 {
            parents.insert(split(&staged.destination)?.0.to_owned());
            parents.insert(Bench::of(&staged.destination)?.directory);
        }
        sync_file_systems(&parents)?;
        let mut outcomes: Vec<Result<(), WriteError>> = self.0.into_iter().map(Staged::swap).collect();
        for parent in &parents {
            if let Err(error) = sync_directory(parent)
                && let Some(last) = outcomes.last_mut()
            {
                *last = Err(error);
            }
        }
        Ok(outcomes)
    }
}

/// syncfs(2) once for each file system that holds one of these directories.
fn sync_file_systems(directories: &BTreeSet<PathBuf>) -> Result<(), WriteError> {
    let mut done = BTreeSet::new();
    for path in directories {
        let directory = File::open(path).map_err(WriteError::io("open the directory", path))?;
        let device = directory.metadata().map_err(WriteError::io("look at", path))?.dev();
        if done.insert(device) {
            rustix::fs::syncfs(&directory).map_err(WriteError::errno("sync the file system of", path))?;
        }
    }
    Ok(())
}

fn prepare(
    plan: &FilePlan,
    destination: &Path,
    existing: Existing,
    displaced: Displaced,
    sync: Sync,
) -> Result<Staged, WriteError> {
    let bench = Bench::of(destination)?;
    make_parents(split(destination)?.0)?;
    make_parents(&bench.directory)?;
    let found = inspect(&plan.names(), destination, existing)?;
    let stage = Stage::new(&bench, destination)?;
    stage.fill(plan, destination, &found, sync)?;
    Ok(Staged { stage, destination: destination.to_owned(), found, displaced })
}

impl Staged {
    /// The second half of [`deliver`].
    ///
    /// # Errors
    /// As [`deliver`]; then nothing has changed.
    pub fn put_in_place(self) -> Result<(), WriteError> {
        let destination = self.destination.clone();
        self.swap()?;
        sync_around(&destination)
    }

    fn swap(mut self) -> Result<(), WriteError> {
        let bench = Bench::of(&self.destination)?;
        // What the exchange leaves at the stage's path is not locked: without the bench's lock another process could
        // sweep it and stage there, and would lose its work to the removal below.
        let _bench_lock = lock_directory(&bench.directory)?;
        self.stage.swap(&self.destination, &self.found)?;
        if !matches!(self.found, Found::Bundle { .. }) {
            self.stage.is_gone = true;
        } else if self.displaced == Displaced::Keep {
            let previous = bench.previous();
            remove_tree(&previous);
            fs::rename(&self.stage.path, &previous).map_err(WriteError::io("keep", &previous))?;
            self.stage.is_gone = true;
        }
        // The old bundle goes before the lock does.
        drop(self.stage);
        Ok(())
    }
}

/// Where the bundle that was replaced with [`Displaced::Keep`] is: beside its place, under a hidden name; for a context's
/// files beside its metadata, since docker would take what is beside them for another endpoint.
///
/// # Errors
/// When the path has no last name.
pub fn previous_path(destination: &Path) -> Result<PathBuf, WriteError> {
    Bench::of(destination).map(|bench| bench.previous())
}

/// Brings back what was kept by [`Displaced::Keep`], and keeps what it takes the place of: doing it twice changes nothing.
///
/// # Errors
/// When nothing was kept, or the system refuses.
pub fn roll_back(destination: &Path) -> Result<(), WriteError> {
    let bench = Bench::of(destination)?;
    let previous = bench.previous();
    let _bench_lock = lock_directory(&bench.directory)?;
    fs::symlink_metadata(&previous).map_err(WriteError::io("bring back", &previous))?;
    exchange(&previous, destination)?;
    sync_around(destination)
}

/// Finishes or removes what killed runs have left beside this destination.
///
/// # Errors
/// When the system refuses.
pub fn remove_stale(destination: &Path) -> Result<(), WriteError> {
    let bench = Bench::of(destination)?;
    match lock_directory(&bench.directory) {
        Err(WriteError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_lock) => sweep(&bench, destination),
    }
}

/// Makes a swap durable: both directories whose entries it changed.
fn sync_around(destination: &Path) -> Result<(), WriteError> {
    let (parent, _) = split(destination)?;
    let bench = Bench::of(destination)?.directory;
    sync_directory(parent)?;
    if bench == parent { Ok(()) } else { sync_directory(&bench) }
}
