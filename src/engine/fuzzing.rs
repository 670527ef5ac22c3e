//! What the fuzz targets do with their bytes. Each function panics if a promise is broken. The engine may refuse the bytes
//! with an error of its own.

mod copies;
mod indexes;
mod values;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::base_path::BasePath;
use super::checksum::{DatabaseId, FileHash, Salt};
use super::database::{CollectionSpec, Database, DatabaseOptions, Foreign, Part, Queryable, ReadOptions};
use super::document::DocumentId;
use super::error::{Error, Result};
use super::fs::{Fs, SimFs};
use super::index::{Extractor, Index, IndexConfig, IndexKey, IndexSpec, IndexType};
use super::journal::{encode_line, parse_header};
use super::json;
use super::lock::Wait;
use super::options::Durability;
use super::repair::repair;
use super::snapshot::{salvage, scan_lines, scan_map};
use super::verify::{ProblemCode, Severity, verify};

pub use copies::{intents, manifest, migration_state};
pub use indexes::{index_files, queries};
pub use values::values;

/// The name of a target, and the function that receives its bytes.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 15] = [
    ("journal", journal),
    ("journal_checksums", journal_with_right_checksums),
    ("snapshot", snapshot),
    ("tip", tip),
    ("json", json_text),
    ("keys", keys),
    ("salvage", salvaging),
    ("databases", databases),
    ("index_checkpoint", index_checkpoint),
    ("manifest", manifest),
    ("intents", intents),
    ("migration_state", migration_state),
    ("values", values),
    ("index_files", index_files),
    ("queries", queries),
];

const DIRECTORY: &str = "/base/data/db";
const JOURNAL: &str = "/base/data/db/.storage/journal-000000000001.jsonl";
const FILE: &str = "/base/data/db/items.json";

fn spec() -> Arc<CollectionSpec> {
    Arc::new(CollectionSpec {
        path: "items.json".into(),
        large_field: Some("content"),
        indexes: vec![index(IndexType::Hash), index(IndexType::Btree), index(IndexType::Inverted)],
        foreign: Foreign::Adopt(None),
    })
}

fn index(kind: IndexType) -> Arc<IndexSpec> {
    let (name, fields) = (format!("by_{kind:?}"), vec!["name".to_owned()]);
    let config = IndexConfig { name, kind, fields, unique: false, sparse: false };
    Arc::new(IndexSpec::new(config, Extractor::Fields))
}

fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs(format!("{DIRECTORY}/.storage"));
    fs
}

fn no_wait() -> Wait {
    Wait::at_most(Duration::ZERO)
}

const READ: ReadOptions = ReadOptions { cached: false, lock_timeout: Duration::ZERO };

fn options() -> DatabaseOptions {
    DatabaseOptions { background: false, lock_timeout: Duration::ZERO, ..DatabaseOptions::default() }
}

fn open(fs: &SimFs) -> Result<Arc<Database>> {
    Database::open(fs.handle(), Path::new(DIRECTORY), options())
}

/// Opens, reads and writes whatever is there. If it is damaged, that must be reported, and after a repair all of this must
/// succeed. With `forged`, the catalog vouches for bytes that the engine never wrote, and is believed.
fn use_database(fs: &SimFs, forged: bool) {
    let twin = fs.snapshot().kill();
    if let Err(error) = work(fs, forged) {
        assert!(matches!(error.code(), "CORRUPT_DATA" | "UNSUPPORTED_FORMAT"), "{}: {error}", error.code());
    }
    let report = verify(&twin.handle(), Path::new(DIRECTORY), no_wait()).expect("it can be verified");
    if report.problems.iter().any(|problem| problem.code == ProblemCode::UnsupportedFormat) {
        return;
    }
    let repaired = repair(&twin.handle(), Path::new(DIRECTORY), no_wait()).expect("it can be repaired");
    let only_ids = repaired
        .after
        .problems
        .iter()
        .all(|p| p.code == ProblemCode::IdMismatch || p.severity.as_str() == "note");
    assert!(only_ids, "repair leaves\n{repaired}");
    work(&twin, false).unwrap_or_else(|error| panic!("{error} after\n{repaired}"));
}

fn work(fs: &SimFs, forged: bool) -> Result<()> {
    let database = open(fs)?;
    let before = database.filter(&spec(), Part::Whole, READ, |_| true)?;
    for text in before.iter().filter(|_| !forged) {
        assert_eq!(json::check(text), Ok(()), "{}", String::from_utf8_lossy(text));
    }
    let text = br#"{"id":77,"name":"fresh"}"#.to_vec();
    database.write(Durability::Full, move |t| t.put(&spec(), 77.into(), text))?;
    database.checkpoint(no_wait())?;
    let found = database.get(&spec(), &DocumentId::from(77), READ)?;
    assert!(found.is_some(), "what was written is gone");
    let report = database.verify(no_wait())?;
    // Damage to files that were not read may go unnoticed until they are.
    let asked = |path: &str| path == "items.json" || path.starts_with(".storage");
    let mut asked = report.problems.iter().filter(|problem| asked(&problem.path));
    assert!(
        forged || asked.all(|problem| problem.severity != Severity::Error),
        "a used database is damaged:\n{report}"
    );
    Ok(())
}

/// Uses the bytes as the first journal.
pub fn journal(bytes: &[u8]) {
    let fs = machine();
    fs.write_file(JOURNAL, bytes);
    use_database(&fs, false);
}

/// Uses each line as a body and adds its checksum, so that the code that follows the check of checksums is reached. After
/// the header, a body that is a JSON object is made to follow the line before it.
pub fn journal_with_right_checksums(bytes: &[u8]) {
    let mut journal = Vec::new();
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let (database, seq) =
        parse_header(header).map_or((DatabaseId(7), 0), |header| (header.database, header.seq));
    let salt = Salt::new(database, 1);
    let mut checksum = encode_line(&mut journal, salt, header);
    for (body, seq) in lines.zip(seq.wrapping_add(1)..) {
        let body = chained(body, seq, checksum).unwrap_or_else(|| body.to_vec());
        checksum = encode_line(&mut journal, salt, &body);
    }
    let fs = machine();
    fs.write_file(JOURNAL, &journal);
    use_database(&fs, false);
}

fn chained(body: &[u8], seq: u64, checksum: u64) -> Option<Vec<u8>> {
    let mut value: serde_json::Value = serde_json::from_slice(body).ok()?;
    let members = value.as_object_mut()?;
    members.insert("seq".into(), seq.into());
    members.insert("prev".into(), format!("{checksum:016x}").into());
    serde_json::to_vec(&value).ok()
}

/// Uses the bytes as the file of a collection: first as a foreign file, then as one that the catalog knows.
pub fn snapshot(bytes: &[u8]) {
    let fs = machine();
    fs.write_file(FILE, bytes);
    use_database(&fs, false);
    for layout in ["lines", "map", "void"] {
        let hash = FileHash::of(bytes);
        let header = format!(
            "{{\"format\":1,\"database\":\"{:032x}\",\"generation\":1,\"seq\":3,\"previous\":null,\"removed\":3,\"covered\":3,\"catalog\":{{\"items.json\":{{\"snapshots\":[{{\"hash\":\"{:032x}\",\"size\":{},\"covers\":3,\"layout\":\"{layout}\"}}]}}}}}}\n{{\"durable\":3,\"ops\":[{{\"covered\":4}}]}}",
            7,
            hash.0,
            bytes.len(),
        );
        let mut lines = header.as_bytes().split(|&byte| byte == b'\n');
        let mut journal = Vec::new();
        let salt = Salt::new(DatabaseId(7), 1);
        let checksum = encode_line(&mut journal, salt, lines.next().unwrap_or_default());
        let line = chained(lines.next().unwrap_or_default(), 4, checksum).unwrap_or_default();
        encode_line(&mut journal, salt, &line);
        let fs = machine();
        fs.write_file(FILE, bytes);
        fs.write_file(JOURNAL, &journal);
        use_database(&fs, true);
    }
}

/// Uses the bytes as the shared page of an intact database.
pub fn tip(bytes: &[u8]) {
    let fs = machine();
    let database = open(&fs).expect("it opens");
    let text = br#"{"id":1,"name":"kept"}"#.to_vec();
    database.write(Durability::Full, move |t| t.put(&spec(), 1.into(), text)).expect("it is written");
    drop(database);
    let fs = fs.kill();
    let mut page = bytes.to_vec();
    page.resize(4096, 0);
    fs.write_file(format!("{DIRECTORY}/.storage/tip"), &page);
    use_database(&fs, false);
}

/// Uses the bytes as JSON text, for the scanner and everything built on it.
pub fn json_text(bytes: &[u8]) {
    let checked = json::check(bytes);
    if checked.is_ok() {
        serde_json::from_slice::<serde::de::IgnoredAny>(bytes).expect("what passes the check is JSON");
        let compact = json::compact(bytes).into_owned();
        assert_eq!(json::check(&compact), Ok(()));
        assert_eq!(json::compact(&compact), compact);
        if json::is_string(bytes) {
            let trimmed = bytes.trim_ascii();
            let text = json::unescape(trimmed);
            let mut quoted = Vec::new();
            json::push_string(&mut quoted, &text);
            assert_eq!(json::unescape(&quoted), text);
        }
    }
    let members: Vec<_> = json::members(bytes).map_while(std::result::Result::ok).collect();
    for member in members {
        assert_eq!(json::check(member.value).is_ok(), std::str::from_utf8(member.value).is_ok());
    }
    let _ = (json::get(bytes, "id"), json::elements(bytes));
}

/// Uses the bytes as a text that is indexed and searched for.
pub fn keys(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let document = format!("{{\"id\":1,\"name\":{}}}", json::quote(&text));
    for kind in [IndexType::Hash, IndexType::Btree, IndexType::Inverted] {
        let mut index = Index::new(index(kind));
        let entries = index.extract(document.as_bytes());
        index.insert(&1.into(), entries.clone());
        let found = index.find(&IndexKey::text(&text));
        if kind == IndexType::Inverted {
            assert_eq!(found.is_empty(), index.total_entries() == 0, "{text:?} finds {found:?}");
        } else {
            assert_eq!(found, [1.into()], "{text:?}");
        }
        let raw = index.extract(bytes);
        index.insert(&2.into(), raw.clone());
        index.remove(&2.into(), &raw);
        index.remove(&1.into(), &entries);
        assert_eq!((index.total_entries(), index.unique_keys()), (0, 0), "{text:?}");
    }
}

/// Uses the bytes as a map, which may be broken.
pub fn salvaging(bytes: &[u8]) {
    for found in salvage(bytes) {
        assert_eq!(json::check(&bytes[found.text]), Ok(()));
    }
    if let Ok(found) = scan_map(bytes) {
        found.iter().for_each(|found| assert_eq!(json::check(&bytes[found.text.clone()]), Ok(())));
    }
    if let Ok(found) = scan_lines(bytes) {
        assert!(found.iter().all(|found| found.text.end <= bytes.len()));
    }
}

/// Uses the bytes as the record of databases.
pub fn databases(bytes: &[u8]) {
    let fs = machine();
    fs.write_file("/base/data/.databases.json", bytes);
    let fs: Arc<dyn Fs> = fs.handle();
    let base = BasePath::new(fs, Path::new("/base"));
    let fine = |result: Result<()>| {
        if let Err(error) = result {
            assert!(matches!(error, Error::Corrupt { .. } | Error::InvalidArgument(_)), "{error}");
        }
    };
    fine(base.databases().map(drop));
    fine(base.record_database(Path::new("/base/own"), no_wait()));
    fine(base.claim(Path::new("/base/file.json"), Path::new(DIRECTORY), no_wait()));
    base.repair_record(Path::new(DIRECTORY), no_wait()).expect("it can be repaired");
    base.databases().expect("it is repaired");
}

/// Uses the bytes as an index checkpoint or, if the first byte is odd, writes them over a valid one, from the position that
/// the second byte gives. A wrong checkpoint must never be believed.
pub fn index_checkpoint(bytes: &[u8]) {
    let fs = machine();
    let database = open(&fs).expect("it opens");
    let names = ["one", "two words", "three", "two"];
    for (id, name) in (1..).zip(names) {
        let text = format!("{{\"id\":{id},\"name\":\"{name}\"}}").into_bytes();
        database.write(Durability::Full, move |t| t.put(&spec(), id.into(), text)).expect("it is written");
    }
    database.checkpoint(no_wait()).expect("it is checkpointed");
    drop(database);
    let fs = fs.kill();
    let reserved = format!("{DIRECTORY}/.storage");
    let listed = fs.list_dir(Path::new(&reserved)).expect("a folder");
    let name = listed.iter().find(|name| name.starts_with("index-")).expect("an index checkpoint");
    let path = format!("{reserved}/{name}");
    let mut content = fs.read_file(&path).expect("a file");
    match bytes {
        [odd, at, rest @ ..] if odd % 2 == 1 => {
            let from = usize::from(*at) * content.len() / 256;
            let end = content.len().min(from + rest.len());
            content.splice(from..end, rest.iter().copied());
        }
        _ => content = bytes.to_vec(),
    }
    fs.write_file(&path, &content);
    let database = open(&fs).expect("it opens all the same");
    let all = database.filter(&spec(), Part::Whole, READ, |_| true).expect("it is readable");
    assert_eq!(all.len(), names.len());
    for wanted in ["by_Hash", "by_Btree", "by_Inverted"] {
        let choose = |query: &Queryable<'_>| Ok(query.index(wanted)?.find(&IndexKey::text("two")));
        let found = database.select(&spec(), Part::Head, READ, choose).expect("it is readable");
        assert_eq!(found.len(), if wanted == "by_Inverted" { 2 } else { 1 }, "{wanted}");
    }
    let report = database.verify(no_wait()).expect("it can be verified");
    assert!(report.is_ok(), "{report}");
}
