//! The parts of an entity that an index stores.

use crate::engine::error::{Error, Issue, PathSegment, Result};
use crate::engine::index::{Entries, extract_all};
use crate::engine::json;

use super::definition::Definition;

/// The only member of an object that stands for a value which JSON cannot hold. Its own value says what that was.
pub const UNREPRESENTABLE: &str = "\0";

/// The paths of an index's fields, merged into a tree.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Whether a path ends here.
    ends: bool,
    members: Vec<(String, Selection)>,
}

impl Selection {
    pub fn new(fields: &[String]) -> Selection {
        let mut root = Selection::default();
        for field in fields {
            let end = field.split('.').fold(&mut root, Selection::member);
            end.ends = true;
        }
        root
    }

    /// The names of the members that hold what is stored.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_str())
    }

    fn member(&mut self, name: &str) -> &mut Selection {
        let at = self.members.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.members.push((name.to_owned(), Selection::default()));
            self.members.len() - 1
        });
        &mut self.members[at].1
    }

    /// Appends those parts of a value to which paths lead. What is left out would have the same keys as something missing.
    fn copy(&self, out: &mut Vec<u8>, value: &[u8], place: &mut Place) {
        match value.first() {
            Some(b'{') => self.copy_object(out, value, place),
            Some(b'[') => {
                out.push(b'[');
                for (at, element) in json::elements(value).unwrap_or_default().into_iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    place.path.push(PathSegment::Position(at));
                    self.copy(out, element, place);
                    place.path.pop();
                }
                out.push(b']');
            }
            _ if self.ends => out.extend_from_slice(value),
            // No path leads into this element, so it counts as missing.
            _ => out.extend_from_slice(b"null"),
        }
    }

    fn copy_object(&self, out: &mut Vec<u8>, object: &[u8], place: &mut Place) {
        if let Some(what) = json::get(object, UNREPRESENTABLE) {
            place.refuse(&json::unescape_lossy(what));
            out.extend_from_slice(b"null");
            return;
        }
        out.push(b'{');
        let start = out.len();
        for (name, selection) in &self.members {
            let Some(value) = json::get(object, name) else { continue };
            if !selection.ends && !matches!(value.first(), Some(b'{' | b'[')) {
                continue;
            }
            if out.len() > start {
                out.push(b',');
            }
            json::push_string(out, name.as_bytes());
            out.push(b':');
            place.path.push(PathSegment::Key(name.clone()));
            selection.copy(out, value, place);
            place.path.pop();
        }
        out.push(b'}');
    }
}

/// Where in an entity values were found that no index takes.
#[derive(Default)]
struct Place {
    path: Vec<PathSegment>,
    issues: Vec<Issue>,
}

impl Place {
    fn refuse(&mut self, what: &str) {
        let message = format!("expected a value that JSON can hold, got {what}");
        self.issues.push(Issue { path: self.path.clone(), message, code: "invalid_type" });
    }
}

/// An entity as a caller gives it.
#[derive(Debug, Clone, Copy)]
pub struct Entity<'a> {
    /// A JSON object.
    pub text: &'a [u8],
    /// If the caller left out some members: those that it kept, as [`IndexSet::peek_members`](super::IndexSet::peek_members)
    /// returned them.
    pub members: Option<&'a str>,
}

/// Returns what the index stores of an entity, as JSON.
///
/// # Errors
/// `CONFLICT` if the caller left out what the index looks at now, `INVALID_ARGUMENT` if the entity is not a JSON object,
/// `VALIDATION_ERROR` for a value that JSON cannot hold where a path of the index leads, and for arrays that combine to too
/// many composite keys.
pub(super) fn stored_form(definition: &Definition, entity: Entity<'_>) -> Result<Vec<u8>> {
    if entity.members.is_some_and(|members| members != &*definition.members) {
        let name = &definition.config.name;
        return Err(Error::Conflict(format!("index {name} was created anew on other fields meanwhile")));
    }
    let entity = entity.text;
    if let Err(error) = json::check(entity) {
        return Err(Error::InvalidArgument(format!("an entity must be a JSON object: {}", error.problem)));
    }
    if !json::is_object(entity) {
        return Err(Error::InvalidArgument("an entity must be a JSON object, this is another value".into()));
    }
    let mut place = Place::default();
    let mut text = Vec::new();
    definition.selection.copy(&mut text, &json::compact(entity), &mut place);
    let composite = definition.config.fields.len() > 1;
    if place.issues.is_empty()
        && composite
        && !extract_all(&definition.collection.indexes, &text).iter().all(Entries::is_complete)
    {
        place.issues.push(definition.config.too_many_keys());
    }
    if place.issues.is_empty() {
        return Ok(text);
    }
    let what = format!("entity for index {}", definition.config.name);
    Err(Error::Validation { what, issues: place.issues })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::index::{Extractor, Index, IndexConfig, IndexSpec, IndexType};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn copied(fields: &[&str], entity: &str) -> (String, Vec<Issue>) {
        let fields: Vec<String> = fields.iter().map(|&field| field.into()).collect();
        let (mut out, mut place) = (Vec::new(), Place::default());
        Selection::new(&fields).copy(&mut out, entity.as_bytes(), &mut place);
        (String::from_utf8_lossy(&out).into_owned(), place.issues)
    }

    #[test]
    fn only_values_at_indexed_paths_are_stored() {
        for (fields, entity, expected) in [
            (&["a"][..], r#"{"a":1,"b":2}"#, r#"{"a":1}"#),
            (&["a"], r#"{"b":2}"#, "{}"),
            (&["a"], r#"{"a":{"secret":1}}"#, r#"{"a":{}}"#),
            (&["a"], r#"{"a":[1,[2,{"secret":1}],null]}"#, r#"{"a":[1,[2,{}],null]}"#),
            (&["a.b"], r#"{"a":{"b":"x","c":"y"}}"#, r#"{"a":{"b":"x"}}"#),
            (&["a.b"], r#"{"a":"secret"}"#, "{}"),
            (&["a.b"], r#"{"a":["secret",{"b":1,"c":2}]}"#, r#"{"a":[null,{"b":1}]}"#),
            (&["a.b", "a.c", "d"], r#"{"d":1,"a":{"c":2,"b":3}}"#, r#"{"a":{"b":3,"c":2},"d":1}"#),
            (&["a", "a.b"], r#"{"a":[1,{"b":2,"c":3}]}"#, r#"{"a":[1,{"b":2}]}"#),
            (&["__proto__"], r#"{"__proto__":1}"#, r#"{"__proto__":1}"#),
            (&["a\"b"], r#"{"a\"b":1}"#, r#"{"a\"b":1}"#),
        ] {
            assert_eq!(copied(fields, entity), (expected.to_owned(), Vec::new()), "{fields:?} {entity}");
        }
    }

    #[test]
    fn values_that_json_cannot_hold_are_refused_only_at_indexed_paths() {
        let bad = r#"{"\u0000":"NaN"}"#;
        let (_, issues) =
            copied(&["a.b"], &format!("{{\"a\":[{{\"b\":1}},{{\"b\":{bad},\"c\":{bad}}}],\"d\":{bad}}}"));
        let key = |name: &str| PathSegment::Key(name.into());
        assert_eq!(issues.len(), 1);
        assert_eq!(issues[0].path, [key("a"), PathSegment::Position(1), key("b")]);
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-2..3_i32).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_stored_part_has_the_same_keys_as_the_whole_entity(
            members in prop::collection::btree_map("[a-c]", value(), 0..4),
            fields in prop::collection::vec("[a-c](\\.[a-c]){0,2}", 1..4),
            words: bool,
        ) {
            let entity = serde_json::Value::Object(members.into_iter().collect()).to_string();
            let kind = if words { IndexType::Inverted } else { IndexType::Btree };
            let selection = Selection::new(&fields);
            let config = IndexConfig { name: "x".into(), kind, fields, unique: false, sparse: false };
            let index = Index::new(Arc::new(IndexSpec::new(config, Extractor::Fields)));
            let mut out = Vec::new();
            selection.copy(&mut out, entity.as_bytes(), &mut Place::default());
            prop_assert_eq!(index.extract(&out), index.extract(entity.as_bytes()), "{}", String::from_utf8_lossy(&out));
        }
    }
}
