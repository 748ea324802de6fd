//! Pictures of file trees: what is there, with which mode and content.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What one path holds.
#[derive(Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory.
    Directory,
    /// A regular file and its bytes.
    File(Vec<u8>),
    /// A symbolic link and where it leads.
    Link(PathBuf),
    /// A socket, pipe or device.
    Other,
}

/// Every path below a directory, sorted, with mode bits, owner and content.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Tree(pub BTreeMap<PathBuf, (u32, u32, Entry)>);

/// The tree below `root`, which itself is listed as `.`; empty when there is none.
///
/// # Panics
/// When a path cannot be read.
#[must_use]
pub fn tree(root: &Path) -> Tree {
    let mut found = BTreeMap::new();
    visit(root, Path::new("."), &mut found);
    Tree(found)
}

fn visit(path: &Path, name: &Path, found: &mut BTreeMap<PathBuf, (u32, u32, Entry)>) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    let kind = meta.file_type();
    let entry = if kind.is_dir() {
        Entry::Directory
    } else if kind.is_symlink() {
        Entry::Link(fs::read_link(path).expect("readlink"))
    } else if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() {
        Entry::Other
    } else {
        match fs::read(path) {
            Ok(bytes) => Entry::File(bytes),
            Err(_) => return,
        }
    };
    found.insert(name.to_path_buf(), (meta.permissions().mode() & 0o7777, meta.uid(), entry));
    if kind.is_dir() {
        let Ok(children) = fs::read_dir(path) else { return };
        for child in children.flatten() {
            visit(&child.path(), &name.join(child.file_name()), found);
        }
    }
}

impl Tree {
    /// Fails, naming what differs, unless the tree is the same now.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn assert_same(&self, now: &Self, what: impl fmt::Display) {
        let changed = |one: &Self, other: &Self, mark: &str| -> String {
            let differs = |path: &&PathBuf| one.0.get(*path) != other.0.get(*path);
            one.0.keys().filter(differs).map(|path| format!("{mark} {}\n", path.display())).collect()
        };
        assert!(self == now, "files changed:\n{}{}{what}", changed(self, now, "-"), changed(now, self, "+"));
    }

    /// The paths, `.` left out.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        self.0.keys().map(|path| path.to_string_lossy().into_owned()).filter(|path| path != ".").collect()
    }

    /// Paths that hold a name staged beside its place (`.NAME.dockseal-…`).
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        self.paths().into_iter().filter(|path| path.contains(".dockseal-")).collect()
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, (mode, _, entry)) in &self.0 {
            let kind = match entry {
                Entry::Directory => "dir ",
                Entry::File(_) => "file",
                Entry::Link(_) => "link",
                Entry::Other => "else",
            };
            let shown = path.strip_prefix(".").unwrap_or(path);
            let shown = if shown.as_os_str().is_empty() { Path::new(".") } else { shown };
            writeln!(f, "{kind} {mode:04o} {}", shown.display())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and modes, not contents: keys do not belong in a test log.
        write!(f, "{self}")
    }
}
