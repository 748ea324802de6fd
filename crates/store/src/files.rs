//! Single files and directories: made with their modes from the first instant, durable when that is asked for.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use dockseal_docker::{Ownership, layout};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::{
    fs::{AtFlags, CWD, Gid, Mode, OFlags, Uid},
    io::Errno,
};

use crate::WriteError;

/// When the files of a bundle are on the disk, and not only on their way there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Each by itself, as it is written.
    Each,
    /// All of a batch together, by [`Batch::put_in_place`].
    Together,
}

/// Writes a single new file, whole or not at all.
///
/// # Errors
/// When something is there already or the system refuses.
pub fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), WriteError> {
    NewFile::write(path, mode, bytes)?.put_in_place()
}

/// A new file that is complete and on the disk, and not yet in its place. Dropped, it is gone.
#[must_use = "dropped, it is gone"]
pub struct NewFile {
    path: PathBuf,
    written: Written,
}

enum Written {
    /// Without a name until it is complete: a kill leaves nothing behind.
    Nameless(File),
    /// On file systems that have no nameless files.
    Beside(PathBuf),
}

impl NewFile {
    /// The first half of [`write_new`].
    ///
    /// # Errors
    /// As [`write_new`].
    pub fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<Self, WriteError> {
        let (parent, name) = split(path)?;
        if fs::symlink_metadata(path).is_ok() {
            return Err(there_already(parent, name));
        }
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let written = match rustix::fs::open(parent, flags, Mode::from_raw_mode(mode & 0o600)) {
            Ok(handle) => {
                let mut file = File::from(handle);
                finish_file(&mut file, path, mode, bytes, Ownership::default(), Sync::Each)?;
                Written::Nameless(file)
            }
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let new = Self { path: path.to_owned(), written: Written::Beside(parent.join(unused_name(name)?)) };
                if let Written::Beside(staged) = &new.written {
                    write_file(staged, mode, bytes, Ownership::default(), Sync::Each)?;
                }
                return Ok(new);
            }
            Err(error) => return Err(WriteError::errno("write", path)(error)),
        };
        Ok(Self { path: path.to_owned(), written })
    }

    /// The second half of [`write_new`].
    ///
    /// # Errors
    /// As [`write_new`].
    pub fn put_in_place(self) -> Result<(), WriteError> {
        let (parent, name) = split(&self.path)?;
        let from = match &self.written {
            Written::Nameless(file) => PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd())),
            Written::Beside(staged) => staged.clone(),
        };
        rustix::fs::linkat(CWD, from, CWD, &self.path, AtFlags::SYMLINK_FOLLOW).map_err(|error| match error {
            Errno::EXIST => there_already(parent, name),
            other => WriteError::errno("write", &self.path)(other),
        })?;
        sync_directory(parent)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Written::Beside(staged) = &self.written {
            let _ = fs::remove_file(staged);
        }
    }
}

fn there_already(parent: &Path, name: &OsStr) -> WriteError {
    WriteError::AlreadyThere { path: parent.to_owned(), files: vec![name.to_string_lossy().into_owned()] }
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
    make_directories(parent, layout::DIRECTORY_MODE)
}

/// The same with another mode.
///
/// # Errors
/// When the system refuses.
pub fn make_directories(parent: &Path, mode: u32) -> Result<(), WriteError> {
    // Top down, each with its mode set after it was made, since the umask may have taken even the owner's bits.
    let missing: Vec<&Path> =
        parent.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.is_dir()).collect();
    for directory in missing.into_iter().rev() {
        match DirBuilder::new().mode(mode).create(directory) {
            Ok(()) => fs::set_permissions(directory, Permissions::from_mode(mode))
                .map_err(WriteError::io("set the mode of", directory))?,
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && directory.is_dir() => {}
            Err(error) => return Err(WriteError::io("make the directory", directory)(error)),
        }
    }
    Ok(())
}

/// A directory that others may look into, since nothing secret is in it itself, unless there is one already.
///
/// # Errors
/// When the system refuses.
pub fn make_open_directory(path: &Path) -> Result<(), WriteError> {
    if path.is_dir() {
        return Ok(());
    }
    make_parents(split(path)?.0)?;
    match make_directory(path) {
        // Another process was faster.
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error),
        Ok(()) => own(path, Ownership::default(), layout::OPEN_DIRECTORY_MODE),
    }
}

/// Ours alone, whatever the umask.
pub(crate) fn make_directory(path: &Path) -> Result<(), WriteError> {
    DirBuilder::new().mode(layout::DIRECTORY_MODE).create(path).map_err(WriteError::io("make the directory", path))?;
    fs::set_permissions(path, Permissions::from_mode(layout::DIRECTORY_MODE))
        .map_err(WriteError::io("set the mode of", path))
}

pub(crate) fn lock_directory(path: &Path) -> Result<File, WriteError> {
    let directory = File::open(path).map_err(WriteError::io("open the directory", path))?;
    directory.lock().map_err(WriteError::io("lock the directory", path))?;
    Ok(directory)
}

pub(crate) fn write_file(
    path: &Path,
    mode: u32,
    bytes: &[u8],
    ownership: Ownership,
    sync: Sync,
) -> Result<(), WriteError> {
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

pub(crate) fn make_link(path: &Path, target: &str, ownership: Ownership) -> Result<(), WriteError> {
    std::os::unix::fs::symlink(target, path).map_err(WriteError::io("make the link", path))?;
    std::os::unix::fs::lchown(path, ownership.user, ownership.group)
        .map_err(WriteError::io("change the owner of", path))
}

pub(crate) fn own(directory: &Path, ownership: Ownership, mode: u32) -> Result<(), WriteError> {
    if ownership.user.is_some() || ownership.group.is_some() {
        std::os::unix::fs::chown(directory, ownership.user, ownership.group)
            .map_err(WriteError::io("change the owner of", directory))?;
    }
    fs::set_permissions(directory, Permissions::from_mode(mode)).map_err(WriteError::io("set the mode of", directory))
}

/// Links a file, or a directory of files, from the old bundle into the new one.
pub(crate) fn carry(from: &Path, to: &Path) -> Result<(), WriteError> {
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

/// Best effort: what cannot be removed now is swept by the next run.
pub(crate) fn remove_tree(path: &Path) {
    let _ = fs::remove_dir_all(path);
}
