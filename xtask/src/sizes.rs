//! Files stay small: a warning from 400 lines before the tests, an error from 600. (Functions are
//! clippy's: `too-many-lines-threshold`.)

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Longer is worth a thought.
const WARN: usize = 400;
/// Longer is an error, unless the file says why.
const FAIL: usize = 600;
/// A line that begins so, with a reason behind it, excuses a file.
const EXCUSE: &str = "//! Longer than 600 lines because ";

/// Checks the sources of the workspace at `root`; the error lists the files that are too long.
pub fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root.join(folder), &mut files)?;
    }
    files.sort();
    let mut long = Vec::new();
    for file in files {
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let shown = file.strip_prefix(root).unwrap_or(&file).display();
        match judge(&text) {
            Size::Fine => {}
            Size::Long(lines) => {
                eprintln!("warning: {shown} has {lines} lines before its tests, over {WARN}")
            }
            Size::TooLong(lines) => long.push(format!("{shown}: {lines} lines")),
        }
    }
    if !long.is_empty() {
        bail!(
            "over {FAIL} lines before the tests:\n  {}",
            long.join("\n  ")
        );
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Size {
    Fine,
    Long(usize),
    TooLong(usize),
}

fn judge(text: &str) -> Size {
    let lines = before_tests(text);
    let excused = text.lines().any(|line| line.starts_with(EXCUSE));
    match lines {
        0..=WARN => Size::Fine,
        _ if lines > FAIL && !excused => Size::TooLong(lines),
        _ => Size::Long(lines),
    }
}

/// Lines before the test module, which by our custom ends the file.
fn before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .windows(2)
        .position(|pair| matches!(pair, ["#[cfg(test)]", next] if next.starts_with("mod ") && next.ends_with('{')))
        .unwrap_or(lines.len())
}

/// Rust files of `src` folders, below `folder`; tests of their own have no limit.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry.context("cannot list a folder")?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "tests" | "target" | "benches") {
                collect(&path, files)?;
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_before_the_tests_count() {
        let tests = "#[cfg(test)]\nmod tests {\n";
        let text = |lines: usize, test_lines: usize| {
            format!(
                "{}{tests}{}}}\n",
                "a\n".repeat(lines),
                "b\n".repeat(test_lines)
            )
        };
        assert_eq!(judge(&text(400, 5000)), Size::Fine);
        assert_eq!(judge(&text(401, 0)), Size::Long(401));
        assert_eq!(judge(&text(600, 9)), Size::Long(600));
        assert_eq!(judge(&text(601, 9)), Size::TooLong(601));
        assert_eq!(judge(&"a\n".repeat(700)), Size::TooLong(700));
    }

    #[test]
    fn a_reason_in_the_file_excuses_it() {
        let text = format!("{EXCUSE}it is one table.\n{}", "a\n".repeat(700));
        assert_eq!(judge(&text), Size::Long(701));
    }
}
