//! Four processes write and four read, and any of them is killed or paused at any time.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::process::Child;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use octoprompt_storage::engine::{ReadOptions, Wait};

use crate::history::{Kind, Operation, check};
use crate::pause::{pause, resume};
use crate::reached::reached;
use crate::support::spec;
use crate::worker::{REGISTERS, now, open, start, value_of};

/// The least number of processes that are killed, however slow the machine is.
const KILLS: usize = 100;

fn seconds() -> u64 {
    std::env::var("PROCESS_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20)
}

/// Starts a process and forwards its lines.
fn follow(directory: &std::path::Path, number: u64, lines: &Sender<String>) -> Child {
    let mut child = start(directory, number);
    let (output, lines) = (child.stdout.take().expect("a pipe"), lines.clone());
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
    child
}

fn history(lines: impl Iterator<Item = String>) -> Vec<Operation> {
    let mut reads = Vec::new();
    let mut writes: HashMap<u64, Operation> = HashMap::new();
    for line in lines.filter(|line| line.starts_with('#')) {
        let (kind, numbers) = line.split_once(' ').expect("a line of a worker");
        let numbers: Vec<u64> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
        match (kind, &numbers[..]) {
            ("#read", &[register, value, began, ended]) => {
                reads.push(Operation { register, value, kind: Kind::Read, began, ended: Some(ended) });
            }
            ("#write", &[register, value, began]) => {
                writes.insert(value, Operation { register, value, kind: Kind::Write, began, ended: None });
            }
            ("#wrote", &[_, value, ended]) => {
                writes.get_mut(&value).expect("it began").ended = Some(ended);
            }
            _ => panic!("{line}"),
        }
    }
    reads.extend(writes.into_values());
    reads
}

#[test]
fn documents_are_linearizable_while_processes_are_killed_and_paused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (sender, lines) = channel();
    let mut children: Vec<Child> = (0..8).map(|number| follow(directory.path(), number, &sender)).collect();
    let mut next = children.len() as u64;
    let (mut kills, mut pauses) = (0, 0);
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    while Instant::now() < end || kills < KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let at = (random >> 33) as usize % children.len();
        thread::sleep(Duration::from_millis(20 + (random >> 40) % 60));
        if (random >> 50).is_multiple_of(2) {
            pauses += 1;
            pause(&children[at]);
            thread::sleep(Duration::from_millis((random >> 45) % 120));
            resume(&children[at]);
            continue;
        }
        kills += 1;
        children[at].kill().expect("killed");
        children[at].wait().expect("gone");
        // Its successor does the same work under a new number.
        next += 1 + (next + 1 + at as u64) % 2;
        children[at] = follow(directory.path(), next, &sender);
    }
    for child in &mut children {
        let ended = child.try_wait().expect("a status");
        assert!(ended.is_none(), "a process gave up: {ended:?}");
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
    drop(sender);
    let mut operations = history(lines.iter());
    let database = open(directory.path());
    for register in 1..=REGISTERS {
        let began = now();
        let options = ReadOptions { cached: false, lock_timeout: Duration::from_secs(30) };
        let found = database.get(&spec("items.json"), &register.into(), options).expect("readable");
        let value = found.map_or(0, |found| value_of(&found.text).expect("a whole value"));
        operations.push(Operation { register, value, kind: Kind::Read, began, ended: Some(now()) });
    }
    let report = database.verify(Wait::at_most(Duration::from_secs(30))).expect("readable");
    let what = "real processes, linearizable by document";
    reached(what, format!("{} operations, {kills} kills, {pauses} pauses", operations.len()));
    check(&operations).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(report.is_ok(), "{report}");
    assert!(operations.len() > 1000 && kills >= KILLS && pauses > 10, "too little happened");
}
