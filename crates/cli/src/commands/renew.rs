//! `dockseal renew`: new certificates in the place of those that are due, or of those that are named.

pub(crate) mod command;
mod csr;
mod handover;
mod report;

use std::{path::PathBuf, process::ExitCode};

use dockseal_docker::Role;
use dockseal_inventory::{Cursor, Entry, Inventory, Selection};
use dockseal_lifecycle::{
    delivery::LeftAlone,
    renewal::{each_batch, jobs, still_in_use},
    survey::{Changed, changed_places},
};
use dockseal_pki::moment;

use self::report::Report;
use crate::{
    authority::{Opened, open, signing_issuer},
    failure::Failure,
    groups::{PassphraseArgs, Pkcs12PassphraseArgs, parse_lifetime},
    handover::Form,
    hints::inventory_failure,
    invocation::Invocation,
    ledger::{Ledger, open_to_read, refuse_a_clock_that_went_back, settle},
    named,
    output::Output,
    progress::Progress,
    reissue::{Job, KeyChoice, Order, batch_size, reissue},
};

pub(crate) const WHAT: &str = "cannot renew";
/// What to do about an authority that ends.
pub(crate) const RENEW_CA: &str =
    "dockseal renew-ca gives it another certificate of the same name and key; dockseal rollover begins a new authority";

#[derive(clap::Args)]
#[command(
    after_help = "A certificate is due when two thirds of its life are gone, and at once when it is not valid yet or its authority was\n\
    rolled over. It gets a new key, the same names, and as long a life as\n\
    before, in every directory where it is; the bundle that was there is kept for dockseal rollback. dockerd reads its\n\
    files only when it starts: restart it after its certificate was renewed.\n\n\
    Examples:\n  \
    dockseal renew alice\n  \
    dockseal renew --due                                     from a timer: does nothing, silently, when nothing is due\n  \
    dockseal renew --due --exec 'systemctl restart docker'\n  \
    dockseal renew --within 30d --dry-run\n  \
    dockseal renew alice --csr request.csr --out - > cert.pem   for a key that stays where it is\n  \
    dockseal renew alice --as p12 --out alice-2.p12             for what was handed over as one file"
)]
pub(crate) struct Args {
    /// Whose certificates: a user, a daemon's name, ROLE/NAME, or a serial number
    #[arg(value_name = "NAME", required_unless_present_any = ["due", "all", "within"], conflicts_with_all = ["due", "all", "within"])]
    names: Vec<String>,
    /// Those of whose life two thirds are gone
    #[arg(long)]
    due: bool,
    /// Those that end within this time
    #[arg(long, value_name = "DURATION", conflicts_with_all = ["due", "all"])]
    within: Option<String>,
    /// All that count
    #[arg(long, conflicts_with = "due")]
    all: bool,
    /// Only daemons or only clients
    #[arg(long, value_parser = ["daemon", "client"])]
    role: Option<String>,
    /// Keep the private keys
    #[arg(long)]
    reuse_key: bool,
    /// How long the new certificates live [default: as long as the old ones were to live]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    lifetime: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Run this with sh for each directory that got a new bundle; DOCKSEAL_NAME, DOCKSEAL_ROLE, DOCKSEAL_DIRECTORY,
    /// DOCKSEAL_SERIAL and DOCKSEAL_NOT_AFTER are set. It is ended after 10 minutes. Where it fails or is never reached, the
    /// next --due --exec runs it
    #[arg(long, value_name = "COMMAND", conflicts_with = "csr")]
    exec: Option<String>,
    /// Sign this request instead (PEM or DER, - for standard input): the key is elsewhere
    #[arg(long, value_name = "FILE", requires = "out", conflicts_with_all = ["due", "all", "within", "reuse_key", "dry_run", "exec"])]
    csr: Option<PathBuf>,
    /// Hand the new one over as one file instead, with a new key: for what is in no directory
    #[arg(long = "as", value_enum, value_name = "KIND", requires = "out", conflicts_with_all = ["due", "all", "within", "reuse_key", "dry_run", "exec", "csr"])]
    form: Option<Form>,
    /// With --csr: the directory that gets ca.pem and cert.pem, or - for the certificate on standard output. With --as: the
    /// file, or -
    #[arg(long, value_name = "PATH")]
    out: Option<PathBuf>,
    #[command(flatten)]
    p12_passphrase: Pkcs12PassphraseArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// What was asked for, understood.
pub(crate) enum Wanted {
    Named(Vec<Entry>),
    Selected(Selection),
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let lifetime = args.lifetime.as_deref().map(parse_lifetime).transpose()?;
    let role = args.role.as_deref().and_then(Role::parse);
    let home = invocation.home()?;
    crate::authority::read(&home)?;
    let inventory = look(&home, invocation, output)?;
    refuse_a_clock_that_went_back(&inventory, invocation, WHAT)?;
    let wanted = args.wanted(&inventory, role, invocation)?;
    if let (Some(csr), Some(out)) = (&args.csr, &args.out) {
        return csr::run(csr, out, &wanted, lifetime, &args.passphrase, invocation, output);
    }
    match (args.form, &args.out) {
        (Some(form), Some(out)) => return handover::run((form, out), args, &wanted, lifetime, invocation, output),
        (None, Some(_)) => {
            return Err(Failure::trouble(WHAT)
                .cause("--out says where an answer to --csr or a file of --as goes")
                .hint("leave it away: a renewed certificate goes where the one before it is"));
        }
        (_, None) => {}
    }
    let mut report = Report::new(output.format());
    if args.dry_run {
        each_page(
            &inventory,
            wanted,
            |entry| is_of(entry, role),
            |jobs| {
                report.plan(&jobs, lifetime, invocation, output);
                Ok(())
            },
        )?;
        return Ok(report.finish(output));
    }
    let is_due_run = matches!(wanted, Wanted::Selected(Selection::Due(_)));
    let commands_due = args.exec.is_some() && !command::waiting(&inventory, invocation)?.is_empty();
    // Nothing to do is success and silence, without a passphrase and without waiting for anybody.
    if !commands_due && nothing_in(&inventory, &wanted, role)? {
        command::remind(&inventory, invocation, output)?;
        if is_due_run {
            tell_of_changed(&inventory, role, invocation, &mut report, output)?;
            tell_of_authority(&home, invocation, &mut report, output)?;
        }
        return Ok(report.finish(output));
    }
    let total = count(&inventory, &wanted)?;
    drop(inventory);
    let opened = open(&args.passphrase, invocation, output)?;
    let order = Order {
        key: if args.reuse_key { KeyChoice::Same } else { KeyChoice::New },
        lifetime,
        command_follows: args.exec.is_some(),
    };
    renew_all(&opened, wanted, role, order, total, invocation, &mut report, output)?;
    match &args.exec {
        Some(command) => command::run_all(command, &opened.home, invocation, &mut report, output)?,
        None => command::remind(&open_to_read(&opened.home)?, invocation, output)?,
    }
    if is_due_run {
        tell_of_changed(&open_to_read(&opened.home)?, role, invocation, &mut report, output)?;
        tell_of_authority(&opened.home, invocation, &mut report, output)?;
    }
    Ok(report.finish(output))
}

/// Nothing that an authority issued outlives it, and no renewal changes that.
fn tell_of_authority(
    home: &dockseal_store::Home,
    invocation: &Invocation,
    report: &mut Report,
    output: &mut Output,
) -> Result<(), Failure> {
    let issuer = signing_issuer(home, WHAT)?;
    if issuer.validity.not_after < invocation.now {
        report.authority_has_ended(&issuer, output);
    } else if issuer.validity.due_at() <= invocation.now {
        output.warn(&format!(
            "the authority {} ends on {}, and all that it issued ends with it\n  hint:  {RENEW_CA}",
            issuer.subject,
            moment(issuer.validity.not_after)
        ));
    }
    Ok(())
}

/// A place that came back from a backup holds a certificate that no date in the inventory tells of. Those that are due were
/// visited, and told of, already.
fn tell_of_changed(
    inventory: &Inventory,
    role: Option<Role>,
    invocation: &Invocation,
    report: &mut Report,
    output: &mut Output,
) -> Result<(), Failure> {
    changed_places(inventory, invocation.around(), |Changed { destination, entry, leaf }| {
        if entry.due_at > invocation.now && is_of(&entry, role) {
            let reason = LeftAlone::HoldsAnother { leaf: Some(Box::new(leaf)) };
            report.left_alone(&destination.place, &entry, reason, output);
        }
    })
    .map_err(|error| inventory_failure(WHAT, &error))
}

/// Renews these, as `renew NAME` does.
pub(crate) fn renew_entries(
    entries: Vec<Entry>,
    order: Order,
    passphrase: &PassphraseArgs,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let mut report = Report::new(output.format());
    let total = entries.len() as u64;
    let opened = open(passphrase, invocation, output)?;
    renew_all(&opened, Wanted::Named(entries), None, order, total, invocation, &mut report, output)?;
    Ok(report.finish(output))
}

/// The inventory as it is now; an authority of the time before inventories gets one first, and what a killed run left open
/// is settled, or a certificate that it delivered would never become due.
pub(crate) fn look(
    home: &dockseal_store::Home,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<Inventory, Failure> {
    if !home.inventory_path().exists() && home.old_records().is_ok_and(|records| records.is_some()) {
        drop(Ledger::open(home, invocation.around(), output)?);
    }
    settle(home, invocation.around(), output)?;
    Ok(open_to_read(home)?)
}

impl Args {
    fn wanted(&self, inventory: &Inventory, role: Option<Role>, invocation: &Invocation) -> Result<Wanted, Failure> {
        if !self.names.is_empty() {
            let mut entries: Vec<Entry> = Vec::new();
            for name in &self.names {
                for entry in named::counting(inventory, name, role, WHAT)? {
                    if !entries.iter().any(|other| other.id == entry.id) {
                        entries.push(entry);
                    }
                }
            }
            return Ok(Wanted::Named(entries));
        }
        Ok(Wanted::Selected(match (&self.within, self.all) {
            (Some(text), _) => Selection::EndingBy(invocation.now.saturating_add(parse_lifetime(text)?.duration())),
            (None, true) => Selection::Issued,
            (None, false) => Selection::Due(invocation.now),
        }))
    }
}

fn is_of(entry: &Entry, role: Option<Role>) -> bool {
    role.is_none_or(|role| entry.role == role)
}

fn nothing_in(inventory: &Inventory, wanted: &Wanted, role: Option<Role>) -> Result<bool, Failure> {
    let Wanted::Selected(selection) = wanted else { return Ok(false) };
    let mut after = Cursor::START;
    loop {
        let (entries, next) =
            inventory.page(*selection, after, 100).map_err(|error| inventory_failure(WHAT, &error))?;
        if entries.iter().any(|entry| is_of(entry, role)) {
            return Ok(false);
        }
        let Some(next) = next else { return Ok(true) };
        after = next;
    }
}

fn count(inventory: &Inventory, wanted: &Wanted) -> Result<u64, Failure> {
    match wanted {
        Wanted::Named(entries) => Ok(entries.len() as u64),
        Wanted::Selected(selection) => inventory.count(*selection).map_err(|error| inventory_failure(WHAT, &error)),
    }
}

/// Every certificate that is wanted, with its places, a batch at a time.
fn each_page(
    inventory: &Inventory,
    wanted: Wanted,
    keep: impl Fn(&Entry) -> bool,
    mut each: impl FnMut(Vec<Job>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    match wanted {
        Wanted::Named(entries) => each(jobs(inventory, entries)?),
        Wanted::Selected(selection) => {
            let mut after = Some(Cursor::START);
            while let Some(cursor) = after {
                let limit = u32::try_from(batch_size()).unwrap_or(u32::MAX);
                let (mut entries, next) =
                    inventory.page(selection, cursor, limit).map_err(|error| inventory_failure(WHAT, &error))?;
                entries.retain(&keep);
                each(jobs(inventory, entries)?)?;
                after = next;
            }
            Ok(())
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one loop with what it works on and what it reports to")]
fn renew_all(
    opened: &Opened,
    wanted: Wanted,
    role: Option<Role>,
    order: Order,
    total: u64,
    invocation: &Invocation,
    report: &mut Report,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut ledger = Ledger::open_to_sign(opened, invocation.around(), output)?;
    let mut progress = Progress::new("renewed", total);
    match wanted {
        Wanted::Named(entries) => {
            let mut entries = entries.into_iter().peekable();
            while entries.peek().is_some() {
                let batch: Vec<Entry> = entries.by_ref().take(batch_size()).collect();
                // Another run may have renewed them while this one waited.
                let batch = still_in_use(&ledger.inventory, batch)?;
                let jobs = jobs(&ledger.inventory, batch)?;
                renew_batch(opened, &mut ledger, jobs, order, invocation, report, output, &mut progress)?;
            }
        }
        Wanted::Selected(selection) => {
            let (around, is_wanted) = (invocation.around(), |entry: &Entry| is_of(entry, role));
            each_batch(opened, &mut ledger, selection, batch_size(), around, is_wanted, |ledger, jobs| {
                renew_batch(opened, ledger, jobs, order, invocation, report, output, &mut progress)
            })?;
        }
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "one step with what it works on and what it reports to")]
fn renew_batch(
    opened: &Opened,
    ledger: &mut Ledger,
    jobs: Vec<Job>,
    order: Order,
    invocation: &Invocation,
    report: &mut Report,
    output: &mut Output,
    progress: &mut Progress,
) -> Result<(), Failure> {
    if jobs.is_empty() {
        return Ok(());
    }
    let count = jobs.len() as u64;
    let outcomes = reissue(&opened.authority, ledger, jobs, order, invocation)?;
    progress.advance(count);
    report.outcomes(&outcomes, invocation, output);
    Ok(())
}
