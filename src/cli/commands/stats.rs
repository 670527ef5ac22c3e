//! `stats`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::console::Style;
use crate::engine::Statistics;
use crate::failure::Result;
use crate::project::{file_collections, project_store};
use crate::table::Table;
use crate::{Run, display};

#[derive(Serialize)]
struct All {
    databases: Vec<Stats>,
}

/// A database on disk, and what this process has done to it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    path: String,
    read_only: bool,
    sequence: Sequence,
    disk: Disk,
    journal: Journal,
    collections: Vec<Collection>,
    writes: Writes,
    cache: Cache,
}

/// Sequence numbers of batches.
#[derive(Serialize)]
struct Sequence {
    acknowledged: u64,
    durable: u64,
    /// The JSON files contain all batches up to this one.
    covered: u64,
}

/// Bytes, by what they are for.
#[derive(Default, Serialize)]
struct Disk {
    json: u64,
    journals: u64,
    indexes: u64,
    /// Copies that were set aside, and all other files in the directory.
    other: u64,
    total: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Journal {
    generation: u64,
    files: u64,
    bytes: u64,
    pending_bytes: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Collection {
    path: String,
    /// Null if only the storage that owns the collection can read it.
    documents: Option<u64>,
    bytes: u64,
    changed_documents: u64,
    changed_bytes: u64,
}

/// The figures of this process; a server counts its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Writes {
    batches: u64,
    document_bytes: u64,
    amplification: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cache {
    hits: u64,
    misses: u64,
    hit_rate: Option<f64>,
}

pub fn stats(run: &mut Run) -> Result<()> {
    let mut all = Vec::new();
    for directory in run.place.databases()? {
        let database = run.place.open_directory(&directory)?;
        if directory == run.place.directory() {
            let options = run.place.read_options();
            database.view(&project_store::collection(), options)?;
            for files in file_collections(&database, options)? {
                database.view(&files, options)?;
            }
        }
        let statistics = database.statistics()?;
        run.console.warn_all(&database.take_warnings());
        all.push(Stats::of(run.place.relative(&directory), &directory, &statistics));
    }
    if run.console.is_json() {
        return run.console.document(&All { databases: all });
    }
    for (at, stats) in all.iter().enumerate() {
        if at > 0 {
            run.console.line("")?;
        }
        tell(run, stats)?;
    }
    Ok(())
}

impl Stats {
    fn of(path: String, directory: &Path, found: &Statistics) -> Stats {
        let collection = |found: &crate::engine::CollectionStatistics| Collection {
            path: found.path.to_string(),
            documents: found.documents,
            bytes: found.bytes,
            changed_documents: found.changed_documents,
            changed_bytes: found.changed_bytes,
        };
        let collections: Vec<Collection> = found.collections.iter().map(collection).collect();
        let (hits, misses) = (found.cache.hits, found.cache.misses);
        let looks = hits + misses;
        Stats {
            path,
            read_only: found.read_only,
            sequence: Sequence {
                acknowledged: found.sequence.acknowledged,
                durable: found.sequence.durable,
                covered: found.sequence.covered,
            },
            disk: Disk::of(directory, &collections),
            journal: Journal {
                generation: found.journal.generation,
                files: found.journal.files,
                bytes: found.journal.bytes,
                pending_bytes: found.journal.pending_bytes,
            },
            collections,
            writes: Writes {
                batches: found.writes.batches,
                document_bytes: found.writes.document_bytes,
                amplification: found.writes.amplification(),
            },
            cache: Cache { hits, misses, hit_rate: (looks > 0).then(|| hits as f64 / looks as f64) },
        }
    }

    /// Returns the bytes on disk for each byte that the JSON files will have after a checkpoint.
    fn share(&self) -> Option<f64> {
        let stored: u64 = self.collections.iter().map(|one| one.bytes.max(one.changed_bytes)).sum();
        (stored > 0).then(|| self.disk.total as f64 / stored as f64)
    }
}

impl Disk {
    fn of(directory: &Path, collections: &[Collection]) -> Disk {
        let mut disk = Disk::default();
        let json: HashSet<_> = collections.iter().map(|one| directory.join(&one.path)).collect();
        disk.add(directory, &json);
        disk.total = disk.json + disk.journals + disk.indexes + disk.other;
        disk
    }

    /// Adds what is in a directory. Whatever vanishes in the meantime, or cannot be listed, counts as nothing.
    fn add(&mut self, directory: &Path, json: &HashSet<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let engines = directory.ends_with(".storage");
            match entry.metadata() {
                Ok(found) if found.is_dir() => self.add(&path, json),
                Ok(found) if found.is_file() && json.contains(&path) => self.json += found.len(),
                Ok(found) if found.is_file() && engines && name.starts_with("journal-") => {
                    self.journals += found.len();
                }
                Ok(found) if found.is_file() && engines && name.starts_with("index-") => {
                    self.indexes += found.len();
                }
                Ok(found) if found.is_file() => self.other += found.len(),
                _ => {}
            }
        }
    }
}

fn tell(run: &mut Run, stats: &Stats) -> Result<()> {
    let Stats { disk, journal, sequence, .. } = stats;
    let heading = run.console.paint(Style::Strong, &display::line(&stats.path));
    run.console.line(&heading)?;
    let share = stats.share().map(|share| format!(", {share:.1} times what is stored")).unwrap_or_default();
    let waiting = sequence.acknowledged.saturating_sub(sequence.covered);
    let rows = [
        ("disk", format!("{}{share}", display::size(disk.total))),
        ("json", display::size(disk.json)),
        (
            "journals",
            format!("{} in {}", display::size(disk.journals), display::count(journal.files, "file")),
        ),
        ("indexes", display::size(disk.indexes)),
        ("other", display::size(disk.other)),
        ("batches", format!("{}, {waiting} of them not in the JSON files yet", sequence.acknowledged)),
    ];
    for (name, value) in rows {
        let name = run.console.paint(Style::Dim, &format!("{name:8}"));
        run.console.line(&format!("  {name}  {value}"))?;
    }
    let mut table = Table::new(&["COLLECTION", ">DOCUMENTS", ">SIZE", ">CHANGED", ">BYTES"]);
    for one in &stats.collections {
        table.row(
            Style::Plain,
            [
                &one.path,
                &one.documents.map_or("?".to_owned(), |documents| documents.to_string()),
                &display::size(one.bytes),
                &one.changed_documents.to_string(),
                &display::size(one.changed_bytes),
            ],
        );
    }
    run.console.table(table)
}
