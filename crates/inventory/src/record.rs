//! Writing: each method is one durable transaction, whole or not at all.

use dockseal_docker::{Layout, Role};
use dockseal_pki::{Certificate, SerialNumber};
use rusqlite::{OptionalExtension, TransactionBehavior, params};

use crate::{
    CertificateId, Delivery, DestinationId, GenerationId, Inventory, InventoryError, KeyHolder, Place, Revocation, Run,
    query,
    writer::{Writer, begin},
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
    pub places: &'s [Delivery],
    /// Whether a command is to follow in each of those places, once it holds the bundle.
    pub command_follows: bool,
}

/// Bundles that are in their places.
#[derive(Clone, Copy, Debug)]
pub struct Delivered {
    /// The certificate in them.
    pub id: CertificateId,
    /// Whether what was in those places before is kept beside them.
    pub keeps_previous: bool,
    /// Whether a command is to follow, where [`Signed`] did not say so already. One that is due already stays due.
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
    /// Where it was found, and how it is laid out there.
    pub place: Option<(&'f Place, Layout)>,
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

impl Recorder<'_> {
    /// One transaction: all of `write`, or none of it.
    fn write<T>(&mut self, write: impl FnOnce(&Writer<'_>) -> rusqlite::Result<T>) -> Result<T, InventoryError> {
        let report = self.inventory.report();
        let known = self.inventory.run;
        let (run, value) = {
            let mut connection = self.inventory.connection_to_write()?;
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&report)?;
            let run = known.map_or_else(|| begin(&transaction, self.run), Ok).map_err(&report)?;
            let writer = Writer { transaction, run, at: self.run.at.unix_timestamp() };
            let value = write(&writer).map_err(&report)?;
            writer.transaction.commit().map_err(&report)?;
            (run, value)
        };
        self.inventory.run = Some(run);
        Ok(value)
    }

    /// Looking things up in between.
    pub fn inventory(&self) -> &Inventory {
        self.inventory
    }

    /// The number of an issuer, which is remembered when it is new. A generation is a name and a key: where the certificate is
    /// another than the remembered one, it was renewed, and is remembered in its place.
    ///
    /// # Errors
    /// As every method here: when the file cannot be written.
    pub fn generation(&mut self, issuer: &Certificate) -> Result<GenerationId, InventoryError> {
        if let Some(id) = self.inventory.generation_of(issuer)? {
            self.take_renewed(id, issuer)?;
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

    /// Takes a serial.
    ///
    /// # Errors
    /// When it was used before by its issuer, or the file cannot be written.
    pub fn reserve_one(&mut self, reservation: &Reservation) -> Result<CertificateId, InventoryError> {
        self.write(|writer| writer.reserve(reservation))
    }

    fn take_renewed(&mut self, id: GenerationId, issuer: &Certificate) -> Result<(), InventoryError> {
        if self.inventory.generations()?.iter().any(|known| known.certificate == *issuer) {
            return Ok(());
        }
        self.write(|writer| {
            writer
                .transaction
                .prepare_cached("UPDATE generation SET fingerprint = ?2, der = ?3 WHERE id = ?1")?
                .execute(params![id.0, issuer.fingerprint().as_bytes(), issuer.der()])?;
            writer.event("authority renewed", None, None, Some(&format!("serial {}", issuer.serial)))
        })
    }

    /// Takes serials, in one transaction.
    ///
    /// # Errors
    /// When a serial was used before by its issuer, or the file cannot be written; then none is taken.
    pub fn reserve(&mut self, reservations: &[Reservation]) -> Result<Vec<CertificateId>, InventoryError> {
        self.write(|writer| reservations.iter().map(|reservation| writer.reserve(reservation)).collect())
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
                for delivery in one.places {
                    writer.announce(delivery, one.id, one.command_follows)?;
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
        self.inventory.connection()?.pragma_update(None, "synchronous", "NORMAL").map_err(&report)?;
        let written = self.write(|writer| delivered.iter().try_for_each(|one| writer.deliver(*one)));
        self.inventory.connection()?.pragma_update(None, "synchronous", "FULL").map_err(&report)?;
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
                    .prepare_cached("UPDATE destination SET pending = NULL, command_follows = 0 WHERE pending = ?1")?
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
                    .prepare_cached("UPDATE destination SET pending = NULL, command_follows = 0 WHERE id = ?1")?
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
            writer.transaction.execute(
                "UPDATE destination SET pending = ?2, command_follows = 0 WHERE id = ?1",
                params![place.0, id.0],
            )?;
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
        delivery: &Delivery,
        id: CertificateId,
    ) -> Result<DestinationId, InventoryError> {
        self.write(|writer| {
            let destination = writer.announce(delivery, id, false)?;
            writer.event("install", Some(id), Some(destination), None)?;
            Ok(destination)
        })
    }

    /// A certificate that went into a file which no renewal finds: `detail` says which.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn handed_over(&mut self, id: CertificateId, detail: &str) -> Result<(), InventoryError> {
        self.write(|writer| writer.event("handed over", Some(id), None, Some(detail)))
    }

    /// The command that follows a renewal is about to run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn command_begins(&mut self, destination: DestinationId) -> Result<(), InventoryError> {
        self.write(|writer| writer.event(query::COMMAND_BEGUN, None, Some(destination), None))
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

    /// A place is no destination any more. What it held counts no longer if it is nowhere else and what was made in its place
    /// meanwhile counts.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget(&mut self, destination: DestinationId) -> Result<(), InventoryError> {
        self.write(|writer| {
            let renewed: Option<i64> = writer
                .transaction
                .query_row(
                    "WITH RECURSIVE later (id, first) AS (
                         SELECT id, predecessor FROM certificate
                         WHERE predecessor = (SELECT certificate FROM destination WHERE id = ?1)
                         UNION SELECT certificate.id, first FROM certificate JOIN later ON predecessor = later.id)
                     SELECT first FROM later JOIN certificate USING (id) WHERE state = 'issued'",
                    [destination.0],
                    |row| row.get(0),
                )
                .optional()?;
            writer.transaction.execute(
                "UPDATE destination SET certificate = NULL, pending = NULL, previous = NULL, command_follows = 0,
                 command_due = 0 WHERE id = ?1",
                [destination.0],
            )?;
            if let Some(before) = renewed {
                writer.supersede_unless_in_use(CertificateId(before))?;
            }
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

    /// An issuer had given this number to a CRL before this inventory knew of it: the next one is greater.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn crl_number_was(&mut self, generation: GenerationId, number: u64) -> Result<(), InventoryError> {
        let number = i64::try_from(number).unwrap_or(i64::MAX - 1);
        self.write(|writer| {
            writer
                .transaction
                .execute(
                    "UPDATE generation SET crl_number = max(crl_number, ?2) WHERE id = ?1",
                    params![generation.0, number],
                )
                .map(drop)
        })
    }

    /// Says something for the trail.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&mut self, what: &str, detail: &str) -> Result<(), InventoryError> {
        self.write(|writer| writer.event(what, None, None, Some(detail)))
    }

    /// Beside this place lies the bundle of this certificate, which was there before.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keeps(&mut self, place: DestinationId, previous: CertificateId) -> Result<(), InventoryError> {
        self.write(|writer| {
            writer
                .transaction
                .execute("UPDATE destination SET previous = ?2 WHERE id = ?1", params![place.0, previous.0])
                .map(drop)
        })
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

impl Inventory {
    /// The number of an issuer that is known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn generation_of(&self, issuer: &Certificate) -> Result<Option<GenerationId>, InventoryError> {
        query::generation_of(&*self.connection()?, issuer).map_err(self.report())
    }
}
