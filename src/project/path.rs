//! What a file's path says about the file. Paths are WTF-8; both `/` and `\` separate segments.

/// Returns the last segment, or the whole path if it has none (`/`).
pub fn name_of(path: &[u8]) -> &[u8] {
    let separator = |byte: &u8| matches!(byte, b'/' | b'\\');
    let end = path.iter().rposition(|byte| !separator(byte)).map_or(0, |at| at + 1);
    let start = path[..end].iter().rposition(separator).map_or(0, |at| at + 1);
    if start == end { path } else { &path[start..end] }
}

/// Returns the extension with its dot, as Node's `path.extname` does: none for `Makefile` and `.gitignore`.
pub fn extension_of(path: &[u8]) -> &[u8] {
    let name = name_of(path);
    match name.iter().rposition(|&byte| byte == b'.') {
        None | Some(0) => b"",
        Some(_) if name == b".." => b"",
        Some(dot) => &name[dot..],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_last_segment() {
        for (path, name) in [
            ("a", "a"),
            ("src/a.ts", "a.ts"),
            ("src/dir/", "dir"),
            ("C:\\work\\a.ts", "a.ts"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(name_of(path.as_bytes()), name.as_bytes(), "{path}");
        }
    }

    #[test]
    fn the_extension_equals_that_of_path_extname() {
        for (path, extension) in [
            ("a.ts", ".ts"),
            ("a.test.ts", ".ts"),
            ("a.b/c", ""),
            ("Makefile", ""),
            (".gitignore", ""),
            ("dir/.env", ""),
            (".env.local", ".local"),
            ("a.", "."),
            ("..", ""),
            ("..a", ".a"),
            ("...", "."),
            ("a.ts/", ".ts"),
            ("", ""),
        ] {
            assert_eq!(extension_of(path.as_bytes()), extension.as_bytes(), "{path}");
        }
    }
}
