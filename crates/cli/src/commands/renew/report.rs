//! What came of it, said as it happens: a run over a hundred thousand certificates keeps none of them in memory.

use std::process::ExitCode;

use dockseal_docker::{Role, layout};
use dockseal_inventory::{Destination, Entry};
use dockseal_pki::Lifetime;
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    invocation::Invocation,
    output::{Format, Output},
    reissue::{Job, Outcome, Trouble, visit},
    report::{CertificateReport, SCHEMA, until},
};

pub(crate) struct Report {
    format: Format,
    dry_run: bool,
    rows: u64,
    troubles: u64,
    daemons: u64,
}

impl Report {
    pub(crate) fn new(format: Format, dry_run: bool) -> Self {
        Self { format, dry_run, rows: 0, troubles: 0, daemons: 0 }
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
                let failure = Failure::no(format!("{} {} cannot be renewed here", entry.role, entry.name))
                    .cause("it is in no directory that this authority knows of");
                self.trouble(&Trouble { place: None, failure }, entry.role, &entry.name, output);
            }
            for destination in &job.destinations {
                match visit(destination, entry, invocation) {
                    Err(failure) => {
                        let trouble = Trouble { place: Some(destination.place.clone()), failure };
                        self.trouble(&trouble, entry.role, &entry.name, output);
                    }
                    Ok(_) => {
                        let path = destination.place.path.display().to_string();
                        let wish = crate::reissue::wish_of(entry, lifetime).lifetime;
                        let given = wish.map(|lifetime| lifetime.to_string()).unwrap_or_default();
                        self.row(
                            &format!("would renew {} {} in {path} for {given}", entry.role, entry.name),
                            json!({
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
                if entry.role == Role::Daemon {
                    self.daemons += 1;
                }
                for note in &renewed.notes {
                    output.note(&format!("{} {}: {note}", entry.role, entry.name));
                }
                let ends = until(renewed.certificate.validity, invocation.now);
                for place in &renewed.places {
                    let path = place.path.display().to_string();
                    self.row(
                        &format!("renewed {} {} in {path}, valid until {ends}", entry.role, entry.name),
                        json!({
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
            None => self.row(
                &format!("ran the command for {role} {name} in {}", destination.place.path.display()),
                json!({
                    "state": "command succeeded",
                    "role": role.word(),
                    "name": name,
                    "directory": destination.place.path.display().to_string(),
                }),
                output,
            ),
            Some(failure) => {
                self.trouble(&Trouble { place: Some(destination.place.clone()), failure }, role, name, output);
            }
        }
    }

    fn trouble(&mut self, trouble: &Trouble, role: Role, name: &str, output: &mut Output) {
        self.troubles += 1;
        let Failure { what, cause, hint, .. } = &trouble.failure;
        if self.format == Format::Json {
            let directory = trouble.place.as_ref().map(|place| place.path.display().to_string());
            self.row(
                "",
                json!({
                    "state": "left", "role": role.word(), "name": name, "directory": directory,
                    "error": what, "cause": cause, "hint": hint,
                }),
                output,
            );
            return;
        }
        let mut text = format!("{role} {name}: {what}");
        if let Some(cause) = cause {
            text.push_str(&format!("\n  cause: {cause}"));
        }
        if let Some(hint) = hint {
            text.push_str(&format!("\n  hint:  {hint}"));
        }
        output.warn(&text);
    }

    fn row(&mut self, human: &str, wire: Value, output: &mut Output) {
        match self.format {
            Format::Human => output.raw(format!("{human}\n")),
            Format::Json => {
                let before =
                    if self.rows == 0 { format!("{{\"schema\":{SCHEMA},\"results\":[\n") } else { ",\n".to_owned() };
                output.raw(format!("{before}{wire}"));
            }
        }
        self.rows += 1;
    }

    /// 0 when all that was due is renewed, 1 when something was left as it was.
    pub(crate) fn finish(self, output: &mut Output) -> ExitCode {
        let troubles = self.troubles;
        match self.format {
            Format::Json if self.rows == 0 => output.raw(format!("{{\"schema\":{SCHEMA},\"results\":[],\"left\":0}}\n")),
            Format::Json => output.raw(format!("\n],\"left\":{troubles}}}\n")),
            Format::Human if self.daemons > 0 && !self.dry_run => output.note(&format!(
                "dockerd reads {} when it starts: restart {} (with \"live-restore\": true in daemon.json, containers stay up)",
                layout::CERT_FILE,
                if self.daemons == 1 { "the daemon whose certificate was renewed" } else { "the daemons whose certificates were renewed" },
            )),
            Format::Human => {}
        }
        ExitCode::from(u8::from(troubles > 0))
    }
}
