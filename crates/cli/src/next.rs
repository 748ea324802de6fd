//! The commands that a person runs next, ready to copy.

use std::path::{Path, PathBuf};

use dockseal_docker::{
    daemon_json::{INSTALL_DIRECTORY, TLS_PORT},
    env::{Shell, host_url, word_of_command},
};
use dockseal_pki::SubjectAltName;

pub(crate) struct Steps {
    /// With explanations.
    pub(crate) text: String,
    /// The bare commands, in order.
    pub(crate) commands: Vec<String>,
}

/// What brings a daemon up whose files are new, and makes a client talk to it.
pub(crate) fn steps(names: &[SubjectAltName], new_daemon: Option<&PathBuf>, client: Option<&PathBuf>) -> Steps {
    let host = names.iter().find(|name| !name.is_wildcard());
    let mut steps = Steps { text: String::new(), commands: Vec::new() };
    if let Some(daemon) = new_daemon {
        let (copy, start) = install(host, &word(daemon));
        steps.push("put the daemon's files on its host", copy);
        steps.push(
            "turn mutual TLS on there (with a daemon.json of its own, merge the two first; without systemd, write \
             unix:///var/run/docker.sock for fd:// and start dockerd as usual)",
            start,
        );
    }
    if let Some(client) = client {
        steps.push("use it, from wherever the client's directory is", talk_to(&url(host), client));
    }
    steps.text.push_str(
        "\nWhoever holds a client's files is root on that host. The authority's key signs new ones: keep it safe, and off \
         that host.\n",
    );
    steps
}

/// The command by which a client's directory is tried.
pub(crate) fn talk(host: &SubjectAltName, client: &Path) -> String {
    talk_to(&url(Some(host)), client)
}

fn talk_to(url: &str, client: &Path) -> String {
    format!("DOCKER_HOST={} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={} docker version", word(Path::new(url)), word(client))
}

impl Steps {
    fn push(&mut self, purpose: &str, command: String) {
        let lead = if self.commands.is_empty() { "Next" } else { "Then" };
        self.text.push_str(&format!("\n{lead}, {purpose}:\n  {command}\n"));
        self.commands.push(command);
    }
}

/// The commands that copy the daemon's directory and restart dockerd with it: over ssh, or here.
fn install(host: Option<&SubjectAltName>, daemon: &str) -> (String, String) {
    let restart = format!(
        "test ! -e /etc/docker/daemon.json && cp {INSTALL_DIRECTORY}/daemon.json /etc/docker/ \
         && install -D -m 0644 {INSTALL_DIRECTORY}/docker.service.d/dockseal.conf /etc/systemd/system/docker.service.d/dockseal.conf \
         && systemctl daemon-reload && systemctl restart docker"
    );
    if host.is_some_and(is_here) {
        let copy = format!(
            "sudo install -d -m 0700 {INSTALL_DIRECTORY} && sudo cp -r --preserve=mode {daemon}/. {INSTALL_DIRECTORY}/"
        );
        return (copy, format!("sudo sh -c '{restart}'"));
    }
    let host = host.map_or("HOST".to_owned(), ToString::to_string);
    let copy = format!(
        "tar -C {daemon} -cf - . | ssh root@{host} \
         'mkdir -p -m 0700 {INSTALL_DIRECTORY} && tar -C {INSTALL_DIRECTORY} --no-same-owner -xpf -'"
    );
    (copy, format!("ssh root@{host} '{restart}'"))
}

fn url(host: Option<&SubjectAltName>) -> String {
    host.and_then(|host| host_url(&host.to_string()).ok()).unwrap_or_else(|| format!("tcp://HOST:{TLS_PORT}"))
}

fn is_here(name: &SubjectAltName) -> bool {
    match name {
        SubjectAltName::Dns(name) => name == "localhost" || name.ends_with(".localhost"),
        SubjectAltName::Ip(address) => address.is_loopback(),
    }
}

fn word(path: &Path) -> String {
    word_of_command(Shell::Sh, &path.to_string_lossy())
}
