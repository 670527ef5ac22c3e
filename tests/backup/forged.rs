//! Backups that a restore refuses because they are not what was made.

use std::path::{Path, PathBuf};

use octoprompt_storage::engine::backup::verify_backup;
use octoprompt_storage::engine::fs::SimFs;

use crate::restoring::changed;
use crate::world::{Process, Seen, code, image, to_the_end};

/// On Windows only a path with a drive is absolute.
pub fn absolute(path: &str) -> PathBuf {
    std::path::absolute(path).expect("a path")
}

/// Checks that a backup is refused: whatever is wrong with it, everything is as before, leftovers included, and verifying
/// it finds the same.
pub fn is_refused(fs: &SimFs, backup: &str, expected: &str, after: &Seen) {
    let mut process = Process::start(fs);
    let images = (image(fs, "/base/data"), image(fs, "/base/other"));
    assert_eq!(code(process.restore(backup)), Err(expected));
    let strip = |mut image: std::collections::BTreeMap<std::path::PathBuf, Vec<u8>>| {
        image.retain(|path, _| !path.ends_with(".migration/lock"));
        image
    };
    assert!(
        (strip(image(fs, "/base/data")), image(fs, "/base/other")) == (strip(images.0), images.1),
        "{backup}"
    );
    assert_eq!(process.see().expect("readable"), *after);
    let report = verify_backup(&process.site, Path::new(backup), &mut to_the_end());
    match expected {
        // What is in the way of the restore says nothing about the backup.
        "IO_ERROR" => assert!(report.expect("verified").is_ok()),
        "CORRUPT_DATA" | "UNSUPPORTED_FORMAT" => assert_eq!(report.expect("verified").problems.len(), 1),
        _ => assert_eq!(code(report), Err(expected)),
    }
}

#[test]
fn a_backup_without_a_manifest_or_with_a_newer_format_is_refused() {
    let (fs, _, after) = changed();
    let manifest = "/base/backups/one/manifest.json";
    let text = String::from_utf8(fs.read_file(manifest).expect("a manifest")).expect("text");
    is_refused(&fs, "none", "NOT_FOUND", &after);
    is_refused(&fs, "../one", "INVALID_ARGUMENT", &after);
    is_refused(&fs, ".partial-one", "INVALID_ARGUMENT", &after);
    is_refused(&fs, &absolute("/base/data/notes.txt").to_string_lossy(), "NOT_FOUND", &after);
    is_refused(&fs, &absolute("/base/data").to_string_lossy(), "CORRUPT_DATA", &after);
    fs.write_file(manifest, text.replace("\"format\": 1", "\"format\": 2").as_bytes());
    is_refused(&fs, "one", "UNSUPPORTED_FORMAT", &after);
    fs.remove(manifest);
    is_refused(&fs, "one", "CORRUPT_DATA", &after);
}

#[test]
fn a_backup_with_a_missing_truncated_or_changed_file_is_refused() {
    let (fs, _, after) = changed();
    let path = "/base/backups/one/data/notes.txt";
    for content in [&b"not our"[..], b"not 0urs"] {
        fs.write_file(path, content);
        is_refused(&fs, "one", "CORRUPT_DATA", &after);
    }
    fs.remove(path);
    is_refused(&fs, "one", "CORRUPT_DATA", &after);
}

/// Returns the manifest with one text replaced and its checksum corrected.
fn forged(text: &str, from: &str, to: &str) -> String {
    use sha2::Digest;
    let manifest: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let content = manifest["content"].to_string().replace(from, to);
    assert_ne!(content, manifest["content"].to_string());
    let checksum: String =
        sha2::Sha256::digest(content.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{{\"format\":1,\"checksum\":\"{checksum}\",\"content\":{content}}}")
}

#[test]
fn a_manifest_with_a_forged_path_is_refused() {
    let (fs, _, after) = changed();
    let manifest = "/base/backups/one/manifest.json";
    let text = String::from_utf8(fs.read_file(manifest).expect("a manifest")).expect("text");
    let places = [
        "../notes.txt",
        "/etc/notes.txt",
        "data/../../notes.txt",
        "data/.storage/notes.txt",
        "data//notes.txt",
        "",
        "data/./notes.txt",
        "backups/two/notes.txt",
        "data/.migration/notes.txt",
        "data/.restore/intent.json",
    ];
    for place in places {
        fs.write_file(manifest, forged(&text, "\"data/notes.txt\"", &format!("\"{place}\"")).as_bytes());
        is_refused(&fs, "one", "CORRUPT_DATA", &after);
    }
    for (from, to) in
        [("\"database\":\"data/one\"", "\"database\":\"data/two\""), ("\"other\"", "\"../other\"")]
    {
        fs.write_file(manifest, forged(&text, from, to).as_bytes());
        is_refused(&fs, "one", "CORRUPT_DATA", &after);
    }
}

/// Returns a manifest, or an intent that is not done, with its content changed and its checksum corrected.
pub fn changed_manifest(text: &str, change: impl FnOnce(&mut serde_json::Value)) -> String {
    use sha2::Digest;
    let mut manifest: serde_json::Value = serde_json::from_str(text).expect("JSON");
    change(&mut manifest["content"]);
    let content = manifest["content"].to_string();
    let checksum: String =
        sha2::Sha256::digest(content.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let done = if manifest["done"].is_null() { "" } else { "\"done\": \"n\",\n" };
    format!("{{\n{done}\"format\":1,\"checksum\":\"{checksum}\",\"content\":{content}}}")
}

#[test]
fn a_manifest_that_contradicts_itself_is_refused() {
    let (fs, _, after) = changed();
    let manifest = "/base/backups/one/manifest.json";
    let text = String::from_utf8(fs.read_file(manifest).expect("a manifest")).expect("text");
    type Lie = (&'static str, fn(&mut serde_json::Value));
    let lies: [Lie; 8] = [
        ("a file twice", |content| {
            let files = content["files"].as_array_mut().expect("files");
            files.push(files[0].clone());
        }),
        ("a file that is stored elsewhere", |content| content["files"][0]["stored"] = "1".into()),
        ("a collection of no database", |content| content["databases"] = serde_json::json!([])),
        ("a collection in the file of another", |content| {
            let mut files = content["files"].as_array_mut().expect("files").iter_mut();
            let found = files.find(|file| file["path"] == "data/one/items.json").expect("the collection");
            found["collection"] = "elsewhere.json".into();
        }),
        ("a directory outside", |content| content["directories"][0] = "../outside".into()),
        ("a directory of the engine", |content| content["directories"][0] = "data/.storage".into()),
        ("a file as a directory", |content| content["directories"][0] = "data/notes.txt".into()),
        ("a file above a directory", |content| content["directories"][0] = "data/notes.txt/below".into()),
    ];
    for (what, lie) in lies {
        let lie = changed_manifest(&text, lie);
        assert_ne!(lie, changed_manifest(&text, |_| {}), "{what}");
        fs.write_file(manifest, lie.as_bytes());
        is_refused(&fs, "one", "CORRUPT_DATA", &after);
    }
}

#[test]
fn a_manifest_with_a_sequence_number_near_the_limit_is_refused() {
    let (fs, _, after) = changed();
    let manifest = "/base/backups/one/manifest.json";
    let text = String::from_utf8(fs.read_file(manifest).expect("a manifest")).expect("text");
    for seq in [u64::MAX, (1 << 53) - 1, (1 << 52) + 1] {
        let lie = changed_manifest(&text, |content| content["databases"][0]["seq"] = seq.into());
        fs.write_file(manifest, lie.as_bytes());
        is_refused(&fs, "one", "CORRUPT_DATA", &after);
    }
    Process::start(&fs).put((0, 0, 60), "written on").expect("writes go on");
}

#[test]
fn a_manifest_that_puts_a_file_in_place_of_the_data_directory_is_refused() {
    let (fs, _, after) = changed();
    let manifest = "/base/backups/one/manifest.json";
    let text = String::from_utf8(fs.read_file(manifest).expect("a manifest")).expect("text");
    let notes = fs.read_file("/base/backups/one/data/notes.txt").expect("a file");
    for (place, stored) in [("data", "/base/backups/two/data"), ("DATA", "/base/backups/two/DATA")] {
        let lie = changed_manifest(&text, |content| {
            let files = content["files"].as_array().expect("files");
            let mut only = files.iter().find(|file| file["path"] == "data/notes.txt").expect("it").clone();
            only["path"] = place.into();
            content["files"] = serde_json::json!([only]);
            content["directories"] = serde_json::json!([]);
            content["databases"] = serde_json::json!([]);
        });
        fs.write_file("/base/backups/two/manifest.json", lie.as_bytes());
        fs.write_file(stored, &notes);
        is_refused(&fs, "two", "CORRUPT_DATA", &after);
    }
}
