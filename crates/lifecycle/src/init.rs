//! A new authority, and one that was made elsewhere.

use std::{error::Error, fmt};

use dockseal_ca::{Authority, AuthorityError, AuthorityRequest, Issuance};
use dockseal_inventory::InventoryError;
use dockseal_pki::{KeyAlgorithm, KeyError, Passphrase, PrivateKey};
use dockseal_store::{Heritage, Home, HomeError};
use zeroize::Zeroizing;

use crate::{
    authority::OpenAuthority,
    permit::{IssueError, new_serial},
    session::{AuthoritySession, SessionError},
    surroundings::Surroundings,
};

/// Why an authority is not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum InitError {
    /// Its key cannot be made.
    Key(KeyError),
    /// Its key cannot be encrypted.
    Encrypt(KeyError),
    /// The system has no randomness for a serial number.
    Serial(IssueError),
    /// Its certificate cannot be made.
    Authority(AuthorityError),
    /// Its inventory cannot be made.
    Session(SessionError),
    /// Its directory cannot be written.
    Home(HomeError),
}

impl fmt::Display for InitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(_) => f.write_str("cannot make the authority's key"),
            Self::Encrypt(_) => f.write_str("cannot encrypt the authority's key"),
            Self::Serial(error) => error.fmt(f),
            Self::Authority(_) | Self::Session(_) | Self::Home(_) => f.write_str("cannot make the authority"),
        }
    }
}

impl Error for InitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Key(error) | Self::Encrypt(error) => Some(error),
            Self::Serial(error) => error.source(),
            Self::Authority(error) => Some(error),
            Self::Session(error) => Some(error),
            Self::Home(error) => Some(error),
        }
    }
}

impl From<InventoryError> for InitError {
    fn from(error: InventoryError) -> Self {
        Self::Session(error.into())
    }
}

/// An authority of which nothing was written yet.
pub struct DraftAuthority {
    /// The authority; it can sign already.
    pub opened: OpenAuthority,
    /// The PEM text under which its key is to be kept.
    pub key_pem: Zeroizing<String>,
}

/// Makes an authority, in memory. Without a passphrase its key is kept as it is.
///
/// # Errors
/// When the request cannot be met, or the system has no randomness.
pub fn draft(
    request: &AuthorityRequest,
    key: KeyAlgorithm,
    passphrase: Option<&Passphrase>,
    home: Home,
    around: &Surroundings,
) -> Result<DraftAuthority, InitError> {
    let signer = PrivateKey::generate(key, &around.random).map_err(InitError::Key)?;
    let key_pem = key_pem(&signer, passphrase, around)?;
    let serial = new_serial(&around.random).map_err(InitError::Serial)?;
    let issuance = Issuance { now: around.now, serial };
    let authority = Authority::create(request, Box::new(signer), &issuance).map_err(InitError::Authority)?;
    Ok(DraftAuthority { opened: OpenAuthority { authority, home }, key_pem })
}

/// The PEM text under which an authority's key is to be kept.
///
/// # Errors
/// When it cannot be encrypted.
pub fn key_pem(
    key: &PrivateKey,
    passphrase: Option<&Passphrase>,
    around: &Surroundings,
) -> Result<Zeroizing<String>, InitError> {
    match passphrase {
        None => Ok(key.to_pem()),
        Some(passphrase) => {
            key.to_encrypted_pem(passphrase, &around.random).map(Zeroizing::new).map_err(InitError::Encrypt)
        }
    }
}

impl DraftAuthority {
    /// Writes it, and an empty inventory.
    ///
    /// # Errors
    /// As [`create`].
    pub fn create(self, around: &Surroundings) -> Result<OpenAuthority, InitError> {
        create(&self.opened, self.key_pem, 0, Heritage::default(), around)?;
        Ok(self.opened)
    }
}

/// Writes an authority, with an inventory that knows nothing but the number of its latest revocation list, and with what it
/// brings along from elsewhere.
///
/// # Errors
/// When there is an authority already, or its directory cannot be written; then nothing was written.
pub fn create(
    opened: &OpenAuthority,
    key_pem: Zeroizing<String>,
    crl_number: u64,
    heritage: Heritage,
    around: &Surroundings,
) -> Result<(), InitError> {
    let mut session = AuthoritySession::draft(opened.authority.issuer(), around).map_err(InitError::Session)?;
    let generation = session.generation;
    session.recorder().crl_number_was(generation, crl_number)?;
    let inventory = session.inventory.to_bytes()?;
    opened.home.create(opened.authority.chain(), key_pem, inventory, heritage).map_err(InitError::Home)
}
