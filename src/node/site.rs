//! Base paths on their way in.

use std::path::Path;
use std::sync::Arc;

use crate::engine::backup::Site;
use crate::engine::fs::OsFs;
use crate::engine::{BasePath, DatabaseOptions, Registry, Wait};
use crate::project::owners;

/// Returns the base path with the engines that this process has open under it. Touches no file.
pub fn site(base: &Path, wait: Wait) -> Site {
    Site {
        base: BasePath::new(Arc::new(OsFs), base),
        registry: Registry::of_process(),
        options: DatabaseOptions {
            lock_timeout: wait.timeout,
            owners: Some(owners),
            ..DatabaseOptions::default()
        },
    }
}
