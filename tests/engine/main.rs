//! What the engine does, on a real or a simulated file system. Tests that would disturb one another in one process, or that
//! take long, are programs of their own.

#[path = "../support/mod.rs"]
mod support;

mod adoption;
mod cancel;
mod changes;
mod checkpoints;
mod closed_files;
mod composite_plans;
mod conflicts;
mod counts;
mod database;
mod equal_hashes;
mod failed_writes;
mod faults;
mod formats;
mod groups;
mod indexed_collections;
mod large_documents;
mod lists;
mod missing_files;
mod moments;
mod network;
mod owners;
mod queries;
mod query_plans;
mod random_queries;
mod recovery;
mod removals;
mod repairs;
mod replaced_files;
mod saved_during_checkpoints;
mod select_by_head;
mod serialisable;
#[cfg(target_os = "linux")]
mod shared_pages;
mod size_limits;
mod specs;
mod stats;
#[cfg(unix)]
mod superuser;
mod transactions;
mod unreadable_files;
mod unused_journals;
mod verified_beside_others;
mod verified_journals;
mod verify;
mod write_calls;
mod written_over;
