//! The API from outside: requests and answers.

use super::testing::{get, post, request};
use super::*;
use crate::object::Object;
use crate::resources::ids;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn cluster() -> Cluster {
    let mut cluster = Cluster::empty(1, "2026-01-01T00:00:00Z".parse().unwrap());
    cluster.add_administrator("admin");
    for name in ["default", "shop"] {
        let row = cluster.resources.get(ids::NAMESPACES).clone();
        cluster
            .create(ids::NAMESPACES, Object::new(&row, "", name))
            .unwrap();
    }
    cluster
}

/// Code and body of an answer.
fn ask(cluster: &mut Cluster, request: &Request) -> (u16, Value) {
    match handle(cluster, request) {
        Answer::Whole(whole) => {
            let text = String::from_utf8_lossy(&whole.body).into_owned();
            let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            (whole.code, value)
        }
        other => panic!("{other:?}"),
    }
}

fn config_map(cluster: &mut Cluster, name: &str, labels: &Value) -> Value {
    let body = json!({"metadata": {"name": name, "labels": labels}, "data": {"a": "1"}});
    let request = post("/api/v1/namespaces/shop/configmaps", &body.to_string());
    let (code, answer) = ask(cluster, &request);
    assert_eq!(code, 201, "{answer}");
    answer
}

fn watch(cluster: &mut Cluster, url: &str) -> Box<Watch> {
    match handle(cluster, &get(url)) {
        Answer::Watch(watch) => watch,
        other => panic!("{other:?}"),
    }
}

/// The events that there are now.
fn events(cluster: &Cluster, watch: &mut Watch) -> Vec<Value> {
    let mut cache = Cache::default();
    let mut all = Vec::new();
    while let Next::Events(bytes) = watch.next(cluster, &mut cache) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        all.extend(
            text.lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()),
        );
    }
    all
}

fn kinds(events: &[Value]) -> Vec<(&str, &str)> {
    events
        .iter()
        .map(|event| {
            (
                event["type"].as_str().unwrap(),
                event["object"]["metadata"]["name"].as_str().unwrap_or(""),
            )
        })
        .collect()
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/shop/configmaps";

/// Those whose text depends on nothing but the request and this one ConfigMap.
const SAME: [&str; 35] = [
    "create: already exists",
    "get: not found",
    "get deployment: not found",
    "delete: not found",
    "namespace not found on create",
    "patch: not found",
    "resource type not there",
    "group not there",
    "put with stale resourceVersion",
    "put: name in URL and body differ",
    "put: namespace differs",
    "put: not found",
    "post: body is not JSON",
    "post: empty body",
    "post: wrong kind",
    "post: no name",
    "post: bad name",
    "post: resourceVersion set",
    "post: content type unknown",
    "method not allowed",
    "list: bad label selector",
    "list: bad field selector",
    "list: bad limit",
    "json patch: test fails",
    "json patch: path not there",
    "json patch: unknown op",
    "json patch: not a list",
    "merge patch: stale resourceVersion",
    "json patch: replaced stale resourceVersion",
    "merge patch: name changed",
    "patch: content type unknown",
    "delete: bad propagation",
    "dry run: bad value",
    "eviction: not found",
    "apply: no field manager",
];

#[test]
fn wrong_requests_are_answered_as_a_real_one_answered_them() {
    let recorded = include_str!("../../../../docs/recorded/errors.yaml");
    let recorded: Vec<Value> = serde_saphyr::from_str(recorded).unwrap();
    let mut cluster = cluster();
    let row = cluster.resources.get(ids::NAMESPACES).clone();
    let namespace = Object::new(&row, "", "r-errors");
    cluster.create(ids::NAMESPACES, namespace).unwrap();
    let one = json!({"metadata": {"name": "one"}, "data": {"a": "1"}}).to_string();
    let created = ask(
        &mut cluster,
        &post("/api/v1/namespaces/r-errors/configmaps", &one),
    );
    assert_eq!(created.0, 201);
    let mut seen = Vec::new();
    for entry in &recorded {
        let what = entry["what"].as_str().unwrap();
        if !SAME.contains(&what) {
            continue;
        }
        let (method, url) = entry["request"].as_str().unwrap().split_once(' ').unwrap();
        let body = match &entry["body"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let mut sent = request(method.parse().unwrap(), url, &body);
        if let Some(content_type) = entry["contentType"].as_str() {
            content_type.clone_into(&mut sent.content_type);
        }
        let (code, mut answer) = ask(&mut cluster, &sent);
        let mut expected = entry["answer"].clone();
        assert_eq!(json!(code), entry["code"], "{what}: {answer}");
        if what == "post: body is not JSON" {
            // The parser's own words differ.
            let cut = |answer: &mut Value| {
                let message = answer["message"].as_str().unwrap();
                let start = message.split("parse error:").next().unwrap().to_owned();
                answer["message"] = json!(start);
            };
            cut(&mut answer);
            cut(&mut expected);
        }
        assert_eq!(answer, expected, "{what}");
        seen.push(what);
    }
    assert_eq!(seen.len(), SAME.len(), "{seen:?}");
}

#[test]
fn a_name_is_generated_and_a_dry_run_writes_nothing() {
    let mut cluster = cluster();
    let revision = cluster.store.revision();
    let body = r#"{"metadata": {"generateName": "a-"}}"#;
    let url = format!("{CONFIG_MAPS}?dryRun=All");
    let (code, answer) = ask(&mut cluster, &post(&url, body));
    assert_eq!(code, 201);
    assert_eq!(answer["metadata"]["name"].as_str().unwrap().len(), 7);
    assert_eq!(cluster.store.revision(), revision);
}

#[test]
fn a_list_in_pages_is_of_one_moment() {
    let mut cluster = cluster();
    for name in ["a", "b", "c", "d"] {
        config_map(&mut cluster, name, &json!({}));
    }
    let (_, first) = ask(&mut cluster, &get(&format!("{CONFIG_MAPS}?limit=2")));
    assert_eq!(first["metadata"]["remainingItemCount"], 2);
    let gone = request(Method::DELETE, &format!("{CONFIG_MAPS}/c"), "");
    ask(&mut cluster, &gone);
    config_map(&mut cluster, "bb", &json!({}));
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (_, second) = ask(
        &mut cluster,
        &get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")),
    );
    let names: Vec<_> = second["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["metadata"]["name"])
        .collect();
    assert_eq!(names, ["c", "d"]);
    assert_eq!(
        second["metadata"]["resourceVersion"],
        first["metadata"]["resourceVersion"]
    );
    assert_eq!(second["metadata"].get("continue"), None);
    cluster.store.compact(cluster.store.revision());
    let (code, expired) = ask(
        &mut cluster,
        &get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")),
    );
    assert_eq!((code, &expired["reason"]), (410, &json!("Expired")));
}

#[test]
fn a_watch_begins_with_what_there_is_and_goes_on_with_what_changes() {
    let mut cluster = cluster();
    config_map(&mut cluster, "a", &json!({"x": "y"}));
    config_map(&mut cluster, "b", &json!({}));
    let url = format!("{CONFIG_MAPS}?watch=1&labelSelector=x%3Dy");
    let mut watch = watch(&mut cluster, &url);
    assert_eq!(kinds(&events(&cluster, &mut watch)), [("ADDED", "a")]);
    let label = |name: &str, value: Value| {
        let body = json!({"metadata": {"labels": {"x": value}}}).to_string();
        let mut sent = request(Method::PATCH, &format!("{CONFIG_MAPS}/{name}"), &body);
        "application/merge-patch+json".clone_into(&mut sent.content_type);
        sent
    };
    ask(&mut cluster, &label("b", json!("y")));
    ask(&mut cluster, &label("a", json!("z")));
    ask(&mut cluster, &label("a", json!("zz")));
    let seen = events(&cluster, &mut watch);
    assert_eq!(kinds(&seen), [("ADDED", "b"), ("DELETED", "a")]);
    // What left is shown as it was last selected, with the revision of its leaving.
    assert_eq!(seen[1]["object"]["metadata"]["labels"]["x"], "y");
}

#[test]
fn a_streamed_list_ends_with_a_bookmark() {
    let mut cluster = cluster();
    config_map(&mut cluster, "a", &json!({}));
    let url = format!(
        "{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    );
    let mut watch = watch(&mut cluster, &url);
    let seen = events(&cluster, &mut watch);
    assert_eq!(kinds(&seen), [("ADDED", "a"), ("BOOKMARK", "")]);
    let annotations = &seen[1]["object"]["metadata"]["annotations"];
    assert_eq!(annotations["k8s.io/initial-events-end"], "true");
    let without = format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true");
    assert_eq!(ask(&mut cluster, &get(&without)).0, 422);
}

#[test]
fn what_is_compacted_ends_a_watch_with_410() {
    let mut cluster = cluster();
    config_map(&mut cluster, "a", &json!({}));
    cluster.store.compact(cluster.store.revision());
    let mut watch = watch(
        &mut cluster,
        &format!("{CONFIG_MAPS}?watch=1&resourceVersion=1"),
    );
    let seen = events(&cluster, &mut watch);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0]["object"]["code"], 410);
    assert_eq!(
        seen[0]["object"]["message"],
        "too old resource version: 1 (3)"
    );
    assert_eq!(watch.next(&cluster, &mut Cache::default()), Next::End);
}

#[test]
fn an_event_is_served_under_two_groups() {
    let mut cluster = cluster();
    let body = json!({"metadata": {"name": "e"}, "reason": "R", "message": "m",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "shop"}});
    let created = ask(
        &mut cluster,
        &post("/api/v1/namespaces/shop/events", &body.to_string()),
    );
    assert_eq!(created.0, 201, "{}", created.1);
    let url = "/apis/events.k8s.io/v1/namespaces/shop/events/e";
    let (_, event) = ask(&mut cluster, &get(url));
    assert_eq!(
        (&event["note"], &event["apiVersion"]),
        (&json!("m"), &json!("events.k8s.io/v1"))
    );
}

#[test]
fn a_custom_resource_is_served_as_long_as_its_definition_is_there() {
    let mut cluster = cluster();
    let definition = json!({"metadata": {"name": "widgets.example.com"}, "spec": {
        "group": "example.com", "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}},
                     {"name": "v2", "served": true, "storage": false}]}});
    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let (code, created) = ask(&mut cluster, &post(crds, &definition.to_string()));
    assert_eq!(code, 201, "{created}");
    assert_eq!(created["status"]["conditions"][1]["type"], "Established");
    let widgets = "/apis/example.com/v1/namespaces/shop/widgets";
    let body = r#"{"metadata": {"name": "w"}, "spec": {"size": 1}}"#;
    assert_eq!(ask(&mut cluster, &post(widgets, body)).0, 201);
    let (_, other) = ask(
        &mut cluster,
        &get("/apis/example.com/v2/namespaces/shop/widgets/w"),
    );
    assert_eq!(other["apiVersion"], "example.com/v2");
    let (_, groups) = ask(&mut cluster, &get("/apis/example.com"));
    assert_eq!(groups["preferredVersion"]["version"], "v1");
    let gone = request(Method::DELETE, &format!("{crds}/widgets.example.com"), "");
    assert_eq!(ask(&mut cluster, &gone).0, 200);
    assert_eq!(ask(&mut cluster, &get(&format!("{widgets}/w"))).0, 404);
}

fn evict(cluster: &mut Cluster, query: &str) -> (u16, Value) {
    let url = format!("/api/v1/namespaces/shop/pods/p/eviction{query}");
    ask(cluster, &post(&url, r#"{"metadata": {"name": "p"}}"#))
}

#[test]
fn an_eviction_takes_one_disruption_and_is_refused_when_there_is_none() {
    let mut cluster = cluster();
    let row = cluster.resources.get(ids::PODS).clone();
    let mut pod = Object::new(&row, "shop", "p");
    pod.meta.labels.insert("app".to_owned(), "p".to_owned());
    pod.set(
        "spec",
        &json!({"nodeName": "n", "containers": [{"name": "main", "image": "x"}]}),
    );
    pod.set(
        "status",
        &json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}),
    );
    cluster.create(ids::PODS, pod).unwrap();
    let row = cluster.resources.get(ids::POD_DISRUPTION_BUDGETS).clone();
    let mut budget = Object::new(&row, "shop", "b");
    budget.set(
        "spec",
        &json!({"minAvailable": 1, "selector": {"matchLabels": {"app": "p"}}}),
    );
    budget.set("status", &json!({"observedGeneration": 1, "disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1}));
    let key = budget.key(ids::POD_DISRUPTION_BUDGETS);
    cluster.create(ids::POD_DISRUPTION_BUDGETS, budget).unwrap();
    let (code, refused) = evict(&mut cluster, "");
    assert_eq!(code, 429);
    assert_eq!(
        refused["details"]["causes"][0],
        json!({"reason": "DisruptionBudget", "message": "The disruption budget b needs 1 healthy pods and has 1 currently"})
    );
    cluster.set_status(&key, &json!({"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1}));
    assert_eq!(evict(&mut cluster, "?dryRun=All").0, 201);
    assert_eq!(evict(&mut cluster, "").0, 201);
    let status: Value = cluster.store.get(&key).unwrap().status();
    assert_eq!(status["disruptionsAllowed"], 0);
    assert!(status["disruptedPods"].get("p").is_some());
    let (_, pod) = ask(&mut cluster, &get("/api/v1/namespaces/shop/pods/p"));
    assert_eq!(
        pod["status"]["conditions"][1]["reason"],
        "EvictionByEvictionAPI"
    );
    assert!(pod["metadata"].get("deletionTimestamp").is_some());
}

#[test]
fn nobody_gets_in_without_a_token_and_nobody_further_than_their_roles() {
    let mut cluster = cluster();
    let account = post(
        "/api/v1/namespaces/shop/serviceaccounts",
        r#"{"metadata": {"name": "poor"}}"#,
    );
    assert_eq!(ask(&mut cluster, &account).0, 201);
    let url = "/api/v1/namespaces/shop/serviceaccounts/poor/token";
    let (code, given) = ask(&mut cluster, &post(url, "{}"));
    assert_eq!(code, 201, "{given}");
    let mut list = get(CONFIG_MAPS);
    list.token = None;
    assert_eq!(ask(&mut cluster, &list).0, 403);
    list.token = Some("wrong".to_owned());
    assert_eq!(ask(&mut cluster, &list).0, 401);
    list.token = given["status"]["token"].as_str().map(str::to_owned);
    let (code, refused) = ask(&mut cluster, &list);
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "configmaps is forbidden: User \"system:serviceaccount:shop:poor\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"shop\""
    );
    let mark = cluster.audit.count();
    ask(&mut cluster, &list);
    let lines: Vec<Value> = cluster
        .audit
        .since(mark)
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["responseStatus"]["code"], 403);
    assert_eq!(lines[0]["requestURI"], CONFIG_MAPS);
}

#[test]
fn exec_is_refused_in_words() {
    let mut cluster = cluster();
    let mut exec = post("/api/v1/namespaces/shop/pods/p/exec?command=ls", "");
    assert_eq!(
        ask(&mut cluster, &exec).1["message"],
        "Upgrade request required"
    );
    exec.upgrade = true;
    let (code, refused) = ask(&mut cluster, &exec);
    assert_eq!(code, 400);
    assert_eq!(
        refused["message"],
        "exec is not possible: nothing runs in this simulated pod"
    );
}

/// One write of a random history.
#[derive(Clone, Debug)]
enum Deed {
    Write(u8, u8),
    Remove(u8),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let write = (0..5u8, 0..3u8).prop_map(|(name, label)| Deed::Write(name, label));
    let remove = (0..5u8).prop_map(Deed::Remove);
    prop::collection::vec(prop_oneof![3 => write, 1 => remove], 0..30)
}

fn carry_out(cluster: &mut Cluster, deed: &Deed) {
    match deed {
        Deed::Write(name, label) => {
            let body = json!({"metadata": {"name": format!("n{name}"), "labels": {"l": format!("{label}")}}});
            let url = format!("{CONFIG_MAPS}/n{name}?fieldManager=t");
            let mut sent = request(Method::PATCH, &url, &body.to_string());
            "application/apply-patch+yaml".clone_into(&mut sent.content_type);
            let (code, answer) = ask(cluster, &sent);
            assert!(code < 300, "{answer}");
        }
        Deed::Remove(name) => {
            ask(
                cluster,
                &request(Method::DELETE, &format!("{CONFIG_MAPS}/n{name}"), ""),
            );
        }
    }
}

fn listed(cluster: &mut Cluster, query: &str) -> BTreeMap<String, Value> {
    let (_, list) = ask(cluster, &get(&format!("{CONFIG_MAPS}?{query}")));
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|one| {
            (
                one["metadata"]["name"].as_str().unwrap().to_owned(),
                one.clone(),
            )
        })
        .collect()
}

fn body() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        Just(r#"{"metadata": {"name": "n1"}, "spec": {}}"#.to_owned()),
        Just(r#"[{"op": "replace", "path": "/metadata/labels", "value": 3}]"#.to_owned()),
        Just(r#"{"metadata": {"labels": [], "resourceVersion": 5}}"#.to_owned()),
        Just(r#"{"metadata": {"name": {"a": 1}}, "kind": 4, "apiVersion": []}"#.to_owned()),
        Just("k8s\0\n\x0F\n\x02v1\x12\tConfigMap\x12\x06\n\x04\n\x02n1".to_owned()),
        "k8s\0\n\x09\n\x02v1\x12\x03Pod\x12.{0,20}",
        "[\\[{\"a-z:0-9,}\\]]{0,40}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("api".to_owned()),
        Just("apis".to_owned()),
        Just("v1".to_owned()),
        Just("namespaces".to_owned()),
        Just("shop".to_owned()),
        Just("pods".to_owned()),
        Just("configmaps".to_owned()),
        Just("n1".to_owned()),
        Just("apps".to_owned()),
        Just("deployments".to_owned()),
        Just("status".to_owned()),
        Just("scale".to_owned()),
        Just("eviction".to_owned()),
        Just("binding".to_owned()),
        Just("finalize".to_owned()),
        Just("openapi".to_owned()),
        Just("v3".to_owned()),
        Just("watch".to_owned()),
        Just("%zz%ff".to_owned()),
        "[ -~]{0,8}",
    ];
    let free = prop::collection::vec(part, 0..7).prop_map(|parts| format!("/{}", parts.join("/")));
    let known = prop_oneof![
        Just("/api/v1/namespaces/shop/configmaps/n1".to_owned()),
        Just("/api/v1/namespaces/shop/configmaps".to_owned()),
        Just("/api/v1/namespaces/shop/pods".to_owned()),
        Just("/apis/apps/v1/namespaces/shop/deployments".to_owned()),
        Just("/apis/apps/v1/namespaces/shop/deployments/d/scale".to_owned()),
        Just("/api/v1/namespaces/shop".to_owned()),
    ];
    prop_oneof![free, known]
}

fn query() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("labelSelector"),
        Just("fieldSelector"),
        Just("limit"),
        Just("continue"),
        Just("resourceVersion"),
        Just("resourceVersionMatch"),
        Just("watch"),
        Just("dryRun"),
        Just("fieldManager"),
        Just("fieldValidation"),
        Just("force"),
        Just("timeoutSeconds"),
        Just("sendInitialEvents"),
        Just("gracePeriodSeconds"),
        Just("propagationPolicy"),
    ];
    let value = prop_oneof![
        Just("1".to_owned()),
        Just("All".to_owned()),
        Just("a=b,c in (d,e)".to_owned()),
        Just("metadata.name=n1".to_owned()),
        Just("7b7d".to_owned()),
        Just("-1".to_owned()),
        Just("Exact".to_owned()),
        Just("true".to_owned()),
        Just("Strict".to_owned()),
        "[ -~]{0,12}",
    ];
    let pair = (name, value).prop_map(|(name, value)| format!("{name}={value}"));
    prop::collection::vec(pair, 0..4).prop_map(|pairs| pairs.join("&"))
}

fn content_type() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "application/json",
        "application/yaml",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/vnd.kubernetes.protobuf",
        "",
        "text/plain",
    ])
}

fn accept() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "",
        "application/json",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        "application/vnd.kubernetes.protobuf",
    ])
}

fn method() -> impl Strategy<Value = Method> {
    let all = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
    ];
    prop::sample::select(all.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_watch_from_any_revision_is_the_difference_of_two_lists(
        before in deeds(), after in deeds(), selected in any::<bool>(),
    ) {
        let mut cluster = cluster();
        for deed in &before {
            carry_out(&mut cluster, deed);
        }
        let selector = if selected { "labelSelector=l%3D1" } else { "" };
        let mut known = listed(&mut cluster, selector);
        let first = known.clone();
        let revision = cluster.store.revision();
        let url = format!("{CONFIG_MAPS}?watch=1&resourceVersion={revision}&{selector}");
        let mut watch = watch(&mut cluster, &url);
        for deed in &after {
            carry_out(&mut cluster, deed);
        }
        let mut last = revision;
        for event in events(&cluster, &mut watch) {
            let mut object = event["object"].clone();
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let version = object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
            prop_assert!(version > last, "revisions only grow");
            last = version;
            let map = object.as_object_mut().unwrap();
            map.remove("kind");
            map.remove("apiVersion");
            match event["type"].as_str().unwrap() {
                "ADDED" => prop_assert!(known.insert(name, object).is_none()),
                "MODIFIED" => prop_assert!(known.insert(name, object).is_some()),
                _ => prop_assert!(known.remove(&name).is_some()),
            }
        }
        prop_assert_eq!(known, listed(&mut cluster, selector));
        let then = format!("resourceVersionMatch=Exact&resourceVersion={revision}&{selector}");
        prop_assert_eq!(listed(&mut cluster, &then), first);
    }

    #[test]
    fn any_request_is_answered_and_revisions_never_go_back(
        requests in prop::collection::vec(
            (method(), path(), query(), body(), content_type(), accept()), 1..12),
    ) {
        let mut cluster = cluster();
        config_map(&mut cluster, "n1", &json!({"a": "b"}));
        let mut revision = cluster.store.revision();
        for (method, path, query, body, content_type, accept) in requests {
            let mut sent = request(method, &format!("{path}?{query}"), &body);
            content_type.clone_into(&mut sent.content_type);
            accept.clone_into(&mut sent.accept);
            match handle(&mut cluster, &sent) {
                Answer::Whole(whole) if whole.code >= 400 => {
                    let text = String::from_utf8(whole.body.to_vec()).unwrap();
                    // Paths below no known group are answered in plain text by the real one too.
                    let plain = text == "404 page not found\n";
                    let value: Value = serde_json::from_str(&text).unwrap_or_default();
                    prop_assert!(plain || value["kind"] == "Status", "{sent:?}: {text}");
                    prop_assert!(plain || value["code"] == whole.code);
                }
                Answer::Whole(whole) => prop_assert!(whole.code >= 200),
                Answer::Advance(_) | Answer::List(_) | Answer::Log(_) => {}
                Answer::Watch(mut watch) => {
                    let mut cache = Cache::default();
                    for _ in 0..20 {
                        if watch.next(&cluster, &mut cache) == Next::Wait {
                            break;
                        }
                    }
                }
            }
            prop_assert!(cluster.store.revision() >= revision);
            revision = cluster.store.revision();
        }
    }
}
