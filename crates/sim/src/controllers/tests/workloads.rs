//! Deployments, ReplicaSets, StatefulSets, DaemonSets.

use super::*;

fn deployment(world: &mut World, replicas: u32) -> Key {
    let key = world.create(ids::DEPLOYMENTS, workload("web", replicas, "good"));
    world.pass(5);
    key
}

/// Wanted replicas and revision of each ReplicaSet, by revision.
fn sets(world: &World) -> Vec<(String, u64)> {
    let all = world.list(ids::REPLICA_SETS);
    let mut sets: Vec<_> = all
        .iter()
        .map(|set| {
            let revision = &set["metadata"]["annotations"]["deployment.kubernetes.io/revision"];
            (
                revision.as_str().unwrap().to_owned(),
                set["spec"]["replicas"].as_u64().unwrap(),
            )
        })
        .collect();
    sets.sort();
    sets
}

#[test]
fn a_deployment_gets_its_pods_and_says_so() {
    let mut world = World::new();
    let key = deployment(&mut world, 3);
    let status = world.get(&key)["status"].clone();
    assert_eq!(status["availableReplicas"], 3);
    assert_eq!(status["terminatingReplicas"], 0);
    assert!(status.get("unavailableReplicas").is_none());
    assert_eq!(world.reason(&key, "Progressing"), "NewReplicaSetAvailable");
    assert_eq!(world.reason(&key, "Available"), "MinimumReplicasAvailable");
    let set = world.names(ids::REPLICA_SETS).remove(0);
    let scaled = format!("Scaled up replica set {set} from 0 to 3");
    assert_eq!(world.said("ScalingReplicaSet"), [scaled]);
    assert_eq!(world.said("SuccessfulCreate").len(), 3);
    for pod in world.list(ids::PODS) {
        assert!(
            pod["metadata"]["name"]
                .as_str()
                .unwrap()
                .starts_with(&format!("{set}-"))
        );
        assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], json!(set));
    }
}

#[test]
fn a_rollout_never_has_fewer_or_more_pods_than_it_may() {
    let mut world = World::new();
    let key = deployment(&mut world, 4);
    world.spec(&key, |spec| set_image(spec, "good:2"));
    for _ in 0..300 {
        world.cluster.pass(Duration::from_millis(100));
        let pods = world.list(ids::PODS);
        let alive = pods
            .iter()
            .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let ready = alive
            .clone()
            .filter(|pod| pod["status"]["conditions"][0]["status"] == "True");
        assert!(alive.count() <= 5);
        assert!(ready.count() >= 3);
    }
    assert_eq!(sets(&world), [("1".to_owned(), 0), ("2".to_owned(), 4)]);
    assert_eq!(world.reason(&key, "Progressing"), "NewReplicaSetAvailable");
}

#[test]
fn going_back_to_an_old_template_makes_it_the_newest_revision() {
    let mut world = World::new();
    let key = deployment(&mut world, 2);
    world.spec(&key, |spec| set_image(spec, "broken"));
    world.pass(20);
    assert_eq!(sets(&world), [("1".to_owned(), 2), ("2".to_owned(), 1)]);
    world.spec(&key, |spec| set_image(spec, "good"));
    world.pass(20);
    assert_eq!(sets(&world), [("2".to_owned(), 0), ("3".to_owned(), 2)]);
    let deployment = world.get(&key);
    let annotations = &deployment["metadata"]["annotations"];
    assert_eq!(annotations["deployment.kubernetes.io/revision"], "3");
    let back = world.list(ids::REPLICA_SETS);
    let histories: Vec<_> = back
        .iter()
        .map(|set| {
            set["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"].clone()
        })
        .collect();
    assert!(histories.contains(&json!("1")));
}

#[test]
fn a_paused_deployment_rolls_nothing_out_until_it_is_resumed() {
    let mut world = World::new();
    let key = deployment(&mut world, 2);
    world.spec(&key, |spec| {
        spec["paused"] = json!(true);
        set_image(spec, "good:2");
    });
    world.pass(20);
    assert_eq!(world.reason(&key, "Progressing"), "DeploymentPaused");
    assert_eq!(world.names(ids::REPLICA_SETS).len(), 1);
    world.spec(&key, |spec| spec["replicas"] = json!(3));
    world.pass(20);
    assert_eq!(sets(&world), [("1".to_owned(), 3)]);
    world.spec(&key, |spec| spec["paused"] = json!(false));
    world.pass(30);
    assert_eq!(sets(&world), [("1".to_owned(), 0), ("2".to_owned(), 3)]);
}

#[test]
fn a_rollout_that_gets_nowhere_is_said_to_after_its_deadline_and_not_before() {
    let mut world = World::new();
    let key = deployment(&mut world, 3);
    world.spec(&key, |spec| {
        spec["progressDeadlineSeconds"] = json!(30);
        set_image(spec, "broken");
    });
    world.pass(30);
    assert_eq!(world.reason(&key, "Progressing"), "ReplicaSetUpdated");
    world.pass(4);
    assert_eq!(
        world.reason(&key, "Progressing"),
        "ProgressDeadlineExceeded"
    );
    assert_eq!(world.reason(&key, "Available"), "MinimumReplicasAvailable");
    let written = world.cluster.store.revision();
    world.pass(3600);
    assert_eq!(
        world.cluster.store.revision(),
        written,
        "nothing is left to do"
    );
}

#[test]
fn recreate_starts_nothing_before_everything_old_is_gone() {
    let mut world = World::new();
    let key = deployment(&mut world, 2);
    world.spec(&key, |spec| {
        spec["strategy"] = json!({"type": "Recreate"});
        set_image(spec, "good:2");
    });
    let images = |world: &World| -> std::collections::BTreeSet<String> {
        let pods = world.list(ids::PODS);
        pods.iter()
            .map(|pod| pod["spec"]["containers"][0]["image"].to_string())
            .collect()
    };
    for _ in 0..100 {
        world.cluster.pass(Duration::from_millis(100));
        assert!(images(&world).len() < 2);
    }
    assert_eq!(sets(&world), [("1".to_owned(), 0), ("2".to_owned(), 2)]);
}

#[test]
fn min_ready_seconds_make_a_pod_count_later() {
    let mut world = World::new();
    let mut value = workload("web", 1, "good");
    value["spec"]["minReadySeconds"] = json!(10);
    let key = world.create(ids::DEPLOYMENTS, value);
    world.pass(5);
    assert_eq!(world.get(&key)["status"]["readyReplicas"], 1);
    assert!(world.get(&key)["status"].get("availableReplicas").is_none());
    world.pass(10);
    assert_eq!(world.get(&key)["status"]["availableReplicas"], 1);
}

#[test]
fn old_revisions_are_kept_up_to_the_limit() {
    let mut world = World::new();
    let key = deployment(&mut world, 1);
    world.spec(&key, |spec| spec["revisionHistoryLimit"] = json!(2));
    for version in 2..7 {
        world.spec(&key, |spec| set_image(spec, &format!("good:{version}")));
        world.pass(20);
    }
    let kept: Vec<_> = sets(&world)
        .into_iter()
        .map(|(revision, _)| revision)
        .collect();
    assert_eq!(kept, ["4", "5", "6"]);
}

#[test]
fn scaling_in_the_middle_of_a_rollout_keeps_the_proportions() {
    let mut world = World::new();
    let key = deployment(&mut world, 10);
    world.spec(&key, |spec| set_image(spec, "broken"));
    world.pass(20);
    assert_eq!(sets(&world), [("1".to_owned(), 8), ("2".to_owned(), 5)]);
    world.spec(&key, |spec| spec["replicas"] = json!(20));
    world.pass(20);
    let sizes: Vec<_> = sets(&world).into_iter().map(|(_, size)| size).collect();
    assert_eq!(sizes.iter().sum::<u64>(), 25);
    assert!(sizes[0] > sizes[1], "{sizes:?}");
}

#[test]
fn a_replica_set_takes_in_free_pods_and_lets_go_of_relabelled_ones() {
    let mut world = World::new();
    let labels = json!({"app": "web"});
    let free = json!({"metadata": {"name": "free", "namespace": "a", "labels": labels}, "spec": {}, "status": {"phase": "Pending"}});
    let free = world.create(ids::PODS, free);
    let set = world.create(ids::REPLICA_SETS, workload("web", 2, "good"));
    world.pass(5);
    assert_eq!(
        world.get(&free)["metadata"]["ownerReferences"][0]["name"],
        "web"
    );
    assert_eq!(world.names(ids::PODS).len(), 2);
    world.cluster.modify(&free, |pod| pod.meta.labels.clear());
    world.pass(5);
    assert!(
        world.get(&free)["metadata"]
            .get("ownerReferences")
            .is_none()
    );
    assert_eq!(world.names(ids::PODS).len(), 3);
    assert_eq!(world.get(&set)["status"]["availableReplicas"], 2);
}

#[test]
fn pods_that_are_not_ready_go_first() {
    let mut world = World::new();
    let key = world.create(ids::REPLICA_SETS, workload("web", 3, "good"));
    world.pass(5);
    world.spec(&key, |spec| set_image(spec, "broken"));
    world.spec(&key, |spec| spec["replicas"] = json!(5));
    world.pass(5);
    world.spec(&key, |spec| spec["replicas"] = json!(3));
    world.pass(5);
    assert_eq!(world.get(&key)["status"]["readyReplicas"], 3);
}

fn stateful(replicas: u32, more: &Value) -> Value {
    let mut value = workload("db", replicas, "good");
    value["spec"]["serviceName"] = json!("db");
    for (name, field) in more.as_object().unwrap() {
        value["spec"][name] = field.clone();
    }
    value
}

#[test]
fn stateful_pods_come_one_after_the_other_and_keep_their_names() {
    let mut world = World::new();
    let key = world.create(ids::STATEFUL_SETS, stateful(3, &json!({})));
    world.cluster.pass(Duration::from_millis(1500));
    assert_eq!(world.names(ids::PODS), ["db-0", "db-1"]);
    world.pass(10);
    assert_eq!(world.names(ids::PODS), ["db-0", "db-1", "db-2"]);
    let status = world.get(&key)["status"].clone();
    assert_eq!(status["availableReplicas"], 3);
    assert_eq!(status["currentReplicas"], 3);
    assert_eq!(
        world.said("SuccessfulCreate")[0],
        "Create Pod db-0 in StatefulSet db successful"
    );
    world.spec(&key, |spec| spec["replicas"] = json!(1));
    world.pass(10);
    assert_eq!(world.names(ids::PODS), ["db-0"]);
}

#[test]
fn parallel_stateful_pods_come_at_once() {
    let mut world = World::new();
    world.create(
        ids::STATEFUL_SETS,
        stateful(3, &json!({"podManagementPolicy": "Parallel"})),
    );
    world.cluster.pass(Duration::from_millis(500));
    assert_eq!(world.names(ids::PODS).len(), 3);
}

#[test]
fn stateful_updates_go_from_the_top_down_to_the_partition() {
    let mut world = World::new();
    let strategy =
        json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}});
    let key = world.create(ids::STATEFUL_SETS, stateful(3, &strategy));
    world.pass(10);
    world.spec(&key, |spec| set_image(spec, "good:2"));
    world.pass(30);
    let images: Vec<_> = world
        .list(ids::PODS)
        .iter()
        .map(|pod| {
            pod["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(images, ["good", "good:2", "good:2"]);
    assert_eq!(world.get(&key)["status"]["updatedReplicas"], 2);
    world.spec(&key, |spec| {
        spec["updateStrategy"]["rollingUpdate"]["partition"] = json!(0);
    });
    world.pass(30);
    let status = world.get(&key)["status"].clone();
    assert_eq!(status["currentRevision"], status["updateRevision"]);
    assert_eq!(world.names(ids::CONTROLLER_REVISIONS).len(), 2);
}

#[test]
fn a_stateful_set_is_stuck_after_a_rollback_until_its_broken_pod_is_deleted() {
    let mut world = World::new();
    let key = world.create(ids::STATEFUL_SETS, stateful(2, &json!({})));
    world.pass(10);
    world.spec(&key, |spec| set_image(spec, "broken"));
    world.pass(20);
    world.spec(&key, |spec| set_image(spec, "good"));
    world.pass(60);
    assert_eq!(world.get(&key)["status"]["readyReplicas"], 1);
    let broken = Key::new(ids::PODS, "a", "db-1");
    world
        .cluster
        .delete(&broken, &DeleteOptions::default())
        .unwrap();
    world.pass(10);
    assert_eq!(world.get(&key)["status"]["readyReplicas"], 2);
}

#[test]
fn stateful_pods_have_claims_of_their_own_that_outlive_them() {
    let mut world = World::new();
    let claims = json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]});
    let key = world.create(ids::STATEFUL_SETS, stateful(2, &claims));
    world.pass(10);
    assert_eq!(
        world.names(ids::PERSISTENT_VOLUME_CLAIMS),
        ["data-db-0", "data-db-1"]
    );
    let pod = world.get(&Key::new(ids::PODS, "a", "db-1"));
    assert_eq!(
        pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"],
        "data-db-1"
    );
    world.spec(&key, |spec| spec["replicas"] = json!(0));
    world.pass(10);
    assert_eq!(world.names(ids::PERSISTENT_VOLUME_CLAIMS).len(), 2);
}

#[test]
fn a_daemon_set_has_one_pod_on_every_node_that_suits() {
    let mut world = World::new();
    let key = world.create(ids::DAEMON_SETS, workload("agent", 0, "good"));
    world.pass(5);
    let status = world.get(&key)["status"].clone();
    assert_eq!(status["desiredNumberScheduled"], 2);
    assert_eq!(status["numberAvailable"], 2);
    let taint = json!({"metadata": {"name": "n3"}, "spec": {"taints": [{"key": "x", "effect": "NoSchedule"}]}});
    world.create(ids::NODES, taint);
    world.create(
        ids::NODES,
        json!({"metadata": {"name": "n4"}, "spec": {"unschedulable": true}}),
    );
    world.pass(5);
    let nodes: Vec<_> = world
        .list(ids::PODS)
        .iter()
        .map(|pod| pod["spec"]["nodeName"].clone())
        .collect();
    assert_eq!(nodes.len(), 3);
    assert!(nodes.contains(&json!("n4")), "cordoned nodes are tolerated");
    world.spec(&key, |spec| set_image(spec, "good:2"));
    world.pass(30);
    assert_eq!(world.get(&key)["status"]["updatedNumberScheduled"], 3);
    world.spec(&key, |spec| {
        spec["template"]["spec"]["nodeSelector"] = json!({"no": "such"});
    });
    world.pass(10);
    assert_eq!(world.get(&key)["status"]["desiredNumberScheduled"], 0);
    assert!(world.names(ids::PODS).is_empty());
}

fn job(image: &str, more: &Value) -> Value {
    let mut value = json!({
        "metadata": {"name": "once", "namespace": "a"},
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": image}]}}},
    });
    for (name, field) in more.as_object().unwrap() {
        value["spec"][name] = field.clone();
    }
    value
}

#[test]
fn a_job_runs_to_its_number_of_completions() {
    let mut world = World::new();
    let spec = json!({"completions": 5, "parallelism": 2});
    let key = world.create(ids::JOBS, job("succeeds", &spec));
    world.pass(30);
    let status = world.get(&key)["status"].clone();
    assert_eq!(status["succeeded"], 5);
    assert!(status["completionTime"].is_string());
    assert_eq!(world.reason(&key, "Complete"), "CompletionsReached");
    assert_eq!(world.names(ids::PODS).len(), 5);
    assert_eq!(world.said("Completed"), ["Job completed"]);
}

#[test]
fn a_job_that_fails_waits_longer_each_time_and_gives_up() {
    let mut world = World::new();
    // The namespace's default account has to be there, or the first pod is refused and tried again.
    world.pass(1);
    let key = world.create(ids::JOBS, job("fails", &json!({"backoffLimit": 2})));
    world.pass(9);
    assert_eq!(world.names(ids::PODS).len(), 1);
    world.pass(4);
    assert_eq!(world.names(ids::PODS).len(), 2);
    world.pass(17);
    assert_eq!(
        world.names(ids::PODS).len(),
        2,
        "the second wait is twenty seconds"
    );
    world.pass(10);
    assert_eq!(world.get(&key)["status"]["failed"], 3);
    assert_eq!(world.reason(&key, "Failed"), "BackoffLimitExceeded");
    world.pass(3600);
    assert_eq!(world.names(ids::PODS).len(), 3);
}

#[test]
fn a_job_has_a_deadline_and_goes_after_its_time() {
    let mut world = World::new();
    let spec = json!({"activeDeadlineSeconds": 20, "ttlSecondsAfterFinished": 60});
    let key = world.create(ids::JOBS, job("good", &spec));
    world.pass(19);
    assert_eq!(world.reason(&key, "Failed"), "");
    world.pass(5);
    assert_eq!(world.reason(&key, "Failed"), "DeadlineExceeded");
    world.pass(70);
    assert_eq!(world.get(&key), Value::Null);
    assert!(world.names(ids::PODS).is_empty());
}

#[test]
fn a_suspended_job_has_no_pods() {
    let mut world = World::new();
    let key = world.create(ids::JOBS, job("good", &json!({"suspend": true})));
    world.pass(5);
    assert!(world.names(ids::PODS).is_empty());
    assert_eq!(world.said("Suspended"), ["Job suspended"]);
    world.spec(&key, |spec| spec["suspend"] = json!(false));
    world.pass(5);
    assert_eq!(world.names(ids::PODS).len(), 1);
}

#[test]
fn an_indexed_job_runs_each_index_once() {
    let mut world = World::new();
    let spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 2});
    let key = world.create(ids::JOBS, job("succeeds", &spec));
    world.pass(30);
    assert_eq!(world.get(&key)["status"]["completedIndexes"], "0-3");
    let pods = world.names(ids::PODS);
    assert!(pods[3].starts_with("once-3-"), "{pods:?}");
}
