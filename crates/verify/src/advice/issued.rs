//! The certificates that vouch for a leaf, and what their DER says beside what Go reads in it.

use dockseal_docker::version::Go;

use crate::der::{self, BOOLEAN, Element, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE};
use crate::load::Chain;
use crate::pool::Pool;
use crate::signature;
use crate::x509::Certificate;

/// Chains that Docker accepts are shorter; nobody follows a longer one here.
const LONGEST: usize = 16;

/// How many of one name are asked for their signature.
const MOST_NAMESAKES: usize = 8;

/// One certificate of a chain.
pub(super) struct Link<'a> {
    pub(super) certificate: Certificate<'a>,
    pub(super) written: Written<'a>,
    /// Where it begins in the file of the side that sends it; none where it is an anchor of the other side.
    pub(super) offset: Option<usize>,
}

/// Leaf first, then each issuer by name and key identifier, up to an anchor and what is above it in the CA file.
///
/// Docker's path was verified; only among namesakes a signature tells again which of them it led through.
pub(super) fn chain<'a>(chain: &'a Chain, anchors: &Pool<'a>, go: Go) -> Vec<Link<'a>> {
    let mut sent: Vec<Link<'a>> = Vec::new();
    for (der, offset) in chain.certificates.iter().take(LONGEST) {
        sent.extend(Link::read(der, Some(*offset), go));
    }
    let mut links: Vec<Link<'a>> = Vec::new();
    if sent.is_empty() {
        return links;
    }
    links.push(sent.remove(0));
    let mut trusted = false;
    while let Some(last) = links.last().filter(|_| links.len() < LONGEST) {
        let child = &last.certificate;
        trusted |= anchors.contains(child);
        if trusted && child.issuer == child.subject {
            break;
        }
        let is_new = |der: &[u8]| links.iter().all(|link| link.certificate.der != der);
        let mut namesakes = anchors.potential_issuers(child);
        namesakes.retain(|candidate| is_new(candidate.der));
        let next = match namesakes.as_slice() {
            [only] => Link::read(only.der, None, go),
            [likeliest, ..] => {
                let mut links = namesakes.iter().take(MOST_NAMESAKES).filter_map(|one| Link::read(one.der, None, go));
                links.find(|link| link.signed(child, go)).or_else(|| Link::read(likeliest.der, None, go))
            }
            // What is above an anchor is nobody's business.
            [] if trusted => None,
            [] => issuer_among(&mut sent, child),
        };
        match next {
            Some(next) => links.push(next),
            None => break,
        }
    }
    links
}

fn issuer_among<'a>(sent: &mut Vec<Link<'a>>, child: &Certificate<'a>) -> Option<Link<'a>> {
    let fits = |link: &Link<'a>| link.certificate.subject == child.issuer && link.certificate.der != child.der;
    let wanted = child.extensions.authority_key_id;
    let likely = sent.iter().position(|link| fits(link) && link.certificate.extensions.subject_key_id == wanted);
    let position = likely.or_else(|| sent.iter().position(fits))?;
    Some(sent.remove(position))
}

impl<'a> Link<'a> {
    fn read(der: &'a [u8], offset: Option<usize>, go: Go) -> Option<Self> {
        let certificate = Certificate::parse_again(der, go).ok()?;
        Some(Self { certificate, written: Written::read(der)?, offset })
    }

    fn signed(&self, child: &Certificate<'_>, go: Go) -> bool {
        let key = &self.certificate.public_key;
        signature::verify(child.signature_algorithm, key, child.to_be_signed, &child.signature, go).is_ok()
    }

    pub(super) fn is_ca(&self) -> bool {
        self.certificate.extensions.basic_constraints.is_some_and(|constraints| constraints.is_ca)
    }

    /// An extension of id-ce, 2.5.29.`number`.
    pub(super) fn extension(&self, number: u8) -> Option<Extension<'a>> {
        self.written.extensions.iter().find(|extension| extension.identifier == [0x55, 0x1d, number]).copied()
    }
}

/// One extension as it is written.
#[derive(Clone, Copy)]
pub(super) struct Extension<'a> {
    pub(super) identifier: &'a [u8],
    pub(super) critical: bool,
}

/// What Go passes over.
pub(super) struct Written<'a> {
    pub(super) times: [Element<'a>; 2],
    /// Of the signature, with header; empty where there are none.
    pub(super) parameters: &'a [u8],
    /// In a certificate of version 1 or 2 as well, where Go does not look.
    pub(super) extensions: Vec<Extension<'a>>,
}

impl<'a> Written<'a> {
    fn read(certificate: &'a [u8]) -> Option<Self> {
        let mut tbs = Reader::new(certificate).enter(SEQUENCE)?.enter(SEQUENCE)?;
        tbs.optional(der::constructed(0))?;
        tbs.integer()?;
        let mut algorithm = tbs.enter(SEQUENCE)?;
        algorithm.read(OBJECT_IDENTIFIER)?;
        let parameters = if algorithm.is_empty() { &[][..] } else { algorithm.any()?.whole };
        tbs.element(SEQUENCE)?;
        let mut validity = tbs.enter(SEQUENCE)?;
        let times = [validity.any()?, validity.any()?];
        tbs.element(SEQUENCE)?;
        tbs.element(SEQUENCE)?;
        tbs.optional(der::context(1))?;
        tbs.optional(der::context(2))?;
        let mut extensions = Vec::new();
        if let Some(list) = tbs.optional(der::constructed(3))? {
            let mut list = Reader::new(list).enter(SEQUENCE)?;
            while !list.is_empty() {
                let mut fields = list.enter(SEQUENCE)?;
                let identifier = fields.read(OBJECT_IDENTIFIER)?;
                let critical = fields.next_is(BOOLEAN) && fields.boolean()?;
                fields.read(OCTET_STRING)?;
                extensions.push(Extension { identifier, critical });
            }
        }
        Some(Self { times, parameters, extensions })
    }
}
