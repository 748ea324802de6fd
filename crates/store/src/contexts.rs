//! The docker client's context store: its directories, one context's metadata, and taking a context out.
//!
//! A context counts for docker once its `meta.json` is there, so that is written last and removed first: a run that is
//! killed in between leaves TLS files that docker does not look at. They are delivered as any bundle is
//! ([`deliver`](crate::deliver())).

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use dockseal_docker::{
    Ownership,
    context::{ContextFiles, DIRECTORY, META_DIRECTORY_MODE, META_MODE},
    layout::DIRECTORY_MODE,
};

use crate::{
    ReadError, WriteError,
    directory::Directory,
    files::{make_directories, split},
    remove::{remove, remove_tree},
    replacement::replace_for,
};

/// The store below a configuration directory of docker's.
#[derive(Clone, Debug)]
pub struct ContextStore {
    contexts: PathBuf,
    configuration: PathBuf,
}

/// The right to make and remove contexts of a store; it ends when this is dropped. docker itself asks nobody.
#[derive(Debug)]
pub struct ContextLock {
    _directory: File,
}

impl ContextStore {
    /// The store below `configuration`, which need not be there yet.
    #[must_use]
    pub fn new(configuration: &Path) -> Self {
        Self { contexts: configuration.join(DIRECTORY), configuration: configuration.to_owned() }
    }

    /// The files of the context of this name.
    #[must_use]
    pub fn files(&self, name: &str) -> ContextFiles {
        ContextFiles::of(&self.configuration, name)
    }

    /// The `meta.json` of every context, in the order of their paths.
    ///
    /// # Errors
    /// When the directory cannot be read. A store that is not there is empty.
    pub fn metas(&self) -> Result<Vec<PathBuf>, ReadError> {
        let directory = self.contexts.join("meta");
        let failed = |source| ReadError::Io { path: directory.clone(), source };
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(failed)?,
        };
        let mut found = Vec::new();
        for entry in entries {
            let meta = entry.map_err(failed)?.path().join("meta.json");
            if meta.symlink_metadata().is_ok() {
                found.push(meta);
            }
        }
        found.sort();
        Ok(found)
    }

    /// Makes the store where there is none, with docker's modes, and waits for the right to change it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lock(&self) -> Result<ContextLock, WriteError> {
        for (directory, mode) in [
            (self.configuration.clone(), DIRECTORY_MODE),
            (self.contexts.clone(), META_DIRECTORY_MODE),
            (self.contexts.join("meta"), META_DIRECTORY_MODE),
            (self.contexts.join("tls"), DIRECTORY_MODE),
        ] {
            make_directories(&directory, mode)?;
        }
        // That one is open to its owner alone: anybody could keep another one locked.
        Ok(ContextLock { _directory: Directory::open(&self.contexts.join("tls"))?.lock()? })
    }

    /// To whom what is in the store belongs: to whose configuration it is, also where root works on it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn ownership(&self, _lock: &ContextLock) -> Result<Ownership, WriteError> {
        Directory::open(&self.contexts)?.ownership_within()
    }

    /// Makes the directory of a context's metadata, beside which its files are staged.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn begin(&self, files: &ContextFiles, _lock: &ContextLock) -> Result<(), WriteError> {
        make_directories(split(&files.meta)?.0, META_DIRECTORY_MODE)
    }

    /// Writes a context's metadata and from where its files were copied: from here on docker knows it.
    ///
    /// # Errors
    /// When the system refuses; then the metadata before it is still there.
    pub fn write(
        &self,
        files: &ContextFiles,
        meta: &str,
        source: Option<&[u8]>,
        lock: &ContextLock,
    ) -> Result<(), WriteError> {
        self.begin(files, lock)?;
        let ownership = self.ownership(lock)?;
        let remembered = files.source();
        match source {
            Some(source) => replace_for(&remembered, META_MODE, source, ownership)?,
            None if remembered.symlink_metadata().is_ok() => remove(&remembered)?,
            None => {}
        }
        replace_for(&files.meta, META_MODE, meta.as_bytes(), ownership)
    }

    /// Removes the directories of a context that could not be made, as far as they are empty.
    pub fn tidy(&self, files: &ContextFiles, _lock: &ContextLock) {
        for directory in [files.tls.parent(), files.meta.parent()].into_iter().flatten() {
            if let Ok((parent, name)) = split(directory)
                && let Ok(parent) = Directory::open(parent)
            {
                let _ = parent.remove_empty(name);
            }
        }
    }

    /// Whether there is anything of a context, though docker knew it no more: a removal that was cut short leaves some.
    #[must_use]
    pub fn has_any(&self, files: &ContextFiles) -> bool {
        [&files.meta, &files.tls]
            .into_iter()
            .filter_map(|path| path.parent())
            .any(|directory| directory.symlink_metadata().is_ok())
    }

    /// Takes a context out, with what was kept or left beside it. What is not there needs no removing.
    ///
    /// # Errors
    /// When the system refuses; removing it again goes on where this stopped.
    pub fn remove(&self, files: &ContextFiles, _lock: &ContextLock) -> Result<(), WriteError> {
        if files.meta.symlink_metadata().is_ok() {
            remove(&files.meta)?;
        }
        remove_tree(split(&files.tls)?.0)?;
        remove_tree(split(&files.meta)?.0)
    }
}
