//! Every file below a directory, whatever the tree looks like.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::ReadError;

/// The regular files below a directory, each directory's in the order of their names.
///
/// Symbolic links to directories are not entered, so that no loop has an end to wait for; links to files are.
pub struct Walk {
    /// What is still to be looked at, the next one last, with how far below the start it is.
    open: Vec<(PathBuf, usize)>,
    depth: usize,
    limit: u64,
}

impl Walk {
    /// Begins at `root`, to go at most `depth` directories down and pass over files of more than `limit` bytes, unless they are
    /// called as certificates and revocation lists are.
    pub fn new(root: &Path, depth: usize, limit: u64) -> Self {
        // The start itself may be a link.
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        Self { open: vec![(root, 0)], depth, limit }
    }
}

impl Iterator for Walk {
    /// A file, or a directory that cannot be read or is too far down.
    type Item = Result<PathBuf, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some((path, level)) = self.open.pop() {
            let is_directory = fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir());
            if !is_directory {
                let is_small = |metadata: &fs::Metadata| metadata.len() <= self.limit || is_named_as_ours(&path);
                let fits = |metadata: &fs::Metadata| metadata.is_file() && is_small(metadata);
                match path.metadata() {
                    Ok(metadata) if fits(&metadata) => return Some(Ok(path)),
                    // A start that is not there is a mistake; what vanished meanwhile is not.
                    Err(source) if level == 0 => return Some(Err(ReadError::Io { path, source })),
                    Ok(_) | Err(_) => continue,
                }
            }
            if level > self.depth {
                let source = io::Error::other(format!("it is more than {} directories down", self.depth));
                return Some(Err(ReadError::Io { path, source }));
            }
            let listed = fs::read_dir(&path).and_then(|entries| {
                entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
            });
            match listed {
                Err(source) => return Some(Err(ReadError::Io { path, source })),
                Ok(mut entries) => {
                    entries.sort_by(|a, b| b.cmp(a));
                    self.open.extend(entries.into_iter().map(|entry| (entry, level + 1)));
                }
            }
        }
        None
    }
}

/// What ends as certificates and lists of them do: a list of a hundred thousand has some megabytes.
fn is_named_as_ours(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase());
    ending.is_some_and(|ending| ["pem", "crt", "cer", "cert", "crl"].contains(&ending.as_str()))
}
