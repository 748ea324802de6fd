//! Directories that are held open, so that nobody can put another one in their place between a check and what follows it.
//!
//! A path is walked part by part. A directory is opened without following links; a symbolic link is followed only where
//! nobody but root and the user who runs this could have put it: so a user who owns a directory on the way cannot lead a
//! run of root's to another place. That is how OpenSSH's StrictModes (misc.c `safe_path`) and the kernel's
//! protected_symlinks (proc_sys_fs(5)) think, held against every part. After the walk all work is relative to the handle.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::{File, TryLockError},
    io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Component, Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use dockseal_docker::Ownership;
use ring::digest::{SHA256, digest};
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Uid},
    io::Errno,
};

use crate::WriteError;

/// As many links as the kernel follows on one path (path_resolution(7)).
const MOST_LINKS: usize = 40;
/// The longest name of most file systems, in octets.
const LONGEST_NAME: usize = 255;
/// The longest end of a hidden name of ours, with what surrounds the stem: `.` and `.dockseal`.
const LONGEST_END: usize = 24;
/// How long a process of the same user may keep a directory locked. Ours do for milliseconds.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// The same where the process may be anybody's.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);
/// How often a process waits that long in vain before it waits no more.
const MOST_WAITS: usize = 5;
/// How often a waiting process asks again.
const PAUSE: Duration = Duration::from_millis(5);

/// What tells a file or directory from all others: its device and its inode number.
pub(crate) type Identity = (u64, u64);

/// An open directory. Its path is for messages alone.
pub(crate) struct Directory {
    handle: OwnedFd,
    path: PathBuf,
}

/// What the walk of a path came to.
struct Walked {
    /// Where it is, opened for the path alone.
    at: OwnedFd,
    /// The same as a path without links.
    real: PathBuf,
    /// What is not there below it.
    missing: VecDeque<OsString>,
    /// What is missing has this name, and it is the name of something that is no directory.
    obstacle: Option<PathBuf>,
}

impl Walked {
    /// Where no more directories can be made below, either.
    fn check(self) -> Result<Self, WriteError> {
        match self.obstacle {
            Some(path) => Err(WriteError::NotADirectory { path }),
            None => Ok(self),
        }
    }
}

impl Directory {
    /// Opens a directory that is there.
    ///
    /// # Errors
    /// [`WriteError::UnsafeLink`] where the path leads over a link that another user can change, and when the system
    /// refuses.
    pub(crate) fn open(path: &Path) -> Result<Self, WriteError> {
        let walked = walk(path, path)?.check()?;
        if walked.missing.is_empty() {
            return Self::of(&walked.at, path);
        }
        Err(WriteError::errno("open the directory", path)(Errno::NOENT))
    }

    /// The same for looking at what is in it, which needs no right to list it.
    pub(crate) fn open_to_pass(path: &Path) -> Result<Self, WriteError> {
        let walked = walk(path, path)?.check()?;
        if walked.missing.is_empty() {
            return Ok(Self { handle: walked.at, path: path.to_owned() });
        }
        Err(WriteError::errno("open the directory", path)(Errno::NOENT))
    }

    /// Where a link in it leads, if nobody else can change it; `None` for what the kernel shows as one (proc_pid_fd(5)).
    ///
    /// # Errors
    /// [`WriteError::UnsafeLink`] where another user can, and when the system refuses.
    pub(crate) fn safe_link(&self, name: &OsStr) -> Result<Option<PathBuf>, WriteError> {
        let held = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let link = rustix::fs::openat(&self.handle, name, held, Mode::empty()).map_err(self.failed("open", name))?;
        if rustix::fs::fstatfs(&link).is_ok_and(|system| system.f_type == rustix::fs::PROC_SUPER_MAGIC) {
            return Ok(None);
        }
        let found = rustix::fs::fstat(&link).map_err(self.failed("look at", name))?;
        if let Some(user) = who_can_change(&self.metadata()?, &found) {
            return Err(WriteError::UnsafeLink { path: self.path_of(name), user });
        }
        let target = rustix::fs::readlinkat(&link, "", Vec::new()).map_err(self.failed("read the link", name))?;
        let here = resolve(&self.path);
        Ok(Some(here.join(OsString::from_vec(target.into_bytes()))))
    }

    /// The same, after what is missing of it was made with this mode, whatever the umask, and for the owner of the nearest
    /// that is there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_or_make(path: &Path, mode: u32) -> Result<Self, WriteError> {
        let walked = walk(path, path)?.check()?;
        let mut directory = Self { handle: walked.at, path: walked.real };
        if walked.missing.is_empty() {
            return Self::of(&directory.handle, path);
        }
        let ownership = directory.ownership_within()?;
        for name in walked.missing {
            if name == ".." || name == "." {
                return Err(WriteError::errno("make the directory", path)(Errno::NOENT));
            }
            directory = match directory.make_child(&name, mode) {
                // Another process was faster.
                Err(error) if error.is(Errno::EXIST) => directory.child(&name)?,
                made => {
                    let made = made?;
                    made.own(ownership, mode)?;
                    made
                }
            };
        }
        Ok(Self { path: path.to_owned(), ..directory })
    }

    /// A handle that can be read, locked and synced.
    fn of(at: &OwnedFd, path: &Path) -> Result<Self, WriteError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(at, ".", flags, Mode::empty());
        let handle = handle.map_err(WriteError::errno("open the directory", path))?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Its path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of what has this name in it, for messages.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.handle.as_fd()
    }

    fn failed<N: AsRef<OsStr> + ?Sized>(
        &self,
        doing: &'static str,
        name: &N,
    ) -> impl FnOnce(Errno) -> WriteError + use<N> {
        WriteError::errno(doing, &self.path.join(name.as_ref()))
    }

    pub(crate) fn metadata(&self) -> Result<Stat, WriteError> {
        rustix::fs::fstat(&self.handle).map_err(WriteError::errno("look at", &self.path))
    }

    pub(crate) fn identity(&self) -> Result<Identity, WriteError> {
        self.metadata().map(|found| identity(&found))
    }

    /// What is there under this name, links not followed; `None` for nothing.
    pub(crate) fn look(&self, name: &OsStr) -> Result<Option<Stat>, WriteError> {
        match rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("look at", name)(error)),
        }
    }

    /// Whether what has this name is this very directory or file.
    pub(crate) fn is_there(&self, name: &OsStr, wanted: Identity) -> Result<bool, WriteError> {
        Ok(self.look(name)?.is_some_and(|found| identity(&found) == wanted))
    }

    /// Opens a directory in it; a link, a pipe or a device is refused, and none of them is waited for.
    pub(crate) fn child(&self, name: &OsStr) -> Result<Self, WriteError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let handle = rustix::fs::openat(&self.handle, name, flags, Mode::empty());
        Ok(Self { handle: handle.map_err(self.failed("open the directory", name))?, path: self.path_of(name) })
    }

    /// The same for removing what is in it: not where something else is mounted there.
    fn child_of_this_mount(&self, name: &OsStr) -> Result<Self, WriteError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
        match rustix::fs::openat2(&self.handle, name, flags, Mode::empty(), resolve) {
            Ok(handle) => Ok(Self { handle, path: self.path_of(name) }),
            // Linux before 5.6, and sandboxes that do not know it.
            Err(Errno::NOSYS | Errno::PERM) => self.child(name),
            Err(error) => Err(self.failed("open the directory", name)(error)),
        }
    }

    /// Makes a directory in it and opens it. What another user put in its place meanwhile is not taken for it.
    pub(crate) fn make_child(&self, name: &OsStr, mode: u32) -> Result<Self, WriteError> {
        rustix::fs::mkdirat(&self.handle, name, Mode::from_raw_mode(mode & 0o700))
            .map_err(self.failed("make the directory", name))?;
        self.open_made(name, mode).inspect_err(|error| {
            // An empty directory is no use to anybody; what is not empty stays, and so does what is another one.
            if !error.is(Errno::NOENT) && !matches!(error, WriteError::Changed { .. }) {
                let _ = rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR);
            }
        })
    }

    fn open_made(&self, name: &OsStr, mode: u32) -> Result<Self, WriteError> {
        // The umask may have taken even the owner's bits, so the mode comes before the handle that can be read. chmod of
        // what somebody else put there would be by name; so what is there is held first.
        let held =
            rustix::fs::openat(&self.handle, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
                .map_err(self.failed("open the directory", name))?;
        let found = rustix::fs::fstat(&held).map_err(self.failed("look at", name))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory || found.st_uid != own_user() {
            return Err(WriteError::Changed { path: self.path_of(name) });
        }
        let child = match self.child(name) {
            Err(error) if error.is(Errno::ACCESS) => {
                let unnamed = format!("/proc/self/fd/{}", held.as_raw_fd());
                rustix::fs::chmodat(CWD, unnamed, Mode::from_raw_mode(mode & 0o700), AtFlags::empty())
                    .map_err(self.failed("set the mode of", name))?;
                self.child(name)?
            }
            opened => opened?,
        };
        if child.identity()? != identity(&found) {
            return Err(WriteError::Changed { path: self.path_of(name) });
        }
        remove_acls(&child.handle).map_err(self.failed("remove the access control list of", name))?;
        child.set_mode(mode)?;
        Ok(child)
    }

    pub(crate) fn set_mode(&self, mode: u32) -> Result<(), WriteError> {
        rustix::fs::fchmod(&self.handle, Mode::from_raw_mode(mode))
            .map_err(WriteError::errno("set the mode of", &self.path))
    }

    /// Gives it to an owner, then sets its mode.
    pub(crate) fn own(&self, ownership: Ownership, mode: u32) -> Result<(), WriteError> {
        give(&self.handle, ownership).map_err(WriteError::errno("change the owner of", &self.path))?;
        self.set_mode(mode)
    }

    /// To whom what is made in it belongs: to its owner also where root makes it, since that user could not use it otherwise.
    pub(crate) fn ownership_within(&self) -> Result<Ownership, WriteError> {
        let found = self.metadata()?;
        if own_user() != 0 || found.st_uid == 0 {
            return Ok(Ownership::default());
        }
        Ok(Ownership { user: Some(found.st_uid), group: Some(found.st_gid), key_mode: None })
    }

    /// The names in it, in order.
    pub(crate) fn names(&self) -> Result<Vec<OsString>, WriteError> {
        let failed = || WriteError::errno("read the directory", &self.path);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.handle).map_err(failed())? {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens a new file in it, for writing by its owner alone.
    pub(crate) fn create(&self, name: &OsStr, mode: u32) -> Result<File, WriteError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(mode & 0o600))
            .map_err(self.failed("write", name))?;
        remove_acls(&file).map_err(self.failed("remove the access control list of", name))?;
        Ok(File::from(file))
    }

    /// Opens a regular file in it that nobody has under another name, or makes it for this owner.
    pub(crate) fn open_or_create(&self, name: &OsStr, mode: u32, ownership: Ownership) -> Result<File, WriteError> {
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(&self.handle, name, flags, Mode::from_raw_mode(mode)).map(File::from);
        let file = match open(flags | OFlags::CREATE | OFlags::EXCL) {
            Ok(file) => {
                remove_acls(&file).map_err(self.failed("remove the access control list of", name))?;
                change_owner(&file, ownership).map_err(self.failed("change the owner of", name))?;
                return Ok(file);
            }
            Err(Errno::EXIST) => open(flags).map_err(self.failed("open", name))?,
            Err(error) => return Err(self.failed("open", name)(error)),
        };
        let found = rustix::fs::fstat(&file).map_err(self.failed("look at", name))?;
        if FileType::from_raw_mode(found.st_mode) == FileType::RegularFile && found.st_nlink == 1 {
            return Ok(file);
        }
        let path = self.path_of(name);
        Err(WriteError::io("use", &path)(io::Error::other("it is not a regular file of one name")))
    }

    /// Opens what is in it for reading; a link is refused, a pipe not waited for.
    pub(crate) fn open_file(&self, name: &OsStr) -> Result<File, WriteError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.handle, name, flags, Mode::empty()).map(File::from).map_err(self.failed("open", name))
    }

    /// Opens a file in it that has no name yet; `None` on file systems that know no such files.
    pub(crate) fn create_nameless(&self, name: &OsStr, mode: u32) -> Result<Option<File>, WriteError> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.handle, ".", flags, Mode::from_raw_mode(mode & 0o600)) {
            Ok(handle) => {
                remove_acls(&handle).map_err(self.failed("remove the access control list of", name))?;
                Ok(Some(File::from(handle)))
            }
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
            Err(error) => Err(self.failed("write", name)(error)),
        }
    }

    /// Gives a file a name in it that nothing has yet.
    pub(crate) fn name_file(&self, file: &File, name: &OsStr) -> Result<(), Errno> {
        let unnamed = format!("/proc/self/fd/{}", file.as_raw_fd());
        rustix::fs::linkat(CWD, unnamed, &self.handle, name, AtFlags::SYMLINK_FOLLOW)
    }

    /// Gives what is in it a second name, links not followed.
    pub(crate) fn link_into(&self, name: &OsStr, to: &Self, new: &OsStr) -> Result<(), Errno> {
        rustix::fs::linkat(&self.handle, name, &to.handle, new, AtFlags::empty())
    }

    pub(crate) fn make_link(&self, name: &OsStr, target: &Path, ownership: Ownership) -> Result<(), WriteError> {
        rustix::fs::symlinkat(target, &self.handle, name).map_err(self.failed("make the link", name))?;
        if ownership.user.is_none() && ownership.group.is_none() {
            return Ok(());
        }
        let (user, group) = (ownership.user.map(Uid::from_raw), ownership.group.map(Gid::from_raw));
        rustix::fs::chownat(&self.handle, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(self.failed("change the owner of", name))
    }

    pub(crate) fn rename(&self, name: &OsStr, to: &Self, new: &OsStr) -> Result<(), Errno> {
        rustix::fs::renameat(&self.handle, name, &to.handle, new)
    }

    pub(crate) fn exchange(&self, name: &OsStr, to: &Self, new: &OsStr) -> Result<(), Errno> {
        rustix::fs::renameat_with(&self.handle, name, &to.handle, new, RenameFlags::EXCHANGE)
    }

    /// Removes a file, or a link and not what it leads to.
    pub(crate) fn remove_file(&self, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.handle, name, AtFlags::empty())
    }

    pub(crate) fn remove_empty(&self, name: &OsStr) -> Result<(), Errno> {
        rustix::fs::unlinkat(&self.handle, name, AtFlags::REMOVEDIR)
    }

    /// Removes what has this name with all that is in it, at most `depth` directories deep. Links are removed and not
    /// followed; what is mounted there stays.
    ///
    /// # Errors
    /// When the system refuses; then a part may be gone. What is not there needs no removing.
    pub(crate) fn remove_all(&self, name: &OsStr, depth: usize) -> Result<(), WriteError> {
        let Some(found) = self.look(name)? else { return Ok(()) };
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            return gone(self.remove_file(name)).map_err(self.failed("remove", name));
        }
        let Some(below) = depth.checked_sub(1) else {
            return Err(self.failed("remove", name)(Errno::NOTEMPTY));
        };
        let child = self.child_of_this_mount(name)?;
        for name in child.names()? {
            child.remove_all(&name, below)?;
        }
        gone(self.remove_empty(name)).map_err(self.failed("remove", name))
    }

    /// The right to work in it, among processes of ours. It is kept until what is returned is dropped.
    ///
    /// Whoever can open a directory can lock it, for ever. So where others than its owner can, this waits a short while and
    /// goes on without: what is made there has a name that is free (`O_EXCL`) and a lock of its own, and is known by its
    /// identity, so that two processes of ours are safe without this lock as well. With it they wait for each other.
    ///
    /// # Errors
    /// When a process of the owner's keeps it for ten seconds, or the system refuses.
    pub(crate) fn lock(&self) -> Result<File, WriteError> {
        let failed = WriteError::io("lock the directory", &self.path);
        let is_ours_alone = self.is_for_owner_alone()?;
        let patience = if is_ours_alone { LOCK_PATIENCE } else { patience_with_others() };
        let lock = self.second_handle()?;
        match lock_within(&lock, patience) {
            Ok(true) => Ok(lock),
            Ok(false) if is_ours_alone => {
                Err(failed(io::Error::new(io::ErrorKind::TimedOut, "another process keeps it locked")))
            }
            Ok(false) => {
                TIMES_WITHOUT_LOCK.fetch_add(1, Ordering::Relaxed);
                Ok(lock)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether nobody but who runs this, and root, can open it. What a list of users and groups allows shows in the bits of
    /// the group (acl(5)).
    fn is_for_owner_alone(&self) -> Result<bool, WriteError> {
        let found = self.metadata()?;
        Ok(is_trusted(found.st_uid) && found.st_mode & 0o044 == 0)
    }

    /// The same without waiting; `None` when another process has it.
    pub(crate) fn try_lock(&self) -> Result<Option<File>, WriteError> {
        let lock = self.second_handle()?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(WriteError::io("lock the directory", &self.path)(error)),
        }
    }

    /// A lock belongs to an open file description, so that it needs one of its own (flock(2)).
    fn second_handle(&self) -> Result<File, WriteError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(&self.handle, ".", flags, Mode::empty())
            .map(File::from)
            .map_err(WriteError::errno("open the directory", &self.path))
    }

    /// Waits until its entries are on the disk.
    pub(crate) fn sync(&self) -> Result<(), WriteError> {
        match rustix::fs::fsync(&self.handle) {
            // Some network and FUSE file systems cannot sync a directory; there is nothing better to do on them.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(error) => Err(WriteError::errno("sync the directory", &self.path)(error)),
        }
    }
}

/// Whether the lock was free within that time.
fn lock_within(lock: &File, patience: Duration) -> io::Result<bool> {
    let started = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if started.elapsed() < patience => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// How often this process went on without a lock that another user may keep.
static TIMES_WITHOUT_LOCK: AtomicUsize = AtomicUsize::new(0);

/// Many locked directories do not add up to a long wait.
fn patience_with_others() -> Duration {
    match TIMES_WITHOUT_LOCK.load(Ordering::Relaxed) {
        0..MOST_WAITS => SHORT_PATIENCE,
        _ => Duration::ZERO,
    }
}

/// What is gone already was to go.
fn gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

pub(crate) fn identity(found: &Stat) -> Identity {
    (found.st_dev, found.st_ino)
}

/// Who runs this.
pub(crate) fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Gives what was just made to an owner: to who runs this where none is named, whatever group its directory hands down
/// (setgid, inode(7)).
pub(crate) fn give(file: impl AsFd, ownership: Ownership) -> Result<(), Errno> {
    let found = rustix::fs::fstat(&file)?;
    let user = ownership.user.unwrap_or_else(own_user);
    let group = ownership.group.unwrap_or_else(|| rustix::process::getegid().as_raw());
    let (user, group) =
        (Some(user).filter(|user| *user != found.st_uid), Some(group).filter(|group| *group != found.st_gid));
    match change_owner(&file, Ownership { user, group, key_mode: None }) {
        // Some file systems decide themselves (FAT, a server that squashes root); nobody asked them for another.
        Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP) if ownership.user.is_none() && ownership.group.is_none() => {
            Ok(())
        }
        done => done,
    }
}

/// What is made in a directory with a default access control list gets one from it (acl(5), "object creation"); the group's
/// bits of the mode are then the most that any of its users and groups may do. Nobody asked for them.
fn remove_acls(made: impl AsFd) -> Result<(), Errno> {
    for list in ["system.posix_acl_default", "system.posix_acl_access"] {
        match rustix::fs::fremovexattr(&made, list) {
            // There is none; or the file system, or the kernel, knows none; a file has no default one.
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS | Errno::ACCESS) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn change_owner(file: impl AsFd, ownership: Ownership) -> Result<(), Errno> {
    if ownership.user.is_none() && ownership.group.is_none() {
        return Ok(());
    }
    rustix::fs::fchown(file, ownership.user.map(Uid::from_raw), ownership.group.map(Gid::from_raw))
}

/// A hidden name beside `stem`, of at most 255 octets: a long stem is cut, and its digest tells it from others.
pub(crate) fn hidden(stem: &OsStr, end: &str) -> OsString {
    let octets = stem.as_bytes();
    let mut name = OsString::from(".");
    if octets.len() + LONGEST_END <= LONGEST_NAME {
        name.push(stem);
    } else {
        let tag: String = digest(&SHA256, octets).as_ref().iter().take(8).map(|octet| format!("{octet:02x}")).collect();
        name.push(OsStr::from_bytes(octets.get(..LONGEST_NAME - LONGEST_END - tag.len()).unwrap_or_default()));
        name.push(tag);
    }
    name.push(".dockseal");
    name.push(end);
    name
}

/// The path without links, as far as it exists. A link that another user could change stays as it is: what works there
/// refuses it.
#[must_use]
pub fn resolve(path: &Path) -> PathBuf {
    // Where the walk refuses, what is above may still have one name.
    let mut rest = Vec::new();
    for ancestor in path.ancestors() {
        if let Ok(walked) = walk(ancestor, path) {
            let below = walked.missing.iter().map(OsString::as_os_str);
            return below.chain(rest.iter().rev().copied()).fold(walked.real, |path, name| path.join(name));
        }
        rest.extend(ancestor.file_name());
    }
    path.to_owned()
}

/// Goes along a path as far as it exists.
fn walk(path: &Path, told: &Path) -> Result<Walked, WriteError> {
    let failed = || WriteError::errno("open the directory", told);
    let held = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // O_DIRECTORY mounts what an automounter has there (path_resolution(7)).
    let open = |at: &OwnedFd, name: &OsStr| rustix::fs::openat(at, name, held | OFlags::DIRECTORY, Mode::empty());
    let root = || rustix::fs::open("/", held | OFlags::DIRECTORY, Mode::empty());
    let (mut at, mut real) = if path.is_absolute() {
        (root().map_err(failed())?, PathBuf::from("/"))
    } else {
        let here = rustix::fs::open(".", held | OFlags::DIRECTORY, Mode::empty()).map_err(failed())?;
        (here, std::env::current_dir().unwrap_or_default())
    };
    let mut parts = parts_of(path);
    let mut links = 0;
    while let Some(name) = parts.pop_front() {
        match open(&at, &name) {
            Ok(next) => {
                at = next;
                if name == ".." {
                    real.pop();
                } else {
                    real.push(&name);
                }
            }
            Err(Errno::NOENT) => {
                parts.push_front(name);
                return Ok(Walked { at, real, missing: parts, obstacle: None });
            }
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let link = rustix::fs::openat(&at, &name, held, Mode::empty()).map_err(failed())?;
                let found = rustix::fs::fstat(&link).map_err(failed())?;
                if FileType::from_raw_mode(found.st_mode) != FileType::Symlink {
                    let obstacle = Some(real.join(&name));
                    parts.push_front(name);
                    return Ok(Walked { at, real, missing: parts, obstacle });
                }
                let directory = rustix::fs::fstat(&at).map_err(failed())?;
                if let Some(user) = who_can_change(&directory, &found) {
                    return Err(WriteError::UnsafeLink { path: real.join(&name), user });
                }
                links += 1;
                if links > MOST_LINKS {
                    return Err(failed()(Errno::LOOP));
                }
                let target = rustix::fs::readlinkat(&link, "", Vec::new()).map_err(failed())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                if target.is_absolute() {
                    (at, real) = (root().map_err(failed())?, PathBuf::from("/"));
                }
                let mut through = parts_of(&target);
                through.append(&mut parts);
                parts = through;
            }
            Err(error) => return Err(failed()(error)),
        }
    }
    Ok(Walked { at, real, missing: parts, obstacle: None })
}

fn parts_of(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
        })
        .collect()
}

/// The user who could have made a link in a directory lead elsewhere than root or the user who runs this wanted.
fn who_can_change(directory: &Stat, link: &Stat) -> Option<u32> {
    let is_shared = directory.st_mode & 0o022 != 0;
    let users = [Some(directory.st_uid), is_shared.then_some(link.st_uid)];
    users.into_iter().flatten().find(|user| !is_trusted(*user))
}

/// Root, who runs this, and who owns `/`: in a user namespace that is root as seen from inside.
pub(crate) fn is_trusted(user: u32) -> bool {
    user == 0 || user == own_user() || rustix::fs::stat("/").is_ok_and(|root| root.st_uid == user)
}
