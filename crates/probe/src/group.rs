//! The key exchange that Go offers and ring has not: ECDHE with P-521 (Go crypto/tls defaults.go
//! `defaultCurvePreferences`). openssl takes a P-521 certificate in TLS 1.2 only from who offers the curve.

use p521::{
    ProjectivePoint, PublicKey, SecretKey,
    elliptic_curve::{Generate as _, point::AffineCoordinates as _, sec1::ToSec1Point as _},
};
use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{ActiveKeyExchange, SharedSecret, SupportedKxGroup},
};

use crate::random::SystemRandom;

/// The group, to be offered after those of ring.
pub(crate) static SECP521R1: &dyn SupportedKxGroup = &Secp521r1;

#[derive(Debug)]
struct Secp521r1;

impl SupportedKxGroup for Secp521r1 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let secret =
            SecretKey::try_generate_from_rng(&mut SystemRandom::new()).map_err(|_| Error::FailedToGetRandomBytes)?;
        let public = secret.public_key().to_sec1_point(false).as_bytes().to_vec();
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}

struct Exchange {
    secret: SecretKey,
    public: Vec<u8>,
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        // The x coordinate, as long as the field (RFC 8446 section 7.4.2). The curve has no point of small order.
        let shared = ProjectivePoint::from(peer) * *self.secret.to_nonzero_scalar();
        Ok(SharedSecret::from(shared.to_affine().x().as_slice()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::secp521r1
    }
}
