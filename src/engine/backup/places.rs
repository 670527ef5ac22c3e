//! Finding what is in the way of a copy: something of another kind than what the copy puts there.
//!
//! Below `data`, it gives way. Beside `data`, nothing is removed that the copy does not have, so an error names it before
//! anything is changed. Which symlinks are followed: see [`Places::is_way`].

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::Site;
use super::inventory::Inventory;
use super::manifest::Manifest;
use crate::engine::database::known_collections;
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{FileKind, Fs};
use crate::engine::normal_path::is_at_or_below;

/// Why a copy is put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A person restores a backup, perhaps one from another machine.
    Restore,
    /// A migration is undone: whatever is in the way came from it.
    PutBack,
}

/// The places that a manifest names.
pub struct Places<'a> {
    site: &'a Site,
    manifest: &'a Manifest,
    purpose: Purpose,
    files: BTreeSet<&'a str>,
    /// The directories of the manifest and of its databases, and every directory above any of its paths.
    directories: BTreeSet<&'a str>,
    /// The databases that exist now.
    databases: Vec<String>,
}

impl<'a> Places<'a> {
    pub fn of(site: &'a Site, manifest: &'a Manifest, purpose: Purpose) -> Result<Places<'a>> {
        let files: BTreeSet<&str> = manifest.files.iter().map(|file| file.path.as_str()).collect();
        let databases = manifest.databases.iter().map(|entry| entry.path.as_str());
        let mut directories: BTreeSet<&str> =
            databases.chain(manifest.directories.iter().map(String::as_str)).collect();
        let all: Vec<&str> = files.iter().chain(&directories).copied().collect();
        directories.extend(all.into_iter().flat_map(names_above));
        directories.remove("");
        let databases = site.base.databases()?;
        let databases = databases.iter().map(|directory| site.relative(directory)).collect::<Result<_>>()?;
        Ok(Places { site, manifest, purpose, files, directories, databases })
    }

    /// Returns what must be removed before everything can be put in its place. None of these paths lies below another.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` that names what may not be removed, `IO_ERROR`.
    pub fn in_the_way(&self) -> Result<Vec<String>> {
        let mut found: Vec<String> = Vec::new();
        let goes = |found: &[String], path: &str| found.iter().any(|above| is_below(path, above));
        // Parents come before what is below them.
        for &path in &self.directories {
            if !goes(&found, path) && self.is_no_directory(path)? {
                self.must_lie_below_data(path, "a directory")?;
                found.push(path.to_owned());
            }
        }
        for &path in &self.files {
            if !goes(&found, path) && self.kind(path)? == Some(FileKind::Directory) {
                self.must_lie_below_data(path, "a file")?;
                self.must_hold_no_links(path)?;
                found.push(path.to_owned());
            }
        }
        Ok(found)
    }

    /// Whether the file is in its place, and not behind a symlink that was made later.
    pub fn is_there(&self, path: &str) -> Result<bool> {
        for above in names_above(path) {
            if self.kind(above)? == Some(FileKind::Symlink) && !self.is_way(above) {
                return Ok(false);
            }
        }
        Ok(match self.kind(path)? {
            Some(FileKind::File) => true,
            Some(FileKind::Symlink) => {
                !path.starts_with("data/") || self.manifest.left_out.iter().any(|link| link == path)
            }
            _ => false,
        })
    }

    fn absolute(&self, path: &str) -> PathBuf {
        self.site.base.absolute(path)
    }

    fn kind(&self, path: &str) -> Result<Option<FileKind>> {
        let path = self.absolute(path);
        let found = self.site.fs().symlink_metadata(&path).at("look up", &path)?;
        Ok(found.map(|found| found.kind))
    }

    /// Whether something is there that neither is a directory nor leads to one.
    fn is_no_directory(&self, path: &str) -> Result<bool> {
        let absolute = self.absolute(path);
        match self.kind(path)? {
            None | Some(FileKind::Directory) => Ok(false),
            Some(FileKind::Symlink) if self.is_way(path) => {
                let target = self.site.fs().metadata(&absolute).at("look up", &absolute)?;
                match target.map(|target| target.kind) {
                    Some(FileKind::Directory) => Ok(false),
                    _ => Err(Error::InvalidArgument(format!(
                        "{} is a symlink that leads to no directory, where a directory must be; remove it first",
                        absolute.display()
                    ))),
                }
            }
            Some(FileKind::Symlink) if self.purpose == Purpose::Restore => Err(Error::InvalidArgument(
                format!("{} is a symlink, and a restore follows none; remove it first", absolute.display()),
            )),
            Some(_) => Ok(true),
        }
    }

    /// Whether a symlink is followed. One directly in the base path, such as `data`, always is. Below that, undoing a
    /// migration follows one that is not under `data` or that was there before; a restore follows one if everything of the
    /// copy behind it belongs to databases that are reached through it.
    fn is_way(&self, link: &str) -> bool {
        if !link.contains('/') {
            return true;
        }
        match self.purpose {
            Purpose::PutBack => {
                !link.starts_with("data/") || self.manifest.left_out.iter().any(|known| known == link)
            }
            Purpose::Restore => {
                let leads_to = |path: &str| {
                    self.databases
                        .iter()
                        .filter(|database| is_below(database, link))
                        .any(|database| is_below(path, database) || is_below(database, path))
                };
                let mut behind =
                    self.files.iter().chain(&self.directories).filter(|path| is_below(path, link));
                behind.all(|path| leads_to(path))
            }
        }
    }

    fn must_lie_below_data(&self, path: &str, wanted: &str) -> Result<()> {
        if path.starts_with("data/") {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!(
            "{} is where {wanted} must be put, and nothing outside data is removed to make room; move it away first",
            self.absolute(path).display()
        )))
    }

    fn must_hold_no_links(&self, path: &str) -> Result<()> {
        let mut inventory = Inventory::default();
        inventory.add(self.site, &self.absolute(path), path)?;
        match inventory.left_out.first() {
            Some(link) if self.purpose == Purpose::Restore => Err(Error::InvalidArgument(format!(
                "{} is where a file must be restored, and is neither a file nor a directory; remove it first",
                self.absolute(link).display()
            ))),
            _ => Ok(()),
        }
    }
}

/// # Errors
/// `IO_ERROR` that names the directory if this process may not create or remove one of these paths.
pub fn check_writable(site: &Site, changed: &BTreeSet<PathBuf>) -> Result<()> {
    let fs = site.fs();
    let mut directories = BTreeSet::new();
    for path in changed {
        directories.extend(directory_above(&*fs, path)?);
    }
    for directory in directories {
        if !fs.is_writable(directory).at("look up", directory)? {
            let problem = "this process may not write there; grant permission first";
            let error = io::Error::new(io::ErrorKind::PermissionDenied, problem);
            return Err(Error::io("write to", directory, &error));
        }
    }
    Ok(())
}

/// The lowest existing directory above a path.
fn directory_above<'p>(fs: &dyn Fs, path: &'p Path) -> Result<Option<&'p Path>> {
    for above in path.ancestors().skip(1) {
        let found = fs.metadata(above).at("look up", above)?;
        if found.is_some_and(|found| found.kind == FileKind::Directory) {
            return Ok(Some(above));
        }
    }
    Ok(None)
}

/// The paths above a path, the outermost first.
pub fn names_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// Whether `path` is `above` or lies below it. Everything lies below the base path, whose path is empty.
pub fn is_below(path: &str, above: &str) -> bool {
    above.is_empty() || is_at_or_below(path, above)
}

/// The databases that are neither in a copy nor held: other processes created them meanwhile. Paths are relative to the base
/// path.
#[derive(Default)]
pub struct Strangers {
    directories: Vec<String>,
    /// The files of their collections.
    collections: BTreeSet<String>,
}

impl Strangers {
    /// Returns the databases that are not in these directories.
    pub fn of<'a>(site: &Site, known: impl IntoIterator<Item = &'a PathBuf>) -> Result<Strangers> {
        let known: BTreeSet<&PathBuf> = known.into_iter().collect();
        let mut strangers = Strangers { directories: Vec::new(), collections: BTreeSet::new() };
        for directory in site.base.databases()?.iter().filter(|directory| !known.contains(directory)) {
            strangers.directories.push(site.relative(directory)?);
            for collection in known_collections(&site.fs(), directory)? {
                strangers.collections.insert(site.relative(&directory.join(collection))?);
            }
        }
        Ok(strangers)
    }

    pub fn directories(&self) -> &[String] {
        &self.directories
    }

    /// Whether a file is one of theirs. What else lies in `data` itself belongs to nobody.
    pub fn have(&self, path: &str) -> bool {
        let is_in = |directory: &String| directory.starts_with("data/") && is_below(path, directory);
        self.collections.contains(path) || self.directories.iter().any(is_in)
    }

    /// Whether something may be theirs, so that it must not be removed.
    pub fn may_have(&self, path: &str) -> bool {
        self.directories.iter().any(|directory| is_below(path, directory))
    }
}
