//! Damaged files: each flipped bit is harmless or reported, and never yields a wrong value. An ordinary run flips every third
//! bit, and thereby each of a byte; with `CRASH_STATES`, every bit is flipped.

use std::path::{Path, PathBuf};

use octoprompt_storage::engine::fs::{Extreme, Fs, Snapshot};
use octoprompt_storage::engine::{ProblemCode, repair, verify};

use crate::explore::wanted;
use crate::reached::reached;
use crate::support::no_wait;
use crate::workload::{Op, Run};
use crate::world::{DIRECTORY, Documents, machine, try_observe, try_open, warnings};

fn files(image: &Snapshot, directory: &Path, found: &mut Vec<PathBuf>) {
    let fs = image.kill();
    for name in fs.list_dir(directory).expect("a directory") {
        let path = directory.join(name);
        match fs.read_file(&path) {
            Some(bytes) if !bytes.is_empty() => found.push(path),
            Some(_) => {}
            None => files(image, &path, found),
        }
    }
}

/// Returns what a reader sees, or `None` if damage is reported to it.
fn silent(image: &Snapshot, path: &Path, bytes: &[u8]) -> Option<Result<Documents, String>> {
    let fs = image.kill();
    fs.write_file(path, bytes);
    let database = match try_open(&fs, None) {
        Ok(database) => database,
        Err(error) if matches!(error.code(), "CORRUPT_DATA" | "UNSUPPORTED_FORMAT") => return None,
        Err(error) => return Some(Err(format!("{}: {error}", error.code()))),
    };
    let seen = match try_observe(&database) {
        Ok(seen) => seen,
        Err(error) if error.code() == "CORRUPT_DATA" => return None,
        Err(error) => return Some(Err(format!("{}: {error}", error.code()))),
    };
    if warnings(&database).is_empty() { Some(seen) } else { None }
}

/// Checks that verifying a damaged database finds something whenever a reader would be told, and that repairing it leads to
/// a database that opens, is sound, and holds no document that never existed.
fn mended(image: &Snapshot, path: &Path, bytes: &[u8], history: &[Documents]) -> Result<bool, String> {
    let fs = image.kill();
    fs.write_file(path, bytes);
    let (handle, directory) = (fs.handle(), Path::new(DIRECTORY));
    let report = verify(&handle, directory, no_wait()).map_err(|error| format!("verify: {error}"))?;
    if report.problems.iter().any(|problem| problem.code == ProblemCode::UnsupportedFormat) {
        return Ok(true);
    }
    let repaired = repair(&handle, directory, no_wait()).map_err(|error| format!("repair: {error}"))?;
    if !repaired.is_ok() {
        return Err(format!("repair leaves\n{repaired}"));
    }
    let database =
        try_open(&fs, None).map_err(|error| format!("does not open after repair: {error}\n{repaired}"))?;
    let found =
        try_observe(&database).map_err(|error| format!("unreadable after repair: {error}\n{repaired}"))?;
    // A map that is still valid may just as well have been edited by a person: what it says now counts.
    if report.problems.iter().any(|problem| problem.code == ProblemCode::SnapshotChanged) {
        return Ok(true);
    }
    let found = found?;
    let last = &history[history.len() - 1];
    let once =
        |key: &(usize, u64), version: &u32| history.iter().any(|state| state.get(key) == Some(version));
    if let Some(document) = found.iter().find(|(key, version)| !once(key, version)) {
        return Err(format!("repair invents {document:?}\n{repaired}"));
    }
    let lost = last.iter().filter(|(key, version)| found.get(key) != Some(version)).count();
    if lost > LOST_WITH_ONE_BIT {
        return Err(format!("repair loses {lost} of {last:?}: {found:?}\n{repaired}"));
    }
    Ok(!report.problems.is_empty())
}

/// One bit affects one document, or one batch with its two documents.
const LOST_WITH_ONE_BIT: usize = 2;

fn bits(image: &Snapshot, history: &[Documents], least: (usize, usize)) {
    let expected = &history[history.len() - 1];
    let mut paths = Vec::new();
    files(image, Path::new(DIRECTORY), &mut paths);
    let step = if wanted(1) > 1 { 1 } else { 3 };
    let (mut flipped, mut reported, mut mended_bits) = (0, 0, 0);
    for path in paths {
        let bytes = image.kill().read_file(&path).expect("a file");
        // After its few words the shared page is empty.
        for bit in (0..bytes.len().min(2048) * 8).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            flipped += 1;
            let at = || format!("bit {bit} of {}", path.display());
            let told = match silent(image, &path, &damaged) {
                None => true,
                Some(seen) => {
                    assert_eq!(seen.as_ref(), Ok(expected), "{}", at());
                    false
                }
            };
            reported += usize::from(told);
            // The tip is only believed by processes that share it, and for the rest every seventh bit is enough.
            if bit % 7 == 0 {
                let found =
                    mended(image, &path, &damaged, history).unwrap_or_else(|e| panic!("{}: {e}", at()));
                assert!(found || !told, "{}: verifying finds nothing", at());
                mended_bits += 1;
            }
        }
    }
    reached(
        "a flipped bit",
        format!("{flipped} bits, {reported} reported, {mended_bits} verified and repaired"),
    );
    assert!(flipped > least.0 && reported > least.1, "{flipped} bits, {reported} reported");
}

const WORKLOAD: [Op; 7] =
    [Op::Put, Op::Nested, Op::Checkpoint, Op::Both, Op::Checkpoint, Op::PutOs, Op::Nested];

#[test]
fn a_flipped_bit_is_harmless_or_reported_while_the_machine_runs() {
    let run = Run::of(machine(), &WORKLOAD, None).expect("the workload runs");
    bits(&run.fs.kill().snapshot(), &run.history, (20_000, 7_000));
}

#[test]
fn a_flipped_bit_is_harmless_or_reported_after_a_restart() {
    let run = Run::of(machine(), &WORKLOAD, None).expect("the workload runs");
    bits(&run.fs.power_loss(&mut Extreme::Everything).snapshot(), &run.history, (20_000, 7_000));
}

#[test]
fn a_flipped_bit_is_harmless_or_reported_with_documents_in_their_own_files() {
    let run = Run::of(machine(), &[Op::Put, Op::Large], None).expect("the workload runs");
    bits(&run.fs.kill().snapshot(), &run.history, (9000, 4000));
}
