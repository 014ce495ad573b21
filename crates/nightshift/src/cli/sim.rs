//! `nightshift sim`: a simulated cluster to point kubectl at.

use super::{Exit, Failure, OrHelp as _, values};
use crate::app;
use crate::kubeconfig;
use crate::output::{print, program};
use nightshift_sim::auth::{MASTERS, User};
use nightshift_sim::load::{self, LeftOut, Read};
use nightshift_sim::nodes::NodeSpec;
use nightshift_sim::server::{Listening, Server, Time};
use nightshift_sim::{Cluster, Pace, Speed, pace};
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Runs a Kubernetes in memory, for kubectl and every other client, until Ctrl-C
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift sim                                   three nodes and nothing else
  nightshift sim --nodes 50 --load manifests/      with everything in a folder
  nightshift sim --load dump.yaml                  a picture of a cluster: kubectl get -A -o yaml
  nightshift sim --speed 60                        an hour goes by in a minute
  nightshift sim --speed virtual                   time goes on with POST /sim/advance?seconds=N

What --load reads: *.yaml, *.yml and *.json with manifests, lists, the output of `kubectl get -A -o
yaml` or of `kubectl cluster-info dump --output-directory`. Objects with a uid come from a running
cluster: they are kept as they are, with uid, times and status, and no controller, scheduler or
kubelet runs.

docs/sim.md says how to make things fail, and how time goes.

Exit codes: 0 ended when told to, 2 did not start")]
pub(super) struct Args {
    /// Nodes; none are made where a picture of a cluster is loaded
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=250))]
    nodes: u32,
    /// A file or folder with objects to begin with
    #[arg(long, value_name = "FILE|DIR")]
    load: Option<PathBuf>,
    /// Names, uids and latencies: the same seed gives the same history
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = values::seed)]
    seed: u64,
    /// How many times as fast as the wall time goes, or `virtual`: only when told
    #[arg(long, value_name = "X|virtual", default_value = "1")]
    speed: Tempo,
    /// Address to listen on; port 0 chooses a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:16443", value_parser = values::address)]
    listen: SocketAddr,
    /// File with the bearer token of the administrator; needed to listen beyond loopback
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where the kubeconfig is written; never over one of a real cluster
    #[arg(long, value_name = "OUT", default_value = "nightshift-sim.kubeconfig")]
    kubeconfig: PathBuf,
    /// A file to which a line is added for each request, as kube-apiserver writes it
    #[arg(long, value_name = "FILE")]
    audit_log_path: Option<PathBuf>,
}

/// How time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tempo {
    Paced(Speed),
    Virtual,
}

impl FromStr for Tempo {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "virtual" {
            return Ok(Self::Virtual);
        }
        let speed = text.parse().map(Self::Paced);
        speed.map_err(|why| format!("{why}, or `virtual`"))
    }
}

impl Args {
    pub(super) async fn run(self) -> Result<Exit, Failure> {
        let token = self.token()?;
        let (mut cluster, loaded) = self.cluster()?;
        self.keep_audit(&mut cluster)?;
        let time = match self.speed {
            Tempo::Paced(speed) => Time::Paced(Arc::new(Pace::new(speed, cluster.now()))),
            Tempo::Virtual => Time::Virtual,
        };
        cluster
            .tokens
            .add(&token, User::new("administrator", &[MASTERS]), None);
        let server = Server::new(cluster, time);
        let (listening, serving) = server.listen(self.listen, true).await.or_help(
            "the simulated API server cannot listen",
            "--listen 127.0.0.1:0 chooses a free port",
        )?;
        let text = nightshift_sim::server::kubeconfig(&listening, &token);
        kubeconfig::write(&self.kubeconfig, &text).or_help(
            "the kubeconfig cannot be written",
            "name another file with --kubeconfig",
        )?;
        let tasks = TaskTracker::new();
        tasks.spawn(serving);
        tasks.spawn(server.clone().drive());
        print(&self.greeting(&listening, &loaded))?;
        app::told_to_stop().await;
        server.stop();
        tasks.close();
        tasks.wait().await;
        Ok(Exit::Fine)
    }

    /// The administrator's token: the user's own, or one of chance.
    fn token(&self) -> Result<String, Failure> {
        let Some(path) = &self.token_file else {
            if !self.listen.ip().is_loopback() {
                return Err(Failure::new(
                    format!(
                        "{} is beyond loopback, and no token is set",
                        self.listen.ip()
                    ),
                    "whoever has the token may do everything: put one of your own into a file and \
                     name it with --token-file",
                ));
            }
            return Ok(format!("{:032x}", rand::random::<u128>()));
        };
        let text = std::fs::read_to_string(path).or_help(
            &format!("{} cannot be read", path.display()),
            "--token-file names a file with a token in its only line",
        )?;
        let token = text.trim();
        let is_token = token.len() >= 16 && token.chars().all(|c| c.is_ascii_graphic());
        if is_token {
            return Ok(token.to_owned());
        }
        Err(Failure::new(
            format!("{} holds no token", path.display()),
            "a token has at least 16 printable characters without spaces: `openssl rand -hex 16` \
             makes one",
        ))
    }

    /// Bodies of requests are in it: nobody else may read it, as with the real one.
    fn keep_audit(&self, cluster: &mut Cluster) -> Result<(), Failure> {
        let Some(path) = &self.audit_log_path else {
            return Ok(());
        };
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path);
        cluster.audit.write_to(file.or_help(
            &format!("{} cannot be written", path.display()),
            "--audit-log-path names a file in a folder that exists",
        )?);
        Ok(())
    }

    fn cluster(&self) -> Result<(Cluster, Loaded), Failure> {
        let start = pace::wall();
        let help = "`nightshift sim --help` says what can be loaded";
        let objects = self.load.as_deref().map(load::read).transpose();
        let objects = objects
            .or_help("nothing was loaded", help)?
            .unwrap_or_default();
        let count = objects.len();
        if load::is_picture(&objects) {
            let mut cluster = Cluster::empty(self.seed, start);
            let left_out = load::picture(&mut cluster, objects);
            return Ok((cluster, Loaded::Picture(count, left_out)));
        }
        let cluster = self
            .living(start, objects)
            .or_help("nothing was loaded", help)?;
        Ok((cluster, Loaded::Manifests(count)))
    }

    fn living(&self, start: jiff::Timestamp, objects: Vec<Read>) -> anyhow::Result<Cluster> {
        let mut cluster = Cluster::new(self.seed, start);
        for number in 1..=self.nodes {
            cluster.add_node(&format!("node-{number}"), &NodeSpec::default())?;
        }
        load::manifests(&mut cluster, objects)?;
        Ok(cluster)
    }

    fn greeting(&self, listening: &Listening, loaded: &Loaded) -> String {
        let path: &Path = &self.kubeconfig;
        let path = path.display();
        let url = listening.url();
        let what = loaded.text(self.nodes);
        let time = match self.speed {
            Tempo::Paced(Speed::REAL) => String::new(),
            Tempo::Paced(speed) => format!(
                "Its time goes {speed} times as fast as yours; `nightshift run` needs it as fast.\n"
            ),
            Tempo::Virtual => "Its time stands still: `kubectl create --raw \
                               '/sim/advance?seconds=60' -f /dev/null` lets a minute pass.\n"
                .to_owned(),
        };
        // Nothing would start in a picture.
        let second = match loaded {
            Loaded::Manifests(_) => "run web --image=nginx",
            Loaded::Picture(..) => "get all -A",
        };
        let program = program();
        let away = self.away(listening);
        format!(
            "A simulated Kubernetes listens on {url}, until Ctrl-C. {what}\n{time}{away}\
             Its kubeconfig is {path}. Try:\n  \
             kubectl --kubeconfig {path} get nodes,pods -A\n  \
             kubectl --kubeconfig {path} {second}\n  \
             {program} scan --kubeconfig {path}\n"
        )
    }

    /// How it is reached from elsewhere: its certificate knows no address of this machine.
    fn away(&self, listening: &Listening) -> String {
        if !self.listen.ip().is_unspecified() {
            return String::new();
        }
        format!(
            "From another machine: kubectl --kubeconfig {} --server https://ADDRESS:{} \
             --tls-server-name localhost ...\n",
            self.kubeconfig.display(),
            listening.address.port()
        )
    }
}

/// What the cluster began with.
#[derive(Debug)]
enum Loaded {
    Manifests(usize),
    Picture(usize, LeftOut),
}

impl Loaded {
    fn text(&self, nodes: u32) -> String {
        match self {
            Self::Manifests(0) => format!("It has {nodes} nodes."),
            Self::Manifests(count) => format!("It has {nodes} nodes and {count} objects of yours."),
            Self::Picture(count, left_out) => {
                let mut text = format!(
                    "It is a picture of {count} objects: they stay as they were, and nothing moves by \
                     itself."
                );
                for (kind, count) in left_out {
                    text.push_str("\nLeft out, because their kind is not served: ");
                    text.push_str(&format_args!("{count} {kind}.").to_string());
                }
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        let words = std::iter::once("sim").chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap().args
    }

    #[test]
    fn beyond_loopback_a_token_is_needed() {
        assert!(args("").token().is_ok());
        let refused = args("--listen 0.0.0.0:6443").token().unwrap_err();
        assert!(
            refused.text().contains("beyond loopback"),
            "{}",
            refused.text()
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef0123\n").unwrap();
        let line = format!("--listen 0.0.0.0:6443 --token-file {}", path.display());
        assert_eq!(args(&line).token().unwrap(), "0123456789abcdef0123");
        std::fs::write(&path, "short\n").unwrap();
        assert!(args(&line).token().is_err());
    }

    #[test]
    fn what_is_suggested_works_in_what_was_loaded() {
        let listening = Listening {
            address: "0.0.0.0:6443".parse().unwrap(),
            certificate: Some(String::new()),
        };
        let living = args("").greeting(&listening, &Loaded::Manifests(0));
        assert!(living.contains("run web --image=nginx"), "{living}");
        assert!(!living.contains("tls-server-name"), "{living}");
        let picture = Loaded::Picture(1, LeftOut::default());
        let picture = args("--listen 0.0.0.0:6443").greeting(&listening, &picture);
        assert!(!picture.contains(" run "), "{picture}");
        assert!(
            picture.contains("--server https://ADDRESS:6443 --tls-server-name localhost"),
            "{picture}"
        );
    }

    #[test]
    fn time_goes_at_a_speed_or_only_when_told() {
        assert_eq!(args("").speed, Tempo::Paced(Speed::REAL));
        assert_eq!(args("--speed virtual").speed, Tempo::Virtual);
        assert!(Line::try_parse_from(["sim", "--speed", "fast"]).is_err());
    }

    #[test]
    fn audit_lines_are_added_to_a_file_that_nobody_else_can_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        for lines in [1, 2] {
            let args = args(&format!("--audit-log-path {}", path.display()));
            let (mut cluster, _) = args.cluster().unwrap();
            args.keep_audit(&mut cluster).unwrap();
            let request = nightshift_sim::api::Request::to(http::Method::GET, "/version");
            drop(nightshift_sim::api::handle(&mut cluster, &request));
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text.lines().count(), lines, "{text}");
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let nowhere = args("--audit-log-path /nowhere/audit.log");
        let (mut cluster, _) = nowhere.cluster().unwrap();
        assert!(nowhere.keep_audit(&mut cluster).is_err());
    }

    #[test]
    fn a_picture_has_no_nodes_but_its_own_and_says_what_was_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dump.json");
        let dump = r#"{"kind":"List","apiVersion":"v1","items":[
            {"apiVersion":"v1","kind":"Node","metadata":{"name":"worker","uid":"u-1"}},
            {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w","uid":"u-2"}}]}"#;
        std::fs::write(&path, dump).unwrap();
        let args = args(&format!("--load {}", path.display()));
        let (cluster, loaded) = args.cluster().unwrap();
        let nodes = cluster
            .store
            .list(nightshift_sim::resources::ids::NODES, None);
        assert_eq!(nodes.count(), 1);
        assert!(
            loaded.text(3).contains("1 Widget.example.com/v1"),
            "{}",
            loaded.text(3)
        );
    }
}
