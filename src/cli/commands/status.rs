//! `status`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::console::Style;
use crate::engine::backup::list_backups;
use crate::engine::migration::StateFile;
use crate::failure::Result;
use crate::project::Files;
use crate::{Run, display};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    base_path: String,
    projects: usize,
    /// The number of files in their latest version.
    files: usize,
    versions: usize,
    databases: Vec<OnDisk>,
    /// Whether the projects can only be read.
    read_only: bool,
    migrations: Migrations,
    backups: Backups,
}

#[derive(Serialize)]
struct OnDisk {
    path: String,
    bytes: u64,
    #[serde(skip)]
    read_only: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Migrations {
    current_version: String,
    applied: usize,
    failed: usize,
}

#[derive(Serialize)]
struct Backups {
    complete: usize,
    incomplete: usize,
    /// The name of the latest complete backup.
    latest: Option<String>,
    /// When that backup was made, in milliseconds since 1970.
    created: Option<u64>,
}

pub fn status(run: &mut Run) -> Result<()> {
    let databases = run.place.databases()?;
    let (mut projects, mut files, mut versions, mut read_only) = (0, 0, 0, false);
    if run.place.has_projects()? {
        let reader = run.reader()?;
        read_only = reader.database.is_read_only();
        for project in reader.projects()? {
            let found = reader.heads(&Files::of(project.id()), |_| true)?;
            projects += 1;
            versions += found.len();
            files += found.iter().filter(|file| file.chain().is_latest).count();
        }
        run.console.warn_all(&reader.database.take_warnings());
    }
    let of_projects = run.place.directory();
    let on_disk = |path: &PathBuf| OnDisk {
        path: run.place.relative(path),
        bytes: bytes_in(path),
        read_only: read_only && *path == of_projects,
    };
    let status = Status {
        base_path: run.place.base().to_string_lossy().into_owned(),
        projects,
        files,
        versions,
        databases: databases.iter().map(on_disk).collect(),
        read_only,
        migrations: migrations(run)?,
        backups: backups(run)?,
    };
    if run.console.is_json() {
        return run.console.document(&status);
    }
    for (name, value) in status.told() {
        let name = run.console.paint(Style::Dim, &format!("{name:10}"));
        run.console.line(&format!("{name}  {}", display::line(&value)))?;
    }
    Ok(())
}

impl Status {
    fn told(&self) -> Vec<(&'static str, String)> {
        let mut told = vec![
            ("base path", self.base_path.clone()),
            ("projects", self.projects.to_string()),
            ("files", format!("{} in {}", self.files, display::count(self.versions as u64, "version"))),
        ];
        for database in &self.databases {
            let read_only = if database.read_only { ", which can only be read" } else { "" };
            let told_as = format!("{}, {}{read_only}", database.path, display::size(database.bytes));
            told.push(("database", told_as));
        }
        let Migrations { current_version, applied, failed } = &self.migrations;
        told.push((
            "migrations",
            match (applied, failed) {
                (0, 0) => "none was applied".to_owned(),
                (_, 0) => format!("version {current_version}, {applied} applied"),
                _ => format!("version {current_version}, {applied} applied, {failed} failed"),
            },
        ));
        told.push((
            "backups",
            match (&self.backups.latest, self.backups.created) {
                (Some(name), Some(created)) => {
                    format!("{}, the latest {name}, {}", self.backups.complete, display::ago(created))
                }
                _ => "none; `backup` makes one".to_owned(),
            },
        ));
        told
    }
}

fn migrations(run: &Run) -> Result<Migrations> {
    let state = StateFile::of(&run.place.site().base).load()?;
    let counting = state.counting();
    let applied = counting.values().filter(|record| record.success).count();
    Ok(Migrations { current_version: state.current().to_string(), applied, failed: counting.len() - applied })
}

fn backups(run: &Run) -> Result<Backups> {
    let all = list_backups(&run.place.site())?;
    let complete: Vec<_> = all.iter().filter(|backup| backup.is_complete()).collect();
    let latest = complete.last();
    Ok(Backups {
        complete: complete.len(),
        incomplete: all.len() - complete.len(),
        latest: latest.map(|backup| backup.name.clone()),
        created: latest.and_then(|backup| backup.created),
    })
}

/// Returns the bytes of all files in a directory. Whatever vanishes in the meantime, or cannot be listed, counts as nothing.
fn bytes_in(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(found) if found.is_file() => found.len(),
        _ => 0,
    };
    entries.map(size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_database_that_can_only_be_read_is_called_so() {
        let on_disk = |path: &str, read_only| OnDisk { path: path.to_owned(), bytes: 1, read_only };
        let status = Status {
            base_path: String::new(),
            projects: 0,
            files: 0,
            versions: 0,
            databases: vec![on_disk("data/notes", false), on_disk("data/project_storage", true)],
            read_only: true,
            migrations: Migrations { current_version: "0.0.0".to_owned(), applied: 0, failed: 0 },
            backups: Backups { complete: 0, incomplete: 0, latest: None, created: None },
        };
        let told = status.told().into_iter().filter(|(name, _)| *name == "database");
        let told: Vec<String> = told.map(|(_, value)| value).collect();
        assert_eq!(told, ["data/notes, 1 B", "data/project_storage, 1 B, which can only be read"]);
    }
}
