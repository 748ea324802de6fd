//! The commands that a person runs next, ready to copy.

use std::path::Path;

use dockseal_docker::{
    daemon_json::{INSTALL_DIRECTORY, TLS_PORT},
    env::{Shell, word_of_command},
};
use dockseal_pki::SubjectAltName;

pub(crate) struct Steps {
    /// With explanations.
    pub(crate) text: String,
    /// The bare commands, in order.
    pub(crate) commands: Vec<String>,
}

/// What brings a bootstrapped daemon up and makes the first client talk to it. `directories`: the daemon's, then the
/// clients'.
pub(crate) fn steps<'a>(names: &[SubjectAltName], mut directories: impl Iterator<Item = &'a Path>) -> Steps {
    let host = names.iter().find(|name| !name.is_wildcard());
    let daemon = word(directories.next().unwrap_or(Path::new("daemon")));
    let client = directories.next().unwrap_or(Path::new("clients/USER"));
    let install = format!(
        "test ! -e /etc/docker/daemon.json && cp {INSTALL_DIRECTORY}/daemon.json /etc/docker/ \
         && install -D -m 0644 {INSTALL_DIRECTORY}/docker.service.d/dockseal.conf /etc/systemd/system/docker.service.d/dockseal.conf \
         && systemctl daemon-reload && systemctl restart docker"
    );
    let (copy, start) = if host.is_some_and(is_here) {
        (
            format!(
                "sudo install -d -m 0700 {INSTALL_DIRECTORY} && sudo cp -r --preserve=mode {daemon}/. {INSTALL_DIRECTORY}/"
            ),
            format!("sudo sh -c '{install}'"),
        )
    } else {
        let host = host.map_or("HOST".to_owned(), ToString::to_string);
        (
            format!(
                "tar -C {daemon} -cf - . | ssh root@{host} 'mkdir -p -m 0700 {INSTALL_DIRECTORY} && tar -C {INSTALL_DIRECTORY} --no-same-owner -xpf -'"
            ),
            format!("ssh root@{host} '{install}'"),
        )
    };
    let url = match host {
        Some(SubjectAltName::Ip(std::net::IpAddr::V6(address))) => format!("tcp://[{address}]:{TLS_PORT}"),
        Some(host) => format!("tcp://{host}:{TLS_PORT}"),
        None => format!("tcp://HOST:{TLS_PORT}"),
    };
    let talk = format!(
        "DOCKER_HOST={} DOCKER_TLS_VERIFY=1 DOCKER_CERT_PATH={} docker version",
        word(Path::new(&url)),
        word(client)
    );
    let text = format!(
        "\nNext, put the daemon's files on its host:\n  {copy}\n\
         \nturn mutual TLS on there (with a daemon.json of its own, merge the two first; without systemd, write \
         unix:///var/run/docker.sock for fd:// and start dockerd as usual):\n  {start}\n\
         \nand use it:\n  {talk}\n\
         \nWhoever holds a client's files is root on that host. The authority's key signs new ones: keep it safe, and off that host.\n"
    );
    Steps { text, commands: vec![copy, start, talk] }
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
