//! Names of backups.

use crate::engine::error::{Error, Result};

const MAX_LEN: usize = 100;

/// Names that Windows reserves for devices, with or without an extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

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

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().to_ascii_lowercase();
    let is_digit = |rest: &str| rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let numbered = |device: &&str| stem.strip_prefix(*device).is_some_and(is_digit);
    DEVICES.contains(&stem.as_str()) || NUMBERED_DEVICES.iter().any(numbered)
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
