//! Renewals of every kind of place: those of this machine, and hosts over ssh.

use dockseal_ca::Authority;
use dockseal_inventory::{Destination, Entry};
use dockseal_lifecycle::{
    delivery,
    renewal::{note_changes, renew_jobs},
};
pub(crate) use dockseal_lifecycle::{
    delivery::{InPlace, Prepared, StagedAt, fitted, record_and_swap},
    in_parallel,
    renewal::{Job, KeyChoice, RenewOptions as Order, Site, issue_options as wish_of},
};

use crate::{failure::Failure, hints::left_alone_failure, hosts::renewal, invocation::Invocation, ledger::Ledger};

/// What became of what was to get a certificate, in the words of the command line.
pub(crate) type Outcome<Subject> = delivery::Outcome<Subject, Failure>;
/// Why something was left as it was, in the words of the command line.
pub(crate) type Trouble = delivery::Trouble<Failure>;

/// How many certificates are made durable together at most. Larger batches wait for the disk more seldom and keep others
/// who want to work on the authority waiting for longer.
const BATCH: usize = 1024;
/// Files that are open besides one for each bundle that is staged.
const OTHER_FILES: u64 = 64;

/// How many certificates to make durable together, with as many open files as this process may have; a certificate may
/// well be in two places.
pub(crate) fn batch_size() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = 2 * BATCH as u64 + OTHER_FILES;
    let mut allowed = limit.current.unwrap_or(u64::MAX);
    if allowed < wanted {
        let raised = limit.maximum.map_or(wanted, |most| most.min(wanted));
        let limit = Rlimit { current: Some(raised), maximum: limit.maximum };
        if raised > allowed && setrlimit(Resource::Nofile, limit).is_ok() {
            allowed = raised;
        }
    }
    usize::try_from(allowed.saturating_sub(OTHER_FILES) / 2).unwrap_or(BATCH).clamp(1, BATCH)
}

/// Renews up to [`batch_size`] certificates, and returns what became of each, those on hosts last.
///
/// # Errors
/// When the inventory or the disk as a whole refuses. Trouble with one certificate or place is part of its outcome.
pub(crate) fn reissue(
    authority: &Authority,
    ledger: &mut Ledger,
    mut jobs: Vec<Job>,
    order: Order,
    invocation: &Invocation,
) -> Result<Vec<Outcome<Entry>>, Failure> {
    let on_hosts = renewal::take_out(&mut jobs);
    let here = renew_jobs(authority, ledger, jobs, order, invocation.around())?;
    let mut outcomes: Vec<Outcome<Entry>> =
        here.into_iter().map(|outcome| outcome.map_reasons(left_alone_failure)).collect();
    let mut hosts = renewal::reissue(authority, ledger, on_hosts, order, invocation)?;
    hosts.iter_mut().for_each(note_changes);
    outcomes.extend(hosts);
    Ok(outcomes)
}

/// What there is at a place, if it is still what was delivered there.
pub(crate) fn visit(destination: &Destination, entry: &Entry, invocation: &Invocation) -> Result<Site, Failure> {
    dockseal_lifecycle::renewal::visit(destination, entry, invocation.places(), invocation.around())
        .map_err(|reason| left_alone_failure(Some(&destination.place), reason))
}
