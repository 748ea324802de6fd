//! `dockseal status`: whether anything is due, for people, cron, monitoring and systemd conditions.

mod docker;

use std::process::ExitCode;

use dockseal_docker::Role;
use dockseal_inventory::{Inventory, Selection};
use dockseal_lifecycle::survey;
use dockseal_pki::{Validity, moment, printable};
use serde_json::{Map, Value, json};

use super::{
    list::{RowArgs, field},
    renew::{RENEW_CA, command},
};
use crate::{
    authority::signing_issuer,
    contexts::shown,
    failure::Failure,
    hints::inventory_failure,
    invocation::Invocation,
    ledger::refuse_a_clock_that_went_back,
    listing::{List, Question, Row, Sink, Table, View, row_wire, write_metrics},
    output::{Format, Output},
    report::{distance, rfc3339, until},
};

const WHAT: &str = "cannot tell whether anything is due";

#[derive(clap::Args)]
#[command(
    after_help = "A certificate is due when two thirds of its life are gone; --within changes that. One that is not valid yet, or whose\n\
    authority was rolled over, is due at once. The recorded directories of this machine are looked at: one that holds another\n\
    certificate, as after a restore from a backup, is told of.\n\
    Exit codes: 0 nothing is due, 1 something is due or expired, a command of renew --exec is,\n\
    or a directory holds another certificate, 2 could not tell (no authority, a damaged inventory, a clock\n\
    that went back). Nothing is written, and neither the authority's key nor its lock is needed.\n\
    Behind docker, docker seal status tells of the certificates that the docker command uses; with --authority, --role, --name\n\
    or --out of those that the authority here issued.\n\
    With --format prometheus every certificate that counts is written, due or not; the exit code is the same.\n\n\
    Examples:\n  \
    dockseal status\n  \
    dockseal status --within 14d --role daemon\n  \
    dockseal status > /dev/null || echo 'certificates are due' | mail -s docker admin\n  \
    dockseal status --format prometheus --out /var/lib/node_exporter/dockseal.prom"
)]
pub(crate) struct Args {
    #[command(flatten)]
    rows: RowArgs,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let question = args.rows.question(Selection::Due(invocation.now), invocation)?;
    let asks_for_rows = question.role.is_some() || question.name.is_some() || args.rows.out.is_some();
    if invocation.is_about_docker() && !asks_for_rows && output.format() != Format::Prometheus {
        let ends_by = if let Selection::EndingBy(end) = question.selection { Some(end) } else { None };
        return docker::run(ends_by, invocation, output);
    }
    let view = View::open(invocation, WHAT)?;
    refuse_a_clock_that_went_back(&view.inventory, invocation, WHAT)?;
    let format = output.format();
    let mut due = view.rows(&question, WHAT)?;
    let mut page = due.next_page()?;
    let commands = view.commands_due(&question, WHAT)?;
    let changed = changed_places(&view.inventory, &question, invocation)?;
    let something_is_due = page.is_some() || !commands.is_empty() || !changed.is_empty();
    let everything = Question { selection: Selection::Issued, ..question };
    let mut sink = Sink::open(args.rows.out.as_deref(), invocation, output, WHAT)?;
    match format {
        Format::Prometheus => write_metrics(&view, &everything, invocation.now, &mut sink, WHAT)?,
        Format::Json => {
            let mut list = List::begin(invocation.now, &mut sink)?;
            let next = if page.is_none() { view.rows(&everything, WHAT)?.first()? } else { None };
            while let Some(rows) = page {
                list.page(&rows, &mut sink)?;
                page = due.next_page()?;
            }
            let last = view.inventory.last_written().map_err(|error| inventory_failure(WHAT, &error))?;
            let fields = [
                field("due", something_is_due),
                field("next", next.map_or(Value::Null, |row| row_wire(&row, invocation.now))),
                field("commands_due", commands.len()),
                field("changed_places", changed.iter().map(Changed::wire).collect::<Vec<_>>()),
                field("counts", serde_json::to_value(view.counts(invocation.now, WHAT)?).unwrap_or_default()),
                field("last_run", last.map_or(Value::Null, |last| rfc3339(last).into())),
            ];
            list.finish(&Map::from_iter(fields), &mut sink)?;
        }
        Format::Human => {
            let mut table = Table::new(invocation.now);
            if !something_is_due {
                sink.write(&nothing(view.rows(&everything, WHAT)?.first()?.as_ref(), invocation))?;
            }
            while let Some(rows) = page {
                sink.write(&table.page(&rows))?;
                page = due.next_page()?;
            }
            if let Some(places) = command::in_words(&commands) {
                sink.write(&format!("The command that follows a renewal is still due in {places}.\n"))?;
            }
            for place in &changed {
                sink.write(&place.text(invocation))?;
            }
            if signing_issuer(&invocation.home()?, WHAT).is_ok_and(|issuer| issuer.validity.due_at() <= invocation.now)
            {
                sink.write(&format!("All that the authority issued ends with it: {RENEW_CA}.\n"))?;
            }
        }
    }
    sink.finish()?;
    Ok(ExitCode::from(u8::from(something_is_due)))
}

/// A recorded place that holds another certificate, as one that came back from a backup does.
struct Changed {
    place: String,
    role: Role,
    name: String,
    validity: Validity,
    subject: String,
}

fn changed_places(
    inventory: &Inventory,
    question: &Question,
    invocation: &Invocation,
) -> Result<Vec<Changed>, Failure> {
    let mut all = Vec::new();
    survey::changed_places(inventory, invocation.around(), |survey::Changed { destination, entry, leaf }| {
        let is_meant = question.role.is_none_or(|role| role == entry.role)
            && question.name.as_ref().is_none_or(|name| *name == entry.name);
        if is_meant {
            let (place, validity, subject) = (shown(&destination.place), leaf.validity, leaf.subject.to_string());
            all.push(Changed { place, role: entry.role, name: entry.name, validity, subject });
        }
    })
    .map_err(|error| inventory_failure(WHAT, &error))?;
    Ok(all)
}

impl Changed {
    fn text(&self, invocation: &Invocation) -> String {
        let Self { place, role, name, validity, subject } = self;
        format!(
            "{} holds another certificate than the one of {role} {} that is recorded: that of {subject}, valid until {}.\n  If it is \
             right, say so with dockseal inventory record DIR; else issue another one with --replace.\n",
            printable(place),
            printable(name),
            until(*validity, invocation.now)
        )
    }

    fn wire(&self) -> Value {
        json!({
            "directory": self.place, "role": self.role.word(), "name": self.name,
            "holds": self.subject, "not_after": rfc3339(self.validity.not_after),
        })
    }
}

fn nothing(next: Option<&Row>, invocation: &Invocation) -> String {
    match next {
        None => "Nothing is due.\n".to_owned(),
        Some(row) => format!(
            "Nothing is due. The first to end is {} {}, on {} (in {}); it is due on {}.\n",
            row.role,
            printable(&row.name),
            moment(row.validity().not_after),
            distance(row.validity().not_after - invocation.now),
            moment(row.due_at),
        ),
    }
}
