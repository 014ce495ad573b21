//! Discovery: which groups, versions and resources there are, plain and aggregated.

use super::accept;
use super::request::Request;
use super::route::REVIEWS;
use crate::resources::{Resource, Resources};
use serde_json::{Map, Value, json};

/// What can be done with a kept resource.
const VERBS: [&str; 8] = [
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

/// Group, version and kind of a subresource, where they are not the resource's own; and its verbs.
fn subresource(
    row: &Resource,
    name: &str,
) -> (Option<(&'static str, &'static str)>, String, Value) {
    let own = row.kind.to_string();
    let edit = json!(["get", "patch", "update"]);
    let connect = json!(["create", "get"]);
    match name {
        "scale" => (Some(("autoscaling", "v1")), "Scale".to_owned(), edit),
        "eviction" => (
            Some(("policy", "v1")),
            "Eviction".to_owned(),
            json!(["create"]),
        ),
        "token" => (
            Some(("authentication.k8s.io", "v1")),
            "TokenRequest".to_owned(),
            json!(["create"]),
        ),
        "binding" => (None, "Binding".to_owned(), json!(["create"])),
        "finalize" => (None, own, json!(["update"])),
        "log" => (None, own, json!(["get"])),
        "exec" => (None, "PodExecOptions".to_owned(), connect),
        "attach" => (None, "PodAttachOptions".to_owned(), connect),
        "portforward" => (None, "PodPortForwardOptions".to_owned(), connect),
        "proxy" => (
            None,
            format!("{own}ProxyOptions"),
            json!(["create", "delete", "get", "patch", "update"]),
        ),
        _ => (None, own, edit),
    }
}

/// Groups and their versions in the order of the table, the core group first.
pub(super) fn groups(resources: &Resources) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    let served = resources.iter().filter(|(_, row)| row.served);
    let rows = served.map(|(_, row)| (row.group.to_string(), row.version.to_string()));
    let reviews = REVIEWS
        .iter()
        .map(|(group, ..)| ((*group).to_owned(), "v1".to_owned()));
    for (group, version) in rows.chain(reviews) {
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, versions)) if versions.contains(&version) => {}
            Some((_, versions)) => versions.push(version),
            None => groups.push((group, vec![version])),
        }
    }
    groups
}

/// Answers a discovery path; `None` where it is none, or names nothing.
pub(super) fn serve(resources: &Resources, request: &Request, parts: &[&str]) -> Option<Value> {
    let aggregated = accept::discovery(request);
    match (parts, aggregated) {
        (["api"], Some(_)) => Some(aggregate(resources, str::is_empty)),
        (["apis"], Some(_)) => Some(aggregate(resources, |group| !group.is_empty())),
        (["api"], None) => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}],
        })),
        (["apis"], None) => Some(group_list(resources)),
        (["api", version], _) => resource_list(resources, "", version),
        (["apis", group], _) => one_group(resources, group),
        (["apis", group, version], _) => resource_list(resources, group, version),
        _ => None,
    }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

fn group_value(group: &str, versions: &[String]) -> Value {
    let each = |version: &String| json!({"groupVersion": group_version(group, version), "version": version});
    json!({
        "name": group,
        "versions": versions.iter().map(each).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(each),
    })
}

fn group_list(resources: &Resources) -> Value {
    let all = groups(resources);
    let named = all.iter().filter(|(group, _)| !group.is_empty());
    json!({
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": named.map(|(group, versions)| group_value(group, versions)).collect::<Vec<_>>(),
    })
}

fn one_group(resources: &Resources, group: &str) -> Option<Value> {
    let all = groups(resources);
    let (_, versions) = all
        .iter()
        .find(|(name, _)| name == group && !name.is_empty())?;
    let mut value = group_value(group, versions);
    let map = value.as_object_mut()?;
    map.insert("kind".to_owned(), json!("APIGroup"));
    map.insert("apiVersion".to_owned(), json!("v1"));
    Some(value)
}

/// Served rows of a group and version, by name.
fn rows<'all>(resources: &'all Resources, group: &str, version: &str) -> Vec<&'all Resource> {
    let mut rows: Vec<&Resource> = resources
        .iter()
        .map(|(_, row)| row)
        .filter(|row| row.served && *row.group == *group && *row.version == *version)
        .collect();
    rows.sort_by(|left, right| left.plural.cmp(&right.plural));
    rows
}

fn reviews(group: &str, version: &str) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let here = version == "v1";
    let group = group.to_owned();
    REVIEWS
        .iter()
        .filter(move |(its, ..)| here && *its == group)
        .map(|(_, plural, kind, namespaced)| (*plural, *kind, *namespaced))
}

fn sorted_subresources(row: &Resource) -> Vec<&str> {
    let mut names: Vec<&str> = row.subresources.iter().map(|one| &**one).collect();
    names.sort_unstable();
    names
}

fn resource_list(resources: &Resources, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    for row in rows(resources, group, version) {
        let mut entry = Map::new();
        entry.insert("name".to_owned(), json!(row.plural));
        entry.insert("singularName".to_owned(), json!(row.singular));
        entry.insert("namespaced".to_owned(), json!(row.namespaced));
        entry.insert("kind".to_owned(), json!(row.kind));
        entry.insert("verbs".to_owned(), json!(VERBS));
        names(row, &mut entry);
        list.push(Value::Object(entry));
        for name in sorted_subresources(row) {
            let (other, kind, verbs) = subresource(row, name);
            let mut entry = json!({
                "name": format!("{}/{name}", row.plural),
                "singularName": "",
                "namespaced": row.namespaced,
                "kind": kind,
                "verbs": verbs,
            });
            if let (Some((group, version)), Some(map)) = (other, entry.as_object_mut()) {
                map.insert("group".to_owned(), json!(group));
                map.insert("version".to_owned(), json!(version));
            }
            list.push(entry);
        }
    }
    for (plural, kind, namespaced) in reviews(group, version) {
        list.push(json!({
            "name": plural, "singularName": kind.to_lowercase(), "namespaced": namespaced,
            "kind": kind, "verbs": ["create"],
        }));
    }
    (!list.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version(group, version),
            "resources": list,
        })
    })
}

fn names(row: &Resource, entry: &mut Map<String, Value>) {
    if !row.short_names.is_empty() {
        entry.insert("shortNames".to_owned(), json!(row.short_names));
    }
    if row.in_all {
        entry.insert("categories".to_owned(), json!(["all"]));
    }
}

fn aggregate(resources: &Resources, wanted: impl Fn(&str) -> bool) -> Value {
    let items: Vec<Value> = groups(resources)
        .iter()
        .filter(|(group, _)| wanted(group))
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    json!({
                        "version": version,
                        "resources": aggregated_resources(resources, group, version),
                        "freshness": "Current",
                    })
                })
                .collect();
            let meta = if group.is_empty() {
                json!({})
            } else {
                json!({"name": group})
            };
            json!({"metadata": meta, "versions": versions})
        })
        .collect();
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": items,
    })
}

fn aggregated_resources(resources: &Resources, group: &str, version: &str) -> Vec<Value> {
    let scope = |namespaced: bool| if namespaced { "Namespaced" } else { "Cluster" };
    let mut list = Vec::new();
    for row in rows(resources, group, version) {
        let mut entry = Map::new();
        entry.insert("resource".to_owned(), json!(row.plural));
        let kind = json!({"group": group, "version": version, "kind": row.kind});
        entry.insert("responseKind".to_owned(), kind);
        entry.insert("scope".to_owned(), json!(scope(row.namespaced)));
        entry.insert("singularResource".to_owned(), json!(row.singular));
        entry.insert("verbs".to_owned(), json!(VERBS));
        names(row, &mut entry);
        let subresources: Vec<Value> = sorted_subresources(row)
            .into_iter()
            .map(|name| {
                let (other, kind, verbs) = subresource(row, name);
                let (group, version) = other.unwrap_or((group, version));
                json!({
                    "subresource": name,
                    "responseKind": {"group": group, "version": version, "kind": kind},
                    "verbs": verbs,
                })
            })
            .collect();
        if !subresources.is_empty() {
            entry.insert("subresources".to_owned(), json!(subresources));
        }
        list.push(Value::Object(entry));
    }
    for (plural, kind, namespaced) in reviews(group, version) {
        list.push(json!({
            "resource": plural,
            "responseKind": {"group": group, "version": version, "kind": kind},
            "scope": scope(namespaced),
            "singularResource": kind.to_lowercase(),
            "verbs": ["create"],
        }));
    }
    list
}
