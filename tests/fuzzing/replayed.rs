//! The corpora of the fuzz targets, replayed.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::corpora::{ALL, corpus, on_targets};
use crate::reached::reached;

#[test]
fn every_input_of_every_corpus_passes_its_fuzz_target() {
    let replayed = AtomicUsize::new(0);
    on_targets(ALL, |target, run| {
        let inputs = corpus(target);
        assert!(inputs.len() >= 3, "the corpus of {target} has {} inputs", inputs.len());
        for (path, bytes) in inputs {
            println!("{}", path.display());
            run(&bytes);
            replayed.fetch_add(1, Ordering::Relaxed);
        }
    });
    reached("hostile bytes", format!("{} inputs of the corpora", replayed.into_inner()));
}

#[test]
fn truncated_and_changed_inputs_of_the_corpora_pass_their_fuzz_targets() {
    let changes = AtomicUsize::new(0);
    on_targets(ALL, |target, run| {
        for (path, bytes) in corpus(target) {
            // Long inputs are changed at some of their positions only.
            let step = 1 + bytes.len() / 40;
            for at in (0..bytes.len()).step_by(step) {
                println!("{} at {at}", path.display());
                run(&bytes[..at]);
                let mut changed = bytes.clone();
                changed[at] ^= 1 << (at % 8);
                run(&changed);
                changes.fetch_add(2, Ordering::Relaxed);
            }
        }
    });
    reached("hostile bytes", format!("{} changes of them", changes.into_inner()));
}
