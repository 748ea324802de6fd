//! Steps of a roll-over that are killed, and steps beside which others issue.

use std::thread;
use std::time::{Duration, Instant};

use dockseal_tests::{Bundle, Random, require, tree};
use rustix::process::{Pid, Signal, kill_process};

use super::{IN, PLACES, all_work, fleet, json, run, status, step, understand};
use crate::home;

/// One step, killed at random instants and run again: everybody works at every instant, and the end is the same.
fn killed(before: &[&str], line: &str, expected: [[u64; 2]; 4], seed: u64, times: usize) {
    let mut random = Random::seeded(seed);
    let mut span = {
        let sandbox = fleet();
        before.iter().for_each(|line| drop(step(&sandbox, line)));
        let started = Instant::now();
        let _ = step(&sandbox, line);
        started.elapsed()
    };
    let mut killed = 0;
    for n in 0..times {
        let sandbox = fleet();
        before.iter().for_each(|line| drop(step(&sandbox, line)));
        let delay = Duration::from_micros(random.below(u64::try_from(span.as_micros()).unwrap() * 11 / 10));
        let mut child = sandbox.dockseal(["rollover"].into_iter().chain(line.split(' '))).start_quietly();
        thread::sleep(delay);
        let _ = kill_process(Pid::from_child(&child), Signal::KILL);
        let in_time = child.wait().unwrap().code().is_none();
        killed += usize::from(in_time);
        span = if in_time { span * 21 / 20 } else { span * 9 / 10 };
        let when = format!("{line}: kill {n} after {delay:?}");
        all_work(&sandbox, &when);
        for place in PLACES {
            Bundle(sandbox.path(place)).assert_complete();
        }
        let serials = sandbox.inventory("SELECT count(*) - count(DISTINCT serial) FROM certificate");
        assert_eq!(serials, ["0"], "{when}: a serial was used twice");
        let _ = step(&sandbox, line);
        all_work(&sandbox, &when);
        assert_eq!(status(&sandbox).1, expected, "{when}");
        let left: Vec<String> =
            tree(&home(&sandbox)).paths().into_iter().filter(|path| path.contains(".dockseal")).collect();
        assert!(left.is_empty(), "{when}: {left:?}");
    }
    println!("{line}: {killed} of {times} runs were killed before their end");
    assert!(killed * 4 > times, "only {killed} of {times} were killed in time");
}

#[test]
fn begin_killed_at_random_instants() {
    require!("openssl");
    killed(&[], "begin", IN[1], 31, 12);
}

#[test]
fn advance_killed_at_random_instants() {
    require!("openssl");
    killed(&["begin"], "advance", IN[2], 32, 12);
}

#[test]
fn finish_killed_at_random_instants() {
    require!("openssl");
    killed(&["begin", "advance"], "finish", IN[3], 33, 12);
}

#[test]
fn abort_killed_at_random_instants() {
    require!("openssl");
    killed(&["begin", "advance bob"], "abort", IN[3], 34, 12);
}

/// Others issue while a roll-over goes through: each of them succeeds or is told to try again, and in the end all that was
/// issued is where it is to be.
#[test]
fn others_issue_meanwhile() {
    let sandbox = fleet();
    let issued = thread::scope(|scope| {
        let sandbox = &sandbox;
        let issuers: Vec<_> = (0..4)
            .map(|worker| {
                scope.spawn(move || {
                    let mut places = Vec::new();
                    for n in 0..8 {
                        let name = format!("w{worker}-{n}");
                        for _ in 0..20 {
                            let ran = run(sandbox, &format!("issue client {name} --out issued/{name}"));
                            if ran.code == Some(0) {
                                places.push(format!("issued/{name}"));
                                break;
                            }
                            assert!(ran.stderr.contains("signs since a moment ago"), "{ran}");
                        }
                    }
                    places
                })
            })
            .collect();
        for line in ["begin", "advance", "finish --force"] {
            let _ = step(sandbox, line);
        }
        issuers.into_iter().flat_map(|issuer| issuer.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(issued.len(), 32, "all were issued in the end");
    // What was asked for before a step and delivered after it was left behind; it is known, and helped.
    let _ = step(&sandbox, "advance");
    let _ = step(&sandbox, "finish");
    assert_eq!(status(&sandbox), (0, [[0, 0], [0, 0], [0, 0], [1, 34]]));
    for place in &issued {
        assert!(understand(&sandbox.path(PLACES[0]), &sandbox.path(place)), "{place}");
    }
    let wire = json(&run(&sandbox, "rollover status --format json"));
    assert_eq!(wire["endpoints"].as_array().unwrap().len(), 35);
}
