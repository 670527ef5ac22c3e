//! The files and directories under `data`.

use std::path::Path;

use super::{MIGRATION, RESTORE, Site};
use crate::engine::base_path::{NEXT_RECORD, RECORD_LOCK};
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{FileKind, is_systems_own, list_if_there};
use crate::engine::journal::RESERVED;

/// Paths relative to the base path. Directories come before what is in them.
#[derive(Debug, Default)]
pub struct Inventory {
    pub directories: Vec<String>,
    pub files: Vec<String>,
    /// Symlinks and everything else that is neither file nor directory: not followed, not copied, not removed.
    pub left_out: Vec<String>,
}

/// Names directly in `data` that no copy includes.
pub const OWN: [&str; 4] = [RESTORE, MIGRATION, RECORD_LOCK, NEXT_RECORD];

impl Inventory {
    /// Lists everything under `data` except what belongs to the engine. O(names).
    pub fn of_data(site: &Site) -> Result<Inventory> {
        let mut inventory = Inventory::default();
        inventory.walk(site, &site.base.data(), "data", &OWN)?;
        Ok(inventory)
    }

    /// Adds a file or a directory with all it holds. Returns false if nothing is there.
    pub fn add(&mut self, site: &Site, path: &Path, relative: &str) -> Result<bool> {
        let Some(metadata) = site.fs().symlink_metadata(path).at("look up", path)? else { return Ok(false) };
        match metadata.kind {
            FileKind::File => self.files.push(relative.to_owned()),
            FileKind::Directory if is_systems_own(&*site.fs(), path) => {}
            FileKind::Directory => {
                self.directories.push(relative.to_owned());
                self.walk(site, path, relative, &[])?;
            }
            FileKind::Symlink | FileKind::Other => self.left_out.push(relative.to_owned()),
        }
        Ok(true)
    }

    fn walk(&mut self, site: &Site, directory: &Path, relative: &str, skip: &[&str]) -> Result<()> {
        // Its owner may have removed it a moment ago.
        let names = list_if_there(&*site.fs(), directory).at("list", directory)?;
        for name in names.iter().filter(|name| *name != RESERVED && !skip.contains(&name.as_str())) {
            self.add(site, &directory.join(name), &format!("{relative}/{name}"))?;
        }
        Ok(())
    }
}
