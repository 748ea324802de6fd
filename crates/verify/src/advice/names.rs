//! The names of CAs that a daemon lists to its clients, in words.

use std::collections::BTreeSet;

use dockseal_docker::version::Go;

use crate::der::{OBJECT_IDENTIFIER, Reader, SEQUENCE, SET};
use crate::load::Chain;
use crate::pool::Anchors;
use crate::x509::Certificate;

/// More names than this help nobody.
const MOST: usize = 4;

/// Why a client keeps its certificate to itself: what the daemon lists, and who issued what the client has.
pub(crate) fn withheld(chain: &Chain, anchors: &Anchors, go: Go) -> String {
    let (first, listed) = anchors.first_subjects(MOST);
    let issuers: BTreeSet<String> = chain
        .certificates
        .iter()
        .filter_map(|(der, _)| Certificate::parse_again(der, go).ok())
        .map(|certificate| in_words(certificate.issuer))
        .collect();
    format!(
        "docker sends no certificate: the daemon lists {}, and the client's was issued by {}",
        enumerated(first.iter().map(|subject| in_words(subject)), listed),
        enumerated(issuers.iter().take(MOST).cloned(), issuers.len())
    )
}

/// The first names, and how many there are beside them.
fn enumerated(first: impl Iterator<Item = String>, all: usize) -> String {
    let shown: Vec<String> = first.map(|name| format!("{name:?}")).collect();
    match all.saturating_sub(shown.len()) {
        0 if shown.is_empty() => "nobody".to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `CN=ca, O=Example`, as far as the name can be read.
fn in_words(name: &[u8]) -> String {
    let mut parts = Vec::new();
    let mut attributes = Reader::new(name).enter(SEQUENCE).map(sets).unwrap_or_default();
    while let Some(mut attribute) = attributes.pop() {
        let (Some(kind), Some(value)) = (attribute.read(OBJECT_IDENTIFIER), attribute.any()) else { continue };
        let kind = match kind {
            [0x55, 4, 3] => "CN",
            [0x55, 4, 5] => "serialNumber",
            [0x55, 4, 6] => "C",
            [0x55, 4, 7] => "L",
            [0x55, 4, 8] => "ST",
            [0x55, 4, 10] => "O",
            [0x55, 4, 11] => "OU",
            _ => "?",
        };
        parts.push(format!("{kind}={}", String::from_utf8_lossy(value.contents)));
    }
    if parts.is_empty() { "(empty)".to_owned() } else { parts.join(", ") }
}

/// The attributes of a name.
fn sets(mut name: Reader<'_>) -> Vec<Reader<'_>> {
    let mut attributes = Vec::new();
    while let Some(mut set) = name.enter(SET) {
        while let Some(attribute) = set.enter(SEQUENCE) {
            attributes.push(attribute);
        }
    }
    attributes
}
