//! Reading what a person names: a regular file of a sensible size, whatever the path turns out to be.

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use dockseal_docker::Ownership;
use rustix::{
    fs::{FileType, Mode, OFlags, Stat},
    io::Errno,
};
use zeroize::Zeroizing;

use crate::{ReadError, WriteError, directory::Directory};

/// The most that is read of one file, in bytes. Certificates have a few thousand.
const LIMIT: u64 = 16 << 20;
/// How many links are followed in a row, as by the kernel (path_resolution(7)).
const LINKS: usize = 40;

/// A file's bytes and who may read them; zeroed when dropped, since it may hold a key.
pub struct OpenedFile {
    /// The bytes.
    pub bytes: Zeroizing<Vec<u8>>,
    /// The permission bits.
    pub mode: u32,
}

impl OpenedFile {
    /// Whether others than the owner may read it.
    pub fn is_readable_by_others(&self) -> bool {
        self.mode & 0o044 != 0
    }
}

/// The bytes of a regular file of at most 16 MiB. What is read here is often put somewhere else, a key above all: so symbolic
/// links count only where nobody but root, who runs this, or the owner of `/` can change them.
///
/// # Errors
/// When it cannot be opened or read, is larger, is no regular file, or is behind a link that others can change. A pipe or a
/// device never blocks.
pub fn read(path: &Path) -> Result<OpenedFile, ReadError> {
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { return read_as_docker(path) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    Sight::at(parent, path)?.file(name, path)?.read(LIMIT)
}

/// The same by every link, as Docker itself reads: for telling what Docker would make of it, and never for passing it on.
///
/// # Errors
/// When it cannot be opened or read, is larger, or is no regular file. A pipe or a device never blocks.
pub fn read_as_docker(path: &Path) -> Result<OpenedFile, ReadError> {
    open(path)?.read(LIMIT)
}

/// The number of the user to whom a directory belongs or, where it is missing, the nearest directory above it.
///
/// # Errors
/// When that cannot be opened, or is behind a link that others can change.
pub fn owner_of(path: &Path) -> Result<u32, ReadError> {
    match Sight::of(path) {
        Err(error) if error.is_not_found() => match path.parent() {
            Some(parent) => owner_of(parent),
            None => Err(error),
        },
        other => other?.owner(),
    }
}

/// A directory that is held while it is looked at: all that is read of it, and whose it is, is of one and the same directory,
/// whatever its parent's owner puts in its place meanwhile.
pub struct Sight {
    directory: Directory,
}

impl Sight {
    /// Holds the directory.
    ///
    /// # Errors
    /// When it cannot be opened, is no directory, or is behind a link that others can change.
    pub fn of(path: &Path) -> Result<Self, ReadError> {
        Self::at(path, path)
    }

    pub(crate) fn over(directory: Directory) -> Self {
        Self { directory }
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    fn at(path: &Path, told: &Path) -> Result<Self, ReadError> {
        let directory = Directory::open_to_pass(path).map_err(|error| refused(error, told))?;
        Ok(Self { directory })
    }

    /// The bytes of a file in it, as [`read`].
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&self, name: &str) -> Result<OpenedFile, ReadError> {
        let path = self.directory.path_of(name.as_ref());
        self.file(name.as_ref(), &path)?.read(LIMIT)
    }

    /// Whose it is, and which mode the key in it has. Where a group may read the key, that is the group: the directory's may
    /// be another, which its parent handed down.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn ownership(&self, key: &str) -> Result<Ownership, ReadError> {
        let path = self.directory.path_of(key.as_ref());
        let found = self.directory.metadata().map_err(|error| refused(error, &path))?;
        let is_file = |key: &Stat| FileType::from_raw_mode(key.st_mode).is_file();
        let key = self.directory.look(key.as_ref()).map_err(|error| refused(error, &path))?.filter(is_file);
        let keys_group = key.as_ref().filter(|key| key.st_mode & 0o040 != 0).map(|key| key.st_gid);
        let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Ok(Ownership {
            user: Some(found.st_uid).filter(|owner| *owner != user),
            group: Some(keys_group.unwrap_or(found.st_gid)).filter(|owner| *owner != group),
            key_mode: key.map(|key| key.st_mode & 0o660).filter(|mode| mode & 0o400 != 0),
        })
    }

    /// The number of the user to whom it belongs.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn owner(&self) -> Result<u32, ReadError> {
        let found = self.directory.metadata().map_err(|error| refused(error, &self.directory.path_of("".as_ref())))?;
        Ok(found.st_uid)
    }

    pub(crate) fn file(&self, name: &OsStr, told: &Path) -> Result<RegularFile, ReadError> {
        self.file_within(name, told, LINKS)
    }

    /// The same over so many links at most.
    fn file_within(&self, name: &OsStr, told: &Path, links: usize) -> Result<RegularFile, ReadError> {
        let failed = |error: Errno| ReadError::Io { path: told.to_owned(), source: error.into() };
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(self.directory.as_fd(), name, flags | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::LOOP) => match self.directory.safe_link(name).map_err(|error| refused(error, told))? {
                Some(_) if links == 0 => return Err(failed(Errno::LOOP)),
                Some(target) => return read_link(&target, told, links - 1),
                // What the kernel makes of a descriptor is no path.
                None => rustix::fs::openat(self.directory.as_fd(), name, flags, Mode::empty()).map_err(failed)?,
            },
            Err(error) => return Err(failed(error)),
        };
        RegularFile::of(File::from(file), told)
    }
}

/// A link that is safe leads to a path, which is walked as strictly. A link to a link is followed as long as each is safe.
fn read_link(target: &Path, told: &Path, links: usize) -> Result<RegularFile, ReadError> {
    let no_such = || ReadError::Io { path: told.to_owned(), source: io::ErrorKind::NotFound.into() };
    let real = crate::resolve(target.parent().ok_or_else(no_such)?);
    let name = target.file_name().ok_or_else(no_such)?;
    let sight = Sight::at(&real, told)?;
    sight.file_within(name, told, links)
}

fn refused(error: WriteError, told: &Path) -> ReadError {
    match error {
        WriteError::UnsafeLink { path, user } => ReadError::UnsafeLink { path, user },
        WriteError::Io { source, .. } => ReadError::Io { path: told.to_owned(), source },
        WriteError::NotADirectory { .. } => {
            ReadError::Io { path: told.to_owned(), source: io::ErrorKind::NotADirectory.into() }
        }
        other => ReadError::Io { path: told.to_owned(), source: io::Error::other(other.to_string()) },
    }
}

/// A regular file that is open and not read yet.
pub struct RegularFile {
    file: File,
    path: PathBuf,
    metadata: Metadata,
}

/// Opens a regular file; symbolic links are followed, as Docker does.
///
/// # Errors
/// When it cannot be opened or is no regular file. A pipe or a device never blocks.
pub fn open(path: &Path) -> Result<RegularFile, ReadError> {
    let error = |source| ReadError::Io { path: path.to_owned(), source };
    // Without NONBLOCK the open of a FIFO waits for its writer.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(error)?;
    RegularFile::of(file, path)
}

impl RegularFile {
    fn of(file: File, path: &Path) -> Result<Self, ReadError> {
        let metadata = file.metadata().map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        if !metadata.is_file() {
            return Err(ReadError::NotAFile { path: path.to_owned(), kind: kind(metadata.file_type()) });
        }
        Ok(Self { file, path: path.to_owned(), metadata })
    }

    /// Its user and its group.
    pub(crate) fn owner(&self) -> (u32, u32) {
        (self.metadata.uid(), self.metadata.gid())
    }

    pub(crate) fn read_all(self) -> Result<OpenedFile, ReadError> {
        self.read(LIMIT)
    }

    /// Its length in bytes when it was opened.
    pub fn length(&self) -> u64 {
        self.metadata.len()
    }

    /// The permission bits.
    pub fn mode(&self) -> u32 {
        self.metadata.mode() & 0o7777
    }

    /// Whether these are its bytes; it is read piece by piece, and is not held.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn equals(&self, bytes: &[u8]) -> Result<bool, ReadError> {
        let mut piece = [0; 1 << 16];
        let mut rest = bytes;
        let mut offset = 0;
        loop {
            let read = self.file.read_at(&mut piece, offset).map_err(|source| self.error(source))?;
            match piece.get(..read).and_then(|piece| rest.strip_prefix(piece)) {
                Some(after) if read > 0 => rest = after,
                Some(after) => return Ok(after.is_empty()),
                None => return Ok(false),
            }
            offset += read as u64;
        }
    }

    /// All of its bytes, at most `limit`.
    ///
    /// # Errors
    /// When it cannot be read or is larger.
    pub fn read(self, limit: u64) -> Result<OpenedFile, ReadError> {
        // In one piece: what grows is copied, and its old places keep a key.
        let capacity = usize::try_from(self.length().min(limit) + 1).unwrap_or_default();
        let bytes = read_to(&self.file, &self.path, Vec::with_capacity(capacity), limit)?;
        Ok(OpenedFile { bytes, mode: self.mode() })
    }

    fn error(&self, source: io::Error) -> ReadError {
        ReadError::Io { path: self.path.clone(), source }
    }
}

/// All of a stream, at most 16 MiB; `path` names it in errors.
///
/// # Errors
/// When it cannot be read or is larger.
pub fn read_from(stream: impl Read, path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    read_to(stream, path, Vec::new(), LIMIT)
}

fn read_to(stream: impl Read, path: &Path, bytes: Vec<u8>, limit: u64) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut bytes = Zeroizing::new(bytes);
    stream
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|source: io::Error| ReadError::Io { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn kind(kind: fs::FileType) -> &'static str {
    if kind.is_dir() {
        "directory"
    } else if kind.is_fifo() {
        "pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}
