//! Finding what a file holds: PEM blocks, each for itself, so that a broken one hides none of the others, or else DER.

use dockseal_pki::{certificates_in, certificates_of_block, is_pkcs12, pem, pem_or_der, printable};
use x509_parser::{asn1_rs::Tag, der_parser::der::parse_der_sequence};

use super::item::{self, Item};

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";

/// The most blocks that are read of one file.
const MOST_BLOCKS: usize = 10_000;

/// Everything in `bytes`; an error is one thing that could not be read.
pub(super) fn items(bytes: &[u8]) -> Vec<Result<Item, String>> {
    let bytes = pem_or_der(bytes);
    let mut found = Vec::new();
    let mut rest = bytes.as_slice();
    let mut number = 0;
    while let Some(begin) = find(rest, BEGIN) {
        number += 1;
        if number > MOST_BLOCKS {
            found.push(Err(format!("only its first {MOST_BLOCKS} PEM blocks were looked at")));
            break;
        }
        let block = &rest[begin..];
        // A block ends where its END line does, or where the next one begins.
        let next = find(&block[BEGIN.len()..], BEGIN).map_or(block.len(), |at| at + BEGIN.len());
        let end = find(&block[..next], END).map_or(next, |end| {
            let line = find(&block[end + END.len()..next], b"-----").map_or(next, |at| end + END.len() + at + 5);
            line.min(next)
        });
        found.extend(pem_block(&block[..end], number));
        rest = &block[end..];
    }
    if number == 0 && !bytes.is_empty() {
        found.extend(der(&bytes));
    }
    found
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Empty for a block that is not worth a line of its own.
fn pem_block(text: &[u8], number: usize) -> Vec<Result<Item, String>> {
    let line = text[BEGIN.len()..].split(|byte| *byte == b'\n').next().unwrap_or_default();
    let label = String::from_utf8_lossy(line);
    let label = label.trim_end().trim_end_matches('-');
    let named = |problem: &str| {
        let label: String = printable(label).chars().take(40).collect();
        format!("PEM block {number} ({label}): {problem}")
    };
    if label == "EC PARAMETERS" || label == "DH PARAMETERS" {
        return Vec::new();
    }
    let blocks = pem::decode_all(text).unwrap_or_default();
    let Some(block) = blocks.first() else { return vec![Err(named("the PEM is damaged"))] };
    let der = block.contents();
    let result = match block.tag() {
        "CERTIFICATE" => item::certificate(der, block.tag()),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => item::request(der),
        "X509 CRL" => item::revocation_list(der),
        "PUBLIC KEY" => item::public_key(der),
        tag if tag == "PRIVATE KEY" || tag.ends_with(" PRIVATE KEY") => {
            item::private_key(text, tag, block.headers().get("DEK-Info"))
        }
        tag => match certificates_of_block(tag, der) {
            Some(none) if none.is_empty() => Err("there is no certificate in it".to_owned()),
            Some(certificates) => return certificates.iter().map(|one| item::certificate(one.der(), tag)).collect(),
            None if tag.ends_with("CERTIFICATE") => item::certificate(der, tag),
            None => Err("it is none of certificate, key, request and CRL".to_owned()),
        },
    };
    vec![result.map_err(|problem| named(&problem))]
}

fn der(bytes: &[u8]) -> Vec<Result<Item, String>> {
    match certificates_in(bytes) {
        none if none.is_empty() => vec![other_der(bytes)],
        found => found.iter().map(|one| item::certificate(one.der(), "CERTIFICATE")).collect(),
    }
}

fn other_der(bytes: &[u8]) -> Result<Item, String> {
    if bytes.first() != Some(&0x30) {
        return Err("it is neither PEM nor DER".to_owned());
    }
    if is_pkcs12(bytes) {
        return Err(
            "it is PKCS#12, whose certificates and key dockseal repair DIR --from FILE makes files for Docker of"
                .to_owned(),
        );
    }
    if is_encrypted_pkcs8(bytes) {
        return Ok(item::encrypted_der_key());
    }
    item::certificate(bytes, "CERTIFICATE")
        .or_else(|_| item::request(bytes))
        .or_else(|_| item::revocation_list(bytes))
        .or_else(|_| item::public_key(bytes))
        .or_else(|_| item::private_key_from_der(bytes))
        .map_err(|_| "it is DER, but none of certificate, key, request and CRL".to_owned())
}

/// EncryptedPrivateKeyInfo (RFC 5958 section 3): a SEQUENCE of an algorithm and an OCTET STRING, and nothing else.
fn is_encrypted_pkcs8(bytes: &[u8]) -> bool {
    let Ok((after, outer)) = parse_der_sequence(bytes) else { return false };
    let Ok([algorithm, ciphertext]) = outer.as_sequence().map(Vec::as_slice) else { return false };
    let has_oid = algorithm.as_sequence().is_ok_and(|parts| parts.first().is_some_and(|oid| oid.as_oid().is_ok()));
    after.is_empty() && has_oid && ciphertext.header.tag() == Tag::OctetString
}
