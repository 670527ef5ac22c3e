//! Reading journals as far as they can be read, and reporting what cannot.
//!
//! Recovery refuses at the first damaged line. Here reading continues after it, with every later batch whose own checksum is
//! right and that is proven to have been acknowledged.

use std::collections::HashSet;
use std::iter;
use std::path::Path;
use std::sync::Arc;

use super::cut::Cut;
use super::report::{Problem, ProblemCode, Severity, count};
use crate::engine::checksum::{DatabaseId, Salt};
use crate::engine::database::generations::{is_unfinished, read_header};
use crate::engine::database::path_map::PathMap;
use crate::engine::database::recovery::{Source, apply};
use crate::engine::database::state::State;
use crate::engine::error::{IoContext, Result};
use crate::engine::fs::{File, FileBytes, read_all};
use crate::engine::journal::{
    Body, Header, NO_SLOT, RESERVED, TipSlot, behind_first_line, journal_name, parse_batch, verify_line,
    without_room,
};

/// The journals of a database, taken together.
pub struct Journals {
    /// The state that they describe. Nothing is loaded; the documents are in `state.files`.
    pub state: State,
    /// Removals of paths that may not have been carried out yet.
    pub removals: PathMap<u64>,
    /// The files of documents to which lines refer.
    pub named: HashSet<String>,
    /// How many bytes they have.
    pub bytes: u64,
    /// No batch has a higher sequence number, not even a damaged one.
    pub highest_seq: u64,
    /// No file has a higher generation.
    pub highest_generation: u64,
    pub problems: Vec<Problem>,
}

/// One file, in memory.
struct Journal {
    generation: u64,
    /// Relative to the database's directory.
    name: String,
    bytes: FileBytes,
    file: Arc<dyn File>,
    /// The header, the checksum of its line, and where that line ends.
    header: Option<(Header, u64, usize)>,
}

/// What is known of the previous line.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    seq: u64,
    /// `None` if that line is lost.
    checksum: Option<u64>,
}

impl Journals {
    /// # Errors
    /// `UNSUPPORTED_FORMAT`, `IO_ERROR`.
    pub fn read(directory: &Path, cut: &Cut, boot_id: u128) -> Result<Journals> {
        let mut files = Vec::with_capacity(cut.journals.len());
        for (generation, file) in &cut.journals {
            files.push(Journal::read(directory, *generation, Arc::clone(file))?);
        }
        let database = files.iter().find_map(|journal| Some(journal.header.as_ref()?.0.database));
        let mut reading = Reading::new(database);
        reading.journals.bytes = files.iter().map(|journal| journal.bytes.len() as u64).sum();
        reading.journals.highest_generation = files.last().map_or(0, |journal| journal.generation);
        let tip = cut.tip.filter(|tip| !cut.alone || tip.is_of_boot(boot_id));
        if let Some(tip) = tip {
            reading.journals.highest_seq = tip.seq;
            if tip.poisoned {
                let message = "a sync failed, so nothing more is written; close the database everywhere and open it again";
                reading.note(Problem::new(ProblemCode::Poisoned, name_of("tip"), message));
            }
        }
        if !cut.alone {
            match tip {
                None => {
                    reading.note(Problem::new(ProblemCode::TipDamaged, name_of("tip"), NO_SLOT));
                }
                // What follows the end of the tip was never acknowledged: someone is writing it, or died while writing it.
                Some(tip) => {
                    files.retain(|journal| journal.generation <= tip.generation);
                    if let Some(last) = files.last_mut().filter(|last| last.generation == tip.generation) {
                        last.bytes.truncate(usize::try_from(tip.end).unwrap_or(usize::MAX));
                    }
                }
            }
        }
        reading.drop_unfinished(&mut files, tip);
        let durable = tip.filter(|tip| !tip.poisoned).map_or(0, |tip| tip.seq);
        for at in 0..files.len() {
            reading.take_in(&files[at..], durable, cut);
        }
        reading.judge_end(files.last(), durable);
        Ok(reading.finish())
    }
}

impl Journal {
    fn read(directory: &Path, generation: u64, file: Arc<dyn File>) -> Result<Journal> {
        let name = name_of(&journal_name(generation));
        let path = directory.join(&name);
        let header = read_header(&*file, &path, generation)?;
        let header = header.map(|(header, checksum, end)| (header, checksum, end as usize));
        let mut bytes = read_all(&*file).at("read", &path)?;
        bytes.truncate(without_room(&bytes).len());
        Ok(Journal { generation, name, bytes, file, header })
    }

    fn problem(&self, code: ProblemCode, at: usize, message: impl Into<String>) -> Problem {
        Problem::new(code, self.name.as_str(), message).at(at as u64)
    }

    fn damage(&self, at: usize, message: impl Into<String>) -> Problem {
        self.problem(ProblemCode::JournalDamaged, at, message)
    }

    /// Returns the highest sequence number up to which this journal says that the snapshots hold every batch.
    fn covered(&self) -> u64 {
        let Some((header, _, end)) = &self.header else { return 0 };
        let lines = self.bytes.get(*end..).unwrap_or_default();
        let in_lines = valid_lines(lines, salt_of(self, header.database)).map(|(_, body)| covered_in(&body));
        in_lines.max().unwrap_or(0).max(header.covered)
    }
}

fn name_of(name: &str) -> String {
    format!("{RESERVED}/{name}")
}

/// The problems of a generation, and what it says of the snapshots.
struct Found {
    generation: u64,
    problems: Vec<Problem>,
    /// The last sequence number of the previous generation; `None` if it cannot be known.
    seq: Option<u64>,
    /// The snapshots hold every batch up to this sequence number.
    covered: u64,
}

/// The journals as far as they have been read.
struct Reading {
    journals: Journals,
    found: Vec<Found>,
    place: Option<Place>,
}

impl Reading {
    fn new(database: Option<DatabaseId>) -> Reading {
        let state = State { database: database.unwrap_or(DatabaseId(0)), ..State::empty() };
        let journals = Journals {
            state,
            removals: PathMap::default(),
            named: HashSet::new(),
            bytes: 0,
            highest_seq: 0,
            highest_generation: 0,
            problems: Vec::new(),
        };
        Reading { journals, found: Vec::new(), place: None }
    }

    fn note(&mut self, problem: Problem) {
        self.journals.problems.push(problem);
    }

    /// Drops the files that recovery removes: the last one, if a crash cut its creation short, or if nothing was written to
    /// it and others continued in the one before.
    fn drop_unfinished(&mut self, files: &mut Vec<Journal>, tip: Option<TipSlot>) {
        while let Some(last) = files.last() {
            let unfinished = match (&last.header, files.len().checked_sub(2).map(|at| &files[at])) {
                (None, _) => is_unfinished(&last.bytes, last.generation, tip),
                (Some((header, _, end)), Some(before)) => {
                    let linked = header.previous.map_or(0, |previous| previous.end as usize);
                    let after = before.bytes.get(linked..).unwrap_or_default();
                    last.bytes.len() <= *end && first_valid(after, salt_of(before, header.database)).is_some()
                }
                (Some(_), None) => false,
            };
            if !unfinished {
                return;
            }
            let message = "it was never finished; the next opening removes it";
            self.journals.problems.push(Problem::new(ProblemCode::Leftover, last.name.as_str(), message));
            files.pop();
        }
    }

    /// Reads the first of these files; the others follow it.
    fn take_in(&mut self, files: &[Journal], durable: u64, cut: &Cut) {
        let Some((journal, newer)) = files.split_first() else { return };
        let mut problems = Vec::new();
        let Some((start, salt)) = self.begin(journal, newer, &mut problems) else {
            self.place = None;
            self.found.push(Found { generation: journal.generation, problems, seq: None, covered: 0 });
            return;
        };
        let next = newer.first().filter(|next| next.generation == journal.generation + 1);
        let next_header = next.and_then(|next| next.header.as_ref()).map(|(header, _, _)| header);
        let linked = next_header.and_then(|header| header.previous);
        let stop = linked.map_or(journal.bytes.len(), |previous| previous.end as usize);
        let durable = next_header.map_or(durable, |header| header.seq);
        let file =
            self.journals.state.files_mut().add_open(Path::new(&journal.name), Arc::clone(&journal.file));
        let header_seq = start.seq;
        let mut covered = journal.header.as_ref().map_or(0, |(header, _, _)| header.covered);
        let mut place = start;
        let bytes = &journal.bytes[..stop.min(journal.bytes.len())];
        while place.at < bytes.len() {
            let Some((body, checksum, end)) =
                line_at(bytes, place.at, salt).filter(|line| follows(line, &place))
            else {
                match self.skip(journal, bytes, place, salt, durable, &mut problems) {
                    Some(on) => place = on,
                    None => break,
                }
                continue;
            };
            covered = covered.max(covered_in(&body));
            let journals = &mut self.journals;
            let mut find = |name: &str| {
                journals.named.insert(name.to_owned());
                cut.document(name)
            };
            let mut source = Source { bytes, file, find: &mut find };
            apply(&mut journals.state, &mut source, &body, true, &mut journals.removals);
            place = Place { at: end, seq: body.seq, checksum: Some(checksum) };
        }
        // Nothing behind a damaged batch could be read, so all of those batches were reported with it.
        let is_told = |problem: &Problem| {
            problem.code == ProblemCode::JournalDamaged && problem.offset == Some(place.at as u64)
        };
        if let Some(header) = next_header
            && !problems.last().is_some_and(is_told)
        {
            problems.extend(end_damage(journal, place, header));
        }
        let position = &mut self.journals.state.position;
        (position.generation, position.seq, position.end) = (journal.generation, place.seq, place.at as u64);
        self.journals.highest_seq = self.journals.highest_seq.max(place.seq);
        self.place = Some(place);
        self.found.push(Found { generation: journal.generation, problems, seq: Some(header_seq), covered });
    }

    /// Returns where the lines of a journal begin. A damaged header loses nothing, because the previous journal says the
    /// same.
    fn begin(
        &mut self,
        journal: &Journal,
        newer: &[Journal],
        problems: &mut Vec<Problem>,
    ) -> Option<(Place, Salt)> {
        let state = &mut self.journals.state;
        if let Some((header, checksum, end)) = &journal.header {
            if state.database != header.database {
                problems.push(
                    journal.damage(0, "it belongs to another database; remove it, or restore a backup"),
                );
                return None;
            }
            // A journal without a predecessor begins the database anew, and a deleted generation that a power loss brought
            // back means nothing without those that followed it.
            if header.previous.is_none()
                || (state.position.generation + 1 != journal.generation
                    && iter::once(journal).chain(newer).any(|journal| journal.covered() >= header.seq))
            {
                state.collections.clear();
                self.journals.removals.clear();
            }
            state.begin_generation(header);
            let place = Place { at: *end, seq: header.seq, checksum: Some(*checksum) };
            return Some((place, Salt::new(header.database, header.generation)));
        }
        let follows = state.position.generation + 1 == journal.generation;
        let known = Some(state.database).filter(|id| id.0 != 0);
        let rebuilt = follows.then(|| rebuild(journal, known)).flatten();
        problems.push(journal.damage(0, "the header is damaged; restore a backup, or repair what is left"));
        let (database, at) = rebuilt?;
        state.database = database;
        state.catalog.retain(|_, record| record.dropped.is_none());
        state.removed = state.removed.max(state.position.seq);
        let place = Place { at, seq: state.position.seq, checksum: None };
        Some((place, Salt::new(database, journal.generation)))
    }

    /// Continues after a bad line. Returns `None` if nothing after it is proven to have been acknowledged, or none of that
    /// is intact.
    fn skip(
        &mut self,
        journal: &Journal,
        bytes: &[u8],
        place: Place,
        salt: Salt,
        durable: u64,
        problems: &mut Vec<Problem>,
    ) -> Option<Place> {
        let rest = &bytes[place.at..];
        let later: Vec<(usize, Body<'_>)> =
            valid_lines(rest, salt).filter(|(_, body)| body.seq > place.seq).collect();
        let proven = later.iter().map(|(_, body)| body.durable).max().unwrap_or(0).max(durable);
        let highest = later.iter().map(|(_, body)| body.seq).max().unwrap_or(0);
        self.journals.highest_seq = self.journals.highest_seq.max(highest);
        if proven <= place.seq {
            let message = format!(
                "{} that were never acknowledged; the next opening cuts them",
                count(rest.len() as u64, "byte")
            );
            problems.push(journal.problem(ProblemCode::TornTail, place.at, message));
            return None;
        }
        let next = later.into_iter().find(|(_, body)| body.seq <= proven);
        let last = next.as_ref().map_or(proven, |(_, body)| body.seq - 1);
        let message =
            format!("{} damaged; restore a backup, or repair what is left", batches(place.seq + 1, last));
        problems.push(journal.damage(place.at, message));
        let (offset, body) = next?;
        Some(Place { at: place.at + offset, seq: body.seq - 1, checksum: None })
    }

    /// Reports the batches that the tip covers and the journals lack: they cannot be missing while the machine runs.
    fn judge_end(&mut self, last: Option<&Journal>, durable: u64) {
        let seq = self.place.map_or(0, |place| place.seq);
        if durable <= seq {
            return;
        }
        let Some((last, Found { problems, .. })) = last.zip(self.found.last_mut()) else {
            let message =
                "the journals are missing; restore a backup, or repair to start from the JSON files";
            self.note(Problem::new(ProblemCode::JournalMissing, RESERVED, message));
            return;
        };
        if problems.is_empty() {
            let message =
                format!("{} missing; restore a backup, or repair what is left", batches(seq + 1, durable));
            problems.push(last.damage(last.bytes.len(), message));
        }
    }

    /// Lowers the severity of damage to batches that the snapshots hold, and reports a missing journal that is needed.
    fn finish(mut self) -> Journals {
        let mut needed = true;
        let mut wanted = None;
        // What the snapshots hold, they hold for good, so what a newer generation says of it also applies to the older ones.
        let mut held = 0;
        for Found { generation, problems, seq, covered } in self.found.into_iter().rev() {
            if wanted.is_some_and(|wanted| wanted != generation) {
                break;
            }
            for problem in problems {
                let severity =
                    if needed { problem.severity } else { problem.severity.min(Severity::Warning) };
                self.journals.problems.push(problem.with_severity(severity));
            }
            held = held.max(covered);
            needed &= seq.is_none_or(|seq| held < seq);
            wanted = generation.checked_sub(1);
        }
        if let Some(generation) = wanted.filter(|&generation| needed && generation > 0) {
            let name = name_of(&journal_name(generation));
            let message = "it is missing and the snapshots lack what it holds; restore a backup, or repair what is left";
            self.journals.problems.push(Problem::new(ProblemCode::JournalMissing, name, message));
        }
        self.journals
    }
}

/// Returns what is wrong with the end of a journal, according to the header of the next one.
fn end_damage(journal: &Journal, end: Place, next: &Header) -> Option<Problem> {
    let previous = next.previous?;
    let message = if end.seq < next.seq {
        let lost = batches(end.seq + 1, next.seq);
        format!("{lost} missing; restore a backup, or repair what is left")
    } else if end.checksum.is_some_and(|checksum| checksum != previous.checksum.0) {
        "it does not end as the next journal says; restore a backup, or repair what is left".to_owned()
    } else {
        return None;
    };
    Some(journal.damage(end.at, message))
}

fn batches(first: u64, last: u64) -> String {
    if first >= last { format!("batch {first} is") } else { format!("batches {first} to {last} are") }
}

fn salt_of(journal: &Journal, database: DatabaseId) -> Salt {
    Salt::new(database, journal.generation)
}

/// Returns the line that starts at `at`: its body, its checksum and where it ends.
fn line_at(bytes: &[u8], at: usize, salt: Salt) -> Option<(Body<'_>, u64, usize)> {
    let rest = bytes.get(at..)?;
    let length = memchr::memchr(b'\n', rest)?;
    let (body, checksum) = verify_line(&rest[..length], salt)?;
    Some((parse_batch(body)?, checksum, at + length + 1))
}

fn follows((body, _, _): &(Body<'_>, u64, usize), place: &Place) -> bool {
    body.seq == place.seq + 1 && place.checksum.is_none_or(|checksum| body.prev.0 == checksum)
}

/// Returns the lines that are valid in themselves, and where each starts.
fn valid_lines(bytes: &[u8], salt: Salt) -> impl Iterator<Item = (usize, Body<'_>)> {
    let starts = std::iter::once(0).chain(memchr::memchr_iter(b'\n', bytes).map(|at| at + 1));
    starts.filter_map(move |at| Some((at, line_at(bytes, at, salt)?.0)))
}

/// Returns the number up to which the snapshots hold every batch, according to this batch.
fn covered_in(body: &Body<'_>) -> u64 {
    body.ops.iter().filter_map(|op| op.covered).max().unwrap_or(0)
}

fn first_valid(bytes: &[u8], salt: Salt) -> Option<usize> {
    valid_lines(bytes, salt).next().map(|(at, _)| at)
}

/// Returns the database to which a journal with a damaged header belongs, and where its first valid line begins. An id is
/// believed if it makes that line's checksum right; the id in the header may have one wrong digit.
fn rebuild(journal: &Journal, known: Option<DatabaseId>) -> Option<(DatabaseId, usize)> {
    let start = behind_first_line(&journal.bytes)?;
    let lines = &journal.bytes[start..];
    let proven = |id: DatabaseId| Some((id, start + first_valid(lines, Salt::new(id, journal.generation))?));
    if let Some(found) = known.and_then(proven) {
        return Some(found);
    }
    const NAME: &[u8] = b"\"database\":\"";
    let at = memchr::memmem::find(&journal.bytes, NAME)? + NAME.len();
    let digits = journal.bytes.get(at..at + 32)?;
    let corrected = (0..digits.len()).flat_map(|wrong| {
        b"0123456789abcdef".iter().map(move |&digit| {
            let mut digits = digits.to_vec();
            digits[wrong] = digit;
            digits
        })
    });
    let id = |digits: Vec<u8>| {
        Some(DatabaseId(u128::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?))
    };
    corrected.filter_map(id).find_map(proven)
}
