//! What the judge worked out already: the same files are asked about in many modes and versions.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use dockseal_docker::version::Go;
use time::OffsetDateTime;

use super::{Hearing, Report};
use crate::load::{self, Chain, FirstKeyBlock, Unusable};
use crate::material::{Bytes, Material};
use crate::pool::Anchors;
use crate::scenario::Scenario;
use crate::signature::Signatures;
use crate::verdict::Verdict;

/// A judge who remembers: each file is read once for each generation of Docker, each signature verified once.
///
/// Its answers are those of [`judge`](super::judge). A file is known again by its [`Bytes`]: give the same or a clone.
/// It remembers for as long as it lives, and keeps the files that long.
#[derive(Debug, Default)]
pub struct Judge {
    pairs: RefCell<HashMap<(ByPlace, ByPlace, FirstKeyBlock, Go), Loaded>>,
    anchors: RefCell<HashMap<(ByPlace, Go), Rc<Anchors>>>,
    pub(crate) signatures: Signatures,
}

/// What came of a certificate and its key.
type Loaded = Result<Rc<Chain>, Unusable>;

impl Judge {
    /// Judges what docker and dockerd will do with these files in this scenario at this moment.
    #[must_use]
    pub fn verdict(&self, daemon: &Material, client: &Material, scenario: &Scenario, now: OffsetDateTime) -> Verdict {
        Hearing { judge: self, daemon, client, scenario, now, report: Report::default() }.run()
    }

    /// Loads a pair as `X509KeyPair` does.
    pub(super) fn load_pair(&self, cert: &Bytes, key: &Bytes, first: FirstKeyBlock, go: Go) -> Loaded {
        let place = (ByPlace(cert.clone()), ByPlace(key.clone()), first, go);
        if let Some(known) = self.pairs.borrow().get(&place) {
            return known.clone();
        }
        let loaded = load::load_pair(cert, key, first, go).map(Rc::new);
        self.pairs.borrow_mut().insert(place, loaded.clone());
        loaded
    }

    /// Reads a ca.pem.
    pub(super) fn anchors(&self, text: &Bytes, go: Go) -> Rc<Anchors> {
        let place = (ByPlace(text.clone()), go);
        if let Some(known) = self.anchors.borrow().get(&place) {
            return Rc::clone(known);
        }
        let anchors = Rc::new(Anchors::read(text, go));
        self.anchors.borrow_mut().insert(place, Rc::clone(&anchors));
        anchors
    }
}

/// Bytes that are the same where they lie in the same place, which they keep for as long as this lives.
#[derive(Debug)]
struct ByPlace(Bytes);

impl PartialEq for ByPlace {
    fn eq(&self, other: &Self) -> bool {
        self.0.place() == other.0.place()
    }
}

impl Eq for ByPlace {}

impl Hash for ByPlace {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.place().hash(state);
    }
}
