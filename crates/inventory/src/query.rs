//! Reading. Lists come in pages, the most urgent first, so that memory does not grow with the inventory.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use dockseal_docker::Role;
use dockseal_pki::{Certificate, Fingerprint, RevocationReason, SerialNumber};
use rusqlite::{Connection, OptionalExtension, Row, params};
use time::OffsetDateTime;

use crate::{
    CertificateId, Destination, DestinationId, Entry, Event, Generation, GenerationId, Inventory, InventoryError,
    Place, Revocation, Run, State,
    rows::{ENTRY, damaged, destination, destination_columns, entry, moment, role, time_given_column},
};

/// Which certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Those that count and of whose life two thirds are gone at this moment, that are not valid yet, or that nobody trusts any
    /// more.
    Due(OffsetDateTime),
    /// Those that count and end no later than this.
    EndingBy(OffsetDateTime),
    /// Those that count.
    Issued,
    /// Those that count no longer, and those that still do.
    Everything,
}

/// Where a page begins: after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    end: i64,
    id: i64,
}

impl Cursor {
    /// Before the first.
    pub const START: Self = Self { end: i64::MIN, id: i64::MIN };
}

/// What a text that a person gave means.
#[derive(Debug)]
pub enum Matches {
    /// These certificates, which count: all of one role and main name, or the one with that serial number.
    One(Vec<Entry>),
    /// Several that have nothing to do with each other.
    Several(Vec<Entry>),
    /// Known, but none of them counts: superseded or revoked.
    Past(Vec<Entry>),
    /// None.
    None,
}

/// How many certificates count, and how they stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those that count, are trusted, have begun and have not ended.
    pub valid: u64,
    /// Those of [`Selection::Due`], ended or not.
    pub due: u64,
    /// Those that count and are not valid yet.
    pub not_yet_valid: u64,
    /// Those that count, have not ended, and whose issuer nobody trusts any more.
    pub untrusted: u64,
    /// Those that count and have ended.
    pub expired: u64,
    /// The revoked that have not ended.
    pub revoked: u64,
}

pub(crate) fn generation_of(connection: &Connection, issuer: &Certificate) -> rusqlite::Result<Option<GenerationId>> {
    let known = connection
        .prepare_cached("SELECT id FROM generation WHERE fingerprint = ?1")?
        .query_row([issuer.fingerprint().as_bytes()], |row| row.get(0).map(GenerationId))
        .optional()?;
    if known.is_some() {
        return Ok(known);
    }
    // Another certificate of one that is known: it was renewed.
    let mut statement = connection.prepare_cached("SELECT id, der FROM generation ORDER BY id")?;
    let generations = statement.query_map([], generation)?.collect::<rusqlite::Result<Vec<Generation>>>()?;
    Ok(generations.iter().find(|one| one.certificate.is_of_same_authority(issuer)).map(|one| one.id))
}

fn generation(row: &Row<'_>) -> rusqlite::Result<Generation> {
    let certificate = Certificate::from_der(row.get_ref(1)?.as_blob()?).map_err(|_| damaged(1, "not a certificate"))?;
    Ok(Generation { id: GenerationId(row.get(0)?), certificate })
}

/// The condition of a selection, and the bound that is its parameter of this number. `at_once` is what is due whenever two thirds
/// of its life are gone.
fn condition(selection: Selection, number: u8, at_once: &str) -> (String, i64) {
    match selection {
        Selection::Due(now) => (format!("state = 'issued' AND (due_at <= ?{number}{at_once})"), now.unix_timestamp()),
        Selection::EndingBy(end) => (format!("state = 'issued' AND not_after <= ?{number}"), end.unix_timestamp()),
        Selection::Issued => (format!("state = 'issued' AND ?{number} = ?{number}"), 0),
        Selection::Everything => (format!("der IS NOT NULL AND state <> 'reserved' AND ?{number} = ?{number}"), 0),
    }
}

/// The query of a page, and the bound that is its third parameter.
fn page_sql(selection: Selection, at_once: &str) -> (String, i64) {
    let column = if matches!(selection, Selection::Due(_)) { "due_at" } else { "not_after" };
    let (condition, bound) = condition(selection, 3, at_once);
    let sql = format!(
        "SELECT {ENTRY}, {column} FROM certificate
         WHERE {condition} AND ({column}, id) > (?1, ?2) ORDER BY {column}, id LIMIT ?4"
    );
    (sql, bound)
}

/// What the trail says of a command before it runs.
pub(crate) const COMMAND_BEGUN: &str = "command begun";

/// How many certificates stand so at the moment that is the first parameter.
const TALLY: [&str; 3] = [
    "SELECT count(*) FROM certificate WHERE state = 'issued' AND not_after >= ?1",
    "SELECT count(*) FROM certificate WHERE state = 'issued' AND not_after < ?1",
    "SELECT count(*) FROM certificate WHERE state = 'revoked' AND not_after >= ?1",
];

impl Inventory {
    /// At most `limit` certificates of the selection that come after the cursor, the one that ends (for [`Selection::Due`]:
    /// became due) first in front; and the cursor for the next page, `None` at the end.
    ///
    /// # Errors
    /// As every method here: when the file cannot be read or is damaged.
    pub fn page(
        &self,
        selection: Selection,
        after: Cursor,
        limit: u32,
    ) -> Result<(Vec<Entry>, Option<Cursor>), InventoryError> {
        let (sql, bound) = page_sql(selection, &self.at_once(selection)?);
        self.query(&sql, params![after.end, after.id, bound, limit], |row| Ok((entry(row)?, row.get::<_, i64>(11)?)))
            .map(|rows| {
                let full = rows.len() == usize::try_from(limit).unwrap_or(usize::MAX);
                let next = rows.last().filter(|_| full).map(|(entry, end)| Cursor { end: *end, id: entry.id.0 });
                (rows.into_iter().map(|(entry, _)| entry).collect(), next)
            })
    }

    /// How many certificates the selection has.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn count(&self, selection: Selection) -> Result<u64, InventoryError> {
        let (condition, bound) = condition(selection, 1, &self.at_once(selection)?);
        let count = |row: &Row<'_>| row.get::<_, i64>(0).map(i64::unsigned_abs);
        self.query(&format!("SELECT count(*) FROM certificate WHERE {condition}"), [bound], count)
            .map(|rows| rows.into_iter().next().unwrap_or(0))
    }

    /// What is due at once, as one more condition of [`Selection::Due`]. Mostly there is nothing such, and two indexes say so; the
    /// condition itself has none, and reads all that count.
    fn at_once(&self, selection: Selection) -> Result<String, InventoryError> {
        let Selection::Due(now) = selection else { return Ok(String::new()) };
        let [early, untrusted] = self.at_once_conditions(now);
        let exists =
            |condition: &str| format!("EXISTS (SELECT 1 FROM certificate WHERE state = 'issued' AND {condition})");
        let sql = format!("SELECT {} OR {}", exists(&early), exists(&untrusted));
        let is_there = self.query(&sql, [], |row| row.get::<_, bool>(0))?.contains(&true);
        Ok(if is_there { format!(" OR {early} OR {untrusted}") } else { String::new() })
    }

    fn at_once_conditions(&self, now: OffsetDateTime) -> [String; 2] {
        let retired: Vec<String> = self.retired.iter().map(|id| id.0.to_string()).collect();
        [format!("not_before > {}", now.unix_timestamp()), format!("generation IN ({})", retired.join(", "))]
    }

    /// The number of the newest certificate.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn newest(&self) -> Result<Option<CertificateId>, InventoryError> {
        self.query("SELECT max(id) FROM certificate", [], |row| row.get::<_, Option<i64>>(0))
            .map(|rows| rows.into_iter().next().flatten().map(CertificateId))
    }

    /// How many certificates count at `now`, and how they stand.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn tally(&self, now: OffsetDateTime) -> Result<Tally, InventoryError> {
        let [early, untrusted] = self.at_once_conditions(now);
        let due = self.count(Selection::Due(now))?;
        let connection = self.connection()?;
        let count = |sql: &str| {
            let count = |row: &Row<'_>| row.get::<_, i64>(0).map(i64::unsigned_abs);
            connection.prepare_cached(sql)?.query_row([now.unix_timestamp()], count)
        };
        let tally = || -> rusqlite::Result<Tally> {
            let [lasting, expired, revoked] = TALLY;
            let untrusted_now = count(&format!("{lasting} AND {untrusted}"))?;
            let not_yet_valid = count(&format!("{lasting} AND {early} AND NOT {untrusted}"))?;
            Ok(Tally {
                valid: count(lasting)?.saturating_sub(untrusted_now).saturating_sub(not_yet_valid),
                due,
                not_yet_valid,
                untrusted: untrusted_now,
                expired: count(expired)?,
                revoked: count(revoked)?,
            })
        };
        tally().map_err(self.report())
    }

    /// Every certificate that a name, a serial number in hexadecimal or `ROLE/NAME` may mean, whether it counts or not: those
    /// of that name, the oldest first, or if there are none the one with that number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn known_as(&self, text: &str, role: Option<Role>) -> Result<Vec<Entry>, InventoryError> {
        let (text, given) = split_role(text);
        let role = given.or(role);
        let fits = |entry: &Entry| role.is_none_or(|role| entry.role == role);
        let mut found = self.query(
            &format!(
                "SELECT {ENTRY} FROM name JOIN certificate ON certificate.id = name.certificate
                 WHERE name.name = ?1 AND state <> 'reserved' ORDER BY certificate.id"
            ),
            [text],
            entry,
        )?;
        found.retain(fits);
        if found.is_empty() {
            let sql = format!("SELECT {ENTRY} FROM certificate WHERE serial = ?1 AND state <> 'reserved'");
            for serial in SerialNumber::meant_by(text) {
                found.extend(self.query(&sql, [serial.der_content()], entry)?.into_iter().filter(fits));
            }
        }
        Ok(found)
    }

    /// The certificate to which an issuer gave that number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn numbered(&self, generation: GenerationId, serial: &SerialNumber) -> Result<Option<Entry>, InventoryError> {
        let sql =
            format!("SELECT {ENTRY} FROM certificate WHERE generation = ?1 AND serial = ?2 AND state <> 'reserved'");
        self.query(&sql, params![generation.0, serial.der_content()], entry).map(|rows| rows.into_iter().next())
    }

    /// What a name, a serial number in hexadecimal or `ROLE/NAME` means. Only certificates that count are meant, unless
    /// there are none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&self, text: &str, role: Option<Role>) -> Result<Matches, InventoryError> {
        let found = self.known_as(text, role)?;
        let text = split_role(text).0;
        let mut counting: Vec<Entry> = Vec::new();
        let mut past = Vec::new();
        for entry in found {
            let list = if entry.state == State::Issued { &mut counting } else { &mut past };
            if !list.iter().any(|other| other.id == entry.id) {
                list.push(entry);
            }
        }
        // The main name before the other names of somebody else.
        if counting.iter().any(|entry| entry.name == text) && counting.iter().any(|entry| entry.name != text) {
            let roles: Vec<Role> = counting.iter().map(|entry| entry.role).collect();
            if roles.iter().all(|role| Some(role) == roles.first()) {
                counting.retain(|entry| entry.name == text);
            }
        }
        Ok(match counting.first() {
            None if past.is_empty() => Matches::None,
            None => Matches::Past(past),
            Some(first) if counting.iter().all(|entry| entry.role == first.role && entry.name == first.name) => {
                Matches::One(counting)
            }
            Some(_) => Matches::Several(counting),
        })
    }

    /// The names in the inventory, each once, in no order: for suggestions, when a name is unknown.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn names(&self) -> Result<Vec<String>, InventoryError> {
        self.query(
            "SELECT DISTINCT name.name FROM name JOIN certificate ON certificate.id = name.certificate
             WHERE state <> 'reserved'",
            [],
            |row| row.get(0),
        )
    }

    /// A certificate by its number.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entry(&self, id: CertificateId) -> Result<Option<Entry>, InventoryError> {
        let sql = format!("SELECT {ENTRY} FROM certificate WHERE id = ?1 AND der IS NOT NULL");
        self.query(&sql, [id.0], entry).map(|rows| rows.into_iter().next())
    }

    /// A certificate by its fingerprint.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn entry_of(&self, fingerprint: Fingerprint) -> Result<Option<Entry>, InventoryError> {
        let sql = format!("SELECT {ENTRY} FROM certificate WHERE fingerprint = ?1 AND der IS NOT NULL");
        self.query(&sql, [fingerprint.as_bytes()], entry).map(|rows| rows.into_iter().next())
    }

    /// The places that hold this certificate.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn destinations_of(&self, id: CertificateId) -> Result<Vec<Destination>, InventoryError> {
        self.destinations_where("certificate = ?1 ORDER BY id", [id.0])
    }

    /// The place of this kind, machine and path.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn destination_at(&self, place: &Place) -> Result<Option<Destination>, InventoryError> {
        let octets = OsStr::as_bytes(place.path.as_os_str());
        let identity = params![place.kind.word(), place.machine, octets];
        self.destinations_where("kind = ?1 AND machine = ?2 AND place = ?3", identity)
            .map(|rows| rows.into_iter().next())
    }

    /// The places in use of this path, on whatever machine.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn destinations_of_path(&self, path: &Path) -> Result<Vec<Destination>, InventoryError> {
        let octets = OsStr::as_bytes(path.as_os_str());
        self.destinations_where("place = ?1 AND certificate IS NOT NULL ORDER BY id", [octets])
    }

    /// At most `limit` places in use with a greater number than `after`, in that order.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn destinations(&self, after: Option<DestinationId>, limit: u32) -> Result<Vec<Destination>, InventoryError> {
        let bounds = params![after.map_or(0, |id| id.0), limit];
        self.destinations_where("certificate IS NOT NULL AND id > ?1 ORDER BY id LIMIT ?2", bounds)
    }

    /// The places to which a killed run was delivering.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn unfinished(&self) -> Result<Vec<Destination>, InventoryError> {
        self.destinations_where("pending IS NOT NULL ORDER BY id", [])
    }

    /// The places whose command after a renewal has yet to succeed, the least recently tried first: so that none waits for ever
    /// behind one that fails, hangs or ends the run.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn commands_due(&self) -> Result<Vec<Destination>, InventoryError> {
        let tried = format!(
            "SELECT max(event.id) FROM event WHERE event.destination = destination.id AND what = '{COMMAND_BEGUN}'"
        );
        self.destinations_where(&format!("command_due = 1 ORDER BY ({tried}), id"), [])
    }

    fn destinations_where(
        &self,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Destination>, InventoryError> {
        let columns = destination_columns(self.version);
        self.query(&format!("SELECT {columns} FROM destination WHERE {condition}"), parameters, destination)
    }

    /// Every issuer, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn generations(&self) -> Result<Vec<Generation>, InventoryError> {
        self.query("SELECT id, der FROM generation ORDER BY id", [], generation)
    }

    /// The number of an issuer's latest CRL; 0 before there was one.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn crl_number(&self, generation: GenerationId) -> Result<u64, InventoryError> {
        let number = |row: &Row<'_>| row.get::<_, i64>(0).map(i64::unsigned_abs);
        self.query("SELECT crl_number FROM generation WHERE id = ?1", [generation.0], number)
            .map(|rows| rows.into_iter().next().unwrap_or(0))
    }

    /// The revoked certificates of an issuer, in the order of revocation, those that ended before `unless_ended_before`
    /// left out (RFC 5280 section 3.3 lets them go after one more CRL).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn revoked(
        &self,
        generation: GenerationId,
        unless_ended_before: OffsetDateTime,
    ) -> Result<Vec<(SerialNumber, Revocation)>, InventoryError> {
        self.query(
            "SELECT serial, revoked_at, reason FROM certificate
             WHERE state = 'revoked' AND generation = ?1 AND not_after >= ?2 ORDER BY revoked_at, id",
            params![generation.0, unless_ended_before.unix_timestamp()],
            |row| {
                let reason =
                    RevocationReason::parse(row.get_ref(2)?.as_str()?).ok_or_else(|| damaged(2, "not a reason"))?;
                let serial = SerialNumber::from_der_content(row.get_ref(0)?.as_blob()?);
                Ok((serial, Revocation { at: moment(row, 1)?, reason }))
            },
        )
    }

    /// When this inventory was last written to.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last_written(&self) -> Result<Option<OffsetDateTime>, InventoryError> {
        self.query("SELECT at FROM run ORDER BY id DESC LIMIT 1", [], |row| moment(row, 0))
            .map(|rows| rows.into_iter().next())
    }

    /// What the machine's clock said when this inventory was last written to; `None` where a person said what time it was, or
    /// nothing was written yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn last_clock(&self) -> Result<Option<OffsetDateTime>, InventoryError> {
        let time_given = time_given_column(self.version);
        let sql = format!("SELECT at, {time_given} FROM run ORDER BY id DESC LIMIT 1");
        let rows = self.query(&sql, [], |row| Ok((moment(row, 0)?, row.get::<_, bool>(1)?)))?;
        Ok(rows.into_iter().next().filter(|(_, is_given)| !is_given).map(|(at, _)| at))
    }

    /// The last `limit` events, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn events(&self, limit: u32) -> Result<Vec<Event>, InventoryError> {
        let time_given = time_given_column(self.version);
        let mut events = self.query(
            &format!(
                "SELECT event.at, what, detail, run.at, user, run.machine, run.machine_name, command, serial, role, name, place,
             {time_given} FROM event JOIN run ON run.id = event.run
             LEFT JOIN certificate ON certificate.id = event.certificate
             LEFT JOIN destination ON destination.id = event.destination
             ORDER BY event.id DESC LIMIT ?1"
            ),
            [limit],
            |row| {
                let endpoint = match row.get::<_, Option<String>>(10)? {
                    None => None,
                    Some(name) => Some((role(row, 9)?, name)),
                };
                Ok(Event {
                    at: moment(row, 0)?,
                    what: row.get(1)?,
                    detail: row.get(2)?,
                    run: Run {
                        at: moment(row, 3)?,
                        user: row.get(4)?,
                        machine: row.get(5)?,
                        machine_name: row.get(6)?,
                        command: row.get(7)?,
                        time_is_given: row.get(12)?,
                    },
                    serial: row.get_ref(8)?.as_blob_or_null()?.map(SerialNumber::from_der_content),
                    endpoint,
                    path: row.get_ref(11)?.as_blob_or_null()?.map(|octets| PathBuf::from(OsStr::from_bytes(octets))),
                })
            },
        )?;
        events.reverse();
        Ok(events)
    }

    fn query<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        each: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, InventoryError> {
        let connection = self.connection()?;
        let all = || connection.prepare_cached(sql)?.query_map(params, each)?.collect::<rusqlite::Result<Vec<T>>>();
        all().map_err(self.report())
    }
}

/// `ROLE/NAME` in its parts; a name may have a slash of its own.
fn split_role(text: &str) -> (&str, Option<Role>) {
    match text.split_once('/').map(|(word, rest)| (Role::parse(word), rest)) {
        Some((Some(role), rest)) => (rest, Some(role)),
        _ => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    /// With a hundred thousand certificates a list still begins at once: no query reads the whole table or sorts it.
    #[test]
    fn lists_and_counts_go_by_an_index() {
        let inventory = Inventory::in_memory().unwrap();
        let now = datetime!(2026-11-24 12:00 UTC);
        let plan = |sql: &str| -> String {
            let connection = inventory.connection().unwrap();
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let parameters = vec![0; statement.parameter_count()];
            let lines = statement.query_map(rusqlite::params_from_iter(parameters), |row| row.get::<_, String>(3));
            lines.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("\n")
        };
        let pages = [Selection::Due(now), Selection::EndingBy(now), Selection::Issued, Selection::Everything];
        let queries = pages.map(|selection| page_sql(selection, "").0).into_iter().chain(TALLY.map(str::to_owned));
        for sql in queries {
            let plan = plan(&sql);
            assert!(plan.contains("USING INDEX") || plan.contains("USING COVERING INDEX"), "{sql}\n{plan}");
            assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
        }
        // The test would see a query without one.
        assert!(plan("SELECT * FROM certificate ORDER BY reserved_at").contains("SCAN"));
    }
}
