//! `pods/log`.

use super::Answer;
use super::call::Call;
use super::watch::Next;
use crate::cluster::Cluster;
use crate::kubelet::LogLine;
use crate::object::{Key, Object};
use crate::status::{Reason, Status};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    init_containers: Vec<Named>,
    containers: Vec<Named>,
    ephemeral_containers: Vec<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    init_container_statuses: Vec<ContainerStatus>,
    container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ContainerStatus {
    name: String,
    state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    running: Option<serde_json::Value>,
}

/// Which lines are wanted, and how (`core/v1` PodLogOptions).
#[derive(Clone, Debug)]
struct Options {
    since: Option<Timestamp>,
    tail: Option<usize>,
    limit: Option<usize>,
    timestamps: bool,
}

impl Options {
    fn parse(cluster: &Cluster, call: &Call<'_>) -> Result<Self, Status> {
        let query = &call.request.query;
        let at_least = |name: &str, least: i64| -> Result<Option<i64>, Status> {
            match query.number(name)? {
                Some(number) if number < least => {
                    let why = if least == 0 {
                        "greater than or equal to 0"
                    } else {
                        "greater than 0"
                    };
                    let message = format!(
                        "PodLogOptions \"\" is invalid: {name}: Invalid value: {number}: must be {why}"
                    );
                    Err(Status::new(Reason::Invalid, message))
                }
                other => Ok(other),
            }
        };
        let seconds = at_least("sinceSeconds", 1)?.map(SignedDuration::from_secs);
        let since = match (seconds, query.get("sinceTime")) {
            (Some(seconds), _) => cluster.now().saturating_sub(seconds).ok(),
            (None, Some(time)) => Some(time.parse().map_err(|_| {
                Status::bad_request(format!("parsing time {time:?}: not in RFC 3339"))
            })?),
            (None, None) => None,
        };
        let size = |number: Option<i64>| number.and_then(|one| usize::try_from(one).ok());
        Ok(Self {
            since,
            tail: size(at_least("tailLines", 0)?),
            limit: size(at_least("limitBytes", 1)?),
            timestamps: query.flag("timestamps"),
        })
    }

    /// The wanted lines as text.
    fn text(&self, lines: &[LogLine]) -> String {
        let wanted = lines
            .iter()
            .filter(|line| self.since.is_none_or(|since| line.at >= since));
        let wanted: Vec<&LogLine> = wanted.collect();
        let skipped = self
            .tail
            .map_or(0, |tail| wanted.len().saturating_sub(tail));
        let each = wanted.iter().skip(skipped).map(|line| {
            if self.timestamps {
                format!("{:.9} {}\n", line.at, line.text)
            } else {
                format!("{}\n", line.text)
            }
        });
        let text = each.collect::<Vec<String>>().concat();
        self.cut(text)
    }

    fn cut(&self, mut text: String) -> String {
        if let Some(limit) = self.limit {
            let end = (0..=limit.min(text.len()))
                .rev()
                .find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
        }
        text
    }
}

/// A log that is followed.
#[derive(Debug)]
pub struct Follow {
    pod: Key,
    uid: Arc<str>,
    container: String,
    options: Options,
    /// What was said already, apart from the newest lines.
    first: Option<String>,
    told: Timestamp,
}

impl Follow {
    /// What there is to say now.
    pub fn next(&mut self, cluster: &Cluster) -> Next {
        if let Some(first) = self.first.take().filter(|text| !text.is_empty()) {
            return Next::Events(first.into());
        }
        let there = cluster
            .store
            .get(&self.pod)
            .filter(|pod| pod.meta.uid == self.uid);
        let Some(pod) = there else {
            return Next::End;
        };
        let lines = cluster.logs(&self.pod, &self.container, false);
        let new: Vec<LogLine> = lines
            .unwrap_or_default()
            .into_iter()
            .filter(|line| line.at > self.told)
            .collect();
        self.told = new.last().map_or(self.told, |line| line.at);
        let text = self.options.text(&new);
        if !text.is_empty() {
            return Next::Events(text.into());
        }
        if is_running(pod, &self.container) {
            Next::Wait
        } else {
            Next::End
        }
    }
}

fn is_running(pod: &Object, container: &str) -> bool {
    let status: PodStatus = pod.status();
    let mut all = status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses);
    all.any(|one| one.name == container && one.state.running.is_some())
}

/// The log of a container.
pub(super) fn get(cluster: &Cluster, call: &Call<'_>) -> Result<Answer, Status> {
    let pod = call.current(cluster)?;
    let spec: Spec = pod.spec();
    let container = container(&pod, &spec, call.request.query.get("container"))?;
    let options = Options::parse(cluster, call)?;
    if spec.node_name.is_empty() {
        return Ok(Answer::text(204, ""));
    }
    let previous = call.request.query.flag("previous");
    let lines = cluster.logs(&call.target.key(), &container, previous)?;
    let text = options.text(&lines);
    if !call.request.query.flag("follow") || previous {
        return Ok(Answer::text(200, text));
    }
    Ok(Answer::Log(Box::new(Follow {
        pod: call.target.key(),
        uid: Arc::clone(&pod.meta.uid),
        container,
        told: lines.last().map_or(Timestamp::MIN, |line| line.at),
        first: Some(text),
        // What comes is new: only how it is written still counts.
        options: Options {
            since: None,
            tail: None,
            ..options
        },
    })))
}

/// The container that is meant; it has to be named where there are several
/// (`validateContainer` in `k8s.io/kubernetes/pkg/registry/core/pod/strategy.go`).
fn container(pod: &Object, spec: &Spec, named: Option<&str>) -> Result<String, Status> {
    let name = &pod.meta.name;
    let all = spec
        .init_containers
        .iter()
        .chain(&spec.containers)
        .chain(&spec.ephemeral_containers);
    let all: Vec<&str> = all.map(|one| one.name.as_str()).collect();
    match (
        named.filter(|one| !one.is_empty()),
        spec.containers.as_slice(),
    ) {
        (Some(named), _) if all.contains(&named) => Ok(named.to_owned()),
        (Some(named), _) => Err(Status::bad_request(format!(
            "container {named} is not valid for pod {name}"
        ))),
        (None, [only]) => Ok(only.name.clone()),
        (None, []) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}"
        ))),
        (None, _) => Err(Status::bad_request(format!(
            "a container name must be specified for pod {name}, choose one of: [{}]",
            all.join(" ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(containers: &serde_json::Value) -> Object {
        let value = json!({"metadata": {"name": "p"}, "spec": {"containers": containers}});
        Object::from_value(value).unwrap()
    }

    #[test]
    fn a_container_has_to_be_named_where_there_are_several() {
        let two = pod(&json!([{"name": "a"}, {"name": "b"}]));
        let refused = container(&two, &two.spec(), None).unwrap_err();
        assert_eq!(
            refused.message,
            "a container name must be specified for pod p, choose one of: [a b]"
        );
        let refused = container(&two, &two.spec(), Some("x")).unwrap_err();
        assert_eq!(refused.message, "container x is not valid for pod p");
        assert_eq!(container(&two, &two.spec(), Some("b")).unwrap(), "b");
        let one = pod(&json!([{"name": "a"}]));
        assert_eq!(container(&one, &one.spec(), None).unwrap(), "a");
    }

    #[test]
    fn the_last_lines_are_cut_to_their_limit() {
        let line = |second: i64, text: &str| LogLine {
            at: Timestamp::from_second(second).unwrap(),
            text: text.to_owned(),
        };
        let lines = [line(1, "one"), line(2, "two"), line(3, "three")];
        let options = Options {
            since: None,
            tail: Some(2),
            limit: Some(6),
            timestamps: false,
        };
        assert_eq!(options.text(&lines), "two\nth");
        let since = Options {
            since: Timestamp::from_second(3).ok(),
            tail: None,
            limit: None,
            timestamps: true,
        };
        assert_eq!(since.text(&lines), "1970-01-01T00:00:03.000000000Z three\n");
    }
}
