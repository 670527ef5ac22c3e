//! One entity while it is read, filled in and written: raw slices in the order of its table.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::engine::document::Given;
use crate::engine::json::{self, Member, Scanner};
use crate::engine::{Error, Issue, LATEST_TIME, PathSegment, Result};

use super::content::Content;
use super::fields::{Kind, Shape};
use super::integer::{Problem, unrepresentable};
use super::layout;
use super::timestamp::Unit;

/// Where a text comes from, which decides how it is read.
#[derive(Clone, Copy)]
pub enum Origin<'r, 'a> {
    /// A new document, or a patch of the given record: fields that the engine assigns are ignored, unknown properties are
    /// dropped. Values that the given record already has are stored values, so they are not scaled.
    Caller(Option<&'r Record<'a>>),
    /// A record on disk: small timestamps are taken as they are, unknown properties are kept.
    Disk,
    /// A record of a whole map that is only checked: it is complete, unknown properties are dropped, and a small timestamp
    /// is in seconds.
    Schema,
    /// A record of a whole map to be written over the given record, if there is one. Its values are not scaled either. Its
    /// unknown properties are kept, and new ones are dropped.
    Map(Option<&'r Record<'a>>),
}

#[derive(Debug, Clone)]
enum Slot<'a> {
    Absent,
    /// An issue was reported for this field.
    Bad,
    Value(Cow<'a, [u8]>),
    /// A large field that is not JSON yet.
    Plain(&'a str),
}

/// Most heads are shorter.
const HEAD: usize = 600;

/// The fields of an entity by position, and the issues found so far.
pub struct Record<'a> {
    shape: &'static Shape,
    slots: Vec<Slot<'a>>,
    unknown: Vec<Member<'a>>,
    issues: Vec<Issue>,
}

impl<'a> Record<'a> {
    fn empty(shape: &'static Shape) -> Self {
        let slots = vec![Slot::Absent; shape.fields.len()];
        Record { shape, slots, unknown: Vec::new(), issues: Vec::new() }
    }

    /// Reads a text that came from outside. Bad fields become issues, which [`Record::finish`] reports; a text that is not
    /// an object is an error at once.
    pub fn read(shape: &'static Shape, given: Given<'a>, origin: Origin<'_, 'a>) -> Result<Self> {
        let mut record = Record::empty(shape);
        let mut unknown = Vec::new();
        let mut raw = collect(shape, given.text, &mut unknown)
            .map_err(|problem| invalid(shape, vec![issue(Vec::new(), problem)]))?;
        if let (Some(at), Some(plain)) = (shape.large(), given.large) {
            raw[at] = None;
            record.slots[at] = Slot::Plain(plain);
        }
        for (at, raw) in raw.into_iter().enumerate() {
            let passed_over = matches!(origin, Origin::Caller(_)) && shape.fields[at].assigned;
            if let Some(raw) = raw
                && !passed_over
            {
                record.take(at, raw, origin);
            }
        }
        record.unknown = match origin {
            Origin::Caller(_) | Origin::Schema | Origin::Map(None) => Vec::new(),
            Origin::Disk => last_of_each_name(unknown),
            Origin::Map(Some(current)) => {
                let mut kept = last_of_each_name(unknown);
                kept.retain(|member| has_name(&current.unknown, member.key));
                record.refuse_unrepresentable(&kept);
                let lacking = |member: &&Member<'a>| !has_name(&kept, member.key);
                let lacking: Vec<Member<'a>> = current.unknown.iter().filter(lacking).copied().collect();
                kept.extend(lacking);
                kept
            }
        };
        Ok(record)
    }

    fn take(&mut self, at: usize, raw: &'a [u8], origin: Origin<'_, 'a>) {
        let field = &self.shape.fields[at];
        let filled = matches!(origin, Origin::Caller(_));
        let unit = match origin {
            Origin::Disk => Unit::Milliseconds,
            Origin::Caller(Some(current)) | Origin::Map(Some(current))
                if field.kind == Kind::Timestamp && current.text(at) == Some(raw) =>
            {
                Unit::Milliseconds
            }
            _ => Unit::Guessed,
        };
        match field.read(raw, filled, unit) {
            Ok(value) => self.slots[at] = Slot::Value(value),
            Err(problem) => self.refuse(at, problem),
        }
    }

    /// Takes a canonical text without checking it. The content is not read.
    pub fn canonical(shape: &'static Shape, text: &'a [u8]) -> Self {
        let mut record = Record::empty(shape);
        // A property of that name that is not a large field is one like any other.
        let (head, content) = if shape.large { layout::split(text) } else { (text, None) };
        // The head of a split text has no closing brace, so the iteration ends with an error there.
        for member in json::members(head).map_while(std::result::Result::ok) {
            match shape.find(member.key) {
                Some(at) => record.slots[at] = Slot::Value(Cow::Borrowed(member.value)),
                None => record.unknown.push(member),
            }
        }
        if let (Some(at), Some(content)) = (shape.large(), content) {
            record.slots[at] = Slot::Value(Cow::Borrowed(content));
        }
        record
    }

    /// Returns the raw value of a field, if it has a valid one that is JSON.
    pub fn text(&self, at: usize) -> Option<&[u8]> {
        match &self.slots[at] {
            Slot::Value(value) => Some(value),
            Slot::Absent | Slot::Bad | Slot::Plain(_) => None,
        }
    }

    /// Returns the large field, if there is a valid one.
    pub fn content(&self) -> Option<Content<'_>> {
        match &self.slots[self.shape.large()?] {
            Slot::Value(raw) => Some(Content::Json(raw)),
            Slot::Plain(text) => Some(Content::Plain(text)),
            Slot::Absent | Slot::Bad => None,
        }
    }

    pub fn set_content(&mut self, content: Content<'a>) {
        if let Some(at) = self.shape.large() {
            self.slots[at] = match content {
                Content::Json(raw) => Slot::Value(Cow::Borrowed(raw)),
                Content::Plain(text) => Slot::Plain(text),
            };
        }
    }

    /// Returns the value of an integer field, or `None` if it is null or missing.
    pub fn integer(&self, at: usize) -> Option<u64> {
        std::str::from_utf8(self.text(at)?).ok()?.parse().ok()
    }

    pub fn is_absent(&self, at: usize) -> bool {
        matches!(self.slots[at], Slot::Absent)
    }

    pub fn set(&mut self, at: usize, value: impl Into<Cow<'a, [u8]>>) {
        self.slots[at] = Slot::Value(value.into());
    }

    pub fn set_integer(&mut self, at: usize, value: u64) {
        self.set(at, value.to_string().into_bytes());
    }

    pub fn set_nullable(&mut self, at: usize, value: Option<u64>) {
        match value {
            Some(value) => self.set_integer(at, value),
            None => self.set(at, &b"null"[..]),
        }
    }

    /// Reports an issue with a field, and prevents further issues that would follow from it.
    pub fn refuse(&mut self, at: usize, problem: Problem) {
        let path = vec![PathSegment::Key(self.shape.fields[at].name.to_string())];
        self.issues.push(issue(path, problem));
        self.slots[at] = Slot::Bad;
    }

    /// Reports unknown properties with values that JSON cannot represent. They may have any other value.
    fn refuse_unrepresentable(&mut self, members: &[Member<'_>]) {
        for member in members.iter().filter(|member| unrepresentable(member.value).is_some()) {
            let path = vec![PathSegment::Key(json::unescape_lossy(member.key).into_owned())];
            self.issues.push(issue(path, Problem::wrong_kind("a value that JSON can hold", member.value)));
        }
    }

    /// Marks a field that cannot be derived because what it derives from was refused.
    pub fn give_up(&mut self, at: usize) {
        self.slots[at] = Slot::Bad;
    }

    /// Overwrites this record with the fields that `patch` has, and takes over its issues.
    pub fn merge(&mut self, patch: Record<'a>) {
        self.issues.extend(patch.issues);
        for (slot, new) in self.slots.iter_mut().zip(patch.slots) {
            if !matches!(new, Slot::Absent) {
                *slot = new;
            }
        }
    }

    /// Sets `updated` for a change made now. It never goes backwards.
    pub fn touch(&mut self, at: usize, now: u64) {
        let updated = self.integer(at).unwrap_or_default().max(now);
        self.set_integer(at, updated);
    }

    /// Checks that the id of a record is the key under which it is stored, and takes it from the key if it is missing.
    pub fn identify(&mut self, at: usize, key: &str) {
        let quoted = json::quote(key);
        match super::integer::read_id(quoted.as_bytes(), LATEST_TIME) {
            _ if matches!(self.slots[at], Slot::Bad) => {}
            Err(_) => self
                .refuse(at, Problem::new("custom", format!("the key {quoted} of the record is not an id"))),
            Ok(id) if self.is_absent(at) => self.set_integer(at, id),
            Ok(id) => {
                if let Some(given) = self.integer(at)
                    && given != id
                {
                    let message = format!("expected {id}, the key of the record, got {given}");
                    self.refuse(at, Problem::new("custom", message));
                }
            }
        }
    }

    /// Returns the canonical text, with missing fields filled in. Fails with every issue found so far.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.complete()?;
        Ok(self.write())
    }

    /// Like [`Record::finish`], but borrows `text`, from which the record was read, if that is canonical.
    pub fn finish_over(mut self, text: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        self.complete()?;
        let content = match self.content() {
            // A content that was split off is not part of the text.
            Some(Content::Plain(_)) => return Ok(Cow::Owned(self.write())),
            Some(Content::Json(raw)) => Some(raw),
            None => None,
        };
        let head = self.head(0);
        Ok(if layout::is_joined(text, &head, content) {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(layout::join(head, content.map(Content::Json)))
        })
    }

    fn complete(&mut self) -> Result<()> {
        for (at, field) in self.shape.fields.iter().enumerate() {
            if !self.is_absent(at) {
                continue;
            }
            match field.default {
                Some(default) => self.set(at, default.as_bytes()),
                None => self.refuse(at, Problem::wrong_kind(field.expected(), b"")),
            }
        }
        if self.issues.is_empty() {
            return Ok(());
        }
        Err(invalid(self.shape, std::mem::take(&mut self.issues)))
    }

    /// Returns the text of the record as it is now.
    pub fn write(&self) -> Vec<u8> {
        let content = self.content();
        layout::join(self.head(layout::joined_len(content)), content)
    }

    /// Returns the text before the large field, with room for what follows it.
    fn head(&self, room: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + room);
        out.push(b'{');
        let mut push = |key: &[&[u8]], value: &[u8]| {
            if out.len() > 1 {
                out.push(b',');
            }
            key.iter().for_each(|part| out.extend_from_slice(part));
            out.push(b':');
            out.extend_from_slice(value);
        };
        for (at, field) in self.shape.fields.iter().enumerate() {
            if let Some(value) = self.text(at)
                && Some(at) != self.shape.large()
            {
                push(&[b"\"", field.name.as_bytes(), b"\""], value);
            }
        }
        for member in &self.unknown {
            push(&[member.key], &json::compact(member.value));
        }
        out
    }
}

fn has_name(members: &[Member<'_>], key: &[u8]) -> bool {
    let name = json::unescape(key);
    members.iter().any(|member| json::unescape(member.key) == name)
}

/// Returns the raw values of the known fields, the last of each name. The other members are added to `unknown`.
fn collect<'a>(
    shape: &Shape,
    text: &'a [u8],
    unknown: &mut Vec<Member<'a>>,
) -> Result<Vec<Option<&'a [u8]>>, Problem> {
    let not_json = |offset: usize, problem: &str| {
        Problem::new("custom", format!("expected JSON, got text that is not at byte {offset}: {problem}"))
    };
    if let Err(error) = std::str::from_utf8(text) {
        return Err(not_json(error.valid_up_to(), "not UTF-8"));
    }
    let mut scanner = Scanner::new(text);
    if scanner.peek() != Some(b'{') {
        let start = scanner.position();
        return Err(Problem::wrong_kind("an object", &text[start..]));
    }
    let mut raw = vec![None; shape.fields.len()];
    let mut members = json::members(text);
    for member in members.by_ref() {
        let member = member.map_err(|error| not_json(error.offset, error.problem))?;
        match shape.find(member.key) {
            Some(at) => raw[at] = Some(member.value),
            None => unknown.push(member),
        }
    }
    Scanner::at(text, members.position()).end().map_err(|error| not_json(error.offset, error.problem))?;
    Ok(raw)
}

/// Keeps one of several members with the same name: it has the last value, in the place of the first, as with `JSON.parse`.
fn last_of_each_name(members: Vec<Member<'_>>) -> Vec<Member<'_>> {
    if members.len() < 2 {
        return members;
    }
    let mut places = HashMap::with_capacity(members.len());
    let mut kept: Vec<Member<'_>> = Vec::with_capacity(members.len());
    for member in members {
        let place = *places.entry(json::unescape(member.key)).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(earlier) => earlier.value = member.value,
            None => kept.push(member),
        }
    }
    kept
}

fn issue(path: Vec<PathSegment>, Problem { code, message }: Problem) -> Issue {
    Issue { path, message, code }
}

fn invalid(shape: &Shape, issues: Vec<Issue>) -> Error {
    Error::Validation { what: shape.what.to_string(), issues }
}

/// Returns the error for a value that is not a record at all, e.g. the content of a version that is not a string.
pub fn refused(shape: &Shape, field: &str, problem: Problem) -> Error {
    invalid(shape, vec![issue(vec![PathSegment::Key(field.to_string())], problem)])
}
