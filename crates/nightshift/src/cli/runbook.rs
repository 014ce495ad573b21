//! `nightshift runbook`: what the agent knows how to do.

use super::{Exit, Failure, OrHelp as _};
use crate::output::{Output, Style, Tone};
use crate::runbook_files::{self, Texts};
use nightshift_core::runbook::{Library, Problem, Runbook, RunbookStep};
use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// Lists and checks runbooks
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(ListArgs),
    Lint(LintArgs),
}

/// Lists the runbooks in force: the built-in ones and those of a folder
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift runbook list
  nightshift runbook list --runbooks ./runbooks -o yaml

Exit codes: 0 done, 2 the folder cannot be read or a runbook in it is wrong")]
struct ListArgs {
    /// Folder with runbooks (*.md) beside the built-in ones
    #[arg(long, value_name = "FOLDER", env = "NIGHTSHIFT_RUNBOOKS")]
    runbooks: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Checks runbooks, naming line and column of every problem
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift runbook lint ./runbooks
  nightshift runbook lint RB_OOM.md RB_MINE.md -o json

Exit codes: 0 no problem, 1 problems found, 2 a file cannot be read")]
struct LintArgs {
    /// Files, or folders with *.md files
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Command::List(args) => args.run(),
            Command::Lint(args) => args.run(),
        }
    }
}

/// A runbook as it is listed.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    title: String,
    applies: Vec<String>,
    /// Tools in the order of the steps.
    tools: Vec<&'static str>,
    /// Those of them that propose a write.
    writes: Vec<&'static str>,
    file: String,
}

impl From<&Runbook> for Row {
    fn from(runbook: &Runbook) -> Self {
        let steps = || runbook.steps.iter();
        Self {
            id: runbook.id.to_string(),
            title: runbook.title.clone(),
            applies: runbook.applies.iter().map(ToString::to_string).collect(),
            tools: steps().map(RunbookStep::tool).collect(),
            writes: steps()
                .filter(|step| step.writes())
                .map(RunbookStep::tool)
                .collect(),
            file: runbook.file.clone(),
        }
    }
}

impl ListArgs {
    fn run(self) -> Result<Exit, Failure> {
        let library = library(self.runbooks.as_deref())?;
        let rows: Vec<Row> = library.iter().map(Row::from).collect();
        self.output
            .print(&rows, |rows, style| list_table(rows, style))?;
        Ok(Exit::Fine)
    }
}

/// The runbooks in force with that folder.
pub(super) fn library(folder: Option<&Path>) -> Result<Library, Failure> {
    let Texts { texts, problems } = read(folder.map(Path::to_owned).as_slice())?;
    let wrong = |problems: Vec<Problem>| {
        let first = problems.first().map(ToString::to_string);
        let help = "`nightshift runbook lint` lists every problem of the folder";
        Failure::new(first.unwrap_or_default(), help)
    };
    if !problems.is_empty() {
        return Err(wrong(problems));
    }
    Library::load(&texts).map_err(wrong)
}

fn list_table(rows: &[Row], style: Style) -> String {
    let cells = |row: &Row| {
        vec![
            (Tone::Strong, row.id.clone()),
            (Tone::Plain, row.title.clone()),
            (Tone::Plain, row.applies.join(", ")),
            (Tone::Plain, row.writes.join(", ")),
            (Tone::Dim, row.file.clone()),
        ]
    };
    style.table(
        &["ID", "TITLE", "APPLIES TO", "MAY WRITE", "FILE"],
        rows.iter().map(cells).collect(),
    )
}

impl LintArgs {
    fn run(self) -> Result<Exit, Failure> {
        let problems = lint(&self.paths)?;
        self.output
            .print(&problems, |problems, style| lint_lines(problems, style))?;
        Ok(if problems.is_empty() {
            Exit::Fine
        } else {
            Exit::Found
        })
    }
}

/// One file's problems hide no other's.
fn lint(paths: &[PathBuf]) -> Result<Vec<Problem>, Failure> {
    let Texts {
        texts,
        mut problems,
    } = read(paths)?;
    if texts.is_empty() && problems.is_empty() {
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let error = format!("no *.md file in {}", names.join(", "));
        return Err(Failure::new(
            error,
            "name runbook files, or a folder that has them",
        ));
    }
    problems.extend(Library::lint(&texts));
    Ok(problems)
}

fn lint_lines(problems: &[Problem], style: Style) -> String {
    if problems.is_empty() {
        return "No problems.\n".to_owned();
    }
    let line = |problem: &Problem| {
        let place = format!("{}:{}:{}", problem.file, problem.line, problem.column);
        let help = if problem.help.is_empty() {
            String::new()
        } else {
            format!("  {}\n", problem.help)
        };
        format!(
            "{}: {}\n{}",
            style.paint(Tone::Strong, &place),
            style.paint(Tone::Bad, &problem.message),
            style.paint(Tone::Dim, &help)
        )
    };
    problems.iter().map(line).collect()
}

/// Texts by path: of files, and of the `*.md` files of folders.
fn read(paths: &[PathBuf]) -> Result<Texts, Failure> {
    let mut texts = Texts::default();
    for path in paths {
        let what = format!("{} cannot be read", path.display());
        let help = "name runbook files, or a folder that has them";
        for file in files(path).or_help(&what, help)? {
            let read = texts.read(file.display().to_string(), &file);
            read.or_help("the runbooks were not read", help)?;
        }
    }
    Ok(texts)
}

fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if path.is_dir() {
        runbook_files::of_folder(path)
    } else {
        Ok(vec![path.to_owned()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_a_runbook_is_not_free_of_problems() {
        let folder = tempfile::tempdir().unwrap();
        let failure = lint(&[folder.path().to_owned()]).unwrap_err();
        assert!(
            failure.text().starts_with("no *.md file in "),
            "{}",
            failure.text()
        );
    }

    #[test]
    fn a_file_that_is_no_text_is_named_and_the_others_are_linted_too() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes);
        write("a.md", b"one\nab\xff").unwrap();
        write("b.md", b"no runbook").unwrap();
        let problems = lint(&[folder.path().to_owned()]).unwrap();
        let of = |name: &str| problems.iter().find(|p| p.file.ends_with(name)).unwrap();
        let a = of("a.md");
        assert_eq!((a.line, a.column), (2, 3));
        assert_eq!(a.message, "not UTF-8 text");
        assert_ne!(of("b.md").message, a.message);
        let listed = library(Some(folder.path())).unwrap_err().text();
        assert!(listed.contains("a.md:2:3: not UTF-8 text"), "{listed}");
    }
}
