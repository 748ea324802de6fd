//! One connection from its beginning to its end.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use dockseal_docker::version::Version;
use rustls::{Error as TlsError, InvalidMessage};

use crate::{
    Handshake, Identity, Proxy, Target,
    http::{Conversation, NotHttp, Reply},
    tls::{Failed, Session},
    wire::Wire,
};

/// What is offered to the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Offer {
    /// Plain HTTP.
    Plain,
    /// TLS 1.3 and nothing else, without a certificate.
    Tls13,
    /// TLS 1.2 and nothing else, without a certificate.
    Tls12,
    /// TLS 1.3 or 1.2, and the client's certificate if it is asked for.
    WithCertificate,
}

/// How far a connection came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The TCP connection.
    Connect,
    /// The proxy is asked for the way on.
    Proxy,
    /// The TLS handshake.
    Handshake,
    /// The request and its answer.
    Request,
}

/// Why a connection went no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The peer did not go on in time.
    Silent {
        /// Where.
        phase: Phase,
    },
    /// The peer ended the connection.
    Closed {
        /// Where.
        phase: Phase,
    },
    /// The peer, or something between, tore the connection down.
    Reset {
        /// Where.
        phase: Phase,
    },
    /// The peer refused with a TLS alert.
    Alert {
        /// Where.
        phase: Phase,
        /// The alert as RFC 8446 section 6 spells it, e.g. `bad_certificate`.
        name: String,
    },
    /// The proxy does not let the connection through.
    ProxyRefused {
        /// Its status code, anything but 200.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// The proxy did not answer in HTTP.
    ProxyNotHttp,
    /// What came is no TLS at all; see [`Attempt::banner`].
    NotTls,
    /// What came breaks the rules of TLS.
    BrokenTls(String),
    /// A handshake message of more than 65,535 bytes, which is more than this program reads.
    LongMessage,
    /// What came is no HTTP.
    NotHttp,
    /// More came than any daemon sends.
    TooMuch,
    /// Something here, not there.
    Local(String),
}

impl Trouble {
    pub(crate) fn of_io(error: &io::Error, phase: Phase) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::TimedOut | Kind::WouldBlock => Self::Silent { phase },
            Kind::UnexpectedEof => Self::Closed { phase },
            Kind::ConnectionRefused => Self::Reset { phase },
            Kind::FileTooLarge => Self::TooMuch,
            _ if is_torn_down(error) => Self::Reset { phase },
            _ => Self::Local(error.to_string()),
        }
    }
}

/// What one connection showed.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What was offered.
    pub offer: Offer,
    /// The handshake as far as it came; none in plain HTTP.
    pub handshake: Option<Handshake>,
    /// The answer to `GET /_ping`.
    pub ping: Option<Reply>,
    /// The answer to `GET /v1.41/version`, by the version that the ping names, which is asked for after a ping that was answered with 200, or refused: a proxy may
    /// let the one through and not the other.
    pub version: Option<Reply>,
    /// Why it ended early.
    pub trouble: Option<Trouble>,
    /// The first bytes that came, at most 256.
    pub banner: Vec<u8>,
    /// How many bytes came.
    pub received: u64,
    /// How long it took.
    pub took: Duration,
}

impl Attempt {
    /// Whether what came begins as TLS does.
    #[must_use]
    pub fn is_answered_in_tls(&self) -> bool {
        is_tls(&self.banner)
    }
}

/// An attempt to be made.
#[derive(Clone, Copy)]
pub(crate) struct Course<'p> {
    pub(crate) offer: Offer,
    pub(crate) target: &'p Target,
    /// Where the connection goes: to the target, or to the proxy.
    pub(crate) address: SocketAddr,
    pub(crate) proxy: Option<&'p Proxy>,
    /// The docker whose offer is made.
    pub(crate) docker: Version,
    pub(crate) identity: Option<&'p Identity>,
    /// When the probe began.
    pub(crate) started: Instant,
    pub(crate) deadline: Instant,
    pub(crate) step: Duration,
}

impl Course<'_> {
    /// Makes it, over `stream` if there is one already.
    pub(crate) fn run(&self, stream: Option<TcpStream>) -> Attempt {
        let began = Instant::now();
        let mut attempt = self.given_up("");
        attempt.trouble = None;
        let end = self.step_end();
        let connected = match stream {
            Some(stream) => Ok(stream),
            None => match end.saturating_duration_since(Instant::now()) {
                Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
                left => TcpStream::connect_timeout(&self.address, left),
            },
        };
        match connected {
            Err(error) => attempt.trouble = Some(Trouble::of_io(&error, Phase::Connect)),
            Ok(stream) => {
                let mut wire = Wire::new(stream, end);
                if let Err(trouble) = self.talk(&mut wire, &mut attempt) {
                    attempt.trouble = Some(trouble);
                }
                (attempt.banner, attempt.received) = (wire.banner, wire.received);
            }
        }
        attempt.took = began.elapsed();
        attempt
    }

    /// The attempt that was not made.
    pub(crate) fn given_up(&self, why: &str) -> Attempt {
        Attempt {
            offer: self.offer,
            handshake: None,
            ping: None,
            version: None,
            trouble: Some(Trouble::Local(why.to_owned())),
            banner: Vec::new(),
            received: 0,
            took: Duration::ZERO,
        }
    }

    fn step_end(&self) -> Instant {
        self.deadline.min(Instant::now() + self.step)
    }

    fn talk(&self, wire: &mut Wire, attempt: &mut Attempt) -> Result<(), Trouble> {
        if self.offer == Offer::Plain {
            return self.converse(&mut Channel::Plain(wire), attempt);
        }
        if let Some(proxy) = self.proxy {
            proxy.open_tunnel(wire, self.target)?;
            wire.deadline = self.step_end();
        }
        let mut session = Session::new(self.offer, self.docker, self.target, self.identity)
            .map_err(|error| Trouble::Local(error.to_string()))?;
        let shaken = session.shake_hands(wire);
        attempt.handshake = Some(session.seen());
        shaken.map_err(|failed| trouble_of(failed, Phase::Handshake, wire))?;
        let conversed = self.converse(&mut Channel::Tls(&mut session, wire), attempt);
        attempt.handshake = Some(session.seen());
        session.close(wire);
        conversed
    }

    fn converse(&self, channel: &mut Channel<'_>, attempt: &mut Attempt) -> Result<(), Trouble> {
        let mut conversation = Conversation::new(self.target, self.proxy.filter(|_| self.offer == Offer::Plain));
        channel.wire().deadline = self.step_end();
        let ping = conversation.get("/_ping", channel)?;
        let goes_on = matches!(ping.status, 200 | 403..=405) && !ping.is_last;
        let path = versioned("/version", &ping);
        attempt.ping = Some(Reply { after: self.started.elapsed(), ..ping });
        if goes_on {
            channel.wire().deadline = self.step_end();
            let version = conversation.get(&path, channel)?;
            attempt.version = Some(Reply { after: self.started.elapsed(), ..version });
        }
        Ok(())
    }
}

/// What HTTP goes over.
pub(crate) enum Channel<'c> {
    Plain(&'c mut Wire),
    Tls(&'c mut Session, &'c mut Wire),
}

impl Channel<'_> {
    fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) | Self::Tls(_, wire) => wire,
        }
    }

    /// Sends everything; a peer that no longer listens may have said why, so that is an error only to `receive`.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let sent = match self {
            Self::Plain(wire) => io::Write::write_all(wire, bytes).map_err(Failed::Io),
            Self::Tls(session, wire) => session.send(wire, bytes),
        };
        match sent {
            Err(Failed::Io(error)) if is_torn_down(&error) => Ok(()),
            sent => sent.map_err(|failed| trouble_of(failed, Phase::Request, self.wire())),
        }
    }

    /// Some bytes of the answer; none at its end.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Trouble> {
        let received = match self {
            Self::Plain(wire) => io::Read::read(wire, buffer).map_err(Failed::Io),
            Self::Tls(session, wire) => session.receive(wire, buffer),
        };
        received.map_err(|failed| trouble_of(failed, Phase::Request, self.wire()))
    }
}

impl From<NotHttp> for Trouble {
    fn from(_: NotHttp) -> Self {
        Self::NotHttp
    }
}

fn is_torn_down(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::NotConnected)
}

fn trouble_of(failed: Failed, phase: Phase, wire: &Wire) -> Trouble {
    match failed {
        Failed::Io(error) => Trouble::of_io(&error, phase),
        Failed::Tls(TlsError::AlertReceived(alert)) => Trouble::Alert { phase, name: alert_name(alert) },
        Failed::Tls(TlsError::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge)) if is_tls(&wire.banner) => {
            Trouble::LongMessage
        }
        Failed::Tls(_) if !is_tls(&wire.banner) => Trouble::NotTls,
        Failed::Tls(error) => Trouble::BrokenTls(error.to_string()),
    }
}

/// A path with the version of the API that a ping names, as docker asks for it (moby client/request.go `getAPIPath`).
fn versioned(path: &str, ping: &Reply) -> String {
    let is_number = |text: &str| !text.is_empty() && text.len() < 6 && text.bytes().all(|byte| byte.is_ascii_digit());
    let api = ping
        .header("api-version")
        .filter(|api| api.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor)));
    api.map_or_else(|| path.to_owned(), |api| format!("/v{api}{path}"))
}

/// Whether bytes begin as a TLS record does (RFC 8446 section 5.1).
pub(crate) fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23, 3, 0..=4, ..] | [20..=23, 3] | [20..=23])
}

/// `bad_certificate`, from rustls's `BadCertificate`.
fn alert_name(alert: rustls::AlertDescription) -> String {
    use rustls::AlertDescription as Alert;
    // Capitals in a row, and one spelling of rustls's own.
    match alert {
        Alert::UnknownCA => return "unknown_ca".to_owned(),
        Alert::BadRecordMac => return "bad_record_mac".to_owned(),
        Alert::UnknownPSKIdentity => return "unknown_psk_identity".to_owned(),
        Alert::UnrecognisedName => return "unrecognized_name".to_owned(),
        _ => {}
    }
    let Some(name) = alert.as_str() else { return format!("alert {}", u8::from(alert)) };
    let mut text = String::new();
    for (position, character) in name.chars().enumerate() {
        if character.is_ascii_uppercase() && position > 0 {
            text.push('_');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_spelled_as_in_the_standard() {
        use rustls::AlertDescription as Alert;
        for (alert, name) in [
            (Alert::BadCertificate, "bad_certificate"),
            (Alert::UnknownCA, "unknown_ca"),
            (Alert::CertificateRequired, "certificate_required"),
            (Alert::from(200), "alert 200"),
        ] {
            assert_eq!(alert_name(alert), name);
        }
    }

    #[test]
    fn tls_is_told_from_other_things() {
        assert!(is_tls(&[0x16, 3, 3, 0, 70]));
        assert!(is_tls(&[0x15, 3, 1, 0, 2, 2, 70]));
        assert!(!is_tls(b"HTTP/1.1 400"));
        assert!(!is_tls(b"SSH-2.0-"));
        assert!(!is_tls(&[]));
    }
}
