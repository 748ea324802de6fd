//! One authority takes over from another while daemons and clients are updated in any order: the real docker and
//! dockerd, openssl and our own judge on every pair of stages.
//!
//! What an endpoint has is a copy of its directory as it was at some moment, which is how people deploy: the authority's
//! machine is ahead, and each host and user follows when somebody gets to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use dockseal_tests::{Bundle, Dockerd, DockerdOptions, Random, Sandbox, require, require_root, tool};
use dockseal_verify::{Material, Scenario, judge};
use time::OffsetDateTime;

/// Not yet updated; both anchors; both anchors and a new certificate; the new anchor alone.
const STAGES: usize = 4;

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn run(sandbox: &Sandbox, line: &str) {
    let _ = sandbox.dockseal(line.split(' ')).run().success();
}

fn material(directory: &Path) -> Material {
    let [ca, cert, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| fs::read(directory.join(name)).unwrap());
    Material::from_bytes("", ca, cert, key)
}

fn judge_accepts(daemon: &Path, client: &Path) -> bool {
    let scenario = Scenario::mutual("localhost");
    judge(&material(daemon), &material(client), &scenario, OffsetDateTime::now_utc()).is_accepted()
}

/// Whether who has `anchors` accepts `own`, by openssl.
fn openssl_accepts(sandbox: &Sandbox, anchors: &Path, own: &Path, purpose: &str) -> bool {
    let cert = own.join("cert.pem");
    let program =
        sandbox.program("openssl").args(["verify", "-purpose", purpose, "-CAfile"]).arg(anchors.join("ca.pem"));
    program.arg("-untrusted").arg(&cert).arg(&cert).run().code == Some(0)
}

fn docker_accepts(daemon: &Dockerd, client: &Path) -> bool {
    daemon.docker("localhost", client, ["version", "--format", "{{.Server.Version}}"]).run().code == Some(0)
}

/// A daemon and a client of an authority that is there already, as they are at each stage.
fn stages(sandbox: &Sandbox, leaf_key: &str) -> Vec<[PathBuf; 2]> {
    run(sandbox, &format!("issue daemon localhost 127.0.0.1 --key {leaf_key} --out daemon"));
    run(sandbox, &format!("issue client alice --key {leaf_key} --out client"));
    let steps = ["", "rollover begin", "rollover advance", "rollover finish"];
    (0..STAGES)
        .map(|stage| {
            if stage > 0 {
                run(sandbox, steps[stage]);
            }
            ["daemon", "client"].map(|who| {
                let kept = sandbox.path(format!("stage-{stage}/{who}"));
                copy(&sandbox.path(who), &kept);
                kept
            })
        })
        .collect()
}

/// Every daemon with every client, by docker, the judge and openssl.
fn all_pairs(sandbox: &Sandbox, stages: &[[PathBuf; 2]], expected: impl Fn(usize, usize) -> bool) {
    for (d, [daemon, _]) in stages.iter().enumerate() {
        let running = Dockerd::start(&DockerdOptions { material: Bundle(daemon.clone()), ipv6: false });
        for (c, [_, client]) in stages.iter().enumerate() {
            let wanted = expected(d, c);
            let pair = format!("daemon at stage {d}, client at stage {c}");
            assert_eq!(docker_accepts(&running, client), wanted, "docker: {pair}\n{}", running.log());
            assert_eq!(judge_accepts(daemon, client), wanted, "the judge: {pair}");
            let by_openssl = openssl_accepts(sandbox, client, daemon, "sslserver")
                && openssl_accepts(sandbox, daemon, client, "sslclient");
            assert_eq!(by_openssl, wanted, "openssl: {pair}");
        }
    }
}

/// Who still has an old certificate is refused by who has lost the old anchor, which is what finish waits for; all the
/// rest goes on working.
fn in_any_order(daemon: usize, client: usize) -> bool {
    !(daemon == 3 && client <= 1 || client == 3 && daemon <= 1)
}

/// Without a cross-certificate a new certificate is for those alone who trust the new anchor.
fn trust_first(daemon: usize, client: usize) -> bool {
    in_any_order(daemon, client) && !(daemon >= 2 && client == 0 || client >= 2 && daemon == 0)
}

fn by_openssl(sandbox: &Sandbox, basic_constraints: &str) {
    sandbox.openssl(
        format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout old-key.pem -out old.pem -days 3000 \
             -subj /CN=Old -addext basicConstraints=critical,{basic_constraints} -addext keyUsage=critical,keyCertSign,cRLSign"
        )
        .split(' '),
    );
}

#[test]
fn daemons_and_clients_at_every_stage_understand_each_other() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    for (authority, leaf) in [("p256", "p256"), ("rsa2048", "rsa2048")] {
        let sandbox = Sandbox::new();
        run(&sandbox, &format!("init --no-passphrase --key {authority}"));
        all_pairs(&sandbox, &stages(&sandbox, leaf), in_any_order);
    }
}

#[test]
fn an_adopted_authority_of_unlimited_path_length_needs_no_gate() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    by_openssl(&sandbox, "CA:TRUE");
    run(&sandbox, "adopt --ca old.pem --key old-key.pem --no-passphrase");
    all_pairs(&sandbox, &stages(&sandbox, "p256"), in_any_order);
}

#[test]
fn an_authority_of_path_length_0_goes_through_its_gate() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    by_openssl(&sandbox, "CA:TRUE,pathlen:0");
    run(&sandbox, "adopt --ca old.pem --key old-key.pem --no-passphrase");
    all_pairs(&sandbox, &stages(&sandbox, "p256"), trust_first);
}

/// An issuer below an anchor that is somebody else's: the cross-certificate stands below both.
#[test]
fn an_issuer_below_an_anchor_rolls_over() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    for (path_length, expected) in [(2, in_any_order as fn(usize, usize) -> bool), (1, trust_first)] {
        let sandbox = Sandbox::new();
        by_openssl(&sandbox, &format!("CA:TRUE,pathlen:{path_length}"));
        sandbox.write("ext", "basicConstraints=critical,CA:TRUE,pathlen:1\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n");
        for line in [
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout below-key.pem -out below.csr -subj /CN=Below",
            "x509 -req -days 2000 -sha256 -in below.csr -CA old.pem -CAkey old-key.pem -CAcreateserial -out below.pem -extfile ext",
        ] {
            sandbox.openssl(line.split(' '));
        }
        let chain = [fs::read(sandbox.path("below.pem")).unwrap(), fs::read(sandbox.path("old.pem")).unwrap()].concat();
        sandbox.write("chain.pem", chain);
        run(&sandbox, "adopt --ca chain.pem --key below-key.pem --no-passphrase");
        all_pairs(&sandbox, &stages(&sandbox, "p256"), expected);
    }
}

/// Why there is a gate at all: docker counts a cross-certificate, made here by openssl alone.
#[test]
fn docker_counts_a_cross_certificate_as_an_intermediate() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    for (basic_constraints, room) in [("CA:TRUE,pathlen:0", false), ("CA:TRUE,pathlen:1", true)] {
        let sandbox = Sandbox::new();
        by_openssl(&sandbox, basic_constraints);
        let authority =
            "keyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
        sandbox.write("cross.ext", format!("basicConstraints=critical,CA:TRUE,pathlen:0\n{authority}"));
        let leaf = "basicConstraints=CA:FALSE\nkeyUsage=critical,digitalSignature\nauthorityKeyIdentifier=keyid\nextendedKeyUsage=";
        sandbox.write("daemon.ext", format!("{leaf}serverAuth\nsubjectAltName=DNS:localhost\n"));
        sandbox.write("client.ext", format!("{leaf}clientAuth\n"));
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        let sign = "x509 -req -days 30 -sha256 -CAcreateserial";
        for line in [
            format!("req {key} -keyout new-key.pem -out new.csr -subj /CN=New"),
            format!("{sign} -in new.csr -CA old.pem -CAkey old-key.pem -out cross.pem -extfile cross.ext"),
            format!("req {key} -keyout daemon.key -out daemon.csr -subj /CN=localhost"),
            format!("{sign} -in daemon.csr -CA cross.pem -CAkey new-key.pem -out daemon.crt -extfile daemon.ext"),
            format!("req {key} -keyout client.key -out client.csr -subj /CN=alice"),
            format!("{sign} -in client.csr -CA old.pem -CAkey old-key.pem -out client.crt -extfile client.ext"),
        ] {
            sandbox.openssl(line.split(' '));
        }
        let read = |name: &str| fs::read(sandbox.path(name)).unwrap();
        for (who, chain) in
            [("daemon", [read("daemon.crt"), read("cross.pem")].concat()), ("client", read("client.crt"))]
        {
            sandbox.write(format!("{who}/ca.pem"), read("old.pem"));
            sandbox.write(format!("{who}/cert.pem"), chain);
            sandbox.write(format!("{who}/key.pem"), read(&format!("{who}.key")));
        }
        let (daemon, client) = (sandbox.path("daemon"), sandbox.path("client"));
        let running = Dockerd::start(&DockerdOptions { material: Bundle(daemon.clone()), ipv6: false });
        let ran = running.docker("localhost", &client, ["version"]).run();
        assert_eq!(ran.code == Some(0), room, "{ran}");
        assert!(room || ran.holds("too many intermediates"), "{ran}");
        assert_eq!(judge_accepts(&daemon, &client), room, "the judge");
    }
}

/// A dockerd that reads the recorded directory itself: what it would have to have read is waited for, and nobody is ever
/// refused.
#[test]
fn a_dockerd_that_was_not_restarted_is_waited_for() {
    require!("dockerd", "docker", "openssl");
    require_root!();
    for room in [true, false] {
        let sandbox = Sandbox::new();
        by_openssl(&sandbox, if room { "CA:TRUE" } else { "CA:TRUE,pathlen:0" });
        run(&sandbox, "adopt --ca old.pem --key old-key.pem --no-passphrase");
        run(&sandbox, "bootstrap localhost --client alice --out host");
        let (daemon, client) = (sandbox.path("host/daemon"), sandbox.path("host/clients/alice"));
        let start = || Dockerd::start(&DockerdOptions { material: Bundle(daemon.clone()), ipv6: false });
        let mut running = Some(start());
        let works = |running: &Option<Dockerd>, when: &str| {
            let running = running.as_ref().unwrap();
            assert!(docker_accepts(running, &client), "{room}: {when}: {}", running.log());
        };
        let waits = |line: &str| {
            let _ = sandbox.dockseal(["rollover", line]).run().exits(1).says("still works with the files before these");
        };
        run(&sandbox, "rollover begin");
        works(&running, "begun");
        waits("status");
        if !room {
            waits("advance");
            works(&running, "advance waited");
            drop(running.take());
            running = Some(start());
        }
        run(&sandbox, "rollover advance");
        works(&running, "advanced");
        waits("finish");
        works(&running, "finish waited");
        drop(running.take());
        running = Some(start());
        let status = sandbox.dockseal(["rollover", "status"]).run().exits(1);
        assert!(!status.holds("To be restarted"), "{status}");
        run(&sandbox, "rollover finish");
        works(&running, "finished");
    }
}

const DAEMONS: [&str; 3] = ["one.test", "two.test", "three.test"];
const CLIENTS: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

/// Everybody's deployed copy, and, for daemons of the sample, the dockerd that was started with it.
struct Fleet {
    sandbox: Sandbox,
    running: BTreeMap<&'static str, Dockerd>,
    with_docker: bool,
}

impl Fleet {
    fn new(with_docker: bool) -> Self {
        let sandbox = Sandbox::new();
        run(&sandbox, "init --no-passphrase");
        for name in DAEMONS {
            run(&sandbox, &format!("issue daemon {name} localhost --out {name}"));
        }
        for name in CLIENTS {
            run(&sandbox, &format!("issue client {name} --out {name}"));
        }
        let mut fleet = Self { sandbox, running: BTreeMap::new(), with_docker };
        fleet.everybody().for_each(|name| fleet.deploy(name));
        fleet
    }

    fn everybody(&self) -> impl Iterator<Item = &'static str> + use<> {
        DAEMONS.into_iter().chain(CLIENTS)
    }

    fn deployed(&self, name: &str) -> PathBuf {
        self.sandbox.path("deployed").join(name)
    }

    /// Somebody gets to it: the files are copied, a daemon is restarted.
    fn deploy(&mut self, name: &'static str) {
        let deployed = self.deployed(name);
        copy(&self.sandbox.path(name), &deployed);
        if self.with_docker && DAEMONS.contains(&name) {
            self.running.remove(name);
            let daemon = Dockerd::start(&DockerdOptions { material: Bundle(deployed), ipv6: false });
            self.running.insert(name, daemon);
        }
    }

    fn all_work(&self, when: &str) {
        for daemon in DAEMONS {
            for client in CLIENTS {
                let (d, c) = (self.deployed(daemon), self.deployed(client));
                assert!(judge_accepts(&d, &c), "{when}: the judge: {client} with {daemon}");
                if let Some(running) = self.running.get(daemon) {
                    assert!(docker_accepts(running, &c), "{when}: {client} with {daemon}\n{}", running.log());
                }
            }
        }
    }
}

/// All of these, in an order of their own.
fn shuffled(random: &mut Random, mut names: Vec<&'static str>) -> Vec<&'static str> {
    for last in (1..names.len()).rev() {
        names.swap(last, usize::try_from(random.below(last as u64 + 1)).unwrap());
    }
    names
}

/// A whole roll-over: certificates are made one by one, copies follow when they like, and nobody ever fails.
fn whole_roll_over(random: &mut Random, with_docker: bool) {
    let mut fleet = Fleet::new(with_docker);
    let everybody: Vec<&str> = fleet.everybody().collect();
    fleet.all_work("before");
    run(&fleet.sandbox, "rollover begin");
    fleet.all_work("begun");
    // Some get the anchors early, others only with their new certificate.
    for name in shuffled(random, everybody.clone()) {
        if random.below(2) == 0 {
            fleet.deploy(name);
            fleet.all_work(&format!("{name} trusts both"));
        }
    }
    for name in shuffled(random, everybody.clone()) {
        run(&fleet.sandbox, &format!("rollover advance {name}"));
        fleet.all_work(&format!("a new certificate for {name}"));
        // Somebody, perhaps this one.
        let next = everybody[usize::try_from(random.below(everybody.len() as u64)).unwrap()];
        fleet.deploy(next);
        fleet.all_work(&format!("{next} was updated"));
    }
    for name in shuffled(random, everybody.clone()) {
        fleet.deploy(name);
        fleet.all_work(&format!("{name} has all but the end"));
    }
    run(&fleet.sandbox, "rollover finish");
    for name in shuffled(random, everybody) {
        fleet.deploy(name);
        fleet.all_work(&format!("{name} is done"));
    }
}

#[test]
fn whole_roll_overs_in_random_orders_by_the_judge() {
    let mut random = Random::seeded(4);
    for _ in 0..8 {
        whole_roll_over(&mut random, false);
    }
}

#[test]
fn a_whole_roll_over_with_the_real_docker() {
    require!("dockerd", "docker");
    require_root!();
    assert!(tool("docker").is_some());
    whole_roll_over(&mut Random::seeded(5), true);
}
