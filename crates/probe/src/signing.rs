//! Signing with the keys that ring has no signature for and docker uses all the same: P-521, and RSA of less than
//! 2048 bits or more than 4096.
//!
//! The rsa crate's timing is not constant enough for a service that signs for whoever asks (RUSTSEC-2023-0071). Here one
//! run signs a handshake or two with the user's own key, and blinded.

use std::{fmt, sync::Arc};

use p521::pkcs8::DecodePrivateKey as _;
use ring::digest;
use rsa::{
    BoxedUint, Pkcs1v15Sign, Pss,
    pkcs1::{DecodeRsaPrivateKey as _, RsaPublicKeyRef},
    sha2::{Sha256, Sha384, Sha512},
    traits::PublicKeyParts as _,
};
use rustls::{
    Error as TlsError, SignatureAlgorithm, SignatureScheme as Scheme,
    sign::{Signer, SigningKey},
};

use crate::random::SystemRandom;

/// A key of one of these kinds, in one of the forms that Go takes (crypto/tls tls.go `parsePrivateKey`).
pub(crate) fn read(der: &[u8]) -> Option<Arc<dyn SigningKey>> {
    if let Ok(key) =
        rsa::PrivateKey::from_pkcs1_der(der).or_else(|_| rsa::PrivateKey::from_pkcs8_der(der).map_err(drop))
    {
        return Some(Arc::new(Rsa(Arc::new(key))));
    }
    let key = p521::SecretKey::from_pkcs8_der(der).ok().or_else(|| p521::SecretKey::from_sec1_der(der).ok())?;
    Some(Arc::new(P521(Arc::new((&key).into()))))
}

/// Names its kind and nothing else.
macro_rules! without_secrets {
    ($($kind:ident),*) => {$(
        impl fmt::Debug for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($kind), "([elided])"))
            }
        }
    )*};
}
without_secrets!(P521, P521Signer, Rsa, RsaSigner);

struct P521(Arc<p521::ecdsa::SigningKey>);

struct P521Signer(Arc<p521::ecdsa::SigningKey>);

impl SigningKey for P521 {
    fn choose_scheme(&self, offered: &[Scheme]) -> Option<Box<dyn Signer>> {
        let offered = offered.contains(&Scheme::ECDSA_NISTP521_SHA512);
        offered.then(|| Box::new(P521Signer(Arc::clone(&self.0))) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521Signer {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TlsError> {
        use p521::ecdsa::{DerSignature, signature::hazmat::PrehashSigner as _};
        let digest = digest::digest(&digest::SHA512, message);
        let signed: Result<DerSignature, _> = self.0.sign_prehash(digest.as_ref());
        signed.map(|signature| signature.as_bytes().to_vec()).map_err(|_| failed())
    }

    fn scheme(&self) -> Scheme {
        Scheme::ECDSA_NISTP521_SHA512
    }
}

struct Rsa(Arc<rsa::PrivateKey>);

struct RsaSigner {
    key: Arc<rsa::PrivateKey>,
    scheme: Scheme,
}

impl SigningKey for Rsa {
    /// The first in the peer's order that the key is long enough for (crypto/tls auth.go `rsaSignatureSchemes`). rustls
    /// has taken those out that TLS 1.3 does not know.
    fn choose_scheme(&self, offered: &[Scheme]) -> Option<Box<dyn Signer>> {
        let size = self.0.size();
        let fits = |scheme: &Scheme| match *scheme {
            Scheme::RSA_PSS_SHA256 => size >= 2 * 32 + 2,
            Scheme::RSA_PSS_SHA384 => size >= 2 * 48 + 2,
            Scheme::RSA_PSS_SHA512 => size >= 2 * 64 + 2,
            Scheme::RSA_PKCS1_SHA256 | Scheme::RSA_PKCS1_SHA384 | Scheme::RSA_PKCS1_SHA512 => true,
            _ => false,
        };
        let scheme = offered.iter().copied().find(fits)?;
        Some(Box::new(RsaSigner { key: Arc::clone(&self.0), scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for RsaSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TlsError> {
        let Self { key, scheme } = self;
        let random = &mut SystemRandom::new();
        match *scheme {
            Scheme::RSA_PSS_SHA256 => key.pss_sign_with_rng::<Sha256, _>(random, message),
            Scheme::RSA_PSS_SHA384 => key.pss_sign_with_rng::<Sha384, _>(random, message),
            Scheme::RSA_PSS_SHA512 => key.pss_sign_with_rng::<Sha512, _>(random, message),
            Scheme::RSA_PKCS1_SHA256 => key.pkcs1v15_sign_with_rng::<Sha256, _>(random, message),
            Scheme::RSA_PKCS1_SHA384 => key.pkcs1v15_sign_with_rng::<Sha384, _>(random, message),
            Scheme::RSA_PKCS1_SHA512 => key.pkcs1v15_sign_with_rng::<Sha512, _>(random, message),
            _ => return Err(failed()),
        }
        .map_err(|_| failed())
    }

    fn scheme(&self) -> Scheme {
        self.scheme
    }
}

fn failed() -> TlsError {
    TlsError::General("the client's key does not sign".to_owned())
}

/// Whether RSA signed it, for sizes that ring does not verify; `None` for sizes and schemes that nothing here does.
pub(crate) fn is_signed_by_rsa(message: &[u8], key: &[u8], scheme: Scheme, signature: &[u8]) -> Option<bool> {
    let hash = |algorithm| digest::digest(algorithm, message);
    let parts = RsaPublicKeyRef::try_from(key).ok()?;
    let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
    let (modulus, exponent) = (number(parts.modulus.as_bytes()), number(parts.public_exponent.as_bytes()));
    // From what TLS can sign with to what Go takes (crypto/tls handshake_client.go `checkKeySize`).
    let key = rsa::PublicKey::new_with_size_limits(modulus, exponent, 528..=8192).ok()?;
    let verified = match scheme {
        Scheme::RSA_PSS_SHA256 => key.verify(Pss::<Sha256>::new(), hash(&digest::SHA256).as_ref(), signature),
        Scheme::RSA_PSS_SHA384 => key.verify(Pss::<Sha384>::new(), hash(&digest::SHA384).as_ref(), signature),
        Scheme::RSA_PSS_SHA512 => key.verify(Pss::<Sha512>::new(), hash(&digest::SHA512).as_ref(), signature),
        Scheme::RSA_PKCS1_SHA256 => {
            key.verify(Pkcs1v15Sign::new::<Sha256>(), hash(&digest::SHA256).as_ref(), signature)
        }
        Scheme::RSA_PKCS1_SHA384 => {
            key.verify(Pkcs1v15Sign::new::<Sha384>(), hash(&digest::SHA384).as_ref(), signature)
        }
        Scheme::RSA_PKCS1_SHA512 => {
            key.verify(Pkcs1v15Sign::new::<Sha512>(), hash(&digest::SHA512).as_ref(), signature)
        }
        _ => return None,
    };
    Some(verified.is_ok())
}
