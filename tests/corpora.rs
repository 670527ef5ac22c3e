//! The corpora of the fuzz targets, replayed; and, on request, fuzzing without instrumentation: `FUZZ_TARGET=journal
//! FUZZ_MINUTES=5 cargo test --test corpora`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use octoprompt_storage::engine::fuzzing::{self, Target};
use octoprompt_storage::project::fuzzing::records;

#[path = "support/reached.rs"]
mod reached;

/// All targets.
fn targets() -> impl Iterator<Item = Target> {
    fuzzing::TARGETS.into_iter().chain([("records", records as fn(&[u8]))])
}

fn folder(kind: &str, target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target)
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder("corpus", target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}

#[test]
fn every_input_of_every_corpus_passes_its_fuzz_target() {
    let mut replayed = 0;
    for (target, run) in targets() {
        let inputs = corpus(target);
        assert!(inputs.len() >= 3, "the corpus of {target} has {} inputs", inputs.len());
        for (path, bytes) in inputs {
            println!("{}", path.display());
            run(&bytes);
            replayed += 1;
        }
    }
    reached::reached("hostile bytes", format!("{replayed} inputs of the corpora"));
}

#[test]
fn truncated_and_changed_inputs_of_the_corpora_pass_their_fuzz_targets() {
    let mut changes = 0;
    for (target, run) in targets() {
        for (path, bytes) in corpus(target) {
            // Long inputs are changed at some of their positions only.
            let step = 1 + bytes.len() / 40;
            for at in (0..bytes.len()).step_by(step) {
                println!("{} at {at}", path.display());
                run(&bytes[..at]);
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                run(&changed);
                changes += 2;
            }
        }
    }
    reached::reached("hostile bytes", format!("{changes} changes of them"));
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % below.max(1)
    }
}

const WORDS: [&[u8]; 24] = [
    b"\n",
    b"\0",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\ud800",
    b"\\u0000",
    b"1e400",
    b"-0",
    b"null",
    b"18446744073709551615",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\"id\":",
    b"\"seq\":",
    b"\"ops\":[",
    b"../",
    b"__proto__",
    b"\"covered\":9",
];

/// Makes one to eight changes to an input, some with parts of another one.
fn changed(random: &mut Random, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
    for _ in 0..1 + random.below(8) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(30)).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 => drop(bytes.splice(at..at, WORDS[random.below(WORDS.len())].iter().copied())),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let from = random.below(other.len());
                let part = &other[from..(from + random.below(60)).min(other.len())];
                bytes.splice(at..end, part.iter().copied());
            }
            5 => bytes.truncate(at),
            _ if at < bytes.len() => bytes[at] = random.below(256) as u8,
            _ => {}
        }
    }
    bytes
}

#[test]
fn fuzzes_for_the_requested_minutes() {
    let (Ok(wanted), Ok(minutes)) = (std::env::var("FUZZ_TARGET"), std::env::var("FUZZ_MINUTES")) else {
        return;
    };
    let minutes: f64 = minutes.parse().expect("a number of minutes");
    let targets: Vec<_> = targets().filter(|(target, _)| wanted == "all" || *target == wanted).collect();
    assert!(!targets.is_empty(), "there is no target {wanted}");
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64);
    let mut random = Random(seed | 1);
    println!("seed {seed}");
    for &(target, run) in &targets {
        let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0 / targets.len() as f64);
        let inputs = corpus(target);
        let mut runs = 0_u64;
        while Instant::now() < end {
            runs += 1;
            let other = &inputs[random.below(inputs.len())].1;
            let start = inputs[random.below(inputs.len())].1.clone();
            let bytes = changed(&mut random, start, other);
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| run(&bytes))) {
                let path = folder("artifacts", target).join(format!("{runs}-{seed}"));
                fs::create_dir_all(folder("artifacts", target)).expect("a folder");
                fs::write(&path, &bytes).expect("written");
                println!("kept as {}", path.display());
                std::panic::resume_unwind(panic);
            }
        }
        println!("{target}: {runs} runs");
    }
}
