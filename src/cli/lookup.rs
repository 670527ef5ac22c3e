//! Finding what a person named: a project by its id, name or path, or a file by its id or path.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::display;
use super::failure::{Failure, Result};
use super::record::Record;
use crate::engine::document::DocumentId;
use crate::engine::fs::{Fs, OsFs};
use crate::engine::{Database, Part, Queryable, ReadOptions, normal_path};
use crate::project::project_store;
use crate::project::{Chain, Files};

/// What a run reads from: the database and how to read it.
pub struct Reader {
    pub database: Arc<Database>,
    pub options: ReadOptions,
}

/// A file that was found.
pub struct Found {
    pub project: Record,
    pub files: Files,
    pub file: Record,
}

impl Reader {
    /// Returns all projects, ids ascending.
    pub fn projects(&self) -> Result<Vec<Record>> {
        let all = self.database.filter(&project_store::collection(), Part::Whole, self.options, |_| true)?;
        Ok(all.into_iter().map(Record::new).collect())
    }

    /// Returns the project with this id, or else with this path, or else with this name. A path may be relative to
    /// `directory`.
    ///
    /// # Errors
    /// `NOT_FOUND`, or `AMBIGUOUS` if several projects have the name or path.
    pub fn project(&self, named: &str, directory: &Path) -> Result<Record> {
        let projects = self.projects()?;
        let of = |is: &dyn Fn(&Record) -> bool| -> Vec<&Record> {
            projects.iter().filter(|project| is(project)).collect()
        };
        let id: Option<u64> = named.parse().ok();
        let mut found = vec![
            of(&|project| Some(project.id()) == id),
            of(&|project| project.text("path") == named),
            of(&|project| project.text("name") == named),
        ];
        for path in on_disk(named, directory) {
            found.push(of(&|project| project.text("path") == path.to_string_lossy()));
        }
        match found.into_iter().find(|found| !found.is_empty()).as_deref() {
            Some([project]) => Ok((*project).clone()),
            Some(several) => Err(Failure::ambiguous(format!(
                "{} are called {}: give an id, {}",
                display::count(several.len() as u64, "project"),
                display::line(named),
                several.iter().map(|project| project.id().to_string()).collect::<Vec<_>>().join(" or ")
            ))),
            None => Err(Failure::not_found(format!(
                "no project has the id, the name or the path {}; `projects` lists them",
                display::line(named)
            ))),
        }
    }

    /// Returns the projects to look in: the one that is named, or all.
    pub fn projects_in(&self, named: Option<&str>, directory: &Path) -> Result<Vec<Record>> {
        match named {
            Some(named) => Ok(vec![self.project(named, directory)?]),
            None => self.projects(),
        }
    }

    /// Returns the file with this id, or else the latest version at this path, which is one in a project or, if no project
    /// has it, one relative to `directory`.
    ///
    /// # Errors
    /// `NOT_FOUND`, or `AMBIGUOUS` if several projects have one.
    pub fn file(&self, named: &str, projects: &[Record], directory: &Path) -> Result<Found> {
        let mut found = Vec::new();
        if let DocumentId::Number(id) = DocumentId::from_key(named) {
            for project in projects {
                found.extend(self.file_where(project, |_| Ok(Some(id.into())))?);
            }
        }
        if found.is_empty() {
            for project in projects {
                found.extend(self.file_where(project, |files| Files::at_path(named.as_bytes(), files))?);
            }
        }
        for path in on_disk(named, directory) {
            if !found.is_empty() {
                break;
            }
            for project in projects {
                let root = PathBuf::from(project.text("path"));
                if root.is_absolute() && path.starts_with(&root) {
                    let path = display::below(&path, &root);
                    found.extend(self.file_where(project, |files| Files::at_path(path.as_bytes(), files))?);
                }
            }
        }
        let several: Vec<String> = found.iter().map(|found| found.project.id().to_string()).collect();
        match found.pop() {
            Some(found) if several.len() == 1 => Ok(found),
            Some(_) => Err(Failure::ambiguous(format!(
                "{} have a file {}: say which with --project, {}",
                display::count(several.len() as u64, "project"),
                display::line(named),
                several.join(" or ")
            ))),
            None => Err(Failure::not_found(format!(
                "no file has the id or the path {}; `files` and `search` find them",
                display::line(named)
            ))),
        }
    }

    fn file_where(
        &self,
        project: &Record,
        choose: impl Fn(&Queryable<'_>) -> crate::engine::Result<Option<DocumentId>>,
    ) -> Result<Option<Found>> {
        let files = Files::of(project.id());
        let choose = |queryable: &Queryable<'_>| Ok(choose(queryable)?.into_iter().collect());
        let mut texts = self.database.select(&files.spec, Part::Whole, self.options, choose)?;
        let file = texts.pop().map(Record::new);
        Ok(file.map(|file| Found { project: project.clone(), files, file }))
    }

    /// Returns the files of a project that `keep` selects, without their contents and ordered by path.
    pub fn heads(&self, files: &Files, keep: impl Fn(&Chain) -> bool + Sync) -> Result<Vec<Record>> {
        let wanted = |head: &[u8]| keep(&crate::project::chain_of(head));
        let mut heads = self.database.filter(&files.spec, Part::Head, self.options, wanted)?;
        crate::project::sort_by_path(&mut heads);
        Ok(heads.into_iter().map(Record::new).collect())
    }

    /// Returns files with their contents, in the order of `ids`.
    pub fn whole(&self, files: &Files, ids: &[u64]) -> Result<Vec<Record>> {
        let choose = |_: &crate::engine::Queryable<'_>| Ok(ids.iter().map(|&id| id.into()).collect());
        let texts = self.database.select(&files.spec, Part::Whole, self.options, choose)?;
        Ok(texts.into_iter().map(Record::new).collect())
    }
}

/// Returns the absolute path of what is called so in a directory, as it is given and without symbolic links, which an import
/// does not keep in the path of its project.
fn on_disk(named: &str, directory: &Path) -> Vec<PathBuf> {
    let given = normal_path(&directory.join(named));
    let real = OsFs.canonical(&given).ok().filter(|real| *real != given);
    std::iter::once(given).chain(real).collect()
}
