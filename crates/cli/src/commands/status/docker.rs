//! `docker seal status`: how the certificates stand that the docker command around it uses.

use std::process::ExitCode;

use dockseal_docker::version::Version;
use dockseal_pki::printable;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{
    connection,
    failure::Failure,
    in_use::InUse,
    invocation::Invocation,
    listing::Standing,
    output::{Output, table},
    report::{CertificateReport, SCHEMA, rfc3339, until},
};

/// `ends_by` is the moment before which nothing may end; without it, two thirds of a life decide.
pub(super) fn run(
    ends_by: Option<OffsetDateTime>,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let connection = connection::current(Version::default(), invocation)?.map_err(|stop| {
        Failure::trouble("cannot tell which certificates docker uses")
            .cause(stop.text())
            .hint("see what decides: docker seal verify")
    })?;
    for trouble in &connection.trouble {
        output.warn(&format!("docker passes over {}", printable(trouble)));
    }
    let shown = InUse::shown(&connection);
    let trusted = InUse::trusted(&connection);
    let standing = |in_use: &InUse| {
        let validity = in_use.certificate.validity;
        match (ends_by, Standing::of(validity, validity.due_at(), invocation.now)) {
            (Some(end), Standing::Valid | Standing::Due) if validity.not_after > end => Standing::Valid,
            (Some(_), Standing::Valid) => Standing::Due,
            (_, standing) => standing,
        }
    };
    // While authorities change there are several, and the old one may end.
    let trusts_nobody = !trusted.is_empty() && trusted.iter().all(|one| standing(one) == Standing::Expired);
    let is_due = trusts_nobody || shown.as_ref().is_some_and(|shown| standing(shown) != Standing::Valid);

    let all: Vec<(&str, &InUse)> =
        shown.iter().map(|one| ("shows", one)).chain(trusted.iter().map(|one| ("trusts", one))).collect();
    let endpoint = connection.settings.endpoint.to_string();
    let context = connection.context.as_deref();
    let by = context.map(|name| format!(" (context {name})")).unwrap_or_default();
    let mut human = printable(&format!("docker dials {endpoint}{by}"));
    human.push('\n');
    if all.is_empty() {
        human.push_str("It uses no certificate for that.\n");
    } else {
        let row = |(does, one): &(&str, &InUse)| {
            [
                (*does).to_owned(),
                one.role.to_string(),
                printable(&one.name),
                standing(one).text().to_owned(),
                until(one.certificate.validity, invocation.now),
                printable(&one.path.to_string_lossy()),
            ]
        };
        let rows: Vec<_> = all.iter().map(row).collect();
        human.push_str(&table(&["", "role", "who", "state", "ends", "where"], &rows));
    }
    if let Some(shown) = shown.as_ref().filter(|_| is_due) {
        human.push_str(&format!("To mend that, {}\n", shown.remedy(invocation)));
    }
    let wire: Vec<Value> = all
        .iter()
        .map(|(does, one)| {
            let report = CertificateReport::new(one.role, &one.certificate);
            let mut wire = serde_json::to_value(report).unwrap_or_default();
            wire["use"] = (*does).into();
            wire["state"] = standing(one).word().into();
            wire["path"] = one.path.to_string_lossy().into();
            wire
        })
        .collect();
    let wire = json!({
        "schema": SCHEMA,
        "at": rfc3339(invocation.now),
        "docker": { "dials": endpoint, "context": context },
        "certificates": wire,
        "due": is_due,
    });
    output.result(&human, &wire);
    Ok(ExitCode::from(u8::from(is_due)))
}
