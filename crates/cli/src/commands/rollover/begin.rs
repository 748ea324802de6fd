//! `dockseal rollover begin`: the new generation, and both anchors for everybody.

use std::process::ExitCode;

use dockseal_ca::{Authority, AuthorityError, SuccessorRequest};
use dockseal_docker::Role;
use dockseal_inventory::{KeyHolder, Reservation, Signed};
use dockseal_lifecycle::{init::key_pem, permit::new_serial};
use dockseal_pki::{Certificate, KeyAlgorithm, Lifetime, Passphrase, PrivateKey, PublicKeyAlgorithm, Validity};
use dockseal_store::{Change, Generations};
use ring::rand::SystemRandom;

use super::{
    WHAT,
    deliver::{Which, Work, plan_trust},
    refuse_going_back,
    report::Report,
    stage::Course,
};
use crate::{
    authority::{Opened, read, signing_issuer, unlock_keeping},
    failure::Failure,
    groups::{PassphraseArgs, key_word, parse_lifetime},
    hints::{authority_failure, home_failure, init_failure, inventory_failure},
    invocation::Invocation,
    output::Output,
    report::until,
};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The new authority's name; something unique is added to it [default: the old one's]
    #[arg(long)]
    name: Option<String>,
    /// The kind of the new authority's private key [default: as the old one's]
    #[arg(long, value_parser = key_word(), value_name = "KIND")]
    key: Option<KeyAlgorithm>,
    /// How long the new authority lives [default: as long as the old one]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    lifetime: Option<String>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let home = invocation.home()?;
    let files = read(&home)?;
    refuse_going_back(&files.generations)?;
    if files.generations.is_concluding() {
        return Err(Failure::no(WHAT)
            .cause("the roll-over before this one is being finished")
            .hint("run dockseal rollover finish to the end"));
    }
    let lifetime = args.lifetime.as_deref().map(parse_lifetime).transpose()?;
    let mut report = Report::new(output.format(), args.dry_run, invocation);
    if args.dry_run {
        return plan(&home, lifetime, report, invocation, output);
    }
    let is_new = files.generations.change.is_none();
    let unlocked = if is_new {
        Some(unlock_keeping(home.clone(), &files, &args.passphrase, invocation, output)?)
    } else {
        report.say("A roll-over is under way already; what is missing of its beginning is done now.", output);
        None
    };
    let mut work = Work::open(home, report, invocation, output)?;
    // Unless another run was faster.
    if let Some((opened, passphrase)) = unlocked.filter(|_| work.course.counting == files.generations) {
        let wanted = Wanted { name: args.name.clone(), key: args.key, lifetime };
        make(&mut work, &opened, passphrase.as_ref(), wanted, output)?;
    }
    if work.course.needs_all_to_trust_first() {
        output.note(
            "the old authority has no room below it for a cross-certificate (path length 0), so every endpoint must trust \
             the new one before the first gets a certificate of it: advance waits for that",
        );
    }
    work.deliver_trust(Which::All, output)?;
    Ok(work.report.finish(
        "Next: copy each ca.pem to where it is used and restart the daemons (hosts over ssh and contexts have theirs), then \
         dockseal rollover advance; dockseal rollover status shows who is where.",
        output,
    ))
}

struct Wanted {
    name: Option<String>,
    key: Option<KeyAlgorithm>,
    lifetime: Option<Lifetime>,
}

/// Makes the new generation and has it trusted, at one instant.
fn make(
    work: &mut Work<'_>,
    opened: &Opened,
    passphrase: Option<&Passphrase>,
    wanted: Wanted,
    output: &mut Output,
) -> Result<(), Failure> {
    let invocation = work.invocation;
    let failure = |error| inventory_failure(WHAT, &error);
    let home_error = |error| home_failure(WHAT, &error);
    work.home.remove_unused_generations().map_err(home_error)?;
    let old = &opened.authority;
    let issuer = old.issuer();
    let name = wanted.name.unwrap_or_else(|| name_of(issuer));
    let lifetime = lifetime_of(wanted.lifetime, issuer, invocation)?;
    let request = SuccessorRequest {
        name: name.clone(),
        lifetime,
        now: invocation.now,
        serial: new_serial(&invocation.around().random)?,
        cross_serial: new_serial(&invocation.around().random)?,
    };
    let kind = wanted.key.unwrap_or_else(|| kind_of(issuer.public_key.algorithm()));
    let key = PrivateKey::generate(kind, &SystemRandom::new())
        .map_err(|error| Failure::trouble("cannot make the new authority's key").cause(error))?;
    let key_pem = key_pem(&key, passphrase, invocation.around()).map_err(|error| init_failure(WHAT, error))?;

    // The serial is taken before it is signed with. It stays reserved: the cross-certificate is nobody's to renew.
    let reservation = Reservation {
        generation: work.ledger.generation,
        serial: request.cross_serial.clone(),
        role: Role::Authority,
        name,
        predecessor: None,
    };
    let cross_id = if old.has_room_for_successor() {
        work.ledger.recorder().reserve(&[reservation]).map_err(failure)?.first().copied()
    } else {
        None
    };
    let successor = old
        .succeed(request, Box::new(key))
        .map_err(|error| authority_failure("cannot make the new authority", &error))?;
    if let (Some(id), Some(certificate)) = (cross_id, successor.link.first()) {
        let signed = Signed { id, certificate, key_holder: KeyHolder::Elsewhere, places: &[], command_follows: false };
        work.ledger.recorder().signed(&[signed]).map_err(failure)?;
    }

    let counting = work.course.counting.clone();
    let recorded = work.ledger.inventory.generations().map_err(failure)?;
    let recorded = recorded.last().map_or(0, |last| u32::try_from(last.id.number()).unwrap_or(0));
    let number = recorded.max(counting.signing).saturating_add(1);
    let certificate = successor.authority.issuer();
    work.home.add_generation(number, certificate, key_pem, &successor.link).map_err(home_error)?;
    let mut trusted = counting.trusted;
    trusted.push(number);
    let change = Change { from: counting.signing, toward: number };
    let counting = Generations { signing: counting.signing, trusted, change: Some(change) };
    work.set(&counting, "roll-over begun", &format!("{} is to take over", certificate.subject))?;
    work.ledger.recorder().generation(certificate).map_err(failure)?;
    let text = format!(
        "Made the authority {} in {}, valid until {}",
        certificate.subject,
        work.home.generation_path(number).display(),
        until(certificate.validity, invocation.now)
    );
    work.report.say(&text, output);
    Ok(())
}

/// As long a life as the old one was given, where X.509 can express its end: some authorities are to last for ever.
pub(super) fn lifetime_of(
    wanted: Option<Lifetime>,
    issuer: &Certificate,
    invocation: &Invocation,
) -> Result<Lifetime, Failure> {
    let can_be = |lifetime: &Lifetime| Validity::starting(invocation.now, *lifetime).is_ok();
    let usual = || issuer.validity.lifetime().filter(can_be).unwrap_or(Authority::USUAL_LIFETIME);
    let lifetime = wanted.unwrap_or_else(usual);
    Validity::starting(invocation.now, lifetime)
        .map(|_| lifetime)
        .map_err(|error| authority_failure("cannot make the new authority", &AuthorityError::Validity(error)))
}

/// What would be done.
fn plan(
    home: &dockseal_store::Home,
    lifetime: Option<Lifetime>,
    mut report: Report,
    invocation: &Invocation,
    output: &mut Output,
) -> Result<ExitCode, Failure> {
    let is_new = Course::read(home)?.counting.change.is_none();
    if is_new {
        lifetime_of(lifetime, &signing_issuer(home, WHAT)?, invocation)?;
        report.say("would make a new authority, cross-certified by the present one", output);
    }
    plan_trust(home, is_new, "add the new anchor to ca.pem", &mut report, invocation, output)?;
    Ok(report.finish("", output))
}

/// The old one's name without what made it unique.
pub(super) fn name_of(issuer: &Certificate) -> String {
    let name = issuer.subject.common_name().unwrap_or_default();
    let usable = !name.trim().is_empty() && name.chars().count() <= 64;
    if usable { name } else { "Docker authority".to_owned() }
}

/// The kind nearest to the old key's that is made.
fn kind_of(algorithm: &PublicKeyAlgorithm) -> KeyAlgorithm {
    KeyAlgorithm::like(algorithm).unwrap_or(KeyAlgorithm::P256)
}
