//! Names of backups.

use crate::engine::error::{Error, Result};
use crate::engine::normal_path::is_device;

const MAX_LEN: usize = 100;

/// # Errors
/// `INVALID_ARGUMENT` for a name that is not a plain file name on every system.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let problem = if name.is_empty() || name.len() > MAX_LEN {
        "must have 1 to 100 characters"
    } else if !name.bytes().all(allowed) {
        "may have letters, digits, '.', '_' and '-' only"
    } else if name.starts_with('.') || name.ends_with('.') {
        "may neither begin nor end with a dot"
    } else if is_device(name) {
        "is the name of a device on Windows"
    } else {
        return Ok(());
    };
    Err(Error::InvalidArgument(format!("the name of a backup {problem}: {name:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backup_names_that_are_not_plain_file_names_are_refused() {
        let long = "x".repeat(101);
        let refused = [
            "", ".", "..", "../x", "a/b", "a\\b", "/a", ".hidden", "a.", "a b", "nul", "CON", "com1.txt",
            "LPT9", "ä", "a\0", &long,
        ];
        for name in refused {
            assert_eq!(check_name(name).map_err(|error| error.code()), Err("INVALID_ARGUMENT"), "{name:?}");
        }
        for name in ["a", "before-1.2", "com", "con1", "_", &long[..100]] {
            check_name(name).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}
