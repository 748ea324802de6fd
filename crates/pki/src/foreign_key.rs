//! What private keys are that cannot be used: so that people are told that, and not that they are damaged.

use pkcs8::{
    ObjectIdentifier,
    der::{
        Decode, Reader, SliceReader, Tag, TagNumber, Tagged,
        asn1::{AnyRef, OctetStringRef, UintRef},
    },
    spki::AlgorithmIdentifierRef,
};

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");

/// Kinds of keys and ways to encrypt them, as OpenSSL's `obj_mac.h` calls them.
const NAMES: [(&str, &str); 28] = [
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.113549.1.1.10", "RSA-PSS"),
    ("1.2.840.113549.1.3.1", "Diffie-Hellman"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.113", "Ed448"),
    ("1.3.132.0.33", "ECDSA P-224"),
    ("1.3.132.0.35", "ECDSA P-521"),
    ("1.3.132.0.10", "ECDSA secp256k1"),
    ("1.2.840.113549.1.5.1", "pbeWithMD2AndDES-CBC"),
    ("1.2.840.113549.1.5.3", "pbeWithMD5AndDES-CBC"),
    ("1.2.840.113549.1.5.4", "pbeWithMD2AndRC2-CBC"),
    ("1.2.840.113549.1.5.6", "pbeWithMD5AndRC2-CBC"),
    ("1.2.840.113549.1.5.10", "pbeWithSHA1AndDES-CBC"),
    ("1.2.840.113549.1.5.11", "pbeWithSHA1AndRC2-CBC"),
    ("1.2.840.113549.1.12.1.1", "pbeWithSHA1And128BitRC4"),
    ("1.2.840.113549.1.12.1.2", "pbeWithSHA1And40BitRC4"),
    ("1.2.840.113549.1.12.1.3", "pbeWithSHA1And3-KeyTripleDES-CBC"),
    ("1.2.840.113549.1.12.1.4", "pbeWithSHA1And2-KeyTripleDES-CBC"),
    ("1.2.840.113549.1.12.1.5", "pbeWithSHA1And128BitRC2-CBC"),
    ("1.2.840.113549.1.12.1.6", "pbeWithSHA1And40BitRC2-CBC"),
    ("1.2.840.113549.1.5.12", "PBKDF2"),
    ("1.3.6.1.4.1.11591.4.11", "scrypt"),
    ("1.2.840.113549.3.2", "RC2-CBC"),
    ("1.3.14.3.2.7", "DES-CBC"),
    ("1.2.392.200011.61.1.1.1.2", "CAMELLIA-128-CBC"),
    ("1.2.392.200011.61.1.1.1.4", "CAMELLIA-256-CBC"),
    ("1.2.410.200004.1.4", "SEED-CBC"),
];

/// What an object identifier is called.
pub(crate) fn name_of(identifier: ObjectIdentifier) -> String {
    let dotted = identifier.to_string();
    NAMES.iter().find(|(known, _)| *known == dotted).map_or(dotted, |(_, name)| (*name).to_owned())
}

/// How an EncryptedPrivateKeyInfo (RFC 5958 section 3) is encrypted; `None` where it is none.
pub(crate) fn encryption_of(der: &[u8]) -> Option<String> {
    let scheme = sequence(der, |reader| {
        let scheme = AlgorithmIdentifierRef::decode(reader)?;
        <&OctetStringRef>::decode(reader)?;
        Ok(scheme)
    })?;
    if scheme.oid != PBES2 {
        return Some(name_of(scheme.oid));
    }
    // PBES2-params: how the key is derived, then the cipher (RFC 8018 appendix A.4).
    let parameters = scheme.parameters?;
    let (derivation, cipher) = parameters
        .sequence(|reader| {
            Ok::<_, pkcs8::der::Error>((
                AlgorithmIdentifierRef::decode(reader)?,
                AlgorithmIdentifierRef::decode(reader)?,
            ))
        })
        .ok()?;
    Some(format!("PBES2 of {} and {}", name_of(derivation.oid), name_of(cipher.oid)))
}

/// The kind of a key that could not be read; `None` where it is damaged indeed.
pub(crate) fn kind_of(der: &[u8]) -> Option<&'static str> {
    // Version 1, the private key, and curve parameters that are no name (RFC 5915 section 3, SEC 1 appendix C.2).
    let is_explicit = sequence(der, |reader| {
        let version = UintRef::decode(reader)?;
        <&OctetStringRef>::decode(reader)?;
        let parameters = AnyRef::decode(reader)?;
        while !reader.is_finished() {
            AnyRef::decode(reader)?;
        }
        let is_first = matches!(parameters.tag(), Tag::ContextSpecific { number: TagNumber(0), .. });
        let inner = AnyRef::from_der(parameters.value())?;
        Ok(version.as_bytes() == [1] && is_first && inner.tag() == Tag::Sequence)
    });
    if is_explicit == Some(true) {
        return Some("elliptic curve with explicit parameters");
    }
    // Six numbers, of which the first is 0: OpenSSL's own form of DSA (crypto/dsa/dsa_asn1.c).
    let numbers = sequence(der, |reader| {
        let mut numbers = 0;
        while !reader.is_finished() {
            UintRef::decode(reader)?;
            numbers += 1;
        }
        Ok(numbers)
    });
    (numbers == Some(6)).then_some("DSA")
}

/// What ring does not like about an RSA key that is one; `None` where it is damaged.
pub(crate) fn kind_of_rsa(pkcs1: &[u8]) -> Option<String> {
    // Version, modulus, public exponent, and six more numbers at least (RFC 8017 appendix A.1.2).
    let (modulus, exponent) = sequence(pkcs1, |reader| {
        UintRef::decode(reader)?;
        let (modulus, exponent) = (UintRef::decode(reader)?, UintRef::decode(reader)?);
        for _ in 0..6 {
            UintRef::decode(reader)?;
        }
        Ok((modulus, exponent))
    })?;
    let modulus = modulus.as_bytes();
    let bits = 8 * modulus.len() - modulus.first()?.leading_zeros() as usize;
    Some(match bits {
        ..2048 => format!("RSA with {bits} bits, less than 2048,"),
        2048..=4096 => match exponent.as_bytes() {
            exponent @ ([] | [_] | [_, _]) => {
                let exponent = exponent.iter().fold(0_u32, |sum, octet| sum << 8 | u32::from(*octet));
                format!("RSA with the public exponent {exponent}, less than 65537,")
            }
            _ => return None,
        },
        _ => format!("RSA with {bits} bits, more than 4096,"),
    })
}

fn sequence<'d, T>(der: &'d [u8], read: impl FnOnce(&mut SliceReader<'d>) -> pkcs8::der::Result<T>) -> Option<T> {
    let whole = AnyRef::from_der(der).ok().filter(|whole| whole.tag() == Tag::Sequence)?;
    let mut reader = SliceReader::new(whole.value()).ok()?;
    let value = read(&mut reader).ok()?;
    reader.is_finished().then_some(value)
}
