//! Pods that do something: the same manifest on the lab and on the simulator.

use serde_json::{Value, json};

/// What a container does, by the lab's test program (`lab/testapp`).
pub enum Does {
    /// Answers HTTP on 8080 and is ready.
    Serve,
    /// Answers HTTP on 8080; `/readyz` says 503.
    ServeUnready,
    /// Ends with a code after some seconds, and says this on standard error first.
    Exit {
        /// Exit code.
        code: u8,
        /// Seconds that it lives.
        after: u8,
        /// Its last words.
        message: &'static str,
    },
    /// Uses so many MiB.
    Allocate(u16),
    /// Prints this every second.
    Print(&'static str),
}

impl Does {
    /// The command line.
    fn command(&self) -> Value {
        match self {
            Self::Serve => json!(["/app", "serve"]),
            Self::ServeUnready => json!(["/app", "serve", "-unready"]),
            Self::Exit {
                code,
                after,
                message,
            } => json!([
                "/app",
                "exit",
                "-code",
                code.to_string(),
                "-after",
                format!("{after}s"),
                "-message",
                message,
            ]),
            Self::Allocate(megabytes) => json!(["/app", "alloc", "-mb", megabytes.to_string()]),
            Self::Print(text) => json!(["/app", "print", text]),
        }
    }
}

/// A container named `main`.
pub fn container(does: &Does) -> Value {
    json!({ "name": "main", "image": "img.test/app:1", "command": does.command() })
}

/// A container named `main` with more fields.
pub fn container_with(does: &Does, more: &Value) -> Value {
    let mut container = container(does);
    for (key, value) in more.as_object().into_iter().flatten() {
        container[key] = value.clone();
    }
    container
}

/// A pod of one container, with label `app`.
pub fn pod(name: &str, does: &Does) -> Value {
    pod_of(name, &json!({ "containers": [container(does)] }))
}

/// A pod with label `app`.
pub fn pod_of(name: &str, spec: &Value) -> Value {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "app": name } }, "spec": spec,
    });
    // A pod that is done with is not waited for.
    if pod["spec"]["terminationGracePeriodSeconds"].is_null() {
        pod["spec"]["terminationGracePeriodSeconds"] = json!(2);
    }
    pod
}

/// A readiness probe that asks often and is patient with a busy machine.
pub fn readiness() -> Value {
    json!({
        "httpGet": { "path": "/readyz", "port": 8080 }, "periodSeconds": 1, "timeoutSeconds": 10,
    })
}

/// A workload's spec with a selector and a template for pods that are soon ready.
pub fn workload(name: &str, replicas: u32) -> Value {
    let container = container_with(&Does::Serve, &json!({ "readinessProbe": readiness() }));
    let mut template = pod_of(name, &json!({ "containers": [container] }));
    template["metadata"] = json!({ "labels": { "app": name } });
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": template["metadata"], "spec": template["spec"] },
        },
    })
}
