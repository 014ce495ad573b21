//! What a rehearsal says, and that it can send nothing but `dryRun=All`.

use super::*;
use nightshift_core::guard::Rehearsal;

async fn rehearse(step: &Step, script: impl IntoIterator<Item = Reply>) -> (Rehearsal, Server) {
    let server = Server::new(script);
    let rehearsal = server.hands().rehearse(step).await;
    (rehearsal, server)
}

fn kind(rehearsal: &Rehearsal) -> &'static str {
    match rehearsal {
        Rehearsal::Accepted { .. } => "accepted",
        Rehearsal::Local { .. } => "local",
        Rehearsal::NoRight { .. } => "no right",
        Rehearsal::Forbidden { .. } => "forbidden",
        Rehearsal::Refused { .. } => "refused",
        Rehearsal::Stale { .. } => "stale",
        Rehearsal::Failed { .. } => "failed",
    }
}

#[tokio::test]
async fn every_action_is_rehearsed_with_dry_run_only() {
    let table = [
        (set_image(), vec![deployment()]),
        (set_memory(), vec![deployment()]),
        (roll_back(), vec![deployment(), replica_set(1)]),
        (Action::DeletePod, vec![pod()]),
        (Action::Evict, vec![pod()]),
        (Action::Cordon, vec![node(None)]),
        (Action::Uncordon, vec![node(Some(true))]),
    ];
    for (action, reads) in table {
        let step = step(action, &reads[0]);
        // A conflict, so that more than one request is sent.
        let round = || reads.iter().map(says);
        let script = round()
            .chain([status(409, "modified")])
            .chain(round())
            .chain([says(&reads[0])]);
        let (rehearsal, server) = rehearse(&step, script.collect::<Vec<_>>()).await;
        assert_eq!(kind(&rehearsal), "accepted", "{}", step.action.word());
        let sent = server.sent();
        assert_eq!(sent.len(), 2);
        for asked in sent {
            assert!(asked.line.ends_with("&dryRun=All"), "{}", asked.line);
            let in_body =
                asked.line.starts_with("DELETE") && asked.body["dryRun"] == json!(["All"]);
            assert!(
                in_body || !asked.line.starts_with("DELETE"),
                "a DELETE reads its body only"
            );
        }
    }
}

#[tokio::test]
async fn the_servers_answer_is_compared_with_what_was_read() {
    let step = step(set_image(), &deployment());
    let mut returned = deployment();
    returned["metadata"]["generation"] = json!(4);
    returned["metadata"]["managedFields"] = json!([{"manager": "nightshift"}]);
    returned["spec"]["template"]["spec"]["containers"][1]["image"] = json!("shop:1");
    let (rehearsal, _) = rehearse(&step, [says(&deployment()), says(&returned)]).await;
    let diff = vec!["spec.template.spec.containers[app].image: shop:2 -> shop:1".to_owned()];
    assert_eq!(rehearsal, Rehearsal::Accepted { diff });
}

#[tokio::test]
async fn without_the_right_or_a_webhooks_support_the_diff_is_made_here() {
    let no_right = r#"deployments.apps "shop" is forbidden: User "system:serviceaccount:nightshift:nightshift" cannot patch resource "deployments""#;
    let no_support = r#"admission webhook "w.test" does not support dry run"#;
    let step = step(set_memory(), &deployment());
    for (code, message) in [(403, no_right), (400, no_support)] {
        let (rehearsal, _) = rehearse(&step, [says(&deployment()), status(code, message)]).await;
        let diff = vec![
            "spec.template.spec.containers[app].resources.limits.memory: 256Mi -> 512Mi".to_owned(),
            "spec.template.spec.containers[app].resources.requests.memory: (none) -> 256Mi"
                .to_owned(),
        ];
        let why = format!("{code}: {message}");
        let expected = match code {
            403 => Rehearsal::NoRight { diff, why },
            _ => Rehearsal::Local { diff, why },
        };
        assert_eq!(rehearsal, expected);
    }
}

#[tokio::test]
async fn a_roll_back_shows_no_value_of_the_environment() {
    let mut old_set = replica_set(1);
    old_set["spec"]["template"]["spec"]["containers"][1]["env"][0]["value"] = json!("swordfish");
    let to = RevisionRef {
        template: template_digest(&old_set["spec"]["template"]),
        ..revision(Kind::ReplicaSet, 1)
    };
    let from = revision(Kind::ReplicaSet, 2);
    let step = step(Action::RollBack { from, to }, &deployment());
    let no = status(400, "admission webhook \"w\" does not support dry run");
    let (rehearsal, _) = rehearse(&step, [says(&deployment()), says(&old_set), no]).await;
    let text = format!("{rehearsal:?}");
    assert!(
        text.contains("env[KEY].value: (not shown) -> (not shown)"),
        "{text}"
    );
    assert!(
        !text.contains("hunter2") && !text.contains("swordfish"),
        "{text}"
    );
}

#[tokio::test]
async fn a_rule_of_admission_forbids_and_a_budget_or_a_wrong_value_refuses() {
    let denied = "admission webhook \"w.test\" denied the request: no";
    let image = step(set_image(), &deployment());
    let (rehearsal, _) = rehearse(&image, [says(&deployment()), status(403, denied)]).await;
    assert_eq!(
        rehearsal,
        Rehearsal::Forbidden {
            why: format!("403: {denied}")
        }
    );
    // Nor may we look.
    let (rehearsal, server) = rehearse(&image, [status(403, denied)]).await;
    assert_eq!(kind(&rehearsal), "forbidden");
    assert!(server.sent().is_empty());
    let (rehearsal, _) = rehearse(&image, [says(&deployment()), status(413, "too large")]).await;
    assert_eq!(kind(&rehearsal), "refused");
    let evict = step(Action::Evict, &pod());
    for reply in [status(429, "budget"), status(201, "two budgets")] {
        let (rehearsal, _) = rehearse(&evict, [says(&pod()), reply]).await;
        assert_eq!(kind(&rehearsal), "refused");
    }
}

#[tokio::test]
async fn a_target_that_is_gone_or_changed_is_stale_and_nothing_is_sent() {
    let step = step(set_image(), &deployment());
    let mut other = deployment();
    other["metadata"]["uid"] = json!("uid-new");
    let mut edited = deployment();
    edited["spec"]["template"]["spec"]["containers"][1]["image"] = json!("shop:3");
    let mut leaving = deployment();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-05T10:00:00Z");
    for reply in [
        says(&other),
        says(&edited),
        says(&leaving),
        status(404, "not found"),
    ] {
        let (rehearsal, server) = rehearse(&step, [reply]).await;
        assert_eq!(kind(&rehearsal), "stale");
        assert!(server.sent().is_empty());
    }
}

#[tokio::test]
async fn a_heartbeat_or_a_status_change_is_not_stale() {
    let step = step(set_image(), &deployment());
    let mut busy = deployment();
    busy["metadata"]["resourceVersion"] = json!("99");
    busy["status"]["unavailableReplicas"] = json!(1);
    let (rehearsal, _) = rehearse(&step, [says(&busy), says(&busy)]).await;
    assert_eq!(kind(&rehearsal), "accepted");
}

#[tokio::test]
async fn no_answer_fails_and_is_not_health() {
    let step = step(set_image(), &deployment());
    for reply in [
        Reply::HangsUp,
        Reply::Refuses,
        status(500, "etcd"),
        status(429, "slow down"),
    ] {
        let (rehearsal, _) = rehearse(&step, [says(&deployment()), reply]).await;
        assert_eq!(kind(&rehearsal), "failed");
    }
    let (rehearsal, _) = rehearse(&step, [Reply::HangsUp]).await;
    assert_eq!(kind(&rehearsal), "failed");
}

#[tokio::test]
async fn a_container_that_is_not_in_the_template_is_refused() {
    let mut step = step(set_image(), &deployment());
    step.action = Action::SetImage {
        container: "sidecar".into(),
        from: "sidecar:2".into(),
        to: "sidecar:1".into(),
    };
    let live = Live::decode(String::new(), &step.target, deployment()).unwrap();
    step.basis = nightshift_core::plan::basis(&step.action, &live.object);
    let (rehearsal, server) = rehearse(&step, [says(&deployment())]).await;
    let why = "container sidecar is not in the template of Deployment demo/shop".to_owned();
    assert_eq!(rehearsal, Rehearsal::Refused { why });
    assert!(server.sent().is_empty());
}

#[tokio::test]
async fn a_revision_that_is_not_the_planned_one_is_stale() {
    let step = step(roll_back(), &deployment());
    let mut edited = replica_set(1);
    edited["spec"]["template"]["spec"]["containers"][1]["image"] = json!("evil:1");
    let mut reborn = replica_set(1);
    reborn["metadata"]["uid"] = json!("uid-other");
    let mut foreign = replica_set(1);
    foreign["metadata"]["ownerReferences"][0]["uid"] = json!("uid-stranger");
    for revision in [edited, reborn, foreign] {
        let (rehearsal, server) = rehearse(&step, [says(&deployment()), says(&revision)]).await;
        assert_eq!(kind(&rehearsal), "stale");
        assert!(server.sent().is_empty());
    }
    // The narrow types do not see the environment; the digest of the template does.
    let mut env = deployment();
    env["spec"]["template"]["spec"]["containers"][1]["env"][0]["value"] = json!("new");
    let (rehearsal, server) = rehearse(&step, [says(&env), says(&replica_set(1))]).await;
    assert_eq!(kind(&rehearsal), "stale");
    assert!(server.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_sleeps_is_not_waited_for() {
    let step = step(set_image(), &deployment());
    let (rehearsal, _) = rehearse(&step, [Reply::Sleeps]).await;
    let why = "no answer within 4 s".to_owned();
    assert_eq!(rehearsal, Rehearsal::Failed { why });
}
