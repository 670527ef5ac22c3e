//! What a person wants to know: which migrations there are and what became of each.

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
    /// Recorded, but not registered: the program that applied it knew more.
    Unknown,
}

impl Progress {
    /// Whether `migrate` would run it.
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
    /// Milliseconds since 1970: when it was applied, or tried last.
    pub applied_at: Option<u64>,
    pub error: Option<String>,
    pub reversible: bool,
}

/// All migrations in the order of their versions.
pub fn status(registry: &Registry, state: &State) -> Vec<Status> {
    let mut all: Vec<Status> = registry
        .iter()
        .map(|migration| Status {
            version: migration.version.clone(),
            description: migration.description.clone(),
            progress: Progress::Pending,
            applied_at: None,
            error: None,
            reversible: migration.reversible,
        })
        .collect();
    let registered = all.len();
    for record in state.records() {
        let known = all[..registered].binary_search_by(|status| status.version.cmp(&record.version));
        let place = match known {
            Ok(at) => at,
            Err(_) => match all[registered..].iter().position(|status| status.version == record.version) {
                Some(at) => registered + at,
                None => {
                    all.push(Status {
                        version: record.version.clone(),
                        description: record.description.clone(),
                        progress: Progress::Unknown,
                        applied_at: None,
                        error: None,
                        reversible: false,
                    });
                    all.len() - 1
                }
            },
        };
        let status = &mut all[place];
        // A success counts, whatever other attempts the file tells of; of several failures, the last.
        if status.progress == Progress::Applied {
            continue;
        }
        if status.progress != Progress::Unknown {
            status.progress = if record.success { Progress::Applied } else { Progress::Failed };
        }
        status.applied_at = Some(record.applied_at);
        status.error.clone_from(&record.error);
    }
    order::sort_by(&mut all, |one, other| one.version.cmp(&other.version));
    all
}
