//! Name constraints as Go checks them up to 1.25: each issuer against the names below it, one comparison at a time.
//!
//! Source: Go 1.24 src/crypto/x509/verify.go (`isValid`, `checkNameConstraints`, `match…Constraint`); 1.19 looks at
//! the names of the leaf and of the constraining CA itself, 1.24 at those of every certificate below.

use std::net::{IpAddr, Ipv6Addr};

use dockseal_docker::version::{Go, GoRelease};

use super::PathError;
use crate::der::{Reader, SEQUENCE, context};
use crate::x509::{Certificate, IpRange, Mailbox, NameConstraints, domain_labels};

/// Go's own bound on the comparisons for one issuer (`MaxConstraintComparisions`).
const MOST_COMPARISONS: usize = 250_000;

/// Checks what `issuer` constrains against the certificates below it, leaf first.
pub(super) fn check(issuer: &Certificate<'_>, below: &[&Certificate<'_>], go: Go) -> Result<(), PathError> {
    let Some(constraints) = &issuer.extensions.name_constraints else {
        return Ok(());
    };
    let mut check = Check { constraints, comparisons: 0, go };
    if go.is_at_least(GoRelease::V1_24) {
        below.iter().try_for_each(|certificate| check.certificate(certificate))
    } else {
        below.first().copied().into_iter().chain([issuer]).try_for_each(|certificate| check.certificate(certificate))
    }
}

struct Check<'c, 'a> {
    constraints: &'c NameConstraints<'a>,
    comparisons: usize,
    go: Go,
}

impl Check<'_, '_> {
    fn certificate(&mut self, certificate: &Certificate<'_>) -> Result<(), PathError> {
        const EMAIL: u8 = context(1);
        const DNS: u8 = context(2);
        const URI: u8 = context(6);
        const IP: u8 = context(7);
        let Some(value) = certificate.extensions.subject_alt_name else {
            return Ok(());
        };
        let Some(mut names) = Reader::new(value).enter(SEQUENCE) else {
            return Ok(());
        };
        let mut uri_hosts = certificate.extensions.uri_hosts.iter();
        while let Some(name) = names.any() {
            match name.tag {
                EMAIL => self.email(name.contents)?,
                DNS => self.dns(name.contents)?,
                URI => self.uri(uri_hosts.next().map(Vec::as_slice).unwrap_or_default())?,
                IP => self.ip(name.contents)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Excluded before permitted; the comparisons of all names count together.
    fn check<C: Copy>(
        &mut self,
        name: &[u8],
        permitted: &[C],
        excluded: &[C],
        matches: impl Fn(C) -> Result<bool, PathError>,
    ) -> Result<(), PathError> {
        self.count(excluded.len())?;
        for constraint in excluded {
            if matches(*constraint)? {
                return Err(PathError::NameExcluded(display(name)));
            }
        }
        self.count(permitted.len())?;
        for constraint in permitted {
            if matches(*constraint)? {
                return Ok(());
            }
        }
        if permitted.is_empty() { Ok(()) } else { Err(PathError::NameNotPermitted(display(name))) }
    }

    fn count(&mut self, comparisons: usize) -> Result<(), PathError> {
        self.comparisons = self.comparisons.saturating_add(comparisons);
        if self.comparisons > MOST_COMPARISONS { Err(PathError::TooManyConstraints) } else { Ok(()) }
    }

    fn dns(&mut self, name: &[u8]) -> Result<(), PathError> {
        let go = self.go;
        if domain_labels(name, go).is_none() {
            return Err(PathError::UnconstrainableName(display(name)));
        }
        let constraints = self.constraints;
        self.check(name, &constraints.permitted.dns, &constraints.excluded.dns, |constraint| {
            Ok(domain_matches(name, constraint, go))
        })
    }

    fn email(&mut self, name: &[u8]) -> Result<(), PathError> {
        let go = self.go;
        let mailbox = Mailbox::parse(name, go).ok_or_else(|| PathError::UnconstrainableName(display(name)))?;
        let constraints = self.constraints;
        self.check(name, &constraints.permitted.email, &constraints.excluded.email, |constraint| {
            Ok(if constraint.contains(&b'@') {
                Mailbox::parse(constraint, go).is_some_and(|wanted| {
                    wanted.local == mailbox.local && wanted.domain.eq_ignore_ascii_case(mailbox.domain)
                })
            } else {
                domain_matches(mailbox.domain, constraint, go)
            })
        })
    }

    fn uri(&mut self, host: &[u8]) -> Result<(), PathError> {
        let go = self.go;
        let constraints = self.constraints;
        let bare = bare_uri_host(host, go);
        self.check(host, &constraints.permitted.uri, &constraints.excluded.uri, |constraint| match bare {
            // Only a host that is a domain name at all can be compared.
            Some(bare) if constraint.is_empty() || domain_labels(bare, go).is_some() => {
                Ok(domain_matches(bare, constraint, go))
            }
            _ => Err(PathError::UnconstrainableName(display(host))),
        })
    }

    fn ip(&mut self, address: &[u8]) -> Result<(), PathError> {
        let constraints = self.constraints;
        self.check(address, &constraints.permitted.ip, &constraints.excluded.ip, |range| {
            Ok(range_contains(range, address))
        })
    }
}

fn range_contains(range: IpRange<'_>, address: &[u8]) -> bool {
    address.len() == range.address.len()
        && address
            .iter()
            .zip(range.address)
            .zip(range.mask)
            .all(|((given, wanted), mask)| given & mask == wanted & mask)
}

/// Whether a domain lies under a constraint; a leading dot means below it only (`matchDomainConstraint`).
fn domain_matches(domain: &[u8], constraint: &[u8], go: Go) -> bool {
    if constraint.is_empty() {
        return true;
    }
    // Go 1.19 overlooks one empty label at the left, of a constraint behind the dot that means below it only.
    let labels =
        |name| if go.is_at_least(GoRelease::V1_24) { name } else { <[u8]>::strip_prefix(name, b".").unwrap_or(name) };
    let domain = labels(domain);
    let (suffix, below_only) = match constraint.strip_prefix(b".") {
        Some(suffix) => (labels(suffix), true),
        None => (constraint, false),
    };
    let Some(split) = domain.len().checked_sub(suffix.len()) else {
        return false;
    };
    let (below, above) = domain.split_at(split);
    above.eq_ignore_ascii_case(suffix)
        && match below {
            [] => !below_only,
            _ => suffix.is_empty() || below.ends_with(b"."),
        }
}

/// The host of a URI without its port, `None` for none, an address, or one that has no port where it should.
pub(super) fn bare_uri_host(host: &[u8], go: Go) -> Option<&[u8]> {
    if host.is_empty() {
        return None;
    }
    let bare = if host.contains(&b':') && !host.ends_with(b"]") { without_port(host)? } else { host };
    let bracketed = bare.starts_with(b"[") && bare.ends_with(b"]");
    (!bracketed && !is_address(bare, go)).then_some(bare)
}

/// `net.SplitHostPort`.
fn without_port(host: &[u8]) -> Option<&[u8]> {
    let colon = host.iter().rposition(|byte| *byte == b':')?;
    if host.starts_with(b"[") {
        let close = host.iter().position(|byte| *byte == b']')?;
        return (close + 1 == colon).then(|| host.get(1..close)).flatten().filter(|bare| !bare.contains(&b'['));
    }
    let bare = host.get(..colon)?;
    let port = host.get(colon + 1..)?;
    let stray = bare.contains(&b':') || [bare, port].iter().any(|part| part.contains(&b'[') || part.contains(&b']'));
    (!stray).then_some(bare)
}

/// An address, since Go 1.24 also one with a zone.
fn is_address(text: &[u8], go: Go) -> bool {
    let Ok(text) = std::str::from_utf8(text) else {
        return false;
    };
    match text.split_once('%') {
        Some((address, zone)) => {
            go.is_at_least(GoRelease::V1_24) && !zone.is_empty() && address.parse::<Ipv6Addr>().is_ok()
        }
        None => text.parse::<IpAddr>().is_ok(),
    }
}

/// A name for a message: text, or an address.
pub(super) fn display(name: &[u8]) -> String {
    if let Ok(octets) = <[u8; 4]>::try_from(name)
        && !name.iter().all(u8::is_ascii_graphic)
    {
        return IpAddr::from(octets).to_string();
    }
    match <[u8; 16]>::try_from(name) {
        Ok(octets) if !name.iter().all(u8::is_ascii_graphic) => IpAddr::from(octets).to_string(),
        _ => crate::shortened(&String::from_utf8_lossy(name)),
    }
}

#[cfg(test)]
mod tests {
    use dockseal_docker::version::Version;

    use super::*;

    const GO_24: Go = Version::V28.docker_go();

    #[test]
    fn domains() {
        let matches = |domain: &str, constraint: &str| domain_matches(domain.as_bytes(), constraint.as_bytes(), GO_24);
        assert!(matches("example.test", "example.test"));
        assert!(matches("d1.example.test", "Example.test"));
        assert!(!matches("badexample.test", "example.test"));
        assert!(!matches("example.test", ".example.test"));
        assert!(matches("d1.example.test", ".example.test"));
        assert!(matches("*.example.test", "example.test"));
        assert!(!matches("*.example.test", "d1.example.test"));
        assert!(matches("anything", ""));
        assert!(matches("anything", "."));
        assert!(!matches("", "."));
        assert!(!matches("test", "example.test"));
    }

    #[test]
    fn uri_hosts() {
        let bare =
            |host: &str| bare_uri_host(host.as_bytes(), GO_24).map(|host| String::from_utf8_lossy(host).into_owned());
        assert_eq!(bare("a.b:80").as_deref(), Some("a.b"));
        assert_eq!(bare("a.b").as_deref(), Some("a.b"));
        assert_eq!(bare("127.0.0.1:80"), None);
        assert_eq!(bare("[::1]"), None);
        assert_eq!(bare("[::1]:80"), None);
        assert_eq!(bare("[fe80::1%eth0]:80"), None);
        assert_eq!(bare("a:1:2"), None);
        assert_eq!(bare(""), None);
    }
}
