//! A process that writes to the database and marks on the disk what was acknowledged.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};

use octoprompt_storage::engine::backup::{BackupOptions, Site, back_up, restore};
use octoprompt_storage::engine::{
    Database, DocumentFile, Durability, Mutant, Request, Transaction, WriteOptions,
};

use crate::database::{open, site, spec, to_the_end, wait};
use crate::guest::Settings;
use crate::marks::Marks;
use crate::migrate::migrate;
use crate::model::{Batch, Op, PATHS, parts, text};

pub type Outcome<T> = Result<T, Box<dyn Error>>;
type EngineResult<T> = octoprompt_storage::engine::Result<T>;

/// Lives the life of a writer, from where a process that was killed has left it.
pub fn run(settings: &Settings, writer: usize) -> Outcome<()> {
    let life = settings.life(writer);
    let marks = Marks::open(&settings.disk, settings.size, writer)?;
    let site = site(Path::new(&settings.base()), settings.mutant()?, settings.seed % 2 == 1);
    let mut database = Some(open(&site)?);
    let acknowledged = marks.last()?.saturating_sub(1);
    // A mark counts the acknowledged operations, and the opening of the database.
    marks.set(acknowledged + 1)?;
    for (at, op) in life.ops.iter().enumerate().skip(acknowledged as usize) {
        while let Err(error) = run_one(settings, &site, &mut database, writer, op) {
            if !is_half_migrated(&*error) {
                return Err(format!("operation {at} of writer {writer}, {op:?}: {error}").into());
            }
            database = Some(open(&site)?);
        }
        marks.set(at as u64 + 2)?;
    }
    Ok(())
}

/// Whether the other writer was killed in a migration. Once both have closed the database, the next to open it undoes that.
fn is_half_migrated(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<octoprompt_storage::engine::Error>();
    error.is_some_and(|error| error.code() == "MIGRATION_FAILED")
}

fn run_one(
    settings: &Settings,
    site: &Site,
    database: &mut Option<Arc<Database>>,
    writer: usize,
    op: &Op,
) -> Outcome<()> {
    let handle = database.take().ok_or("the database is closed")?;
    match op {
        Op::Write { batches, durable } => {
            write(&handle, batches, settings.durability(*durable), writer)?;
        }
        Op::Checkpoint => handle.checkpoint(wait())?,
        Op::Persist => {
            for collection in 0..PATHS.len() {
                handle.persist_indexes(&spec(collection), crate::database::READ)?;
            }
        }
        Op::BackUp(number) => {
            let options = BackupOptions { include: Vec::new(), wait: wait() };
            match back_up(site, Some(&backup_name(*number)), &options, &mut to_the_end()) {
                // A process that was killed before it could mark this made it.
                Err(error) if error.code() == "ALREADY_EXISTS" => {}
                made => drop(made?),
            }
        }
        Op::Restore(number) => {
            drop(handle);
            restore(site, Path::new(&backup_name(*number)), wait(), &mut to_the_end())?;
            *database = Some(open(site)?);
            return Ok(());
        }
        Op::Migrate(migration) => migrate(site, &handle, writer, migration)?,
        Op::Reopen => {
            drop(handle);
            *database = Some(open(site)?);
            return Ok(());
        }
    }
    *database = Some(handle);
    Ok(())
}

pub fn backup_name(number: usize) -> String {
    format!("backup-{number}")
}

/// Writes batches as one group.
pub fn write(database: &Database, batches: &[Batch], durability: Durability, writer: usize) -> Outcome<()> {
    let results: Arc<Mutex<Vec<EngineResult<()>>>> = Arc::default();
    let mut drain = false;
    for batch in batches {
        let (batch, files, results) = (batch.clone(), files(database, batch)?, Arc::clone(&results));
        let request = Request::new(
            WriteOptions { durability, wait: wait() },
            move |transaction| put(transaction, &batch, files, writer),
            move |result| {
                if let Ok(mut results) = results.lock() {
                    results.push(result);
                }
            },
        );
        drain |= database.submit(request);
    }
    if drain {
        database.drain();
    }
    let results = std::mem::take(&mut *results.lock().map_err(|error| error.to_string())?);
    if results.len() != batches.len() {
        return Err("a batch was not answered".into());
    }
    Ok(results.into_iter().collect::<EngineResult<()>>()?)
}

/// Stores the documents of a batch in files of their own, if they are to have such.
fn files(database: &Database, batch: &Batch) -> EngineResult<Vec<DocumentFile>> {
    let put = batch.put.iter().filter(|_| batch.in_files);
    put.map(|&(_, id, version, len)| {
        let (head, content) = parts(id, version, len);
        let mut spool = database.spool("content", head.len() as u64 + 5)?;
        content.as_bytes().chunks(64 << 10).try_for_each(|piece| spool.append(piece))?;
        database.seal(spool, head.as_bytes())
    })
    .collect()
}

fn put(
    transaction: &mut Transaction<'_>,
    batch: &Batch,
    files: Vec<DocumentFile>,
    writer: usize,
) -> EngineResult<()> {
    if batch.drop {
        transaction.drop_collection(&spec(1 + writer))?;
        transaction.remove_path(&format!("data/{writer}"))?;
    }
    for &(collection, id) in &batch.delete {
        transaction.delete(&spec(collection), id.into())?;
    }
    let mut files = files.into_iter();
    for &(collection, id, version, len) in &batch.put {
        match files.next() {
            Some(file) => transaction.put_file(&spec(collection), id.into(), file)?,
            None => transaction.put(&spec(collection), id.into(), text(id, version, len).into_bytes())?,
        }
    }
    Ok(())
}

/// The wrong variants of the protocol that can be switched on by name. Others, such as those that miss a sync of a directory,
/// do no harm here: these file systems keep the order of changes of names.
pub fn mutant(name: &str) -> Outcome<Option<Mutant>> {
    let known: BTreeMap<String, Mutant> = [
        Mutant::RenameBeforeSync,
        Mutant::JournalResetInPlace,
        Mutant::ManifestBeforeFiles,
        Mutant::ReplaceWithoutIntent,
        Mutant::LineBeforeDocumentFile,
        Mutant::DiscardBeforeSync,
    ]
    .into_iter()
    .map(|mutant| (format!("{mutant:?}"), mutant))
    .collect();
    if name.is_empty() || name == Settings::LIES {
        return Ok(None);
    }
    Ok(Some(
        *known
            .get(name)
            .ok_or_else(|| format!("the mutants are {} and {:?}", Settings::LIES, known.keys()))?,
    ))
}
