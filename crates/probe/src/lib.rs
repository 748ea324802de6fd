//! The live handshake with a Docker daemon: what is really served, asked for and accepted.
//!
//! [`probe`] dials a port as the docker client would, in plain HTTP, with each version of TLS, and with the client's
//! certificate, and says what it saw. It reports facts only: what Docker makes of the chain is `dockseal-verify`'s to say.
//!
//! The peer may be hostile or broken: every wait has a limit, every buffer a bound, and whatever comes ends as an
//! [`Attempt`], never as a hang or a panic. Blocking sockets, and a thread for each attempt; the clock is not read, times
//! are counted from the call.
//!
//! Sources: docker/cli v29.7.2 opts/hosts.go, moby v29.7.2 client/request.go (what is asked), Go crypto/tls common.go
//! (`CertificateRequestInfo.SupportsCertificate`: when a certificate is withheld), net/dial.go (several addresses).

mod attempt;
mod dial;
mod http;
mod identity;
mod proof;
mod tls;
mod wire;

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

pub use attempt::{Attempt, Offer, Phase, Trouble};
pub use http::Reply;
pub use identity::{Identity, UnusableKey};
pub use tls::{ClientCertificate, Handshake, Proof, TlsVersion};

use crate::attempt::Course;

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A host name, or an address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl Target {
    /// `host:port`, an IPv6 address in brackets, as the `Host` header has it.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]:{}", self.port),
            Err(_) => format!("{}:{}", self.host, self.port),
        }
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// How long everything may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The whole probe.
    pub overall: Duration,
    /// One step: resolving the name, connecting, a handshake, a request with its answer.
    pub step: Duration,
}

impl Limits {
    /// `overall`, of which a step may take a third.
    #[must_use]
    pub fn within(overall: Duration) -> Self {
        Self { overall, step: overall / 3 }
    }
}

/// Everything that was seen.
#[derive(Debug)]
pub struct Observation {
    /// The addresses of the host in the order in which they are tried, and what came of connecting to each.
    pub addresses: Vec<(SocketAddr, Connecting)>,
    /// The address that was talked to.
    pub dialled: SocketAddr,
    /// What was tried there.
    pub attempts: Vec<Attempt>,
}

impl Observation {
    /// The attempt that made this offer.
    #[must_use]
    pub fn attempt(&self, offer: Offer) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.offer == offer)
    }
}

/// What came of connecting to an address.
#[derive(Debug)]
pub enum Connecting {
    /// It took the connection.
    Connected,
    /// It did not.
    Failed(io::Error),
    /// Another address was faster.
    NotAwaited,
}

/// Why nothing could be talked to.
#[derive(Debug)]
pub enum ProbeError {
    /// The name has no address.
    Unresolved {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address took a connection.
    Unreachable {
        /// Each address and why not; at least one.
        addresses: Vec<(SocketAddr, io::Error)>,
    },
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved { host, .. } => write!(f, "the name {host:?} has no address"),
            Self::Unreachable { addresses } => match &addresses[..] {
                [(address, _)] => write!(f, "{address} takes no connection"),
                _ => write!(f, "none of {} addresses takes a connection", addresses.len()),
            },
        }
    }
}

impl Error for ProbeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unresolved { source, .. } => Some(source),
            Self::Unreachable { addresses } => addresses.first().map(|(_, error)| error as _),
        }
    }
}

/// Dials `target` and tries everything that can be tried with this identity.
///
/// # Errors
/// When the name does not resolve or nothing takes a connection. Everything after that is an [`Observation`].
pub fn probe(target: &Target, identity: Option<&Identity>, limits: Limits) -> Result<Observation, ProbeError> {
    let started = Instant::now();
    let course = |offer, address| Course {
        offer,
        target,
        address,
        identity: identity.filter(|_| offer == Offer::WithCertificate),
        started,
        deadline: started + limits.overall,
        step: limits.step,
    };
    let addresses = match target.address() {
        Some(address) => vec![SocketAddr::new(address, target.port)],
        None => dial::resolve(target, limits.step)?,
    };
    let (addresses, dialled, first) = dial::connect(&addresses, limits.step)?;

    let mut offers = vec![Offer::Plain, Offer::Tls13, Offer::Tls12];
    offers.extend(identity.map(|_| Offer::WithCertificate));
    let courses: Vec<Course<'_>> = offers.into_iter().map(|offer| course(offer, dialled)).collect();
    let mut attempts = all_at_once(&courses, first);

    // A server that serves one connection at a time lets the others wait: those are tried again, alone.
    if attempts.iter().any(|attempt| attempt.received > 0) {
        for (attempt, course) in attempts.iter_mut().zip(&courses) {
            if matches!(attempt.trouble, Some(Trouble::Silent { .. })) && attempt.received == 0 {
                let again = course.run(None);
                if again.received > 0 {
                    *attempt = again;
                }
            }
        }
    }
    Ok(Observation { addresses, dialled, attempts })
}

/// Runs every course in a thread of its own; the last gets the connection that there is.
fn all_at_once(courses: &[Course<'_>], first: TcpStream) -> Vec<Attempt> {
    let mut first = Some(first);
    thread::scope(|scope| {
        let mut running = Vec::new();
        for (position, course) in courses.iter().enumerate() {
            let stream = if position + 1 == courses.len() { first.take() } else { None };
            running.push((course, thread::Builder::new().spawn_scoped(scope, move || course.run(stream))));
        }
        running
            .into_iter()
            .map(|(course, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|_| course.given_up("the attempt broke down")),
                Err(error) => course.given_up(&format!("cannot start a thread: {error}")),
            })
            .collect()
    })
}
