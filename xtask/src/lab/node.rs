//! A node: a disk, a mount namespace, containerd, a kubelet and a kube-proxy of its own.
//!
//! A holder process keeps the node's mount namespace; the disk is mounted only there, and the
//! programs join it. When the last process of a node has ended, the kernel takes the mounts and
//! the loop device away by itself: a killed lab leaves none behind.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::access::Identity;
use super::shell::{limited, run};
use super::unit::Unit;
use super::wait::until;
use super::{Lab, image, words};

/// One of the lab's two nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// In the main network namespace, beside the control plane.
    One,
    /// In a network namespace of its own.
    Two,
}

/// Size of a node's disk. The file is sparse: it costs what is written.
const DISK: u64 = 6 << 30;

impl Node {
    /// Both.
    pub const ALL: [Self; 2] = [Self::One, Self::Two];

    /// The name in the cluster.
    pub fn name(self) -> &'static str {
        match self {
            Self::One => "node1",
            Self::Two => "node2",
        }
    }

    /// 1 or 2: part of its addresses.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    fn identity(self) -> Identity {
        match self {
            Self::One => Identity::Node1,
            Self::Two => Identity::Node2,
        }
    }

    /// Names of its units: `holder-node1`, ...
    pub(crate) fn unit(self, program: &str) -> String {
        format!("{program}-{}", self.name())
    }
}

/// Prepares the disk, enters the namespaces, starts containerd and gives it the images.
pub(crate) fn start_runtime(lab: &Lab, node: Node) -> Result<()> {
    let folder = lab.node_folder(node);
    for part in ["disk", "run", "s", "cni", "ipam"] {
        fs::create_dir_all(folder.join(part))?;
    }
    write_configuration(lab, node)?;
    let image = folder.join("disk.img");
    fs::File::create(&image)?.set_len(DISK)?;
    run(Command::new("mkfs.ext4")
        .args(["-q", "-F", "-m", "0"])
        .arg(&image))
    .context("cannot make the node's disk")?;
    start_holder(lab, node)?;
    let containerd = lab.build.join("containerd").display().to_string();
    let config = folder.join("containerd.toml").display().to_string();
    start(
        lab,
        node,
        "containerd",
        vec![containerd, "--config".into(), config],
    )?;
    let what = format!("containerd of {}", node.name());
    until(&what, Duration::from_secs(30), || {
        lab.units().running(&node.unit("containerd"))?;
        let asked = run(&mut ctr(lab, node, &["version"], Duration::from_secs(5)));
        Ok(asked.map_err(|error| error.to_string()))
    })?;
    import(lab, node, &image::archive(&lab.build))
}

/// Loads an OCI archive into a node's containerd.
pub(crate) fn import(lab: &Lab, node: Node, archive: &std::path::Path) -> Result<()> {
    let archive = archive.display().to_string();
    run(&mut ctr(
        lab,
        node,
        &["images", "import", &archive],
        Duration::from_mins(1),
    ))
    .with_context(|| format!("cannot load {archive} into {}", node.name()))?;
    Ok(())
}

/// Starts the kubelet and kube-proxy: the API server must be there.
pub(crate) fn start_kubelet(lab: &Lab, node: Node) -> Result<()> {
    let folder = lab.node_folder(node);
    let (name, kube) = (node.name(), lab.build.join("kube").display().to_string());
    let shown = folder.display();
    let argv = words(
        &[&kube, "kubelet"],
        &[
            format!("--config={shown}/kubelet.yaml"),
            format!("--kubeconfig={}", lab.kubeconfig(node.identity()).display()),
            format!("--root-dir={shown}/disk/kubelet"),
            format!("--cert-dir={shown}/pki"),
            format!("--hostname-override={name}"),
            format!("--node-ip=10.99.0.{}", node.number()),
        ],
    );
    start(lab, node, "kubelet", argv)?;
    let zero = [
        "max-per-core=0",
        "min=0",
        "tcp-timeout-established=0s",
        "tcp-timeout-close-wait=0s",
        "udp-timeout=0s",
        "udp-timeout-stream=0s",
    ];
    let mut argv = words(
        &[
            &kube,
            "proxy",
            "--proxy-mode=nftables",
            "--cluster-cidr=10.244.0.0/16",
        ],
        &[
            format!("--hostname-override={name}"),
            format!("--kubeconfig={}", lab.kubeconfig(Identity::Proxy).display()),
        ],
    );
    // The kernel's own limits stay: their sysctl may be read-only.
    argv.extend(zero.map(|limit| format!("--conntrack-{limit}")));
    start(lab, node, "proxy", argv)
}

/// The process that holds the node's mount namespace.
fn start_holder(lab: &Lab, node: Node) -> Result<()> {
    const SCRIPT: &str = "set -e
        mount --make-rshared /
        mount -o loop \"$0/disk.img\" \"$0/disk\"
        mount --bind \"$0/run\" /run/containerd
        mount --bind \"$1/resolv.conf\" /etc/resolv.conf
        mkdir -p \"$0/disk/pod-logs\"
        touch \"$0/mounted\"
        exec sleep infinity";
    fs::create_dir_all("/run/containerd")?;
    let folder = lab.node_folder(node);
    let argv = words(
        &[
            "unshare",
            "-m",
            "--propagation",
            "private",
            "sh",
            "-c",
            SCRIPT,
        ],
        &[
            folder.display().to_string(),
            lab.state.display().to_string(),
        ],
    );
    let unit = Unit {
        name: node.unit("holder"),
        argv,
        env: [].into(),
        netns: lab.node_netns(node),
        holder: None,
    };
    lab.units().start(&unit)?;
    until(
        &format!("the disk of {}", node.name()),
        Duration::from_secs(20),
        || {
            lab.units().running(&unit.name)?;
            let there = folder.join("mounted").exists();
            Ok(if there {
                Ok(())
            } else {
                Err("not mounted".into())
            })
        },
    )
}

/// Starts one of the node's programs within its namespaces.
fn start(lab: &Lab, node: Node, program: &str, argv: Vec<String>) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let unit = Unit {
        name: node.unit(program),
        argv,
        // containerd looks for its shim on the PATH.
        env: [("PATH".to_owned(), format!("{}:{path}", lab.build.display()))].into(),
        netns: lab.node_netns(node),
        holder: Some(lab.holder(node)?),
    };
    lab.units().start(&unit)?;
    Ok(())
}

/// A containerd client call on a node.
fn ctr(lab: &Lab, node: Node, args: &[&str], limit: Duration) -> Command {
    let socket = lab.node_folder(node).join("s/containerd.sock");
    let mut command = limited(limit, &[lab.build.join("ctr")]);
    command
        .arg("--address")
        .arg(socket)
        .args(["--namespace", "k8s.io"])
        .args(args);
    command
}

/// Fills in the node's configuration files.
fn write_configuration(lab: &Lab, node: Node) -> Result<()> {
    let folder = lab.node_folder(node);
    let number = node.number().to_string();
    let cgroup = lab.cgroups().node(node.name());
    let values = [
        ("node", folder.display().to_string()),
        ("state", lab.state.display().to_string()),
        ("number", number),
        ("cgroup", cgroup),
    ];
    let files: [(PathBuf, &str); 3] = [
        (
            folder.join("containerd.toml"),
            include_str!("../../../lab/config/containerd.toml"),
        ),
        (
            folder.join("cni/10-lab.conflist"),
            include_str!("../../../lab/config/cni.conflist"),
        ),
        (
            folder.join("kubelet.yaml"),
            include_str!("../../../lab/config/kubelet.yaml"),
        ),
    ];
    for (path, template) in files {
        fs::write(&path, fill(template, &values))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Puts values in the places of `{{name}}`.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    values
        .iter()
        .fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{{{name}}}}}"), value)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_in_completely() {
        let values = ["node", "state", "number", "cgroup"].map(|name| (name, format!("<{name}>")));
        for template in [
            include_str!("../../../lab/config/containerd.toml"),
            include_str!("../../../lab/config/cni.conflist"),
            include_str!("../../../lab/config/kubelet.yaml"),
        ] {
            let text = fill(template, &values);
            assert!(!text.contains("{{") && text.contains('<'), "{text}");
        }
    }
}
