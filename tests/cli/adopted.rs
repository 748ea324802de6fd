//! Authorities that openssl made and kept, adopted: what they issued and revoked before counts here too.

use std::fs;

use dockseal_tests::{Ran, Sandbox, require};

use crate::{home, refused_with_hint};

/// What `openssl ca` is told, as its manual's example does.
const CONFIGURATION: &str = "[ca]\ndefault_ca = office\n[office]\ndatabase = old/index.txt\nserial = old/serial\n\
    crlnumber = old/crlnumber\nnew_certs_dir = old/newcerts\ncertificate = old/cacert.pem\nprivate_key = old/cakey.pem\n\
    default_md = sha256\ndefault_days = 300\ndefault_crl_days = 30\nunique_subject = no\npolicy = any\nemail_in_dn = yes\n\
    [any]\norganizationName = optional\norganizationalUnitName = optional\ncommonName = optional\nemailAddress = optional\n";
const CLIENT: &str = "extendedKeyUsage = clientAuth";

/// An authority in `old` that `openssl ca` keeps and that counts from this serial.
fn openssl_office(first: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("ca.cnf", CONFIGURATION);
    sandbox.write("old/index.txt", "");
    sandbox.write("old/serial", format!("{first}\n"));
    sandbox.write("old/crlnumber", "03EC\n");
    fs::create_dir(sandbox.path("old/newcerts")).unwrap();
    let line = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout old/cakey.pem -out old/cacert.pem -days 3000 \
                -subj /O=Office/CN=Old -addext keyUsage=critical,keyCertSign,cRLSign";
    let _ = sandbox.openssl(line.split_whitespace());
    sandbox
}

fn openssl_ca(sandbox: &Sandbox, line: &str) {
    let _ = sandbox.openssl("ca -batch -config ca.cnf".split(' ').chain(line.split(' ')));
}

/// Has openssl issue a bundle into this directory; its serial comes back as openssl prints it.
fn openssl_issues(sandbox: &Sandbox, directory: &str, subject: &str, extensions: &str) -> String {
    sandbox.write(format!("{directory}/extensions"), format!("{extensions}\n"));
    let key = format!(
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {directory}/key.pem -out {directory}/csr"
    );
    let _ = sandbox.openssl(key.split(' ').chain(["-subj", subject]));
    openssl_ca(
        sandbox,
        &format!("-notext -in {directory}/csr -out {directory}/cert.pem -extfile {directory}/extensions"),
    );
    fs::copy(sandbox.path("old/cacert.pem"), sandbox.path(format!("{directory}/ca.pem"))).unwrap();
    for file in ["extensions", "csr"] {
        fs::remove_file(sandbox.path(format!("{directory}/{file}"))).unwrap();
    }
    let serial = sandbox.openssl(["x509", "-noout", "-serial", "-in", &format!("{directory}/cert.pem")]);
    serial.trim().strip_prefix("serial=").unwrap().to_owned()
}

fn openssl_revokes(sandbox: &Sandbox, directory: &str, reason: &str) {
    openssl_ca(sandbox, &format!("-revoke {directory}/cert.pem -crl_reason {reason}"));
    openssl_ca(sandbox, "-gencrl -out old/crl.pem");
}

/// What openssl reads in a list: its serials, and its number.
fn listed(sandbox: &Sandbox, file: &str) -> (Vec<String>, String) {
    let text = sandbox.openssl(["crl", "-in", file, "-noout", "-text"]);
    let serials = text.lines().filter_map(|line| line.trim().strip_prefix("Serial Number: ")).map(str::to_owned);
    let number = sandbox.openssl(["crl", "-in", file, "-noout", "-crlnumber"]);
    (serials.collect(), number.trim().to_owned())
}

fn run(sandbox: &Sandbox, line: &str) -> Ran {
    sandbox.dockseal(line.split(' ')).run()
}

fn adopt(sandbox: &Sandbox) -> Ran {
    run(sandbox, "adopt --ca old/cacert.pem --key old/cakey.pem --no-passphrase").success()
}

/// The state of whoever goes by this name.
fn state(sandbox: &Sandbox, name: &str) -> Vec<String> {
    sandbox.inventory(&format!("SELECT state FROM certificate WHERE name = '{name}'"))
}

/// Serials are numbers, however few octets they have: who was revoked by one stays revoked.
#[test]
fn revoked_by_a_short_serial_is_revoked() {
    require!("openssl", "python3");
    for first in ["01", "7F", "80", "0ABC", "1000", "FFFE"] {
        let sandbox = openssl_office(first);
        let mallory = openssl_issues(&sandbox, "mallory", "/CN=mallory", CLIENT);
        assert_eq!(mallory, first);
        let alice = openssl_issues(&sandbox, "alice", "/CN=alice", CLIENT);
        // Somebody is called like mallory's number.
        let _ = openssl_issues(&sandbox, "namesake", &format!("/CN={mallory}"), CLIENT);
        openssl_revokes(&sandbox, "mallory", "keyCompromise");
        let before = listed(&sandbox, "old/crl.pem").0;
        assert_eq!(before, [mallory.as_str()]);
        let _ = adopt(&sandbox);
        fs::copy(sandbox.path("old/crl.pem"), home(&sandbox).join("crl.pem")).unwrap();
        let _ = run(&sandbox, "inventory rebuild --replace mallory alice namesake")
            .success()
            .says("1 are revoked by crl.pem, 0 ");
        assert_eq!(state(&sandbox, "mallory"), ["revoked"], "{first}");
        assert_eq!(state(&sandbox, &mallory), ["issued"], "{first}");
        refused_with_hint(&run(&sandbox, "renew mallory"), &[1]);
        let ran = run(&sandbox, "renew --all").success();
        assert!(!ran.stdout.contains("client mallory"), "{ran}");
        let _ = run(&sandbox, "crl --out new.pem").success();
        assert_eq!(listed(&sandbox, "new.pem").0, before);

        // By number, as openssl prints it.
        let _ = run(&sandbox, &format!("revoke {alice}")).success();
        let _ = run(&sandbox, "crl --out new.pem").success();
        assert_eq!(listed(&sandbox, "new.pem").0, [mallory, alice]);
    }
}

/// Every way in which people copy a number, and no name that only looks like one.
#[test]
fn a_short_serial_is_found_however_it_is_written() {
    require!("openssl", "python3");
    let sandbox = openssl_office("0ADA");
    assert_eq!(openssl_issues(&sandbox, "alice", "/CN=alice", CLIENT), "0ADA");
    let _ = adopt(&sandbox);
    let _ = run(&sandbox, "inventory rebuild --replace alice").success();
    for text in ["0ADA", "0ada", "0xADA", "0xada", "0A:DA", "0a:da", "00000ADA", "00:0A:DA", "client/0ADA"] {
        assert_eq!(state(&sandbox, "alice"), ["issued"]);
        let _ = run(&sandbox, &format!("revoke --no-crl {text}")).success().says("serial 0ADA");
        sandbox.change_inventory("UPDATE certificate SET state = 'issued', revoked_at = NULL, reason = NULL");
    }
    // Ada may be somebody, who is just not known here.
    for text in ["ada", "Ada", "daemon/0ADA", "0ADB", "ADA0"] {
        refused_with_hint(&run(&sandbox, &format!("revoke --no-crl {text}")), &[2]);
    }
    assert_eq!(state(&sandbox, "alice"), ["issued"]);
}
