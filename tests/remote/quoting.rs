//! Names, paths and settings with every kind of character, through ssh, sudo, systemd and the shells on the way.

use dockseal_tests::{note_skip, require, require_hosts};
use serde_json::Value;

use crate::far::{Far, Here};

/// The words with which dockerd runs.
fn words(far: &Far) -> Vec<String> {
    let hex = far.sh("od -An -v -tx1 </proc/$(pidof dockerd)/cmdline | tr -d ' \\n'").success().stdout;
    let bytes: Vec<u8> =
        (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    String::from_utf8(bytes).unwrap().trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

#[test]
fn what_others_set_stays_to_the_byte() {
    require_hosts!();
    let far = Far::take();
    let here = Here::new();
    let text = "{\n\t\"iptables\" : false, \"bridge\":\"none\",\n      \"storage-driver\":\"vfs\"  ,\n\
        \"log-opts\": {\"max-size\": \"10m\",\n   \"tag\": \"{{.Name}}/%n $HOME ${X} `id` 'q' \\\"d\\\" \\\\ \\u00fc ü 雪, end\"},\n\
        \"data-root\": \"/srv/it's a \\\"root\\\" $HOME ü\",\r\n \"shutdown-timeout\": 15}\n";
    let path = "/srv/co nf/it's $HOME, ü\u{1f40b}.json";
    far.put(path, text, 0o600);
    let _ = far.sh("rm /etc/docker/daemon.json").success();
    far.put(
        "/etc/systemd/system/docker.service.d/with spaces.conf",
        "[Service]\nEnvironment=\"PLAIN=a b\" MORE=c\nExecStart=\nExecStart=/usr/sbin/dockerd -H fd:// \\\n# between\n  \
         --label \"a b=c $$HOME %%n\" --label 'it\"s=1' --label=x=$MORE $MORE_OPTS \"--label=one=${PLAIN}\" \\\n  \
         --label u=\\xc3\\xbc\\tt --config-file \"/srv/co nf/it's $$HOME, ü\u{1f40b}.json\"\n",
        0o644,
    );
    let _ = far.sh("systemctl daemon-reload; systemctl reset-failed docker; systemctl restart docker || { journalctl --no-pager -n 20 >&2; exit 1; }").success();
    let before = words(&far);
    assert!(before.contains(&"--label=one=a b".to_owned()) && before.contains(&"it\"s=1".to_owned()), "{before:?}");
    // dockerd lists its labels in no order.
    let info = || {
        far.sh("docker info --format '{{range .Labels}}{{println .}}{{end}}{{.DockerRootDir}}' | sort").success().stdout
    };
    let shown = info();
    assert!(shown.contains("it\"s=1") && shown.contains("/srv/it's a \"root\" $HOME ü"), "{shown}");

    let out = "o u't \"d\" $HOME, ü";
    let ran = here
        .bootstrap(&format!("deploy@{}", far.name()), &["--client", "Ann O. Nymous+ci@x", "--out", out])
        .run()
        .success();
    let after = words(&far);
    let kept: Vec<&String> = before.iter().filter(|word| !["-H", "fd://"].contains(&word.as_str())).collect();
    assert_eq!(after.iter().collect::<Vec<_>>(), kept, "{ran}");
    assert_eq!(info(), shown);
    // Their values are the very octets, whatever ways of writing there are.
    let now = std::fs::read_to_string(far.file(path)).unwrap();
    let opts = text.split_once("\"log-opts\": ").unwrap().1.split_once(", end\"}").unwrap().0;
    for value in [opts, "\"/srv/it's a \\\"root\\\" $HOME ü\""] {
        assert!(now.contains(value), "{value}: {now}");
    }
    let (old, new): (Value, Value) = (serde_json::from_str(text).unwrap(), serde_json::from_str(&now).unwrap());
    for (key, value) in old.as_object().unwrap() {
        assert_eq!(&new[key], value, "{key}");
    }
    assert_eq!(far.sh("stat -c '%a %U' /srv/co*/*").success().stdout, "600 root\n");
    assert!(!far.file("/etc/docker/daemon.json").exists());
    for client in ["alice", "Ann O. Nymous+ci@x"] {
        let directory = here.sandbox.path(out).join("clients").join(client);
        let _ = here.docker(far.address(), &directory, &["version"]).success();
    }
    let plain = here
        .bootstrap(&format!("deploy@{}", far.name()), &["--client", "Ann O. Nymous+ci@x", "--out", out, "--no-context"])
        .run()
        .success()
        .says("Nothing to do");
    // What they say to type can be typed.
    for ran in [&ran, &plain] {
        let line = ran.stdout.split_once("Now, from here:\n").unwrap().1.lines().next().unwrap().trim().to_owned();
        for shell in ["sh", "bash", "zsh"] {
            if dockseal_tests::tool(shell).is_some() {
                let _ = here.program(shell).args(["-c", &line]).run().success();
            }
        }
    }
    assert!(plain.stdout.contains("DOCKER_CERT_PATH="), "{plain}");
}

#[test]
fn login_shells() {
    require_hosts!();
    require!("docker");
    let far = Far::take();
    let here = Here::new();
    let shells = ["/bin/bash", "/bin/dash", "/usr/bin/fish", "/usr/bin/tcsh", "/usr/bin/zsh", "/usr/bin/ksh"];
    let there: Vec<&str> =
        shells.iter().copied().filter(|shell| far.sh(&format!("test -x {shell}")).code == Some(0)).collect();
    if there.len() < shells.len() {
        note_skip(&format!("the hosts have only {there:?}; tests/setup builds them anew"));
    }
    for (at, shell) in there.iter().enumerate() {
        let user = format!("u{at}");
        // Start-up files that print, as many do.
        let _ = far
            .sh(&format!(
                "id {user} 2>/dev/null || useradd -m -s {shell} {user}; mkdir -p /home/{user}/.ssh /home/{user}/.config/fish; cp /root/.ssh/authorized_keys /home/{user}/.ssh; \
                 for f in .bashrc .zshenv .tcshrc .kshrc .config/fish/config.fish; do echo 'echo welcome' >/home/{user}/$f; done; \
                 chown -R {user} /home/{user}; echo '{user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{user}; chmod 440 /etc/sudoers.d/{user}"
            ))
            .success();
        let target = format!("{user}@{}", far.name());
        let seen = here.dockseal(["host", "inspect", &target]).run().success();
        assert!(seen.stdout.contains("sudo") && seen.stdout.contains("20.10"), "{shell}: {seen}");
        let _ = here.bootstrap(&target, &["--dry-run"]).run().success().says("a new certificate");
    }
    far.assert_untouched("dry runs");
    let last = there.len() - 1;
    let _ = here.bootstrap(&format!("u{last}@{}", far.name()), &[]).run().success();
    here.assert_reaches(&far);
}
