//! Operations on the text of paths.

use std::path::{Component, Path, PathBuf};

/// Returns the path without `.` and `..`. Does not resolve symlinks.
pub fn normal_path(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => drop(normal.pop()),
            other => normal.push(other),
        }
    }
    normal
}

/// Returns whether a path with slashes equals `above` or is below it.
pub fn is_at_or_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns whether a relative path with slashes, judged by its text, leads to something below its starting directory.
pub fn is_plain_path(path: &str) -> bool {
    path.split('/').all(|name| {
        let mut components = Path::new(name).components();
        matches!(components.next(), Some(Component::Normal(_)))
            && components.next().is_none()
            && !name.contains('\0')
    })
}

/// Returns whether the system accepts a name as the name of a single file. Windows strips dots and spaces from the end of a
/// name, and reserves some names for devices, whatever follows a dot.
#[cfg(windows)]
pub fn is_file_name(name: &str) -> bool {
    let forbidden = |c: char| c < ' ' || "<>:\"/\\|?*".contains(c);
    !name.contains(forbidden)
        && std::path::absolute(name).is_ok_and(|whole| whole.file_name() == Some(name.as_ref()))
}

#[cfg(not(windows))]
pub fn is_file_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

/// Names that Windows reserves for devices. The last two are followed by a digit, which may be raised.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Returns whether Windows reserves a name for a device: in any case, and whatever follows a dot.
pub fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_lowercase();
    let is_digit = |rest: &str| {
        let mut characters = rest.chars();
        matches!(characters.next(), Some('0'..='9' | '¹' | '²' | '³')) && characters.next().is_none()
    };
    let numbered = |device: &&str| stem.strip_prefix(*device).is_some_and(is_digit);
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.iter().any(numbered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_windows_reserves_are_devices() {
        for name in
            ["con", "NUL", "Aux.json", "prn.a.b", "com1", "lpt9.txt", "con .x", "COM¹", "lpt³.x", "conin$"]
        {
            assert!(is_device(name), "{name}");
        }
        for name in ["", "com", "con1", "com10", "contacts.json", "x.con", "lpt.json", "nul_", "com⁴"] {
            assert!(!is_device(name), "{name}");
        }
    }

    #[test]
    fn absolute_and_non_normal_paths_are_not_plain() {
        for path in ["data", "data/x.json", "..x/.y"] {
            assert!(is_plain_path(path), "{path}");
        }
        for path in ["", "/", "/data", "data/", "a//b", ".", "a/./b", "..", "a/../b", "a\0"] {
            assert!(!is_plain_path(path), "{path}");
        }
        for path in ["C:", "C:/x", "a\\b"] {
            assert_eq!(is_plain_path(path), cfg!(not(windows)), "{path}");
        }
    }

    #[test]
    fn names_that_are_paths_or_reserved_are_not_file_names() {
        for name in ["items.json", "con1", "a b", "ä", ".hidden"] {
            assert!(is_file_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "a\0b"] {
            assert!(!is_file_name(name), "{name}");
        }
        for name in ["nul", "NUL", "a.", "a ", "a\\b", "a:b", "a?", "a\nb", "C:"] {
            assert_eq!(is_file_name(name), cfg!(not(windows)), "{name}");
        }
    }
}
