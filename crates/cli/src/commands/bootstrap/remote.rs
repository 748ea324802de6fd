//! `dockseal bootstrap --ssh`: hosts that are reached by ssh, from a look at them to a context that works.

mod context;
mod report;
mod userns;

use std::{collections::BTreeSet, path::Path, process::ExitCode};

use dockseal_ca::Endpoint;
use dockseal_docker::{
    daemon_json::INSTALL_DIRECTORY,
    host::FileKind,
    host_plan::{Aim, HostPlan, install},
};
use dockseal_inventory::{CertificateId, State};
use dockseal_pki::{Certificate, SubjectAltName, TrustAnchors, Validity};
use dockseal_remote::Target;

use self::report::{finish, finish_dry, show_plan};

use super::{Args, WHAT, attempt_until_done, wanted_clients};
use crate::{
    authority::{self, chains, read},
    endpoint::{daemon_names, plain},
    failure::Failure,
    groups::parse_lifetime,
    hints::{inventory_failure, plan_failure},
    hosts::{
        agree,
        change::{Applied, KeyWish, Need, Work, apply, settle_place},
        lines::Lines,
        reach::{Reached, dial, dialled_name, parse_target},
        show, side_by_side, unfinished,
    },
    invocation::Invocation,
    judgement,
    ledger::Ledger,
    output::Output,
};

/// A host as typed, and what its daemon is to be called.
struct Asked {
    target: Target,
    names: Vec<SubjectAltName>,
}

impl Asked {
    fn failed(self, failure: Failure) -> Box<Ended> {
        Box::new(Ended { target: self.target, names: self.names, result: Err(failure) })
    }
}

/// A host that was looked at, and what is to be done there.
struct Planned {
    reached: Reached,
    names: Vec<SubjectAltName>,
    plan: HostPlan,
    need: Option<Need>,
    /// What stays, where nothing is to be done.
    present: Option<Certificate>,
    what: Vec<String>,
}

/// What became of a host.
struct Ended {
    target: Target,
    names: Vec<SubjectAltName>,
    result: Result<Settled, Failure>,
}

struct Settled {
    state: &'static str,
    certificate: Option<Certificate>,
    dialled: Option<SubjectAltName>,
    notes: Vec<String>,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let within = args.ssh.confirm_within.as_deref().unwrap_or("2m");
    let within = parse_lifetime(within)?.duration().unsigned_abs();
    if within.as_secs() < 10 || within.as_secs() > 3600 {
        return Err(Failure::trouble(format!("cannot use --confirm-within {}", within.as_secs()))
            .hint("give a time from 10s to 1h: it has to last for a restart of dockerd"));
    }
    let asked = asked(args, output)?;
    let dial = dial(asked.len() == 1)?;
    let lines = Lines::new(asked.iter().map(|asked| asked.target.to_string()).collect());
    let aim = args.ssh.aim(args.replace)?;

    // Everything is looked at before anything is changed, here or there.
    let numbered: Vec<(usize, Asked)> = asked.into_iter().enumerate().collect();
    let generations = generations(invocation)?;
    let looked = side_by_side(numbered, |(at, mut asked)| {
        lines.step(at, "looking");
        let clock = || invocation.clock().unix_timestamp();
        let mut reached = match crate::hosts::reach::reach(&asked.target, &dial, clock) {
            Ok(reached) => reached,
            Err(failure) => return Err(asked.failed(failure)),
        };
        if args.names.wants_detection() {
            asked.names.extend(
                show::detected(&reached.facts)
                    .into_iter()
                    .filter(|name| !asked.names.contains(name))
                    .collect::<Vec<_>>(),
            );
        }
        match prepare(&mut reached, &asked.names, &aim, &generations, args, invocation) {
            Ok((plan, need, present, what)) => Ok(Planned { reached, names: asked.names, plan, need, present, what }),
            Err(failure) => Err(asked.failed(failure)),
        }
    });
    let mut planned = Vec::new();
    let mut ended = Vec::new();
    for (at, one) in looked.into_iter().enumerate() {
        match one {
            Ok(one) => {
                lines.step(at, if one.need.is_some() { "to be changed" } else { "as it is to be" });
                planned.push((at, one));
            }
            Err(one) => {
                lines.step(at, "left as it is");
                ended.push((at, *one));
            }
        }
    }
    lines.leave();
    show_plan(&planned, args, invocation, output);
    if args.ssh.dry_run {
        return finish_dry(&planned, ended, output);
    }
    let changes = planned.iter().filter(|(_, one)| one.need.is_some()).count();
    if changes > 0 {
        agree(args.ssh.yes, changes)?;
    }
    if planned.is_empty() {
        return finish(ended, None, &[], &[], invocation, output);
    }

    // The first host's name becomes the directory's, as without --ssh.
    let first = planned.first().and_then(|(_, one)| one.names.first()).map(ToString::to_string).unwrap_or_default();
    let out = match &args.out {
        Some(out) => invocation.absolute(out)?,
        None => invocation.absolute(Path::new(&first.replace("*.", "")))?,
    };
    let wanted = wanted_clients(&args.clients, &out)?;
    let mut done = attempt_until_done(args, &wanted, invocation, output)?;
    let opened = match done.opened.take() {
        Some(opened) => Some(opened),
        None if planned.iter().any(|(_, one)| matches!(one.need, Some(Need::Certificate { .. }))) => {
            Some(authority::open(&args.passphrase, invocation, output)?)
        }
        None => None,
    };
    let home = invocation.home()?;
    let mut ledger = match &opened {
        Some(opened) => Ledger::open_to_sign(opened, invocation.around(), output)?,
        None => Ledger::open(&home, invocation.around(), output)?,
    };
    for (_, one) in &mut planned {
        settle_place(&mut ledger, &one.reached)?;
        // What it takes the place of may have been issued by this very authority before.
        if let Some(Need::Certificate { predecessor, .. }) = &mut one.need {
            *predecessor = predecessor_of(&ledger, &one.reached)?;
        }
    }
    let work = Work {
        authority: opened.as_ref().map(|opened| &opened.authority),
        ledger: std::sync::Mutex::new(&mut ledger),
        invocation,
        lines: &lines,
        within,
    };
    let results = side_by_side(planned, |(at, mut one)| {
        let result = match &one.need {
            None => Ok(Settled { state: "kept", certificate: one.present.clone(), dialled: None, notes: Vec::new() }),
            Some(need) => apply(&work, at, &mut one.reached, &one.plan, need)
                .map(|Applied { certificate, dialled, notes }| Settled { state: "made", certificate, dialled, notes }),
        };
        (at, Ended { target: one.reached.target.clone(), names: one.names, result })
    });
    ended.extend(results);
    let contexts = match wanted.first() {
        Some(client) if !args.ssh.no_context => context::make(args, client, &ended, &mut ledger, invocation, output)?,
        _ => Vec::new(),
    };
    finish(ended, Some(&done), &wanted, &contexts, invocation, output)
}

/// The hosts, each with the names that its certificate is to have.
fn asked(args: &Args, output: &mut Output) -> Result<Vec<Asked>, Failure> {
    let given = args.names.given();
    let targets = &args.ssh.targets;
    if targets.len() > 1 && !given.is_empty() {
        return Err(Failure::trouble(WHAT)
            .cause("names were given, and several hosts: nobody can tell which name is whose")
            .hint("leave the names out, each host's is then the one that ssh dials; or run it for each host"));
    }
    let mut asked: Vec<Asked> = Vec::new();
    for text in targets {
        let target = parse_target(text)?;
        if asked.iter().any(|other| other.target == target) {
            continue;
        }
        let names = match given {
            [] => vec![dialled_name(&target)],
            given => given.to_vec(),
        };
        let names = daemon_names(&names, false, output).map_err(|failure| match given {
            [] => failure.hint(format!(
                "name the daemon by the names that clients dial: dockseal bootstrap NAME… --ssh {target}"
            )),
            _ => failure,
        })?;
        asked.push(Asked { target, names });
    }
    Ok(asked)
}

/// The authority's generations, the signing one first; none where it is still to be made.
fn generations(invocation: &Invocation) -> Result<Vec<Vec<Certificate>>, Failure> {
    let home = invocation.home()?;
    if home.check_free().is_ok() {
        return Ok(Vec::new());
    }
    Ok(chains(&home, &read(&home)?)?)
}

type Preparation = (HostPlan, Option<Need>, Option<Certificate>, Vec<String>);

/// What is to be done on a host.
fn prepare(
    reached: &mut Reached,
    names: &[SubjectAltName],
    aim: &Aim,
    generations: &[Vec<Certificate>],
    args: &Args,
    invocation: &Invocation,
) -> Result<Preparation, Failure> {
    let target = reached.target.clone();
    reached.session.require_root().map_err(|error| crate::hints::reach_failure(&target, &error))?;
    unfinished(reached, !args.ssh.dry_run)?;
    let no = |cause: String| Failure::no(format!("cannot set up {target}")).cause(cause);
    let backdate = Validity::BACKDATE.whole_seconds();
    if reached.skew < -backdate {
        return Err(no(format!(
            "its clock is {} seconds behind this machine's: it would take every new certificate for not yet valid",
            reached.skew.unsigned_abs()
        ))
        .hint("set its clock: timedatectl set-ntp true"));
    }
    let mut plan = install(&reached.facts, aim).map_err(|refusal| plan_failure(&target, &refusal))?;
    if let Some(remap) = &aim.userns_remap {
        plan.warnings.extend(userns::check(reached, remap)?);
    }
    if reached.skew > backdate {
        plan.warnings
            .push(format!("its clock is {} seconds ahead: certificates end that much earlier there", reached.skew));
    }
    plan.warnings.extend(reached.facts.firewall.iter().cloned());
    for (interface, address) in show::reachable(&reached.facts) {
        if !names.contains(&SubjectAltName::Ip(address)) {
            plan.notes.push(format!("clients that dial {address} ({interface}) are refused: it is none of the names"));
        }
    }
    let endpoint = Endpoint::Daemon { names: names.to_vec() };
    let wish = args.leaf.wish()?;
    let new = |why: String| {
        let need =
            Need::Certificate { endpoint: endpoint.clone(), wish, key: KeyWish::New(args.leaf.key), predecessor: None };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = if reached.facts.openssl.is_some() { "made on the host" } else { "made here, sent through ssh" };
        let what =
            format!("{INSTALL_DIRECTORY}: {why} for {}; its key ({}) is {key}", names.join(", "), args.leaf.key.word());
        (Some(need), None, vec![what])
    };
    let differs = |cause: String| no(cause).hint("run it with --replace to issue it anew");
    let facts = &reached.facts;
    let chain = show::certificates(facts.cert.contents.as_ref());
    let Some(leaf) = chain.first().cloned().filter(|_| !args.replace) else {
        // Without a certificate only our record tells whose they are.
        let there = [&facts.key, &facts.cert, &facts.ca].into_iter().find(|file| file.kind.is_some());
        if let Some(file) = there.filter(|_| !args.replace && facts.record.kind.is_none()) {
            return Err(differs(format!(
                "{} is there already, and there is no certificate that tells whose",
                file.path
            )));
        }
        let (need, present, what) = new("a new certificate".to_owned());
        return Ok((plan, need, present, what));
    };
    let anchors = show::certificates(reached.facts.ca.contents.as_ref());
    let issued_by = |chain: &Vec<Certificate>| match (chain.first(), chain.last()) {
        (Some(issuer), Some(anchor)) => {
            anchors.contains(anchor) && leaf.issuer == issuer.subject && leaf.is_signed_by(issuer)
        }
        _ => false,
    };
    if !generations.iter().any(issued_by) {
        return Err(differs(format!("{INSTALL_DIRECTORY} holds a certificate of another authority, {}", leaf.issuer)));
    }
    let asked: BTreeSet<String> = names.iter().map(ToString::to_string).collect();
    let has: BTreeSet<String> = leaf.names.iter().map(plain).collect();
    if asked != has {
        let list = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        return Err(differs(format!("its certificate is for {}, and not for {}", list(&has), list(&asked))));
    }
    if reached.facts.key.kind != Some(FileKind::Regular) {
        let (need, present, what) = new("a new certificate, since its key is gone".to_owned());
        return Ok((plan, need, present, what));
    }
    if leaf.validity.due_at() <= invocation.now {
        let (need, present, what) = new("a new certificate, since two thirds of its life are gone".to_owned());
        return Ok((plan, need, present, what));
    }
    if leaf.validity.not_before > invocation.now {
        let (need, present, what) = new("a new certificate, since this one is not valid yet".to_owned());
        return Ok((plan, need, present, what));
    }
    let Some(anchors) = TrustAnchors::new(anchors) else { return Err(differs("its ca.pem is empty".to_owned())) };
    let bundle = dockseal_pki::Bundle { anchors: anchors.clone(), chain: chain.clone(), key: None };
    judgement::of_bundle(&bundle, &endpoint, invocation.now, WHAT)
        .map_err(|failure| differs(failure.cause.unwrap_or_default()))?;
    if plan.files.is_empty() && serves(names, &anchors, &leaf, invocation) {
        return Ok((plan, None, Some(leaf), Vec::new()));
    }
    let what = if plan.files.is_empty() {
        vec!["dockerd does not serve the certificate that is on its disk".to_owned()]
    } else {
        Vec::new()
    };
    Ok((plan, Some(Need::Restart { endpoint, anchors, chain }), None, what))
}

/// Whether dockerd serves this certificate, by any of its names, and asks for its clients'.
fn serves(names: &[SubjectAltName], anchors: &TrustAnchors, leaf: &Certificate, invocation: &Invocation) -> bool {
    names.iter().filter(|name| !name.is_wildcard()).any(|name| {
        let dialled = super::super::probe::Dialled {
            host: name.to_string(),
            port: dockseal_docker::daemon_json::TLS_PORT,
            anchors,
            client: None,
            expected: leaf,
        };
        super::super::probe::dial_daemon(&dialled, invocation).is_ok()
    })
}

/// The certificate that this host has by the authority's own books.
fn predecessor_of(ledger: &Ledger, reached: &Reached) -> Result<Option<CertificateId>, Failure> {
    let failure = |error| inventory_failure(WHAT, &error);
    let place = crate::hosts::reach::place(&reached.target, &reached.facts);
    let destination = ledger.inventory.destination_at(&place).map_err(failure)?;
    let Some(id) = destination.and_then(|destination| destination.certificate) else { return Ok(None) };
    let entry = ledger.inventory.entry(id).map_err(failure)?;
    Ok(entry.filter(|entry| entry.state == State::Issued).map(|entry| entry.id))
}
