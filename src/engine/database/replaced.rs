//! Noticing that somebody replaced the directory, or a file in it, while the database has it open.
//!
//! Handles and the mapped tip still refer to the old files. What is written through them is lost, and what is read
//! through them is not what others see. Threads and JavaScript have the old tip mapped too, so the engine cannot switch
//! to the new files: from then on it refuses to write and to read, and opening the database again gives the new files.

use std::sync::atomic::Ordering;

use super::Database;
use super::writer::Writer;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::journal::journal_path;

impl Database {
    /// Checks that the mapped tip is the one in the directory. Costs one system call.
    ///
    /// # Errors
    /// [`Error::Replaced`], and from then on always; `IO_ERROR`.
    pub(in crate::engine) fn check_tip(&self) -> Result<()> {
        let Some(tip) = &self.tip else { return Ok(()) };
        if !self.is_replaced() && tip.is_current().at("look up", &self.tip_path())? {
            return Ok(());
        }
        Err(self.refuse_from_now_on())
    }

    /// Does the same for the journal, but only after a lock file was found to have been replaced: with a second system
    /// call, the check before each group of writes would cost twice as much. The write lock is held.
    pub(super) fn check_journal(&self, writer: &mut Writer) -> Result<()> {
        let path = journal_path(&self.directory, self.position().generation);
        let files = self.files(writer)?;
        let replaced_locks = files.replaced_locks();
        if replaced_locks == files.checked_after {
            return Ok(());
        }
        let own = files.journal.metadata().at("look up", &path)?;
        let named = self.fs.metadata(&path).at("look up", &path)?;
        if named.is_none_or(|named| named.identity != own.identity) {
            return Err(self.refuse_from_now_on());
        }
        files.checked_after = replaced_locks;
        Ok(())
    }

    /// Whether it is known that the open files were replaced.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    /// For reads, which look at no file: fails if this process or another one has noticed that the files were replaced.
    pub(super) fn check_replaced(&self) -> Result<()> {
        match self.is_replaced() || self.tip.as_ref().is_some_and(super::Tip::is_withdrawn) {
            true => self.check_tip(),
            false => Ok(()),
        }
    }

    fn refuse_from_now_on(&self) -> Error {
        self.replaced.store(true, Ordering::Release);
        if let Some(tip) = &self.tip {
            tip.withdraw();
        }
        Error::Replaced { path: self.directory.clone() }
    }
}
