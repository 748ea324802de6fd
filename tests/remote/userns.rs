//! `--userns-remap` on a host: judged by dockerd's rules before anything is written, and done.

use dockseal_tests::require_hosts;

use crate::far::{Far, Here};

#[test]
fn refused_in_dockerds_words_or_done() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    let target = format!("root@{}", far.name());

    for (remap, why) in [
        ("nobody-there", "no such"),
        ("a:b:c", "Invalid user/group specification in --userns-remap"),
        ("daemon:daemon", "no subuid ranges found for user"),
    ] {
        let ran = here.bootstrap(&target, &["--userns-remap", remap]).run().exits(1);
        assert!(ran.stderr.contains("dockerd would not start with --userns-remap"), "{}", ran.stderr);
        // dockerd itself, on that host.
        let said = far.sh(&format!(
            "dockerd --userns-remap {remap} --data-root /root/try --exec-root /root/run -p /root/pid -H unix:///root/s 2>&1 | \
             tail -n 1; rm -rf /root/try /root/run /root/s"
        ));
        let said = said.stdout.trim().trim_start_matches("failed to start daemon: ").to_owned();
        assert!(!said.is_empty(), "dockerd takes {remap}");
        assert!(said.contains(why) || why == "no such", "{said}");
        assert!(ran.stderr.contains(&said), "dockerd says {said:?}: {}", ran.stderr);
        far.assert_untouched(remap);
    }

    // A directory on the way that lets nobody through.
    let daemon_json = far.file("/etc/docker/daemon.json");
    let whole = std::fs::read_to_string(&daemon_json).unwrap();
    std::fs::write(&daemon_json, whole.replacen('{', "{\"data-root\": \"/srv/shut/in/docker\",", 1)).unwrap();
    let _ = far.sh("mkdir -p /srv/shut/in && chmod 755 /srv/shut/in && chmod 700 /srv/shut").success();
    let ran = here.bootstrap(&target, &["--userns-remap", "default"]).run().exits(1);
    assert!(ran.stderr.contains("chmod o+x /srv/shut\n"), "{}", ran.stderr);
    let said = far.sh(
        "dockerd --userns-remap default --exec-root /root/run -p /root/pid -H unix:///root/s 2>&1 | tail -n 1; \
         rm -rf /root/run /root/s /srv/shut; userdel dockremap; groupdel dockremap; sed -i /^dockremap:/d /etc/subuid /etc/subgid",
    );
    let said = said.stdout.trim().trim_start_matches("failed to start daemon: ").to_owned();
    assert!(said.contains("graphroot path") && ran.stderr.contains(&said), "dockerd says {said:?}: {}", ran.stderr);
    std::fs::write(&daemon_json, &whole).unwrap();
    far.assert_untouched(&ran);

    let ran = here.bootstrap(&target, &["--userns-remap", "default"]).run().success();
    assert!(ran.stderr.contains("images, containers and volumes move to /var/lib/docker/"), "{}", ran.stderr);
    let security = far.sh("docker info --format '{{.SecurityOptions}} {{.DockerRootDir}}'").success().stdout;
    assert!(security.contains("name=userns"), "{security}");
    let root = security.trim().rsplit(' ').next().unwrap();
    assert!(ran.stderr.contains(root), "{root}: {}", ran.stderr);
    let again = here.bootstrap(&target, &["--userns-remap", "default"]).run().success();
    assert!(again.stdout.contains("Nothing to do"), "{}", again.stdout);
    let _ = here.dockseal(["host", "remove", target.as_str(), "--yes"]).run().success();
    let security = far.sh("docker info --format '{{.SecurityOptions}}'").success().stdout;
    assert!(!security.contains("name=userns"), "{security}");
    let _ = far.sh("userdel dockremap; groupdel dockremap; rm -rf /var/lib/docker/[0-9]*");
}

/// The host's own names go into its certificate, and a context of a name of ours leads there.
#[test]
fn names_of_the_host_and_a_context() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    let target = format!("root@{}", far.name());
    let _ = here.bootstrap(&target, &["--detect", "--context", "far.one"]).run().success();
    let names = far.sh("openssl x509 -in /etc/docker/tls/cert.pem -noout -ext subjectAltName").success().stdout;
    assert!(names.contains(&format!("DNS:{}", far.name())), "{names}");
    assert!(names.contains(&format!("IP Address:{}", far.address())), "{names}");
    let ran = here.program("docker").args(["--context", "far.one", "version", "--format", "{{.Server.Version}}"]).run();
    assert!(ran.success().stdout.starts_with("20.10."));
    let _ = here.dockseal(["host", "rotate", target.as_str()]).run().success();
    let _ = here.program("docker").args(["--context", "far.one", "ps"]).run().success();
    // What docker made under that name is somebody else's.
    let _ = here.dockseal(["context", "remove", "far.one"]).run().success();
    let _ = here
        .program("docker")
        .args(["context", "create", "far.one", "--docker", "host=tcp://10.99.0.9:2376"])
        .run()
        .success();
    let ran = here.bootstrap(&target, &["--detect", "--context", "far.one"]).run().success();
    assert!(ran.stderr.contains("there is another context of that name"), "{}", ran.stderr);
    let _ = here.bootstrap(&target, &["--context", "-x"]).run().exits(2);
}
