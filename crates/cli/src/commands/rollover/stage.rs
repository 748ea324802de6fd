//! Where each endpoint stands, read from the certificates in its directory.

use dockseal_docker::{Role, layout};
use dockseal_inventory::{Cursor, Destination, Entry, Inventory, Selection};
use dockseal_pki::Certificate;
use dockseal_store::{Generations, Home};
use time::OffsetDateTime;

use super::WHAT;
use crate::{
    authority::read_certificates,
    failure::Failure,
    hints::{home_failure, inventory_failure},
    hosts::renewal::{is_on_host, seen},
    invocation::Invocation,
    reissue::{Site, batch_size, in_parallel, visit},
};

/// One generation: its certificate, then those above it up to its anchor.
pub(super) struct Generation {
    pub(super) number: u32,
    chain: Vec<Certificate>,
    anchor: Certificate,
}

impl Generation {
    fn read(home: &Home, number: u32) -> Result<Self, Failure> {
        let pem = home.read_chain_of(number).map_err(|error| home_failure(WHAT, &error))?;
        let chain = read_certificates(&pem, &home.generation_path(number))?;
        let anchor = chain.last().cloned().ok_or_else(|| Failure::trouble(WHAT))?;
        Ok(Self { number, chain, anchor })
    }

    /// The certificate that signs.
    pub(super) fn issuer(&self) -> &Certificate {
        self.chain.first().unwrap_or(&self.anchor)
    }
}

/// The generations of an authority, and which one all endpoints are to reach.
pub(super) struct Course {
    pub(super) counting: Generations,
    /// All that are here, oldest first.
    known: Vec<Generation>,
    /// The goal's cross-certificate, and what leads from there to the anchor of the one before.
    link: Vec<Certificate>,
}

impl Course {
    pub(super) fn read(home: &Home) -> Result<Self, Failure> {
        let failure = |error| home_failure(WHAT, &error);
        let counting = home.generations().map_err(failure)?;
        let numbers = home.known_generations().map_err(failure)?;
        let known = numbers.into_iter().map(|number| Generation::read(home, number)).collect::<Result<Vec<_>, _>>()?;
        let link = match counting.change.filter(|change| !change.is_taken_back()) {
            None => None,
            Some(change) => home.read_link(change.toward).map_err(failure)?,
        };
        let link = match link {
            None => Vec::new(),
            Some(pem) => read_certificates(&pem, &home.generation_path(counting.goal()))?,
        };
        Ok(Self { counting, known, link })
    }

    pub(super) fn generation(&self, number: u32) -> Result<&Generation, Failure> {
        let found = self.known.iter().find(|generation| generation.number == number);
        found.ok_or_else(|| {
            Failure::trouble(WHAT)
                .cause(format!("generation {number} of the authority is not where its files are to be"))
                .hint("bring it back from a copy of the authority")
        })
    }

    /// As if the roll-over were being taken back.
    pub(super) fn turn_back(&mut self) {
        if let Some(change) = self.counting.change.filter(|change| !change.is_taken_back()) {
            self.counting.signing = change.from;
            self.counting.change = Some(dockseal_store::Change { from: change.toward, toward: change.from });
            self.link.clear();
        }
    }

    pub(super) fn goal(&self) -> Result<&Generation, Failure> {
        self.generation(self.counting.goal())
    }

    /// Whether leaves of the goal can only be accepted by who trusts it already: then all must, before there are any.
    pub(super) fn needs_all_to_trust_first(&self) -> bool {
        let forward = self.counting.change.is_some_and(|change| !change.is_taken_back());
        forward && !self.counting.is_concluding() && self.link.is_empty()
    }

    /// Whether the goal issued it. By name: who asks knows it from the inventory.
    pub(super) fn is_of_goal(&self, leaf: &Certificate) -> bool {
        self.goal().is_ok_and(|goal| leaf.issuer == goal.issuer().subject)
    }

    /// The anchors that endpoints are to have now, the signing generation's first.
    pub(super) fn anchors(&self) -> Vec<Certificate> {
        let mut numbers = vec![self.counting.signing];
        numbers.extend(self.counting.trusted.iter().copied().filter(|number| *number != self.counting.signing));
        numbers.iter().filter_map(|number| Some(self.generation(*number).ok()?.anchor.clone())).collect()
    }

    /// What is to follow a leaf of the goal in `cert.pem`.
    fn tail(&self) -> &[Certificate] {
        let below = |goal: &'_ Generation| goal.chain.len().saturating_sub(1);
        match self.goal() {
            _ if !self.link.is_empty() && !self.counting.is_concluding() => &self.link,
            Ok(goal) => goal.chain.get(..below(goal)).unwrap_or_default(),
            Err(_) => &[],
        }
    }

    fn stage(&self, anchors: &[Certificate], leaf: &Certificate) -> Result<Stage, Failure> {
        // One of before a renewal is its authority's as well.
        let is_of = |known: &Generation, anchor: &Certificate| known.anchor.is_of_same_authority(anchor);
        let foreign = anchors.iter().find(|anchor| !self.known.iter().any(|known| is_of(known, anchor)));
        if let Some(foreign) = foreign {
            return Err(Failure::no("it was left as it is")
                .cause(format!("its {} was changed by hand: it trusts {} too", layout::CA_FILE, foreign.subject))
                .hint("take that out, or change its ca.pem by hand during the roll-over too"));
        }
        let goal = self.goal()?;
        let trusts_goal = anchors.iter().any(|anchor| is_of(goal, anchor));
        Ok(match (trusts_goal, self.is_of_goal(leaf)) {
            (false, _) => Stage::Before,
            (true, false) => Stage::TrustsBoth,
            (true, true) if anchors.len() > 1 => Stage::Reissued,
            (true, true) => Stage::After,
        })
    }
}

/// How far an endpoint has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It does not trust the goal yet.
    Before,
    /// It trusts both, and its certificate is of the old generation.
    TrustsBoth,
    /// It trusts both, and its certificate is the goal's.
    Reissued,
    /// It trusts the goal alone.
    After,
}

impl Stage {
    pub(super) const ALL: [Self; 4] = [Self::Before, Self::TrustsBoth, Self::Reissued, Self::After];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::TrustsBoth => "trusts-both",
            Self::Reissued => "reissued",
            Self::After => "after",
        }
    }
}

/// A place that can be read and written, as it is.
pub(super) struct Seen {
    pub(super) site: Site,
    pub(super) stage: Stage,
    /// It has these anchors, and this follows its leaf.
    anchors: Vec<Certificate>,
    tail: Vec<Certificate>,
}

impl Seen {
    /// The anchors and the chain that it is to have now, where it has others; its leaf stays.
    pub(super) fn is_to_have(
        &self,
        course: &Course,
        leaf: &Certificate,
    ) -> Option<(Vec<Certificate>, Vec<Certificate>)> {
        let wanted = course.anchors();
        let tail = if course.is_of_goal(leaf) { course.tail() } else { &self.tail };
        let same_anchors = wanted.len() == self.anchors.len() && wanted.iter().all(|one| self.anchors.contains(one));
        if same_anchors && tail == self.tail {
            return None;
        }
        let anchors = if same_anchors { self.anchors.clone() } else { wanted };
        Some((anchors, std::iter::once(leaf).chain(tail).cloned().collect()))
    }
}

/// A certificate that counts and has not ended, and the places where it is recorded.
pub(super) struct Standing {
    pub(super) entry: Entry,
    pub(super) places: Vec<(Destination, Result<Seen, Failure>)>,
}

/// Looks at every endpoint, a batch at a time. `names` is empty for all.
pub(super) fn each_batch<I>(
    with: &mut I,
    inventory: impl Fn(&I) -> &Inventory,
    course: &Course,
    names: &[Entry],
    invocation: &Invocation,
    mut each: impl FnMut(&mut I, Vec<Standing>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut after = Some(Cursor::START);
    // Not what is made meanwhile.
    let newest = inventory(with).newest().map_err(|error| inventory_failure(WHAT, &error))?;
    while let Some(cursor) = after {
        let limit = u32::try_from(batch_size()).unwrap_or(u32::MAX);
        let failure = |error| inventory_failure(WHAT, &error);
        let (entries, next) = inventory(with).page(Selection::Issued, cursor, limit).map_err(failure)?;
        let mut found = Vec::new();
        for entry in entries {
            let wanted = names.is_empty() || names.iter().any(|one| one.role == entry.role && one.name == entry.name);
            let is_new = newest.is_none_or(|newest| entry.id > newest);
            if entry.role == Role::Authority || is_new || has_ended(&entry, invocation.now) || !wanted {
                continue;
            }
            let destinations = inventory(with).destinations_of(entry.id).map_err(failure)?;
            found.push((entry, destinations));
        }
        let standings = in_parallel(found, |(entry, destinations)| {
            let look = |destination: Destination| {
                let seen = look(course, &destination, &entry, invocation);
                (destination, seen)
            };
            let places = destinations.into_iter().map(look).collect();
            Standing { entry, places }
        });
        each(with, standings)?;
        after = next;
    }
    Ok(())
}

/// Nobody accepts it any more, roll-over or not.
fn has_ended(entry: &Entry, now: OffsetDateTime) -> bool {
    entry.certificate.validity.not_after < now
}

fn look(course: &Course, destination: &Destination, entry: &Entry, invocation: &Invocation) -> Result<Seen, Failure> {
    if is_on_host(destination) {
        return look_on_host(course, destination, entry, invocation);
    }
    let path = &destination.place.path;
    let site = visit(destination, entry, invocation)?;
    let unreadable = |cause: String| {
        Failure::no(format!("{} was left as it is", path.display()))
            .cause(cause)
            .hint("see who changed it; dockseal issue … --replace makes it anew")
    };
    let certificates = |file: &str| {
        let path = path.join(file);
        let read = dockseal_store::read(&path).map_err(|error| unreadable(error.to_string()))?;
        read_certificates(&read.bytes, &path).map_err(|error| unreadable(error.source.to_string()))
    };
    let names = destination.layout.names(entry.role);
    let anchors = certificates(names.anchors)?;
    let mut tail = certificates(names.chain)?;
    tail.drain(..1.min(tail.len()));
    let stage = course
        .stage(&anchors, &entry.certificate)
        .map_err(|failure| Failure { what: format!("{} was left as it is", path.display()), ..failure })?;
    Ok(Seen { site, stage, anchors, tail })
}

/// The same over ssh. The key stays there.
fn look_on_host(
    course: &Course,
    destination: &Destination,
    entry: &Entry,
    invocation: &Invocation,
) -> Result<Seen, Failure> {
    let (anchors, mut tail) = seen(destination, entry, invocation)?;
    tail.drain(..1.min(tail.len()));
    let stage = course
        .stage(&anchors, &entry.certificate)
        .map_err(|failure| Failure { what: format!("{} was left as it is", destination.place), ..failure })?;
    let site = Site { destination: destination.clone(), ownership: destination.ownership, key: None };
    Ok(Seen { site, stage, anchors, tail })
}
