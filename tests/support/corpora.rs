//! The fuzz targets and their corpora.

use std::fs;
use std::path::PathBuf;

use octoprompt_storage::engine::fuzzing::{self, Target};
use octoprompt_storage::project::fuzzing::records;

/// All targets.
pub fn targets() -> impl Iterator<Item = Target> {
    fuzzing::TARGETS.into_iter().chain([("records", records as fn(&[u8]))])
}

/// Returns the folder of a target among those of a kind: `corpus` or `artifacts`.
pub fn folder(kind: &str, target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target)
}

/// Returns the inputs of a target, with their paths, in the order of these.
pub fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder("corpus", target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("a file"))).collect()
}
