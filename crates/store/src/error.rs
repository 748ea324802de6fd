//! What can go wrong with files, each with its path.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// The system's answer without its number, which `source()` still has.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// Why something could not be written.
#[derive(Debug)]
pub enum WriteError {
    /// The system refused.
    Io {
        /// What was tried, as in "cannot … PATH".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// A bundle is there already.
    AlreadyThere {
        /// Where.
        path: PathBuf,
        /// Which of its files.
        files: Vec<String>,
    },
    /// The directory holds files that are not ours.
    ForeignFiles {
        /// Where.
        path: PathBuf,
        /// The first few of them.
        files: Vec<String>,
    },
    /// Something that is not a directory is in the way.
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// A symbolic link is in the way; what it points to is somebody else's.
    Symlink {
        /// Where.
        path: PathBuf,
    },
    /// On the way there is a symbolic link that another user could have put there, and could change.
    UnsafeLink {
        /// Which.
        path: PathBuf,
        /// That user's number.
        user: u32,
    },
    /// Somebody else changed what is there while this worked on it.
    Changed {
        /// What.
        path: PathBuf,
    },
    /// The new bundle is in its place, and something after that failed.
    InPlace {
        /// Where.
        path: PathBuf,
        /// What failed.
        trouble: Box<WriteError>,
    },
    /// The path has no last name: `/`, or it ends in `..`.
    NoName {
        /// The path.
        path: PathBuf,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, source } => write!(f, "cannot {doing} {}: {}", path.display(), plain(source)),
            Self::AlreadyThere { path, files } => {
                write!(f, "{} already holds {}", path.display(), files.join(", "))
            }
            Self::ForeignFiles { path, files } => {
                write!(f, "{} holds files that are not a bundle's: {}", path.display(), files.join(", "))
            }
            Self::NotADirectory { path } => write!(f, "{} is there and is not a directory", path.display()),
            Self::Symlink { path } => write!(f, "{} is a symbolic link", path.display()),
            Self::UnsafeLink { path, user } => {
                write!(f, "{} is a symbolic link that user {user} can change", path.display())
            }
            Self::Changed { path } => {
                write!(f, "another process changed {} while it was being written", path.display())
            }
            Self::InPlace { path, trouble } => write!(f, "{} has the new bundle, but {trouble}", path.display()),
            Self::NoName { path } => write!(f, "{} does not name a directory that could be made", path.display()),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::InPlace { trouble, .. } => Some(trouble),
            _ => None,
        }
    }
}

impl WriteError {
    /// Whether the system answered with this.
    pub(crate) fn is(&self, errno: rustix::io::Errno) -> bool {
        matches!(self, Self::Io { source, .. } if source.raw_os_error() == Some(errno.raw_os_error()))
    }

    /// Turns a system error into ours; for `map_err`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// The same for rustix.
    pub(crate) fn errno(doing: &'static str, path: &Path) -> impl FnOnce(rustix::io::Errno) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source: source.into() }
    }
}

/// Why something could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The system refused.
    Io {
        /// What.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// A directory, pipe, socket or device.
    NotAFile {
        /// What.
        path: PathBuf,
        /// Which of these.
        kind: &'static str,
    },
    /// More than a certificate or key file can sensibly have.
    TooLarge {
        /// What.
        path: PathBuf,
        /// The most that is read, in bytes.
        limit: u64,
    },
    /// The path leads over a symbolic link that another user can change.
    UnsafeLink {
        /// The link.
        path: PathBuf,
        /// Who can change it.
        user: u32,
    },
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "cannot read {}: {}", path.display(), plain(source)),
            Self::NotAFile { path, kind } => write!(f, "{} is a {kind}, not a file", path.display()),
            Self::TooLarge { path, limit } => {
                let (limit, unit) = if *limit < 1 << 20 { (limit >> 10, "KiB") } else { (limit >> 20, "MiB") };
                write!(f, "{} is larger than the {limit} {unit} that are read", path.display())
            }
            Self::UnsafeLink { path, user } => {
                write!(f, "{} is a symbolic link that user {user} can change", path.display())
            }
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl ReadError {
    /// Whether there is no such file.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}
