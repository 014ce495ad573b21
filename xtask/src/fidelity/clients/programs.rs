//! Programs that stay connected: client-go's informer, kube-rs' runtime, `kubectl get --watch`.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::fidelity::Check;
use crate::fidelity::places;
use crate::fidelity::pods::{Does, pod};
use crate::fidelity::room::{PATIENCE, Room, same};
use crate::lab::Lab;

pub(super) const CHECKS: &[Check] = &[
    Check::new("kubectl get --watch", watching),
    Check::new("client-go: informer, work queue, leader election", informer),
    Check::new("kube-rs: reflector, controller, finalizer, lease", operator),
];

/// A program that runs, and the lines that it prints.
struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    /// Starts a program by its words.
    fn start(room: &Room, words: &[String]) -> Result<Self> {
        let mut child = room
            .program(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().context("no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
        });
        Ok(Self {
            child,
            lines,
            seen: Vec::new(),
        })
    }

    /// Reads until a line comes that begins with these words; what came before is kept.
    fn says(&mut self, wanted: &str) -> Result<()> {
        let wanted: Vec<_> = wanted.split_whitespace().collect();
        let begins = |line: &String| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.starts_with(&wanted)
        };
        while !self.seen.iter().any(begins) {
            let next = self.lines.recv_timeout(PATIENCE);
            let next = next.map_err(|_| anyhow!("it never said {wanted:?}: {:?}", self.seen))?;
            self.seen.push(next);
        }
        Ok(())
    }

    /// Waits for its end, which has to be a good one.
    fn ends(mut self) -> Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}: {:?}", self.seen);
        Ok(())
    }
}

impl Drop for Running {
    /// Ends what still runs: its guard `timeout` hands the signal on.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait()
            && kill_process(Pid::from_child(&self.child), Signal::TERM).is_ok()
        {
            drop(self.child.wait());
        }
    }
}

/// A ConfigMap with two keys.
fn map(name: &str, labels: &Value) -> Value {
    json!({ "metadata": { "name": name, "labels": labels }, "data": { "a": "1", "b": "2" } })
}

fn informer(room: &Room) -> Result<()> {
    room.create("configmaps", &map("early", &json!({})))?;
    let program = Lab::here()?.built("informer");
    let words = [program.display().to_string(), room.namespace.clone()];
    let mut program = Running::start(room, &words)?;
    program.says("leads")?;
    program.says("synced")?;
    program.says("added early")?;
    room.create("configmaps", &map("late", &json!({})))?;
    program.says("added late")?;
    for name in ["early", "late"] {
        let path = format!("configmaps/{name}");
        room.see(&path, "counted", |it| {
            it["metadata"]["annotations"]["informer/keys"] == "2"
        })?;
    }
    program.says("updated late")?;
    room.delete("configmaps/late")?.is(200)?;
    program.says("deleted late")?;
    let lease = room.get("leases/informer")?;
    same!(lease["spec"]["holderIdentity"], "one");
    room.create("configmaps", &map("end", &json!({})))?;
    program.says("added end")?;
    room.delete("configmaps/end")?.is(200)?;
    program.ends()
}

fn operator(room: &Room) -> Result<()> {
    room.create("configmaps", &map("early", &json!({ "copy": "yes" })))?;
    let program = places::operator()?;
    let words = [program.display().to_string(), room.namespace.clone()];
    let mut program = Running::start(room, &words)?;
    program.says("lease lost")?;
    program.says("synced")?;
    let copied = |it: &Value| it["data"]["b"] == "2";
    let child = room.see("configmaps/early-copy", "copied", copied)?;
    same!(child["metadata"]["ownerReferences"][0]["name"], "early");
    let finalizers = &room.get("configmaps/early")?["metadata"]["finalizers"];
    same!(finalizers, &json!(["fidelity.example.com/copy"]));
    // A child that is changed by hand is put right, and one that is deleted comes back.
    room.merge("configmaps/early-copy", &json!({ "data": { "b": "9" } }))?;
    room.see("configmaps/early-copy", "put right", copied)?;
    room.delete("configmaps/early-copy")?.is(200)?;
    room.see("configmaps/early-copy", "copied again", copied)?;
    room.delete("configmaps/early")?.is(200)?;
    program.says("cleaned early")?;
    program.says("deleted early")?;
    room.gone("configmaps/early-copy")?;
    room.create("configmaps", &map("end", &json!({})))?;
    program.says("applied end")?;
    room.delete("configmaps/end")?.is(200)?;
    program.says("store {\"kube-root-ca.crt\"}")?;
    program.ends()
}

/// A line for each change, the last one too.
fn watching(room: &Room) -> Result<()> {
    let mut words = room.target.kubectl.clone();
    let more = ["--namespace", &room.namespace, "get", "pods", "--watch"];
    words.extend(more.map(str::to_owned));
    let mut plain = Running::start(room, &words)?;
    words.push("--output-watch-events".to_owned());
    let mut marked = Running::start(room, &words)?;
    let mut wanted = pod("it", &Does::Serve);
    wanted["spec"]["schedulerName"] = json!("nobody");
    room.create("pods", &wanted)?;
    marked.says("EVENT NAME READY STATUS RESTARTS AGE")?;
    marked.says("ADDED it 0/1 Pending 0")?;
    plain.says("NAME READY STATUS RESTARTS AGE")?;
    plain.says("it 0/1 Pending 0")?;
    room.delete("pods/it")?.is(200)?;
    marked.says("MODIFIED it 0/1 Terminating 0")?;
    marked.says("DELETED it 0/1 Terminating 0")?;
    plain.says("it 0/1 Terminating 0")
}
