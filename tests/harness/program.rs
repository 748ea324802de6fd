//! Running a program with an environment of its own and a limit on its time.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A program about to run. The environment starts empty but for what the sandbox sets.
#[derive(Debug)]
pub struct Program {
    command: Command,
    shown: Vec<OsString>,
    input: Option<Vec<u8>>,
    limit: Duration,
}

/// What a program did.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The command line, for messages.
    pub shown: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, lossily.
    pub stdout: String,
    /// Standard error, lossily.
    pub stderr: String,
}

impl Program {
    /// `name` with an empty environment but `PATH`, in the C locale.
    #[must_use]
    pub fn new(name: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(name.as_ref());
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env_clear()
            .env("PATH", format!("{path}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin"))
            .env("LC_ALL", "C.UTF-8")
            .env("NO_COLOR", "1");
        if let Some(root) = std::env::var_os("PYENV_ROOT") {
            command.env("PYENV_ROOT", root);
        }
        Self { command, shown: vec![name.as_ref().to_owned()], input: None, limit: Duration::from_secs(180) }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.shown.push(arg.as_ref().to_owned());
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        for arg in args {
            self = self.arg(arg);
        }
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Takes an environment variable away.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs in `dir`.
    #[must_use]
    pub fn cwd(mut self, dir: impl AsRef<Path>) -> Self {
        self.command.current_dir(dir);
        self
    }

    /// What it reads on standard input; nothing otherwise.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The longest it may take; 180 seconds otherwise.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    fn line(&self) -> String {
        self.shown.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// Starts it with its output thrown away, for tests that kill it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_quietly(mut self) -> Child {
        let line = self.line();
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"))
    }

    /// Starts it with pipes for its output.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(mut self) -> Child {
        let line = self.line();
        self.command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {line}: {error}"))
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it cannot be started or takes longer than its limit.
    #[must_use]
    pub fn run(mut self) -> Ran {
        let shown = self.line();
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {shown}: {error}"));
        if let (Some(bytes), Some(mut pipe)) = (self.input.take(), child.stdin.take()) {
            // A program that reads none of it is no failure of this test.
            thread::spawn(move || pipe.write_all(&bytes));
        }
        let out = drain(child.stdout.take());
        let err = drain(child.stderr.take());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("wait") {
                break status;
            }
            if started.elapsed() > self.limit {
                let _ = kill_process(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                panic!("took longer than {:?}: {shown}\n{}", self.limit, err.join().unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(if started.elapsed().as_millis() < 200 { 1 } else { 5 }));
        };
        Ran {
            shown,
            code: status.code(),
            stdout: out.join().unwrap_or_default(),
            stderr: err.join().unwrap_or_default(),
        }
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Ran {
    /// This run, which must have ended with 0.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// This run, which must have ended with another code than 0.
    ///
    /// # Panics
    /// When it did.
    #[must_use]
    #[track_caller]
    pub fn failure(self) -> Self {
        assert!(self.code.is_some_and(|code| code != 0), "{self}");
        self
    }

    /// This run, which must have ended with `code`.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// This run, whose output (either stream) must hold `text`, letter case aside.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.holds(text), "{text:?} is not in the output of\n{self}");
        self
    }

    /// Whether the output (either stream) holds `text`, letter case aside.
    #[must_use]
    pub fn holds(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.stdout.to_lowercase().contains(&text) || self.stderr.to_lowercase().contains(&text)
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "$ {}", self.shown)?;
        writeln!(f, "exit code: {:?}", self.code)?;
        writeln!(f, "---- stdout\n{}", self.stdout)?;
        writeln!(f, "---- stderr\n{}", self.stderr)
    }
}
