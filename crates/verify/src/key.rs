//! Private keys as Go's crypto/tls takes them, reduced to the public half they belong to.
//!
//! Source: Go src/crypto/tls/tls.go (`X509KeyPair`, `parsePrivateKey`), crypto/x509 pkcs1.go, pkcs8.go, sec1.go,
//! crypto/rsa rsa.go (`Validate`) and, since 1.24, crypto/internal/fips140/rsa (`checkPrivateKey`).

use std::borrow::Cow;

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul as _, NonZero, Odd};
use dockseal_docker::version::{Go, GoRelease, GodebugDefaults};
use ring::signature::KeyPair as _;
use ring::{rand, signature};

use crate::asn1::{Fields, Tag};
use crate::der::{self, Reader};
use crate::mldsa::{self, Parameters};
use crate::x509::{Curve, PublicKey, curve_of};

/// Beyond this the arithmetic costs too much to be worth it.
const MOST_RSA_BYTES: usize = 2048;

/// Whether a private key is the one for a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyMatch {
    Matches,
    Differs,
    /// No key that Go takes.
    Unparsable,
    /// A key that Go takes and whose kind has no place in TLS, or a certificate of such a kind.
    WrongKind,
    /// An RSA key too large for the judge.
    TooLarge,
}

/// Tries PKCS#1, PKCS#8 and SEC 1 in turn, whatever the label said, and compares.
pub(crate) fn compare(der: &[u8], certificate_key: &PublicKey<'_>, go: Go) -> KeyMatch {
    let Some(key) = parse(der, go) else {
        return KeyMatch::Unparsable;
    };
    match (certificate_key, key) {
        (PublicKey::Rsa { modulus, .. }, Parsed::Rsa(key))
            if modulus.len() > MOST_RSA_BYTES && *key.modulus == **modulus =>
        {
            KeyMatch::TooLarge
        }
        (PublicKey::Rsa { modulus, exponent }, Parsed::Rsa(key)) => {
            if !key.is_valid(go) {
                KeyMatch::Unparsable
            } else if *key.modulus == **modulus && i128::from(key.exponent) == i128::from(*exponent) {
                KeyMatch::Matches
            } else {
                KeyMatch::Differs
            }
        }
        (PublicKey::Ecdsa { curve, point }, Parsed::Ec { curve: own, scalar }) => {
            if *curve != own {
                KeyMatch::Differs
            } else if belongs_to(own, &scalar, point) {
                KeyMatch::Matches
            } else {
                KeyMatch::Differs
            }
        }
        (PublicKey::Ed25519(public), Parsed::Ed25519(seed)) => {
            match signature::Ed25519KeyPair::from_seed_unchecked(seed) {
                Ok(pair) if pair.public_key().as_ref() == public.as_ref() => KeyMatch::Matches,
                Ok(_) => KeyMatch::Differs,
                Err(_) => KeyMatch::Unparsable,
            }
        }
        (PublicKey::MlDsa { parameters, key }, Parsed::MlDsa { parameters: own, seed }) => {
            if *parameters == own && own.belongs_to(seed, key) { KeyMatch::Matches } else { KeyMatch::Differs }
        }
        (PublicKey::Dsa | PublicKey::Unknown, _) | (_, _) => KeyMatch::WrongKind,
    }
}

/// Why Go takes no key of this kind or form, as far as that can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Its kind has no place in TLS, or in Go.
    Kind(&'static str),
    /// The curve's parameters stand where its name should.
    ExplicitCurve,
    /// The form of OpenSSH's PROTOCOL.key.
    OpenSsh,
}

/// Kinds of keys by the contents of their object identifiers (RFC 8410, RFC 8017, RFC 3279, RFC 9881; OpenSSL obj_mac.h).
const KINDS: [(&[u8], &str); 13] = [
    (&[0x2b, 0x65, 0x71], "Ed448"),
    (&[0x2b, 0x65, 0x6e], "X25519"),
    (&[0x2b, 0x65, 0x6f], "X448"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10], "bound to RSA-PSS"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7], "bound to RSA-OAEP"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1], "DSA"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 3, 1], "Diffie-Hellman"),
    (&[0x2a, 0x86, 0x48, 0xce, 0x3e, 2, 1], "Diffie-Hellman"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x11], "ML-DSA-44"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x12], "ML-DSA-65"),
    (&[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x13], "ML-DSA-87"),
    (&[0x2b, 0x81, 4, 0, 0x0a], "on the curve secp256k1"),
    (&[0x2a, 0x81, 0x1c, 0xcf, 0x55, 1, 0x82, 0x2d], "on the curve of SM2"),
];

/// Why a key that does not parse does not.
pub(crate) fn obstacle(label: &[u8], der: &[u8]) -> Option<Obstacle> {
    match label {
        b"OPENSSH PRIVATE KEY" => return Some(Obstacle::OpenSsh),
        b"DSA PRIVATE KEY" => return Some(Obstacle::Kind("DSA")),
        _ => {}
    }
    let (mut fields, _) = Fields::of(der)?;
    fields.required(Tag::INTEGER)?;
    let Some(mut algorithm) = fields.sequence() else { return obstacle_of_sec1(der) };
    let identifier = algorithm.required(Tag::OBJECT_IDENTIFIER)?;
    if identifier != crate::x509::EC {
        let is_known = identifier == crate::x509::RSA || identifier == crate::x509::ED25519;
        return (!is_known).then(|| kind(identifier, "of a kind unknown to it"));
    }
    obstacle_of_curve(algorithm.raw()?.unwrap_or_default())
}

/// ECPrivateKey: what names the curve stands after the number (RFC 5915 section 3).
fn obstacle_of_sec1(der: &[u8]) -> Option<Obstacle> {
    let (mut fields, _) = Fields::of(der)?;
    fields.required(Tag::INTEGER)?;
    fields.required(Tag::OCTET_STRING)?;
    if fields.optional_explicit(0, Tag::SEQUENCE)?.is_some() {
        return Some(Obstacle::ExplicitCurve);
    }
    unknown_curve(fields.optional_explicit(0, Tag::OBJECT_IDENTIFIER)??)
}

fn obstacle_of_curve(parameters: &[u8]) -> Option<Obstacle> {
    if parameters.first() == Some(&0x30) {
        return Some(Obstacle::ExplicitCurve);
    }
    unknown_curve(Fields::only(parameters, Tag::OBJECT_IDENTIFIER)?)
}

fn unknown_curve(curve: &[u8]) -> Option<Obstacle> {
    curve_of(curve).is_none().then(|| kind(curve, "on a curve that is unknown to it"))
}

fn kind(identifier: &[u8], unknown: &'static str) -> Obstacle {
    Obstacle::Kind(KINDS.iter().find(|(known, _)| *known == identifier).map_or(unknown, |(_, name)| name))
}

enum Parsed<'a> {
    Rsa(RsaKey<'a>),
    Ec { curve: Curve, scalar: Cow<'a, [u8]> },
    Ed25519(&'a [u8]),
    MlDsa { parameters: Parameters, seed: &'a [u8; 32] },
}

fn parse(der: &[u8], go: Go) -> Option<Parsed<'_>> {
    if let Some(key) = RsaKey::parse(der) {
        return Some(Parsed::Rsa(key));
    }
    parse_pkcs8(der, go).or_else(|| parse_sec1(der, None, go))
}

/// Bytes after the structure are tolerated.
fn parse_pkcs8(der: &[u8], go: Go) -> Option<Parsed<'_>> {
    let (mut fields, _) = Fields::of(der)?;
    integer64(fields.required(Tag::INTEGER)?)?;
    let mut algorithm = fields.sequence()?;
    let identifier = identifier(algorithm.required(Tag::OBJECT_IDENTIFIER)?, go)?;
    let parameters = algorithm.raw()?.unwrap_or_default();
    let key = fields.required(Tag::OCTET_STRING)?;
    match identifier.as_ref() {
        crate::x509::RSA => RsaKey::parse(key).map(Parsed::Rsa),
        crate::x509::EC => parse_sec1(key, Reader::new(parameters).object_identifier(go).as_deref(), go),
        crate::x509::ED25519 if parameters.is_empty() => {
            let seed = Fields::only(key, Tag::OCTET_STRING)?;
            (seed.len() == 32).then_some(Parsed::Ed25519(seed))
        }
        identifier if parameters.is_empty() && go.is_at_least(GoRelease::V1_27) => {
            Some(Parsed::MlDsa { parameters: Parameters::of(identifier)?, seed: mldsa::seed(key)? })
        }
        _ => None,
    }
}

/// The curve in the PKCS#8 wrapping counts before that in the key. The public key inside is not looked at.
fn parse_sec1<'a>(der: &'a [u8], outer_curve: Option<&[u8]>, go: Go) -> Option<Parsed<'a>> {
    let (mut fields, _) = Fields::of(der)?;
    let version = integer64(fields.required(Tag::INTEGER)?)?;
    let scalar = fields.required(Tag::OCTET_STRING)?;
    let inner_curve = match fields.optional_explicit(0, Tag::OBJECT_IDENTIFIER)? {
        Some(contents) => Some(identifier(contents, go)?),
        None => None,
    };
    if let Some(contents) = fields.optional_explicit(1, Tag::BIT_STRING)?
        && !der::is_bit_string(contents)
    {
        return None;
    }
    let curve = curve_of(outer_curve.or(inner_curve.as_deref())?)?;
    if version != 1 {
        return None;
    }
    let scalar = fit(scalar, curve.length())?;
    Some(Parsed::Ec { curve, scalar })
}

fn identifier(contents: &[u8], go: Go) -> Option<Cow<'_, [u8]>> {
    der::object_identifier(contents, go)
}

fn integer64(contents: &[u8]) -> Option<i64> {
    if der::is_minimal_integer(contents) { der::signed(contents) } else { None }
}

fn positive_integer(contents: &[u8]) -> Option<&[u8]> {
    if der::is_minimal_integer(contents) { der::positive(contents) } else { None }
}

/// The number at exactly this length: leading zeros dropped or added.
fn fit(number: &[u8], length: usize) -> Option<Cow<'_, [u8]>> {
    match number.len().checked_sub(length) {
        Some(surplus) => {
            let (zeros, number) = number.split_at(surplus);
            zeros.iter().all(|byte| *byte == 0).then_some(Cow::Borrowed(number))
        }
        None => Some(Cow::Owned([&vec![0; length - number.len()], number].concat())),
    }
}

/// Whether the point is the scalar times the generator. A scalar of zero or past the order belongs to no point.
fn belongs_to(curve: Curve, scalar: &[u8], point: &[u8]) -> bool {
    let with_ring = |algorithm| {
        signature::EcdsaKeyPair::from_private_key_and_public_key(algorithm, scalar, point, &rand::SystemRandom::new())
            .is_ok()
    };
    match curve {
        Curve::P256 => with_ring(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        Curve::P384 => with_ring(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        Curve::P224 => p224::SecretKey::from_slice(scalar)
            .is_ok_and(|key| p224::PublicKey::from_sec1_bytes(point).is_ok_and(|public| key.public_key() == public)),
        Curve::P521 => p521::SecretKey::from_slice(scalar)
            .is_ok_and(|key| p521::PublicKey::from_sec1_bytes(point).is_ok_and(|public| key.public_key() == public)),
    }
}

struct RsaKey<'a> {
    modulus: &'a [u8],
    exponent: i64,
    private_exponent: &'a [u8],
    primes: Vec<&'a [u8]>,
    /// d mod p-1, d mod q-1, 1/q mod p, as far as they are there; only looked at since 1.24.
    crt: Vec<&'a [u8]>,
}

impl<'a> RsaKey<'a> {
    /// PKCS#1; numbers must be positive, bytes after the structure are not tolerated.
    fn parse(der: &'a [u8]) -> Option<Self> {
        let (mut fields, rest) = Fields::of(der)?;
        let version = integer64(fields.required(Tag::INTEGER)?)?;
        let modulus = positive_integer(fields.required(Tag::INTEGER)?)?;
        let exponent = integer64(fields.required(Tag::INTEGER)?)?;
        let private_exponent = positive_integer(fields.required(Tag::INTEGER)?)?;
        let mut primes = Vec::with_capacity(2);
        for _ in 0..2 {
            primes.push(positive_integer(fields.required(Tag::INTEGER)?)?);
        }
        let mut crt = Vec::with_capacity(3);
        for _ in 0..3 {
            if let Some(contents) = fields.optional(Tag::INTEGER)? {
                if !der::is_minimal_integer(contents) {
                    return None;
                }
                crt.push(contents);
            }
        }
        if let Some(contents) = fields.optional(Tag::SEQUENCE)? {
            let mut additional = Fields::within(contents);
            while !additional.is_empty() {
                let mut prime = additional.sequence()?;
                primes.push(positive_integer(prime.required(Tag::INTEGER)?)?);
                for _ in 0..2 {
                    if !der::is_minimal_integer(prime.required(Tag::INTEGER)?) {
                        return None;
                    }
                }
            }
        }
        let well_formed = rest.is_empty() && version <= 1;
        well_formed.then_some(Self { modulus, exponent, private_exponent, primes, crt })
    }

    fn is_valid(&self, go: Go) -> bool {
        if !(2..1 << 31).contains(&self.exponent) || self.modulus.len() > MOST_RSA_BYTES {
            return false;
        }
        // None of a valid key's numbers is longer than its modulus.
        let fits = |number: &&[u8]| number.len() <= self.modulus.len();
        if !go.is_at_least(GoRelease::V1_24) {
            return self.primes.iter().all(fits)
                && self.private_exponent.len() <= 2 * MOST_RSA_BYTES
                && self.is_valid_to_1_19();
        }
        let Some(crt) = self.crt.iter().map(|number| der::positive(number)).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let numbers_fit = fits(&self.private_exponent) && self.primes.iter().all(fits);
        if !numbers_fit || self.exponent % 2 == 0 {
            return false;
        }
        let crt: Option<[&[u8]; 3]> = crt.try_into().ok().filter(|crt: &[&[u8]; 3]| crt.iter().all(fits));
        // With the defaults of Go 1.20, wrong CRT values are computed anew (x509rsacrt=0).
        let forgives = go.defaults == GodebugDefaults::Go1_20;
        self.is_valid_since_1_24(crt, go).unwrap_or(false)
            || (forgives && self.is_valid_since_1_24(None, go).unwrap_or(false))
    }

    fn is_valid_to_1_19(&self) -> bool {
        let one = BoxedUint::one();
        let mut product = one.clone();
        for prime in &self.primes {
            if product.bit_width_vartime() as usize > 8 * 2 * MOST_RSA_BYTES {
                return false;
            }
            product = times(&product, &number(prime));
        }
        let de = times(&number(self.private_exponent), &BoxedUint::from(self.exponent.unsigned_abs()));
        product.cmp_vartime(number(self.modulus)).is_eq()
            && self
                .primes
                .iter()
                .all(|prime| less_one(prime).is_some_and(|below| de.rem_vartime(&below).cmp_vartime(&one).is_eq()))
    }

    fn is_valid_since_1_24(&self, crt: Option<[&[u8]; 3]>, go: Go) -> Option<bool> {
        let modulus = number(self.modulus);
        let d = number(self.private_exponent);
        if !is_odd(self.modulus) || d.cmp_vartime(&modulus).is_ge() {
            return Some(false);
        }
        let [p, q] = self.primes.as_slice() else {
            return Some(self.primes.iter().all(|prime| **prime != [1]));
        };
        let (p_below, q_below) = (less_one(p)?, less_one(q)?);
        let (p, q) = (NonZero::new(number(p)).into_option()?, NonZero::new(number(q)).into_option()?);
        let (dp, dq, q_inverse) = match crt {
            Some([dp, dq, q_inverse]) => (number(dp), number(dq), number(q_inverse)),
            None => (d.rem_vartime(&p_below), d.rem_vartime(&q_below), inverse_by_fermat(&q, &p)?),
        };
        let one = BoxedUint::one();
        let e = BoxedUint::from(self.exponent.unsigned_abs());
        let n = NonZero::new(modulus.clone()).into_option()?;
        let consistent = times(&p, &q).rem_vartime(&n).bit_width_vartime() == 0
            && p.cmp_vartime(&modulus).is_lt()
            && q.cmp_vartime(&modulus).is_lt()
            && dp.cmp_vartime(&*p_below).is_lt()
            && dq.cmp_vartime(&*q_below).is_lt()
            && q_inverse.cmp_vartime(&*p).is_lt()
            && times(&dp, &e).rem_vartime(&p_below).cmp_vartime(&one).is_eq()
            && times(&dq, &e).rem_vartime(&q_below).cmp_vartime(&one).is_eq()
            && times(&q, &q_inverse).rem_vartime(&p).cmp_vartime(&one).is_eq();
        let d_matches = !go.is_at_least(GoRelease::V1_26)
            || (d.rem_vartime(&p_below).cmp_vartime(&dp).is_eq() && d.rem_vartime(&q_below).cmp_vartime(&dq).is_eq());
        let bits = modulus.bit_width_vartime();
        let difference = if p.cmp_vartime(&*q).is_ge() { distance(&p, &q) } else { distance(&q, &p) };
        let far_apart = i64::from(difference) > i64::from(bits / 2) - 100;
        Some(consistent && d_matches && far_apart && d.bit_width_vartime() > bits / 2)
    }
}

fn number(bytes: &[u8]) -> BoxedUint {
    BoxedUint::from_be_slice_vartime(bytes)
}

fn times(a: &BoxedUint, b: &BoxedUint) -> BoxedUint {
    a.concatenating_mul(b)
}

fn is_odd(bytes: &[u8]) -> bool {
    bytes.last().is_some_and(|byte| byte & 1 == 1)
}

/// The number less one, unless that is zero.
fn less_one(bytes: &[u8]) -> Option<NonZero<BoxedUint>> {
    NonZero::new(number(bytes).wrapping_sub(BoxedUint::one())).into_option()
}

/// The bits of `larger - smaller`.
fn distance(larger: &BoxedUint, smaller: &BoxedUint) -> u32 {
    larger.wrapping_sub(smaller).bit_width_vartime()
}

/// 1/q mod p for a prime p, as Go computes it where a key does not say.
fn inverse_by_fermat(q: &NonZero<BoxedUint>, p: &NonZero<BoxedUint>) -> Option<BoxedUint> {
    let odd: Odd<BoxedUint> = p.as_ref().to_odd().into_option()?;
    let exponent = p.wrapping_sub(BoxedUint::from(2_u8));
    let base = q.rem_vartime(p);
    Some(BoxedMontyForm::new(base, &BoxedMontyParams::new_vartime(odd)).pow(&exponent).retrieve())
}
