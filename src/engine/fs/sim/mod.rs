//! A file system in memory that loses power, kills processes and fails calls on demand.
//!
//! # The model
//!
//! A machine has a *live* state, which is what processes see (the page cache), and a *durable* state, which is
//! what its disk certainly holds. Between the two lie *effects*, and a power loss decides about each of them:
//!
//! - **Contents.** A file's sectors of 512 bytes survive independently of each other, in any version since the last sync:
//!   each write makes a version, and what survives is one of them as a whole or, torn, the beginning of one and the rest of
//!   the one before. The length survives independently of the sectors: a file that grew may end in zeros, and data beyond
//!   the surviving end is gone. `sync_data` makes contents and length durable, never the name.
//! - **Names.** Each create, rename and remove survives as a whole or not at all: a file that is renamed has its old name or
//!   its new one. Changes of one entry survive in order; changes of different entries survive independently and out of
//!   order, until `sync_dir` on their directory makes them durable. Syncing either directory of a rename between two makes
//!   all of it durable. A removed file may come back.
//! - **Shared pages** are never synced: after a power loss they hold any earlier content, zeros or rubbish.
//!
//! A failed `sync_data` leaves the pages clean although nobody knows what of them is on the disk: processes go on seeing
//! them, and no later sync writes them unless those sectors are written again. A failed `sync_dir` does the same to names.
//!
//! These are the persistence properties that "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014, the ALICE
//! paper) found ext4, btrfs, xfs and others to have between them, and the failed syncs of "Can Applications Recover from
//! fsync Failures?" (Rebello et al., ATC 2020). The model promises less than each of them, so that what survives here
//! survives there.
//!
//! # What it does not model
//!
//! Disks that lose or change what they have reported as synced; a write that damages bytes beside it in its sector
//! ("power-safe overwrite" is assumed); stale data of other files beyond a file's end; symlinks and hard links; durability
//! of modes and times; free space that shrinks by writing.
//!
//! # A crash test
//!
//! ```
//! use octoprompt_storage::engine::fs::{Fs, OpenMode, SimFs};
//! use std::path::Path;
//!
//! let fs = SimFs::new();
//! fs.make_dirs("/db");
//! fs.record();
//! let file = fs.open(Path::new("/db/a"), OpenMode::CreateNew).unwrap();
//! file.write_at(b"hello", 0).unwrap();
//! file.sync_data().unwrap();
//! fs.sync_dir(Path::new("/db")).unwrap();
//! let acknowledged = fs.total_calls();
//!
//! for moment in fs.moments() {
//!     for after in moment.crash_states(100, 1) {
//!         let found = after.read_file("/db/a");
//!         if moment.calls() >= acknowledged {
//!             assert_eq!(found.unwrap(), b"hello", "{}", after.origin().unwrap());
//!         }
//!     }
//! }
//! assert!(fs.coverage().states() >= 5);
//! ```

mod bytes;
mod call;
mod choice;
mod crash_states;
mod fault;
mod file;
mod handles;
mod loss;
mod machine;
mod names;
mod outside;
mod process;
mod random;
mod snapshot;
mod state;

use std::sync::Arc;

use super::OpenFiles;

pub use call::{Call, LogEntry};
pub use choice::{
    Chooser, Combination, Effect, EffectKind, Extreme, Fate, KeptAlone, LostAlone, Replay, Seeded, TornAlone,
};
pub use crash_states::CrashStates;
pub use fault::{Fault, Repeat};
pub use machine::Coverage;
pub use outside::ChildProcess;
pub use snapshot::{Origin, Snapshot};

/// One process on a simulated machine. Clones are the same process; [`SimFs::process`] starts another.
#[derive(Clone)]
pub struct SimFs {
    machine: Arc<machine::Machine>,
    process: usize,
    open_files: Arc<OpenFiles>,
    origin: Option<Arc<Origin>>,
}

impl Default for SimFs {
    fn default() -> Self {
        Self::new()
    }
}
