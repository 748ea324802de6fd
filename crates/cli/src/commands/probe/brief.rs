//! Why docker does not get through, in two sentences and within a moment: what the hook of `docker seal` says.

use dockseal_docker::{endpoint::Endpoint, gate::Gate, version::Version};
use dockseal_probe::{Dialler, Limits, Routes, Target, probe};
use dockseal_verify::Finding;

use super::{
    diagnosis::{Diagnosis, Outcome},
    dialled::{self, Manner},
    picture::{Picture, Question},
    proxy_variables,
    remedy::OwnAuthority,
};
use crate::{connection::Connection, invocation::Invocation};

/// The cause and what mends it; nothing where docker should get through, or nobody can tell.
pub(crate) fn cause(connection: &Connection, limits: Limits, invocation: &Invocation) -> Option<(String, String)> {
    let Endpoint::Tcp { host, port } = &connection.settings.endpoint else { return None };
    let target = Target {
        base_path: connection.settings.base_path.clone(),
        ..Target::new(host.clone(), port.unwrap_or(Endpoint::PLAIN_PORT))
    };
    let docker = Version::default();
    let (client, manner) = dialled::client(connection, docker, invocation);
    let dialler = Dialler {
        identity: client.as_ref().and_then(|client| client.identity.as_ref().ok()),
        routes: Routes::from_variables(&proxy_variables(invocation), &target),
        docker,
    };
    let own = OwnAuthority::here(invocation);
    let began = invocation.clock();
    let local = |finding: &Finding| (finding.text.clone(), finding.remedy.to_owned());
    let Ok(observation) = probe(&target, &dialler, limits) else {
        // Nobody answers; then only what is wrong here is known.
        let client = client.as_ref().filter(|_| !matches!(manner, Manner::Plain { .. }))?;
        if let (Some(finding), Some((form, mending))) = (&client.not_loaded, client.unread_at_load()) {
            return Some((format!("{}: {form}", finding.text), mending));
        }
        return client.not_loaded.as_ref().or(client.not_accepted.as_ref()).map(local);
    };
    let question = Question {
        target: &target,
        routes: &dialler.routes,
        docker,
        client: client.as_ref(),
        manner: &manner,
        daemon: None,
        own: &own,
        now: invocation.now,
        began,
    };
    let diagnosis = Diagnosis::of(&Picture::new(question, &observation));
    let is_about_the_daemon = matches!(diagnosis.gate, Some(Gate::ClientReadsDaemon | Gate::ClientAcceptsDaemon));
    let counts = diagnosis.outcome == Outcome::Refused && (matches!(manner, Manner::Verifying) || !is_about_the_daemon);
    counts.then_some((diagnosis.cause, diagnosis.hint))
}
