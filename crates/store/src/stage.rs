//! A directory beside its place, in which a bundle is made before it is swapped in.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use dockseal_docker::{
    Contents, FilePlan, Ownership, context,
    layout::{self, Names},
};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::{
    fs::{FileType, Mode, RenameFlags, Stat},
    io::Errno,
};

use crate::{
    Displaced, WriteError,
    directory::{Directory, Identity, change_owner, hidden, identity},
    files::{Sync, carry, split, write_file},
    found::{Found, are_all_ours},
};

/// A bundle has files, and at most directories of files.
const DEPTH: usize = 2;

/// A destination, by the directory it is in and its name, and by where bundles for it are made, and kept when they are
/// replaced: beside it, on the same file system.
pub(crate) struct Bench {
    /// Where the destination is.
    pub(crate) parent: Directory,
    pub(crate) name: OsString,
    /// Where bundles are made, which is also the directory to lock; `None` where that is the parent.
    apart: Option<Directory>,
    stem: OsString,
}

impl Bench {
    /// That of a destination whose parents are there.
    pub(crate) fn open(destination: &Path) -> Result<Self, WriteError> {
        Self::with(destination, Directory::open)
    }

    /// The same; parents that are missing are made, for their owner alone.
    pub(crate) fn make(destination: &Path) -> Result<Self, WriteError> {
        Self::with(destination, |path| Directory::open_or_make(path, layout::DIRECTORY_MODE))
    }

    fn with(destination: &Path, open: impl Fn(&Path) -> Result<Directory, WriteError>) -> Result<Self, WriteError> {
        let (parent, name) = split(destination)?;
        let (apart, stem) = match context::staging_of(destination) {
            Some((directory, stem)) => (Some(open(&directory)?), stem),
            None => (None, name.to_owned()),
        };
        Ok(Self { parent: open(parent)?, name: name.to_owned(), apart, stem })
    }

    /// Where a bundle is kept that another took the place of.
    pub(crate) fn previous_path(destination: &Path) -> Result<PathBuf, WriteError> {
        let (parent, name) = split(destination)?;
        Ok(match context::staging_of(destination) {
            Some((directory, stem)) => directory.join(hidden(&stem, PREVIOUS)),
            None => parent.join(hidden(name, PREVIOUS)),
        })
    }

    pub(crate) fn directory(&self) -> &Directory {
        self.apart.as_ref().unwrap_or(&self.parent)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.parent.path_of(&self.name)
    }

    /// What is to be kept when another bundle takes its place is exchanged for what is staged under a name that says so:
    /// after a kill right then it is known by it.
    fn staging(&self, slot: usize, displaced: Displaced) -> OsString {
        let end = match displaced {
            Displaced::Remove => format!("-{slot}"),
            Displaced::Keep => format!("-keep-{slot}"),
        };
        hidden(&self.stem, &end)
    }

    /// Where the bundle that was kept before lies for as long as the one staged in this slot takes its place.
    fn before(&self, slot: usize) -> OsString {
        hidden(&self.stem, &format!("-before-{slot}"))
    }

    /// Where the fallback without `RENAME_EXCHANGE` puts the old bundle; outside the prefix that is swept. The name says
    /// what is to become of it.
    fn displaced(&self, displaced: Displaced) -> OsString {
        let end = match displaced {
            Displaced::Remove => ".displaced",
            Displaced::Keep => ".swapped",
        };
        hidden(&self.stem, end)
    }

    pub(crate) fn previous(&self) -> OsString {
        hidden(&self.stem, PREVIOUS)
    }

    /// Swaps what was made or kept under a hidden name with what is in the place.
    pub(crate) fn exchange(&self, name: &OsStr, kind: Displaced) -> Result<(), WriteError> {
        let failed = |doing| WriteError::errno(doing, &self.path());
        match self.directory().exchange(name, &self.parent, &self.name) {
            Ok(()) => return Ok(()),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV) => {}
            Err(error) => return Err(failed("put in place")(error)),
        }
        // NFS and some overlays cannot exchange. For an instant there is no bundle, never a mixed one; a run that is
        // killed right then is mended by the next one's sweep.
        let displaced = self.displaced(kind);
        self.parent.rename(&self.name, self.directory(), &displaced).map_err(failed("move away"))?;
        if let Err(error) = self.directory().rename(name, &self.parent, &self.name) {
            let back = self.directory().rename(&displaced, &self.parent, &self.name);
            return Err(failed(if back.is_ok() { "put in place" } else { "put back" })(error));
        }
        // What fails here is swept by the next run.
        let _ = self.directory().rename(&displaced, self.directory(), name);
        Ok(())
    }

    /// Locks the bundle that is in the place, so that nobody takes it for a killed run's once it was moved out of there.
    pub(crate) fn lock_bundle(&self) -> Result<File, WriteError> {
        for _ in 0..SLOTS {
            let bundle = self.parent.child(&self.name)?;
            let lock = bundle.lock()?;
            if self.parent.is_there(&self.name, bundle.identity()?)? {
                return Ok(lock);
            }
        }
        Err(WriteError::Changed { path: self.path() })
    }

    /// Keeps what an exchange left in this slot as the previous bundle; the one before it goes.
    ///
    /// That one lies under a name of its own meanwhile, so that a kill at any instant is told by the names alone:
    /// [`finish_keeping`](Self::finish_keeping) goes on from there.
    pub(crate) fn keep(&self, slot: usize) -> Result<(), WriteError> {
        let (name, before, previous) = (self.staging(slot, Displaced::Keep), self.before(slot), self.previous());
        let failed = |error| WriteError::errno("keep", &self.directory().path_of(&previous))(error);
        // Once is enough where no other run of ours keeps another bundle at this moment.
        for _ in 0..SLOTS {
            match self.move_to_free(&name, &previous) {
                Err(Errno::EXIST) => {}
                Ok(()) => {
                    // What cannot be removed is in nobody's way; the next run tries again.
                    let _ = self.directory().remove_all(&before, DEPTH);
                    return Ok(());
                }
                Err(error) => {
                    let _ = self.move_to_free(&before, &previous);
                    return Err(failed(error));
                }
            }
            match self.move_to_free(&previous, &before) {
                // Another run has just moved it.
                Ok(()) | Err(Errno::NOENT) => {}
                // What is there is older than what is kept by now.
                Err(Errno::EXIST) => self.directory().remove_all(&before, DEPTH)?,
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(Errno::EXIST))
    }

    /// Renames in the directory of the bench, over nothing.
    fn move_to_free(&self, name: &OsStr, new: &OsStr) -> Result<(), Errno> {
        let directory = self.directory();
        match rustix::fs::renameat_with(directory.as_fd(), name, directory.as_fd(), new, RenameFlags::NOREPLACE) {
            // No such flag there: a plain rename goes over nothing but an empty directory.
            Err(Errno::INVAL | Errno::NOSYS) => match directory.look(new) {
                Ok(None) => directory.rename(name, directory, new),
                _ => Err(Errno::EXIST),
            },
            done => done,
        }
    }

    /// Goes on where a run was killed in [`keep`](Self::keep). What is somebody else's there stays, and is in nobody's way.
    fn finish_keeping(&self) -> Result<(), WriteError> {
        for slot in 0..SLOTS {
            let before = self.before(slot);
            if self.directory().look(&before)?.is_none() {
                continue;
            }
            let staged = self.staging(slot, Displaced::Keep);
            let is_there = self.directory().look(&staged)?.is_some();
            let lock = self.directory().child(&staged).and_then(|child| child.try_lock()).ok().flatten();
            // Another run is keeping it right now.
            if is_there && lock.is_none() {
                continue;
            }
            // The bundle that was to be kept, or else the one before it; where one is kept already, neither moves.
            for name in [staged, before.clone()] {
                let _ = self.move_to_free(&name, &self.previous());
            }
            if self.directory().look(&self.previous())?.is_some() {
                let _ = remove_ours(self.directory(), &before);
            }
        }
        Ok(())
    }

    /// Whether what lies under a hidden name is this directory, or at least one that holds nothing but files of ours.
    pub(crate) fn is_displaced(&self, name: &OsStr, wanted: Identity) -> bool {
        let directory = self.directory();
        matches!(directory.is_there(name, wanted), Ok(true))
            || directory.child(name).and_then(|child| child.names()).is_ok_and(|names| are_all_ours(&names))
    }

    /// Removes what a swap of ours left under a hidden name; where another process has it already, that one does, or the next
    /// sweep.
    pub(crate) fn remove_displaced(&self, name: &OsStr) -> Result<(), WriteError> {
        let directory = self.directory();
        let Some((_lock, found)) = lock_left(&directory.child(name)?)? else { return Ok(()) };
        if directory.is_there(name, found)? { directory.remove_all(name, DEPTH) } else { Ok(()) }
    }

    /// Makes a swap durable: both directories whose entries it changed.
    pub(crate) fn sync(&self) -> Result<(), WriteError> {
        self.parent.sync()?;
        self.apart.as_ref().map_or(Ok(()), Directory::sync)
    }

    /// Removes the staging directories that nobody works on any more, and puts a displaced bundle back.
    pub(crate) fn sweep(&self) -> Result<(), WriteError> {
        self.mend()?;
        for displaced in [Displaced::Remove, Displaced::Keep] {
            for slot in 0..SLOTS {
                let _ = is_free(self.directory(), &self.staging(slot, displaced));
            }
        }
        Ok(())
    }

    /// Keeps the first bundle that a killed run displaced and was to keep, if it is the one that is looked for.
    pub(crate) fn keep_displaced(&self, is_it: impl Fn(&Path) -> bool) -> Result<(), WriteError> {
        self.mend()?;
        for slot in 0..SLOTS {
            let name = self.staging(slot, Displaced::Keep);
            if self.directory().look(&name)?.is_none() || !is_it(&self.directory().path_of(&name)) {
                continue;
            }
            let locked = self.directory().child(&name).and_then(|child| child.try_lock());
            if let Ok(Some(_lock)) = locked {
                return self.keep(slot);
            }
        }
        Ok(())
    }

    /// Finishes the moves that a kill interrupted, as far as the names alone tell.
    fn mend(&self) -> Result<(), WriteError> {
        self.put_displaced_back()?;
        self.finish_keeping()
    }

    /// What the fallback of [`exchange`](Self::exchange) moved away comes back, if nothing took its place; if something
    /// did, it is kept or removed.
    fn put_displaced_back(&self) -> Result<(), WriteError> {
        for kind in [Displaced::Remove, Displaced::Keep] {
            let displaced = self.displaced(kind);
            if self.directory().look(&displaced)?.is_none() {
                continue;
            }
            if self.parent.look(&self.name)?.is_none() {
                self.directory()
                    .rename(&displaced, &self.parent, &self.name)
                    .map_err(WriteError::errno("put back", &self.path()))?;
                continue;
            }
            match kind {
                Displaced::Remove => _ = remove_ours(self.directory(), &displaced),
                Displaced::Keep => self.keep_swapped(&displaced)?,
            }
        }
        Ok(())
    }

    fn keep_swapped(&self, swapped: &OsStr) -> Result<(), WriteError> {
        for slot in 0..SLOTS {
            match self.move_to_free(swapped, &self.staging(slot, Displaced::Keep)) {
                Ok(()) => return self.keep(slot),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(WriteError::errno("keep", &self.directory().path_of(swapped))(error)),
            }
        }
        Ok(())
    }
}

const PREVIOUS: &str = ".previous";

/// A directory beside the destination, locked for as long as this process works on it.
pub(crate) struct Stage {
    pub(crate) name: OsString,
    pub(crate) slot: usize,
    pub(crate) identity: Identity,
    /// Which directory it is in.
    pub(crate) bench: Identity,
    /// Kept for as long as this process works on it, unless it has too many.
    lock: Option<File>,
}

impl Stage {
    pub(crate) fn new(bench: &Bench, displaced: Displaced) -> Result<(Self, Directory), WriteError> {
        // Under the bench's lock, so that no other process sweeps the new directory before it is locked itself.
        let _bench_lock = bench.directory().lock()?;
        bench.mend()?;
        // What killed runs left under the other kind of name is swept on the way: beyond the first slot of each there is
        // only what many runs at once have left.
        for kind in [Displaced::Remove, Displaced::Keep] {
            let _ = is_free(bench.directory(), &bench.staging(0, kind));
        }
        // Where others have taken all of them, one that nobody can know before.
        for slot in (0..SLOTS).map(Ok).chain(std::iter::once_with(|| unused_slot(bench))) {
            let slot = slot?;
            let name = bench.staging(slot, displaced);
            if !is_free(bench.directory(), &name)? || bench.directory().look(&bench.before(slot))?.is_some() {
                continue;
            }
            let directory = match bench.directory().make_child(&name, layout::DIRECTORY_MODE) {
                // Somebody who does not have the lock put something there, or took it for a killed run's.
                Err(error) if error.is(Errno::EXIST) || error.is(Errno::NOENT) => continue,
                made => made?,
            };
            let Some(lock) = directory.try_lock()? else { continue };
            // Whoever took it for a killed run's before it was locked has removed it.
            if !bench.directory().is_there(&name, directory.identity()?)? {
                continue;
            }
            // It is to be given away: nothing may be in it that this run did not put there.
            if !directory.names()?.is_empty() {
                return Err(WriteError::Changed { path: bench.path() });
            }
            let (identity, bench) = (directory.identity()?, bench.directory().identity()?);
            return Ok((Self { name, slot, identity, bench, lock: Some(lock) }, directory));
        }
        Err(WriteError::io("stage a bundle for", &bench.path())(io::Error::from(io::ErrorKind::ResourceBusy)))
    }

    /// Does without the lock where such locks have taken half of all descriptors that this process may open: they have the
    /// lowest numbers that are free (open(2)). Another run for the same place may remove it then, which [`hold`](Self::hold)
    /// tells.
    pub(crate) fn spare_descriptors(&mut self) {
        let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let is_spared = |lock: &File| most.is_some_and(|most| u64::try_from(lock.as_raw_fd()).unwrap_or(0) > most / 2);
        self.lock = self.lock.take().filter(|lock| !is_spared(lock));
    }

    /// Locks it again where it is not any more; whether it is still there, and nobody else's.
    pub(crate) fn hold(&mut self, bench: &Bench) -> Result<bool, WriteError> {
        if !bench.directory().is_there(&self.name, self.identity)? {
            return Ok(false);
        }
        if self.lock.is_none() {
            self.lock = bench.directory().child(&self.name)?.try_lock()?;
        }
        Ok(self.lock.is_some() && bench.directory().is_there(&self.name, self.identity)?)
    }

    /// Waits until its file system is on the disk.
    pub(crate) fn sync_file_system(&self, destination: &Path) -> Result<(), WriteError> {
        let failed = WriteError::errno("sync the file system of", destination);
        match &self.lock {
            Some(lock) => rustix::fs::syncfs(lock),
            None => rustix::fs::syncfs(Bench::open(destination)?.directory().as_fd()),
        }
        .map_err(failed)
    }

    /// Removes it again, if it is still there.
    pub(crate) fn remove(&self, bench: &Bench) {
        if matches!(bench.directory().is_there(&self.name, self.identity), Ok(true)) {
            let _ = bench.directory().remove_all(&self.name, DEPTH);
        }
    }
}

/// Writes the files of a plan into a directory that nobody else can enter yet; its owner comes last.
pub(crate) fn fill(
    directory: &Directory,
    plan: &FilePlan,
    bench: &Bench,
    found: &Found,
    sync: Sync,
) -> Result<(), WriteError> {
    for file in plan.files.iter().filter(|file| !matches!(file.contents, Contents::Gone)) {
        let (below, name) = match file.path.rsplit_once('/') {
            Some((below, name)) => (Some(open_below(directory, below, plan)?), OsStr::new(name)),
            None => (None, OsStr::new(&file.path)),
        };
        let into = below.as_ref().unwrap_or(directory);
        match &file.contents {
            Contents::Link(target) => into.make_link(name, Path::new(target), plan.ownership)?,
            contents => write_file(into, name, file.mode, contents.bytes(), plan.ownership, sync)?,
        }
        if let Some(below) = below.filter(|_| sync == Sync::Each) {
            below.sync()?;
        }
    }
    if let Found::Bundle { carried, identity } = found
        && !carried.is_empty()
    {
        let old = bench.parent.child(&bench.name)?;
        if old.identity()? != *identity {
            return Err(WriteError::Changed { path: bench.path() });
        }
        for name in carried {
            carry(&old, name, directory)?;
        }
    }
    directory.own(plan.ownership, plan.directory_mode)?;
    if sync == Sync::Each { directory.sync() } else { Ok(()) }
}

/// A directory of the plan, made where it is not there yet.
fn open_below(directory: &Directory, path: &str, plan: &FilePlan) -> Result<Directory, WriteError> {
    let mut below = None;
    for name in path.split('/').map(OsStr::new) {
        let at = below.as_ref().unwrap_or(directory);
        let next = match at.make_child(name, layout::DIRECTORY_MODE) {
            Err(error) if error.is(Errno::EXIST) => at.child(name)?,
            made => {
                let made = made?;
                made.own(plan.ownership, plan.directory_mode)?;
                made
            }
        };
        below = Some(next);
    }
    below.ok_or_else(|| WriteError::NoName { path: directory.path().join(path) })
}

/// How many processes may stage a bundle for one place at once. Their directories have names that can be tried one by
/// one, since the parent may hold a hundred thousand others.
const SLOTS: usize = 32;

/// Whether a staging directory can be made under this name, after one that nobody works on was removed. What is not ours,
/// cannot be opened or cannot be removed keeps its slot, and no other.
fn is_free(directory: &Directory, name: &OsStr) -> Result<bool, WriteError> {
    if directory.look(name)?.is_none() {
        return Ok(true);
    }
    let Ok(Some((_lock, found))) = directory.child(name).and_then(|child| lock_left(&child)) else { return Ok(false) };
    Ok(directory.is_there(name, found)? && remove_ours(directory, name).is_ok())
}

/// The lock of a directory on which nobody works, and which directory that is: under its name there may be another by now.
fn lock_left(child: &Directory) -> Result<Option<(File, Identity)>, WriteError> {
    let found = child.identity()?;
    Ok(child.try_lock()?.map(|lock| (lock, found)))
}

/// A number of a slot that nobody else chooses.
fn unused_slot(bench: &Bench) -> Result<usize, WriteError> {
    let mut random = [0; 4];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| WriteError::io("stage a bundle for", &bench.path())(io::Error::other("no randomness")))?;
    Ok(SLOTS.saturating_add(usize::try_from(u32::from_be_bytes(random)).unwrap_or(SLOTS)))
}

/// Removes a directory that holds nothing but files of the names that we write.
fn remove_ours(directory: &Directory, name: &OsStr) -> Result<(), WriteError> {
    let child = directory.child(name)?;
    let names = child.names()?;
    if !are_all_ours(&names) {
        let files = names.iter().take(5).map(|name| name.to_string_lossy().into_owned()).collect();
        return Err(WriteError::ForeignFiles { path: directory.path_of(name), files });
    }
    directory.remove_all(name, DEPTH)
}

/// A kept bundle that comes back is for those for whom the one is whose place it takes: owners, groups and modes become those
/// that are there now, and the mode of a key loses what it lacked itself as well.
///
/// Files that have a second name elsewhere are left alone: they are somebody else's as well.
pub(crate) fn adapt(kept: &Directory, place: &Directory) -> Result<(), WriteError> {
    adapt_to(kept, place, DEPTH)
}

fn adapt_to(kept: &Directory, place: &Directory, depth: usize) -> Result<(), WriteError> {
    let whole = place.metadata()?;
    for name in kept.names()? {
        let (Some(found), there) = (kept.look(&name)?, place.look(&name)?) else { continue };
        let kind = FileType::from_raw_mode(found.st_mode);
        let there = there.filter(|there| FileType::from_raw_mode(there.st_mode) == kind);
        match (kind, &there) {
            (FileType::Directory, Some(_)) if depth > 1 => {
                adapt_to(&kept.child(&name)?, &place.child(&name)?, depth - 1)?;
            }
            (FileType::RegularFile, _) if found.st_nlink == 1 => {
                let like = there.as_ref().unwrap_or(&whole);
                let mode = match (&there, is_secret(&name)) {
                    (Some(there), true) => found.st_mode & there.st_mode,
                    (Some(there), false) => there.st_mode,
                    (None, true) => found.st_mode & 0o700,
                    (None, false) => found.st_mode,
                };
                adapt_file(kept, &name, &found, like, mode & 0o7777)?;
            }
            _ => {}
        }
    }
    let found = kept.metadata()?;
    let is_so = ownership_of(&found, &whole).is_none() && (found.st_mode ^ whole.st_mode) & 0o7777 == 0;
    if is_so {
        return Ok(());
    }
    kept.own(Ownership { user: Some(whole.st_uid), group: Some(whole.st_gid), key_mode: None }, whole.st_mode & 0o7777)
}

fn adapt_file(kept: &Directory, name: &OsStr, found: &Stat, like: &Stat, mode: u32) -> Result<(), WriteError> {
    let ownership = ownership_of(found, like);
    if ownership.is_none() && found.st_mode & 0o7777 == mode {
        return Ok(());
    }
    let path = kept.path_of(name);
    let file = kept.open_file(name)?;
    let opened = rustix::fs::fstat(&file).map_err(WriteError::errno("look at", &path))?;
    if identity(&opened) != identity(found) || opened.st_nlink != 1 {
        return Err(WriteError::Changed { path });
    }
    // The mode first: whoever gets a key gets it with no more rights than are meant.
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode)).map_err(WriteError::errno("set the mode of", &path))?;
    change_owner(&file, ownership.unwrap_or_default()).map_err(WriteError::errno("change the owner of", &path))
}

/// Whose `found` must become to be whose `like` is; `None` where it is theirs.
fn ownership_of(found: &Stat, like: &Stat) -> Option<Ownership> {
    let user = Some(like.st_uid).filter(|user| *user != found.st_uid);
    let group = Some(like.st_gid).filter(|group| *group != found.st_gid);
    (user.is_some() || group.is_some()).then_some(Ownership { user, group, key_mode: None })
}

/// Whether a file of this name has a private key in it.
fn is_secret(name: &OsStr) -> bool {
    let keys = Names::ALL.iter().chain([&Names::INSTRUCTED_DAEMON]).map(|names| names.key);
    keys.chain([layout::RENEWAL_KEY_FILE]).any(|key| name == key)
}
