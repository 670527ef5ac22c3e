//! Flipped bits: each is harmless, or refused with everything as before.

use std::path::Path;

use octoprompt_storage::engine::backup::verify_backup;
use octoprompt_storage::engine::fs::SimFs;

use crate::crashes::more;
use crate::reached::reached;
use crate::world::{Process, Seen, image, machine, to_the_end};

/// A machine with a backup and with data changed since; also returns what the backup holds and what there is now.
fn backed_up() -> (SimFs, Seen, Seen) {
    let fs = machine();
    let mut process = Process::start(&fs);
    process.back_up("one").expect("backed up");
    let before = process.see().expect("readable");
    process.put((0, 0, 1), "changed").expect("written");
    process.put((1, 1, 6), "new").expect("written");
    fs.remove("/base/data/notes.txt");
    let after = process.see().expect("readable");
    process.close();
    drop(process);
    (fs.kill(), before, after)
}

fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[bit / 8] ^= 1 << (bit % 8);
    damaged
}

const REFUSALS: [&str; 2] = ["CORRUPT_DATA", "UNSUPPORTED_FORMAT"];

/// An ordinary run flips every third bit, and thereby each of a byte.
#[test]
fn a_flipped_bit_in_a_backup_is_harmless_or_found_and_refused() {
    let step = if more() > 1 { 1 } else { 3 };
    let (fs, before, after) = backed_up();
    let snapshot = fs.snapshot();
    let (mut bits, mut refused) = (0, 0);
    for (path, bytes) in image(&fs, "/base/backups/one") {
        for bit in (0..bytes.len() * 8).step_by(step) {
            let fs = snapshot.kill();
            fs.write_file(&path, &flipped(&bytes, bit));
            let mut process = Process::start(&fs);
            let report = verify_backup(&process.site, Path::new("one"), &mut to_the_end()).expect("verified");
            let restored = process.restore("one");
            assert_eq!(report.is_ok(), restored.is_ok(), "bit {bit} of {}", path.display());
            let expected = match restored {
                Ok(()) => &before,
                Err(error) => {
                    assert!(REFUSALS.contains(&error.code()), "bit {bit} of {}: {error}", path.display());
                    refused += 1;
                    &after
                }
            };
            assert_eq!(process.see().as_ref().ok(), Some(expected), "bit {bit} of {}", path.display());
            bits += 1;
        }
    }
    reached("a flipped bit of a backup", format!("{bits} bits, {refused} refused"));
    assert!(bits > 5000 && refused > 5000, "{bits} bits, {refused} refused");
}

/// A machine on which a restore (or, with `migration`, a migration) died after its intent was durable.
fn interrupted(migration: bool) -> (SimFs, &'static Path, Seen) {
    let (fs, before, after) = backed_up();
    let path = Path::new(if migration {
        "/base/data/.migration/intent.json"
    } else {
        "/base/data/.restore/intent.json"
    });
    let mut call = 0;
    loop {
        call += 1;
        let fs = fs.snapshot().kill();
        let mut process = Process::start(&fs);
        process.fs.stop_at(call);
        let result = if migration {
            crate::holding::hold(&process).and_then(|hold| hold.copy(None)).map(drop)
        } else {
            process.restore("one")
        };
        assert!(result.is_err() || migration, "it was never interrupted");
        if fs.read_file(path).is_some() {
            return (fs.kill(), path, if migration { after } else { before });
        }
    }
}

fn each_bit_of_an_intent(migration: bool) {
    let (fs, path, expected) = interrupted(migration);
    let snapshot = fs.snapshot();
    let bytes = fs.read_file(path).expect("an intent");
    let mut refused = 0;
    for bit in 0..bytes.len() * 8 {
        let fs = snapshot.kill();
        fs.write_file(path, &flipped(&bytes, bit));
        match Process::start(&fs).see() {
            Ok(seen) => assert_eq!(seen, expected, "bit {bit}"),
            Err(error) => {
                assert!(REFUSALS.contains(&error.code()), "bit {bit}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 5_000, "{refused} of {} bits refused", bytes.len() * 8);
}

#[test]
fn every_flipped_bit_in_a_restore_intent_is_harmless_or_reported() {
    each_bit_of_an_intent(false);
}

#[test]
fn every_flipped_bit_in_a_migration_intent_is_harmless_or_reported() {
    each_bit_of_an_intent(true);
}

#[test]
fn a_restore_replaces_a_damaged_intent() {
    for migration in [false, true] {
        let (fs, path, _) = interrupted(migration);
        fs.write_file(path, b"{ rubbish");
        let mut process = Process::start(&fs);
        assert_eq!(crate::world::code(process.see()), Err("CORRUPT_DATA"));
        process.restore("one").expect("restored");
        let (_, before, _) = backed_up();
        assert_eq!(process.see().expect("readable"), before);
        assert_eq!(Process::start(&fs.kill()).see().expect("readable"), before);
    }
}
