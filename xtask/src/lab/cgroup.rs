//! The lab's cgroups: where the nodes' pods live, and the list of every process of the lab.
//!
//! Everything that the lab starts is put below one cgroup that carries the lab's id, and stays
//! there with all its children. So a lab that was killed at any moment can be cleaned up without
//! a guess: what is in the cgroup is the lab's, whatever it is called.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::wait::until;

/// Where the kernel shows cgroups.
const ROOT: &str = "/sys/fs/cgroup";
/// A version 1 hierarchy that only counts: the lab's own programs are tracked in it.
const TRACKER: &str = "pids";

/// The cgroup tree of one lab.
pub(crate) struct Cgroups {
    name: String,
}

impl Cgroups {
    /// The tree of the lab with this id; nothing is made yet.
    pub(crate) fn new(id: &str) -> Self {
        Self {
            name: format!("nightshift-lab-{id}"),
        }
    }

    /// The kubelet's `cgroupRoot` for a node.
    pub(crate) fn node(&self, node: &str) -> String {
        format!("/{}/{node}", self.name)
    }

    /// The file that the lab's own programs write their process id to.
    pub(crate) fn entrance(&self) -> PathBuf {
        let hierarchy = if unified() {
            PathBuf::from(ROOT)
        } else {
            Path::new(ROOT).join(TRACKER)
        };
        hierarchy.join(&self.name).join("programs/cgroup.procs")
    }

    /// Makes the cgroups for the programs and for each node, in every hierarchy.
    pub(crate) fn create(&self, nodes: &[&str]) -> Result<()> {
        for hierarchy in hierarchies()? {
            let top = hierarchy.join(&self.name);
            if unified() {
                pass_on_controllers(&hierarchy)?;
            }
            make(&top)?;
            if unified() {
                pass_on_controllers(&top)?;
            }
            for node in nodes {
                make(&top.join(node))?;
            }
        }
        let entrance = self.entrance();
        make(entrance.parent().context("a cgroup has a parent")?)
    }

    /// Every process of the lab.
    pub(crate) fn processes(&self) -> Result<BTreeSet<i32>> {
        let mut found = BTreeSet::new();
        for hierarchy in hierarchies()? {
            for folder in tree(&hierarchy.join(&self.name)) {
                let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            }
        }
        Ok(found)
    }

    /// Kills every process of the lab and waits until none is left.
    pub(crate) fn kill_all(&self) -> Result<()> {
        until(
            "the lab's processes to end",
            Duration::from_secs(30),
            || {
                let left = self.processes()?;
                for pid in left.iter().filter_map(|pid| Pid::from_raw(*pid)) {
                    // It may have ended by itself since the list was read; the next list tells.
                    kill_process(pid, Signal::KILL).ok();
                }
                Ok(if left.is_empty() {
                    Ok(())
                } else {
                    Err(format!("{left:?}"))
                })
            },
        )
    }

    /// Removes the empty tree.
    pub(crate) fn remove(&self) -> Result<()> {
        until(
            "the lab's cgroups to be removed",
            Duration::from_secs(10),
            || {
                let mut busy = None;
                for hierarchy in hierarchies()? {
                    // The deepest first.
                    for folder in tree(&hierarchy.join(&self.name)).iter().rev() {
                        if let Err(error) = fs::remove_dir(folder) {
                            busy = Some(format!("{}: {error}", folder.display()));
                        }
                    }
                }
                Ok(busy.map_or(Ok(()), Err))
            },
        )
    }
}

/// Whether this machine has cgroup v2 only.
fn unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// The mount points of all hierarchies.
fn hierarchies() -> Result<Vec<PathBuf>> {
    if unified() {
        return Ok(vec![PathBuf::from(ROOT)]);
    }
    let mut found: Vec<PathBuf> = fs::read_dir(ROOT)
        .with_context(|| format!("the lab needs cgroups mounted at {ROOT}"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        // cpu -> cpu,cpuacct: the same hierarchy by another name
        .filter(|path| path.is_dir() && !path.is_symlink())
        .filter(|path| path.join("cgroup.procs").exists())
        .collect();
    if !found.iter().any(|path| path.ends_with(TRACKER)) {
        bail!("the lab needs the {TRACKER} cgroup hierarchy at {ROOT}/{TRACKER}");
    }
    found.sort();
    Ok(found)
}

/// Makes one cgroup; a version 1 cpuset is useless until it has CPUs and memory.
fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let above = folder.parent().map(|parent| parent.join(file));
        let Some(above) = above.filter(|path| path.exists() && !unified()) else {
            continue;
        };
        let value = fs::read_to_string(&above)?;
        fs::write(folder.join(file), value.trim())
            .with_context(|| format!("cannot set {file} of {}", folder.display()))?;
    }
    Ok(())
}

/// Lets a version 2 cgroup's children have all its controllers.
fn pass_on_controllers(folder: &Path) -> Result<()> {
    let all = fs::read_to_string(folder.join("cgroup.controllers"))?;
    for controller in all.split_whitespace() {
        fs::write(
            folder.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )
        .with_context(|| format!("cannot pass {controller} on below {}", folder.display()))?;
    }
    Ok(())
}

/// A folder and all below it, parents before children; empty if it is not there.
fn tree(top: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![top.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        open.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
        found.push(folder);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_lists_parents_before_children() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::create_dir_all(folder.path().join("c")).unwrap();
        let found = tree(folder.path());
        let place = |name: &str| found.iter().position(|p| p.ends_with(name)).unwrap();
        assert_eq!(found.len(), 4);
        assert!(place("a") < place("a/b"));
        assert_eq!(tree(&folder.path().join("none")), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_nodes_cgroup_carries_the_labs_id() {
        assert_eq!(
            Cgroups::new("ab12").node("node1"),
            "/nightshift-lab-ab12/node1"
        );
    }
}
