//! The exact request of every action, seen through the dry-run door.

use super::*;

/// The one mutating request that the step leads to.
async fn request(step: &Step, script: &[Value]) -> Asked {
    let answers = script.iter().map(says).chain([says(&deployment())]);
    let server = Server::new(answers);
    drop(server.hands().rehearse(step).await);
    let [asked] = server.sent().try_into().expect("one request");
    asked
}

const QUERY: &str = "fieldManager=nightshift&fieldValidation=Strict&timeout=3s&dryRun=All";

fn patch_of(path: &str, operations: &Value) -> Asked {
    Asked {
        line: format!("PATCH {path}?{QUERY}"),
        agent: concat!("nightshift/", env!("CARGO_PKG_VERSION")).into(),
        content_type: "application/json-patch+json".into(),
        body: operations.clone(),
    }
}

const SHOP: &str = "/apis/apps/v1/namespaces/demo/deployments/shop";
const APP: &str = "/spec/template/spec/containers/1";

#[tokio::test]
async fn set_image_tests_uid_container_and_old_image() {
    let asked = request(&step(set_image(), &deployment()), &[deployment()]).await;
    let wanted = json!([
        {"op": "test", "path": "/metadata/uid", "value": "uid-shop"},
        {"op": "test", "path": format!("{APP}/name"), "value": "app"},
        {"op": "test", "path": format!("{APP}/image"), "value": "shop:2"},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "replace", "path": format!("{APP}/image"), "value": "shop:1"},
    ]);
    assert_eq!(asked, patch_of(SHOP, &wanted));
}

#[tokio::test]
async fn an_init_container_is_found_in_its_own_list() {
    let action = Action::SetImage {
        container: "setup".into(),
        from: "setup:1".into(),
        to: "setup:0".into(),
    };
    let asked = request(&step(action, &deployment()), &[deployment()]).await;
    assert_eq!(
        asked.body[4],
        json!({"op": "replace", "path": "/spec/template/spec/initContainers/0/image", "value": "setup:0"})
    );
}

#[tokio::test]
async fn set_memory_leaves_other_resources_and_makes_the_missing_parent() {
    let asked = request(&step(set_memory(), &deployment()), &[deployment()]).await;
    let wanted = json!([
        {"op": "test", "path": "/metadata/uid", "value": "uid-shop"},
        {"op": "test", "path": format!("{APP}/name"), "value": "app"},
        {"op": "test", "path": format!("{APP}/resources/limits/memory"), "value": "256Mi"},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "replace", "path": format!("{APP}/resources/limits/memory"), "value": "512Mi"},
        {"op": "add", "path": format!("{APP}/resources/requests"), "value": {"memory": "256Mi"}},
    ]);
    assert_eq!(asked, patch_of(SHOP, &wanted));
}

/// Only the changing operations on the container `app`.
async fn memory_changes(limit: MemoryChange, request_: MemoryChange, resources: Value) -> Value {
    let mut object = deployment();
    let app = &mut object["spec"]["template"]["spec"]["containers"][1];
    if resources.is_null() {
        app.as_object_mut().unwrap().remove("resources");
    } else {
        app["resources"] = resources;
    }
    let action = Action::SetMemory {
        container: "app".into(),
        limit,
        request: request_,
    };
    let asked = request(&step(action, &object), &[object]).await;
    let mut operations = asked.body.as_array().unwrap().clone();
    operations.retain(|operation| {
        operation["op"] != "test" && operation["path"] != "/metadata/resourceVersion"
    });
    for operation in &mut operations {
        let path = operation["path"].as_str().unwrap();
        operation["path"] = json!(path.strip_prefix(APP).unwrap());
    }
    Value::from(operations)
}

#[tokio::test]
async fn absent_memory_is_added_and_taken_away_again() {
    let none = || memory(None, None);
    let table = [
        (
            memory(None, Some("1Gi")),
            none(),
            Value::Null,
            json!([
                {"op": "add", "path": "/resources", "value": {}},
                {"op": "add", "path": "/resources/limits", "value": {"memory": "1Gi"}},
            ]),
        ),
        (
            memory(None, Some("1Gi")),
            none(),
            json!({"limits": {"cpu": "1"}}),
            json!([{"op": "add", "path": "/resources/limits/memory", "value": "1Gi"}]),
        ),
        (
            none(),
            memory(Some("256Mi"), None),
            json!({"requests": {"memory": "256Mi", "cpu": "1"}}),
            json!([{"op": "remove", "path": "/resources/requests/memory"}]),
        ),
        (
            memory(Some("1Gi"), Some("2Gi")),
            memory(Some("1Gi"), Some("1Gi")),
            json!({"limits": {"memory": "1Gi"}, "requests": {"memory": "1Gi"}}),
            json!([{"op": "replace", "path": "/resources/limits/memory", "value": "2Gi"}]),
        ),
    ];
    for (limit, request, resources, wanted) in table {
        assert_eq!(memory_changes(limit, request, resources).await, wanted);
    }
}

#[tokio::test]
async fn roll_back_puts_the_revisions_template_in_without_its_marks() {
    let asked = request(
        &step(roll_back(), &deployment()),
        &[deployment(), replica_set(1)],
    )
    .await;
    let wanted = json!([
        {"op": "test", "path": "/metadata/uid", "value": "uid-shop"},
        {"op": "test", "path": "/spec/template", "value": template("shop:2")},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "41"},
        {"op": "replace", "path": "/spec/template", "value": template("shop:1")},
    ]);
    assert_eq!(asked, patch_of(SHOP, &wanted));
}

#[tokio::test]
async fn a_stateful_set_goes_back_to_a_controller_revision() {
    let mut object = deployment();
    object["kind"] = json!("StatefulSet");
    let mut stored = template("shop:1");
    stored["$patch"] = json!("replace");
    stored["metadata"]["creationTimestamp"] = Value::Null;
    let mut revision_object = replica_set(1);
    revision_object.as_object_mut().unwrap().remove("spec");
    revision_object["data"] = json!({"spec": {"template": stored}});
    let action = Action::RollBack {
        from: revision(Kind::ControllerRevision, 2),
        to: revision(Kind::ControllerRevision, 1),
    };
    let asked = request(&step(action, &object), &[object, revision_object]).await;
    assert_eq!(
        asked.line,
        format!("PATCH /apis/apps/v1/namespaces/demo/statefulsets/shop?{QUERY}")
    );
    assert_eq!(asked.body[3]["value"], template("shop:1"));
}

#[tokio::test]
async fn a_pod_is_deleted_in_this_version_with_its_own_grace_period() {
    let asked = request(&step(Action::DeletePod, &pod()), &[pod()]).await;
    assert_eq!(
        asked.line,
        format!("DELETE /api/v1/namespaces/demo/pods/shop-x?{QUERY}")
    );
    assert_eq!(
        asked.body,
        json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"],
            "preconditions": {"uid": "uid-pod", "resourceVersion": "77"},
        })
    );
}

#[tokio::test]
async fn an_eviction_names_the_pod_in_this_version() {
    let asked = request(&step(Action::Evict, &pod()), &[pod()]).await;
    assert_eq!(
        asked.line,
        format!("POST /api/v1/namespaces/demo/pods/shop-x/eviction?{QUERY}")
    );
    assert_eq!(
        asked.body,
        json!({
            "apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"namespace": "demo", "name": "shop-x"},
            "deleteOptions": {"preconditions": {"uid": "uid-pod", "resourceVersion": "77"}},
        })
    );
}

#[tokio::test]
async fn cordon_adds_the_flag_or_replaces_it() {
    let guard = |rest: Value| {
        let mut all = vec![
            json!({"op": "test", "path": "/metadata/uid", "value": "uid-node"}),
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "900"}),
        ];
        all.push(rest);
        Value::from(all)
    };
    let asked = request(&step(Action::Cordon, &node(None)), &[node(None)]).await;
    let wanted = guard(json!({"op": "add", "path": "/spec/unschedulable", "value": true}));
    assert_eq!(asked, patch_of("/api/v1/nodes/node1", &wanted));

    let cordoned = node(Some(true));
    let asked = request(&step(Action::Uncordon, &cordoned), &[cordoned]).await;
    let mut wanted = guard(json!({"op": "replace", "path": "/spec/unschedulable", "value": false}));
    let test = json!({"op": "test", "path": "/spec/unschedulable", "value": true});
    wanted.as_array_mut().unwrap().insert(1, test);
    assert_eq!(asked, patch_of("/api/v1/nodes/node1", &wanted));
}
