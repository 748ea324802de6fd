//! What came of it, said as it happens: a run over a hundred thousand certificates keeps none of them in memory.

use std::process::ExitCode;

use dockseal_docker::{Role, layout};
use dockseal_inventory::{Destination, Entry, Kind, Place};
use dockseal_lifecycle::delivery::LeftAlone;
use dockseal_pki::{Certificate, Lifetime, moment, printable};
use serde_json::json;

use super::RENEW_CA;
use crate::{
    contexts::shown,
    failure::Failure,
    hints::left_alone_failure,
    hosts::renewal::is_on_host,
    invocation::Invocation,
    output::{Format, Output},
    reissue::{Job, Outcome, Trouble, visit},
    report::{CertificateReport, until},
    rows::Rows,
};

pub(crate) struct Report {
    rows: Rows,
    /// How many daemons have a certificate that they have not read yet.
    daemons: u64,
}

impl Report {
    pub(crate) fn new(format: Format) -> Self {
        Self { rows: Rows::new(format), daemons: 0 }
    }

    /// What would be done.
    pub(crate) fn plan(
        &mut self,
        jobs: &[Job],
        lifetime: Option<Lifetime>,
        invocation: &Invocation,
        output: &mut Output,
    ) {
        for job in jobs {
            let entry = &job.entry;
            if job.destinations.is_empty() {
                let failure = Failure::no(format!("{} {} cannot be renewed here", entry.role, printable(&entry.name)))
                    .cause("it is in no directory that this authority knows of");
                self.trouble(&Trouble { place: None, reason: failure }, entry.role, &entry.name, output);
            }
            for destination in &job.destinations {
                // A host is looked at when its turn comes.
                let looked =
                    if is_on_host(destination) { Ok(()) } else { visit(destination, entry, invocation).map(drop) };
                match looked {
                    Err(failure) => {
                        let trouble = Trouble { place: Some(destination.place.clone()), reason: failure };
                        self.trouble(&trouble, entry.role, &entry.name, output);
                    }
                    Ok(_) => {
                        let path = destination.place.to_string();
                        let wish = crate::reissue::wish_of(entry, lifetime).lifetime;
                        let given = wish.map(|lifetime| lifetime.to_string()).unwrap_or_default();
                        self.rows.row(
                            &format!(
                                "would renew {} {} in {} for {given}",
                                entry.role,
                                printable(&entry.name),
                                shown(&destination.place)
                            ),
                            &json!({
                                "state": "planned",
                                "role": entry.role.word(),
                                "name": entry.name,
                                "directory": path,
                                "replaces": entry.serial().to_string(),
                                "expires": crate::report::rfc3339(entry.certificate.validity.not_after),
                                "lifetime": given,
                            }),
                            output,
                        );
                    }
                }
            }
        }
    }

    pub(crate) fn outcomes(&mut self, outcomes: &[Outcome<Entry>], invocation: &Invocation, output: &mut Output) {
        for outcome in outcomes {
            let entry = &outcome.subject;
            if let Some(renewed) = &outcome.issued {
                // A host's was restarted already.
                if entry.role == Role::Daemon && renewed.places.iter().any(|place| place.kind != Kind::Ssh) {
                    self.daemons += 1;
                }
                for note in &renewed.notes {
                    output.note(&format!("{} {}: {note}", entry.role, printable(&entry.name)));
                }
                let ends = until(renewed.certificate.validity, invocation.now);
                for place in &renewed.places {
                    let path = place.to_string();
                    self.rows.row(
                        &format!(
                            "renewed {} {} in {}, valid until {ends}",
                            entry.role,
                            printable(&entry.name),
                            shown(place)
                        ),
                        &json!({
                            "state": "renewed",
                            "role": entry.role.word(),
                            "name": entry.name,
                            "directory": path,
                            "replaces": entry.serial().to_string(),
                            "certificate": CertificateReport::new(entry.role, &renewed.certificate),
                        }),
                        output,
                    );
                }
            }
            for trouble in &outcome.troubles {
                self.trouble(trouble, entry.role, &entry.name, output);
            }
        }
    }

    /// The command that follows a renewal.
    pub(crate) fn command(
        &mut self,
        destination: &Destination,
        role: Role,
        name: &str,
        failure: Option<Failure>,
        output: &mut Output,
    ) {
        match failure {
            None => self.rows.row(
                &format!("ran the command for {role} {} in {}", printable(name), destination.place.path.display()),
                &json!({
                    "state": "command succeeded",
                    "role": role.word(),
                    "name": name,
                    "directory": destination.place.path.display().to_string(),
                }),
                output,
            ),
            Some(failure) => {
                self.trouble(&Trouble { place: Some(destination.place.clone()), reason: failure }, role, name, output);
            }
        }
    }

    /// The authority, which no renewal of what it issued helps.
    pub(crate) fn authority_has_ended(&mut self, issuer: &Certificate, output: &mut Output) {
        let end = moment(issuer.validity.not_after);
        let failure = Failure::no("nothing that it issued is accepted any more").cause(format!("it ended on {end}"));
        let (name, wire) =
            (issuer.subject.to_string(), json!({ "role": "authority", "name": issuer.subject.to_string() }));
        self.rows.trouble(&format!("authority {name}"), &failure.hint(RENEW_CA), wire, output);
    }

    /// A place that was not to be renewed, and needs somebody.
    pub(crate) fn left_alone(&mut self, place: &Place, entry: &Entry, reason: LeftAlone, output: &mut Output) {
        let failure = left_alone_failure(Some(place), reason);
        let trouble = Trouble { place: Some(place.clone()), reason: failure };
        self.trouble(&trouble, entry.role, &entry.name, output);
    }

    fn trouble(&mut self, trouble: &Trouble, role: Role, name: &str, output: &mut Output) {
        let directory = trouble.place.as_ref().map(ToString::to_string);
        let wire = json!({ "role": role.word(), "name": name, "directory": directory });
        self.rows.trouble(&format!("{role} {}", printable(name)), &trouble.reason, wire, output);
    }

    /// 0 when all that was due is renewed, 1 when something was left as it was.
    pub(crate) fn finish(self, output: &mut Output) -> ExitCode {
        if self.daemons > 0 && output.format() == Format::Human {
            let (which, were) =
                if self.daemons == 1 { ("daemon", "certificate was") } else { ("daemons", "certificates were") };
            output.note(&format!(
                "dockerd reads {} when it starts: restart the {which} whose {were} renewed (with \"live-restore\": true in \
                 daemon.json, containers stay up)",
                layout::CERT_FILE
            ));
        }
        self.rows.finish(output)
    }
}
