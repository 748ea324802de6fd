//! Why the inventory cannot be used.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rusqlite::ErrorCode;

/// Why an inventory could not be read or written. Nothing of the transaction in question was kept.
#[derive(Debug)]
pub enum InventoryError {
    /// There is no file.
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is damaged, or is no inventory.
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What SQLite or the look at its header says.
        detail: String,
    },
    /// The file was written by a newer version of this program.
    Newer {
        /// Which file.
        path: PathBuf,
        /// The version of its schema.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// Another process has been writing for longer than this one waits.
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// The file or its file system cannot be written.
    ReadOnly {
        /// Which file.
        path: PathBuf,
    },
    /// The disk is full.
    Full {
        /// Which file.
        path: PathBuf,
    },
    /// Its directory cannot be used, or not with the rights of the user to whom it belongs.
    Unreachable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else that SQLite reports.
    Sqlite {
        /// Which file.
        path: PathBuf,
        /// The report.
        source: rusqlite::Error,
    },
}

impl fmt::Display for InventoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "there is no inventory {}", path.display()),
            Self::Damaged { path, detail } => write!(f, "the inventory {} is damaged: {detail}", path.display()),
            Self::Newer { path, found, known } => write!(
                f,
                "the inventory {} was written by a newer dockseal (version {found} of its format; this one knows {known})",
                path.display()
            ),
            Self::Busy { path } => write!(f, "another process keeps writing to the inventory {}", path.display()),
            Self::ReadOnly { path } => write!(f, "the inventory {} cannot be written", path.display()),
            Self::Full { path } => write!(f, "the disk is full: the inventory {} could not be written", path.display()),
            Self::Unreachable { path, source } => {
                write!(f, "the inventory {} cannot be reached: {source}", path.display())
            }
            Self::Sqlite { path, source } => write!(f, "the inventory {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for InventoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Sqlite { source, .. } => Some(source),
            Self::Unreachable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl InventoryError {
    pub(crate) fn damaged(path: &Path, detail: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), detail: detail.into() }
    }

    pub(crate) fn unreachable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Unreachable { path: path.to_owned(), source }
    }

    /// SQLite's report about this file, sorted by what can be done about it (<https://www.sqlite.org/rescode.html>).
    pub(crate) fn sqlite(path: &Path) -> impl Fn(rusqlite::Error) -> Self {
        move |source| {
            let path = path.to_owned();
            match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                    Self::Damaged { path, detail: source.to_string() }
                }
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly { path },
                Some(ErrorCode::DiskFull) => Self::Full { path },
                // Where SQLite grows its index of the log, or syncs, a full disk is an I/O error.
                Some(ErrorCode::SystemIoFailure) if is_full(&path) => Self::Full { path },
                _ => match source {
                    // A column that does not hold what the schema says.
                    rusqlite::Error::FromSqlConversionFailure(..)
                    | rusqlite::Error::InvalidColumnType(..)
                    | rusqlite::Error::IntegralValueOutOfRange(..) => {
                        Self::Damaged { path, detail: source.to_string() }
                    }
                    source => Self::Sqlite { path, source },
                },
            }
        }
    }
}

/// Less is free than SQLite needs to write anything, in octets: the log's index alone has 32 KiB.
const LEAST_ROOM: u64 = 64 << 10;

/// Whether the file system of this file has no room left, for who is not root or for anybody.
fn is_full(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(path);
    rustix::fs::statvfs(directory).is_ok_and(|found| {
        found.f_bavail.saturating_mul(found.f_frsize) < LEAST_ROOM || found.f_files > 0 && found.f_favail == 0
    })
}
