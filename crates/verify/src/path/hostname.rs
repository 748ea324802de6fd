//! Whether a certificate is for the host that the client dials.
//!
//! Source: Go src/crypto/x509/verify.go (`VerifyHostname`, `validHostname`, `matchHostnames`); the host as net/http
//! hands it over: src/net/http/transport.go (`canonicalAddr`, `tlsHost`) and request.go (`idnaASCII`).

use std::net::{IpAddr, Ipv6Addr};

use dockseal_docker::version::{Go, GoRelease};

use super::Mismatch;
use crate::x509::Certificate;

/// The host as Go's client puts it into the handshake: U-labels become A-labels, everything else stays.
pub(crate) fn as_dialled(host: &str) -> String {
    if host.is_ascii() { host.to_owned() } else { idna::domain_to_ascii(host).unwrap_or_else(|_| host.to_owned()) }
}

/// The address that a host is, in brackets or without.
pub(crate) fn as_address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// The address of a host with a zone, which counts for nothing.
fn as_scoped_address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let (address, zone) = bare.split_once('%')?;
    let address: Ipv6Addr = address.parse().ok()?;
    (!zone.is_empty()).then_some(address.into())
}

/// Whether the certificate names `host`, given as [`as_dialled`] returns it.
pub(crate) fn matches(certificate: &Certificate<'_>, host: &str, go: Go) -> bool {
    let names = &certificate.extensions;
    let scoped = || as_scoped_address(host).filter(|_| go.is_at_least(GoRelease::V1_27));
    if let Some(address) = as_address(host).or_else(scoped) {
        return names.ip_addresses.iter().any(|candidate| mapped(candidate) == Some(mapped_address(address)));
    }
    let host = host.to_ascii_lowercase();
    let host = host.as_bytes();
    let host_is_plain = is_valid_hostname(host.strip_suffix(b".").unwrap_or(host), false, go);
    names.dns_names.iter().any(|name| {
        if host_is_plain && is_valid_hostname(name, true, go) {
            matches_pattern(name, host.strip_suffix(b".").unwrap_or(host))
        } else {
            !matches!(*name, b"" | b".") && !matches!(host, b"" | b".") && name.eq_ignore_ascii_case(host)
        }
    })
}

/// Where a host that does not match stands all the same.
pub(crate) fn mismatch(certificate: &Certificate<'_>, host: &str) -> Mismatch {
    if let Some(address) = as_address(host) {
        let is_it = |name: &&[u8]| str::from_utf8(name).ok().and_then(as_address) == Some(address);
        if certificate.extensions.dns_names.iter().any(is_it) {
            return Mismatch::AddressAsDnsName;
        }
    }
    if matches_common_name_only(certificate, host) { Mismatch::CommonName } else { Mismatch::Nowhere }
}

/// Whether only the common name, which Go has not looked at since 1.15, would match.
fn matches_common_name_only(certificate: &Certificate<'_>, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    certificate.extensions.subject_alt_name.is_none()
        && certificate.common_name.as_ref().is_some_and(|name| matches_pattern(name.as_bytes(), host.as_bytes()))
}

fn mapped(address: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 4]>::try_from(address)
        .map(|octets| mapped_address(octets.into()))
        .or_else(|_| <[u8; 16]>::try_from(address).map(Ipv6Addr::from))
        .ok()
}

fn mapped_address(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn is_valid_hostname(host: &[u8], pattern: bool, go: Go) -> bool {
    if host.is_empty() || host == b"*" && go.is_at_least(GoRelease::V1_24) {
        return false;
    }
    host.split(|byte| *byte == b'.').enumerate().all(|(position, label)| {
        let wildcard = pattern && position == 0 && label == b"*";
        let plain = |(index, byte): (usize, &u8)| {
            byte.is_ascii_alphanumeric() || *byte == b'_' || (*byte == b'-' && index != 0)
        };
        wildcard || (!label.is_empty() && label.iter().enumerate().all(plain))
    })
}

/// Label by label without regard to case; a leading `*` stands for any one label.
fn matches_pattern(pattern: &[u8], host: &[u8]) -> bool {
    if pattern.is_empty() || host.is_empty() {
        return false;
    }
    let mut pattern = pattern.split(|byte| *byte == b'.').enumerate();
    let mut host = host.split(|byte| *byte == b'.');
    loop {
        match (pattern.next(), host.next()) {
            (None, None) => return true,
            (Some((0, b"*")), Some(_)) => {}
            (Some((_, pattern)), Some(label)) if pattern.eq_ignore_ascii_case(label) => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use dockseal_docker::version::Version;

    use super::*;

    #[test]
    fn patterns() {
        let go = Version::V29.docker_go();
        let check = |pattern: &str, host: &str| {
            is_valid_hostname(pattern.as_bytes(), true, go) && matches_pattern(pattern.as_bytes(), host.as_bytes())
        };
        assert!(check("*.example.test", "d1.example.test"));
        assert!(check("*.test", "d1.test"));
        assert!(!check("*.example.test", "a.d1.example.test"));
        assert!(!check("*.example.test", "example.test"));
        assert!(!check("d*.example.test", "d1.example.test"));
        assert!(!check("a.*.test", "a.b.test"));
        assert!(!matches_pattern(b"a.*.test", b"a.b.test"));
        assert!(!check("*", "localhost"));
        assert!(is_valid_hostname(b"*", true, Go::V1_19));
        assert!(check("a_b.test", "a_b.test"));
        assert!(!check("-a.test", "-a.test"));
        assert!(!check("a.test.", "a.test"));
    }

    #[test]
    fn hosts() {
        assert_eq!(as_dialled("bücher.example"), "xn--bcher-kva.example");
        assert_eq!(as_dialled("D1.Example.test"), "D1.Example.test");
        assert_eq!(as_address("[::1]"), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        assert_eq!(as_address("127.0.0.1").map(mapped_address), mapped(&[127, 0, 0, 1]));
        assert_eq!(as_address("127.1"), None);
        assert_eq!(as_address("127.0.0.01"), None);
    }
}
