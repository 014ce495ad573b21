//! Which files of a folder are runbooks, and what they say.

use nightshift_core::runbook::Problem;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file} cannot be read")]
pub struct Unreadable {
    file: PathBuf,
    #[source]
    source: io::Error,
}

/// What is in some files.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Texts by name.
    pub(crate) texts: BTreeMap<String, String>,
    /// A problem for each file that is not text.
    pub(crate) problems: Vec<Problem>,
}

impl Texts {
    /// Reads one more file, which people know by that name.
    pub(crate) fn read(&mut self, name: String, file: &Path) -> Result<(), Unreadable> {
        let bytes = std::fs::read(file).map_err(|source| Unreadable {
            file: file.to_owned(),
            source,
        })?;
        match String::from_utf8(bytes) {
            Ok(text) => drop(self.texts.insert(name, text)),
            Err(error) => self.problems.push(not_text(name, error.as_bytes())),
        }
        Ok(())
    }
}

/// Names the place of the first byte that is no text.
fn not_text(file: String, bytes: &[u8]) -> Problem {
    let before = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let line = before.rsplit('\n').next().unwrap_or_default();
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Problem {
        file,
        line: count(before.matches('\n').count() + 1),
        column: count(line.chars().count() + 1),
        message: "not UTF-8 text".to_owned(),
        help: "runbooks are UTF-8 text files".to_owned(),
    }
}

/// The `*.md` files of the folder, in order of their names.
pub(crate) fn of_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ext| ext == "md"));
    files.sort();
    Ok(files)
}
