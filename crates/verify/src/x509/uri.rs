//! URIs as Go's net/url parses them, as far as it decides whether a certificate loads and which host it names.
//!
//! Source: Go src/net/url/url.go (`Parse`, `parseAuthority`, `parseHost`, `unescape`) of 1.19, 1.24 and 1.26.

use std::net::Ipv6Addr;

use dockseal_docker::version::{Go, GoRelease};

/// The host of a URI (`URL.Host`), empty if it has none; `None` where `url.Parse` refuses the text.
pub(super) fn host_of(text: &[u8], go: Go) -> Option<Vec<u8>> {
    let (url, fragment) = cut(text, b'#');
    let host = host_of_url(url, go)?;
    unescape(fragment.unwrap_or_default(), Part::Other)?;
    Some(host)
}

fn host_of_url(url: &[u8], go: Go) -> Option<Vec<u8>> {
    if url.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
        return None;
    }
    if url == b"*" {
        return Some(Vec::new());
    }
    let (scheme, rest) = scheme(url)?;
    let rest = cut(rest, b'?').0;
    if !rest.starts_with(b"/") {
        if !scheme.is_empty() {
            return Some(Vec::new());
        }
        if cut(rest, b'/').0.contains(&b':') {
            return None;
        }
    }
    let has_authority =
        rest.starts_with(b"//") && (!scheme.is_empty() || !rest.starts_with(b"///"));
    if !has_authority {
        unescape(rest, Part::Other)?;
        return Some(Vec::new());
    }
    let rest = rest.get(2..).unwrap_or_default();
    let slash = rest
        .iter()
        .position(|byte| *byte == b'/')
        .unwrap_or(rest.len());
    let (authority, path) = rest.split_at(slash);
    let host = authority_host(scheme, authority, go)?;
    unescape(path, Part::Other)?;
    Some(host)
}

fn scheme(url: &[u8]) -> Option<(&[u8], &[u8])> {
    for (index, byte) in url.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return None,
            b':' => return Some((url.get(..index)?, url.get(index + 1..)?)),
            _ => break,
        }
    }
    Some((&[], url))
}

fn authority_host(scheme: &[u8], authority: &[u8], go: Go) -> Option<Vec<u8>> {
    let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else {
        return host(scheme, authority, go);
    };
    let found = host(scheme, authority.get(at + 1..)?, go)?;
    let user = authority.get(..at)?;
    let valid = user
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte));
    if !valid {
        return None;
    }
    unescape(user, Part::Other)?;
    Some(found)
}

fn host(scheme: &[u8], host: &[u8], go: Go) -> Option<Vec<u8>> {
    let since_1_26 = go.is_at_least(GoRelease::V1_26);
    if since_1_26
        && host
            .iter()
            .rposition(|byte| *byte == b'[')
            .is_some_and(|index| index > 0)
    {
        return None;
    }
    if host.starts_with(b"[") {
        return bracketed_host(host, since_1_26);
    }
    if let Some(first) = host.iter().position(|byte| *byte == b':') {
        let last = host.iter().rposition(|byte| *byte == b':').unwrap_or(first);
        let strict = go.refuses_stray_colons()
            && (scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https"));
        if !is_optional_port(host.get(if strict { first } else { last }..)?) {
            return None;
        }
    }
    unescape(host, Part::Host)
}

fn bracketed_host(host: &[u8], since_1_26: bool) -> Option<Vec<u8>> {
    let close = host.iter().rposition(|byte| *byte == b']')?;
    let port = host.get(close + 1..)?;
    if !is_optional_port(port) {
        return None;
    }
    let literal = host.get(1..close)?;
    let zone = literal.windows(3).position(|window| window == b"%25");
    let (address, zone) = literal.split_at(zone.unwrap_or(literal.len()));
    let mut unescaped = unescape(address, Part::Host)?;
    unescaped.extend(unescape(zone, Part::Zone)?);
    if since_1_26 && !is_ipv6(&unescaped) {
        return None;
    }
    Some([&b"["[..], &unescaped, b"]", port].concat())
}

/// Whether `netip.ParseAddr` reads an IPv6 address, with a zone or without.
fn is_ipv6(text: &[u8]) -> bool {
    let (address, zone) = cut(text, b'%');
    !zone.is_some_and(<[u8]>::is_empty)
        && std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

fn is_optional_port(text: &[u8]) -> bool {
    match text.split_first() {
        None => true,
        Some((b':', digits)) => digits.iter().all(u8::is_ascii_digit),
        Some(_) => false,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Host,
    Zone,
    /// A path, user or fragment: only broken escapes are refused.
    Other,
}

fn unescape(text: &[u8], part: Part) -> Option<Vec<u8>> {
    let mut unescaped = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            if part != Part::Other && byte < 0x80 && !belongs_in_host(byte) {
                return None;
            }
            unescaped.push(byte);
            continue;
        }
        let [high, low, after @ ..] = after else {
            return None;
        };
        let value = hex(*high)? << 4 | hex(*low)?;
        let percent = value == b'%';
        match part {
            Part::Host if value < 0x80 && !percent => return None,
            Part::Zone if !percent && value != b' ' && !belongs_in_host(value) => return None,
            _ => {}
        }
        unescaped.push(value);
        rest = after;
    }
    Some(unescaped)
}

fn belongs_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$&'()*+,;=:[]<>\"-_.~".contains(&byte)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

fn cut(text: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == separator) {
        Some(index) => (text.get(..index).unwrap_or_default(), text.get(index + 1..)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use dockseal_docker::version::Version;

    use super::*;

    fn parse(text: &str, go: Go) -> Option<String> {
        host_of(text.as_bytes(), go).map(|host| String::from_utf8_lossy(&host).into_owned())
    }

    #[test]
    fn hosts() {
        for go in [
            Go::V1_19,
            Version::V28.docker_go(),
            Version::V29.dockerd_go(),
        ] {
            for (text, host) in [
                ("https://example.com/path?x#y", "example.com"),
                ("https://user:pw@example.com:80/", "example.com:80"),
                ("urn:isbn:1", ""),
                ("spiffe://trust/domain", "trust"),
                ("", ""),
                ("path/only", ""),
                ("https://[::1]:8/", "[::1]:8"),
                ("//host", "host"),
                ("///path", ""),
                ("https://", ""),
                ("*", ""),
            ] {
                assert_eq!(parse(text, go).as_deref(), Some(host), "{text}");
            }
            for text in [
                "https://a b/",
                "http://[::1",
                "http://a:b/",
                "http://a/%zz",
                ":x",
                "a:b/\u{7f}",
                "1:2",
                "http://a%20b/",
                "http://a/#%",
                "http://a@b\"@c d/",
            ] {
                assert_eq!(parse(text, go), None, "{text}");
            }
        }
    }

    #[test]
    fn go_1_26_reads_ipv6_literals() {
        assert!(parse("http://[x]/", Version::V28.docker_go()).is_some());
        assert!(parse("http://[x]/", Version::V29.docker_go()).is_none());
        assert!(parse("http://a[x]/", Version::V28.docker_go()).is_some());
        assert!(parse("http://a[x]/", Version::V29.docker_go()).is_none());
        assert!(parse("http://[127.0.0.1]/", Version::V29.docker_go()).is_none());
        assert!(parse("http://a:1:2/", Version::V29.docker_go()).is_some());
        assert!(parse("http://a:1:2/", Version::V29.dockerd_go()).is_none());
    }
}
