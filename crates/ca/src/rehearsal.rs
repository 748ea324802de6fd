//! Signing with keys that live for a moment, so that what a judge refuses is never signed with the real one.
//!
//! The whole authority is copied, octet for octet but for keys and signatures, and the copy signs. So does Boulder before it
//! signs (linter/linter.go: an issuer that differs in its key alone, and lints over what that one signs).

use dockseal_pki::{Bundle, Certificate, KeyAlgorithm, PrivateKey, Signer, TrustAnchors};
use ring::rand::SecureRandom;

use crate::{
    Authority, SignError, Template,
    authority::read,
    sealed::{is_signed_like, rekeyed},
};

/// What was signed for trying it out.
#[derive(Debug)]
pub struct Rehearsal {
    /// What the endpoint would get, with its own key; nobody trusts the anchors in it.
    pub bundle: Bundle,
    /// Whether all signatures are of the kinds that the real ones are. RSA is not rehearsed with RSA, whose keys take
    /// seconds to make.
    pub is_faithful: bool,
}

/// An authority's copy.
pub(crate) struct Understudy {
    authority: Authority,
    is_faithful: bool,
}

impl Authority {
    /// Signs a template with throwaway keys. The copy of the authority is made once.
    ///
    /// # Errors
    /// When the system has no randomness, or the result is not what was permitted.
    pub fn rehearse(
        &self,
        template: &Template,
        key: Option<PrivateKey>,
        random: &dyn SecureRandom,
    ) -> Result<Rehearsal, SignError> {
        let understudy = match self.understudy.get() {
            Some(understudy) => understudy,
            None => {
                let made = Understudy::of(self, random)?;
                self.understudy.get_or_init(|| Box::new(made))
            }
        };
        let leaf = understudy.authority.signed(template)?;
        Ok(Rehearsal { bundle: understudy.authority.bundle(leaf, key), is_faithful: understudy.is_faithful })
    }
}

impl Understudy {
    fn of(authority: &Authority, random: &dyn SecureRandom) -> Result<Self, SignError> {
        let mut cast = Cast::of(authority, random)?;
        let copies = |cast: &mut Cast, all: &[Certificate]| -> Result<Vec<Certificate>, SignError> {
            all.iter().map(|certificate| cast.copy(certificate)).collect()
        };
        let chain = copies(&mut cast, authority.chain())?;
        let intermediates = copies(&mut cast, authority.intermediates())?;
        let anchors = copies(&mut cast, authority.anchors().certificates())?;
        let is_faithful = cast.is_faithful;
        let signer = cast.take_key_of(authority.issuer())?;
        let anchors = TrustAnchors::new(anchors).ok_or(SignError::Encoding)?;
        let mut authority = Authority::load(chain, Box::new(signer)).map_err(|_| SignError::Encoding)?;
        authority.anchors = anchors;
        authority.intermediates = intermediates;
        Ok(Self { authority, is_faithful })
    }
}

/// The certificates of an authority, and the key that stands in for that of each.
struct Cast {
    roles: Vec<(Certificate, PrivateKey)>,
    is_faithful: bool,
}

impl Cast {
    fn of(authority: &Authority, random: &dyn SecureRandom) -> Result<Self, SignError> {
        let all = authority.chain().iter().chain(authority.intermediates()).chain(authority.anchors().certificates());
        let mut cast = Self { roles: Vec::new(), is_faithful: true };
        for certificate in all {
            if cast.key_of(certificate).is_none() {
                let kind = match KeyAlgorithm::like(certificate.public_key.algorithm()) {
                    Some(kind @ (KeyAlgorithm::P256 | KeyAlgorithm::P384 | KeyAlgorithm::Ed25519)) => kind,
                    _ => {
                        cast.is_faithful = false;
                        KeyAlgorithm::P256
                    }
                };
                let key = PrivateKey::generate(kind, random).map_err(|_| SignError::Encoding)?;
                cast.roles.push((certificate.clone(), key));
            }
        }
        Ok(cast)
    }

    fn position_of(&self, certificate: &Certificate) -> Option<usize> {
        self.roles.iter().position(|(other, _)| other.public_key.spki() == certificate.public_key.spki())
    }

    fn key_of(&self, certificate: &Certificate) -> Option<&PrivateKey> {
        self.roles.get(self.position_of(certificate)?).map(|(_, key)| key)
    }

    fn take_key_of(mut self, certificate: &Certificate) -> Result<PrivateKey, SignError> {
        let position = self.position_of(certificate).ok_or(SignError::Encoding)?;
        Ok(self.roles.swap_remove(position).1)
    }

    /// The same certificate for the other key, signed by the other key of whoever signed it. Where that one is not here, nobody
    /// looks at the signature, and its own key signs.
    fn copy(&mut self, certificate: &Certificate) -> Result<Certificate, SignError> {
        let own = self.key_of(certificate).ok_or(SignError::Encoding)?;
        let issuer = self
            .roles
            .iter()
            .find(|(issuer, _)| certificate.issuer == issuer.subject && certificate.is_signed_by(issuer));
        let signer = issuer.map_or(own, |(_, key)| key);
        let copy = read(&rekeyed(certificate.der(), own.public_key(), signer)?)?;
        self.is_faithful &= is_signed_like(certificate.der(), signer);
        Ok(copy)
    }
}
