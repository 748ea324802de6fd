//! Certificates as Go's crypto/x509 reads them: strict where it is strict, lenient where it is lenient.

mod algorithm;
mod certificate;
mod clock;
mod extensions;
mod name_constraints;
mod names;
mod public_key;
mod uri;

pub(crate) use algorithm::{Digest, SignatureAlgorithm};
pub(crate) use certificate::Certificate;
pub(crate) use extensions::{ExtendedKeyUsages, KEY_CERT_SIGN};
pub(crate) use name_constraints::{IpRange, NameConstraints, Subtrees};
pub(crate) use names::{Mailbox, domain_is_valid, domain_labels};
pub(crate) use public_key::{Curve, EC, ED25519, NO_CURVE, PublicKey, RSA, UNKNOWN_CURVE, bit_length, curve_of};

/// Why Go refuses to parse something, in words of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

pub(crate) type Parsed<T> = Result<T, Malformed>;
