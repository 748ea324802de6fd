//! What there is at a place, before anything is put there.

use std::{fs, io, path::Path};

use dockseal_docker::layout::{self, Names};

use crate::{WriteError, files::split};

/// What a directory of ours may hold at its top, where the names are docker's.
const OURS: [&str; 7] = [
    layout::CA_FILE,
    layout::CERT_FILE,
    layout::KEY_FILE,
    layout::REQUEST_FILE,
    layout::RENEWAL_KEY_FILE,
    layout::DAEMON_JSON_FILE,
    "docker.service.d",
];

/// What to do when files of the plan are there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Refuse.
    Keep,
    /// Put the new ones in their place.
    Replace,
}

/// What was found at a destination.
pub(crate) enum Found {
    Nothing,
    EmptyDirectory,
    /// Names of ours that the plan does not bring and that stay.
    Bundle {
        carried: Vec<String>,
    },
}

/// Whether [`deliver`](crate::deliver) would be let in with files of these names, without writing anything.
///
/// # Errors
/// As [`deliver`](crate::deliver), as far as can be known before.
pub fn check_destination(names: &[&str], destination: &Path, existing: Existing) -> Result<(), WriteError> {
    split(destination)?;
    inspect(names, destination, existing).map(drop)
}

pub(crate) fn inspect(planned: &[&str], destination: &Path, existing: Existing) -> Result<Found, WriteError> {
    let metadata = match fs::symlink_metadata(destination) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return nearest_is_directory(destination),
        Err(error) => return Err(WriteError::io("look at", destination)(error)),
    };
    if metadata.is_symlink() {
        return Err(WriteError::Symlink { path: destination.to_owned() });
    }
    if !metadata.is_dir() {
        return Err(WriteError::NotADirectory { path: destination.to_owned() });
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(destination).map_err(WriteError::io("read the directory", destination))? {
        let entry = entry.map_err(WriteError::io("read the directory", destination))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    if names.is_empty() {
        return Ok(Found::EmptyDirectory);
    }
    // By other names, nothing but the bundle.
    let bundle = Names::ALL.map(Names::each).into_iter().find(|[_, chain, _]| planned.contains(chain));
    let ours: &[&str] = match &bundle {
        Some(names) if *names != Names::DOCKER.each() => names,
        Some(_) | None => &OURS,
    };
    let foreign: Vec<String> = names.iter().filter(|name| !ours.contains(&name.as_str())).take(5).cloned().collect();
    if !foreign.is_empty() {
        return Err(WriteError::ForeignFiles { path: destination.to_owned(), files: foreign });
    }
    let (present, carried): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| planned.contains(&name.as_str()));
    if existing == Existing::Keep && !present.is_empty() {
        return Err(WriteError::AlreadyThere { path: destination.to_owned(), files: present });
    }
    Ok(Found::Bundle { carried })
}

/// A destination that is not there can be made if what is nearest above it is a directory; a dangling link is none.
fn nearest_is_directory(destination: &Path) -> Result<Found, WriteError> {
    let nearest = destination.ancestors().skip(1).find(|ancestor| fs::symlink_metadata(ancestor).is_ok());
    match nearest {
        Some(nearest) if !nearest.is_dir() => Err(WriteError::NotADirectory { path: nearest.to_owned() }),
        _ => Ok(Found::Nothing),
    }
}
