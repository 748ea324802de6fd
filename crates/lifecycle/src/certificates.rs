//! Files of certificates, as this program writes them.

use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

use dockseal_docker::layout::Names;
use dockseal_pki::{Certificate, Fingerprint, PemCertificatesError, certificates_in_pem};

/// A file that holds no certificates that can be used.
#[derive(Debug)]
pub struct CertificateFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: PemCertificatesError,
}

impl fmt::Display for CertificateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the certificate {}", self.path.display())
    }
}

impl Error for CertificateFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Every certificate of a PEM text, at least one. `path` is where it comes from, for the error.
///
/// # Errors
/// When there is none, or one cannot be read.
pub fn read_certificates(bytes: &[u8], path: &Path) -> Result<Vec<Certificate>, CertificateFileError> {
    certificates_in_pem(bytes).map_err(|source| CertificateFileError { path: path.to_owned(), source })
}

/// The fingerprint of the certificate in a directory, if there is one that can be read.
pub fn leaf_in(directory: &Path, names: Names) -> Option<Fingerprint> {
    let bytes = dockseal_store::read(&directory.join(names.chain)).ok()?.bytes;
    certificates_in_pem(&bytes).ok()?.first().map(Certificate::fingerprint)
}
