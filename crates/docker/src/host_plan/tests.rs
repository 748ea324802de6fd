//! Plans for hosts whose facts are written down here.

use super::*;
use crate::{exec_start::UnitText, host::DaemonProcess};

const PACKAGED: &str = "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS";

fn aim() -> Aim {
    Aim { listen: None, replace: false, live_restore: false, userns_remap: None }
}

fn file(path: &str, text: &str) -> HostFile {
    HostFile {
        path: path.to_owned(),
        kind: Some(FileKind::Regular),
        mode: 0o644,
        contents: Some(text.as_bytes().to_vec()),
        ..HostFile::default()
    }
}

/// Debian's docker.io with systemd, started by `line`.
fn host(line: &str) -> HostFacts {
    let unit = format!("[Service]\nExecStart={line}\n");
    HostFacts {
        init: Init::Systemd,
        flavour: Flavour::Package,
        docker_version: Some("Docker version 28.5.2, build x".to_owned()),
        unit: Some(UnitText { files: vec![("/lib/systemd/system/docker.service".to_owned(), unit)] }),
        daemons: vec![running(line)],
        daemon_json: HostFile { path: DAEMON_JSON.to_owned(), ..HostFile::default() },
        drop_in: HostFile { path: DROP_IN.to_owned(), ..HostFile::default() },
        late_drop_in: HostFile { path: LATE_DROP_IN.to_owned(), ..HostFile::default() },
        record: HostFile { path: RECORD.to_owned(), ..HostFile::default() },
        writable: true,
        ..HostFacts::default()
    }
}

/// The same without daemon.json's help: `$DOCKER_OPTS` is empty.
fn running(line: &str) -> DaemonProcess {
    let argv = line.split(' ').filter(|word| !word.starts_with('$')).map(str::to_owned).collect();
    DaemonProcess { pid: 1, user: 0, argv, environment: Vec::new() }
}

fn with_json(line: &str, json: &str) -> HostFacts {
    HostFacts { daemon_json: file(DAEMON_JSON, json), ..host(line) }
}

/// The host after the plan was carried out.
fn after(facts: &HostFacts, plan: &HostPlan) -> HostFacts {
    let mut facts = facts.clone();
    for change in &plan.files {
        let new = match &change.after {
            Some(text) => file(&change.path, text),
            None => HostFile { path: change.path.clone(), ..HostFile::default() },
        };
        match change.path.as_str() {
            DAEMON_JSON => facts.daemon_json = new,
            RECORD => facts.record = new,
            DROP_IN => facts.drop_in = new,
            LATE_DROP_IN => facts.late_drop_in = new,
            other => panic!("{other}"),
        }
        if let Some(unit) = &mut facts.unit
            && change.path.ends_with(".conf")
        {
            unit.files.retain(|(path, _)| *path != change.path);
            unit.files.extend(change.after.iter().map(|text| (change.path.clone(), text.clone())));
        }
    }
    let lines = facts.unit.as_ref().map(|unit| unit.exec_start().0).unwrap_or_default();
    facts.daemons = lines.iter().map(|line| running(line)).collect();
    facts
}

#[test]
fn files_of_others_are_theirs_wherever_they_lie() {
    for (key, path) in [
        ("tlscert", "/etc/docker/tls/server.pem"),
        ("tlskey", "/etc/docker/tls/cert.pem"),
        ("tlscacert", "/etc/docker/tls/theirs/ca.pem"),
        ("tlscacert", "/etc/docker/tls/../tls/ca.pem"),
    ] {
        let facts = with_json(PACKAGED, &format!("{{\"tlsverify\": true, \"{key}\": \"{path}\"}}"));
        match install(&facts, &aim()) {
            Err(PlanRefusal::OtherTls(what)) => assert_eq!(what, format!("{key} is {path} in daemon.json")),
            other => panic!("{path}: {other:?}"),
        }
        assert!(install(&facts, &Aim { replace: true, ..aim() }).is_ok());
    }
    // Laid there by hand, as `dockseal bootstrap` without --ssh has it.
    let facts = with_json("/usr/sbin/dockerd", &crate::daemon_json::fragment(INSTALL_DIRECTORY));
    assert!(install(&facts, &aim()).is_ok());
}

fn text(plan: &HostPlan, path: &str) -> Option<String> {
    plan.files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path}: {plan:?}")).after.clone()
}

#[test]
fn what_others_add_later_is_no_reason_to_change_anything_and_stays() {
    let was = "{\"mtu\":1450,   \"iptables\": false}";
    let facts = with_json(PACKAGED, was);
    let first = install(&facts, &aim()).unwrap();
    let mut installed = after(&facts, &first);
    assert_eq!(install(&installed, &aim()).unwrap().files, []);
    assert_eq!(text(&remove(&installed).unwrap(), DAEMON_JSON).as_deref(), Some(was));

    let edited = text(&first, DAEMON_JSON).unwrap().replacen('{', "{\n  \"debug\": true,", 1);
    installed.daemon_json = file(DAEMON_JSON, &edited);
    assert_eq!(install(&installed, &aim()).unwrap().files, []);
    let without_ours = "{\n  \"debug\": true,\n  \"mtu\": 1450,\n  \"iptables\": false\n}\n";
    assert_eq!(text(&remove(&installed).unwrap(), DAEMON_JSON).as_deref(), Some(without_ours));

    // Nor does a second change make it ours.
    let second = install(&installed, &Aim { live_restore: true, ..aim() }).unwrap();
    let twice = after(&installed, &second);
    assert_eq!(text(&remove(&twice).unwrap(), DAEMON_JSON).as_deref(), Some(without_ours));

    // In a value of ours, theirs cannot be told apart: nothing is taken out.
    let listens = edited.replacen("tcp://0.0.0.0:2376", "tcp://0.0.0.0:2376\", \"unix:///srv/x.sock", 1);
    let theirs = HostFacts { daemon_json: file(DAEMON_JSON, &listens), ..installed.clone() };
    assert_eq!(install(&theirs, &aim()).unwrap().files, []);
    let twice = after(&theirs, &install(&theirs, &Aim { live_restore: true, ..aim() }).unwrap());
    for facts in [theirs, twice] {
        assert!(matches!(remove(&facts), Err(PlanRefusal::ChangedSince { key }) if key == "hosts"));
    }
}

#[test]
fn dockerd_is_asked_about_the_arguments_that_it_will_have() {
    for (line, at_install, at_removal) in [
        (PACKAGED, &["--containerd=/run/containerd/containerd.sock"][..], &["--host=fd://"][..]),
        ("/usr/bin/env dockerd --debug $OPTS -H fd:// --mtu 1450", &["--debug", "--mtu", "1450"], &["--host=fd://"]),
        // What is not known goes with its flag, and what is written in another way is what it means.
        (
            "/usr/bin/dockerd --label a=$A --label ${B} --mtu=1450 --label \"c=$$C %%d\" --data-root=/srv/%H -s vfs",
            &["--mtu=1450", "--label", "c=$C %d", "-s", "vfs"],
            &[],
        ),
        ("/usr/local/sbin/dockerd-of-ours --debug", &["--debug"], &[]),
    ] {
        let facts = host(line);
        let plan = install(&facts, &aim()).unwrap();
        assert_eq!(plan.arguments, at_install, "{line}");
        let removal = remove(&after(&facts, &plan)).unwrap();
        assert_eq!(removal.arguments, [at_install, at_removal].concat(), "{line}");
    }

    // Where an init script starts it, what runs is all that is known, and has no program in it.
    let mut facts = HostFacts { unit: None, init: Init::OpenRc, ..host("dockerd --mtu 1450 -p /run/dockerd") };
    let plan = install(&facts, &aim()).unwrap();
    assert_eq!(plan.arguments, ["--mtu", "1450", "-p", "/run/dockerd"]);
    facts = HostFacts { daemons: facts.daemons.clone(), ..after(&facts, &plan) };
    assert_eq!(remove(&facts).unwrap().arguments, plan.arguments);
}

#[test]
fn flags_about_tls_that_were_replaced_come_back() {
    let facts = host("/usr/bin/dockerd -H tcp://0.0.0.0:2376 --tlsverify --tlscert=/srv/c.pem");
    let plan = install(&facts, &Aim { replace: true, ..aim() }).unwrap();
    assert_eq!(plan.arguments, [""; 0]);
    let removal = remove(&after(&facts, &plan)).unwrap();
    assert_eq!(removal.arguments, ["--host=tcp://0.0.0.0:2376", "--tlsverify", "--tlscert=/srv/c.pem"]);
}

/// The host with another drop-in, as systemd orders them.
fn with_drop_in(facts: &HostFacts, name: &str, line: Option<&str>) -> HostFacts {
    let mut facts = facts.clone();
    let unit = facts.unit.as_mut().unwrap();
    let path = format!("/etc/systemd/system/docker.service.d/{name}");
    unit.files.retain(|(other, _)| *other != path);
    unit.files.extend(line.map(|line| (path, format!("[Service]\nExecStart=\nExecStart={line}\n"))));
    let file_name = |path: &str| path.rsplit('/').next().map(str::to_owned);
    unit.files.get_mut(1..).unwrap_or_default().sort_by_key(|(path, _)| file_name(path));
    facts
}

#[test]
fn both_drop_ins_go() {
    let first = after(&host(PACKAGED), &install(&host(PACKAGED), &aim()).unwrap());
    assert!(first.drop_in.kind.is_some() && first.late_drop_in.kind.is_none());
    // Somebody's drop-in comes after ours, which then comes after that.
    let overridden = with_drop_in(&first, "override.conf", Some("/usr/bin/dockerd -H fd:// --debug"));
    let plan = install(&overridden, &aim()).unwrap();
    assert!(text(&plan, LATE_DROP_IN).unwrap().contains("ExecStart=/usr/bin/dockerd --debug\n"));
    let both = after(&overridden, &plan);
    let paths = |plan: &HostPlan| plan.files.iter().map(|file| file.path.clone()).collect::<Vec<_>>();
    let removal = remove(&both).unwrap();
    assert_eq!(paths(&removal), [DAEMON_JSON, DROP_IN, LATE_DROP_IN, RECORD]);
    assert!(removal.files.iter().all(|file| file.after.is_none()));

    // When theirs is gone, what was made of it has the last word no more.
    let gone = with_drop_in(&both, "override.conf", None);
    let plan = install(&gone, &aim()).unwrap();
    assert_eq!(paths(&plan), [LATE_DROP_IN]);
    assert_eq!(text(&plan, LATE_DROP_IN), None);
}

fn listening(address: &str) -> Aim {
    Aim { listen: Some(address.parse().unwrap()), ..aim() }
}

#[test]
fn where_it_is_wished_to_listen() {
    // What we put there ourselves moves; a second wish for the same changes nothing.
    let mut facts = host(PACKAGED);
    for (address, listener) in [
        (None, "tcp://0.0.0.0:2376"),
        (Some("10.0.0.5"), "tcp://10.0.0.5:2376"),
        (None, "tcp://10.0.0.5:2376"),
        (Some("fd00::5"), "tcp://[fd00::5]:2376"),
        (Some("::"), "tcp://[::]:2376"),
    ] {
        let aim = address.map_or_else(aim, listening);
        let plan = install(&facts, &aim).unwrap();
        assert_eq!(plan.hosts, ["fd://", listener], "{address:?}");
        facts = after(&facts, &plan);
        assert_eq!(install(&facts, &aim).unwrap().files, [], "{address:?}");
    }
    assert_eq!(text(&remove(&facts).unwrap(), DAEMON_JSON), None);

    // What others put there stays, unless both cannot be.
    for (theirs, address, both) in [
        ("tcp://0.0.0.0:2376", "10.0.0.5", false),
        ("0.0.0.0:2376", "10.0.0.5", false),
        ("tcp://[::]:2376", "10.0.0.5", false),
        ("tcp://10.0.0.5:2376", "0.0.0.0", false),
        ("tcp://build.internal:2376", "10.0.0.5", false),
        ("tcp://[fe80::1%eth0]:2376", "::", false),
        ("tcp://10.0.0.6:2376", "10.0.0.5", true),
        ("tcp://localhost:2376", "10.0.0.5", true),
        ("tcp://10.0.0.5", "10.0.0.5", true),
        ("tcp://10.0.0.5:2377", "10.0.0.5", true),
    ] {
        let ours =
            if address.contains(':') { format!("tcp://[{address}]:2376") } else { format!("tcp://{address}:2376") };
        for facts in [
            host(&format!("/usr/bin/dockerd -H fd:// -H {theirs}")),
            with_json(PACKAGED, &format!("{{\"hosts\": [\"fd://\", \"{theirs}\"]}}")),
        ] {
            match install(&facts, &listening(address)) {
                Ok(plan) if both => assert_eq!(plan.hosts, ["fd://", theirs, &ours]),
                Err(PlanRefusal::ListensElsewhere { host, .. }) if !both => {
                    assert_eq!(host, theirs);
                    let plan = install(&facts, &Aim { replace: true, ..listening(address) }).unwrap();
                    assert_eq!(plan.hosts, ["fd://", &ours]);
                }
                other => panic!("{theirs} and {address}: {other:?}"),
            }
        }
    }
    // It is there already.
    let facts = with_json(PACKAGED, "{\"hosts\": [\"fd://\", \"tcp://10.0.0.5:2376\"]}");
    assert_eq!(install(&facts, &listening("10.0.0.5")).unwrap().hosts, ["fd://", "tcp://10.0.0.5:2376"]);
}

#[test]
fn what_it_listens_on_after_removal() {
    for (line, json, hosts) in [
        (PACKAGED, None, &["fd://"][..]),
        ("/usr/bin/dockerd", None, &["unix:///var/run/docker.sock"]),
        // TLS and no host at all (moby opts/hosts.go ParseHost).
        ("/usr/bin/dockerd", Some("{\"tlsverify\": true}"), &["tcp://localhost:2376"]),
        (
            "/usr/bin/dockerd",
            Some("{\"hosts\": [\"unix:///x\", \"tcp://0.0.0.0:2375\"]}"),
            &["unix:///x", "tcp://0.0.0.0:2375"],
        ),
    ] {
        let facts = json.map_or_else(|| host(line), |json| with_json(line, json));
        let installed = after(&facts, &install(&facts, &aim()).unwrap());
        assert_eq!(remove(&installed).unwrap().hosts, hosts, "{line} {json:?}");
    }
}

#[test]
fn a_swarm_has_no_live_restore() {
    let facts = HostFacts { in_swarm: true, containers: Some(3), ..host(PACKAGED) };
    let refusal = install(&facts, &Aim { live_restore: true, ..aim() }).unwrap_err();
    assert_eq!(refusal.to_string(), "it is a node of a swarm, where live-restore cannot be used");
    assert!(install(&facts, &aim()).is_ok());
}

#[test]
fn programs_in_the_place_of_dockerd() {
    let refusal = |facts: &HostFacts| install(facts, &aim()).unwrap_err().to_string();
    // One that hands everything on, before and after.
    let line = "/usr/local/sbin/dockerd-of-ours -H fd:// --containerd=/run/containerd/containerd.sock";
    let facts = host(line);
    let plan = install(&facts, &aim()).unwrap();
    assert!(text(&plan, DROP_IN).unwrap().contains("ExecStart=/usr/local/sbin/dockerd-of-ours --containerd="));
    assert_eq!(install(&after(&facts, &plan), &aim()).unwrap().files, []);
    // One that has something else in mind, and one of which nothing can be known.
    let other = HostFacts { daemons: vec![running("dockerd -H fd:// -H tcp://0.0.0.0:2375")], ..host(line) };
    let why = "it starts /usr/local/sbin/dockerd-of-ours, and no dockerd runs with the same flags";
    assert!(refusal(&other).ends_with(why), "{}", refusal(&other));
    assert!(refusal(&HostFacts { daemons: Vec::new(), ..host(line) }).ends_with(why));
    // What only mentions it.
    for line in ["/usr/bin/run -H fd:// --log=/var/log/dockerd.log", "/usr/bin/run -H fd:// /var/log/dockerd.log"] {
        let facts = HostFacts { daemons: vec![running("dockerd --mtu 1400")], ..host(line) };
        assert!(refusal(&facts).starts_with("the command line of docker.service cannot be changed: it "), "{line}");
    }
    assert!(install(&HostFacts { daemons: Vec::new(), ..host(PACKAGED) }, &aim()).is_ok());
}

#[test]
fn a_configuration_of_which_nobody_knows_where_it_is() {
    let refused = |facts: &HostFacts| match install(facts, &aim()) {
        Err(PlanRefusal::ExecStart(why)) => why.starts_with("which file --config-file "),
        _ => false,
    };
    assert!(refused(&host("/usr/bin/dockerd --config-file daemon.json")));
    let stopped = |line| HostFacts { daemons: Vec::new(), ..host(line) };
    assert!(refused(&stopped("/usr/bin/dockerd --config-file=/etc/$CONF")));
    assert!(refused(&stopped("/usr/bin/dockerd --config-file /etc/%H.json")));
    assert!(!refused(&stopped("/usr/bin/dockerd --config-file=/etc/d.json")));
    // It runs, so its arguments tell.
    let runs =
        HostFacts { daemons: vec![running("dockerd --config-file=/d.json")], ..host("/bin/dockerd --config-file=$C") };
    assert!(!refused(&runs));
}

#[test]
fn refusals_are_fit_to_be_shown() {
    for facts in [
        with_json(PACKAGED, "{\"tlscert\": \"/srv/\\u001b[31m.pem\"}"),
        with_json(PACKAGED, "{\"a\\u001b\": 1, \"a\\u001b\": 2}"),
        host("/usr/bin/run \u{1b}[31m"),
        host("/usr/bin/dockerd --tlscert=\u{1b}[31m"),
    ] {
        let text = install(&facts, &aim()).unwrap_err().to_string();
        assert!(!text.contains(char::is_control) && text.contains("u{1b}"), "{text:?}");
    }
}

#[test]
fn a_record_that_is_gone() {
    let fresh = with_json("/usr/bin/dockerd -H fd:// $DOCKER_OPTS", "{\"bip\": \"10.9.0.1/24\"}");
    let mut installed = after(&fresh, &install(&fresh, &aim()).unwrap());
    installed.record = HostFile { path: RECORD.to_owned(), ..HostFile::default() };
    // Nothing is to be done, and all can be taken out all the same.
    assert_eq!(install(&installed, &aim()).unwrap().files, []);
    let removed = remove(&installed).unwrap();
    assert_eq!(text(&removed, DAEMON_JSON).as_deref(), Some("{\n  \"bip\": \"10.9.0.1/24\"\n}\n"));
    assert!(removed.files.iter().any(|file| file.path == DROP_IN && file.after.is_none()));
    assert!(!removed.files.iter().any(|file| file.path == RECORD));
    // A change later on does not take what is ours for what was there before.
    let restored = Aim { live_restore: true, ..aim() };
    let later = after(&installed, &install(&installed, &restored).unwrap());
    let removed = text(&remove(&later).unwrap(), DAEMON_JSON);
    assert_eq!(removed.as_deref(), Some("{\n  \"bip\": \"10.9.0.1/24\"\n}\n"));
    // Without our drop-in it is somebody else's, wherever their files are.
    let theirs = HostFacts { drop_in: HostFile { path: DROP_IN.to_owned(), ..HostFile::default() }, ..installed };
    assert!(matches!(remove(&theirs), Err(PlanRefusal::NothingInstalled)));
}

#[test]
fn tls_that_the_environment_sets_is_somebody_elses() {
    let mut facts = host(PACKAGED);
    facts.daemons[0].environment = vec![("DOCKER_TLS_VERIFY".to_owned(), String::new())];
    let plan = install(&facts, &aim()).unwrap();
    facts.daemons[0].environment[0].1 = "1".to_owned();
    assert!(
        matches!(install(&facts, &aim()), Err(PlanRefusal::OtherTls(what)) if what.starts_with("DOCKER_TLS_VERIFY"))
    );
    assert_eq!(install(&facts, &Aim { replace: true, ..aim() }).unwrap().files, plan.files);
    // Once it is ours it stays so.
    assert_eq!(install(&after(&facts, &plan), &aim()).unwrap().files, []);
}
