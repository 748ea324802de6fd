//! `dockseal init`: a new authority.

use std::process::ExitCode;

use dockseal_ca::{Authority, AuthorityRequest, PermittedName};
use dockseal_docker::Role;
use dockseal_lifecycle::init::draft;
use dockseal_pki::KeyAlgorithm;
use serde::Serialize;

use crate::{
    authority::Opened,
    failure::Failure,
    groups::{PassphraseArgs, key_word, parse_lifetime},
    hints::{home_failure, init_failure},
    invocation::Invocation,
    output::{Output, fields},
    passphrase,
    report::{CertificateReport, SCHEMA, until},
};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    dockseal init\n  \
    dockseal init --name 'Build hosts' --permit build.example.com --permit 10.0.0.0/8\n  \
    dockseal init --authority /srv/ca --passphrase-file /run/secrets/ca --key rsa4096")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) authority: AuthorityArgs,
    /// The kind of the authority's private key
    #[arg(long, value_parser = key_word(), default_value = "p256", value_name = "KIND")]
    key: KeyAlgorithm,
    /// How long the authority lives: a number with s, m, h, d, w or y (365 days) [default: 10y]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    lifetime: Option<String>,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

/// What only a new authority needs.
#[derive(clap::Args)]
#[command(next_help_heading = "A new authority")]
pub(crate) struct AuthorityArgs {
    /// The authority's name; something unique is added to it
    #[arg(long, default_value = "Docker authority")]
    pub(crate) name: String,
    /// Let it certify nothing but names below this DNS suffix or addresses in this range (repeatable)
    #[arg(long, value_name = "SUFFIX|RANGE")]
    pub(crate) permit: Vec<String>,
}

impl AuthorityArgs {
    pub(crate) fn request(&self, lifetime: Option<&str>) -> Result<AuthorityRequest, Failure> {
        let permitted =
            self.permit.iter().map(|text| PermittedName::parse(text)).collect::<Result<_, _>>().map_err(|error| {
                Failure::trouble("cannot constrain the authority to that")
                    .cause(error)
                    .hint("give a DNS suffix such as example.com, or a range such as 10.0.0.0/8 or 2001:db8::/32")
            })?;
        Ok(AuthorityRequest {
            name: self.name.clone(),
            lifetime: lifetime.map(parse_lifetime).transpose()?.unwrap_or(Authority::USUAL_LIFETIME),
            permitted,
        })
    }
}

#[derive(Serialize)]
struct Wire {
    schema: u32,
    authority: String,
    key_encrypted: bool,
    certificate: CertificateReport,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let request = args.authority.request(args.lifetime.as_deref())?;
    let home = invocation.home()?;
    // Before anybody types a passphrase.
    home.check_free().map_err(|error| home_failure("cannot make the authority", &error))?;
    let passphrase = passphrase::for_new_key(&args.passphrase, invocation, output)?;
    let around = invocation.around();
    let opened = draft(&request, args.key, passphrase.as_ref(), home, around)
        .and_then(|draft| draft.create(around))
        .map_err(|error| init_failure("cannot make the authority", error))?;
    let human = format!(
        "Made the authority {}\n{}\nNext: dockseal issue daemon NAME… --out DIR, or all at once: dockseal bootstrap NAME… --client USER\n",
        opened.authority.issuer().subject,
        describe(&opened, passphrase.is_some(), invocation)
    );
    output.result(&human, &wire(&opened, passphrase.is_some()));
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn describe(opened: &Opened, encrypted: bool, invocation: &Invocation) -> String {
    let issuer = opened.authority.issuer();
    let protection = if encrypted { "encrypted with the passphrase" } else { "not encrypted" };
    let mut rows = vec![
        ("in", opened.home.path().display().to_string()),
        ("key", format!("{}, {protection}", issuer.public_key.algorithm())),
        ("valid until", until(issuer.validity, invocation.now)),
        ("SHA-256", issuer.fingerprint().to_string()),
    ];
    if !issuer.permitted_names.is_empty() {
        rows.push(("only for", issuer.permitted_names.join(", ")));
    }
    fields(&rows)
}

pub(crate) fn wire(opened: &Opened, key_encrypted: bool) -> impl Serialize + use<> {
    Wire {
        schema: SCHEMA,
        authority: opened.home.path().display().to_string(),
        key_encrypted,
        certificate: CertificateReport::new(Role::Authority, opened.authority.issuer()),
    }
}
