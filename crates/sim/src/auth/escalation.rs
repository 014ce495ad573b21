//! Nobody may write a role or a binding that gives more than they have themselves.

use super::rbac::{RoleRef, Rule, grants, rules, rules_of};
use super::{Attributes, MASTERS, User, authorize};
use crate::cluster::Cluster;
use crate::object::Object;
use crate::resources::{ResourceId, ids};
use crate::status::Status;
use std::collections::BTreeSet;

/// Refuses a role or a binding that grants what the user does not have. Everything else passes.
pub fn check_escalation(
    cluster: &Cluster,
    resource: ResourceId,
    object: &Object,
    user: &User,
) -> Result<(), Status> {
    if user.is_in(MASTERS) {
        return Ok(());
    }
    let store = &cluster.store;
    let home = &*object.meta.namespace;
    let row = cluster.resources.get(resource);
    let (granted, verb, plural, name) = match resource {
        ids::ROLES | ids::CLUSTER_ROLES => {
            let name = object.meta.name.to_string();
            (
                rules(store, object),
                "escalate",
                row.plural.to_string(),
                name,
            )
        }
        ids::ROLE_BINDINGS | ids::CLUSTER_ROLE_BINDINGS => {
            let role: RoleRef = object.field("roleRef").unwrap_or_default();
            let Some(granted) = rules_of(store, &role, home) else {
                // To bind what is not there needs the right to bind: nobody knows what it will be.
                return bind_only(cluster, row, object, &role, user);
            };
            let plural = format!("{}s", role.kind.to_lowercase());
            (granted, "bind", plural, role.name)
        }
        _ => return Ok(()),
    };
    let wish = Attributes {
        verb,
        group: "rbac.authorization.k8s.io",
        resource: &plural,
        namespace: home,
        name: &name,
        ..Attributes::default()
    };
    if authorize(store, user, &wish).allowed {
        return Ok(());
    }
    let (held, _) = grants(store, user, home);
    let held: Vec<Rule> = held.into_iter().flat_map(|grant| grant.rules).collect();
    let lacks = |one: &Rule| !held.iter().any(|rule| covers(rule, one));
    let missing = compact(granted.iter().flat_map(simple).filter(lacks));
    if missing.is_empty() {
        return Ok(());
    }
    let missing: BTreeSet<String> = missing.iter().map(printed).collect();
    let missing: Vec<String> = missing.into_iter().collect();
    let why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.username,
        quoted(&user.groups),
        missing.join("\n")
    );
    Err(Status::forbidden(row, &object.meta.name, &why))
}

fn bind_only(
    cluster: &Cluster,
    row: &crate::resources::Resource,
    object: &Object,
    role: &RoleRef,
    user: &User,
) -> Result<(), Status> {
    let plural = format!("{}s", role.kind.to_lowercase());
    let wish = Attributes {
        verb: "bind",
        group: "rbac.authorization.k8s.io",
        resource: &plural,
        namespace: &object.meta.namespace,
        name: &role.name,
        ..Attributes::default()
    };
    if authorize(&cluster.store, user, &wish).allowed {
        return Ok(());
    }
    let missing = format!(
        "{plural}.rbac.authorization.k8s.io {:?} not found",
        role.name
    );
    Err(Status::forbidden(row, &object.meta.name, &missing))
}

/// A rule as rules of one verb and one resource or path each.
fn simple(rule: &Rule) -> Vec<Rule> {
    let mut found = Vec::new();
    let none = [String::new()];
    let names = if rule.resource_names.is_empty() {
        none.as_slice()
    } else {
        &rule.resource_names
    };
    for verb in &rule.verbs {
        for url in &rule.urls {
            found.push(Rule {
                verbs: vec![verb.clone()],
                urls: vec![url.clone()],
                ..Rule::default()
            });
        }
        for group in &rule.api_groups {
            for resource in &rule.resources {
                for name in names {
                    let named = (!name.is_empty()).then(|| name.clone());
                    found.push(Rule {
                        verbs: vec![verb.clone()],
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        resource_names: named.into_iter().collect(),
                        urls: Vec::new(),
                    });
                }
            }
        }
    }
    found
}

/// Does a rule that is held give at least this one?
fn covers(held: &Rule, one: &Rule) -> bool {
    let within = |held: &[String], one: &[String]| {
        held.iter().any(|have| have == "*") || one.iter().all(|want| held.contains(want))
    };
    if !within(&held.verbs, &one.verbs) {
        return false;
    }
    if !one.urls.is_empty() {
        return one.urls.iter().all(|url| {
            held.urls.iter().any(|have| match have.strip_suffix('*') {
                Some(start) => url.starts_with(start),
                None => have == url,
            })
        });
    }
    let names = held.resource_names.is_empty()
        || (!one.resource_names.is_empty()
            && one
                .resource_names
                .iter()
                .all(|name| held.resource_names.contains(name)));
    let resources = one.resources.iter().all(|want| {
        let sub = want.split_once('/').map(|(_, sub)| format!("*/{sub}"));
        held.resources
            .iter()
            .any(|have| have == "*" || have == want || Some(have) == sub.as_ref())
    });
    names && resources && within(&held.api_groups, &one.api_groups)
}

/// Rules that differ in their verb alone become one (`CompactRules`).
fn compact(rules: impl Iterator<Item = Rule>) -> Vec<Rule> {
    let mut found: Vec<Rule> = Vec::new();
    for rule in rules {
        let alike = |one: &&mut Rule| {
            rule.urls.is_empty()
                && one.api_groups == rule.api_groups
                && one.resources == rule.resources
                && one.resource_names == rule.resource_names
        };
        match found.iter_mut().find(alike) {
            Some(one) => one.verbs.extend(rule.verbs),
            None => found.push(rule),
        }
    }
    found
}

/// As Go prints a list of texts (`%q`).
fn quoted(values: &[String]) -> String {
    let each: Vec<String> = values.iter().map(|one| format!("{one:?}")).collect();
    format!("[{}]", each.join(" "))
}

/// As the real server prints a rule (`CompactString`).
fn printed(rule: &Rule) -> String {
    let mut parts = Vec::new();
    let fields = [
        ("APIGroups", &rule.api_groups),
        ("Resources", &rule.resources),
        ("NonResourceURLs", &rule.urls),
        ("ResourceNames", &rule.resource_names),
        ("Verbs", &rule.verbs),
    ];
    for (name, values) in fields {
        if !values.is_empty() {
            parts.push(format!("{name}:{}", quoted(values)));
        }
    }
    format!("{{{}}}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Rule {
        let list = |texts: &[&str]| texts.iter().map(|one| (*one).to_owned()).collect();
        Rule {
            api_groups: list(groups),
            resources: list(resources),
            verbs: list(verbs),
            ..Rule::default()
        }
    }

    #[test]
    fn what_is_missing_is_printed_by_resource_as_go_prints_it() {
        let wanted = rule(&["", "apps"], &["pods"], &["get", "list"]);
        let missing = compact(simple(&wanted).into_iter());
        let printed: Vec<String> = missing.iter().map(printed).collect();
        assert_eq!(
            printed,
            [
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}"#,
                r#"{APIGroups:["apps"], Resources:["pods"], Verbs:["get" "list"]}"#,
            ]
        );
    }
}
