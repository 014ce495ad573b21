//! Programs as operators are written: client-go's informer.

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

pub(super) const CHECKS: &[Check] = &[Check::new(
    "client-go: informer, work queue, leader election",
    informer,
)];

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
        let mut child = room
            .program(&words)
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
        room.see(&path, "counted", 30, |it| {
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
