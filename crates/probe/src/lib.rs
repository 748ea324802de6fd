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
//! (`CertificateRequestInfo.SupportsCertificate`: when a certificate is withheld), net/dial.go (several addresses); see
//! also the modules proxy, signing and group.
//!
//! ```
//! use std::{net::TcpListener, time::Duration};
//!
//! use dockseal_probe::{Dialler, Limits, ProbeError, Target, probe};
//!
//! // Nobody listens there any more.
//! let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
//! let seen = probe(&Target::new("127.0.0.1", port), &Dialler::default(), Limits::within(Duration::from_secs(5)));
//! assert!(matches!(seen, Err(ProbeError::Unreachable { .. })));
//! # Ok::<(), std::io::Error>(())
//! ```

mod attempt;
mod dial;
mod group;
mod http;
mod identity;
mod proof;
mod proxy;
mod random;
mod signing;
mod tls;
mod wire;

use std::{
    error::Error,
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use dockseal_docker::version::Version;

pub use attempt::{Attempt, Offer, Phase, Trouble};
pub use http::Reply;
pub use identity::{Identity, UnusableKey};
pub use proxy::{Proxy, ProxyVariables, Routes};
pub use tls::{ClientCertificate, Handshake, Proof, TlsVersion};

use crate::attempt::Course;

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A host name, or an address without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The path before every request's: empty, or from a slash on and with escapes (moby client/request.go `getAPIPath`).
    pub base_path: String,
}

impl Target {
    /// A host's port, without a path.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port, base_path: String::new() }
    }

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
    /// The address that was talked to: of the target, or of the proxy on the way to it.
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
    /// The proxy for TLS is of a kind that is not spoken here.
    UnspokenProxy(Proxy),
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved { host, .. } => write!(f, "the name {host:?} has no address"),
            Self::Unreachable { addresses } => match &addresses[..] {
                [(address, _)] => write!(f, "{address} takes no connection"),
                _ => write!(f, "none of {} addresses takes a connection", addresses.len()),
            },
            Self::UnspokenProxy(proxy) => {
                write!(f, "{proxy} is a proxy of a kind that docker speaks to and this program does not")
            }
        }
    }
}

impl Error for ProbeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unresolved { source, .. } => Some(source),
            Self::Unreachable { addresses } => addresses.first().map(|(_, error)| error as _),
            Self::UnspokenProxy(_) => None,
        }
    }
}

/// Who dials, and how.
#[derive(Clone, Debug, Default)]
pub struct Dialler<'d> {
    /// The client's certificate, where there is one.
    pub identity: Option<&'d Identity>,
    /// The proxies on the way.
    pub routes: Routes,
    /// The docker whose offer is made.
    pub docker: Version,
}

/// Dials `target` and tries everything that can be tried with this identity.
///
/// # Errors
/// When the name does not resolve or nothing takes a connection, the target's or that of the proxy for TLS. Everything
/// after that is an [`Observation`].
pub fn probe(target: &Target, dialler: &Dialler<'_>, limits: Limits) -> Result<Observation, ProbeError> {
    let started = Instant::now();
    let Dialler { identity, routes, docker } = dialler;
    let deadline = started + limits.overall;
    let course = |offer, address| Course {
        offer,
        target,
        address,
        proxy: if offer == Offer::Plain { routes.plain.as_ref() } else { routes.tls.as_ref() },
        docker: *docker,
        identity: identity.filter(|_| offer == Offer::WithCertificate),
        started,
        deadline,
        step: limits.step,
    };
    let (addresses, dialled, first) = reach(target, routes.tls.as_ref(), limits)?;

    let mut offers = vec![Offer::Tls13, Offer::Tls12];
    offers.extend(identity.map(|_| Offer::WithCertificate));
    let mut courses: Vec<Course<'_>> = offers.into_iter().map(|offer| course(offer, dialled)).collect();
    // Plain HTTP may take another way.
    let mut lost = None;
    if routes.plain == routes.tls {
        courses.insert(0, course(Offer::Plain, dialled));
    } else {
        match reach(target, routes.plain.as_ref(), limits) {
            Ok((_, address, _)) => courses.insert(0, course(Offer::Plain, address)),
            Err(error) => lost = Some(course(Offer::Plain, dialled).given_up(&error.to_string())),
        }
    }
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
    attempts.extend(lost);
    Ok(Observation { addresses, dialled, attempts })
}

/// A connection to one of the addresses of the target, or of the proxy, and what came of the others.
fn reach(target: &Target, proxy: Option<&Proxy>, limits: Limits) -> Result<dial::Dialled, ProbeError> {
    if let Some(proxy) = proxy.filter(|proxy| !proxy.is_spoken()) {
        return Err(ProbeError::UnspokenProxy(proxy.clone()));
    }
    let host = proxy.map_or(target, |proxy| &proxy.address);
    let addresses = match host.address() {
        Some(address) => vec![SocketAddr::new(address, host.port)],
        None => dial::resolve(host, limits.step)?,
    };
    dial::connect(&addresses, limits.step)
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
