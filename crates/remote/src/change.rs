//! A change of a host that takes itself back unless it is confirmed.
//!
//! In this order, so that a cut connection, a killed program, a full disk or a daemon that does not come up end in the
//! former state: the host is taken (one change at a time), the dead-man switch is armed, everything new is laid beside its
//! place, then the places are swapped by renaming and dockerd restarts. Confirming is renaming one file, bringing back
//! begins with renaming the same: only one of them can win.
//!
//! The former files are kept by renaming or linking, never copied: bringing them back needs no space, and restores modes,
//! owners and labels.

mod restart;
mod script;

use std::{fmt::Write as _, time::Duration};

use dockseal_docker::{Contents, host::HostFacts, host_plan::RestartWay};

use self::{
    restart::{After, ping, restart},
    script::{arm_for_boot, boot_switch, former, parent, restore_script, staged},
};
use crate::{
    error::ReachError,
    session::{Done, Session, quoted},
};

pub(crate) use self::script::{CHANGEABLE, waits};

/// Where a change keeps what it needs, for root alone.
pub(crate) const DIRECTORY: &str = "/var/lib/dockseal/change";
/// The unit of the dead-man switch.
const SWITCH: &str = "dockseal-restore";
/// What the switch becomes where the host restarts before it goes off.
const BOOT_SWITCH: &str = "dockseal-restore-at-boot.service";
/// How long a step without a daemon in it may take.
const STEP: Duration = Duration::from_secs(60);
/// The exit status of a step that found another change going on.
const BUSY: i32 = 17;
/// The exit status of a step that found that others could lead it elsewhere.
const CHANGED_BY_OTHERS: i32 = 18;
/// What a step says that came too late, as a word of a script.
const WENT_OFF: &str = "'the dead-man switch went off meanwhile'";

/// How dockerd is restarted.
pub type Restart = RestartWay;

/// A place on the host that gets something else.
#[derive(Debug)]
pub struct Item {
    /// The absolute path, without a `/` at its end.
    pub path: String,
    /// What it gets.
    pub replacement: Replacement,
}

/// A file as it was when it was looked at. A difference ends the change before anything is swapped.
#[derive(Debug)]
pub struct Sighting {
    /// The absolute path.
    pub path: String,
    /// What was in it; `None` where there was no such file.
    pub contents: Option<Vec<u8>>,
}

/// What a place gets.
#[derive(Debug)]
pub enum Replacement {
    /// A file.
    File {
        /// Its mode.
        mode: u32,
        /// What is in it.
        contents: Contents,
    },
    /// A directory of files, in place of the whole one that is there.
    Directory {
        /// Its mode; `None` for that of the one that is there, writable by its owner alone.
        mode: Option<u32>,
        /// Name, mode and contents of each.
        files: Vec<(String, u32, Contents)>,
        /// Files of the directory that is there which come along as they are.
        kept: Vec<String>,
    },
    /// Nothing.
    Nothing,
}

/// What is the same for all steps of a change.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// How dockerd is restarted.
    pub restart: Restart,
    /// When the host takes the change back by itself, counted from its beginning.
    pub within: Duration,
    /// Left as word for others who come by.
    pub who: &'a str,
    /// The places that will change.
    pub paths: &'a [&'a str],
    /// The unix socket on which dockerd is to answer; `None` for its usual one.
    pub socket: Option<&'a str>,
}

/// The dead-man switch, armed: unless it is [confirmed](Switch::confirm), the change is taken back, by [`undo`](Switch::undo) or by
/// the host itself.
pub struct Switch<'s> {
    session: &'s mut Session,
    kept: Box<Kept>,
}

/// What later steps need of the [`Terms`].
struct Kept {
    restart: Restart,
    was_running: bool,
    within: Duration,
    paths: Vec<String>,
    socket: Option<String>,
}

/// Everything new lies beside its place.
pub struct Prepared<'s> {
    switch: Switch<'s>,
    items: Vec<Item>,
}

/// What came of taking a change back.
#[derive(Debug)]
pub struct Undone {
    /// Whether dockerd answers on its socket again, or did not before either.
    pub answers: bool,
    /// What the host said.
    pub said: String,
}

impl<'s> Switch<'s> {
    /// Takes the host and arms its dead-man switch.
    ///
    /// # Errors
    /// Another change goes on, or the host cannot do this.
    pub fn arm(session: &'s mut Session, facts: &HostFacts, terms: &Terms<'_>) -> Result<Self, ReachError> {
        session.require_root()?;
        let Terms { restart, within, who, paths, socket } = *terms;
        // A dockerd in a mount namespace of its own is not among the processes that were looked at.
        let was_running = !facts.daemons.is_empty() || facts.service_state == "active";
        let seconds = within.as_secs().max(5);
        let restore = restore_script(restart, was_running, paths);
        let parents: Vec<String> =
            [DIRECTORY].iter().chain(paths).map(|path| format!("missing {}", quoted(parent(path)))).collect();
        let ways: Vec<String> = paths.iter().map(|path| quoted(path)).collect();
        let leftovers: Vec<String> = paths.iter().map(|path| quoted(&staged(path))).collect();
        let length = restore.len();
        let (unit, link) = boot_switch();
        let mut script = format!("change={}\n{CHANGEABLE}", quoted(DIRECTORY));
        let _ = writeln!(
            script,
            "for place in {}; do who=$(changeable \"$place\"); [ -z \"$who\" ] || {{ printf '%s' \"$who\"; exit {CHANGED_BY_OTHERS}; }}; done",
            ways.join(" ")
        );
        let _ = write!(
            script,
            "missing() {{ at=$1; while [ \"$at\" ] && [ ! -d \"$at\" ]; do printf '%s\\n' \"$at\"; at=${{at%/*}}; done; }}\n\
             made=$({})\n\
             mkdir -p \"${{change%/*}}\" || exit 1\n\
             mkdir \"$change\" 2>/dev/null || {{ if [ -d \"$change\" ]; then cat \"$change/who\" 2>/dev/null; exit {BUSY}; fi; mkdir \"$change\"; exit 1; }}\n\
             armed=; trap '[ \"$armed\" ] || {{ rm -rf \"$change\"; rmdir \"${{change%/*}}\"; systemctl stop {SWITCH}.timer; rm -f {unit} {link}; }} 2>/dev/null' EXIT\n\
             # Unlike a shell, cat says why it cannot write.\n\
             printf '%s\\n' {} | cat >\"$change/who\" && printf '%s\\n' \"$made\" | cat >\"$change/made\" && cat >\"$change/restore\" && [ \"$(wc -c <\"$change/restore\")\" -eq {length} ] && \
             echo $(($(date +%s) + {seconds})) | cat >\"$change/deadline\" && rm -rf {} && sync || exit 1\n",
            parents.join("; "),
            quoted(who),
            leftovers.join(" ")
        );
        if facts.has_transient_timers {
            // Whatever remains of an earlier one.
            let _ = write!(
                script,
                "systemctl reset-failed {SWITCH}.service {SWITCH}.timer >/dev/null 2>&1\n\
                 arm() {{ systemd-run --quiet --unit={SWITCH} --description='Dockseal: back to the former state unless confirmed' \
                 --on-active={seconds} --timer-property=AccuracySec=1s /bin/sh \"$change/restore\"; }}\n\
                 # systemd may not have forgotten the earlier one yet.\n\
                 arm || {{ sleep 3; arm; }} || exit 1\n"
            );
            script.push_str(&arm_for_boot());
        } else {
            let _ = write!(
                script,
                "if command -v setsid >/dev/null 2>&1; then new=setsid; else new=nohup; fi\n\
                 $new sh -c 'echo $$ >\"$1/waiter\"; sleep {seconds}; exec sh \"$1/restore\"' sh \"$change\" </dev/null >/dev/null 2>&1 &\n\
                 left=50; until [ -s \"$change/waiter\" ]; do [ $left -gt 0 ] || exit 1; left=$((left - 1)); sleep 0.1 2>/dev/null || sleep 1; done\n"
            );
        }
        // Not before somebody waits: who comes by takes what nobody waits for back.
        let _ = writeln!(script, "echo {} | cat >\"$change/armed\" && sync || exit 1\narmed=yes", session.nonce());
        let done = session.run(&script, restore.as_bytes(), STEP)?;
        if done.status == BUSY {
            return Err(ReachError::Busy { who: done.text().trim().to_owned() });
        }
        if done.status == CHANGED_BY_OTHERS {
            return Err(ReachError::Changeable { who: done.text().trim().to_owned() });
        }
        done.success("cannot arm the dead-man switch")?;
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let kept = Kept { restart, was_running, within, paths, socket: socket.map(str::to_owned) };
        Ok(Self { session, kept: Box::new(kept) })
    }

    /// Runs a step only while this very change is armed. The switch waits for its end, which depends on nobody but the
    /// host: a script and its input are there as a whole before it begins.
    fn step(&mut self, script: &str, input: &[u8], patience: Duration) -> Result<Done, ReachError> {
        let script = format!(
            "gone() {{ echo {WENT_OFF} >&2; exit 1; }}\n\
             if command -v flock >/dev/null 2>&1; then command exec 9<{DIRECTORY}/restore || gone; flock 9; fi\n\
             [ \"$(cat {DIRECTORY}/armed 2>/dev/null)\" = {} ] || gone\n{script}",
            self.session.nonce()
        );
        self.session.run(&script, input, patience)
    }

    /// Makes a daemon's key in the directory that will hold it, and answers with a certificate request for it, in PEM.
    ///
    /// `algorithm` are words for `openssl genpkey`. The key is never printed.
    ///
    /// # Errors
    /// The host's openssl cannot.
    pub fn make_key(&mut self, directory: &str, key_file: &str, algorithm: &[&str]) -> Result<Vec<u8>, ReachError> {
        let words: Vec<String> = algorithm.iter().map(|word| quoted(word)).collect();
        let script = format!(
            "new={}; key=\"$new\"/{}\n\
             rm -rf \"$new\" && mkdir -p \"${{new%/*}}\" && mkdir \"$new\" || exit 1\n\
             why=$(openssl genpkey {} -out \"$key\" 2>&1) && chmod 0400 \"$key\" && [ -s \"$key\" ] || {{\n\
             # openssl says nothing of a full disk; cat does.\n\
             printf '%s\\n' \"$why\" >&2; echo | cat >\"$new/why\"; rm -rf \"$new\"; exit 1; }}\n\
             openssl req -new -batch -config /dev/null -subj /CN=dockerd -key \"$key\" 2>/dev/null || \
             printf '[req]\\ndistinguished_name=d\\n[d]\\n' | openssl req -new -batch -config /dev/stdin -subj /CN=dockerd -key \"$key\"\n",
            quoted(&staged(directory)),
            quoted(key_file),
            words.join(" "),
        );
        let done = self.step(&script, &[], Duration::from_secs(120))?;
        Ok(done.success("cannot make the daemon's key on the host")?.stdout)
    }

    /// Lays everything beside its place. A directory whose key was made by [`make_key`](Self::make_key) keeps that.
    ///
    /// # Errors
    /// The host cannot: a full disk, a file system that is read only. Nothing was changed then; [`undo`](Self::undo) takes
    /// away what was laid.
    pub fn prepare(mut self, items: Vec<Item>) -> Result<Prepared<'s>, (Switch<'s>, ReachError)> {
        match self.lay(&items) {
            Ok(()) => Ok(Prepared { switch: self, items }),
            Err(error) => Err((self, error)),
        }
    }

    fn lay(&mut self, items: &[Item]) -> Result<(), ReachError> {
        for item in items {
            let new = staged(&item.path);
            match &item.replacement {
                Replacement::Nothing => {}
                Replacement::File { mode, contents } => {
                    let parent = format!(
                        "parent={}; [ -d \"$parent\" ] || (umask 022; mkdir -p \"$parent\")",
                        quoted(parent(&item.path))
                    );
                    self.write(&new, *mode, contents.bytes(), &parent)?;
                }
                Replacement::Directory { mode, files, kept } => {
                    // What others read there they are to read still; nobody but root writes there.
                    let mode = mode.map_or_else(
                        || "chmod \"$(stat -c %a \"$old\")\" \"$new\" && chmod go-w \"$new\"".to_owned(),
                        |mode| format!("chmod {mode:o} \"$new\""),
                    );
                    let mut script = format!(
                        "new={}; old={}\nmkdir -p \"$new\" && {mode} || exit 1\n",
                        quoted(&new),
                        quoted(&item.path)
                    );
                    for file in kept {
                        let _ = writeln!(script, "cp -pR \"$old\"/{0} \"$new\"/{0} || exit 1", quoted(file));
                    }
                    self.step(&script, &[], STEP)?.success(&format!("cannot prepare {}", item.path))?;
                    for (name, mode, contents) in files {
                        self.write(&format!("{new}/{name}"), *mode, contents.bytes(), ":")?;
                    }
                }
            }
        }
        self.session.run("sync", &[], STEP)?.success("cannot make the new files durable")?;
        Ok(())
    }

    /// A new file, its mode from its first moment on no wider than root alone.
    fn write(&mut self, path: &str, mode: u32, bytes: &[u8], first: &str) -> Result<(), ReachError> {
        let path_word = quoted(path);
        let length = bytes.len();
        // An empty file has no input to wait for; a here-document ends a last line that has no end.
        let fill = if length == 0 { ":".to_owned() } else { format!("head -c {length}") };
        let script = format!(
            "{first} && rm -f {path_word} && {fill} >{path_word} && [ \"$(wc -c <{path_word})\" -eq {length} ] && chmod {mode:o} {path_word}",
        );
        self.step(&script, bytes, STEP)?.success(&format!("cannot write {path}"))?;
        Ok(())
    }

    /// Brings the former state back at once, and waits for it.
    ///
    /// # Errors
    /// The host cannot be talked to; its switch does the same then.
    pub fn undo(self) -> Result<Undone, ReachError> {
        let Kept { restart, was_running, paths, socket, .. } = *self.kept;
        let staged: Vec<String> = paths.iter().map(|path| quoted(&staged(path))).collect();
        // Where the switch went off, what was laid after that is still to go, unless another change is at these places.
        let script = format!(
            "if [ ! -e {DIRECTORY} ]; then\n\
             mkdir -p {} && mkdir {DIRECTORY} 2>/dev/null && {{ rm -rf {}; rmdir {DIRECTORY} {}; }} 2>/dev/null; exit 0\n\
             fi\n\
             case \"$(cat {DIRECTORY}/armed {DIRECTORY}/restoring {DIRECTORY}/confirmed 2>/dev/null)\" in {}) ;; *) exit 0 ;; esac\n",
            parent(DIRECTORY),
            staged.join(" "),
            parent(DIRECTORY),
            self.session.nonce()
        );
        // With socket activation, asking would start it.
        let ping = was_running.then(|| ping(restart, socket.as_deref(), After::TakingBack));
        take_back(self.session, &script, ping)
    }
}

/// Brings back at once what was there before an unfinished change, unless that is somebody's who waits for it still.
///
/// # Errors
/// The host cannot be talked to.
pub fn bring_back(session: &mut Session) -> Result<Undone, ReachError> {
    let unless = format!(
        "{}systemctl -q is-active {SWITCH}.timer {SWITCH}.service >/dev/null 2>&1 && exit 0\n\
         waits && exit 0\n",
        waits()
    );
    take_back(session, &unless, None)
}

/// `ping` tells whether dockerd answers in the end, where it is to.
fn take_back(session: &mut Session, first: &str, ping: Option<String>) -> Result<Undone, ReachError> {
    // What was killed before it was armed had laid nothing beside any place; what is that young may be at it still.
    let script = format!(
        "{first}\
         cd {DIRECTORY} || exit 0\n\
         if [ -e armed ] || [ -e restoring ] || [ -e confirmed ]; then sh ./restore\n\
         else cd / && find {DIRECTORY} -prune -mmin +1 -exec rm -rf {{}} ';'\n\
         fi"
    );
    let done = session.run(&script, &[], Duration::from_secs(180))?;
    let answers = match ping {
        None => true,
        Some(ping) => session.run(&ping, &[], STEP)?.status == 0,
    };
    Ok(Undone { answers, said: done.stderr })
}

impl<'s> Prepared<'s> {
    /// Has dockerd itself look at the new configuration: with `--validate` (23.0 and later) at the key pair and the anchors
    /// too.
    ///
    /// `arguments` are those with which it will be started, `daemon_json` a configuration whose paths lead to the new
    /// files where they lie now, see [`staged_path`](Self::staged_path). It must not name `log-level` where dockerd has no
    /// `--validate`.
    ///
    /// # Errors
    /// It says no.
    pub fn validate(
        &mut self,
        arguments: &[String],
        daemon_json: &str,
        can_validate: bool,
    ) -> Result<Done, ReachError> {
        let arguments: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        let arguments = arguments.join(" ");
        let look = if can_validate {
            format!("why=$(dockerd --validate {arguments} --config-file \"$file\" 2>&1); status=$?\n")
        } else {
            // A level that there is not is the first thing that it stumbles over once its configuration is found to be good,
            // before it does anything (moby cmd/dockerd/daemon.go start, loadDaemonCliConfig, configureDaemonLogs).
            format!(
                "why=$(dockerd {arguments} --config-file \"$file\" --log-level=none-such 2>&1 </dev/null); status=1\n\
                 case $why in *'nable to parse logging level'*) status=0 ;; esac\n"
            )
        };
        let script = format!(
            "file={DIRECTORY}/validate.json; cat >\"$file\" || exit 1\n{look}\
             rm -f \"$file\"; [ $status = 0 ] || printf '%s\\n' \"$why\" >&2; exit $status"
        );
        self.switch.step(&script, daemon_json.as_bytes(), STEP)
    }

    /// Where the new version of a place lies until it is swapped in.
    #[must_use]
    pub fn staged_path(path: &str) -> String {
        staged(path)
    }

    /// Swaps everything in where all is as it was `seen`, restarts dockerd, and waits until it runs.
    ///
    /// # Errors
    /// Something was changed meanwhile, or dockerd does not come up. The switch is armed still.
    pub fn swap_and_restart(self, seen: &[Sighting]) -> Result<Switch<'s>, (Switch<'s>, ReachError)> {
        let Self { mut switch, items } = self;
        match swap(&mut switch, &items, seen).and_then(|()| restart(&mut switch)) {
            Ok(()) => Ok(switch),
            Err(error) => Err((switch, error)),
        }
    }

    /// The switch alone, for taking away what was laid.
    #[must_use]
    pub fn into_switch(self) -> Switch<'s> {
        self.switch
    }
}

fn swap(switch: &mut Switch<'_>, items: &[Item], seen: &[Sighting]) -> Result<(), ReachError> {
    // The slow part comes before the look at the clock.
    let mut script = format!(
        "hex() {{ od -An -v -tx1 <\"$1\" | tr -d ' \\n'; }}\n\
         other() {{ echo \"$1 was changed meanwhile\" >&2; exit 1; }}\n\
         is_there() {{ [ -e \"$1\" ] || [ -L \"$1\" ]; }}\n\
         cd {DIRECTORY} && : >new-places || exit 1\n"
    );
    for item in items.iter().filter(|item| !matches!(item.replacement, Replacement::Nothing)) {
        let _ = writeln!(script, "is_there {0} || printf '%s\\n' {0} | cat >>new-places || exit 1", quoted(&item.path));
    }
    let _ = writeln!(script, "sync; [ \"$(date +%s)\" -lt $(($(cat deadline) - 3)) ] || gone");
    for Sighting { path, contents } in seen {
        let path = quoted(path);
        let _ = match contents {
            Some(contents) => {
                let hex: String = contents.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(script, "[ \"$(hex {path} 2>/dev/null)\" = '{hex}' ] || other {path}")
            }
            None => writeln!(script, "is_there {path} && other {path}"),
        };
    }
    script.push_str(": >swapped && sync || exit 1\n");
    for item in items {
        let (place, new, old) = (quoted(&item.path), quoted(&staged(&item.path)), quoted(&former(&item.path)));
        let _ = writeln!(script, "place={place}; new={new}; old={old}");
        script.push_str(match item.replacement {
            // The place is never empty: the old one gets a second name, then the new one takes the first.
            Replacement::File { .. } => {
                "if [ -e \"$place\" ]; then chown \"$(stat -c %u:%g \"$place\")\" \"$new\" 2>/dev/null; rm -f \"$old\"; ln \"$place\" \"$old\" || cp -p \"$place\" \"$old\" || exit 1; fi\nmv -f \"$new\" \"$place\" || exit 1\n"
            }
            Replacement::Directory { .. } => {
                "if [ -e \"$place\" ]; then rm -rf \"$old\"; mv \"$place\" \"$old\" || exit 1; fi\nmv \"$new\" \"$place\" || exit 1\n"
            }
            Replacement::Nothing => "if [ -e \"$place\" ]; then rm -rf \"$old\"; mv \"$place\" \"$old\" || exit 1; fi\n",
        });
        let _ = writeln!(script, "command -v restorecon >/dev/null 2>&1 && restorecon -R \"$place\" >/dev/null 2>&1");
    }
    script.push_str("sync\n");
    switch.step(&script, &[], STEP)?.success("cannot put the new files in place")?;
    Ok(())
}

impl<'s> Switch<'s> {
    /// Disarms: what was changed stays. The former files are removed.
    ///
    /// # Errors
    /// The switch went off already, or the host cannot be talked to.
    pub fn confirm(self) -> Result<(), (Switch<'s>, ReachError)> {
        let script = format!(
            "cd {DIRECTORY} 2>/dev/null && [ \"$(cat armed 2>/dev/null)\" = {} ] && mv armed confirmed || {{ echo {WENT_OFF} >&2; exit 1; }}\n\
             sh ./restore\n",
            self.session.nonce()
        );
        let done =
            self.session.run(&script, &[], STEP).and_then(|done| done.success("cannot disarm the dead-man switch"));
        match done {
            Ok(_) => Ok(()),
            Err(error) => Err((self, error)),
        }
    }
}
