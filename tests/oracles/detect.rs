//! `--detect` on a machine made for it: a network namespace with every kind of interface that can be made here, a host name
//! and an /etc/hosts of its own. What ends up in the request is read by openssl.
//!
//! Needed: root and the Debian packages iproute2 and util-linux (unshare).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use dockseal_tests::{Ran, Sandbox, dockseal_binary, note_skip, require, require_root};

/// A network namespace and its /etc/hosts; both go when it goes.
struct Namespace(String);

impl Namespace {
    fn new(hosts: &str) -> Option<Self> {
        // One a process and call, so that runs side by side do not meet.
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let space = Self(format!("dockseal{}-{count}", std::process::id()));
        if !Command::new("ip").args(["netns", "add", &space.0]).status().is_ok_and(|status| status.success()) {
            return None;
        }
        // ip-netns(8): files below it are mounted over those in /etc.
        fs::create_dir_all(space.etc()).unwrap();
        fs::write(space.etc().join("hosts"), hosts).unwrap();
        Some(space)
    }

    fn etc(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.0)
    }

    /// One `ip` command inside; whether it succeeded.
    fn ip(&self, line: &str) -> bool {
        let words = line.split(' ');
        Command::new("ip").args(["-n", &self.0]).args(words).output().is_ok_and(|out| out.status.success())
    }

    #[track_caller]
    fn must(&self, line: &str) {
        assert!(self.ip(line), "ip {line}");
    }

    /// The binary inside, on a machine with this name.
    fn dockseal(&self, sandbox: &Sandbox, host_name: &str, args: &str) -> Ran {
        let binary = dockseal_binary().display();
        let line = format!("hostname '{host_name}' && exec ip netns exec {} '{binary}' {args}", self.0);
        sandbox.program("unshare").args(["--uts", "sh", "-c", &line]).run()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).output();
        let _ = fs::remove_dir_all(self.etc());
    }
}

/// The subject alternative names of a request, by openssl.
fn names(sandbox: &Sandbox, request: &str) -> Vec<String> {
    let text = sandbox.openssl(["req", "-noout", "-text", "-in", request]);
    let mut lines = text.lines().skip_while(|line| !line.contains("Subject Alternative Name"));
    let names = lines.nth(1).unwrap_or_default().trim();
    names.split(", ").map(str::to_owned).collect()
}

#[test]
fn stable_names_are_taken_and_passing_ones_skipped() {
    require_root!();
    require!("ip", "unshare", "openssl");
    let Some(space) = Namespace::new("127.0.0.1 localhost\n127.0.1.1 build.example.com build\n") else {
        return note_skip("no network namespaces");
    };
    space.must("link set lo up");
    // A container's own end of a pair is called eth0, too.
    space.must("link add eth0 type veth peer name far0");
    space.must("link add eth1 type veth peer name far1");
    for up in ["eth0", "far0"] {
        space.must(&format!("link set {up} up"));
    }
    for address in ["192.0.2.5/24", "198.51.100.7/24", "169.254.9.9/16"] {
        space.must(&format!("addr add {address} dev eth0"));
    }
    space.must("addr add 2001:db8::5/64 dev eth0 nodad");
    space.must("addr add 2001:db8::dead/64 dev eth0 nodad preferred_lft 0");
    // The kernel makes a temporary address of its own to go with this one.
    let temporary = "echo 2 >/proc/sys/net/ipv6/conf/eth0/use_tempaddr";
    let told = Command::new("ip").args(["netns", "exec", &space.0, "sh", "-c", temporary]).status();
    assert!(told.is_ok_and(|status| status.success()));
    space.must("addr add 2001:db8:1::5/64 dev eth0 mngtmpaddr nodad valid_lft 86400 preferred_lft 3600");
    space.must("addr add 203.0.113.9/24 dev eth1");
    let bridges = [("docker0", "172.17.0.1"), ("br-0123456789ab", "172.18.0.1"), ("br0", "10.1.0.1")];
    for (name, address) in bridges {
        space.must(&format!("link add {name} type bridge"));
        space.must(&format!("link set {name} up"));
        space.must(&format!("addr add {address}/16 dev {name}"));
    }
    space.must("tuntap add dev corp mode tun");
    space.must("link set corp up");
    space.must("addr add 10.8.0.2/24 dev corp");
    space.must("link set far1 master br0");
    // The same address on a second interface.
    space.must("addr add 198.51.100.7/32 dev lo");

    let sandbox = Sandbox::new();
    let ran = space.dockseal(&sandbox, "build", "request daemon --detect --out d").success();
    let expected = [
        "DNS:build.example.com",
        "DNS:build",
        "IP Address:198.51.100.7",
        "IP Address:192.0.2.5",
        // The kernel's order: the youngest first.
        "IP Address:2001:DB8:1:0:0:0:0:5",
        "IP Address:2001:DB8:0:0:0:0:0:5",
        "DNS:localhost",
        "IP Address:127.0.0.1",
        "IP Address:0:0:0:0:0:0:0:1",
    ];
    assert_eq!(names(&sandbox, "d/request.csr"), expected, "{ran}");
    let skipped = [
        ("172.17.0.1 (docker0)", "container"),
        ("172.18.0.1 (br-0123456789ab)", "container"),
        ("10.1.0.1 (br0)", "without a port to the outside"),
        ("10.8.0.2 (corp)", "tunnel"),
        ("203.0.113.9 (eth1)", "down"),
        ("169.254.9.9 (eth0)", "link-local"),
        ("2001:db8::dead (eth0)", "deprecated"),
        ("2001:db8:1:0:", "temporary"),
        ("198.51.100.7 (eth0)", "another interface"),
        ("fe80::", "link-local"),
    ];
    for (what, why) in skipped {
        let told = |line: &str| line.contains("skips") && line.contains(what) && line.contains(why);
        assert!(ran.stderr.lines().any(told), "{what}: {why}\n{ran}");
    }
    for name in expected {
        let (kind, name) = name.split_once(':').unwrap();
        let told = kind == "IP Address" && name.contains(':') || ran.stderr.contains(&format!("takes {name} ("));
        assert!(told, "{name} was taken without a word\n{ran}");
    }
}

#[test]
fn names_that_were_given_come_first_and_once() {
    require_root!();
    require!("ip", "unshare", "openssl");
    let Some(space) = Namespace::new("127.0.0.1 localhost\n") else { return note_skip("no network namespaces") };
    space.must("link set lo up");
    let sandbox = Sandbox::new();
    let ran = space.dockseal(&sandbox, "box", "request daemon dial.example.com localhost --detect --out d").success();
    let expected =
        ["DNS:dial.example.com", "DNS:localhost", "DNS:box", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"];
    assert_eq!(names(&sandbox, "d/request.csr"), expected, "{ran}");
}

#[test]
fn a_machine_without_a_network_and_a_name_has_nothing_to_take() {
    require_root!();
    require!("ip", "unshare");
    let Some(space) = Namespace::new("") else { return note_skip("no network namespaces") };
    let sandbox = Sandbox::new();
    let ran = space.dockseal(&sandbox, "localhost", "request daemon --detect --out d");
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(!sandbox.path("d").exists());
}
