//! etcd, the API server, the controllers and the scheduler: what they are started with.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::access::Identity;
use super::network::MAIN_ADDRESS;
use super::shell::run;
use super::unit::Unit;
use super::{Lab, words};

/// The programs in the order in which they start.
pub(crate) const UNITS: [&str; 4] = ["etcd", "apiserver", "controller-manager", "scheduler"];
/// The lab's own two small servers: a resolver that knows no name, and a registry.
pub(crate) const SERVERS: [&str; 2] = ["resolver", "registry"];
/// Addresses of pods and of Services.
const SERVICES: &str = "10.96.0.0/16";

/// Writes what the control plane reads: keys, tokens, the audit policy.
pub(crate) fn prepare(lab: &Lab) -> Result<()> {
    let pki = lab.state.join("pki");
    for folder in [&pki, &lab.state.join("etcd"), &lab.state.join("audit")] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    run(Command::new("openssl")
        .args(["genrsa", "-out"])
        .arg(pki.join("service-account.key")))?;
    fs::write(
        lab.state.join("audit-policy.yaml"),
        include_str!("../../../lab/config/audit-policy.yaml"),
    )?;
    lab.access().create()
}

/// A unit of the control plane, by name.
pub(crate) fn unit(lab: &Lab, name: &str) -> Result<Unit> {
    let argv = match name {
        "etcd" => etcd(&lab.state),
        "apiserver" => apiserver(lab),
        "controller-manager" => controller_manager(lab),
        "scheduler" => scheduler(lab),
        "resolver" => vec![
            "resolver".into(),
            "-addr".into(),
            format!("{MAIN_ADDRESS}:53"),
        ],
        "registry" => {
            let root = super::image::layouts(&lab.build).display().to_string();
            words(&["registry", "-addr", "10.99.0.1:5000", "-root"], &[root])
        }
        other => anyhow::bail!("the control plane has no {other}"),
    };
    let binary = if SERVERS.contains(&name) {
        "testapp"
    } else {
        "kube"
    };
    let program = lab.build.join(binary).display().to_string();
    Ok(Unit {
        name: name.to_owned(),
        argv: [vec![program], argv].concat(),
        env: [("GOGC".to_owned(), "200".to_owned())].into(),
        netns: lab.netns(),
        holder: None,
    })
}

fn etcd(state: &Path) -> Vec<String> {
    let data = format!("--data-dir={}/etcd", state.display());
    words(
        &[
            "etcd",
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--initial-advertise-peer-urls=http://127.0.0.1:2380",
            "--initial-cluster=default=http://127.0.0.1:2380",
            // The lab is made anew each time: nothing needs to survive a power cut.
            "--unsafe-no-fsync",
            "--log-level=warn",
            // Bookmarks on events, which have no watch cache, follow this.
            "--watch-progress-notify-interval=5s",
        ],
        &[data],
    )
}

fn apiserver(lab: &Lab) -> Vec<String> {
    let state = lab.state.display();
    let tokens = lab.access().token_list();
    words(
        &[
            "apiserver",
            "--etcd-servers=http://127.0.0.1:2379",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--service-account-issuer=https://kubernetes.default.svc",
            // Else logs and exec fail on a look-up of the node's name.
            "--kubelet-preferred-address-types=InternalIP,Hostname",
            "--allow-privileged",
            "--audit-log-format=json",
            // Nothing is lost when the API server is killed, and no line is rotated away.
            "--audit-log-mode=blocking-strict",
            "--audit-log-maxsize=4096",
            "--shutdown-delay-duration=0s",
        ],
        &[
            format!("--advertise-address={MAIN_ADDRESS}"),
            format!("--service-cluster-ip-range={SERVICES}"),
            format!("--cert-dir={state}/pki"),
            format!("--token-auth-file={}", tokens.display()),
            format!("--service-account-key-file={state}/pki/service-account.key"),
            format!("--service-account-signing-key-file={state}/pki/service-account.key"),
            format!("--audit-policy-file={state}/audit-policy.yaml"),
            format!("--audit-log-path={}", lab.audit_log().display()),
        ],
    )
}

fn controller_manager(lab: &Lab) -> Vec<String> {
    let config = lab.kubeconfig(Identity::ControllerManager);
    words(
        &[
            "controller-manager",
            "--use-service-account-credentials",
            "--leader-elect=false",
            // A stopped kubelet is NotReady after 12 s (by default: 50 s).
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=12s",
            // By default 20 a second: thousands of pods would take minutes.
            "--kube-api-qps=300",
            "--kube-api-burst=600",
        ],
        &[
            format!("--kubeconfig={}", config.display()),
            format!("--root-ca-file={}", lab.authority().display()),
            format!(
                "--service-account-private-key-file={}/pki/service-account.key",
                lab.state.display()
            ),
        ],
    )
}

fn scheduler(lab: &Lab) -> Vec<String> {
    let config = lab.kubeconfig(Identity::Scheduler);
    words(
        &[
            "scheduler",
            "--leader-elect=false",
            "--kube-api-qps=300",
            "--kube-api-burst=600",
        ],
        &[format!("--kubeconfig={}", config.display())],
    )
}
