//! `dockseal context list`.

use std::process::ExitCode;

use dockseal_docker::context::Meta;
use dockseal_pki::printable;
use serde_json::{Value, json};

use super::copies::{Copy, Looker, Newer, Recorded, Standing, inventory_here};
use crate::{
    contexts::{self, Stored},
    failure::Failure,
    invocation::Invocation,
    output::{Output, table},
    report::{CertificateReport, SCHEMA, distance},
};

const WHAT: &str = "cannot list the contexts";

#[derive(clap::Args)]
#[command(
    after_help = "Every context of docker's store is shown, whoever made it: DOCKER_CONFIG, else ~/.docker. stale: another certificate took\n\
    the place of this copy (dockseal context update brings it); superseded: it counts no longer, and there is no newer one;\n\
    unknown issuer: no authority here issued it. Recorded directories with stale copies are named below.\n\n\
    Examples:\n  dockseal context list\n  dockseal context list --format json"
)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let inventory = inventory_here(invocation)?;
    let looker = Looker::new(inventory.as_ref(), invocation, WHAT);
    let current = contexts::current(invocation);
    let (mut rows, mut wires) = (Vec::new(), Vec::new());
    for stored in contexts::all(invocation, WHAT)? {
        let copy = looker.context(&stored)?;
        if let Err(trouble) = &stored.meta {
            output.warn(&format!("{}: {trouble}", stored.name));
        }
        let is_current = current.as_deref() == Some(stored.name.as_str());
        rows.push(row(&stored, &copy, is_current, invocation));
        wires.push(wire(&stored, &copy, is_current));
    }
    let stale = looker.stale_directories()?;
    let mut human = if rows.is_empty() {
        "There is no context.\n".to_owned()
    } else {
        table(&["name", "dials", "as", "expires in", "state"], &rows)
    };
    if !stale.is_empty() {
        human.push_str("\nStale copies in recorded directories:\n");
    }
    for copy in &stale {
        let who = copy.who().unwrap_or_default();
        let path = printable(&copy.place.path.to_string_lossy());
        human.push_str(&format!("  {path}: {}{}\n", printable(&who), newer_text(copy.newer.as_ref())));
    }
    let directory = contexts::configuration(invocation)?;
    output.result(
        &human,
        &json!({
            "schema": SCHEMA,
            "store": directory.join(dockseal_docker::context::DIRECTORY).to_string_lossy(),
            "contexts": wires,
            "stale_directories": stale.iter().map(copy_wire).collect::<Vec<_>>(),
        }),
    );
    Ok(ExitCode::SUCCESS)
}

fn row(stored: &Stored, copy: &Copy, is_current: bool, invocation: &Invocation) -> [String; 5] {
    let name = if is_current { format!("{} *", stored.name) } else { stored.name.clone() };
    let host = stored.meta.as_ref().map_or("", Meta::host);
    let expires = copy.leaf.as_ref().map_or_else(
        || "-".to_owned(),
        |leaf| {
            let left = leaf.validity.not_after - invocation.now;
            if left.is_negative() { format!("{} ago", distance(left.abs())) } else { distance(left) }
        },
    );
    let mut state = format!("{}{}", copy.standing.word(), newer_text(copy.newer.as_ref()));
    match &copy.standing {
        Standing::Unreadable(cause) => state.push_str(&format!(": {}", printable(cause))),
        _ if copy.can_be_recorded() => state.push_str(", and renewals do not know of it: dockseal context update"),
        _ => {}
    }
    let who = copy.who().map_or_else(|| "-".to_owned(), |who| printable(&who));
    [printable(&name), printable(host), who, expires, state]
}

fn newer_text(newer: Option<&Newer>) -> String {
    match newer.map(|newer| &newer.directory) {
        None => String::new(),
        Some(Some(directory)) => format!(", newer in {}", printable(&shown(directory))),
        Some(None) => ", and the newer one is not on this machine".to_owned(),
    }
}

fn shown(directory: &std::path::Path) -> String {
    contexts::name_of(dockseal_inventory::Kind::Context, directory)
        .map_or_else(|| directory.display().to_string(), |name| format!("context {name}"))
}

fn wire(stored: &Stored, copy: &Copy, is_current: bool) -> Value {
    let meta = stored.meta.as_ref().ok();
    let mut wire = copy_wire(copy);
    wire["name"] = json!(stored.name);
    wire["in_use"] = json!(is_current);
    wire["host"] = json!(meta.map(Meta::host));
    wire["description"] = json!(meta.map(Meta::description));
    wire["skip_tls_verify"] = json!(meta.map(Meta::skips_verification));
    wire["trouble"] = match (&stored.meta, &copy.standing) {
        (Err(trouble), _) => json!(trouble.to_string()),
        (Ok(_), Standing::Unreadable(cause)) => json!(cause),
        (Ok(_), _) => Value::Null,
    };
    wire
}

fn copy_wire(copy: &Copy) -> Value {
    let newer = copy.newer.as_ref().map(|newer| {
        json!({
            "serial": newer.certificate.serial.to_string(),
            "directory": newer.directory.as_ref().map(|directory| directory.to_string_lossy()),
        })
    });
    json!({
        "directory": copy.place.path.to_string_lossy(),
        "state": copy.standing.word(),
        "who": copy.who(),
        "recorded": copy.recorded == Recorded::AsItIs,
        "certificate": copy.leaf.as_ref().zip(copy.role()).map(|(leaf, role)| CertificateReport::new(role, leaf)),
        "newer": newer,
    })
}
