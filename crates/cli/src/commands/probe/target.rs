//! What to dial, read as docker reads `DOCKER_HOST`.

use dockseal_docker::{
    daemon_json::TLS_PORT,
    endpoint::{Endpoint, base_path},
    env::{HostError, host_url},
};
use dockseal_probe::Target;

use crate::{correction::dialled_host, failure::Failure, output::Output};

/// The host and port of `text`; where docker would surprise, that is said.
pub(super) fn parse(text: &str, output: &mut Output) -> Result<Target, Failure> {
    let wrong = || Failure::trouble(format!("cannot dial {text:?}"));
    match text.split_once("://") {
        Some(("unix" | "npipe" | "fd", _)) => {
            return Err(wrong()
                .cause("Docker never uses TLS on a local socket; who may open the file is who may use it")
                .hint("name the TCP port that clients dial, e.g. dockseal probe tcp://build.example.com:2376"));
        }
        Some(("ssh", rest)) => {
            let host = rest.rsplit('@').next().unwrap_or_default().split([':', '/']).next().unwrap_or_default();
            return Err(wrong()
                .cause(
                    "over ssh:// docker logs in with ssh and uses the local socket there: no certificate is involved",
                )
                .hint(format!("try that with: ssh {host} docker version; for mutual TLS give tcp://{host}:2376")));
        }
        _ => {}
    }
    if let Err((cause, Some(meant))) = dialled_host(text) {
        return Err(wrong().cause(cause).hint(format!("write {meant}")));
    }
    let url = host_url(text).map_err(|error| {
        let failure = wrong().cause(&error);
        match error {
            HostError::NoHost => failure.hint("name the host that clients dial, e.g. tcp://build.example.com:2376"),
            HostError::Scheme { .. } => failure.hint("give tcp://HOST:PORT"),
            HostError::Port { .. } => failure.hint("give a port from 1 to 65535; dockerd's for TLS is 2376"),
            HostError::NotAHost { .. } => {
                failure.hint("give tcp://HOST:PORT, an IPv6 address in brackets: tcp://[fd00::1]:2376")
            }
        }
    })?;
    Endpoint::parse(text, true).map_err(|error| {
        wrong().cause(format!("docker refuses it: {error}")).hint("give the port as well: tcp://HOST:PORT")
    })?;
    let base_path = base_path(text);
    // host_url has put it into this form.
    let authority = url.trim_start_matches("tcp://").split('/').next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    if has_port(text) {
        return Ok(Target { host, port: port.parse().map_err(|_| wrong())?, base_path });
    }
    let target = Target { host, port: Endpoint::PLAIN_PORT, base_path };
    output.note(&format!(
        "without a port docker dials {}, even with TLS; dockerd's port for TLS is {TLS_PORT}: tcp://{}",
        Endpoint::PLAIN_PORT,
        Target { port: TLS_PORT, ..target.clone() }.authority()
    ));
    Ok(target)
}

fn has_port(text: &str) -> bool {
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(']') {
        Some((_, after)) => after.starts_with(':'),
        // More than one colon is an address of IPv6 without brackets.
        None => authority.matches(':').count() == 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn parsed(text: &str) -> Result<(String, u16), Failure> {
        parse(text, &mut Output::new(Format::Json)).map(|target| (target.host, target.port))
    }

    #[test]
    fn hosts_and_ports() {
        for (text, host, port) in [
            ("tcp://127.0.0.1:2376", "127.0.0.1", 2376),
            ("build.example.com:99", "build.example.com", 99),
            ("tcp://[::1]:2376", "::1", 2376),
            ("tcp://[::1]:2376/prefix", "::1", 2376),
            // Docker's own default, not what one would expect.
            ("tcp://host", "host", 2375),
            ("::1", "::1", 2375),
        ] {
            assert_eq!(parsed(text).unwrap(), (host.to_owned(), port), "{text}");
        }
    }

    #[test]
    fn what_is_not_dialled_has_a_hint() {
        for text in [
            "unix:///var/run/docker.sock",
            "ssh://me@host",
            "https://host:2376",
            "npipe:////./pipe/x",
            "tcp://",
            "tcp://:2376",
            "tcp://host:0",
            "tcp://host:99999",
            "tcp://[fe80::1%eth0]:2376",
            "tcp://[::1]",
            "tcp://host:2376/%zz",
            "ftp://host",
            "",
        ] {
            let failure = parsed(text).unwrap_err();
            assert!(failure.cause.is_some() && failure.hint.is_some() && failure.code == 2, "{text}");
        }
    }
}
