//! Damaged files: each bit flipped is harmless or reported, never a wrong value.

use octoprompt_storage::engine::fs::{Extreme, Fs, Snapshot};
use std::path::{Path, PathBuf};

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

/// What a reader sees, or `None` if it is told of damage.
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

fn every_bit(image: &Snapshot, expected: &Documents) {
    let mut paths = Vec::new();
    files(image, Path::new(DIRECTORY), &mut paths);
    let (mut flipped, mut reported) = (0, 0);
    for path in paths {
        let bytes = image.kill().read_file(&path).expect("a file");
        // Beyond its few words the shared page is empty.
        for bit in 0..bytes.len().min(2048) * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            flipped += 1;
            match silent(image, &path, &damaged) {
                None => reported += 1,
                Some(seen) => assert_eq!(seen.as_ref(), Ok(expected), "bit {bit} of {}", path.display()),
            }
        }
    }
    println!("{flipped} bits, {reported} reported");
    assert!(flipped > 15_000 && reported > 10_000, "{flipped} bits, {reported} reported");
}

const WORKLOAD: [Op; 7] =
    [Op::Put, Op::Nested, Op::Checkpoint, Op::Both, Op::Checkpoint, Op::PutOs, Op::Nested];

#[test]
fn each_flipped_bit_is_harmless_or_reported_while_the_machine_runs() {
    let run = Run::of(machine(), &WORKLOAD, None).expect("the workload runs");
    every_bit(&run.fs.kill().snapshot(), run.state());
}

#[test]
fn each_flipped_bit_is_harmless_or_reported_after_a_restart() {
    let run = Run::of(machine(), &WORKLOAD, None).expect("the workload runs");
    every_bit(&run.fs.power_loss(&mut Extreme::Everything).snapshot(), run.state());
}
