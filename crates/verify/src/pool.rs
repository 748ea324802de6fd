//! Sets of certificates to look issuers up in, as Go's x509.CertPool is.
//!
//! What a side trusts is kept as the text of its file and an index: a hundred thousand anchors cost their text and a
//! few bytes each, and are decoded when somebody asks for them.
//! Source: Go src/crypto/x509/cert_pool.go (`AddCert`, `AppendCertsFromPEM`, `findPotentialParents`, `contains`).

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use dockseal_docker::version::Go;

use crate::der;
use crate::material::Bytes;
use crate::pem::{self, Block};
use crate::x509::{Certificate, Malformed};

/// More complaints than this help nobody.
const MOST_SKIPPED: usize = 16;

/// More anchors than this are more than the judge takes on.
const MOST_ANCHORS: usize = 400_000;

/// A larger anchor, in bytes, is more than the judge takes on: one that is full of the shortest names takes twelve times
/// its length while it is looked at.
const MOST_ANCHOR: usize = 8 << 20;

/// The certificates that Go would take from a ca.pem, and what it silently skips.
#[derive(Debug)]
pub(crate) struct Anchors {
    text: Bytes,
    go: Go,
    /// Keyed, so that nobody can make names collide.
    hashes: RandomState,
    /// Those of one subject are neighbours, in the order of the file; none twice.
    entries: Vec<Entry>,
    names_length: OnceCell<usize>,
    /// The same with the duplicates.
    taken_names_length: usize,
    /// Blocks that were no use: offset in the file and why.
    pub(crate) skipped: Vec<(usize, &'static str)>,
    /// How many blocks were skipped; `skipped` holds the first ones only.
    pub(crate) skipped_count: usize,
    /// Whether there is more in the file than the judge takes on.
    pub(crate) is_beyond_the_judge: bool,
}

/// One certificate of a file: hashes, and where its contents begin.
#[derive(Clone, Copy, Debug)]
struct Entry {
    subject: u32,
    /// Zero where there is no subjectKeyIdentifier.
    key_id: u32,
    der: u32,
    body: u32,
}

impl Anchors {
    /// Reads a ca.pem (`AppendCertsFromPEM`): whatever is no plain, parsable certificate is passed over.
    pub(crate) fn read(text: &Bytes, go: Go) -> Self {
        let mut anchors = Self {
            text: text.clone(),
            go,
            hashes: RandomState::new(),
            entries: Vec::new(),
            names_length: OnceCell::new(),
            taken_names_length: 0,
            skipped: Vec::new(),
            skipped_count: 0,
            is_beyond_the_judge: false,
        };
        for block in pem::blocks(text, go) {
            if let Err(Malformed(reason)) = anchors.take(&block) {
                anchors.skipped_count += 1;
                if anchors.skipped.len() < MOST_SKIPPED {
                    anchors.skipped.push((block.offset, reason));
                }
            }
            if anchors.entries.len() > MOST_ANCHORS {
                anchors.is_beyond_the_judge = true;
                break;
            }
        }
        let taken = anchors.entries.len();
        anchors.drop_duplicates();
        if taken == anchors.entries.len() {
            anchors.names_length = anchors.taken_names_length.into();
        }
        anchors
    }

    fn take(&mut self, block: &Block<'_>) -> Result<(), Malformed> {
        if !block.is_certificate() {
            return Err(Malformed("the block is not labelled CERTIFICATE"));
        }
        if block.has_headers {
            return Err(Malformed("the block has PEM headers"));
        }
        let text = self.text.clone();
        let contents = if block.is_cut() && der::announced_length(&block.contents) == Some(block.length) {
            if block.length > MOST_ANCHOR {
                self.is_beyond_the_judge = true;
                return Err(Malformed("the certificate is too large to be looked at here"));
            }
            pem::contents_at(&text, block.body, MOST_ANCHOR).map(Cow::Owned)
        } else {
            None
        };
        let contents = contents.unwrap_or(Cow::Borrowed(&block.contents));
        let certificate = Certificate::parse(&contents, self.go)?;
        let Ok(body) = u32::try_from(block.body) else {
            self.is_beyond_the_judge = true;
            return Err(Malformed("it is too far into the file to be looked at here"));
        };
        self.taken_names_length += certificate.subject.len() + 2;
        self.entries.push(Entry {
            subject: self.hash(certificate.subject),
            key_id: self.key_id(certificate.extensions.subject_key_id),
            der: self.hash(certificate.der),
            body,
        });
        Ok(())
    }

    /// A pool knows a certificate once, however often it is in the file.
    fn drop_duplicates(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by_key(|entry| (entry.subject, entry.der, entry.body));
        entries.dedup_by(|later, earlier| {
            (later.subject, later.der) == (earlier.subject, earlier.der)
                && self.der(later.body) == self.der(earlier.body)
        });
        entries.sort_unstable_by_key(|entry| (entry.subject, entry.body));
        self.entries = entries;
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of the hash is enough")]
    fn hash(&self, bytes: &[u8]) -> u32 {
        self.hashes.hash_one(bytes) as u32
    }

    fn key_id(&self, id: &[u8]) -> u32 {
        if id.is_empty() { 0 } else { self.hash(id).max(1) }
    }

    /// The certificate whose contents begin here in the file.
    pub(crate) fn der(&self, body: u32) -> Vec<u8> {
        usize::try_from(body).ok().and_then(|body| pem::contents_at(&self.text, body, MOST_ANCHOR)).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn with_subject(&self, subject: &[u8]) -> &[Entry] {
        let hash = self.hash(subject);
        let start = self.entries.partition_point(|entry| entry.subject < hash);
        let rest = self.entries.get(start..).unwrap_or_default();
        rest.get(..rest.partition_point(|entry| entry.subject == hash)).unwrap_or_default()
    }

    /// Whether some certificate has this subject.
    pub(crate) fn has_subject(&self, subject: &[u8]) -> bool {
        self.with_subject(subject).iter().any(|entry| {
            Certificate::parse_again(&self.der(entry.body), self.go)
                .is_ok_and(|certificate| certificate.subject == subject)
        })
    }

    /// Whether this very certificate is among them.
    pub(crate) fn contains(&self, certificate: &Certificate<'_>) -> bool {
        let hash = self.hash(certificate.der);
        let namesakes = self.with_subject(certificate.subject).iter();
        namesakes.filter(|entry| entry.der == hash).any(|entry| self.der(entry.body) == certificate.der)
    }

    /// Where those that may have issued `child` are: same name, the likeliest by key identifier first.
    pub(crate) fn issuers_of(&self, child: &Certificate<'_>) -> impl Iterator<Item = u32> + '_ {
        let wanted = self.key_id(child.extensions.authority_key_id);
        let namesakes = self.with_subject(child.issuer);
        RANKS.into_iter().flat_map(move |wanted_rank| {
            let of_rank = namesakes
                .iter()
                .filter(move |entry| rank(entry.key_id == wanted, entry.key_id == 0, wanted == 0) == wanted_rank);
            of_rank.map(|entry| entry.body)
        })
    }

    /// The first few subjects in the order of the file, and how many certificates there are.
    pub(crate) fn first_subjects(&self, most: usize) -> (Vec<Vec<u8>>, usize) {
        let mut bodies: Vec<u32> = self.entries.iter().map(|entry| entry.body).collect();
        bodies.sort_unstable();
        let ders = bodies.into_iter().take(most).map(|body| self.der(body));
        let subjects = ders.filter_map(|der| {
            Certificate::parse_again(&der, self.go).ok().map(|certificate| certificate.subject.to_vec())
        });
        (subjects.collect(), self.entries.len())
    }

    /// The bytes that the names take in the list which a daemon sends to its clients, each after its length
    /// (`Subjects`).
    pub(crate) fn names_length(&self) -> usize {
        *self.names_length.get_or_init(|| {
            let lengths = self.entries.iter().map(|entry| {
                let der = self.der(entry.body);
                Certificate::parse_again(&der, self.go).map_or(0, |certificate| certificate.subject.len() + 2)
            });
            lengths.sum()
        })
    }
}

/// The order in which Go tries candidates: the key identifier fits; one of both has none; they differ.
const RANKS: [u8; 3] = [0, 1, 2];

fn rank(same: bool, candidate_has_none: bool, child_has_none: bool) -> u8 {
    match (same, candidate_has_none != child_has_none) {
        (true, _) => 0,
        (false, true) => 1,
        (false, false) => 2,
    }
}

/// The certificates that a side sends beside its leaf.
#[derive(Debug)]
pub(crate) struct Intermediates<'c>(Vec<&'c Certificate<'c>>);

impl<'c> Intermediates<'c> {
    /// Each once.
    pub(crate) fn new(certificates: &'c [Certificate<'c>]) -> Self {
        let mut known = HashSet::new();
        Self(certificates.iter().filter(|certificate| known.insert(certificate.der)).collect())
    }

    /// Those that may have issued `child`: same name, the likeliest by key identifier first.
    pub(crate) fn issuers_of(&self, child: &Certificate<'_>) -> Vec<&'c Certificate<'c>> {
        let wanted = child.extensions.authority_key_id;
        let mut found: Vec<_> = self.0.iter().copied().filter(|issuer| issuer.subject == child.issuer).collect();
        found.sort_by_key(|issuer| {
            let id = issuer.extensions.subject_key_id;
            rank(id == wanted, id.is_empty(), wanted.is_empty())
        });
        found
    }
}

/// Two certificates that agree in this are one to chain building.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    subject: &'a [u8],
    key_info: &'a [u8],
    subject_alt_name: Option<&'a [u8]>,
}

impl<'a> Identity<'a> {
    pub(crate) fn of(certificate: &Certificate<'a>) -> Self {
        Self {
            subject: certificate.subject,
            key_info: certificate.key_info,
            subject_alt_name: certificate.extensions.subject_alt_name,
        }
    }

    /// Whether a chain, leaf first, has this certificate (verify.go `alreadyInChain`).
    ///
    /// Go stops at the first of equal subject and key that has a subjectAltName where this has none, or the reverse,
    /// even if an equal one follows.
    pub(crate) fn is_in(&self, chain: &[&Certificate<'_>]) -> bool {
        let mut twins = chain
            .iter()
            .map(|certificate| Identity::of(certificate))
            .filter(|other| other.subject == self.subject && other.key_info == self.key_info);
        twins
            .find_map(|other| match (self.subject_alt_name, other.subject_alt_name) {
                (None, Some(_)) | (Some(_), None) => Some(false),
                (own, other) if own == other => Some(true),
                _ => None,
            })
            .unwrap_or(false)
    }
}
