//! Single files and directories: made with their modes from the first instant, durable when that is asked for.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
};

use dockseal_docker::{Ownership, layout};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::{fs::FileType, io::Errno};

use crate::{
    WriteError,
    directory::{Directory, give, hidden},
};

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
    directory: Directory,
    name: OsString,
    written: Written,
}

enum Written {
    /// Without a name until it is complete: a kill leaves nothing behind.
    Nameless(File),
    /// On file systems that have no nameless files.
    Beside(OsString),
}

impl NewFile {
    /// The first half of [`write_new`].
    ///
    /// # Errors
    /// As [`write_new`].
    pub fn write(path: &Path, mode: u32, bytes: &[u8]) -> Result<Self, WriteError> {
        Self::write_for(path, mode, bytes, Ownership::default())
    }

    /// The same for an owner.
    pub(crate) fn write_for(path: &Path, mode: u32, bytes: &[u8], ownership: Ownership) -> Result<Self, WriteError> {
        let (parent, name) = split(path)?;
        let directory = Directory::open(parent)?;
        if directory.look(name)?.is_some() {
            return Err(there_already(&directory, name));
        }
        let name = name.to_owned();
        if let Some(mut file) = directory.create_nameless(&name, mode)? {
            finish_file(&mut file, path, mode, bytes, ownership, Sync::Each)?;
            return Ok(Self { directory, name, written: Written::Nameless(file) });
        }
        let staged = unused_name(&name)?;
        let new = Self { directory, name, written: Written::Beside(staged.clone()) };
        write_file(&new.directory, &staged, mode, bytes, ownership, Sync::Each)?;
        Ok(new)
    }

    /// The second half of [`write_new`].
    ///
    /// # Errors
    /// As [`write_new`].
    pub fn put_in_place(self) -> Result<(), WriteError> {
        let linked = match &self.written {
            Written::Nameless(file) => self.directory.name_file(file, &self.name),
            Written::Beside(staged) => self.directory.link_into(staged, &self.directory, &self.name),
        };
        linked.map_err(|error| match error {
            Errno::EXIST => there_already(&self.directory, &self.name),
            other => WriteError::errno("write", &self.directory.path_of(&self.name))(other),
        })?;
        self.directory.sync()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Written::Beside(staged) = &self.written {
            let _ = self.directory.remove_file(staged);
        }
    }
}

fn there_already(parent: &Directory, name: &OsStr) -> WriteError {
    WriteError::AlreadyThere { path: parent.path().to_owned(), files: vec![name.to_string_lossy().into_owned()] }
}

/// A hidden name beside `name` that nobody else chooses.
pub(crate) fn unused_name(name: &OsStr) -> Result<OsString, WriteError> {
    let mut random = [0; 6];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| WriteError::io("name a temporary file for", Path::new(name))(io::Error::other("no randomness")))?;
    let suffix: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(hidden(name, &format!("-{suffix}")))
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
    Directory::open_or_make(parent, mode).map(drop)
}

/// A directory that others may look into, since nothing secret is in it itself, unless there is one already.
///
/// # Errors
/// When the system refuses.
pub fn make_open_directory(path: &Path) -> Result<(), WriteError> {
    let (parent, name) = split(path)?;
    let parent = Directory::open_or_make(parent, layout::DIRECTORY_MODE)?;
    match parent.make_child(name, layout::OPEN_DIRECTORY_MODE) {
        // It was there, or another process was faster.
        Err(error) if error.is(Errno::EXIST) => Directory::open(path).map(drop),
        made => made.map(drop),
    }
}

pub(crate) fn write_file(
    directory: &Directory,
    name: &OsStr,
    mode: u32,
    bytes: &[u8],
    ownership: Ownership,
    sync: Sync,
) -> Result<(), WriteError> {
    let mut file = directory.create(name, mode)?;
    finish_file(&mut file, &directory.path_of(name), mode, bytes, ownership, sync)
}

/// The owner before the mode, so that a wider mode is never one for the wrong group.
pub(crate) fn finish_file(
    file: &mut File,
    path: &Path,
    mode: u32,
    bytes: &[u8],
    ownership: Ownership,
    sync: Sync,
) -> Result<(), WriteError> {
    file.write_all(bytes).map_err(WriteError::io("write", path))?;
    give(&*file, ownership).map_err(WriteError::errno("change the owner of", path))?;
    file.set_permissions(Permissions::from_mode(mode)).map_err(WriteError::io("set the mode of", path))?;
    if sync == Sync::Each { file.sync_all().map_err(WriteError::io("write", path)) } else { Ok(()) }
}

/// Links a file, or a directory of files, from the old bundle into the new one.
pub(crate) fn carry(from: &Directory, name: &OsStr, to: &Directory) -> Result<(), WriteError> {
    let path = from.path_of(name);
    let found = from.look(name)?.ok_or_else(|| WriteError::Changed { path: path.clone() })?;
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => {}
        FileType::Symlink => return Err(WriteError::Symlink { path }),
        _ => return carry_file(from, name, to),
    }
    let from = from.child(name)?;
    let to = to.make_child(name, layout::DIRECTORY_MODE)?;
    for name in from.names()? {
        carry_file(&from, &name, &to)?;
    }
    to.set_mode(found.st_mode & 0o7777)?;
    to.sync()
}

/// Only regular files: what was linked is looked at again where nobody else can change it.
fn carry_file(from: &Directory, name: &OsStr, to: &Directory) -> Result<(), WriteError> {
    from.link_into(name, to, name).map_err(WriteError::errno("keep", &from.path_of(name)))?;
    let is_file = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
    if to.look(name)?.is_some_and(|found| is_file(found.st_mode)) {
        return Ok(());
    }
    Err(WriteError::ForeignFiles { path: from.path().to_owned(), files: vec![name.to_string_lossy().into_owned()] })
}
