//! Calls that fail.

use std::io;

use super::call::Call;
use crate::engine::fs::OpenMode;

/// How a call fails. A fault that a call cannot meet (a full disk while reading) has no effect on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `EIO`, from any call.
    Io,
    /// `ENOSPC`, from calls that need space; a write still applies its first `written` bytes.
    NoSpace { written: usize },
    /// `EDQUOT`, likewise.
    Quota { written: usize },
    /// `EROFS`, from calls that change something or open a file for writing.
    ReadOnly,
    /// `EINTR`, from any call, which then has no effect.
    Interrupted,
    /// Any other error, from any call.
    Kind(io::ErrorKind),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    Once,
    Forever,
}

impl Fault {
    pub(super) fn error(self) -> io::Error {
        use io::ErrorKind;
        let (errno, kind) = match self {
            Self::Io => (5, ErrorKind::Other),
            Self::NoSpace { .. } => (28, ErrorKind::StorageFull),
            Self::Quota { .. } => {
                (if cfg!(target_os = "linux") { 122 } else { 69 }, ErrorKind::QuotaExceeded)
            }
            Self::ReadOnly => (30, ErrorKind::ReadOnlyFilesystem),
            Self::Interrupted => (4, ErrorKind::Interrupted),
            Self::Kind(kind) => return kind.into(),
        };
        if cfg!(unix) { io::Error::from_raw_os_error(errno) } else { kind.into() }
    }

    /// How many bytes of a failing write are still applied.
    pub(super) fn written(self) -> usize {
        match self {
            Self::NoSpace { written } | Self::Quota { written } => written,
            _ => 0,
        }
    }

    /// Whether the call can fail this way; `exists` says whether anything is at its path.
    pub(super) fn can_hit(self, call: &Call, exists: bool) -> bool {
        let memory = matches!(call, Call::Store { .. });
        match self {
            Self::Io | Self::Interrupted | Self::Kind(_) => !memory,
            Self::NoSpace { .. } | Self::Quota { .. } => match call {
                Call::Open { mode, .. } => *mode == OpenMode::CreateNew,
                Call::OpenLock { .. } | Call::OpenPage { .. } => !exists,
                Call::CreateDir { .. }
                | Call::Rename { .. }
                | Call::Write { .. }
                | Call::PreparePage { .. }
                | Call::SetLen { .. }
                | Call::SyncData { .. }
                | Call::SyncDir { .. } => true,
                _ => false,
            },
            Self::ReadOnly => match call {
                Call::Open { mode, .. } => *mode != OpenMode::Read,
                // Locking needs no write access, but creating the file does.
                Call::OpenLock { .. } => !exists,
                Call::TryLock { .. } | Call::Unlock { .. } => false,
                _ => !memory && call.changes_state(),
            },
        }
    }
}

type Condition = Box<dyn Fn(u64, &Call) -> bool + Send>;

/// Which calls of a process fail, and how.
pub(super) struct Rule {
    pub when: Condition,
    pub fault: Fault,
    pub repeat: Repeat,
    pub hits: u64,
    /// The first call that it made fail.
    pub first: Option<u64>,
}

impl Rule {
    pub fn new(when: Condition, fault: Fault, repeat: Repeat) -> Rule {
        Rule { when, fault, repeat, hits: 0, first: None }
    }

    pub fn hit(&mut self, number: u64, call: &Call, exists: bool) -> Option<Fault> {
        let spent = self.repeat == Repeat::Once && self.hits > 0;
        if spent || !(self.when)(number, call) || !self.fault.can_hit(call, exists) {
            return None;
        }
        self.hits += 1;
        self.first.get_or_insert(number);
        Some(match self.fault {
            // A full disk takes a few bytes once, then none.
            Fault::NoSpace { .. } if self.hits > 1 => Fault::NoSpace { written: 0 },
            Fault::Quota { .. } if self.hits > 1 => Fault::Quota { written: 0 },
            fault => fault,
        })
    }
}

pub(super) fn power_lost() -> io::Error {
    io::Error::other("power lost")
}
