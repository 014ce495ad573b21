//! Role-based access control, evaluated on the objects that are there
//! (`k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac`).

use super::{Attributes, MASTERS, User, list, service_account};
use crate::object::{Key, Object};
use crate::resources::ids;
use crate::selector::LabelSelector;
use crate::store::Store;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the authorizer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// May they?
    pub allowed: bool,
    /// By which binding, or which role is missing; may be empty.
    pub reason: String,
}

/// `rbac/v1.PolicyRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    #[serde(deserialize_with = "nullable")]
    pub(super) verbs: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub(super) api_groups: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub(super) resources: Vec<String>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub(super) resource_names: Vec<String>,
    #[serde(
        rename = "nonResourceURLs",
        deserialize_with = "nullable",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub(super) urls: Vec<String>,
}

fn nullable<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// `rbac/v1.Subject`.
#[derive(Deserialize)]
struct Subject {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

/// `rbac/v1.RoleRef`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RoleRef {
    pub(super) kind: String,
    pub(super) name: String,
}

impl Rule {
    fn has(list: &[String], wanted: &str) -> bool {
        list.iter().any(|one| one == "*" || one == wanted)
    }

    /// Does it allow this?
    pub(super) fn allows(&self, wish: &Attributes<'_>) -> bool {
        if !Self::has(&self.verbs, wish.verb) {
            return false;
        }
        if let Some(path) = wish.path {
            return self.urls.iter().any(|url| match url.strip_suffix('*') {
                Some(start) => path.starts_with(start),
                None => path == url,
            });
        }
        let named = self.resource_names.is_empty()
            || self.resource_names.iter().any(|one| one == wish.name);
        named && Self::has(&self.api_groups, wish.group) && self.covers(wish)
    }

    fn covers(&self, wish: &Attributes<'_>) -> bool {
        let sub = wish.subresource;
        self.resources.iter().any(|one| match one.split_once('/') {
            None => one == "*" || (sub.is_empty() && one == wish.resource),
            // `*/scale` is the scale of everything.
            Some((resource, subresource)) => {
                !sub.is_empty()
                    && sub == subresource
                    && (resource == "*" || resource == wish.resource)
            }
        })
    }
}

impl Subject {
    /// Is the user meant? `home` is the namespace of the binding.
    fn is(&self, user: &User, home: &str) -> bool {
        match self.kind.as_str() {
            "User" => self.name == "*" || self.name == user.username,
            "Group" => user.is_in(&self.name),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() {
                    home
                } else {
                    &self.namespace
                };
                service_account(&user.username) == Some((namespace, self.name.as_str()))
            }
            _ => false,
        }
    }

    fn printed(&self, home: &str) -> String {
        if self.kind == "ServiceAccount" {
            let namespace = if self.namespace.is_empty() {
                home
            } else {
                &self.namespace
            };
            return format!("ServiceAccount \"{}/{namespace}\"", self.name);
        }
        format!("{} {:?}", self.kind, self.name)
    }
}

/// One grant: the rules that somebody has by a binding.
pub(super) struct Grant {
    pub(super) rules: Vec<Rule>,
    /// Which binding, which role, which subject.
    pub(super) by: String,
}

/// What a user has by bindings: of the cluster, and of a namespace if one is named. The second list
/// says which roles are named but not there.
pub(super) fn grants(store: &Store, user: &User, namespace: &str) -> (Vec<Grant>, Vec<String>) {
    let cluster = store.list(ids::CLUSTER_ROLE_BINDINGS, None);
    let mut bindings: Vec<&Object> = cluster.map(AsRef::as_ref).collect();
    if !namespace.is_empty() {
        let local = store.list(ids::ROLE_BINDINGS, Some(namespace));
        bindings.extend(local.map(AsRef::as_ref));
    }
    let (mut grants, mut missing) = (Vec::new(), Vec::new());
    for binding in bindings {
        let home = &*binding.meta.namespace;
        let subjects: Vec<Subject> = list(binding, "subjects");
        let Some(subject) = subjects.iter().find(|one| one.is(user, home)) else {
            continue;
        };
        let reference: RoleRef = binding.field("roleRef").unwrap_or_default();
        match rules_of(store, &reference, home) {
            Some(rules) => {
                let (kind, name) = if home.is_empty() {
                    ("ClusterRoleBinding", binding.meta.name.to_string())
                } else {
                    ("RoleBinding", format!("{}/{home}", binding.meta.name))
                };
                let by = format!(
                    "{kind} {name:?} of {} {:?} to {}",
                    reference.kind,
                    reference.name,
                    subject.printed(home)
                );
                grants.push(Grant { rules, by });
            }
            None => missing.push(format!(
                "{}.rbac.authorization.k8s.io {:?} not found",
                reference.kind.to_lowercase(),
                reference.name
            )),
        }
    }
    (grants, missing)
}

/// The rules of a role that a binding names; `None` when there is no such role.
pub(super) fn rules_of(store: &Store, role: &RoleRef, home: &str) -> Option<Vec<Rule>> {
    let key = match role.kind.as_str() {
        "Role" => Key::new(ids::ROLES, home, &role.name),
        _ => Key::new(ids::CLUSTER_ROLES, "", &role.name),
    };
    let found = store.get(&key)?;
    Some(rules(store, found))
}

/// The rules of a role, with those that it aggregates. An aggregated role may itself be an aggregate
/// (`edit` takes in `view`).
pub(super) fn rules(store: &Store, role: &Object) -> Vec<Rule> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    collect(store, role, &mut seen, &mut found);
    found
}

fn collect(store: &Store, role: &Object, seen: &mut BTreeSet<Arc<str>>, found: &mut Vec<Rule>) {
    if !seen.insert(Arc::clone(&role.meta.name)) {
        return;
    }
    found.extend(list::<Rule>(role, "rules"));
    let aggregation: Value = role.field("aggregationRule").unwrap_or_default();
    let selectors = aggregation
        .get("clusterRoleSelectors")
        .and_then(Value::as_array);
    let selectors: Vec<LabelSelector> = selectors
        .into_iter()
        .flatten()
        .filter_map(LabelSelector::from_value)
        .collect();
    if selectors.is_empty() {
        return;
    }
    for other in store.list(ids::CLUSTER_ROLES, None) {
        if selectors.iter().any(|one| one.matches(&other.meta.labels)) {
            collect(store, other, seen, found);
        }
    }
}

/// May the user do this?
pub fn authorize(store: &Store, user: &User, wish: &Attributes<'_>) -> Decision {
    if user.is_in(MASTERS) {
        return Decision {
            allowed: true,
            reason: String::new(),
        };
    }
    let (grants, missing) = grants(store, user, wish.namespace);
    let found = grants
        .iter()
        .find(|grant| grant.rules.iter().any(|rule| rule.allows(wish)));
    if let Some(grant) = found {
        return Decision {
            allowed: true,
            reason: format!("RBAC: allowed by {}", grant.by),
        };
    }
    let reason = match missing.as_slice() {
        [] => String::new(),
        [one] => format!("RBAC: {one}"),
        many => format!("RBAC: [{}]", many.join(", ")),
    };
    Decision {
        allowed: false,
        reason,
    }
}
