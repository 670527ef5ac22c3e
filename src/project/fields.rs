//! Fields as a table: the name of each, the values that it takes, and its value when it is missing.

use std::borrow::Cow;

use crate::engine::{LATEST_TIME, json};

use super::integer::{Problem, plain, read_count, read_id};
use super::timestamp::{Unit, read_timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// An integer in [0, 2524608000000]; may be given as a numeric string.
    Id,
    /// Milliseconds since 1970 in the same range; may be given in any form that `read_timestamp` accepts.
    Timestamp,
    /// An integer of at least this.
    Count(u64),
    Flag,
}

/// One field of an entity. Without `default` a stored record must have it, unless the entity derives it.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    pub nullable: bool,
    /// A caller may not give `''`; a stored record may have it.
    pub filled: bool,
    /// Set by the engine: a value in a new document or a patch is ignored.
    pub assigned: bool,
    /// The JSON text of the value that a missing field has.
    pub default: Option<&'static str>,
}

impl Field {
    pub const fn new(name: &'static str, kind: Kind) -> Field {
        Field { name, kind, nullable: false, filled: false, assigned: false, default: None }
    }

    /// Refuses `''` from a caller.
    pub const fn filled(self) -> Field {
        Field { filled: true, ..self }
    }

    pub const fn assigned(self) -> Field {
        Field { assigned: true, ..self }
    }

    /// Accepts null, and is null when missing.
    pub const fn nullable(self) -> Field {
        Field { nullable: true, default: Some("null"), ..self }
    }

    pub const fn or(self, default: &'static str) -> Field {
        Field { default: Some(default), ..self }
    }

    /// Returns what messages call a value of this field.
    pub fn expected(&self) -> &'static str {
        match self.kind {
            Kind::Text => "a string",
            Kind::Id => "an id",
            Kind::Timestamp => "a timestamp",
            Kind::Count(_) => "an integer",
            Kind::Flag => "a boolean",
        }
    }

    /// Returns the canonical text of a raw value: `raw` itself if it is canonical.
    ///
    /// `filled` and `unit` are the rules that apply to a caller's value and not to a stored one.
    pub fn read<'a>(&self, raw: &'a [u8], filled: bool, unit: Unit) -> Result<Cow<'a, [u8]>, Problem> {
        if raw == b"null" && self.nullable {
            return Ok(Cow::Borrowed(raw));
        }
        match self.kind {
            Kind::Text if !json::is_string(raw) => Err(Problem::wrong_kind(self.expected(), raw)),
            Kind::Text if filled && self.filled && raw == b"\"\"" => {
                Err(Problem::new("too_small", "must not be empty"))
            }
            Kind::Text => Ok(Cow::Borrowed(raw)),
            Kind::Id => read_id(raw, LATEST_TIME).map(|value| plain(raw, value)),
            Kind::Timestamp => read_timestamp(raw, unit).map(|value| plain(raw, value)),
            Kind::Count(least) => read_count(raw, least).map(|value| plain(raw, value)),
            Kind::Flag if matches!(raw, b"true" | b"false") => Ok(Cow::Borrowed(raw)),
            Kind::Flag => Err(Problem::wrong_kind(self.expected(), raw)),
        }
    }
}

/// The fields of one entity in their stored order.
#[derive(Debug)]
pub struct Shape {
    /// What errors call the entity.
    pub what: &'static str,
    pub fields: &'static [Field],
    /// Whether the last field is the large one, which is stored after the unknown properties.
    pub large: bool,
}

impl Shape {
    /// Returns the position of a field in the table. Meant for constants, where a wrong name fails to compile.
    pub const fn position(&self, name: &str) -> usize {
        let mut at = 0;
        while !same(self.fields[at].name.as_bytes(), name.as_bytes()) {
            at += 1;
        }
        at
    }

    /// Returns the position of the field with this raw key, if the key is a known one.
    pub fn find(&self, key: &[u8]) -> Option<usize> {
        self.fields.iter().position(|field| json::key_is(key, field.name))
    }

    /// Returns the position of the large field, if there is one.
    pub fn large(&self) -> Option<usize> {
        if self.large { self.fields.len().checked_sub(1) } else { None }
    }
}

const fn same(left: &[u8], right: &[u8]) -> bool {
    let mut at = 0;
    while at < left.len() && at < right.len() && left[at] == right[at] {
        at += 1;
    }
    at == left.len() && at == right.len()
}
