//! `nightshift rbac`: the rights that the agent's account needs, as manifests.

use super::{Exit, Failure};
use crate::output::{Format, Style, Tone, print};
use nightshift_cluster::rbac::{NAME, Rights, manifests, needed};
use serde_json::{Value, json};
use std::io;

/// Prints the manifests of the agent's account: what it reads, and with --write what it may change
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  nightshift rbac | kubectl apply -f -                    reads only: observe, recommend
  nightshift rbac --write | kubectl apply -f -            auto, and rehearsals by the API server
  nightshift rbac --write -o table                        every right on one page

No verb on Secrets and no wildcard is ever among them.

Exit codes: 0 done, 2 could not be printed")]
pub(super) struct Args {
    /// With the rights to write
    #[arg(long)]
    write: bool,
    /// Namespace that the agent runs in
    #[arg(short, long, default_value = NAME, value_parser = namespace)]
    namespace: String,
    /// Output format; YAML and JSON can be applied with kubectl
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_enum, default_value_t = Format::Yaml)]
    format: Format,
}

impl Args {
    pub(super) fn run(self) -> Result<Exit, Failure> {
        let rights = if self.write {
            Rights::Write
        } else {
            Rights::Read
        };
        let manifests = manifests(&self.namespace, rights);
        print(&match self.format {
            Format::Yaml => documents(&manifests)?,
            Format::Json => list(&manifests)?,
            Format::Table => table(rights, Style::of_stdout()),
        })?;
        Ok(Exit::Fine)
    }
}

/// The name of a namespace is an RFC 1123 label (apimachinery `IsDNS1123Label`).
fn namespace(text: &str) -> Result<String, String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_label = (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_label {
        return Ok(text.to_owned());
    }
    Err(
        "a namespace has 1 to 63 small letters, digits and -, which neither begins nor ends it"
            .to_owned(),
    )
}

fn documents(manifests: &[Value]) -> io::Result<String> {
    let one = |manifest| serde_saphyr::to_string(manifest).map_err(io::Error::other);
    let texts: Vec<String> = manifests.iter().map(one).collect::<io::Result<_>>()?;
    Ok(texts.join("---\n"))
}

fn list(manifests: &[Value]) -> io::Result<String> {
    let list = json!({"apiVersion": "v1", "kind": "List", "items": manifests});
    Ok(serde_json::to_string_pretty(&list)? + "\n")
}

fn table(rights: Rights, style: Style) -> String {
    let mut all = needed(Rights::Read);
    if rights == Rights::Write {
        all.extend(needed(Rights::Write));
    }
    let mut rows: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for right in all {
        let known = rows
            .iter_mut()
            .find(|row| (row.0, row.1) == (right.group, right.resource));
        match known {
            Some(row) => row.2.push(right.verb),
            None => rows.push((right.group, right.resource, vec![right.verb])),
        }
    }
    let writes = |verb: &&str| !matches!(*verb, "get" | "list" | "watch");
    let cells = |(group, resource, verbs): (&str, &str, Vec<&str>)| {
        let tone = if verbs.iter().any(writes) {
            Tone::Warn
        } else {
            Tone::Plain
        };
        let group = if group.is_empty() { "core" } else { group };
        vec![
            (Tone::Plain, resource.to_owned()),
            (Tone::Dim, group.to_owned()),
            (tone, verbs.join(", ")),
        ]
    };
    style.table(
        &["RESOURCE", "API GROUP", "VERBS"],
        rows.into_iter().map(cells).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_kubernetes_would_refuse_is_refused() {
        for good in ["nightshift", "a", "1-b", &"x".repeat(63)] {
            assert!(namespace(good).is_ok(), "{good}");
        }
        for bad in ["", "Foo", "foo_", "-a", "a-", "a.b", &"x".repeat(64)] {
            assert!(namespace(bad).is_err(), "{bad}");
        }
    }
}
