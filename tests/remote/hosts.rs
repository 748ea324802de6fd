//! The hosts themselves: that what the other tests stand on holds.

use std::fs;
use std::path::Path;

use dockseal_tests::{Cable, HostOptions, Operator, require_hosts};

#[test]
fn two_hosts_boot_side_by_side_and_leave_nothing() {
    require_hosts!();
    let operator = Operator::new();
    let hosts = operator.boot_all(&[HostOptions::named("box"), HostOptions::named("crate")]);
    assert_ne!(hosts[0].address(), hosts[1].address());
    for host in &hosts {
        assert_eq!(host.sh("systemctl is-active docker docker.socket").success().stdout, "active\nactive\n");
        assert_eq!(host.sh("hostname").success().stdout.trim(), host.name());
        let version = host.sh("docker version --format '{{.Server.Version}}'").success().stdout;
        assert!(version.starts_with("20.10."), "{version}");
        let daemon_json = fs::read_to_string(host.file("/etc/docker/daemon.json")).unwrap();
        assert_eq!(host.sh("cat /etc/docker/daemon.json").success().stdout, daemon_json);
        assert!(daemon_json.contains("\"vfs\""));
        assert_eq!(host.sh_as("deploy", "sudo -n id -u").success().stdout, "0\n");
        let _ = host.sh_as("wheel", "sudo -n id -u").failure().says("a password is required");
        assert_eq!(host.sh_as("wheel", "echo correct horse | sudo -S -p '' id -u").success().stdout, "0\n");
        // A restart works as on any server.
        let _ = host.sh("systemctl restart docker && docker version").success();
    }
    // By address too, and with the system's own rules about unknown keys.
    let by_address = |host: &str| operator.program("ssh").args(["-o", "BatchMode=yes", host, "id", "-un"]).run();
    assert_eq!(by_address(&format!("deploy@{}", hosts[0].address())).success().stdout, "deploy\n");
    let _ = by_address("root@10.99.250.250").failure();

    hosts[0].cable(Cable::Out);
    let _ = operator.program("ssh").args(["-o", "ConnectTimeout=1", hosts[0].name(), "true"]).run().exits(255);
    hosts[0].cable(Cable::In);
    let _ = hosts[0].sh("true").success();

    let roots: Vec<_> = hosts.iter().map(|host| host.root()).collect();
    let networks: Vec<_> = hosts.iter().map(|host| host.address().rsplit_once('.').unwrap().0.to_owned()).collect();
    drop(hosts);
    for root in &roots {
        assert!(!root.exists());
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(root.to_str().unwrap()), "{mounts}");
    }
    for network in &networks {
        let slot = network.rsplit_once('.').unwrap().1;
        // Another test may have taken the slot at once.
        if let Some(_lock) = lock(slot) {
            assert!(!Path::new(&format!("/run/netns/dst{slot}")).exists());
            assert!(!Path::new(&format!("/sys/class/net/dst{slot}")).exists());
        }
    }
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        assert!(!roots.iter().any(|root| line.contains(root.to_str().unwrap())), "{line} still runs");
    }
}

fn lock(slot: &str) -> Option<fs::File> {
    let lock = fs::File::open(Path::new("/run/lock/dockseal-test-hosts").join(slot)).unwrap();
    lock.try_lock().is_ok().then_some(lock)
}
