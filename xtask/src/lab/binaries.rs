//! Builds the lab's programs from pinned Go modules, once.
//!
//! They go to a folder that git ignores (`lab/.build`, or `NIGHTSHIFT_LAB_BUILD` for one folder
//! shared by several checkouts). A stamp beside each holds the hash of what it was made from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use super::progress::Progress;
use super::shell::{limited, run};

/// The version that the Kubernetes programs say they are; go.mod pins the same.
pub(crate) const KUBERNETES: &str = "v1.36.3";
/// The longest that one module may build: two cores, cold caches, busy neighbours.
const BUILD_LIMIT: Duration = Duration::from_mins(40);

/// One Go module and what is built from it.
struct Module {
    folder: &'static str,
    packages: &'static [&'static str],
    outputs: &'static [&'static str],
    /// What a person should know about the first build.
    hint: &'static str,
}

const MODULES: &[Module] = &[
    Module {
        folder: "testapp",
        packages: &[".", "./pause"],
        outputs: &["testapp", "pause"],
        hint: "20 s",
    },
    Module {
        folder: "containerd",
        packages: &[
            "github.com/containerd/containerd/v2/cmd/containerd",
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "github.com/containerd/containerd/v2/cmd/ctr",
        ],
        outputs: &["containerd", "containerd-shim-runc-v2", "ctr"],
        hint: "about a minute",
    },
    Module {
        folder: "kube",
        packages: &["."],
        outputs: &["kube"],
        hint: "about six minutes",
    },
];

/// Fake nodes, for the bench only.
const KWOK: Module = Module {
    folder: "kwok",
    packages: &["sigs.k8s.io/kwok/cmd/kwok"],
    outputs: &["kwok"],
    hint: "two minutes",
};

/// A client-go program, for the fidelity suite only.
const INFORMER: Module = Module {
    folder: "informer",
    packages: &["."],
    outputs: &["informer"],
    hint: "a minute",
};

/// Builds what every lab needs.
pub(crate) fn build(sources: &Path, out: &Path, progress: &Progress) -> Result<()> {
    build_modules(MODULES, sources, out, progress)
}

/// Builds kwok.
pub(crate) fn build_kwok(sources: &Path, out: &Path, progress: &Progress) -> Result<()> {
    build_modules(&[KWOK], sources, out, progress)
}

/// Builds kubectl (with the rest of Kubernetes) and the client-go program.
pub(crate) fn build_clients(sources: &Path, out: &Path, progress: &Progress) -> Result<()> {
    build_modules(MODULES, sources, out, progress)?;
    build_modules(&[INFORMER], sources, out, progress)
}

/// Builds what is missing or out of date. A lock keeps two checkouts out of one folder.
fn build_modules(
    modules: &[Module],
    sources: &Path,
    out: &Path,
    progress: &Progress,
) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let lock = File::create(out.join("lock")).context("cannot make the build folder's lock")?;
    if lock.try_lock().is_err() {
        progress.say("waiting for another build in the same folder");
        lock.lock().context("cannot lock the build folder")?;
    }
    for module in modules {
        let folder = sources.join(module.folder);
        let stamp = out.join(format!("{}.stamp", module.folder));
        let wanted = fingerprint(&folder)?;
        let whole = module.outputs.iter().all(|name| out.join(name).exists());
        if whole && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            continue;
        }
        progress.doing(&format!(
            "building {} (the first time: {})",
            module.folder, module.hint
        ));
        compile(module, &folder, out)?;
        fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    }
    Ok(())
}

/// Runs the Go compiler for one module.
fn compile(module: &Module, folder: &Path, out: &Path) -> Result<()> {
    if run(Command::new("go").arg("version")).is_err() {
        bail!("the lab is built from Go modules: install Go 1.26 or newer and put it on the PATH");
    }
    let version = "-X k8s.io/component-base/version.git";
    let (major, minor) = major_and_minor(KUBERNETES);
    let flags = format!(
        "-s -w {version}Version={KUBERNETES} {version}Major={major} {version}Minor={minor}"
    );
    // A slash at the end: one file for each package, named after its folder.
    let mut target = out.as_os_str().to_owned();
    target.push("/");
    let mut command = limited(
        BUILD_LIMIT,
        &["go", "build", "-trimpath", "-ldflags", &flags],
    );
    command
        .arg("-o")
        .arg(target)
        .args(module.packages)
        .current_dir(folder)
        .env("CGO_ENABLED", "0");
    run(&mut command).with_context(|| format!("cannot build lab/{}", module.folder))?;
    Ok(())
}

/// Splits `v1.36.3` into `1` and `36`.
fn major_and_minor(version: &str) -> (&str, &str) {
    let mut parts = version.trim_start_matches('v').split('.');
    (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"))
}

/// Hash over everything that a build depends on: the sources, go.mod and go.sum.
fn fingerprint(folder: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(KUBERNETES);
    for file in sources(folder)? {
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hash.update(file.strip_prefix(folder)?.to_string_lossy().as_bytes());
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    Ok(hex::encode(hash.finalize()))
}

/// The Go files of a module and its go.mod and go.sum, in a stable order.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path
            .extension()
            .is_some_and(|e| ["go", "mod", "sum"].iter().any(|x| e == *x))
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_source_changes_the_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("main.go"), "package main").unwrap();
        let before = fingerprint(folder.path()).unwrap();
        assert_eq!(before, fingerprint(folder.path()).unwrap());
        fs::write(folder.path().join("README.md"), "no part of the build").unwrap();
        assert_eq!(before, fingerprint(folder.path()).unwrap());
        fs::write(folder.path().join("go.sum"), "x").unwrap();
        assert_ne!(before, fingerprint(folder.path()).unwrap());
    }

    #[test]
    fn the_version_is_split() {
        assert_eq!(major_and_minor(KUBERNETES), ("1", "36"));
    }
}
