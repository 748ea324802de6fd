//! Carrying out a plan: staged, synced, swapped.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use dockseal_docker::FilePlan;
use rustix::{fs::RenameFlags, io::Errno};

use crate::{
    Existing, WriteError,
    directory::{Identity, is_trusted},
    files::Sync,
    found::{Found, inspect},
    stage::{Bench, Stage, adapt, fill},
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
pub fn deliver(plan: &FilePlan, destination: &Path, existing: Existing) -> Result<Placed, WriteError> {
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
    is_gone: bool,
}

/// A bundle that is in its place, whatever else went wrong.
#[derive(Debug)]
#[must_use = "what went wrong after the swap is in here"]
pub struct Placed {
    /// Where.
    pub destination: PathBuf,
    /// Whether the bundle before it was kept beside it.
    pub keeps_previous: bool,
    /// What could not be done after the swap: then a power failure may bring the former bundle back.
    pub trouble: Option<WriteError>,
}

impl Placed {
    /// That nothing went wrong after the swap either.
    ///
    /// # Errors
    /// [`WriteError::InPlace`] with what did.
    pub fn check(self) -> Result<(), WriteError> {
        let Self { destination: path, trouble, .. } = self;
        trouble.map_or(Ok(()), |trouble| Err(WriteError::InPlace { path, trouble: Box::new(trouble) }))
    }
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

    /// Waits until all are on the disk, then swaps each in; what became of each, in order, is returned. An error means that
    /// what was there before is still there.
    ///
    /// # Errors
    /// When the disk does not take them; then none was put in place.
    pub fn put_in_place(self) -> Result<Vec<Result<Placed, WriteError>>, WriteError> {
        sync_file_systems(&self.0)?;
        let mut outcomes = Vec::new();
        // One wait for each directory, for whichever bundle was the last in it.
        let mut changed: BTreeMap<(u64, u64), (PathBuf, Vec<usize>)> = BTreeMap::new();
        for staged in self.0 {
            let (bench, destination) = (staged.stage.bench, staged.destination.clone());
            let outcome = staged.swap();
            if outcome.is_ok() {
                changed.entry(bench).or_insert_with(|| (destination, Vec::new())).1.push(outcomes.len());
            }
            outcomes.push(outcome);
        }
        for (destination, all) in changed.into_values() {
            let Err(error) = Bench::open(&destination).and_then(|bench| bench.sync()) else { continue };
            // One error cannot be told of many; the last one gets it.
            if let Some(Ok(placed)) = all.last().and_then(|last| outcomes.get_mut(*last)) {
                placed.trouble.get_or_insert(error);
            }
        }
        Ok(outcomes)
    }
}

/// syncfs(2) once for each file system that holds one of these.
fn sync_file_systems(all: &[Staged]) -> Result<(), WriteError> {
    let mut done = Vec::new();
    for staged in all {
        let (device, _) = staged.stage.identity;
        if !done.contains(&device) {
            done.push(device);
            staged.stage.sync_file_system(&staged.destination)?;
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
    let bench = Bench::make(destination)?;
    let found = inspect(&plan.names(), destination, existing)?;
    let (stage, directory) = Stage::new(&bench, displaced)?;
    let mut staged = Staged { stage, destination: destination.to_owned(), found, displaced, is_gone: false };
    fill(&directory, plan, &bench, &staged.found, sync)?;
    staged.stage.spare_descriptors();
    Ok(staged)
}

impl Staged {
    /// The second half of [`deliver`].
    ///
    /// # Errors
    /// As [`deliver`]; then nothing has changed.
    pub fn put_in_place(self) -> Result<Placed, WriteError> {
        let destination = self.destination.clone();
        let mut placed = self.swap()?;
        if let Err(error) = Bench::open(&destination).and_then(|bench| bench.sync()) {
            placed.trouble.get_or_insert(error);
        }
        Ok(placed)
    }

    fn swap(mut self) -> Result<Placed, WriteError> {
        let bench = Bench::open(&self.destination)?;
        let _bench_lock = bench.directory().lock()?;
        let path = self.destination.clone();
        let changed = || WriteError::Changed { path: path.clone() };
        if bench.directory().identity()? != self.stage.bench || !self.stage.hold(&bench)? {
            return Err(changed());
        }
        let Found::Bundle { identity, .. } = self.found else {
            put_where_nothing_is(&bench, &self.stage, &self.found)?;
            self.is_gone = true;
            return bench.placed(&self.destination, self.stage.identity, false);
        };
        // What the exchange leaves at the stage's path is locked, or another process could sweep it and stage there, and would
        // lose its work to the removal below.
        let bundle_lock = bench.lock_bundle()?;
        bench.exchange(&self.stage.name, self.displaced)?;
        // Another run of ours may have been faster, and its bundle goes as any other does; anything else comes back.
        if !bench.is_displaced(&self.stage.name, identity) {
            bench.exchange(&self.stage.name, self.displaced)?;
            return Err(changed());
        }
        let mut keeps_previous = false;
        if self.displaced == Displaced::Keep {
            match bench.keep(self.stage.slot) {
                Ok(()) => keeps_previous = true,
                // Nothing was asked for that loses the bundle before: it goes back, and all is as it was.
                Err(error) if bench.exchange(&self.stage.name, self.displaced).is_ok() => return Err(error),
                Err(error) => {
                    self.is_gone = true;
                    return bench
                        .placed(&self.destination, self.stage.identity, false)
                        .map(|placed| Placed { trouble: Some(error), ..placed });
                }
            }
        }
        // The old bundle goes before the lock does. Under the stage's name there is another directory now.
        drop(bundle_lock);
        let _ = bench.remove_displaced(&self.stage.name);
        self.is_gone = true;
        bench.placed(&self.destination, self.stage.identity, keeps_previous)
    }
}

impl Bench {
    /// Looks whether a bundle is where a swap was to put it.
    fn placed(&self, destination: &Path, wanted: Identity, keeps_previous: bool) -> Result<Placed, WriteError> {
        let destination = destination.to_owned();
        match self.parent.is_there(&self.name, wanted) {
            Ok(false) => Err(WriteError::Changed { path: destination }),
            Ok(true) => Ok(Placed { destination, keeps_previous, trouble: None }),
            // The swap was done; that it cannot be looked at now does not take it back.
            Err(error) => Ok(Placed { destination, keeps_previous, trouble: Some(error) }),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.is_gone
            && let Ok(bench) = Bench::open(&self.destination)
        {
            self.stage.remove(&bench);
        }
    }
}

/// rename(2) replaces an empty directory and nothing else, so whoever was faster keeps their bundle.
fn put_where_nothing_is(bench: &Bench, stage: &Stage, found: &Found) -> Result<(), WriteError> {
    let (directory, path) = (bench.directory(), bench.path());
    let renamed = match found {
        Found::Nothing => {
            let (from, to) = (directory.as_fd(), bench.parent.as_fd());
            match rustix::fs::renameat_with(from, &stage.name, to, &bench.name, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS) => directory.rename(&stage.name, &bench.parent, &bench.name),
                done => done,
            }
        }
        _ => directory.rename(&stage.name, &bench.parent, &bench.name),
    };
    renamed.map_err(|error| match error {
        Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR => {
            WriteError::AlreadyThere { path, files: vec!["a bundle".to_owned()] }
        }
        other => WriteError::errno("put in place", &path)(other),
    })
}

/// Where the bundle that was replaced with [`Displaced::Keep`] is: beside its place, under a hidden name; for a context's
/// files beside its metadata, since docker would take what is beside them for another endpoint.
///
/// # Errors
/// When the path has no last name.
pub fn previous_path(destination: &Path) -> Result<PathBuf, WriteError> {
    Bench::previous_path(destination)
}

/// The user who has what is kept beside a place, if that is neither who has the place, nor who runs this, nor root: in a
/// directory that many write to anybody can put something there.
///
/// # Errors
/// When the system refuses.
pub fn kept_by_another(destination: &Path) -> Result<Option<u32>, WriteError> {
    let bench = Bench::open(destination)?;
    let (kept, place) = (bench.directory().look(&bench.previous())?, bench.parent.look(&bench.name)?);
    let user = kept.map(|kept| kept.st_uid).filter(|user| !is_trusted(*user));
    Ok(user.filter(|user| place.is_none_or(|place| place.st_uid != *user)))
}

/// Brings back what was kept by [`Displaced::Keep`], and keeps what it takes the place of: doing it twice changes nothing.
/// Owners, groups and modes stay those that are there now; a key's mode gets no looser than it was.
///
/// # Errors
/// When nothing was kept, or the system refuses; then what was there still is.
pub fn roll_back(destination: &Path) -> Result<Placed, WriteError> {
    let bench = Bench::open(destination)?;
    let previous = bench.previous();
    let _bench_lock = bench.directory().lock()?;
    if bench.directory().look(&previous)?.is_none() {
        return Err(WriteError::errno("bring back", &bench.directory().path_of(&previous))(Errno::NOENT));
    }
    let kept = bench.directory().child(&previous)?;
    let identity = kept.identity()?;
    adapt(&kept, &bench.parent.child(&bench.name)?)?;
    bench.exchange(&previous, Displaced::Keep)?;
    let mut placed = bench.placed(destination, identity, true)?;
    if let Err(error) = bench.sync() {
        placed.trouble.get_or_insert(error);
    }
    Ok(placed)
}

/// Keeps what a run that was killed right after a swap was to keep with [`Displaced::Keep`], if `is_it` says so of the
/// directory in which it lies; what is kept already is swept then. Without this [`remove_stale`] removes it.
///
/// # Errors
/// When the system refuses.
pub fn keep_displaced(destination: &Path, is_it: impl Fn(&Path) -> bool) -> Result<(), WriteError> {
    let bench = Bench::open(destination)?;
    let _bench_lock = bench.directory().lock()?;
    bench.keep_displaced(is_it)
}

/// Finishes or removes what killed runs have left beside this destination.
///
/// # Errors
/// When the system refuses.
pub fn remove_stale(destination: &Path) -> Result<(), WriteError> {
    let bench = match Bench::open(destination) {
        Err(error) if error.is(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    let _bench_lock = bench.directory().lock()?;
    bench.sweep()
}
