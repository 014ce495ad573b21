//! Writes the kubeconfig of a simulated cluster: readable by its owner alone, and never over a file
//! that is anything else.

use serde::Deserialize;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Name of cluster, user and context in every kubeconfig of a simulated cluster.
const NAME: &str = "sim";

/// Why there is no kubeconfig.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// The file is somebody else's.
    #[error(
        "{} exists and is not the kubeconfig of a simulated cluster alone: it is left as it is",
        .0.display()
    )]
    NotOurs(PathBuf),
    /// It cannot be written.
    #[error("{} cannot be written", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Config {
    clusters: Vec<Named>,
    users: Vec<Named>,
    contexts: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// Writes it. A file that is there is replaced only if it is the kubeconfig of a simulated cluster
/// and of nothing else.
pub fn write(path: &Path, text: &str) -> Result<(), KubeconfigError> {
    let wrong = |source| KubeconfigError::Io {
        path: path.to_owned(),
        source,
    };
    match std::fs::read_to_string(path) {
        Ok(old) if !is_ours(&old) => return Err(KubeconfigError::NotOurs(path.to_owned())),
        // Removed, so that the new one is not as readable as the old one may have been made.
        Ok(_) => std::fs::remove_file(path).map_err(wrong)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(wrong(error)),
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(wrong)
}

fn is_ours(text: &str) -> bool {
    let Ok(config) = serde_saphyr::from_str::<Config>(text) else {
        return false;
    };
    let is_one = |all: &[Named]| matches!(all, [one] if one.name == NAME);
    is_one(&config.clusters) && is_one(&config.users) && is_one(&config.contexts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const OURS: &str =
        r#"{"clusters":[{"name":"sim"}],"users":[{"name":"sim"}],"contexts":[{"name":"sim"}]}"#;

    #[test]
    fn ours_is_replaced_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        write(&path, OURS).unwrap();
        write(&path, OURS).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), OURS);
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn anything_else_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let two = OURS.replace(r#""users":["#, r#""users":[{"name":"prod"},"#);
        for other in ["", "my notes", two.as_str()] {
            std::fs::write(&path, other).unwrap();
            let error = write(&path, OURS).unwrap_err();
            assert!(matches!(error, KubeconfigError::NotOurs(_)), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
    }
}
