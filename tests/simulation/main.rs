//! The rules of the simulated file system, with one test for each.

mod choosers;
mod contents;
mod faults;
mod names;
mod processes;
mod protocol;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use octoprompt_storage::engine::fs::{File, Fs, OpenMode, SimFs};

/// A machine with a durable directory `/d`.
fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs("/d");
    fs
}

fn path(text: &str) -> &Path {
    Path::new(text)
}

fn create(fs: &SimFs, at: &str) -> Arc<dyn File> {
    fs.open(path(at), OpenMode::CreateNew).unwrap()
}

fn open(fs: &SimFs, at: &str) -> Arc<dyn File> {
    fs.open(path(at), OpenMode::ReadWrite).unwrap()
}

/// Returns everything that may be found at a path after a power loss now.
fn outcomes(fs: &SimFs, at: &str) -> BTreeSet<Option<Vec<u8>>> {
    fs.crash_states(2000, 7).map(|after| after.read_file(at)).collect()
}

fn always(bytes: &[u8]) -> BTreeSet<Option<Vec<u8>>> {
    BTreeSet::from([Some(bytes.to_vec())])
}
