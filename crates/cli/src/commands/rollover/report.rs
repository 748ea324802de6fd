//! What a step did, said as it happens; JSON as one object in the end.

use std::{path::Path, process::ExitCode};

use dockseal_docker::{Role, layout};
use dockseal_inventory::{Entry, Kind, Place};
use dockseal_pki::{Certificate, printable};
use serde_json::{Value, json};

use super::stage::Course;
use crate::{
    contexts::shown,
    failure::Failure,
    invocation::Invocation,
    output::{Format, Output},
    reissue::Outcome,
    report::{SCHEMA, rfc3339},
};

pub(super) struct Report {
    format: Format,
    machine: String,
    dry_run: bool,
    /// What an endpoint does that got other anchors, where it is not what their number says.
    pub(super) trusts: Option<&'static str>,
    rows: Vec<Value>,
    done: u64,
    pub(super) troubles: u64,
    /// How many places on other machines were not looked at.
    pub(super) elsewhere: u64,
    daemons: u64,
}

impl Report {
    pub(super) fn new(format: Format, dry_run: bool, invocation: &Invocation) -> Self {
        let machine = invocation.around().run.machine.clone();
        Self {
            format,
            machine,
            dry_run,
            trusts: None,
            rows: Vec::new(),
            done: 0,
            troubles: 0,
            elsewhere: 0,
            daemons: 0,
        }
    }

    /// Something about the authority itself.
    pub(super) fn say(&mut self, text: &str, output: &mut Output) {
        self.row(text, json!({ "state": "authority", "text": text }), output);
    }

    pub(super) fn is_elsewhere(&self, place: &Place) -> bool {
        place.kind != Kind::Ssh && place.machine != self.machine
    }

    /// An endpoint has the anchors that it is to have.
    pub(super) fn trusts(&mut self, entry: &Entry, place: &Place, course: &Course, output: &mut Output) {
        self.done += 1;
        self.daemons += u64::from(entry.role == Role::Daemon && place.kind != Kind::Ssh);
        let count = course.anchors().len();
        let number = if count == 1 { "trusts one authority alone" } else { "trusts both authorities" };
        let trusts = self.trusts.unwrap_or(number);
        let text = format!("{} {} in {} {trusts}", entry.role, printable(&entry.name), shown(place));
        self.row(&text, of("trusts", entry, Some(place), json!({ "anchors": count })), output);
    }

    /// An endpoint has a certificate of the goal.
    pub(super) fn reissued(&mut self, outcome: &Outcome<Entry>, output: &mut Output) {
        let entry = &outcome.subject;
        if let Some(issued) = &outcome.issued {
            self.done += 1;
            let here = issued.places.iter().any(|place| place.kind != Kind::Ssh);
            self.daemons += u64::from(entry.role == Role::Daemon && here);
            for note in &issued.notes {
                output.note(&format!("{} {}: {note}", entry.role, printable(&entry.name)));
            }
            for place in &issued.places {
                let issuer = &issued.certificate.issuer;
                let text = format!(
                    "{} {} in {} has a certificate of {issuer}",
                    entry.role,
                    printable(&entry.name),
                    shown(place)
                );
                let more = json!({ "serial": issued.certificate.serial.to_string(), "issuer": issuer.to_string() });
                self.row(&text, of("reissued", entry, Some(place), more), output);
            }
        }
        for trouble in &outcome.troubles {
            self.trouble(entry, trouble.place.as_ref(), &trouble.reason, output);
        }
    }

    /// What would be done to an endpoint.
    pub(super) fn would(&mut self, doing: &str, entry: &Entry, place: &Place, output: &mut Output) {
        let text = format!("would {doing}: {} {} in {}", entry.role, printable(&entry.name), shown(place));
        self.row(&text, of("planned", entry, Some(place), json!({ "doing": doing })), output);
    }

    /// Something was left as it was.
    pub(super) fn trouble(&mut self, entry: &Entry, place: Option<&Place>, failure: &Failure, output: &mut Output) {
        self.troubles += 1;
        let Failure { what, cause, hint, .. } = failure;
        if self.format == Format::Json {
            let more = json!({ "error": what, "cause": cause, "hint": hint });
            self.rows.push(of("left", entry, place, more));
            return;
        }
        output.warn(&format!("{} {}: {}", entry.role, printable(&entry.name), in_one(failure)));
    }

    /// Another machine has to do that itself.
    pub(super) fn note_elsewhere(&mut self, entry: &Entry, place: &Place, failure: &Failure, output: &mut Output) {
        let cause = failure.cause.clone().unwrap_or_default();
        let text = format!("{} {} in {}: {cause}; run it there too", entry.role, printable(&entry.name), shown(place));
        output.note(&text);
        self.elsewhere += 1;
        self.rows.push(of("elsewhere", entry, Some(place), json!({ "machine": place.machine_name })));
    }

    /// The authority's certificate was renewed.
    pub(super) fn renewed(&mut self, text: &str, certificate: &Certificate, kept: &Path, output: &mut Output) {
        let wire = json!({
            "state": "renewed",
            "subject": certificate.subject.to_string(),
            "serial": certificate.serial.to_string(),
            "not_after": rfc3339(certificate.validity.not_after),
            "kept": kept.to_string_lossy(),
        });
        self.row(text, wire, output);
    }

    fn row(&mut self, text: &str, wire: Value, output: &mut Output) {
        match self.format {
            Format::Human | Format::Prometheus => output.raw(format!("{text}\n")),
            Format::Json => self.rows.push(wire),
        }
    }

    /// The end: 0 when all went well, 1 when something was left as it was. `next` is what people do then.
    pub(super) fn finish(self, next: &str, output: &mut Output) -> ExitCode {
        match self.format {
            Format::Json => output.result("", &json!({
                "schema": SCHEMA, "results": self.rows, "left": self.troubles, "restart_daemons": self.daemons > 0, "next": next,
            })),
            Format::Human | Format::Prometheus => {
                if self.daemons > 0 && !self.dry_run {
                    output.note(&restart(self.daemons));
                }
                if !next.is_empty() {
                    output.raw(format!("{next}\n"));
                }
            }
        }
        ExitCode::from(u8::from(self.troubles > 0))
    }
}

/// dockerd's part (moby daemon/command/daemon.go newAPIServerTLSConfig: read once; `live-restore` is refused in a swarm).
pub(super) fn restart(daemons: u64) -> String {
    let (whom, them) = if daemons == 1 { ("that daemon", "it") } else { ("those daemons", "them") };
    format!(
        "dockerd reads {} and {} when it starts: copy the files to where {whom} run{}, and restart {them}.\n\
         With \"live-restore\": true in daemon.json containers stay up meanwhile; a swarm node cannot have that: drain it \
         first (docker node update --availability drain NODE)",
        layout::CA_FILE,
        layout::CERT_FILE,
        if daemons == 1 { "s" } else { "" },
    )
}

/// What, why, and what to do, in one line.
pub(super) fn in_one(failure: &Failure) -> String {
    let mut text = failure.what.clone();
    if let Some(cause) = &failure.cause {
        text.push_str(&format!("\n  cause: {cause}"));
    }
    if let Some(hint) = &failure.hint {
        text.push_str(&format!("\n  hint:  {hint}"));
    }
    text
}

fn of(state: &str, entry: &Entry, place: Option<&Place>, more: Value) -> Value {
    let mut wire = json!({
        "state": state,
        "role": entry.role.word(),
        "name": entry.name,
        "directory": place.map(ToString::to_string),
    });
    if let (Some(wire), Value::Object(more)) = (wire.as_object_mut(), more) {
        wire.extend(more);
    }
    wire
}
