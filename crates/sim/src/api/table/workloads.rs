//! Workloads, their autoscalers and their budgets.

use super::format;
use super::{AGE, Column, NAME, PLAIN, Row, column, number, text, wide};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(super) fn columns(kind: &str) -> &'static [Column] {
    match kind {
        "Deployment" => DEPLOYMENTS,
        "ReplicaSet" => REPLICA_SETS,
        "StatefulSet" => STATEFUL_SETS,
        "DaemonSet" => DAEMON_SETS,
        "ControllerRevision" => REVISIONS,
        "Job" => JOBS,
        "CronJob" => CRON_JOBS,
        "HorizontalPodAutoscaler" => AUTOSCALERS,
        "PodDisruptionBudget" => BUDGETS,
        _ => PLAIN,
    }
}

const CONTAINERS: Column = wide("Containers", |row| {
    json!(format::join(
        row.list("/spec/template/spec/containers"),
        "name"
    ))
});
const IMAGES: Column = wide("Images", |row| {
    json!(format::join(
        row.list("/spec/template/spec/containers"),
        "image"
    ))
});
const SELECTOR: Column = wide("Selector", |row| {
    json!(format::selector(row.at("/spec/selector")))
});

fn ready(row: &Row<'_>) -> Value {
    let number = |pointer: &str| row.at(pointer).as_i64().unwrap_or(0);
    json!(format!(
        "{}/{}",
        number("/status/readyReplicas"),
        number("/spec/replicas")
    ))
}

const DEPLOYMENTS: &[Column] = &[
    NAME,
    text("Ready", ready),
    text("Up-to-date", |row| row.number("/status/updatedReplicas")),
    text("Available", |row| row.number("/status/availableReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const REPLICA_SETS: &[Column] = &[
    NAME,
    number("Desired", |row| row.number("/spec/replicas")),
    number("Current", |row| row.number("/status/replicas")),
    number("Ready", |row| row.number("/status/readyReplicas")),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const STATEFUL_SETS: &[Column] = &[NAME, text("Ready", ready), AGE, CONTAINERS, IMAGES];

const DAEMON_SETS: &[Column] = &[
    NAME,
    number("Desired", |row| {
        row.number("/status/desiredNumberScheduled")
    }),
    number("Current", |row| {
        row.number("/status/currentNumberScheduled")
    }),
    number("Ready", |row| row.number("/status/numberReady")),
    number("Up-to-date", |row| {
        row.number("/status/updatedNumberScheduled")
    }),
    number("Available", |row| row.number("/status/numberAvailable")),
    text("Node Selector", |row| {
        json!(format::selector(row.at("/spec/template/spec/nodeSelector")))
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const REVISIONS: &[Column] = &[
    NAME,
    text("Controller", |row| {
        let owner = row.object.meta.controller();
        json!(owner.map_or_else(
            || "<none>".to_owned(),
            |owner| {
                let kind = owner.kind.to_lowercase();
                match owner.api_version.split_once('/') {
                    Some((group, _)) => format!("{kind}.{group}/{}", owner.name),
                    None => format!("{kind}/{}", owner.name),
                }
            }
        ))
    }),
    text("Revision", |row| row.number("/revision")),
    AGE,
];

const JOBS: &[Column] = &[
    NAME,
    text("Status", |row| {
        let conditions = row.list("/status/conditions");
        let has = |kind: &str| {
            let mut all = conditions.iter();
            all.any(|one| {
                one.get("type") == Some(&json!(kind)) && one.get("status") == Some(&json!("True"))
            })
        };
        let word = [
            "Complete",
            "Failed",
            "Suspended",
            "FailureTarget",
            "SuccessCriteriaMet",
        ];
        let found = word.into_iter().find(|kind| has(kind));
        json!(match found {
            _ if row.object.meta.deletion_timestamp.is_some() => "Terminating",
            None => "Running",
            Some(word) => word,
        })
    }),
    text("Completions", |row| {
        let succeeded = row.at("/status/succeeded").as_i64().unwrap_or(0);
        let wanted = row.at("/spec/completions").as_i64();
        let parallel = row.at("/spec/parallelism").as_i64().unwrap_or(0);
        json!(match wanted {
            Some(wanted) => format!("{succeeded}/{wanted}"),
            None if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
            None => format!("{succeeded}/1"),
        })
    }),
    text("Duration", |row| {
        let start: Option<Timestamp> = row.str("/status/startTime").parse().ok();
        let end: Option<Timestamp> = row.str("/status/completionTime").parse().ok();
        let end = end.unwrap_or(row.now);
        json!(start.map_or_else(String::new, |start| format::since(start, end)))
    }),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

const CRON_CONTAINERS: &str = "/spec/jobTemplate/spec/template/spec/containers";

const CRON_JOBS: &[Column] = &[
    NAME,
    text("Schedule", |row| json!(row.str("/spec/schedule"))),
    text("Timezone", |row| row.or_none("/spec/timeZone")),
    column("Suspend", "boolean", 0, |row| {
        json!(if row.at("/spec/suspend") == &json!(true) {
            "True"
        } else {
            "False"
        })
    }),
    number("Active", |row| json!(row.count("/status/active"))),
    text("Last Schedule", |row| {
        match row.str("/status/lastScheduleTime") {
            "" => json!("<none>"),
            _ => json!(row.since("/status/lastScheduleTime")),
        }
    }),
    AGE,
    wide("Containers", |row| {
        json!(format::join(row.list(CRON_CONTAINERS), "name"))
    }),
    wide("Images", |row| {
        json!(format::join(row.list(CRON_CONTAINERS), "image"))
    }),
    wide("Selector", |row| {
        json!(format::selector(row.at("/spec/jobTemplate/spec/selector")))
    }),
];

const AUTOSCALERS: &[Column] = &[
    NAME,
    text("Reference", |row| {
        let kind = row.str("/spec/scaleTargetRef/kind");
        json!(format!("{kind}/{}", row.str("/spec/scaleTargetRef/name")))
    }),
    text("Targets", |row| json!(targets(row))),
    text("MinPods", |row| {
        match row.at("/spec/minReplicas").as_i64() {
            Some(least) => json!(least.to_string()),
            None => json!("<unset>"),
        }
    }),
    text("MaxPods", |row| row.number("/spec/maxReplicas")),
    text("Replicas", |row| row.number("/status/currentReplicas")),
    AGE,
];

/// `cpu: 40%/80%`, at most two of them.
fn targets(row: &Row<'_>) -> String {
    let current = row.list("/status/currentMetrics");
    let metrics = row.list("/spec/metrics");
    let each = metrics.iter().enumerate().map(|(index, metric)| {
        let name = metric
            .pointer("/resource/name")
            .and_then(Value::as_str)
            .unwrap_or("<unknown>");
        let utilization = metric
            .pointer("/resource/target/averageUtilization")
            .and_then(Value::as_i64);
        let now = current.get(index);
        if let Some(wanted) = utilization {
            let is = now.and_then(|one| {
                one.pointer("/resource/current/averageUtilization")?
                    .as_i64()
            });
            let is = is.map_or_else(|| "<unknown>".to_owned(), |is| format!("{is}%"));
            return format!("{name}: {is}/{wanted}%");
        }
        let value = |one: &Value, path: &str| Some(one.pointer(path)?.as_str()?.to_owned());
        let wanted = value(metric, "/resource/target/averageValue");
        let is = now.and_then(|one| value(one, "/resource/current/averageValue"));
        let text = |one: Option<String>| one.unwrap_or_else(|| "<unknown>".to_owned());
        format!("{name}: {}/{}", text(is), text(wanted))
    });
    let all: Vec<String> = each.collect();
    match all.as_slice() {
        [] => "<none>".to_owned(),
        [first, second, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second} + {} more...", rest.len())
        }
        few => few.join(", "),
    }
}

/// A number or a percentage, or `N/A`.
fn either(row: &Row<'_>, pointer: &str) -> Value {
    match row.at(pointer) {
        Value::String(text) => json!(text),
        Value::Number(number) => json!(number.to_string()),
        _ => json!("N/A"),
    }
}

const BUDGETS: &[Column] = &[
    NAME,
    text("Min Available", |row| either(row, "/spec/minAvailable")),
    text("Max Unavailable", |row| either(row, "/spec/maxUnavailable")),
    number("Allowed Disruptions", |row| {
        row.number("/status/disruptionsAllowed")
    }),
    AGE,
];
