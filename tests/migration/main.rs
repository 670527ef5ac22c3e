//! Migrations on a simulated file system: the state machine against a model, and the state file.

mod model;
mod state_file;
