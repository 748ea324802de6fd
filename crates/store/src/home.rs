//! Where an authority lives: its certificate, its key, and its inventory.
//!
//! `ca.pem` is what endpoints trust; `issuer.pem` is there only when something below that anchor signs; `ca-key.pem` is
//! the key; `inventory.db` knows what was issued; `revoked-before.txt` what was revoked elsewhere; `lock` says who is at work. An authority that was made before there
//! were inventories has `issued/SERIAL.pem` instead. What takes over from it is in [`generations`](crate::Generations).

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use dockseal_docker::{Contents, FilePlan, Ownership, PlannedFile, layout};
use dockseal_pki::Certificate;
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::{
    Existing, Generations, NewFile, OpenedFile, Placed, ReadError, WriteError,
    deliver::deliver,
    directory::{Directory, identity, resolve},
    read,
    replacement::{Replacement, replace_for},
};

pub(crate) const CA_FILE: &str = "ca.pem";
pub(crate) const ISSUER_FILE: &str = "issuer.pem";
pub(crate) const KEY_FILE: &str = "ca-key.pem";
/// The certificates of an authority that was made before there were inventories.
const ISSUED_DIRECTORY: &str = "issued";
pub(crate) const INVENTORY_FILE: &str = "inventory.db";
/// The latest revocation lists, one of each generation whose key is here.
const CRL_FILE: &str = "crl.pem";
/// What was revoked elsewhere, by who kept the authority before or an inventory that was lost: an index as openssl has it.
const REVOKED_FILE: &str = "revoked-before.txt";
/// Everybody may read a revocation list, and a new one takes its place.
pub const CRL_MODE: u32 = 0o644;
/// The inventory's mode; what SQLite makes beside it gets the same.
const INVENTORY_MODE: u32 = 0o600;

/// An authority's directory.
#[derive(Clone, Debug)]
pub struct Home {
    path: PathBuf,
}

/// What an authority's directory holds, read but not yet understood: the generation that signs, and what is trusted
/// besides.
pub struct AuthorityFiles {
    /// Which generations count.
    pub generations: Generations,
    /// The PEM of the issuer's certificate, then of those above it.
    pub chain: Vec<u8>,
    /// The other generations that are trusted: the PEM of each one's certificate, then of those above it.
    pub others: Vec<Vec<u8>>,
    /// The PEM of what follows each leaf while others trust only the generation before; often empty.
    pub link: Vec<u8>,
    /// The PEM of its key.
    pub key: OpenedFile,
    /// Where the key was read.
    pub key_path: PathBuf,
}

/// What an authority brings along that was kept elsewhere before.
#[derive(Clone, Debug, Default)]
pub struct Heritage {
    /// The PEM of its latest revocation lists, if it has any.
    pub lists: String,
    /// What it revoked, as an index of openssl, if it revoked anything.
    pub revoked: String,
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
    /// The file that says which generations count cannot be understood.
    Generations {
        /// Which file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// Another process is at work on it, and has been for longer than this one waits.
    Locked {
        /// Where.
        path: PathBuf,
        /// What that process says of itself.
        holder: String,
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
            Self::Generations { path, detail } => write!(f, "cannot understand {}: {detail}", path.display()),
            Self::Locked { path, holder } => {
                write!(f, "the authority in {} is locked by {holder}", path.display())
            }
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

    /// Creates the authority's directory, whole or not at all. `chain` is the issuer first and the anchor last;
    /// `inventory` are the bytes of a new inventory; `heritage` is what it brings along.
    ///
    /// # Errors
    /// When an authority or anything else is there, or the system refuses.
    pub fn create(
        &self,
        chain: &[Certificate],
        key_pem: Zeroizing<String>,
        inventory: Vec<u8>,
        heritage: Heritage,
    ) -> Result<(), HomeError> {
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
        let contents = Contents::Octets(inventory);
        files.push(PlannedFile { path: INVENTORY_FILE.to_owned(), mode: INVENTORY_MODE, contents });
        for (name, text) in [(CRL_FILE, heritage.lists), (REVOKED_FILE, heritage.revoked)] {
            if !text.is_empty() {
                files.push(PlannedFile::public(name, CRL_MODE, text));
            }
        }
        let plan = FilePlan { directory_mode: layout::DIRECTORY_MODE, files, ownership: Ownership::default() };
        deliver(&plan, &self.path, Existing::Keep).and_then(Placed::check).map_err(|error| match error {
            WriteError::AlreadyThere { path, .. } => HomeError::AlreadyThere { path },
            // Another process may have been faster.
            WriteError::ForeignFiles { path, .. } if path.join(CA_FILE).exists() => HomeError::AlreadyThere { path },
            other => HomeError::Write(other),
        })
    }

    /// Whether an authority is there, without opening its key, which not everybody may read.
    ///
    /// # Errors
    /// When there is none, or it cannot be told.
    pub fn check_there(&self) -> Result<(), HomeError> {
        self.check_directory()?;
        match fs::symlink_metadata(self.path.join(CA_FILE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.inventory_path().exists() => {
                Err(HomeError::NotFound { path: self.path.clone() })
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Reads the certificate and key of the generation that signs, and what is trusted besides.
    ///
    /// # Errors
    /// When it is missing, incomplete or unreadable.
    pub fn read(&self) -> Result<AuthorityFiles, HomeError> {
        self.check_directory()?;
        if !self.path.join(CA_FILE).exists() && !self.path.join(KEY_FILE).exists() {
            return Err(HomeError::NotFound { path: self.path.clone() });
        }
        self.read_as(self.generations()?)
    }

    /// The same, as if these generations counted.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_as(&self, generations: Generations) -> Result<AuthorityFiles, HomeError> {
        let chain = self.read_chain_of(generations.signing)?;
        let (key, key_path) = self.read_part(generations.signing, KEY_FILE)?;
        let others = generations.trusted.iter().filter(|number| **number != generations.signing);
        let others = others.map(|number| self.read_chain_of(*number)).collect::<Result<_, _>>()?;
        let link = self.link_in_use(&generations)?;
        Ok(AuthorityFiles { generations, chain, others, link, key, key_path })
    }

    /// The PEM of the certificate that signs, then of those above it: what everybody may read.
    ///
    /// # Errors
    /// When it is missing or unreadable.
    pub fn read_chain(&self) -> Result<Vec<u8>, HomeError> {
        self.read_chain_of(self.generations()?.signing)
    }

    /// Where the inventory is: by a path without links, since SQLite is told to follow none.
    pub fn inventory_path(&self) -> PathBuf {
        resolve(&self.path).join(INVENTORY_FILE)
    }

    /// Where the latest revocation lists are.
    pub fn crl_path(&self) -> PathBuf {
        self.path.join(CRL_FILE)
    }

    /// Puts an inventory in the place of one that is damaged, gone or not wanted any more, which is kept beside it; where,
    /// comes back. The caller has the authority's lock, and nobody has the old file open for writing.
    ///
    /// # Errors
    /// When the system refuses; then the old file is where it was.
    pub fn replace_inventory(&self, bytes: &[u8]) -> Result<Option<PathBuf>, HomeError> {
        let home = Directory::open(&self.path).map_err(HomeError::Write)?;
        let ownership = home.ownership_within().map_err(HomeError::Write)?;
        let kept = set_aside(&home).map_err(HomeError::Write)?;
        let path = self.inventory_path();
        Replacement::within(home, INVENTORY_FILE.as_ref(), &path, INVENTORY_MODE)
            .and_then(|new| new.fill(bytes, ownership))
            .map_err(HomeError::Write)?;
        Ok(kept.map(|name| path.with_file_name(name)))
    }

    /// Reads what the latest revocation lists are; `None` when there are none.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read_crls(&self) -> Result<Option<OpenedFile>, HomeError> {
        match read(&self.crl_path()) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(HomeError::Read(error)),
        }
    }

    /// Where the record of what was revoked elsewhere is.
    pub fn revoked_path(&self) -> PathBuf {
        self.path.join(REVOKED_FILE)
    }

    /// Reads what was revoked elsewhere; `None` when there is no record of any.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read_revoked(&self) -> Result<Option<OpenedFile>, HomeError> {
        match read(&self.revoked_path()) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(HomeError::Read(error)),
        }
    }

    /// Keeps what was revoked elsewhere, in the place of what was kept of it before.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_revoked(&self, index: &str) -> Result<(), HomeError> {
        replace_for(&self.revoked_path(), CRL_MODE, index.as_bytes(), self.ownership()?).map_err(HomeError::Write)
    }

    /// Puts an inventory where there is none, whole or not at all.
    ///
    /// # Errors
    /// When one is there, or the system refuses.
    pub fn add_inventory(&self, bytes: &[u8]) -> Result<(), HomeError> {
        NewFile::write_for(&self.inventory_path(), INVENTORY_MODE, bytes, self.ownership()?)
            .and_then(NewFile::put_in_place)
            .map_err(HomeError::Write)
    }

    /// Puts these revocation lists in the place of those before them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_crls(&self, pem: &str) -> Result<(), HomeError> {
        replace_for(&self.crl_path(), CRL_MODE, pem.as_bytes(), self.ownership()?).map_err(HomeError::Write)
    }

    /// To whom the files of this authority belong: to who owns its directory, also where root works on it, since that user
    /// could not use it any more otherwise.
    ///
    /// # Errors
    /// When it is not there, is behind a link that others can change, or the system refuses.
    pub fn ownership(&self) -> Result<Ownership, HomeError> {
        Directory::open_to_pass(&self.path).and_then(|home| home.ownership_within()).map_err(HomeError::Write)
    }

    /// The user whose authority it is, where root works on another user's: then what its inventory says is that user's word.
    ///
    /// # Errors
    /// When its directory cannot be looked at.
    pub fn other_owner(&self) -> Result<Option<u32>, HomeError> {
        Ok(self.ownership()?.user)
    }

    /// The certificates that were kept before there were inventories, each with its path; `None` where there is no place
    /// for them, so that a missing inventory is a lost one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn old_records(&self) -> Result<Option<Vec<(PathBuf, OpenedFile)>>, HomeError> {
        let directory = self.path.join(ISSUED_DIRECTORY);
        let io = |source| HomeError::Read(ReadError::Io { path: directory.clone(), source });
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(io)?,
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.map_err(io)?.path();
            records.push((path.clone(), read(&path).map_err(HomeError::Read)?));
        }
        Ok(Some(records))
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

/// Gives the inventory another name, if there is one, besides its own; its log gets only the new one.
fn set_aside(home: &Directory) -> Result<Option<String>, WriteError> {
    let failed = |error| WriteError::errno("set aside", &home.path_of(INVENTORY_FILE.as_ref()))(error);
    let kept = match home.look(INVENTORY_FILE.as_ref())? {
        Some(_) => Some(second_name(home, INVENTORY_FILE, "damaged")?),
        None => None,
    };
    // A log of the old file would be taken for one of the new file (https://www.sqlite.org/howtocorrupt.html, 1.4).
    let (log, index) = (format!("{INVENTORY_FILE}-wal"), format!("{INVENTORY_FILE}-shm"));
    let moved = match &kept {
        Some(aside) => home.rename(log.as_ref(), home, format!("{aside}-wal").as_ref()),
        None => home.remove_file(log.as_ref()),
    };
    for done in [moved, home.remove_file(index.as_ref())] {
        match done {
            Err(Errno::NOENT) | Ok(()) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(kept)
}

/// Gives a file that is about to be replaced a second name, `FILE.WORD-N`, so that it is kept, and that there is a file of its
/// first name at every instant. A killed run may have done so before.
pub(crate) fn second_name(home: &Directory, name: &str, word: &str) -> Result<String, WriteError> {
    let path = home.path_of(name.as_ref());
    let Some(own) = home.look(name.as_ref())? else { return Err(WriteError::errno("keep", &path)(Errno::NOENT)) };
    for number in 1_u32.. {
        let second = format!("{name}.{word}-{number}");
        match home.look(second.as_ref())? {
            Some(other) if identity(&other) == identity(&own) => return Ok(second),
            Some(_) => {}
            None => {
                let linked = home.link_into(name.as_ref(), home, second.as_ref());
                return linked.map(|()| second).map_err(WriteError::errno("keep", &path));
            }
        }
    }
    Err(WriteError::errno("keep", &path)(Errno::EXIST))
}
