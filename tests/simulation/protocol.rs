//! The simulation with two small users: replacing a file safely, and a random writer with a model.

use octoprompt_storage::engine::fs::{Call, Extreme, Fault, File, Fs, OpenMode, Repeat, SimFs};
use proptest::prelude::*;

use crate::{machine, path};

/// Replaces `/d/f` three times, and returns in how many states after a power loss at any call the promise is broken that
/// `/d/f` holds the last acknowledged content or one that was being written.
fn broken_states(ignored: fn(&Call) -> bool) -> usize {
    let fs = machine();
    fs.write_file("/d/f", b"0");
    fs.ignore(ignored);
    fs.record();
    let mut acknowledged = Vec::new();
    for content in [b"1", b"2", b"3"] {
        replace(&fs, content).unwrap();
        acknowledged.push(fs.total_calls());
    }
    let broken = |calls: u64, after: &SimFs| {
        let least = acknowledged.iter().filter(|at| **at <= calls).count();
        let allowed: Vec<_> = (least..=3).take(2).map(|n| Some(n.to_string().into_bytes())).collect();
        !allowed.contains(&after.read_file("/d/f"))
    };
    let moments = fs.moments();
    let states = moments.iter().flat_map(|moment| {
        moment.crash_states(200, 1).filter(|after| broken(moment.calls(), after)).collect::<Vec<_>>()
    });
    states.count()
}

fn replace(fs: &SimFs, content: &[u8]) -> std::io::Result<()> {
    let file = fs.open(path("/d/new"), OpenMode::CreateNew)?;
    file.write_at(content, 0)?;
    file.sync_data()?;
    fs.rename(path("/d/new"), path("/d/f"))?;
    fs.sync_dir(path("/d"))
}

#[test]
fn a_correct_protocol_never_leaves_a_broken_state() {
    assert_eq!(broken_states(|_| false), 0);
}

#[test]
fn a_protocol_without_its_file_sync_is_caught() {
    assert!(broken_states(|call| matches!(call, Call::SyncData { path } if path.ends_with("new"))) > 0);
}

#[test]
fn a_protocol_without_its_directory_sync_is_caught() {
    assert!(broken_states(|call| matches!(call, Call::SyncDir { .. })) > 0);
}

#[test]
fn stopping_at_every_call_finds_the_same_states_as_one_recorded_run() {
    let content = |after: SimFs| after.read_file("/d/f").unwrap();
    let run = || {
        let fs = machine();
        fs.write_file("/d/f", b"0");
        fs
    };
    let recorded = run();
    recorded.record();
    replace(&recorded, b"1").unwrap();
    let moments = recorded.moments();
    for call in 1..=recorded.calls() {
        let fs = run();
        fs.stop_at(call);
        replace(&fs, b"1").unwrap_err();
        let stopped: Vec<_> = fs.crash_states(100, 1).map(content).collect();
        let moment = &moments[call as usize - 1];
        assert_eq!(stopped, moment.crash_states(100, 1).map(content).collect::<Vec<_>>());
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    FailSync,
}

fn steps(fail: bool) -> impl Strategy<Value = Vec<Step>> {
    let write = (0..3000_u64, prop::collection::vec(1..=255_u8, 0..1500));
    let step = prop_oneof![
        4 => write.prop_map(|(offset, bytes)| Step::Write(offset, bytes)),
        2 => (0..6000_u64).prop_map(Step::SetLen),
        2 => Just(if fail { Step::FailSync } else { Step::Sync }),
        1 => Just(Step::Sync),
    ];
    prop::collection::vec(step, 1..12)
}

/// Applies the steps to the file and to a model of it; returns the model's live and durable content.
fn apply(fs: &SimFs, file: &dyn File, steps: &[Step]) -> (Vec<u8>, Vec<u8>) {
    let (mut live, mut durable) = (Vec::new(), Vec::new());
    for step in steps {
        match step {
            Step::Write(offset, bytes) => {
                file.write_at(bytes, *offset).unwrap();
                let start = *offset as usize;
                let end = start + bytes.len();
                if start < end {
                    live.resize(live.len().max(end), 0);
                    live[start..end].copy_from_slice(bytes);
                }
            }
            Step::SetLen(len) => {
                file.set_len(*len).unwrap();
                live.resize(*len as usize, 0);
            }
            Step::Sync => {
                file.sync_data().unwrap();
                durable = live.clone();
            }
            Step::FailSync => {
                fs.fail_when(|call| matches!(call, Call::SyncData { .. }), Fault::Io, Repeat::Once);
                file.sync_data().unwrap_err();
            }
        }
    }
    (live, durable)
}

fn new_file(fs: &SimFs) -> std::sync::Arc<dyn File> {
    fs.write_file("/d/f", b"");
    fs.open(path("/d/f"), OpenMode::ReadWrite).unwrap()
}

proptest! {
    #[test]
    fn the_extreme_power_losses_leave_the_last_synced_or_the_live_state(steps in steps(false)) {
        let fs = machine();
        let (live, durable) = apply(&fs, &*new_file(&fs), &steps);
        prop_assert_eq!(fs.read_file("/d/f").unwrap(), live.clone());
        prop_assert_eq!(fs.power_loss(&mut Extreme::Everything).read_file("/d/f").unwrap(), live);
        prop_assert_eq!(fs.power_loss(&mut Extreme::Nothing).read_file("/d/f").unwrap(), durable);
    }

    #[test]
    fn failed_syncs_change_neither_the_visible_state_nor_the_best_case(steps in steps(true)) {
        let fs = machine();
        let (live, _) = apply(&fs, &*new_file(&fs), &steps);
        prop_assert_eq!(fs.read_file("/d/f").unwrap(), live.clone());
        prop_assert_eq!(fs.power_loss(&mut Extreme::Everything).read_file("/d/f").unwrap(), live);
    }

    #[test]
    fn every_byte_after_a_power_loss_is_zero_or_was_written_earlier(steps in steps(true), seed: u64) {
        let fs = machine();
        let file = new_file(&fs);
        let mut past = vec![Vec::new()];
        for end in 0..steps.len() {
            apply(&fs, &*file, &steps[end..=end]);
            past.push(fs.read_file("/d/f").unwrap());
        }
        for after in fs.crash_states(40, seed) {
            for (at, byte) in after.read_file("/d/f").unwrap().into_iter().enumerate() {
                prop_assert!(byte == 0 || past.iter().any(|content| content.get(at) == Some(&byte)));
            }
        }
    }
}
