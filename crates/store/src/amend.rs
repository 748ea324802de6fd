//! Changing a file that is not ours alone: docker's config.json.

use std::path::Path;

use dockseal_docker::Ownership;

use crate::{
    ReadError, RegularFile, Sight, WriteError, directory::Directory, files::split, replacement::replace_for, resolve,
};

/// Why a file was not changed.
#[derive(Debug)]
pub enum AmendError<E> {
    /// It cannot be read.
    Read(ReadError),
    /// It cannot be written.
    Write(WriteError),
    /// What would have changed it declined.
    Change(E),
}

/// Puts in the place of a file what `change` makes of its bytes, whole or not at all, with the mode and the owner that it
/// has; the mode is `mode` where there is none yet. A symbolic link stays one. Whether anything was changed.
///
/// One process of ours at a time changes files of a directory, which has to be there.
///
/// # Errors
/// When the system refuses, or `change` does; then the file is as it was.
pub fn amend<E>(
    path: &Path,
    mode: u32,
    change: impl FnOnce(Option<&[u8]>) -> Result<Option<Vec<u8>>, E>,
) -> Result<bool, AmendError<E>> {
    let path = if path.is_symlink() { resolve(path) } else { path.to_owned() };
    let (parent, name) = split(&path).map_err(AmendError::Write)?;
    let sight = Sight::over(Directory::open(parent).map_err(AmendError::Write)?);
    let _lock = sight.directory().lock().map_err(AmendError::Write)?;
    // Bytes, mode and owner of one and the same file: whoever exchanges it meanwhile gets none of another's.
    let before = match sight.file(name, &path) {
        Ok(file) => Some(file),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(AmendError::Read(error)),
    };
    let owner = before.as_ref().map(RegularFile::owner);
    let before = before.map(RegularFile::read_all).transpose().map_err(AmendError::Read)?;
    let present = before.as_ref().map(|file| file.bytes.as_slice());
    let after = change(present).map_err(AmendError::Change)?;
    let Some(after) = after.filter(|after| Some(after.as_slice()) != present) else { return Ok(false) };
    let ownership = owner.map_or_else(Ownership::default, |(user, group)| Ownership {
        user: Some(user),
        group: Some(group),
        key_mode: None,
    });
    replace_for(&path, before.map_or(mode, |file| file.mode), &after, ownership).map_err(AmendError::Write)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "raw files")]

    use std::{
        fs::{self, Permissions},
        os::unix::fs::PermissionsExt,
    };

    use super::*;

    #[test]
    fn mode_and_link_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "a").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let changed = amend::<()>(&link, 0o600, |bytes| Ok(Some([bytes.unwrap(), b"b"].concat()))).unwrap();
        assert!(changed && link.is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"ab");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(!amend::<()>(&file, 0o600, |bytes| Ok(bytes.map(<[u8]>::to_vec))).unwrap(), "the same again");
        assert!(matches!(amend(&file, 0o600, |_| Err("no")), Err(AmendError::Change("no"))));
        assert_eq!(fs::read(&file).unwrap(), b"ab");
        let new = directory.path().join("new");
        assert!(amend::<()>(&new, 0o600, |bytes| Ok(bytes.is_none().then(|| b"n".to_vec()))).unwrap());
        assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn nothing_is_lost_between_many() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| amend::<()>(&file, 0o600, |bytes| Ok(Some([bytes.unwrap_or_default(), b"x"].concat()))));
            }
        });
        assert_eq!(fs::read(&file).unwrap(), b"x".repeat(16));
    }
}
