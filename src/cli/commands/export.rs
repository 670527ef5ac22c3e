//! `export`.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::stored_path;
use crate::arguments::ExportArguments;
use crate::console::Measure;
use crate::engine::fs::{Fs, Identity, OsFs};
use crate::engine::now_ms;
use crate::failure::{Exit, Failure, Result};
use crate::lookup::Reader;
use crate::own_paths::{self, OwnPaths};
use crate::project::Files;
use crate::record::Record;
use crate::{Run, display};

/// How many files are read together.
const BATCH: usize = 64;
/// How many paths are named in a message.
const NAMED: usize = 5;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    project: u64,
    directory: String,
    written: usize,
    unchanged: usize,
    left_out: Vec<LeftOut>,
}

/// A stored file that was not written as it is stored, and why.
#[derive(Debug, PartialEq, Serialize)]
struct LeftOut {
    id: u64,
    path: String,
    reason: &'static str,
}

const OVER_LINK: &str = "a symbolic link or a file is where a directory must be";
const IN_THE_WAY: &str = "a directory or another non-file is in the way";
const OVERRULED: &str = "another file has the same path and was created later";
const OWN: &str = "the path leads into the data of the storage";
const TOO_LONG: &str = "the path or a name in it is longer than the file system allows";
const SAME_FILE: &str = "the file system takes the path for that of another file";
const NO_TEXT: &str = "the content has unpaired surrogates, which no file can hold";

/// A file to be written.
struct Planned {
    id: u64,
    /// The path as it is stored.
    path: String,
    target: PathBuf,
}

pub fn export(run: &mut Run, arguments: &ExportArguments) -> Result<Exit> {
    let reader = run.reader()?;
    let project = reader.project(&arguments.project, &run.directory)?;
    let files = Files::of(project.id());
    let directory = run.directory.join(&arguments.directory);
    let own = OwnPaths::of(&run.place, &run.place.databases()?);
    let heads = reader.heads(&files, |chain| chain.is_latest)?;
    let (planned, mut left_out) = plan(&heads, &project.text("path"), &directory, &own);
    if !arguments.force {
        refuse_to_overwrite(&reader, &files, &directory, &planned)?;
    }
    fs::create_dir_all(&directory).map_err(|error| Failure::io("create", &directory, &error))?;
    let bar = run.console.bar("exporting", Measure::Files, Some(planned.len() as u64));
    let (mut written, mut unchanged) = (0, 0);
    let mut done = HashSet::new();
    let result = for_each(&reader, &files, &planned, |one, file| {
        bar.inc(1);
        let content = file.content();
        if std::str::from_utf8(&content).is_err() {
            left_out.push(one.without(NO_TEXT));
            return Ok(());
        }
        match write(&directory, &one.target, &content, arguments.force, &mut done)? {
            Ok(true) => written += 1,
            Ok(false) => unchanged += 1,
            Err(reason) => left_out.push(one.without(reason)),
        }
        Ok(())
    });
    bar.finish_and_clear();
    result?;
    run.console.warn_all(&reader.database.take_warnings());
    let directory = directory.to_string_lossy().into_owned();
    let exit = if left_out.is_empty() { Exit::Done } else { Exit::Problems };
    let exported = Exported { project: project.id(), directory, written, unchanged, left_out };
    exit.after(tell(run, &exported))
}

/// Returns the files to be written, at most one for each path, and those that are left out.
fn plan(heads: &[Record], root: &str, directory: &Path, own: &OwnPaths) -> (Vec<Planned>, Vec<LeftOut>) {
    let real = own_paths::real(directory);
    let mut left_out = Vec::new();
    let mut planned: BTreeMap<PathBuf, Planned> = BTreeMap::new();
    for file in heads {
        let (id, path) = (file.id(), file.text("path"));
        match stored_path::relative(&path, root) {
            Ok(relative) if own.contain(&real.join(&relative), &real) => {
                left_out.push(LeftOut { id, path, reason: OWN });
            }
            Ok(relative) => {
                let one = Planned { id, path, target: directory.join(&relative) };
                // Ids ascend with the time of creation. The file created last counts, as wherever a path is looked up.
                let (kept, overruled) = match planned.remove(&relative) {
                    Some(other) if other.id > id => (other, Some(one)),
                    other => (one, other),
                };
                left_out.extend(overruled.map(|one| one.without(OVERRULED)));
                planned.insert(relative, kept);
            }
            Err(reason) => left_out.push(LeftOut { id, path, reason }),
        }
    }
    (planned.into_values().collect(), left_out)
}

impl Planned {
    fn without(&self, reason: &'static str) -> LeftOut {
        LeftOut { id: self.id, path: self.path.clone(), reason }
    }
}

fn tell(run: &mut Run, exported: &Exported) -> Result<()> {
    if run.console.is_json() {
        return run.console.document(exported);
    }
    let Exported { directory, written, unchanged, left_out, .. } = exported;
    run.console.line(&format!(
        "{} written to {}, {unchanged} already up to date",
        display::count(*written as u64, "file"),
        display::line(directory)
    ))?;
    for LeftOut { id, path, reason } in left_out {
        run.console.line(&format!("left out {} ({id}): {reason}", display::line(path)))?;
    }
    Ok(())
}

/// # Errors
/// `WOULD_OVERWRITE` if a file with another content is where one is to be written.
fn refuse_to_overwrite(reader: &Reader, files: &Files, directory: &Path, planned: &[Planned]) -> Result<()> {
    let mut other = Vec::new();
    let there: Vec<&Planned> = planned
        .iter()
        .filter(|one| is_file(&one.target) && can_hold(directory, &one.target).unwrap_or(false))
        .collect();
    for_each(reader, files, there.iter().copied(), |one, file| {
        if !has_content(&one.target, &file.content())? {
            other.push(display::line(&one.path));
        }
        Ok(())
    })?;
    if other.is_empty() {
        return Ok(());
    }
    let named = other.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let more = if other.len() > NAMED { format!(" and {} more", other.len() - NAMED) } else { String::new() };
    Err(Failure::Told {
        exit: Exit::Refused,
        code: "WOULD_OVERWRITE",
        message: format!(
            "{} already has other contents in {named}{more}; nothing was written: give --force to overwrite, or another directory",
            directory.display()
        ),
    })
}

/// Reads files with their contents, some at a time. Files that have been deleted in the meantime are skipped.
fn for_each<'a>(
    reader: &Reader,
    files: &Files,
    planned: impl IntoIterator<Item = &'a Planned>,
    mut visit: impl FnMut(&Planned, &Record) -> Result<()>,
) -> Result<()> {
    let planned: Vec<&Planned> = planned.into_iter().collect();
    for batch in planned.chunks(BATCH) {
        let ids: Vec<u64> = batch.iter().map(|one| one.id).collect();
        let read = reader.whole(files, &ids)?;
        let mut read = read.iter().peekable();
        for one in batch {
            if let Some(file) = read.next_if(|file| file.id() == one.id) {
                visit(one, file)?;
            }
        }
    }
    Ok(())
}

/// Writes a file below the directory. Returns whether that was necessary, or why it is impossible. `done` has the files that
/// this run has written or found up to date: where case does not matter, several paths may lead to one of them.
fn write(
    directory: &Path,
    target: &Path,
    content: &[u8],
    force: bool,
    done: &mut HashSet<Identity>,
) -> Result<std::result::Result<bool, &'static str>> {
    if is_too_long(directory, target) {
        return Ok(Err(TOO_LONG));
    }
    if !make_room(directory, target)? {
        return Ok(Err(OVER_LINK));
    }
    let replaces = match target.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(Failure::io("look up", target, &error)),
        Ok(found) if found.is_file() => {
            if has_content(target, content)? {
                done.extend(identity(target).filter(|_| !has_links(&found)));
                return Ok(Ok(false));
            }
            if identity(target).is_some_and(|identity| done.contains(&identity)) {
                return Ok(Err(SAME_FILE));
            }
            if !force {
                // The file did not exist a moment ago.
                let error = io::ErrorKind::AlreadyExists.into();
                return Err(Failure::io("create", target, &error));
            }
            true
        }
        Ok(found) if found.is_symlink() => return Ok(Err(OVER_LINK)),
        Ok(_) => return Ok(Err(IN_THE_WAY)),
    };
    put(target, content, replaces)?;
    done.extend(identity(target));
    Ok(Ok(true))
}

/// Whether the path or a name in it is longer than the file system allows. The names are tried one by one, because
/// directories that do not exist yet hide what is below them.
fn is_too_long(directory: &Path, target: &Path) -> bool {
    let refused = |path: &Path| {
        path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::InvalidFilename)
    };
    let mut names = target.strip_prefix(directory).into_iter().flat_map(Path::iter);
    refused(target) || names.any(|name| refused(&directory.join(name)))
}

/// Whether a file has several names, of which each can be replaced alone.
#[cfg(unix)]
fn has_links(found: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(found) > 1
}

#[cfg(not(unix))]
fn has_links(_: &fs::Metadata) -> bool {
    false
}

fn identity(path: &Path) -> Option<Identity> {
    OsFs.symlink_metadata(path).ok().flatten().map(|found| found.identity)
}

/// Whether everything that exists between the two paths is a directory, and not a symbolic link to one.
fn can_hold(directory: &Path, target: &Path) -> Result<bool> {
    for above in between(directory, target) {
        match above.symlink_metadata() {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(Failure::io("look up", &above, &error)),
        }
    }
    Ok(true)
}

/// Creates the directories between the two paths. Returns false if something else is in the place of one.
fn make_room(directory: &Path, target: &Path) -> Result<bool> {
    for above in between(directory, target) {
        match fs::create_dir(&above) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found =
                    above.symlink_metadata().map_err(|error| Failure::io("look up", &above, &error))?;
                if !found.is_dir() {
                    return Ok(false);
                }
            }
            Err(error) => return Err(Failure::io("create", &above, &error)),
        }
    }
    Ok(true)
}

/// Returns the directories below `directory` that lead to `target`, outermost first.
fn between(directory: &Path, target: &Path) -> Vec<PathBuf> {
    let inside = |above: &&Path| *above != directory && above.starts_with(directory);
    let mut found: Vec<PathBuf> =
        target.ancestors().skip(1).take_while(inside).map(Path::to_path_buf).collect();
    found.reverse();
    found
}

fn is_file(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_file())
}

fn has_content(path: &Path, content: &[u8]) -> Result<bool> {
    let same_size = path.symlink_metadata().is_ok_and(|found| found.len() == content.len() as u64);
    Ok(same_size && fs::read(path).map_err(|error| Failure::io("read", path, &error))? == content)
}

/// Puts a file in its place in one step, so that an interrupted run leaves none that is cut. If one is replaced, its
/// permissions and its owner stay; otherwise nothing must be there.
fn put(path: &Path, content: &[u8], replaces: bool) -> Result<()> {
    // The name is short whatever the name of the file, and differs from any that a run in another container left behind.
    let fresh = path.with_file_name(format!(".octoprompt-storage-{}-{}.new", std::process::id(), now_ms()));
    create(&fresh, content, replaces)?;
    let placed = if replaces {
        OsFs.copy_permissions(path, &fresh).and_then(|()| fs::rename(&fresh, path))
    } else {
        match fs::hard_link(&fresh, path) {
            Ok(()) => fs::remove_file(&fresh),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
            // Some file systems have no links.
            Err(_) => fs::rename(&fresh, path),
        }
    };
    placed.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        Failure::io("write", path, &error)
    })
}

/// Creates a file that must not exist. Nobody else can read it if it is `private`.
fn create(path: &Path, content: &[u8], private: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    if private {
        make_private(&mut options);
    }
    let mut file = options.open(path).map_err(|error| Failure::io("create", path, &error))?;
    file.write_all(content).map_err(|error| {
        let _ = fs::remove_file(path);
        Failure::io("write", path, &error)
    })
}

#[cfg(unix)]
fn make_private(options: &mut OpenOptions) {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
}

/// Without modes, a file is as private as its directory.
#[cfg(not(unix))]
fn make_private(_: &mut OpenOptions) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_not_overwritten_by_another_whose_path_leads_to_it() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (directory, mut done) = (directory.path(), HashSet::new());
        let mut write = |name: &str, content: &str| {
            write(directory, &directory.join(name), content.as_bytes(), true, &mut done).expect("possible")
        };
        assert_eq!(write("Readme", "first"), Ok(true));
        // As where case does not matter, both names are those of one file.
        fs::hard_link(directory.join("Readme"), directory.join("readme")).expect("linked");
        assert_eq!(write("readme", "second"), Err(SAME_FILE));
        assert_eq!(write("readme", "first"), Ok(false));
        assert_eq!(fs::read(directory.join("Readme")).expect("read"), b"first");
    }
}
