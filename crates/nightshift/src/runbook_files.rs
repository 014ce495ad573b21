//! Which files of a folder are runbooks.

use std::io;
use std::path::{Path, PathBuf};

/// The `*.md` files of the folder, in order of their names.
pub(crate) fn of_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut files: Vec<PathBuf> = entries.collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ext| ext == "md"));
    files.sort();
    Ok(files)
}
