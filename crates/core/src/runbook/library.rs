//! All runbooks in force: the built-in ones and those of the configured folder.

use super::format::Runbook;
use super::lint;
use super::problem::Problem;
use crate::ids::RunbookId;
use std::collections::BTreeMap;

macro_rules! built_in {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../runbooks/", $name)))),+]
    };
}

/// The runbooks that come with Nightshift: file name and text.
const BUILT_IN: &[(&str, &str)] = built_in![
    "RB_CONTAINERCREATING.md",
    "RB_CRASHLOOP.md",
    "RB_IMAGEPULL.md",
    "RB_NODE_NOTREADY.md",
    "RB_NODE_UNSCHEDULABLE.md",
    "RB_OOM.md",
];

/// Prefix of the names of built-in files, which no file of a folder has.
const PREFIX: &str = "built-in/";

/// Runbooks by id, each of them free of problems.
#[derive(Clone, Debug, Default)]
pub struct Library {
    runbooks: BTreeMap<RunbookId, Runbook>,
    texts: BTreeMap<String, String>,
}

impl Library {
    /// The built-in runbooks alone.
    ///
    /// # Panics
    /// Never: a test loads them all.
    pub fn built_in() -> Self {
        Self::load(&BTreeMap::new()).expect("a test loads every built-in runbook")
    }

    /// The built-in runbooks and `texts` (by file name). A text with the id of a built-in runbook
    /// takes its place; two texts with one id are a problem. Errors: every problem found.
    pub fn load(texts: &BTreeMap<String, String>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut runbooks: BTreeMap<RunbookId, Runbook> = BTreeMap::new();
        for (file, text) in texts {
            match lint::runbook(file, text) {
                Ok(runbook) => {
                    if let Some(first) = runbooks.get(&runbook.id) {
                        problems.push(twice(&runbook, first));
                    } else {
                        runbooks.insert(runbook.id.clone(), runbook);
                    }
                }
                Err(found) => problems.extend(found),
            }
        }
        let mut in_force = texts.clone();
        for (name, text) in BUILT_IN {
            let file = format!("{PREFIX}{name}");
            match lint::runbook(&file, text) {
                Ok(runbook) if runbooks.contains_key(&runbook.id) => {}
                Ok(runbook) => {
                    runbooks.insert(runbook.id.clone(), runbook);
                    in_force.insert(file, (*text).to_owned());
                }
                Err(found) => problems.extend(found),
            }
        }
        if problems.is_empty() {
            return Ok(Self {
                runbooks,
                texts: in_force,
            });
        }
        Err(problems)
    }

    /// The problems of `texts` (by file name), in order of file and place.
    pub fn lint(texts: &BTreeMap<String, String>) -> Vec<Problem> {
        let mut problems = Self::load(texts).err().unwrap_or_default();
        problems.sort();
        problems
    }

    /// The runbook of that id.
    pub fn get(&self, id: &RunbookId) -> Option<&Runbook> {
        self.runbooks.get(id)
    }

    /// All runbooks in order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &Runbook> {
        self.runbooks.values()
    }

    /// The texts in force by file name, the built-in ones too: what a journal has to keep so that a
    /// changed rule is noticed. [`Library::load`] of them gives the same library.
    pub fn texts(&self) -> &BTreeMap<String, String> {
        &self.texts
    }
}

fn twice(second: &Runbook, first: &Runbook) -> Problem {
    Problem {
        file: second.file.clone(),
        line: 1,
        column: 1,
        message: format!("id {} is in {} already", second.id, first.file),
        help: "an id is used once; only a built-in runbook can be replaced".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = entries.iter();
        owned
            .map(|(file, text)| ((*file).to_owned(), (*text).to_owned()))
            .collect()
    }

    fn text(id: &str) -> String {
        format!(
            "---\nid: {id}\ntitle: A test\napplies: [CrashLoop]\nsteps:\n  - name: events\n    \
             tool: get_pod_events\n---\nText.\n"
        )
    }

    #[test]
    fn the_list_is_the_folder_and_files_are_named_after_their_id() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../runbooks");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .expect("the folder")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .into_string()
                    .expect("UTF-8")
            })
            .collect();
        files.sort();
        let listed: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(files, listed);
        let library = Library::built_in();
        let ids: Vec<String> = library.iter().map(|r| format!("{}.md", r.id)).collect();
        assert_eq!(ids, listed);
    }

    #[test]
    fn no_image_is_built_in() {
        for runbook in Library::built_in().iter() {
            assert!(runbook.fallback_image.is_empty(), "{}", runbook.id);
        }
    }

    #[test]
    fn a_text_takes_the_place_of_a_built_in_one_only_with_its_id() {
        let same_name = texts(&[("RB_OOM.md", &text("RB_OTHER"))]);
        let library = Library::load(&same_name).expect("no problems");
        assert_eq!(library.iter().count(), BUILT_IN.len() + 1);
        let same_id = texts(&[("mine.md", &text("RB_OOM"))]);
        let library = Library::load(&same_id).expect("no problems");
        assert_eq!(library.iter().count(), BUILT_IN.len());
        assert_eq!(
            library.get(&"RB_OOM".into()).map(|r| r.file.as_str()),
            Some("mine.md")
        );
    }

    #[test]
    fn two_texts_with_one_id_are_a_problem() {
        let twice = texts(&[("a.md", &text("RB_A")), ("b.md", &text("RB_A"))]);
        let problems = Library::lint(&twice);
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].message, "id RB_A is in a.md already");
    }

    #[test]
    fn one_bad_text_spoils_the_load() {
        let bad = texts(&[("a.md", &text("RB_A")), ("b.md", "no front matter")]);
        assert!(Library::load(&bad).is_err());
    }

    #[test]
    fn loading_the_texts_in_force_gives_the_same_library() {
        let own = texts(&[("mine.md", &text("RB_OOM")), ("new.md", &text("RB_NEW"))]);
        let library = Library::load(&own).expect("no problems");
        let again = Library::load(library.texts()).expect("no problems");
        assert_eq!(library.texts(), again.texts());
        let files =
            |library: &Library| -> Vec<String> { library.iter().map(|r| r.file.clone()).collect() };
        assert_eq!(files(&library), files(&again));
    }
}
