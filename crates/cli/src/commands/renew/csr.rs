//! `--csr`: renewing a certificate whose key is elsewhere.

use std::{path::Path, process::ExitCode};

use dockseal_docker::{Layout, Ownership, layout::Names, plan};
use dockseal_inventory::Entry;
use dockseal_pki::Lifetime;
use dockseal_store::Existing;

use super::{WHAT, Wanted};
use crate::{
    authority::open,
    commands::issue::{check_out, read_request, say_names_dropped},
    endpoint::{SubjectKey, permit},
    failure::Failure,
    groups::PassphraseArgs,
    held,
    hints::undelivered_failure,
    invocation::Invocation,
    ledger::Ledger,
    output::Output,
    reissue::wish_of,
    report::until,
};
use dockseal_lifecycle::identity::changes_on_renewal;

pub(super) fn run(
    csr: &Path,
    out: &Path,
    wanted: &Wanted,
    lifetime: Option<Lifetime>,
    passphrase: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let entry = only(wanted, "a request renews one certificate")?;
    let request = read_request(csr, WHAT)?;
    let endpoint = held::endpoint(&entry.certificate, entry.role)?;
    say_names_dropped(&endpoint, &request, output);
    let to_stdout = out.as_os_str() == "-";
    if !to_stdout {
        check_out(out, Names::DOCKER, Some(&request), Existing::Replace, invocation, WHAT)?;
    }
    let opened = open(passphrase, invocation, output)?;
    let key = SubjectKey::Elsewhere(request.public_key);
    let permitted = permit(&opened.authority, &endpoint, key, wish_of(entry, lifetime), invocation.around())?;
    let mut ledger = Ledger::open_to_sign(&opened, invocation.around(), output)?;
    let issued = permitted.issue(&opened.authority, &mut ledger, Some(entry.id), invocation.around())?;
    for note in issued.notes.iter().chain(&changes_on_renewal(&entry.certificate, entry.role)) {
        output.note(note);
    }
    if to_stdout {
        ledger.hand_out(&issued)?;
        output.raw(issued.bundle.chain_pem());
        return Ok(ExitCode::SUCCESS);
    }
    let plan = plan(&issued.bundle, entry.role, Layout::Docker, Ownership::default());
    ledger
        .deliver(&issued, &plan, Layout::Docker, out, Existing::Replace, invocation.around())
        .map_err(|error| undelivered_failure(WHAT, &error))?;
    let ends = until(issued.certificate.validity, invocation.now);
    output.note(&format!("renewed {} {} in {}, valid until {ends}", entry.role, entry.name, out.display()));
    Ok(ExitCode::SUCCESS)
}

/// The one certificate that was named; `why` there can be no other.
pub(super) fn only<'w>(wanted: &'w Wanted, why: &str) -> Result<&'w Entry, Failure> {
    match wanted {
        Wanted::Named(entries) => match entries.as_slice() {
            [entry] => Ok(entry),
            several => Err(which(several, why)),
        },
        Wanted::Selected(_) => Err(which(&[], why)),
    }
}

fn which(entries: &[Entry], why: &str) -> Failure {
    let serials: Vec<String> = entries.iter().map(|entry| entry.serial().to_string()).collect();
    let failure = Failure::trouble(WHAT).cause(why);
    if serials.is_empty() {
        return failure.hint("name it, e.g. dockseal renew alice --csr request.csr --out -");
    }
    failure.hint(format!("name it by its serial number, which dockseal inspect DIR shows: {}", serials.join(", ")))
}
