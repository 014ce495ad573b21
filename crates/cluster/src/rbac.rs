//! The rights that the agent's account needs, as manifests: what eyes read, what hands write, and
//! nothing else. No verb on Secrets, no wildcard.

use serde_json::{Value, json};
use std::fmt;

/// Name of the namespace, the ServiceAccount and the beginning of every role's name.
pub const NAME: &str = "nightshift";

/// How far the rights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Only reads: enough for `observe` and `recommend`.
    Read,
    /// Reads, and the writes of the hands. Dry runs need them too.
    Write,
}

/// What eyes watch: API group, resources.
const WATCHED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "pods",
            "nodes",
            "events",
            "namespaces",
            "services",
            "configmaps",
        ],
    ),
    (
        "apps",
        &[
            "deployments",
            "replicasets",
            "statefulsets",
            "daemonsets",
            "controllerrevisions",
        ],
    ),
    ("batch", &["jobs"]),
    ("autoscaling", &["horizontalpodautoscalers"]),
    ("policy", &["poddisruptionbudgets"]),
    ("discovery.k8s.io", &["endpointslices"]),
];

/// What eyes read on demand.
const ON_DEMAND: &[(&str, &[&str])] = &[
    ("", &["resourcequotas", "limitranges"]),
    (
        "admissionregistration.k8s.io",
        &[
            "validatingwebhookconfigurations",
            "mutatingwebhookconfigurations",
        ],
    ),
    ("apiregistration.k8s.io", &["apiservices"]),
    ("autoscaling.k8s.io", &["verticalpodautoscalers"]),
];

/// Verbs on what is watched.
const READ_VERBS: &[&str] = &["get", "list", "watch"];
/// Verbs on what is read on demand.
const DEMAND_VERBS: &[&str] = &["get", "list"];
/// Logs: API group, resource, verbs.
const LOGS: (&str, &[&str], &[&str]) = ("", &["pods/log"], &["get"]);

/// What hands write: API group, resources, verb.
const WRITTEN: &[(&str, &[&str], &str)] = &[
    (
        "apps",
        &["deployments", "statefulsets", "daemonsets"],
        "patch",
    ),
    ("", &["nodes"], "patch"),
    ("", &["pods"], "delete"),
    ("", &["pods/eviction"], "create"),
];

/// The manifests: Namespace, ServiceAccount, roles and bindings, in the order in which they can be
/// applied. `namespace` is where the agent runs.
pub fn manifests(namespace: &str, rights: Rights) -> Vec<Value> {
    let mut all = vec![
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": namespace},
        }),
        role(
            "read",
            "What Nightshift looks at. ConfigMaps are asked for as metadata only (RBAC cannot say so). \
             No Secrets: they are never read.",
            &read_rules(),
        ),
        binding("read", namespace),
    ];
    match rights {
        Rights::Read => {}
        Rights::Write => {
            all.push(role(
                "write",
                "What Nightshift changes, and only with a permit. AGENT_MODE=observe and recommend \
                 write nothing and run without this role; a rehearsal with dryRun=All needs it, and \
                 without it the differences are computed locally.",
                &write_rules(),
            ));
            all.push(binding("write", namespace));
        }
    }
    all
}

/// One verb on one resource, as an access review asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Right {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Resource, with its subresource behind a slash.
    pub resource: &'static str,
    /// Verb.
    pub verb: &'static str,
}

/// `patch deployments.apps`.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if self.group.is_empty() {
            return Ok(());
        }
        write!(f, ".{}", self.group)
    }
}

/// Every single right of the role that reads, or of the one that writes.
pub fn needed(rights: Rights) -> Vec<Right> {
    let rows: Vec<(&str, &[&str], &[&str])> = match rights {
        Rights::Read => {
            let watched = WATCHED.iter().map(|(g, r)| (*g, *r, READ_VERBS));
            let on_demand = ON_DEMAND.iter().map(|(g, r)| (*g, *r, DEMAND_VERBS));
            let logs: [(&str, &[&str], &[&str]); 1] = [LOGS];
            watched.chain(on_demand).chain(logs).collect()
        }
        Rights::Write => WRITTEN
            .iter()
            .map(|(g, r, verb)| (*g, *r, std::slice::from_ref(verb)))
            .collect(),
    };
    let mut all = Vec::new();
    for (group, resources, verbs) in rows {
        for resource in resources {
            all.extend(verbs.iter().map(|verb| Right {
                group,
                resource,
                verb,
            }));
        }
    }
    all
}

fn read_rules() -> Vec<Value> {
    let rules = |rows: &[(&str, &[&str])], verbs: &[&str]| -> Vec<Value> {
        rows.iter()
            .map(|(group, resources)| rule(group, resources, verbs))
            .collect()
    };
    [
        rules(WATCHED, READ_VERBS),
        rules(ON_DEMAND, DEMAND_VERBS),
        vec![rule(LOGS.0, LOGS.1, LOGS.2)],
    ]
    .concat()
}

fn write_rules() -> Vec<Value> {
    WRITTEN
        .iter()
        .map(|(group, resources, verb)| rule(group, resources, &[verb]))
        .collect()
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

fn role(name: &str, description: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {
            "name": format!("{NAME}-{name}"),
            "annotations": {"kubernetes.io/description": description},
        },
        "rules": rules,
    })
}

fn binding(name: &str, namespace: &str) -> Value {
    let role = format!("{NAME}-{name}");
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": role},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": role,
        },
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every (resource, verb) that the rights allow.
    fn allowed(rights: Rights) -> BTreeSet<(String, String)> {
        let texts = |value: &Value| -> Vec<String> {
            let list = value.as_array().unwrap().iter();
            list.map(|text| text.as_str().unwrap().to_owned()).collect()
        };
        let mut all = BTreeSet::new();
        for manifest in manifests("nightshift", rights) {
            for rule in manifest["rules"].as_array().into_iter().flatten() {
                for group in texts(&rule["apiGroups"]) {
                    for resource in texts(&rule["resources"]) {
                        let name = if group.is_empty() {
                            resource
                        } else {
                            format!("{resource}.{group}")
                        };
                        all.extend(texts(&rule["verbs"]).into_iter().map(|v| (name.clone(), v)));
                    }
                }
            }
        }
        all
    }

    #[test]
    fn no_secret_and_no_wildcard_at_any_rights() {
        for (resource, verb) in allowed(Rights::Write) {
            assert!(!resource.contains("secret"), "{resource}");
            assert!(!resource.contains('*') && verb != "*", "{resource} {verb}");
        }
    }

    #[test]
    fn read_rights_cannot_change_anything_nor_enter_a_pod() {
        for (resource, verb) in allowed(Rights::Read) {
            assert!(
                matches!(verb.as_str(), "get" | "list" | "watch"),
                "{resource} {verb}"
            );
            for door in ["exec", "attach", "portforward", "proxy"] {
                assert!(!resource.contains(door), "{resource}");
            }
        }
    }

    #[test]
    fn write_rights_are_those_of_the_hands_requests_and_no_more() {
        let read = allowed(Rights::Read);
        let more: Vec<_> = allowed(Rights::Write).difference(&read).cloned().collect();
        let wanted = [
            ("daemonsets.apps", "patch"),
            ("deployments.apps", "patch"),
            ("nodes", "patch"),
            ("pods", "delete"),
            ("pods/eviction", "create"),
            ("statefulsets.apps", "patch"),
        ];
        assert_eq!(
            more,
            wanted.map(|(resource, verb)| (resource.into(), verb.into()))
        );
    }

    #[test]
    fn the_single_rights_are_those_of_the_roles() {
        let both = [needed(Rights::Read), needed(Rights::Write)].concat();
        let named = |right: &Right| {
            let text = right.to_string();
            let (verb, resource) = text.split_once(' ').unwrap();
            (resource.to_owned(), verb.to_owned())
        };
        let single: BTreeSet<(String, String)> = both.iter().map(named).collect();
        assert_eq!(single, allowed(Rights::Write));
    }

    #[test]
    fn everything_is_bound_to_the_account_in_its_namespace() {
        let all = manifests("ops", Rights::Write);
        let kinds: Vec<_> = all.iter().map(|m| m["kind"].as_str().unwrap()).collect();
        assert_eq!(
            kinds,
            [
                "Namespace",
                "ServiceAccount",
                "ClusterRole",
                "ClusterRoleBinding",
                "ClusterRole",
                "ClusterRoleBinding"
            ]
        );
        for manifest in all {
            for subject in manifest["subjects"].as_array().into_iter().flatten() {
                assert_eq!(subject["namespace"], "ops");
            }
        }
    }
}
