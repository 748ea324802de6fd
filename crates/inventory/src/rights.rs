//! With whose rights SQLite works on an inventory.
//!
//! SQLite opens by paths, and resolves every link in them itself (`unixFullPathname` in its os_unix.c), `/proc/self/fd` too: a
//! handle of the directory cannot be given to it. Whoever owns a directory on the way can exchange it between any two of its
//! steps. So where root works on the inventory of another user, SQLite works with that user's rights, and reaches nothing that
//! this user could not change without root.

use std::{
    io,
    marker::PhantomData,
    mem,
    ops::{Deref, DerefMut},
};

use dockseal_docker::Ownership;
use rusqlite::Connection;
use rustix::{
    process::{Gid, Uid, getegid, geteuid, getgroups},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

/// The user whose rights SQLite needs, where they are not those of who runs this.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeper {
    user: Uid,
    group: Gid,
}

impl Keeper {
    /// Of what belongs to another user, where this is root; for others the system itself decides.
    pub(crate) fn of(ownership: Ownership) -> Option<Self> {
        let user = ownership.user.map(Uid::from_raw).filter(|user| !user.is_root() && geteuid().is_root())?;
        let group = ownership.group.map_or_else(getegid, Gid::from_raw);
        Some(Self { user, group })
    }
}

/// The rights of another user, of this thread alone (on Linux each has its own, credentials(7)), until it is dropped.
#[must_use = "dropped, they are given back"]
pub(crate) struct Held {
    before: Option<(Uid, Gid, Vec<Gid>)>,
    /// Not for another thread.
    _thread: PhantomData<*const ()>,
}

impl Held {
    /// Takes them, if there are any to be taken.
    pub(crate) fn of(keeper: Option<Keeper>) -> io::Result<Self> {
        let mut held = Self { before: None, _thread: PhantomData };
        let Some(Keeper { user, group }) = keeper else { return Ok(held) };
        // What is taken half-way is given back too.
        held.before = Some((geteuid(), getegid(), getgroups()?));
        set_thread_groups(&[group])?;
        set_thread_res_gid(None, group, None)?;
        set_thread_res_uid(None, user, None)?;
        Ok(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some((user, group, groups)) = self.before.take() else { return };
        // The saved user id is still root's, which is what the kernel asks for. If it refuses all the same, what follows has
        // fewer rights and not more.
        let _ = set_thread_res_uid(None, user, None)
            .and_then(|()| set_thread_res_gid(None, group, None))
            .and_then(|()| set_thread_groups(&groups));
    }
}

/// A connection that is worked with, and closed, with the rights of who keeps its file.
#[derive(Debug)]
pub(crate) struct Database {
    /// None only while it is dropped.
    connection: Option<Connection>,
    keeper: Option<Keeper>,
}

impl Database {
    pub(crate) fn new(connection: Connection, keeper: Option<Keeper>) -> Self {
        Self { connection: Some(connection), keeper }
    }

    pub(crate) fn read(&self) -> io::Result<Reached<&Connection>> {
        let connection = self.connection.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Reached { connection, _held: Held::of(self.keeper)? })
    }

    pub(crate) fn write(&mut self) -> io::Result<Reached<&mut Connection>> {
        let connection = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Reached { connection, _held: Held::of(self.keeper)? })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Closing it writes and removes files.
        match Held::of(self.keeper) {
            Ok(_held) => drop(self.connection.take()),
            Err(_) => mem::forget(self.connection.take()),
        }
    }
}

/// A connection while it is worked with.
pub(crate) struct Reached<C> {
    connection: C,
    _held: Held,
}

impl<C: Deref<Target = Connection>> Deref for Reached<C> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl<C: DerefMut<Target = Connection>> DerefMut for Reached<C> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
