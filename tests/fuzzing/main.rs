//! Fuzzing without instrumentation: the inputs of the corpora, as they are and changed.

mod corpora;
mod random;
#[path = "../support/reached.rs"]
mod reached;
mod replayed;
