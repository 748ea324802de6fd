//! Taking away single files.

use std::{fs, path::Path};

use crate::{
    WriteError,
    files::{split, sync_directory},
};

/// Removes a file, or a link but not what it leads to.
///
/// # Errors
/// When it is not there, or the system refuses.
pub fn remove(path: &Path) -> Result<(), WriteError> {
    fs::remove_file(path).map_err(WriteError::io("remove", path))?;
    sync_directory(split(path)?.0)
}
