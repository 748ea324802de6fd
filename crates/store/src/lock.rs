//! One process at a time works on an authority; the others wait, and can say for whom.

use std::{
    ffi::OsStr,
    fs::{File, TryLockError},
    io::{Read, Seek, Write},
    thread,
    time::{Duration, Instant},
};

use crate::{Home, HomeError, WriteError, directory::Directory};

const LOCK_FILE: &str = "lock";
const LOCK_MODE: u32 = 0o600;
/// How often a waiting process asks again.
const PAUSE: Duration = Duration::from_millis(5);
/// The most that is read of what the holder says of itself, in bytes.
const MOST_SAID: u64 = 500;

/// The right to work on an authority. It ends when this is dropped, and when its process does, however that happens.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

impl Home {
    /// Waits for the right to work on this authority, at most for `patience`. `who` is what others are told meanwhile.
    ///
    /// # Errors
    /// [`HomeError::Locked`] when another process keeps it for longer, or when the system refuses.
    pub fn lock(&self, who: &str, patience: Duration) -> Result<HomeLock, HomeError> {
        let path = self.path().join(LOCK_FILE);
        let io = |source| HomeError::Write(WriteError::Io { doing: "lock", path: path.clone(), source });
        let home = Directory::open(self.path()).map_err(HomeError::Write)?;
        let mut file =
            home.open_or_create(OsStr::new(LOCK_FILE), LOCK_MODE, self.ownership()?).map_err(HomeError::Write)?;
        let started = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(io(error)),
                Err(TryLockError::WouldBlock) if started.elapsed() < patience => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(HomeError::Locked { path: self.path().to_owned(), holder: holder(&home) });
                }
            }
        }
        // For people alone: on a full disk the lock still holds.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(who.as_bytes()));
        Ok(HomeLock { _file: file })
    }
}

fn holder(home: &Directory) -> String {
    let mut said = Vec::new();
    let opened = home.open_file(OsStr::new(LOCK_FILE));
    let read = opened.map(|file| file.take(MOST_SAID).read_to_end(&mut said));
    let said = dockseal_pki::printable(String::from_utf8_lossy(&said).trim());
    if !matches!(read, Ok(Ok(_))) || said.is_empty() { "another process".to_owned() } else { said }
}
