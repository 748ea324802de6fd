//! `dockseal explain`: what a check means, why Docker cares, what to do, and where that comes from.

use std::process::ExitCode;

use clap::Args as ClapArgs;
use serde_json::{Value, json};

use crate::{
    commands::verify::notes::{Entry, catalogue},
    failure::Failure,
    output::{Output, fields, table},
    report::SCHEMA,
};

/// Explain a check of dockseal verify, or list them all
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  dockseal explain                  every check
  dockseal explain host-mismatch    what it means, what to do, and the source")]
pub(crate) struct Args {
    /// The check's id, as verify prints it
    check: Option<String>,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<ExitCode, Failure> {
    let Some(wanted) = &args.check else {
        let entries: Vec<Entry> = catalogue().collect();
        let rows: Vec<[String; 3]> = entries
            .iter()
            .map(|entry| [entry.id.to_owned(), entry.severity.name().to_owned(), first_clause(entry.means)])
            .collect();
        let human = table(&["CHECK", "SEVERITY", "MEANING"], &rows);
        let wire: Vec<Value> = entries.iter().map(wire).collect();
        output.result(&human, &json!({ "schema": SCHEMA, "checks": wire }));
        return Ok(ExitCode::SUCCESS);
    };
    let Some(entry) = catalogue().find(|entry| entry.id == wanted) else {
        let near: Vec<&str> =
            catalogue().map(|entry| entry.id).filter(|id| id.split('-').any(|word| wanted.contains(word))).collect();
        let hint = match near.as_slice() {
            [] => "dockseal explain lists every check".to_owned(),
            near => format!("dockseal explain lists every check; near are {}", near.join(", ")),
        };
        return Err(Failure::trouble(format!("cannot explain {wanted:?}")).cause("there is no such check").hint(hint));
    };
    let human = format!(
        "{} ({})\n{}",
        entry.id,
        entry.severity.name(),
        fields(&[
            ("means", entry.means.to_owned()),
            ("do", entry.remedy.to_owned()),
            ("source", entry.source.to_owned()),
        ])
    );
    output.result(&human, &json!({ "schema": SCHEMA, "check": wire(&entry) }));
    Ok(ExitCode::SUCCESS)
}

/// Up to the first colon or semicolon, which is enough for a list.
fn first_clause(text: &str) -> String {
    text.split([':', ';']).next().unwrap_or(text).trim_end_matches('.').to_owned()
}

fn wire(entry: &Entry) -> Value {
    json!({
        "id": entry.id,
        "severity": entry.severity.name(),
        "means": entry.means,
        "remedy": entry.remedy,
        "source": entry.source,
    })
}
