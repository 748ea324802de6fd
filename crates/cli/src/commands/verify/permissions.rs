//! Who else than Docker and its user may change what Docker reads. Docker itself looks at no permissions.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use dockseal_verify::{FileKind, Material, Side};

use super::{answer::Shown, notes::Note};

/// Anybody may write, and may remove what others put there.
const WORLD_WRITABLE: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// A finding for each of a side's files and their directories that anybody may write to.
pub(super) fn world_writable(side: Side, material: &Material) -> Vec<Shown> {
    let mut found = Vec::new();
    let mut directories: Vec<PathBuf> = Vec::new();
    for kind in [FileKind::Ca, FileKind::Cert, FileKind::Key] {
        let path = &material.file(kind).provenance.path;
        if material.file(kind).bytes().is_none() {
            continue;
        }
        if let Some(mode) = mode(path).filter(|mode| mode & WORLD_WRITABLE != 0) {
            let text = format!("{} has mode {mode:04o}: anybody may put another {} there", path.display(), word(kind));
            found.push(shown(side, Some(kind), path, text));
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if directories.iter().any(|known| known == directory) {
            continue;
        }
        directories.push(directory.to_owned());
        if let Some(mode) = mode(directory).filter(|mode| mode & (WORLD_WRITABLE | STICKY) == WORLD_WRITABLE) {
            let text =
                format!("the directory {} has mode {mode:04o}: anybody may exchange its files", directory.display());
            found.push(shown(side, None, directory, text));
        }
    }
    found
}

/// The permission bits of what is there.
fn mode(path: &Path) -> Option<u32> {
    Some(fs::metadata(path).ok()?.permissions().mode() & 0o7777)
}

const fn word(kind: FileKind) -> &'static str {
    match kind {
        FileKind::Ca => "CA",
        FileKind::Cert => "certificate",
        FileKind::Key => "key",
    }
}

fn shown(side: Side, file: Option<FileKind>, path: &Path, text: String) -> Shown {
    let mut shown = Shown::note(Note::WorldWritable, None, text);
    (shown.side, shown.file, shown.path) = (Some(side), file, Some(path.to_owned()));
    shown
}
