//! A shell on a host, at the other end of one ssh process.
//!
//! A step is a subshell, with its input as a here-document, that the shell has read whole before it runs any of it: what
//! was cut off on the way does nothing. Data cannot follow a command in the same stream, since not every shell reads byte
//! by byte as POSIX wants it (dash before 0.5.13 does not). Both output streams end a step with a line that no output
//! can contain by chance.

use std::{
    io::{self, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use crate::{
    error::{ReachError, Refusal},
    target::Target,
};

/// What a step may say at most. A host that says more is broken or hostile.
const MOST_OUTPUT: usize = 32 << 20;
/// How much of what ssh says is kept.
const MOST_TALK: usize = 64 << 10;

/// How to dial.
#[derive(Clone, Debug)]
pub struct Dial {
    /// Whether ssh may ask for a password, a passphrase or about a host key on the terminal.
    pub may_ask: bool,
    /// How long a connection may take to come about where nobody is asked.
    pub patience: Duration,
    /// What tells this run's lines from a host's own output: random, of letters and digits.
    pub nonce: String,
}

/// How this session is root on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Who logged in is.
    Login,
    /// Through sudo, without a password.
    Sudo,
    /// Through doas, without a password.
    Doas,
    /// It is not.
    No,
}

impl Root {
    /// Its name, in lower case.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Sudo => "sudo",
            Self::Doas => "doas",
            Self::No => "no",
        }
    }
}

/// What a step ended with.
#[derive(Debug)]
pub struct Done {
    /// Its exit status.
    pub status: i32,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Done {
    /// Standard output as text that can be shown.
    #[must_use]
    pub fn text(&self) -> String {
        shown(&String::from_utf8_lossy(&self.stdout))
    }

    /// Itself, if it succeeded.
    ///
    /// # Errors
    /// It did not; `what` is what was tried, as in "cannot …".
    pub fn success(self, what: &str) -> Result<Self, ReachError> {
        if self.status == 0 {
            return Ok(self);
        }
        let said = if self.stderr.is_empty() { self.text().trim().to_owned() } else { self.stderr };
        let said = if said.is_empty() { format!("exit status {}", self.status) } else { said };
        Err(ReachError::Failed { what: what.to_owned(), said })
    }
}

/// A chunk of one of the streams; empty at its end.
enum Chunk {
    Out(Vec<u8>),
    Err(Vec<u8>),
}

/// A shell on a host. Dropping it ends the connection and the shell.
pub struct Session {
    child: Child,
    stdin: Option<ChildStdin>,
    chunks: Receiver<Chunk>,
    nonce: String,
    steps: u64,
    root: Root,
    user: String,
    /// Why sudo did not make it root.
    refused: String,
}

impl Session {
    /// A shell on `target`, as root where that needs no password.
    ///
    /// The user's ssh configuration, agent and known hosts count; host keys are checked as it says. Forwardings and
    /// commands that it has for the host are left out.
    ///
    /// # Errors
    /// ssh cannot be started, does not get through, or finds no shell.
    pub fn open(target: &Target, dial: &Dial) -> Result<Self, ReachError> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-T", "-o", "ClearAllForwardings=yes", "-o", "RemoteCommand=none", "-o", "PermitLocalCommand=no"]);
        ssh.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=4"]);
        ssh.args(["-o", &format!("ConnectTimeout={}", dial.patience.as_secs().clamp(1, 600))]);
        if !dial.may_ask {
            ssh.args(["-o", "BatchMode=yes"]);
        }
        ssh.args(target.arguments());
        // Two words that every login shell understands alike.
        ssh.arg("exec sh");
        Self::start(ssh, dial)
    }

    /// A shell on this machine, as whoever runs this program.
    ///
    /// # Errors
    /// There is no `sh`.
    pub fn local(dial: &Dial) -> Result<Self, ReachError> {
        Self::start(Command::new("sh"), dial)
    }

    fn start(mut command: Command, dial: &Dial) -> Result<Self, ReachError> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(ReachError::NoSsh)?;
        let (sender, chunks) = channel();
        if let Some(stdout) = child.stdout.take() {
            forward(stdout, sender.clone(), Chunk::Out);
        }
        if let Some(stderr) = child.stderr.take() {
            forward(stderr, sender, Chunk::Err);
        }
        let stdin = child.stdin.take();
        let nonce = dial.nonce.clone();
        let mut session =
            Self { child, stdin, chunks, nonce, steps: 0, root: Root::No, user: String::new(), refused: String::new() };
        // A person may take their time over a question.
        let patience = if dial.may_ask { Duration::from_secs(300) } else { dial.patience + Duration::from_secs(20) };
        session.greet(patience).map_err(|error| session.not_greeted(error))?;
        Ok(session)
    }

    /// Sets the shell up, as root if it can be.
    fn greet(&mut self, patience: Duration) -> Result<(), ReachError> {
        const SETTINGS: &str = "LC_ALL=C; PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; umask 077; export LC_ALL PATH\n";
        self.send(SETTINGS)?;
        // Start-up files that print have done so then.
        self.run(":", &[], patience)?;
        let done = self.run(
            "said=; via=no\n\
             if [ \"$(id -u)\" = 0 ]; then via=login\n\
             elif command -v sudo >/dev/null 2>&1; then said=$(sudo -n true 2>&1) && via=sudo\n\
             elif command -v doas >/dev/null 2>&1; then said=$(doas -n true 2>&1) && via=doas\n\
             fi\n\
             printf '%s\\n%s\\n%s\\n' \"$via\" \"$(id -un 2>/dev/null || id -u)\" \"$said\"",
            &[],
            patience,
        )?;
        let text = done.text();
        let mut lines = text.lines();
        self.root = match lines.next() {
            Some("login") => Root::Login,
            Some("sudo") => Root::Sudo,
            Some("doas") => Root::Doas,
            _ => Root::No,
        };
        self.user = printable(lines.next().unwrap_or_default());
        self.refused = lines.map(printable).collect::<Vec<_>>().join(" ").trim().to_owned();
        let become_root = match self.root {
            Root::Sudo => "sudo -n --",
            Root::Doas => "doas -n --",
            Root::Login | Root::No => return Ok(()),
        };
        // Nothing may be sent before the new shell is there: the old one might take it.
        self.steps += 1;
        let mark = format!("{}-{}", self.nonce, self.steps);
        self.send(&format!(
            "exec {become_root} sh -c 'printf \"\\n%s 0\\n\" {mark}; printf \"\\n%s\\n\" {mark} >&2; exec sh'\n"
        ))?;
        self.await_end(&mark, patience)?;
        self.send(SETTINGS)
    }

    /// Why there is no shell.
    fn not_greeted(&mut self, error: ReachError) -> ReachError {
        let ReachError::Cut { said } = error else { return error };
        let status = self.child.wait().ok().and_then(|status| status.code());
        let refusal = match Refusal::of(&said) {
            // ssh itself ends with 255.
            Refusal::Other if status != Some(255) => Refusal::Shell,
            refusal => refusal,
        };
        ReachError::Refused { refusal, said }
    }

    /// How this session is root.
    #[must_use]
    pub fn root(&self) -> Root {
        self.root
    }

    /// Who logged in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What tells this run from others; a word of letters and digits.
    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Goes on only as root.
    ///
    /// # Errors
    /// It is not.
    pub fn require_root(&self) -> Result<(), ReachError> {
        match self.root {
            Root::No => Err(ReachError::NotRoot { user: self.user.clone(), said: self.refused.clone() }),
            _ => Ok(()),
        }
    }

    /// Runs a script of POSIX sh in a subshell, with `input` as its standard input: text, which gets a line end where it has
    /// none.
    ///
    /// # Errors
    /// The connection ends, the host says too much, or there is no end within `patience`; then the session is of no more
    /// use. That the script fails is no error here.
    pub fn run(&mut self, script: &str, input: &[u8], patience: Duration) -> Result<Done, ReachError> {
        self.steps += 1;
        let mark = format!("{}-{}", self.nonce, self.steps);
        let mut step = format!("(\n{script}\n)").into_bytes();
        step.extend_from_slice(if input.is_empty() { b" </dev/null" } else { b" <<'" });
        if !input.is_empty() {
            step.extend_from_slice(format!("{mark}'").as_bytes());
        }
        step.extend_from_slice(
            format!("; status=$?; printf '\\n%s %s\\n' {mark} \"$status\"; printf '\\n%s\\n' {mark} >&2\n").as_bytes(),
        );
        if !input.is_empty() {
            step.extend_from_slice(input);
            if input.last() != Some(&b'\n') {
                step.push(b'\n');
            }
            step.extend_from_slice(format!("{mark}\n").as_bytes());
        }
        let step = Zeroizing::new(step);
        self.send_bytes(&step)?;
        self.await_end(&mark, patience)
    }

    fn send(&mut self, text: &str) -> Result<(), ReachError> {
        self.send_bytes(text.as_bytes())
    }

    fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ReachError> {
        let sent = match &mut self.stdin {
            Some(stdin) => stdin.write_all(bytes).and_then(|()| stdin.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        // ssh says why on its way out.
        sent.map_err(|_| ReachError::Cut { said: self.last_words() })
    }

    fn await_end(&mut self, mark: &str, patience: Duration) -> Result<Done, ReachError> {
        let until = Instant::now() + patience;
        let (out_mark, err_mark) = (format!("\n{mark} "), format!("\n{mark}\n"));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (mut status, mut talked) = (None, false);
        while status.is_none() || !talked {
            match self.chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Chunk::Out(chunk)) => {
                    if chunk.is_empty() {
                        let mut last = self.last_words();
                        // nologin(8) and the like say why on standard output.
                        if self.steps == 1 && err.is_empty() && last.is_empty() {
                            last = String::from_utf8_lossy(&out).into_owned();
                        }
                        return Err(ReachError::Cut { said: talk(&err, &last) });
                    }
                    out.extend_from_slice(&chunk);
                    status = status.or_else(|| take_status(&mut out, &out_mark, chunk.len()));
                }
                Ok(Chunk::Err(chunk)) => {
                    err.extend_from_slice(&chunk);
                    if let Some(at) = find(&err, err_mark.as_bytes(), chunk.len()) {
                        err.truncate(at);
                        talked = true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.end();
                    return Err(ReachError::TimedOut { after: patience });
                }
                Err(RecvTimeoutError::Disconnected) => return Err(ReachError::Cut { said: talk(&err, "") }),
            }
            if out.len() > MOST_OUTPUT || err.len() > MOST_OUTPUT {
                self.end();
                return Err(ReachError::Garbled("it does not stop talking".to_owned()));
            }
        }
        Ok(Done { status: status.unwrap_or(-1), stdout: out, stderr: talk(&err, "") })
    }

    /// What ssh says as it ends.
    fn last_words(&mut self) -> String {
        let until = Instant::now() + Duration::from_secs(2);
        let mut err = Vec::new();
        while err.len() < MOST_TALK {
            match self.chunks.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Chunk::Err(chunk)) if !chunk.is_empty() => err.extend_from_slice(&chunk),
                Ok(Chunk::Out(_)) => {}
                _ => break,
            }
        }
        talk(&err, "")
    }

    fn end(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Session {
    /// The shell sees the end of its input and leaves; ssh goes when it does, or is sent away.
    fn drop(&mut self) {
        self.stdin = None;
        for _ in 0..20 {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        self.end();
    }
}

/// Text as one word of a script, line ends and all (POSIX XCU 2.2.2); no word can hold the octet 0.
#[must_use]
pub fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\0', "").replace('\'', "'\\''"))
}

fn forward(mut stream: impl Read + Send + 'static, sender: Sender<Chunk>, kind: fn(Vec<u8>) -> Chunk) {
    thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let chunk = match stream.read(&mut buffer) {
                Ok(0) | Err(_) => Vec::new(),
                Ok(read) => buffer.get(..read).unwrap_or_default().to_vec(),
            };
            let over = chunk.is_empty();
            if sender.send(kind(chunk)).is_err() || over {
                return;
            }
        }
    });
}

/// Takes the closing line off, once it is there whole; `new` octets came last.
fn take_status(out: &mut Vec<u8>, mark: &str, new: usize) -> Option<i32> {
    let at = find(out, mark.as_bytes(), new)?;
    let rest = out.get(at + mark.len()..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    let status = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok();
    out.truncate(at);
    Some(status.unwrap_or(-1))
}

/// Where `needle` begins, which was not there before the last `new` octets came; a status of some digits may follow it.
fn find(haystack: &[u8], needle: &[u8], new: usize) -> Option<usize> {
    let from = haystack.len().saturating_sub(new + needle.len() + 16);
    let tail = haystack.get(from..)?;
    tail.windows(needle.len()).rposition(|window| window == needle).map(|at| from + at)
}

/// What was said, in lines that give a reason, and printable.
fn talk(err: &[u8], more: &str) -> String {
    let noise = [
        "Warning: Permanently added",
        "Killed by signal",
        "Pseudo-terminal will not",
        // What OpenSSH says besides about a key that changed (sshconnect.c warn_changed_key).
        "IT IS POSSIBLE THAT",
        "Someone could be",
        "It is also possible",
        "Please contact",
        "Add correct host key",
    ];
    let text = String::from_utf8_lossy(err);
    let lines = text.lines().chain(more.lines()).map(str::trim).filter(|line| {
        !line.is_empty() && !line.chars().all(|c| c == '@') && !noise.iter().any(|noise| line.starts_with(noise))
    });
    let mut said: Vec<String> = lines.map(printable).collect();
    said.dedup();
    let skipped = said.len().saturating_sub(12);
    said.drain(..skipped);
    said.join("; ")
}

fn printable(line: &str) -> String {
    shown(line).chars().take(400).collect()
}

/// A host's text as it may reach a terminal, which takes some characters for commands: line ends and tabs stay what they
/// are. What is used again, a path above all, is never put through this.
pub(crate) fn shown(text: &str) -> String {
    let parts = text.split_inclusive(['\n', '\t']).map(|part| match part.strip_suffix(['\n', '\t']) {
        Some(before) => format!("{}{}", dockseal_pki::printable(before), &part[before.len()..]),
        None => dockseal_pki::printable(part),
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell() -> Session {
        let dial = Dial { may_ask: false, patience: Duration::from_secs(10), nonce: "n0nce".to_owned() };
        Session::local(&dial).unwrap()
    }

    #[test]
    fn no_host_writes_to_a_terminal() {
        let mut shell = shell();
        let script = r"printf 'a\tb\n\033]0;x\007\r\302\233c'; printf '\033[31mno' >&2; exit 3";
        let done = shell.run(script, &[], Duration::from_secs(10)).unwrap();
        assert_eq!(done.text(), "a\tb\n\\u{1b}]0;x\\u{7}\\r\\u{9b}c");
        assert_eq!(done.success("cannot try").unwrap_err().to_string(), "cannot try: \\u{1b}[31mno");
        let done = shell.run("printf '\\033[31mno'; exit 3", &[], Duration::from_secs(10)).unwrap();
        assert_eq!(done.success("cannot write \u{1b}").unwrap_err().to_string(), "cannot write \\u{1b}: \\u{1b}[31mno");
    }

    #[test]
    fn every_text_is_one_word() {
        let mut shell = shell();
        for text in
            ["", "/etc/a.json", "it's $HOME `id` \\", "-n", "a\nb\n", "\t\r\u{1b}[31m", "'\n'\"", "ü\u{1f40b}\u{7f}"]
        {
            let script = format!("set -- {}; printf '%s %s.' $# \"$1\"", quoted(text));
            let done = shell.run(&script, &[], Duration::from_secs(10)).unwrap();
            assert_eq!(done.stdout, format!("1 {text}.").as_bytes(), "{text:?}");
        }
    }
}
