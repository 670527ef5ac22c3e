//! A process that may not write files beyond a certain size: a disk that is really full, on every machine.

use std::process::Command;
use std::time::Duration;

use octoprompt_storage::engine::{Durability, Outcome, ReadOptions};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::support::{spec, wait};
use crate::worker::{open, text};

const DIRECTORY: &str = "LIMITED_DIRECTORY";
const LIMIT: u64 = 60_000;

/// In the child process: writes until nothing more fits.
#[test]
fn fills_the_disk_when_started_as_a_child() {
    let Ok(directory) = std::env::var(DIRECTORY) else { return };
    let database = open(directory.as_ref());
    let limit = Rlimit { current: Some(LIMIT), maximum: Some(LIMIT) };
    setrlimit(Resource::Fsize, limit).expect("a limit");
    let put = |id: u64| {
        let (spec, text) = (spec("items.json"), text(id, 800));
        database.write(Durability::Full, move |t| t.put(&spec, id.into(), text))
    };
    let mut written = 0;
    let error = loop {
        match put(written + 1) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((error.code(), error.outcome()), ("IO_ERROR", Outcome::None), "{error}");
    let options = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };
    let read = |id: u64| database.get(&spec("items.json"), &id.into(), options).expect("readable");
    assert!((1..=written).all(|id| read(id).is_some()) && read(written + 1).is_none());
    // Writing continues as soon as something smaller fits, and a checkpoint that does not fit loses nothing.
    let spec_of_small = spec("items.json");
    let _ = database
        .write(Durability::Full, move |t| t.put(&spec_of_small, 1000.into(), b"{\"id\":1000}".to_vec()));
    let _ = database.checkpoint(wait());
    assert!((1..=written).all(|id| read(id).is_some()));
    assert!(written > 20, "only {written} fitted");
    println!("#{written}");
}

/// A write beyond the limit is cut short or refused. The signal that comes with it is ignored, as in Node and Bun.
#[test]
fn no_acknowledged_write_is_lost_when_the_file_size_limit_is_reached() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().expect("a program"))
        .args(["--exact", "limits::fills_the_disk_when_started_as_a_child", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let written: u64 = text
        .lines()
        .find_map(|line| line.split_once('#')?.1.parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    let database = open(directory.path());
    let options = ReadOptions { cached: false, lock_timeout: Duration::from_secs(5) };
    for id in 1..=written {
        let found = database.get(&spec("items.json"), &id.into(), options).expect("readable");
        assert!(found.is_some(), "document {id} of {written} is lost");
    }
    let small = spec("items.json");
    database
        .write(Durability::Full, move |t| t.put(&small, 2000.into(), b"{\"id\":2000}".to_vec()))
        .expect("room");
    let report = database.verify(wait()).expect("readable");
    assert!(report.is_ok(), "{report}");
}
