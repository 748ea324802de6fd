//! What a daemon is called: host names, wildcards and addresses, each as the right kind of subject alternative name.
//!
//! The rules are RFC 5280 section 4.2.1.6 and RFC 1123 section 2.1, narrowed to what Docker's Go matches
//! (crypto/x509 verify.go validHostname, matchHostnames): a name that no client could ever match is refused here, because
//! the alternative is to find out from "certificate is valid for …, not …".

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// One entry of the subjectAltName extension, of the two kinds that Docker looks at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectAltName {
    /// A dNSName: lower-case ASCII, perhaps with `*` as its whole left-most label.
    Dns(String),
    /// An iPAddress.
    Ip(IpAddr),
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// A name that was accepted, and what should be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedName {
    /// The name.
    pub name: SubjectAltName,
    /// What was changed or is doubtful about it.
    pub notes: Vec<NameNote>,
}

/// Something about an accepted name that its user should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameNote {
    /// A non-ASCII name was converted to its A-labels (RFC 5891), since certificates hold nothing else.
    ConvertedToPunycode {
        /// As it was given.
        from: String,
        /// As the certificate has it.
        to: String,
    },
    /// An underscore: Docker accepts it, host name rules (RFC 1123) and many linters do not.
    Underscore {
        /// The name.
        name: String,
    },
    /// An IPv4-mapped IPv6 address was taken as the IPv4 address that it stands for.
    MappedToIpv4 {
        /// As it was given.
        from: Ipv6Addr,
        /// As the certificate has it.
        to: Ipv4Addr,
    },
    /// A wildcard directly below a top-level name: Docker accepts it, other stacks do not.
    WildcardTopLevel {
        /// The name.
        name: String,
    },
}

impl fmt::Display for NameNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConvertedToPunycode { from, to } => write!(f, "{from} stands in the certificate as {to} (punycode)"),
            Self::Underscore { name } => {
                write!(f, "{name} contains an underscore: Docker accepts it, other programs may not")
            }
            Self::MappedToIpv4 { from, to } => write!(f, "{from} stands in the certificate as {to}"),
            Self::WildcardTopLevel { name } => {
                write!(f, "{name} covers a whole top-level name: Docker accepts it, other programs do not")
            }
        }
    }
}

/// Why a text cannot be a name in a daemon's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Nothing, or blanks only.
    Empty,
    /// `tcp://…` or another URL.
    Scheme {
        /// As it was given.
        name: String,
        /// The host inside it, if there is one.
        host: Option<String>,
    },
    /// A port number behind the host.
    Port {
        /// As it was given.
        name: String,
        /// What remains without it.
        host: String,
    },
    /// An IPv6 zone, which belongs to one machine's interface and never to a certificate.
    Zone {
        /// As it was given.
        name: String,
        /// The address without it.
        address: String,
    },
    /// A dot at the end: dockerd does not start with such a certificate (moby issue 51367).
    TrailingDot {
        /// As it was given.
        name: String,
        /// What remains without it.
        host: String,
    },
    /// A kind in front, as openssl writes it (`DNS:`, `IP:`).
    KindPrefix {
        /// As it was given.
        name: String,
        /// What remains without it.
        host: String,
    },
    /// A `*` alone, or anywhere but as the whole left-most label.
    Wildcard {
        /// As it was given.
        name: String,
    },
    /// It ends in a number like an address but is none: clients would take it for an address and never match it.
    NearlyAnAddress {
        /// As it was given.
        name: String,
    },
    /// An address that nobody can dial: unspecified, multicast or broadcast.
    NotDialled {
        /// The address.
        address: IpAddr,
    },
    /// A range of addresses or a path.
    Slash {
        /// As it was given.
        name: String,
    },
    /// More than 253 octets, or a label of more than 63 (RFC 1035 section 2.3.4).
    TooLong {
        /// Its length in octets.
        length: usize,
        /// The most that fits.
        limit: usize,
    },
    /// Two dots in a row, a dot at the start, or a hyphen at either end of a label.
    Label {
        /// As it was given.
        name: String,
    },
    /// A character that no host name has.
    Character {
        /// The first such character.
        character: char,
    },
    /// Non-ASCII that IDNA (UTS 46) does not allow.
    NotConvertible {
        /// As it was given.
        name: String,
    },
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a name is empty"),
            Self::Scheme { name, .. } => write!(f, "{} is a URL, not a name", shown(name)),
            Self::Port { name, .. } => write!(f, "{} has a port; certificates name hosts, not ports", shown(name)),
            Self::Zone { name, .. } => {
                write!(f, "{} has a zone id, which means nothing on another machine", shown(name))
            }
            Self::TrailingDot { name, .. } => {
                write!(f, "{} ends with a dot; dockerd does not start with such a certificate", shown(name))
            }
            Self::KindPrefix { name, .. } => {
                write!(f, "{} names its kind; the kind follows from the name itself", shown(name))
            }
            Self::Wildcard { name } => {
                write!(
                    f,
                    "{} is no usable wildcard: * stands only for the whole left-most label, as in *.example.com",
                    shown(name)
                )
            }
            Self::NearlyAnAddress { name } => {
                write!(f, "{} ends in a number but is no address, so no client would ever match it", shown(name))
            }
            Self::NotDialled { address } => write!(f, "{address} is an address that no client dials"),
            Self::Slash { name } => write!(f, "{} contains a slash; a certificate names single hosts", shown(name)),
            Self::TooLong { length, limit } => {
                write!(f, "a name or one of its labels has {length} characters; at most {limit} fit")
            }
            Self::Label { name } => {
                write!(f, "{} has an empty label or a label that begins or ends with a hyphen", shown(name))
            }
            Self::Character { character } => {
                write!(f, "a name contains {:?}, which no host name has", character)
            }
            Self::NotConvertible { name } => write!(f, "{} is not a valid internationalised name", shown(name)),
        }
    }
}

impl std::error::Error for NameError {}

/// A hostile or endless name, made fit to stand in a message.
fn shown(name: &str) -> String {
    let shown: String = crate::printable(name).chars().take(80).collect();
    if shown.len() < name.len() && name.chars().count() > 80 { format!("{shown}…") } else { shown }
}

impl SubjectAltName {
    /// Reads a name as people write it: a host name, `*.example.com`, an IPv4 address, an IPv6 address with or without
    /// brackets.
    ///
    /// # Errors
    /// When no client could match it, with the nearest usable spelling where there is one.
    pub fn parse(text: &str) -> Result<ParsedName, NameError> {
        let text = text.trim();
        let owned = || text.to_owned();
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if let Some((_, rest)) = text.split_once("://") {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = without_port(host).unwrap_or(host);
            return Err(NameError::Scheme { name: owned(), host: (!host.is_empty()).then(|| host.to_owned()) });
        }
        for prefix in ["DNS:", "IP:", "IP Address:"] {
            if text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)) {
                let host = text[prefix.len()..].trim().to_owned();
                // `ip::1` would be an odd but harmless loss: it is no address either.
                return Err(NameError::KindPrefix { name: owned(), host });
            }
        }
        if let Some(host) = without_port(text) {
            return Err(NameError::Port { name: owned(), host: host.to_owned() });
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Some((address, _zone)) = bare.split_once('%')
            && address.parse::<Ipv6Addr>().is_ok()
        {
            return Err(NameError::Zone { name: owned(), address: address.to_owned() });
        }
        if let Ok(address) = bare.parse::<IpAddr>() {
            return parse_address(address);
        }
        parse_dns(text)
    }

    /// Whether it covers more than one host.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Dns(name) if name.starts_with('*'))
    }
}

/// The host of `host:port` or `[v6]:port`. A bare IPv6 address has no port.
fn without_port(text: &str) -> Option<&str> {
    let (host, port) = text.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let bracketed = host.starts_with('[') && host.ends_with(']');
    (is_port && (bracketed || (!host.contains(':') && !host.is_empty()))).then_some(host)
}

fn parse_address(address: IpAddr) -> Result<ParsedName, NameError> {
    let (address, notes) = match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => (IpAddr::V4(v4), vec![NameNote::MappedToIpv4 { from: v6, to: v4 }]),
            None => (address, Vec::new()),
        },
        IpAddr::V4(_) => (address, Vec::new()),
    };
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_multicast() || broadcast {
        return Err(NameError::NotDialled { address });
    }
    Ok(ParsedName { name: SubjectAltName::Ip(address), notes })
}

fn parse_dns(text: &str) -> Result<ParsedName, NameError> {
    let owned = || text.to_owned();
    let mut notes = Vec::new();
    if text.contains('/') {
        return Err(NameError::Slash { name: owned() });
    }
    if text != "."
        && let Some(host) = text.strip_suffix('.')
    {
        return Err(NameError::TrailingDot { name: owned(), host: host.to_owned() });
    }
    let (wildcard, base) = match text.strip_prefix("*.") {
        Some(base) => (true, base),
        None => (false, text),
    };
    if base.contains('*') {
        return Err(NameError::Wildcard { name: owned() });
    }
    // Before IDNA, whose conversion takes long on long input; no A-label is shorter than its U-label.
    if text.chars().count() > 253 {
        return Err(NameError::TooLong { length: text.chars().count(), limit: 253 });
    }
    let ascii = if base.is_ascii() {
        base.to_ascii_lowercase()
    } else {
        if let Some(character) = base.chars().find(|c| crate::user::is_invisible(*c) || c.is_whitespace()) {
            return Err(NameError::Character { character });
        }
        let converted = idna::domain_to_ascii_cow(base.as_bytes(), idna::AsciiDenyList::URL)
            .map_err(|_| NameError::NotConvertible { name: owned() })?
            .into_owned();
        let star = if wildcard { "*." } else { "" };
        notes.push(NameNote::ConvertedToPunycode { from: owned(), to: format!("{star}{converted}") });
        converted
    };
    check_labels(text, &ascii)?;
    let name = if wildcard { format!("*.{ascii}") } else { ascii };
    if name.len() > 253 {
        return Err(NameError::TooLong { length: name.len(), limit: 253 });
    }
    if name.contains('_') {
        notes.push(NameNote::Underscore { name: name.clone() });
    }
    if wildcard && !name[2..].contains('.') {
        notes.push(NameNote::WildcardTopLevel { name: name.clone() });
    }
    Ok(ParsedName { name: SubjectAltName::Dns(name), notes })
}

fn check_labels(given: &str, ascii: &str) -> Result<(), NameError> {
    if let Some(character) = ascii.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))) {
        return Err(NameError::Character { character });
    }
    for label in ascii.split('.') {
        if label.is_empty() || label.starts_with('-') || label.ends_with('-') {
            return Err(NameError::Label { name: given.to_owned() });
        }
        if label.len() > 63 {
            return Err(NameError::TooLong { length: label.len(), limit: 63 });
        }
    }
    // A last label of digits (or 0x…) makes URL parsers and resolvers read the whole as an IPv4 address.
    let last = ascii.rsplit('.').next().unwrap_or_default();
    let hexadecimal = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if hexadecimal || last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(NameError::NearlyAnAddress { name: given.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(text: &str) -> SubjectAltName {
        SubjectAltName::Dns(text.to_owned())
    }

    #[test]
    fn names_become_the_right_kind() {
        let cases = [
            ("build.example.com", dns("build.example.com")),
            ("Build.Example.COM", dns("build.example.com")),
            ("localhost", dns("localhost")),
            ("*.example.com", dns("*.example.com")),
            ("10.0.0.5", SubjectAltName::Ip("10.0.0.5".parse().unwrap())),
            ("::1", SubjectAltName::Ip("::1".parse().unwrap())),
            ("[2001:DB8::5]", SubjectAltName::Ip("2001:db8::5".parse().unwrap())),
            ("2001:0db8:0000:0000:0000:0000:0000:0005", SubjectAltName::Ip("2001:db8::5".parse().unwrap())),
            ("3com.example", dns("3com.example")),
        ];
        for (text, expected) in cases {
            let parsed = SubjectAltName::parse(text).unwrap();
            assert_eq!(parsed.name, expected, "{text}");
            assert!(parsed.notes.is_empty(), "{text}");
        }
    }

    #[test]
    fn doubtful_names_pass_with_a_note() {
        let parsed = SubjectAltName::parse("bücher.example").unwrap();
        assert_eq!(parsed.name, dns("xn--bcher-kva.example"));
        assert!(matches!(parsed.notes[..], [NameNote::ConvertedToPunycode { .. }]));
        let parsed = SubjectAltName::parse("*.bücher.example").unwrap();
        assert_eq!(parsed.name, dns("*.xn--bcher-kva.example"));
        let parsed = SubjectAltName::parse("my_host").unwrap();
        assert!(matches!(parsed.notes[..], [NameNote::Underscore { .. }]));
        let parsed = SubjectAltName::parse("::ffff:10.0.0.5").unwrap();
        assert_eq!(parsed.name, SubjectAltName::Ip("10.0.0.5".parse().unwrap()));
        assert!(matches!(parsed.notes[..], [NameNote::MappedToIpv4 { .. }]));
        let parsed = SubjectAltName::parse("*.test").unwrap();
        assert!(matches!(parsed.notes[..], [NameNote::WildcardTopLevel { .. }]));
    }

    #[test]
    fn names_that_no_client_matches_are_refused() {
        use NameError as E;
        let long = format!("{}.example", "a".repeat(300));
        let label = format!("{}.example", "a".repeat(64));
        type Expected = fn(&E) -> bool;
        let cases: Vec<(&str, Expected)> = vec![
            ("", |e| matches!(e, E::Empty)),
            ("   ", |e| matches!(e, E::Empty)),
            ("host.example.", |e| matches!(e, E::TrailingDot { host, .. } if host == "host.example")),
            ("10.0.0.5.", |e| matches!(e, E::TrailingDot { host, .. } if host == "10.0.0.5")),
            ("*", |e| matches!(e, E::Wildcard { .. })),
            ("a.*.example", |e| matches!(e, E::Wildcard { .. })),
            ("a*.example", |e| matches!(e, E::Wildcard { .. })),
            ("*.*.example", |e| matches!(e, E::Wildcard { .. })),
            ("*.10.0.0.5", |e| matches!(e, E::NearlyAnAddress { .. })),
            ("tcp://host:2376", |e| matches!(e, E::Scheme { host: Some(host), .. } if host == "host")),
            ("https://[::1]:2376/x", |e| matches!(e, E::Scheme { host: Some(host), .. } if host == "[::1]")),
            ("unix:///var/run/docker.sock", |e| matches!(e, E::Scheme { host: None, .. })),
            ("host:2376", |e| matches!(e, E::Port { host, .. } if host == "host")),
            ("[::1]:2376", |e| matches!(e, E::Port { host, .. } if host == "[::1]")),
            ("10.0.0.5:2376", |e| matches!(e, E::Port { host, .. } if host == "10.0.0.5")),
            ("fe80::1%eth0", |e| matches!(e, E::Zone { address, .. } if address == "fe80::1")),
            ("[fe80::1%25eth0]", |e| matches!(e, E::Zone { .. })),
            ("DNS:host", |e| matches!(e, E::KindPrefix { host, .. } if host == "host")),
            ("IP:10.0.0.5", |e| matches!(e, E::KindPrefix { host, .. } if host == "10.0.0.5")),
            ("10.0.0.256", |e| matches!(e, E::NearlyAnAddress { .. })),
            ("010.0.0.1", |e| matches!(e, E::NearlyAnAddress { .. })),
            ("1.2.3", |e| matches!(e, E::NearlyAnAddress { .. })),
            ("0x7f000001", |e| matches!(e, E::NearlyAnAddress { .. })),
            ("0.0.0.0", |e| matches!(e, E::NotDialled { .. })),
            ("::", |e| matches!(e, E::NotDialled { .. })),
            ("224.0.0.1", |e| matches!(e, E::NotDialled { .. })),
            ("10.0.0.0/8", |e| matches!(e, E::Slash { .. })),
            (&long, |e| matches!(e, E::TooLong { length: 308, limit: 253 })),
            (&label, |e| matches!(e, E::TooLong { length: 64, limit: 63 })),
            ("a..b", |e| matches!(e, E::Label { .. })),
            (".a", |e| matches!(e, E::Label { .. })),
            ("-a.example", |e| matches!(e, E::Label { .. })),
            ("a b", |e| matches!(e, E::Character { character: ' ' })),
            ("a@b", |e| matches!(e, E::Character { character: '@' })),
            ("a\nb", |e| matches!(e, E::Character { character: '\n' })),
            ("bü\u{202e}cher", |e| matches!(e, E::Character { .. })),
        ];
        for (text, expected) in cases {
            let error = SubjectAltName::parse(text).expect_err(text);
            assert!(expected(&error), "{text:?} gave {error:?}");
        }
    }
}
