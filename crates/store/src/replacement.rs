//! A single file that others read, put in the place of the one before it.

use std::{
    ffi::{OsStr, OsString},
    fs::{File, Permissions, TryLockError},
    io::{self, BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use dockseal_docker::Ownership;
use rustix::{
    fs::{FileType, fstat},
    io::Errno,
};

use crate::{
    WriteError,
    directory::{Directory, change_owner, hidden, identity},
    files::{split, unused_name},
};

/// How many processes may put a file in one place at the same instant.
const SLOTS: usize = 16;

/// A file in the making. Readers see the one before it until [`put_in_place`](Self::put_in_place); dropped, it is gone.
pub struct Replacement {
    file: BufWriter<File>,
    directory: Directory,
    destination: PathBuf,
    name: OsString,
    mode: u32,
    /// Its name meanwhile; it has none where the file system allows that, so that a kill leaves nothing behind.
    staged: Option<OsString>,
}

impl Replacement {
    /// Begins a file that is to be at `destination`, whose directory is there.
    ///
    /// # Errors
    /// When something that is no regular file is there, or the system refuses.
    pub fn new(destination: &Path, mode: u32) -> Result<Self, WriteError> {
        let (parent, name) = split(destination)?;
        let directory = Directory::open(parent)?;
        Self::within(directory, name, destination, mode)
    }

    /// The same in a directory that is held; `destination` is for messages.
    pub(crate) fn within(
        directory: Directory,
        name: &OsStr,
        destination: &Path,
        mode: u32,
    ) -> Result<Self, WriteError> {
        match directory.look(name)?.map(|found| FileType::from_raw_mode(found.st_mode)) {
            Some(FileType::Symlink) => return Err(WriteError::Symlink { path: destination.to_owned() }),
            Some(FileType::RegularFile) | None => {}
            Some(_) => {
                return Err(WriteError::io("replace", destination)(io::Error::other("it is not a regular file")));
            }
        }
        let (file, staged) = match directory.create_nameless(name, mode)? {
            Some(file) => (file, None),
            None => {
                let staged = unused_name(name)?;
                (directory.create(&staged, mode)?, Some(staged))
            }
        };
        let name = name.to_owned();
        Ok(Self { file: BufWriter::new(file), directory, destination: destination.to_owned(), name, mode, staged })
    }

    /// Where it is to be.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Gives it to this owner.
    ///
    /// # Errors
    /// When the system refuses, as it does for those who are not root.
    pub(crate) fn belong_to(&mut self, ownership: Ownership) -> Result<(), WriteError> {
        let file = self.file.get_ref();
        let found = fstat(file).map_err(WriteError::errno("look at", &self.destination))?;
        let is_so = ownership.user.is_none_or(|user| user == found.st_uid)
            && ownership.group.is_none_or(|group| group == found.st_gid);
        if is_so {
            return Ok(());
        }
        change_owner(file, ownership).map_err(WriteError::errno("change the owner of", &self.destination))
    }

    /// All of it at once.
    pub(crate) fn fill(mut self, bytes: &[u8], ownership: Ownership) -> Result<(), WriteError> {
        self.belong_to(ownership)?;
        self.write_all(bytes).map_err(WriteError::io("write", &self.destination))?;
        self.put_in_place()
    }

    /// All of it is written: it takes its place, durably.
    ///
    /// # Errors
    /// When the system refuses; then the file before it is still there, or, where it could not be synced, either may be after
    /// a power failure.
    pub fn put_in_place(mut self) -> Result<(), WriteError> {
        let failed = |doing| WriteError::io(doing, &self.destination);
        self.file.flush().map_err(failed("write"))?;
        let file = self.file.get_ref();
        file.set_permissions(Permissions::from_mode(self.mode)).map_err(failed("set the mode of"))?;
        file.sync_all().map_err(failed("write"))?;
        if self.staged.is_none() {
            // What another process finds under that name, and can lock, was left by a killed run.
            let _ = file.try_lock();
            self.staged = Some(name_in_a_slot(&self.directory, file, &self.name, &self.destination)?);
        }
        if let Some(staged) = &self.staged {
            self.directory
                .rename(staged, &self.directory, &self.name)
                .map_err(WriteError::errno("put in place", &self.destination))?;
            self.staged = None;
        }
        self.directory.sync()
    }
}

/// Gives a file one of the hidden names beside its place; a name that a killed run left is taken over.
fn name_in_a_slot(
    directory: &Directory,
    file: &File,
    name: &OsStr,
    destination: &Path,
) -> Result<OsString, WriteError> {
    for slot in 0..SLOTS {
        let staged = hidden(name, &format!("-{slot}"));
        // Once more where what was left was removed.
        for _ in 0..2 {
            match directory.name_file(file, &staged) {
                Ok(()) => return Ok(staged),
                Err(Errno::EXIST) if remove_left(directory, &staged) => {}
                Err(Errno::EXIST) => break,
                Err(error) => return Err(WriteError::errno("write", destination)(error)),
            }
        }
    }
    // Somebody else has all of them.
    let staged = unused_name(name)?;
    directory.name_file(file, &staged).map_err(WriteError::errno("write", destination))?;
    Ok(staged)
}

/// Removes a file under a hidden name of ours on which no process works; whether it did.
fn remove_left(directory: &Directory, staged: &OsStr) -> bool {
    let Ok(Some(found)) = directory.look(staged) else { return true };
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return false;
    }
    let Ok(left) = directory.open_file(staged) else { return false };
    match left.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => {}
        Err(TryLockError::WouldBlock) => return false,
    }
    // A process that is faster than this one has put it in its place already: then another file has the name, or none.
    directory.is_there(staged, identity(&found)).is_ok_and(|there| !there || directory.remove_file(staged).is_ok())
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        if let Some(staged) = &self.staged {
            let _ = self.directory.remove_file(staged);
        }
    }
}

/// Puts a file of these bytes in the place of the one before it, whole or not at all.
///
/// # Errors
/// As [`Replacement`].
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), WriteError> {
    replace_for(path, mode, bytes, Ownership::default())
}

/// The same for an owner.
pub(crate) fn replace_for(path: &Path, mode: u32, bytes: &[u8], ownership: Ownership) -> Result<(), WriteError> {
    Replacement::new(path, mode)?.fill(bytes, ownership)
}
