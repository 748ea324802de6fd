//! Name constraints as Go checks them since 1.26: sorted, pruned and searched, once a chain stands.
//!
//! The order decides in corners (1.26 compares addresses in constraints unmasked), so it is Go's own. Source: Go 1.26
//! src/crypto/x509/constraints.go (`checkChainConstraints`, `dnsCompare`, `dnsHasSuffix`, `nameConstraintsSet`).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use dockseal_docker::version::{Go, GoRelease};

use super::PathError;
use super::constraints::{bare_uri_host, display};
use crate::x509::{Certificate, IpRange, Mailbox, NameConstraints, Subtrees, domain_is_valid};

/// Checks the names of every certificate of a chain, leaf first, against the constraints of those above it.
pub(super) fn check(chain: &[&Certificate<'_>], go: Go) -> Result<(), PathError> {
    let constraining: Vec<(usize, Prepared<'_>)> = chain
        .iter()
        .enumerate()
        .filter_map(|(position, certificate)| {
            Some((position, Prepared::new(certificate.extensions.name_constraints.as_ref()?, go)))
        })
        .collect();
    for (position, certificate) in chain.iter().enumerate() {
        let above = constraining.partition_point(|(constraining, _)| *constraining <= position);
        let Some(above) = constraining.get(above..).filter(|above| !above.is_empty()) else {
            continue;
        };
        if certificate.extensions.subject_alt_name.is_none() {
            continue;
        }
        let names = Names::of(certificate, go)?;
        for (_, constraints) in above {
            constraints.check(&names, go)?;
        }
    }
    Ok(())
}

/// The names of a certificate in the form in which they are compared.
struct Names<'c, 'a> {
    certificate: &'c Certificate<'a>,
    uri_hosts: Vec<&'c [u8]>,
    mailboxes: Vec<Mailbox<'a>>,
}

impl<'c, 'a> Names<'c, 'a> {
    /// Fails on a name that cannot be compared, even if no constraint is of its kind.
    fn of(certificate: &'c Certificate<'a>, go: Go) -> Result<Self, PathError> {
        let extensions = &certificate.extensions;
        let unconstrainable = |name: &[u8]| PathError::UnconstrainableName(display(name));
        let uri_hosts =
            extensions.uri_hosts.iter().map(|host| bare_uri_host(host, go).ok_or_else(|| unconstrainable(host)));
        let mailboxes =
            extensions.email_addresses.iter().map(|name| Mailbox::parse(name, go).ok_or_else(|| unconstrainable(name)));
        Ok(Self {
            certificate,
            uri_hosts: uri_hosts.collect::<Result<_, _>>()?,
            mailboxes: mailboxes.collect::<Result<_, _>>()?,
        })
    }
}

/// The constraints of one certificate, sorted.
struct Prepared<'a> {
    permitted: Sets<'a>,
    excluded: Sets<'a>,
}

impl<'a> Prepared<'a> {
    fn new(constraints: &NameConstraints<'a>, go: Go) -> Self {
        Self {
            permitted: Sets::new(&constraints.permitted, true, go),
            excluded: Sets::new(&constraints.excluded, false, go),
        }
    }

    fn check(&self, names: &Names<'_, '_>, go: Go) -> Result<(), PathError> {
        let extensions = &names.certificate.extensions;
        for address in &extensions.ip_addresses {
            verdict(address, self.permitted.ip(address), self.excluded.ip(address))?;
        }
        for name in &extensions.dns_names {
            check_domain(name, go)?;
            verdict(name, query(self.permitted.dns.as_ref(), name), query(self.excluded.dns.as_ref(), name))?;
        }
        for host in &names.uri_hosts {
            check_domain(host, go)?;
            verdict(host, query(self.permitted.uri.as_ref(), host), query(self.excluded.uri.as_ref(), host))?;
        }
        for mailbox in &names.mailboxes {
            check_domain(mailbox.domain, go)?;
            let find = |set: &Option<EmailSet<'_>>| set.as_ref().map(|set| set.contains(mailbox));
            verdict(mailbox.domain, find(&self.permitted.email), find(&self.excluded.email))?;
        }
        Ok(())
    }
}

fn check_domain(name: &[u8], go: Go) -> Result<(), PathError> {
    if domain_is_valid(name, false, go) { Ok(()) } else { Err(PathError::UnconstrainableName(display(name))) }
}

/// `None` means that there is no constraint of this kind.
fn verdict(name: &[u8], permitted: Option<bool>, excluded: Option<bool>) -> Result<(), PathError> {
    match (permitted, excluded) {
        (Some(false), _) => Err(PathError::NameNotPermitted(display(name))),
        (_, Some(true)) => Err(PathError::NameExcluded(display(name))),
        _ => Ok(()),
    }
}

fn query(set: Option<&DomainSet<'_>>, name: &[u8]) -> Option<bool> {
    set.map(|set| set.contains(name))
}

/// The permitted or the excluded half.
struct Sets<'a> {
    has_ip: bool,
    ipv4: Vec<Range<'a>>,
    ipv6: Vec<Range<'a>>,
    dns: Option<DomainSet<'a>>,
    uri: Option<DomainSet<'a>>,
    email: Option<EmailSet<'a>>,
}

impl<'a> Sets<'a> {
    fn new(subtrees: &Subtrees<'a>, permitted: bool, go: Go) -> Self {
        let ranges = subtrees.ip.iter().map(|range| Range::new(range, go));
        let (ipv4, ipv6): (Vec<_>, Vec<_>) = ranges.partition(|range| range.address.len() == 4);
        let compare = |a: &Range<'_>, b: &Range<'_>| (&a.address, a.mask).cmp(&(&b.address, b.mask));
        Self {
            has_ip: !subtrees.ip.is_empty(),
            ipv4: sorted_and_pruned(ipv4, compare, |a, b| range_covers(a, b)),
            ipv6: sorted_and_pruned(ipv6, compare, |a, b| range_covers(a, b)),
            dns: DomainSet::new(&subtrees.dns, permitted),
            uri: DomainSet::new(&subtrees.uri, permitted),
            email: EmailSet::new(&subtrees.email, permitted, go),
        }
    }

    fn ip(&self, address: &[u8]) -> Option<bool> {
        let ranges = if address.len() == 4 { &self.ipv4 } else { &self.ipv6 };
        let found = search(ranges, |range| (*range.address).cmp(address), |range| range_contains(range, address));
        self.has_ip.then_some(found)
    }
}

/// A range of addresses; since 1.27 with its address masked.
struct Range<'a> {
    address: Cow<'a, [u8]>,
    mask: &'a [u8],
}

impl<'a> Range<'a> {
    fn new(range: &IpRange<'a>, go: Go) -> Self {
        let address = if go.is_at_least(GoRelease::V1_27) {
            range.address.iter().zip(range.mask).map(|(address, mask)| address & mask).collect()
        } else {
            Cow::Borrowed(range.address)
        };
        Self { address, mask: range.mask }
    }
}

/// Sorts, and drops what the kept one before already covers.
fn sorted_and_pruned<T>(
    mut set: Vec<T>,
    compare: impl Fn(&T, &T) -> Ordering,
    covers: impl Fn(&T, &T) -> bool,
) -> Vec<T> {
    set.sort_by(compare);
    let mut pruned: Vec<T> = Vec::with_capacity(set.len());
    for item in set {
        if !pruned.last().is_some_and(|last| covers(last, &item)) {
            pruned.push(item);
        }
    }
    pruned
}

/// Looks at the one element that sorts nearest below the target, or at the first.
fn search<T>(set: &[T], compare: impl Fn(&T) -> Ordering, matches: impl Fn(&T) -> bool) -> bool {
    match set.binary_search_by(compare) {
        Ok(_) => true,
        Err(index) => set.get(index.saturating_sub(1)).is_some_and(matches),
    }
}

/// `net.IPNet.Contains`: a mapped IPv4 address counts as IPv4, on both sides.
fn range_contains(range: &Range<'_>, address: &[u8]) -> bool {
    let (network, mask) = match as_ipv4(&range.address) {
        Some(short) if range.address.len() == 16 => (short, range.mask.get(12..).unwrap_or_default()),
        _ => (&*range.address, range.mask),
    };
    let address = as_ipv4(address).unwrap_or(address);
    address.len() == network.len()
        && address.iter().zip(network).zip(mask).all(|((given, wanted), mask)| given & mask == wanted & mask)
}

/// `net.IP.To4`.
fn as_ipv4(address: &[u8]) -> Option<&[u8]> {
    match address {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, short @ ..] if short.len() == 4 => Some(short),
        short if short.len() == 4 => Some(short),
        _ => None,
    }
}

fn range_covers(a: &Range<'_>, b: &Range<'_>) -> bool {
    let last: Vec<u8> = b.address.iter().zip(b.mask).map(|(address, mask)| address | !mask).collect();
    range_contains(a, &b.address) && range_contains(a, &last)
}

struct DomainSet<'a> {
    /// An empty constraint was among them.
    all: bool,
    set: Vec<&'a [u8]>,
    /// Excluded constraints without their first label, in lower case, for wildcard names.
    parents: HashSet<Vec<u8>>,
}

impl<'a> DomainSet<'a> {
    fn new(constraints: &[&'a [u8]], permitted: bool) -> Option<Self> {
        if constraints.is_empty() {
            return None;
        }
        if constraints.iter().any(|constraint| constraint.is_empty()) {
            return Some(Self { all: true, set: Vec::new(), parents: HashSet::new() });
        }
        let set = sorted_and_pruned(constraints.to_vec(), |a, b| compare_domains(a, b), |a, b| has_suffix(a, b));
        let parents = if permitted { HashSet::new() } else { set.iter().filter_map(|name| parent(name)).collect() };
        Some(Self { all: false, set, parents })
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.all
            || search(
                &self.set,
                |constraint| compare_domains(constraint, name),
                |constraint| has_suffix(constraint, name),
            )
            || name.starts_with(b"*") && parent(name).is_some_and(|parent| self.parents.contains(&parent))
    }
}

/// A name from its first dot on, in lower case.
fn parent(name: &[u8]) -> Option<Vec<u8>> {
    let dot = name.iter().position(|byte| *byte == b'.')?;
    name.get(dot..).map(<[u8]>::to_ascii_lowercase)
}

/// Compares from the end without regard to case; a dot sorts before everything.
fn compare_domains(a: &[u8], b: &[u8]) -> Ordering {
    let key = |byte: &u8| {
        if *byte == b'.' { 0 } else { byte.to_ascii_lowercase() }
    };
    a.iter().rev().map(key).cmp(b.iter().rev().map(key))
}

/// Whether `name` is `suffix` or lies under it; with a leading dot, under it.
fn has_suffix(suffix: &[u8], name: &[u8]) -> bool {
    let Some(split) = name.len().checked_sub(suffix.len()) else {
        return false;
    };
    let (below, above) = name.split_at(split);
    above.eq_ignore_ascii_case(suffix) && (below.is_empty() || below.ends_with(b".") || suffix.starts_with(b"."))
}

struct EmailSet<'a> {
    domains: Option<DomainSet<'a>>,
    /// Local part to domains in lower case.
    mailboxes: HashMap<Vec<u8>, HashSet<Vec<u8>>>,
}

impl<'a> EmailSet<'a> {
    fn new(constraints: &[&'a [u8]], permitted: bool, go: Go) -> Option<Self> {
        if constraints.is_empty() {
            return None;
        }
        let (full, domains): (Vec<&[u8]>, Vec<&[u8]>) =
            constraints.iter().partition(|constraint| constraint.contains(&b'@'));
        let mut mailboxes: HashMap<Vec<u8>, HashSet<Vec<u8>>> = HashMap::new();
        for mailbox in full.into_iter().filter_map(|constraint| Mailbox::parse(constraint, go)) {
            mailboxes.entry(mailbox.local).or_default().insert(mailbox.domain.to_ascii_lowercase());
        }
        Some(Self { domains: DomainSet::new(&domains, permitted), mailboxes })
    }

    fn contains(&self, mailbox: &Mailbox<'_>) -> bool {
        let domain = mailbox.domain.to_ascii_lowercase();
        self.mailboxes.get(&mailbox.local).is_some_and(|domains| domains.contains(&domain))
            || self.domains.as_ref().is_some_and(|domains| domains.contains(&domain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        let contains = |constraints: &[&'static str], name: &str, permitted| {
            let constraints: Vec<&[u8]> = constraints.iter().map(|name| name.as_bytes()).collect();
            DomainSet::new(&constraints, permitted).is_some_and(|set| set.contains(name.as_bytes()))
        };
        for permitted in [true, false] {
            assert!(contains(&["example.test"], "example.test", permitted));
            assert!(contains(&["b.test", "Example.test", "a.test"], "d1.eXample.test", permitted));
            assert!(!contains(&["example.test"], "badexample.test", permitted));
            assert!(!contains(&[".example.test"], "example.test", permitted));
            assert!(contains(&[".example.test"], "d1.example.test", permitted));
            assert!(contains(&["", "x"], "y", permitted));
            assert!(contains(&["a.com", "a.a.com", "a-a.com"], "b.a.a.com", permitted));
            assert!(contains(&["a.com", "a.a.com", "a-a.com"], "b.a-a.com", permitted));
        }
        // A wildcard may expand to an excluded name.
        assert!(contains(&["d1.example.test"], "*.example.test", false));
        assert!(!contains(&["d1.example.test"], "*.example.test", true));
        assert!(!contains(&["x.d1.example.test"], "*.example.test", false));
    }

    #[test]
    fn unmasked_addresses_mislead_the_search_as_in_go() {
        let range = |address: &'static [u8], mask: &'static [u8]| IpRange { address, mask };
        let eight: &[u8] = &[255, 0, 0, 0];
        let one = Subtrees { ip: vec![range(&[10, 5, 0, 0], eight)], ..Subtrees::default() };
        assert_eq!(Sets::new(&one, true, Go::V1_19).ip(&[10, 1, 0, 1]), Some(true));
        let two =
            Subtrees { ip: vec![range(&[10, 5, 0, 0], eight), range(&[9, 0, 0, 0], eight)], ..Subtrees::default() };
        assert_eq!(Sets::new(&two, true, Go::V1_19).ip(&[10, 1, 0, 1]), Some(false));
        assert_eq!(Sets::new(&two, true, Go::V1_19).ip(&[10, 6, 0, 1]), Some(true));
        let mapped: &[u8] = &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 6, 0, 1];
        assert_eq!(Sets::new(&two, true, Go::V1_19).ip(mapped), Some(false));
    }
}
