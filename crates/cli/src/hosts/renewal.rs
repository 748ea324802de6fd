//! Certificates of daemons on hosts that are reached by ssh: renewed, and given other anchors, where they are.

use std::{path::Path, sync::Mutex, time::Duration};

use dockseal_ca::Authority;
use dockseal_docker::{daemon_json::INSTALL_DIRECTORY, host_plan::restart_only};
use dockseal_inventory::{Destination, Entry, Kind};
use dockseal_lifecycle::{PlacesOf, delivery::LeftAlone};
use dockseal_pki::{Certificate, KeyAlgorithm, TrustAnchors};
use dockseal_remote::Dial;

use super::{
    change::{Applied, KeyWish, Need, Work, apply, settle_place},
    lines::Lines,
    reach::{Reached, dial, parse_target, reach},
    show::certificates,
    side_by_side, unfinished,
};
use crate::{
    failure::Failure,
    held,
    hints::{left_alone_failure, plan_failure},
    invocation::Invocation,
    ledger::Ledger,
    reissue::{InPlace, Job, KeyChoice, Order, Outcome, Trouble, wish_of},
};

/// When a host takes a change back that was not confirmed.
const WITHIN: Duration = Duration::from_secs(120);

/// Whether it is a host's.
pub(crate) fn is_on_host(destination: &Destination) -> bool {
    destination.place.kind == Kind::Ssh
}

/// Takes the hosts' part out of some jobs: each place is a job of its own, since its key stays there.
pub(crate) fn take_out(jobs: &mut Vec<Job>) -> Vec<Job> {
    let mut taken = Vec::new();
    for job in jobs.iter_mut() {
        let (on_hosts, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut job.destinations).into_iter().partition(is_on_host);
        job.destinations = others;
        taken.extend(
            on_hosts.into_iter().map(|destination| Job { entry: job.entry.clone(), destinations: vec![destination] }),
        );
    }
    jobs.retain(|job| !job.destinations.is_empty() || !taken.iter().any(|taken| taken.entry.id == job.entry.id));
    taken
}

/// Re-issues daemons' certificates on their hosts, many side by side, each with a restart that is proved.
///
/// # Errors
/// When this machine has no randomness. Trouble with a host is part of its outcome.
pub(crate) fn reissue(
    authority: &Authority,
    ledger: &mut Ledger,
    jobs: Vec<Job>,
    order: Order,
    invocation: &Invocation,
) -> Result<Vec<Outcome<Entry>>, Failure> {
    let wanted = jobs
        .into_iter()
        .filter_map(|job| {
            let entry = job.entry;
            let destination = job.destinations.into_iter().next()?;
            let kind = KeyAlgorithm::like(entry.certificate.public_key.algorithm()).unwrap_or(KeyAlgorithm::P256);
            let key = match order.key {
                KeyChoice::New => KeyWish::New(kind),
                KeyChoice::Same => KeyWish::Same(entry.certificate.public_key.clone()),
            };
            let wish = wish_of(&entry, order.lifetime);
            let predecessor = Some(entry.id);
            Some(Change {
                need: held::endpoint(&entry.certificate, entry.role)
                    .map_err(Failure::from)
                    .map(|endpoint| Need::Certificate { endpoint, wish, key, predecessor }),
                entry,
                destination,
            })
        })
        .collect();
    let results = carry_out(Some(authority), ledger, wanted, invocation)?;
    Ok(results
        .into_iter()
        .map(|(entry, destination, result)| match result {
            Ok(Applied { certificate: Some(certificate), notes, .. }) => {
                let issued = InPlace { certificate, places: vec![destination.place], notes };
                Outcome { subject: entry, issued: Some(issued), troubles: Vec::new() }
            }
            Ok(_) => Outcome { subject: entry, issued: None, troubles: Vec::new() },
            Err(failure) => {
                let troubles = vec![Trouble { place: Some(destination.place), reason: failure }];
                Outcome { subject: entry, issued: None, troubles }
            }
        })
        .collect())
}

/// A daemon that keeps its certificate and is to have other anchors.
pub(crate) struct Trust {
    pub(crate) entry: Entry,
    pub(crate) destination: Destination,
    pub(crate) anchors: Vec<Certificate>,
    pub(crate) chain: Vec<Certificate>,
}

/// Gives daemons other anchors, each with a restart that is proved as far as that goes without a client.
///
/// # Errors
/// As [`reissue`].
pub(crate) fn deliver_trust(
    ledger: &mut Ledger,
    wanted: Vec<Trust>,
    invocation: &Invocation,
) -> Result<Vec<Ended>, Failure> {
    let wanted = wanted
        .into_iter()
        .map(|Trust { entry, destination, anchors, chain }| {
            let anchors = TrustAnchors::new(anchors).ok_or_else(|| Failure::trouble("there are no anchors"));
            let need = held::endpoint(&entry.certificate, entry.role)
                .map_err(Failure::from)
                .and_then(|endpoint| Ok(Need::Trust { endpoint, anchors: anchors?, chain }));
            Change { entry, destination, need }
        })
        .collect();
    carry_out(None, ledger, wanted, invocation)
}

struct Change {
    entry: Entry,
    destination: Destination,
    need: Result<Need, Failure>,
}

/// A certificate, its place on a host, and what came of changing that.
pub(crate) type Ended = (Entry, Destination, Result<Applied, Failure>);

fn carry_out(
    authority: Option<&Authority>,
    ledger: &mut Ledger,
    wanted: Vec<Change>,
    invocation: &Invocation,
) -> Result<Vec<Ended>, Failure> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let dial = dial(wanted.len() == 1)?;
    let lines = Lines::new(wanted.iter().map(|one| one.destination.place.machine_name.clone()).collect());
    let work = Work { authority, ledger: Mutex::new(ledger), invocation, lines: &lines, within: WITHIN };
    let numbered: Vec<(usize, Change)> = wanted.into_iter().enumerate().collect();
    Ok(side_by_side(numbered, |(at, change)| {
        lines.step(at, "looking");
        let result = change.need.and_then(|need| {
            let mut reached = open(&change.destination, &dial, invocation)?;
            unfinished(&mut reached, true)?;
            {
                let mut ledger = work.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                settle_place(&mut ledger, &reached)?;
            }
            is_what_was_delivered(&reached, &change.entry)?;
            let plan = restart_only(&reached.facts).map_err(|refusal| plan_failure(&reached.target, &refusal))?;
            apply(&work, at, &mut reached, &plan, &need)
        });
        if result.is_err() {
            lines.step(at, "left as it is");
        }
        (change.entry, change.destination, result)
    }))
}

/// Connects to where a bundle was delivered, and looks.
fn open(destination: &Destination, dial: &Dial, invocation: &Invocation) -> Result<Reached, Failure> {
    let target = parse_target(&destination.place.machine_name)?;
    if let PlacesOf::User(user) = invocation.places() {
        return Err(left_alone_failure(Some(&destination.place), LeftAlone::NotTheirs { user }));
    }
    let reached = reach(&target, dial, || invocation.clock().unix_timestamp())?;
    if reached.facts.machine != destination.place.machine {
        return Err(Failure::no(format!("{target} was left as it is"))
            .cause("another machine answers there than the one that the certificate was delivered to")
            .hint("set the new one up with dockseal bootstrap --ssh; dockseal inventory forget /etc/docker/tls --machine NAME lets the old one go"));
    }
    if destination.place.path != Path::new(INSTALL_DIRECTORY) {
        return Err(Failure::no(format!("{target} was left as it is"))
            .cause(format!("{} is no place that this program writes to over ssh", destination.place.path.display())));
    }
    Ok(reached)
}

fn is_what_was_delivered(reached: &Reached, entry: &Entry) -> Result<(), Failure> {
    let there = certificates(reached.facts.cert.contents.as_ref());
    if there.first() == Some(&entry.certificate) {
        return Ok(());
    }
    let holds = there.first().map_or("none".to_owned(), |leaf| format!("{}, serial {}", leaf.subject, leaf.serial));
    Err(Failure::no(format!("{} was left as it is", reached.target))
        .cause(format!("it was changed by hand: the certificate in {INSTALL_DIRECTORY} is {holds}"))
        .hint("see who changed it; dockseal bootstrap --ssh … --replace makes it anew"))
}

/// The anchors and the chain that a host's daemon has, if they are still what was delivered.
pub(crate) fn seen(
    destination: &Destination,
    entry: &Entry,
    invocation: &Invocation,
) -> Result<(Vec<Certificate>, Vec<Certificate>), Failure> {
    // Several may be looked at side by side, so none may ask.
    let reached = open(destination, &dial(false)?, invocation)?;
    is_what_was_delivered(&reached, entry)?;
    let facts = &reached.facts;
    Ok((certificates(facts.ca.contents.as_ref()), certificates(facts.cert.contents.as_ref())))
}
