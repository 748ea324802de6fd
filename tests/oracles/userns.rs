//! `--userns-remap`: our verdict against those of a real dockerd 20.10 and 26.1 on the same account files, in namespaces of
//! their own (`userns-daemon.sh`). What 28.0 and later do differently is only in the tests of crates/docker, from the source
//! and from recorded runs: there is no such dockerd to install here.

use std::path::Path;

use dockseal_docker::userns::{Accounts, Remapping, SubIdRules, judge};
use dockseal_tests::{Ran, Sandbox, require, require_root, tool, tools_dir};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
    remap:x:700:700::/:/bin/false\n\
    lonely:x:701:701::/:/bin/false\n\
    other:x:702:800::/:/bin/false\n\
    twin:x:710:710::/:/bin/false\n\
    twin:x:711:711::/:/bin/false\n\
    ALL:x:712:712::/:/bin/false\n\
    broken:x:many:713::/:/bin/false\n\
    Zoë:x:714:714::/:/bin/false\n\
    \x20spaced:x:715:715::/:/bin/false\n";
const GROUP: &str = "root:x:0:\nremap:x:700:\nother:x:702:\ngroup:x:800:remap\ntwin:x:710:\nALL:x:712:\n\
    broken:x:713:\nZoë:x:714:\nspaced:x:715:\n";
const DOCKREMAP: &str = "dockremap:x:720:720::/:/bin/false\n";
const DOCKREMAP_GROUP: &str = "dockremap:x:720:\n";
const USUAL: &str = "remap:200000:65536\nother:300000:65536\nALL:400000:65536\nZoë:500000:65536\nspaced:600000:65536\n";

/// Where dockerd and we look.
struct Files {
    passwd: String,
    group: String,
    subuid: Option<String>,
    subgid: Option<String>,
}

impl Files {
    fn usual() -> Self {
        Self::with(USUAL, USUAL)
    }

    fn with(subuid: &str, subgid: &str) -> Self {
        let own = |text: &str| Some(text.to_owned());
        Self { passwd: PASSWD.to_owned(), group: GROUP.to_owned(), subuid: own(subuid), subgid: own(subgid) }
    }

    fn both(subid: &str) -> Self {
        Self::with(subid, subid)
    }

    fn and_dockremap(mut self) -> Self {
        self.passwd.push_str(DOCKREMAP);
        self.group.push_str(DOCKREMAP_GROUP);
        self
    }

    fn dockerd(&self, spec: &str, dockerd: &Path) -> Ran {
        let sandbox = Sandbox::new();
        sandbox.write("files/passwd", &self.passwd);
        sandbox.write("files/group", &self.group);
        for (name, text) in [("subuid", &self.subuid), ("subgid", &self.subgid)] {
            if let Some(text) = text {
                sandbox.write(format!("files/{name}"), text);
            }
        }
        sandbox
            .program("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"])
            .arg(dockseal_tests::repository().join("tests/oracles/userns-daemon.sh"))
            .arg(sandbox.path("files"))
            .arg(spec)
            .arg(dockerd)
            .run()
            .success()
    }

    fn ours(&self, spec: &str) -> Result<Remapping, String> {
        let accounts = Accounts {
            passwd: self.passwd.as_bytes(),
            group: self.group.as_bytes(),
            subuid: self.subuid.as_deref().map(str::as_bytes),
            subgid: self.subgid.as_deref().map(str::as_bytes),
            data_root: "/srv/run/d",
            getent: &|_, _| None,
        };
        judge(spec, &accounts, SubIdRules::Strict).map_err(|refusal| refusal.text)
    }
}

/// Our verdict must be dockerd's, to the number and to the word (but for capitals); `starts` is ours of both, so that a case that decays
/// into another is noticed.
fn same(spec: &str, files: &Files, starts: bool) -> Ran {
    let newer = same_as(&tools_dir().join("dockerd-newer/dockerd"), spec, files, starts);
    let ran = same_as(&tool("dockerd").unwrap(), spec, files, starts);
    assert_eq!(ran.stdout.lines().next(), newer.stdout.lines().next(), "{ran}{newer}");
    ran
}

fn same_as(dockerd: &Path, spec: &str, files: &Files, starts: bool) -> Ran {
    let (ran, ours) = (files.dockerd(spec, dockerd), files.ours(spec));
    let verdict = ran.stdout.lines().next().unwrap_or_default().to_owned();
    match &ours {
        Ok(remapping) => {
            assert_eq!(verdict, remapping.data_root_suffix().unwrap_or("off".to_owned()), "{spec:?}: {ours:?}\n{ran}");
        }
        Err(text) => {
            assert_eq!(verdict, "refused", "{spec:?}: {ours:?}\n{ran}");
            // Later ones begin in the middle of a sentence in lower case, as Go's linters want it.
            let (said, text) = (ran.stdout.to_lowercase(), text.to_lowercase());
            assert!(said.contains(&text), "{spec:?}: {text}\nis not in\n{ran}");
        }
    }
    assert_eq!(ours.is_ok(), starts, "{spec:?}: {ours:?}");
    ran
}

macro_rules! ready {
    () => {
        require!("dockerd", "unshare", "adduser");
        require_root!();
    };
}

/// Every accepted form, and each with something missing.
#[test]
fn forms() {
    ready!();
    let files = Files::usual();
    for spec in [
        "",
        "remap",
        "700",
        "remap:group",
        "remap:800",
        "700:800",
        "700:group",
        "+700",
        "0700",
        "other:other",
        "root",
        "0",
        "0:0",
        "root:group",
        "ALL",
        "Zoë",
        "spaced",
    ] {
        let _ = same(spec, &files, true);
    }
    for spec in [
        "a:b:c",
        "remap:",
        ":",
        ":group",
        "nobody-here",
        "lonely",
        "701",
        "99999",
        "remap:nothing",
        "remap:99999",
        "99999:800",
        "-1",
        "remap:-1",
        "4294967295",
        "2147483648",
        "twin",
        "lonely:group",
        " remap",
        "remap ",
        "0x2bc",
    ] {
        let _ = same(spec, &files, false);
    }
    let off = same("root", &files, true);
    assert!(off.stdout.contains("root cannot be remapped with itself"), "{off}");
}

/// What the files of subordinate ids may hold.
#[test]
fn ranges() {
    ready!();
    let long = format!("x:{}:1\nremap:1000000:65536\n", "1".repeat(70_000));
    let fits = format!("x:{}:1\nremap:1000000:65536\n", "1".repeat(65_536 - 5));
    for subid in [
        "remap:200000:65536",
        "remap:200000:65536\r\n",
        "  remap:200000:65536  \n",
        "\n\n# a comment\nremap:200000:65536\n",
        "remap:200000:65536\nremap:100000:65536\n",
        "remap:200000:65536\n700:100000:65536\n",
        "700:100000:65536\nremap:200000:65536\n",
        "remap:0:65536\n",
        "remap:200000:1\n",
        "remap:200000:0\nremap:300000:5\n",
        "remap:200000:-5\nremap:300000:10\n",
        "x:abc:def\nremap:200000:65536\n",
        "remap:+200000:+65536\n",
        fits.as_str(),
    ] {
        let _ = same("remap", &Files::both(subid), true);
    }
    for subid in [
        "",
        "remap:200000:0\n",
        "remap:200000:-1\n",
        "remap:abc:65536\n",
        "remap:200000:many\n",
        "remap:99999999999999999999:65536\n",
        "remap :200000:65536\n",
        "remap: 200000:65536\n",
        "remap:200000\n",
        "remap:200000:65536:9\n",
        "garbage\nremap:200000:65536\n",
        "remap:200000:65536\ngarbage\n",
        long.as_str(),
    ] {
        let _ = same("remap", &Files::both(subid), false);
    }
    // Each file for itself, and /etc/subgid by the user's name, never the group's.
    let _ = same("remap:group", &Files::with(USUAL, "group:1:1\nremap:900000:65536\n"), true);
    let _ = same("remap:group", &Files::with(USUAL, "group:900000:65536\n"), false);
    let _ = same("remap", &Files::with("x:1:1\n", USUAL), false);
    let _ = same("remap", &Files::with(USUAL, "700:900000:65536\n"), true);
    let _ = same("remap", &Files::with(USUAL, "remap:900000:0\n"), false);
    let _ = same("remap", &Files { subuid: None, ..Files::usual() }, false);
    let _ = same("remap", &Files { subgid: None, ..Files::usual() }, false);
    // Two lines of one name: the first is the user. An id that is no number is 0.
    let twin = "710:800000:65536\n711:810000:65536\n";
    let _ = same("711:group", &Files::both(twin), true);
    let _ = same("710:group", &Files::both(twin), true);
    let _ = same("broken", &Files::both("0:820000:65536\n"), true);
}

/// `default`, with a dockremap and without: then dockerd makes one.
#[test]
fn default_account() {
    ready!();
    let ranges = "dockremap:700000:65536\n";
    let _ = same("default", &Files::both(ranges).and_dockremap(), true);
    let _ = same("default:group", &Files::both(ranges).and_dockremap(), true);
    let _ = same("default:nothing", &Files::both(ranges).and_dockremap(), false);
    let _ = same("default", &Files::usual().and_dockremap(), false);
    let _ = same("default", &Files { group: GROUP.to_owned(), ..Files::both(ranges).and_dockremap() }, false);
    let _ = same("default", &Files::both("garbage\n"), false);
    let _ = same("default", &Files::both("x:abc:1\n"), false);
    for subid in [
        "",
        ranges,
        "alice:100000:65536\n",
        "alice:100000:65536\nbob:165536:65536\n",
        "alice:165536:65536\n",
        "alice:200000:65536\nbob:100000:65536\n",
        "alice:150000:10\n",
        "alice:99999:1\n",
    ] {
        let files = Files::both(subid);
        let ran = same("default", &files, true);
        // The whole range, as dockerd wrote it.
        let Ok(Remapping::Created { uids, gids }) = files.ours("default") else { panic!("{subid:?}") };
        for (kind, range) in [("subuid", &uids[0]), ("subgid", &gids[0])] {
            let line = format!("\n{kind} dockremap:{}:{}\n", range.start, range.count);
            assert!(ran.stdout.contains(&line), "{subid:?}: {line}{ran}");
        }
    }
}
