//! Migrations: which versions run in which order, one run at a time, each version entirely or not at all.
//!
//! A [`Run`] is a state machine. Its driver asks for the [`Next`] step, does the work of that version, and reports how it
//! ended. The run keeps a copy of the data before each step, puts the data back after a failure, and records the outcome in
//! the state file. It knows versions, not what they do.
//!
//! Lock order: the migration lock is taken before every lock of a database.

mod held;
mod lock;
mod plan;
mod run;
mod state;
mod status;
mod version;

pub use held::HeldData;
pub use lock::acquire;
pub use plan::{Goal, Registered, Registry, Step};
pub use run::{Next, Run, Safeguard, Summary, Undone};
pub use state::{Record, STATE_FILE, State, StateFile};
pub use status::{Progress, Status, status};
pub use version::Version;
