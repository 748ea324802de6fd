//! `dockseal issue`: the material of one daemon, one client or many.

mod bulk;
mod place;
mod requested;

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;
use dockseal_ca::Endpoint;
use dockseal_docker::{FilePlan, Layout, Ownership, Role, plan};
use dockseal_pki::{CertificateRequest, printable};
use dockseal_store::Existing;
use serde::Serialize;

pub(crate) use self::{
    place::{check_not_here, check_out},
    requested::{read_request, say_names_dropped},
};
use crate::{
    authority::open,
    endpoint::{Issued, Permitted, SubjectKey, new_key, permit},
    failure::Failure,
    groups::{LeafArgs, NamesArgs, OwnerArgs, PassphraseArgs, Pkcs12PassphraseArgs},
    handover::{Form, HandOver},
    hints::undelivered_failure,
    invocation::Invocation,
    layouts::{Laid, LayoutArgs},
    ledger::Ledger,
    output::{Output, fields},
    report::{CertificateReport, SCHEMA, until},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    endpoint: EndpointArgs,
}

#[derive(Subcommand)]
enum EndpointArgs {
    /// The material of a daemon
    #[command(after_help = "Examples:\n  \
        dockseal issue daemon 10.0.0.5 build.example.com '*.build.example.com' --out ./daemon\n  \
        dockseal issue daemon --detect --out /etc/docker/tls\n  \
        dockseal issue daemon build.example.com --csr request.csr --out -\n  \
        dockseal issue daemon --layout dind --client ci --out ./certs\n  \
        dockseal issue daemon registry.example.com --layout registry --out ./")]
    Daemon {
        #[command(flatten)]
        names: NamesArgs,
        /// Issue this client's material too, into the same tree: not with docker's own layout
        #[arg(long, value_name = "USER", conflicts_with = "csr")]
        client: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// The material of a client
    #[command(after_help = "Examples:\n  \
        dockseal issue client alice --out ./alice\n  \
        dockseal issue client ci --lifetime 7d --out ./ci --mode 0640 --group runners\n  \
        dockseal issue client alice --csr - --out - < request.csr > cert.pem\n  \
        dockseal issue client alice --as p12 --out alice.p12 --p12-passphrase-file passphrase.txt\n  \
        dockseal issue client ci --as tar --out - | ssh runner tar -xC .docker\n  \
        dockseal issue client ci --layout registry --registry registry.example.com:5000 --out /etc/docker")]
    Client {
        /// The user: the certificate's common name, which authorization plugins see
        user: String,
        #[command(flatten)]
        common: Common,
    },
    /// The material of many clients, a directory for each
    #[command(
        after_help = "What an earlier run delivered stays, so that a run that was interrupted is finished by running it again.\n\n\
        Examples:\n  \
        dockseal issue clients alice bob carol --out ./clients\n  \
        dockseal issue clients --from users.txt --out ./clients --lifetime 30d --format json"
    )]
    Clients(bulk::Args),
}

#[derive(clap::Args)]
struct Common {
    /// The directory that gets ca.pem, cert.pem and key.pem, or the top of another layout's tree; with --as, the file;
    /// - for standard output, with --as or --csr
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Sign this certificate request (PEM or DER, - for standard input) instead of making a key
    #[arg(long, value_name = "FILE")]
    csr: Option<PathBuf>,
    /// Put the new bundle in the place of the one that is there
    #[arg(long)]
    replace: bool,
    /// Hand it over as one file instead, which renewals do not reach. (--format says how results are shown, everywhere)
    #[arg(long = "as", value_enum, value_name = "KIND", conflicts_with_all = ["csr", "replace"])]
    form: Option<Form>,
    #[command(flatten)]
    layout: LayoutArgs,
    #[command(flatten)]
    p12_passphrase: Pkcs12PassphraseArgs,
    #[command(flatten)]
    leaf: LeafArgs,
    #[command(flatten)]
    owner: OwnerArgs,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Serialize)]
struct Wire {
    schema: u32,
    directory: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    files: Vec<String>,
    certificate: CertificateReport,
    notes: Vec<String>,
    /// Of whom the same tree or file holds another bundle.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Self>,
}

/// What is to be done with what is issued.
struct Order<'a> {
    common: &'a Common,
    laid: Laid,
    roles: Vec<Role>,
    ownership: Ownership,
    what: String,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let (common, role) = match &args.endpoint {
        EndpointArgs::Daemon { common, .. } => (common, Role::Daemon),
        EndpointArgs::Client { common, .. } => (common, Role::Client),
        EndpointArgs::Clients(args) => return bulk::run(args, invocation, output),
    };
    let what = format!("cannot issue the {role} certificate");
    let to_stdout = common.out.as_os_str() == "-";
    if to_stdout && common.csr.is_none() && common.form.is_none() {
        return Err(Failure::trouble(what).cause("a private key is never written to standard output by itself").hint(
            "give a directory with --out DIR, sign a request with --csr FILE --out -, or say --as tar or --as p12",
        ));
    }
    let ownership = common.owner.resolve()?;
    let wish = common.leaf.wish()?;
    let request = common.csr.as_deref().map(|path| read_request(path, &what)).transpose()?;
    let endpoints: Vec<Endpoint> = match &args.endpoint {
        EndpointArgs::Daemon { names, client, .. } => {
            let usual = common.layout.usual_names();
            let daemon = requested::daemon(names, usual, request.as_ref(), output)?;
            let client = client.as_deref().map(|user| requested::client(user, None, output)).transpose()?;
            [daemon].into_iter().chain(client).collect()
        }
        EndpointArgs::Client { user, .. } => vec![requested::client(user, request.as_ref(), output)?],
        EndpointArgs::Clients(_) => Vec::new(),
    };
    let roles: Vec<Role> = endpoints.iter().map(Endpoint::role).collect();
    let laid = common.layout.resolve(&roles, &what)?;
    if roles.len() > 1 && laid.layout == Layout::Docker {
        return Err(Failure::trouble(what)
            .cause("docker's own layout has one bundle in a directory")
            .hint("issue the client's by itself, or choose a --layout that has room for both"));
    }
    let order = Order { common, laid, roles, ownership, what };
    let hand_over = common.form.map(|form| order.hand_over(form, invocation, output)).transpose()?;
    if hand_over.is_none() && !to_stdout {
        order.check(request.as_ref(), invocation)?;
    }
    let opened = open(&common.passphrase, invocation, output)?;
    let mut request = request;
    let permitted = endpoints
        .iter()
        .map(|endpoint| {
            let key = match request.take() {
                Some(request) => SubjectKey::Elsewhere(request.public_key),
                None => SubjectKey::Here(Box::new(new_key(common.leaf.key, output)?)),
            };
            Ok(permit(&opened.authority, endpoint, key, wish, invocation.around())?)
        })
        .collect::<Result<Vec<Permitted>, Failure>>()?;
    let mut ledger = Ledger::open_to_sign(&opened, invocation.around(), output)?;
    let mut all = Vec::new();
    for permitted in permitted {
        all.push(permitted.issue(&opened.authority, &mut ledger, None, invocation.around())?);
    }
    match hand_over {
        Some(hand_over) => order.write(&hand_over, &all, &mut ledger, invocation, output)?,
        None if to_stdout => {
            for issued in &all {
                ledger.hand_out(issued)?;
                for note in &issued.notes {
                    output.note(note);
                }
                output.raw(issued.bundle.chain_pem());
            }
        }
        None => order.deliver(&all, ledger, invocation, output)?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Order<'_> {
    fn existing(&self) -> Existing {
        if self.common.replace { Existing::Replace } else { Existing::Keep }
    }

    /// Refuses what would fail after a certificate was signed.
    fn check(&self, request: Option<&CertificateRequest>, invocation: &Invocation) -> Result<(), Failure> {
        self.laid.check(&self.common.out, &self.what)?;
        for role in &self.roles {
            let place = self.laid.below(&self.common.out, *role);
            check_out(&place, self.laid.layout.names(*role), request, self.existing(), invocation, &self.what)?;
        }
        Ok(())
    }

    /// The same for a file.
    fn hand_over(&self, form: Form, invocation: &Invocation, output: &mut Output) -> Result<HandOver, Failure> {
        if form == Form::P12 && (self.roles.len() > 1 || self.laid.layout != Layout::Docker) {
            return Err(Failure::trouble(self.what.clone())
                .cause("a .p12 holds one identity, and is laid out in its own way")
                .hint("leave --layout and --client away, or say --as tar"));
        }
        let (args, out) = (&self.common.p12_passphrase, &self.common.out);
        HandOver::new(form, args, out, &self.what, invocation, output)
    }

    fn plan(&self, role: Role, issued: &Issued) -> FilePlan {
        plan(&issued.bundle, role, self.laid.layout, self.ownership)
    }

    /// Puts every bundle into its place, and remembers it there.
    fn deliver(
        &self,
        all: &[Issued],
        mut ledger: Ledger,
        invocation: &Invocation,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let (out, what) = (&self.common.out, self.what.as_str());
        self.laid.prepare(out, &self.roles, self.ownership, what)?;
        let mut shown = Vec::new();
        for (role, issued) in self.roles.iter().zip(all) {
            let (plan, place) = (self.plan(*role, issued), self.laid.below(out, *role));
            let keeps_previous = ledger
                .deliver(issued, &plan, self.laid.layout, &place, self.existing(), invocation.around())
                .map_err(|error| undelivered_failure(what, &error))?;
            let files = plan.files.into_iter().map(|file| file.path).collect();
            let directory = Some(invocation.absolute(&place)?.display().to_string());
            shown.push(Shown { role: *role, issued, directory, file: None, files, keeps_previous });
        }
        drop(ledger);
        show(&shown, self.laid.advice(&self.roles), invocation, output);
        Ok(())
    }

    /// Writes the one file, and remembers that there is one.
    fn write(
        &self,
        hand_over: &HandOver,
        all: &[Issued],
        ledger: &mut Ledger,
        invocation: &Invocation,
        output: &mut Output,
    ) -> Result<(), Failure> {
        let mut plans = self.laid.authority_plan(&self.roles, self.ownership);
        let mut shown = Vec::new();
        for (role, issued) in self.roles.iter().zip(all) {
            let (plan, directory) = (self.plan(*role, issued), self.laid.directory(*role));
            let path = |name: &str| if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") };
            let files = match hand_over.form {
                Form::Tar => plan.files.iter().map(|file| path(&file.path)).collect(),
                Form::P12 => Vec::new(),
            };
            plans.push((directory, plan));
            let file = hand_over.file.as_ref().map(|path| path.display().to_string());
            shown.push(Shown { role: *role, issued, directory: None, file, files, keeps_previous: false });
        }
        hand_over.deliver(all, &plans, ledger, &self.what, output)?;
        if hand_over.file.is_some() {
            show(&shown, None, invocation, output);
        }
        Ok(())
    }
}

/// One bundle, and where it went.
struct Shown<'i> {
    role: Role,
    issued: &'i Issued,
    directory: Option<String>,
    file: Option<String>,
    files: Vec<String>,
    /// Whether what was there before can come back.
    keeps_previous: bool,
}

impl Shown<'_> {
    fn human(&self, invocation: &Invocation) -> String {
        let certificate = &self.issued.certificate;
        let place = self.directory.iter().chain(&self.file).map(|place| printable(place)).collect();
        let mut rows = vec![("in", place)];
        if !self.files.is_empty() {
            rows.push(("files", self.files.join(", ")));
        }
        let names: Vec<String> = certificate.further_names().map(ToString::to_string).collect();
        if !names.is_empty() {
            rows.push(("names", names.join(", ")));
        }
        rows.push(("key", certificate.public_key.algorithm().to_string()));
        rows.push(("valid until", until(certificate.validity, invocation.now)));
        let mut human = format!("Issued the {} certificate {}\n{}", self.role, certificate.subject, fields(&rows));
        if self.keeps_previous {
            human.push_str("\nWhat was there is kept: dockseal rollback with this directory brings it back.\n");
        }
        if self.role == Role::Client && self.issued.bundle.key.is_some() {
            human.push_str("\nWhoever holds these files is root on every daemon that trusts this authority.\n");
        }
        human
    }

    fn wire(&self) -> Wire {
        Wire {
            schema: SCHEMA,
            directory: self.directory.clone(),
            file: self.file.clone(),
            files: self.files.clone(),
            certificate: CertificateReport::new(self.role, &self.issued.certificate),
            notes: self.issued.notes.clone(),
            others: Vec::new(),
        }
    }
}

fn show(all: &[Shown<'_>], advice: Option<&str>, invocation: &Invocation, output: &mut Output) {
    for note in all.iter().flat_map(|shown| &shown.issued.notes) {
        output.note(note);
    }
    let mut human = all.iter().map(|shown| shown.human(invocation)).collect::<Vec<_>>().join("\n");
    if let Some(advice) = advice {
        human.push_str(&format!("\n{advice}\n"));
    }
    let mut wires = all.iter().map(Shown::wire);
    let Some(first) = wires.next() else { return };
    let wire = Wire { others: wires.collect(), ..first };
    output.result(&human, &wire);
}
