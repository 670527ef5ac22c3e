//! Objects of one shape as a table. Copying an object and setting some of its members takes JavaScript a quarter of the time
//! that parsing one takes.

use std::collections::HashSet;
use std::ops::Range;

use super::scan::Scanner;

/// With more members, or with longer objects, the values take most of the time.
const MOST_MEMBERS: usize = 64;
const LONGEST: usize = 4096;
/// Fewer objects are parsed just as quickly.
const FEWEST: usize = 8;

/// The first object, and a column for each of its members. Texts have no white space between their tokens.
pub struct Table {
    /// The text of the first object without the closing brace.
    first: Vec<u8>,
    columns: Vec<Column>,
    count: usize,
}

/// A member that all objects have.
struct Column {
    /// Where its key and its value are in the first object.
    key: Range<usize>,
    value: Range<usize>,
    /// The values so far, with commas between them. `None` while all are the same and can be shared.
    values: Option<Vec<u8>>,
}

impl Table {
    /// Begins a table with one object, whose text lacks the closing brace. Returns `None` if a table of such objects gains
    /// nothing.
    pub fn of(first: &[u8]) -> Option<Table> {
        if first.len() > LONGEST {
            return None;
        }
        let mut columns = Vec::new();
        let mut scanner = Scanner::at(first, 1);
        while scanner.position() < first.len() {
            if !columns.is_empty() {
                scanner.expect(b',', "").ok()?;
            }
            let key = scanner.string().ok()?;
            scanner.expect(b':', "").ok()?;
            let value = scanner.value().ok()?;
            let is_shared = !matches!(first[value.start], b'{' | b'[');
            let values = (!is_shared).then(|| first[value.clone()].to_vec());
            columns.push(Column { key, value, values });
        }
        let is_table = first.first() == Some(&b'{') && columns.len() <= MOST_MEMBERS;
        is_table.then(|| Table { first: first.to_vec(), columns, count: 1 })
    }

    /// Adds an object, whose text lacks the closing brace. Returns `None` if it does not have the same members in the same
    /// order, which makes the table useless.
    pub fn push(&mut self, object: &[u8]) -> Option<()> {
        let mut rest = object.strip_prefix(b"{")?;
        for (at, column) in self.columns.iter_mut().enumerate() {
            if at > 0 {
                rest = rest.strip_prefix(b",")?;
            }
            rest = rest.strip_prefix(&self.first[column.key.clone()])?.strip_prefix(b":")?;
            let first = &self.first[column.value.clone()];
            let len = match rest.strip_prefix(first) {
                Some([] | [b',', ..]) => first.len(),
                _ => Scanner::new(rest).value().ok().filter(|value| value.start == 0)?.end,
            };
            let (value, behind) = rest.split_at(len);
            column.push(value, first, self.count);
            rest = behind;
        }
        self.count += 1;
        rest.is_empty().then_some(())
    }

    /// Returns the table as JSON if it is worthwhile: `count` of the objects, the `first` one, `names` and values of the
    /// `columns`.
    pub fn finish(self) -> Option<Vec<u8>> {
        let key = |column: &Column| &self.first[column.key.clone()];
        let mut names = HashSet::with_capacity(self.columns.len());
        // Setting a member of the first object by its name must have the same effect as parsing it.
        let can_be_set = |column| !key(column).contains(&b'\\') && key(column) != b"\"__proto__\"";
        if self.count < FEWEST
            || !self.columns.iter().all(|column| can_be_set(column) && names.insert(key(column)))
        {
            return None;
        }
        let columns = || self.columns.iter().filter_map(|column| Some((column, column.values.as_ref()?)));
        let bytes: usize = columns().map(|(column, values)| column.key.len() + values.len() + 4).sum();
        let mut out = Vec::with_capacity(self.first.len() + bytes + 80);
        out.extend_from_slice(format!("{{\"count\":{},\"first\":", self.count).as_bytes());
        out.extend_from_slice(&self.first);
        out.extend_from_slice(b"},\"names\":[");
        push_joined(&mut out, columns().map(|(column, _)| key(column)), b",");
        out.extend_from_slice(b"],\"columns\":[[");
        push_joined(&mut out, columns().map(|(_, values)| values.as_slice()), b"],[");
        out.extend_from_slice(b"]]}");
        Some(out)
    }
}

impl Column {
    /// Adds the value of an object after `count` others, the first of which has the value `first`.
    fn push(&mut self, value: &[u8], first: &[u8], count: usize) {
        if self.values.is_none() && value == first {
            return;
        }
        let values = self.values.get_or_insert_with(|| {
            let mut same = [first, b","].concat().repeat(count);
            same.pop();
            same
        });
        values.push(b',');
        values.extend_from_slice(value);
    }
}

fn push_joined<'a>(out: &mut Vec<u8>, parts: impl Iterator<Item = &'a [u8]>, separator: &[u8]) {
    for (at, part) in parts.enumerate() {
        if at > 0 {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    fn table(objects: &[impl AsRef<str>]) -> Option<Value> {
        let open = |object: &str| object.strip_suffix('}').unwrap_or(object).to_owned();
        let (first, others) = objects.split_first()?;
        let mut table = Table::of(open(first.as_ref()).as_bytes())?;
        others.iter().try_for_each(|object| table.push(open(object.as_ref()).as_bytes()))?;
        Some(serde_json::from_slice(&table.finish()?).expect("a table is JSON"))
    }

    /// Returns what JavaScript makes of a table.
    fn objects(table: &Value) -> Vec<Value> {
        let object = |row: usize| {
            let mut object = table["first"].clone();
            for (at, name) in table["names"].as_array().into_iter().flatten().enumerate() {
                object[name.as_str().expect("a name")] = table["columns"][at][row].clone();
            }
            object
        };
        (0..table["count"].as_u64().expect("a count") as usize).map(object).collect()
    }

    #[test]
    fn members_with_the_same_value_in_all_objects_have_no_column() {
        let rows: Vec<String> = (0..8).map(|n| format!(r#"{{"id":{n},"a":null,"b":"x\"y"}}"#)).collect();
        let expected = json!({
            "count": 8,
            "first": { "id": 0, "a": null, "b": "x\"y" },
            "names": ["id"],
            "columns": [[0, 1, 2, 3, 4, 5, 6, 7]],
        });
        assert_eq!(table(&rows), Some(expected));
    }

    #[test]
    fn a_value_that_only_begins_like_the_first_one_is_different() {
        let rows: Vec<String> = (1..9).map(|n| format!(r#"{{"id":{},"a":1}}"#, "1".repeat(n))).collect();
        let given: Vec<Value> =
            rows.iter().map(|row| serde_json::from_str(row).expect("it is JSON")).collect();
        assert_eq!(table(&rows).map(|table| objects(&table)), Some(given));
    }

    #[test]
    fn arrays_and_objects_are_never_shared_between_rows() {
        let found = table(&[r#"{"id":1,"list":[],"object":{}}"#; 8]).expect("they are of one shape");
        assert_eq!(found["names"], json!(["list", "object"]));
    }

    #[test]
    fn objects_with_different_members_form_no_table() {
        for other in [
            r#"{"a":1}"#,
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"b":2,"a":1}"#,
            r#"{"a":1,"b": 2}"#,
            "{}",
            "7",
            "null",
            "",
        ] {
            let mut rows = vec![r#"{"a":1,"b":2}"#; 8];
            rows.push(other);
            assert_eq!(table(&rows), None, "{other}");
        }
    }

    #[test]
    fn objects_with_unsettable_names_form_no_table() {
        for row in [r#"{"__proto__":1}"#, r#"{"\u0061":1}"#, r#"{"a":1,"a":2}"#, "[1]", "1"] {
            assert_eq!(table(&[row; 8]), None, "{row}");
        }
    }

    #[test]
    fn too_few_objects_form_no_table() {
        assert_eq!(table(&[r#"{"a":1}"#; FEWEST - 1]), None);
    }

    proptest! {
        #[test]
        fn a_table_expands_to_the_original_objects(
            names in proptest::collection::btree_set("[a-c1-3\"é]{1,3}", 0..5),
            values in vec(vec(prop_oneof![
                Just(json!(null)), Just(json!("")), Just(json!([])), Just(json!({"a": 1})), any::<bool>().prop_map(Value::from),
                (0u64..200).prop_map(Value::from), "[a\",\\\\é]{0,3}".prop_map(Value::from),
            ], 5), 8..20),
        ) {
            let object = |values: &Vec<Value>| Value::Object(names.iter().cloned().zip(values.iter().cloned()).collect::<Map<_, _>>());
            let given: Vec<Value> = values.iter().map(object).collect();
            let rows: Vec<String> = given.iter().map(Value::to_string).collect();
            let escaped = names.iter().any(|name| name.contains('"'));
            prop_assert_eq!(table(&rows).map(|table| objects(&table)), (!escaped).then_some(given));
        }
    }
}
