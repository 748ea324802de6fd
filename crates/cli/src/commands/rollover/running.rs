//! The dockerd processes of this machine: which files each reads, and whether it was started before they changed.
//!
//! Source: proc(5); moby daemon/command/daemon.go newAPIServerTLSConfig, which reads the files once, at start.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

use dockseal_docker::{
    daemon_settings::DaemonRequest,
    flags::{Program, TlsFlags},
    layout,
    settings::Environment,
    version::Version,
};
use rustix::time::{ClockId, clock_gettime};
use time::{Duration, OffsetDateTime};

/// What /proc counts a process's start in, on every Linux that Docker runs on (USER_HZ).
const TICKS_A_SECOND: i64 = 100;
/// Where dockerd looks for its configuration (moby daemon/command/config_unix.go).
const DAEMON_JSON: &str = "/etc/docker/daemon.json";

/// A dockerd that serves TLS.
pub(super) struct Running {
    process: u32,
    started: OffsetDateTime,
    /// Device and inode of the certificate file that its path leads to now.
    certificate: (u64, u64),
}

/// Those that can be seen; who is not root sees only their own.
pub(super) fn dockerds(now: OffsetDateTime) -> Vec<Running> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.filter_map(|process| look(process, now)).collect()
}

fn look(process: u32, now: OffsetDateTime) -> Option<Running> {
    let proc = PathBuf::from(format!("/proc/{process}"));
    if fs::read(proc.join("comm")).ok()? != b"dockerd\n" {
        return None;
    }
    let inside = |path: &Path| {
        let working = fs::read_link(proc.join("cwd")).unwrap_or_default();
        let absolute = working.join(path);
        proc.join("root").join(absolute.strip_prefix("/").unwrap_or(&absolute))
    };
    let words = fs::read(proc.join("cmdline")).ok()?;
    let words: Vec<String> =
        words.split(|octet| *octet == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
    let flags = TlsFlags::parse(Program::Dockerd, words.get(1..)?).ok()?;
    let variables = fs::read(proc.join("environ")).ok()?;
    let environment = Environment::read(|name| {
        let line = variables.split(|octet| *octet == 0).find_map(|line| line.strip_prefix(name.as_bytes()))?;
        line.strip_prefix(b"=").map(|value| OsString::from(OsStr::from_bytes(value)))
    });
    let daemon_json = inside(Path::new(flags.config_file.as_deref().unwrap_or(DAEMON_JSON)));
    let daemon_json = dockseal_store::read(&daemon_json).ok().map(|file| file.bytes.to_vec());
    let request = DaemonRequest { flags, environment, daemon_json, version: Version::default() };
    let files = request.resolve().ok()?.files?;
    let certificate = inside(files.cert.path()?).metadata().ok()?;
    let started = started(&fs::read_to_string(proc.join("stat")).ok()?, now)?;
    Some(Running { process, started, certificate: (certificate.dev(), certificate.ino()) })
}

/// When a process was started, from the 22nd field of its stat; the second one, its name, may hold blanks.
fn started(stat: &str, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let ticks: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let up = clock_gettime(ClockId::Boottime);
    let up = Duration::new(up.tv_sec, i32::try_from(up.tv_nsec).ok()?);
    now.checked_sub(up)?.checked_add(Duration::milliseconds(ticks.checked_mul(1000 / TICKS_A_SECOND)?))
}

/// Who reads this directory, and whether they were started before it became what it is.
pub(super) fn of<'r>(running: &'r [Running], directory: &Path) -> Option<(&'r Running, bool)> {
    let certificate = directory.join(layout::CERT_FILE).metadata().ok()?;
    let place = (certificate.dev(), certificate.ino());
    let found = running.iter().find(|one| one.certificate == place)?;
    Some((found, changed(directory).is_some_and(|changed| found.started < changed)))
}

/// That a dockerd reads this directory and was started before it became what it is.
pub(super) fn not_restarted(running: &[Running], directory: &Path) -> Option<String> {
    let (dockerd, _) = of(running, directory).filter(|(_, is_stale)| *is_stale)?;
    let process = dockerd.process;
    Some(format!("in {}: dockerd (process {process}) still works with the files before these", directory.display()))
}

/// When the certificates in a directory last became what they are: written, and then put in place.
pub(super) fn changed(directory: &Path) -> Option<OffsetDateTime> {
    let written =
        [layout::CA_FILE, layout::CERT_FILE].map(|name| directory.join(name).metadata().ok()?.modified().ok());
    let put = directory.metadata().ok()?;
    let put = OffsetDateTime::from_unix_timestamp(put.ctime()).ok()? + Duration::nanoseconds(put.ctime_nsec());
    written.into_iter().flatten().map(OffsetDateTime::from).chain([put]).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_was_started_a_moment_ago() {
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let now = OffsetDateTime::UNIX_EPOCH + now;
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let since = now - started(&stat, now).unwrap();
        assert!(since >= Duration::milliseconds(-20) && since < Duration::minutes(10), "{since}");
        assert_eq!(started("1 (a) b) S", now), None);
    }
}
