//! The dependency table of the design, checked against `cargo metadata`: which of our crates may
//! know which, that the core has no I/O, and that one crate alone talks to a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// Which of our crates each of them may depend on. A crate that is not here is an error: whoever
/// adds one says where it belongs.
const ARROWS: &[(&str, &[&str])] = &[
    ("nightshift-core", &[]),
    ("nightshift-cluster", &["nightshift-core"]),
    ("nightshift-sim", &[]),
    (
        "nightshift",
        &["nightshift-core", "nightshift-cluster", "nightshift-sim"],
    ),
    ("xtask", &[]),
];

/// All that the core may be built from: small and pure.
const CORE_MAY: &[&str] = &[
    "cel",
    "hex",
    "jiff",
    "regex",
    "serde",
    "serde_json",
    "serde-saphyr",
    "sha2",
    "thiserror",
];

/// What must not come into the core through anybody else either: sockets, files, runtimes, chance.
const CORE_NEVER: &[&str] = &[
    "async-std",
    "axum",
    "getrandom",
    "hyper",
    "kube",
    "kube-client",
    "mio",
    "rand",
    "reqwest",
    "rusqlite",
    "rustls",
    "socket2",
    "sqlx",
    "tempfile",
    "tokio",
    "tower",
    "ureq",
];

/// Crates that only some of ours may use.
const RESERVED: &[(&str, &[&str])] = &[
    ("kube", &["nightshift-cluster", "xtask"]),
    ("kube-client", &["nightshift-cluster"]),
    ("sqlx", &["nightshift"]),
];

/// `cargo metadata`, as far as it is read.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` for a normal one, else `dev` or `build`.
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

/// Checks the workspace at `root`; the error lists all that is wrong.
pub fn check(root: &Path) -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--locked"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata ended with {}", output.status);
    }
    let metadata = serde_json::from_slice(&output.stdout).context("cannot read cargo metadata")?;
    let wrong = violations(&metadata);
    if !wrong.is_empty() {
        bail!("the layers are broken:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

fn violations(metadata: &Metadata) -> Vec<String> {
    let mut wrong = Vec::new();
    let members: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| metadata.workspace_members.contains(&package.id))
        .collect();
    let ours: BTreeSet<&str> = members
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    for package in &members {
        wrong.extend(arrows(package, &ours));
        wrong.extend(reserved(package));
        if package.name == "nightshift-core" {
            wrong.extend(impure(package));
            wrong.extend(impure_behind(package, metadata));
        }
    }
    wrong
}

/// Arrows between our crates, those of tests too: an oracle that shares eyes shares blindness.
fn arrows(package: &Package, ours: &BTreeSet<&str>) -> Vec<String> {
    let name = package.name.as_str();
    let Some((_, may)) = ARROWS.iter().find(|(of, _)| *of == name) else {
        return vec![format!("{name} is not in the table of xtask/src/layers.rs")];
    };
    package
        .dependencies
        .iter()
        .map(|dependency| dependency.name.as_str())
        .filter(|on| ours.contains(on) && *on != name && !may.contains(on))
        .map(|on| format!("{name} depends on {on}, against the design's arrows"))
        .collect()
}

fn reserved(package: &Package) -> Vec<String> {
    let name = package.name.as_str();
    let taken = |on: &str| {
        let row = RESERVED.iter().find(|(reserved, _)| *reserved == on);
        row.filter(|(_, to)| !to.contains(&name))
    };
    package
        .dependencies
        .iter()
        .filter_map(|dependency| taken(&dependency.name))
        .map(|(on, to)| format!("{name} depends on {on}, which only {} may", to.join(", ")))
        .collect()
}

fn impure(core: &Package) -> Vec<String> {
    core.dependencies
        .iter()
        .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        .map(|dependency| dependency.name.as_str())
        .filter(|on| !CORE_MAY.contains(on))
        .map(|on| format!("nightshift-core depends on {on}, which is not on its list"))
        .collect()
}

/// What is built into the core through others.
fn impure_behind(core: &Package, metadata: &Metadata) -> Vec<String> {
    let names: BTreeMap<&str, &str> = metadata
        .packages
        .iter()
        .map(|package| (package.id.as_str(), package.name.as_str()))
        .collect();
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .nodes
        .iter()
        .map(|node| (node.id.as_str(), node))
        .collect();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::from([core.id.as_str()]);
    let mut queue = vec![core.id.as_str()];
    while let Some(id) = queue.pop() {
        for dependency in nodes.get(id).into_iter().flat_map(|node| &node.deps) {
            let built_in = dependency.dep_kinds.iter().any(|kind| kind.kind.is_none());
            if !built_in || !seen.insert(&dependency.pkg) {
                continue;
            }
            queue.push(&dependency.pkg);
            let of = |id: &str| {
                names
                    .get(id)
                    .copied()
                    .unwrap_or("an unknown crate")
                    .to_owned()
            };
            let name = of(&dependency.pkg);
            if CORE_NEVER.contains(&name.as_str()) {
                wrong.push(format!(
                    "{name} comes into nightshift-core through {}",
                    of(id)
                ));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A dependency and its kind.
    type On<'a> = (&'a str, Option<&'a str>);

    /// Violations of a workspace of our crates and others, with what they depend on.
    fn violations_of(packages: &[(&str, &[On<'_>])], ours: &[&str]) -> Vec<String> {
        let dependency = |(name, kind): &On<'_>| json!({"name": name, "kind": kind});
        let edge = |(name, kind): &On<'_>| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let listed: Vec<Value> = packages
            .iter()
            .map(|(name, deps)| {
                let deps: Vec<Value> = deps.iter().map(dependency).collect();
                json!({"id": name, "name": name, "dependencies": deps})
            })
            .collect();
        let nodes: Vec<Value> = packages
            .iter()
            .map(|(name, deps)| {
                let deps: Vec<Value> = deps.iter().map(edge).collect();
                json!({"id": name, "deps": deps})
            })
            .collect();
        let metadata = json!({
            "packages": listed, "workspace_members": ours, "resolve": {"nodes": nodes},
        });
        violations(&serde_json::from_value(metadata).unwrap())
    }

    #[test]
    fn the_design_passes() {
        let wrong = violations_of(
            &[
                (
                    "nightshift-core",
                    &[("serde", None), ("proptest", Some("dev"))],
                ),
                (
                    "nightshift-cluster",
                    &[("nightshift-core", None), ("kube", None)],
                ),
                (
                    "nightshift",
                    &[("nightshift-cluster", None), ("sqlx", None)],
                ),
                ("serde", &[]),
                ("proptest", &[("rand", None)]),
            ],
            &["nightshift-core", "nightshift-cluster", "nightshift"],
        );
        assert_eq!(wrong, Vec::<String>::new());
    }

    #[test]
    fn each_broken_rule_is_named() {
        let wrong = violations_of(
            &[
                (
                    "nightshift-core",
                    &[("nightshift", Some("dev")), ("tokio", None), ("cel", None)],
                ),
                ("nightshift", &[("kube", None)]),
                ("nightshift-chaos", &[]),
                ("cel", &[("rand", None)]),
                ("tokio", &[]),
                ("rand", &[]),
            ],
            &["nightshift-core", "nightshift", "nightshift-chaos"],
        );
        assert_eq!(
            wrong,
            [
                "nightshift-core depends on nightshift, against the design's arrows",
                "nightshift-core depends on tokio, which is not on its list",
                "tokio comes into nightshift-core through nightshift-core",
                "rand comes into nightshift-core through cel",
                "nightshift depends on kube, which only nightshift-cluster, xtask may",
                "nightshift-chaos is not in the table of xtask/src/layers.rs",
            ]
        );
    }
}
