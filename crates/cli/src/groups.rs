//! Flags that several commands share.

use std::path::PathBuf;

use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
};
use dockseal_docker::Ownership;
use dockseal_pki::{KeyAlgorithm, Lifetime, SubjectAltName};

use crate::{
    endpoint::daemon_names,
    failure::Failure,
    output::{Format, Output},
};

#[derive(Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// The authority's directory [default: $XDG_DATA_HOME/dockseal, else ~/.local/share/dockseal]
    #[arg(long, global = true, env = "DOCKSEAL_AUTHORITY", value_name = "DIR", hide_env = false)]
    pub(crate) authority: Option<PathBuf>,

    /// The time to work with instead of the present, as RFC 3339 has it
    #[arg(long, global = true, value_name = "TIME")]
    pub(crate) at: Option<String>,

    /// How long to wait while another run works on the authority, e.g. 10s or 5m; 0 for not at all [default: 60s]
    #[arg(long, global = true, value_name = "DURATION")]
    pub(crate) wait: Option<String>,

    /// How results are written: human, json as one object, or prometheus (list and status)
    #[arg(long, global = true, value_enum, default_value = "human", hide_possible_values = true)]
    pub(crate) format: Format,
}

/// Where the authority's passphrase comes from. Never from an argument: every user of the machine can read those.
#[derive(Args)]
#[command(next_help_heading = "The authority's passphrase")]
#[group(multiple = false)]
pub(crate) struct PassphraseArgs {
    /// Read the authority's passphrase from the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// Read the authority's passphrase from the first line of this file descriptor
    #[arg(long, value_name = "N")]
    pub(crate) passphrase_fd: Option<u32>,

    /// Keep the authority's key without a passphrase
    #[arg(long)]
    pub(crate) no_passphrase: bool,
}

/// Where the passphrase of a `.p12` comes from.
#[derive(Args)]
#[command(next_help_heading = "The passphrase of a .p12")]
#[group(id = "p12", multiple = false)]
pub(crate) struct Pkcs12PassphraseArgs {
    /// Read the passphrase of the .p12 from the first line of this file
    #[arg(long, value_name = "FILE")]
    pub(crate) p12_passphrase_file: Option<PathBuf>,

    /// Read the passphrase of the .p12 from the first line of this file descriptor
    #[arg(long, value_name = "N")]
    pub(crate) p12_passphrase_fd: Option<u32>,

    /// Make a .p12 that opens with the empty passphrase
    #[arg(long)]
    pub(crate) no_p12_passphrase: bool,
}

impl Pkcs12PassphraseArgs {
    /// Whether anything was said about it.
    pub(crate) fn is_given(&self) -> bool {
        self.p12_passphrase_file.is_some() || self.p12_passphrase_fd.is_some() || self.no_p12_passphrase
    }
}

/// The words for kinds of keys, as clap offers and checks them.
pub(crate) fn key_word() -> impl TypedValueParser<Value = KeyAlgorithm> {
    PossibleValuesParser::new(KeyAlgorithm::ALL.map(KeyAlgorithm::word)).try_map(|word| {
        KeyAlgorithm::ALL.into_iter().find(|algorithm| algorithm.word() == word).ok_or("unknown kind of key")
    })
}

/// What a daemon is called.
#[derive(Args)]
pub(crate) struct NamesArgs {
    /// The host names, wildcards and addresses by which clients dial the daemon
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Add the host names and stable addresses of this machine, or of the host with --ssh
    #[arg(long)]
    detect: bool,
}

impl NamesArgs {
    /// The names as typed.
    pub(crate) fn given(&self) -> &[String] {
        &self.names
    }

    /// Whether the daemon's machine is to be asked for more.
    pub(crate) fn wants_detection(&self) -> bool {
        self.detect
    }

    /// Each name as what it becomes in a certificate; what is doubtful about one, and what was detected, is said.
    pub(crate) fn resolve(&self, output: &mut Output) -> Result<Vec<SubjectAltName>, Failure> {
        daemon_names(&self.names, self.detect, output)
    }
}

#[derive(Args)]
pub(crate) struct LeafArgs {
    /// How long a certificate lives: a number with s, m, h, d, w or y (365 days) [default: 1y]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub(crate) lifetime: Option<String>,

    /// The kind of private key
    #[arg(long, value_parser = key_word(), default_value = "p256", value_name = "KIND")]
    pub(crate) key: KeyAlgorithm,

    /// Allow a daemon's certificate to live longer than 825 days, which some platforms refuse
    #[arg(long)]
    pub(crate) allow_long_lifetime: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Owner and mode")]
pub(crate) struct OwnerArgs {
    /// The user who owns what is written: a name or a number
    #[arg(long, value_name = "USER")]
    owner: Option<String>,

    /// The group that owns what is written: a name or a number
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,

    /// The mode of the private key, e.g. 0640 to let the group read it [default: 0400 daemon, 0600 client]
    #[arg(long, value_name = "OCTAL")]
    mode: Option<String>,
}

impl OwnerArgs {
    pub(crate) fn resolve(&self) -> Result<Ownership, Failure> {
        let user = self.owner.as_deref().map(user_id).transpose()?;
        let group = self.group.as_deref().map(group_id).transpose()?;
        let key_mode = self.mode.as_deref().map(key_mode).transpose()?;
        Ok(Ownership { user, group, key_mode })
    }
}

fn user_id(name: &str) -> Result<u32, Failure> {
    name.parse().ok().or_else(|| Some(nix::unistd::User::from_name(name).ok()??.uid.as_raw())).ok_or_else(|| {
        Failure::trouble(format!("cannot find the user {name:?}")).hint("give a user of this machine, or its number")
    })
}

fn group_id(name: &str) -> Result<u32, Failure> {
    name.parse().ok().or_else(|| Some(nix::unistd::Group::from_name(name).ok()??.gid.as_raw())).ok_or_else(|| {
        Failure::trouble(format!("cannot find the group {name:?}")).hint("give a group of this machine, or its number")
    })
}

fn key_mode(text: &str) -> Result<u32, Failure> {
    let error = || Failure::trouble(format!("cannot use the mode {text:?} for a private key"));
    let mode = u32::from_str_radix(text, 8).map_err(|_| error().hint("give it in octal, e.g. 0400, 0440 or 0640"))?;
    if mode & 0o007 != 0 {
        return Err(error()
            .cause("everybody on the machine could use the key")
            .hint("name who is to read it with --owner or --group, and give e.g. --mode 0440"));
    }
    if mode & !0o660 != 0 || mode & 0o400 == 0 {
        return Err(error().hint("a key needs to be read by its owner and nothing else: 0400, 0440, 0600 or 0640"));
    }
    Ok(mode)
}

pub(crate) fn parse_lifetime(text: &str) -> Result<Lifetime, Failure> {
    Lifetime::parse(text).map_err(|error| {
        Failure::trouble(format!("cannot use the lifetime {text:?}"))
            .cause(error)
            .hint("give a number with s, m, h, d, w or y (365 days), e.g. 90d or 1y")
    })
}
