//! What a script's output becomes, and that no output, however odd, does more than be read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::fmt::Write as _;

use dockseal_audit::{Facts, FactsError, Presence, Question, Severity, judge};
use time::macros::datetime;

fn hex(text: &[u8]) -> String {
    text.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn line(word: &str, fields: &[Option<&[u8]>]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| field.map_or("-".to_owned(), hex)).collect();
    format!("{word} {}\n", fields.join(" "))
}

const TCP: &str = "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n \
    0: 0100007F:0947 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1 0\n";

/// A host whose dockerd listens on 127.0.0.1:2375 and answered so.
fn host(plain: Option<&[u8]>, flags: &str) -> String {
    let words = format!("dockerd\0-H\0tcp://127.0.0.1:2375\0{flags}");
    let words = words.trim_end_matches('\0');
    let mut text = "Welcome to this host\ndockseal-audit 1\n".to_owned();
    text += &line("uid", &[Some(b"0")]);
    text += &line("release", &[Some(b"Docker version 20.10.24+dfsg1, build 5d6db84")]);
    text += &line(
        "daemon",
        &[
            Some(b"17"),
            Some(b"0"),
            Some(words.as_bytes()),
            Some(b"HOME=/root"),
            Some(b"/"),
            Some(b"4242\n77"),
            Some(TCP.as_bytes()),
            None,
            Some(b"head\nf: 2 0 10000 1 1 77 /run/docker.sock\n"),
        ],
    );
    text += &line("file", &[Some(b"/etc/passwd"), Some(b"644 0 0 regular file"), Some(b"root:x:0:0:::\nx:x:9:7:::\n")]);
    text += &line("file", &[Some(b"/etc/group"), Some(b"644 0 0 regular file"), Some(b"docker:x:7:ann,bob\n")]);
    text += &line("file", &[Some(b"/run/docker.sock"), Some(b"660 0 7 socket"), None]);
    text += &line("hidden", &[Some(b"/etc/docker/daemon.json")]);
    text += &line("plain", &[Some(b"127.0.0.1:2375"), plain]);
    text += &line("tls", &[Some(b"127.0.0.1:2375"), None]);
    text + "end\n"
}

fn findings(text: &str) -> Vec<(&'static str, Severity, String)> {
    let facts = Facts::read(text.as_bytes()).unwrap();
    judge(&facts, datetime!(2026-11-24 12:00 UTC))
        .into_iter()
        .map(|found| (found.id, found.severity, found.seen))
        .collect()
}

#[test]
fn a_host_is_read() {
    let text = host(Some(b"HTTP/1.0 200 OK\r\nApi-Version: 1.41\r\n\r\nOK"), "");
    let facts = Facts::read(text.as_bytes()).unwrap();
    assert_eq!(facts.daemons[0].tcp.as_deref(), Some(&["127.0.0.1:2375".parse().unwrap()][..]));
    assert!(facts.files["/etc/docker/daemon.json"] == Presence::Hidden);
    let questions = facts.questions();
    assert!(questions.contains(&Question::Dial("127.0.0.1:2375".parse().unwrap())), "{questions:?}");
    let found = findings(&text);
    assert_eq!(found[0].0, "listener-plain");
    let group = found.iter().find(|found| found.0 == "socket-group").unwrap();
    assert_eq!(group.2, "in the group docker, and so root here: ann, bob, x");
}

/// Where nothing on the host can dial, the settings tell.
#[test]
fn without_a_dialler() {
    assert_eq!(findings(&host(None, ""))[0].0, "listener-plain");
    let open = findings(&host(None, "--tlsverify=false"));
    assert!(open.iter().any(|found| found.0 == "listener-unverified" && found.1 == Severity::Critical), "{open:?}");
    let mutual = findings(&host(None, "--tlsverify"));
    assert!(mutual.iter().any(|found| found.0 == "listener-mutual" && found.1 == Severity::Ok), "{mutual:?}");
    // An answer that tells that it is TLS, and nothing that could have shown a certificate.
    let answer = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    assert!(findings(&host(Some(answer), "--tlsverify")).iter().any(|found| found.0 == "listener-mutual"));
    // HTTP that is not the API's is not taken for it.
    let metrics = findings(&host(Some(b"HTTP/1.0 404 Not Found\r\n\r\n"), "--tlsverify"));
    assert!(metrics.iter().any(|found| found.0 == "listener-other"), "{metrics:?}");
}

/// The keys are asked for as keys, of which the script tells no content.
#[test]
fn keys_are_not_read() {
    let text = host(None, "--tlsverify\0--tlskey=/k/key.pem\0--tlscert=c.pem");
    let questions = Facts::read(text.as_bytes()).unwrap().questions();
    assert!(questions.contains(&Question::Key("/k/key.pem".to_owned())), "{questions:?}");
    assert!(questions.contains(&Question::File("/c.pem".to_owned())), "{questions:?}");
    assert!(!questions.iter().any(|asked| matches!(asked, Question::File(path) if path.contains("key"))));
}

/// A host as root sees it, whose dockerd was started so and has these unix sockets; `files` are lines more.
fn with_sockets(words: &str, unix: &[&str], files: &str) -> String {
    let table = unix.iter().fold("head\n".to_owned(), |table, path| table + &format!("f: 2 0 10000 1 1 77 {path}\n"));
    let mut text = "dockseal-audit 1\n".to_owned() + &line("uid", &[Some(b"0")]);
    let (words, table) = (words.replace(' ', "\0"), table.as_bytes());
    let daemon = [
        Some(&b"17"[..]),
        Some(b"0"),
        Some(words.as_bytes()),
        None,
        Some(b"/srv"),
        Some(b"77"),
        None,
        None,
        Some(table),
    ];
    text += &line("daemon", &daemon);
    text += &line("file", &[Some(b"/etc/group"), Some(b"644 0 0 regular file"), Some(b"root:x:0:\ndocker:x:7:\n")]);
    text + files + "end\n"
}

fn there(path: &str, described: &str) -> String {
    line("file", &[Some(path.as_bytes()), Some(described.as_bytes()), None])
}

/// The kernel names a socket as it was bound, and one under /var/run is the same as one under /run.
#[test]
fn a_socket_is_judged_by_whatever_name() {
    let words = "dockerd -H unix:///var/run//build.sock -H unix://near.sock";
    let unix = ["/var/run//build.sock", "/var/run/docker/metrics.sock"];
    let questions = Facts::read(with_sockets(words, &unix, "").as_bytes()).unwrap().questions();
    for path in ["/run/build.sock", "/srv/near.sock"] {
        assert!(questions.contains(&Question::File(path.to_owned())), "{path}: {questions:?}");
    }
    let open = ["/run/build.sock", "/var/run/build.sock"].map(|path| there(path, "666 0 7 socket"));
    for open in open {
        let found = findings(&with_sockets(words, &unix, &open));
        assert!(found.iter().any(|found| found.0 == "socket-open" && found.1 == Severity::Critical), "{found:?}");
    }
    // Nobody looked at the other: that is no look that found nothing.
    let facts = Facts::read(with_sockets(words, &unix, "").as_bytes()).unwrap();
    let found = judge(&facts, datetime!(2026-11-24 12:00 UTC));
    let unseen: Vec<&str> =
        found.iter().filter(|found| found.id == "unseen").map(|found| found.subject.as_str()).collect();
    assert_eq!(unseen, ["/run/build.sock", "/srv/near.sock"]);
}

/// What lies below dockerd's own directories is its own; what lies elsewhere is a way in, however these are said.
#[test]
fn only_what_is_below_the_roots_is_dockerds_own() {
    let unix = ["/e/docker/metrics.sock", "/srv/api.sock"];
    for roots in ["--exec-root /e/docker", "--exec-root=/e/docker", "--exec-root /e/docker --data-root="] {
        let files = there("/srv/api.sock", "666 0 7 socket") + &there("/e/docker/metrics.sock", "666 0 7 socket");
        let facts = Facts::read(with_sockets(&format!("dockerd {roots}"), &unix, &files).as_bytes()).unwrap();
        let found = judge(&facts, datetime!(2026-11-24 12:00 UTC));
        let open: Vec<&str> =
            found.iter().filter(|found| found.id == "socket-open").map(|found| found.subject.as_str()).collect();
        assert_eq!(open, ["/srv/api.sock"], "{roots}");
    }
    // daemon.json says it as well.
    let json =
        [Some(&b"/etc/docker/daemon.json"[..]), Some(b"644 0 0 regular file"), Some(br#"{"exec-root": "/e/docker"}"#)];
    let files = line("file", &json) + &there("/e/docker/metrics.sock", "666 0 7 socket");
    let found = findings(&with_sockets("dockerd", &unix[..1], &files));
    assert!(!found.iter().any(|found| found.0 == "socket-open"), "{found:?}");
}

/// What a daemon.json that was read names is asked for next.
#[test]
fn answers_lead_to_questions() {
    for (uid, words, variables, json) in [
        ("0", "dockerd\0--config-file\0far.json", "HOME=/root\nXDG_CONFIG_HOME=/c", "/srv/far.json"),
        ("1000", "dockerd", "HOME=/h", "/h/.config/docker/daemon.json"),
        ("1000", "dockerd", "HOME=/h\nXDG_CONFIG_HOME=/c", "/c/docker/daemon.json"),
        ("0", "dockerd", "HOME=/h\nXDG_CONFIG_HOME=/c", "/etc/docker/daemon.json"),
    ] {
        let [uid, words, variables] = [uid, words, variables].map(|text| Some(text.as_bytes()));
        let daemon = [Some(&b"17"[..]), uid, words, variables, Some(b"/srv"), Some(b"77"), None, None, None];
        let text = "dockseal-audit 1\n".to_owned() + &line("daemon", &daemon) + "end\n";
        let mut facts = Facts::read(text.as_bytes()).unwrap();
        assert!(facts.questions().contains(&Question::File(json.to_owned())), "{json}: {:?}", facts.questions());
        let settings =
            br#"{"tlsverify": true, "tlscacert": "/t/ca.pem", "tlscert": "/t/cert.pem", "tlskey": "/t/key.pem"}"#;
        let file = line("file", &[Some(json.as_bytes()), Some(b"644 0 0 regular file"), Some(settings)]);
        facts.add(Facts::read(format!("dockseal-audit 1\n{file}end\n").as_bytes()).unwrap());
        assert!(facts.questions().contains(&Question::Key("/t/key.pem".to_owned())), "{json}");
    }
}

/// A group that is in no file of the host is looked up; one that nobody knows is not one that nobody is in.
#[test]
fn groups_kept_elsewhere() {
    let json = [Some(&b"/etc/docker/daemon.json"[..]), Some(b"644 0 0 regular file"), Some(br#"{"group": "ops"}"#)];
    let socket = there("/run/docker.sock", "660 0 900 socket") + &line("file", &json);
    let facts = Facts::read(with_sockets("dockerd", &["/run/docker.sock"], &socket).as_bytes()).unwrap();
    for key in ["ops", "900"] {
        assert!(facts.questions().contains(&Question::Group(key.to_owned())), "{key}: {:?}", facts.questions());
    }
    let group = |said: &str| {
        let files = socket.clone() + &line("group", &[Some(b"900"), Some(said.as_bytes())]);
        let found = findings(&with_sockets("dockerd", &["/run/docker.sock"], &files));
        let (_, severity, seen) = found.into_iter().find(|found| found.0 == "socket-group").unwrap();
        (severity, seen)
    };
    assert_eq!(
        group(""),
        (Severity::Warning, "the host knows no group 900, and so not who is in it: each of them is root here".into())
    );
    assert_eq!(group("ops:*:900:eve"), (Severity::Warning, "in the group ops, and so root here: eve".into()));
    assert_eq!(group("ops:*:900:"), (Severity::Ok, "nobody is in the group ops".into()));
}

/// The same for the user whose ids containers get.
#[test]
fn users_kept_elsewhere() {
    let facts = Facts::read(with_sockets("dockerd --userns-remap far:crowd", &[], "").as_bytes()).unwrap();
    assert!(facts.questions().contains(&Question::User("far".to_owned())), "{:?}", facts.questions());
    let range =
        |path: &str| line("file", &[Some(path.as_bytes()), Some(b"644 0 0 regular file"), Some(b"far:100000:65536\n")]);
    let known = line("passwd", &[Some(b"far"), Some(b"far:*:900:900::/:/bin/sh\n")])
        + &line("group", &[Some(b"crowd"), Some(b"crowd:*:900:\n")])
        + &range("/etc/subuid")
        + &range("/etc/subgid");
    let found = findings(&with_sockets("dockerd --userns-remap far:crowd", &[], &known));
    let userns = found.iter().find(|found| found.0.starts_with("userns")).unwrap();
    assert_eq!((userns.0, userns.1), ("userns", Severity::Ok), "{userns:?}");
}

/// What is to be typed into a shell is one word of it; whoever owns a home is not told to give it to root.
#[test]
fn fixes_can_be_typed() {
    let passwd = b"root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/data/ann:/bin/sh\nsvc:x:33:33::/:/bin/false\n";
    let directory = |path: &str, described: &str| line("dir", &[Some(path.as_bytes()), Some(described.as_bytes())]);
    let files = line("file", &[Some(b"/etc/passwd"), Some(b"644 0 0 regular file"), Some(passwd)])
        + &there("/etc/docker/certs.d/a b/x.key", "644 0 0 regular file")
        + &there("/run/a b.sock", "666 0 7 socket")
        + &directory("/srv/a b", "777 0 0 directory")
        + &directory("/srv/svc", "755 33 33 directory")
        + &directory("/data/ann/tls", "755 1000 1000 directory")
        + &directory("/home/far/tls", "755 5000 5000 directory");
    let facts = Facts::read(with_sockets("dockerd", &["/run/a b.sock"], &files).as_bytes()).unwrap();
    let found = judge(&facts, datetime!(2026-11-24 12:00 UTC));
    let move_out = |home: &str| format!("move the files that dockerd reads out of {home}, to below /etc/docker, say");
    for (id, subject, fix) in [
        ("key-readable", "/etc/docker/certs.d/a b/x.key", "chmod 0400 '/etc/docker/certs.d/a b/x.key', and".to_owned()),
        ("socket-open", "/run/a b.sock", "chmod 0660 '/run/a b.sock', and".to_owned()),
        ("directory-open", "/srv/a b", "chown root '/srv/a b' && chmod go-w '/srv/a b'".to_owned()),
        ("directory-open", "/srv/svc", "chown root /srv/svc && chmod go-w /srv/svc".to_owned()),
        ("directory-open", "/data/ann/tls", move_out("/data/ann")),
        ("directory-open", "/home/far/tls", move_out("/home/far")),
    ] {
        let said = found.iter().find(|found| found.id == id && found.subject == subject);
        let said = said.unwrap_or_else(|| panic!("{id} of {subject}: {found:?}")).fix.as_deref().unwrap();
        assert!(said.starts_with(&fix), "{said}");
    }
}

/// The socket of the API matters where no dockerd runs, too: systemd holds it, and starts one.
#[test]
fn a_socket_without_a_daemon() {
    let text = "dockseal-audit 1\n".to_owned() + &there("/run/docker.sock", "666 0 7 socket") + "end\n";
    let found = findings(&text);
    for id in ["socket-open", "daemon-none", "socket-group"] {
        assert_eq!(found.iter().filter(|found| found.0 == id).count(), 1, "{id}: {found:?}");
    }
    let absent = "dockseal-audit 1\n".to_owned() + &line("absent", &[Some(b"/run/docker.sock")]) + "end\n";
    assert!(!findings(&absent).iter().any(|found| found.0.starts_with("socket") || found.0 == "unseen"));
}

#[test]
fn other_output() {
    for text in ["", "hello\n", "dockseal-audit 2\nend\n"] {
        assert_eq!(Facts::read(text.as_bytes()).unwrap_err(), FactsError::NotTheScript);
    }
    let whole = host(None, "");
    let cut = whole.strip_suffix("end\n").unwrap();
    assert_eq!(Facts::read(cut.as_bytes()).unwrap_err(), FactsError::CutShort);
    // A file's name or content cannot become a line: it is in hexadecimal, and what is not is passed over.
    let odd = "dockseal-audit 1\nfile zz\nfile 6\nuid 30\x20\nend and more\n\nend\n";
    assert!(Facts::read(odd.as_bytes()).unwrap().files.is_empty());
}

/// Any change to the output is read and judged, or refused.
#[test]
fn hostile_output() {
    let text = host(Some(b"HTTP/1.1 200 OK\nServer: Docker/1\n"), "--tlsverify\0--userns-remap=default").into_bytes();
    let mut seed = 11_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..5_000 {
        let mut bytes = text.clone();
        for _ in 0..=next(6) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = b"0123456789abcdef \n-"[next(19)],
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"0af \n-"[next(6)]),
                _ => bytes.truncate(bytes.len() - next(bytes.len().min(40))),
            }
        }
        if let Ok(mut facts) = Facts::read(&bytes) {
            let _ = facts.questions();
            facts.add(facts.clone());
            let _ = judge(&facts, datetime!(2026-11-24 12:00 UTC));
        }
    }
}

/// A host whose dockerd is down, and these files of it.
fn down(release: &str, files: &[(&str, &str)]) -> String {
    let mut text = "dockseal-audit 1\n".to_owned() + &line("uid", &[Some(b"0")]);
    text += &line("release", &[Some(format!("Docker version {release}, build 1").as_bytes())]);
    let trie = b"|-- 10.0.0.5\n /32 host LOCAL\n|-- 127.0.0.0\n /8 host LOCAL\n";
    text += &line("local", &[Some(trie), Some(b"fd000000000000000000000000000001 02 40 00 80 eth0\n"), Some(b"0\n0")]);
    for (path, content) in files {
        if path.ends_with(".service") {
            text += &line("unit", &[Some(b"docker.service"), Some(path.as_bytes())]);
        }
        text += &line("file", &[Some(path.as_bytes()), Some(b"644 0 0 regular file"), Some(content.as_bytes())]);
    }
    text + "end\n"
}

fn finding<'f>(found: &'f [(&'static str, Severity, String)], id: &str) -> Option<&'f str> {
    found.iter().find(|found| found.0 == id).map(|found| found.2.as_str())
}

/// What keeps dockerd from starting is told while it is down.
#[test]
fn a_daemon_that_does_not_start() {
    const JSON: &str = "/etc/docker/daemon.json";
    let unit = |line: &str| format!("[Service]\nExecStart=/usr/bin/dockerd {line}\n");
    let judged = |json: &str, line: &str| {
        let text = down("29.4.0", &[(JSON, json), ("/usr/lib/systemd/system/docker.service", &unit(line))]);
        judge(&Facts::read(text.as_bytes()).unwrap(), datetime!(2026-11-24 12:00 UTC))
    };
    let found = judged(r#"{"tlscert ": "x", "Debug": true}"#, "-H fd://");
    let broken = found.iter().find(|found| found.id == "settings-broken").unwrap();
    assert_eq!(broken.seen, "the following directives don't match any configuration option: Debug, tlscert ");
    let fix = broken.fix.as_deref().unwrap();
    assert!(
        fix.contains(r#"write "tlscert" in place of "tlscert ""#) && fix.ends_with("does not start with it"),
        "{fix}"
    );
    // The unit's flags have a say.
    let found = judged(r#"{"hosts": ["tcp://127.0.0.1:2376"]}"#, "-H fd:// $X");
    assert!(
        found.iter().any(|found| found.id == "settings-broken" && found.seen.contains("both as a flag")),
        "{found:?}"
    );
    for (host, missing) in [
        ("tcp://10.0.0.5:2376", false),
        ("tcp://10.0.0.6:2376", true),
        ("tcp://127.0.0.9:2376", false),
        ("tcp://0.0.0.0:2376", false),
        ("tcp://[fd00::1]:2376", false),
        ("tcp://[fd00::2]:2376", true),
        ("tcp://name:2376", false),
        ("unix:///run/docker.sock", false),
    ] {
        for (json, line) in [(format!(r#"{{"hosts": ["{host}"]}}"#), ""), (String::new(), &*format!("-H {host}"))] {
            let found = judged(&json, line);
            let is_missing = found.iter().any(|found| found.id == "listener-address-missing" && found.subject == host);
            assert_eq!(is_missing, missing, "{json} {line}: {found:?}");
        }
    }
}

/// CVE-2026-34040: fixed in 29.3.1 (moby GHSA-x744-4wpc-v9h2).
#[test]
fn authorization_that_can_be_passed_by() {
    for (release, open) in [
        ("20.10.24+dfsg1", true),
        ("28.5.2", true),
        ("29.3.0", true),
        ("29.3.1", false),
        ("29.10.0", false),
        ("30.0.0-rc.1", false),
        ("odd", false),
    ] {
        for (json, has_plugin) in [(r#"{"authorization-plugins": ["opa"]}"#, true), ("{}", false)] {
            let found = findings(&down(release, &[("/etc/docker/daemon.json", json)]));
            let seen = finding(&found, "authorization-bypass");
            assert_eq!(seen.is_some(), open && has_plugin, "{release} {json}");
            assert!(seen.is_none_or(|seen| seen.contains("opa (CVE-2026-34040)")), "{seen:?}");
        }
    }
    let running = host(None, "--authorization-plugin=opa");
    assert!(finding(&findings(&running), "authorization-bypass").is_some());
}
