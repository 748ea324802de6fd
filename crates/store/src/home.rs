//! Where an authority lives: its certificate, its key, and a copy of every certificate it issued.
//!
//! `ca.pem` is what endpoints trust; `issuer.pem` is there only when something below that anchor signs; `ca-key.pem` is
//! the key; `issued/SERIAL.pem` are the certificates, so that none is ever unaccounted for.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use dockseal_docker::{Contents, FilePlan, Ownership, PlannedFile, layout};
use dockseal_pki::{Certificate, SerialNumber};
use zeroize::Zeroizing;

use crate::{
    Existing, OpenedFile, ReadError, WriteError,
    deliver::{deliver, write_new},
    read,
};

const CA_FILE: &str = "ca.pem";
const ISSUER_FILE: &str = "issuer.pem";
const KEY_FILE: &str = "ca-key.pem";
const ISSUED_DIRECTORY: &str = "issued";

/// An authority's directory.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

/// What an authority's directory holds, read but not yet understood.
pub struct AuthorityFiles {
    /// The PEM of the issuer's certificate, then of those above it.
    pub chain: Vec<u8>,
    /// The PEM of its key.
    pub key: OpenedFile,
    /// Where the key was read.
    pub key_path: PathBuf,
}

/// Why an authority's directory cannot be used.
#[derive(Debug)]
pub enum HomeError {
    /// There is none.
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// Something that is not a directory is there.
    NotADirectory {
        /// Where.
        path: PathBuf,
    },
    /// A symbolic link is there.
    Symlink {
        /// Where.
        path: PathBuf,
    },
    /// The directory is there, but not this file of the authority.
    Incomplete {
        /// The directory.
        path: PathBuf,
        /// What is missing.
        file: &'static str,
    },
    /// An authority is there already.
    AlreadyThere {
        /// Where.
        path: PathBuf,
    },
    /// A file could not be read.
    Read(ReadError),
    /// A file could not be written.
    Write(WriteError),
}

impl fmt::Display for HomeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { path } => write!(f, "there is no authority in {}", path.display()),
            Self::NotADirectory { path } => write!(f, "{} is there and is not a directory", path.display()),
            Self::Symlink { path } => write!(f, "{} is a symbolic link", path.display()),
            Self::Incomplete { path, file } => write!(f, "the authority in {} has no {file}", path.display()),
            Self::AlreadyThere { path } => write!(f, "there is an authority in {} already", path.display()),
            Self::Read(error) => error.fmt(f),
            Self::Write(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HomeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(error) => error.source(),
            Self::Write(error) => error.source(),
            _ => None,
        }
    }
}

impl Home {
    /// A directory that holds an authority, or will.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it can be created: there is nothing, or an empty directory.
    ///
    /// # Errors
    /// When an authority or something else is there.
    pub fn check_free(&self) -> Result<(), HomeError> {
        match self.check_directory() {
            Err(HomeError::NotFound { .. }) => return Ok(()),
            other => other?,
        }
        if self.path.join(CA_FILE).exists() || self.path.join(KEY_FILE).exists() {
            return Err(HomeError::AlreadyThere { path: self.path.clone() });
        }
        let io = |source| HomeError::Read(ReadError::Io { path: self.path.clone(), source });
        let files: Vec<String> = fs::read_dir(&self.path)
            .map_err(io)?
            .take(5)
            .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_, _>>()
            .map_err(io)?;
        if files.is_empty() {
            return Ok(());
        }
        Err(HomeError::Write(WriteError::ForeignFiles { path: self.path.clone(), files }))
    }

    /// Creates the authority's directory, whole or not at all. `chain` is the issuer first and the anchor last.
    ///
    /// # Errors
    /// When an authority or anything else is there, or the system refuses.
    pub fn create(&self, chain: &[Certificate], key_pem: Zeroizing<String>) -> Result<(), HomeError> {
        self.check_free()?;
        let Some((anchor, below)) = chain.split_last() else {
            return Err(HomeError::Incomplete { path: self.path.clone(), file: CA_FILE });
        };
        let mut files = vec![
            PlannedFile::public(CA_FILE, layout::PUBLIC_MODE, anchor.to_pem()),
            PlannedFile { path: KEY_FILE.to_owned(), mode: 0o400, contents: Contents::Secret(key_pem) },
        ];
        if !below.is_empty() {
            let issuer = below.iter().map(Certificate::to_pem).collect();
            files.push(PlannedFile::public(ISSUER_FILE, layout::PUBLIC_MODE, issuer));
        }
        let own = chain.first().unwrap_or(anchor);
        files.push(PlannedFile::public(&record_path(&own.serial), layout::PUBLIC_MODE, own.to_pem()));
        let plan = FilePlan { directory_mode: layout::DIRECTORY_MODE, files, ownership: Ownership::default() };
        deliver(&plan, &self.path, Existing::Keep).map_err(|error| match error {
            WriteError::AlreadyThere { path, .. } => HomeError::AlreadyThere { path },
            // Another process may have been faster.
            WriteError::ForeignFiles { path, .. } if path.join(CA_FILE).exists() => HomeError::AlreadyThere { path },
            other => HomeError::Write(other),
        })
    }

    /// Reads the authority's certificate and key.
    ///
    /// # Errors
    /// When it is missing, incomplete or unreadable.
    pub fn read(&self) -> Result<AuthorityFiles, HomeError> {
        self.check_directory()?;
        let part = |file: &'static str| {
            let path = self.path.join(file);
            read(&path).map(|opened| (opened, path)).map_err(|error| match error {
                error if error.is_not_found() => HomeError::Incomplete { path: self.path.clone(), file },
                other => HomeError::Read(other),
            })
        };
        if !self.path.join(CA_FILE).exists() && !self.path.join(KEY_FILE).exists() {
            return Err(HomeError::NotFound { path: self.path.clone() });
        }
        let (anchors, _) = part(CA_FILE)?;
        let (key, key_path) = part(KEY_FILE)?;
        let mut chain = match part(ISSUER_FILE) {
            Ok((issuer, _)) => issuer.bytes.to_vec(),
            Err(HomeError::Incomplete { .. }) => Vec::new(),
            Err(other) => return Err(other),
        };
        chain.extend_from_slice(&anchors.bytes);
        Ok(AuthorityFiles { chain, key, key_path })
    }

    /// Keeps a copy of a certificate, before it is delivered anywhere.
    ///
    /// # Errors
    /// When one with this serial number is there already, or the system refuses.
    pub fn record(&self, certificate: &Certificate) -> Result<(), HomeError> {
        let path = self.path.join(record_path(&certificate.serial));
        write_new(&path, layout::PUBLIC_MODE, certificate.to_pem().as_bytes()).map_err(HomeError::Write)
    }

    fn check_directory(&self) -> Result<(), HomeError> {
        let path = self.path.clone();
        match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_symlink() => Err(HomeError::Symlink { path }),
            Ok(metadata) if !metadata.is_dir() => Err(HomeError::NotADirectory { path }),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(HomeError::NotFound { path }),
            Err(source) => Err(HomeError::Read(ReadError::Io { path, source })),
        }
    }
}

fn record_path(serial: &SerialNumber) -> String {
    format!("{ISSUED_DIRECTORY}/{}.pem", serial.to_hex())
}
