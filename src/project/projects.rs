//! Projects: their fields, and the rules for creating, changing and adopting them.

use std::borrow::Cow;

use crate::engine::Result;

use super::fields::{Field, Kind, Shape};
use super::record::{Origin, Record};

pub static PROJECT: Shape = TABLE;

const TABLE: Shape = Shape {
    what: "project",
    large: false,
    fields: &[
        Field::new("id", Kind::Id).assigned(),
        Field::new("name", Kind::Text).filled(),
        Field::new("description", Kind::Text).or("\"\""),
        Field::new("path", Kind::Text).filled(),
        Field::new("created", Kind::Timestamp).assigned(),
        Field::new("updated", Kind::Timestamp).assigned(),
    ],
};

const ID: usize = TABLE.position("id");
const CREATED: usize = TABLE.position("created");
const UPDATED: usize = TABLE.position("updated");

/// Returns a new project from what a caller gave. `now` is in milliseconds. `name` and `path` must be given and not be
/// empty; `id`, `created`, `updated` and unknown properties in the input are ignored.
pub fn create_project(input: &[u8], id: u64, now: u64) -> Result<Vec<u8>> {
    let mut record = Record::read(&PROJECT, input.into(), Origin::Caller(None))?;
    record.set_integer(ID, id);
    record.set_integer(CREATED, now);
    record.set_integer(UPDATED, now);
    record.finish()
}

/// Returns `current` (canonical text) with the fields that the patch has. `id` and `created` stay as they are, `updated`
/// never goes backwards, and unknown properties of `current` are kept.
pub fn update_project(current: &[u8], patch: &[u8], now: u64) -> Result<Vec<u8>> {
    let mut record = Record::canonical(&PROJECT, current);
    let patch = Record::read(&PROJECT, patch.into(), Origin::Caller(Some(&record)))?;
    record.merge(patch);
    record.touch(UPDATED, now);
    record.finish()
}

/// Returns the stored form of a record on disk under `key`: checked, with defaults for missing fields and with unknown
/// properties kept. Borrows `raw` if it is canonical.
pub fn stored_project<'a>(key: &str, raw: &'a [u8]) -> Result<Cow<'a, [u8]>> {
    adopt_project(key, raw, Origin::Disk)
}

/// Returns the stored form of a record of a whole map that a caller writes over `current` (canonical text), if that exists.
/// Unlike those of a record on disk, its timestamps may be in seconds, except where they equal those of `current`. The
/// unknown properties of `current` are kept, and new ones are dropped.
pub fn written_project<'a>(key: &str, raw: &'a [u8], current: Option<&'a [u8]>) -> Result<Cow<'a, [u8]>> {
    let current = current.map(|text| Record::canonical(&PROJECT, text));
    adopt_project(key, raw, Origin::Map(current.as_ref()))
}

pub fn adopt_project<'a>(key: &str, raw: &'a [u8], origin: Origin<'_, 'a>) -> Result<Cow<'a, [u8]>> {
    let mut record = Record::read(&PROJECT, raw.into(), origin)?;
    record.identify(ID, key);
    record.finish_over(raw)
}
