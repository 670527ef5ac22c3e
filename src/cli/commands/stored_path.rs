//! Which file of a directory a stored path names. All commands follow this one rule.

use std::path::PathBuf;

use crate::engine::is_file_name;

/// Why a stored path is not below the directory.
const LEADS_OUT: &str = "the path leads out of the directory";
const INTO_GIT: &str = "the path leads into a .git";
const NO_PATH: &str = "no file can have this path";

/// Returns where a stored path is below the directory. A path below the project's own path is taken relative to that.
///
/// # Errors
/// The reason why the path is not below the directory.
pub fn relative(path: &str, root: &str) -> Result<PathBuf, &'static str> {
    let windows = cfg!(windows) || is_of_windows(root);
    let separates: &[char] = if windows { &['/', '\\'] } else { &['/'] };
    let root = root.trim_end_matches(separates);
    let below_root = path.strip_prefix(root).and_then(|rest| rest.strip_prefix(separates));
    let path = below_root.filter(|_| !root.is_empty()).unwrap_or(path);
    if windows && has_drive(path) {
        return Err(LEADS_OUT);
    }
    let mut relative = PathBuf::new();
    for name in path.split(separates).filter(|name| *name != ".") {
        // The second name is the short one that Windows uses for the first.
        if name.eq_ignore_ascii_case(".git") || (windows && name.eq_ignore_ascii_case("git~1")) {
            return Err(INTO_GIT);
        }
        // An empty first name means a path from the root; a later one, a path that ends in a separator.
        if name == ".." || (name.is_empty() && relative.as_os_str().is_empty()) {
            return Err(LEADS_OUT);
        }
        if !is_file_name(name) {
            return Err(NO_PATH);
        }
        relative.push(name);
    }
    if relative.as_os_str().is_empty() { Err(NO_PATH) } else { Ok(relative) }
}

/// Whether a project's path is a Windows path, in which `\` also separates names. Elsewhere `\` is an ordinary character.
fn is_of_windows(root: &str) -> bool {
    has_drive(root) || root.starts_with("\\\\")
}

fn has_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [drive, b':', ..] if drive.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_directory_or_enter_git_are_refused() {
        let out =
            ["../x", "a/../../x", "..", "/etc/passwd", "//x", "/", "a/..", "/srv/webby/x", "/srv/web/../x"];
        for path in out {
            assert_eq!(relative(path, "/srv/web"), Err(LEADS_OUT), "{path}");
        }
        for path in ["..\\x", "a\\..\\..\\x", "C:\\x", "c:x", "\\\\server\\x", "\\x"] {
            for root in ["C:\\web", "c:/web", "\\\\host\\web"] {
                assert_eq!(relative(path, root), Err(LEADS_OUT), "{path}");
            }
        }
        for path in ["", ".", "a//b", "a/", "a\0b"] {
            assert!(relative(path, "/srv/web").is_err(), "{path}");
        }
        for path in [".git/hooks/post-commit", "a/.GIT/config", "/srv/web/.git/x"] {
            assert_eq!(relative(path, "/srv/web"), Err(INTO_GIT), "{path}");
        }
    }

    #[test]
    fn paths_within_the_project_become_relative() {
        let is = |path: &str, root: &str, expected: &str| {
            assert_eq!(relative(path, root), Ok(PathBuf::from(expected)));
        };
        is("src/main.ts", "/srv/web", "src/main.ts");
        is("./src/./main.ts", "/srv/web", "src/main.ts");
        is("/srv/web/src/main.ts", "/srv/web", "src/main.ts");
        is("/srv/web/src/main.ts", "/srv/web/", "src/main.ts");
        is("C:\\web\\src\\main.ts", "C:\\web", "src/main.ts");
        is("src\\main.ts", "C:\\web", "src/main.ts");
    }

    #[cfg(windows)]
    #[test]
    fn names_with_a_special_meaning_on_windows_are_refused_there() {
        for path in ["nul", "src/NUL", "a.", "a ", "...", "a?", "ab:c"] {
            assert_eq!(relative(path, "C:\\web"), Err(NO_PATH), "{path}");
        }
        assert_eq!(relative("GIT~1/config", "C:\\web"), Err(INTO_GIT));
    }

    #[cfg(unix)]
    #[test]
    fn windows_separators_are_ordinary_characters_elsewhere() {
        for name in ["a\\b", "..\\x", "c:x", "\\", "...", "aux"] {
            assert_eq!(relative(name, "/srv/web"), Ok(PathBuf::from(name)));
        }
    }
}
