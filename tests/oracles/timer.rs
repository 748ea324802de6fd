//! The units of `dockseal timer`, as systemd reads them: verified by systemd-analyze, and their command line, as the
//! service manager itself parses it, really run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dockseal_tests::{Program, Ran, Sandbox, dockseal_binary, require, require_root, tree};
use time::format_description::well_known::Rfc3339;

/// Everything that systemd or a shell could take for something else.
const ODD: &str = "c $b ${b} %n \"q\" ' ; \\ d";

/// A `systemctl` that only notes what it was asked for.
fn with_systemctl(sandbox: &Sandbox) -> String {
    let note = sandbox.path("asked").display().to_string();
    let fake = sandbox.write("bin/systemctl", format!("#!/bin/sh\necho \"$*\" >>'{note}'\n"));
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:/usr/bin:/bin", sandbox.path("bin").display())
}

/// An authority in a directory with an odd name, and a client of it of whose life two thirds are gone.
fn with_client_due(sandbox: &Sandbox, key: &[&str]) -> PathBuf {
    let authority = sandbox.path(ODD);
    let then = (time::OffsetDateTime::now_utc() - time::Duration::minutes(50)).format(&Rfc3339).unwrap();
    let dockseal = |line: &str| {
        let program = sandbox.dockseal(["--at", &then, "--authority"]).arg(&authority).args(line.split(' '));
        let _ = program.args(key).run().success();
    };
    dockseal("init");
    dockseal("issue client alice --lifetime 1h --out c");
    authority
}

fn serial(sandbox: &Sandbox) -> String {
    sandbox.openssl(["x509", "-noout", "-serial", "-in", "c/cert.pem"])
}

fn units(directory: &Path) -> [PathBuf; 2] {
    ["dockseal-renew.service", "dockseal-renew.timer"].map(|name| directory.join(name))
}

#[track_caller]
fn verified(sandbox: &Sandbox, scope: &[&str], units: &[PathBuf; 2]) {
    let ran = sandbox.program("systemd-analyze").args(scope).args(["verify", "--man=no"]).args(units).run().success();
    // Whatever it says of units that are not ours is not ours either.
    assert!(!ran.holds("dockseal"), "{ran}");
}

/// The words of the service's command line, as the user's service manager itself parses them; it still has to replace
/// variables, of which only `$$` may be there (systemd.service(5), "Command lines").
fn words(sandbox: &Sandbox) -> Vec<String> {
    // It does not test as root.
    let mut manager = sandbox.program("setpriv");
    for path in ["", "home", "home/.config", "home/.config/systemd", "home/.config/systemd/user", "run"] {
        fs::set_permissions(sandbox.root().join(path), fs::Permissions::from_mode(0o777)).unwrap();
    }
    manager = manager.args(["--reuid=65534", "--regid=65534", "--clear-groups", "/lib/systemd/systemd"]);
    let dump = manager.args(["--test", "--user", "--unit=dockseal-renew.timer"]).run().success().stdout;
    let line = dump
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Command Line: "))
        .find(|line| line.contains("renew --due"))
        .unwrap_or_else(|| panic!("no command line of ours in\n{dump}"));
    // What it shows is quoted for a shell.
    let split = format!("for word in {line}; do printf '%s\\0' \"$word\"; done");
    let words = sandbox.program("sh").args(["-c", &split]).run().success().stdout;
    let mut words = words.split_terminator('\0');
    // In the name of the program nothing is replaced.
    let program = words.next().unwrap().to_owned();
    let argument = words.map(|word| {
        let replaced = word.replace("$$", "\u{0}");
        assert!(!replaced.contains('$'), "systemd would expand a variable in {word:?}");
        replaced.replace('\u{0}', "$")
    });
    std::iter::once(program).chain(argument).collect()
}

fn ended(ran: &Ran, sandbox: &Sandbox, old: &str) {
    assert_eq!(ran.code, Some(0), "{ran}");
    assert_ne!(serial(sandbox), old, "nothing was renewed\n{ran}");
    let said = fs::read_to_string(sandbox.path("said 100%")).unwrap();
    assert_eq!(said, "alice it's 100%n\n");
}

/// Its output has a file name with a blank and a percent sign, a variable, both kinds of quotes and an escape.
const EXEC: &str = r#"printf "%s\n" "$DOCKSEAL_NAME it's 100%n" >"said 100%"; exit 0"#;

#[test]
fn a_users_timer() {
    require!("systemd-analyze", "setpriv", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    let path = with_systemctl(&sandbox);
    let authority = with_client_due(&sandbox, &["--no-passphrase"]);
    // A program in an odd place: systemd takes blanks, $ and % there, and no quotes.
    let program = sandbox.path("p $b %n/dockseal");
    fs::create_dir(program.parent().unwrap()).unwrap();
    fs::copy(dockseal_binary(), &program).unwrap();
    let timer = |args: &[&str]| {
        let program = sandbox.program(&program).env("PATH", &path).arg("--authority").arg(&authority);
        program.args(["timer", "--user"]).args(args).run()
    };
    let before = tree(sandbox.root());
    let printed = timer(&["--exec", EXEC]).success();
    before.assert_same(&tree(sandbox.root()), "printing changes nothing");
    let installed = timer(&["--exec", EXEC, "--install"]).success();
    let directory = sandbox.root().join("home/.config/systemd/user");
    let units = units(&directory);
    for unit in &units {
        let text = fs::read_to_string(unit).unwrap();
        assert!(printed.stdout.contains(&text), "{text} was not printed in\n{printed}");
        assert_eq!(fs::metadata(unit).unwrap().permissions().mode() & 0o7777, 0o644);
    }
    let asked = || fs::read_to_string(sandbox.path("asked")).unwrap_or_default();
    assert_eq!(asked(), "--user daemon-reload\n--user enable --now dockseal-renew.timer\n", "{installed}");
    verified(&sandbox, &["--user"], &units);

    let words = words(&sandbox);
    let (program_word, arguments) = words.split_first().unwrap();
    assert_eq!(Path::new(program_word), program);
    let old = serial(&sandbox);
    let run = || sandbox.program(program_word).args(arguments).run();
    ended(&run(), &sandbox, &old);
    // Nothing is due any more: nothing is done, nothing is said.
    let quiet = run().success();
    assert!(quiet.stdout.is_empty() && quiet.stderr.is_empty(), "{quiet}");

    // Again: nothing changes. Otherwise: it is said. With a word: it is replaced.
    let _ = timer(&["--exec", EXEC, "--install"]).success().says("nothing was changed");
    let _ = timer(&["--install"]).exits(1).says("--replace");
    let _ = timer(&["--install", "--replace", "--calendar", "Mon *-*-* 03:00", "--jitter", "15m"]).success();
    verified(&sandbox, &["--user"], &units);
    let text = fs::read_to_string(&units[1]).unwrap();
    assert!(text.contains("OnCalendar=Mon *-*-* 03:00\nRandomizedDelaySec=900s\nPersistent=true\n"), "{text}");
    fs::remove_file(sandbox.path("asked")).unwrap();
    let _ = timer(&["--remove"]).success();
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    assert_eq!(asked(), "--user disable --now dockseal-renew.timer\n--user daemon-reload\n");
    let _ = timer(&["--remove"]).success().says("nothing was changed");
    // Somebody's own unit of that name is neither replaced nor removed.
    fs::write(&units[0], "[Service]\nExecStart=/bin/true\n").unwrap();
    for args in [&["--install"][..], &["--install", "--replace"], &["--remove"]] {
        let _ = timer(args).exits(1).says("not made by dockseal timer");
    }
    assert_eq!(fs::read_to_string(&units[0]).unwrap(), "[Service]\nExecStart=/bin/true\n");
}

/// The machine's own, installed for real where /etc/systemd/system is this test's alone.
#[test]
fn the_machines_timer() {
    require!("systemd-analyze", "unshare", "openssl");
    require_root!();
    let sandbox = Sandbox::new();
    let path = with_systemctl(&sandbox);
    let secret = sandbox.write("pass 100%", "correct horse\n");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let authority = with_client_due(&sandbox, &["--passphrase-file", "pass 100%"]);
    let timer = |script: &str, args: &[&str]| {
        let program = sandbox.program("unshare").env("PATH", &path).env("AUTHORITY", &authority);
        let inside = format!("mount -t tmpfs tmpfs /etc/systemd/system && {script}");
        program.args(["--mount", "sh", "-c", &inside, "sh"]).arg(dockseal_binary()).args(args).run()
    };
    let install = r#"program=$1 && shift && "$program" --authority "$AUTHORITY" timer --system "$@""#;
    // Nobody will be there at night to type it, and a wrong one is better known now.
    let _ = timer(install, &["--install"]).exits(2).says("--passphrase-file");
    sandbox.write("wrong", "incorrect horse\n");
    let _ = timer(install, &["--install", "--passphrase-file", "wrong"]).exits(1).says("passphrase");
    let copied = format!("{install} && cp -p /etc/systemd/system/dockseal-renew.* .");
    let _ = timer(&copied, &["--install", "--passphrase-file", "pass 100%"]).success();
    assert_eq!(
        fs::read_to_string(sandbox.path("asked")).unwrap(),
        "daemon-reload\nenable --now dockseal-renew.timer\n"
    );
    let units = units(&sandbox.work());
    verified(&sandbox, &[], &units);
    let service = fs::read_to_string(&units[0]).unwrap();
    let credential = format!("LoadCredential=dockseal.passphrase:{}\n", secret.display()).replace('%', "%%");
    assert!(service.contains(&credential), "{service}");
    assert!(service.contains("\nAfter=time-sync.target\n"), "{service}");
    // The sandbox counts for something with systemd's own judge (of ten, less is safer), and the words in it exist.
    let security = ["security", "--offline=true", "--threshold=45"];
    let _ = sandbox.program("systemd-analyze").args(security).arg(&units[0]).run().success();
    // systemd hands the passphrase over in a directory of its own.
    sandbox.write("credentials/dockseal.passphrase", "correct horse\n");
    let old = serial(&sandbox);
    let due = sandbox.dockseal(["--authority"]).arg(&authority).args(["renew", "--due"]);
    let _ = due.env("CREDENTIALS_DIRECTORY", sandbox.path("credentials")).run().success();
    assert_ne!(serial(&sandbox), old);

    // Where systemd is not at work, that is said, with the other way.
    let broken = sandbox.write("bin/systemctl", "#!/bin/sh\nexit 1\n");
    fs::set_permissions(broken, fs::Permissions::from_mode(0o755)).unwrap();
    let _ = timer(install, &["--install", "--passphrase-file", "pass 100%"]).exits(2).says("cron");
}

/// The line for cron does the same: cron takes the backslashes before percent signs away (crontab(5)), sh the rest.
#[test]
fn a_line_for_cron() {
    require!("openssl");
    let sandbox = Sandbox::new();
    let authority = with_client_due(&sandbox, &["--no-passphrase"]);
    let timer = |exec: &str| {
        let program = sandbox.dockseal(["--format", "json", "--authority"]).arg(&authority);
        let ran = program.args(["timer", "--user", "--exec", exec]).run().success();
        let wire: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        wire["cron"].as_str().map(str::to_owned)
    };
    let line = timer(EXEC).unwrap();
    let mut fields = line.splitn(6, ' ');
    let minute: u32 = fields.next().unwrap().parse().unwrap();
    let hour: u32 = fields.next().unwrap().parse().unwrap();
    assert!(minute < 60 && hour < 24, "{line}");
    assert_eq!([fields.next(), fields.next(), fields.next()], [Some("*"); 3], "{line}");
    let command = fields.next().unwrap();
    assert_eq!(command.replace("\\%", "").matches('%').count(), 0, "a bare % ends the line: {command}");
    let old = serial(&sandbox);
    let cron = Program::new("sh").env("HOME", sandbox.root().join("home")).cwd(sandbox.work());
    let ran = cron.args(["-c", &command.replace("\\%", "%")]).limit(Duration::from_secs(60)).run();
    ended(&ran, &sandbox, &old);
    assert_eq!(timer("one\ntwo"), None, "cron has no way to say that");
}

#[test]
fn moments_are_systemds() {
    require!("systemd-analyze");
    let sandbox = Sandbox::new();
    let authority = with_client_due(&sandbox, &["--no-passphrase"]);
    for moment in ["daily", "Mon *-*-* 03:00", "*-*-1,15 00/6:30:00", "Mon..Fri 02:00 Europe/Berlin"] {
        let _ = sandbox.program("systemd-analyze").args(["calendar", moment]).run().success();
        let program = sandbox.dockseal(["--authority"]).arg(&authority);
        let _ = program.args(["timer", "--user", "--calendar", moment]).run().success().says(moment);
    }
}
