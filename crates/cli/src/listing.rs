//! Certificates as people and monitoring look at them: rows, the most urgent first, a page at a time, so that memory does not
//! grow with the inventory. `list` and `status` share this.

mod metrics;
mod sink;
mod table;
mod wire;

use std::{
    path::{Path, PathBuf},
    vec,
};

use dockseal_docker::Role;
use dockseal_inventory::{Cursor, Destination, Entry, Inventory, KeyHolder, Kind, Selection, State};
use dockseal_lifecycle::survey;
use dockseal_pki::{Certificate, Fingerprint, Validity};
use dockseal_store::Home;
use time::OffsetDateTime;

pub(crate) use self::{
    metrics::write as write_metrics,
    sink::Sink,
    table::Table,
    wire::{Counts, List, row as row_wire},
};
use crate::{
    authority::read_certificates,
    contexts::name_of,
    endpoint::plain,
    failure::Failure,
    hints::{home_failure, inventory_failure},
    invocation::Invocation,
    ledger::open_to_read,
    named,
};
use dockseal_lifecycle::identity::role_and_name;

/// How many certificates are read at once.
const PAGE: u32 = 256;

/// A certificate and where it is.
pub(crate) struct Row {
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) state: State,
    /// The number of its issuer; for an authority its own, if it has one.
    pub(crate) generation: Option<i64>,
    pub(crate) certificate: Certificate,
    pub(crate) due_at: OffsetDateTime,
    /// Whether anybody trusts its issuer.
    pub(crate) is_trusted: bool,
    pub(crate) key_holder: Option<KeyHolder>,
    pub(crate) places: Vec<Spot>,
}

/// Where a bundle is.
pub(crate) struct Spot {
    pub(crate) kind: &'static str,
    /// What people call its machine; `None` for this one.
    pub(crate) machine: Option<String>,
    pub(crate) path: PathBuf,
    /// The name of the context whose TLS files are there.
    pub(crate) context: Option<String>,
    pub(crate) delivered_at: Option<OffsetDateTime>,
    /// Another certificate is there than this one, as after a restore from a backup.
    pub(crate) holds_another: bool,
}

/// How a certificate that counts stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Valid,
    Due,
    NotYetValid,
    /// Its issuer was rolled over.
    Untrusted,
    Expired,
}

impl Standing {
    pub(crate) fn of(validity: Validity, due_at: OffsetDateTime, now: OffsetDateTime) -> Self {
        match () {
            () if validity.not_after < now => Self::Expired,
            () if validity.not_before > now => Self::NotYetValid,
            () if due_at <= now => Self::Due,
            () => Self::Valid,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Due => "due",
            Self::NotYetValid => "not-yet-valid",
            Self::Untrusted => "untrusted",
            Self::Expired => "expired",
        }
    }

    /// The same for people.
    pub(crate) fn text(self) -> &'static str {
        if self == Self::NotYetValid { "not yet valid" } else { self.word() }
    }
}

impl Row {
    pub(crate) fn validity(&self) -> Validity {
        self.certificate.validity
    }

    pub(crate) fn standing(&self, now: OffsetDateTime) -> Standing {
        match Standing::of(self.validity(), self.due_at, now) {
            Standing::Expired => Standing::Expired,
            _ if !self.is_trusted => Standing::Untrusted,
            standing => standing,
        }
    }

    /// What it may be called besides its main name.
    pub(crate) fn other_names(&self) -> impl Iterator<Item = String> {
        self.certificate.further_names().map(plain).filter(|name| *name != self.name)
    }
}

/// What is to be shown.
#[derive(Clone)]
pub(crate) struct Question {
    pub(crate) selection: Selection,
    pub(crate) role: Option<Role>,
    pub(crate) name: Option<String>,
}

/// An authority's inventory, opened for looking alone: neither its lock nor its key is needed.
pub(crate) struct View {
    pub(crate) inventory: Inventory,
    machine: String,
    /// The authority's own certificates, and those above it.
    authorities: Vec<(Option<i64>, Certificate, State)>,
    home: PathBuf,
}

impl View {
    pub(crate) fn open(invocation: &Invocation, what: &str) -> Result<Self, Failure> {
        let home = invocation.home()?;
        home.check_there().map_err(|error| home_failure(what, &error))?;
        let inventory = open_to_read(&home)?;
        let authorities = authorities(&home, &inventory, what)?;
        Ok(Self { inventory, machine: invocation.machine(), authorities, home: home.path().to_owned() })
    }

    /// The rows that answer a question. A name that nobody has is a failure, with nearly the same ones as a hint.
    pub(crate) fn rows(&self, question: &Question, what: &str) -> Result<Rows<'_>, Failure> {
        let fits = |row: &Row| {
            question.role.is_none_or(|role| role == row.role)
                && question.name.as_ref().is_none_or(|name| *name == row.name)
                && selects(question.selection, row)
        };
        let mut authorities: Vec<Row> = self.authority_rows().filter(fits).collect();
        authorities.sort_by_key(|row| urgency(question.selection, row));
        let source = match &question.name {
            None => Source::Pages(Some(Cursor::START)),
            Some(name) => {
                let known = self.inventory.known_as(name, question.role);
                let mut entries = known.map_err(|error| inventory_failure(what, &error))?;
                if entries.is_empty() && !self.authority_rows().any(|row| row.name == *name) {
                    return Err(named::unknown(&self.inventory, name, what)?);
                }
                entries.sort_by_key(|entry| entry.certificate.validity.not_after);
                Source::Named(entries)
            }
        };
        Ok(Rows {
            limit: PAGE,
            view: self,
            question: question.clone(),
            source,
            authorities: authorities.into_iter(),
            what: what.to_owned(),
        })
    }

    fn authority_rows(&self) -> impl Iterator<Item = Row> {
        self.authorities.iter().map(|(generation, certificate, state)| Row {
            role: Role::Authority,
            name: role_and_name(certificate).map_or_else(|| certificate.subject.to_string(), |(_, name)| name),
            state: state.clone(),
            generation: *generation,
            certificate: certificate.clone(),
            due_at: certificate.validity.due_at(),
            is_trusted: true,
            key_holder: None,
            places: vec![Spot {
                kind: "authority",
                machine: None,
                path: self.home.clone(),
                context: None,
                delivered_at: None,
                holds_another: false,
            }],
        })
    }

    /// Where on this machine the command that follows a renewal has yet to succeed, of those that were asked about.
    pub(crate) fn commands_due(&self, question: &Question, what: &str) -> Result<Vec<Destination>, Failure> {
        let failed = |error| inventory_failure(what, &error);
        let fits = |entry: Entry| {
            question.role.is_none_or(|role| role == entry.role)
                && question.name.as_ref().is_none_or(|name| *name == entry.name)
        };
        let mut due = self.inventory.commands_due().map_err(failed)?;
        due.retain(|destination| destination.place.machine == self.machine);
        let mut asked_about = Vec::new();
        for destination in due {
            let Some(id) = destination.certificate else { continue };
            if self.inventory.entry(id).map_err(failed)?.is_some_and(fits) {
                asked_about.push(destination);
            }
        }
        Ok(asked_about)
    }

    /// How the certificates that count stand at `now`, the authority's own included.
    pub(crate) fn counts(&self, now: OffsetDateTime, what: &str) -> Result<Counts, Failure> {
        let tally = self.inventory.tally(now).map_err(|error| inventory_failure(what, &error))?;
        let mut counts = Counts {
            valid: tally.valid,
            due: tally.due,
            not_yet_valid: tally.not_yet_valid,
            untrusted: tally.untrusted,
            expired: tally.expired,
            revoked: tally.revoked,
        };
        for row in self.authority_rows().filter(|row| row.state == State::Issued) {
            let standing = row.standing(now);
            match standing {
                Standing::Valid | Standing::Due => counts.valid += 1,
                Standing::NotYetValid => counts.not_yet_valid += 1,
                Standing::Untrusted => counts.untrusted += 1,
                Standing::Expired => counts.expired += 1,
            }
            counts.due += u64::from(standing != Standing::Valid);
        }
        Ok(counts)
    }

    fn row(&self, entry: Entry, what: &str) -> Result<Row, Failure> {
        let places = self.inventory.destinations_of(entry.id).map_err(|error| inventory_failure(what, &error))?;
        let is_here = |destination: &Destination| {
            destination.place.kind != Kind::Ssh
                && destination.place.machine == self.machine
                && destination.pending.is_none()
        };
        let spot = |destination: Destination| Spot {
            holds_another: is_here(&destination) && survey::holds_another(&destination, &entry).is_some(),
            kind: destination.place.kind.word(),
            context: name_of(destination.place.kind, &destination.place.path)
                .filter(|_| destination.place.machine == self.machine),
            machine: (destination.place.machine != self.machine).then_some(destination.place.machine_name),
            path: destination.place.path,
            delivered_at: destination.delivered_at,
        };
        let places = places.into_iter().map(spot).collect();
        Ok(Row {
            role: entry.role,
            name: entry.name,
            state: entry.state,
            generation: Some(entry.generation.number()),
            is_trusted: !self.inventory.is_retired(entry.generation),
            due_at: entry.due_at,
            key_holder: Some(entry.key_holder),
            places,
            certificate: entry.certificate,
        })
    }
}

/// The certificates that sign, those above them, and those that signed once.
fn authorities(
    home: &Home,
    inventory: &Inventory,
    what: &str,
) -> Result<Vec<(Option<i64>, Certificate, State)>, Failure> {
    let generations = inventory.generations().map_err(|error| inventory_failure(what, &error))?;
    let number = |fingerprint: Fingerprint| {
        let known = generations.iter().find(|generation| generation.certificate.fingerprint() == fingerprint);
        known.map(|generation| generation.id.number())
    };
    let chain = home.read_chain().ok().and_then(|chain| read_certificates(&chain, Path::new("ca.pem")).ok());
    let Some(chain) = chain else {
        // Files that this user may not read: what the inventory knows is enough to go on.
        let all = generations.into_iter();
        return Ok(all.map(|known| (Some(known.id.number()), known.certificate, State::Issued)).collect());
    };
    let past = generations.iter().filter(|generation| !chain.contains(&generation.certificate));
    let past = past.map(|known| (Some(known.id.number()), known.certificate.clone(), State::Superseded));
    let past: Vec<_> = past.collect();
    let present = chain.into_iter().map(|certificate| (number(certificate.fingerprint()), certificate, State::Issued));
    Ok(present.chain(past).collect())
}

enum Source {
    /// The certificates of one name.
    Named(Vec<Entry>),
    /// Where the next page begins.
    Pages(Option<Cursor>),
}

/// The rows of an answer, a page at a time.
pub(crate) struct Rows<'v> {
    view: &'v View,
    question: Question,
    source: Source,
    authorities: vec::IntoIter<Row>,
    /// How many certificates are read at once.
    limit: u32,
    what: String,
}

impl Rows<'_> {
    /// The first row alone.
    pub(crate) fn first(mut self) -> Result<Option<Row>, Failure> {
        self.limit = 1;
        Ok(self.next_page()?.and_then(|rows| rows.into_iter().next()))
    }

    /// The next rows, `None` at the end.
    pub(crate) fn next_page(&mut self) -> Result<Option<Vec<Row>>, Failure> {
        loop {
            let (entries, last) = match &mut self.source {
                Source::Named(entries) => (std::mem::take(entries), true),
                Source::Pages(Some(after)) => {
                    let page = self.view.inventory.page(self.question.selection, *after, self.limit);
                    let (entries, next) = page.map_err(|error| inventory_failure(&self.what, &error))?;
                    self.source = Source::Pages(next);
                    (entries, next.is_none())
                }
                Source::Pages(None) => return Ok(None),
            };
            if last {
                self.source = Source::Pages(None);
            }
            let mut rows = Vec::new();
            for entry in entries {
                if self.question.role.is_some_and(|role| role != entry.role) {
                    continue;
                }
                let row = self.view.row(entry, &self.what)?;
                if selects(self.question.selection, &row) {
                    let before = urgency(self.question.selection, &row);
                    rows.extend(self.more_urgent_authorities(before));
                    rows.push(row);
                }
            }
            if last {
                rows.extend(self.authorities.by_ref());
            }
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
    }

    fn more_urgent_authorities(&mut self, than: OffsetDateTime) -> Vec<Row> {
        let selection = self.question.selection;
        let more = self.authorities.as_slice().iter().take_while(|row| urgency(selection, row) <= than).count();
        self.authorities.by_ref().take(more).collect()
    }
}

/// What rows are sorted by, the earliest first.
fn urgency(selection: Selection, row: &Row) -> OffsetDateTime {
    match selection {
        Selection::Due(_) => row.due_at,
        Selection::EndingBy(_) | Selection::Issued | Selection::Everything => row.validity().not_after,
    }
}

fn selects(selection: Selection, row: &Row) -> bool {
    let counts = row.state == State::Issued;
    match selection {
        Selection::Due(now) => counts && row.standing(now) != Standing::Valid,
        Selection::EndingBy(end) => counts && row.validity().not_after <= end,
        Selection::Issued => counts,
        Selection::Everything => row.state != State::Reserved,
    }
}
