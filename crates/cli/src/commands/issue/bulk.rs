//! `dockseal issue clients`: many at once, made durable together.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use dockseal_ca::{Authority, Endpoint};
use dockseal_docker::{Ownership, Role, plan};
use dockseal_inventory::{CertificateId, KeyHolder, Place, State};
use dockseal_lifecycle::delivery::{self, LeftAlone};
use dockseal_pki::{PrivateKey, UserName};
use dockseal_store::{Displaced, Existing, stage_for_batch};
use ring::rand::SystemRandom;
use serde_json::json;

use crate::{
    authority::open,
    endpoint::{Permitted, SignedBundle, SubjectKey, Wish, parse_user, permit},
    failure::Failure,
    groups::{LeafArgs, OwnerArgs, PassphraseArgs},
    hints::{inventory_failure, left_alone_failure},
    input::standard_input,
    invocation::Invocation,
    layouts::{Laid, LayoutArgs},
    ledger::Ledger,
    output::Output,
    progress::Progress,
    reissue::{Outcome, Prepared, StagedAt, batch_size, in_parallel, record_and_swap},
    report::{CertificateReport, until},
    rows::Rows,
};

const WHAT: &str = "cannot issue the client certificates";

#[derive(clap::Args)]
pub(super) struct Args {
    /// The users
    #[arg(value_name = "USER", required_unless_present = "from")]
    users: Vec<String>,
    /// Read more users from this file, one on each line (- for standard input); blank lines and # comments are skipped
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The directory that gets a directory for each user
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Put new bundles in the place of those that are there; without it, those stay
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    layout: LayoutArgs,
    #[command(flatten)]
    leaf: LeafArgs,
    #[command(flatten)]
    owner: OwnerArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// A user, and where the bundle goes.
struct Client {
    user: UserName,
    place: Place,
}

/// What all of them have in common.
struct Terms<'t> {
    authority: &'t Authority,
    args: &'t Args,
    wish: Wish,
    laid: Laid,
    ownership: Ownership,
    existing: Existing,
    invocation: &'t Invocation,
}

pub(super) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let (wish, ownership) = (args.leaf.wish()?, args.owner.resolve()?);
    let laid = args.layout.resolve(&[Role::Client], WHAT)?;
    let users = args.users.iter().map(|user| Ok(user.clone())).chain(lines(args.from.as_deref())?);
    let opened = open(&args.passphrase, invocation, output)?;
    let existing = if args.replace { Existing::Replace } else { Existing::Keep };
    let terms = Terms { authority: &opened.authority, args, wish, laid, ownership, existing, invocation };
    let out = invocation.place(&args.out)?;
    let mut rows = Rows::new(output.format());
    let mut progress = Progress::new("issued", args.count());
    let mut ledger: Option<Ledger> = None;
    let mut users = users.peekable();
    while users.peek().is_some() {
        let (mut batch, mut seen) = (Vec::new(), HashSet::new());
        for user in users.by_ref().take(batch_size()) {
            let user = user?;
            match parse_user(&user) {
                // Twice in a file is once.
                Ok(user) if !seen.insert(user.clone()) => {}
                Ok(user) => {
                    let path = terms.laid.below(&out.path.join(user.as_str()), Role::Client);
                    batch.push(Client { user, place: Place { path, ..out.clone() } });
                }
                Err(failure) => rows.trouble(&format!("client {user:?}"), &failure, json!({ "name": user }), output),
            }
        }
        let count = batch.len() as u64;
        // Refused for all alike: nothing is changed by it.
        if let (None, Some(first)) = (&ledger, batch.first()) {
            let _ = terms.permit(first)?;
        }
        let ledger = match &mut ledger {
            Some(ledger) => {
                ledger.give_way(&opened, invocation.around())?;
                ledger
            }
            none => none.insert(Ledger::open_to_sign(&opened, invocation.around(), output)?),
        };
        for outcome in issue_batch(&terms, ledger, batch, &mut rows, output)? {
            show(&outcome, &mut rows, invocation, output);
        }
        progress.advance(count);
    }
    drop(progress);
    Ok(rows.finish(output))
}

impl Args {
    /// How many there will be, as far as that can be told beforehand.
    fn count(&self) -> u64 {
        let from = self.from.as_deref().filter(|path| path.is_file()).and_then(|path| File::open(path).ok());
        let in_file = from.map_or(0, |file| BufReader::new(file).split(b'\n').count());
        (self.users.len() + in_file) as u64
    }
}

/// The users in a file, one by one.
fn lines(from: Option<&Path>) -> Result<impl Iterator<Item = Result<String, Failure>> + use<>, Failure> {
    let cannot = |path: &Path, error: std::io::Error| {
        Failure::trouble(WHAT)
            .cause(format!("{}: {error}", path.display()))
            .hint("give a text file with one user on each line")
    };
    let reader: Option<(Box<dyn Read>, PathBuf)> = match from {
        None => None,
        Some(path) if path.as_os_str() == "-" => Some((Box::new(standard_input()), PathBuf::from("standard input"))),
        Some(path) => Some((Box::new(File::open(path).map_err(|error| cannot(path, error))?), path.to_owned())),
    };
    Ok(reader.into_iter().flat_map(move |(reader, path)| {
        let mut reader = BufReader::new(reader);
        let mut number = 0_u64;
        let next = move || {
            number += 1;
            next_line(&mut reader)
                .map_err(|error| cannot(&path, std::io::Error::other(format!("line {number}: {error}"))))
                .transpose()
        };
        // Nothing is read beyond what cannot be read.
        let mut failed = false;
        std::iter::from_fn(next)
            .take_while(move |line| !std::mem::replace(&mut failed, line.is_err()))
            .filter(|line| line.as_ref().map_or(true, |line| !line.is_empty() && !line.starts_with('#')))
    }))
}

/// One line without the blanks around it. A line longer than any name is none, however long it is.
fn next_line(reader: &mut impl BufRead) -> std::io::Result<Option<String>> {
    const LONGEST: u64 = 4096;
    let mut line = Vec::new();
    if reader.take(LONGEST).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LONGEST && line.last() != Some(&b'\n') {
        return Err(std::io::Error::other("it is longer than any name"));
    }
    let text = std::str::from_utf8(&line).map_err(|_| std::io::Error::other("it is not UTF-8"))?;
    Ok(Some(text.trim().to_owned()))
}

impl Terms<'_> {
    fn permit(&self, client: &Client) -> Result<Permitted, Failure> {
        let key = PrivateKey::generate(self.args.leaf.key, &SystemRandom::new())
            .map_err(|error| Failure::trouble("cannot make a private key").cause(error))?;
        let endpoint = Endpoint::Client { user: client.user.clone() };
        Ok(permit(self.authority, &endpoint, SubjectKey::Here(Box::new(key)), self.wish, self.invocation.around())?)
    }

    fn prepare(
        &self,
        client: Client,
        permitted: Permitted,
        id: CertificateId,
    ) -> Result<Prepared<Client>, Box<delivery::Outcome<Client>>> {
        let left = |client, place, reason| {
            Box::new(delivery::Outcome::nothing(client, vec![delivery::Trouble { place, reason }]))
        };
        let signed = match permitted.sign(self.authority, self.invocation.around()) {
            Ok(signed) => signed,
            Err(error) => return Err(left(client, None, LeftAlone::NotIssued(error))),
        };
        let plan = plan(&signed.bundle, Role::Client, self.laid.layout, self.ownership);
        let place = client.place.clone();
        match stage_for_batch(&plan, &place.path, self.existing, Displaced::Keep) {
            Err(error) => Err(left(client, Some(place), LeftAlone::InTheWay(error))),
            Ok(bundle) => {
                let SignedBundle { certificate, notes, .. } = signed;
                let staged = vec![StagedAt {
                    place,
                    layout: self.laid.layout,
                    ownership: self.ownership,
                    destination: None,
                    bundle,
                }];
                let troubles = Vec::new();
                Ok(Prepared { id, subject: client, certificate, key_holder: KeyHolder::Here, staged, notes, troubles })
            }
        }
    }
}

fn issue_batch(
    terms: &Terms<'_>,
    ledger: &mut Ledger,
    clients: Vec<Client>,
    rows: &mut Rows,
    output: &mut Output,
) -> Result<Vec<Outcome<Client>>, Failure> {
    let mut wanted = Vec::new();
    for client in clients {
        if terms.existing == Existing::Keep && has_one(ledger, &client)? {
            let path = client.place.path.display().to_string();
            let wire = json!({ "state": "kept", "role": "client", "name": client.user.as_str(), "directory": path });
            rows.row(&format!("kept client {} in {path}", client.user), &wire, output);
        } else {
            wanted.push(client);
        }
    }
    let permitted: Vec<(Client, Permitted)> = in_parallel(wanted, |client| {
        let permitted = terms.permit(&client)?;
        Ok((client, permitted))
    })
    .into_iter()
    .collect::<Result<_, Failure>>()?;
    let reservations: Vec<_> = permitted.iter().map(|(_, permitted)| (permitted, None)).collect();
    let ids = ledger.reserve_all(&reservations)?;
    let numbered: Vec<_> = permitted.into_iter().zip(ids).collect();
    let prepared = in_parallel(numbered, |((client, permitted), id)| terms.prepare(client, permitted, id));
    let outcomes = record_and_swap(ledger, prepared, false)?;
    Ok(outcomes.into_iter().map(|outcome| outcome.map_reasons(left_alone_failure)).collect())
}

/// Whether the user's certificate was delivered there by an earlier run.
fn has_one(ledger: &Ledger, client: &Client) -> Result<bool, Failure> {
    let failure = |error| inventory_failure(WHAT, &error);
    let Some(destination) = ledger.inventory.destination_at(&client.place).map_err(failure)? else { return Ok(false) };
    let Some(id) = destination.certificate else { return Ok(false) };
    let entry = ledger.inventory.entry(id).map_err(failure)?;
    let fits = entry.is_some_and(|entry| entry.state == State::Issued && entry.name == client.user.as_str());
    Ok(fits && client.place.path.is_dir())
}

fn show(outcome: &Outcome<Client>, rows: &mut Rows, invocation: &Invocation, output: &mut Output) {
    let name = outcome.subject.user.as_str();
    let path = outcome.subject.place.path.display().to_string();
    if let Some(issued) = &outcome.issued {
        let ends = until(issued.certificate.validity, invocation.now);
        let wire = json!({
            "state": "issued",
            "role": "client",
            "name": name,
            "directory": path,
            "certificate": CertificateReport::new(Role::Client, &issued.certificate),
        });
        rows.row(&format!("issued client {name} in {path}, valid until {ends}"), &wire, output);
    }
    for trouble in &outcome.troubles {
        let wire = json!({ "role": "client", "name": name, "directory": path });
        rows.trouble(&format!("client {name}"), &trouble.reason, wire, output);
    }
}
