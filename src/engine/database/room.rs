//! Room ahead: blanks behind the last line of the journal, on disk before lines are written over them.
//!
//! Syncing bytes that make a file longer waits for the file system to record the new length as well; syncing bytes that
//! replace others does not. No line ends in a blank, so blanks at the end are no part of a journal, whoever reads it.

use std::path::Path;
use std::time::Duration;

use super::Database;
use super::writer::{Writer, WriterFiles};
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::File;
use crate::engine::journal::{BLANK, journal_path};

/// A group with more bytes than this is not one of many small ones, for which alone room pays.
const SHORT: u64 = 64 << 10;
/// There is never more room than this.
const MOST: u64 = 1 << 20;

/// Blanks are written page by page: Linux keeps what one call writes in one piece, if it can, and counts every later change
/// of a byte in it as one of all its pages.
const PAGE: u64 = 4096;

/// When room is made, and how much.
#[derive(Debug, Clone, Copy)]
pub struct RoomOptions {
    /// Room ends at a multiple of this many bytes of the journal.
    pub block: u64,
    /// Only for groups that follow the one before within this time: nobody feels the difference in writes that come one by
    /// one, and room is written for nothing but speed.
    pub within: Duration,
}

impl Default for RoomOptions {
    fn default() -> Self {
        RoomOptions { block: 4096, within: Duration::from_millis(5) }
    }
}

/// What a journal has behind the line that was acknowledged last.
pub(super) enum Behind {
    Nothing,
    Room,
    /// Bytes of a process that died while it wrote.
    Stray,
    /// It ends before.
    Missing,
}

/// Where the room should end when `end` bytes are written: it is as large as what is there, so that making it costs no
/// more than writing that did. At a multiple of `block`.
fn room_end(end: u64, block: u64) -> u64 {
    (end + end.min(MOST)) / block * block
}

impl Database {
    /// Makes room for a line of `length` bytes at `end` and for those to come, if there is none. That it cannot be made
    /// changes nothing. The write lock is held.
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
            // What is there of it, if the disk is full, is room all the same.
            if files.journal.write_at(&[BLANK; PAGE as usize][..piece as usize], at).is_err() {
                return;
            }
            at = next;
            files.reach = at;
        }
    }

    /// Looks at what lies in the journal from `end` on, where the line that was acknowledged last ends. A process that died
    /// while it wrote had begun there, and the system writes forwards: the first byte tells. The one before tells whether the
    /// journal reaches so far. The write lock is held.
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
                // Another process made it.
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
