//! The extensions that Go's crypto/x509 understands, and whether it understood all critical ones.
//!
//! Source: Go src/crypto/x509/parser.go (`processExtensions` and the parse functions it calls).

use std::borrow::Cow;
use std::collections::HashSet;

use dockseal_docker::version::{Go, GoRelease};

use super::name_constraints::{self, NameConstraints, is_mapped};
use super::names::domain_is_valid;
use super::uri;
use super::{Malformed, Parsed};
use crate::der::{self, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, constructed, context};

/// What the extensions of a certificate say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extensions<'a> {
    /// Whether a critical extension was not understood, by its identifier.
    pub(crate) unhandled_critical: Option<Cow<'a, [u8]>>,
    /// Bit n is bit n of the KeyUsage; zero also where there is no such extension.
    pub(crate) key_usage: u16,
    pub(crate) basic_constraints: Option<BasicConstraints>,
    pub(crate) subject_key_id: &'a [u8],
    pub(crate) authority_key_id: &'a [u8],
    pub(crate) extended_key_usages: ExtendedKeyUsages,
    /// The value of subjectAltName, where there is one.
    pub(crate) subject_alt_name: Option<&'a [u8]>,
    pub(crate) dns_names: Vec<&'a [u8]>,
    pub(crate) email_addresses: Vec<&'a [u8]>,
    /// Four or sixteen bytes each.
    pub(crate) ip_addresses: Vec<&'a [u8]>,
    /// The host of each URI.
    pub(crate) uri_hosts: Vec<Vec<u8>>,
    pub(crate) name_constraints: Option<NameConstraints<'a>>,
    pub(crate) policies: Vec<&'a [u8]>,
    pub(crate) policy_mappings: Vec<(&'a [u8], &'a [u8])>,
    pub(crate) require_explicit_policy: Option<i64>,
    pub(crate) inhibit_policy_mapping: Option<i64>,
    pub(crate) inhibit_any_policy: Option<i64>,
}

/// keyCertSign in `Extensions::key_usage`.
pub(crate) const KEY_CERT_SIGN: u16 = 1 << 5;

/// The basicConstraints extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) is_ca: bool,
    /// Below zero where there is no limit.
    pub(crate) max_path_length: i64,
}

/// What a certificate may be used for; all false where it does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ExtendedKeyUsages {
    pub(crate) listed: bool,
    pub(crate) any: bool,
    pub(crate) server: bool,
    pub(crate) client: bool,
}

impl<'a> Extensions<'a> {
    /// Reads the contents of the Extensions SEQUENCE.
    pub(super) fn read(mut rest: Reader<'a>, go: Go) -> Parsed<Self> {
        const BROKEN: Malformed = Malformed("an extension is malformed");
        let mut extensions = Self::default();
        let mut list = Vec::new();
        let mut seen = HashSet::new();
        while !rest.is_empty() {
            let mut fields = rest.enter(SEQUENCE).ok_or(BROKEN)?;
            let identifier = fields.object_identifier(go).ok_or(BROKEN)?;
            let critical = fields.next_is(der::BOOLEAN) && fields.boolean().ok_or(BROKEN)?;
            let value = fields.read(OCTET_STRING).ok_or(BROKEN)?;
            // Looking back is faster for the usual handful; a set keeps thousands linear.
            let duplicate = match list.len() {
                0..16 => list.iter().any(|(known, _, _)| *known == identifier),
                16 => {
                    seen.extend(list.iter().map(|(known, _, _): &(Cow<'_, [u8]>, _, _)| known.clone()));
                    seen.contains(&identifier)
                }
                _ => seen.contains(&identifier),
            };
            if duplicate {
                return Err(Malformed("an extension occurs twice"));
            }
            if list.len() >= 16 {
                seen.insert(identifier.clone());
            }
            list.push((identifier, critical, value));
        }
        for (identifier, critical, value) in list {
            let handled = extensions.process(&identifier, critical, value, go)?;
            if critical && !handled && extensions.unhandled_critical.is_none() {
                extensions.unhandled_critical = Some(identifier);
            }
        }
        Ok(extensions)
    }

    /// Takes in one extension; whether all of it is understood.
    fn process(&mut self, identifier: &[u8], critical: bool, value: &'a [u8], go: Go) -> Parsed<bool> {
        const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
        let strict = go.is_at_least(GoRelease::V1_24);
        let number = match identifier {
            AUTHORITY_INFO_ACCESS => {
                if strict && critical {
                    return Err(Malformed("authorityInfoAccess is critical"));
                }
                check_authority_info_access(value, go).ok_or(Malformed("authorityInfoAccess is malformed"))?;
                return Ok(true);
            }
            // id-ce, 2.5.29.
            [0x55, 0x1d, number] => *number,
            _ => return Ok(false),
        };
        match number {
            14 => {
                if strict && critical {
                    return Err(Malformed("subjectKeyIdentifier is critical"));
                }
                self.subject_key_id =
                    Reader::new(value).read(OCTET_STRING).ok_or(Malformed("subjectKeyIdentifier is malformed"))?;
            }
            15 => {
                let bits = Reader::new(value).bit_string().ok_or(Malformed("keyUsage is malformed"))?;
                self.key_usage = (0..9).filter(|index| bits.bit(*index)).fold(0, |usage, index| usage | 1 << index);
            }
            17 => return self.read_subject_alt_name(value, go),
            19 => {
                self.basic_constraints =
                    Some(read_basic_constraints(value, go).ok_or(Malformed("basicConstraints is malformed"))?);
            }
            30 => {
                let (constraints, unhandled) = name_constraints::read(value, go)?;
                self.name_constraints = Some(constraints);
                return Ok(!unhandled);
            }
            31 => check_distribution_points(value).ok_or(Malformed("cRLDistributionPoints is malformed"))?,
            32 => {
                self.policies = read_policies(value, go).ok_or(Malformed("certificatePolicies is malformed"))?;
            }
            35 => {
                if strict && critical {
                    return Err(Malformed("authorityKeyIdentifier is critical"));
                }
                self.authority_key_id =
                    read_authority_key_id(value).ok_or(Malformed("authorityKeyIdentifier is malformed"))?;
            }
            37 => {
                self.extended_key_usages =
                    ExtendedKeyUsages::read(value, go).ok_or(Malformed("extendedKeyUsage is malformed"))?;
            }
            33 if strict => {
                self.policy_mappings = read_policy_mappings(value).ok_or(Malformed("policyMappings is malformed"))?;
            }
            36 if strict => self.read_policy_constraints(value).ok_or(Malformed("policyConstraints is malformed"))?,
            54 if strict => {
                self.inhibit_any_policy =
                    Some(Reader::new(value).int64().ok_or(Malformed("inhibitAnyPolicy is malformed"))?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_subject_alt_name(&mut self, value: &'a [u8], go: Go) -> Parsed<bool> {
        const BROKEN: Malformed = Malformed("subjectAltName is malformed");
        // Tags are compared as Go does: the class bits of the context class taken away, nothing else.
        const EMAIL: u8 = context(1);
        const DNS: u8 = context(2);
        const URI: u8 = context(6);
        const IP: u8 = context(7);
        self.subject_alt_name = Some(value);
        let mut names = Reader::new(value).enter(SEQUENCE).ok_or(BROKEN)?;
        while !names.is_empty() {
            let name = names.any().ok_or(BROKEN)?;
            match name.tag {
                EMAIL | DNS | URI if !name.contents.is_ascii() => {
                    return Err(Malformed("a name in subjectAltName is not ASCII"));
                }
                EMAIL => self.email_addresses.push(name.contents),
                DNS => self.dns_names.push(name.contents),
                URI => {
                    let host =
                        uri::host_of(name.contents, go).ok_or(Malformed("a URI in subjectAltName does not parse"))?;
                    if !domain_is_valid(&host, false, go) {
                        return Err(Malformed("a URI in subjectAltName has a host that is no domain name"));
                    }
                    self.uri_hosts.push(host);
                }
                IP if is_mapped(name.contents) && go.is_at_least(GoRelease::V1_27) => {
                    return Err(Malformed("an IP address in subjectAltName is an IPv4 address mapped to IPv6"));
                }
                IP if matches!(name.contents.len(), 4 | 16) => {
                    self.ip_addresses.push(name.contents);
                }
                IP => {
                    return Err(Malformed("an IP address in subjectAltName is not 4 or 16 bytes long"));
                }
                _ => {}
            }
        }
        let none = self.dns_names.is_empty()
            && self.email_addresses.is_empty()
            && self.ip_addresses.is_empty()
            && self.uri_hosts.is_empty();
        Ok(!none)
    }

    fn read_policy_constraints(&mut self, value: &[u8]) -> Option<()> {
        let mut fields = Reader::new(value).enter(SEQUENCE)?;
        if fields.next_is(context(0)) {
            self.require_explicit_policy = Some(fields.int64_tagged(context(0))?);
        }
        if fields.next_is(context(1)) {
            self.inhibit_policy_mapping = Some(fields.int64_tagged(context(1))?);
        }
        Some(())
    }
}

impl ExtendedKeyUsages {
    fn read(value: &[u8], go: Go) -> Option<Self> {
        let mut usages = Self::default();
        let mut list = Reader::new(value).enter(SEQUENCE)?;
        while !list.is_empty() {
            usages.listed = true;
            match list.object_identifier(go)?.as_ref() {
                [0x55, 0x1d, 0x25, 0] => usages.any = true,
                [0x2b, 6, 1, 5, 5, 7, 3, 1] => usages.server = true,
                [0x2b, 6, 1, 5, 5, 7, 3, 2] => usages.client = true,
                _ => {}
            }
        }
        Some(usages)
    }
}

fn read_basic_constraints(value: &[u8], go: Go) -> Option<BasicConstraints> {
    let mut fields = Reader::new(value).enter(SEQUENCE)?;
    let is_ca = fields.next_is(der::BOOLEAN) && fields.boolean()?;
    let max_path_length = if fields.next_is(der::INTEGER) { Some(fields.int64()?) } else { None };
    if max_path_length.is_some_and(|length| length < 0) && go.is_at_least(GoRelease::V1_26) {
        return None;
    }
    Some(BasicConstraints { is_ca, max_path_length: max_path_length.unwrap_or(-1) })
}

fn read_authority_key_id(value: &[u8]) -> Option<&[u8]> {
    let mut fields = Reader::new(value).enter(SEQUENCE)?;
    Some(fields.optional(context(0))?.unwrap_or_default())
}

fn read_policies(value: &[u8], go: Go) -> Option<Vec<&[u8]>> {
    let strict = go.is_at_least(GoRelease::V1_24);
    let mut policies = Vec::new();
    let mut seen = HashSet::new();
    let mut list = Reader::new(value).enter(SEQUENCE)?;
    while !list.is_empty() {
        let mut policy = list.enter(SEQUENCE)?;
        if strict {
            let identifier = policy.read(OBJECT_IDENTIFIER)?;
            if !seen.insert(identifier) || !is_identifier(identifier) {
                return None;
            }
            policies.push(identifier);
        } else {
            policy.object_identifier(go)?;
        }
    }
    Some(policies)
}

/// Go's newer OID type knows no limit on components, only that they are minimal and whole (oid.go `newOIDFromDER`).
fn is_identifier(contents: &[u8]) -> bool {
    let mut starts = true;
    for byte in contents {
        if starts && *byte == 0x80 {
            return false;
        }
        starts = byte & 0x80 == 0;
    }
    starts && !contents.is_empty()
}

fn read_policy_mappings(value: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut mappings = Vec::new();
    let mut list = Reader::new(value).enter(SEQUENCE)?;
    while !list.is_empty() {
        let mut mapping = list.enter(SEQUENCE)?;
        mappings.push((mapping.read(OBJECT_IDENTIFIER)?, mapping.read(OBJECT_IDENTIFIER)?));
    }
    Some(mappings)
}

fn check_distribution_points(value: &[u8]) -> Option<()> {
    let mut points = Reader::new(value).enter(SEQUENCE)?;
    while !points.is_empty() {
        let mut point = points.enter(SEQUENCE)?;
        let Some(name) = point.optional(constructed(0))? else {
            continue;
        };
        let mut full_name = Reader::new(name).enter(constructed(0))?;
        while full_name.next_is(context(6)) {
            full_name.read(context(6))?;
        }
    }
    Some(())
}

fn check_authority_info_access(value: &[u8], go: Go) -> Option<()> {
    let mut list = Reader::new(value).enter(SEQUENCE)?;
    while !list.is_empty() {
        let mut access = list.enter(SEQUENCE)?;
        access.object_identifier(go)?;
        if access.next_is(context(6)) {
            access.read(context(6))?;
        }
    }
    Some(())
}
