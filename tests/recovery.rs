//! What recovery makes of journals that a crash, a full disk or damage left behind. On a simulated file system.

mod support;

use std::path::Path;
use std::time::Duration;

use octoprompt_storage::engine::fs::{Call, Fault, Repeat, SimFs};
use octoprompt_storage::engine::{Wait, WarningCode, repair};
use support::simulated::{
    DIRECTORY, checkpoint, machine, name, open, put, remove, reserved, try_open, verified, warnings,
};

/// Two collections whose files were edited by hand while the journal had something newer; each keeps back another
/// generation until somebody asks for it.
fn kept_back_in_turns() -> SimFs {
    let fs = machine();
    drop(open(&fs));
    put(&open(&fs), "first.json", 1, "first");
    fs.write_file("/database/first.json", b"{}\n");
    let database = open(&fs);
    put(&database, "other.json", 1, "a");
    checkpoint(&database).expect("the other one is checkpointed");
    put(&database, "second.json", 2, "second");
    drop(database);
    fs.write_file("/database/second.json", b"{}\n");
    let database = open(&fs);
    assert_eq!(name(&database, "first.json", 1), Ok(Some("first".into())));
    put(&database, "other.json", 1, "b");
    checkpoint(&database).expect("all but the second are checkpointed");
    fs
}

#[test]
fn a_generation_is_not_asked_for_when_a_later_one_says_that_the_snapshots_hold_it() {
    let fs = kept_back_in_turns();
    assert!(!reserved(&fs).contains(&"journal-000000000001.jsonl".to_owned()));
    let report = verified(&fs);
    assert!(report.is_ok(), "{report}");
    let database = open(&fs);
    assert_eq!(name(&database, "second.json", 2), Ok(Some("second".into())));
    assert_eq!(name(&database, "first.json", 1), Ok(Some("first".into())));
    assert_eq!(name(&database, "other.json", 1), Ok(Some("b".into())));
}

#[test]
fn a_generation_that_is_needed_is_asked_for_whatever_earlier_ones_say() {
    let fs = kept_back_in_turns();
    remove(&fs, ".storage/journal-000000000002.jsonl");
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    assert!(!verified(&fs).is_ok());
}

fn journal(generation: u64) -> String {
    format!("{DIRECTORY}/.storage/journal-{generation:012}.jsonl")
}

/// As a start of the machine leaves it.
fn forget_tip(fs: &SimFs) {
    fs.write_file("/database/.storage/tip", &[0; 4096]);
}

fn damaged(fs: &SimFs, path: &str, bit: usize) -> Vec<u8> {
    let mut bytes = fs.read_file(path).expect("a journal");
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs.write_file(path, &bytes);
    bytes
}

/// A machine whose newest journal, of this generation, has one batch and nothing else behind its header.
fn with_one_batch(generation: u64) -> SimFs {
    let fs = machine();
    let database = open(&fs);
    for round in 1..generation {
        put(&database, "a.json", round, "before");
        let is_new = |path: &Path| path.to_string_lossy().contains("new-");
        let fits = move |call: &Call| matches!(call, Call::Open { path, .. } if is_new(path));
        fs.fail_when(fits, Fault::Io, Repeat::Once);
        assert!(checkpoint(&database).is_err());
    }
    put(&database, "a.json", generation, "acknowledged");
    fs.kill()
}

#[test]
fn no_damaged_bit_of_a_header_costs_the_one_batch_behind_it() {
    for generation in [1, 2] {
        let (image, path) = (with_one_batch(generation).snapshot(), journal(generation));
        let bytes = image.kill().read_file(&path).expect("a journal");
        let header = bytes.iter().position(|&byte| byte == b'\n').expect("a header") + 1;
        for (bit, restarted) in (0..header * 8).flat_map(|bit| [(bit, false), (bit, true)]) {
            let fs = image.kill();
            let damaged = damaged(&fs, &path, bit);
            if restarted {
                forget_tip(&fs);
            }
            let at = format!("bit {bit} of generation {generation}, restarted: {restarted}");
            let report = verified(&fs);
            assert!(!report.is_ok(), "{at}: {report}");
            assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"), "{at}");
            assert_eq!(fs.read_file(&path), Some(damaged), "{at}");
        }
    }
}

#[test]
fn a_batch_behind_a_damaged_end_of_a_header_is_repaired() {
    for restarted in [false, true] {
        let fs = with_one_batch(1);
        let bytes = fs.read_file(journal(1)).expect("a journal");
        damaged(&fs, &journal(1), 8 * bytes.iter().position(|&byte| byte == b'\n').expect("a header"));
        if restarted {
            forget_tip(&fs);
        }
        let wait = Wait::at_most(Duration::from_secs(1));
        let report = repair(&fs.handle(), Path::new(DIRECTORY), wait).expect("repaired");
        assert!(report.is_ok(), "{report}");
        assert_eq!(name(&open(&fs), "a.json", 1), Ok(Some("acknowledged".into())), "{report}");
    }
}

#[test]
fn what_a_crash_left_of_a_new_journal_is_moved_aside() {
    let fs = machine();
    put(&open(&fs), "a.json", 1, "x");
    for (left, kept) in [(&b"[\"0123456789"[..], 1), (&[0; 600], 0), (&b"   "[..], 0), (&b""[..], 0)] {
        fs.write_file(journal(2), left);
        let report = verified(&fs);
        assert!(report.is_ok(), "{report}");
        let fs = fs.snapshot().kill();
        let database = open(&fs);
        assert_eq!(name(&database, "a.json", 1), Ok(Some("x".into())));
        let names = reserved(&fs);
        let cut: Vec<&String> = names.iter().filter(|name| name.starts_with("cut-000000000002-0-")).collect();
        assert_eq!(cut.len(), kept, "{left:?}: {names:?}");
        for name in cut {
            assert_eq!(fs.read_file(format!("{DIRECTORY}/.storage/{name}")).as_deref(), Some(left));
        }
        assert!(!names.contains(&"journal-000000000002.jsonl".to_owned()));
        assert_eq!(warnings(&database), [WarningCode::TailCut]);
    }
}

#[test]
fn a_new_journal_that_was_never_finished_stays_while_the_one_before_is_damaged() {
    let fs = machine();
    put(&open(&fs), "a.json", 1, "x");
    let end = fs.read_file(journal(1)).expect("a journal").iter().rposition(|&byte| byte == b'}');
    damaged(&fs, &journal(1), 8 * end.expect("a batch"));
    fs.write_file(journal(2), b"[\"0123");
    let before = reserved(&fs);
    assert_eq!(try_open(&fs).map(drop).map_err(|error| error.code()), Err("CORRUPT_DATA"));
    assert_eq!(reserved(&fs), before);
}
