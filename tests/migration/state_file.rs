//! The state file: what it says, what is kept, and what counts as damage.

use std::path::Path;

use octoprompt_storage::engine::BasePath;
use octoprompt_storage::engine::fs::{Fault, Repeat, SimFs};
use octoprompt_storage::engine::migration::{
    Progress, Record, Registered, Registry, State, StateFile, Version, status,
};
use proptest::prelude::*;

const PATH: &str = "/base/data/.migration-state.json";

fn machine() -> SimFs {
    let fs = SimFs::new();
    fs.make_dirs("/base");
    fs
}

fn file(fs: &SimFs) -> StateFile {
    StateFile::of(&BasePath::new(fs.handle(), Path::new("/base")))
}

fn version(text: &str) -> Version {
    Version::parse(text).expect("a version")
}

fn record(text: &str, error: Option<&str>) -> Record {
    Record::new(version(text), format!("about {text}"), 1_795_495_378_037, error.map(str::to_owned))
}

fn written(text: &str) -> SimFs {
    let fs = machine();
    fs.make_dirs("/base/data");
    fs.write_file(PATH, text.as_bytes());
    fs
}

const TWO: &str = r#"{
  "currentVersion": "1.0.0",
  "migrations": [
    {
      "version": "1.0.0",
      "description": "about 1.0.0",
      "appliedAt": 1795495378037,
      "success": true
    },
    {
      "version": "1.1.0",
      "description": "about 1.1.0",
      "appliedAt": 1795495378037,
      "success": false,
      "error": "no"
    }
  ]
}
"#;

#[test]
fn a_missing_file_means_that_nothing_was_applied() {
    let state = file(&machine()).load().expect("loads");
    assert_eq!((state.current(), state.records().len()), (Version::NONE, 0));
}

#[test]
fn a_saved_state_is_readable_json_and_loads_back() {
    let fs = machine();
    let mut state = State::default();
    state.record(record("1.0.0", None));
    state.record(record("1.1.0", Some("no")));
    file(&fs).save(&state).expect("saves");
    assert_eq!(fs.read_file(PATH).as_deref(), Some(TWO.as_bytes()));
    assert_eq!(file(&fs).load().expect("loads"), state);
}

#[test]
fn unknown_members_are_kept() {
    let text = TWO.replacen('{', r#"{"by":{"a":[1,2.5]},"#, 1).replace(r#""no""#, r#""no", "host": "x""#);
    let fs = written(&text);
    let mut state = file(&fs).load().expect("loads");
    state.record(record("1.2.0", None));
    file(&fs).save(&state).expect("saves");
    let saved = String::from_utf8(fs.read_file(PATH).expect("there")).expect("text");
    let value: serde_json::Value = serde_json::from_str(&saved).expect("JSON");
    assert_eq!(value["by"], serde_json::json!({ "a": [1, 2.5] }));
    assert_eq!(value["migrations"][1]["host"], "x");
    assert_eq!(value["currentVersion"], "1.2.0");
}

#[test]
fn a_new_attempt_replaces_all_earlier_attempts_of_its_version() {
    let attempt =
        |success| format!(r#"{{"version":"1.0.0","description":"","appliedAt":1,"success":{success}}}"#);
    let (no, yes) = (attempt(false), attempt(true));
    let fs = written(&format!(r#"{{"currentVersion":"1.0.0","migrations":[{no},{yes},{no}]}}"#));
    let mut state = file(&fs).load().expect("loads");
    assert!(state.is_applied(&version("1.0.0")));
    state.record(record("1.0.0", None));
    assert_eq!(state.records().len(), 1);
}

#[test]
fn a_successful_attempt_outranks_failed_attempts_of_its_version() {
    let attempt = |time: u64, success: bool| {
        format!(r#"{{"version":"1.0.0","description":"","appliedAt":{time},"success":{success}}}"#)
    };
    let attempts = [attempt(1, false), attempt(2, true), attempt(3, false)].join(",");
    let fs = written(&format!(r#"{{"currentVersion":"1.0.0","migrations":[{attempts}]}}"#));
    let mut state = file(&fs).load().expect("loads");
    state.rollback_failed(&version("1.0.0"), "it broke".into());
    let counts = state.counting().remove(&version("1.0.0")).expect("recorded");
    assert_eq!((counts.applied_at, counts.error.as_deref()), (2, Some("it broke")));
    let mut registry = Registry::default();
    let registered = Registered { version: version("1.0.0"), description: String::new(), reversible: true };
    registry.register(registered).expect("registered");
    let [known] = &status(&registry, &state)[..] else { panic!("one version") };
    assert_eq!((known.progress, known.applied_at), (Progress::Applied, Some(2)));
    let [unknown] = &status(&Registry::default(), &state)[..] else { panic!("one version") };
    assert_eq!((unknown.progress, unknown.applied_at), (Progress::Unknown, Some(2)));
}

#[test]
fn build_metadata_is_ignored_when_versions_are_compared() {
    let fs = written(&TWO.replacen("1.0.0", "1.0.0+build.7", 1));
    assert_eq!(file(&fs).load().expect("loads").current(), version("1.0.0"));
}

#[test]
fn verifying_reports_a_state_that_is_damaged_or_cannot_be_read() {
    assert_eq!(file(&machine()).verify().expect("readable"), None);
    assert_eq!(file(&written(TWO)).verify().expect("readable"), None);
    let obstructed = machine();
    obstructed.make_dirs(PATH);
    for (fs, advice) in [(written("{"), "restore this file"), (obstructed, "make it readable")] {
        let problem = file(&fs).verify().expect("readable").expect("a problem");
        assert_eq!((problem.code.as_str(), &*problem.path), ("RECORD_DAMAGED", "data/.migration-state.json"));
        assert!(problem.message.contains(advice), "{}", problem.message);
    }
}

#[test]
fn a_damaged_file_is_reported_with_its_path_and_a_remedy_and_left_unchanged() {
    let damages: &[(&str, String)] = &[
        ("empty", String::new()),
        ("cut short", TWO[..100].into()),
        ("not JSON", "\0\u{1}".into()),
        ("no object", "[]".into()),
        ("null", "null".into()),
        ("too deep", "[".repeat(100_000)),
        ("more behind it", format!("{TWO}x")),
        ("no version", TWO.replace("currentVersion", "current")),
        ("a version that is a number", TWO.replace(r#""currentVersion": "1.0.0""#, r#""currentVersion": 1"#)),
        ("a version that is none", TWO.replacen("1.0.0", "one", 1)),
        ("a current version that is not applied", TWO.replacen("1.0.0", "1.1.0", 1)),
        ("a current version where none is applied", TWO.replacen("true", "false", 1)),
        ("version 0.0.0 beside an applied one", TWO.replacen("1.0.0", "0.0.0", 1)),
        ("no list", TWO.replace("migrations", "list")),
        ("a list that is none", r#"{"currentVersion":"0.0.0","migrations":{}}"#.into()),
        ("a record that is none", r#"{"currentVersion":"0.0.0","migrations":[1]}"#.into()),
        ("a record without a version", TWO.replacen("\"version\"", "\"v\"", 1)),
        ("a record whose version is none", TWO.replace("1.1.0", "v1.1")),
        ("a record without a description", TWO.replacen("\"description\"", "\"d\"", 1)),
        ("a time that is a text", TWO.replacen("1795495378037", "\"now\"", 1)),
        ("a time that is negative", TWO.replacen("1795495378037", "-1", 1)),
        ("a time that is fractional", TWO.replacen("1795495378037", "1.5", 1)),
        ("a success that is a text", TWO.replacen("true", "\"yes\"", 1)),
        ("an error that is an object", TWO.replacen("\"no\"", "{}", 1)),
    ];
    let path = Path::new("/base").join("data").join(".migration-state.json").display().to_string();
    for (what, text) in damages {
        let fs = written(text);
        let error = file(&fs).load().map(drop).expect_err(what);
        assert_eq!(error.code(), "CORRUPT_DATA", "{what}: {error}");
        let message = error.to_string();
        assert!(
            message.contains(&path) && message.contains("restore this file or a backup"),
            "{what}: {message}"
        );
        assert_eq!(fs.read_file(PATH).as_deref(), Some(text.as_bytes()));
    }
}

#[test]
fn the_error_names_the_position_of_broken_json() {
    let fs = written("{\n  \"currentVersion\": ?\n}");
    let error = file(&fs).load().map(drop).expect_err("broken");
    assert!(error.to_string().contains("at byte 23"), "{error}");
}

/// The states that a power loss or a kill at any call of a save may leave.
#[test]
fn a_crash_during_a_save_leaves_the_old_or_the_new_state() {
    let fs = machine();
    let mut before = State::default();
    before.record(record("1.0.0", None));
    file(&fs).save(&before).expect("saves");
    let mut after = before.clone();
    after.record(record("1.1.0", Some(&"long ".repeat(300))));
    fs.record();
    let begun = fs.total_calls();
    file(&fs).save(&after).expect("saves");
    let saved = fs.total_calls();
    let mut states = 0;
    for moment in fs.moments() {
        let killed = std::iter::once(moment.kill());
        for left in moment.crash_states(40, 7).chain(killed) {
            let found = file(&left).load().unwrap_or_else(|error| panic!("{error}"));
            assert!(
                found == after || found == before && moment.calls() < saved,
                "after {} calls",
                moment.calls()
            );
            // The next save works, whatever the interrupted one left.
            file(&left).save(&after).expect("saves");
            states += 1;
        }
    }
    assert!(saved > begun && states > 50, "{states} states");
}

#[test]
fn a_failed_save_leaves_a_whole_state_and_the_next_one_succeeds() {
    let state = |error| {
        let mut state = State::default();
        state.record(record("1.0.0", error));
        state
    };
    for fault in [Fault::Io, Fault::NoSpace { written: 3 }, Fault::ReadOnly] {
        for call in 1..30 {
            let fs = machine();
            file(&fs).save(&state(None)).expect("saves");
            fs.fail_from(fs.calls() + call, fault, Repeat::Once);
            let failed = file(&fs).save(&state(Some("no"))).is_err();
            fs.heal();
            let found = file(&fs).load().expect("loads");
            // The last call syncs the name. If that fails, either state may be there.
            assert!(found == state(None) || found == state(Some("no")), "{fault:?} at call {call}");
            assert!(failed || found == state(Some("no")), "{fault:?} at call {call}");
            file(&fs).save(&state(Some("again"))).expect("saves");
            assert_eq!(file(&fs).load().expect("loads"), state(Some("again")));
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_load_as_a_state_or_are_reported_as_damage(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let fs = written("");
        fs.write_file(PATH, &bytes);
        if let Err(error) = file(&fs).load() {
            prop_assert_eq!(error.code(), "CORRUPT_DATA");
        }
    }
}

#[test]
fn every_flipped_bit_is_harmless_or_reported_as_damage() {
    let fs = written("");
    for bit in 0..TWO.len() * 8 {
        let mut bytes = TWO.as_bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs.write_file(PATH, &bytes);
        match file(&fs).load() {
            Ok(state) => assert_ne!(state.current(), Version::NONE, "bit {bit}"),
            Err(error) => assert_eq!(error.code(), "CORRUPT_DATA", "bit {bit}"),
        }
    }
}
