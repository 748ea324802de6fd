//! `dockseal list`: every certificate that counts, where it is and how long it still lives.

use std::{path::PathBuf, process::ExitCode};

use dockseal_docker::Role;
use dockseal_inventory::Selection;
use serde_json::{Map, Value};

use crate::{
    failure::Failure,
    groups::parse_lifetime,
    hints::inventory_failure,
    invocation::Invocation,
    listing::{List, Question, Sink, Table, View, write_metrics},
    output::{Format, Output},
};

const WHAT: &str = "cannot list the certificates";

/// Which rows, and where they go: what `list` and `status` share.
#[derive(clap::Args)]
pub(crate) struct RowArgs {
    /// Only those that end within this time, e.g. 30d
    #[arg(long, value_name = "DURATION")]
    within: Option<String>,
    /// Only certificates of this role
    #[arg(long, value_parser = ["authority", "daemon", "client"])]
    role: Option<String>,
    /// Only those of a user, of one of a daemon's names, or the one with this serial number
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Write to this file instead, whole or not at all, readable by everybody
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

impl RowArgs {
    /// What was asked for; `otherwise` without `--within`.
    pub(crate) fn question(&self, otherwise: Selection, invocation: &Invocation) -> Result<Question, Failure> {
        let selection = match &self.within {
            Some(text) => Selection::EndingBy(invocation.now.saturating_add(parse_lifetime(text)?.duration())),
            None => otherwise,
        };
        Ok(Question { selection, role: self.role.as_deref().and_then(Role::parse), name: self.name.clone() })
    }
}

#[derive(clap::Args)]
#[command(after_help = "The most urgent come first. Neither the authority's key nor its lock is needed.\n\n\
    Examples:\n  \
    dockseal list --within 30d\n  \
    dockseal list --role client --all --format json\n  \
    dockseal list --format prometheus --out /var/lib/node_exporter/dockseal.prom")]
pub(crate) struct Args {
    #[command(flatten)]
    rows: RowArgs,
    /// Also those that count no longer: superseded and revoked ones
    #[arg(long, conflicts_with = "within")]
    all: bool,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let otherwise = if args.all { Selection::Everything } else { Selection::Issued };
    let question = args.rows.question(otherwise, invocation)?;
    let view = View::open(invocation, WHAT)?;
    let last = view.inventory.last_clock().map_err(|error| inventory_failure(WHAT, &error))?;
    if invocation.around().went_back(last).is_some() {
        output.warn("the clock went back since this authority was last used: what is left of a life may be wrong");
    }
    let format = output.format();
    let mut rows = view.rows(&question, WHAT)?;
    let mut sink = Sink::open(args.rows.out.as_deref(), invocation, output, WHAT)?;
    match format {
        Format::Prometheus => {
            write_metrics(&view, &question, invocation.now, &mut sink, WHAT)?;
        }
        Format::Json => {
            let mut list = List::begin(invocation.now, &mut sink)?;
            while let Some(page) = rows.next_page()? {
                list.page(&page, &mut sink)?;
            }
            let counts = serde_json::to_value(view.counts(invocation.now, WHAT)?).unwrap_or_default();
            list.finish(&Map::from_iter([("counts".to_owned(), counts)]), &mut sink)?;
        }
        Format::Human => {
            let mut table = Table::new(invocation.now);
            let mut any = false;
            while let Some(page) = rows.next_page()? {
                any = true;
                sink.write(&table.page(&page))?;
            }
            if !any {
                sink.write("No certificate is like that.\n")?;
            }
        }
    }
    sink.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// A field of the object that a list is for programs.
pub(super) fn field(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}
