//! What other TLS stacks refuse where Docker accepts.
//!
//! Each rule was held against the stack itself: tests/oracles/opinions.rs asks OpenSSL 3.0 (plain, strict, and through
//! Python's ssl), rustls 0.23 with ring, and Java 17, over all material that Docker was asked about. Name constraints,
//! odd spellings of hosts and odd PEM, where stacks differ as well, are not looked at here; the classes that the test
//! lists name them.

use std::fmt;

use super::issued::Link;
use crate::der::{Element, Reader, SEQUENCE, SET, UTC_TIME};
use crate::path::Purpose;
use crate::x509::{Curve, Digest, KEY_CERT_SIGN, PublicKey, SignatureAlgorithm};

/// A verifier that is not Go's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stack {
    /// In every setting, in Python and nginx too.
    OpenSsl,
    /// Without X509_V_FLAG_PARTIAL_CHAIN, which Python sets since 3.13.
    WholeChainOpenSsl,
    /// With X509_V_FLAG_X509_STRICT, which Python sets since 3.13.
    StrictOpenSsl,
    /// At security level 2, which Python asks for since 3.10.
    Python,
    /// With webpki and ring.
    Rustls,
    /// The PKIX of the JDK.
    Java,
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenSsl => "OpenSSL",
            Self::WholeChainOpenSsl => "OpenSSL (without partial_chain)",
            Self::StrictOpenSsl => "strict OpenSSL (Python since 3.13)",
            Self::Python => "Python (security level 2)",
            Self::Rustls => "rustls (with ring)",
            Self::Java => "Java",
        })
    }
}

/// Who refuses a chain because of which of its certificates, and why.
pub(super) struct Objection {
    pub(super) link: usize,
    pub(super) stacks: Vec<Stack>,
    pub(super) reason: &'static str,
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (last, rest) = self.stacks.split_last().unwrap_or((&OpenSsl, &[]));
        for stack in rest {
            let separator = if Some(stack) == rest.last() { " and " } else { ", " };
            write!(f, "{stack}{separator}")?;
        }
        let verb = if rest.is_empty() { "refuses" } else { "refuse" };
        write!(f, "{last} {verb} what Docker takes: {}", self.reason)
    }
}

use Stack::{Java, OpenSsl, Python, Rustls, StrictOpenSsl, WholeChainOpenSsl};

/// Everything that other stacks have against a chain that Docker accepts, leaf first.
pub(super) fn objections(links: &[Link<'_>], purpose: Purpose) -> Vec<Objection> {
    let mut objections = Vec::new();
    for (position, link) in links.iter().enumerate() {
        let mut object = |stacks: &[Stack], reason| {
            objections.push(Objection { link: position, stacks: stacks.to_vec(), reason });
        };
        let at = Position { is_leaf: position == 0, is_last: position + 1 == links.len(), alone: links.len() == 1 };
        let issuer = links.get(position + 1).unwrap_or(link);
        usages(link, at, purpose, &mut object);
        if !at.alone {
            strictly(link, at, &mut object);
        }
        encoding(link, at, &mut object);
        keys(link, issuer, at, &mut object);
        identifiers(link, issuer, at, &mut object);
    }
    if links.len() > MOST_LINKS_OF_WEBPKI {
        let reason = "there are more than six CAs between the leaf and the anchor";
        objections.push(Objection { link: 0, stacks: vec![Rustls], reason });
    }
    objections
}

/// Leaf, six intermediates and an anchor (webpki verify_cert.rs `MAX_SUB_CA_COUNT`).
const MOST_LINKS_OF_WEBPKI: usize = 8;

/// Where a certificate stands in its chain.
#[derive(Clone, Copy)]
struct Position {
    is_leaf: bool,
    is_last: bool,
    /// The leaf itself is among the anchors.
    alone: bool,
}

impl Position {
    /// Whether it is an anchor that webpki takes only name, key and constraints from.
    fn is_anchor(self) -> bool {
        self.is_last && !self.alone
    }
}

/// digitalSignature, keyEncipherment and keyAgreement.
const DIGITAL_SIGNATURE: u16 = 1;
const KEY_ENCIPHERMENT: u16 = 1 << 2;
const KEY_AGREEMENT: u16 = 1 << 4;

/// OpenSSL crypto/x509/v3_purp.c (`check_purpose_ssl_server`, `check_ca`); webpki verify_cert.rs (`check_eku`); JDK
/// sun.security.validator.EndEntityChecker, KeyChecker of sun.security.provider.certpath.
fn usages(link: &Link<'_>, at: Position, purpose: Purpose, object: &mut impl FnMut(&[Stack], &'static str)) {
    let extended = link.certificate.extensions.extended_key_usages;
    let has_purpose = match purpose {
        Purpose::Server => extended.server,
        Purpose::Client => extended.client,
    };
    if link.certificate.version == 3 && link.extension(37).is_some() && !has_purpose {
        match (extended.listed, at) {
            (false, Position { is_leaf: true, .. }) => {
                object(&[OpenSsl, Rustls, Java], "the certificate's extendedKeyUsage is empty");
            }
            (false, at) if at.is_anchor() => object(&[OpenSsl], "a CA's extendedKeyUsage is empty"),
            (false, _) => object(&[OpenSsl, Rustls], "a CA's extendedKeyUsage is empty"),
            (true, at) if at.is_anchor() => object(&[OpenSsl], "a CA has anyExtendedKeyUsage in place of the purpose"),
            (true, _) => object(&[OpenSsl, Rustls], "anyExtendedKeyUsage stands in place of the purpose"),
        }
    }
    let usage = link.certificate.extensions.key_usage;
    if link.certificate.version == 3 && link.extension(15).is_some() {
        let others = match purpose {
            Purpose::Server => DIGITAL_SIGNATURE | KEY_ENCIPHERMENT | KEY_AGREEMENT,
            Purpose::Client => DIGITAL_SIGNATURE | KEY_AGREEMENT,
        };
        if at.is_leaf && usage & DIGITAL_SIGNATURE == 0 {
            let java = if at.alone { None } else { Some(Java) };
            let openssl = Some(OpenSsl).filter(|_| usage & others == 0);
            let stacks: Vec<Stack> = openssl.into_iter().chain(java).collect();
            if !stacks.is_empty() {
                object(&stacks, "the certificate's keyUsage lacks digitalSignature");
            }
        }
        if !at.is_leaf && usage & KEY_CERT_SIGN == 0 {
            object(&[OpenSsl, Java], "a CA's keyUsage lacks keyCertSign");
        }
    }
    if at.is_leaf && link.is_ca() {
        object(&[Rustls], "the certificate is a CA's (CA:TRUE)");
    }
}

/// OpenSSL crypto/x509/x509_vfy.c (`check_extensions`), which looks at chains of more than one certificate.
fn strictly(link: &Link<'_>, at: Position, object: &mut impl FnMut(&[Stack], &'static str)) {
    let (certificate, strict) = (&link.certificate, &[StrictOpenSsl][..]);
    if certificate.version != 3 {
        if !link.written.extensions.is_empty() {
            object(&[StrictOpenSsl, Java], "a certificate of version 1 or 2 has extensions");
        }
        if !at.is_leaf {
            object(strict, "a CA is of version 1");
        }
        return;
    }
    if link.is_ca() {
        if link.extension(15).is_none() {
            object(strict, "a CA has no keyUsage");
        }
        if link.extension(19).is_some_and(|constraints| !constraints.critical) {
            object(strict, "a CA's basicConstraints is not critical");
        }
        if link.extension(14).is_none() {
            object(strict, "a CA has no subjectKeyIdentifier");
        }
    } else if certificate.extensions.key_usage & KEY_CERT_SIGN != 0 {
        object(strict, "keyUsage has keyCertSign and the certificate is no CA");
    }
    if !at.is_last && certificate.extensions.authority_key_id.is_empty() {
        object(strict, "a certificate has no authorityKeyIdentifier");
    }
}

/// Names, times, critical extensions, versions.
fn encoding(link: &Link<'_>, at: Position, object: &mut impl FnMut(&[Stack], &'static str)) {
    let certificate = &link.certificate;
    let names = link.extension(17);
    if is_empty(certificate.issuer) && !at.alone {
        object(&[StrictOpenSsl, Java], "the name of the issuer is empty");
    } else if is_empty(certificate.subject) && !at.alone {
        match names {
            None => object(&[StrictOpenSsl, Java], "the subject is empty and there is no subjectAltName"),
            Some(names) if !names.critical => {
                object(&[StrictOpenSsl, Java], "the subject is empty and subjectAltName is not critical");
            }
            Some(_) if link.is_ca() => object(&[StrictOpenSsl], "a CA's subject is empty"),
            Some(_) => {}
        }
    }
    let is_odd =
        |time: &Element<'_>| time.tag == UTC_TIME && (time.contents.len() != 13 || time.contents.last() != Some(&b'Z'));
    if link.written.times.iter().any(is_odd) {
        object(
            if at.is_anchor() { &[OpenSsl] } else { &[OpenSsl, Rustls] },
            "a time has no seconds, or is not written in UTC",
        );
    } else if certificate.not_before < 0 && !at.is_anchor() {
        object(&[Rustls], "the validity begins before 1970");
    }
    if at.is_anchor() {
        return;
    }
    if certificate.version != 3 {
        object(&[Rustls], "the certificate is not of version 3");
    }
    // certificatePolicies, policyMappings, policyConstraints, inhibitAnyPolicy.
    if [32, 33, 36, 54].iter().any(|number| link.extension(*number).is_some_and(|extension| extension.critical)) {
        object(&[Rustls], "an extension about policies is critical");
    }
    if at.is_leaf && link.extension(31).is_some_and(|points| points.critical) && !at.alone {
        object(&[Java], "cRLDistributionPoints is critical");
    }
}

/// Whether a name has no attribute.
fn is_empty(name: &[u8]) -> bool {
    let Some(mut sets) = Reader::new(name).enter(SEQUENCE) else { return false };
    while let Some(set) = sets.enter(SET) {
        if !set.is_empty() {
            return false;
        }
    }
    true
}

/// Keys and signatures: ring has fewer than Go, and Python asks for 112 bits of security.
fn keys(link: &Link<'_>, issuer: &Link<'_>, at: Position, object: &mut impl FnMut(&[Stack], &'static str)) {
    let key = &link.certificate.public_key;
    let is_small = key.rsa_bits().is_some_and(|bits| bits < 2048);
    if is_small {
        object(&[Python, Rustls], "an RSA key has less than 2048 bits");
    }
    match key {
        PublicKey::Ecdsa { curve: Curve::P521, .. } => object(&[Rustls], "a key is on P-521"),
        PublicKey::Ecdsa { curve: Curve::P224, .. } if !at.is_leaf => {
            object(&[Rustls, Java], "a CA's key is on P-224");
        }
        _ => {}
    }
    if at.is_anchor() {
        return;
    }
    if let (SignatureAlgorithm::Ecdsa(digest), PublicKey::Ecdsa { curve, .. }) =
        (link.certificate.signature_algorithm, &issuer.certificate.public_key)
    {
        if !link.written.parameters.is_empty() {
            object(&[Rustls], "the signature's algorithm is ECDSA with parameters");
        } else if matches!(curve, Curve::P256 | Curve::P384) && digest == Digest::Sha512 {
            object(&[Rustls], "a signature is ECDSA with SHA-512");
        }
    }
}

/// Who is looked for as issuer, and where the chain ends.
fn identifiers(link: &Link<'_>, issuer: &Link<'_>, at: Position, object: &mut impl FnMut(&[Stack], &'static str)) {
    let certificate = &link.certificate;
    if !at.is_last {
        let (wanted, there) = (certificate.extensions.authority_key_id, issuer.certificate.extensions.subject_key_id);
        if !wanted.is_empty() && !there.is_empty() && wanted != there {
            object(&[OpenSsl, Java], "the authorityKeyIdentifier is not its issuer's subjectKeyIdentifier");
        }
        return;
    }
    if certificate.issuer != certificate.subject {
        if at.alone {
            object(&[WholeChainOpenSsl, Rustls], "the certificate itself is the anchor, and its issuer is not known");
        } else {
            object(&[WholeChainOpenSsl], "no self-signed CA is among the anchors");
        }
    }
}
