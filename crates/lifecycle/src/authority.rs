//! An authority's files: who signs, who signed once, and the one that is open.

use std::{error::Error, fmt, path::PathBuf};

use dockseal_ca::{Authority, AuthorityError};
use dockseal_pki::{Certificate, KeyError, Passphrase, PemCertificatesError, PrivateKey};
use dockseal_store::{AuthorityFiles, Home, HomeError};

use crate::certificates::{CertificateFileError, read_certificates};

/// An authority that can sign, and where it lives.
pub struct OpenAuthority {
    /// The generation that signs.
    pub authority: Authority,
    /// Its directory.
    pub home: Home,
}

/// Why an authority's files cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthorityFilesError {
    /// Its directory.
    Home(HomeError),
    /// One of its certificates.
    Certificates(CertificateFileError),
}

impl fmt::Display for AuthorityFilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home(error) => error.fmt(f),
            Self::Certificates(error) => error.fmt(f),
        }
    }
}

impl Error for AuthorityFilesError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Home(error) => error.source(),
            Self::Certificates(error) => error.source(),
        }
    }
}

impl From<HomeError> for AuthorityFilesError {
    fn from(error: HomeError) -> Self {
        Self::Home(error)
    }
}

impl From<CertificateFileError> for AuthorityFilesError {
    fn from(error: CertificateFileError) -> Self {
        Self::Certificates(error)
    }
}

/// Why an authority is not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Its files.
    Files(AuthorityFilesError),
    /// Its private key.
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyError,
    },
    /// Its certificate and its key do not make an authority.
    Authority(AuthorityError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files(error) => error.fmt(f),
            Self::Key { path, .. } => write!(f, "cannot use the private key {}", path.display()),
            Self::Authority(_) => f.write_str("cannot open the authority"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Files(error) => error.source(),
            Self::Key { source, .. } => Some(source),
            Self::Authority(error) => Some(error),
        }
    }
}

impl<E: Into<AuthorityFilesError>> From<E> for OpenError {
    fn from(error: E) -> Self {
        Self::Files(error.into())
    }
}

/// Opens an authority. `passphrase` is that of its key, if the key is encrypted.
///
/// # Errors
/// When there is none, a file cannot be read, or the passphrase is missing or wrong.
pub fn open(home: Home, passphrase: Option<&Passphrase>) -> Result<OpenAuthority, OpenError> {
    let files = home.read()?;
    let (key, _) = PrivateKey::from_pem(&files.key.bytes, passphrase)
        .map_err(|source| OpenError::Key { path: files.key_path.clone(), source })?;
    load(home, &files, key)
}

/// The same of an authority whose files were read and whose key was opened.
///
/// # Errors
/// When the files hold no certificates, or certificate and key are not of one authority.
pub fn load(home: Home, files: &AuthorityFiles, key: PrivateKey) -> Result<OpenAuthority, OpenError> {
    let mut chains = chains(&home, files)?.into_iter();
    let chain = chains.next().unwrap_or_default();
    let others = chains.filter_map(|mut chain| chain.pop()).collect();
    let link = if files.link.is_empty() {
        Vec::new()
    } else {
        read_certificates(&files.link, &files.key_path.with_file_name("cross.pem"))?
    };
    let authority = Authority::load(chain, Box::new(key))
        .and_then(|authority| authority.beside(others, link))
        .map_err(OpenError::Authority)?;
    Ok(OpenAuthority { authority, home })
}

/// The generations that are trusted, the one that signs first: each one's certificate, then those above it.
///
/// # Errors
/// When a file holds no certificate that can be read.
pub fn chains(home: &Home, files: &AuthorityFiles) -> Result<Vec<Vec<Certificate>>, CertificateFileError> {
    std::iter::once(&files.chain)
        .chain(&files.others)
        .map(|chain| read_certificates(chain, &home.path().join("ca.pem")))
        .collect()
}

/// The certificate of the generation that signs.
///
/// # Errors
/// When the authority's files cannot be read.
pub fn signing_issuer(home: &Home) -> Result<Certificate, AuthorityFilesError> {
    let path = home.path().join("ca.pem");
    first(read_certificates(&home.read_chain()?, &path)?, || path)
}

/// The certificates that sign or signed once, one of each generation, the oldest first.
///
/// # Errors
/// As [`signing_issuer`].
pub fn known_issuers(home: &Home) -> Result<Vec<Certificate>, AuthorityFilesError> {
    known_chains(home)?.into_iter().map(|chain| first(chain, || home.path().join("ca.pem"))).collect()
}

/// Those of the generations that endpoints trust at present.
///
/// # Errors
/// As [`signing_issuer`].
pub fn trusted_issuers(home: &Home) -> Result<Vec<Certificate>, AuthorityFilesError> {
    let chains = trusted_chains(home)?.into_iter();
    chains.map(|chain| first(chain, || home.path().join("ca.pem"))).collect()
}

/// Whom endpoints trust at present, and no longer.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The issuers whose certificates are accepted.
    pub issuers: Vec<Certificate>,
    /// The anchors that are trusted.
    pub anchors: Vec<Certificate>,
    /// The anchors that a roll-over took away.
    pub replaced: Vec<Certificate>,
}

impl Trust {
    /// As the authority's files say.
    ///
    /// # Errors
    /// As [`signing_issuer`].
    pub fn of(home: &Home) -> Result<Self, AuthorityFilesError> {
        let trusted = trusted_chains(home)?;
        let anchors: Vec<Certificate> = trusted.iter().filter_map(|chain| chain.last()).cloned().collect();
        let known = known_chains(home)?.into_iter().filter_map(|mut chain| chain.pop());
        Ok(Self {
            replaced: known.filter(|anchor| !anchors.contains(anchor)).collect(),
            issuers: trusted.into_iter().filter_map(|chain| chain.into_iter().next()).collect(),
            anchors,
        })
    }
}

fn trusted_chains(home: &Home) -> Result<Vec<Vec<Certificate>>, AuthorityFilesError> {
    home.generations()?.trusted.into_iter().map(|number| chain_of(home, number)).collect()
}

fn known_chains(home: &Home) -> Result<Vec<Vec<Certificate>>, AuthorityFilesError> {
    home.known_generations()?.into_iter().map(|number| chain_of(home, number)).collect()
}

fn chain_of(home: &Home, number: u32) -> Result<Vec<Certificate>, AuthorityFilesError> {
    let chain = home.read_chain_of(number)?;
    Ok(read_certificates(&chain, &home.generation_path(number).join("ca.pem"))?)
}

fn first(chain: Vec<Certificate>, path: impl FnOnce() -> PathBuf) -> Result<Certificate, AuthorityFilesError> {
    let missing = || CertificateFileError { path: path(), source: PemCertificatesError::Missing };
    chain.into_iter().next().ok_or_else(|| missing().into())
}
