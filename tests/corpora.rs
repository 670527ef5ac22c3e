//! The corpora of the fuzz targets, replayed.

#[path = "support/corpora.rs"]
mod corpora;
#[path = "support/reached.rs"]
mod reached;

use corpora::{corpus, targets};

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
