//! Migrations on a simulated file system: the state machine against a model, the state file, and whole runs over real data
//! that crash and fail everywhere.

mod crashes;
mod model;
#[path = "../support/reached.rs"]
mod reached;
mod state_file;
#[path = "../support/mod.rs"]
mod support;
