#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use super::*;

const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/bash\nremap:x:700:700::/:/bin/false\nonly:x:701:701::/:/bin/false\n";
const GROUP: &[u8] = b"root:x:0:\nremap:x:700:\nother:x:800:\n";

fn nobody(_: Database, _: &str) -> Option<Vec<u8>> {
    None
}

fn accounts<'a>(subuid: &'a [u8], subgid: &'a [u8]) -> Accounts<'a> {
    Accounts {
        passwd: PASSWD,
        group: GROUP,
        subuid: Some(subuid),
        subgid: Some(subgid),
        data_root: "/var/lib/docker",
        getent: &nobody,
    }
}

fn root_of(spec: &str, subid: &[u8], rules: SubIdRules) -> Result<Option<(i64, i64)>, String> {
    judge(spec, &accounts(subid, subid), rules).map(|remapping| remapping.root()).map_err(|refusal| refusal.text)
}

/// What 28.0 and later do differs and is not run here: the cases are from the source (moby v29.7.2
/// daemon/internal/usergroup/lookup_unix.go, moby/sys user/user.go) and from recorded runs of dockerd 29.7.2.
#[test]
fn lenient_rules() {
    use SubIdRules::Lenient;
    let root = |subid: &[u8]| root_of("remap", subid, Lenient);
    // Recorded: an unparsable start counts as 0, so that container root is root of the host.
    assert_eq!(root(b"remap:abc:65536\n"), Ok(Some((0, 0))));
    // Lines of other users are of no account, however malformed.
    assert_eq!(root(b"garbage\n:\nremap:200000:65536"), Ok(Some((200_000, 200_000))));
    // Lines for the name and for the number, in the order of the file.
    assert_eq!(root(b"remap:200000:65536\n700:300000:65536\n"), Ok(Some((200_000, 200_000))));
    assert_eq!(root(b"700:300000:65536\nremap:200000:65536\n"), Ok(Some((300_000, 300_000))));
    // A line that is a comment for 20.10 is one of a user named `#remap`.
    assert_eq!(root(b"#remap:1:1\nremap:5:5"), Ok(Some((5, 5))));
    // The same word for both files.
    let refused = judge("remap", &accounts(b"remap:1:1", b""), Lenient).unwrap_err();
    assert_eq!(refused.text, "Can't create ID mappings: no subuid ranges found for user \"remap\"");
    // Blanks around fields do not match; out of range is the nearest number.
    assert!(root(b"remap :200000:65536").is_err());
    let huge = judge("remap", &accounts(b"remap:99999999999999999999:65536", b"remap:0:1"), Lenient).unwrap();
    assert_eq!(huge.root(), Some((i64::MAX, 0)));
}

/// Only root's ranges are passed over since 28.0, so that a new dockremap may share another user's.
#[test]
fn a_new_dockremap() {
    let subid: &[u8] = b"alice:100000:65536\nbob:165536:65536\n";
    let created = |rules| judge("default", &accounts(subid, subid), rules).unwrap();
    let (strict, lenient) = (created(SubIdRules::Strict), created(SubIdRules::Lenient));
    assert_eq!(strict.root(), Some((231_072, 231_072)));
    assert_eq!(strict.cautions(&accounts(subid, subid)), []);
    assert_eq!(lenient.root(), Some((100_000, 100_000)));
    let shared = Caution::SharedWith { owner: "alice".to_owned() };
    assert_eq!(lenient.cautions(&accounts(subid, subid)), [shared]);
}

#[test]
fn cautions() {
    let cautions = |subid: &[u8]| {
        let accounts = accounts(subid, subid);
        judge("remap", &accounts, SubIdRules::Strict).unwrap().cautions(&accounts)
    };
    assert_eq!(cautions(b"remap:100000:65536"), []);
    assert_eq!(cautions(b"remap:0:65536"), [Caution::RootIsHostRoot, Caution::HostIds { start: 0 }]);
    assert_eq!(cautions(b"remap:100000:1000"), [Caution::Few { count: 1000 }]);
    let overlap = Caution::KernelRefuses { why: "two of the ranges overlap" };
    assert_eq!(cautions(b"remap:100000:65536\nremap:100000:65536"), [overlap]);
    let beyond = Caution::KernelRefuses { why: "a range beyond the greatest id, 4294967294" };
    assert_eq!(cautions(b"remap:4294901761:65536"), [beyond]);
    assert_eq!(cautions(b"remap:4294901759:65536"), []);
    let shared = Caution::SharedWith { owner: "x".to_owned() };
    assert_eq!(cautions(b"x:165535:1\nremap:100000:65536"), [shared]);
    assert_eq!(cautions(b"x:165536:1\nx:99999:1\nremap:100000:65536"), []);
    let many: String = (0..241).map(|i| format!("remap:{}:1000\n", 100_000 + i * 1000)).collect();
    assert!(matches!(cautions(many.as_bytes()).as_slice(), [Caution::KernelRefuses { .. }]));
}

#[test]
fn directories_on_the_way() {
    let parent = |mode, uid, gid| Parent { path: "/x".to_owned(), mode, uid, gid };
    let range = |start| vec![IdRange { start, count: 65_536 }];
    let remapping = Remapping::Created { uids: range(100_000), gids: range(100_001) };
    assert_eq!(
        remapping.blocked("/x/d", &[parent(0o711, 0, 0), parent(0o700, 100_000, 0), parent(0o710, 0, 100_001)]),
        None
    );
    for closed in [parent(0o710, 0, 0), parent(0o606, 100_000, 0), parent(0o701 & !1, 0, 100_001)] {
        let (refusal, blocking) = remapping.blocked("/x/d/", std::slice::from_ref(&closed)).unwrap();
        assert_eq!(blocking, &closed);
        assert!(
            refusal.text.starts_with("a subdirectory in your graphroot path (/x/d/100000.100001) restricts access")
        );
    }
    assert_eq!(Remapping::Off.blocked("/x/d", &[parent(0o700, 0, 0)]), None);
}

/// Accounts that only a directory service knows.
#[test]
fn getent_answers() {
    let getent = |database, key: &str| match (database, key) {
        (Database::Passwd, "ldap" | "5000") => Some(b"ldap:*:5000:5000::/:/bin/sh\n".to_vec()),
        (Database::Group, "ldap") => Some(b"ldap:*:5000:\n".to_vec()),
        _ => None,
    };
    let accounts = Accounts { getent: &getent, ..accounts(b"5000:7:9", b"ldap:8:9") };
    assert_eq!(judge("ldap", &accounts, SubIdRules::Strict).unwrap().root(), Some((7, 8)));
    assert_eq!(judge("5000:remap", &accounts, SubIdRules::Lenient).unwrap().root(), Some((7, 8)));
    assert_eq!(
        judge("5000", &accounts, SubIdRules::Strict).unwrap_err().text,
        "Gid 5000 has no entry in /etc/group: getent unable to find entry \"5000\" in group database"
    );
}

/// Whatever the files hold, an answer, and soon.
#[test]
fn hostile_files() {
    let mut random = 7_u64;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    let alphabet: &[u8] = b"remap700:-+9\n\n::#\0\xff \r\t\xc2\xa0";
    for _ in 0..20_000 {
        let mut draw = || -> Vec<u8> { (0..next() % 60).map(|_| alphabet[next() % alphabet.len()]).collect() };
        let (passwd, group, subuid, subgid) = (draw(), draw(), draw(), draw());
        let accounts = Accounts {
            passwd: &passwd,
            group: &group,
            subuid: Some(&subuid),
            subgid: Some(&subgid),
            data_root: "/",
            getent: &|_, _| Some(b"remap:x:700".to_vec()),
        };
        let spec = String::from_utf8_lossy(&draw()).into_owned();
        for rules in [SubIdRules::Strict, SubIdRules::Lenient] {
            for spec in [spec.as_str(), "remap", "default"] {
                if let Ok(remapping) = judge(spec, &accounts, rules) {
                    let _ = (remapping.data_root_suffix(), remapping.cautions(&accounts));
                }
            }
        }
    }
    let large: String = (0..300_000).map(|i| format!("remap:{}:1\nu{i}:{}:1\n", i * 2, i * 2 + 1)).collect();
    let accounts = accounts(large.as_bytes(), large.as_bytes());
    let remapping = judge("remap", &accounts, SubIdRules::Strict).unwrap();
    assert_eq!(remapping.root(), Some((0, 0)));
    let _ = remapping.cautions(&accounts);
}

#[test]
fn releases() {
    for (release, rules) in [
        ("20.10.24+dfsg1", SubIdRules::Strict),
        ("27.5.1", SubIdRules::Strict),
        ("28.0.0", SubIdRules::Lenient),
        ("v29.7.2", SubIdRules::Lenient),
        ("dev", SubIdRules::Lenient),
    ] {
        assert_eq!(SubIdRules::of_release(release), rules, "{release}");
    }
}
