//! What there is at a place, before anything is put there.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use dockseal_docker::layout::{self, Names};
use rustix::{fs::FileType, io::Errno};

use crate::{
    WriteError,
    directory::{Directory, Identity},
    files::split,
    generations, home,
};

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

/// What the directory of an authority or of a generation holds when it is made.
const OF_AUTHORITIES: [&str; 4] = [home::KEY_FILE, home::ISSUER_FILE, generations::CROSS_FILE, home::INVENTORY_FILE];

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
        carried: Vec<OsString>,
        /// Which directory it is.
        identity: Identity,
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

/// What is at a place; where nothing is above it either, it can be made if what is nearest above is a directory.
pub(crate) fn inspect(planned: &[&str], destination: &Path, existing: Existing) -> Result<Found, WriteError> {
    let (parent, name) = split(destination)?;
    let parent = match Directory::open(parent) {
        Err(error) if error.is(Errno::NOENT) => return nearest_is_directory(destination),
        opened => opened?,
    };
    let Some(found) = parent.look(name)? else { return Ok(Found::Nothing) };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => {}
        FileType::Symlink => return Err(WriteError::Symlink { path: destination.to_owned() }),
        _ => return Err(WriteError::NotADirectory { path: destination.to_owned() }),
    }
    let (directory, names) = names_at(&parent, name)?;
    if names.is_empty() {
        return Ok(Found::EmptyDirectory);
    }
    // By other names, nothing but the bundle.
    let bundle = Names::ALL.map(Names::each).into_iter().find(|[_, chain, _]| planned.contains(chain));
    let ours: &[&str] = match &bundle {
        Some(names) if *names != Names::DOCKER.each() => names,
        Some(_) | None => &OURS,
    };
    let is_among = |names: &[&str], name: &OsString| names.iter().any(|known| name == known);
    let shown = |name: &OsString| name.to_string_lossy().into_owned();
    let foreign: Vec<String> = names.iter().filter(|name| !is_among(ours, name)).take(5).map(shown).collect();
    if !foreign.is_empty() {
        return Err(WriteError::ForeignFiles { path: destination.to_owned(), files: foreign });
    }
    let (present, carried): (Vec<OsString>, Vec<OsString>) =
        names.into_iter().partition(|name| is_among(planned, name));
    if existing == Existing::Keep && !present.is_empty() {
        let files = present.iter().map(shown).collect();
        return Err(WriteError::AlreadyThere { path: destination.to_owned(), files });
    }
    Ok(Found::Bundle { carried, identity: directory.identity()? })
}

/// The directory at a place and what it holds. Another run may displace and empty it meanwhile: then what is there now is
/// looked at.
fn names_at(parent: &Directory, name: &OsStr) -> Result<(Directory, Vec<OsString>), WriteError> {
    for _ in 0..MOST_LOOKS {
        let directory = parent.child(name)?;
        let names = directory.names()?;
        if parent.is_there(name, directory.identity()?)? {
            return Ok((directory, names));
        }
    }
    Err(WriteError::Changed { path: parent.path_of(name) })
}

/// How often a place may be exchanged under a look at it.
const MOST_LOOKS: usize = 1000;

/// Whether all of these are names of files that we write, in whatever layout: what holds others is not ours to remove.
pub(crate) fn are_all_ours(names: &[OsString]) -> bool {
    let of_layouts = || Names::ALL.into_iter().flat_map(Names::each);
    names.iter().all(|name| {
        OURS.iter().chain(&OF_AUTHORITIES).any(|known| name == known) || of_layouts().any(|known| name == known)
    })
}

/// A destination that is not there can be made if what is nearest above it is a directory; a dangling link is none.
fn nearest_is_directory(destination: &Path) -> Result<Found, WriteError> {
    let nearest = destination.ancestors().skip(1).find(|ancestor| fs::symlink_metadata(ancestor).is_ok());
    match nearest {
        Some(nearest) if !nearest.is_dir() => Err(WriteError::NotADirectory { path: nearest.to_owned() }),
        _ => Ok(Found::Nothing),
    }
}
