//! `dockseal inspect`: what is in a file or a directory, for people and for programs. Never a secret; never an opinion
//! either, beyond what a certificate is good for: judging is `dockseal-verify`'s.

mod item;
mod pem_text;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args as ClapArgs;
use dockseal_docker::{
    layout::{self, Names},
    version::Version,
};
use dockseal_pki::{Certificate, Form, printable};
use dockseal_verify::Material;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use self::item::{Content, Item};
use crate::{
    failure::Failure,
    hints::as_hint,
    invocation::Invocation,
    output::{Format, Output},
    report::SCHEMA,
    unread,
};

/// Show certificates, keys, requests and revocation lists
#[derive(ClapArgs)]
#[command(after_help = "\
Examples:
  dockseal inspect build.example.com/clients/ada      ca.pem, cert.pem and key.pem, and whether they belong together
  dockseal inspect cert.pem request.csr
  dockseal inspect --at 2027-06-01T00:00:00Z cert.pem how long it will be good then
  openssl s_client -connect host:2376 -showcerts </dev/null | dockseal inspect -
  dockseal inspect --format json ca.pem

PEM and DER are read, and any number of them in one file. Private keys are named, never shown.
Ends with 0 when everything could be read, else with 2.")]
pub(crate) struct Args {
    /// Files, directories, or - for standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
}

/// The most files that are looked at in one directory.
const MOST_FILES: usize = 10_000;

/// The most certificates of one file that are tried as a certificate's signer: a signature takes time.
const MOST_SIGNERS: usize = 100;

/// One file and what is in it.
struct Inspected {
    path: PathBuf,
    mode: Option<u32>,
    items: Vec<Item>,
    /// What could not be read.
    problems: Vec<String>,
    /// What could be read and is not as it should be.
    warnings: Vec<String>,
    /// Why Docker does not read all of it, where that is the file's form.
    hiding_form: Option<Form>,
}

pub(crate) fn run(args: &Args, invocation: &Invocation, output: &mut Output) -> Result<ExitCode, Failure> {
    let mut files: Vec<Inspected> = Vec::new();
    for path in &args.paths {
        if path.as_os_str() == "-" {
            let bytes = dockseal_store::read_from(std::io::stdin().lock(), Path::new("standard input"));
            files.push(inspect(
                PathBuf::from("-"),
                bytes.map(|bytes| (bytes, None)).map_err(|error| item::read_problem(&error)),
            ));
        } else if fs::metadata(path).is_ok_and(|found| found.is_dir()) {
            files.extend(inspect_directory(path));
        } else {
            files.push(inspect_file(path.clone()));
        }
    }

    for file in &mut files {
        let Some(form) = &file.hiding_form else { continue };
        let mending =
            mending(&file.path, invocation).map(|mending| format!("; {}", as_hint(&mending))).unwrap_or_default();
        file.warnings.push(format!("docker and dockerd do not read all of it: it {form}{mending}"));
    }
    for file in &files {
        for warning in &file.warnings {
            output.warn(&format!("{}: {warning}", shown(&file.path)));
        }
    }
    match output.format() {
        Format::Human | Format::Prometheus => {
            let texts: Vec<String> = files.iter().map(|file| file.text(&files, invocation)).collect();
            output.raw(texts.join("\n"));
        }
        Format::Json => {
            let wire: Vec<Value> = files.iter().map(|file| file.wire(&files, invocation)).collect();
            output.result("", &json!({ "schema": SCHEMA, "files": wire }));
        }
    }
    let problems: Vec<String> = files
        .iter()
        .flat_map(|file| file.problems.iter().map(|problem| format!("{}: {problem}", shown(&file.path))))
        .collect();
    let Some((last, others)) = problems.split_last() else { return Ok(ExitCode::SUCCESS) };
    for problem in others {
        output.warn(problem);
    }
    Err(Failure::trouble("cannot read everything")
        .cause(last)
        .hint("name files in PEM or DER, or directories that hold some; what could be read is shown"))
}

/// A path may hold anything but NUL.
fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// The files of a directory that may hold something, those that Docker reads first.
fn inspect_directory(dir: &Path) -> Vec<Inspected> {
    let nothing = |problem: String| vec![Inspected::unread(dir.to_owned(), problem)];
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return nothing(format!("cannot read the directory: {error}")),
    };
    let known = [layout::CA_FILE, layout::CERT_FILE, layout::KEY_FILE, layout::REQUEST_FILE, layout::RENEWAL_KEY_FILE];
    let mut names = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let fits = path.extension().and_then(|extension| extension.to_str()).is_some_and(|extension| {
            ["pem", "crt", "cer", "der", "csr", "crl", "key"].contains(&extension.to_ascii_lowercase().as_str())
        });
        if fits && !path.is_dir() {
            let rank = known.iter().position(|name| entry.file_name() == **name).unwrap_or(known.len());
            names.push((rank, path));
        }
    }
    if names.is_empty() {
        return nothing("there is no file in it that could be a certificate, a key, a request or a CRL".to_owned());
    }
    names.sort();
    let too_many = names.len().saturating_sub(MOST_FILES);
    let mut files: Vec<Inspected> = names.into_iter().take(MOST_FILES).map(|(_, path)| inspect_file(path)).collect();
    if too_many > 0 {
        files.extend(nothing(format!("{too_many} more files were not looked at; name them")));
    }
    files
}

fn inspect_file(path: PathBuf) -> Inspected {
    let read = dockseal_store::read_as_docker(&path).map(|file| (file.bytes, Some(file.mode)));
    inspect(path, read.map_err(|error| item::read_problem(&error)))
}

type Contents = (Zeroizing<Vec<u8>>, Option<u32>);

fn inspect(path: PathBuf, read: Result<Contents, String>) -> Inspected {
    let (bytes, mode) = match read {
        Ok(read) => read,
        Err(problem) => return Inspected::unread(path, problem),
    };
    let mut file =
        Inspected { path, mode, items: Vec::new(), problems: Vec::new(), warnings: Vec::new(), hiding_form: None };
    for found in pem_text::items(&bytes) {
        match found {
            Ok(item) => file.items.push(item),
            Err(problem) => file.problems.push(problem),
        }
    }
    if file.items.is_empty() && file.problems.is_empty() {
        file.problems.push(if bytes.is_empty() {
            "it is empty".to_owned()
        } else {
            "there is nothing known in it".into()
        });
    }
    file.hiding_form = hiding_form(&bytes, &file.items).filter(|form| is_unexpected(form, &file.path));
    if file.items.iter().any(|item| matches!(item.content, Content::PrivateKey(_))) {
        match mode {
            Some(mode) if mode & 0o004 != 0 => {
                file.warnings.push(format!("every user of this machine can read the private key (mode {mode:04o})"));
            }
            Some(mode) if mode & 0o022 != 0 => {
                file.warnings.push(format!("others than its owner can replace the private key (mode {mode:04o})"));
            }
            _ => {}
        }
    }
    file
}

/// Why Docker does not read what is shown of a file, where that is the file's form.
fn hiding_form(bytes: &[u8], items: &[Item]) -> Option<Form> {
    let has = |wanted: fn(&Content) -> bool| items.iter().any(|item| wanted(&item.content));
    if has(|content| matches!(content, Content::Certificate(_))) {
        return unread::form_that_hides_certificates(bytes, Version::default().docker_go());
    }
    has(|content| matches!(content, Content::PrivateKey(_))).then(|| unread::form(bytes)).flatten()
}

/// Whether a file's name promises PEM, which other forms that are whole in themselves do not owe anybody.
fn is_unexpected(form: &Form, path: &Path) -> bool {
    let promises_pem =
        |extension: &str| ["pem", "crt", "cert", "key"].contains(&extension.to_ascii_lowercase().as_str());
    !matches!(form, Form::Der | Form::Pkcs7)
        || path.extension().and_then(|extension| extension.to_str()).is_some_and(promises_pem)
}

/// What mends a file that Docker reads under this name.
fn mending(path: &Path, invocation: &Invocation) -> Option<String> {
    let directory = path.parent()?;
    let names = Names::DOCKER.each();
    names.iter().any(|name| path == directory.join(name)).then_some(())?;
    let [ca, cert, key] = names.map(|name| {
        let bytes = dockseal_store::read_as_docker(&directory.join(name)).map(|file| file.bytes.to_vec());
        bytes.unwrap_or_default()
    });
    unread::repairing(&Material::from_bytes(directory, ca, cert, key), invocation)
}

impl Inspected {
    fn unread(path: PathBuf, problem: String) -> Self {
        Self { path, mode: None, items: Vec::new(), problems: vec![problem], warnings: Vec::new(), hiding_form: None }
    }

    fn certificates(&self) -> impl Iterator<Item = (usize, &Certificate)> {
        self.items.iter().enumerate().filter_map(|(position, item)| match &item.content {
            Content::Certificate(certificate) => Some((position, &**certificate)),
            _ => None,
        })
    }

    fn text(&self, all: &[Self], invocation: &Invocation) -> String {
        let mode = self.mode.map(|mode| format!(" (mode {mode:04o})")).unwrap_or_default();
        let mut text = format!("{}{mode}\n", shown(&self.path));
        for (position, item) in self.items.iter().enumerate() {
            let number = if self.items.len() > 1 {
                format!("{} of {}: ", position + 1, self.items.len())
            } else {
                String::new()
            };
            text.push_str(&format!("  {number}{}\n", item.title()));
            let mut rows = item.rows(invocation.now);
            rows.extend(self.relations(position, item, all).into_iter().map(|relation| relation.row()));
            let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
            text.extend(rows.iter().map(|(label, value)| format!("    {label:width$}  {value}\n")));
        }
        text.extend(self.problems.iter().map(|problem| format!("  not readable: {problem}\n")));
        text
    }

    fn wire(&self, all: &[Self], invocation: &Invocation) -> Value {
        let items: Vec<Value> = self
            .items
            .iter()
            .enumerate()
            .map(|(position, item)| {
                let mut wire = item.wire(invocation.now);
                for relation in self.relations(position, item, all) {
                    let (field, value) = relation.wire();
                    wire[field] = value;
                }
                wire
            })
            .collect();
        json!({
            "path": self.path.to_string_lossy(),
            "mode": self.mode.map(|mode| format!("{mode:04o}")),
            "items": items,
            "problems": self.problems,
            "warnings": self.warnings,
        })
    }

    /// What an item has to do with its neighbours: who signed a certificate, which certificate a key belongs to.
    fn relations(&self, position: usize, item: &Item, all: &[Self]) -> Vec<Relation> {
        let mut relations = Vec::new();
        match &item.content {
            Content::Certificate(certificate) => relations.extend(self.signer(position, certificate, all)),
            Content::PrivateKey(key) => {
                let Some(public) = &key.public else { return relations };
                relations.extend(self.partner(all).map(|(file, certificate)| Relation::Pair {
                    file,
                    matches: certificate.public_key.fingerprint() == public.fingerprint(),
                }));
            }
            _ => {}
        }
        relations
    }

    /// Itself, one in the same file, or one in the `ca.pem` beside it.
    fn signer(&self, position: usize, certificate: &Certificate, all: &[Self]) -> Option<Relation> {
        if certificate.is_self_issued() && certificate.is_signed_by(certificate) {
            return Some(Relation::Signed { by: "itself".to_owned() });
        }
        let signs =
            |candidate: &Certificate| candidate.subject == certificate.issuer && certificate.is_signed_by(candidate);
        let own = self.certificates().take(MOST_SIGNERS).find(|(at, candidate)| *at != position && signs(candidate));
        if let Some((at, _)) = own {
            return Some(Relation::Signed { by: format!("number {} of this file", at + 1) });
        }
        let beside = self.path.with_file_name(layout::CA_FILE);
        let anchors = neighbour(&beside, all)?;
        anchors
            .into_iter()
            .take(MOST_SIGNERS)
            .any(|candidate| signs(&candidate))
            .then(|| Relation::Signed { by: layout::CA_FILE.to_owned() })
    }

    /// The certificate that a key should belong to: the first in the same file, else in the file beside it that goes by
    /// the matching name.
    fn partner(&self, all: &[Self]) -> Option<(String, Certificate)> {
        if let Some((_, certificate)) = self.certificates().next() {
            return Some(("this file".to_owned(), certificate.clone()));
        }
        let name = self.path.file_name()?.to_str()?;
        let mut candidates = Vec::new();
        if name == layout::KEY_FILE {
            candidates.push(layout::CERT_FILE.to_owned());
        }
        if let Some(stem) = name.strip_suffix("-key.pem") {
            candidates.extend([format!("{stem}.pem"), format!("{stem}-cert.pem"), format!("{stem}.crt")]);
        }
        if let Some(stem) = name.strip_suffix(".key") {
            candidates.extend([format!("{stem}.crt"), format!("{stem}.pem"), format!("{stem}.cer")]);
        }
        candidates.into_iter().find_map(|candidate| {
            let first = neighbour(&self.path.with_file_name(&candidate), all)?.into_iter().next()?;
            Some((printable(&candidate), first))
        })
    }
}

/// The certificates of a file that may have been read already.
fn neighbour(path: &Path, all: &[Inspected]) -> Option<Vec<Certificate>> {
    let known = all.iter().find(|file| file.path == path);
    let read = || path.exists().then(|| inspect_file(path.to_owned()));
    let certificates = |file: &Inspected| file.certificates().map(|(_, certificate)| certificate.clone()).collect();
    known.map(certificates).or_else(|| read().as_ref().map(certificates))
}

enum Relation {
    Signed { by: String },
    Pair { file: String, matches: bool },
}

impl Relation {
    fn row(&self) -> (&'static str, String) {
        match self {
            Self::Signed { by } => ("signed by", by.clone()),
            Self::Pair { file, matches: true } => ("belongs to", format!("the certificate in {file}")),
            Self::Pair { file, matches: false } => ("belongs to", format!("NOT to the certificate in {file}")),
        }
    }

    fn wire(&self) -> (&'static str, Value) {
        match self {
            Self::Signed { by } => ("signed_by", json!(by)),
            Self::Pair { file, matches } => ("matches_certificate", json!({ "in": file, "matches": matches })),
        }
    }
}
