//! Wrong variants: each must be caught by checks that the right variant passes.

use octoprompt_storage::engine::Mutant;

use crate::crashes::{BACKUP, RESTORE, SUCCESS, Workload, explore};
use crate::reached::reached;

fn is_caught(mutant: Mutant, workload: &Workload) {
    let problem = explore(workload, Some(mutant), 4, 1000).expect_err("the wrong variant is caught");
    println!("{mutant:?}: {problem}");
    reached("a wrong protocol caught", "1 mutant");
}

#[test]
fn a_manifest_written_before_its_files_is_caught() {
    is_caught(Mutant::ManifestBeforeFiles, &BACKUP);
}

#[test]
fn replacing_without_an_intent_is_caught() {
    is_caught(Mutant::ReplaceWithoutIntent, &RESTORE);
}

#[test]
fn discarding_the_copy_before_the_migrated_files_are_synced_is_caught() {
    is_caught(Mutant::DiscardBeforeSync, &SUCCESS);
}
