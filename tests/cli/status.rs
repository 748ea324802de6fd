//! `list` and `status`: rows, filters, formats, exit codes, and that looking disturbs nobody.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dockseal_tests::{Ran, Sandbox, note_skip, require, require_root};
use serde_json::Value;

use crate::{NOW, at, home, refused_with_hint};

/// An authority of 2030 with a daemon for 300 days, and clients for 30 and 90 days.
fn three() -> Sandbox {
    let sandbox = Sandbox::new();
    for line in [
        "init --no-passphrase",
        "issue daemon db.example.com 10.0.0.5 --lifetime 300d --out db",
        "issue client alice --lifetime 90d --out alice",
        "issue client ci --lifetime 30d --out ci",
    ] {
        let _ = at(&sandbox, NOW, line).success();
    }
    sandbox
}

/// Changes the inventory behind the program's back, by Python's SQLite.
#[track_caller]
fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}\n{ran}"))
}

/// The first words of a table's lines.
fn names(ran: &Ran) -> Vec<String> {
    ran.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_most_urgent_comes_first() {
    let sandbox = three();
    let ran = at(&sandbox, NOW, "list").success();
    assert_eq!(names(&ran), ["ci", "alice", "db.example.com", "Docker"], "{ran}");
    let lines: Vec<&str> = ran.stdout.lines().collect();
    for (line, texts) in [
        (0, ["who", "role", "expires in", "where"]),
        (1, ["ci", "client", "30 days", sandbox.path("ci").to_str().unwrap()]),
        (2, ["alice", "client", "90 days", sandbox.path("alice").to_str().unwrap()]),
        (3, ["db.example.com", "10.0.0.5", "300 days", "██████████"]),
        (4, ["Docker authority", "authority", "10 years", home(&sandbox).to_str().unwrap()]),
    ] {
        assert!(texts.iter().all(|text| lines[line].contains(text)), "{line}\n{ran}");
    }
    // Half of a life is half a bar.
    let half = at(&sandbox, "2030-06-30T12:00:00Z", "list --name ci").success();
    assert!(half.stdout.contains("█████░░░░░"), "{half}");
}

/// A run whose clock was ahead makes what nobody accepts yet, docker and openssl neither.
#[test]
fn what_is_not_valid_yet_is_due() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let _ = at(&sandbox, NOW, "init --no-passphrase").success();
    let _ = at(&sandbox, "2033-01-01T00:00:00Z", "issue client alice --out alice").success();
    let moment = time::macros::datetime!(2030-06-15 12:00 UTC).unix_timestamp().to_string();
    let ca = home(&sandbox).join("ca.pem");
    let openssl = sandbox.program("openssl").args(["verify", "-attime", &moment, "-CAfile"]).arg(ca);
    let ran = openssl.arg("alice/cert.pem").run();
    assert!(ran.stderr.contains("certificate is not yet valid"), "{ran}");

    let ran = at(&sandbox, NOW, "status").exits(1);
    assert!(ran.stdout.contains("not yet valid") && ran.stdout.contains("alice"), "{ran}");
    assert!(at(&sandbox, NOW, "list").success().stdout.contains("not yet valid"));
    let wire = json(&at(&sandbox, NOW, "status --format json").exits(1));
    assert_eq!(wire["certificates"][0]["standing"], "not-yet-valid");
    assert_eq!((&wire["counts"]["not_yet_valid"], &wire["counts"]["due"]), (&1.into(), &1.into()));
    let metrics = at(&sandbox, NOW, "status --format prometheus").exits(1);
    for line in ["dockseal_certificates{state=\"not_yet_valid\"} 1\n", "dockseal_certificates_due 1\n"] {
        assert!(metrics.stdout.contains(line), "{metrics}");
    }
    let _ = at(&sandbox, NOW, "renew --due").success().says("renewed client alice");
    assert!(at(&sandbox, NOW, "status").success().stdout.contains("Nothing is due"));
}

/// Two thirds of 30 days (and of the five minutes before them) are gone on the 5th of July, to the second.
#[test]
fn exit_codes_turn_at_the_second_at_which_something_is_due() {
    let sandbox = three();
    let seconds = 30 * 86_400 + 300;
    // 2030-06-15T11:55:00Z and two thirds of the life.
    let due = 1_907_754_900 + seconds * 2 / 3;
    let date = |second: i64| {
        let ran = sandbox.program("date").args(["-u", "+%FT%TZ", "-d", &format!("@{second}")]).run().success();
        ran.stdout.trim().to_owned()
    };
    assert_eq!(date(1_907_754_900), "2030-06-15T11:55:00Z", "the arithmetic of this test");
    let ran = at(&sandbox, &date(due - 1), "status").exits(0);
    assert!(ran.stdout.contains("Nothing is due") && ran.stdout.contains("client ci"), "{ran}");
    let ran = at(&sandbox, &date(due), "status").exits(1);
    assert_eq!(names(&ran), ["ci"], "{ran}");
    assert!(ran.stdout.contains(" due "), "{ran}");
    // The last second of a life, and the one after it.
    let ran = at(&sandbox, "2030-07-15T12:00:00Z", "status").exits(1);
    assert!(!ran.stdout.contains("expired"), "{ran}");
    let ran = at(&sandbox, "2030-07-15T12:00:01Z", "status").exits(1);
    assert!(ran.stdout.contains("expired") && ran.stdout.contains("ago"), "{ran}");
    // Another measure.
    let _ = at(&sandbox, NOW, "status --within 29d").exits(0);
    assert_eq!(names(&at(&sandbox, NOW, "status --within 30d").exits(1)), ["ci"]);
    assert_eq!(names(&at(&sandbox, NOW, "status --within 90d --role client").exits(1)), ["ci", "alice"]);
    let _ = at(&sandbox, NOW, "status --within 90d --role daemon").exits(0);
    // The authority's own certificate counts.
    let ran = at(&sandbox, NOW, "status --within 11y --role authority").exits(1);
    assert_eq!(names(&ran), ["Docker"], "{ran}");
}

#[test]
fn what_it_cannot_tell() {
    let sandbox = Sandbox::new();
    refused_with_hint(&sandbox.dockseal(["status"]).run(), &[2]);
    refused_with_hint(&sandbox.dockseal(["list"]).run(), &[2]);
    let sandbox = three();
    // A clock that went back: some minutes may be.
    let clock_was_ahead = |seconds: i64| {
        sandbox.change_inventory(&format!(
            "INSERT INTO run (at, user, machine, machine_name, command)
             VALUES (unixepoch() + {seconds}, 'root', 'here', 'here', 'dockseal crl')"
        ));
    };
    clock_was_ahead(240);
    // It can tell: what begins in 2030 is not valid yet.
    let _ = sandbox.dockseal(["status"]).run().exits(1);
    clock_was_ahead(600);
    let back = sandbox.dockseal(["status"]).run();
    refused_with_hint(&back, &[2]);
    assert!(back.stderr.contains("went back"), "{back}");
    assert!(sandbox.dockseal(["list"]).run().success().stderr.contains("went back"));
    // A name that nobody has.
    let unknown = at(&sandbox, NOW, "status --name alcie");
    refused_with_hint(&unknown, &[2]);
    assert!(unknown.stderr.contains("did you mean alice"), "{unknown}");
    // An inventory that is none.
    let file = home(&sandbox).join("inventory.db");
    let whole = fs::read(&file).unwrap();
    for damaged in [&b""[..], b"not a database", &whole[..whole.len() / 2]] {
        fs::write(&file, damaged).unwrap();
        let ran = at(&sandbox, NOW, "status");
        refused_with_hint(&ran, &[2]);
        assert!(ran.stderr.contains("rebuild"), "{ran}");
    }
    fs::remove_file(&file).unwrap();
    refused_with_hint(&at(&sandbox, NOW, "status"), &[2]);
}

#[test]
fn filters() {
    let sandbox = three();
    assert_eq!(names(&at(&sandbox, NOW, "list --role daemon").success()), ["db.example.com"]);
    assert_eq!(names(&at(&sandbox, NOW, "list --role client").success()), ["ci", "alice"]);
    assert_eq!(names(&at(&sandbox, NOW, "list --within 100d").success()), ["ci", "alice"]);
    assert_eq!(names(&at(&sandbox, NOW, "list --name 10.0.0.5").success()), ["db.example.com"]);
    assert_eq!(names(&at(&sandbox, NOW, "list --name client/alice").success()), ["alice"]);
    assert_eq!(names(&at(&sandbox, NOW, "list --name alice --within 10d").success()), [] as [&str; 0]);
    let serial = json(&at(&sandbox, NOW, "list --name ci --format json").success());
    let serial = serial["certificates"][0]["certificate"]["serial"].as_str().unwrap().to_owned();
    assert_eq!(names(&at(&sandbox, NOW, &format!("list --name {serial}")).success()), ["ci"]);
    // What counts no longer is shown when asked for.
    let _ = at(&sandbox, NOW, "issue client ci --lifetime 30d --out ci --replace").success();
    assert_eq!(names(&at(&sandbox, NOW, "list --name ci").success()).len(), 1);
    let all = at(&sandbox, NOW, "list --name ci --all").success();
    assert_eq!(names(&all).len(), 2);
    assert!(all.stdout.contains("superseded"), "{all}");
}

/// The times of openssl, not ours.
#[test]
fn json_has_what_openssl_says() {
    require!("openssl");
    let sandbox = three();
    let list = json(&at(&sandbox, NOW, "list --format json").success());
    assert_eq!((&list["schema"], &list["at"]), (&1.into(), &"2030-06-15T12:00:00Z".into()));
    let rows = list["certificates"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    for (row, name) in rows.iter().zip(["ci", "alice", "db"]) {
        let text = sandbox.openssl([
            "x509",
            "-noout",
            "-serial",
            "-enddate",
            "-dateopt",
            "iso_8601",
            "-in",
            &format!("{name}/cert.pem"),
        ]);
        let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().replace(' ', "T");
        assert_eq!(row["certificate"]["serial"], field("serial="));
        assert_eq!(row["certificate"]["not_after"], field("notAfter="));
        assert_eq!(row["places"][0]["path"], sandbox.path(name).to_str().unwrap());
        assert_eq!(
            (&row["generation"], &row["state"], &row["standing"]),
            (&1.into(), &"issued".into(), &"valid".into())
        );
    }
    assert_eq!(
        list["counts"],
        serde_json::json!({ "valid": 4, "due": 0, "expired": 0, "revoked": 0, "not_yet_valid": 0, "untrusted": 0 })
    );
    let status = json(&at(&sandbox, NOW, "status --format json").exits(0));
    assert_eq!(
        (&status["due"], &status["certificates"], &status["next"]["name"]),
        (&false.into(), &serde_json::json!([]), &"ci".into())
    );
    assert_eq!(status["last_run"], "2030-06-15T12:00:00Z");
    let status = json(&at(&sandbox, "2030-07-20T00:00:00Z", "status --format json").exits(1));
    assert_eq!((&status["due"], &status["certificates"][0]["standing"]), (&true.into(), &"expired".into()));
    assert_eq!(
        status["counts"],
        serde_json::json!({ "valid": 3, "due": 1, "expired": 1, "revoked": 0, "not_yet_valid": 0, "untrusted": 0 })
    );
}

/// The text format as its description has it: each metric's lines in one group after HELP and TYPE, no sample twice.
fn samples(text: &str) -> Vec<(String, String, f64)> {
    let mut seen = Vec::new();
    let mut found: Vec<(String, String, f64)> = Vec::new();
    let mut lines = text.lines().peekable();
    assert!(text.ends_with('\n'));
    while let Some(line) = lines.next() {
        let name = line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("{line}")).split(' ').next().unwrap();
        assert!(!seen.contains(&name.to_owned()), "{name} has two groups");
        seen.push(name.to_owned());
        assert_eq!(lines.next().unwrap(), format!("# TYPE {name} gauge"));
        while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
            let (series, value) = sample.rsplit_once(' ').unwrap();
            let (metric, labels) = series.split_once('{').unwrap_or((series, "}"));
            assert_eq!(metric, name);
            let labels = labels.strip_suffix('}').unwrap().to_owned();
            assert!(!found.iter().any(|(m, l, _)| m == metric && *l == labels), "twice: {sample}");
            found.push((metric.to_owned(), labels, value.parse().unwrap()));
        }
    }
    found
}

#[test]
fn prometheus() {
    let sandbox = three();
    let _ = at(&sandbox, NOW, "issue client odd --lifetime 60d --out odd").success();
    // A name that profiles refuse, and that an inventory may hold all the same.
    sandbox.change_inventory("UPDATE certificate SET name = 'a\"b\\c' WHERE name = 'odd'");
    let ran = at(&sandbox, "2030-07-20T00:00:00Z", "status --format prometheus").exits(1);
    let found = samples(&ran.stdout);
    let end = |labels: &str| {
        let named =
            |metric: &str, have: &str| metric.ends_with("_not_after_timestamp_seconds") && have.contains(labels);
        let values: Vec<f64> = found.iter().filter(|(m, l, _)| named(m, l)).map(|(.., value)| *value).collect();
        assert_eq!(values.len(), 1, "{labels}\n{ran}");
        values[0]
    };
    // date -u -d 2030-07-15T12:00:00Z +%s, and so on.
    assert_eq!(end("name=\"ci\",role=\"client\""), 1_910_347_200.0);
    assert_eq!(end("name=\"db.example.com\",role=\"daemon\""), 1_933_675_200.0);
    assert_eq!(end("name=\"a\\\"b\\\\c\""), 1_912_939_200.0);
    assert_eq!(end("role=\"authority\""), 2_223_115_200.0);
    let count = |metric: &str, labels: &str| found.iter().find(|(m, l, _)| m == metric && l == labels).unwrap().2;
    assert_eq!(count("dockseal_certificates", "state=\"valid\""), 4.0);
    assert_eq!(count("dockseal_certificates", "state=\"expired\""), 1.0);
    assert_eq!(count("dockseal_certificates_due", ""), 1.0);
    assert_eq!(count("dockseal_last_run_timestamp_seconds", ""), 1_907_755_200.0);
    // Into a file, for everybody, in place of the one before, whatever the umask.
    sandbox.write("metrics.prom", "old");
    let line = format!(
        "umask 077; exec {} --at {NOW} status --format prometheus --out metrics.prom",
        dockseal_tests::dockseal_binary().display()
    );
    assert_eq!(sandbox.program("sh").args(["-c", &line]).run().success().stdout, "");
    let file = sandbox.path("metrics.prom");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(samples(&fs::read_to_string(&file).unwrap()).len(), found.len());
    // A list with what counts no longer.
    let _ = at(&sandbox, NOW, "revoke ci --reason superseded").success();
    let all = at(&sandbox, NOW, "list --all --format prometheus").success();
    assert!(samples(&all.stdout).iter().any(|(_, labels, _)| labels.contains("state=\"revoked\"")), "{all}");
    // No other command has any.
    let ran = sandbox.dockseal(["--format", "prometheus", "issue", "client", "x", "--out", "x"]).run();
    refused_with_hint(&ran, &[2]);
    assert!(!sandbox.path("x").exists());
}

/// Whoever looks waits for nobody, and needs no right to write.
#[test]
fn looking_disturbs_nobody() {
    require!("python3", "flock");
    let sandbox = three();
    // Another run holds the authority, another process the database.
    const HOLD: &str = "import fcntl, sqlite3, subprocess, sys\n\
        lock = open(sys.argv[1] + '/lock', 'r+')\n\
        fcntl.flock(lock, fcntl.LOCK_EX)\n\
        inventory = sqlite3.connect(sys.argv[1] + '/inventory.db', isolation_level=None)\n\
        inventory.execute('BEGIN IMMEDIATE')\n\
        inventory.execute(\"INSERT INTO run (at, user, machine, machine_name, command) VALUES (1, 'a', 'b', 'c', 'd')\")\n\
        sys.exit(subprocess.run(sys.argv[2:]).returncode)";
    let binary = dockseal_tests::dockseal_binary();
    let held = |line: &str| {
        let program = sandbox.program("python3").args(["-c", HOLD]).arg(home(&sandbox)).arg(binary);
        program.args(["--at", NOW, "--wait", "0"]).args(line.split(' ')).run()
    };
    assert!(held("status").success().stdout.contains("Nothing is due"));
    assert_eq!(names(&held("list").success()).len(), 4);
    refused_with_hint(&held("issue client late --out late"), &[2]);
}

#[test]
fn a_read_only_file_system() {
    require_root!();
    let sandbox = three();
    let place = sandbox.path("mount");
    fs::create_dir(&place).unwrap();
    if sandbox.program("mount").args(["-t", "tmpfs", "dockseal-test"]).arg(&place).run().code != Some(0) {
        note_skip("mounting a tmpfs is not allowed here");
        return;
    }
    let _ = sandbox.program("cp").arg("-a").arg(home(&sandbox)).arg(place.join("authority")).run().success();
    let _ = sandbox.program("mount").args(["-o", "remount,ro"]).arg(&place).run().success();
    for line in ["--authority mount/authority list", "--authority mount/authority status"] {
        let ran = at(&sandbox, NOW, line).success();
        assert!(ran.stdout.contains("ci"), "{ran}");
    }
}

#[test]
fn a_user_who_may_only_read() {
    require_root!();
    require!("setpriv");
    let sandbox = three();
    let root = sandbox.root();
    // A binary and a path to it that the other user gets at; the key stays closed.
    fs::copy(dockseal_tests::dockseal_binary(), root.join("dockseal")).unwrap();
    let home = home(&sandbox);
    for directory in home.ancestors().take_while(|path| path.starts_with(root)) {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for file in fs::read_dir(&home).unwrap().flatten().filter(|file| file.file_name() != "ca-key.pem") {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644)).unwrap();
    }
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for line in ["list", "status", "inventory log"] {
        let program = sandbox.program("setpriv").args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        let ran = program.arg(root.join("dockseal")).args(["--at", NOW]).args(line.split(' ')).run().success();
        assert!(ran.stdout.contains("ci"), "{ran}");
    }
}

#[test]
fn places_on_other_machines_have_their_names() {
    require!("python3");
    let sandbox = three();
    sandbox.change_inventory("UPDATE destination SET machine = 'x', machine_name = 'far.test' WHERE id = 1");
    let ran = at(&sandbox, NOW, "list").success();
    assert!(ran.stdout.contains(&format!("far.test:{}", sandbox.path("db").display())), "{ran}");
    assert!(!ran.stdout.contains(&format!(":{}", sandbox.path("alice").display())), "{ran}");
    // Two places of one certificate: a line for each.
    sandbox.change_inventory(
        "INSERT INTO destination (kind, machine, machine_name, place, certificate) \
         SELECT kind, 'y', 'other.test', place, certificate FROM destination WHERE id = 2",
    );
    let ran = at(&sandbox, NOW, "list --name alice").success();
    assert_eq!(ran.stdout.lines().count(), 3, "{ran}");
    assert!(ran.stdout.contains("other.test:"), "{ran}");
}

/// More rows than a page has: each once, in order, in every format.
#[test]
fn pages() {
    require!("python3");
    let sandbox = three();
    sandbox.change_inventory(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) \
         INSERT INTO certificate (generation, serial, role, name, state, reserved_at, not_before, not_after, due_at, \
           key_holder, fingerprint, der) \
         SELECT generation, randomblob(16), role, 'user' || i, state, reserved_at, not_before, \
           not_after + (i * 7919) % 700 / 5, due_at, key_holder, randomblob(32), der FROM certificate, n WHERE name = 'ci'",
    );
    let list = json(&at(&sandbox, NOW, "list --role client --format json").success());
    let rows = list["certificates"].as_array().unwrap();
    let mut seen: Vec<&str> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((rows.len(), seen.len()), (702, 702));
    assert_eq!(names(&at(&sandbox, NOW, "list").success()).len(), 704);
    let due = at(&sandbox, "2030-07-14T00:00:00Z", "status").exits(1);
    assert_eq!(names(&due).len(), 701, "all copies of ci are due");
}

/// Leap days and the year 2050, where X.509 changes how it writes times. openssl reads the certificate and Python counts.
#[test]
fn leap_days_and_2050() {
    require!("openssl", "python3");
    const COUNT: &str = "import sys, datetime as d\n\
        first, last = (d.datetime.fromisoformat(text.replace('Z', '+00:00')) for text in sys.argv[1:3])\n\
        life = int((last - first).total_seconds())\n\
        due = first + d.timedelta(seconds=life - life // 3)\n\
        for moment in (due - d.timedelta(seconds=1), due, last, last + d.timedelta(seconds=1)):\n\
        \x20   print(moment.strftime('%Y-%m-%dT%H:%M:%SZ'))";
    for (now, lifetime, end, written) in [
        ("2028-02-28T12:00:00Z", "1d", "2028-02-29T12:00:00Z", "UTCTIME           :280229120000Z"),
        ("2027-02-28T12:00:00Z", "1d", "2027-03-01T12:00:00Z", "UTCTIME           :270301120000Z"),
        ("2028-02-29T00:00:00Z", "1y", "2029-02-28T00:00:00Z", "UTCTIME           :290228000000Z"),
        ("2100-02-28T00:00:00Z", "1d", "2100-03-01T00:00:00Z", "GENERALIZEDTIME   :21000301000000Z"),
        ("2049-12-30T23:59:59Z", "1d", "2049-12-31T23:59:59Z", "UTCTIME           :491231235959Z"),
        ("2049-12-31T00:00:00Z", "1d", "2050-01-01T00:00:00Z", "GENERALIZEDTIME   :20500101000000Z"),
        ("2050-01-01T00:04:00Z", "90d", "2050-04-01T00:04:00Z", "GENERALIZEDTIME   :20500401000400Z"),
    ] {
        let sandbox = Sandbox::new();
        let _ = at(&sandbox, now, "init --no-passphrase").success();
        let _ = at(&sandbox, now, &format!("issue client a --lifetime {lifetime} --out a")).success();
        let text = sandbox.openssl(["x509", "-noout", "-dates", "-dateopt", "iso_8601", "-in", "a/cert.pem"]);
        let date = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap().replace(' ', "T");
        let (first, last) = (date("notBefore="), date("notAfter="));
        assert_eq!(last, end, "{now}");
        let der = sandbox.openssl(["asn1parse", "-in", "a/cert.pem"]);
        assert!(der.contains(written), "{now}\n{der}");
        let counted = sandbox.program("python3").args(["-c", COUNT, &first, &last]).run().success().stdout;
        let moments: Vec<&str> = counted.lines().collect();
        let stands = |time: &str, code: i32| {
            let status = json(&at(&sandbox, time, "status --format json --role client").exits(code));
            status["certificates"][0]["standing"].as_str().unwrap_or("valid").to_owned()
        };
        let seen = [stands(moments[0], 0), stands(moments[1], 1), stands(moments[2], 1), stands(moments[3], 1)];
        assert_eq!(seen, ["valid", "due", "due", "expired"], "{now}");
        let row = json(&at(&sandbox, now, "list --name a --format json").success());
        assert_eq!(
            (&row["certificates"][0]["due_at"], &row["certificates"][0]["certificate"]["not_after"]),
            (&moments[1].into(), &end.into())
        );
    }
}
