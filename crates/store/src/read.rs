//! Reading what a person names: a regular file of a sensible size, whatever the path turns out to be.

use std::{
    fs::{File, FileType, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::ReadError;

/// The most that is read of one file, in bytes. Certificates have a few thousand.
const LIMIT: u64 = 16 << 20;

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

/// The bytes of a regular file of at most 16 MiB; symbolic links are followed, as Docker does.
///
/// # Errors
/// When it cannot be opened or read, is larger, or is no regular file. A pipe or a device never blocks.
pub fn read(path: &Path) -> Result<OpenedFile, ReadError> {
    open(path)?.read(LIMIT)
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
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() {
        return Err(ReadError::NotAFile { path: path.to_owned(), kind: kind(metadata.file_type()) });
    }
    Ok(RegularFile { file, path: path.to_owned(), metadata })
}

impl RegularFile {
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

fn kind(kind: FileType) -> &'static str {
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
