//! Through which proxy docker dials, by Go's rules, and how the proxy is asked.
//!
//! docker's transport has `http.ProxyFromEnvironment` (go-connections sockets/sockets.go `configureTransport`), which is
//! golang.org/x/net/http/httpproxy/proxy.go (`Config`, `useProxy`, `init`); how a proxy is spoken to is Go net/http
//! transport.go (`dialConn`). docker verifies the daemon through the tunnel as it does without one.

use std::{fmt, io, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    Target,
    attempt::{Phase, Trouble},
    wire::Wire,
};

/// The most that a proxy's answer to CONNECT may have, in bytes.
const MOST_HEAD: usize = 64 << 10;

/// The variables that say how to get out, each from the first of its two names that is not empty.
#[derive(Clone, Default)]
pub struct ProxyVariables {
    /// `HTTPS_PROXY` or `https_proxy`: for TLS.
    pub https: String,
    /// `HTTP_PROXY` or `http_proxy`: for plain HTTP.
    pub http: String,
    /// `NO_PROXY` or `no_proxy`: for whom not.
    pub no_proxy: String,
}

impl fmt::Debug for ProxyVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyVariables([elided])") // they may hold passwords
    }
}

/// The proxies on the way to one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    /// For TLS.
    pub tls: Option<Proxy>,
    /// For plain HTTP.
    pub plain: Option<Proxy>,
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// How it is spoken to, e.g. `http`.
    pub scheme: String,
    /// Where it is.
    pub address: Target,
    /// The value of Proxy-Authorization, where there is one.
    authorization: Option<String>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address.authority())
    }
}

impl Routes {
    /// What Go makes of the variables for this target.
    #[must_use]
    pub fn from_variables(variables: &ProxyVariables, target: &Target) -> Self {
        if !uses_proxy(&variables.no_proxy, target) {
            return Self::default();
        }
        Self { tls: Proxy::parse(&variables.https), plain: Proxy::parse(&variables.http) }
    }
}

/// httpproxy `useProxy`, and the matchers of its `init`.
fn uses_proxy(no_proxy: &str, target: &Target) -> bool {
    let host = target.host.to_lowercase();
    let address = target.address();
    // The literal word, before its case is folded.
    if target.host == "localhost" || address.is_some_and(|address| canonical(address).is_loopback()) {
        return false;
    }
    !no_proxy.split(',').map(|pattern| pattern.trim().to_lowercase()).any(|pattern| matches(&pattern, target, &host))
}

fn matches(pattern: &str, target: &Target, host: &str) -> bool {
    let address = target.address();
    if pattern == "*" {
        return true;
    }
    if let Some((network, bits)) = cidr(pattern) {
        return address.is_some_and(|address| contains(network, bits, address));
    }
    let (name, port) = split_port(pattern);
    if port.is_some_and(|port| !port.is_empty() && port != target.port.to_string()) {
        return false;
    }
    if let Ok(pattern) = name.parse::<IpAddr>() {
        return address.is_some_and(|address| canonical(address) == canonical(pattern));
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match (address, name.strip_prefix('.')) {
        // Names are held against names only.
        (Some(_), _) => false,
        (None, _) if name.is_empty() => false,
        (None, Some(_)) => host.ends_with(name),
        (None, None) => host == name || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')),
    }
}

/// Go's `net.SplitHostPort`: with one colon, or after brackets; anything else has no port.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, after)) => after.strip_prefix(':').map_or((text, None), |port| (name, Some(port))),
        None => match text.split_once(':') {
            Some((name, port)) if !port.contains(':') => (name, Some(port)),
            _ => (text, None),
        },
    }
}

/// Go's `net.ParseCIDR`.
fn cidr(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let bits = bits.parse().ok()?;
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, bits))
}

fn contains(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    let same =
        |network: u128, address: u128, width: u32| (network ^ address).checked_shr(width - bits).unwrap_or(0) == 0;
    match (network, canonical(address)) {
        (IpAddr::V4(network), IpAddr::V4(address)) => same(network.to_bits().into(), address.to_bits().into(), 32),
        (IpAddr::V6(network), IpAddr::V6(address)) => same(network.to_bits(), address.to_bits(), 128),
        _ => false,
    }
}

/// An IPv4 address in an IPv6 one is that address, as for Go's `net.IP`.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

impl Proxy {
    /// httpproxy `parseProxy`: what has no scheme or host gets `http://`; so does what is no URL, and then its scheme is
    /// taken for the host.
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => (scheme.to_lowercase(), rest),
            _ => ("http".to_owned(), text),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let Some(address) = address(place, &scheme) else {
            let host = text.split(':').next().unwrap_or_default().to_owned();
            return Some(Self { scheme: "http".to_owned(), address: Target::new(host, 80), authorization: None });
        };
        let authorization = user.map(|user| {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            let mut credentials = unescaped(name);
            credentials.push(b':');
            credentials.extend(unescaped(password));
            format!("Basic {}", BASE64.encode(&credentials))
        });
        Some(Self { scheme, address, authorization })
    }

    /// Whether this program can speak to it: over plain HTTP. docker also speaks TLS and SOCKS 5 to one.
    pub(crate) fn is_spoken(&self) -> bool {
        self.scheme == "http"
    }

    /// The header that lets one in, if there is one.
    pub(crate) fn authorization_line(&self) -> String {
        self.authorization.as_ref().map_or_else(String::new, |value| format!("Proxy-Authorization: {value}\r\n"))
    }

    /// Asks for a tunnel to `target`. Go takes 200 and nothing else.
    pub(crate) fn open_tunnel(&self, wire: &mut Wire, target: &Target) -> Result<(), Trouble> {
        let phase = Phase::Proxy;
        let authority = target.authority();
        let request = format!(
            "CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: dockseal/{}\r\n{}\r\n",
            env!("CARGO_PKG_VERSION"),
            self.authorization_line()
        );
        let failed = |error: io::Error| Trouble::of_io(&error, phase);
        io::Write::write_all(wire, request.as_bytes()).map_err(failed)?;
        let mut head = Vec::new();
        loop {
            // One by one: what comes after the head is the daemon's.
            let mut byte = [0];
            if io::Read::read(wire, &mut byte).map_err(failed)? == 0 {
                return Err(if head.is_empty() { Trouble::Closed { phase } } else { Trouble::ProxyNotHttp });
            }
            head.extend_from_slice(&byte);
            if head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n") {
                break;
            }
            if head.len() > MOST_HEAD {
                return Err(Trouble::TooMuch);
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut response = httparse::Response::new(&mut headers);
        response.parse(&head).map_err(|_| Trouble::ProxyNotHttp)?;
        match response.code {
            Some(200) => {
                // From here on it is the daemon that speaks.
                wire.forget();
                Ok(())
            }
            Some(status) => {
                Err(Trouble::ProxyRefused { status, reason: response.reason.unwrap_or_default().to_owned() })
            }
            None => Err(Trouble::ProxyNotHttp),
        }
    }
}

/// Host and port of a proxy; `None` for what is neither.
fn address(place: &str, scheme: &str) -> Option<Target> {
    let (host, port) = split_port(place);
    let bare = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
    let is_literal = bare.parse::<std::net::Ipv6Addr>().is_ok();
    if bare.is_empty() || bare.contains(['[', ']']) || bare.contains(':') && !is_literal {
        return None;
    }
    let port = match port.filter(|port| !port.is_empty()) {
        Some(port) => port.parse().ok()?,
        // net/http transport.go `portMap`
        None => match scheme {
            "http" => 80,
            "https" => 443,
            _ => 1080,
        },
    };
    Some(Target::new(bare, port))
}

/// `%41` to `A`, as in the user part of a URL (RFC 3986 section 2.1).
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%');
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str) -> Target {
        Target::new(host, 2376)
    }

    /// Cases of golang.org/x/net/http/httpproxy/proxy_test.go (`UseProxyTests`, `proxyForURLTests`) and a few more.
    #[test]
    fn no_proxy_by_gos_rules() {
        let no_proxy = "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:2376, 10.0.0.0/30, \
                        2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:2376, 2002:db8:a::45/64, port.example:99, same.example:2376";
        for (host, used) in [
            ("localhost", false),
            ("LOCALHOST", true),
            ("127.0.0.1", false),
            ("127.0.0.2", false),
            ("::1", false),
            ("::ffff:127.0.0.1", false),
            ("::2", true),
            ("barbaz.net", true),
            ("www.barbaz.net", false),
            ("wildcard.io", true),
            ("nested.www.wildcard.io", false),
            ("foobar.com", false),
            ("www.foobar.com", false),
            ("FOOBAR.com", false),
            ("foofoobar.com", true),
            ("baz.com", true),
            ("192.168.1.1", false),
            ("192.168.1.2", true),
            ("192.168.1.3", false),
            ("192.168.1.4", true),
            ("10.0.0.2", false),
            ("10.0.0.4", true),
            ("2001:db8::52:0:1", false),
            ("2001:db8::52:0:2", true),
            ("2001:db8::52:0:3", false),
            ("2002:db8:a::123", false),
            ("fe80::424b:c8be:1643:a1b6", true),
            ("port.example", true),
            ("same.example", false),
        ] {
            assert_eq!(uses_proxy(no_proxy, &target(host)), used, "{host}");
        }
        for no_proxy in ["*", "a.b, *", " * "] {
            assert!(!uses_proxy(no_proxy, &target("example.com")) && !uses_proxy(no_proxy, &target("10.9.9.9")));
        }
        assert!(uses_proxy("", &target("example.com")));
        assert!(uses_proxy(",:80,[],/,10.0.0.1/99,", &target("10.0.0.1")));
        assert!(!uses_proxy("0.0.0.0/0", &target("10.0.0.1")));
        assert!(uses_proxy("::/0", &target("10.0.0.1")) && !uses_proxy("::/0", &target("fd00::1")));
    }

    #[test]
    fn addresses_of_proxies() {
        for (text, shown, authorization) in [
            ("http://10.0.0.1:8888", "http://10.0.0.1:8888", None),
            ("10.0.0.1:8888", "http://10.0.0.1:8888", None),
            ("proxy.example", "http://proxy.example:80", None),
            ("HTTP://proxy.example/path", "http://proxy.example:80", None),
            ("https://proxy.example", "https://proxy.example:443", None),
            ("socks5://[fd00::1]", "socks5://[fd00::1]:1080", None),
            // RFC 7617 section 2 has this very pair.
            (
                "http://Aladdin:open%20sesame@p:1",
                "http://p:1",
                Some("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"),
            ),
            ("http://a@p:1", "http://p:1", Some("Proxy-Authorization: Basic YTo=\r\n")),
        ] {
            let proxy = Proxy::parse(text).unwrap();
            assert_eq!(proxy.to_string(), shown, "{text}");
            assert_eq!(proxy.authorization_line(), authorization.unwrap_or_default(), "{text}");
            assert!(!format!("{proxy:?}").contains("sesame"));
        }
        // Seen with docker 28.2.2: `lookup http`.
        for text in ["http://p:99999", "http://[10.0.0.1:80", "http://p:port", "http://[::1]x"] {
            assert_eq!(Proxy::parse(text).unwrap().to_string(), "http://http:80", "{text}");
        }
        assert_eq!(Proxy::parse(""), None);
    }
}
