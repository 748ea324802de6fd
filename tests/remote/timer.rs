//! `dockseal timer` under a systemd that runs a machine: this program, on the host itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockseal_tests::{dockseal_binary, require_hosts};

use crate::far::Far;

#[test]
fn renews_on_a_machine_of_its_own() {
    require_hosts!();
    let far = Far::take();
    let there = far.file("/srv/dockseal");
    let _ = fs::copy(dockseal_binary(), &there).unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
    // Two thirds of its life are gone.
    let dockseal =
        "export HOME=/srv/home; mkdir -p $HOME; cd /srv; d() { ./dockseal --authority '/srv/of ours' \"$@\"; }\n";
    let _ = far
        .sh(&format!(
            "{dockseal} then=$(date -u -d '50 minutes ago' +%FT%TZ)\n\
             d --at $then init --no-passphrase && d --at $then issue client alice --lifetime 1h --out '/srv/to use'"
        ))
        .success();
    let serial = || far.sh("openssl x509 -noout -serial -in '/srv/to use/cert.pem'").success().stdout;
    let first = serial();
    let installed = far.sh(&format!("{dockseal} d timer --install --exec 'id -un >/srv/who'")).success();
    let timers = far.sh("systemctl list-timers --no-legend dockseal-renew.timer").success();
    assert!(timers.stdout.contains("dockseal-renew.service"), "{installed}{timers}");
    assert_eq!(serial(), first, "it was not to run at once");

    let log = "journalctl --no-pager -o cat -u dockseal-renew.service";
    let ran = far.sh(&format!("systemctl start dockseal-renew.service; status=$?; {log}; exit $status")).success();
    assert_ne!(serial(), first, "{ran}");
    assert!(ran.stdout.contains("renewed client alice"), "{ran}");
    assert_eq!(far.sh("cat /srv/who").stdout, "root\n", "{ran}");
    let second = serial();
    let _ = far.sh("systemctl start dockseal-renew.service").success();
    assert_eq!(serial(), second, "nothing was due");

    // What cannot be done fails the unit, which is what people watch.
    let _ = far.sh("mv '/srv/of ours' /srv/away").success();
    let ran = far.sh(&format!("systemctl start dockseal-renew.service; status=$?; {log}; exit $status")).failure();
    assert!(ran.stdout.contains("error:"), "{ran}");
    let _ = far.sh("mv /srv/away '/srv/of ours'").success();

    let _ = far.sh(&format!("{dockseal} d timer --remove")).success();
    assert_eq!(
        far.sh("ls /etc/systemd/system | grep dockseal; systemctl list-timers --no-legend 'dockseal*'").stdout,
        ""
    );
    far.reset();
}

/// Hosts over ssh need the network, ssh's own files, and none of what a unit is kept from. The host is its own operator here.
#[test]
fn renews_a_host_over_ssh() {
    require_hosts!();
    let far = Far::take();
    let there = far.file("/srv/dockseal");
    let _ = fs::copy(dockseal_binary(), &there).unwrap();
    fs::set_permissions(&there, fs::Permissions::from_mode(0o755)).unwrap();
    let address = far.address();
    let dockseal = "export HOME=/root; cd /srv; d() { ./dockseal --authority /srv/ours \"$@\"; }\n";
    let _ = far
        .sh(&format!(
            "{dockseal} cp -a /root/.ssh /srv/ssh-before && ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519\n\
             cat /root/.ssh/id_ed25519.pub >>/root/.ssh/authorized_keys && ssh-keyscan {address} >/root/.ssh/known_hosts\n\
             d --at $(date -u -d '50 minutes ago' +%FT%TZ) \\\n\
             bootstrap --ssh root@{address} --client alice --yes --no-passphrase --lifetime 1h && d timer --install"
        ))
        .success();
    let serial =
        "timeout 20 openssl s_client -connect 127.0.0.1:2376 </dev/null 2>/dev/null | openssl x509 -noout -serial";
    let served = || far.sh(serial).success().stdout;
    let first = served();
    let log = "journalctl --no-pager -o cat -u dockseal-renew.service";
    let start = format!("systemctl start dockseal-renew.service; status=$?; {log}; exit $status");
    // Two thirds of its life are gone.
    let ran = far.sh(&start).success();
    let second = served();
    assert_ne!(second, first, "{ran}");
    assert!(ran.stdout.contains(&format!("root@{address}")), "{ran}");
    let ran = far.sh(&start).success();
    assert_eq!(served(), second, "nothing was due: {ran}");

    // A host that does not answer fails the unit, which is what people watch.
    let _ = far
        .sh(&format!("{dockseal} d host rotate root@{address} --at $(date -u -d '50 minutes ago' +%FT%TZ)"))
        .success();
    let ran = far.sh(&format!("mv /root/.ssh/id_ed25519 /root/.ssh/away; {start}")).failure();
    assert!(ran.stdout.contains("cause:") && ran.stdout.contains("ermission denied"), "{ran}");
    let _ = far.sh("rm -rf /root/.ssh /root/.docker && mv /srv/ssh-before /root/.ssh").success();
    let _ = far.sh(&format!("{dockseal} d timer --remove")).success();
    far.reset();
}
