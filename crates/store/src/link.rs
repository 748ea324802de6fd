//! What is put in the place of a file or of a link, at once.

use std::{ffi::OsStr, path::Path};

use dockseal_docker::Ownership;

use crate::{
    WriteError,
    directory::Directory,
    files::{Sync, split, unused_name, write_file},
};

/// Makes `path` a link to `target`, in the place of the file or link that may be there.
///
/// # Errors
/// When the system refuses: some file systems know no links.
pub fn link(target: &Path, path: &Path) -> Result<(), WriteError> {
    let (parent, name) = split(path)?;
    let directory = Directory::open(parent)?;
    let staged = unused_name(name)?;
    directory.make_link(&staged, target, Ownership::default())?;
    take_the_place(&directory, &staged, name)
}

/// Makes `path` a file of these bytes, in the place of the file or link that may be there; where a link led is left alone.
///
/// # Errors
/// When the system refuses.
pub fn supplant(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), WriteError> {
    let (parent, name) = split(path)?;
    let directory = Directory::open(parent)?;
    let staged = unused_name(name)?;
    if let Err(error) = write_file(&directory, &staged, mode, bytes, Ownership::default(), Sync::Each) {
        let _ = directory.remove_file(&staged);
        return Err(error);
    }
    take_the_place(&directory, &staged, name)
}

fn take_the_place(directory: &Directory, staged: &OsStr, name: &OsStr) -> Result<(), WriteError> {
    if let Err(error) = directory.rename(staged, directory, name) {
        let _ = directory.remove_file(staged);
        return Err(WriteError::errno("put in place", &directory.path_of(name))(error));
    }
    directory.sync()
}
