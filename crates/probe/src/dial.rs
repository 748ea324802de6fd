//! Names to addresses, addresses to connections.
//!
//! Go tries the first address and, after 300 ms, the others beside it (net/dial.go `dialParallel`). Here all start at
//! once, and an earlier address that answers within those 300 ms is preferred.

use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use crate::{Connecting, ProbeError, Target};

/// How long an earlier address is preferred (net/dial.go `fallbackDelay`).
const FALLBACK_DELAY: Duration = Duration::from_millis(300);

/// The most addresses that are tried.
const MOST_ADDRESSES: usize = 16;

/// The addresses of a name. The resolver has no limit of its own, so it is left behind in its thread.
pub(crate) fn resolve(target: &Target, limit: Duration) -> Result<Vec<SocketAddr>, ProbeError> {
    let unresolved = |source| ProbeError::Unresolved { host: target.host.clone(), source };
    let (sender, receiver) = mpsc::channel();
    let (host, port) = (target.host.clone(), target.port);
    thread::Builder::new()
        .spawn(move || sender.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>)))
        .map_err(unresolved)?;
    let mut addresses = match receiver.recv_timeout(limit) {
        Ok(found) => found.map_err(unresolved)?,
        Err(_) => return Err(unresolved(io::ErrorKind::TimedOut.into())),
    };
    let mut seen = Vec::new();
    addresses.retain(|address| {
        let new = !seen.contains(address);
        seen.push(*address);
        new
    });
    addresses.truncate(MOST_ADDRESSES);
    if addresses.is_empty() {
        return Err(unresolved(io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

pub(crate) type Dialled = (Vec<(SocketAddr, Connecting)>, SocketAddr, TcpStream);

/// A connection to one of the addresses, and what came of the others.
pub(crate) fn connect(addresses: &[SocketAddr], limit: Duration) -> Result<Dialled, ProbeError> {
    if let [address] = addresses {
        return match TcpStream::connect_timeout(address, limit) {
            Ok(stream) => Ok((vec![(*address, Connecting::Connected)], *address, stream)),
            Err(error) => Err(ProbeError::Unreachable { addresses: vec![(*address, error)] }),
        };
    }
    let (sender, receiver) = mpsc::channel();
    let mut answers: Vec<Option<io::Result<TcpStream>>> = addresses.iter().map(|_| None).collect();
    for (position, address) in addresses.iter().copied().enumerate() {
        let sender = sender.clone();
        let spawned =
            thread::Builder::new().spawn(move || sender.send((position, TcpStream::connect_timeout(&address, limit))));
        if let Err(error) = spawned {
            answers[position] = Some(Err(error));
        }
    }
    drop(sender);

    let started = Instant::now();
    loop {
        let earliest = answers.iter().position(|answer| matches!(answer, Some(Ok(_))));
        let unanswered_before = |position: usize| answers[..position].iter().any(Option::is_none);
        let wait = match earliest {
            Some(position) if !unanswered_before(position) => break,
            Some(_) => FALLBACK_DELAY.saturating_sub(started.elapsed()),
            None if answers.iter().all(Option::is_some) => break,
            None => limit.saturating_sub(started.elapsed()) + FALLBACK_DELAY,
        };
        match receiver.recv_timeout(wait) {
            Ok((position, answer)) => answers[position] = Some(answer),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }

    let mut chosen = None;
    let mut all = Vec::new();
    for (address, answer) in addresses.iter().zip(answers) {
        let connecting = match answer {
            Some(Ok(stream)) => {
                chosen.get_or_insert((*address, stream));
                Connecting::Connected
            }
            Some(Err(error)) => Connecting::Failed(error),
            None => Connecting::NotAwaited,
        };
        all.push((*address, connecting));
    }
    match chosen {
        Some((address, stream)) => Ok((all, address, stream)),
        None => Err(ProbeError::Unreachable {
            addresses: all
                .into_iter()
                .map(|(address, connecting)| match connecting {
                    Connecting::Failed(error) => (address, error),
                    Connecting::Connected | Connecting::NotAwaited => (address, io::ErrorKind::TimedOut.into()),
                })
                .collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const LIMIT: Duration = Duration::from_secs(5);

    /// A port that one loopback address listens on and another does not.
    fn half_open() -> (TcpListener, SocketAddr, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        (listener, open, SocketAddr::new([127, 0, 0, 2].into(), open.port()))
    }

    #[test]
    fn the_address_that_answers_is_taken() {
        let (_listener, open, closed) = half_open();
        for order in [[open, closed], [closed, open]] {
            let (all, dialled, _) = connect(&order, LIMIT).unwrap();
            assert_eq!(dialled, open);
            for (address, connecting) in all {
                assert_eq!(address == open, matches!(connecting, Connecting::Connected), "{address}: {connecting:?}");
            }
        }
    }

    #[test]
    fn the_earlier_of_two_is_taken() {
        let (_listener, open, other) = half_open();
        let _other = TcpListener::bind(other).unwrap();
        for order in [[open, other], [other, open]] {
            assert_eq!(connect(&order, LIMIT).unwrap().1, order[0]);
        }
    }

    #[test]
    fn every_address_has_its_reason() {
        let (listener, open, closed) = half_open();
        drop(listener);
        let Err(ProbeError::Unreachable { addresses }) = connect(&[open, closed], LIMIT) else {
            panic!("it connected")
        };
        assert_eq!(addresses.len(), 2);
        assert!(addresses.iter().all(|(_, error)| error.kind() == io::ErrorKind::ConnectionRefused), "{addresses:?}");
    }
}
