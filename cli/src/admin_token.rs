//! The admin token of a server: given, or made once and kept beside the data, readable only by
//! its owner.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Characters that no shell, option parser or header takes for something else.
pub(crate) const ALPHABET: [char; 36] = [
    'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r', 's',
    't', 'u', 'v', 'w', 'x', 'y', 'z', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9',
];

/// 40 characters of 36 are 206 bits.
const N_CHARACTERS: usize = 40;

/// The file in a data directory that holds a token made by `serve`.
pub(crate) fn path_in(data: &Path) -> PathBuf {
    data.join("admin-token")
}

/// A new random token.
pub(crate) fn generate() -> String {
    format!("adm_{}", nanoid::nanoid!(N_CHARACTERS, &ALPHABET))
}

/// The token kept in the data directory, if there is one.
///
/// # Errors
/// When the file is there and cannot be read.
pub(crate) fn read(data: &Path) -> Result<Option<String>> {
    let path = path_in(data);
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The token kept in the data directory; a new one the first time.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn read_or_make(data: &Path) -> Result<String> {
    if let Some(token) = read(data)? {
        return Ok(token);
    }
    let token = generate();
    let path = path_in(data);
    write_private(&path, &token).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(token)
}

/// Writes a file that only its owner may read, from its first moment on.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::{generate, path_in, read, read_or_make};

    #[test]
    fn a_token_is_made_once_and_kept_private() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(read(data.path()).unwrap(), None);
        let token = read_or_make(data.path()).unwrap();
        assert_eq!(read_or_make(data.path()).unwrap(), token);
        assert_eq!(read(data.path()).unwrap(), Some(token));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path_in(data.path())).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(generate(), generate());
    }
}
