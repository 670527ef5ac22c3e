//! Waiting for a lock between processes.

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::cancel;
use super::error::{Error, IoContext, Result};
use super::fs::{Fs, LockFile};

/// A lock on a dedicated file. The file is never deleted, the lock never converted, and always released by an
/// explicit unlock: closing the handle would not release it while a child process that is being spawned
/// still holds a copy.
pub struct ProcessLock {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    file: Arc<dyn LockFile>,
    replacements: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockKind {
    Shared,
    Exclusive,
}

impl ProcessLock {
    pub fn open(fs: &Arc<dyn Fs>, path: &Path) -> Result<ProcessLock> {
        let file = fs.lock_file(path).at("open lock file", path)?;
        Ok(ProcessLock { fs: Arc::clone(fs), path: path.to_path_buf(), file, replacements: 0 })
    }

    /// How often another file was found at the path than the one that was open.
    pub fn replacements(&self) -> u64 {
        self.replacements
    }

    /// A lock on the file that has the name now. Nothing is locked yet.
    fn anew(&self) -> Result<ProcessLock> {
        let lock = ProcessLock::open(&self.fs, &self.path)?;
        Ok(ProcessLock { replacements: self.replacements + 1, ..lock })
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&mut self, kind: LockKind) -> Result<bool> {
        // Someone may have replaced the file: two holders of different files would both believe.
        for _ in 0..3 {
            let locked = match kind {
                LockKind::Exclusive => self.file.try_exclusive(),
                LockKind::Shared => self.file.try_shared(),
            };
            if !locked.at("lock", &self.path)? {
                return Ok(false);
            }
            let current = self.file.is_current().at("look up lock file", &self.path);
            if matches!(current, Ok(true)) {
                return Ok(true);
            }
            self.unlock()?;
            current?;
            *self = self.anew()?;
        }
        Ok(false)
    }

    /// Takes the lock, waiting for it until `deadline`, or until the caller gives up. `holder` names the process that has it,
    /// if known.
    pub fn lock(&mut self, kind: LockKind, wait: Wait, holder: impl Fn() -> Option<u32>) -> Result<()> {
        let mut pauses = wait.pauses();
        while !self.try_lock(kind)? {
            cancel::check()?;
            if !pauses.next() {
                return Err(Error::LockTimeout {
                    path: self.path.clone(),
                    waited_ms: wait.timeout_ms(),
                    holder: holder().or_else(|| self.holders().first().copied()),
                });
            }
        }
        Ok(())
    }

    /// Takes a lock that is held on the file which has its name now, if somebody replaced it. False if another process has
    /// that one locked: then the old file stays the one that is held, so that the next call tries again.
    pub fn renew(&mut self, kind: LockKind) -> Result<bool> {
        if self.file.is_current().at("look up lock file", &self.path)? {
            return Ok(true);
        }
        let mut renewed = self.anew()?;
        if !renewed.try_lock(kind)? {
            return Ok(false);
        }
        mem::replace(self, renewed).unlock()?;
        Ok(true)
    }

    pub fn unlock(&self) -> Result<()> {
        self.file.unlock().at("unlock", &self.path)
    }

    /// The processes that hold the lock, as far as the system tells. This one is among them where it holds it by another
    /// handle, which is that of another copy of this package if it is not the caller's.
    pub fn holders(&self) -> Vec<u32> {
        self.file.holders()
    }

    /// Unlocks when it is dropped, also when a panic passes by.
    pub fn guard(&self) -> LockGuard {
        LockGuard { file: Arc::clone(&self.file) }
    }
}

/// A lock that is held.
#[must_use]
pub struct LockGuard {
    file: Arc<dyn LockFile>,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // An unlock of a lock that is held fails only if the handle is bad, and then nothing is locked.
        let _ = self.file.unlock();
    }
}

/// How long a call may wait for a lock.
#[derive(Debug, Clone, Copy)]
pub struct Wait {
    pub timeout: Duration,
    pub deadline: Instant,
}

impl Wait {
    pub fn at_most(timeout: Duration) -> Wait {
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(86_400 * 365));
        Wait { timeout, deadline }
    }

    /// What errors say of how long was waited.
    pub fn timeout_ms(&self) -> u64 {
        self.timeout.as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// Pauses between attempts to take what is held for moments.
    pub fn pauses(self) -> Pauses {
        Pauses { next: Duration::from_micros(50), longest: LONGEST_PAUSE, deadline: self.deadline }
    }

    /// Pauses between attempts that open files and take locks which others need to be done.
    pub fn long_pauses(self) -> Pauses {
        let (next, longest) = (Duration::from_millis(1), Duration::from_millis(20));
        Pauses { next, longest, deadline: self.deadline }
    }
}

/// The longest pause before another attempt to take a lock.
pub const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Pauses, each twice as long as the one before, that end with the deadline.
pub struct Pauses {
    next: Duration,
    longest: Duration,
    deadline: Instant,
}

impl Pauses {
    /// Sleeps for one more pause. False without it, when the time is up.
    pub fn next(&mut self) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::sleep(self.next.min(left));
        self.next = (self.next * 2).min(self.longest);
        true
    }
}
