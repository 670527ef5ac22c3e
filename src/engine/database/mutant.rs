//! Protocol variants that are known to be wrong.

/// A wrong variant of the protocol. The crash tests switch each on and must catch it; a published addon is
/// built without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutant {
    /// The directory is not synced after a new journal is created.
    NewJournalWithoutDirectorySync,
    /// Older journals are deleted before the renames of the snapshots are durable.
    DropJournalBeforeDirectorySync,
    /// The snapshot takes its place before it is synced.
    RenameBeforeSync,
    /// A checkpoint empties the journal and goes on in the same file.
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
    /// A failed sync is tried again and believed.
    RetryFailedSync,
}
