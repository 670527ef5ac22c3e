//! Room ahead: blanks after the last line of the journal, which are on disk before lines are written over them.
//!
//! Syncing bytes that make a file longer waits for the file system to record the new length as well; syncing bytes that
//! replace others does not. No line ends in a blank, so blanks at the end never count as part of a journal.

use std::path::Path;
use std::time::Duration;

use super::Database;
use super::writer::{Writer, WriterFiles};
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::File;
use crate::engine::journal::{BLANK, journal_path};

/// No room is made for groups with more bytes than this: room only pays for many small ones.
const SHORT: u64 = 64 << 10;
/// There is never more room than this.
const MOST: u64 = 1 << 20;

/// Blanks are written page by page: Linux keeps what one call writes in one piece if it can, and then counts every
/// later change of a byte as a change of all pages of that piece.
const PAGE: u64 = 4096;

/// When room is made, and how much.
#[derive(Debug, Clone, Copy)]
pub struct RoomOptions {
    /// Room ends at a multiple of this many bytes of the journal.
    pub block: u64,
    /// Room is made only for groups that follow the one before within this time: writes that come one by one do not get
    /// noticeably faster, and room is for nothing but speed.
    pub within: Duration,
}

impl Default for RoomOptions {
    fn default() -> Self {
        RoomOptions { block: 4096, within: Duration::from_millis(5) }
    }
}

/// What follows the last acknowledged line of a journal.
pub(super) enum Behind {
    Nothing,
    Room,
    /// Bytes of a process that died while it wrote.
    Stray,
    /// The journal ends before the end of that line.
    Missing,
}

/// Returns where the room should end after `end` bytes have been written, a multiple of `block`. The room is as large
/// as what is there, so that making it costs no more than writing that did.
fn room_end(end: u64, block: u64) -> u64 {
    (end + end.min(MOST)) / block * block
}

impl Database {
    /// Makes room for lines of `length` bytes at `end` and for later ones, if there is none. A failure changes nothing.
    /// The write lock is held.
    pub(super) fn make_room(&self, writer: &mut Writer, end: u64, length: u64) {
        let RoomOptions { block, within } = self.options.room;
        let room_end = room_end(end + length, block);
        let hurried = writer.synced.is_some_and(|synced| synced.elapsed() <= within);
        if length > SHORT || room_end <= end + length || !hurried {
            return;
        }
        let Ok(files) = self.files(writer) else { return };
        if files.reach >= end + length {
            return;
        }
        let mut at = end;
        while at < room_end {
            let next = (at / PAGE + 1) * PAGE;
            let piece = next.min(room_end) - at;
            // If the disk is full, what has been written of the room still serves.
            if files.journal.write_at(&[BLANK; PAGE as usize][..piece as usize], at).is_err() {
                return;
            }
            at = next;
            files.reach = at;
        }
    }

    /// Returns what the journal holds from `end` on, where the last acknowledged line ends. A process that died while
    /// it wrote had begun there, and the system writes forwards, so the first byte tells. The byte before it tells
    /// whether the journal reaches that far. The write lock is held.
    pub(super) fn look_behind(&self, files: &mut WriterFiles, end: u64, path: &Path) -> Result<Behind> {
        let mut bytes = [0; 2];
        let read = files.journal.read_at(&mut bytes, end.saturating_sub(1)).at("read", path)?;
        Ok(match (read, bytes[1]) {
            (0, _) => Behind::Missing,
            (1, _) => {
                files.reach = end;
                Behind::Nothing
            }
            (_, BLANK) => {
                // Another process may have made it.
                if files.reach <= end {
                    files.reach = files.journal.metadata().at("look up", path)?.len;
                }
                Behind::Room
            }
            _ => Behind::Stray,
        })
    }

    /// Cuts the room from a journal that nothing more is written to. The caller syncs it. The write lock is held.
    pub(super) fn cut_room(&self, journal: &dyn File, end: u64) -> Result<()> {
        let path = journal_path(&self.directory, self.position().generation);
        if journal.metadata().at("look up", &path)?.len > end {
            journal.set_len(end).at("cut", &path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_doubles_a_journal_up_to_a_limit() {
        assert_eq!(room_end(500, 4096), 0);
        assert_eq!(room_end(5000, 4096), 8192);
        assert_eq!(room_end(100_000, 4096), 48 * 4096);
        assert_eq!(room_end(10 << 20, 4096), 11 << 20);
    }
}
