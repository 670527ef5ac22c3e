use std::borrow::Cow;

use super::super::*;
use super::*;
use crate::engine::document::DocumentId;

#[test]
fn records_come_in_the_order_of_their_ids() {
    let raw = br#"{"10":{"name":"b","path":"","created":1718000000,"updated":"2024-06-10T06:13:20Z"},
        "9":{"id":"9","name":"a","path":"","created":1718000000000,"updated":1718000000000,"odd":1}}"#;
    let parsed = parse_map(MapKind::Projects, raw).unwrap();
    assert_eq!(parsed.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), [9, 10].map(DocumentId::Number));
    assert_eq!(value(&parsed[0].1).get("odd"), None);
    assert_eq!(value(&parsed[1].1)["created"], NOW);
    assert_eq!(value(&parsed[1].1)["updated"], NOW);
}

#[test]
fn issues_name_the_record_and_the_field() {
    let raw = br#"{"1":{"name":1,"path":"","created":1,"updated":1},
        "x":{"name":"","path":"","created":1,"updated":1},"3":5}"#;
    assert_eq!(
        brief(&parse_map(MapKind::Projects, raw).unwrap_err()),
        ["1.name invalid_type", "3 invalid_type", "x.id custom"]
    );
}

#[test]
fn input_that_is_not_a_map_gives_one_issue_without_a_path() {
    for (raw, expected) in [
        ("", " invalid_type"),
        ("null", " invalid_type"),
        ("[]", " invalid_type"),
        ("{", " custom"),
        ("{}x", " custom"),
    ] {
        assert_eq!(brief(&parse_map(MapKind::Files, raw.as_bytes()).unwrap_err()), [expected], "{raw}");
    }
    assert_eq!(brief(&parse_map(MapKind::Files, b"{\"\\n\xed\":1}").unwrap_err()), [" custom"]);
}

#[test]
fn files_must_name_their_project() {
    let raw = br#"{"1":{"path":"a","content":"","created":1,"updated":1}}"#;
    assert_eq!(brief(&parse_map(MapKind::Files, raw).unwrap_err()), ["1.projectId invalid_type"]);
    let raw = br#"{"1":{"path":"a","content":"","created":1,"updated":1,"projectId":3}}"#;
    assert!(parse_map(MapKind::Files, raw).is_ok());
}

#[test]
fn the_last_record_with_the_same_key_counts() {
    let record = |name: &str| format!("{{\"name\":{name},\"path\":\"\",\"created\":1,\"updated\":1}}");
    let raw = format!("{{\"1\":{},\"\\u0031\":{}}}", record("5"), record("\"b\""));
    let parsed = parse_map(MapKind::Projects, raw.as_bytes()).unwrap();
    assert_eq!((parsed.len(), &value(&parsed[0].1)["name"]), (1, &"b".into()));
}

#[test]
fn canonical_records_are_borrowed() {
    let record = create_project(b"{\"name\":\"n\",\"path\":\"p\"}", 7, NOW).unwrap();
    let raw = [b"{\"7\":", &record[..], b"}"].concat();
    assert!(matches!(parse_map(MapKind::Projects, &raw).unwrap()[..], [(_, Cow::Borrowed(_))]));
}
