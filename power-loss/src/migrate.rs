//! A migration as a writer runs it, and what there is to see of it.

use std::fs;
use std::io::{ErrorKind, Result as IoResult};
use std::path::PathBuf;

use octoprompt_storage::engine::backup::Site;
use octoprompt_storage::engine::migration::{
    Goal, HeldData, Next, Registered, Registry, Run, StateFile, Undone, Version, acquire,
};
use octoprompt_storage::engine::{Database, Durability};

use crate::database::{identify, wait};
use crate::model::{APPLIED, Documents, FILES, Migration, text};
use crate::writer::{Outcome, write};

/// Runs a migration, if it has not happened yet.
pub fn migrate(site: &Site, database: &Database, writer: usize, migration: &Migration) -> Outcome<()> {
    let version = |number: u64| Version::parse(&format!("{number}.0.0"));
    let mut registry = Registry::default();
    let (own, description) = (version(migration.number)?, String::new());
    registry.register(Registered { version: own, description, reversible: true })?;
    let goal = match migration.back_to {
        Some(below) => Goal::Down(version(below)?),
        None => Goal::Latest,
    };
    let lock = acquire(site, wait())?;
    let protect = |lock| HeldData::take(site.clone(), lock, wait());
    let mut run = Run::start(lock, StateFile::of(&site.base), registry, &goal, protect)?;
    while let Next::Begin(_) = run.advance()? {
        work(site, database, writer, migration)?;
        if migration.fails {
            return match run.failed("it was to fail", 1)? {
                Undone::Recorded => Ok(()),
                Undone::NotRecorded(error) => Err(error.into()),
            };
        }
        run.succeeded(1)?;
    }
    Ok(())
}

/// Does the work, and leaves it to the run to sync it.
fn work(site: &Site, database: &Database, writer: usize, migration: &Migration) -> Outcome<()> {
    for batch in &migration.batches {
        write(database, std::slice::from_ref(batch), Durability::Os, writer)?;
        if migration.number.is_multiple_of(2) {
            database.checkpoint(wait())?;
        }
    }
    for &(_, id) in migration.beside.delete.iter().filter(|(kind, _)| *kind == FILES) {
        remove(file(site, id))?;
    }
    for &(_, id, version, len) in migration.beside.put.iter().filter(|(kind, ..)| *kind == FILES) {
        remove(file(site, id))?;
        fs::write(file(site, id), text(id, version, len))?;
    }
    Ok(())
}

fn remove(file: PathBuf) -> IoResult<()> {
    fs::remove_file(file)
        .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

/// Adds the files that are not the engine's to `documents`, and the migrations that are applied.
pub fn observe(site: &Site, documents: &mut Documents) -> Outcome<()> {
    for entry in fs::read_dir(site.base.data())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let Some(id) = name.strip_prefix(FILE) else { continue };
        let found = fs::read(site.base.data().join(&name))?;
        let (known, version, len) = identify(&found)
            .filter(|(known, ..)| known.to_string() == id)
            .ok_or_else(|| format!("{name} holds {:?}", String::from_utf8_lossy(&found)))?;
        documents.insert((FILES, known), (version, len));
    }
    for applied in StateFile::of(&site.base).load()?.applied() {
        let version = applied.version.to_string();
        documents.insert((APPLIED, version.trim_end_matches(".0").parse()?), (0, 0));
    }
    Ok(())
}

const FILE: &str = "file-";

/// Returns the place of a file that is not the engine's.
fn file(site: &Site, id: u64) -> PathBuf {
    site.base.data().join(format!("{FILE}{id}"))
}
