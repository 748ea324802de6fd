//! As much of Go's net/url as decides what docker makes of `tcp://…`.
//!
//! Source: Go net/url url.go (`Parse`, `parseAuthority`, `parseHost`, `unescape`, `shouldEscape`), path/path.go (`Join`).

/// What stands after the scheme: `HOST:PORT` without a user, and the path without escapes.
pub(crate) struct Authority<'t> {
    pub(crate) address: &'t str,
    pub(crate) path: Vec<u8>,
}

impl<'t> Authority<'t> {
    /// Reads what follows `://`; `None` where Go refuses it.
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return None;
        }
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        unescaped(fragment.as_bytes())?;
        let (text, _) = text.split_once('?').unwrap_or((text, ""));
        let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let address = match authority.rsplit_once('@') {
            Some((user, address)) if is_userinfo(user) => address,
            Some(_) => return None,
            None => authority,
        };
        let may_stand = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:[]<>\"".contains(c);
        let path = unescaped(path.as_bytes())?;
        address.chars().all(may_stand).then_some(Self { address, path })
    }
}

/// What may stand before the last `@`.
fn is_userinfo(text: &str) -> bool {
    let may_stand = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    text.chars().all(may_stand) && unescaped(text.as_bytes()).is_some()
}

/// The octets behind `%41`; `None` where an escape is none.
pub(crate) fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let [high, low, after @ ..] = after else { return None };
            octets.push(hex(*high)? << 4 | hex(*low)?);
            rest = after;
        } else {
            octets.push(*first);
            rest = after;
        }
    }
    Some(octets)
}

/// A path of docker's before those of its requests: cleaned, with escapes, and empty where there is none.
pub(crate) fn joined(path: &[u8]) -> String {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|octet| *octet == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.iter().map(|part| format!("/{}", escaped(part))).collect()
}

fn escaped(part: &[u8]) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.~$&+,:;=@".contains(&octet);
    let escape = |&octet: &u8| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") };
    part.iter().map(escape).collect()
}
