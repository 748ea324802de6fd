//! A set of certificates to look issuers up in, as Go's x509.CertPool is.
//!
//! A pool keeps views into DER, not parsed certificates: a hundred thousand anchors cost their bytes and little more.
//! Source: Go src/crypto/x509/cert_pool.go (`AddCert`, `AppendCertsFromPEM`, `findPotentialParents`, `contains`).

use std::collections::{HashMap, HashSet};

use dockseal_docker::version::Go;

use crate::pem;
use crate::x509::{Certificate, PublicKey};

/// The DER of the certificates that Go would take from a ca.pem, and what it silently skips.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    pub(crate) certificates: Vec<Vec<u8>>,
    /// Blocks that were no use: offset in the file and why.
    pub(crate) skipped: Vec<(usize, &'static str)>,
    /// How many blocks were skipped; `skipped` holds the first ones only.
    pub(crate) skipped_count: usize,
}

/// More complaints than this help nobody.
const MOST_SKIPPED: usize = 16;

impl Anchors {
    /// Reads a ca.pem (`AppendCertsFromPEM`): whatever is no plain, parsable certificate is passed over.
    pub(crate) fn read(text: &[u8], go: Go) -> Self {
        let mut anchors = Self::default();
        for block in pem::blocks(text, go) {
            let reason = if !block.is_certificate() {
                "the block is not labelled CERTIFICATE"
            } else if block.has_headers {
                "the block has PEM headers"
            } else {
                match Certificate::parse(&block.contents, go) {
                    Ok(_) => {
                        anchors.certificates.push(block.contents);
                        continue;
                    }
                    Err(malformed) => malformed.0,
                }
            };
            anchors.skipped_count += 1;
            if anchors.skipped.len() < MOST_SKIPPED {
                anchors.skipped.push((block.offset, reason));
            }
        }
        anchors
    }
}

/// What has to be known of a certificate to consider it as an issuer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) der: &'a [u8],
    pub(crate) identity: Identity<'a>,
    subject_key_id: &'a [u8],
    /// False for a key of an algorithm that Go does not know.
    pub(crate) has_key: bool,
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
    pub(crate) fn is_in(&self, chain: &[Self]) -> bool {
        let mut twins = chain.iter().filter(|other| other.subject == self.subject && other.key_info == self.key_info);
        twins
            .find_map(|other| match (self.subject_alt_name, other.subject_alt_name) {
                (None, Some(_)) | (Some(_), None) => Some(false),
                (own, other) if own == other => Some(true),
                _ => None,
            })
            .unwrap_or(false)
    }
}

/// A set of certificates, found by their subject.
#[derive(Debug, Default)]
pub(crate) struct Pool<'a> {
    by_subject: HashMap<&'a [u8], Vec<Candidate<'a>>>,
    known: HashSet<&'a [u8]>,
}

impl<'a> Pool<'a> {
    /// The anchors as the Go that read them looks them up.
    pub(crate) fn of(anchors: &'a Anchors, go: Go) -> Self {
        let mut pool = Self::default();
        for der in &anchors.certificates {
            if let Ok(certificate) = Certificate::parse_again(der, go) {
                pool.add(&certificate);
            }
        }
        pool
    }

    /// Adds a certificate unless it is there already.
    pub(crate) fn add(&mut self, certificate: &Certificate<'a>) {
        if self.known.insert(certificate.der) {
            self.by_subject.entry(certificate.subject).or_default().push(Candidate {
                der: certificate.der,
                identity: Identity::of(certificate),
                subject_key_id: certificate.extensions.subject_key_id,
                has_key: certificate.public_key != PublicKey::Unknown,
            });
        }
    }

    /// Whether this very certificate is in the pool.
    pub(crate) fn contains(&self, certificate: &Certificate<'_>) -> bool {
        self.known.contains(certificate.der)
    }

    /// The subjects, as a daemon lists them to its clients (`Subjects`).
    pub(crate) fn subjects(&self) -> impl Iterator<Item = (&'a [u8], usize)> + '_ {
        self.by_subject.iter().map(|(subject, candidates)| (*subject, candidates.len()))
    }

    /// Whether some certificate of the pool has this subject.
    pub(crate) fn has_subject(&self, subject: &[u8]) -> bool {
        self.by_subject.contains_key(subject)
    }

    /// Those that may have issued `child`: same name, the likeliest by key identifier first.
    pub(crate) fn potential_issuers(&self, child: &Certificate<'_>) -> Vec<Candidate<'a>> {
        let wanted = child.extensions.authority_key_id;
        let mut candidates = self.by_subject.get(child.issuer).cloned().unwrap_or_default();
        candidates.sort_by_key(|candidate| match candidate.subject_key_id {
            id if id == wanted => 0,
            id if id.is_empty() != wanted.is_empty() => 1,
            _ => 2,
        });
        candidates
    }
}
