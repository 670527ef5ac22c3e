//! `import`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;
use serde::Serialize;

use super::stored_path;
use super::walk::{self, Reason, Rules, Skipped, Walked};
use crate::arguments::ImportArguments;
use crate::console::{Console, Measure, Style};
use crate::engine::fs::{Fs, OsFs};
use crate::engine::{Database, Durability, Transaction, json};
use crate::failure::{Exit, Failure, Result};
use crate::lookup::Reader;
use crate::own_paths::OwnPaths;
use crate::project::{Files, Put, project_store};
use crate::record::Record;
use crate::{Run, display};

/// The most files and bytes that are written together: either all of them or none.
const BATCH_FILES: usize = 256;
const BATCH_BYTES: usize = 4 << 20;
/// How many skipped files of one kind are named to a person.
const NAMED: usize = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Created,
    Changed,
    Removed,
}

#[derive(Serialize)]
struct Change {
    path: String,
    action: Action,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Imported {
    project: Target,
    dry_run: bool,
    created: usize,
    changed: usize,
    unchanged: usize,
    removed: usize,
    /// How many stored files are kept although the directory no longer has them.
    missing: usize,
    changes: Vec<Change>,
    skipped: Vec<Skipped>,
}

/// The project that receives the files.
#[derive(Serialize)]
struct Target {
    /// Null for a project that a dry run would create.
    id: Option<u64>,
    name: String,
    path: String,
    created: bool,
}

/// The stored files by their paths below the directory.
type Stored = BTreeMap<String, AtPath>;

/// What is stored for one path.
struct AtPath {
    latest: Latest,
    /// The files with the same path that were created before.
    others: Vec<Latest>,
}

/// The latest version of a file.
struct Latest {
    id: u64,
    /// The path as it is stored.
    path: String,
}

/// A file that differs from what is stored.
struct Pending {
    /// The path as it is stored, or will be.
    path: String,
    content: String,
    new: bool,
}

pub fn import(run: &mut Run, arguments: &ImportArguments) -> Result<Exit> {
    let directory = run.directory.join(&arguments.directory);
    let directory = OsFs.canonical(&directory).map_err(|error| Failure::io("look up", &directory, &error))?;
    let own = OwnPaths::of(&run.place, &run.place.site().base.databases()?);
    if own.contain(&directory, &directory) {
        let directory = directory.display();
        return Err(Failure::usage(format!(
            "{directory} belongs to the storage itself, which is not imported"
        )));
    }
    let rules = Rules { ignoring: !arguments.no_ignore, own };
    let mut walked = walk::walk(&directory, rules)?;
    let (reader, target) = aim(run, arguments, &directory)?;
    let files = target.id.map(Files::of);
    let stored = match (&reader, &files) {
        (Some(reader), Some(files)) => stored(reader, files, &target.path, &walked)?,
        _ => Stored::new(),
    };
    let gone = gone(&directory, &walked, &stored);
    if arguments.prune && !gone.is_empty() {
        confirm_pruning(run, arguments, &directory, &walked, gone.len())?;
    }
    let mut imported = Imported {
        project: target,
        dry_run: arguments.dry_run,
        created: 0,
        changed: 0,
        unchanged: 0,
        removed: 0,
        missing: gone.len(),
        changes: Vec::new(),
        skipped: Vec::new(),
    };
    let bar = run.console.bar("importing", Measure::Files, Some(walked.files.len() as u64));
    let import =
        Import { reader: reader.as_ref(), files: files.as_ref(), stored: &stored, arguments, bar: &bar };
    let result = import.store(&mut walked, &mut imported);
    bar.finish_and_clear();
    result?;
    if arguments.prune {
        import.prune(&gone, &mut imported)?;
    }
    imported.skipped = walked.skipped;
    if let Some(reader) = &reader {
        if !arguments.dry_run {
            // The import is complete, even if the JSON files cannot be brought up to date at once.
            if let Err(error) = reader.database.checkpoint(run.place.wait()) {
                run.console.warn("CHECKPOINT_FAILED", &format!("the JSON files will follow later: {error}"));
            }
        }
        run.console.warn_all(&reader.database.take_warnings());
    }
    tell(&mut run.console, &imported)?;
    Ok(Exit::Done)
}

/// Asks whether the stored files that are gone from the directory may be deleted.
///
/// # Errors
/// `INCOMPLETE` if it is not certain that they are gone; that they may not be deleted.
fn confirm_pruning(
    run: &mut Run,
    arguments: &ImportArguments,
    directory: &Path,
    walked: &Walked,
    gone: usize,
) -> Result<()> {
    if walked.partly {
        return Err(Failure::Told {
            exit: Exit::Failed,
            code: "INCOMPLETE",
            message: format!(
                "part of {} cannot be read, so it is unknown which files are gone; import without --prune",
                directory.display()
            ),
        });
    }
    if arguments.dry_run {
        return Ok(());
    }
    let what = format!("{} will be deleted with all versions", display::count(gone as u64, "stored file"));
    run.console.confirm(&what, arguments.confirmed.yes)
}

/// Returns the project to import into, creating it if necessary. Nothing is opened if there is nothing to read and nothing
/// may be written.
fn aim(run: &Run, arguments: &ImportArguments, directory: &Path) -> Result<(Option<Reader>, Target)> {
    let path = directory.to_str().ok_or_else(|| {
        Failure::usage(format!(
            "the path {} is not valid Unicode, so no project can have it",
            directory.display()
        ))
    })?;
    let exists = run.place.has_projects()?;
    if exists || arguments.project.is_some() {
        let reader = run.reader()?;
        if let Some(project) = existing(&reader, arguments, directory, &run.directory)? {
            return Ok((Some(reader), Target::of(&project, false)));
        }
    }
    let named = || directory.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = arguments.name.clone().or_else(named).unwrap_or_else(|| path.to_owned());
    if arguments.dry_run {
        return Ok((None, Target { id: None, name, path: path.to_owned(), created: true }));
    }
    let database = run.place.create()?;
    let input = format!("{{\"name\":{},\"path\":{}}}", json::quote(&name), json::quote(path));
    let at = path.to_owned();
    // Another import may have created the project in the meantime.
    let at_path = move |tx: &mut Transaction<'_>| project_store::at_path_or_new(tx, &at, input.as_bytes());
    let (text, created) = database.write(Durability::Full, at_path)?;
    let target = Target::of(&Record::new(text.into()), created);
    Ok((Some(Reader { database, options: run.place.read_options() }), target))
}

/// Returns the project that is named, or else the one whose path is the directory, however it is spelled.
fn existing(
    reader: &Reader,
    arguments: &ImportArguments,
    directory: &Path,
    working: &Path,
) -> Result<Option<Record>> {
    if let Some(named) = &arguments.project {
        return reader.project(named, working).map(Some);
    }
    let is_there = |project: &Record| {
        let path = PathBuf::from(project.text("path"));
        path == directory
            || (path.is_absolute() && OsFs.canonical(&path).is_ok_and(|canonical| canonical == directory))
    };
    let mut found: Vec<Record> = reader.projects()?.into_iter().filter(is_there).collect();
    match found.len() {
        0 | 1 => Ok(found.pop()),
        several => Err(Failure::ambiguous(format!(
            "{} have the path {}: say which with --project, {}",
            display::count(several as u64, "project"),
            directory.display(),
            found.iter().map(|project| project.id().to_string()).collect::<Vec<_>>().join(" or ")
        ))),
    }
}

impl Target {
    fn of(project: &Record, created: bool) -> Target {
        Target { id: Some(project.id()), name: project.text("name"), path: project.text("path"), created }
    }
}

/// Returns what is stored below the directory. Of several files with one path, the one created last counts. A file whose
/// stored path leads out of the directory does not belong to it.
fn stored(reader: &Reader, files: &Files, root: &str, walked: &Walked) -> Result<Stored> {
    let there = there(walked);
    let mut stored = Stored::new();
    for file in reader.heads(files, |chain| chain.is_latest)? {
        let (id, path) = (file.id(), file.text("path"));
        let below = match stored_path::relative(&path, root) {
            _ if there.contains(path.as_str()) => path.clone(),
            Ok(relative) => match walk::with_slashes(&relative) {
                Some(below) => below,
                None => continue,
            },
            Err(_) => continue,
        };
        let mut latest = Latest { id, path };
        match stored.entry(below) {
            Entry::Vacant(entry) => drop(entry.insert(AtPath { latest, others: Vec::new() })),
            Entry::Occupied(mut entry) => {
                let known = entry.get_mut();
                if known.latest.id < latest.id {
                    std::mem::swap(&mut known.latest, &mut latest);
                }
                known.others.push(latest);
            }
        }
    }
    Ok(stored)
}

/// Returns what was found in the directory, whether or not it can be stored.
fn there(walked: &Walked) -> BTreeSet<&str> {
    let skipped = walked.skipped.iter().map(|skipped| skipped.path.as_str());
    walked.files.iter().map(|(path, _)| path.as_str()).chain(skipped).collect()
}

/// Returns the stored files that are no longer in the directory. A file that cannot be stored, or is ignored, is not gone.
fn gone(directory: &Path, walked: &Walked, stored: &Stored) -> Vec<(String, u64)> {
    let there = there(walked);
    let gone = |below: &str| !there.contains(below) && is_gone(&directory.join(below));
    let gone = stored.iter().filter(|(below, _)| gone(below)).map(|(_, stored)| stored);
    let files = gone.flat_map(|stored| stored.others.iter().chain([&stored.latest]));
    files.map(|file| (file.path.clone(), file.id)).collect()
}

/// Whether it is certain that a file is no longer where it was.
fn is_gone(file: &Path) -> bool {
    match file.symlink_metadata() {
        Ok(found) => found.is_dir(),
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

struct Import<'a> {
    reader: Option<&'a Reader>,
    files: Option<&'a Files>,
    stored: &'a Stored,
    arguments: &'a ImportArguments,
    bar: &'a ProgressBar,
}

impl Import<'_> {
    fn store(&self, walked: &mut Walked, imported: &mut Imported) -> Result<()> {
        let max_bytes = self.arguments.max_size.saturating_mul(1 << 20);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for (path, source) in std::mem::take(&mut walked.files) {
            self.bar.inc(1);
            match walk::read(&source, max_bytes) {
                Ok(content) => {
                    bytes += content.len();
                    batch.push((path, content));
                }
                Err(reason) => walked.skipped.push(Skipped { path, reason }),
            }
            if batch.len() >= BATCH_FILES || bytes >= BATCH_BYTES {
                self.store_batch(std::mem::take(&mut batch), imported)?;
                bytes = 0;
            }
        }
        self.store_batch(batch, imported)
    }

    fn store_batch(&self, batch: Vec<(String, String)>, imported: &mut Imported) -> Result<()> {
        let given = batch.len();
        let pending = self.differing(batch)?;
        imported.unchanged += given - pending.len();
        if pending.is_empty() {
            return Ok(());
        }
        let done = match (self.reader, self.files) {
            (Some(reader), Some(files)) if !self.arguments.dry_run => {
                write(&reader.database, files, pending, self.arguments.in_place)?
            }
            _ => pending
                .into_iter()
                .map(|file| (file.path, if file.new { Put::Created } else { Put::Changed }))
                .collect(),
        };
        for (path, put) in done {
            let action = match put {
                Put::Created => Action::Created,
                Put::Changed => Action::Changed,
                // Another process has stored the same content in the meantime.
                Put::Unchanged => {
                    imported.unchanged += 1;
                    continue;
                }
            };
            imported.created += usize::from(action == Action::Created);
            imported.changed += usize::from(action == Action::Changed);
            imported.changes.push(Change { path, action });
        }
        Ok(())
    }

    fn latest(&self, path: &str) -> Option<&Latest> {
        self.stored.get(path).map(|stored| &stored.latest)
    }

    /// Returns the files whose content differs from what is stored at their path. Takes no lock.
    fn differing(&self, batch: Vec<(String, String)>) -> Result<Vec<Pending>> {
        let ids: Vec<u64> =
            batch.iter().filter_map(|(path, _)| self.latest(path)).map(|latest| latest.id).collect();
        let known: BTreeMap<u64, Vec<u8>> = match (self.reader, self.files) {
            (Some(reader), Some(files)) if !ids.is_empty() => {
                reader.whole(files, &ids)?.into_iter().map(|file| (file.id(), file.content())).collect()
            }
            _ => BTreeMap::new(),
        };
        let pending = |(path, content): (String, String)| {
            let latest = self.latest(&path);
            let same = latest
                .and_then(|latest| known.get(&latest.id))
                .is_some_and(|known| *known == content.as_bytes());
            let stored_as = latest.map_or(path, |latest| latest.path.clone());
            (!same).then_some(Pending { new: latest.is_none(), path: stored_as, content })
        };
        Ok(batch.into_iter().filter_map(pending).collect())
    }

    fn prune(&self, gone: &[(String, u64)], imported: &mut Imported) -> Result<()> {
        if let (Some(reader), Some(files), false) = (self.reader, self.files, self.arguments.dry_run) {
            let (files, ids) = (files.clone(), gone.iter().map(|(_, id)| *id).collect::<Vec<_>>());
            reader.database.write(Durability::Full, move |tx| {
                ids.iter().try_for_each(|&id| files.delete_chain(tx, id).map(drop))
            })?;
        }
        imported.removed = gone.len();
        imported.missing = 0;
        let removed = gone.iter().map(|(path, _)| Change { path: path.clone(), action: Action::Removed });
        imported.changes.extend(removed);
        Ok(())
    }
}

/// Writes files as one batch and returns what became of each.
fn write(
    database: &Arc<Database>,
    files: &Files,
    pending: Vec<Pending>,
    in_place: bool,
) -> Result<Vec<(String, Put)>> {
    let files = files.clone();
    Ok(database.write(Durability::Full, move |tx| {
        let put = |file: Pending| {
            let put = files.put_at_path(tx, &file.path, &file.content, in_place)?;
            Ok((file.path, put))
        };
        pending.into_iter().map(put).collect()
    })?)
}

fn tell(console: &mut Console, imported: &Imported) -> Result<()> {
    if console.is_json() {
        return console.document(imported);
    }
    if imported.dry_run {
        for change in &imported.changes {
            let (sign, style) = match change.action {
                Action::Created => ('+', Style::Added),
                Action::Changed => ('~', Style::Warning),
                Action::Removed => ('-', Style::Removed),
            };
            let line = console.paint(style, &format!("{sign} {}", display::line(&change.path)));
            console.line(&line)?;
        }
    }
    let Target { id, name, created, .. } = &imported.project;
    let id = id.map(|id| format!(" ({id})")).unwrap_or_default();
    let new = if *created { "new project " } else { "" };
    let would = if imported.dry_run { ", if it were done" } else { "" };
    console.line(&format!(
        "{new}{}{id}: {} created, {} changed, {} removed, {} unchanged{would}",
        display::line(name),
        imported.created,
        imported.changed,
        imported.removed,
        imported.unchanged,
    ))?;
    if imported.missing > 0 {
        console.line(&format!(
            "{} not in the directory any more; --prune deletes what is not",
            match imported.missing {
                1 => "1 stored file is".to_owned(),
                several => format!("{several} stored files are"),
            }
        ))?;
    }
    tell_skipped(console, &imported.skipped)
}

fn tell_skipped(console: &mut Console, skipped: &[Skipped]) -> Result<()> {
    let mut by_reason: BTreeMap<Reason, Vec<&str>> = BTreeMap::new();
    for one in skipped {
        by_reason.entry(one.reason).or_default().push(&one.path);
    }
    for (reason, paths) in by_reason {
        console.line(&format!("skipped {}, {}:", paths.len(), reason.told()))?;
        for path in paths.iter().take(NAMED) {
            console.line(&format!("  {}", display::line(path)))?;
        }
        if paths.len() > NAMED {
            console.line(&format!("  and {} more", paths.len() - NAMED))?;
        }
    }
    Ok(())
}
