//! Files: their fields, and the rules for creating, changing, versioning and adopting them.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::engine::document::Given;
use crate::engine::json::{self, Scanner};
use crate::engine::{Error, Result};

use super::chain::{Chain, set_chain};
use super::content::Content;
use super::fields::{Field, Kind, Shape};
use super::integer::Problem;
use super::layout::{LARGE_FIELD, head_of};
use super::path::{extension_of, name_of};
use super::record::{Origin, Record, refused};

pub static FILE: Shape = TABLE;

const TABLE: Shape = Shape {
    what: "file",
    large: true,
    fields: &[
        Field::new("id", Kind::Id).assigned(),
        Field::new("projectId", Kind::Id).assigned(),
        Field::new("name", Kind::Text).filled(),
        Field::new("path", Kind::Text).filled(),
        Field::new("extension", Kind::Text),
        Field::new("size", Kind::Count(0)),
        Field::new("summary", Kind::Text).nullable(),
        Field::new("summaryLastUpdated", Kind::Timestamp).nullable(),
        Field::new("meta", Kind::Text).or("\"{}\""),
        Field::new("checksum", Kind::Text).nullable(),
        Field::new("created", Kind::Timestamp).assigned(),
        Field::new("updated", Kind::Timestamp).assigned(),
        Field::new("version", Kind::Count(1)).assigned().or("1"),
        Field::new("prevId", Kind::Id).assigned().nullable(),
        Field::new("nextId", Kind::Id).assigned().nullable(),
        Field::new("isLatest", Kind::Flag).assigned().or("true"),
        Field::new("originalFileId", Kind::Id).assigned().nullable(),
        Field::new("lastSyncedAt", Kind::Timestamp).nullable(),
        Field::new("syncVersion", Kind::Count(0)).or("0"),
        Field::new(LARGE_FIELD, Kind::Text),
    ],
};

const ID: usize = TABLE.position("id");
const PROJECT_ID: usize = TABLE.position("projectId");
const NAME: usize = TABLE.position("name");
const PATH: usize = TABLE.position("path");
const EXTENSION: usize = TABLE.position("extension");
const SIZE: usize = TABLE.position("size");
const CHECKSUM: usize = TABLE.position("checksum");
const CREATED: usize = TABLE.position("created");
pub const UPDATED: usize = TABLE.position("updated");
pub const VERSION: usize = TABLE.position("version");
pub const PREV_ID: usize = TABLE.position("prevId");
pub const NEXT_ID: usize = TABLE.position("nextId");
pub const IS_LATEST: usize = TABLE.position("isLatest");
pub const ORIGINAL_FILE_ID: usize = TABLE.position("originalFileId");
const CONTENT: usize = TABLE.position(LARGE_FIELD);

/// Returns a new file, the root of its chain, from what a caller gave: an object, with the content as separate plain text if
/// it was split off. `now` is in milliseconds. `path` must be given and not be empty, and `content` must be given; `name`,
/// `extension` and `size` are derived from them if they are missing. Ids, `created`, `updated`, chain fields and unknown
/// properties in the input are ignored.
pub fn create_file<'a>(input: impl Into<Given<'a>>, project_id: u64, id: u64, now: u64) -> Result<Vec<u8>> {
    let record = Record::read(&FILE, input.into(), Origin::Caller(None))?;
    finish_new(record, project_id, id, now)
}

/// Like [`create_file`], for a file whose content is stored elsewhere and has this `size` as UTF-8. Returns the text before
/// the content, without a closing brace. `fields` has no content.
pub fn create_file_head(fields: &[u8], project_id: u64, id: u64, now: u64, size: u64) -> Result<Vec<u8>> {
    let mut record = Record::read(&FILE, fields.into(), Origin::Caller(None))?;
    if record.is_absent(SIZE) {
        record.set_integer(SIZE, size);
    }
    record.set(CONTENT, &b"\"\""[..]);
    Ok(head_of(&finish_new(record, project_id, id, now)?).to_vec())
}

fn finish_new(mut record: Record<'_>, project_id: u64, id: u64, now: u64) -> Result<Vec<u8>> {
    record.set_integer(ID, id);
    record.set_integer(PROJECT_ID, project_id);
    record.set_integer(CREATED, now);
    record.set_integer(UPDATED, now);
    derive(&mut record);
    record.finish()
}

/// Returns `current` (canonical text) with the fields that the patch has. Ids, `created` and the chain stay as they are,
/// `updated` never goes backwards, and unknown properties of `current` are kept. New content brings its own `size` and
/// `checksum`, and a new path its `name` and `extension` if those followed from the old path, unless the patch gives them.
pub fn update_file<'a>(current: &[u8], patch: impl Into<Given<'a>>, now: u64) -> Result<Vec<u8>> {
    let mut record = Record::canonical(&FILE, current);
    let patch = Record::read(&FILE, patch.into(), Origin::Caller(Some(&record)))?;
    let new_content = patch.content().is_some_and(|content| !has_content(&record, content));
    lay_over(&mut record, patch, new_content);
    record.touch(UPDATED, now);
    record.finish()
}

/// Returns a new version of `latest` (canonical text, of which only the head is read) with other content.
///
/// It keeps the fields of `latest`, including `created` and unknown properties, but has its own `id` and `chain`. `updated`
/// is `now` (milliseconds) unless `latest` was updated later, and `size` and `checksum` are those of the content. `extra` is a
/// patch applied to the result; its `content` is ignored.
pub fn next_version(
    latest: &[u8],
    content: Content<'_>,
    extra: Option<&[u8]>,
    chain: Chain,
    id: u64,
    now: u64,
) -> Result<Vec<u8>> {
    let mut record = Record::canonical(&FILE, latest);
    let mut patch = Record::read(&FILE, extra.unwrap_or(b"{}").into(), Origin::Caller(Some(&record)))?;
    patch.set_content(checked(content)?);
    lay_over(&mut record, patch, true);
    record.set_integer(ID, id);
    record.touch(UPDATED, now);
    set_chain(&mut record, &chain);
    record.finish()
}

/// Returns the stored form of a record on disk under `key` in the files of a project: checked, with defaults for missing
/// fields and with unknown properties kept. `project_id` is only used if the record has none. Borrows `raw` if it is
/// canonical.
pub fn stored_file<'a>(key: &str, project_id: u64, raw: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    adopt_file(key, Some(project_id), raw.into(), Origin::Disk)
}

/// Returns the stored form of a record of a whole map that a caller writes over `current` (canonical text), if that exists.
/// Unlike those of a record on disk, its timestamps may be in seconds, except where they equal those of `current`. The
/// unknown properties of `current` are kept, and new ones are dropped. A missing `size` or, if the content differs from that
/// of `current`, `checksum` is that of the content.
pub fn written_file<'a>(
    key: &str,
    project_id: u64,
    given: impl Into<Given<'a>>,
    current: Option<&'a [u8]>,
) -> Result<Cow<'a, [u8]>> {
    let current = current.map(|text| Record::canonical(&FILE, text));
    adopt_file(key, Some(project_id), given.into(), Origin::Map(current.as_ref()))
}

/// Whether a stored file has this content.
fn has_content(stored: &Record<'_>, content: Content<'_>) -> bool {
    stored.text(CONTENT).is_some_and(|raw| content.is_stored_as(raw))
}

/// Without a `project_id`, the record must have one.
pub fn adopt_file<'a>(
    key: &str,
    project_id: Option<u64>,
    given: Given<'a>,
    origin: Origin<'_, 'a>,
) -> Result<Cow<'a, [u8]>> {
    let mut record = Record::read(&FILE, given, origin)?;
    if let Origin::Map(Some(current)) = origin
        && record.is_absent(CHECKSUM)
        && let Some(content) = record.content().filter(|content| !has_content(current, *content))
    {
        let checksum = quoted_sha256(content.to_utf8().as_bytes());
        record.set(CHECKSUM, checksum);
    }
    record.identify(ID, key);
    if let Some(project_id) = project_id
        && record.is_absent(PROJECT_ID)
    {
        record.set_integer(PROJECT_ID, project_id);
    }
    derive(&mut record);
    record.finish_over(given.text)
}

/// Fills in missing fields that follow from the path and the content.
fn derive(record: &mut Record<'_>) {
    derive_from_path(record, NAME, name_of);
    derive_from_path(record, EXTENSION, extension_of);
    if record.is_absent(SIZE) {
        match record.content().map(Content::utf8_len) {
            Some(size) => record.set_integer(SIZE, size as u64),
            None => record.give_up(SIZE),
        }
    }
}

fn derive_from_path(record: &mut Record<'_>, at: usize, part: fn(&[u8]) -> &[u8]) {
    if record.is_absent(at) {
        match record.text(PATH).map(|path| part_of(path, part)) {
            Some(value) => record.set(at, value),
            None => record.give_up(at),
        }
    }
}

/// Returns a part of a raw path, as a raw string.
fn part_of(path: &[u8], part: fn(&[u8]) -> &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    json::push_string(&mut out, part(&json::unescape(path)));
    out
}

/// Merges a patch into a record, and recomputes the fields that follow from those it changes.
fn lay_over<'a>(record: &mut Record<'a>, mut patch: Record<'a>, new_content: bool) {
    if let Some(path) = patch.text(PATH).map(<[u8]>::to_vec) {
        for (at, part) in [(NAME, name_of as fn(&[u8]) -> &[u8]), (EXTENSION, extension_of)] {
            // The texts are compared, because another program may have written the same one with other escapes.
            let followed = |old: &[u8]| {
                record.text(at).is_some_and(|own| *json::unescape(own) == *part(&json::unescape(old)))
            };
            if patch.is_absent(at) && record.text(PATH).is_some_and(followed) {
                patch.set(at, part_of(&path, part));
            }
        }
    }
    if new_content && let Some(content) = patch.content() {
        let sums = (patch.is_absent(SIZE) || patch.is_absent(CHECKSUM)).then(|| {
            let text = content.to_utf8();
            (text.len() as u64, patch.is_absent(CHECKSUM).then(|| quoted_sha256(text.as_bytes())))
        });
        if let Some((size, checksum)) = sums {
            if patch.is_absent(SIZE) {
                patch.set_integer(SIZE, size);
            }
            if let Some(checksum) = checksum {
                patch.set(CHECKSUM, checksum);
            }
        }
    }
    record.merge(patch);
}

/// Returns the SHA-256 in hexadecimal, as a JSON string.
pub fn quoted_sha256(bytes: &[u8]) -> Vec<u8> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = vec![b'"'];
    for byte in Sha256::digest(bytes) {
        out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
    out.push(b'"');
    out
}

/// Checks that a content is a JSON string and nothing else.
fn checked(content: Content<'_>) -> Result<Content<'_>, Error> {
    let Content::Json(raw) = content else { return Ok(content) };
    let refuse = |problem| Err(refused(&FILE, LARGE_FIELD, problem));
    let mut scanner = Scanner::new(raw);
    if scanner.peek() != Some(b'"') {
        return refuse(Problem::wrong_kind("a string", &raw[scanner.position()..]));
    }
    let checked = scanner.string().and_then(|range| scanner.end().map(|()| range));
    match checked {
        Ok(range) if std::str::from_utf8(raw).is_ok() => Ok(Content::Json(&raw[range])),
        _ => refuse(Problem::new("custom", "expected a string, got text that is not JSON")),
    }
}
