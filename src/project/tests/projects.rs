use std::borrow::Cow;

use serde_json::json;

use super::super::*;
use super::*;

const PROJECT: &[u8] = concat!(
    r#"{"id":7,"name":"n","description":"","path":"/p","#,
    r#""created":1718000000000,"updated":1718000000000,"x":[1]}"#
)
.as_bytes();

#[test]
fn a_new_project_gets_id_dates_and_description() {
    let created = create_project(b"{\"path\": \"/p\", \"name\": \"n\"}", 7, NOW).unwrap();
    let expected =
        r#"{"id":7,"name":"n","description":"","path":"/p","created":1718000000000,"updated":1718000000000}"#;
    assert_eq!(String::from_utf8(created).unwrap(), expected);
}

#[test]
fn creating_ignores_assigned_and_unknown_fields() {
    let input =
        json!({"id": "x", "created": null, "updated": [], "__proto__": 1, "y": 2, "name": "n", "path": "/p"});
    let created = value(&create_project(input.to_string().as_bytes(), 7, NOW).unwrap());
    assert_eq!(created["id"], 7);
    assert_eq!(created["created"], NOW);
    assert_eq!(created.as_object().unwrap().len(), 6);
}

#[test]
fn every_invalid_field_gives_one_issue() {
    let result = create_project(b"{\"name\":5,\"description\":null}", 7, NOW);
    assert_eq!(issues(result), ["name invalid_type", "description invalid_type", "path invalid_type"]);
}

#[test]
fn issues_are_described_in_words() {
    assert_eq!(
        message(create_project(b"{\"name\":5,\"path\":\"\"}", 7, NOW)),
        "invalid project: name expected a string, got a number; path must not be empty"
    );
    assert_eq!(
        message(create_project(b"{\"name\":\"n\"}", 7, NOW)),
        "invalid project: path expected a string, got nothing"
    );
}

#[test]
fn empty_names_and_paths_are_refused_from_callers_but_accepted_on_disk() {
    assert_eq!(
        issues(create_project(b"{\"name\":\"\",\"path\":\"\"}", 7, NOW)),
        ["name too_small", "path too_small"]
    );
    assert_eq!(issues(update_project(PROJECT, b"{\"name\":\"\"}", NOW)), ["name too_small"]);
    assert!(stored_project("7", b"{\"name\":\"\",\"path\":\"\",\"created\":1,\"updated\":1}").is_ok());
}

#[test]
fn input_that_is_not_an_object_gives_one_issue_without_a_path() {
    for input in ["", "null", "[]", "\"x\"", "5", " true"] {
        assert_eq!(issues(create_project(input.as_bytes(), 7, NOW)), [" invalid_type"], "{input}");
    }
    for input in ["{", "{\"name\":}", "{} {}", "{\"name\":\"n\"", "{\"a\":01}"] {
        assert_eq!(issues(create_project(input.as_bytes(), 7, NOW)), [" custom"], "{input}");
    }
    assert_eq!(issues(create_project(b"{\"name\":\"\xff\"}", 7, NOW)), [" custom"]);
}

#[test]
fn the_last_of_two_members_with_the_same_name_counts() {
    let created = create_project(b"{\"name\":5,\"path\":\"/p\",\"n\\u0061me\":\"b\"}", 7, NOW).unwrap();
    assert_eq!(value(&created)["name"], "b");
    assert_eq!(
        issues(create_project(b"{\"name\":\"a\",\"path\":\"/p\",\"name\":5}", 7, NOW)),
        ["name invalid_type"]
    );
}

#[test]
fn an_update_changes_only_the_known_fields_of_the_patch() {
    let patch = br#"{"description":"d","id":9,"created":5,"updated":9999999999999,"y":1,"x":2}"#;
    let updated = value(&update_project(PROJECT, patch, LATER).unwrap());
    assert_eq!(
        updated,
        json!({
            "id": 7, "name": "n", "description": "d", "path": "/p", "created": NOW, "updated": LATER, "x": [1]
        })
    );
}

#[test]
fn updated_never_goes_backwards() {
    let updated = update_project(PROJECT, b"{}", 5).unwrap();
    assert_eq!(updated, PROJECT);
}

#[test]
fn a_canonical_record_is_borrowed() {
    assert!(matches!(stored_project("7", PROJECT), Ok(Cow::Borrowed(_))));
    let spaced = [PROJECT, b" "].concat();
    assert!(matches!(stored_project("7", &spaced), Ok(Cow::Owned(_))));
}

#[test]
fn a_stored_record_is_brought_into_canonical_form() {
    let raw =
        br#" { "__proto__" : { "a" : " b " } , "updated" : "1718000000000", "created":"2024-06-10T06:13:20Z",
        "x": 1, "path":"/p", "name":"n", "id":"7", "x": 1e2 } "#;
    let expected = concat!(
        r#"{"id":7,"name":"n","description":"","path":"/p","created":1718000000000,"updated":1718000000000,"#,
        r#""__proto__":{"a":" b "},"x":1e2}"#
    );
    assert_eq!(String::from_utf8_lossy(&stored_project("7", raw).unwrap()), expected);
}

#[test]
fn the_id_of_a_stored_record_is_its_key() {
    let record =
        |id: &str| format!("{{{id}\"name\":\"n\",\"path\":\"\",\"created\":1,\"updated\":2}}").into_bytes();
    assert_eq!(value(&stored_project("7", &record("")).unwrap())["id"], 7);
    assert_eq!(value(&stored_project("7", &record("\"id\":7e0,")).unwrap())["id"], 7);
    assert_eq!(issues(stored_project("7", &record("\"id\":8,"))), ["id custom"]);
    assert_eq!(issues(stored_project("7", &record("\"id\":null,"))), ["id invalid_type"]);
    for key in ["", "x", "07", "-1", "1.5", "2524608000001", "__proto__"] {
        assert_eq!(issues(stored_project(key, &record("\"id\":7,"))), ["id custom"], "{key}");
        assert_eq!(issues(stored_project(key, &record(""))), ["id custom"], "{key}");
    }
}

#[test]
fn small_timestamps_on_disk_are_kept_as_milliseconds() {
    let raw = br#"{"id":7,"name":"n","path":"","created":1718000000,"updated":5}"#;
    let stored = value(&stored_project("7", raw).unwrap());
    assert_eq!((&stored["created"], &stored["updated"]), (&json!(1_718_000_000), &json!(5)));
}

#[test]
fn small_timestamps_in_a_written_map_are_seconds_unless_already_stored() {
    let raw = br#"{"id":7,"name":"n","path":"","created":1718000000,"updated":5}"#;
    let current = stored_project("7", br#"{"name":"m","path":"","created":1,"updated":5}"#).unwrap();
    let written = value(&written_project("7", raw, Some(&current)).unwrap());
    assert_eq!((&written["created"], &written["updated"]), (&json!(NOW), &json!(5)));
    let new = value(&written_project("7", raw, None).unwrap());
    assert_eq!((&new["created"], &new["updated"]), (&json!(NOW), &json!(5000)));
}

#[test]
fn a_written_map_adds_no_unknown_property_but_keeps_those_on_disk() {
    let raw = br#"{"id":7,"name":"n","path":"","created":1718000000000,"updated":1718000000000,"x":2,"y":3}"#;
    let written = value(&written_project("7", raw, Some(PROJECT)).unwrap());
    assert_eq!((written.get("x"), written.get("y")), (Some(&json!(2)), None));
    assert_eq!(value(&written_project("7", raw, None).unwrap()).get("x"), None);
}

#[test]
fn an_unknown_property_that_json_cannot_hold_is_refused() {
    let raw = br#"{"id":7,"name":"n","path":"","created":5,"updated":5,"x":[["\u0000NaN"]]}"#;
    assert_eq!(issues(written_project("7", raw, Some(PROJECT))), ["x invalid_type"]);
    assert!(written_project("7", raw, None).is_ok());
}

#[test]
fn an_unchanged_written_record_keeps_its_stored_text() {
    assert_eq!(written_project("7", PROJECT, Some(PROJECT)).unwrap(), Cow::Borrowed(PROJECT));
}

#[test]
fn a_property_named_like_the_content_of_files_is_kept() {
    for rest in [r#""content":"x"}"#, r#""content":"x","y":"z"}"#, r#""a":1,"content":"x","y":2}"#] {
        let stored = [PROJECT.strip_suffix(b"}").unwrap(), b",", rest.as_bytes()].concat();
        let updated = value(&update_project(&stored, b"{\"name\":\"m\"}", NOW).unwrap());
        let mut expected = value(&stored);
        expected["name"] = "m".into();
        assert_eq!(updated, expected);
        assert_eq!(value(&written_project("7", PROJECT, Some(&stored)).unwrap()), value(&stored));
    }
}
