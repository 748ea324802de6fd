//! Single files and directories: made with their modes from the first instant, durable when that is asked for.

use std::{
    ffi::OsStr,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::Path,
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
