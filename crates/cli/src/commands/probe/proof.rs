//! Whether a daemon serves the certificate that it was just given: how a change of a host is proved.

use std::time::Duration;

use dockseal_docker::version::Version;
use dockseal_pki::{Bundle, Certificate, TrustAnchors};
use dockseal_probe::{Dialler, Limits, Routes, Target, probe};
use dockseal_verify::Material;

use super::{
    client_side,
    diagnosis::{Diagnosis, Outcome},
    dialled::Manner,
    picture::{Picture, Question},
    proxy_variables,
    remedy::OwnAuthority,
    unreachable,
};
use crate::{failure::Failure, invocation::Invocation};

/// A daemon that is to serve a certificate which was issued a moment ago.
pub(crate) struct Dialled<'d> {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) anchors: &'d TrustAnchors,
    /// Without one, that the daemon asks for a client's certificate has to do.
    pub(crate) client: Option<&'d Bundle>,
    pub(crate) expected: &'d Certificate,
}

/// Makes a request as docker would.
///
/// # Errors
/// It is not answered, or not by that certificate.
pub(crate) fn dial_daemon(dialled: &Dialled<'_>, invocation: &Invocation) -> Result<(), Failure> {
    let target = Target::new(dialled.host.clone(), dialled.port);
    let docker = Version::default();
    let client = dialled.client.map(|client| {
        let (chain, key) = (client.chain_pem(), client.key_pem().unwrap_or_default());
        let material = Material::from_bytes("", dialled.anchors.to_pem(), chain, key.as_bytes());
        client_side("the client".to_owned(), material, docker, invocation)
    });
    let dialler = Dialler {
        identity: client.as_ref().and_then(|client| client.identity.as_ref().ok()),
        routes: Routes::from_variables(&proxy_variables(invocation), &target),
        docker,
    };
    let (target, limits) = (&target, Limits::within(Duration::from_secs(9)));
    let own = OwnAuthority::here(invocation);
    let began = invocation.clock();
    let observation = probe(target, &dialler, limits).map_err(|error| unreachable(&error, target, &dialler.routes))?;
    let question = Question {
        target,
        routes: &dialler.routes,
        docker,
        client: client.as_ref(),
        manner: &Manner::Verifying,
        daemon: None,
        own: &own,
        now: invocation.now,
        began,
    };
    let picture = Picture::new(question, &observation);
    let no = |cause: String| Failure::no(format!("mutual TLS with {} does not work", picture.url())).cause(cause);
    if let Some(Some(served)) = picture.chain.first()
        && served != dialled.expected
    {
        let cause =
            format!("{} serves another certificate: {}, serial {}", picture.url(), served.subject, served.serial);
        return Err(no(cause).hint("see which machine that name or address leads to"));
    }
    if client.is_some() {
        let diagnosis = Diagnosis::of(&picture);
        return match diagnosis.outcome {
            Outcome::Works => Ok(()),
            _ => Err(no(format!("{}: {}", picture.url(), diagnosis.cause)).hint(&diagnosis.hint)),
        };
    }
    match (picture.chain.first(), picture.authorities()) {
        (Some(Some(_)), Some(_)) => Ok(()),
        (Some(Some(_)), None) => {
            Err(no(format!("{} asks for no client certificate", picture.url())).hint("see the daemon's flags"))
        }
        _ => {
            let diagnosis = Diagnosis::of(&picture);
            Err(no(format!("{}: {}", picture.url(), diagnosis.cause)).hint(&diagnosis.hint))
        }
    }
}
