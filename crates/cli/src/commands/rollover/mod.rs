//! `dockseal rollover`: a new authority takes over from the present one, one endpoint after the other, in any order.
//!
//! ```text
//! begin    a new generation, cross-certified by the present one; both anchors into every ca.pem
//! advance  leaves under the new generation, the cross-certificate after them in cert.pem
//! finish   the old anchor out of every ca.pem
//! abort    the same way back: leaves under the old generation, then the new anchor out
//! ```
//! Each looks at what is there and does what is missing, so that running it again resumes it.

mod advance;
mod begin;
mod conclude;
mod deliver;
pub(crate) mod renew_ca;
mod report;
mod running;
mod stage;
mod status;

use std::process::ExitCode;

use clap::Subcommand;

use crate::{failure::Failure, groups::PassphraseArgs, invocation::Invocation, output::Output};

const WHAT: &str = "cannot roll over";

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Make the new authority, and have every endpoint trust it beside the old one
    #[command(after_help = "Nothing else changes yet: certificates and keys stay. Examples:\n  \
        dockseal rollover begin --dry-run\n  \
        dockseal rollover begin\n  \
        dockseal rollover begin --key rsa4096 --passphrase-file /run/secrets/ca")]
    Begin(begin::Args),
    /// Show which endpoints are at which stage, and what is next
    #[command(after_help = "Exit codes: 0 nothing is open, 1 a roll-over is under way, 2 could not tell.")]
    Status,
    /// Issue certificates under the new authority to those who have one of the old
    #[command(after_help = "Endpoints that were not updated yet accept the new certificates too. Examples:\n  \
        dockseal rollover advance alice daemon/build.example.com    some first\n  \
        dockseal rollover advance")]
    Advance(advance::Args),
    /// Take the old authority out, once nobody depends on it
    Finish(Last),
    /// Go back to the old authority, at any time before finish
    Abort(Last),
}

/// Flags of the two ends.
#[derive(clap::Args)]
struct Last {
    /// Go on although some would be locked out
    #[arg(long)]
    force: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    match &args.command {
        Step::Begin(args) => begin::run(args, invocation, output),
        Step::Status => status::run(invocation, output),
        Step::Advance(args) => advance::run(args, invocation, output),
        Step::Finish(args) => conclude::finish(args, invocation, output),
        Step::Abort(args) => conclude::abort(args, invocation, output),
    }
}

/// A roll-over that is being taken back goes no other way.
fn refuse_going_back(counting: &dockseal_store::Generations) -> Result<(), Failure> {
    match counting.change {
        Some(change) if change.is_taken_back() => Err(Failure::no(WHAT)
            .cause("the roll-over is being aborted")
            .hint("run dockseal rollover abort to the end; then a new one can begin")),
        _ => Ok(()),
    }
}
