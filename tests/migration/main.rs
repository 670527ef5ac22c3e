//! Migrations on a simulated file system: the state machine against a model, the state file, and whole runs on real data
//! with crashes and failures at every point.

mod crashes;
mod model;
#[path = "../support/reached.rs"]
mod reached;
mod state_file;
#[path = "../support/mod.rs"]
mod support;
