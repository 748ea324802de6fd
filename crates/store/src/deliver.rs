//! Carrying out a plan: staged, synced, swapped.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use dockseal_docker::{Contents, FilePlan, Ownership, layout};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::{
    fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid},
    io::Errno,
};

use crate::WriteError;

/// What a directory of ours may hold at its top.
const OURS: [&str; 7] = [
    layout::CA_FILE,
    layout::CERT_FILE,
    layout::KEY_FILE,
    layout::REQUEST_FILE,
    layout::RENEWAL_KEY_FILE,
    layout::DAEMON_JSON_FILE,
    "docker.service.d",
];

/// What to do when files of the plan are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    Keep,
    /// Put the new ones in their place.
    Replace,
}

/// What becomes of a bundle in whose place another is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Displaced {
    /// It is removed.
    Remove,
    /// It is kept beside the new one, in place of what was kept there before: [`roll_back`] brings it back.
    Keep,
}

/// When the files of a bundle are on the disk, and not only on their way there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sync {
    /// Each by itself, as it is written.
    Each,
    /// All of a batch together, by [`Batch::put_in_place`].
    Together,
}

/// What was found at a destination.
enum Found {
    Nothing,
    EmptyDirectory,
    /// Names of ours that the plan does not bring and that stay.
    Bundle {
        carried: Vec<String>,
    },
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
    let (parent, name) = split(destination)?;
    make_parents(parent)?;
    let found = inspect(&plan.names(), destination, existing)?;
    let stage = Stage::new(parent, name)?;
    stage.fill(plan, destination, &found, sync)?;
    Ok(Staged { stage, destination: destination.to_owned(), found, displaced })
}

impl Staged {
    /// The second half of [`deliver`].
    ///
    /// # Errors
    /// As [`deliver`]; then nothing has changed.
    pub fn put_in_place(self) -> Result<(), WriteError> {
        let parent = split(&self.destination)?.0.to_owned();
        self.swap()?;
        sync_directory(&parent)
    }

    fn swap(mut self) -> Result<(), WriteError> {
        // What the exchange leaves at the stage's path is not locked: without the parent's lock another process could
        // sweep it and stage there, and would lose its work to the removal below.
        let _parent_lock = lock_directory(split(&self.destination)?.0)?;
        self.stage.swap(&self.destination, &self.found)?;
        if !matches!(self.found, Found::Bundle { .. }) {
            self.stage.is_gone = true;
        } else if self.displaced == Displaced::Keep {
            let previous = previous_path(&self.destination)?;
            remove_tree(&previous);
            fs::rename(&self.stage.path, &previous).map_err(WriteError::io("keep", &previous))?;
            self.stage.is_gone = true;
        }
        // The old bundle goes before the lock does.
        drop(self.stage);
        Ok(())
    }
}

/// Where the bundle that was replaced with [`Displaced::Keep`] is: beside its place, under a hidden name.
///
/// # Errors
/// When the path has no last name.
pub fn previous_path(destination: &Path) -> Result<PathBuf, WriteError> {
    let (parent, name) = split(destination)?;
    Ok(parent.join(format!(".{}.dockseal.previous", name.to_string_lossy())))
}

/// Brings back what was kept by [`Displaced::Keep`], and keeps what it takes the place of: doing it twice changes nothing.
///
/// # Errors
/// When nothing was kept, or the system refuses.
pub fn roll_back(destination: &Path) -> Result<(), WriteError> {
    let (parent, _) = split(destination)?;
    let previous = previous_path(destination)?;
    let _parent_lock = lock_directory(parent)?;
    fs::symlink_metadata(&previous).map_err(WriteError::io("bring back", &previous))?;
    exchange(&previous, destination)?;
    sync_directory(parent)
}

/// Whether [`deliver`] would be let in with files of these names, without writing anything.
///
/// # Errors
/// As [`deliver`], as far as can be known before.
pub fn check_destination(names: &[&str], destination: &Path, existing: Existing) -> Result<(), WriteError> {
    split(destination)?;
    inspect(names, destination, existing).map(drop)
}

/// Finishes or removes what killed runs have left beside this destination.
///
/// # Errors
/// When the system refuses.
pub fn remove_stale(destination: &Path) -> Result<(), WriteError> {
    let (parent, name) = split(destination)?;
    match lock_directory(parent) {
        Err(WriteError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_lock) => sweep(parent, name),
    }
}

/// Writes a single new file, whole or not at all.
///
/// # Errors
/// When something is there already or the system refuses.
pub fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), WriteError> {
    let (parent, name) = split(path)?;
    let already =
        || WriteError::AlreadyThere { path: parent.to_owned(), files: vec![name.to_string_lossy().into_owned()] };
    // A file without a name until it is complete: a kill leaves nothing behind.
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::open(parent, flags, Mode::from_raw_mode(mode & 0o600)) {
        Ok(handle) => {
            let mut file = File::from(handle);
            finish_file(&mut file, path, mode, bytes, Ownership::default(), Sync::Each)?;
            let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, unnamed, CWD, path, AtFlags::SYMLINK_FOLLOW).map_err(|error| match error {
                Errno::EXIST => already(),
                other => WriteError::errno("write", path)(other),
            })?;
        }
        // No nameless files on this file system.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let staged = parent.join(unused_name(name)?);
            let linked = write_file(&staged, mode, bytes, Ownership::default(), Sync::Each).and_then(|()| {
                fs::hard_link(&staged, path).map_err(|source| match source.kind() {
                    io::ErrorKind::AlreadyExists => already(),
                    _ => WriteError::Io { doing: "write", path: path.to_owned(), source },
                })
            });
            let _ = fs::remove_file(&staged);
            linked?;
        }
        Err(error) => return Err(WriteError::errno("write", path)(error)),
    }
    sync_directory(parent)
}

pub(crate) fn unused_name(name: &OsStr) -> Result<String, WriteError> {
    let mut random = [0; 6];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| WriteError::io("name a temporary file for", Path::new(name))(io::Error::other("no randomness")))?;
    let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(".{}.dockseal-{suffix}", name.to_string_lossy()))
}

pub(crate) fn split(destination: &Path) -> Result<(&Path, &OsStr), WriteError> {
    let name = destination.file_name().ok_or_else(|| WriteError::NoName { path: destination.to_owned() })?;
    let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((parent, name))
}

/// Makes a directory and those above it, as far as they are missing, each with mode 0700.
///
/// # Errors
/// When the system refuses.
pub fn make_parents(parent: &Path) -> Result<(), WriteError> {
    // Top down, each with its mode set after it was made, since the umask may have taken even the owner's bits.
    let missing: Vec<&Path> =
        parent.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.is_dir()).collect();
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(layout::DIRECTORY_MODE).create(directory) {
            Ok(()) => fs::set_permissions(directory, Permissions::from_mode(layout::DIRECTORY_MODE))
                .map_err(WriteError::io("set the mode of", directory))?,
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            Err(error) => return Err(WriteError::io("make the directory", directory)(error)),
        }
    }
    Ok(())
}

/// Ours alone, whatever the umask.
fn make_directory(path: &Path) -> Result<(), WriteError> {
    DirBuilder::new().mode(layout::DIRECTORY_MODE).create(path).map_err(WriteError::io("make the directory", path))?;
    fs::set_permissions(path, Permissions::from_mode(layout::DIRECTORY_MODE))
        .map_err(WriteError::io("set the mode of", path))
}

fn inspect(planned: &[&str], destination: &Path, existing: Existing) -> Result<Found, WriteError> {
    let metadata = match fs::symlink_metadata(destination) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return nearest_is_directory(destination),
        Err(error) => return Err(WriteError::io("look at", destination)(error)),
    };
    if metadata.is_symlink() {
        return Err(WriteError::Symlink { path: destination.to_owned() });
    }
    if !metadata.is_dir() {
        return Err(WriteError::NotADirectory { path: destination.to_owned() });
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(destination).map_err(WriteError::io("read the directory", destination))? {
        let entry = entry.map_err(WriteError::io("read the directory", destination))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    if names.is_empty() {
        return Ok(Found::EmptyDirectory);
    }
    let foreign: Vec<String> = names.iter().filter(|name| !OURS.contains(&name.as_str())).take(5).cloned().collect();
    if !foreign.is_empty() {
        return Err(WriteError::ForeignFiles { path: destination.to_owned(), files: foreign });
    }
    let (present, carried): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| planned.contains(&name.as_str()));
    if existing == Existing::Keep && !present.is_empty() {
        return Err(WriteError::AlreadyThere { path: destination.to_owned(), files: present });
    }
    Ok(Found::Bundle { carried })
}

/// A destination that is not there can be made if what is nearest above it is a directory; a dangling link is none.
fn nearest_is_directory(destination: &Path) -> Result<Found, WriteError> {
    let nearest = destination.ancestors().skip(1).find(|ancestor| fs::symlink_metadata(ancestor).is_ok());
    match nearest {
        Some(nearest) if !nearest.is_dir() => Err(WriteError::NotADirectory { path: nearest.to_owned() }),
        _ => Ok(Found::Nothing),
    }
}

/// A directory beside the destination, locked for as long as this process works on it, and removed when that is over:
/// then it holds the old bundle after a swap, or a half-written one after a failure.
struct Stage {
    path: PathBuf,
    /// It was moved away: what may be at its path now is somebody else's.
    is_gone: bool,
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
    fn new(parent: &Path, name: &OsStr) -> Result<Self, WriteError> {
        // Under the parent's lock, so that no other process sweeps the new directory before it is locked itself.
        let _parent_lock = lock_directory(parent)?;
        put_displaced_back(parent, name)?;
        let mut slots = (0..SLOTS).map(|slot| parent.join(staging_name(name, slot)));
        let path = slots.find(|path| is_free(path)).ok_or_else(|| {
            WriteError::io("stage a bundle for", &parent.join(name))(io::Error::from(io::ErrorKind::ResourceBusy))
        })?;
        make_directory(&path)?;
        let lock = lock_directory(&path)?;
        Ok(Self { path, is_gone: false, _lock: lock })
    }

    fn fill(&self, plan: &FilePlan, destination: &Path, found: &Found, sync: Sync) -> Result<(), WriteError> {
        for file in plan.files.iter().filter(|file| !matches!(file.contents, Contents::Gone)) {
            let path = self.path.join(&file.path);
            if let Some(parent) = path.parent().filter(|parent| *parent != self.path && !parent.exists()) {
                make_directory(parent)?;
                own(parent, plan.ownership, plan.directory_mode)?;
            }
            write_file(&path, file.mode, file.contents.bytes(), plan.ownership, sync)?;
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

    fn swap(&self, destination: &Path, found: &Found) -> Result<(), WriteError> {
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
fn exchange(new: &Path, destination: &Path) -> Result<(), WriteError> {
    match rustix::fs::renameat_with(CWD, new, CWD, destination, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // NFS and some overlays cannot exchange. For an instant there is no bundle, never a mixed one; a run that is
        // killed right then is mended by the next one's sweep.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP | Errno::XDEV) => {
            let (parent, name) = split(destination)?;
            let displaced = parent.join(displaced_name(name));
            fs::rename(destination, &displaced).map_err(WriteError::io("move away", destination))?;
            fs::rename(new, destination).map_err(WriteError::io("put in place", destination))?;
            fs::rename(&displaced, new).map_err(WriteError::io("move away", new))
        }
        Err(error) => Err(WriteError::errno("put in place", destination)(error)),
    }
}

/// Best effort: what cannot be removed now is swept by the next run.
fn remove_tree(path: &Path) {
    let _ = fs::remove_dir_all(path);
}

/// How many processes may stage a bundle for one place at once. Their directories have names that can be tried one by
/// one, since the parent may hold a hundred thousand others.
const SLOTS: usize = 64;

/// Removes the staging directories that nobody works on any more, and puts a displaced bundle back.
fn sweep(parent: &Path, name: &OsStr) -> Result<(), WriteError> {
    put_displaced_back(parent, name)?;
    for slot in 0..SLOTS {
        is_free(&parent.join(staging_name(name, slot)));
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

fn put_displaced_back(parent: &Path, name: &OsStr) -> Result<(), WriteError> {
    let displaced = parent.join(displaced_name(name));
    if displaced.exists() {
        let destination = parent.join(name);
        if destination.exists() {
            remove_tree(&displaced);
        } else {
            fs::rename(&displaced, &destination).map_err(WriteError::io("put back", &destination))?;
        }
    }
    Ok(())
}

fn staging_name(name: &OsStr, slot: usize) -> String {
    format!(".{}.dockseal-{slot}", name.to_string_lossy())
}

/// Where the fallback without `RENAME_EXCHANGE` puts the old bundle; outside the prefix that is swept.
fn displaced_name(name: &OsStr) -> String {
    format!(".{}.dockseal.displaced", name.to_string_lossy())
}

fn lock_directory(path: &Path) -> Result<File, WriteError> {
    let directory = File::open(path).map_err(WriteError::io("open the directory", path))?;
    directory.lock().map_err(WriteError::io("lock the directory", path))?;
    Ok(directory)
}

fn write_file(path: &Path, mode: u32, bytes: &[u8], ownership: Ownership, sync: Sync) -> Result<(), WriteError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode & 0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(WriteError::io("write", path))?;
    finish_file(&mut file, path, mode, bytes, ownership, sync)
}

/// The owner before the mode, so that a wider mode never counts for the wrong group.
fn finish_file(
    file: &mut File,
    path: &Path,
    mode: u32,
    bytes: &[u8],
    ownership: Ownership,
    sync: Sync,
) -> Result<(), WriteError> {
    file.write_all(bytes).map_err(WriteError::io("write", path))?;
    if ownership.user.is_some() || ownership.group.is_some() {
        rustix::fs::fchown(&*file, ownership.user.map(Uid::from_raw), ownership.group.map(Gid::from_raw))
            .map_err(WriteError::errno("change the owner of", path))?;
    }
    file.set_permissions(Permissions::from_mode(mode)).map_err(WriteError::io("set the mode of", path))?;
    if sync == Sync::Each { file.sync_all().map_err(WriteError::io("write", path)) } else { Ok(()) }
}

fn own(directory: &Path, ownership: Ownership, mode: u32) -> Result<(), WriteError> {
    if ownership.user.is_some() || ownership.group.is_some() {
        std::os::unix::fs::chown(directory, ownership.user, ownership.group)
            .map_err(WriteError::io("change the owner of", directory))?;
    }
    fs::set_permissions(directory, Permissions::from_mode(mode)).map_err(WriteError::io("set the mode of", directory))
}

/// Links a file, or a directory of files, from the old bundle into the new one.
fn carry(from: &Path, to: &Path) -> Result<(), WriteError> {
    let metadata = fs::symlink_metadata(from).map_err(WriteError::io("look at", from))?;
    if metadata.is_symlink() {
        return Err(WriteError::Symlink { path: from.to_owned() });
    }
    if !metadata.is_dir() {
        return fs::hard_link(from, to).map_err(WriteError::io("keep", from));
    }
    make_directory(to)?;
    for entry in fs::read_dir(from).map_err(WriteError::io("read the directory", from))? {
        let entry = entry.map_err(WriteError::io("read the directory", from))?;
        let kind = entry.file_type().map_err(WriteError::io("look at", from))?;
        if !kind.is_file() {
            return Err(WriteError::ForeignFiles {
                path: from.to_owned(),
                files: vec![entry.file_name().to_string_lossy().into_owned()],
            });
        }
        fs::hard_link(entry.path(), to.join(entry.file_name())).map_err(WriteError::io("keep", &entry.path()))?;
    }
    fs::set_permissions(to, metadata.permissions()).map_err(WriteError::io("set the mode of", to))?;
    sync_directory(to)
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), WriteError> {
    let directory = File::open(path).map_err(WriteError::io("open the directory", path))?;
    match directory.sync_all() {
        // Some network and FUSE file systems cannot sync a directory; there is nothing better to do on them.
        Err(error)
            if matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::INVAL | Errno::NOTSUP)) =>
        {
            Ok(())
        }
        result => result.map_err(WriteError::io("sync the directory", path)),
    }
}
