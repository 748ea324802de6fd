//! A temporary directory that is a whole world to the programs run in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::program::Program;

/// A temporary directory with its own HOME, XDG directories and Docker configuration.
/// What was mounted below it is unmounted, and all of it removed, when it goes.
#[derive(Debug)]
pub struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    /// A fresh one, with a short path: it may hold unix sockets.
    ///
    /// # Panics
    /// When no directory can be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "making one touches the disk")]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("ds").tempdir().expect("temporary directory");
        for name in ["home", "tmp", "run", "here"] {
            std::fs::create_dir(dir.path().join(name)).expect("sandbox directory");
        }
        Self { dir }
    }

    /// Its top.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The directory that programs run in.
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root().join("here")
    }

    /// A path below the working directory.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.work().join(name)
    }

    /// Writes a file below the working directory and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directory");
        std::fs::write(&path, content).expect("write");
        path
    }

    /// A program that runs here.
    #[must_use]
    pub fn program(&self, name: impl AsRef<std::ffi::OsStr>) -> Program {
        let home = self.root().join("home");
        Program::new(name)
            .cwd(self.work())
            .env("HOME", &home)
            .env("TMPDIR", self.root().join("tmp"))
            .env("DOCKER_CONFIG", home.join(".docker"))
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("XDG_DATA_HOME", home.join(".local/share"))
            .env("XDG_CACHE_HOME", home.join(".cache"))
            .env("XDG_RUNTIME_DIR", self.root().join("run"))
    }

    /// The binary under test, which runs here.
    #[must_use]
    pub fn dockseal<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Program {
        self.program(crate::dockseal_binary()).args(args)
    }

    /// What a query finds in the inventory of the authority in this sandbox's HOME, read by Python's SQLite: a line for
    /// each row, its values separated by tabs, octets in hexadecimal.
    ///
    /// # Panics
    /// When there is none, or the query fails.
    #[track_caller]
    #[must_use]
    pub fn inventory(&self, sql: &str) -> Vec<String> {
        const SCRIPT: &str = "import sqlite3, sys\n\
            rows = sqlite3.connect('file:' + sys.argv[1] + '?mode=rw', uri=True).execute(sys.argv[2])\n\
            for row in rows: print(*(v.hex() if isinstance(v, bytes) else v for v in row), sep='\\t')";
        let file = self.root().join("home/.local/share/dockseal/inventory.db");
        let ran = self.program("python3").args(["-c", SCRIPT]).arg(file).arg(sql).run().success();
        ran.stdout.lines().map(str::to_owned).collect()
    }

    /// Has Python change an authority's inventory behind our back, by as many statements as there are.
    ///
    /// # Panics
    /// When there is none, or a statement fails.
    #[track_caller]
    pub fn change_inventory(&self, sql: &str) {
        const SCRIPT: &str = "import sqlite3, sys\n\
            inventory = sqlite3.connect('file:' + sys.argv[1] + '?mode=rw', uri=True)\n\
            inventory.executescript(sys.argv[2])\n\
            inventory.commit()";
        let file = self.root().join("home/.local/share/dockseal/inventory.db");
        let _ = self.program("python3").args(["-c", SCRIPT]).arg(file).arg(sql).run().success();
    }

    /// `openssl` with these arguments, which must succeed; its standard output.
    ///
    /// # Panics
    /// When it fails.
    #[track_caller]
    pub fn openssl<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        self.program("openssl").args(args).run().success().stdout
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        unmount_below(self.root());
    }
}

/// Unmounts what is mounted below `root`, the innermost first.
pub(crate) fn unmount_below(root: &Path) {
    let Ok(root) = root.canonicalize() else { return };
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut below: Vec<PathBuf> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|path| PathBuf::from(path.replace("\\040", " ")))
        .filter(|path| path.starts_with(&root) && *path != root)
        .collect();
    below.sort();
    for path in below.iter().rev() {
        let _ = Command::new("umount").arg("--lazy").arg(path).output();
    }
}
