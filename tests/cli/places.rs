//! Places that cannot take what is written: files in the way, links, read-only and full
//! file systems, somebody else's files. Nothing that was there is touched, and nothing
//! half-written stays.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use dockseal_tests::{Bundle, Sandbox, note_skip, require, require_root, tree};

use crate::{home, refused_with_hint, with_authority};

#[track_caller]
fn unchanged(sandbox: &Sandbox, args: &[&str], codes: &[i32]) {
    let before = tree(sandbox.root());
    let ran = sandbox.dockseal(args).run();
    refused_with_hint(&ran, codes);
    before.assert_same(&tree(sandbox.root()), &ran);
}

#[test]
fn an_authority_directory_that_is_none() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "mine");
    fs::create_dir(sandbox.path("real")).unwrap();
    symlink("real", sandbox.path("link")).unwrap();
    symlink("nowhere", sandbox.path("dangling")).unwrap();
    for place in ["file", "link", "dangling", "file/below"] {
        println!("{place}");
        unchanged(&sandbox, &["--authority", place, "init", "--no-passphrase"], &[1, 2]);
        unchanged(
            &sandbox,
            &["--authority", place, "bootstrap", "h.test", "--client", "a", "--no-passphrase"],
            &[1, 2],
        );
        unchanged(&sandbox, &["--authority", place, "issue", "client", "a", "--out", "c", "--no-passphrase"], &[1, 2]);
    }
}

#[test]
fn an_authority_directory_with_somebody_elses_files() {
    let sandbox = Sandbox::new();
    sandbox.write("authority/notes.txt", "mine");
    unchanged(&sandbox, &["--authority", "authority", "init", "--no-passphrase"], &[1]);
}

/// Homes are links on many machines; the inventory's own place is never one.
#[test]
fn an_authority_reached_through_a_link() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("real")).unwrap();
    symlink("real", sandbox.path("link")).unwrap();
    let run = |line: &str| sandbox.dockseal(format!("--authority link/ca {line}").split(' ')).run();
    let _ = run("bootstrap h.test --client alice --out host --no-passphrase").success();
    assert!(run("list").success().stdout.contains("alice"));
    let _ = run("renew alice").success();
    let _ = run("inventory check").success();
    fs::rename(sandbox.path("real/ca/inventory.db"), sandbox.path("real/elsewhere.db")).unwrap();
    symlink("../elsewhere.db", sandbox.path("real/ca/inventory.db")).unwrap();
    for line in ["list", "renew alice", "inventory check"] {
        let ran = run(line);
        refused_with_hint(&ran, &[2]);
        assert!(ran.stderr.contains("it is a symbolic link"), "{ran}");
    }
}

#[test]
fn an_authority_without_its_key() {
    let sandbox = with_authority();
    fs::remove_file(home(&sandbox).join("ca-key.pem")).unwrap();
    unchanged(&sandbox, &["issue", "client", "a", "--out", "c", "--no-passphrase"], &[1, 2]);
    // Above all, no new authority under the old certificate.
    unchanged(&sandbox, &["bootstrap", "h.test", "--client", "a", "--no-passphrase"], &[1, 2]);
    unchanged(&sandbox, &["init", "--no-passphrase"], &[1, 2]);
}

#[test]
fn an_authority_with_another_key() {
    require!("openssl");
    let sandbox = with_authority();
    let key = home(&sandbox).join("ca-key.pem");
    fs::remove_file(&key).unwrap();
    sandbox.openssl([
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        key.to_str().unwrap(),
    ]);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    unchanged(&sandbox, &["issue", "client", "a", "--out", "c", "--no-passphrase"], &[1, 2]);
}

#[test]
fn an_encrypted_authority() {
    let sandbox = Sandbox::new();
    sandbox.write("right", "correct horse\n");
    sandbox.write("wrong", "incorrect horse\n");
    let _ = sandbox.dockseal(["init", "--passphrase-file", "right"]).run().success();
    let issue = ["issue", "client", "a", "--out", "c"];
    unchanged(&sandbox, &issue, &[2]);
    unchanged(&sandbox, &[&issue[..], &["--no-passphrase"]].concat(), &[1, 2]);
    unchanged(&sandbox, &[&issue[..], &["--passphrase-file", "wrong"]].concat(), &[1]);
    let _ = sandbox.dockseal(issue).args(["--passphrase-file", "right"]).run().success();
}

#[test]
fn a_world_readable_authority_key_is_warned_of() {
    let sandbox = with_authority();
    let issue = |out: &str| sandbox.dockseal(["issue", "client", "a", "--no-passphrase", "--out", out]).run().success();
    let quiet = issue("quiet");
    assert!(!quiet.stderr.contains("warning"), "{quiet}");
    let key = home(&sandbox).join("ca-key.pem");
    for mode in [0o644, 0o604, 0o440] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let ran = issue(&format!("out-{mode:o}"));
        assert!(ran.stderr.contains("warning") && ran.stderr.contains("ca-key.pem"), "mode {mode:o}\n{ran}");
    }
}

#[test]
fn an_output_directory_with_somebody_elses_files() {
    let sandbox = with_authority();
    sandbox.write("theirs/notes.txt", "mine");
    sandbox.write("partly/ca.pem", "mine");
    sandbox.write("file", "mine");
    symlink("theirs", sandbox.path("link")).unwrap();
    symlink("nowhere", sandbox.path("dangling")).unwrap();
    for out in ["theirs", "partly", "file", "link", "dangling", "file/below"] {
        for replace in [&[][..], &["--replace"]] {
            println!("{out} {replace:?}");
            let issue = ["issue", "client", "a", "--out", out, "--no-passphrase"];
            // Replacing a bundle is not leave to remove what is none.
            if out != "partly" || replace.is_empty() {
                unchanged(&sandbox, &[&issue[..], replace].concat(), &[1, 2]);
            }
        }
    }
    for out in ["file", "dangling"] {
        unchanged(&sandbox, &["bootstrap", "h.test", "--client", "a", "--out", out, "--no-passphrase"], &[1, 2]);
    }
}

/// A bundle that also holds a file of somebody's is not swapped away with it.
#[test]
fn a_bundle_with_a_file_of_somebodys() {
    let sandbox = with_authority();
    let issue = ["issue", "client", "a", "--out", "a", "--no-passphrase"];
    let _ = sandbox.dockseal(issue).run().success();
    sandbox.write("a/notes.txt", "mine");
    unchanged(&sandbox, &[&issue[..], &["--replace"]].concat(), &[1]);
}

/// A link inside the bundle is not written through.
#[test]
fn a_link_in_the_place_of_a_file() {
    let sandbox = with_authority();
    let victim = sandbox.write("victim", "mine");
    let issue = ["issue", "client", "a", "--out", "a", "--no-passphrase", "--replace"];
    let _ = sandbox.dockseal(issue).run().success();
    fs::remove_file(sandbox.path("a/key.pem")).unwrap();
    symlink(&victim, sandbox.path("a/key.pem")).unwrap();
    let _ = sandbox.dockseal(issue).run();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
}

/// A file system of its own below the sandbox; the sandbox unmounts it.
pub(crate) fn tmpfs(sandbox: &Sandbox, options: &str) -> Option<PathBuf> {
    let place = sandbox.path("mount");
    fs::create_dir(&place).unwrap();
    let ran = sandbox.program("mount").args(["-t", "tmpfs", "-o", options, "dockseal-test"]).arg(&place).run();
    if ran.code == Some(0) {
        return Some(place);
    }
    note_skip("mounting a tmpfs is not allowed here");
    None
}

#[test]
fn a_read_only_place() {
    require_root!();
    let sandbox = with_authority();
    let Some(place) = tmpfs(&sandbox, "size=1m,mode=0700") else { return };
    let place = place.to_str().unwrap();
    let (authority, out) = (format!("{place}/authority"), format!("{place}/out"));
    // An authority that is there but cannot be written to: nothing can be recorded.
    let _ = sandbox.dockseal(["--authority", &authority, "init", "--no-passphrase"]).run().success();
    let _ = sandbox.program("mount").args(["-o", "remount,ro", place]).run().success();
    let new = format!("{place}/new");
    unchanged(&sandbox, &["--authority", &new, "init", "--no-passphrase"], &[2]);
    unchanged(&sandbox, &["--authority", &new, "bootstrap", "h.test", "--client", "a", "--no-passphrase"], &[2]);
    unchanged(&sandbox, &["--authority", &authority, "issue", "client", "a", "--out", "c", "--no-passphrase"], &[2]);
    let before = tree(&sandbox.work());
    let ran = sandbox.dockseal(["issue", "client", "a", "--out", &out, "--no-passphrase"]).run();
    refused_with_hint(&ran, &[2]);
    before.assert_same(&tree(&sandbox.work()), "");
}

/// However little room there is, the command ends with everything or with nothing.
#[test]
fn a_full_disk() {
    require_root!();
    require!("openssl");
    // Sizes from "not a page" to "more than enough"; a tmpfs counts pages of 4 KiB and inodes, and a run needs a dozen
    // pages beside those of the inventory and its log.
    let mut failed = 0;
    let mut succeeded = 0;
    for pages in (1..16).chain((16..128).step_by(4)) {
        let sandbox = Sandbox::new();
        let Some(place) = tmpfs(&sandbox, &format!("size={}k,mode=0700", pages * 4)) else { return };
        let authority = place.join("authority");
        let bootstrap = || {
            let program = sandbox.dockseal(["--authority"]).arg(&authority);
            program
                .args(["bootstrap", "h.test", "--client", "a", "--no-passphrase", "--out"])
                .arg(place.join("host"))
                .run()
        };
        let ran = bootstrap();
        let what = tree(&place);
        assert_eq!(what.leftovers(), Vec::<String>::new(), "{pages} pages\n{ran}");
        for bundle in ["host/daemon", "host/clients/a"] {
            if place.join(bundle).exists() {
                Bundle(place.join(bundle)).assert_complete();
            }
        }
        if ran.code == Some(0) {
            succeeded += 1;
            assert!(place.join("host/daemon/key.pem").exists() && place.join("host/clients/a/key.pem").exists());
        } else {
            failed += 1;
            refused_with_hint(&ran, &[2]);
            // No half authority either: both files or none.
            assert_eq!(authority.join("ca.pem").exists(), authority.join("ca-key.pem").exists(), "{what}\n{ran}");
        }
        // With room again, the next run completes.
        let _ = sandbox.program("mount").args(["-o", "remount,size=4m"]).arg(&place).run().success();
        let _ = bootstrap().success();
        Bundle(place.join("host/daemon")).assert_complete();
        Bundle(place.join("host/clients/a")).assert_complete();
    }
    assert!(
        failed > 3 && succeeded > 3,
        "the sizes tried do not straddle what is needed: {failed} failed, {succeeded} succeeded"
    );
}

/// The same for replacing: the old bundle stays whole until the new one is.
#[test]
fn a_full_disk_while_replacing() {
    require_root!();
    require!("openssl");
    let sandbox = with_authority();
    let Some(place) = tmpfs(&sandbox, "size=64k,mode=0700") else { return };
    let out = place.join("a");
    let issue = || sandbox.dockseal(["issue", "client", "a", "--replace", "--no-passphrase", "--out"]).arg(&out).run();
    let _ = issue().success();
    let ballast = place.join("ballast");
    let mut failed = 0;
    for kept in (0..48_usize).rev() {
        fs::write(&ballast, vec![0; kept * 1024]).unwrap();
        let before = tree(&out);
        let ran = issue();
        if ran.code != Some(0) {
            failed += 1;
            before.assert_same(&tree(&out), &ran);
        }
        Bundle(out.clone()).assert_complete();
        assert_eq!(tree(&place).leftovers(), Vec::<String>::new(), "{ran}");
    }
    let all = fs::write(&ballast, vec![0; 60 * 1024]);
    println!("{failed} of 48 refused, ballast: {all:?}");
    let before = tree(&out);
    refused_with_hint(&issue(), &[2]);
    before.assert_same(&tree(&out), "");
}

/// A full disk under the bundles, and one under the authority: nothing is half-written, the inventory stays sound, and
/// with room again the same run completes.
#[test]
fn a_full_disk_while_renewing() {
    require_root!();
    require!("openssl", "python3");
    // The inventory's log needs more than the bundles do.
    for (full, most, step) in [("bundles", 160, 8), ("authority", 960, 48)] {
        let sandbox = Sandbox::new();
        let Some(place) = tmpfs(&sandbox, "size=2048k,mode=0700") else { return };
        let (authority, out) = match full {
            "bundles" => (sandbox.path("authority"), place.join("many")),
            _ => (place.join("authority"), sandbox.path("many")),
        };
        let run = |args: &[&str]| sandbox.dockseal(["--authority"]).arg(&authority).args(args).run();
        let _ = run(&["init", "--no-passphrase"]).success();
        let out = out.to_str().unwrap();
        let _ = run(&["issue", "clients", "a", "b", "c", "d", "--out", out]).success();
        let ballast = place.join("ballast");
        let (mut failed, mut succeeded) = (0, 0);
        for room in (0..most).step_by(step) {
            // As much as fits, less some room.
            let _ = fs::remove_file(&ballast);
            let mut size: usize = 2048;
            while size > 0 && fs::write(&ballast, vec![0; size * 1024]).is_err() {
                size -= 4;
            }
            fs::write(&ballast, vec![0; size.saturating_sub(room) * 1024]).unwrap();
            let ran = run(&["renew", "--all"]);
            match ran.code {
                Some(0) => succeeded += 1,
                _ => {
                    failed += 1;
                    assert!(matches!(ran.code, Some(1 | 2)), "{ran}");
                    assert!(ran.stderr.contains("hint:"), "{ran}");
                    // Also where SQLite calls it an I/O error.
                    let says_full = ["the disk is full", "No space left on device"];
                    assert!(says_full.iter().any(|words| ran.stderr.contains(words)), "{ran}");
                }
            }
            for name in ["a", "b", "c", "d"] {
                Bundle(Path::new(out).join(name)).assert_complete();
            }
            assert_eq!(tree(&place).leftovers(), Vec::<String>::new(), "{ran}");
        }
        assert!(failed > 2 && succeeded > 2, "{full}: {failed} failed, {succeeded} succeeded");
        fs::remove_file(&ballast).unwrap();
        let _ = run(&["renew", "--all"]).success();
        let _ = run(&["inventory", "check"]).success();
    }
}

/// The owner of what is above a recorded place makes a link of it: root's nightly renewal refuses, and what the link leads
/// to is as it was. The hint helps.
#[test]
fn a_neighbour_who_leads_root_elsewhere() {
    require_root!();
    let sandbox = with_authority();
    let (home, elsewhere) = (sandbox.path("home-of-nobody"), sandbox.path("etc"));
    fs::create_dir(&home).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    std::os::unix::fs::chown(&home, Some(65534), Some(65534)).unwrap();
    let issue = |out: &str| sandbox.dockseal(["issue", "client", "a", "--no-passphrase", "--out", out]).run();
    let _ = issue("home-of-nobody/docker/a").success();
    fs::rename(home.join("docker"), home.join("real")).unwrap();
    symlink(&elsewhere, home.join("docker")).unwrap();
    // With the same names in it, nothing but the link tells the places apart.
    fs::create_dir(elsewhere.join("a")).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        fs::copy(home.join("real/a").join(name), elsewhere.join("a").join(name)).unwrap();
    }
    let before = tree(&elsewhere);
    let ran = sandbox.dockseal(["renew", "--all", "--no-passphrase"]).run();
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.holds("home-of-nobody/docker is a symbolic link that user 65534 can change"), "{ran}");
    assert!(ran.holds("hint:"), "{ran}");
    before.assert_same(&tree(&elsewhere), &ran);

    let ran = issue("home-of-nobody/docker/new");
    refused_with_hint(&ran, &[2]);
    assert!(ran.stderr.contains("hint:  name the directory by its path without that link"), "{ran}");
    before.assert_same(&tree(&elsewhere), &ran);
    let _ = issue("etc/new").success();
}

/// A pipe where a bundle would be staged holds nothing up.
#[test]
fn a_pipe_at_the_staging_path() {
    let sandbox = with_authority();
    for slot in 0..3 {
        let _ = sandbox.program("mkfifo").arg(sandbox.path(format!(".a.dockseal-{slot}"))).run().success();
    }
    let issue = ["issue", "client", "a", "--no-passphrase", "--out", "a", "--replace"];
    for _ in 0..2 {
        let _ = sandbox.dockseal(issue).limit(std::time::Duration::from_secs(60)).run().success();
    }
    Bundle(sandbox.path("a")).assert_complete();
}

/// One certificate in more directories than files may be open: all of them get the new one, and nothing is left beside them.
#[test]
fn more_directories_than_descriptors() {
    require!("prlimit", "openssl");
    const PLACES: usize = 100;
    let sandbox = Sandbox::new();
    let confined = |line: &str| {
        let program = sandbox.program("prlimit").args(["--nofile=64:64"]).arg(dockseal_tests::dockseal_binary());
        program.args(line.split(' ')).run()
    };
    let dockseal = |line: &str| sandbox.dockseal(line.split(' ')).run();
    let _ = dockseal("init --no-passphrase").success();
    let _ = dockseal("issue client alice --out d/0").success();
    for n in 1..PLACES {
        let _ = sandbox.program("cp").args(["-a", "d/0", &format!("d/{n}")]).run().success();
    }
    let _ = dockseal("inventory rebuild --replace d").success();
    let before = fs::read(sandbox.path("d/0/cert.pem")).unwrap();
    for line in ["renew alice", "rollover begin", "rollover advance", "rollover finish"] {
        let _ = confined(line).success();
        let now = fs::read(sandbox.path("d/0/cert.pem")).unwrap();
        assert!(now != before, "{line}");
        for n in 0..PLACES {
            let file = |name: &str| fs::read(sandbox.path(format!("d/{n}/{name}"))).unwrap();
            assert!(
                file("cert.pem") == now && file("ca.pem") == fs::read(sandbox.path("d/0/ca.pem")).unwrap(),
                "{line}"
            );
        }
        let mut names = fs::read_dir(sandbox.path("d")).unwrap().map(|entry| entry.unwrap().file_name());
        assert!(!names.any(|name| name.to_string_lossy().contains(".dockseal-")), "{line}");
    }
    let _ = sandbox.openssl(["verify", "-CAfile", "d/99/ca.pem", "d/99/cert.pem"]);
    let _ = dockseal("inventory check").success().says("100 of 100");
}
