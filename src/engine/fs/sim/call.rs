//! The calls that processes make, as values: for filters, faults and readable logs.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::engine::fs::OpenMode;

/// One counted call. A call on a handle carries the path by which the handle was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Open {
        path: Arc<Path>,
        mode: OpenMode,
    },
    CreateDir {
        path: Arc<Path>,
    },
    Rename {
        from: Arc<Path>,
        to: Arc<Path>,
    },
    RemoveFile {
        path: Arc<Path>,
    },
    RemoveDir {
        path: Arc<Path>,
    },
    SyncDir {
        path: Arc<Path>,
    },
    ListDir {
        path: Arc<Path>,
    },
    Metadata {
        path: Arc<Path>,
    },
    Canonical {
        path: Arc<Path>,
    },
    CloneFile {
        from: Arc<Path>,
        to: Arc<Path>,
    },
    CopyPermissions {
        like: Arc<Path>,
        path: Arc<Path>,
    },
    FreeSpace {
        path: Arc<Path>,
    },
    OpenLock {
        path: Arc<Path>,
    },
    OpenPage {
        path: Arc<Path>,
    },
    Read {
        path: Arc<Path>,
        offset: u64,
        len: usize,
    },
    Write {
        path: Arc<Path>,
        offset: u64,
        len: usize,
    },
    SetLen {
        path: Arc<Path>,
        len: u64,
    },
    SyncData {
        path: Arc<Path>,
    },
    TryLock {
        path: Arc<Path>,
        exclusive: bool,
    },
    Unlock {
        path: Arc<Path>,
    },
    IsCurrent {
        path: Arc<Path>,
    },
    PreparePage {
        path: Arc<Path>,
    },
    /// Loads are not counted: they can't fail, and a process may make any number of them.
    Store {
        path: Arc<Path>,
        index: usize,
        value: u64,
    },
}

impl Call {
    /// The file name of [`Call::path`].
    pub fn name(&self) -> Cow<'_, str> {
        self.path().file_name().unwrap_or_default().to_string_lossy()
    }

    /// The path that the call is about; for a rename, the old one.
    pub fn path(&self) -> &Path {
        match self {
            Self::Rename { from: path, .. }
            | Self::CloneFile { from: path, .. }
            | Self::Open { path, .. }
            | Self::CreateDir { path }
            | Self::RemoveFile { path }
            | Self::RemoveDir { path }
            | Self::SyncDir { path }
            | Self::ListDir { path }
            | Self::Metadata { path }
            | Self::Canonical { path }
            | Self::CopyPermissions { path, .. }
            | Self::FreeSpace { path }
            | Self::OpenLock { path }
            | Self::OpenPage { path }
            | Self::Read { path, .. }
            | Self::Write { path, .. }
            | Self::SetLen { path, .. }
            | Self::SyncData { path }
            | Self::TryLock { path, .. }
            | Self::Unlock { path }
            | Self::IsCurrent { path }
            | Self::PreparePage { path }
            | Self::Store { path, .. } => path,
        }
    }

    /// Whether the call may change what a power loss leaves, or what other processes see.
    pub fn changes_state(&self) -> bool {
        match self {
            Self::Open { mode, .. } => *mode == OpenMode::CreateNew,
            Self::CreateDir { .. }
            | Self::Rename { .. }
            | Self::RemoveFile { .. }
            | Self::RemoveDir { .. }
            | Self::SyncDir { .. }
            | Self::CopyPermissions { .. }
            | Self::OpenLock { .. }
            | Self::OpenPage { .. }
            | Self::Write { .. }
            | Self::SetLen { .. }
            | Self::SyncData { .. }
            | Self::TryLock { .. }
            | Self::Unlock { .. }
            | Self::Store { .. } => true,
            Self::ListDir { .. }
            | Self::Metadata { .. }
            | Self::Canonical { .. }
            // No simulated file system shares blocks.
            | Self::CloneFile { .. }
            | Self::FreeSpace { .. }
            | Self::Read { .. }
            | Self::IsCurrent { .. }
            | Self::PreparePage { .. } => false,
        }
    }
}

impl Call {
    /// Whether the call may change what a power loss leaves. Locks do not count.
    pub fn changes_disk(&self) -> bool {
        self.changes_state() && !matches!(self, Self::TryLock { .. } | Self::Unlock { .. })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path().display();
        match self {
            Self::Open { mode, .. } => write!(f, "open {path} ({mode:?})"),
            Self::CreateDir { .. } => write!(f, "create_dir {path}"),
            Self::Rename { to, .. } => write!(f, "rename {path} to {}", to.display()),
            Self::RemoveFile { .. } => write!(f, "remove_file {path}"),
            Self::RemoveDir { .. } => write!(f, "remove_dir {path}"),
            Self::SyncDir { .. } => write!(f, "sync_dir {path}"),
            Self::ListDir { .. } => write!(f, "list_dir {path}"),
            Self::Metadata { .. } => write!(f, "metadata {path}"),
            Self::Canonical { .. } => write!(f, "canonical {path}"),
            Self::CloneFile { to, .. } => write!(f, "clone_file {path} to {}", to.display()),
            Self::CopyPermissions { like, .. } => {
                write!(f, "copy_permissions {} to {path}", like.display())
            }
            Self::FreeSpace { .. } => write!(f, "free_space {path}"),
            Self::OpenLock { .. } => write!(f, "lock_file {path}"),
            Self::OpenPage { .. } => write!(f, "shared_page {path}"),
            Self::Read { offset, len, .. } => write!(f, "read {path} at {offset}, {len} bytes"),
            Self::Write { offset, len, .. } => write!(f, "write {path} at {offset}, {len} bytes"),
            Self::SetLen { len, .. } => write!(f, "set_len {path} to {len}"),
            Self::SyncData { .. } => write!(f, "sync_data {path}"),
            Self::TryLock { exclusive: true, .. } => write!(f, "try_exclusive {path}"),
            Self::TryLock { exclusive: false, .. } => write!(f, "try_shared {path}"),
            Self::Unlock { .. } => write!(f, "unlock {path}"),
            Self::IsCurrent { .. } => write!(f, "is_current {path}"),
            Self::PreparePage { .. } => write!(f, "prepare_page {path}"),
            Self::Store { index, value, .. } => write!(f, "store {path} word {index} = {value:#x}"),
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct LogEntry {
    pub process: usize,
    /// The number of the call among those of its process, from 1.
    pub number: u64,
    pub call: Call,
    pub error: Option<String>,
}

impl fmt::Display for LogEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} call {}: {}", self.process, self.number, self.call)?;
        match &self.error {
            Some(error) => write!(f, " -> {error}"),
            None => Ok(()),
        }
    }
}
