//! What a caller may choose when a database is opened.

use std::time::Duration;

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When it is on disk: it survives power loss.
    #[default]
    Full,
    /// When the operating system has it: it survives a killed process.
    Os,
}

/// Limits of the engine's cache. Instances on one directory share it, with the largest limits that any of them asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// The number of documents and whole lists together.
    pub entries: u64,
    /// An entry is dropped this long after it was read from disk.
    pub ttl: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        CacheLimits { entries: 100, ttl: Duration::from_secs(300) }
    }
}

impl CacheLimits {
    pub fn max(self, other: CacheLimits) -> CacheLimits {
        CacheLimits { entries: self.entries.max(other.entries), ttl: self.ttl.max(other.ttl) }
    }
}
