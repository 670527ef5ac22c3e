//! Generations of the journal: creating them, opening them, and telling which one counts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WarningCode;
use super::kept_bytes::{cut_path, says_nothing};
use super::recovery::Until;
use crate::engine::checksum::{DatabaseId, Salt};
use crate::engine::error::{Error, IoContext, Result};
use crate::engine::fs::{File, FileBytes, Fs, OpenMode, read_all};
use crate::engine::journal::{
    BODY_START, FORMAT, Header, Lines, RESERVED, TipSlot, behind_first_line, encode_line, journal_generation,
    journal_path, parse_header, parse_version, verify_line, without_room,
};

/// Reads the header of a journal. Returns the header, the checksum of its line and the offset where that line ends;
/// `None` if the first line is not a header of this generation.
pub fn read_header(journal: &dyn File, path: &Path, generation: u64) -> Result<Option<(Header, u64, u64)>> {
    let mut start = vec![0; 4096];
    loop {
        let read = journal.read_at(&mut start, 0).at("read", path)?;
        if let Some(length) = memchr::memchr(b'\n', &start[..read]) {
            return parse_first_line(&start[..length], path, generation);
        }
        if read < start.len() {
            return Ok(None);
        }
        start.resize(start.len() * 4, 0);
    }
}

fn parse_first_line(line: &[u8], path: &Path, generation: u64) -> Result<Option<(Header, u64, u64)>> {
    let Some(body) = line.get(BODY_START..line.len().saturating_sub(1)) else { return Ok(None) };
    let Some(version) = parse_version(body) else { return Ok(None) };
    let Some((_, checksum)) = verify_line(line, Salt::new(version.database, version.generation)) else {
        return Ok(None);
    };
    if version.format > FORMAT {
        return Err(Error::UnsupportedFormat {
            path: path.to_path_buf(),
            found: version.format,
            known: FORMAT,
        });
    }
    let Some(header) = parse_header(body) else { return Ok(None) };
    Ok((header.generation == generation).then_some((header, checksum, line.len() as u64 + 1)))
}

/// A journal read into memory.
pub struct Generation {
    pub header: Header,
    pub checksum: u64,
    pub body_start: usize,
    pub bytes: FileBytes,
    pub file: Arc<dyn File>,
    pub path: PathBuf,
}

impl Generation {
    pub fn salt(&self) -> Salt {
        Salt::new(self.header.database, self.header.generation)
    }

    pub fn lines<'a>(&'a self, end: usize) -> Lines<'a> {
        Lines::new(&self.bytes[..end], self.salt(), self.body_start, self.header.seq, self.checksum)
    }
}

pub fn open_generation(
    fs: &dyn Fs,
    directory: &Path,
    generation: u64,
    mode: OpenMode,
) -> Result<Option<Generation>> {
    Ok(read_generation(fs, directory, generation, mode)?.ok())
}

/// Like [`open_generation`], but returns the bytes of a file whose first line is not a header of this generation. The
/// file is read once: while others may write, a header may be finished between two reads.
fn read_generation(
    fs: &dyn Fs,
    directory: &Path,
    generation: u64,
    mode: OpenMode,
) -> Result<std::result::Result<Generation, FileBytes>> {
    let path = journal_path(directory, generation);
    let file = fs.open(&path, mode).at("open", &path)?;
    let mut bytes = read_all(&*file).at("read", &path)?;
    let first = memchr::memchr(b'\n', &bytes).map(|end| parse_first_line(&bytes[..end], &path, generation));
    let Some((header, checksum, end)) = first.transpose()?.flatten() else { return Ok(Err(bytes)) };
    bytes.truncate(without_room(&bytes).len());
    Ok(Ok(Generation { header, checksum, body_start: end as usize, bytes, file, path }))
}

/// Returns the generations that have a file, in ascending order.
pub fn list_generations(fs: &dyn Fs, directory: &Path) -> Result<Vec<u64>> {
    let reserved = directory.join(RESERVED);
    let names = match fs.list_dir(&reserved) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.at("list", &reserved)?,
    };
    Ok(names.iter().filter_map(|name| journal_generation(name)).collect())
}

/// Creates the journal of a generation with its header. Returns the file, the checksum of the header line and the
/// offset where that line ends.
pub fn create_journal(
    fs: &dyn Fs,
    directory: &Path,
    header: &Header,
    sync_directory: bool,
) -> Result<(Arc<dyn File>, u64, u64)> {
    let path = journal_path(directory, header.generation);
    let body = serde_json::to_vec(header).unwrap_or_default();
    let mut line = Vec::with_capacity(body.len() + 32);
    let checksum = encode_line(&mut line, Salt::new(header.database, header.generation), &body);
    let file = fs.open(&path, OpenMode::CreateNew).at("create", &path)?;
    file.write_at(&line, 0).at("write", &path)?;
    file.sync_data().at("sync", &path)?;
    if sync_directory {
        let reserved = directory.join(RESERVED);
        fs.sync_dir(&reserved).at("sync directory", &reserved)?;
    }
    Ok((file, checksum, line.len() as u64))
}

pub fn bad_header(directory: &Path, generation: u64) -> Error {
    Error::corrupt(&journal_path(directory, generation), 0, "the header is damaged; restore a backup")
}

/// The newest generation that was ever used, and the files of later ones.
pub struct Newest {
    pub generation: Option<Generation>,
    pub unused: Vec<Unused>,
}

/// The file of a generation that does not count, because nothing was ever written to it.
pub struct Unused {
    generation: u64,
    path: PathBuf,
    /// Whether it has a whole header: nobody needs a copy of it then.
    is_whole: bool,
}

/// Finds the newest generation that was ever used. Changes nothing.
pub fn newest(fs: &dyn Fs, directory: &Path, generations: &[u64], until: Until) -> Result<Newest> {
    let mut unused = Vec::new();
    for &generation in generations.iter().rev() {
        let path = journal_path(directory, generation);
        let newest = read_generation(fs, directory, generation, until.mode())?;
        let is_whole = newest.is_ok();
        match newest {
            Ok(newest) if !was_never_used(fs, directory, &newest, generations, until)? => {
                return Ok(Newest { generation: Some(newest), unused });
            }
            Err(bytes) if !is_unfinished(&bytes, generation, until.tip()) => {
                return Err(bad_header(directory, generation));
            }
            Ok(_) | Err(_) => {}
        }
        unused.push(Unused { generation, path, is_whole });
    }
    Ok(Newest { generation: None, unused })
}

/// Whether a journal without a valid header may be a creation that a crash cut short. `tip` was written since the
/// machine started.
pub fn is_unfinished(bytes: &[u8], generation: u64, tip: Option<TipSlot>) -> bool {
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |feed| feed + 1);
    behind_first_line(bytes).is_none() && tip.is_none_or(|tip| !tip.is_beyond(generation, end))
}

/// Moves journals that do not count out of the way. One without a valid header is kept under another name, unless it
/// holds nothing, because damage with nothing after it can look the same.
pub fn discard(
    fs: &dyn Fs,
    directory: &Path,
    unused: Vec<Unused>,
    warnings: &mut Vec<(WarningCode, String)>,
) -> Result<()> {
    for Unused { generation, path, is_whole } in unused {
        let file = fs.open(&path, OpenMode::Read).at("open", &path)?;
        let is_empty = is_whole || says_nothing(&read_all(&*file).at("read", &path)?);
        if is_empty {
            fs.remove_file(&path).at("remove", &path)?;
        } else {
            let copy = cut_path(fs, &path, generation, 0)?;
            fs.rename(&path, &copy).at("move aside", &path)?;
        }
        // Synced one by one: if only the later of two came back after a power loss, it would ask for the earlier one.
        let reserved = directory.join(RESERVED);
        fs.sync_dir(&reserved).at("sync directory", &reserved)?;
        if !is_whole {
            let what = if is_empty { "is removed" } else { "is moved aside" };
            let message = format!("{} was never finished and {what}", path.display());
            warnings.push((WarningCode::TailCut, message));
        }
    }
    Ok(())
}

/// Whether nothing was ever written to this generation. Its name may not be durable then, whatever a sync says now: the
/// sync that would have made it durable may have failed, or its process may have died. Others may have continued in the
/// generation before, which holds everything that counts.
fn was_never_used(
    fs: &dyn Fs,
    directory: &Path,
    newest: &Generation,
    generations: &[u64],
    until: Until,
) -> Result<bool> {
    let acknowledged =
        |tip: TipSlot| tip.generation == newest.header.generation && tip.end > newest.body_start as u64;
    if newest.bytes.len() > newest.body_start || until.tip().is_some_and(acknowledged) {
        return Ok(false);
    }
    if newest.header.previous.is_none() {
        return Ok(true);
    }
    let generation = newest.header.generation - 1;
    if !generations.contains(&generation) {
        return Ok(false);
    }
    let Some(older) = open_generation(fs, directory, generation, OpenMode::Read)? else {
        return Err(bad_header(directory, generation));
    };
    check_link(&older, newest)?;
    Ok(true)
}

/// Returns the highest number up to which this generation says that the snapshots hold every batch. If the header says
/// at least `wanted`, the lines are not read.
pub fn covered_by(generation: &Generation, wanted: u64) -> u64 {
    let in_header = generation.header.covered;
    if in_header >= wanted {
        return in_header;
    }
    let lines = generation.lines(generation.bytes.len());
    let in_lines = lines.filter_map(|line| line.body.ops.iter().filter_map(|op| op.covered).max()).max();
    in_lines.unwrap_or(0).max(in_header)
}

/// Checks that the older generation ends exactly where the newer one says.
pub fn check_link(older: &Generation, newer: &Generation) -> Result<()> {
    let previous = newer.header.previous.as_ref();
    let end = previous.map_or(0, |previous| previous.end as usize);
    if older.bytes.len() < end || older.header.database != newer.header.database {
        return Err(Error::corrupt(
            &older.path,
            older.bytes.len() as u64,
            "acknowledged batches are missing; restore a backup",
        ));
    }
    let mut lines = older.lines(end);
    while lines.next().is_some() {}
    let linked = lines.position == end
        && lines.seq == newer.header.seq
        && previous.is_some_and(|previous| previous.checksum.0 == lines.checksum);
    if linked {
        return Ok(());
    }
    Err(Error::corrupt(
        &older.path,
        lines.position as u64,
        "an acknowledged batch is damaged; restore a backup",
    ))
}

/// Creates the header of a new database, with a random id.
pub fn first_header() -> Result<Header> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        Error::io("draw a random id for", Path::new("the database"), &std::io::Error::other(error))
    })?;
    Ok(Header {
        format: FORMAT,
        database: DatabaseId(u128::from_le_bytes(id)),
        generation: 1,
        seq: 0,
        previous: None,
        removed: 0,
        covered: 0,
        catalog: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::database::{Database, DatabaseOptions};
    use crate::engine::fs::SimFs;
    use crate::engine::journal::encode_covered_journal;
    use crate::engine::lock::Wait;
    use crate::engine::verify::{ProblemCode, verify};

    const DIRECTORY: &str = "/database";

    /// Creates a database whose only journal has the file name of generation `file`, and holds these lines.
    fn with_journal(file: u64, lines: &[u8]) -> SimFs {
        let fs = SimFs::new();
        fs.make_dirs(format!("{DIRECTORY}/{RESERVED}"));
        fs.write_file(journal_path(Path::new(DIRECTORY), file), lines);
        fs
    }

    fn code_of_opening(fs: &SimFs) -> &'static str {
        let opened = Database::open(fs.handle(), Path::new(DIRECTORY), DatabaseOptions::default());
        opened.map(drop).expect_err("it is refused").code()
    }

    #[test]
    fn a_journal_of_a_later_format_is_refused_and_left_unchanged() {
        let header = Header { format: FORMAT + 1, ..first_header().expect("a header") };
        let id = header.database;
        // A later format may have other members, too.
        let mut other = Vec::new();
        let body = format!(r#"{{"format":{},"database":"{id}","generation":1,"catalog":7}}"#, header.format);
        encode_line(&mut other, Salt::new(id, 1), body.as_bytes());
        for lines in [encode_covered_journal(&header).expect("lines"), other] {
            let fs = with_journal(1, &lines);
            assert_eq!(code_of_opening(&fs), "UNSUPPORTED_FORMAT");
            let wait = Wait::at_most(std::time::Duration::from_secs(1));
            let report = verify(&fs.handle(), Path::new(DIRECTORY), wait).expect("verified");
            let codes: Vec<ProblemCode> = report.problems.iter().map(|problem| problem.code).collect();
            assert_eq!(codes, [ProblemCode::UnsupportedFormat]);
            assert_eq!(fs.read_file(journal_path(Path::new(DIRECTORY), 1)), Some(lines));
        }
    }

    #[test]
    fn a_journal_named_after_another_generation_is_damage() {
        let lines = encode_covered_journal(&first_header().expect("a header")).expect("lines");
        let fs = with_journal(2, &lines);
        assert_eq!(code_of_opening(&fs), "CORRUPT_DATA");
        assert_eq!(fs.read_file(journal_path(Path::new(DIRECTORY), 2)), Some(lines));
    }
}
