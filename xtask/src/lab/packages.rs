//! What the lab needs from Debian, and how it gets there.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::progress::Progress;
use super::shell::{limited, run};

/// A file that must be there, and the package that brings it.
pub(crate) struct Need {
    file: &'static str,
    package: &'static str,
}

/// What every lab needs. Debian's own paths: the lab runs on Debian and its like only.
pub(crate) const LAB: &[Need] = &[
    Need {
        file: "/usr/sbin/runc",
        package: "runc",
    },
    Need {
        file: "/usr/lib/cni/bridge",
        package: "containernetworking-plugins",
    },
    Need {
        file: "/usr/sbin/iptables",
        package: "iptables",
    },
    Need {
        file: "/usr/sbin/nft",
        package: "nftables",
    },
    Need {
        file: "/usr/sbin/conntrack",
        package: "conntrack",
    },
    Need {
        file: "/usr/bin/socat",
        package: "socat",
    },
    Need {
        file: "/usr/sbin/ethtool",
        package: "ethtool",
    },
    Need {
        file: "/usr/bin/openssl",
        package: "openssl",
    },
];

/// Packages whose file has moved between releases: either place will do.
const MOVED: &[(&str, [&str; 2])] = &[
    ("busybox-static", ["/bin/busybox", "/usr/bin/busybox"]),
    ("iproute2", ["/bin/ip", "/usr/sbin/ip"]),
    ("e2fsprogs", ["/sbin/mkfs.ext4", "/usr/sbin/mkfs.ext4"]),
];

/// What stories with a real Alertmanager need on top.
pub(crate) const ALERTMANAGER: &[Need] = &[Need {
    file: "/usr/bin/prometheus-alertmanager",
    package: "prometheus-alertmanager",
}];

/// Installs what is missing; without root it says what to type.
pub(crate) fn install(needs: &[Need], progress: &Progress) -> Result<()> {
    let mut missing: Vec<&str> = needs
        .iter()
        .filter(|need| !Path::new(need.file).exists())
        .map(|need| need.package)
        .collect();
    for (package, places) in MOVED {
        if !places.iter().any(|place| Path::new(place).exists()) {
            missing.push(package);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!(
            "the lab needs Debian packages; as root: apt-get install --no-install-recommends {names}"
        );
    }
    progress.say(&format!("installing from Debian: {names}"));
    let install = || {
        run(&mut apt(
            &["install", "--yes", "--no-install-recommends"],
            &missing,
        ))
    };
    if install().is_err() {
        // Most often the package lists are missing or too old.
        run(&mut apt(&["update"], &[])).context("apt-get update")?;
        install().with_context(|| format!("cannot install {names} from Debian"))?;
    }
    Ok(())
}

/// An apt-get call that asks nothing and starts no service.
fn apt(action: &[&str], packages: &[&str]) -> Command {
    let mut command = limited(Duration::from_mins(10), &["apt-get", "--quiet=2"]);
    command.args(action).args(packages);
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1");
    command
}
