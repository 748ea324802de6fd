//! What is put in the place of a file or of a link, at once.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{
    WriteError,
    files::{split, sync_directory, unused_name, write_new},
};

/// Makes `path` a link to `target`, in the place of the file or link that may be there.
///
/// # Errors
/// When the system refuses: some file systems know no links.
pub fn link(target: &Path, path: &Path) -> Result<(), WriteError> {
    let staged = beside(path)?;
    symlink(target, &staged).map_err(WriteError::io("make the link", path))?;
    take_the_place(&staged, path)
}

/// Makes `path` a file of these bytes, in the place of the file or link that may be there; where a link led is left alone.
///
/// # Errors
/// When the system refuses.
pub fn supplant(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), WriteError> {
    let staged = beside(path)?;
    write_new(&staged, mode, bytes)?;
    take_the_place(&staged, path)
}

fn beside(path: &Path) -> Result<PathBuf, WriteError> {
    let (parent, name) = split(path)?;
    Ok(parent.join(unused_name(name)?))
}

fn take_the_place(staged: &Path, path: &Path) -> Result<(), WriteError> {
    if let Err(error) = fs::rename(staged, path) {
        let _ = fs::remove_file(staged);
        return Err(WriteError::io("put in place", path)(error));
    }
    sync_directory(split(path)?.0)
}
