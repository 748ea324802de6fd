//! A single file that others read, put in the place of the one before it.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, CWD, Mode, OFlags},
    io::Errno,
};

use crate::{
    WriteError,
    files::{split, sync_directory, unused_name},
};

/// A file in the making. Readers see the one before it until [`put_in_place`](Self::put_in_place); dropped, it is gone.
pub struct Replacement {
    file: BufWriter<File>,
    destination: PathBuf,
    mode: u32,
    /// Its name meanwhile; it has none where the file system allows that, so that a kill leaves nothing behind.
    staged: Option<PathBuf>,
}

impl Replacement {
    /// Begins a file that is to be at `destination`, whose directory is there.
    ///
    /// # Errors
    /// When something that is no regular file is there, or the system refuses.
    pub fn new(destination: &Path, mode: u32) -> Result<Self, WriteError> {
        let (parent, name) = split(destination)?;
        match fs::symlink_metadata(destination) {
            Ok(metadata) if metadata.is_symlink() => {
                return Err(WriteError::Symlink { path: destination.to_owned() });
            }
            Ok(metadata) if !metadata.is_file() => {
                return Err(WriteError::io("replace", destination)(io::Error::other("it is not a regular file")));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(WriteError::io("look at", destination)(error));
            }
            Ok(_) | Err(_) => {}
        }
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let (file, staged) = match rustix::fs::open(parent, flags, Mode::from_raw_mode(mode & 0o600)) {
            Ok(handle) => (File::from(handle), None),
            // No nameless files on this file system.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
                let staged = parent.join(unused_name(name)?);
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(mode & 0o600)
                    .open(&staged)
                    .map_err(WriteError::io("write", destination))?;
                (file, Some(staged))
            }
            Err(error) => return Err(WriteError::errno("write", destination)(error)),
        };
        Ok(Self { file: BufWriter::new(file), destination: destination.to_owned(), mode, staged })
    }

    /// Where it is to be.
    pub fn destination(&self) -> &Path {
        &self.destination
    }

    /// Gives it to this user and this group.
    ///
    /// # Errors
    /// When the system refuses, as it does for those who are not root.
    pub(crate) fn belong_to(&mut self, user: u32, group: u32) -> Result<(), WriteError> {
        let failed = WriteError::io("change the owner of", &self.destination);
        let file = self.file.get_ref();
        let found = match file.metadata() {
            Ok(found) => found,
            Err(error) => return Err(failed(error)),
        };
        if (found.uid(), found.gid()) == (user, group) {
            return Ok(());
        }
        std::os::unix::fs::fchown(file, Some(user), Some(group)).map_err(failed)
    }

    /// All of it is written: it takes its place, durably.
    ///
    /// # Errors
    /// When the system refuses; then the file before it is still there.
    pub fn put_in_place(mut self) -> Result<(), WriteError> {
        let failed = |doing| WriteError::io(doing, &self.destination);
        let (parent, name) = split(&self.destination)?;
        self.file.flush().map_err(failed("write"))?;
        let file = self.file.get_ref();
        file.set_permissions(Permissions::from_mode(self.mode)).map_err(failed("set the mode of"))?;
        file.sync_all().map_err(failed("write"))?;
        if self.staged.is_none() {
            let staged = parent.join(unused_name(name)?);
            let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, unnamed, CWD, &staged, AtFlags::SYMLINK_FOLLOW)
                .map_err(WriteError::errno("write", &self.destination))?;
            self.staged = Some(staged);
        }
        if let Some(staged) = &self.staged {
            fs::rename(staged, &self.destination).map_err(WriteError::io("put in place", &self.destination))?;
            self.staged = None;
        }
        sync_directory(parent)
    }
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
            let _ = fs::remove_file(staged);
        }
    }
}

/// Puts a file of these bytes in the place of the one before it, whole or not at all.
///
/// # Errors
/// As [`Replacement`].
pub fn replace(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), WriteError> {
    let mut file = Replacement::new(path, mode)?;
    file.write_all(bytes).map_err(WriteError::io("write", path))?;
    file.put_in_place()
}
