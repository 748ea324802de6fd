//! The certificates that vouch for a leaf, and what their DER says beside what Go reads in it.

use dockseal_docker::version::Go;

use crate::der::{self, BOOLEAN, Element, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE};
use crate::load::Chain;
use crate::pool::Anchors;
use crate::signature::Signatures;
use crate::x509::Certificate;

/// Chains that Docker accepts are shorter; nobody follows a longer one here.
const LONGEST: usize = 16;

/// How many of one name are asked for their signature.
const MOST_NAMESAKES: usize = 8;

/// One certificate of a chain, and where it begins in the file of the side that sends it; nowhere where it is an anchor
/// of the other side.
pub(super) struct Issued {
    der: Vec<u8>,
    offset: Option<usize>,
}

/// The same, read.
pub(super) struct Link<'a> {
    pub(super) certificate: Certificate<'a>,
    pub(super) written: Written<'a>,
    /// None where it is an anchor.
    pub(super) offset: Option<usize>,
}

/// Leaf first, then each issuer by name and key identifier, up to an anchor and what is above it in the CA file.
///
/// Docker's path was verified; only among namesakes a signature tells again which of them it led through.
pub(super) fn chain(chain: &Chain, anchors: &Anchors, signatures: &Signatures, go: Go) -> Vec<Issued> {
    let mut sent = chain.certificates.iter().take(LONGEST).map(|(der, offset)| Issued::sent(der, *offset));
    let mut links: Vec<Issued> = sent.next().into_iter().collect();
    let mut sent: Vec<Issued> = sent.collect();
    let mut trusted = false;
    while let Some(child) = links.last().and_then(|last| Certificate::parse_again(&last.der, go).ok()) {
        trusted |= anchors.contains(&child);
        if links.len() >= LONGEST || trusted && child.issuer == child.subject {
            break;
        }
        let next = match anchor_of(&child, anchors, &links, signatures, go) {
            // What is above an anchor is nobody's business.
            None if trusted => None,
            None => issuer_among(&mut sent, &child, go),
            anchor => anchor,
        };
        match next {
            Some(next) => links.push(next),
            None => break,
        }
    }
    links
}

/// The anchor that issued `child`.
fn anchor_of(
    child: &Certificate<'_>,
    anchors: &Anchors,
    links: &[Issued],
    signatures: &Signatures,
    go: Go,
) -> Option<Issued> {
    let namesakes = anchors.issuers_of(child).map(|body| anchors.der(body));
    let mut namesakes = namesakes.filter(|der| links.iter().all(|link| link.der != *der)).take(MOST_NAMESAKES);
    let (likeliest, second) = (namesakes.next()?, namesakes.next());
    let signed = |der: &Vec<u8>| {
        Certificate::parse_again(der, go).is_ok_and(|issuer| signatures.verify(child, &issuer, go).is_ok())
    };
    let issuer = match second {
        Some(second) if !signed(&likeliest) => [second].into_iter().chain(namesakes).find(signed).unwrap_or(likeliest),
        _ => likeliest,
    };
    Some(Issued { der: issuer, offset: None })
}

/// The certificate among those sent that issued `child`, which is then no longer among them.
fn issuer_among(sent: &mut Vec<Issued>, child: &Certificate<'_>, go: Go) -> Option<Issued> {
    let wanted = child.extensions.authority_key_id;
    let fits = |issued: &Issued, by_key_id: bool| {
        Certificate::parse_again(&issued.der, go).is_ok_and(|issuer| {
            issuer.subject == child.issuer
                && issuer.der != child.der
                && (!by_key_id || issuer.extensions.subject_key_id == wanted)
        })
    };
    let likely = sent.iter().position(|issued| fits(issued, true));
    let position = likely.or_else(|| sent.iter().position(|issued| fits(issued, false)))?;
    Some(sent.remove(position))
}

impl Issued {
    fn sent(der: &[u8], offset: usize) -> Self {
        Self { der: der.to_vec(), offset: Some(offset) }
    }
}

impl<'a> Link<'a> {
    pub(super) fn read(issued: &'a Issued, go: Go) -> Option<Self> {
        let certificate = Certificate::parse_again(&issued.der, go).ok()?;
        Some(Self { certificate, written: Written::read(&issued.der)?, offset: issued.offset })
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
