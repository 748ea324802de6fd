//! `--as`: the next one of what was handed over as one file.

use std::{path::Path, process::ExitCode};

use dockseal_docker::{Layout, Ownership, plan};
use dockseal_pki::{KeyAlgorithm, Lifetime};

use super::{Args, WHAT, Wanted, csr::only};
use crate::{
    authority::open,
    endpoint::{SubjectKey, new_key, permit},
    failure::Failure,
    handover::{Form, HandOver},
    held,
    invocation::Invocation,
    ledger::Ledger,
    output::Output,
    reissue::wish_of,
    report::until,
};
use dockseal_lifecycle::identity::changes_on_renewal;

pub(super) fn run(
    (form, out): (Form, &Path),
    args: &Args,
    wanted: &Wanted,
    lifetime: Option<Lifetime>,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let entry = only(wanted, "a file holds one certificate")?;
    let endpoint = held::endpoint(&entry.certificate, entry.role)?;
    let hand_over = HandOver::new(form, &args.p12_passphrase, out, WHAT, invocation, output)?;
    let opened = open(&args.passphrase, invocation, output)?;
    let kind = KeyAlgorithm::like(entry.certificate.public_key.algorithm()).unwrap_or(KeyAlgorithm::P256);
    let key = SubjectKey::Here(Box::new(new_key(kind, output)?));
    let permitted = permit(&opened.authority, &endpoint, key, wish_of(entry, lifetime), invocation.around())?;
    let mut ledger = Ledger::open_to_sign(&opened, invocation.around(), output)?;
    let issued = permitted.issue(&opened.authority, &mut ledger, Some(entry.id), invocation.around())?;
    for note in issued.notes.iter().chain(&changes_on_renewal(&entry.certificate, entry.role)) {
        output.note(note);
    }
    let plans = [(String::new(), plan(&issued.bundle, entry.role, Layout::Docker, Ownership::default()))];
    let ends = until(issued.certificate.validity, invocation.now);
    hand_over.deliver(&[issued], &plans, &mut ledger, WHAT, output)?;
    output.note(&format!("renewed {} {} in {}, valid until {ends}", entry.role, entry.name, hand_over.destination()));
    Ok(ExitCode::SUCCESS)
}
