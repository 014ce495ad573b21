//! Programs as operators are written: client-go's informer and kube-rs' runtime.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::{Value, json};

use crate::fidelity::Check;
use crate::fidelity::room::{Room, same};
use crate::lab::Lab;

pub(super) const CHECKS: &[Check] = &[
    Check::new("client-go: informer, work queue, leader election", informer),
    Check::new("kube-rs: reflector, controller, finalizer, lease", kube_client),
];

/// A program that runs, and the lines that it prints.
struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    fn start(room: &Room, program: &Path) -> Result<Self> {
        ensure!(program.exists(), "{} is not built", program.display());
        let words = [program.display().to_string(), room.namespace.clone()];
        let mut child = room.program(&words).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let out = child.stdout.take().context("no output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(out).lines().map_while(Result::ok);
            lines.map(|line| sender.send(line)).all(|sent| sent.is_ok())
        });
        Ok(Self { child, lines, seen: Vec::new() })
    }

    /// Reads until a line comes; what came before is kept.
    fn says(&mut self, line: &str) -> Result<()> {
        while !self.seen.iter().any(|seen| seen == line) {
            let next = self.lines.recv_timeout(Duration::from_secs(60));
            let next = next.map_err(|_| anyhow!("it never said {line:?}, but {:?}", self.seen))?;
            self.seen.push(next);
        }
        Ok(())
    }

    fn ends(mut self) -> Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "it ended with {status}: {:?}", self.seen);
        Ok(())
    }
}

/// A ConfigMap with two keys.
fn map(name: &str, labels: &Value) -> Value {
    json!({ "metadata": { "name": name, "labels": labels }, "data": { "a": "1", "b": "2" } })
}

fn informer(room: &Room) -> Result<()> {
    room.create("configmaps", &map("early", &json!({})))?;
    let mut program = Running::start(room, &Lab::here()?.built("informer"))?;
    program.says("leads")?;
    program.says("synced")?;
    program.says("added early")?;
    room.create("configmaps", &map("late", &json!({})))?;
    program.says("added late")?;
    for name in ["early", "late"] {
        let path = format!("configmaps/{name}");
        room.see(&path, "counted", 30, |it| it["metadata"]["annotations"]["informer/keys"] == "2")?;
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

fn kube_client(room: &Room) -> Result<()> {
    room.create("configmaps", &map("early", &json!({ "copy": "yes" })))?;
    let program = crate::check::root()?.join("target/debug/lab-kube-client");
    let mut program = Running::start(room, &program)?;
    program.says("lease lost")?;
    program.says("synced")?;
    let child = room.see("configmaps/early-copy", "copied", 30, |it| it["data"]["b"] == "2")?;
    same!(child["metadata"]["ownerReferences"][0]["name"], "early");
    same!(room.get("configmaps/early")?["metadata"]["finalizers"], json!(["fidelity.example.com/copy"]));
    // A child that is changed by hand is put right.
    room.merge("configmaps/early-copy", &json!({ "data": { "b": "9" } }))?;
    room.delete("configmaps/early-copy")?.is(200)?;
    room.see("configmaps/early-copy", "copied again", 30, |it| it["data"]["b"] == "2")?;
    room.delete("configmaps/early")?.is(200)?;
    program.says("cleaned early")?;
    program.says("deleted early")?;
    program.says("deleted early-copy")?;
    room.create("configmaps", &map("end", &json!({})))?;
    program.says("applied end")?;
    room.delete("configmaps/end")?.is(200)?;
    program.says("store kube-root-ca.crt")?;
    program.ends()
}
