//! Inputs of the corpora, changed at random. On request, for as long as desired:
//! `FUZZ_TARGET=journal FUZZ_MINUTES=5 cargo test --test fuzzing random -- --nocapture`.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::corpora::{ALL, corpus, folder, on_targets};

/// How many inputs a target gets however short the time is.
const LEAST: u64 = 200;

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
fn inputs_changed_at_random_pass_their_fuzz_targets() {
    let wanted = std::env::var("FUZZ_TARGET").unwrap_or_else(|_| ALL.into());
    let minutes: Option<f64> =
        std::env::var("FUZZ_MINUTES").ok().map(|minutes| minutes.parse().expect("a number of minutes"));
    // Every ordinary run draws the same inputs.
    let seed = minutes.map_or(1, |_| UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64 | 1));
    println!("seed {seed}");
    let end = Instant::now() + Duration::from_secs_f64(minutes.unwrap_or(0.0) * 60.0);
    on_targets(&wanted, |target, run| {
        let mut random = Random(seed);
        let inputs = corpus(target);
        let mut runs = 0_u64;
        while runs < LEAST || Instant::now() < end {
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
    });
}
