//! This machine's own names: what `--detect` puts into a daemon's certificate, and what it leaves out and why.
//!
//! Host names come from the kernel and /etc/hosts, addresses from the interfaces. Nothing is asked of the network, so
//! nothing can hang; a public address behind NAT is on no interface and has to be named by hand. [`classify`] decides over
//! [`Machine`], which [`read`] gathers.

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
};

use dockseal_pki::{SubjectAltName, printable};

/// What was found on this machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Detected {
    /// For the certificate, the best name first.
    pub(crate) taken: Vec<Taken>,
    /// Not for it.
    pub(crate) skipped: Vec<Skipped>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) name: SubjectAltName,
    /// Where it was found: an interface, or what kind of name it is.
    pub(crate) source: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) what: String,
    /// Where it was found.
    pub(crate) source: String,
    pub(crate) why: String,
}

impl Detected {
    /// For people: a line for each name taken, and one for each reason not to take some.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes: Vec<String> =
            self.taken.iter().map(|taken| format!("--detect takes {} ({})", taken.name, taken.source)).collect();
        let mut reasons: Vec<&str> = self.skipped.iter().map(|skipped| skipped.why.as_str()).collect();
        let mut seen = BTreeSet::new();
        reasons.retain(|why| seen.insert(*why));
        for why in reasons {
            let skipped = self.skipped.iter().filter(|skipped| skipped.why == why);
            let names: Vec<String> =
                skipped.map(|skipped| format!("{} ({})", printable(&skipped.what), skipped.source)).collect();
            notes.push(format!("--detect skips {}: {why}", names.join(", ")));
        }
        notes
    }
}

/// This machine's names.
pub(crate) fn detect() -> Detected {
    classify(&read())
}

/// The facts that the choice is made from.
#[derive(Debug, Default)]
struct Machine {
    host_name: Option<String>,
    /// The text of /etc/hosts.
    hosts: String,
    interfaces: Vec<Interface>,
}

#[derive(Debug)]
struct Interface {
    name: String,
    up: bool,
    kind: Kind,
    addresses: Vec<Address>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A bridge, and whether one of its ports is a device rather than a container's or machine's.
    Bridge {
        reaches_outside: bool,
    },
    /// A tun or tap device, WireGuard or PPP.
    Tunnel,
    Other,
}

#[derive(Clone, Copy, Debug)]
struct Address {
    ip: IpAddr,
    /// The kernel's IFA_F flags (linux/if_addr.h); 0 where they are not known.
    flags: u32,
}

/// A privacy address (RFC 8981): replaced within a day.
const TEMPORARY: u32 = 0x01;
/// Duplicate address detection found another owner.
const DUPLICATE_ELSEWHERE: u32 = 0x08;
/// No longer to be used for new connections.
const DEPRECATED: u32 = 0x20;
/// Not yet known to be its own.
const TENTATIVE: u32 = 0x40;

/// Decides what to take. Host names come first, because the first name becomes DOCKER_HOST; loopback comes last, because
/// it serves only clients on this machine.
fn classify(machine: &Machine) -> Detected {
    let mut detected = Detected::default();
    let mut loopback = Vec::new();
    take_host_names(machine, &mut detected);

    let mut seen = BTreeSet::new();
    let interfaces = || machine.interfaces.iter().flat_map(|i| i.addresses.iter().map(move |address| (i, address)));
    let (v4, v6): (Vec<_>, Vec<_>) = interfaces().partition(|(_, address)| address.ip.is_ipv4());
    for (interface, address) in v4.into_iter().chain(v6) {
        if let Some(why) = why_not(interface, address) {
            detected.skip(address.ip.to_string(), &interface.name, why);
        } else if !seen.insert(address.ip) {
            detected.skip(address.ip.to_string(), &interface.name, "another interface has it too");
        } else if address.ip.is_loopback() {
            loopback.push((address.ip, interface.name.clone()));
        } else {
            detected.take(SubjectAltName::Ip(address.ip), &interface.name);
        }
    }

    if !loopback.is_empty() {
        detected.take(SubjectAltName::Dns("localhost".to_owned()), "for clients on this machine");
    }
    for (ip, _) in loopback {
        detected.take(SubjectAltName::Ip(ip), "for clients on this machine");
    }
    detected
}

impl Detected {
    fn take(&mut self, name: SubjectAltName, source: &str) {
        if !self.taken.iter().any(|taken| taken.name == name) {
            self.taken.push(Taken { name, source: source.to_owned() });
        }
    }

    fn skip(&mut self, what: String, source: &str, why: impl Into<String>) {
        self.skipped.push(Skipped { what, source: source.to_owned(), why: why.into() });
    }
}

fn take_host_names(machine: &Machine, detected: &mut Detected) {
    let Some(host_name) = machine.host_name.as_deref().filter(|name| !name.is_empty()) else { return };
    let full = full_names(&machine.hosts, host_name);
    let full = full.iter().map(|name| (name.as_str(), "/etc/hosts"));
    for (text, source) in full.chain([(host_name, "host name")]) {
        // The kernel keeps a trailing dot; certificates must not.
        match SubjectAltName::parse(text.strip_suffix('.').unwrap_or(text)) {
            Ok(parsed) if parsed.name == SubjectAltName::Dns("localhost".to_owned()) => {}
            Ok(parsed) if matches!(parsed.name, SubjectAltName::Ip(_)) || parsed.name.is_wildcard() => {
                detected.skip(text.to_owned(), source, "it is not a host name");
            }
            Ok(parsed) => detected.take(parsed.name, source),
            Err(error) => detected.skip(text.to_owned(), source, error.to_string()),
        }
    }
}

/// The names `HOST.DOMAIN` that /etc/hosts has on a line (hosts(5)).
fn full_names(hosts: &str, host_name: &str) -> Vec<String> {
    let own = |name: &&str| {
        let start = name.get(..host_name.len()).is_some_and(|start| start.eq_ignore_ascii_case(host_name));
        start && name[host_name.len()..].len() > 1 && name[host_name.len()..].starts_with('.')
    };
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split_whitespace().skip(1)).filter(own).map(str::to_owned).collect()
}

/// Why an address is not for a certificate.
fn why_not(interface: &Interface, address: &Address) -> Option<&'static str> {
    if !interface.up {
        return Some("its interface is down");
    }
    if let Some(why) = why_not_interface(interface) {
        return Some(why);
    }
    let flagged = |flag| address.flags & flag != 0;
    match address.ip {
        IpAddr::V4(ip) if ip.is_loopback() && ip != Ipv4Addr::LOCALHOST => Some("a second loopback address"),
        IpAddr::V4(ip) if ip.is_link_local() => Some("link-local: it says that no address could be had"),
        IpAddr::V4(ip) if ip.is_unspecified() || ip.is_broadcast() || ip.is_multicast() => {
            Some("no client can dial it")
        }
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            Some("link-local: clients would need a zone id, which docker cannot express")
        }
        IpAddr::V6(ip) if ip.is_unspecified() || ip.is_multicast() => Some("no client can dial it"),
        IpAddr::V6(_) if flagged(TEMPORARY) => Some("a temporary privacy address, soon replaced"),
        IpAddr::V6(_) if flagged(DUPLICATE_ELSEWHERE) => Some("another machine has it"),
        IpAddr::V6(_) if flagged(TENTATIVE) => Some("not yet confirmed as this machine's own"),
        IpAddr::V6(_) if flagged(DEPRECATED) => Some("deprecated: about to go"),
        _ => None,
    }
}

/// Names that programs give to interfaces that come and go with their containers, machines and tunnels. A container's own
/// end of a veth pair is called eth0 and is taken.
const PASSING: [(&str, &str); 17] = [
    ("docker", CONTAINERS),
    ("veth", CONTAINERS),
    ("cni", CONTAINERS),
    ("flannel", CONTAINERS),
    ("cali", CONTAINERS),
    ("cilium", CONTAINERS),
    ("lxc", CONTAINERS),
    ("lxdbr", CONTAINERS),
    ("incusbr", CONTAINERS),
    ("podman", CONTAINERS),
    ("kube-", CONTAINERS),
    ("virbr", MACHINES),
    ("vnet", MACHINES),
    ("tun", TUNNEL),
    ("tap", TUNNEL),
    ("wg", TUNNEL),
    ("tailscale", TUNNEL),
];
const CONTAINERS: &str = "a container network's, which comes and goes";
const MACHINES: &str = "a virtual machine network's, which comes and goes";
const TUNNEL: &str = "a tunnel's, which comes and goes; name it if clients dial it";

fn why_not_interface(interface: &Interface) -> Option<&'static str> {
    if let Some((_, why)) = PASSING.iter().find(|(prefix, _)| interface.name.starts_with(prefix)) {
        return Some(why);
    }
    // Docker's user-defined networks: br- and twelve digits of the network's id.
    let network = interface.name.strip_prefix("br-");
    if network.is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Some(CONTAINERS);
    }
    match interface.kind {
        Kind::Bridge { reaches_outside: false } => Some("a bridge without a port to the outside"),
        Kind::Tunnel => Some(TUNNEL),
        Kind::Bridge { reaches_outside: true } | Kind::Other => None,
    }
}

fn read() -> Machine {
    let hosts = fs::read("/etc/hosts").unwrap_or_default();
    Machine {
        host_name: rustix::system::uname().nodename().to_str().ok().map(str::to_owned),
        hosts: String::from_utf8_lossy(&hosts).into_owned(),
        interfaces: read_interfaces(),
    }
}

fn read_interfaces() -> Vec<Interface> {
    let flags = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let flags = ipv6_flags(&flags);
    let mut interfaces: Vec<Interface> = Vec::new();
    for found in nix::ifaddrs::getifaddrs().into_iter().flatten() {
        let Some(address) = found.address else { continue };
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        let v6 = address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip()));
        let Some(ip) = v4.or(v6) else { continue };
        // An IPv4 alias has a label such as eth0:1.
        let name = found.interface_name.split(':').next().unwrap_or_default().to_owned();
        let flags = flags.iter().find(|(at, on, _)| IpAddr::V6(*at) == ip && *on == name).map_or(0, |(_, _, f)| *f);
        let up = found.flags.contains(nix::net::if_::InterfaceFlags::IFF_UP);
        let address = Address { ip, flags };
        match interfaces.iter_mut().find(|interface| interface.name == name) {
            Some(interface) => interface.addresses.push(address),
            None => {
                let kind = read_kind(Path::new("/sys/class/net"), &name);
                interfaces.push(Interface { name, up, kind, addresses: vec![address] });
            }
        }
    }
    interfaces
}

/// From /proc/net/if_inet6: address, index, prefix length, scope, flags (all hexadecimal) and interface.
fn ipv6_flags(text: &str) -> Vec<(Ipv6Addr, String, u32)> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [address, _, _, _, flags, name] = columns.as_slice() else { return None };
        let address = u128::from_str_radix(address, 16).ok()?;
        Some((Ipv6Addr::from(address), (*name).to_owned(), u32::from_str_radix(flags, 16).ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What the kernel says an interface is (Linux Documentation/ABI/testing/sysfs-class-net).
fn read_kind(class: &Path, name: &str) -> Kind {
    let dir = class.join(name);
    if dir.join("bridge").is_dir() {
        // Ports of containers and virtual machines are veth or tap devices; a network card, a VLAN on one or a bond is
        // neither.
        let outside = |port: &str| {
            let dir = class.join(port);
            dir.join("device").exists() || dir.join("bonding").is_dir() || device_type(&dir) == "vlan"
        };
        let ports = fs::read_dir(dir.join("brif")).into_iter().flatten().flatten();
        let reaches_outside = ports.into_iter().any(|port| port.file_name().to_str().is_some_and(outside));
        return Kind::Bridge { reaches_outside };
    }
    let tunnel = dir.join("tun_flags").exists() || matches!(device_type(&dir).as_str(), "wireguard" | "ppp");
    if tunnel { Kind::Tunnel } else { Kind::Other }
}

fn device_type(dir: &Path) -> String {
    let text = fs::read_to_string(dir.join("uevent")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("DEVTYPE=")).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, addresses: &[(&str, u32)]) -> Interface {
        let addresses =
            addresses.iter().map(|(ip, flags)| Address { ip: ip.parse().unwrap(), flags: *flags }).collect();
        Interface { name: name.to_owned(), up: true, kind: Kind::Other, addresses }
    }

    fn of_interfaces(interfaces: Vec<Interface>) -> Detected {
        classify(&Machine { interfaces, ..Machine::default() })
    }

    fn taken(detected: &Detected) -> Vec<String> {
        detected.taken.iter().map(|taken| taken.name.to_string()).collect()
    }

    fn skipped(detected: &Detected) -> Vec<(&str, &str)> {
        detected.skipped.iter().map(|skipped| (skipped.what.as_str(), skipped.why.as_str())).collect()
    }

    #[test]
    fn a_server_is_known_by_its_names_then_its_addresses_then_loopback() {
        let machine = Machine {
            host_name: Some("build".into()),
            hosts: "127.0.0.1 localhost\n127.0.1.1\tbuild.example.com build # build.wrong.example\n\
                    10.0.0.9 builder.example.com other.example.com\n"
                .into(),
            interfaces: vec![
                interface("lo", &[("127.0.0.1", 0), ("::1", 0x80)]),
                interface("eth0", &[("2001:db8::5", 0x80), ("10.0.0.5", 0), ("fe80::1", 0x80)]),
            ],
        };
        let detected = classify(&machine);
        assert_eq!(
            taken(&detected),
            ["build.example.com", "build", "10.0.0.5", "2001:db8::5", "localhost", "127.0.0.1", "::1"]
        );
        assert_eq!(skipped(&detected).len(), 1);
        assert_eq!(detected.skipped[0].what, "fe80::1");
    }

    #[test]
    fn what_comes_and_goes_is_skipped() {
        let names = [
            "docker0",
            "docker_gwbridge",
            "br-0123456789ab",
            "veth1a2b3c",
            "virbr0",
            "vnet3",
            "cni0",
            "flannel.1",
            "cali1234",
            "lxcbr0",
            "lxdbr0",
            "podman1",
            "tun0",
            "tap1",
            "wg0",
            "tailscale0",
        ];
        for name in names {
            let detected = of_interfaces(vec![interface(name, &[("172.17.0.1", 0)])]);
            assert_eq!((taken(&detected).len(), detected.skipped.len()), (0, 1), "{name}");
        }
        for name in ["eth0", "enp3s0", "wlan0", "bond0", "br-lan", "br0", "eth0.100", "dummy0", "vlan7"] {
            assert_eq!(taken(&of_interfaces(vec![interface(name, &[("172.17.0.1", 0)])])), ["172.17.0.1"], "{name}");
        }
    }

    #[test]
    fn a_bridge_counts_when_it_reaches_outside() {
        for reaches_outside in [true, false] {
            let bridge = Interface { kind: Kind::Bridge { reaches_outside }, ..interface("br0", &[("10.0.0.1", 0)]) };
            assert_eq!(of_interfaces(vec![bridge]).taken.len(), usize::from(reaches_outside));
        }
        let tunnel = Interface { kind: Kind::Tunnel, ..interface("corp", &[("10.8.0.2", 0)]) };
        assert!(of_interfaces(vec![tunnel]).taken.is_empty());
    }

    // The flags are Linux's, include/uapi/linux/if_addr.h: 0x80 permanent, 0x01 temporary, 0x20 deprecated, 0x40
    // tentative, 0x08 duplicate.
    #[test]
    fn passing_ipv6_addresses_are_skipped() {
        for (flags, is_taken) in [(0x80, true), (0, true), (0x01, false), (0x20, false), (0x40, false), (0xc8, false)] {
            let detected = of_interfaces(vec![interface("eth0", &[("2001:db8::1", flags)])]);
            assert_eq!(!detected.taken.is_empty(), is_taken, "{flags:#x}");
        }
    }

    #[test]
    fn addresses_that_nobody_dials_are_skipped() {
        let detected = of_interfaces(vec![interface(
            "eth0",
            &[("169.254.7.7", 0), ("fe80::1", 0), ("febf::1", 0), ("0.0.0.0", 0), ("ff02::1", 0), ("fec0::1", 0)],
        )]);
        assert_eq!(taken(&detected), ["fec0::1"]);
    }

    #[test]
    fn down_and_twice_are_skipped_and_said() {
        let down = Interface { up: false, ..interface("eth1", &[("10.0.0.6", 0)]) };
        let detected = of_interfaces(vec![
            interface("lo", &[("127.0.0.1", 0), ("127.0.0.53", 0), ("10.9.9.9", 0)]),
            interface("eth0", &[("10.0.0.5", 0)]),
            interface("eth0.1", &[("10.0.0.5", 0)]),
            down,
        ]);
        assert_eq!(taken(&detected), ["10.9.9.9", "10.0.0.5", "localhost", "127.0.0.1"]);
        assert_eq!(
            skipped(&detected),
            [
                ("127.0.0.53", "a second loopback address"),
                ("10.0.0.5", "another interface has it too"),
                ("10.0.0.6", "its interface is down"),
            ]
        );
    }

    #[test]
    fn host_names_that_are_none_are_skipped() {
        let named = |name: &str| classify(&Machine { host_name: Some(name.into()), ..Machine::default() });
        assert!(taken(&named("localhost")).is_empty());
        assert!(taken(&named("")).is_empty());
        assert_eq!(taken(&named("Build.Example.com.")), ["build.example.com"]);
        for name in ["(none)", "10.0.0.5", "a b"] {
            let detected = named(name);
            assert_eq!((detected.taken.len(), detected.skipped.len()), (0, 1), "{name:?}");
        }
    }

    #[test]
    fn the_kernels_table_of_ipv6_addresses_is_read() {
        // From a machine with `ip -6 address` at hand.
        let text = "fd000000000000000000000000000002 04 40 00 82     eth0\n\
                    00000000000000000000000000000001 01 80 10 80       lo\n";
        let expected =
            [("fd00::2".parse().unwrap(), "eth0".to_owned(), 0x82), ("::1".parse().unwrap(), "lo".to_owned(), 0x80)];
        assert_eq!(ipv6_flags(text), expected);
    }
}
