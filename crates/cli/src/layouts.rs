//! `--layout`: whose habits a bundle's directory follows, and where in that tree it is.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use dockseal_docker::{FilePlan, Layout, Ownership, RegistryHost, Role, dind_authority_plan, layout};
use dockseal_store::{Existing, Placed, deliver, make_open_directory};

use crate::{failure::Failure, hints::write_failure};

#[derive(clap::Args)]
#[command(next_help_heading = "Layout")]
pub(crate) struct LayoutArgs {
    /// How the files are laid out: docker's own way, or as the image docker:dind, buildkitd or a registry and its clients
    /// expect them, each in its directory below DIR [default: docker, and for an export as it is]
    #[arg(long, value_parser = layout_word(), value_name = "KIND")]
    pub(crate) layout: Option<Layout>,

    /// The registry that a client's material is for, as it stands in the names of images
    #[arg(long, value_name = "HOST[:PORT]")]
    registry: Option<String>,
}

fn layout_word() -> impl TypedValueParser<Value = Layout> {
    PossibleValuesParser::new(Layout::ALL.map(Layout::word))
        .try_map(|word| Layout::parse(&word).ok_or("unknown layout"))
}

/// A layout, and the registry if it has one.
#[derive(Clone, Debug)]
pub(crate) struct Laid {
    pub(crate) layout: Layout,
    registry: Option<RegistryHost>,
}

impl LayoutArgs {
    /// By what names a daemon of this kind is dialled besides those that it is given.
    pub(crate) fn usual_names(&self) -> &'static [&'static str] {
        self.layout.unwrap_or_default().usual_names()
    }

    /// What was asked for, for an endpoint of each of these roles.
    pub(crate) fn resolve(&self, roles: &[Role], what: &str) -> Result<Laid, Failure> {
        let layout = self.layout.unwrap_or_default();
        let needs_registry = layout == Layout::Registry && roles.contains(&Role::Client);
        let registry = match &self.registry {
            None if needs_registry => {
                return Err(Failure::trouble(what)
                    .cause("a registry's client has a directory for each registry, and none was named")
                    .hint("name it as it stands in the names of images: --registry registry.example.com:5000"));
            }
            Some(_) if !needs_registry => {
                return Err(Failure::trouble(what)
                    .cause("--registry names the registry of a client")
                    .hint("give it with --layout registry and a client"));
            }
            None => None,
            Some(text) => Some(RegistryHost::parse(text).map_err(|error| {
                Failure::trouble(what)
                    .cause(format!("{text:?} is not a registry: {error}"))
                    .hint("give HOST or HOST:PORT as it stands in the names of images, e.g. registry.example.com:5000")
            })?),
        };
        Ok(Laid { layout, registry })
    }
}

impl Laid {
    /// Where in the tree the bundle of this role is; nothing for the tree's top.
    pub(crate) fn directory(&self, role: Role) -> String {
        let parts = [self.layout.directory(role), self.registry.as_ref().map(RegistryHost::as_str)];
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        // Only a client has a registry.
        let depth = if role == Role::Client { parts.len() } else { 1 };
        parts.iter().take(depth).copied().collect::<Vec<_>>().join("/")
    }

    /// The same below the directory that was given.
    pub(crate) fn below(&self, out: &Path, role: Role) -> PathBuf {
        let directory = self.directory(role);
        if directory.is_empty() { out.to_owned() } else { out.join(directory) }
    }

    /// Refuses a tree whose owner would sign over what is put there.
    pub(crate) fn check(&self, out: &Path, what: &str) -> Result<(), Failure> {
        let key = out.join(layout::DIND_AUTHORITY_DIRECTORY).join(layout::DIND_AUTHORITY_KEY);
        if self.layout == Layout::Dind && key.symlink_metadata().is_ok() {
            return Err(Failure::no(what)
                .cause(format!(
                    "with {} docker:dind signs new certificates over what is in server and client at every start",
                    key.display()
                ))
                .hint("name another directory, or take docker:dind's own authority away from there"));
        }
        Ok(())
    }

    /// Makes what the bundles of these roles need around them.
    pub(crate) fn prepare(&self, out: &Path, roles: &[Role], ownership: Ownership, what: &str) -> Result<(), Failure> {
        let failed = |error| write_failure(what, &error);
        for role in roles {
            let place = self.below(out, *role);
            let above: Vec<&Path> = place.ancestors().skip(1).take_while(|above| above.starts_with(out)).collect();
            for directory in above.into_iter().rev().filter(|above| !above.as_os_str().is_empty()) {
                make_open_directory(directory).map_err(failed)?;
            }
        }
        let authority = out.join(layout::DIND_AUTHORITY_DIRECTORY);
        let is_there = authority.join(layout::DIND_AUTHORITY_FILE).symlink_metadata().is_ok();
        for (_, plan) in self.authority_plan(roles, ownership).iter().filter(|_| !is_there) {
            deliver(plan, &authority, Existing::Keep).and_then(Placed::check).map_err(failed)?;
        }
        Ok(())
    }

    /// docker:dind's directory of its authority, which goes with its daemon's bundle.
    pub(crate) fn authority_plan(&self, roles: &[Role], ownership: Ownership) -> Vec<(String, FilePlan)> {
        let wanted = self.layout == Layout::Dind && roles.contains(&Role::Daemon);
        let plan = || (layout::DIND_AUTHORITY_DIRECTORY.to_owned(), dind_authority_plan(ownership));
        wanted.then(plan).into_iter().collect()
    }

    /// What people do with the tree.
    pub(crate) fn advice(&self, roles: &[Role]) -> Option<&'static str> {
        let daemon = roles.contains(&Role::Daemon);
        match self.layout {
            Layout::Docker => None,
            Layout::Dind => Some(
                "Mount the whole tree as /certs and set DOCKER_TLS_CERTDIR=/certs: a mount of server or client alone does not \
                 see renewals.",
            ),
            Layout::Buildkitd if daemon => Some(
                "Mount the whole tree, and give buildkitd --tlscacert, --tlscert and --tlskey, or [grpc.tls] in buildkitd.toml. \
                 It reads the files when it starts.",
            ),
            Layout::Buildkitd => Some("buildctl --tlsdir takes this directory."),
            Layout::Registry if daemon => Some(
                "Name the files as certificate, key and, to let in none but clients with a certificate, clientcas in http.tls \
                 of the registry's configuration. It reads them when it starts.",
            ),
            Layout::Registry if self.registry.as_ref().is_some_and(RegistryHost::is_loopback) => Some(
                "dockerd never reads it: a registry on loopback (localhost, 127.0.0.0/8, and names of them) is insecure for it, so \
                 it verifies nothing there and shows no certificate. Give the registry another address, and name that with \
                 --registry.",
            ),
            Layout::Registry => Some("dockerd reads it at the next pull or push, without a restart."),
        }
    }
}
