//! What is on a host, and what is to change there, for people.

use std::net::IpAddr;

use dockseal_docker::{
    host::{Flavour, HostFacts},
    host_plan::{HostPlan, RECORD, RestartWay, SERVICE, present},
};
use dockseal_pki::{Certificate, SubjectAltName, pem, printable};
use serde_json::{Value, json};
use similar::TextDiff;

use super::reach::Reached;
use crate::output::fields;

/// The leaf that is in the daemon's directory.
pub(crate) fn certificates(contents: Option<&Vec<u8>>) -> Vec<Certificate> {
    let blocks = contents.and_then(|bytes| pem::decode_all(bytes).ok()).unwrap_or_default();
    let blocks = blocks.iter().filter(|block| block.tag() == "CERTIFICATE");
    blocks.filter_map(|block| Certificate::from_der(block.contents()).ok()).collect()
}

/// The addresses by which others may reach it: not loopback, link-local, or those of containers' bridges.
pub(crate) fn reachable(facts: &HostFacts) -> Vec<(&str, IpAddr)> {
    let is_inside = |interface: &str| {
        ["lo", "docker", "br-", "veth", "virbr", "cni", "flannel", "cali"]
            .iter()
            .any(|prefix| interface.starts_with(prefix))
    };
    let mut seen = Vec::new();
    for (interface, address) in &facts.addresses {
        let usable = match address {
            IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        };
        if usable && !is_inside(interface) && !seen.iter().any(|(_, other)| other == address) {
            seen.push((interface.as_str(), *address));
        }
    }
    seen
}

/// The host's own names and addresses, as far as others may dial them.
pub(crate) fn detected(facts: &HostFacts) -> Vec<SubjectAltName> {
    let names =
        std::iter::once(&facts.node_name).chain(&facts.host_names).filter(|name| !name.starts_with("localhost"));
    let names = names.filter_map(|name| SubjectAltName::parse(name).ok().map(|parsed| parsed.name));
    let mut detected = Vec::new();
    for name in names.chain(reachable(facts).into_iter().map(|(_, address)| SubjectAltName::Ip(address))) {
        if !detected.contains(&name) {
            detected.push(name);
        }
    }
    detected
}

/// One line about how dockerd stands today.
pub(crate) fn mode(facts: &HostFacts) -> String {
    match present(facts) {
        Err(refusal) => refusal.to_string(),
        Ok(settings) if settings.mode.verifies_client() => "mutual TLS".to_owned(),
        Ok(settings) if settings.mode.uses_tls() => "TLS, and no client certificate is asked for".to_owned(),
        Ok(_) => "no TLS".to_owned(),
    }
}

fn docker(facts: &HostFacts) -> String {
    let version = facts.docker_version.as_deref().map_or("unknown version".to_owned(), printable);
    match facts.flavour {
        Flavour::Absent => "not installed".to_owned(),
        Flavour::Package => version,
        other => format!("{version} ({})", other.word()),
    }
}

fn skew(seconds: i64) -> String {
    match seconds {
        0 => "agrees with this machine's".to_owned(),
        ahead @ 1.. => format!("{ahead} seconds ahead of this machine's"),
        behind => format!("{} seconds behind this machine's", behind.unsigned_abs()),
    }
}

/// Everything that was seen, for people.
pub(crate) fn text(reached: &Reached) -> String {
    let facts = &reached.facts;
    let listed = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let names: Vec<String> =
        std::iter::once(facts.node_name.clone()).chain(facts.host_names.clone()).map(|name| printable(&name)).collect();
    let addresses = reachable(facts).iter().map(|(interface, address)| format!("{address} ({interface})")).collect();
    let listeners = facts
        .listeners
        .iter()
        .filter(|one| matches!(one.port, 2375 | 2376) || one.program.as_deref() == Some("dockerd"))
        .map(|one| {
            format!(
                "{} ({})",
                std::net::SocketAddr::new(one.address, one.port),
                one.program.as_deref().unwrap_or("unknown")
            )
        })
        .collect();
    let flags = facts.daemons.first().map(|daemon| daemon.arguments().join(" "));
    let certificate = certificates(facts.cert.contents.as_ref()).first().map_or("none".to_owned(), |leaf| {
        format!("{}, issued by {}, until {}", leaf.subject, leaf.issuer, dockseal_pki::moment(leaf.validity.not_after))
    });
    let keys = match (&facts.dockseal, &facts.openssl) {
        (_, Some(openssl)) => format!("on the host, by {}", printable(openssl)),
        (_, None) => "here, and sent through ssh: there is no openssl".to_owned(),
    };
    let mut rows = vec![
        ("system", printable(&facts.os)),
        ("kernel", printable(&facts.kernel)),
        ("services", facts.init.word().to_owned()),
        ("docker", docker(facts)),
        ("service", if facts.service_state.is_empty() { "unknown".to_owned() } else { facts.service_state.clone() }),
        ("started with", flags.map_or("it does not run".to_owned(), |flags| printable(&masked(&flags)))),
        ("today", mode(facts)),
        ("daemon.json", facts.daemon_json.kind.map_or("none".to_owned(), |_| printable(&facts.daemon_json.path))),
        ("certificate", certificate),
        ("listeners", listed(listeners)),
        ("names", listed(names)),
        ("addresses", listed(addresses)),
        ("clock", skew(reached.skew)),
        ("root by", reached.session.root().word().to_owned()),
        ("keys made", keys),
        ("containers", facts.containers.map_or("unknown".to_owned(), |running| format!("{running} running"))),
    ];
    if let Some(unfinished) = &facts.unfinished {
        rows.push(("unfinished", printable(&unfinished.who)));
    }
    rows.extend(facts.firewall.iter().map(|line| ("firewall", printable(line))));
    format!("{}\n{}", reached.target, fields(&rows))
}

/// The same for programs.
pub(crate) fn wire(reached: &Reached) -> Value {
    let facts = &reached.facts;
    let addresses: Vec<Value> = facts
        .addresses
        .iter()
        .map(|(interface, address)| json!({ "interface": interface, "address": address.to_string() }))
        .collect();
    let listeners: Vec<Value> = facts
        .listeners
        .iter()
        .map(|one| json!({ "address": one.address.to_string(), "port": one.port, "program": one.program }))
        .collect();
    let settings = present(facts);
    let certificate = certificates(facts.cert.contents.as_ref()).into_iter().next().map(|leaf| {
        json!({
            "subject": leaf.subject.to_string(),
            "issuer": leaf.issuer.to_string(),
            "serial": leaf.serial.to_string(),
            "not_after": crate::report::rfc3339(leaf.validity.not_after),
            "sha256": leaf.fingerprint().to_string(),
        })
    });
    json!({
        "target": reached.target.to_string(),
        "machine_id": facts.machine,
        "node_name": facts.node_name,
        "host_names": facts.host_names,
        "addresses": addresses,
        "reachable": reachable(facts).iter().map(|(_, address)| address.to_string()).collect::<Vec<_>>(),
        "os": facts.os,
        "kernel": facts.kernel,
        "init": facts.init.word(),
        "docker": {
            "flavour": facts.flavour.word(),
            "version": facts.docker_version,
            "can_validate": facts.can_validate,
            "service": facts.service_state,
            "arguments": facts.daemons.first().map(|one| one.arguments().iter().map(|word| masked(word)).collect::<Vec<_>>()),
            "mode": settings.as_ref().ok().map(|settings| settings.mode.to_string()),
            "fault": settings.as_ref().err().map(ToString::to_string),
            "daemon_json": facts.daemon_json.contents.as_ref().map(|bytes| masked(&String::from_utf8_lossy(bytes))),
            "daemon_json_path": facts.daemon_json.path,
            "daemon_json_is_untried": facts.is_untried,
            "containers": facts.containers,
            "swarm": facts.in_swarm,
        },
        "certificate": certificate,
        "listeners": listeners,
        "clock_ahead_seconds": reached.skew,
        "root": reached.session.root().word(),
        "user": reached.session.user(),
        "openssl": facts.openssl,
        "dockseal": facts.dockseal,
        "writable": facts.writable,
        "firewall": facts.firewall,
        "unfinished": facts.unfinished.as_ref().map(|unfinished| &unfinished.who),
    })
}

/// Text of a host without the passwords in its URLs: a proxy's, say, in daemon.json or a flag.
pub(crate) fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        shown.push_str(before);
        let ends = |c: char| c == '/' || c == '"' || c == '\'' || c.is_whitespace();
        let authority = after.get(..after.find(ends).unwrap_or(after.len())).unwrap_or(after);
        rest = match authority.rfind('@') {
            Some(user) => {
                shown.push_str("***");
                after.get(user..).unwrap_or_default()
            }
            None => after,
        };
    }
    shown.push_str(rest);
    shown
}

/// What is to change, as a difference of each file and the command that follows.
pub(crate) fn diff(plan: &HostPlan, bundle: &[String]) -> String {
    let mut text = String::new();
    for line in bundle {
        text.push_str(&format!("  {line}\n"));
    }
    for file in plan.files.iter().filter(|file| file.path != RECORD) {
        let before = file.before.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let after = file.after.clone().unwrap_or_default();
        let old = if before.is_some() { file.path.as_str() } else { "/dev/null" };
        let new = if file.after.is_some() { file.path.as_str() } else { "/dev/null" };
        let before = before.unwrap_or_default();
        let diff = TextDiff::from_lines(&before, &after);
        let shown = diff.unified_diff().context_radius(3).header(old, new).missing_newline_hint(false).to_string();
        for line in shown.lines() {
            text.push_str(&format!("  {}\n", printable(&masked(line))));
        }
    }
    if let Some(record) = plan.files.iter().find(|file| file.path == RECORD) {
        let what =
            if record.after.is_some() { "remembers what was there, for dockseal host remove" } else { "is removed" };
        text.push_str(&format!("  {RECORD}: {what}\n"));
    }
    for command in commands(plan) {
        text.push_str(&format!("  run: {command}\n"));
    }
    text
}

/// The commands that follow.
pub(crate) fn commands(plan: &HostPlan) -> Vec<String> {
    match plan.restart {
        RestartWay::Systemd => vec!["systemctl daemon-reload".to_owned(), format!("systemctl restart {SERVICE}")],
        RestartWay::OpenRc => vec!["rc-service docker restart".to_owned()],
        RestartWay::SysV => vec!["service docker restart".to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_off() {
        assert_eq!(skew(0), "agrees with this machine's");
        assert_eq!(skew(3), "3 seconds ahead of this machine's");
        assert_eq!(skew(i64::MIN), "9223372036854775808 seconds behind this machine's");
    }

    #[test]
    fn passwords_are_not_shown() {
        for (text, shown) in [
            (
                r#"{"http-proxy": "http://u:p@h:3128/x", "a": "https://h/@"}"#,
                r#"{"http-proxy": "http://***@h:3128/x", "a": "https://h/@"}"#,
            ),
            ("--http-proxy=http://u:p@@h x@y", "--http-proxy=http://***@h x@y"),
            ("a://", "a://"),
            ("ünder://ü:ß@ö", "ünder://***@ö"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }
}
