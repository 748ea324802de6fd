//! One host's change from beginning to end: the switch armed, the key made there, signed here, put in place, dockerd
//! restarted, proved from here, confirmed and recorded. Whatever fails, the former state comes back.

mod contents;

use std::{sync::Mutex, time::Duration};

use dockseal_ca::{Authority, Endpoint};
use dockseal_docker::{
    Layout, Ownership,
    daemon_json::{INSTALL_DIRECTORY, TLS_PORT},
    host::HostFacts,
    host_plan::HostPlan,
    layout,
};
use dockseal_inventory::{CertificateId, Delivered, Delivery, DestinationId, KeyHolder, Place, Signed};
use dockseal_lifecycle::permit::new_key;
use dockseal_pki::{
    Bundle, Certificate, CertificateRequest, KeyAlgorithm, PublicKey, SubjectAltName, TrustAnchors, pem,
};
use dockseal_remote::{Prepared, ReachError, Switch, Terms};
use ring::rand::SystemRandom;

use self::contents::{configuration, items, sightings, socket, without_log_level};
use super::{
    lines::Lines,
    reach::{NO_SPACE, Reached, place},
};
use crate::{
    commands::probe::{Dialled, dial_daemon},
    endpoint::{SignedBundle, SubjectKey, Wish, permit},
    failure::Failure,
    hints::{MAKE_ROOM, inventory_failure, reach_failure},
    invocation::Invocation,
    judgement,
    ledger::Ledger,
};

/// What dockerd says of a configuration before it is to start with it.
const REFUSED: &str = "dockerd refuses the new configuration";

/// What a host's daemon gets.
pub(crate) enum Need {
    /// A certificate for a new key, which takes the place of an earlier one, if there was one.
    Certificate { endpoint: Endpoint, wish: Wish, key: KeyWish, predecessor: Option<CertificateId> },
    /// Other anchors, and another chain behind the certificate that it has.
    Trust { endpoint: Endpoint, anchors: TrustAnchors, chain: Vec<Certificate> },
    /// Nothing new: dockerd is to read what is there.
    Restart { endpoint: Endpoint, anchors: TrustAnchors, chain: Vec<Certificate> },
    /// No certificate any more.
    Removal,
}

/// Which key the certificate is for.
pub(crate) enum KeyWish {
    /// A new one.
    New(KeyAlgorithm),
    /// The one that is there, whose public key this is.
    Same(PublicKey),
}

/// What surrounds the changes of a run.
pub(crate) struct Work<'w> {
    /// None where nothing is signed.
    pub(crate) authority: Option<&'w Authority>,
    pub(crate) ledger: Mutex<&'w mut Ledger>,
    pub(crate) invocation: &'w Invocation,
    pub(crate) lines: &'w Lines,
    /// When the host takes a change back that was not confirmed, counted from its beginning.
    pub(crate) within: Duration,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Applied {
    /// The certificate that dockerd serves now.
    pub(crate) certificate: Option<Certificate>,
    /// The first name by which it was reached.
    pub(crate) dialled: Option<SubjectAltName>,
    pub(crate) notes: Vec<String>,
}

/// What was signed, and is recorded when it is in place.
struct Ready {
    bundle: Bundle,
    certificate: Certificate,
    notes: Vec<String>,
}

/// Carries a change out; `at` is the host's line.
pub(crate) fn apply(
    work: &Work<'_>,
    at: usize,
    reached: &mut Reached,
    plan: &HostPlan,
    need: &Need,
) -> Result<Applied, Failure> {
    let target = reached.target.clone();
    let mut paths: Vec<&str> = plan.files.iter().map(|file| file.path.as_str()).collect();
    if !matches!(need, Need::Restart { .. }) {
        paths.push(INSTALL_DIRECTORY);
    }
    let run = &work.invocation.around().run;
    let who =
        format!("{} (by {} on {}, since {})", run.command, run.user, run.machine_name, dockseal_pki::moment(run.at));
    work.lines.step(at, "arming the dead-man switch");
    let where_ = place(&target, &reached.facts);
    let terms = Terms { restart: plan.restart, within: work.within, who: &who, paths: &paths, socket: socket(plan) };
    let switch =
        Switch::arm(&mut reached.session, &reached.facts, &terms).map_err(|error| reach_failure(&target, &error))?;
    let mut reserved = None;
    match carry_out(work, at, switch, &reached.facts, plan, need, &where_, &mut reserved) {
        Ok((ready, dialled)) => {
            if let Some(id) = reserved {
                work.record(|ledger| {
                    ledger.recorder().delivered(&[Delivered { id, keeps_previous: false, command_due: false }])
                })?;
            }
            work.lines.step(at, "done");
            let (certificate, notes) = ready.map_or((None, Vec::new()), |ready| (Some(ready.certificate), ready.notes));
            Ok(Applied { certificate, dialled, notes })
        }
        Err(stop) => {
            work.lines.step(at, "taking it back");
            let ending = match stop.switch {
                Some(switch) => switch.undo().map_or_else(|error| Err(error.to_string()), Ok),
                // Whether it went through is for the host to say; it takes it back in any case.
                None => Err("the connection is gone".to_owned()),
            };
            // Where it may have gone through, the next run that reaches the host sees what it holds.
            if let Some(id) = reserved.filter(|_| !stop.uncertain) {
                work.record(|ledger| ledger.recorder().taken_back(&[id]))?;
            }
            work.lines.step(at, "failed");
            let state = match ending {
                Ok(undone) if undone.answers => "what was there before is back".to_owned(),
                Ok(undone) => {
                    format!("what was there before is back, and dockerd does not answer all the same: {}", undone.said)
                }
                Err(why) => format!(
                    "{why}; the host itself brings back what was there before, within {} seconds of the beginning",
                    work.within.as_secs()
                ),
            };
            let cause = stop.failure.cause.unwrap_or_default();
            Err(Failure {
                what: format!("cannot change {target}"),
                cause: Some(format!("{cause}\n  state: {state}")),
                ..stop.failure
            })
        }
    }
}

/// Why a change ended early, and the switch, where the host can still be talked to.
struct Stop<'s> {
    switch: Option<Switch<'s>>,
    failure: Failure,
    /// The host may have taken the change as confirmed.
    uncertain: bool,
}

impl<'s> Stop<'s> {
    fn here(switch: Switch<'s>, failure: Failure) -> Self {
        Self { switch: Some(switch), failure, uncertain: false }
    }

    fn host(switch: Switch<'s>, error: &ReachError) -> Self {
        let lost = matches!(error, ReachError::Cut { .. } | ReachError::TimedOut { .. } | ReachError::Garbled(_));
        let failure = Failure::no("").cause(error).hint(advice(error));
        Self { switch: (!lost).then_some(switch), failure, uncertain: false }
    }
}

#[expect(clippy::too_many_arguments, reason = "one sequence of steps with what each works on")]
fn carry_out<'s>(
    work: &Work<'_>,
    at: usize,
    mut switch: Switch<'s>,
    facts: &HostFacts,
    plan: &HostPlan,
    need: &Need,
    place: &Place,
    reserved: &mut Option<CertificateId>,
) -> Result<(Option<Ready>, Option<SubjectAltName>), Stop<'s>> {
    let ready = match need {
        Need::Certificate { endpoint, wish, key, predecessor } => {
            if matches!(key, KeyWish::New(_)) {
                work.lines.step(at, "making the daemon's key");
            }
            let subject_key = match make_key(&mut switch, facts.openssl.is_some(), key) {
                Ok(key) => key,
                Err(KeyTrouble::Host(error)) => return Err(Stop::host(switch, &error)),
                Err(KeyTrouble::Here(failure)) => return Err(Stop::here(switch, failure)),
            };
            match work.issue(endpoint, subject_key, *wish, *predecessor, place, reserved) {
                Ok(ready) => Some(ready),
                Err(failure) => return Err(Stop::here(switch, failure)),
            }
        }
        Need::Trust { endpoint, anchors, chain } => match work.judged(endpoint, anchors, chain) {
            Ok(ready) => Some(ready),
            Err(failure) => return Err(Stop::here(switch, failure)),
        },
        Need::Restart { anchors, chain, .. } => chain.first().map(|leaf| Ready {
            bundle: Bundle { anchors: anchors.clone(), chain: chain.clone(), key: None },
            certificate: leaf.clone(),
            notes: Vec::new(),
        }),
        Need::Removal => None,
    };

    work.lines.step(at, "laying the new files beside their places");
    let mut prepared = match switch.prepare(items(plan, facts, need, ready.as_ref())) {
        Ok(prepared) => prepared,
        Err((switch, error)) => return Err(Stop::host(switch, &error)),
    };
    if let Some(json) = configuration(plan, facts) {
        work.lines.step(at, "having dockerd check the configuration");
        let json = if facts.can_validate { json } else { without_log_level(json) };
        let staged = match need {
            Need::Certificate { .. } | Need::Trust { .. } => json
                .replace(&format!("{INSTALL_DIRECTORY}/"), &format!("{}/", Prepared::staged_path(INSTALL_DIRECTORY))),
            _ => json,
        };
        let checked =
            prepared.validate(&plan.arguments, &staged, facts.can_validate).and_then(|done| done.success(REFUSED));
        if let Err(error) = checked {
            return Err(Stop::host(prepared.into_switch(), &error));
        }
    }
    work.lines.step(at, "restarting dockerd");
    let switch = match prepared.swap_and_restart(&sightings(plan, facts, need)) {
        Ok(switch) => switch,
        Err((switch, error)) => return Err(Stop::host(switch, &error)),
    };
    let dialled = match (&ready, endpoint(need)) {
        (Some(ready), Some(Endpoint::Daemon { names })) => {
            work.lines.step(at, "proving mutual TLS from here");
            match work.prove(names, ready, facts.clock) {
                Ok(name) => Some(name),
                Err(failure) => return Err(Stop::here(switch, firewalled(failure, &facts.firewall))),
            }
        }
        _ => None,
    };
    match switch.confirm() {
        Ok(()) => Ok((ready, dialled)),
        Err((switch, error)) => {
            let stop = Stop::host(switch, &error);
            Err(Stop { uncertain: stop.switch.is_none(), ..stop })
        }
    }
}

fn endpoint(need: &Need) -> Option<&Endpoint> {
    match need {
        Need::Certificate { endpoint, .. } | Need::Trust { endpoint, .. } | Need::Restart { endpoint, .. } => {
            Some(endpoint)
        }
        Need::Removal => None,
    }
}

/// What to do about a step that failed on the host.
fn advice(error: &ReachError) -> String {
    let said = error.to_string();
    if said.contains(NO_SPACE) {
        MAKE_ROOM.to_owned()
    } else if said.contains("address already in use") {
        "something else listens on that port: see ss -ltnp on the host".to_owned()
    } else if said.contains(REFUSED) {
        "mend its configuration on the host, then run this again; dockerd was not restarted".to_owned()
    } else if said.contains("was changed meanwhile") {
        "somebody else is at work there; run it again when they are done".to_owned()
    } else if matches!(error, ReachError::Failed { .. }) {
        "see what it says on the host: journalctl -u docker".to_owned()
    } else {
        "run it again when the host can be reached".to_owned()
    }
}

fn firewalled(failure: Failure, firewall: &[String]) -> Failure {
    match firewall.first() {
        Some(line) => Failure { hint: Some(line.clone()), ..failure },
        None => failure,
    }
}

enum KeyTrouble {
    Host(ReachError),
    Here(Failure),
}

/// On the host where it has openssl, so that it never travels.
fn make_key(switch: &mut Switch<'_>, has_openssl: bool, wish: &KeyWish) -> Result<SubjectKey, KeyTrouble> {
    let key = match wish {
        KeyWish::New(key) => *key,
        KeyWish::Same(public) => return Ok(SubjectKey::Elsewhere(public.clone())),
    };
    if !has_openssl {
        return new_key(key, &SystemRandom::new())
            .map(|key| SubjectKey::Here(Box::new(key)))
            .map_err(|error| KeyTrouble::Here(error.into()));
    }
    let words: &[&str] = match key {
        KeyAlgorithm::P256 => {
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:named_curve"]
        }
        KeyAlgorithm::P384 => {
            &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-pkeyopt", "ec_param_enc:named_curve"]
        }
        KeyAlgorithm::Ed25519 => &["-algorithm", "ED25519"],
        KeyAlgorithm::Rsa2048 => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
        KeyAlgorithm::Rsa3072 => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
        KeyAlgorithm::Rsa4096 => &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    };
    let printed = switch.make_key(INSTALL_DIRECTORY, layout::KEY_FILE, words).map_err(KeyTrouble::Host)?;
    let trouble = |cause: String| {
        KeyTrouble::Here(Failure::trouble("").cause(format!("the host's certificate request: {cause}")))
    };
    let blocks = pem::decode_all(&printed).map_err(|error| trouble(error.to_string()))?;
    let block = blocks.into_iter().find(|block| block.tag().ends_with("CERTIFICATE REQUEST"));
    let der = block.ok_or_else(|| trouble("it printed none".to_owned()))?.into_contents();
    let request = CertificateRequest::from_der(&der).map_err(|error| trouble(error.to_string()))?;
    Ok(SubjectKey::Elsewhere(request.public_key))
}

impl Work<'_> {
    fn record(
        &self,
        what: impl FnOnce(&mut Ledger) -> Result<(), dockseal_inventory::InventoryError>,
    ) -> Result<(), Failure> {
        let mut ledger = self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        what(&mut ledger).map_err(|error| inventory_failure("cannot record what was done", &error))
    }

    fn authority(&self) -> Result<&Authority, Failure> {
        self.authority.ok_or_else(|| Failure::trouble("the authority was not opened"))
    }

    /// Takes a serial, signs, and announces where the certificate goes.
    fn issue(
        &self,
        endpoint: &Endpoint,
        key: SubjectKey,
        wish: Wish,
        predecessor: Option<CertificateId>,
        place: &Place,
        reserved: &mut Option<CertificateId>,
    ) -> Result<Ready, Failure> {
        let authority = self.authority()?;
        let permitted = permit(authority, endpoint, key, wish, self.invocation.around())?;
        let mut ledger = self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let id = ledger.reserve(&permitted, predecessor)?;
        *reserved = Some(id);
        let SignedBundle { certificate, bundle, notes } = permitted.sign(authority, self.invocation.around())?;
        let key_holder = if bundle.key.is_some() { KeyHolder::Here } else { KeyHolder::Elsewhere };
        let places = [Delivery { place: place.clone(), layout: Layout::Docker, ownership: Ownership::default() }];
        let signed = Signed { id, certificate: &certificate, key_holder, places: &places, command_follows: false };
        ledger
            .recorder()
            .signed(&[signed])
            .map_err(|error| inventory_failure("cannot record the certificate", &error))?;
        Ok(Ready { bundle, certificate, notes })
    }

    fn judged(&self, endpoint: &Endpoint, anchors: &TrustAnchors, chain: &[Certificate]) -> Result<Ready, Failure> {
        let leaf = chain.first().ok_or_else(|| Failure::trouble("there is no certificate"))?;
        let bundle = Bundle { anchors: anchors.clone(), chain: chain.to_vec(), key: None };
        let notes = judgement::of_bundle(&bundle, endpoint, self.invocation.now, "cannot change its anchors")?;
        Ok(Ready { bundle, certificate: leaf.clone(), notes })
    }

    /// Makes a request over mutual TLS as a client would, by each name until one is answered by the very certificate.
    fn prove(
        &self,
        names: &[SubjectAltName],
        ready: &Ready,
        host_clock: Option<i64>,
    ) -> Result<SubjectAltName, Failure> {
        let identity = self.authority.map(|_| self.passing_client(host_clock)).transpose()?;
        let mut last = None;
        // The socket may come a moment after the service.
        for attempt in 0..3 {
            if attempt > 0 {
                std::thread::sleep(Duration::from_secs(1));
            }
            for name in names.iter().filter(|name| !name.is_wildcard()) {
                let dialled = Dialled {
                    host: name.to_string(),
                    port: TLS_PORT,
                    anchors: &ready.bundle.anchors,
                    client: identity.as_ref(),
                    expected: &ready.certificate,
                };
                match dial_daemon(&dialled, self.invocation) {
                    Ok(()) => return Ok(name.clone()),
                    // The first name's is the most telling.
                    Err(failure) => last = last.or(Some(failure)),
                }
            }
        }
        Err(last.unwrap_or_else(|| {
            Failure::no("")
                .cause("it has no name that could be dialled")
                .hint("name an address or host name besides the wildcard")
        }))
    }

    /// A client that lives for this one request: its key is never written, and its serial is never given to anybody.
    fn passing_client(&self, host_clock: Option<i64>) -> Result<Bundle, Failure> {
        let authority = self.authority()?;
        let user = crate::endpoint::parse_user("dockseal confirmation")?;
        let key = SubjectKey::Here(Box::new(new_key(KeyAlgorithm::P256, &self.invocation.around().random)?));
        // It must live by the host's clock too, which may be ahead.
        let ahead = host_clock.map_or(0, |clock| clock.saturating_sub(self.invocation.now.unix_timestamp()).max(0));
        let lifetime = Some(crate::groups::parse_lifetime(&format!("{}s", ahead.saturating_add(600)))?);
        let wish = Wish { lifetime, allow_long_lifetime: false };
        let permitted = permit(authority, &Endpoint::Client { user }, key, wish, self.invocation.around())?;
        let id = {
            let mut ledger = self.ledger.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            ledger.reserve(&permitted, None)?
        };
        let signed = permitted.sign(authority, self.invocation.around());
        self.record(|ledger| ledger.recorder().taken_back(&[id]))?;
        Ok(signed?.bundle)
    }
}

/// Places of hosts to which a killed run was delivering: what they hold is seen when they are reached.
pub(crate) fn settle_place(ledger: &mut Ledger, reached: &Reached) -> Result<(), Failure> {
    let failure = |error| inventory_failure("cannot read what was being done", &error);
    let place = place(&reached.target, &reached.facts);
    let Some(destination) = ledger.inventory.destination_at(&place).map_err(failure)? else { return Ok(()) };
    let Some(pending) = destination.pending else { return Ok(()) };
    let entry = ledger.inventory.entry(pending).map_err(failure)?;
    let there = super::show::certificates(reached.facts.cert.contents.as_ref());
    let is_there = entry.is_some_and(|entry| there.first() == Some(&entry.certificate));
    let recorded = if is_there {
        ledger.recorder().delivered(&[Delivered { id: pending, keeps_previous: false, command_due: false }])
    } else {
        let missed: Vec<DestinationId> = vec![destination.id];
        ledger.recorder().missed(&missed)
    };
    recorded.map_err(failure)
}
