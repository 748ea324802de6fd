//! Writing: each method is one durable transaction, whole or not at all.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use dockseal_docker::{Ownership, Role};
use dockseal_pki::{Certificate, GeneralName, SerialNumber};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use crate::{
    CertificateId, DestinationId, GenerationId, Inventory, InventoryError, KeyHolder, Place, Revocation, Run, State,
    query,
};

/// A serial to be taken before it is signed with.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Who will sign.
    pub generation: GenerationId,
    /// The number, which that issuer has never used.
    pub serial: SerialNumber,
    /// What for.
    pub role: Role,
    /// For whom: the user, or the daemon's first name.
    pub name: String,
    /// The certificate that it is to take the place of.
    pub predecessor: Option<CertificateId>,
}

/// A certificate that was signed and judged, and whose bundles are staged.
#[derive(Clone, Debug)]
pub struct Signed<'s> {
    /// Its reservation.
    pub id: CertificateId,
    /// The certificate.
    pub certificate: &'s Certificate,
    /// Where its key is.
    pub key_holder: KeyHolder,
    /// Where its bundles are about to go.
    pub places: &'s [(Place, Ownership)],
}

/// Bundles that are in their places.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// The certificate in them.
    pub id: CertificateId,
    /// Whether what was in those places before is kept beside them.
    pub keeps_previous: bool,
    /// Whether a command is to follow.
    pub command_due: bool,
}

/// A certificate that was found on disk, for an inventory that is made again.
#[derive(Clone, Debug)]
pub struct Found<'f> {
    /// Its issuer.
    pub generation: GenerationId,
    /// What it is for.
    pub role: Role,
    /// The user, or the daemon's first name.
    pub name: String,
    /// The certificate.
    pub certificate: &'f Certificate,
    /// Where its key is.
    pub key_holder: KeyHolder,
    /// Where it was found.
    pub place: Option<&'f Place>,
}

/// Writes on behalf of one run.
#[derive(Debug)]
pub struct Recorder<'i> {
    inventory: &'i mut Inventory,
    run: &'i Run,
}

impl Inventory {
    /// Writes on behalf of `run`, which is remembered with the first thing that it changes.
    pub fn as_run<'i>(&'i mut self, run: &'i Run) -> Recorder<'i> {
        Recorder { inventory: self, run }
    }
}

pub(crate) fn begin(connection: &Connection, run: &Run) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("INSERT INTO run (at, user, machine, machine_name, command) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .insert(params![run.at.unix_timestamp(), run.user, run.machine, run.machine_name, run.command])
}

/// The names by which a certificate may be asked for, besides its main one.
fn names(certificate: &Certificate) -> impl Iterator<Item = String> {
    certificate.names.iter().filter_map(|name| match name {
        GeneralName::Dns(name) => Some(name.clone()),
        GeneralName::Ip(address) => Some(address.to_string()),
        _ => None,
    })
}

impl Recorder<'_> {
    /// One transaction: all of `write`, or none of it.
    fn write<T>(&mut self, write: impl FnOnce(&Writer<'_>) -> rusqlite::Result<T>) -> Result<T, InventoryError> {
        let report = self.inventory.report();
        let known = self.inventory.run;
        let transaction =
            self.inventory.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&report)?;
        let run = known.map_or_else(|| begin(&transaction, self.run), Ok).map_err(&report)?;
        let writer = Writer { transaction, run, at: self.run.at.unix_timestamp() };
        let value = write(&writer).map_err(&report)?;
        writer.transaction.commit().map_err(&report)?;
        self.inventory.run = Some(run);
        Ok(value)
    }

    /// Looking things up in between.
    pub fn inventory(&self) -> &Inventory {
        self.inventory
    }

    /// The number of an issuer, which is remembered when it is new.
    ///
    /// # Errors
    /// As every method here: when the file cannot be written.
    pub fn generation(&mut self, issuer: &Certificate) -> Result<GenerationId, InventoryError> {
        if let Some(id) = self.inventory.generation_of(issuer)? {
            return Ok(id);
        }
        self.write(|writer| {
            let id = writer
                .transaction
                .prepare_cached("INSERT INTO generation (fingerprint, der) VALUES (?1, ?2)")?
                .insert(params![issuer.fingerprint().as_bytes(), issuer.der()])?;
            writer.event("generation", None, None, Some(&issuer.subject.to_string()))?;
            Ok(GenerationId(id))
        })
    }

    /// Takes serials, in one transaction.
    ///
    /// # Errors
    /// When a serial was used before by its issuer, or the file cannot be written; then none is taken.
    pub fn reserve(&mut self, reservations: &[Reservation]) -> Result<Vec<CertificateId>, InventoryError> {
        self.write(|writer| {
            let mut statement = writer.transaction.prepare_cached(
                "INSERT INTO certificate (generation, serial, role, name, state, reserved_at, predecessor)
                 VALUES (?1, ?2, ?3, ?4, 'reserved', ?5, ?6)",
            )?;
            let mut take = |wanted: &Reservation| {
                let predecessor = wanted.predecessor.map(|id| id.0);
                let (serial, role) = (wanted.serial.der_content(), wanted.role.word());
                let values = params![wanted.generation.0, serial, role, wanted.name, writer.at, predecessor];
                statement.insert(values).map(CertificateId)
            };
            reservations.iter().map(&mut take).collect()
        })
    }

    /// Keeps signed certificates, and that their bundles are about to be put in place.
    ///
    /// Until [`delivered`](Self::delivered) they still count as reserved: a run that is killed in between leaves behind
    /// which places to look at.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn signed(&mut self, signed: &[Signed<'_>]) -> Result<(), InventoryError> {
        self.write(|writer| {
            for one in signed {
                writer.keep(one.id, one.certificate, one.key_holder)?;
                writer.event("signed", Some(one.id), None, None)?;
                for (place, ownership) in one.places {
                    writer.announce(place, *ownership, one.id)?;
                }
            }
            Ok(())
        })
    }

    /// What [`signed`](Self::signed) announced is in place: the certificates count, and what they replace no longer does.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn delivered(&mut self, delivered: &[Delivered]) -> Result<(), InventoryError> {
        // Without a wait for the disk: if this is lost with the power, the places still say what they hold, and the next
        // run looks at them, since they are still announced.
        let report = self.inventory.report();
        self.inventory.connection.pragma_update(None, "synchronous", "NORMAL").map_err(&report)?;
        let written = self.write(|writer| delivered.iter().try_for_each(|one| writer.deliver(*one)));
        self.inventory.connection.pragma_update(None, "synchronous", "FULL").map_err(&report)?;
        written
    }

    /// What [`signed`](Self::signed) announced did not happen: the serials stay taken, and nobody has the certificates.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn taken_back(&mut self, ids: &[CertificateId]) -> Result<(), InventoryError> {
        self.write(|writer| {
            for id in ids {
                writer
                    .transaction
                    .prepare_cached("UPDATE destination SET pending = NULL WHERE pending = ?1")?
                    .execute([id.0])?;
                writer.event("not delivered", Some(*id), None, None)?;
            }
            Ok(())
        })
    }

    /// These places alone did not get what was announced for them; others of the same certificate did, or will.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn missed(&mut self, places: &[DestinationId]) -> Result<(), InventoryError> {
        self.write(|writer| {
            for place in places {
                let pending: Option<i64> = writer
                    .transaction
                    .prepare_cached("SELECT pending FROM destination WHERE id = ?1")?
                    .query_row([place.0], |row| row.get(0))?;
                writer
                    .transaction
                    .prepare_cached("UPDATE destination SET pending = NULL WHERE id = ?1")?
                    .execute([place.0])?;
                writer.event("not delivered", pending.map(CertificateId), Some(*place), None)?;
            }
            Ok(())
        })
    }

    /// A place is about to hold a certificate that was issued before: what is kept beside it comes back.
    /// [`delivered`](Self::delivered) or [`missed`](Self::missed) ends this.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn about_to_return(&mut self, place: DestinationId, id: CertificateId) -> Result<(), InventoryError> {
        self.write(|writer| {
            writer.transaction.execute("UPDATE destination SET pending = ?2 WHERE id = ?1", params![place.0, id.0])?;
            writer.event("rollback", Some(id), Some(place), None)
        })
    }

    /// A certificate that was handed out is about to be installed in a place.
    /// [`delivered`](Self::delivered) or [`missed`](Self::missed) ends this.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn about_to_install(
        &mut self,
        place: &Place,
        ownership: Ownership,
        id: CertificateId,
    ) -> Result<DestinationId, InventoryError> {
        self.write(|writer| {
            let destination = writer.announce(place, ownership, id)?;
            writer.event("install", Some(id), Some(destination), None)?;
            Ok(destination)
        })
    }

    /// The command that follows a renewal succeeded, or failed and is to be run again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn command_ran(&mut self, destination: DestinationId, failure: Option<&str>) -> Result<(), InventoryError> {
        self.write(|writer| {
            writer.transaction.execute(
                "UPDATE destination SET command_due = ?2 WHERE id = ?1",
                params![destination.0, failure.is_some()],
            )?;
            let what = if failure.is_some() { "command failed" } else { "command succeeded" };
            writer.event(what, None, Some(destination), failure)
        })
    }

    /// A place is no destination any more.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget(&mut self, destination: DestinationId) -> Result<(), InventoryError> {
        self.write(|writer| {
            writer.transaction.execute(
                "UPDATE destination SET certificate = NULL, pending = NULL, previous = NULL, command_due = 0 WHERE id = ?1",
                [destination.0],
            )?;
            writer.event("forgotten", None, Some(destination), None)
        })
    }

    /// Revokes certificates, those that are revoked already left as they are.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn revoke(&mut self, ids: &[CertificateId], revocation: Revocation) -> Result<(), InventoryError> {
        self.write(|writer| {
            for id in ids {
                let changed = writer.transaction.execute(
                    "UPDATE certificate SET state = 'revoked', revoked_at = ?2, reason = ?3
                     WHERE id = ?1 AND state IN ('issued', 'superseded')",
                    params![id.0, revocation.at.unix_timestamp(), revocation.reason.word()],
                )?;
                if changed > 0 {
                    writer.event("revoked", Some(*id), None, Some(revocation.reason.word()))?;
                }
            }
            Ok(())
        })
    }

    /// The number of an issuer's next CRL, greater than every one that was given before (RFC 5280 section 5.2.3), and than
    /// `after`: the number of one that an inventory which was made again does not know of.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn next_crl_number(&mut self, generation: GenerationId, after: u64) -> Result<u64, InventoryError> {
        let after = i64::try_from(after).unwrap_or(i64::MAX - 1);
        self.write(|writer| {
            let number: i64 = writer.transaction.query_row(
                "UPDATE generation SET crl_number = max(crl_number, ?2) + 1 WHERE id = ?1 RETURNING crl_number",
                [generation.0, after],
                |row| row.get(0),
            )?;
            writer.event("crl", None, None, Some(&format!("generation {}, number {number}", generation.0)))?;
            Ok(number.unsigned_abs())
        })
    }

    /// Says something for the trail.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&mut self, what: &str, detail: &str) -> Result<(), InventoryError> {
        self.write(|writer| writer.event(what, None, None, Some(detail)))
    }

    /// These certificates, found where replaced ones are kept, count no longer, unless they are at a destination too.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn replaced(&mut self, ids: &[CertificateId]) -> Result<(), InventoryError> {
        self.write(|writer| ids.iter().try_for_each(|id| writer.supersede_unless_in_use(*id)))
    }

    /// Takes certificates from elsewhere: those of an inventory that was lost, or of an authority that had none. What is
    /// known already gets its place alone.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn found(&mut self, found: &[Found<'_>]) -> Result<(), InventoryError> {
        self.write(|writer| found.iter().try_for_each(|one| writer.find(one)))
    }
}

/// A transaction in progress.
struct Writer<'t> {
    transaction: Transaction<'t>,
    run: i64,
    at: i64,
}

impl Writer<'_> {
    fn event(
        &self,
        what: &str,
        certificate: Option<CertificateId>,
        destination: Option<DestinationId>,
        detail: Option<&str>,
    ) -> rusqlite::Result<()> {
        let (certificate, destination) = (certificate.map(|id| id.0), destination.map(|id| id.0));
        self.transaction
            .prepare_cached(
                "INSERT INTO event (run, at, what, certificate, destination, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![self.run, self.at, what, certificate, destination, detail])
            .map(drop)
    }

    fn keep(&self, id: CertificateId, certificate: &Certificate, holder: KeyHolder) -> rusqlite::Result<()> {
        let validity = certificate.validity;
        self.transaction
            .prepare_cached(
                "UPDATE certificate SET not_before = ?2, not_after = ?3, due_at = ?4, key_holder = ?5, fingerprint = ?6,
                 der = ?7 WHERE id = ?1",
            )?
            .execute(params![
                id.0,
                validity.not_before.unix_timestamp(),
                validity.not_after.unix_timestamp(),
                validity.due_at().unix_timestamp(),
                holder.word(),
                certificate.fingerprint().as_bytes(),
                certificate.der()
            ])?;
        let mut name =
            self.transaction.prepare_cached("INSERT OR IGNORE INTO name (name, certificate) SELECT ?2, ?1")?;
        for text in names(certificate) {
            name.execute(params![id.0, text])?;
        }
        self.transaction
            .prepare_cached(
                "INSERT OR IGNORE INTO name (name, certificate) SELECT name, id FROM certificate WHERE id = ?1",
            )?
            .execute([id.0])
            .map(drop)
    }

    fn destination(&self, place: &Place) -> rusqlite::Result<DestinationId> {
        let octets = OsStr::as_bytes(place.path.as_os_str());
        self.transaction
            .prepare_cached(
                "INSERT INTO destination (kind, machine, machine_name, place) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (kind, machine, place) DO UPDATE SET machine_name = excluded.machine_name RETURNING id",
            )?
            .query_row(params![place.kind.word(), place.machine, place.machine_name, octets], |row| row.get(0))
            .map(DestinationId)
    }

    /// A place that is about to hold this certificate.
    fn announce(&self, place: &Place, ownership: Ownership, id: CertificateId) -> rusqlite::Result<DestinationId> {
        let destination = self.destination(place)?;
        self.transaction
            .prepare_cached(
                "UPDATE destination SET pending = ?2, owner = ?3, owner_group = ?4, key_mode = ?5 WHERE id = ?1",
            )?
            .execute(params![destination.0, id.0, ownership.user, ownership.group, ownership.key_mode])?;
        Ok(destination)
    }

    fn deliver(&self, Delivered { id, keeps_previous, command_due }: Delivered) -> rusqlite::Result<()> {
        let predecessor: Option<i64> = self
            .transaction
            .prepare_cached(
                "UPDATE certificate SET state = 'issued' WHERE id = ?1 AND state <> 'revoked' RETURNING predecessor",
            )?
            .query_row([id.0], |row| row.get(0))
            .optional()?
            .flatten();
        let pending: Vec<(i64, Option<i64>)> = self
            .transaction
            .prepare_cached("SELECT id, certificate FROM destination WHERE pending = ?1")?
            .query_map([id.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        for (destination, before) in pending {
            let kept = before.filter(|_| keeps_previous);
            self.transaction
                .prepare_cached(
                    "UPDATE destination SET certificate = pending, pending = NULL, previous = ?2, delivered_at = ?3,
                     command_due = ?4 WHERE id = ?1",
                )?
                .execute(params![destination, kept, self.at, command_due])?;
            self.event("delivered", Some(id), Some(DestinationId(destination)), None)?;
            if let Some(before) = before.filter(|before| *before != id.0) {
                self.supersede_unless_in_use(CertificateId(before))?;
            }
        }
        predecessor.map_or(Ok(()), |before| self.supersede_unless_in_use(CertificateId(before)))
    }

    /// A certificate that is at no destination any more, and that another takes the place of, no longer counts.
    fn supersede_unless_in_use(&self, id: CertificateId) -> rusqlite::Result<()> {
        self.transaction
            .prepare_cached(
                "UPDATE certificate SET state = 'superseded' WHERE id = ?1 AND state = 'issued'
                 AND NOT EXISTS (SELECT 1 FROM destination WHERE certificate = ?1)",
            )?
            .execute([id.0])
            .map(drop)
    }

    fn find(&self, found: &Found<'_>) -> rusqlite::Result<()> {
        let serial = found.certificate.serial.der_content();
        let known: Option<i64> = self
            .transaction
            .prepare_cached("SELECT id FROM certificate WHERE generation = ?1 AND serial = ?2")?
            .query_row(params![found.generation.0, serial], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => {
                // Found before where its key is not.
                if found.key_holder == KeyHolder::Here {
                    self.transaction
                        .prepare_cached("UPDATE certificate SET key_holder = ?2 WHERE id = ?1")?
                        .execute(params![id, found.key_holder.word()])?;
                }
                CertificateId(id)
            }
            None => {
                let values = params![found.generation.0, serial, found.role.word(), found.name, self.at];
                let id = self
                    .transaction
                    .prepare_cached(
                        "INSERT INTO certificate (generation, serial, role, name, state, reserved_at)
                         VALUES (?1, ?2, ?3, ?4, 'reserved', ?5)",
                    )?
                    .insert(values)
                    .map(CertificateId)?;
                self.keep(id, found.certificate, found.key_holder)?;
                self.transaction
                    .prepare_cached("UPDATE certificate SET state = ?2 WHERE id = ?1")?
                    .execute(params![id.0, State::Issued.word()])?;
                self.event("found", Some(id), None, None)?;
                id
            }
        };
        if let Some(place) = found.place {
            let destination = self.destination(place)?;
            let before: Option<i64> = self
                .transaction
                .prepare_cached("SELECT certificate FROM destination WHERE id = ?1")?
                .query_row([destination.0], |row| row.get(0))?;
            self.transaction
                .prepare_cached("UPDATE destination SET certificate = ?2, delivered_at = ?3 WHERE id = ?1")?
                .execute(params![destination.0, id.0, self.at])?;
            self.event("found", Some(id), Some(destination), None)?;
            if let Some(before) = before.filter(|before| *before != id.0) {
                self.supersede_unless_in_use(CertificateId(before))?;
            }
        }
        Ok(())
    }
}

impl Inventory {
    /// The number of an issuer that is known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn generation_of(&self, issuer: &Certificate) -> Result<Option<GenerationId>, InventoryError> {
        query::generation_of(&self.connection, issuer).map_err(self.report())
    }
}
