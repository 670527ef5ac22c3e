//! Whole runs in memory: what they write, and where.

use std::ffi::OsString;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::arguments::{Color, Global};
use super::place::Place;
use super::{Exit, Goal, Outcome, Setting, run};
use crate::engine::fs::{Fs, OsFs};

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

/// An output that nobody reads.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error whose first text makes another process release a lock.
#[derive(Clone)]
struct Releasing {
    lock: Arc<Mutex<Option<std::fs::File>>>,
    text: Shared,
}

impl Write for Releasing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        *self.lock.lock() = None;
        self.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Releasing {
    /// Takes the lock of those who write below a base path. A handle of its own locks like another process.
    fn holding_writes(base: &Path) -> Releasing {
        let file = base.join("data/project_storage/.storage/write.lock");
        let lock = std::fs::File::options().write(true).open(file).expect("a lock file");
        lock.lock().expect("free");
        Releasing { lock: Arc::new(Mutex::new(Some(lock))), text: Shared::default() }
    }
}

struct Ended {
    outcome: Outcome,
    output: String,
    errors: String,
}

impl Ended {
    fn exit(&self) -> Exit {
        match self.outcome {
            Outcome::Exit(exit) => exit,
            Outcome::Migrate(_) => panic!("a migration is left to do"),
        }
    }
}

/// The setup of a run beyond its directory.
#[derive(Default)]
struct With {
    terminal: Option<usize>,
    answer: Option<&'static str>,
}

/// A setting without a terminal, in which nobody answers questions.
fn setting(
    directory: &Path,
    output: impl Write + Send + 'static,
    errors: impl Write + Send + 'static,
) -> Setting {
    Setting {
        directory: directory.to_path_buf(),
        variable: |_| None,
        output: Box::new(output),
        errors: Box::new(errors),
        output_width: None,
        errors_width: None,
        answers: None,
    }
}

fn start(directory: &Path, arguments: &[&str], with: With) -> Ended {
    let (output, errors) = (Shared::default(), Shared::default());
    let setting = Setting {
        output_width: with.terminal,
        answers: with.answer.map(|answer| Box::new(answer.as_bytes()) as Box<dyn BufRead + Send>),
        ..setting(directory, output.clone(), errors.clone())
    };
    let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
    let outcome = run(&arguments, setting);
    Ended { outcome, output: output.text(), errors: errors.text() }
}

fn say(directory: &Path, arguments: &[&str]) -> Ended {
    start(directory, arguments, With::default())
}

fn json(ended: &Ended) -> serde_json::Value {
    serde_json::from_str(&ended.output).expect("one document of JSON")
}

/// Creates a base path with a directory to import beside it.
fn sources() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let source = directory.path().join("source");
    std::fs::create_dir_all(source.join("src")).expect("created");
    std::fs::write(source.join("src/main.ts"), "export const port = 80\n").expect("written");
    std::fs::write(source.join("README.md"), "# Web server\n").expect("written");
    (directory, source)
}

#[test]
fn commands_without_data_report_no_data_and_create_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let commands: [&[&str]; 9] = [
        &["status"],
        &["projects"],
        &["files", "x"],
        &["show", "1"],
        &["history", "1"],
        &["search", "x"],
        &["verify"],
        &["checkpoint"],
        &["backups"],
    ];
    for command in commands {
        let ended = say(directory.path(), command);
        assert_eq!(ended.exit(), Exit::Nothing, "{command:?}");
        assert!(ended.errors.contains("(NO_DATA)"), "{}", ended.errors);
        assert_eq!(ended.output, "");
        assert!(std::fs::read_dir(directory.path()).expect("listed").next().is_none(), "{command:?}");
    }
}

#[test]
fn argument_errors_are_reported_as_json_if_requested() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ended = say(directory.path(), &["show", "--json"]);
    assert_eq!(ended.exit(), Exit::Usage);
    let error: serde_json::Value = serde_json::from_str(&ended.errors).expect("JSON");
    assert_eq!(error["error"]["code"], "USAGE");
}

#[test]
fn importing_again_creates_versions_of_changed_files_only() {
    let (directory, source) = sources();
    let first = json(&say(directory.path(), &["import", "source", "--json"]));
    assert_eq!((&first["created"], &first["project"]["created"]), (&2.into(), &true.into()));
    std::fs::write(source.join("src/main.ts"), "export const port = 8080\n").expect("written");
    let second = json(&say(directory.path(), &["import", "source", "--json"]));
    assert_eq!((&second["changed"], &second["unchanged"]), (&1.into(), &1.into()));
    assert_eq!(second["project"]["id"], first["project"]["id"]);
    let history = say(directory.path(), &["history", "src/main.ts"]);
    assert!(
        history.output.contains("-export const port = 80\n+export const port = 8080\n"),
        "{}",
        history.output
    );
    let third = json(&say(directory.path(), &["import", "source", "--json"]));
    assert_eq!((&third["changed"], &third["unchanged"]), (&0.into(), &2.into()));
}

#[test]
fn a_dry_run_creates_nothing() {
    let (directory, _) = sources();
    let ended = say(directory.path(), &["import", "source", "--dry-run"]);
    assert!(ended.output.contains("+ README.md\n"), "{}", ended.output);
    assert!(!directory.path().join("data").exists());
}

#[test]
fn missing_files_are_deleted_only_with_prune_and_confirmation() {
    let (directory, source) = sources();
    say(directory.path(), &["import", "source"]);
    std::fs::remove_file(source.join("README.md")).expect("removed");
    let kept = json(&say(directory.path(), &["import", "source", "--json"]));
    assert_eq!((&kept["missing"], &kept["removed"]), (&1.into(), &0.into()));
    let asked = say(directory.path(), &["import", "source", "--prune"]);
    assert_eq!(asked.exit(), Exit::Refused);
    let no = start(
        directory.path(),
        &["import", "source", "--prune"],
        With { answer: Some("n\n"), ..With::default() },
    );
    assert_eq!(no.exit(), Exit::Refused);
    let yes = start(
        directory.path(),
        &["import", "source", "--prune"],
        With { answer: Some("y\n"), ..With::default() },
    );
    assert!(yes.output.contains("1 removed"), "{}", yes.output);
    assert_eq!(say(directory.path(), &["show", "README.md"]).exit(), Exit::Nothing);
}

#[test]
fn an_ignored_file_that_exists_does_not_count_as_missing() {
    let (directory, source) = sources();
    std::fs::write(source.join(".gitignore"), "*.log\nkept/\n").expect("written");
    std::fs::create_dir(source.join("kept")).expect("created");
    for name in ["debug.log", "gone.log", "kept/file"] {
        std::fs::write(source.join(name), "x").expect("written");
    }
    say(directory.path(), &["import", "source", "--no-ignore"]);
    std::fs::remove_file(source.join("gone.log")).expect("removed");
    let kept = json(&say(directory.path(), &["import", "source", "--json"]));
    assert_eq!(kept["missing"], 1);
    let pruned = json(&say(directory.path(), &["import", "source", "--prune", "--yes", "--json"]));
    assert_eq!(pruned["changes"], serde_json::json!([{ "path": "gone.log", "action": "removed" }]));
    for name in ["debug.log", "kept/file"] {
        assert_eq!(say(directory.path(), &["show", name]).exit(), Exit::Done, "{name}");
    }
}

#[test]
fn a_file_stored_with_its_absolute_path_matches_the_file_in_the_directory() {
    let (directory, source) = sources();
    let imported = json(&say(directory.path(), &["import", "source", "--json"]));
    let files = format!("data/project_storage/project_data/{}/files.json", imported["project"]["id"]);
    let files = directory.path().join(files);
    let text = std::fs::read_to_string(&files).expect("read");
    let root = OsFs.canonical(&source).expect("there");
    let stored = |name: &str| serde_json::json!(root.join(name).to_string_lossy()).to_string();
    let whole = text
        .replace("\"path\":\"README.md\"", &format!("\"path\":{}", stored("README.md")))
        .replace("\"path\":\"src/main.ts\"", &format!("\"path\":{}", stored("src/main.ts")));
    assert_ne!(whole, text);
    std::fs::write(&files, whole).expect("written");
    std::fs::write(source.join("README.md"), "changed").expect("written");
    let again = json(&say(directory.path(), &["import", "source", "--prune", "--yes", "--json"]));
    let counts = ["created", "changed", "unchanged", "removed", "missing"].map(|name| again[name].clone());
    assert_eq!(counts, [0, 1, 1, 0, 0].map(serde_json::Value::from));
}

#[cfg(unix)]
#[test]
fn names_with_a_backslash_or_a_colon_survive_import_and_export() {
    let (directory, source) = sources();
    let names = ["a\\b", "c:x"];
    for name in names {
        std::fs::write(source.join(name), name).expect("written");
    }
    say(directory.path(), &["import", "source"]);
    assert_eq!(say(directory.path(), &["export", "source", "out"]).exit(), Exit::Done);
    for name in names {
        let content = std::fs::read_to_string(directory.path().join("out").join(name));
        assert_eq!(content.expect("written"), name);
    }
    let again = json(&say(directory.path(), &["import", "source", "--prune", "--yes", "--json"]));
    assert_eq!((&again["unchanged"], &again["removed"]), (&4.into(), &0.into()));
}

#[test]
fn a_repair_finds_databases_outside_data_again() {
    let (directory, _) = sources();
    say(directory.path(), &["import", "source"]);
    // Another database, as it is on disk.
    let (data, own) = (directory.path().join("data/project_storage"), directory.path().join("own"));
    std::fs::create_dir_all(own.join(".storage")).expect("created");
    for entry in std::fs::read_dir(data.join(".storage")).expect("listed").filter_map(Result::ok) {
        std::fs::copy(entry.path(), own.join(".storage").join(entry.file_name())).expect("copied");
    }
    std::fs::write(directory.path().join("data/.databases.json"), "{").expect("written");
    let repaired = json(&say(directory.path(), &["repair", "--yes", "--json"]));
    assert_eq!(repaired["databases"].as_array().map(Vec::len), Some(2), "{repaired}");
}

#[test]
fn verifying_reports_a_damaged_state_of_migrations() {
    let (directory, _) = sources();
    say(directory.path(), &["import", "source"]);
    std::fs::write(directory.path().join("data/.migration-state.json"), "{").expect("written");
    let ended = say(directory.path(), &["verify", "--json"]);
    assert_eq!(ended.exit(), Exit::Problems);
    let report = json(&ended);
    assert_eq!(report["problems"][0]["code"], "RECORD_DAMAGED", "{report}");
    assert_eq!(report["problems"][0]["path"], "data/.migration-state.json");
}

#[test]
fn an_ambiguous_project_name_is_refused_but_its_path_is_accepted() {
    let (directory, source) = sources();
    let other = directory.path().join("other");
    std::fs::create_dir(&other).expect("created");
    say(directory.path(), &["import", "source", "--name", "same"]);
    say(directory.path(), &["import", "other", "--name", "same"]);
    let ended = say(directory.path(), &["files", "same"]);
    assert_eq!(ended.exit(), Exit::Usage);
    assert!(ended.errors.contains("(AMBIGUOUS)"), "{}", ended.errors);
    let path = OsFs.canonical(&source).expect("there");
    assert_eq!(say(directory.path(), &["files", &path.to_string_lossy()]).exit(), Exit::Done);
    assert_eq!(say(directory.path(), &["files", "source"]).exit(), Exit::Done);
}

#[test]
fn a_file_is_found_by_its_path_in_the_project_and_by_its_path_on_disk() {
    let (directory, source) = sources();
    say(directory.path(), &["import", "source"]);
    let path = OsFs.canonical(&source).expect("there").join("src").join("main.ts");
    for named in ["src/main.ts", "source/src/main.ts", "./source/src/../src/main.ts", &path.to_string_lossy()]
    {
        let shown = say(directory.path(), &["show", named, "--content"]);
        assert_eq!((shown.exit(), &*shown.output), (Exit::Done, "export const port = 80\n"), "{named}");
    }
    for named in ["main.ts", "source", "elsewhere/src/main.ts"] {
        assert_eq!(say(directory.path(), &["history", named]).exit(), Exit::Nothing, "{named}");
    }
}

#[cfg(unix)]
#[test]
fn projects_and_files_are_found_by_a_path_with_symbolic_links() {
    let (directory, source) = sources();
    std::os::unix::fs::symlink(&source, source.join("link")).expect("linked");
    for arguments in [["import", "source/link"], ["files", "source/link"], ["show", "source/link/README.md"]]
    {
        let ended = say(directory.path(), &arguments);
        assert_eq!(ended.exit(), Exit::Done, "{}", ended.errors);
    }
}

#[test]
fn an_export_overwrites_nothing_without_force() {
    let (directory, _) = sources();
    say(directory.path(), &["import", "source"]);
    let target = directory.path().join("target");
    std::fs::create_dir(&target).expect("created");
    std::fs::write(target.join("README.md"), "mine").expect("written");
    let refused = say(directory.path(), &["export", "source", "target"]);
    assert_eq!(refused.exit(), Exit::Refused);
    assert!(!target.join("src").exists());
    let forced = say(directory.path(), &["export", "source", "target", "--force"]);
    assert_eq!(forced.exit(), Exit::Done, "{}", forced.errors);
    assert_eq!(std::fs::read(target.join("README.md")).expect("read"), b"# Web server\n");
    let again = json(&say(directory.path(), &["export", "source", "target", "--json"]));
    assert_eq!((&again["written"], &again["unchanged"]), (&0.into(), &2.into()));
}

#[test]
fn an_exported_file_appears_only_once_it_is_whole() {
    const BYTES: u64 = 32 << 20;
    let (directory, source) = sources();
    std::fs::write(source.join("large"), vec![b'x'; BYTES as usize]).expect("written");
    say(directory.path(), &["import", "source", "--max-size", "32"]);
    let (base, target) = (directory.path().to_owned(), directory.path().join("target/large"));
    let exporting = std::thread::spawn(move || say(&base, &["export", "source", "target"]).exit());
    while !exporting.is_finished() {
        let bytes = target.metadata().map_or(BYTES, |found| found.len());
        assert_eq!(bytes, BYTES);
    }
    assert_eq!(exporting.join().expect("the export does not panic"), Exit::Done);
    assert_eq!(std::fs::read_dir(directory.path().join("target")).expect("listed").count(), 3);
}

#[cfg(unix)]
#[test]
fn an_export_overwrites_files_whatever_the_length_of_their_names() {
    let (directory, source) = sources();
    let name = "n".repeat(255);
    std::fs::write(source.join(&name), "old").expect("written");
    say(directory.path(), &["import", "source"]);
    say(directory.path(), &["export", "source", "target"]);
    std::fs::write(source.join(&name), "new").expect("written");
    say(directory.path(), &["import", "source"]);
    say(directory.path(), &["export", "source", "target", "--force"]);
    assert_eq!(std::fs::read(directory.path().join("target").join(name)).expect("read"), b"new");
}

#[cfg(unix)]
#[test]
fn an_export_does_not_write_through_symbolic_links() {
    let (directory, _) = sources();
    say(directory.path(), &["import", "source"]);
    let (target, outside) = (directory.path().join("target"), directory.path().join("outside"));
    std::fs::create_dir(&target).expect("created");
    std::fs::create_dir(&outside).expect("created");
    std::os::unix::fs::symlink(&outside, target.join("src")).expect("linked");
    std::os::unix::fs::symlink(outside.join("readme"), target.join("README.md")).expect("linked");
    let ended = say(directory.path(), &["export", "source", "target", "--force", "--json"]);
    assert_eq!(ended.exit(), Exit::Problems);
    assert_eq!(json(&ended)["leftOut"].as_array().map(Vec::len), Some(2));
    assert!(std::fs::read_dir(&outside).expect("listed").next().is_none());
}

#[test]
fn a_run_whose_output_is_closed_ends_quietly() {
    let (directory, _) = sources();
    say(directory.path(), &["import", "source"]);
    let errors = Shared::default();
    let setting = setting(directory.path(), Closed, errors.clone());
    let outcome = run(&["projects".into()], setting);
    assert!(matches!(outcome, Outcome::Exit(Exit::Done)), "{outcome:?}");
    assert_eq!(errors.text(), "");
}

#[test]
fn a_run_that_found_problems_says_so_by_its_exit_code_even_if_its_output_is_closed() {
    let (directory, _) = sources();
    say(directory.path(), &["import", "source"]);
    std::fs::write(directory.path().join("data/.migration-state.json"), "{").expect("written");
    let outcome = run(&["verify".into()], setting(directory.path(), Closed, Shared::default()));
    assert!(matches!(outcome, Outcome::Exit(Exit::Problems)), "{outcome:?}");
}

#[test]
fn a_run_that_waits_for_another_process_says_so_and_goes_on() {
    let (directory, _) = sources();
    say(directory.path(), &["import", "source"]);
    let releasing = Releasing::holding_writes(directory.path());
    let errors = releasing.text.clone();
    let setting = setting(directory.path(), Shared::default(), releasing);
    let outcome = run(&["projects".into(), "--lock-timeout".into(), "60".into()], setting);
    assert!(matches!(outcome, Outcome::Exit(Exit::Done)), "{}", errors.text());
    let waiting = format!(
        "waiting at most 60 s for process {} to release data/project_storage/.storage/write.lock\n",
        std::process::id()
    );
    assert_eq!(errors.text(), waiting);
}

#[test]
fn imports_of_one_directory_at_the_same_time_create_one_project() {
    let (directory, source) = sources();
    let global =
        Global { base_path: None, json: false, color: Color::Auto, lock_timeout: Duration::from_secs(60) };
    let place = Place::new(&setting(directory.path(), Closed, Closed), &global);
    // Kept open, because opening it would wait for the lock, too.
    let _open = place.create().expect("created");
    // Both imports have looked for the project when one of them says that it waits.
    let releasing = Releasing::holding_writes(directory.path());
    let import = || {
        let setting = setting(directory.path(), Closed, releasing.clone());
        let outcome = run(&["import".into(), source.clone().into()], setting);
        assert!(matches!(outcome, Outcome::Exit(Exit::Done)), "{outcome:?} {}", releasing.text.text());
    };
    std::thread::scope(|scope| [scope.spawn(import), scope.spawn(import)].map(drop));
    let listed = json(&say(directory.path(), &["projects", "--json"]));
    assert_eq!((&listed[0]["files"], listed.as_array().map(Vec::len)), (&2.into(), Some(1)));
}

#[test]
fn colours_are_used_on_terminals_only_unless_forced() {
    let (directory, _) = sources();
    say(directory.path(), &["import", "source"]);
    let plain = say(directory.path(), &["projects"]);
    assert!(!plain.output.contains('\x1b'));
    let forced = say(directory.path(), &["projects", "--color", "always"]);
    assert!(forced.output.contains("\x1b[2m"), "{}", forced.output);
    let shown = start(directory.path(), &["projects"], With { terminal: Some(60), ..With::default() });
    assert!(shown.output.contains("\x1b[2m"), "{}", shown.output);
    let never = ["projects", "--color", "never"];
    let never = start(directory.path(), &never, With { terminal: Some(60), ..With::default() });
    assert!(!never.output.contains('\x1b'));
}

#[test]
fn a_migration_command_is_handed_to_the_caller() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("m.mjs"), "").expect("written");
    let ended = say(directory.path(), &["migrate", "--file", "m.mjs", "--to", "1.2.0"]);
    let Outcome::Migrate(order) = ended.outcome else { panic!("{}", ended.errors) };
    assert_eq!(order.file, directory.path().join("m.mjs"));
    assert_eq!(order.goal, Goal::Apply(Some("1.2.0".into())));
    let undone = say(directory.path(), &["migrate", "--file", "m.mjs", "--rollback", "1.0.0"]);
    assert_eq!(undone.exit(), Exit::Refused);
}
