//! Backups, restores and rollback copies: what they contain, and what is left when they are cut short anywhere.

mod bits;
mod checking;
mod copying;
mod crashes;
mod durable;
mod edits;
mod everywhere;
mod failures;
mod forged;
mod holding;
mod making;
mod meanwhile;
mod mutants;
mod obstacles;
mod openers;
#[path = "../support/reached.rs"]
mod reached;
mod replacing;
mod restoring;
#[path = "../support/mod.rs"]
mod support;
mod unreadable;
mod verifying;
mod waiting;
mod world;
