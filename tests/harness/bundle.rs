//! The three files of an endpoint, as another program sees them.

use std::path::{Path, PathBuf};

use crate::program::Program;

/// A directory that holds `ca.pem`, `cert.pem` and `key.pem`.
#[derive(Clone, Debug)]
pub struct Bundle(pub PathBuf);

impl Bundle {
    /// The trust anchors.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.0.join("ca.pem")
    }

    /// The certificate and its intermediates.
    #[must_use]
    pub fn cert(&self) -> PathBuf {
        self.0.join("cert.pem")
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.0.join("key.pem")
    }

    /// Fails unless `openssl` finds key and certificate to be a pair and the
    /// certificate to be the CA's.
    ///
    /// # Panics
    /// When they are not, or a file is missing or unreadable.
    #[track_caller]
    pub fn assert_complete(&self) {
        let certificate = public_key_of_certificate(&self.cert());
        let key = public_key_of_key(&self.key());
        assert_eq!(certificate, key, "{} holds a certificate and a key that do not match", self.0.display());
        let ran =
            Program::new("openssl").args(["verify", "-no_check_time", "-CAfile"]).arg(self.ca()).arg(self.cert()).run();
        assert_eq!(ran.code, Some(0), "{ran}");
    }
}

/// The public key of the first certificate in a file, as openssl prints it.
///
/// # Panics
/// When openssl cannot read it.
#[must_use]
#[track_caller]
pub fn public_key_of_certificate(path: &Path) -> String {
    Program::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(path).run().success().stdout
}

/// The public key of an unencrypted private key, as openssl prints it.
///
/// # Panics
/// When openssl cannot read it.
#[must_use]
#[track_caller]
pub fn public_key_of_key(path: &Path) -> String {
    Program::new("openssl").args(["pkey", "-pubout", "-passin", "pass:", "-in"]).arg(path).run().success().stdout
}
