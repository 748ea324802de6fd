//! Why a session, or a delivery in one, does not come about.

use std::{error::Error, fmt};

use dockseal_inventory::InventoryError;
use dockseal_pki::moment;
use dockseal_store::{HomeError, WriteError};
use time::OffsetDateTime;

use crate::{authority::AuthorityFilesError, certificates::CertificateFileError};

/// Why an authority cannot be worked on.
#[derive(Debug)]
#[non_exhaustive]
pub enum SessionError {
    /// Another run has it, or its directory cannot be locked.
    Lock(HomeError),
    /// Its files.
    Files(AuthorityFilesError),
    /// Its inventory.
    Inventory(InventoryError),
    /// The inventory that an authority of the time before inventories is to get: its records.
    ImportFiles(AuthorityFilesError),
    /// The same: the new inventory.
    Import(InventoryError),
    /// This machine's clock went back.
    ClockWentBack {
        /// What it says.
        now: OffsetDateTime,
        /// When the authority was used last.
        last: OffsetDateTime,
    },
    /// Another generation signs since this run read the authority; nothing was done yet.
    AnotherGenerationSigns,
    /// The same, after a part of the work was done.
    AnotherGenerationSignsNow,
    /// The inventory was made again while this run let others work.
    Remade,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lock(error) => error.fmt(f),
            Self::Files(error) | Self::ImportFiles(error) => error.fmt(f),
            Self::Inventory(error) | Self::Import(error) => error.fmt(f),
            Self::ClockWentBack { now, last } => write!(
                f,
                "the clock went back: it says {}, and this authority was used on {}",
                moment(*now),
                moment(*last)
            ),
            Self::AnotherGenerationSigns | Self::AnotherGenerationSignsNow => {
                f.write_str("another generation of the authority signs since a moment ago")
            }
            Self::Remade => f.write_str("it was made again meanwhile, and knows the certificates by other numbers"),
        }
    }
}

impl Error for SessionError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lock(error) => error.source(),
            Self::Files(error) | Self::ImportFiles(error) => error.source(),
            Self::Inventory(error) | Self::Import(error) => error.source(),
            Self::ClockWentBack { .. }
            | Self::AnotherGenerationSigns
            | Self::AnotherGenerationSignsNow
            | Self::Remade => None,
        }
    }
}

impl From<InventoryError> for SessionError {
    fn from(error: InventoryError) -> Self {
        Self::Inventory(error)
    }
}

impl From<AuthorityFilesError> for SessionError {
    fn from(error: AuthorityFilesError) -> Self {
        Self::Files(error)
    }
}

impl From<HomeError> for SessionError {
    fn from(error: HomeError) -> Self {
        Self::Files(error.into())
    }
}

impl From<CertificateFileError> for SessionError {
    fn from(error: CertificateFileError) -> Self {
        Self::Files(error.into())
    }
}

/// Why a bundle was not delivered.
#[derive(Debug)]
pub enum Undelivered {
    /// The place: something is in the way, or the system refuses.
    Place(WriteError),
    /// The inventory.
    Inventory(InventoryError),
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(error) => error.fmt(f),
            Self::Inventory(error) => error.fmt(f),
        }
    }
}

impl Error for Undelivered {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Place(error) => error.source(),
            Self::Inventory(error) => error.source(),
        }
    }
}

impl From<WriteError> for Undelivered {
    fn from(error: WriteError) -> Self {
        Self::Place(error)
    }
}

impl From<InventoryError> for Undelivered {
    fn from(error: InventoryError) -> Self {
        Self::Inventory(error)
    }
}
