//! The proof of the commit protocol: workloads over a simulated file system that loses power, kills processes and fails
//! calls at every point, checked against a model.
//!
//! `CRASH_STATES=1000000 cargo test --test crash` explores that many states instead of the tens of thousands of an ordinary
//! run. Every failure prints the workload, its seed if it has one, and the power loss.

mod bits;
mod check;
mod documents;
mod errors;
mod exhaustive;
mod explore;
mod heard;
mod index_checkpoints;
mod indexes;
mod interleaved;
mod kills;
mod mutants;
mod nested;
mod outside;
mod owned;
mod properties;
#[path = "../support/reached.rs"]
mod reached;
mod repairs;
mod requests;
mod room;
mod sampled;
mod shared_damage;
#[path = "../support/mod.rs"]
mod support;
mod transactions;
mod workload;
mod world;
