//! Taking away single files.

use std::path::Path;

use crate::{WriteError, directory::Directory, files::split};

/// Removes a file, or a link but not what it leads to.
///
/// # Errors
/// When it is not there, or the system refuses.
pub fn remove(path: &Path) -> Result<(), WriteError> {
    let (parent, name) = split(path)?;
    let directory = Directory::open(parent)?;
    directory.remove_file(name).map_err(WriteError::errno("remove", path))?;
    directory.sync()
}

/// Removes a directory with all that is in it; links are removed and not followed. What is not there needs no removing.
pub(crate) fn remove_tree(path: &Path) -> Result<(), WriteError> {
    let (parent, name) = split(path)?;
    let directory = match Directory::open(parent) {
        Err(error) if error.is(rustix::io::Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    directory.remove_all(name, MOST_DIRECTORIES)?;
    directory.sync()
}

/// Deeper than anything that is to be removed, and not as deep as a stack.
const MOST_DIRECTORIES: usize = 64;
