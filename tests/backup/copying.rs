//! How single files get into a backup.

use std::path::Path;

use octoprompt_storage::engine::backup::find_backup;
use octoprompt_storage::engine::fs::Call;

use crate::world::{Process, machine};

#[test]
fn a_file_that_vanishes_while_it_is_copied_is_left_out_of_the_backup() {
    type Fits = fn(&Call) -> bool;
    let moments: [Fits; 2] = [
        |call| matches!(call, Call::CloneFile { from, .. } if from.ends_with("notes.txt")),
        |call| matches!(call, Call::CopyPermissions { like, .. } if like.ends_with("notes.txt")),
    ];
    for moment in moments {
        let fs = machine();
        let mut process = Process::start(&fs);
        let outside = fs.clone();
        process.fs.before(moment, move || outside.remove("/base/data/notes.txt"));
        process.back_up("one").expect("backed up");
        assert_eq!(fs.read_file("/base/backups/one/data/notes.txt"), None);
        assert!(find_backup(&process.site, Path::new("one")).expect("found").is_complete());
    }
}

#[cfg(unix)]
mod on_disk {
    use std::fs::{self, Permissions};
    use std::ops::ControlFlow;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::Arc;

    use octoprompt_storage::engine::backup::{BackupOptions, Site, back_up};
    use octoprompt_storage::engine::fs::OsFs;
    use octoprompt_storage::engine::{BasePath, DatabaseOptions, Registry};

    use crate::world::{code, options, to_the_end};

    fn place() -> (tempfile::TempDir, Site) {
        let temporary = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(temporary.path().join("data")).expect("created");
        let base = BasePath::new(Arc::new(OsFs), temporary.path());
        (temporary, Site { base, registry: Registry::default(), options: DatabaseOptions::default() })
    }

    #[test]
    fn a_copy_has_the_mode_of_its_original_before_it_has_content() {
        let (temporary, site) = place();
        let original = temporary.path().join("data/private");
        fs::write(&original, "secret").expect("written");
        fs::set_permissions(&original, Permissions::from_mode(0o600)).expect("set");
        let copy = temporary.path().join("backups/.partial-one/data/private");
        let mut seen = Vec::new();
        let mut look = |_: u64, _: u64| {
            seen.extend(fs::metadata(&copy).map(|found| (found.len(), found.permissions().mode() & 0o777)));
            ControlFlow::Continue(())
        };
        back_up(&site, Some("one"), &options(), &mut look).expect("backed up");
        assert!(seen.contains(&(6, 0o600)) && seen.iter().all(|(_, mode)| *mode == 0o600), "{seen:?}");
    }

    #[test]
    fn a_symlink_that_is_included_by_name_is_refused() {
        let (temporary, site) = place();
        fs::create_dir(temporary.path().join("config")).expect("created");
        fs::write(temporary.path().join("config/1.json"), "{}").expect("written");
        symlink("1.json", temporary.path().join("config/latest.json")).expect("linked");
        let include = |path: &str| {
            let options = BackupOptions { include: vec![path.into()], ..options() };
            code(back_up(&site, None, &options, &mut to_the_end())).map(drop)
        };
        assert_eq!(include("config/latest.json"), Err("INVALID_ARGUMENT"));
        assert_eq!(include("config"), Ok(()));
    }
}
