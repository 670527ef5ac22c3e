//! The status of migrations, for people: which migrations there are and what became of each.

use super::plan::Registry;
use super::state::State;
use super::version::Version;
use crate::engine::order;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Applied,
    /// Registered, and no success is recorded.
    Pending,
    /// Pending, and the last attempt failed.
    Failed,
    /// Recorded, but not registered: the program that applied it knew more migrations.
    Unknown,
}

impl Progress {
    /// Returns whether `migrate` would run it.
    pub fn is_pending(self) -> bool {
        matches!(self, Progress::Pending | Progress::Failed)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Progress::Applied => "applied",
            Progress::Pending => "pending",
            Progress::Failed => "failed",
            Progress::Unknown => "unknown",
        }
    }
}

/// One migration, registered or recorded or both.
#[derive(Debug, Clone)]
pub struct Status {
    pub version: Version,
    pub description: String,
    pub progress: Progress,
    /// Milliseconds since 1970: when it was applied, or last tried.
    pub applied_at: Option<u64>,
    pub error: Option<String>,
    pub reversible: bool,
}

/// Returns all migrations in the order of their versions.
pub fn status(registry: &Registry, state: &State) -> Vec<Status> {
    let mut recorded = state.counting();
    let mut all: Vec<Status> = registry
        .iter()
        .map(|migration| {
            let record = recorded.remove(&migration.version);
            Status {
                version: migration.version.clone(),
                description: migration.description.clone(),
                progress: match record {
                    None => Progress::Pending,
                    Some(record) if record.success => Progress::Applied,
                    Some(_) => Progress::Failed,
                },
                applied_at: record.map(|record| record.applied_at),
                error: record.and_then(|record| record.error.clone()),
                reversible: migration.reversible,
            }
        })
        .collect();
    all.extend(recorded.into_values().map(|record| Status {
        version: record.version.clone(),
        description: record.description.clone(),
        progress: Progress::Unknown,
        applied_at: Some(record.applied_at),
        error: record.error.clone(),
        reversible: false,
    }));
    order::sort_by(&mut all, |one, other| one.version.cmp(&other.version));
    all
}
