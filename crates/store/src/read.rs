//! Reading what a person names: a regular file of a sensible size, whatever the path turns out to be.

use std::{
    fs::{FileType, OpenOptions},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::Path,
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
    let error = |source| ReadError::Io { path: path.to_owned(), source };
    // Without NONBLOCK the open of a FIFO waits for its writer.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(error)?;
    let metadata = file.metadata().map_err(error)?;
    if !metadata.is_file() {
        return Err(ReadError::NotAFile { path: path.to_owned(), kind: kind(metadata.file_type()) });
    }
    let bytes = read_from(file, path)?;
    Ok(OpenedFile { bytes, mode: metadata.mode() & 0o7777 })
}

/// All of a stream, at most 16 MiB; `path` names it in errors.
///
/// # Errors
/// When it cannot be read or is larger.
pub fn read_from(stream: impl Read, path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut bytes = Zeroizing::new(Vec::new());
    stream
        .take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|source: io::Error| ReadError::Io { path: path.to_owned(), source })?;
    if bytes.len() as u64 > LIMIT {
        return Err(ReadError::TooLarge { path: path.to_owned(), limit: LIMIT });
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
