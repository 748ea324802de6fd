//! As much of HTTP/1.1 (RFC 9112) as the answers of a daemon need, with a bound on everything.

use std::time::Duration;

use crate::{
    Proxy, Target,
    attempt::{Channel, Trouble},
};

/// The most that a head may have, in bytes; Go's client takes 1 MiB by default, a daemon sends some 300.
const MOST_HEAD: usize = 64 << 10;
/// The most headers.
const MOST_HEADERS: usize = 100;
/// The most that is kept of a body, in bytes.
const MOST_BODY: usize = 1 << 20;
/// The most provisional answers (1xx) before the real one; Go's client takes five.
const MOST_PROVISIONAL: usize = 5;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
    /// Whether the body went on beyond what was read.
    pub is_cut: bool,
    /// Whether the connection ends with it.
    pub is_last: bool,
    /// When it had come, counted from the beginning of the probe.
    pub after: Duration,
}

impl Reply {
    /// The first header of this name, whatever its case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// What came is no answer by HTTP's rules.
#[derive(Debug)]
pub(crate) struct NotHttp;

/// Requests and answers on one connection.
pub(crate) struct Conversation {
    authority: String,
    /// What goes before a path; where a proxy takes the request, the host too, and a header more (RFC 9112 section 3.2.2).
    prefix: String,
    more: String,
    /// What came and belongs to no answer yet.
    rest: Vec<u8>,
}

impl Conversation {
    pub(crate) fn new(target: &Target, proxy: Option<&Proxy>) -> Self {
        let authority = target.authority();
        let host = proxy.map_or_else(String::new, |_| format!("http://{authority}"));
        let prefix = format!("{host}{}", target.base_path);
        let more = proxy.map_or_else(String::new, Proxy::authorization_line);
        Self { authority, prefix, more, rest: Vec::new() }
    }

    /// Asks for `path` and reads the answer.
    pub(crate) fn get(&mut self, path: &str, channel: &mut Channel<'_>) -> Result<Reply, Trouble> {
        let request = format!(
            "GET {}{path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: dockseal/{}\r\n{}\r\n",
            self.prefix,
            self.authority,
            env!("CARGO_PKG_VERSION"),
            self.more
        );
        channel.send(request.as_bytes())?;
        for _ in 0..=MOST_PROVISIONAL {
            let mut reply = self.head(channel)?;
            if reply.status / 100 != 1 {
                self.body(&mut reply, channel)?;
                return Ok(reply);
            }
        }
        Err(NotHttp.into())
    }

    /// One more piece; whether there was one.
    fn more(&mut self, channel: &mut Channel<'_>) -> Result<bool, Trouble> {
        let mut piece = [0; 8192];
        let count = channel.receive(&mut piece)?;
        self.rest.extend_from_slice(&piece[..count]);
        Ok(count > 0)
    }

    fn head(&mut self, channel: &mut Channel<'_>) -> Result<Reply, Trouble> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(length) = response.parse(&self.rest).map_err(|_| NotHttp)? {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                let reply = Reply {
                    status: response.code.unwrap_or_default(),
                    headers: response.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect(),
                    body: Vec::new(),
                    is_cut: false,
                    is_last: response.version != Some(1),
                    after: Duration::ZERO,
                };
                self.rest.drain(..length);
                return Ok(reply);
            }
            if self.rest.len() > MOST_HEAD {
                return Err(Trouble::TooMuch);
            }
            if !self.more(channel)? {
                let phase = crate::Phase::Request;
                return Err(if self.rest.is_empty() { Trouble::Closed { phase } } else { Trouble::NotHttp });
            }
        }
    }

    fn body(&mut self, reply: &mut Reply, channel: &mut Channel<'_>) -> Result<(), Trouble> {
        let says = |name: &str, word: &str| {
            let value = reply.header(name).unwrap_or_default();
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
        };
        let (closes, is_chunked) = (says("connection", "close"), says("transfer-encoding", "chunked"));
        reply.is_last |= closes;
        if is_chunked {
            return self.chunks(reply, channel);
        }
        let length = reply.header("content-length").map(str::parse::<usize>);
        let wanted = match (reply.status, length) {
            (204 | 304, _) => 0,
            (_, Some(Ok(length))) => length,
            (_, Some(Err(_))) => return Err(NotHttp.into()),
            (_, None) => {
                reply.is_last = true;
                usize::MAX
            }
        };
        while self.rest.len() < wanted.min(MOST_BODY) {
            match self.more(channel) {
                Ok(true) => {}
                // The end is the end of the connection, however that comes; or it stays open and nothing comes.
                Ok(false) => break,
                Err(_) if wanted == usize::MAX && !self.rest.is_empty() => break,
                Err(trouble) => return Err(trouble),
            }
        }
        let kept = self.rest.len().min(wanted).min(MOST_BODY);
        reply.body = self.rest.drain(..kept).collect();
        reply.is_cut = wanted != usize::MAX && kept < wanted || wanted == usize::MAX && kept == MOST_BODY;
        reply.is_last |= reply.is_cut;
        Ok(())
    }

    fn chunks(&mut self, reply: &mut Reply, channel: &mut Channel<'_>) -> Result<(), Trouble> {
        loop {
            let (line, size) = loop {
                match httparse::parse_chunk_size(&self.rest).map_err(|_| NotHttp)? {
                    httparse::Status::Complete((line, size)) => {
                        break (line, usize::try_from(size).unwrap_or(usize::MAX));
                    }
                    httparse::Status::Partial if self.rest.len() > MOST_HEAD => return Err(Trouble::TooMuch),
                    httparse::Status::Partial => self.more_of_body(channel)?,
                }
            };
            self.rest.drain(..line);
            if size > MOST_BODY - reply.body.len() {
                (reply.is_cut, reply.is_last) = (true, true);
                return Ok(());
            }
            // The chunk and the end of its line. After the last chunk come trailers, which nobody sends: at most a line.
            while self.rest.len() < size + 2 {
                self.more_of_body(channel)?;
            }
            reply.body.extend(self.rest.drain(..size));
            if self.rest.drain(..2).ne([b'\r', b'\n']) {
                return Err(NotHttp.into());
            }
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn more_of_body(&mut self, channel: &mut Channel<'_>) -> Result<(), Trouble> {
        if self.more(channel)? { Ok(()) } else { Err(Trouble::Closed { phase: crate::Phase::Request }) }
    }
}
