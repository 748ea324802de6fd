//! The name constraints extension.
//!
//! Source: Go src/crypto/x509/parser.go (`parseNameConstraintsExtension`, `isValidIPMask`).

use std::net::{IpAddr, Ipv6Addr};

use dockseal_docker::version::{Go, GoRelease};

use super::names::{Mailbox, domain_is_valid};
use super::{Malformed, Parsed};
use crate::der::{Reader, SEQUENCE, constructed, context};

/// What a CA permits and excludes.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameConstraints<'a> {
    pub(crate) permitted: Subtrees<'a>,
    pub(crate) excluded: Subtrees<'a>,
}

/// Constraints by the kind of name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subtrees<'a> {
    pub(crate) dns: Vec<&'a [u8]>,
    pub(crate) ip: Vec<IpRange<'a>>,
    pub(crate) email: Vec<&'a [u8]>,
    pub(crate) uri: Vec<&'a [u8]>,
}

/// An address and a mask of equal length, 4 or 16 bytes; the address is not masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpRange<'a> {
    pub(crate) address: &'a [u8],
    pub(crate) mask: &'a [u8],
}

const BROKEN: Malformed = Malformed("the name constraints are malformed");

/// Reads the extension, and whether it has names of a kind that Go does not check.
pub(super) fn read(value: &[u8], go: Go) -> Parsed<(NameConstraints<'_>, bool)> {
    let mut outer = Reader::new(value);
    let mut fields = outer.enter(SEQUENCE).ok_or(BROKEN)?;
    let permitted = fields.optional(constructed(0)).ok_or(BROKEN)?;
    let excluded = fields.optional(constructed(1)).ok_or(BROKEN)?;
    if !outer.is_empty() || !fields.is_empty() {
        return Err(BROKEN);
    }
    let (permitted, excluded) = (permitted.unwrap_or_default(), excluded.unwrap_or_default());
    if permitted.is_empty() && excluded.is_empty() {
        return Err(Malformed("the name constraints are empty"));
    }
    let mut unhandled = false;
    let permitted = subtrees(permitted, go, &mut unhandled)?;
    let excluded = subtrees(excluded, go, &mut unhandled)?;
    Ok((NameConstraints { permitted, excluded }, unhandled))
}

fn subtrees<'a>(contents: &'a [u8], go: Go, unhandled: &mut bool) -> Parsed<Subtrees<'a>> {
    const EMAIL: u8 = context(1);
    const DNS: u8 = context(2);
    const URI: u8 = context(6);
    const IP: u8 = context(7);
    let mut subtrees = Subtrees::default();
    let mut rest = Reader::new(contents);
    while !rest.is_empty() {
        let base = rest.enter(SEQUENCE).and_then(|mut subtree| subtree.any()).ok_or(BROKEN)?;
        let name = base.contents;
        if matches!(base.tag, EMAIL | DNS | URI) && !name.is_ascii() {
            return Err(Malformed("a name constraint is not ASCII"));
        }
        match base.tag {
            DNS if domain_is_valid(name, true, go) => subtrees.dns.push(name),
            IP => {
                let range = ip_range(name)?;
                if is_mapped(range.address) && go.is_at_least(GoRelease::V1_27) {
                    return Err(Malformed("an IP constraint is an IPv4 address mapped to IPv6"));
                }
                subtrees.ip.push(range);
            }
            EMAIL if is_email_constraint(name, go) => subtrees.email.push(name),
            URI if !is_ip_text(name) && domain_is_valid(name, true, go) => subtrees.uri.push(name),
            DNS | EMAIL | URI => return Err(Malformed("a name constraint is no valid name")),
            _ => *unhandled = true,
        }
    }
    Ok(subtrees)
}

fn is_email_constraint(name: &[u8], go: Go) -> bool {
    if name.contains(&b'@') { Mailbox::parse(name, go).is_some() } else { domain_is_valid(name, true, go) }
}

fn is_ip_text(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| name.parse::<IpAddr>().is_ok())
}

/// Whether sixteen bytes are `::ffff:0:0/96`.
pub(super) fn is_mapped(address: &[u8]) -> bool {
    <[u8; 16]>::try_from(address).is_ok_and(|address| Ipv6Addr::from(address).to_ipv4_mapped().is_some())
}

fn ip_range(value: &[u8]) -> Parsed<IpRange<'_>> {
    if !matches!(value.len(), 8 | 32) {
        return Err(Malformed("an IP constraint is not 8 or 32 bytes long"));
    }
    let (address, mask) = value.split_at(value.len() / 2);
    let mut zeros = mask.iter().skip_while(|byte| **byte == 0xff);
    let edge = zeros.next().copied().unwrap_or(0);
    if edge.leading_ones() + edge.trailing_zeros() < 8 || zeros.any(|byte| *byte != 0) {
        return Err(Malformed("an IP constraint has a mask with gaps"));
    }
    Ok(IpRange { address, mask })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_have_no_gaps() {
        let range = |mask: [u8; 4]| ip_range(&[&[10, 0, 0, 0], &mask[..]].concat()).is_ok();
        assert!(range([255, 0, 0, 0]));
        assert!(range([0, 0, 0, 0]));
        assert!(range([255, 255, 255, 255]));
        assert!(range([255, 240, 0, 0]));
        assert!(!range([255, 0, 255, 0]));
        assert!(!range([255, 0x90, 0, 0]));
        assert!(!range([1, 0, 0, 0]));
        assert!(ip_range(&[0; 5]).is_err());
    }

    #[test]
    fn kinds_of_names() {
        let nc = |subtree: &[u8]| {
            let length = u8::try_from(subtree.len()).unwrap();
            let der = [&[0x30, length + 4, 0xa0, length + 2, 0x30, length], subtree].concat();
            read(&der, Go::V1_19).map(|(constraints, unhandled)| (constraints.permitted.dns.len(), unhandled)).ok()
        };
        assert_eq!(nc(&[0x82, 1, b'a']), Some((1, false)));
        assert_eq!(nc(&[0x82, 0]), Some((1, false)));
        assert_eq!(nc(&[0x82, 2, b'.', b'a']), Some((1, false)));
        assert_eq!(nc(&[0x82, 2, b'a', b'.']), None);
        assert_eq!(nc(&[0x82, 1, 0xff]), None);
        assert_eq!(nc(&[0xa4, 0]), Some((0, true)), "directoryName");
        assert_eq!(nc(&[0x86, 7, b'1', b'.', b'1', b'.', b'1', b'.', b'1']), None, "an address as URI");
        assert_eq!(nc(&[0x81, 3, b'a', b'@', b'b']), Some((0, false)));
        assert_eq!(nc(&[0x81, 2, b'a', b'@']), Some((0, false)), "an empty domain is one");
        assert!(read(&[0x30, 0], Go::V1_19).is_err(), "empty");
        assert!(read(&[0x30, 2, 0xa0, 0], Go::V1_19).is_err(), "empty");
    }
}
