//! What was seen, in words: fit to be shown whatever the peer said.

use dockseal_pki::pem::encode;
use dockseal_probe::{Attempt, Phase, Reply, Trouble};
use dockseal_verify::Finding;

use super::picture::shortened;

/// What Go's and nginx's servers answer with when they are asked in plain HTTP.
const PLAIN_ON_TLS: [&str; 2] =
    ["Client sent an HTTP request to an HTTPS server", "The plain HTTP request was sent to HTTPS port"];

/// What nginx answers where Docker would end the handshake (ngx_http_special_response.c, 495 and 496).
const NGINX_REFUSALS: [&str; 2] = ["The SSL certificate error", "No required SSL certificate was sent"];

pub(super) fn is_plain_on_tls(reply: &Reply) -> bool {
    let body = String::from_utf8_lossy(&reply.body);
    reply.status == 400 && PLAIN_ON_TLS.iter().any(|text| body.contains(text))
}

/// Whether a proxy says that it does not get on behind it (RFC 9110, 15.6.3 to 15.6.5).
pub(super) fn is_gateways(reply: &Reply) -> bool {
    matches!(reply.status, 502..=504)
}

pub(super) fn is_refusal_of_nginx(reply: &Reply) -> bool {
    let body = String::from_utf8_lossy(&reply.body);
    reply.status == 400 && NGINX_REFUSALS.iter().any(|text| body.contains(text))
}

/// `HTTP 400, Server: nginx, "…"`.
pub(super) fn answer(reply: &Reply) -> String {
    let mut text = format!("HTTP {}", reply.status);
    if let Some(server) = reply.header("server") {
        text.push_str(&format!(", Server: {}", shortened(server, 60)));
    }
    let body = String::from_utf8_lossy(&reply.body);
    let first = body.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let known = NGINX_REFUSALS.iter().chain(&PLAIN_ON_TLS).find(|text| body.contains(**text));
    let line = known.copied().unwrap_or(first);
    if !line.is_empty() {
        text.push_str(&format!(", \"{}\"", shortened(line, 120)));
    }
    text
}

/// Why an attempt went no further, in words.
pub(super) fn described(attempt: &Attempt) -> String {
    let during = |phase: Phase| match phase {
        Phase::Connect => "when connecting",
        Phase::Proxy => "when the proxy was asked for the connection",
        Phase::Handshake => "during the handshake",
        Phase::Request => "after the request",
    };
    match &attempt.trouble {
        None => "it ended".to_owned(),
        Some(Trouble::Silent { phase }) if attempt.received == 0 => format!("silence {}", during(*phase)),
        Some(Trouble::Silent { phase }) => {
            format!("{} bytes came and it did not get done in time {}", attempt.received, during(*phase))
        }
        Some(Trouble::Closed { phase }) => format!("the connection was closed {}", during(*phase)),
        Some(Trouble::Reset { phase }) => format!("the connection was reset {}", during(*phase)),
        Some(Trouble::Alert { name, .. }) => format!("the alert {name}"),
        Some(Trouble::ProxyRefused { status, reason }) => {
            format!("the proxy answers {status} {}", shortened(reason, 100)).trim_end().to_owned()
        }
        Some(Trouble::ProxyNotHttp) => "the proxy does not answer in HTTP".to_owned(),
        Some(Trouble::NotTls) => format!("no TLS: it says {}", shown(&attempt.banner)),
        Some(Trouble::BrokenTls(text)) => format!("broken TLS: {}", shortened(text, 200)),
        Some(Trouble::LongMessage) => "a handshake message of more than 64 KiB".to_owned(),
        Some(Trouble::NotHttp) if attempt.is_answered_in_tls() => "the answer is no HTTP".to_owned(),
        Some(Trouble::NotHttp) => format!("no HTTP: it says {}", shown(&attempt.banner)),
        Some(Trouble::TooMuch) => format!("more came than any daemon sends ({} bytes)", attempt.received),
        Some(Trouble::Local(text)) => shortened(text, 200),
    }
}

/// `92 seconds behind this machine's`.
pub(super) fn ahead(skew: i64) -> String {
    let (count, unit) = match skew.unsigned_abs() {
        seconds @ 0..120 => (seconds, "seconds"),
        seconds @ 120..7200 => (seconds / 60, "minutes"),
        seconds @ 7200..172_800 => (seconds / 3600, "hours"),
        seconds => (seconds / 86_400, "days"),
    };
    format!("{count} {unit} {} this machine's", if skew < 0 { "behind" } else { "ahead of" })
}

/// The first line of what was said, in quotes.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    format!("\"{}\"", shortened(text.lines().next().unwrap_or_default(), 80))
}

/// A distinguished name from its DER, as the report has it.
pub(super) fn name(der: &[u8]) -> String {
    use x509_parser::{prelude::FromDer, x509::X509Name};
    match X509Name::from_der(der) {
        Ok((_, name)) => shortened(&name.to_string(), 200),
        Err(_) => format!("(unreadable name of {} bytes)", der.len()),
    }
}

/// What was found, and in which file.
pub(super) fn located(finding: &Finding) -> String {
    match &finding.place {
        Some(place) => format!("{}: {}", place.file.default_name(), finding.text),
        None => finding.text.clone(),
    }
}

/// The PEM text of a certificate that was served.
pub(super) fn pem(der: &[u8]) -> String {
    encode("CERTIFICATE", der)
}
