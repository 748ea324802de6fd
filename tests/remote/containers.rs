//! Containers that run while dockerd restarts.

use std::fs;

use dockseal_tests::{busybox_image, require, require_hosts};

use crate::far::{Far, Here};

const RUNNING: &str = "docker inspect -f '{{.State.Status}} {{.State.Pid}} {{.State.StartedAt}}' keeps";

/// Starts a container that does nothing for long.
fn start(far: &Far, here: &Here) -> String {
    let image = busybox_image(&here.sandbox);
    fs::copy(here.sandbox.path("image/bin/sh"), here.sandbox.path("image/bin/sleep")).unwrap();
    let _ =
        here.program("tar").arg("-C").arg(here.sandbox.path("image")).arg("-cf").arg(&image).arg(".").run().success();
    fs::copy(image, far.file("/root/image.tar")).unwrap();
    let _ = far.sh("for d in /sys/fs/cgroup/*; do mountpoint -q $d && mount -o remount,bind,rw $d; done; true");
    let _ = far
        .sh("docker import /root/image.tar box:1 && rm /root/image.tar && docker run -d --name keeps --network host box:1 /bin/sleep 100000")
        .success();
    let running = far.sh(RUNNING).success().stdout;
    assert!(running.starts_with("running "), "{running}");
    running
}

fn end(far: &Far) {
    let _ = far.sh("docker rm -f keeps; docker rmi box:1");
}

#[test]
fn they_run_on_with_live_restore() {
    require_hosts!();
    require!("docker", "busybox");
    let far = Far::take();
    let here = Here::new();
    let target = format!("root@{}", far.name());
    // It is on already.
    far.put(
        "/etc/docker/daemon.json",
        r#"{"iptables": false, "bridge": "none", "storage-driver": "vfs", "live-restore": true}"#,
        0o644,
    );
    let _ = far.sh("systemctl restart docker").success();
    let running = start(&far, &here);
    let ran = here.bootstrap(&target, &[]).run().success().says("run on while dockerd restarts");
    assert_eq!(far.sh(RUNNING).success().stdout, running, "{ran}");
    here.assert_reaches(&far);
    let _ = here.docker(far.address(), &here.alice(&far), &["exec", "keeps", "/bin/sleep", "0"]).success();
    end(&far);
    drop(far);

    // It is off: said, with what to do first.
    let far = Far::take();
    let here = Here::new();
    let target = format!("root@{}", far.name());
    let running = start(&far, &here);
    for more in [&[][..], &["--live-restore"]] {
        let _ = here
            .bootstrap(&target, more)
            .arg("--dry-run")
            .run()
            .success()
            .says("stop while dockerd restarts")
            .says("systemctl reload docker");
    }
    far.put(
        "/etc/docker/daemon.json",
        r#"{"iptables": false, "bridge": "none", "storage-driver": "vfs", "live-restore": true}"#,
        0o644,
    );
    let _ = far.sh("systemctl reload docker && sleep 1").success();
    let ran = here.bootstrap(&target, &[]).run().success();
    assert_eq!(far.sh(RUNNING).success().stdout, running, "{ran}");
    here.assert_reaches(&far);
    end(&far);
}
