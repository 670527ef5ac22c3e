use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::*;
use crate::engine::document::Given;
use crate::engine::json as engine_json;

const PROJECT_FIELDS: &[&str] = &["id", "name", "description", "path", "created", "updated", "odd"];
const FILE_FIELDS: &[&str] = &[
    "id",
    "projectId",
    "name",
    "path",
    "extension",
    "size",
    "summary",
    "summaryLastUpdated",
    "meta",
    "checksum",
    "created",
    "updated",
    "version",
    "prevId",
    "nextId",
    "isLatest",
    "originalFileId",
    "lastSyncedAt",
    "syncVersion",
    "content",
    "odd",
    "__proto__",
];

/// Values of every kind, right and wrong.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| json!(text).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| json!(number).to_string()),
        (0..2_524_608_000_000_u64).prop_map(|number| number.to_string()),
        prop::sample::select(vec![
            "null",
            "true",
            "false",
            "\"\"",
            "\"7\"",
            "7",
            "[]",
            "{ \"a\" : 1 }",
            "\"2024-06-10\"",
            "\"\\ud83d\"",
            "1e3",
        ])
        .prop_map(str::to_string),
    ]
}

/// Objects of known and unknown members in any order, some twice.
fn any_object(fields: &'static [&'static str]) -> impl Strategy<Value = String> {
    members(fields, 0..24).prop_map(|members| format!("{{ {} }}", members.join(" , ")))
}

/// Records that are valid except for a few members, which are valid about half the time.
fn good_object(fields: &'static [&'static str]) -> impl Strategy<Value = String> {
    members(fields, 0..4).prop_map(|mut members| {
        let needed = r#""path": "a", "name": "n", "content": "", "created": 1, "updated": 1"#;
        members.insert(0, needed.to_string());
        format!("{{ {} }}", members.join(" , "))
    })
}

fn members(
    fields: &'static [&'static str],
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<String>> {
    let member = (prop::sample::select(fields), any_value());
    vec(member.prop_map(|(name, value)| format!("\"{name}\": {value}")), count)
}

fn file_input() -> impl Strategy<Value = String> {
    (any::<String>(), "[a-z/\\\\.]{1,12}", any::<String>()).prop_map(|(content, path, summary)| {
        json!({"summary": summary, "content": content, "path": path, "lastSyncedAt": 5}).to_string()
    })
}

proptest! {
    #[test]
    fn rubbish_never_panics(bytes in vec(any::<u8>(), 0..80), key in any::<String>()) {
        let _ = create_project(&bytes, 1, NOW);
        let _ = update_project(&bytes, &bytes, NOW);
        let _ = stored_project(&key, &bytes);
        let _ = create_file(bytes.as_slice(), 1, 2, NOW);
        let _ = update_file(&bytes, bytes.as_slice(), NOW);
        let _ = stored_file(&key, 1, &bytes);
        let _ = written_file(&key, 1, bytes.as_slice(), Some(&bytes));
        let _ = next_version(&bytes, Content::Json(&bytes), Some(&bytes), Chain::ROOT, 1, NOW);
        let _ = with_chain(&bytes, &Chain::ROOT, Some(NOW));
        let _ = chain_of(&bytes);
        let _ = parse_map(MapKind::Files, &bytes);
    }

    #[test]
    fn every_operation_produces_canonical_text(
        text in good_object(FILE_FIELDS),
        patch in good_object(FILE_FIELDS),
    ) {
        let is_canonical = |file: &[u8]| matches!(stored_file("7", 3, file), Ok(Cow::Borrowed(_)));
        if let Ok(created) = create_file(text.as_bytes(), 3, 7, NOW) {
            prop_assert!(is_canonical(&created));
        }
        if let Ok(stored) = stored_file("7", 3, text.as_bytes()) {
            prop_assert!(is_canonical(&stored));
            prop_assert!(matches!(written_file("7", 3, &*stored, Some(&stored)), Ok(Cow::Borrowed(_))));
            if let Ok(updated) = update_file(&stored, patch.as_bytes(), NOW) {
                prop_assert!(is_canonical(&updated));
            }
        }
    }

    #[test]
    fn stored_projects_are_canonical(text in good_object(PROJECT_FIELDS)) {
        if let Ok(stored) = stored_project("7", text.as_bytes()) {
            prop_assert!(matches!(stored_project("7", &stored), Ok(Cow::Borrowed(_))));
        }
    }

    #[test]
    fn each_field_gives_at_most_one_issue(text in any_object(FILE_FIELDS)) {
        if let Err(Error::Validation { issues, .. }) = stored_file("7", 3, text.as_bytes()) {
            let mut paths: Vec<_> = issues.iter().map(|issue| format!("{:?}", issue.path)).collect();
            paths.sort();
            paths.dedup();
            prop_assert_eq!(paths.len(), issues.len());
        }
    }

    #[test]
    fn fields_given_by_a_caller_read_back(input in file_input()) {
        let created = create_file(input.as_bytes(), 3, 7, NOW).unwrap();
        prop_assert!(matches!(stored_file("7", 3, &created), Ok(Cow::Borrowed(_))));
        let (given, created) = (value(input.as_bytes()), value(&created));
        for name in ["summary", "content", "path"] {
            prop_assert_eq!(&created[name], &given[name]);
        }
        prop_assert_eq!(created["size"].as_u64(), given["content"].as_str().map(|text| text.len() as u64));
        prop_assert_eq!(&created["lastSyncedAt"], 5000);
    }

    #[test]
    fn content_given_separately_equals_content_within_the_record(
        content in any::<String>(),
        before in any::<String>(),
        checksum in prop::sample::select(vec![json!({}), json!({"checksum": "c"}), json!({"size": 3})]),
    ) {
        let fields = |more: &Value| {
            let mut fields = checksum.clone();
            for (name, value) in more.as_object().unwrap() {
                fields[name] = value.clone();
            }
            fields.to_string().into_bytes()
        };
        let (path, whole) = (json!({"path": "a.ts"}), json!({"path": "a.ts", "content": content}));
        let (path, whole) = (fields(&path), fields(&whole));
        let apart = Given { text: &path, large: Some(&content) };
        let created = create_file(whole.as_slice(), 3, 7, NOW).unwrap();
        prop_assert_eq!(&create_file(apart, 3, 7, NOW).unwrap(), &created);
        prop_assert_eq!(written_file("7", 3, apart, None).is_ok(), written_file("7", 3, whole.as_slice(), None).is_ok());
        prop_assert_eq!(
            written_file("7", 3, apart, Some(&created)).ok(),
            written_file("7", 3, whole.as_slice(), Some(&created)).ok()
        );
        let stored = create_file(Given { text: b"{\"path\":\"b\"}", large: Some(&before) }, 3, 7, NOW).unwrap();
        for stored in [&stored, &created] {
            let updated = update_file(stored, whole.as_slice(), LATER).unwrap();
            prop_assert_eq!(update_file(stored, apart, LATER).unwrap(), updated);
        }
        let quoted = engine_json::quote(&content);
        let raw = next_version(&stored, Content::Json(quoted.as_bytes()), None, Chain::ROOT, 8, LATER).unwrap();
        let plain = next_version(&stored, Content::Plain(&content), None, Chain::ROOT, 8, LATER).unwrap();
        prop_assert_eq!(plain, raw);
    }

    #[test]
    fn an_empty_patch_changes_only_updated(input in file_input(), odd in any_value()) {
        let created = create_file(input.as_bytes(), 3, 7, NOW).unwrap();
        let with_odd = [head_of(&created), b",\"odd\":", odd.as_bytes(),
            b",\"content\":", content_of(&created).unwrap(), b"}"].concat();
        let before = stored_file("7", 3, &with_odd).unwrap();
        let after = update_file(&before, b"{}", LATER).unwrap();
        let stamp = |at: u64| format!("\"updated\":{at},");
        let expected = String::from_utf8_lossy(&before).replacen(&stamp(NOW), &stamp(LATER), 1);
        prop_assert_eq!(String::from_utf8_lossy(&after), expected);
    }

    #[test]
    fn content_is_kept_byte_for_byte(
        content in "([a-z\"{},ü]|\\PC){0,20}",
        tail in prop::sample::select(vec!["", "\\ud83d", "\\udc00\\ud800", "\\u2028", "\\/"]),
    ) {
        let quoted = json!(content).to_string();
        let raw = format!("{}{tail}\"", &quoted[..quoted.len() - 1]);
        let input = format!("{{\"path\":\"a\",\"content\":{raw}}}");
        let created = create_file(input.as_bytes(), 3, 7, NOW).unwrap();
        prop_assert_eq!(content_of(&created), Some(raw.as_bytes()));
        let version = next_version(&created, Content::Json(raw.as_bytes()), None, Chain::ROOT, 8, NOW).unwrap();
        let linked = with_chain(&version, &Chain::ROOT, None);
        prop_assert_eq!(content_of(&linked), Some(raw.as_bytes()));
    }
}
