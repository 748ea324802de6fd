//! What dockerd makes of `--userns-remap`, given the accounts and the subordinate ids of its host.
//!
//! Nothing is read here: the contents of /etc/passwd, /etc/group, /etc/subuid and /etc/subgid are arguments, as is what
//! `getent` says of an account that the files do not have. Sources: moby v20.10.24 and v29.7.2 daemon/daemon_unix.go
//! (`parseRemappedRoot`, `setupRemappedRoot`, `setupDaemonRoot`); until 28.0 pkg/idtools/idtools.go (`parseSubidFile`)
//! and usergroupadd_linux.go, since then (24ad9bef9d) daemon/internal/usergroup and moby/sys user/user.go.

mod cautions;
mod subid;

use std::fmt;

pub use cautions::Caution;
pub use subid::{IdRange, SubIdRules};

use subid::{go_parse_int, lines, next_free, ranges_of};

/// The user and group that `default` stands for (daemon_unix.go `defaultRemappedID`).
pub const DEFAULT_ACCOUNT: &str = "dockremap";

/// The accounts and the subordinate ids of a host.
#[derive(Clone, Copy)]
pub struct Accounts<'a> {
    /// The bytes of /etc/passwd.
    pub passwd: &'a [u8],
    /// The bytes of /etc/group.
    pub group: &'a [u8],
    /// The bytes of /etc/subuid, if it is there.
    pub subuid: Option<&'a [u8]>,
    /// The bytes of /etc/subgid, if it is there.
    pub subgid: Option<&'a [u8]>,
    /// dockerd's data root, before remapping; it is named in one refusal.
    pub data_root: &'a str,
    /// What `getent DATABASE KEY` prints on the host, for accounts kept elsewhere; `None` where it finds nothing.
    pub getent: &'a dyn Fn(Database, &str) -> Option<Vec<u8>>,
}

impl fmt::Debug for Accounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

/// A database of `getent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// Users.
    Passwd,
    /// Groups.
    Group,
}

impl Database {
    const fn name(self) -> &'static str {
        match self {
            Self::Passwd => "passwd",
            Self::Group => "group",
        }
    }
}

/// What dockerd does with a `--userns-remap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remapping {
    /// The value is empty: containers share the host's ids.
    Off,
    /// It names root, who "cannot be remapped with itself": dockerd warns, and containers share the host's ids.
    OffForRoot,
    /// `default` on a host that has no dockremap yet: dockerd makes the user, and ranges where it has none.
    Created {
        /// The subordinate user ids that dockremap will have.
        uids: Vec<IdRange>,
        /// The subordinate group ids.
        gids: Vec<IdRange>,
    },
    /// An account of the host.
    Remapped {
        /// The user, whose ranges count.
        user: String,
        /// The group, which needs to exist and has no other part in it.
        group: String,
        /// Its subordinate user ids, in order: the first holds container id 0.
        uids: Vec<IdRange>,
        /// The subordinate group ids of the *user*.
        gids: Vec<IdRange>,
    },
}

impl Remapping {
    /// The ids on the host of a container's root, `None` where nothing was asked for.
    ///
    /// Both are -1 where the ranges hold no id (`GetRootUIDGID`); dockerd then fails, as [`judge`] says.
    #[must_use]
    pub fn root(&self) -> Option<(i64, i64)> {
        if *self == Self::OffForRoot {
            return Some((0, 0));
        }
        let (uids, gids) = self.ranges()?;
        Some(match (subid::to_host(0, uids), subid::to_host(0, gids)) {
            (Some(uid), Some(gid)) => (uid, gid),
            _ => (-1, -1),
        })
    }

    /// The directory below the data root that images, containers and volumes move to (`setupDaemonRoot`), which they do
    /// also where remapping is [off for root](Self::OffForRoot).
    #[must_use]
    pub fn data_root_suffix(&self) -> Option<String> {
        self.root().map(|(uid, gid)| format!("{uid}.{gid}"))
    }

    /// Why dockerd refuses for a directory that does not let a container's root through, and which that is
    /// (`setupDaemonRoot`, `canAccess`). `parents` are those above the data root that are there; dockerd sees to its own.
    #[must_use]
    pub fn blocked<'p>(&self, data_root: &str, parents: &'p [Parent]) -> Option<(Refusal, &'p Parent)> {
        let (uid, gid) = self.root()?;
        let blocking = parents.iter().find(|parent| {
            let owner = i64::from(parent.uid) == uid && parent.mode & 0o100 != 0;
            let group = i64::from(parent.gid) == gid && parent.mode & 0o010 != 0;
            !(owner || group || parent.mode & 0o001 != 0)
        })?;
        Some((restricted(data_root, (uid, gid)), blocking))
    }

    fn ranges(&self) -> Option<(&[IdRange], &[IdRange])> {
        match self {
            Self::Off | Self::OffForRoot => None,
            Self::Created { uids, gids } | Self::Remapped { uids, gids, .. } => Some((uids, gids)),
        }
    }

    /// What to know before it is turned on: trouble that dockerd does not see, the worst first.
    #[must_use]
    pub fn cautions(&self, accounts: &Accounts<'_>) -> Vec<Caution> {
        let user = match self {
            Self::Off | Self::OffForRoot => return Vec::new(),
            Self::Created { .. } => DEFAULT_ACCOUNT,
            Self::Remapped { user, .. } => user,
        };
        let (uids, gids) = self.ranges().unwrap_or_default();
        cautions::cautions(user, uids, gids, accounts)
    }
}

/// Why dockerd does not start; the text is dockerd's, without its `failed to start daemon: `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What dockerd says.
    pub text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

fn refuse<T>(text: String) -> Result<T, Refusal> {
    Err(Refusal { text })
}

/// What dockerd does with `--userns-remap=SPEC`.
///
/// Accepted: `default`, `user`, `uid`, each alone or followed by `:group` or `:gid`. `user` alone needs a group of that
/// name, `uid` alone a group of that number.
///
/// # Errors
/// dockerd does not start, and says why.
pub fn judge(spec: &str, accounts: &Accounts<'_>, rules: SubIdRules) -> Result<Remapping, Refusal> {
    if spec.is_empty() {
        return Ok(Remapping::Off);
    }
    let mut parts = spec.split(':');
    let (owner, group, more) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    if more.is_some() {
        return refuse(format!("Invalid user/group specification in --userns-remap: {spec:?}"));
    }
    let (user, own_group) = match account_id(owner) {
        Some(uid) => {
            let user = lookup(accounts, Database::Passwd, &Key::Id(uid))
                .or_else(|why| refuse(format!("Uid {uid} has no entry in /etc/passwd: {why}")))?;
            let own = || {
                lookup(accounts, Database::Group, &Key::Id(uid))
                    .or_else(|why| refuse(format!("Gid {uid} has no entry in /etc/group: {why}")))
            };
            (user, if group.is_none() { Some(own()?) } else { None })
        }
        None => {
            let name = if owner == "default" { DEFAULT_ACCOUNT } else { owner };
            let user = match lookup(accounts, Database::Passwd, &Key::Name(name.as_bytes())) {
                Ok(user) => user,
                // Whatever group was named is forgotten then.
                Err(_) if owner == "default" => return created(accounts, rules),
                Err(why) => return refuse(format!("Error during uid lookup for {name:?}: {why}")),
            };
            let own = || {
                lookup(accounts, Database::Group, &Key::Name(name.as_bytes()))
                    .or_else(|why| refuse(format!("Error during gid lookup for {name:?}: {why}")))
            };
            (user, if group.is_none() { Some(own()?) } else { None })
        }
    };
    let group = match (group, own_group) {
        (_, Some(own)) => own.name,
        (None, None) => Vec::new(),
        (Some(group), None) => match account_id(group) {
            // So it says, of a group.
            Some(gid) => {
                lookup(accounts, Database::Group, &Key::Id(gid))
                    .or_else(|why| refuse(format!("Gid {gid} has no entry in /etc/passwd: {why}")))?
                    .name
            }
            None => {
                let _ = lookup(accounts, Database::Group, &Key::Name(group.as_bytes()))
                    .or_else(|why| refuse(format!("Error during groupname lookup for {group:?}: {why}")))?;
                group.as_bytes().to_vec()
            }
        },
    };
    if user.name == b"root" {
        return Ok(Remapping::OffForRoot);
    }
    // LoadIdentityMapping looks the user up again, by name: an earlier line of that name decides.
    let user = lookup(accounts, Database::Passwd, &Key::Name(&user.name)).unwrap_or(user);
    let mapping_fails = |why: String| Refusal { text: format!("Can't create ID mappings: {why}") };
    let uids = ranges_of(&user.name, user.id, accounts.subuid, "/etc/subuid", rules).map_err(mapping_fails)?;
    let gids = ranges_of(&user.name, user.id, accounts.subgid, "/etc/subgid", rules).map_err(mapping_fails)?;
    usable(Remapping::Remapped { user: text(&user.name), group: text(&group), uids, gids }, accounts)
}

/// `AddNamespaceRangesUser`: a new dockremap, with the ranges that the files already have for that name or new ones.
fn created(accounts: &Accounts<'_>, rules: SubIdRules) -> Result<Remapping, Refusal> {
    // Later releases say the same without capitals.
    let word = |word: &'static str| match (rules, word) {
        (SubIdRules::Strict, "error") => "Error",
        (SubIdRules::Strict, "can't") => "Can't",
        (SubIdRules::Strict, "couldn't") => "Couldn't",
        (_, word) => word,
    };
    let range = |bytes: Option<&[u8]>, path: &str, kind: &str| -> Result<Vec<IdRange>, String> {
        let found = subid::ranges_named(DEFAULT_ACCOUNT.as_bytes(), bytes, path, rules).map_err(|why| {
            format!("{} while looking for {kind} ranges for user {DEFAULT_ACCOUNT:?}: {why}", word("error"))
        })?;
        if !found.is_empty() {
            return Ok(found);
        }
        let start = next_free(bytes, path, rules).map_err(|why| {
            let (cannot, could_not) = (word("can't"), word("couldn't"));
            format!("{cannot} find available {kind} range: {could_not} parse all ranges in {path} file: {why}")
        })?;
        Ok(vec![IdRange { start, count: subid::DEFAULT_LENGTH }])
    };
    let fails = |why: String| Refusal {
        text: format!(
            "Error during {DEFAULT_ACCOUNT:?} user creation: {} create subordinate ID ranges: {why}",
            word("couldn't")
        ),
    };
    let uids = range(accounts.subuid, "/etc/subuid", "subuid").map_err(fails)?;
    let gids = range(accounts.subgid, "/etc/subgid", "subgid").map_err(fails)?;
    usable(Remapping::Created { uids, gids }, accounts)
}

/// Ranges that hold no id make container root -1, whom no directory lets through.
fn usable(remapping: Remapping, accounts: &Accounts<'_>) -> Result<Remapping, Refusal> {
    match remapping.root() {
        Some(nobody @ (-1, -1)) => Err(restricted(accounts.data_root, nobody)),
        _ => Ok(remapping),
    }
}

fn restricted(data_root: &str, (uid, gid): (i64, i64)) -> Refusal {
    let root = data_root.trim_end_matches('/');
    let text = format!(
        "a subdirectory in your graphroot path ({root}/{uid}.{gid}) restricts access to the remapped root uid/gid; please fix by \
         allowing 'o+x' permissions on existing directories"
    );
    Refusal { text }
}

/// A directory on the way to the data root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its path.
    pub path: String,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// A number as `strconv.ParseInt(…, 10, 32)` takes it; what it does not take is a name.
fn account_id(part: &str) -> Option<i64> {
    let (value, parsed) = go_parse_int(part.as_bytes());
    (parsed && i32::try_from(value).is_ok()).then_some(value)
}

enum Key<'a> {
    Name(&'a [u8]),
    Id(i64),
}

#[derive(Clone, Debug)]
struct Account {
    name: Vec<u8>,
    id: i64,
}

/// The first matching line of the file, else of `getent`; else why not, as dockerd says it.
fn lookup(accounts: &Accounts<'_>, database: Database, key: &Key<'_>) -> Result<Account, String> {
    let file = match database {
        Database::Passwd => accounts.passwd,
        Database::Group => accounts.group,
    };
    let matches = |account: &Account| match key {
        Key::Name(name) => account.name == *name,
        Key::Id(id) => account.id == *id,
    };
    // A line over 64 KiB stops the reading of the file, but then getent, which knows no such limit, finds the account.
    if let Some(found) = lines(file).map(account).find(matches) {
        return Ok(found);
    }
    let key = match key {
        Key::Name(name) => text(name),
        Key::Id(id) => id.to_string(),
    };
    if key.starts_with('-') {
        // dockerd gives it to getent as an option.
        return Err("exit status 64".to_owned());
    }
    let answer = (accounts.getent)(database, &key);
    let first = answer.as_deref().and_then(|bytes| lines(bytes).map(account).next());
    first.ok_or_else(|| format!("getent unable to find entry {key:?} in {} database", database.name()))
}

/// name:password:id:…, where an id that is no number is 0 (moby/sys user/user.go `parseParts`).
fn account(line: &[u8]) -> Account {
    let mut fields = line.split(|&byte| byte == b':');
    let name = fields.next().unwrap_or_default().to_vec();
    let id = fields.nth(1).map_or(0, |field| go_parse_int(field).0);
    Account { name, id }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
