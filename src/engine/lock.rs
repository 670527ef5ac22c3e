//! Waiting for a lock between processes.

use std::mem;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::error::{Error, Holder, IoContext, Result};
use super::fs::{Fs, LockFile};
use super::{cancel, patience};

/// A lock on a dedicated file. The file is never deleted. The lock is never converted, and is always released by an explicit
/// unlock: closing the handle would not release it while a child process that is being spawned still holds a copy.
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

    /// Returns how often the file at the path was found to have been replaced.
    pub fn replacements(&self) -> u64 {
        self.replacements
    }

    /// Opens a lock on the file that now has the name. Nothing is locked yet.
    fn anew(&self) -> Result<ProcessLock> {
        let lock = ProcessLock::open(&self.fs, &self.path)?;
        Ok(ProcessLock { replacements: self.replacements + 1, ..lock })
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&mut self, kind: LockKind) -> Result<bool> {
        // The file may have been replaced: two processes that lock different files would both believe that they hold the
        // lock.
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

    /// Takes the lock, waiting until the deadline of `wait` or until the caller cancels. `holder` returns the process that
    /// holds it, if known.
    pub fn lock(&mut self, kind: LockKind, wait: Wait, holder: impl Fn() -> Option<u32>) -> Result<()> {
        let mut pauses = wait.pauses();
        while !self.try_lock(kind)? {
            cancel::check()?;
            pauses.next(|| Error::LockTimeout {
                path: self.path.clone(),
                waited_ms: wait.timeout_ms(),
                holder: match holder() {
                    Some(pid) => Some(holder_of(&*self.fs, pid)),
                    None => self.holders().first().copied(),
                },
            })?;
        }
        Ok(())
    }

    /// If the file of a held lock has been replaced, locks the file that now has its name. Returns false if another process
    /// holds that lock; the old lock then stays held, so that the next call tries again.
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

    /// Returns the processes that hold the lock, as far as the system tells. This process is among them if it holds the lock
    /// through another handle: either the caller has that handle, or another copy of this package does.
    pub fn holders(&self) -> Vec<Holder> {
        self.file.holders().into_iter().map(|pid| holder_of(&*self.fs, pid)).collect()
    }

    /// Returns a guard that unlocks when it is dropped, even during a panic.
    pub fn guard(&self) -> LockGuard {
        LockGuard { file: Arc::clone(&self.file) }
    }
}

/// Describes the holder of a lock for messages.
pub fn holder_of(fs: &dyn Fs, pid: u32) -> Holder {
    Holder { pid, held_ms: None, stopped: fs.is_stopped(pid) }
}

/// A held lock.
#[must_use]
pub struct LockGuard {
    file: Arc<dyn LockFile>,
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // Unlocking a held lock fails only if the handle is bad, and then nothing is locked.
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

    /// Returns the waiting time that errors report.
    pub fn timeout_ms(&self) -> u64 {
        self.timeout.as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// Returns the pauses between attempts to take a lock that is held only briefly.
    pub fn pauses(self) -> Pauses {
        Pauses::new(Duration::from_micros(50), LONGEST_PAUSE, self.deadline)
    }

    /// Returns the pauses between attempts that are costly, or that hold locks which other processes need in order to
    /// finish.
    pub fn long_pauses(self) -> Pauses {
        Pauses::new(Duration::from_millis(1), Duration::from_millis(20), self.deadline)
    }
}

/// The longest pause before another attempt to take a lock.
pub const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// Pauses that double in length up to `longest` and end at the deadline.
pub struct Pauses {
    next: Duration,
    longest: Duration,
    began: Instant,
    deadline: Instant,
}

impl Pauses {
    fn new(first: Duration, longest: Duration, deadline: Instant) -> Pauses {
        Pauses { next: first, longest, began: Instant::now(), deadline }
    }

    /// Sleeps for the next pause. `busy` describes what is waited for, as the error with which waiting ends.
    ///
    /// # Errors
    /// Those of `busy`, without sleeping, if the deadline has passed.
    pub fn next(&mut self, busy: impl FnOnce() -> Error) -> Result<()> {
        let now = Instant::now();
        let left = self.deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(busy());
        }
        if now.duration_since(self.began) > patience::SHORT {
            patience::tell(busy);
        }
        thread::sleep(self.next.min(left));
        self.next = (self.next * 2).min(self.longest);
        Ok(())
    }
}
