//! One certificate.
//!
//! Source: Go src/crypto/x509/parser.go (`parseCertificate`, `ParseCertificate`).

use std::borrow::Cow;

use dockseal_docker::version::Go;

use super::algorithm::SignatureAlgorithm;
use super::clock;
use super::extensions::Extensions;
use super::names::read_name;
use super::public_key::{PointCheck, PublicKey};
use super::{Malformed, Parsed};
use crate::der::{self, Reader, SEQUENCE};

/// A certificate that Go parses, borrowing from its DER.
#[derive(Clone, Debug)]
pub(crate) struct Certificate<'a> {
    pub(crate) der: &'a [u8],
    pub(crate) to_be_signed: &'a [u8],
    /// 1 to 3, or below.
    pub(crate) version: i64,
    pub(crate) serial_is_negative: bool,
    /// With header, compared byte for byte.
    pub(crate) issuer: &'a [u8],
    /// With header.
    pub(crate) subject: &'a [u8],
    pub(crate) common_name: Option<String>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(crate) not_before: i64,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub(crate) not_after: i64,
    /// SubjectPublicKeyInfo with header.
    pub(crate) key_info: &'a [u8],
    pub(crate) public_key: PublicKey<'a>,
    pub(crate) signature_algorithm: SignatureAlgorithm,
    pub(crate) signature: Cow<'a, [u8]>,
    pub(crate) extensions: Extensions<'a>,
}

impl<'a> Certificate<'a> {
    /// Parses one certificate with nothing after it.
    pub(crate) fn parse(der: &'a [u8], go: Go) -> Parsed<Self> {
        Self::parse_with(der, go, PointCheck::OnCurve)
    }

    /// Parses a certificate that parsed before, in this Go or another: its point is not checked again.
    pub(crate) fn parse_again(der: &'a [u8], go: Go) -> Parsed<Self> {
        Self::parse_with(der, go, PointCheck::Known)
    }

    fn parse_with(der: &'a [u8], go: Go, point_check: PointCheck) -> Parsed<Self> {
        const BROKEN: Malformed = Malformed("the certificate is not DER");
        let mut outer = Reader::new(der);
        let whole = outer.element(SEQUENCE).ok_or(BROKEN)?;
        let mut input = Reader::new(whole).enter(SEQUENCE).ok_or(BROKEN)?;
        let to_be_signed = input.element(SEQUENCE).ok_or(BROKEN)?;
        let mut tbs = Reader::new(to_be_signed).enter(SEQUENCE).ok_or(BROKEN)?;

        let version = read_version(&mut tbs)?;
        let serial = tbs.integer().ok_or(Malformed("the serial number is malformed"))?;
        let serial_is_negative = der::is_negative(serial);
        if serial_is_negative && !go.accepts_negative_serials() {
            return Err(Malformed("the serial number is negative"));
        }
        let inner_algorithm = tbs.read(SEQUENCE).ok_or(Malformed("the signature algorithm is malformed"))?;
        let outer_algorithm = input.read(SEQUENCE).ok_or(Malformed("the signature algorithm is malformed"))?;
        if inner_algorithm != outer_algorithm {
            return Err(Malformed("the two signature algorithms differ"));
        }
        let (algorithm, parameters) =
            read_algorithm(inner_algorithm, go).ok_or(Malformed("the signature algorithm is malformed"))?;
        let signature_algorithm = SignatureAlgorithm::new(&algorithm, parameters, go);

        let issuer = tbs.element(SEQUENCE).ok_or(Malformed("the issuer is malformed"))?;
        let issuer_name = read_name(issuer, go)?;
        let mut validity = tbs.enter(SEQUENCE).ok_or(Malformed("the validity is malformed"))?;
        let not_before = read_time(&mut validity, go)?;
        let not_after = read_time(&mut validity, go)?;
        let subject = tbs.element(SEQUENCE).ok_or(Malformed("the subject is malformed"))?;
        let common_name = if subject == issuer { issuer_name } else { read_name(subject, go)? };

        let key_info = tbs.element(SEQUENCE).ok_or(Malformed("the public key is malformed"))?;
        let public_key = read_public_key(key_info, go, point_check)?;
        let extensions = if version > 1 { read_extensions(&mut tbs, version, go)? } else { Extensions::default() };
        let signature = input.bit_string().ok_or(Malformed("the signature is malformed"))?.right_aligned();
        if !outer.is_empty() {
            return Err(Malformed("bytes follow the certificate"));
        }
        Ok(Self {
            der,
            to_be_signed,
            version,
            serial_is_negative,
            issuer,
            subject,
            common_name,
            not_before,
            not_after,
            key_info,
            public_key,
            signature_algorithm,
            signature,
            extensions,
        })
    }

    /// What to call the certificate in a message.
    pub(crate) fn name(&self) -> String {
        match &self.common_name {
            Some(name) if !name.is_empty() => crate::shortened(name),
            _ => "(no common name)".to_owned(),
        }
    }
}

fn read_version(tbs: &mut Reader<'_>) -> Parsed<i64> {
    const BROKEN: Malformed = Malformed("the version is malformed");
    let Some(field) = tbs.optional(der::constructed(0)).ok_or(BROKEN)? else {
        return Ok(1);
    };
    let mut field = Reader::new(field);
    let version = field.int64().ok_or(BROKEN)?;
    match version {
        _ if !field.is_empty() => Err(BROKEN),
        0..=2 => Ok(version + 1),
        // Go adds one before it compares, and the largest number becomes the smallest.
        i64::MAX => Ok(i64::MIN),
        3.. => Err(Malformed("the version is higher than 3")),
        _ => Err(BROKEN),
    }
}

/// An identifier and its parameters with their header, empty if there are none.
fn read_algorithm(contents: &[u8], go: Go) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut fields = Reader::new(contents);
    let identifier = fields.object_identifier(go)?;
    let parameters = if fields.is_empty() { &[] } else { fields.any()?.whole };
    Some((identifier, parameters))
}

fn read_time(validity: &mut Reader<'_>, go: Go) -> Parsed<i64> {
    const BROKEN: Malformed = Malformed("a time of the validity is malformed");
    let time = validity.any().ok_or(BROKEN)?;
    match time.tag {
        der::UTC_TIME => clock::utc_time(time.contents, go),
        der::GENERALIZED_TIME => clock::generalized_time(time.contents, go),
        _ => None,
    }
    .ok_or(BROKEN)
}

fn read_public_key(key_info: &[u8], go: Go, point_check: PointCheck) -> Parsed<PublicKey<'_>> {
    const BROKEN: Malformed = Malformed("the public key is malformed");
    let mut fields = Reader::new(key_info).enter(SEQUENCE).ok_or(BROKEN)?;
    let algorithm = fields.read(SEQUENCE).ok_or(BROKEN)?;
    let (identifier, parameters) = read_algorithm(algorithm, go).ok_or(BROKEN)?;
    let key = fields.bit_string().ok_or(BROKEN)?.right_aligned();
    PublicKey::parse(&identifier, parameters, key, go, point_check)
}

fn read_extensions<'a>(tbs: &mut Reader<'a>, version: i64, go: Go) -> Parsed<Extensions<'a>> {
    tbs.optional(der::context(1)).ok_or(Malformed("the issuer's unique identifier is malformed"))?;
    tbs.optional(der::context(2)).ok_or(Malformed("the subject's unique identifier is malformed"))?;
    if version < 3 {
        return Ok(Extensions::default());
    }
    const BROKEN: Malformed = Malformed("the extensions are malformed");
    match tbs.optional(der::constructed(3)).ok_or(BROKEN)? {
        Some(field) => Extensions::read(Reader::new(field).enter(SEQUENCE).ok_or(BROKEN)?, go),
        None => Ok(Extensions::default()),
    }
}
