//! The fuzz targets and their corpora.

use std::fs;
use std::path::PathBuf;
use std::thread;

use octoprompt_storage::engine::fuzzing::{self, Target};
use octoprompt_storage::project::fuzzing::records;

/// Stands for every target.
pub const ALL: &str = "all";

/// Works on the target of this name, or on [`ALL`] side by side, each on a thread that has the name of the target: some wait
/// most of the time.
///
/// # Panics
/// If any of the work does, or if there is no such target.
pub fn on_targets(wanted: &str, work: impl Fn(&str, fn(&[u8])) + Sync) {
    let all = fuzzing::TARGETS.into_iter().chain([("records", records as fn(&[u8]))]);
    let targets: Vec<Target> = all.filter(|(target, _)| wanted == ALL || *target == wanted).collect();
    assert!(!targets.is_empty(), "there is no target {wanted}");
    let work = &work;
    thread::scope(|scope| {
        for (target, run) in targets {
            let named = thread::Builder::new().name(target.to_owned());
            named.spawn_scoped(scope, move || work(target, run)).expect("a thread");
        }
    });
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
