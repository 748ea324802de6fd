//! Looks at a host. One script of POSIX sh, which changes nothing; each fact comes back as a name and octets in hexadecimal,
//! so that no file name and no content can pass for another fact.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use dockseal_docker::{
    daemon_json::INSTALL_DIRECTORY,
    exec_start::{UnitText, part, words},
    host::{DaemonProcess, FileKind, Flavour, HostFacts, HostFile, Init, Listener, Unfinished},
    host_plan::{DAEMON_JSON, DROP_IN, LATE_DROP_IN, RECORD},
    layout,
};

use dockseal_pki::Fingerprint;

use crate::{
    change::{CHANGEABLE, DIRECTORY, waits},
    error::ReachError,
    session::{Session, quoted, shown},
};

/// How long looking may take.
const PATIENCE: Duration = Duration::from_secs(60);

const SCRIPT: &str = include_str!("inspect.sh");

/// Everything about a host that its plan rests on. Nothing is changed there.
///
/// # Errors
/// The host cannot be talked to, or its answer is none.
pub fn inspect(session: &mut Session) -> Result<HostFacts, ReachError> {
    let done = session.run(&script(DAEMON_JSON), &[], PATIENCE)?.success("cannot look at the host")?;
    let facts = facts(&done.stdout)?;
    // The path of daemon.json is one of the facts.
    match config_file(&facts).filter(|path| path != DAEMON_JSON) {
        None => Ok(facts),
        Some(path) => {
            let done = session.run(&script(&path), &[], PATIENCE)?.success("cannot look at the host")?;
            self::facts(&done.stdout)
        }
    }
}

fn script(daemon_json: &str) -> String {
    let set = [
        ("daemon_json", daemon_json),
        ("drop_in", DROP_IN),
        ("late_drop_in", LATE_DROP_IN),
        ("tls", INSTALL_DIRECTORY),
        ("record", RECORD),
        ("change", DIRECTORY),
    ];
    let set: Vec<String> = set.iter().map(|(name, value)| format!("{name}={}\n", quoted(value))).collect();
    format!("{}{}{CHANGEABLE}{SCRIPT}", set.concat(), waits())
}

/// The configuration file that dockerd was told to read.
fn config_file(facts: &HostFacts) -> Option<String> {
    let of_unit = || {
        let (lines, _) = facts.unit.as_ref()?.exec_start();
        part(words(lines.first()?)?).config_file
    };
    let of_daemon = || {
        let words: Vec<_> = facts.daemons.first()?.arguments().to_vec();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            if let Some(path) = word.strip_prefix("--config-file") {
                return path.strip_prefix('=').map(str::to_owned).or_else(|| words.next());
            }
        }
        None
    };
    of_daemon().or_else(of_unit).filter(|path| path.starts_with('/'))
}

/// Reads what the script printed.
///
/// # Errors
/// It is not what the script prints.
pub fn facts(printed: &[u8]) -> Result<HostFacts, ReachError> {
    let seen = Seen::read(printed)?;
    if seen.text("end").is_none() {
        return Err(ReachError::Garbled("it ended too early".to_owned()));
    }
    // What is said of a host, and never used as a path or a word of a command.
    let line = |name: &str| seen.text(name).map(|text| shown(text.trim())).filter(|text| !text.is_empty());
    let lines = |name: &str| -> Vec<String> {
        shown(&seen.text(name).unwrap_or_default())
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let node_name = line("node").unwrap_or_default();
    let machine = identity(line("machine-id"), line("host-keys"), &node_name);
    let unfinished = seen.text("change").map(|who| Unfinished {
        who: shown(who.trim()),
        armed: seen.is("change-armed"),
        awaited: seen.is("change-awaited"),
    });
    Ok(HostFacts {
        machine,
        host_names: lines("names").into_iter().filter(|name| *name != node_name).collect(),
        node_name,
        addresses: lines("addresses").iter().filter_map(|line| address(line)).collect(),
        os: line("os").unwrap_or_else(|| "unknown".to_owned()),
        kernel: line("kernel").unwrap_or_default(),
        init: match line("init").as_deref() {
            Some("systemd") => Init::Systemd,
            Some("openrc") => Init::OpenRc,
            Some("sysv") => Init::SysV,
            _ => Init::Unknown,
        },
        flavour: match line("flavour").as_deref() {
            Some("package") => Flavour::Package,
            Some("snap") => Flavour::Snap,
            Some("rootless") => Flavour::Rootless,
            Some("desktop") => Flavour::Desktop,
            _ => Flavour::Absent,
        },
        docker_version: line("version"),
        can_validate: seen.is("validates"),
        unit: seen.text("unit").map(|text| UnitText::of_cat(&text)).filter(|unit| !unit.files.is_empty()),
        service_state: line("service").unwrap_or_default(),
        socket_unit_active: seen.is("socket-unit"),
        daemons: seen.daemons(),
        // To the octet, for it is written to.
        daemon_json: seen.file(
            "daemon-json",
            &seen.text("daemon-json.path").filter(|path| !path.is_empty()).unwrap_or_else(|| DAEMON_JSON.to_owned()),
        ),
        drop_in: seen.file("drop-in", DROP_IN),
        late_drop_in: seen.file("late-drop-in", LATE_DROP_IN),
        ca: seen.file("ca", &format!("{INSTALL_DIRECTORY}/{}", layout::CA_FILE)),
        cert: seen.file("cert", &format!("{INSTALL_DIRECTORY}/{}", layout::CERT_FILE)),
        key: seen.file("key", &format!("{INSTALL_DIRECTORY}/{}", layout::KEY_FILE)),
        // To the octet, for they come along.
        other_entries: seen
            .text("entries")
            .unwrap_or_default()
            .split_terminator('/')
            .filter(|name| ![layout::CA_FILE, layout::CERT_FILE, layout::KEY_FILE].contains(name))
            .map(str::to_owned)
            .collect(),
        record: seen.file("record", RECORD),
        listeners: seen.listeners(),
        clock: line("clock").and_then(|text| text.parse().ok()),
        openssl: line("openssl"),
        dockseal: line("dockseal"),
        has_transient_timers: seen.is("systemd-run"),
        firewall: lines("firewall"),
        containers: line("containers").and_then(|text| text.parse().ok()),
        is_untried: seen.is("untried"),
        in_swarm: seen.is("swarm"),
        writable: seen.is("writable"),
        changeable: line("changeable"),
        unfinished,
    })
}

/// What tells a machine from others. Copies of one machine often share their machine-id, but hardly ever their host keys
/// as well: two hosts of the same keys cannot be told apart by anybody.
fn identity(machine_id: Option<String>, host_keys: Option<String>, node_name: &str) -> String {
    let id = machine_id.filter(|id| id.len() == 32);
    let of_keys = host_keys.map(|keys| Fingerprint::of(keys.as_bytes()).to_string().replace(':', ""));
    let of_keys = of_keys.map(|digest| digest.chars().take(32).collect::<String>());
    match (id, of_keys) {
        (Some(id), Some(keys)) => format!("{id}-{keys}"),
        (Some(id), None) => format!("{id}-{node_name}"),
        (None, Some(keys)) => keys,
        (None, None) => node_name.to_owned(),
    }
}

/// `IFACE ADDRESS`.
fn address(line: &str) -> Option<(String, IpAddr)> {
    let (interface, address) = line.split_once(' ')?;
    let address = address.split('/').next()?.split('%').next()?;
    Some((interface.to_owned(), address.parse().ok()?))
}

/// Names and octets.
struct Seen(BTreeMap<String, Vec<u8>>);

impl Seen {
    fn read(printed: &[u8]) -> Result<Self, ReachError> {
        let garbled = || ReachError::Garbled("a line that is no fact".to_owned());
        let text = std::str::from_utf8(printed).map_err(|_| garbled())?;
        let mut seen = BTreeMap::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (name, hex) = line.split_once(' ').ok_or_else(garbled)?;
            seen.insert(name.to_owned(), octets(hex.trim()).ok_or_else(garbled)?);
        }
        Ok(Self(seen))
    }

    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).map(|octets| String::from_utf8_lossy(octets).into_owned())
    }

    fn is(&self, name: &str) -> bool {
        self.text(name).is_some_and(|text| text.trim() == "yes")
    }

    fn file(&self, name: &str, path: &str) -> HostFile {
        let mut file = HostFile { path: path.to_owned(), ..HostFile::default() };
        let Some(state) = self.text(&format!("{name}.state")) else { return file };
        let mut words = state.split_whitespace();
        let mode = words.next().and_then(|mode| u32::from_str_radix(mode, 8).ok());
        let mut number = || words.next().and_then(|number| number.parse().ok());
        (file.mode, file.owner, file.group) =
            (mode.unwrap_or_default(), number().unwrap_or_default(), number().unwrap_or_default());
        let rest: Vec<&str> = words.collect();
        file.kind = Some(match rest.join(" ").as_str() {
            "regular file" | "regular empty file" => FileKind::Regular,
            "directory" => FileKind::Directory,
            "symbolic link" => FileKind::Link,
            _ => FileKind::Other,
        });
        file.contents = self.0.get(&format!("{name}.contents")).cloned();
        file
    }

    /// Those of root: what others call dockerd, anybody can start. The octets of cmdline and environ are below its number.
    fn daemons(&self) -> Vec<DaemonProcess> {
        let mut daemons = Vec::new();
        for (name, argv) in &self.0 {
            let Some(pid) = name.strip_prefix("dockerd.argv.").and_then(|pid| pid.parse().ok()) else { continue };
            // It ended while it was looked at.
            if argv.is_empty() {
                continue;
            }
            let strings = |octets: &[u8]| -> Vec<String> {
                let ended = octets.strip_suffix(b"\0").unwrap_or(octets);
                ended.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
            };
            let environment = self.0.get(&format!("dockerd.environ.{pid}")).map(|octets| strings(octets));
            let environment = environment.unwrap_or_default();
            let user = self.text(&format!("dockerd.user.{pid}")).and_then(|text| text.trim().parse().ok());
            let Some(user @ 0) = user else { continue };
            daemons.push(DaemonProcess {
                pid,
                user,
                argv: strings(argv),
                environment: environment
                    .iter()
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect(),
            });
        }
        daemons
    }

    /// The kernel's tables (proc_net_tcp): hexadecimal, each 32-bit word of an address in the machine's own order.
    fn listeners(&self) -> Vec<Listener> {
        let owners = self.text("sockets").unwrap_or_default();
        let owner = |inode: &str| {
            let mut lines = owners.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(socket, _)| *socket == inode).map(|(_, program)| shown(program))
        };
        let mut listeners = Vec::new();
        for table in ["tcp", "tcp6"] {
            for line in self.text(table).unwrap_or_default().lines() {
                let mut words = line.split_whitespace();
                let (Some(local), Some(inode)) = (words.next(), words.next()) else { continue };
                let Some((address, port)) = local.split_once(':') else { continue };
                let (Some(address), Ok(port)) = (kernel_address(address), u16::from_str_radix(port, 16)) else {
                    continue;
                };
                listeners.push(Listener { address, port, program: owner(inode) });
            }
        }
        listeners
    }
}

/// Little-endian words, as every machine has them on which Docker is packaged but s390x.
fn kernel_address(hex: &str) -> Option<IpAddr> {
    let octets = octets(hex)?;
    let turned: Vec<u8> = octets.chunks(4).flat_map(|word| word.iter().rev().copied().collect::<Vec<_>>()).collect();
    if let Ok(four) = <[u8; 4]>::try_from(turned.as_slice()) {
        return Some(IpAddr::from(four));
    }
    <[u8; 16]>::try_from(turned.as_slice()).ok().map(IpAddr::from)
}

fn octets(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Dial;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn facts_of_a_host() {
        let printed = [
            ("node", "box"),
            ("machine-id", "0123456789abcdef0123456789abcdef\n"),
            ("daemon-json.path", "/srv/a\nb \n"),
            ("daemon-json.state", "644 0 0 regular file"),
            ("daemon-json.contents", "{}\nnode 66"),
            ("tcp", "0100007F:0948 77\n00000000:0016 78\n"),
            ("tcp6", "00000000000000000000000001000000:0948 79"),
            ("sockets", "78 sshd\n"),
            ("dockerd.argv.12", "dockerd\0-H\0fd://\0"),
            ("dockerd.user.12", "0"),
            ("dockerd.argv.11", "dockerd\0-H\0tcp://0.0.0.0:2375\0"),
            ("dockerd.user.11", "1000"),
            ("dockerd.argv.13", "dockerd\0"),
            ("dockerd.user.13", ""),
            ("addresses", "eth0 10.0.0.5/24\neth0 fe80::1/64\nnonsense\n"),
            ("drop-in.state", "644 0 0 regular file"),
            ("drop-in.contents", "[Service]\n"),
            ("late-drop-in.state", "644 0 0 regular file"),
            ("end", "yes"),
        ];
        let printed: String = printed.iter().map(|(name, text)| format!("{name} {}\n", hex(text))).collect();
        let facts = facts(printed.as_bytes()).unwrap();
        assert_eq!(facts.machine, "0123456789abcdef0123456789abcdef-box");
        assert_eq!(facts.node_name, "box");
        assert_eq!(facts.daemon_json.contents.as_deref(), Some(&b"{}\nnode 66"[..]));
        assert_eq!(facts.daemon_json.path, "/srv/a\nb \n");
        assert_eq!(facts.daemon_json.kind, Some(FileKind::Regular));
        // Both are known where both are there: each has to go in the end.
        let drop_ins = [&facts.drop_in, &facts.late_drop_in].map(|file| (file.path.as_str(), file.kind));
        assert_eq!(drop_ins, [DROP_IN, LATE_DROP_IN].map(|path| (path, Some(FileKind::Regular))));
        assert_eq!(facts.record.kind, None);
        let seen: Vec<_> = facts.listeners.iter().map(|one| (one.address.to_string(), one.port)).collect();
        assert_eq!(seen, [("127.0.0.1".to_owned(), 2376), ("0.0.0.0".to_owned(), 22), ("::1".to_owned(), 2376)]);
        assert_eq!(facts.listeners[1].program.as_deref(), Some("sshd"));
        // Root's alone.
        assert_eq!(facts.daemons.iter().map(|daemon| daemon.pid).collect::<Vec<_>>(), [12]);
        assert_eq!(facts.daemons[0].argv, ["dockerd", "-H", "fd://"]);
        assert_eq!(facts.addresses.len(), 2);
    }

    fn shell() -> Session {
        let dial = Dial { may_ask: false, patience: Duration::from_secs(10), nonce: "n0nce".to_owned() };
        Session::local(&dial).unwrap()
    }

    /// What the script itself sees of this machine, whatever that is.
    fn looked_at(shell: &mut Session, daemon_json: &str) -> HostFacts {
        let done = shell.run(&script(daemon_json), &[], PATIENCE).unwrap();
        assert_eq!(done.status, 0, "{}", done.stderr);
        facts(&done.stdout).unwrap()
    }

    #[test]
    fn paths_of_every_kind_are_looked_at() {
        let mut shell = shell();
        let made = shell.run("mktemp -d", &[], PATIENCE).unwrap().success("cannot make a directory").unwrap();
        let directory = made.text().trim().to_owned();
        let path = format!("{directory}/it's \n/d\t.json\n");
        let place = path.rsplit_once('/').unwrap().0;
        let _ = shell.run(&format!("mkdir {} && : >{}", quoted(place), quoted(&path)), &[], PATIENCE).unwrap();
        let facts = looked_at(&mut shell, &path);
        let found = std::fs::exists(&path).unwrap();
        let _ = shell.run(&format!("rm -r {}", quoted(&directory)), &[], PATIENCE).unwrap();
        assert!(found);
        assert_eq!((facts.daemon_json.path, facts.daemon_json.kind), (path, Some(FileKind::Regular)));
        // What is nowhere comes to an end.
        for path in ["d.json", "/no/where/d.json"] {
            assert_eq!(looked_at(&mut shell, path).daemon_json.kind, None, "{path:?}");
        }
    }

    #[test]
    fn what_a_host_says_is_fit_to_be_shown_and_paths_are_exact() {
        let escape = "\u{1b}[2J\u{9b}1m\u{202e}x";
        let names =
            ["node", "os", "kernel", "version", "service", "openssl", "dockseal", "firewall", "names", "change"];
        let mut printed: String = names.iter().map(|name| format!("{name} {}\n", hex(escape))).collect();
        for (name, text) in [
            ("tcp", "0100007F:0948 77\n"),
            ("sockets", &format!("77 {escape}\n")),
            ("addresses", &format!("{escape} 10.0.0.5/24\n")),
            ("daemon-json.path", &format!("/{escape}\n")),
            ("entries", &format!("ca.pem/ a\n b /{escape}/")),
            ("end", "yes"),
        ] {
            printed.push_str(&format!("{name} {}\n", hex(text)));
        }
        let facts = facts(printed.as_bytes()).unwrap();
        assert_eq!(facts.daemon_json.path, format!("/{escape}\n"));
        assert_eq!(facts.other_entries, [" a\n b ", escape]);

        let said = r"\u{1b}[2J\u{9b}1m\u{202e}x";
        assert_eq!(facts.os, said);
        assert_eq!(facts.listeners[0].program.as_deref(), Some(said));
        assert_eq!(facts.addresses[0].0, said);
        assert_eq!(facts.unfinished.unwrap().who, said);
        let others = [&facts.node_name, &facts.kernel, &facts.service_state, &facts.firewall[0]];
        let more = [&facts.docker_version, &facts.openssl, &facts.dockseal].map(|text| text.as_ref().unwrap());
        for text in others.into_iter().chain(more) {
            assert_eq!(text, said);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for printed in ["", "node 6", "node zz", "nonsense", "node 66\n"] {
            assert!(matches!(facts(printed.as_bytes()), Err(ReachError::Garbled(_))), "{printed:?}");
        }
    }
}
