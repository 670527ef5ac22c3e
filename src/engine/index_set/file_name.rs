//! From the name of an index to its file.

use xxhash_rust::xxh3::xxh3_64;

use crate::engine::error::{Error, Result};
use crate::engine::normal_path::is_device;

/// The maximum length of a name, in bytes of UTF-8.
const MAX_NAME: usize = 1024;

/// The maximum length, in bytes, of the part of a file name by which a person recognises the index.
const MAX_READABLE: usize = 100;

/// Refuses names that are empty, too long or paths, or that hold control characters.
///
/// # Errors
/// `INVALID_ARGUMENT`.
pub fn check_name(name: &str) -> Result<()> {
    let problem = if name.is_empty() {
        "is empty"
    } else if name.len() > MAX_NAME {
        "is longer than 1024 bytes"
    } else if name.contains(['/', '\\']) || name == "." || name == ".." {
        "is a path"
    } else if name.chars().any(char::is_control) {
        "holds control characters"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(40).collect();
    Err(Error::InvalidArgument(format!("{shown:?} cannot be the name of an index: it {problem}")))
}

/// Returns the path of the collection of the index with this name. A name of lower-case letters, digits, `_`, `-` and inner
/// dots is a file name as it is. Any other name gets a readable form and, after a tilde, its hash, so that no two names
/// share a file, not even where upper and lower case are the same or other characters are not allowed.
pub(super) fn collection_path(name: &str) -> String {
    if is_plain(name) {
        return format!("indexes/{name}.json");
    }
    let mut readable = String::new();
    for character in name.chars() {
        let fits = character.is_alphanumeric() || matches!(character, '_' | '-');
        let shown = if fits { character } else { '_' };
        if readable.len() + shown.len_utf8() > MAX_READABLE {
            break;
        }
        readable.push(shown);
    }
    format!("indexes/{readable}~{:016x}.json", xxh3_64(name.as_bytes()))
}

/// Whether the path of a collection is one that an index may have.
pub(super) fn is_collection_path(path: &str) -> bool {
    path.strip_prefix("indexes/").is_some_and(|file| file.ends_with(".json") && !file.contains('/'))
}

fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
    let inner = name.split('.').all(|part| !part.is_empty() && part.bytes().all(plain));
    let stem = name.split('.').next().unwrap_or_default();
    // The names of devices with any number count too: the files of existing indexes were named by this rule.
    let device = stem.trim_end_matches(|last: char| last.is_ascii_digit());
    inner && name.len() <= MAX_READABLE && !is_device(device) && !is_device(&format!("{device}1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_names_are_used_as_file_names() {
        for name in ["users_by_email", "a", "v1.2-x", "42", "contacts"] {
            assert_eq!(collection_path(name), format!("indexes/{name}.json"));
        }
    }

    #[test]
    fn other_names_keep_a_readable_part_in_the_file_name() {
        for (name, start) in [
            ("byEmail", "indexes/byEmail~"),
            ("users by email", "indexes/users_by_email~"),
            ("名前", "indexes/名前~"),
            ("con", "indexes/con~"),
            ("lpt1.txt", "indexes/lpt1_txt~"),
            ("com", "indexes/com~"),
            ("con12", "indexes/con12~"),
            ("a.", "indexes/a_~"),
            ("..a", "indexes/__a~"),
        ] {
            assert!(collection_path(name).starts_with(start), "{}", collection_path(name));
        }
    }

    #[test]
    fn paths_are_refused_as_index_names() {
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "C:\\x", "a\0b", "a\nb", &"a".repeat(1025)]
        {
            assert_eq!(check_name(name).map_err(|error| error.code()), Err("INVALID_ARGUMENT"), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn every_name_gets_a_file_name_valid_on_all_systems(name in any::<String>()) {
            let path = collection_path(&name);
            let file = path.strip_prefix("indexes/").unwrap_or_default();
            prop_assert!(!file.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|', '\0']));
            prop_assert!(file.len() <= 160 && !file.starts_with('.') && file.ends_with(".json"));
        }

        #[test]
        fn names_that_differ_only_in_case_get_different_file_names(name in "[a-cA-C._]{1,4}") {
            let (lower, path) = (collection_path(&name.to_lowercase()), collection_path(&name));
            prop_assert_eq!(lower.to_lowercase() == path.to_lowercase(), name == name.to_lowercase());
        }
    }
}
