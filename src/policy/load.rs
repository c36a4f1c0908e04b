//! A folder of scripts: `*.rhai`, in name order. Hidden files, editors' leftovers and definitions for editors
//! (`*.d.rhai`) are none.

use super::error::LoadError;
use super::script::SCRIPT_BYTES;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Scripts in one folder.
pub const FILES: usize = 1_000;

/// A file and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    pub file: PathBuf,
    pub text: Arc<str>,
}

/// Reads all scripts of a folder.
pub fn read_folder(folder: &Path) -> Result<Vec<Script>, LoadError> {
    let fail = |error: io::Error| LoadError::of_file(folder, format!("the folder cannot be read: {error}"));
    let mut scripts = Vec::new();
    for file in list(folder).map_err(fail)? {
        let text = read_file(&file)?;
        scripts.push(Script { file, text });
    }
    Ok(scripts)
}

/// The script files of a folder, in name order.
pub fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if is_script(&path) {
            files.push(path);
        }
        if files.len() > FILES {
            return Err(io::Error::other(format!("it has more than {FILES} scripts")));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a name is that of a script: ends in `.rhai`, but not in `.d.rhai`, and is not hidden.
pub fn is_script(path: &Path) -> bool {
    let is_other = |name: &OsStr| {
        let name = name.as_encoded_bytes();
        name.starts_with(b".") || name.ends_with(b".d.rhai")
    };
    let other = path.file_name().is_none_or(is_other);
    path.extension().is_some_and(|extension| extension == "rhai") && !other && !path.is_dir()
}

/// Reads one script.
pub fn read_file(file: &Path) -> Result<Arc<str>, LoadError> {
    let fail = |error: io::Error| LoadError::of_file(file, format!("it cannot be read: {error}"));
    let bytes = read_open(&mut File::open(file).map_err(fail)?).map_err(fail)?;
    text(file, bytes)
}

/// What is in an open file, as far as a script may be long, and a byte more when it is longer.
pub fn read_open(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(SCRIPT_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Bytes as a script's text.
pub fn text(file: &Path, bytes: Vec<u8>) -> Result<Arc<str>, LoadError> {
    if bytes.len() > SCRIPT_BYTES {
        return Err(LoadError::of_file(file, format!("it is longer than {SCRIPT_BYTES} bytes")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(error) => {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n');
            Err(LoadError::of_file(file, format!("line {} is not UTF-8 text", line.count() + 1)))
        }
    }
}

/// Errors one below the other.
pub fn join(errors: &[LoadError]) -> String {
    errors.iter().map(LoadError::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_in_name_order() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.rhai", "a.rhai", ".hidden.rhai", "c.rhai~", "notes.txt", ".b.rhai.swp", "x.d.rhai"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        std::fs::create_dir(folder.path().join("d.rhai")).unwrap();
        let texts: Vec<String> =
            read_folder(folder.path()).unwrap().iter().map(|s| s.text.to_string()).collect();
        assert_eq!(texts, ["a.rhai", "b.rhai"]);
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.rhai");
        std::fs::write(&file, b"// fine\n\xff").unwrap();
        assert!(read_folder(folder.path()).unwrap_err().message.contains("line 2 is not UTF-8"));
        std::fs::write(&file, vec![b' '; SCRIPT_BYTES + 1]).unwrap();
        assert!(read_folder(folder.path()).unwrap_err().message.contains("longer"));
        let missing = read_folder(&folder.path().join("none")).unwrap_err();
        assert!(missing.message.contains("cannot be read"), "{missing}");
    }

    #[test]
    fn so_many_scripts_of_such_a_length_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: usize, text: &[u8]| {
            std::fs::write(folder.path().join(format!("{name}.rhai")), text).unwrap();
        };
        write(0, &vec![b' '; SCRIPT_BYTES]);
        (1..FILES).for_each(|name| write(name, b""));
        assert_eq!(read_folder(folder.path()).unwrap().len(), FILES);
        (FILES..FILES + 2).for_each(|name| write(name, b""));
        assert!(read_folder(folder.path()).unwrap_err().message.contains("more than 1000 scripts"));
    }
}
