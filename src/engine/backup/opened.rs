//! The note of the databases that a migration opened after its data was copied. Undoing the migration empties them. Other
//! databases that the copy lacks were created by other processes meanwhile, and are left alone.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Site;
use super::hold::BEFORE;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs;
use crate::engine::plain_file::{read_file, replace_by_way_of};

/// The note, beside the files of the copy, which have numbers as names.
fn path(site: &Site) -> PathBuf {
    site.migration_directory().join(BEFORE).join("opened.json")
}

/// Returns the databases that the migration opened, relative to the base path.
///
/// # Errors
/// `CORRUPT_DATA`, `IO_ERROR`.
pub fn read(site: &Site) -> Result<BTreeSet<String>> {
    let path = path(site);
    let Some(bytes) = read_file(&*site.fs(), &path)? else { return Ok(BTreeSet::new()) };
    serde_json::from_slice(&bytes).map_err(|error| {
        let problem = format!("{error}; what was under way cannot be finished; restore a backup");
        Error::corrupt(&path, 0, problem)
    })
}

/// Notes a database durably, before the migration writes to it.
pub fn note(site: &Site, database: String) -> Result<()> {
    let (fs, path) = (site.fs(), path(site));
    let mut opened = read(site)?;
    if !opened.insert(database) {
        return Ok(());
    }
    let text = serde_json::to_vec(&opened)
        .map_err(|error| Error::io("write", &path, &std::io::Error::other(error)))?;
    replace_by_way_of(&*fs, &path.with_extension("new"), &path, &text)
}

/// Removes the note of an earlier step, whose databases the next copy has.
pub fn forget(site: &Site) -> Result<()> {
    let path = path(site);
    fs::remove_tree(&*site.fs(), &path).at("remove", &path)
}
