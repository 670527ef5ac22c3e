use std::borrow::Cow;

use serde_json::json;

use super::super::*;
use super::*;

fn file(input: serde_json::Value) -> Vec<u8> {
    create_file(input.to_string().as_bytes(), 3, 8, NOW).unwrap()
}

fn patched(current: &[u8], patch: serde_json::Value) -> serde_json::Value {
    value(&update_file(current, patch.to_string().as_bytes(), LATER).unwrap())
}

#[test]
fn a_new_file_gets_its_defaults() {
    let expected = concat!(
        r#"{"id":8,"projectId":3,"name":"a.ts","path":"src/a.ts","extension":".ts","size":3,"summary":null,"#,
        r#""summaryLastUpdated":null,"meta":"{}","checksum":null,"created":1718000000000,"#,
        r#""updated":1718000000000,"version":1,"prevId":null,"nextId":null,"isLatest":true,"#,
        r#""originalFileId":null,"lastSyncedAt":null,"syncVersion":0,"content":"ü\n"}"#
    );
    let created = create_file("{\"content\":\"ü\\n\",\"path\":\"src/a.ts\"}".as_bytes(), 3, 8, NOW).unwrap();
    assert_eq!(String::from_utf8(created).unwrap(), expected);
}

#[test]
fn fields_given_by_the_caller_are_kept() {
    let input = json!({
        "path": "a.ts", "content": "", "name": "n", "extension": "", "size": 9, "checksum": "c", "meta": "m",
        "summary": "s", "summaryLastUpdated": "2024-06-10T06:13:20Z", "lastSyncedAt": 1_718_000_000,
        "syncVersion": 4
    });
    let created = value(&file(input.clone()));
    for (name, given) in input.as_object().unwrap() {
        match name.as_str() {
            "summaryLastUpdated" | "lastSyncedAt" => assert_eq!(created[name], NOW),
            _ => assert_eq!(&created[name], given, "{name}"),
        }
    }
}

#[test]
fn a_new_file_is_always_the_root_of_its_chain() {
    let created = file(json!({
        "path": "a", "content": "", "version": "x", "prevId": 1, "nextId": 2, "isLatest": false,
        "originalFileId": 1, "projectId": 99, "id": 99
    }));
    assert_eq!(chain_of(&created), Chain::ROOT);
    assert_eq!(value(&created)["projectId"], 3);
}

#[test]
fn a_chain_with_numbers_out_of_range_is_refused() {
    let raw = br#"{"path":"a","content":"","created":1,"updated":1,"version":0,"prevId":2524608000001,"nextId":-1}"#;
    assert_eq!(issues(stored_file("8", 3, raw)), ["version too_small", "prevId too_big", "nextId too_small"]);
}

#[test]
fn every_invalid_field_gives_one_issue() {
    let input = json!({
        "path": "", "name": "", "extension": 1, "size": 1.5, "summary": 1, "summaryLastUpdated": "soon",
        "meta": null, "checksum": {}, "lastSyncedAt": -1, "syncVersion": "1", "content": null
    });
    assert_eq!(
        issues(create_file(input.to_string().as_bytes(), 3, 8, NOW)),
        [
            "name too_small",
            "path too_small",
            "extension invalid_type",
            "size invalid_type",
            "summary invalid_type",
            "summaryLastUpdated invalid_string",
            "meta invalid_type",
            "checksum invalid_type",
            "lastSyncedAt too_small",
            "syncVersion invalid_type",
            "content invalid_type",
        ]
    );
}

#[test]
fn a_field_derived_from_a_missing_field_gives_no_extra_issue() {
    assert_eq!(issues(create_file(b"{}", 3, 8, NOW)), ["path invalid_type", "content invalid_type"]);
}

#[test]
fn lone_surrogates_are_kept_as_given() {
    let input = br#"{"path":"\ud83d/x\udc00.t\ud800","content":"a\ud83d"}"#;
    let created = create_file(input, 3, 8, NOW).unwrap();
    let get = |name| crate::engine::json::get(&created, name).unwrap();
    assert_eq!(get("name"), br#""x\udc00.t\ud800""#);
    assert_eq!(get("extension"), br#"".t\ud800""#);
    assert_eq!(get("content"), br#""a\ud83d""#);
    assert_eq!(get("size"), b"4");
}

#[test]
fn new_content_updates_size_and_checksum_unless_given() {
    let current = file(json!({"path": "a", "content": "x", "checksum": "old"}));
    let updated = patched(&current, json!({"content": "abc"}));
    assert_eq!(updated["size"], 3);
    assert_eq!(updated["checksum"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let given = patched(&current, json!({"content": "abc", "size": 7, "checksum": null}));
    assert_eq!((&given["size"], &given["checksum"]), (&json!(7), &json!(null)));
    let only_size = patched(&current, json!({"content": "abc", "size": 7}));
    assert_eq!((&only_size["size"], &only_size["checksum"]), (&json!(7), &updated["checksum"]));
}

#[test]
fn unchanged_content_changes_neither_size_nor_checksum() {
    let current = file(json!({"path": "a", "content": "x", "checksum": "mine", "size": 9}));
    let updated = patched(&current, json!({"content": "x"}));
    assert_eq!((&updated["size"], &updated["checksum"]), (&json!(9), &json!("mine")));
}

#[test]
fn the_checksum_counts_a_lone_surrogate_as_the_replacement_character() {
    let current = file(json!({"path": "a", "content": "x"}));
    let lone = value(&without_content(&update_file(&current, br#"{"content":"\ud83d"}"#, LATER).unwrap()));
    let replaced = patched(&current, json!({"content": "\u{fffd}"}));
    assert_eq!(lone["checksum"], replaced["checksum"]);
    assert_eq!(lone["size"], 3);
}

#[test]
fn an_update_ignores_ids_dates_and_the_chain() {
    let current = file(json!({"path": "a", "content": "x"}));
    let patch = json!({
        "id": 1, "projectId": 1, "created": 1, "updated": 1, "version": 9, "prevId": 1, "nextId": 1,
        "isLatest": "no", "originalFileId": 1, "z": 1, "summary": "s"
    });
    let mut expected = value(&current);
    expected["summary"] = json!("s");
    expected["updated"] = json!(LATER);
    assert_eq!(patched(&current, patch), expected);
}

#[test]
fn a_new_path_updates_a_name_and_extension_derived_from_the_old_one() {
    let current = file(json!({"path": "src/a.ts", "content": ""}));
    let moved = patched(&current, json!({"path": "lib/b.js"}));
    assert_eq!((&moved["name"], &moved["extension"]), (&json!("b.js"), &json!(".js")));
    let given = patched(&current, json!({"path": "lib/b.js", "name": "c", "extension": ".x"}));
    assert_eq!((&given["name"], &given["extension"]), (&json!("c"), &json!(".x")));
    let own = file(json!({"path": "src/a.ts", "content": "", "name": "Readable", "extension": ".own"}));
    let moved = patched(&own, json!({"path": "lib/b.js"}));
    assert_eq!((&moved["name"], &moved["extension"]), (&json!("Readable"), &json!(".own")));
}

#[test]
fn unknown_properties_on_disk_are_kept_before_the_content() {
    let raw = br#"{"content":"x","odd":{"a": 1},"path":"a","created":1,"updated":1,"\u006fdd":2}"#;
    let stored = stored_file("8", 3, raw).unwrap();
    assert!(stored.ends_with(br#","syncVersion":0,"odd":2,"content":"x"}"#));
    let updated = update_file(&stored, br#"{"odd":3,"content":"y"}"#, LATER).unwrap();
    assert!(updated.ends_with(br#","syncVersion":0,"odd":2,"content":"y"}"#));
}

#[test]
fn old_records_get_their_missing_fields() {
    let raw = br#"{"id":8,"path":"src/a.ts","content":"x","created":1,"updated":1}"#;
    let mut expected = value(&create_file(raw, 3, 8, 1).unwrap());
    expected["size"] = json!(1);
    assert_eq!(value(&stored_file("8", 3, raw).unwrap()), expected);
}

#[test]
fn a_stored_file_keeps_its_project_id() {
    let raw = br#"{"projectId":"5","path":"a","content":"","created":1,"updated":1}"#;
    assert_eq!(value(&stored_file("8", 3, raw).unwrap())["projectId"], 5);
}

#[test]
fn stored_integers_are_normalized_to_plain_form() {
    let raw =
        br#"{"path":"a","content":"","created":1e3,"updated":1.0,"size":2.0,"version":2e0,"prevId":"7"}"#;
    let stored = value(&stored_file("8", 3, raw).unwrap());
    assert_eq!(
        (&stored["created"], &stored["updated"], &stored["size"], &stored["version"], &stored["prevId"]),
        (&json!(1000), &json!(1), &json!(2), &json!(2), &json!(7))
    );
}

#[test]
fn a_record_with_duplicate_content_is_not_canonical() {
    let once = file(json!({"path": "a", "content": "x"}));
    let twice = [&once[..once.len() - 1], b",\"content\":\"x\"}"].concat();
    assert_eq!(stored_file("8", 3, &twice).unwrap(), Cow::<[u8]>::Owned(once.clone()));
    assert!(matches!(stored_file("8", 3, &once), Ok(Cow::Borrowed(_))));
}

#[test]
fn an_unchanged_written_file_keeps_its_stored_text() {
    let current =
        stored_file("8", 3, br#"{"path":"a","content":"","created":1,"updated":1,"odd":1}"#).unwrap();
    assert!(matches!(written_file("8", 3, &*current, Some(&current)), Ok(Cow::Borrowed(_))));
    let written = value(&written_file("8", 3, &*current, None).unwrap());
    assert_eq!((written["updated"].as_u64(), written.get("odd")), (Some(1000), None));
}

#[test]
fn a_text_written_with_other_escapes_is_the_same_text() {
    let raw = |content: &str| {
        let head = r#"{"path":"src\/\u00e9.ts","name":"\u00E9.ts","extension":"\u002ets","checksum":"own","#;
        format!(r#"{head}"created":1,"updated":1,"content":"{content}"}}"#)
    };
    let moved = raw("x");
    let moved = patched(&stored_file("8", 3, moved.as_bytes()).unwrap(), json!({"path": "src/b.md"}));
    assert_eq!((&moved["name"], &moved["extension"]), (&json!("b.md"), &json!(".md")));
    let lone = raw(r"\uD83D\u00e9");
    let stored = stored_file("8", 3, lone.as_bytes()).unwrap();
    let same = update_file(&stored, r#"{"content":"\ud83dé"}"#.as_bytes(), LATER).unwrap();
    assert_eq!(crate::engine::json::get(&same, "checksum"), Some(&b"\"own\""[..]));
}
