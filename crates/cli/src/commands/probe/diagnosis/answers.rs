//! What answers once TLS stands: the daemon, a proxy in front of it, or something else.

use dockseal_docker::gate::Gate;
use dockseal_probe::{ClientCertificate, Offer, Proof, Reply};

use super::{Diagnosis, refused, refused_behind_tls, unknown};
use crate::commands::probe::{
    picture::{Picture, is_docker, is_dockers_yes, shortened},
    remedy::word,
    words::{answer, described, is_gateways, is_plain_on_tls},
};

/// How a proxy that ends TLS is made to demand what dockerd demands.
const DEMAND: &str = "nginx: ssl_verify_client on and ssl_client_certificate ca.pem; haproxy: verify required ca-file \
                      ca.pem on the bind line";

/// Whether the daemon lets in who has no certificate at all: then no client is authenticated.
pub(super) fn certificate_is_demanded(picture: &Picture<'_>) -> Option<Diagnosis> {
    let ping = picture.bare()?.ping.as_ref()?;
    if !is_docker(ping) {
        return None;
    }
    let asks = picture.authorities().is_some();
    let (cause, hint) = match proxy(ping) {
        Some(proxy) => {
            let asks = if asks { "answers without a client certificate as well" } else { "asks for no client certificate" };
            (
                format!("{proxy} ends TLS in front of the daemon and {asks}: whoever reaches the port is root on its host"),
                format!("have it demand client certificates: {DEMAND}"),
            )
        }
        None if asks => (
            "it asks for a client certificate and answers without one as well, which no dockerd does: a proxy ends TLS in \
             front of it, and whoever reaches the port is root on its host"
                .to_owned(),
            format!("have that proxy demand client certificates: {DEMAND}"),
        ),
        None => (
            "the daemon asks for no client certificate (--tlsverify=false, or a proxy that ends TLS in front of it): \
             whoever reaches the port is root on its host"
                .to_owned(),
            format!(
                "start dockerd with --tlsverify --tlscacert=ca.pem, or \"tlsverify\": true and \"tlscacert\" in \
                 daemon.json, and restart it; or have the proxy demand client certificates: {DEMAND}"
            ),
        ),
    };
    refused(Gate::DaemonAcceptsClient, cause, hint)
}

/// The proxy that handed on an answer of Docker's, as far as it says so: dockerd calls itself Docker (moby
/// daemon/server/middleware/version.go), and `Via` is RFC 9110, 7.6.3.
fn proxy(reply: &Reply) -> Option<String> {
    let other = reply.header("server").filter(|server| !server.starts_with("Docker/"));
    let name = other.or_else(|| reply.header("via"))?;
    Some(format!("a proxy ({})", shortened(name, 60)))
}

/// Whether docker gets what it asks for.
pub(super) fn daemon_answers(picture: &Picture<'_>) -> Option<Diagnosis> {
    let attempt = picture.observation.attempt(Offer::WithCertificate).or(picture.best())?;
    let Some(ping) = &attempt.ping else {
        return unknown(
            format!("TLS works, and then comes no answer to a request: {}", described(attempt)),
            "dial the daemon's TLS port, usually 2376; if this is it, see dockerd's log: journalctl -u docker",
        );
    };
    let mut replies = [Some(ping), attempt.version.as_ref()].into_iter().flatten();
    if let Some(diagnosis) = replies.find_map(|reply| path_leads_nowhere(picture, reply)) {
        return Some(diagnosis);
    }
    if let Some(diagnosis) = answers_are_docker(picture, ping, attempt.version.as_ref()) {
        return Some(diagnosis);
    }
    if let Some(Proof::NotChecked(why)) = attempt.handshake.as_ref().map(|seen| &seen.proof) {
        return unknown(
            format!("this program cannot check the signature that proves the daemon's key: {why}"),
            format!("try docker itself: docker --tlsverify -H {} version", picture.url()),
        );
    }
    if picture.client.is_none() || picture.chain_verdict.is_none() {
        return unknown(
            "there is no ca.pem of a client to hold the daemon's certificate against",
            format!("name the client's directory: dockseal probe {} --client DIR", picture.url()),
        );
    }
    None
}

/// A path in DOCKER_HOST, below which there is no daemon.
fn path_leads_nowhere(picture: &Picture<'_>, reply: &Reply) -> Option<Diagnosis> {
    let path = &picture.target.base_path;
    if path.is_empty() || reply.status != 404 {
        return None;
    }
    let host = word(&format!("tcp://{}", picture.target.authority()));
    refused_behind_tls(
        format!(
            "docker puts the path {path} of its host before every request's, and nothing is there: {}",
            answer(reply)
        ),
        format!("leave the path out: export DOCKER_HOST={host} (or the same in -H or the context)"),
    )
}

/// docker asks for `/_ping`, and whatever comes of it, goes on (docker/cli cli/command/cli.go
/// `initializeFromClient`); that ends well where Docker answers.
fn answers_are_docker(picture: &Picture<'_>, ping: &Reply, version: Option<&Reply>) -> Option<Diagnosis> {
    match version {
        None if is_dockers_yes(ping) => None,
        Some(version) if is_dockers_yes(ping) && is_dockers_yes(version) => None,
        Some(version) if is_dockers_yes(version) => unknown(
            format!(
                "/_ping is not answered ({}), so docker does not learn the version of the API: it gets through only where \
                 the daemon's is not older than its own",
                answer(ping)
            ),
            "have the proxy in front of the daemon let HEAD and GET for /_ping through",
        ),
        Some(version) if is_dockers_yes(ping) => refusal(picture, version),
        _ => refusal(picture, ping),
    }
}

/// An answer in the daemon's place, or of the daemon that refuses.
fn refusal(picture: &Picture<'_>, reply: &Reply) -> Option<Diagnosis> {
    let said = answer(reply);
    let is_mutual = picture.client_certificate() == ClientCertificate::Sent;
    if is_docker(reply) {
        let body = String::from_utf8_lossy(&reply.body);
        return if body.contains("authorization denied by plugin") {
            refused_behind_tls(
                format!("TLS works, and an authorization plugin of the daemon refuses this client: {said}"),
                "have the plugin's policy allow this user, the common name of cert.pem",
            )
        } else {
            refused_behind_tls(
                format!("TLS works, and the daemon refuses the request: {said}"),
                "see dockerd's log: journalctl -u docker",
            )
        };
    }
    match reply.status {
        _ if is_gateways(reply) => refused_behind_tls(
            format!("TLS works with a proxy in front of the daemon, and the proxy does not reach the daemon: {said}"),
            "on the proxy's host, see whether dockerd runs (docker version), whether the proxy forwards to where it \
             listens (nginx: proxy_pass; haproxy: the backend's server line), and whether the proxy's user may open that \
             socket; its error log says which",
        ),
        400 if is_plain_on_tls(reply) => refused_behind_tls(
            format!("TLS works with a proxy, which then speaks plain HTTP to a port that speaks TLS: {said}"),
            "have the proxy forward to the daemon's socket, unix:/var/run/docker.sock, or in TLS with a client certificate of \
             its own (nginx: proxy_pass https:// with proxy_ssl_certificate)",
        ),
        401 | 403 | 407 | 429 if is_mutual => refused_behind_tls(
            format!("a proxy in front of the daemon takes the client's certificate and refuses the request: {said}"),
            "have the proxy's rules let this client through, to /_ping, /version and what else it is to use (nginx: allow, \
             deny and if; haproxy: http-request deny); its log names the rule",
        ),
        404 => unknown(
            format!("a TLS server that is no Docker answers there: {said}"),
            format!(
                "if a proxy has the daemon below a path, name it: export DOCKER_HOST={}/PATH; otherwise find the daemon's \
                 port: it is 2376 with TLS unless its hosts setting says otherwise",
                word(&picture.url())
            ),
        ),
        _ => unknown(
            format!("a TLS server that is no Docker answers there: {said}"),
            "find the daemon's port: it is 2376 with TLS unless its hosts setting says otherwise",
        ),
    }
}
