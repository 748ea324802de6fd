//! A TCP connection that ends: by its deadline, or when the peer has sent too much.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Instant,
};

/// How much of what the peer sends first is kept, in bytes.
const BANNER: usize = 256;

/// The most that is read on one connection, in bytes. A daemon sends some ten thousand.
const MOST: u64 = 4 << 20;

pub(crate) struct Wire {
    stream: TcpStream,
    pub(crate) deadline: Instant,
    /// The first bytes that came.
    pub(crate) banner: Vec<u8>,
    /// How many bytes came.
    pub(crate) received: u64,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, deadline: Instant) -> Self {
        // Small requests go out at once; where that cannot be set, they go out a little later.
        let _ = stream.set_nodelay(true);
        Self { stream, deadline, banner: Vec::new(), received: 0 }
    }

    /// Begins anew with what came, when another begins to speak on the same connection.
    pub(crate) fn forget(&mut self) {
        self.banner.clear();
        self.received = 0;
    }

    fn left(&self) -> io::Result<std::time::Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        // A timeout of zero would be none.
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.received >= MOST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.stream.set_read_timeout(Some(self.left()?))?;
        let count = self.stream.read(buffer)?;
        let room = BANNER - self.banner.len();
        self.banner.extend_from_slice(&buffer[..count.min(room)]);
        self.received += count as u64;
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
