//! `--layout`: the trees of docker:dind, BuildKit and registries, as they are made, refused, renewed, rolled over, brought
//! back, checked and killed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use dockseal_tests::{Random, Sandbox, public_key_of_certificate, public_key_of_key, require, tree};
use rustix::process::{Pid, Signal, kill_process};

use crate::{refused_with_hint, with_authority};

/// A layout, how both sides are issued into `the tree`, and what is in it then, without the authority's directory of dind.
struct Kind {
    name: &'static str,
    daemon: &'static [&'static str],
    client: &'static [&'static str],
    /// Each bundle's directory, then its anchors, chain and key.
    bundles: [(&'static str, [&'static str; 3]); 2],
}

const TREE: &str = "the tree";
const DOCKER: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];
const KINDS: [Kind; 3] = [
    Kind {
        name: "dind",
        daemon: &["issue", "daemon", "h.test", "--layout", "dind"],
        client: &["issue", "client", "ci", "--layout", "dind"],
        bundles: [("server", DOCKER), ("client", DOCKER)],
    },
    Kind {
        name: "buildkitd",
        daemon: &["issue", "daemon", "h.test", "--layout", "buildkitd"],
        client: &["issue", "client", "ci", "--layout", "buildkitd"],
        bundles: [("daemon", DOCKER), ("client", DOCKER)],
    },
    Kind {
        name: "registry",
        daemon: &["issue", "daemon", "h.test", "--layout", "registry"],
        client: &["issue", "client", "ci", "--layout", "registry", "--registry", "h.test:5000"],
        bundles: [
            ("registry", ["ca.crt", "domain.crt", "domain.key"]),
            ("certs.d/h.test:5000", ["ca.crt", "client.cert", "client.key"]),
        ],
    },
];

impl Kind {
    fn issue(&self, sandbox: &Sandbox) {
        for side in [self.daemon, self.client] {
            let _ = sandbox.dockseal(side).args(["--out", TREE]).run().success();
        }
    }

    fn paths(&self, sandbox: &Sandbox) -> [[PathBuf; 3]; 2] {
        let tree = sandbox.path(TREE);
        self.bundles.map(|(directory, names)| names.map(|name| tree.join(directory).join(name)))
    }

    /// Both bundles are whole, alone in their directories, and their keys are nobody else's.
    fn assert_whole(&self, sandbox: &Sandbox, when: &str) {
        for ((directory, names), [anchors, chain, key]) in self.bundles.iter().zip(self.paths(sandbox)) {
            let there = tree(&sandbox.path(TREE).join(directory));
            let mut expected = names.map(|name| format!("./{name}"));
            expected.sort();
            assert_eq!(there.paths(), expected, "{}, {directory}, {when}", self.name);
            assert_eq!(
                public_key_of_certificate(&chain),
                public_key_of_key(&key),
                "{}, {directory}, {when}",
                self.name
            );
            let _ = sandbox.openssl(["verify".as_ref(), "-CAfile".as_ref(), anchors.as_os_str(), chain.as_os_str()]);
            let mode = there.0[&PathBuf::from(format!("./{}", names[2]))].0;
            assert_eq!(mode & 0o077, 0, "{}, {directory}, {when}: key {mode:o}", self.name);
        }
    }

    fn serials(&self, sandbox: &Sandbox) -> Vec<String> {
        let serial = |chain: &Path| {
            sandbox.openssl(["x509".as_ref(), "-noout".as_ref(), "-serial".as_ref(), "-in".as_ref(), chain.as_os_str()])
        };
        self.paths(sandbox).iter().map(|[_, chain, _]| serial(chain)).collect()
    }
}

#[test]
fn every_layout_is_made_renewed_brought_back_and_checked() {
    require!("openssl", "python3");
    for kind in &KINDS {
        let sandbox = with_authority();
        kind.issue(&sandbox);
        kind.assert_whole(&sandbox, "issued");
        let issued = kind.serials(&sandbox);
        let layouts = sandbox.inventory("SELECT layout FROM destination");
        assert_eq!(layouts, [kind.name, kind.name]);

        let _ = sandbox.dockseal(["renew", "--all"]).run().success();
        kind.assert_whole(&sandbox, "renewed");
        let renewed = kind.serials(&sandbox);
        assert!(issued.iter().zip(&renewed).all(|(before, after)| before != after), "{issued:?} {renewed:?}");
        let _ = sandbox.dockseal(["inventory", "check"]).run().success();

        let _ = sandbox.dockseal(["rollback", "ci"]).run().success();
        kind.assert_whole(&sandbox, "brought back");
        assert_eq!(kind.serials(&sandbox), [renewed[0].clone(), issued[1].clone()]);
        let _ = sandbox.dockseal(["inventory", "check"]).run().success();

        // Without an inventory the files tell.
        let rebuilt = sandbox.dockseal(["inventory", "rebuild", "--replace", TREE]).run().success();
        assert!(rebuilt.stdout.contains("in 2 directories"), "{rebuilt}");
        let _ = sandbox.dockseal(["renew", "--all"]).run().success();
        kind.assert_whole(&sandbox, "renewed after a rebuild");
        let _ = sandbox.dockseal(["inventory", "check"]).run().success();
    }
}

#[test]
fn every_layout_is_rolled_over() {
    require!("openssl");
    for kind in &KINDS {
        let sandbox = with_authority();
        kind.issue(&sandbox);
        let anchors = |sandbox: &Sandbox| -> Vec<usize> {
            let read = |path: &PathBuf| fs::read_to_string(path).unwrap().matches("BEGIN").count();
            kind.paths(sandbox).iter().map(|[anchors, ..]| read(anchors)).collect()
        };
        for (step, expected) in [("begin", 2), ("advance", 2), ("finish", 1)] {
            let _ = sandbox.dockseal(["rollover", step]).run().success();
            assert_eq!(anchors(&sandbox), [expected; 2], "{} {step}", kind.name);
            kind.assert_whole(&sandbox, step);
        }
        let link = sandbox.path(TREE).join("ca/cert.pem");
        assert_eq!(link.symlink_metadata().is_ok(), kind.name == "dind");
        if kind.name == "dind" {
            assert_eq!(fs::read(link).unwrap(), fs::read(sandbox.path(TREE).join("server/ca.pem")).unwrap());
        }
    }
}

/// What docker:dind's script makes of a tree is in the oracles.
#[test]
fn dind_is_made_at_once_and_for_the_names_that_it_is_dialled_by() {
    require!("openssl");
    let sandbox = with_authority();
    let ran = sandbox.dockseal(KINDS[0].daemon).args(["--client", "ci", "--out", TREE]).run().success();
    KINDS[0].assert_whole(&sandbox, "made at once");
    assert!(ran.stdout.contains("DOCKER_TLS_CERTDIR"), "{ran}");
    let top = tree(&sandbox.path(TREE));
    let text = top.to_string();
    assert_eq!(
        text,
        "dir  0755 .\ndir  0700 ca\nlink 0777 ca/cert.pem\ndir  0700 client\nfile 0444 client/ca.pem\n\
         file 0444 client/cert.pem\nfile 0600 client/key.pem\ndir  0700 server\nfile 0444 server/ca.pem\n\
         file 0444 server/cert.pem\nfile 0400 server/key.pem\n"
    );
    let names = sandbox.openssl(["x509", "-noout", "-ext", "subjectAltName", "-in", "the tree/server/cert.pem"]);
    assert!(names.contains("DNS:h.test, DNS:docker, DNS:localhost"), "{names}");
    // Once is enough, also where it is asked for twice, and no name needs to be given.
    let _ = sandbox.dockseal(["issue", "daemon", "docker", "--layout", "dind", "--out", "twice"]).run().success();
    let names = sandbox.openssl(["x509", "-noout", "-ext", "subjectAltName", "-in", "twice/server/cert.pem"]);
    assert_eq!(names.matches("DNS:").count(), 2, "{names}");
    let _ = sandbox.dockseal(["issue", "daemon", "--layout", "dind", "--out", "none"]).run().success();

    // The second time both are there, and both can be replaced.
    let again = sandbox.dockseal(KINDS[0].daemon).args(["--client", "ci", "--out", TREE]);
    refused_with_hint(&again.run(), &[1]);
    top.assert_same(&tree(&sandbox.path(TREE)), "refused");
    let replace = sandbox.dockseal(KINDS[0].daemon).args(["--client", "ci", "--out", TREE, "--replace"]);
    let _ = replace.run().success();
    KINDS[0].assert_whole(&sandbox, "replaced");
}

#[test]
fn json_has_both_sides() {
    let sandbox = with_authority();
    let ran = sandbox
        .dockseal(["--format", "json"])
        .args(KINDS[1].daemon)
        .args(["--client", "ci", "--out", TREE])
        .run()
        .success();
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(json["directory"], sandbox.path("the tree/daemon").to_str().unwrap());
    assert_eq!(json["others"][0]["directory"], sandbox.path("the tree/client").to_str().unwrap());
    assert_eq!(json["others"][0]["certificate"]["role"], "client");
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_changed() {
    let sandbox = with_authority();
    let dind = sandbox.path("dind");
    fs::create_dir_all(dind.join("ca")).unwrap();
    fs::write(dind.join("ca/key.pem"), "its own").unwrap();
    sandbox.write("theirs/registry/notes.txt", "mine");
    sandbox.write("file", "mine");
    fs::create_dir_all(sandbox.path("linked")).unwrap();
    symlink("../elsewhere", sandbox.path("linked/server")).unwrap();
    let registry = ["issue", "client", "ci", "--layout", "registry", "--out", "etc"];
    let named = |host: &'static str| [&registry[..], &["--registry", host]].concat();
    let cases: Vec<(Vec<&str>, &[i32])> = vec![
        (vec!["issue", "daemon", "h.test", "--layout", "dind", "--out", "dind"], &[1]),
        (vec!["issue", "client", "ci", "--layout", "dind", "--out", "dind"], &[1]),
        (vec!["issue", "daemon", "h.test", "--layout", "dind", "--out", "linked"], &[1, 2]),
        (vec!["issue", "daemon", "h.test", "--layout", "dind", "--out", "file"], &[1, 2]),
        (vec!["issue", "daemon", "h.test", "--layout", "registry", "--out", "theirs"], &[1]),
        (vec!["issue", "daemon", "h.test", "--client", "ci", "--out", "x"], &[2]),
        (vec!["issue", "daemon", "h.test", "--registry", "h.test:5000", "--layout", "registry", "--out", "x"], &[2]),
        (vec!["issue", "client", "ci", "--registry", "h.test:5000", "--out", "x"], &[2]),
        (vec!["issue", "daemon", "--layout", "buildkitd", "--out", "x"], &[1, 2]),
        (registry.to_vec(), &[2]),
        (named("https://h.test:5000"), &[2]),
        (named("h.test:5000/v2"), &[2]),
        (named(".."), &[2]),
        (named("../../etc:1"), &[2]),
        (named("h.test:99999"), &[2]),
        (named("library"), &[2]),
        (named(""), &[2]),
    ];
    let before = tree(&sandbox.work());
    for (line, codes) in cases {
        println!("{line:?}");
        refused_with_hint(&sandbox.dockseal(&line).run(), codes);
        before.assert_same(&tree(&sandbox.work()), line.join(" "));
    }
}

/// A registry's directory is not taken for docker's, nor docker's for a registry's.
#[test]
fn layouts_do_not_mix_in_one_directory() {
    let sandbox = with_authority();
    KINDS[2].issue(&sandbox);
    let before = tree(&sandbox.work());
    let docker = ["issue", "daemon", "h.test", "--replace", "--out", "the tree/registry"];
    refused_with_hint(&sandbox.dockseal(docker).run(), &[1]);
    before.assert_same(&tree(&sandbox.work()), "docker's into a registry's");
    let _ = sandbox.dockseal(["issue", "daemon", "h.test", "--out", "plain/registry"]).run().success();
    let before = tree(&sandbox.work());
    let registry = ["issue", "daemon", "h.test", "--layout", "registry", "--replace", "--out", "plain"];
    refused_with_hint(&sandbox.dockseal(registry).run(), &[1]);
    before.assert_same(&tree(&sandbox.work()), "a registry's into docker's");
}

#[test]
fn many_clients_of_a_registry() {
    require!("openssl");
    let sandbox = with_authority();
    let many = ["issue", "clients", "a", "b", "c", "--layout", "registry", "--registry", "h.test", "--out", "many"];
    let _ = sandbox.dockseal(many).run().success();
    for user in ["a", "b", "c"] {
        let directory = sandbox.path("many").join(user).join("certs.d/h.test");
        assert_eq!(tree(&directory).paths(), ["./ca.crt", "./client.cert", "./client.key"]);
    }
    let again = sandbox.dockseal(many).run().success();
    assert_eq!(again.stdout.matches("kept").count(), 3, "{again}");
}

#[test]
fn killed_at_random_instants() {
    require!("openssl");
    for (kind, seed) in KINDS.iter().zip(40..) {
        let mut random = Random::seeded(seed);
        let sandbox = with_authority();
        kind.issue(&sandbox);
        let replace = [kind.daemon, &["--out", TREE, "--replace"][..]].concat();
        let mut killed = 0;
        // Follows the machine's load: longer while runs are killed, shorter when one was done before its kill.
        let mut span = Duration::from_millis(60);
        for n in 0..24 {
            let line = if n % 2 == 0 { vec!["renew", "--all"] } else { replace.clone() };
            let mut child = sandbox.dockseal(&line).start_quietly();
            thread::sleep(Duration::from_micros(random.below(u64::try_from(span.as_micros()).unwrap())));
            let _ = kill_process(Pid::from_child(&child), Signal::KILL);
            let in_time = child.wait().unwrap().code().is_none();
            killed += usize::from(in_time);
            span = if in_time { span * 21 / 20 } else { span * 4 / 5 };
            kind.assert_whole(&sandbox, &format!("kill {n} of {line:?}"));
        }
        println!("{}: {killed} of 24 runs were killed before their end", kind.name);
        assert!(killed > 6, "only {killed} runs were killed: the delays do not fit");
        let _ = sandbox.dockseal(["renew", "--all"]).run().success();
        kind.assert_whole(&sandbox, "the next run");
        let _ = sandbox.dockseal(["inventory", "check"]).run().success();
        assert_eq!(tree(&sandbox.path(TREE)).leftovers(), Vec::<String>::new());
    }
}
