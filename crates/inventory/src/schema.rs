//! The file: its format, its versions, and opening it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use dockseal_docker::Ownership;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{
    GenerationId, InventoryError,
    rights::{Database, Held, Keeper, Reached},
};

/// `DSin` in the header's application id (<https://www.sqlite.org/fileformat.html#application_id>).
const APPLICATION_ID: u32 = 0x4453_696e;

/// Every step from an empty file to the present format, in order; the file's `user_version` counts the steps taken. A
/// step that was released is never changed.
const MIGRATIONS: [&str; 4] = [
    include_str!("schema-1.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
];

/// What SQLite has beside a database (<https://www.sqlite.org/tempfiles.html>).
const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

/// How long a writer waits for another one before [`InventoryError::Busy`]. Writers of one authority take turns by the
/// authority's lock, so this is for strangers.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an inventory is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Looking alone: the file may lie on a read-only file system.
    Read,
    /// Writing too.
    Write,
}

/// An open inventory.
#[derive(Debug)]
pub struct Inventory {
    database: Database,
    pub(crate) path: PathBuf,
    /// The version of its format: not the newest where it is only looked at.
    pub(crate) version: u32,
    /// The run on whose behalf something was written already.
    pub(crate) run: Option<i64>,
    /// The issuers that nobody trusts any more.
    pub(crate) retired: Vec<GenerationId>,
}

impl Inventory {
    /// The file's name in the authority's home.
    pub const FILE: &'static str = "inventory.db";

    /// A new inventory in memory, for an authority that is being made: [`to_bytes`](Self::to_bytes) is then written with
    /// its other files, so that an authority is never without one.
    ///
    /// # Errors
    /// When SQLite cannot work in memory.
    pub fn in_memory() -> Result<Self, InventoryError> {
        let path = PathBuf::from("(in memory)");
        let mut connection = Connection::open_in_memory().map_err(InventoryError::sqlite(&path))?;
        migrate(&mut connection, &path, 0)?;
        Ok(Self {
            database: Database::new(connection, None),
            path,
            version: known_version(),
            run: None,
            retired: Vec::new(),
        })
    }

    /// What the file of this inventory holds.
    ///
    /// # Errors
    /// When there is not enough memory.
    pub fn to_bytes(&mut self) -> Result<Vec<u8>, InventoryError> {
        let report = self.report();
        Ok(self.connection_to_write()?.serialize("main").map_err(report)?.to_vec())
    }

    /// Opens a file in a directory that only root and who runs this can change.
    ///
    /// # Errors
    /// When it is missing, damaged, no inventory, newer than this program, or the system refuses.
    pub fn open(path: &Path, access: Access) -> Result<Self, InventoryError> {
        Self::open_of(path, access, Ownership::default())
    }

    /// The same where the directory belongs to somebody else: root works on it with that user's rights.
    ///
    /// # Errors
    /// As [`open`](Self::open), and when those rights cannot be taken.
    pub fn open_of(path: &Path, access: Access, ownership: Ownership) -> Result<Self, InventoryError> {
        let report = InventoryError::sqlite(path);
        let keeper = Keeper::of(ownership);
        let _held = Held::of(keeper).map_err(InventoryError::unreachable(path))?;
        check_file(path)?;
        let mut connection = connect(path, access).map_err(&report)?;
        let mut version = check_header(&connection, path)?;
        connection.set_prepared_statement_cache_capacity(64);
        if access == Access::Write {
            connection
                .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
                .map_err(&report)?;
            migrate(&mut connection, path, version)?;
            version = known_version();
        }
        Ok(Self {
            database: Database::new(connection, keeper),
            path: path.to_owned(),
            version,
            run: None,
            retired: Vec::new(),
        })
    }

    pub(crate) fn connection(&self) -> Result<Reached<&Connection>, InventoryError> {
        self.database.read().map_err(InventoryError::unreachable(&self.path))
    }

    pub(crate) fn connection_to_write(&mut self) -> Result<Reached<&mut Connection>, InventoryError> {
        self.database.write().map_err(InventoryError::unreachable(&self.path))
    }

    /// Says which issuers nobody trusts any more: what they signed is due at once.
    pub fn retire(&mut self, issuers: Vec<GenerationId>) {
        self.retired = issuers;
    }

    /// Whether nobody trusts this issuer any more.
    pub fn is_retired(&self, issuer: GenerationId) -> bool {
        self.retired.contains(&issuer)
    }

    /// Reads the whole file for damage (`PRAGMA integrity_check`): what is wrong, nothing where all is well.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn integrity(&self) -> Result<Vec<String>, InventoryError> {
        let connection = self.connection()?;
        let mut statement = connection.prepare("PRAGMA integrity_check(20)").map_err(self.report())?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0)).map_err(self.report())?;
        let lines: Vec<String> = lines.collect::<Result<_, _>>().map_err(self.report())?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    pub(crate) fn report(&self) -> impl Fn(rusqlite::Error) -> InventoryError + use<> {
        let path = self.path.clone();
        move |error| InventoryError::sqlite(&path)(error)
    }
}

/// What SQLite would take for something else than it is, or wait for without end.
fn check_file(path: &Path) -> Result<(), InventoryError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(InventoryError::Missing { path: path.to_owned() });
        }
        // What SQLite takes for a new database; ours are never empty.
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
            return Err(InventoryError::damaged(path, "it is empty"));
        }
        Ok(metadata) if metadata.is_symlink() => {
            return Err(InventoryError::damaged(path, "it is a symbolic link, and none is followed here"));
        }
        Ok(metadata) if !metadata.is_file() => return Err(InventoryError::damaged(path, "it is not a file")),
        Ok(_) | Err(_) => {}
    }
    for end in COMPANIONS {
        let companion = beside(path, end);
        // A pipe's open(2) waits for its other end.
        if companion.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(InventoryError::damaged(path, format!("{} is not a file", companion.display())));
        }
    }
    Ok(())
}

fn connect(path: &Path, access: Access) -> rusqlite::Result<Connection> {
    let common = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = match access {
        Access::Write => Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_WRITE)?,
        Access::Read => {
            // With the right to write where there is one: only then is what a reader makes beside the file (see below) removed
            // when it closes.
            let connection = Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_WRITE)
                .or_else(|_| Connection::open_with_flags(path, common | OpenFlags::SQLITE_OPEN_READ_ONLY))?;
            connection.busy_timeout(PATIENCE)?;
            connection.pragma_update(None, "query_only", true)?;
            match connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())) {
                Ok(()) => connection,
                // A reader of a write-ahead log makes an index beside it. Where it cannot make anything, by the file system or
                // by its rights, and there is no log, the file is all there is, and nobody changes it (https://www.sqlite.org/uri.html#uriimmutable).
                Err(error)
                    if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
                        && !has_log(path) =>
                {
                    let uri = format!("file:{}?immutable=1", percent_encoded(path));
                    let flags = common | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
                    Connection::open_with_flags(uri, flags)?
                }
                Err(error) => return Err(error),
            }
        }
    };
    connection.busy_timeout(PATIENCE)?;
    Ok(connection)
}

fn has_log(path: &Path) -> bool {
    beside(path, "-wal").metadata().is_ok_and(|metadata| metadata.len() > 0)
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn percent_encoded(path: &Path) -> String {
    let octets = path.as_os_str().as_encoded_bytes().iter();
    octets
        .map(|octet| match octet {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => char::from(*octet).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The version of the schema of a file that is an inventory and none of the future.
fn check_header(connection: &Connection, path: &Path) -> Result<u32, InventoryError> {
    let number = |pragma: &str| {
        connection.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0)).map_err(InventoryError::sqlite(path))
    };
    let (application, version) = (number("application_id")?, number("user_version")?);
    if application != APPLICATION_ID {
        return Err(InventoryError::damaged(path, "it is a database of another program"));
    }
    let known = known_version();
    if version > known {
        return Err(InventoryError::Newer { path: path.to_owned(), found: version, known });
    }
    Ok(version)
}

fn known_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Takes the steps that are missing, each whole or not at all.
fn migrate(connection: &mut Connection, path: &Path, from: u32) -> Result<(), InventoryError> {
    let report = InventoryError::sqlite(path);
    for (version, step) in (1_u32..).zip(MIGRATIONS).filter(|(version, _)| *version > from) {
        let transaction =
            connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(&report)?;
        // Another process may have been faster.
        let there: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(&report)?;
        if there < version {
            transaction.execute_batch(step).map_err(&report)?;
            transaction.pragma_update(None, "user_version", version).map_err(&report)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(&report)?;
        }
        transaction.commit().map_err(&report)?;
    }
    Ok(())
}
