//! Protocol variants that are known to be wrong.

use super::Database;
use super::writer::Writer;
use crate::engine::checksum::Salt;
use crate::engine::error::{IoContext, Result};
use crate::engine::journal::{Header, encode_line, journal_path};

/// A wrong variant of the protocol. The crash tests switch on each of them and must catch it; published addons are
/// built without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// The directory is not synced after a new journal is created.
    NewJournalWithoutDirectorySync,
    /// Older journals are deleted before the renames of the snapshots are durable.
    DropJournalBeforeDirectorySync,
    /// The snapshot is renamed into place before it is synced.
    RenameBeforeSync,
    /// A checkpoint empties the journal and continues in the same file.
    JournalResetInPlace,
    /// Appends after a cut tail without syncing the cut.
    AppendAfterUnsyncedCut,
    /// Serves a recovered tail without making it durable first.
    ServeUnsyncedTail,
    /// Other processes read past the tip, to the end of the file.
    ReadPastTip,
    /// The tip moves before the sync.
    TipBeforeSync,
    /// A write is acknowledged before the tip moved.
    AcknowledgeBeforeTip,
    /// A failed sync is tried again, and the second attempt is believed.
    RetryFailedSync,
    /// Recovery writes uncertain lines over pages that a failed sync left in memory.
    RewriteOverLostPages,
    /// The manifest of a backup, or the intent of a migration, is written before the files that it lists.
    ManifestBeforeFiles,
    /// Data is replaced without an intent.
    ReplaceWithoutIntent,
    /// The intent of a migration ends before what the migration wrote is synced.
    DiscardBeforeSync,
    /// Lock files are deleted when a process closes the database.
    DeleteLockFiles,
    /// The line that refers to a document file is written before that file is durable.
    LineBeforeDocumentFile,
    /// An index checkpoint is trusted whatever the hash of the snapshot.
    TrustStaleIndexCheckpoint,
}

impl Database {
    /// Does what `JournalResetInPlace` does instead of switching: empties the journal and continues in the same file.
    pub(super) fn reset_journal(&self, writer: &mut Writer) -> Result<()> {
        let header = {
            let state = self.state.read();
            Header { generation: state.position.generation, previous: None, ..state.next_header() }
        };
        let mut line = Vec::new();
        let body = serde_json::to_vec(&header).unwrap_or_default();
        let salt = Salt::new(header.database, header.generation);
        let checksum = encode_line(&mut line, salt, &body);
        let end = line.len() as u64;
        let path = journal_path(&self.directory, header.generation);
        let files = self.files(writer)?;
        files.journal.set_len(end).at("cut", &path)?;
        files.journal.write_at(&line, 0).at("write", &path)?;
        files.journal.sync_data().at("sync", &path)?;
        let mut state = self.state.write();
        state.position.end = end;
        state.position.checksum = checksum;
        state.position.durable = header.seq;
        drop(state);
        self.move_tip(header.generation, header.seq, end);
        Ok(())
    }
}
