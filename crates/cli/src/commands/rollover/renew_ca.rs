//! `dockseal renew-ca`: the authority's own certificate once more, with the same name and key, and into every `ca.pem`.
//!
//! A neighbour of the roll-over, whose way of giving endpoints other anchors it goes. It looks at what is there and does what
//! is missing as well, so that running it again resumes it.

use std::process::ExitCode;

use dockseal_ca::{Issuance, renewable};
use dockseal_docker::Role;
use dockseal_inventory::{Reservation, Selection};
use dockseal_lifecycle::permit::new_serial;
use dockseal_pki::{Certificate, moment};
use dockseal_store::Generations;

use super::{
    WHAT as ROLLOVER,
    advance::list,
    begin::{lifetime_of, name_of},
    deliver::{Which, Work, plan_trust},
    report::Report,
    stage::Standing,
};
use crate::{
    authority::{Opened, chains, known_issuers, read, unlock},
    failure::Failure,
    former::Former,
    groups::{PassphraseArgs, parse_lifetime},
    hints::{authority_failure, home_failure, inventory_failure},
    invocation::Invocation,
    output::Output,
    report::until,
};

const WHAT: &str = "cannot renew the authority's certificate";

#[derive(clap::Args)]
#[command(
    after_help = "For an authority that ends soon or has ended: its name and key stay, so that every certificate that it issued, and\n\
    its revocation lists, go on as they are. What all need is the new ca.pem, which is put where renewals would be put:\n\
    recorded directories, contexts and hosts over ssh. Everything else that trusts the old file (copies, images, CI\n\
    variables) needs it too, and dockerd reads it when it starts. The old one is kept as ca.pem.previous-N.\n\n\
    Nothing is renewed before two thirds of its life are gone, unless --early says so; then only what is missing is\n\
    delivered, so that it can be run again. It does not help against a key that somebody else may have: dockseal rollover\n\
    makes another one.\n\n\
    Examples:\n  \
    dockseal renew-ca --dry-run\n  \
    dockseal renew-ca\n  \
    dockseal renew-ca --early --lifetime 5y"
)]
pub(crate) struct Args {
    /// Renew it although two thirds of its life are not gone yet
    #[arg(long)]
    early: bool,
    /// How long the new certificate lives [default: as long as the old one was to live]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    lifetime: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    // What both do is not called a roll-over here.
    renew_ca(args, invocation, output).map_err(|failure| match &*failure.what {
        ROLLOVER => Failure { what: WHAT.to_owned(), ..failure },
        _ => failure,
    })
}

fn renew_ca(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    let files = read(&home)?;
    refuse_while_rolling_over(&files.generations)?;
    let chains = chains(&home, &files)?;
    let chain = chains.first().ok_or_else(|| Failure::trouble(WHAT))?;
    renewable(chain).map_err(|error| authority_failure(WHAT, &error))?;
    let issuer = chain.first().ok_or_else(|| Failure::trouble(WHAT))?;
    let wanted = args.lifetime.as_deref().map(parse_lifetime).transpose()?;
    let lifetime =
        lifetime_of(wanted, issuer, invocation).map_err(|failure| Failure { what: WHAT.to_owned(), ..failure })?;
    let is_due =
        args.early || invocation.now >= issuer.validity.due_at() || invocation.now < issuer.validity.not_before;
    let mut report = Report::new(output.format(), args.dry_run, invocation);
    report.trusts = Some("has the authority's new certificate");
    if !is_due {
        let end = until(issuer.validity, invocation.now);
        let text = format!("{} is valid until {end} and not due yet; --early renews it now", issuer.subject);
        report.say(&text, output);
    }
    if args.dry_run {
        if is_due {
            report.say(&format!("would renew the certificate of {}", issuer.subject), output);
        }
        let doing = "put the authority's new certificate into ca.pem";
        plan_trust(&home, is_due, doing, &mut report, invocation, output)?;
        return Ok(report.finish("", output));
    }
    let opened = if is_due { Some(unlock(home.clone(), &files, &args.passphrase, invocation, output)?) } else { None };
    let mut work = Work::open(home, report, invocation, output)?;
    refuse_while_rolling_over(&work.course.counting)?;
    // Unless another run was faster.
    let opened =
        opened.filter(|opened| work.course.goal().is_ok_and(|goal| goal.issuer() == opened.authority.issuer()));
    let mut consequences = Consequences::default();
    if let Some(opened) = opened {
        let issuance = Issuance { now: invocation.now, serial: new_serial(&invocation.around().random)? };
        let certificate =
            opened.authority.renew(lifetime, &issuance).map_err(|error| authority_failure(WHAT, &error))?;
        replace(&mut work, &opened, &certificate, invocation, output)?;
        consequences.old = Some(opened.authority.issuer().clone());
    }
    work.each_batch(&[], |work, standings| {
        consequences.take(&standings);
        work.deliver_to(standings, Which::All, output)
    })?;
    consequences.say(&work, output)?;
    let ca = work.home.generation_path(work.course.counting.signing).join("ca.pem");
    let next = match consequences.old {
        None => String::new(),
        Some(_) => {
            format!("Whoever trusts a copy of the old ca.pem needs the new one, of the same name: {}", ca.display())
        }
    };
    Ok(work.report.finish(&next, output))
}

/// In between, endpoints trust both authorities, and the new one is the cure.
fn refuse_while_rolling_over(counting: &Generations) -> Result<(), Failure> {
    if counting.change.is_none() {
        return Ok(());
    }
    Err(Failure::no(WHAT)
        .cause("a roll-over is under way, after which another authority is there")
        .hint("bring it to its end with dockseal rollover finish, or back with dockseal rollover abort, first"))
}

/// The new certificate replaces the old one at one instant; before it, nothing changes for anybody.
fn replace(
    work: &mut Work<'_>,
    opened: &Opened,
    certificate: &Certificate,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<(), Failure> {
    let failure = |error| inventory_failure(WHAT, &error);
    let home_error = |error| home_failure(WHAT, &error);
    // Its serial is this authority's as well, and stays reserved: it is nobody's to renew.
    let reservation = Reservation {
        generation: work.ledger.generation,
        serial: certificate.serial.clone(),
        role: Role::Authority,
        name: name_of(certificate),
        predecessor: None,
    };
    work.ledger.recorder().reserve(&[reservation]).map_err(failure)?;
    // A record that goes by the old certificate would be of nobody from now on.
    let former = Former::kept(&work.home, known_issuers(&work.home, WHAT)?, WHAT)?;
    if former.count() > 0 {
        work.home.write_revoked(&former.index()).map_err(home_error)?;
    }
    let counting = work.course.counting.clone();
    let kept = work.home.renew_generation(counting.signing, certificate).map_err(home_error)?;
    work.take_up()?;
    let text = format!(
        "Renewed the certificate of {}, with the same key, valid until {}; the one before, until {}, is kept as {}",
        certificate.subject,
        until(certificate.validity, invocation.now),
        moment(opened.authority.issuer().validity.not_after),
        kept.display()
    );
    work.report.renewed(&text, certificate, &kept, output);
    Ok(())
}

/// What a renewal of the authority's certificate does not change for those that it issued.
#[derive(Default)]
struct Consequences {
    /// The certificate before, where it was renewed by this run.
    old: Option<Certificate>,
    /// Who ends with it, because nobody may outlive his issuer.
    cut: Vec<String>,
    /// Whose certificate names the serial number of the certificate before.
    by_serial: Vec<String>,
}

impl Consequences {
    fn take(&mut self, standings: &[Standing]) {
        for Standing { entry, .. } in standings {
            let who = || format!("{} {}", entry.role, dockseal_pki::printable(&entry.name));
            let is_cut = |old: &Certificate| old.validity.not_after == entry.certificate.validity.not_after;
            if self.old.as_ref().is_some_and(is_cut) {
                self.cut.push(who());
            }
            if self.old.is_some() && entry.certificate.names_serial_of_issuer() {
                self.by_serial.push(who());
            }
        }
    }

    fn say(&self, work: &Work<'_>, output: &mut Output) -> Result<(), Failure> {
        let ended = work.ledger.inventory.count(Selection::EndingBy(work.invocation.now));
        match ended.map_err(|error| inventory_failure(WHAT, &error))? {
            0 => {}
            count => output.note(&format!(
                "the certificates that have ended ({count}) are not revived by this: dockseal renew --due makes new ones"
            )),
        }
        if !self.cut.is_empty() {
            output.note(&format!(
                "these end when the old certificate does, since none may outlive its authority; dockseal renew NAME gives them \
                 a longer life: {}",
                list(&self.cut)
            ));
        }
        if !self.by_serial.is_empty() {
            output.warn(&format!(
                "these name the old certificate by its serial number, so that OpenSSL, and what is built on it, no longer accepts \
                 them; Docker does. dockseal renew NAME makes new ones: {}",
                list(&self.by_serial)
            ));
        }
        Ok(())
    }
}
