//! Container images without a registry and without a builder: OCI layouts written by hand.
//!
//! Each image is a folder `IMAGES/REPOSITORY:TAG` in the OCI layout, which the lab's small
//! registry serves, and all images that the nodes get at the start are one archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::shell::run;
use super::tar::{Archive, Kind};

/// The registry's name in image references. The dot keeps a default registry out.
pub(crate) const REGISTRY: &str = "img.test";

/// One image.
struct Image {
    /// Repository and tag.
    name: &'static str,
    /// What runs if the pod names no command.
    entrypoint: &'static [&'static str],
    /// Which files are in it.
    layers: &'static [Layer],
    /// On the nodes from the start; otherwise a pod has to pull it.
    preloaded: bool,
}

/// A layer that images share.
#[derive(Clone, Copy)]
enum Layer {
    Pause,
    Busybox,
    App,
}

const APP: &[Layer] = &[Layer::Busybox, Layer::App];
const CRASH: &[&str] = &[
    "/app",
    "exit",
    "-code",
    "3",
    "-after",
    "1s",
    "-message",
    "fatal: this release is broken",
];

const IMAGES: &[Image] = &[
    Image {
        name: "pause:1",
        entrypoint: &["/pause"],
        layers: &[Layer::Pause],
        preloaded: true,
    },
    Image {
        name: "busybox:1",
        entrypoint: &["/bin/sh"],
        layers: &[Layer::Busybox],
        preloaded: true,
    },
    Image {
        name: "app:1",
        entrypoint: &["/app", "serve"],
        layers: APP,
        preloaded: true,
    },
    Image {
        name: "app:2",
        entrypoint: &["/app", "serve"],
        layers: APP,
        preloaded: true,
    },
    Image {
        name: "app:3",
        entrypoint: &["/app", "serve"],
        layers: APP,
        preloaded: true,
    },
    Image {
        name: "app:broken",
        entrypoint: CRASH,
        layers: APP,
        preloaded: true,
    },
    Image {
        name: "app:pulled",
        entrypoint: &["/app", "serve"],
        layers: APP,
        preloaded: false,
    },
];

/// Folder of the layouts within the build folder.
pub(crate) fn layouts(build: &Path) -> PathBuf {
    build.join("images")
}

/// The archive of all preloaded images within the build folder.
pub(crate) fn archive(build: &Path) -> PathBuf {
    build.join("images.tar")
}

/// Writes all images unless they are there and made from the same programs.
pub(crate) fn build(build: &Path) -> Result<()> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    let busybox = busybox
        .iter()
        .find(|path| path.exists())
        .context("no busybox on the machine")?;
    let files = Files {
        pause: read(&build.join("pause"))?,
        app: read(&build.join("testapp"))?,
        busybox: read(busybox)?,
        applets: run(Command::new(busybox).arg("--list"))?,
    };
    let stamp = build.join("images.stamp");
    let wanted = files.fingerprint();
    if archive(build).exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let mut preloaded = Layout::default();
    for image in IMAGES {
        let mut alone = Layout::default();
        for layout in [&mut alone, &mut preloaded]
            .into_iter()
            .take(1 + usize::from(image.preloaded))
        {
            layout.add_image(image, &files);
        }
        alone.write_folder(&layouts(build).join(image.name))?;
    }
    write(&archive(build), &preloaded.into_archive())?;
    write(&stamp, wanted.as_bytes())
}

/// The programs that go into the images.
struct Files {
    pause: Vec<u8>,
    app: Vec<u8>,
    busybox: Vec<u8>,
    /// Names that busybox answers to, one a line.
    applets: String,
}

impl Files {
    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for part in [&self.pause, &self.app, &self.busybox] {
            hash.update(Sha256::digest(part));
        }
        hash.update(format!(
            "{:?}",
            IMAGES
                .iter()
                .map(|i| (i.name, i.entrypoint))
                .collect::<Vec<_>>()
        ));
        hex::encode(hash.finalize())
    }

    fn layer(&self, layer: Layer) -> Vec<u8> {
        let mut tar = Archive::default();
        match layer {
            Layer::Pause => tar.add("pause", 0o755, &Kind::File(&self.pause)),
            Layer::App => tar.add("app", 0o755, &Kind::File(&self.app)),
            Layer::Busybox => self.add_busybox(&mut tar),
        }
        tar.finish()
    }

    fn add_busybox(&self, tar: &mut Archive) {
        tar.add("tmp/", 0o1777, &Kind::Folder);
        tar.add("etc/", 0o755, &Kind::Folder);
        tar.add(
            "etc/passwd",
            0o644,
            &Kind::File(b"root:x:0:0:root:/:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"),
        );
        tar.add(
            "etc/group",
            0o644,
            &Kind::File(b"root:x:0:\nuser:x:1000:\n"),
        );
        tar.add("bin/", 0o755, &Kind::Folder);
        tar.add("bin/busybox", 0o755, &Kind::File(&self.busybox));
        for name in self.applets.lines().filter(|name| *name != "busybox") {
            tar.add(&format!("bin/{name}"), 0o777, &Kind::Link("busybox"));
        }
    }
}

/// An OCI layout in memory: blobs by digest, and the manifests that its index lists.
#[derive(Default)]
struct Layout {
    blobs: std::collections::BTreeMap<String, Vec<u8>>,
    manifests: Vec<Value>,
}

impl Layout {
    fn add_image(&mut self, image: &Image, files: &Files) {
        let kind = "application/vnd.oci.image";
        let layers: Vec<Value> = image
            .layers
            .iter()
            .map(|layer| self.add_blob(&format!("{kind}.layer.v1.tar"), files.layer(*layer)))
            .collect();
        let digests: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
        let tag = image.name.split_once(':').map_or("", |(_, tag)| tag);
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": {
                "Entrypoint": image.entrypoint,
                "Env": ["PATH=/bin:/", format!("VERSION={tag}")],
                "WorkingDir": "/",
            },
            "rootfs": { "type": "layers", "diff_ids": digests },
        });
        let config = self.add_blob(
            &format!("{kind}.config.v1+json"),
            config.to_string().into_bytes(),
        );
        let media_type = format!("{kind}.manifest.v1+json");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        });
        let mut entry = self.add_blob(&media_type, manifest.to_string().into_bytes());
        let full = format!("{REGISTRY}/{}", image.name);
        entry["annotations"] =
            json!({ "io.containerd.image.name": full, "org.opencontainers.image.ref.name": tag });
        self.manifests.push(entry);
    }

    /// Adds a blob and returns its descriptor.
    fn add_blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = hex::encode(Sha256::digest(&bytes));
        let size = bytes.len();
        self.blobs.insert(digest.clone(), bytes);
        json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
    }

    /// All files of the layout with their paths.
    fn files(self) -> Vec<(String, Vec<u8>)> {
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": self.manifests,
        });
        let mut files = vec![
            (
                "oci-layout".to_owned(),
                br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec(),
            ),
            ("index.json".to_owned(), index.to_string().into_bytes()),
        ];
        files.extend(
            self.blobs
                .into_iter()
                .map(|(hash, b)| (format!("blobs/sha256/{hash}"), b)),
        );
        files
    }

    fn write_folder(self, folder: &Path) -> Result<()> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
        for (path, bytes) in self.files() {
            write(&folder.join(path), &bytes)?;
        }
        Ok(())
    }

    fn into_archive(self) -> Vec<u8> {
        let mut tar = Archive::default();
        for (path, bytes) in self.files() {
            tar.add(&path, 0o644, &Kind::File(&bytes));
        }
        tar.finish()
    }
}

/// This machine's architecture by its Go name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files {
            pause: b"p".to_vec(),
            app: b"a".to_vec(),
            busybox: b"b".to_vec(),
            applets: "sh\n".into(),
        }
    }

    #[test]
    fn every_descriptor_points_at_a_blob_of_its_size() {
        let mut layout = Layout::default();
        for image in IMAGES {
            layout.add_image(image, &files());
        }
        for entry in &layout.manifests {
            let digest = entry["digest"]
                .as_str()
                .unwrap()
                .trim_start_matches("sha256:");
            let blob = &layout.blobs[digest];
            assert_eq!(entry["size"], blob.len());
            let manifest: Value = serde_json::from_slice(blob).unwrap();
            for layer in manifest["layers"].as_array().unwrap() {
                let digest = layer["digest"]
                    .as_str()
                    .unwrap()
                    .trim_start_matches("sha256:");
                assert_eq!(layer["size"], layout.blobs[digest].len());
            }
        }
    }

    #[test]
    fn two_tags_of_one_program_are_two_images() {
        let mut layout = Layout::default();
        for image in IMAGES {
            layout.add_image(image, &files());
        }
        let digests: std::collections::BTreeSet<_> = layout
            .manifests
            .iter()
            .map(|entry| entry["digest"].to_string())
            .collect();
        assert_eq!(digests.len(), IMAGES.len());
    }
}
