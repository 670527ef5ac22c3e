//! Noticing that somebody put other files in the place of those that are open: the directory was replaced, or a file of it.
//!
//! Handles and the mapped tip go on naming the old files. What is written through them nobody finds again, and what is read
//! through them is not what others see. Threads and JavaScript have the old tip mapped too, so there is no way over to the new
//! files: the database refuses to write and to read from then on, and whoever opens it again gets the new ones.

use std::sync::atomic::Ordering;

use super::Database;
use super::writer::Writer;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::journal::journal_path;

impl Database {
    /// Looks whether the mapped tip is the one in the directory: one call of the system.
    ///
    /// # Errors
    /// [`Error::Replaced`], from then on for ever; `IO_ERROR`.
    pub(in crate::engine) fn check_tip(&self) -> Result<()> {
        let Some(tip) = &self.tip else { return Ok(()) };
        if !self.is_replaced() && tip.is_current().at("look up", &self.tip_path())? {
            return Ok(());
        }
        Err(self.refuse_from_now_on())
    }

    /// The same for the journal. The tip is looked at before each group of writes; this, as a second call would double its
    /// price, once a lock file was found to be another. The write lock is held.
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

    /// Whether it is known that other files lie in the place of those that are open.
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    /// For reads, which look at no file: whether this process or another one has noticed.
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
