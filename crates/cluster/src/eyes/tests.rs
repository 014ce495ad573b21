//! Conversations with an API server that a test makes up, on virtual time.

mod fake;

use super::*;
use crate::eyes::Heard;
use fake::{After, Fake, Reply, TestClock, bookmark, clock, event, list, object, pod, status};
use nightshift_core::world::Kind;
use serde_json::{Value, json};

const PODS: &str = "/api/v1/pods";
const SETS: &str = "/apis/apps/v1/replicasets";
const DEPLOYMENTS: &str = "/apis/apps/v1/deployments";

struct Watched {
    eyes: Eyes,
    hearing: Hearing,
    clock: Arc<TestClock>,
}

fn fake() -> (Fake, Arc<TestClock>) {
    let clock = clock();
    let fake = Fake::new(&clock);
    fake.has(SETS, &[object("cart-1", "1", "Deployment/cart")]);
    fake.has(DEPLOYMENTS, &[object("cart", "1", "")]);
    (fake, clock)
}

fn start(fake: &Fake, clock: &Arc<TestClock>) -> Watched {
    let (eyes, hearing) = Eyes::start(
        fake.clients().read,
        "cluster".into(),
        Arc::clone(clock) as Arc<dyn Clock>,
        Limits::default(),
    );
    Watched {
        eyes,
        hearing,
        clock: Arc::clone(clock),
    }
}

impl Watched {
    /// Waits until so many seconds after the beginning.
    async fn until(&self, seconds: i64) {
        let begin: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        let left = begin + SignedDuration::from_secs(seconds) - self.clock.now();
        let left = Duration::try_from(SignedDuration::try_from(left).unwrap()).unwrap();
        tokio::time::sleep(left).await;
    }

    /// What was heard by now, of sources and subjects.
    async fn heard(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        while let Ok(Some(heard)) =
            tokio::time::timeout(Duration::from_millis(1), self.hearing.recv()).await
        {
            all.push(match heard {
                Heard::Subject { subject, .. } => subject.to_string(),
                Heard::KnownGood { workload, revision } => format!("{workload} {revision}"),
                Heard::Blind { source, why } => format!("{source:?} blind: {why}"),
                Heard::Sees { source } => format!("{source:?} sees"),
            });
        }
        all
    }

    async fn pods(&self) -> Vec<String> {
        let seen = self.eyes.observe(&Scope::Cluster, false, false).await;
        seen.pods
            .iter()
            .map(|pod| pod.metadata.name.clone())
            .collect()
    }

    fn pods_seen(&self) -> bool {
        matches!(self.eyes.coverage()[&Source::Pods], Coverage::Seen { .. })
    }
}

fn cart() -> Scope {
    Scope::Of(ObjectRef {
        kind: Kind::Deployment,
        namespace: "demo".to_owned(),
        name: "cart".to_owned(),
        uid: "cart-uid".into(),
    })
}

/// A rule whose watches are these, one after the other, the last one for ever.
fn watches(
    mut scripts: Vec<(Vec<(u64, Value)>, After)>,
) -> impl FnMut(&str) -> Option<Reply> + Send {
    move |query| {
        if !query.contains("watch=true") {
            return None;
        }
        let (lines, after) = if scripts.len() > 1 {
            scripts.remove(0)
        } else {
            scripts[0].clone()
        };
        Some(Reply::Lines(lines, after))
    }
}

#[tokio::test(start_paused = true)]
async fn all_pages_of_a_list_are_taken() {
    let (fake, clock) = fake();
    fake.on(PODS, |query| {
        let reply = if query.contains("watch=true") {
            return None;
        } else if query.contains("continue=page%2F2") {
            list("9", "", &[pod("b", "2", false)])
        } else {
            list("9", "page/2", &[pod("a", "1", false)])
        };
        Some(Reply::Json(200, reply))
    });
    let watched = start(&fake, &clock);
    watched.until(1).await;
    assert_eq!(watched.pods().await, ["a", "b"]);
    assert!(watched.pods_seen());
    let asked = fake.asked(PODS);
    assert!(asked[0].starts_with("limit=200 "), "{asked:?}");
    assert!(asked[2].contains("resourceVersion=9"), "{asked:?}");
    assert!(asked[2].contains("allowWatchBookmarks=true"), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn trouble_is_told_with_its_owner() {
    let (fake, clock) = fake();
    let sick = event("ADDED", &pod("a", "5", true));
    fake.on(PODS, watches(vec![(vec![(2, sick)], After::Stay)]));
    let mut watched = start(&fake, &clock);
    watched.until(1).await;
    assert_eq!(watched.heard().await, [""; 0]);
    watched.until(3).await;
    assert_eq!(watched.heard().await, ["Deployment demo/cart"]);
}

#[tokio::test(start_paused = true)]
async fn a_bookmark_is_news_and_the_next_watch_goes_on_from_it() {
    let (fake, clock) = fake();
    let first = (vec![(60, bookmark("41")), (60, bookmark("42"))], After::End);
    fake.on(PODS, watches(vec![first, (vec![], After::Stay)]));
    let mut watched = start(&fake, &clock);
    watched.until(119).await;
    assert!(watched.pods_seen(), "{:?}", watched.eyes.coverage());
    watched.until(125).await;
    let asked = fake.asked(PODS);
    assert!(
        asked.last().unwrap().contains("resourceVersion=42"),
        "{asked:?}"
    );
    let blind = watched.heard().await;
    assert!(!blind.iter().any(|news| news.contains("Pods")), "{blind:?}");
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_in_the_stream_means_a_new_list_which_drops_what_vanished() {
    let (fake, clock) = fake();
    let expired = event("ERROR", &status(410, "too old resource version"));
    fake.on(
        PODS,
        watches(vec![
            (vec![(5, expired)], After::Stay),
            (vec![], After::Stay),
        ]),
    );
    let mut lists = vec![
        list("1", "", &[pod("a", "1", true), pod("b", "1", false)]),
        list("7", "", &[pod("b", "1", false)]),
    ];
    fake.on(PODS, move |query| {
        let list = || {
            if lists.len() > 1 {
                lists.remove(0)
            } else {
                lists[0].clone()
            }
        };
        (!query.contains("watch=true"))
            .then(list)
            .map(|list| Reply::Json(200, list))
    });
    let mut watched = start(&fake, &clock);
    watched.until(4).await;
    assert_eq!(watched.pods().await, ["a", "b"]);
    drop(watched.heard().await);
    watched.until(7).await;
    assert_eq!(watched.pods().await, ["b"]);
    assert_eq!(
        watched.heard().await,
        ["Deployment demo/cart"],
        "trouble went"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expired_version_at_the_opening_and_expired_pages_mean_a_new_list() {
    let (fake, clock) = fake();
    let mut pages = 0;
    let mut opened = 0;
    fake.on(PODS, move |query| {
        if query.contains("watch=true") {
            opened += 1;
            return (opened == 1).then(|| Reply::Json(410, status(410, "too old")));
        }
        pages += 1;
        Some(match pages {
            1 => Reply::Json(200, list("1", "next", &[pod("a", "1", false)])),
            2 => Reply::Json(410, status(410, "the continue token is too old")),
            _ => Reply::Json(200, list("2", "", &[pod("b", "1", false)])),
        })
    });
    let watched = start(&fake, &clock);
    watched.until(5).await;
    assert_eq!(watched.pods().await, ["b"]);
    let asked = fake.asked(PODS);
    let kinds: Vec<_> = asked
        .iter()
        .map(|query| query.contains("watch=true"))
        .collect();
    assert_eq!(kinds, [false, false, false, true, false, true], "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silently_dropped_connection_is_probed_blind_and_seen_again() {
    let (fake, clock) = fake();
    let server = Arc::clone(&clock);
    fake.on(PODS, move |query| {
        let begin: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        let second = server.now().duration_since(begin).as_secs();
        match (second, query.contains("watch=true")) {
            (1..200, _) => Some(Reply::Nothing),
            (200.., true) => Some(Reply::Lines(
                vec![(1, event("ADDED", &pod("a", "8", true)))],
                After::Stay,
            )),
            _ => None,
        }
    });
    let mut watched = start(&fake, &clock);
    watched.until(89).await;
    assert!(watched.pods_seen());
    watched.until(101).await;
    assert!(!watched.pods_seen());
    let probe = fake
        .asked(PODS)
        .into_iter()
        .find(|query| query.starts_with("limit=1 "));
    assert!(probe.is_some());
    let blind = watched
        .heard()
        .await
        .into_iter()
        .filter(|news| news.starts_with("Pods"));
    assert_eq!(
        blind.collect::<Vec<_>>(),
        ["Pods blind: silent for 90 s, and the probe failed: no answer within 10 s"]
    );
    watched.until(280).await;
    assert!(watched.pods_seen());
    let news = watched.heard().await;
    let news: Vec<_> = news
        .iter()
        .filter(|n| n.contains("Pods") || n.contains("cart"))
        .collect();
    assert_eq!(
        news,
        ["Pods sees", "Deployment demo/cart"],
        "what was missed came too"
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_source_whose_probe_is_answered_is_never_blind() {
    let (fake, clock) = fake();
    let mut watched = start(&fake, &clock);
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(watched.pods_seen());
    }
    assert_eq!(watched.heard().await, [""; 0]);
    let watches = fake
        .asked(PODS)
        .into_iter()
        .filter(|query| query.contains("watch=true"));
    assert_eq!(watches.count(), 7, "opened anew each 90 s");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_minutes_is_asked_seldom_and_found_again() {
    let (fake, clock) = fake();
    let server = Arc::clone(&clock);
    let away = move || {
        let begin: Timestamp = "2026-01-05T10:00:00Z".parse().unwrap();
        let second = server.now().duration_since(begin).as_secs();
        (10..310).contains(&second)
    };
    let first = (vec![(10, bookmark("5"))], After::End);
    fake.on(PODS, watches(vec![first, (vec![], After::Stay)]));
    fake.on(PODS, move |_| away().then_some(Reply::Refused));
    let mut watched = start(&fake, &clock);
    watched.until(20).await;
    assert!(!watched.pods_seen());
    let before = fake.asked(PODS).len();
    watched.until(300).await;
    let tries = fake.asked(PODS).len() - before;
    assert!((5..=20).contains(&tries), "{tries} tries in 280 s");
    watched.until(350).await;
    assert!(watched.pods_seen());
    let asked = fake.asked(PODS);
    assert!(
        asked.last().unwrap().contains("resourceVersion=5"),
        "{asked:?}"
    );
    let news = watched.heard().await;
    assert!(news.contains(&"Pods sees".to_owned()), "{news:?}");
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_list_a_source_is_blind_and_the_others_see() {
    let (fake, clock) = fake();
    fake.on(PODS, |_| {
        Some(Reply::Json(403, status(403, "pods is forbidden")))
    });
    let mut watched = start(&fake, &clock);
    watched.until(5).await;
    assert_eq!(watched.heard().await, ["Pods blind: 403 pods is forbidden"]);
    let blind = |(_, coverage): &(_, _)| matches!(coverage, Coverage::Blind { .. });
    let blind = watched.eyes.coverage().into_iter().filter(blind);
    assert_eq!(
        blind.map(|(source, _)| source).collect::<Vec<_>>(),
        [Source::Pods]
    );
}

#[tokio::test(start_paused = true)]
async fn config_maps_are_asked_for_as_metadata_and_secrets_not_at_all() {
    let (fake, clock) = fake();
    let watched = start(&fake, &clock);
    watched.until(1).await;
    drop(watched.eyes.observe(&cart(), true, true).await);
    let asked = fake.asked("/api/v1/configmaps");
    assert!(
        asked[0].ends_with("[application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1]")
    );
    assert!(asked[1].ends_with("[application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1]"));
    for line in fake.log() {
        assert!(
            line.starts_with("GET ") && !line.contains("secrets"),
            "{line}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_blind() {
    let (fake, clock) = fake();
    let mut watched = start(&fake, &clock);
    assert!(matches!(
        watched.eyes.coverage()[&Source::Clock],
        Coverage::Blind { .. }
    ));
    watched.until(1).await;
    assert!(matches!(
        watched.eyes.coverage()[&Source::Clock],
        Coverage::Seen { .. }
    ));
    fake.run_ahead(-10);
    watched.until(60).await;
    let news = watched.heard().await;
    assert_eq!(news.len(), 1, "{news:?}");
    assert!(
        news[0].starts_with("Clock blind: the API server's clock is -"),
        "{news:?}"
    );
    fake.run_ahead(0);
    watched.until(120).await;
    assert_eq!(watched.heard().await, ["Clock sees"]);
}

#[tokio::test(start_paused = true)]
async fn a_watched_owner_is_told_of_every_change_below_it() {
    let (fake, clock) = fake();
    let well = event("MODIFIED", &pod("a", "5", false));
    fake.has(PODS, &[object("a", "1", "ReplicaSet/cart-1")]);
    fake.on(
        PODS,
        watches(vec![(vec![(5, well.clone()), (5, well)], After::Stay)]),
    );
    let mut watched = start(&fake, &clock);
    let Scope::Of(owner) = cart() else {
        unreachable!()
    };
    watched.eyes.watch_owner(owner);
    watched.until(1).await;
    drop(watched.heard().await);
    watched.until(7).await;
    assert_eq!(watched.heard().await, ["Deployment demo/cart"]);
    watched.until(12).await;
    assert_eq!(watched.heard().await, [""; 0], "it says nothing new");
}

#[tokio::test(start_paused = true)]
async fn a_revision_that_stays_available_becomes_known_good() {
    let (fake, clock) = fake();
    let revision = json!({"deployment.kubernetes.io/revision": "3"});
    let mut deployment = object("cart", "1", "");
    deployment["metadata"]["annotations"] = revision.clone();
    deployment["spec"] = json!({"replicas": 2});
    deployment["status"] = json!({"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2});
    let mut set = object("cart-1", "1", "Deployment/cart");
    set["metadata"]["annotations"] = revision;
    fake.has(DEPLOYMENTS, &[deployment]).has(SETS, &[set]);
    let mut watched = start(&fake, &clock);
    watched.until(595).await;
    assert_eq!(watched.heard().await, [""; 0]);
    watched.until(610).await;
    assert_eq!(
        watched.heard().await,
        ["Deployment demo/cart ReplicaSet demo/cart-1"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_fresh_look_overrides_the_watches() {
    let (fake, clock) = fake();
    fake.has(PODS, &[pod("a", "1", true), pod("b", "1", true)]);
    let in_demo = |plural: &str| format!("/apis/apps/v1/namespaces/demo/{plural}");
    let mut set = object("cart-1", "2", "Deployment/cart");
    set["spec"] = json!({"template": {"spec": {"containers": [{"name": "app", "args": ["x"]}]}}});
    let template = set["spec"]["template"].clone();
    fake.has(&in_demo("replicasets"), &[set]);
    fake.has(
        "/api/v1/namespaces/demo/pods",
        &[pod("b", "3", false), pod("c", "3", false)],
    );
    let mut deployment = object("cart", "2", "");
    deployment["spec"] = json!({"paused": true});
    fake.on(&in_demo("deployments/cart"), move |_| {
        Some(Reply::Json(200, deployment.clone()))
    });
    let refused = |_: &str| Some(Reply::Json(500, status(500, "etcd is slow")));
    fake.on("/api/v1/namespaces/demo/resourcequotas", refused);
    let scalers = "/apis/autoscaling.k8s.io/v1/namespaces/demo/verticalpodautoscalers";
    fake.on(scalers, |_| {
        Some(Reply::Json(404, status(404, "not found")))
    });
    let service = json!({"clientConfig": {"service": {"namespace": "guard", "name": "hook"}}});
    let hooks = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    fake.has(
        hooks,
        &[json!({"webhooks": [service, {"clientConfig": {"url": "https://x"}}]})],
    );
    let watched = start(&fake, &clock);
    watched.until(40).await;

    let seen = watched.eyes.observe(&cart(), true, false).await;
    let pods: Vec<_> = seen
        .pods
        .iter()
        .map(|pod| pod.metadata.name.as_str())
        .collect();
    assert_eq!(pods, ["b", "c"]);
    assert!(
        seen.pods
            .iter()
            .all(|pod| pod.status.container_statuses[0].ready)
    );
    assert!(seen.workload(&"cart-uid".into()).unwrap().spec.paused);
    assert!(seen.fresh);
    assert_eq!(
        seen.template_digests,
        BTreeMap::from([("cart-1-uid".into(), crate::template_digest(&template))])
    );
    assert!(seen.guarded_namespaces.webhooks.contains("guard"));
    let zero = Coverage::Seen { age_ms: 0 };
    for source in [
        Source::Pods,
        Source::ReplicaSets,
        Source::VerticalPodAutoscalers,
    ] {
        assert_eq!(seen.coverage[&source], zero, "{source:?}");
    }
    assert_eq!(
        seen.blind_to(&[Source::ResourceQuotas, Source::LimitRanges]),
        [(Source::ResourceQuotas, "500 etcd is slow".to_owned())]
    );
    let Coverage::Seen { age_ms } = seen.coverage[&Source::Jobs] else {
        panic!("jobs come from their watch")
    };
    assert!(age_ms > 30_000, "{age_ms}");
    assert_eq!(
        watched.pods().await,
        ["a", "b"],
        "the watches' own picture stays theirs"
    );
}

#[tokio::test(start_paused = true)]
async fn a_fresh_look_reads_the_nodes_of_its_pods_and_lists_all_only_when_their_watch_is_blind() {
    const NODES: &str = "/api/v1/nodes";
    let node = |name: &str, unschedulable: bool| {
        json!({
            "metadata": {"name": name, "uid": format!("{name}-uid"), "resourceVersion": "1"},
            "spec": {"unschedulable": unschedulable},
        })
    };
    for is_seen in [true, false] {
        let (fake, clock) = fake();
        let mut on_n1 = pod("a", "1", true);
        on_n1["spec"]["nodeName"] = json!("n1");
        fake.has(PODS, &[on_n1.clone()]);
        fake.has("/api/v1/namespaces/demo/pods", &[on_n1]);
        let now = node("n1", true);
        fake.on("/api/v1/nodes/n1", move |_| {
            Some(Reply::Json(200, now.clone()))
        });
        if is_seen {
            fake.has(NODES, &[node("n1", false), node("n2", false)]);
        } else {
            fake.on(NODES, |_| Some(Reply::Nothing));
        }
        let watched = start(&fake, &clock);
        watched.until(40).await;
        let lists = || {
            let asked = fake.asked(NODES);
            asked
                .iter()
                .filter(|query| !query.contains("watch=true"))
                .count()
        };
        let before = lists();
        let seen = watched.eyes.observe(&cart(), true, false).await;
        if is_seen {
            assert_eq!(lists(), before);
            assert!(seen.node("n1").unwrap().spec.unschedulable, "read now");
            assert!(!seen.node("n2").unwrap().spec.unschedulable);
            let Coverage::Seen { age_ms } = seen.coverage[&Source::Nodes] else {
                panic!("the nodes are seen")
            };
            assert!(age_ms > 30_000, "as old as the watch: {age_ms}");
        } else {
            assert!(lists() > before);
            assert!(!seen.covers(&[Source::Nodes]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_look_finds_the_owner_of_what_no_watch_has_seen() {
    let (fake, clock) = fake();
    for path in [PODS, SETS, DEPLOYMENTS] {
        fake.on(path, |_| Some(Reply::Nothing));
    }
    let get = |path: &str, value: Value| {
        fake.on(path, move |_| Some(Reply::Json(200, value.clone())));
    };
    get("/api/v1/namespaces/demo/pods/a", pod("a", "1", true));
    let apps = "/apis/apps/v1/namespaces/demo";
    get(
        &format!("{apps}/replicasets/cart-1"),
        object("cart-1", "1", "Deployment/cart"),
    );
    get(&format!("{apps}/deployments/cart"), object("cart", "1", ""));
    fake.has("/api/v1/namespaces/demo/pods", &[pod("a", "1", true)]);
    fake.has(
        &format!("{apps}/replicasets"),
        &[object("cart-1", "1", "Deployment/cart")],
    );
    let watched = start(&fake, &clock);
    let subject = ObjectRef {
        kind: Kind::Pod,
        namespace: "demo".to_owned(),
        name: "a".to_owned(),
        ..ObjectRef::default()
    };
    let seen = watched.eyes.observe(&Scope::Of(subject), true, false).await;
    let names: Vec<_> = seen
        .workloads
        .iter()
        .map(|w| w.metadata.name.as_str())
        .collect();
    assert_eq!((names, seen.pods.len()), (vec!["cart", "cart-1"], 1));
    let needs = [Source::Pods, Source::Deployments, Source::ReplicaSets];
    assert!(seen.covers(&needs), "{:?}", seen.coverage);
}

#[tokio::test(start_paused = true)]
async fn a_look_without_an_answer_is_blind_not_empty_and_ends() {
    let (fake, clock) = fake();
    fake.has(PODS, &[pod("a", "1", true)]);
    fake.on("/api/v1/namespaces/demo/pods", |_| Some(Reply::Nothing));
    let sets = "/apis/apps/v1/namespaces/demo/replicasets";
    fake.has(sets, &[object("cart-1", "1", "Deployment/cart")]);
    let watched = start(&fake, &clock);
    watched.until(1).await;
    let seen = watched.eyes.observe(&cart(), true, false).await;
    assert_eq!(
        seen.blind_to(&[Source::Pods]),
        [(Source::Pods, "no answer within 30 s".to_owned())]
    );
    assert!(
        !seen.covers(&[Source::Deployments]),
        "a list is no deployment"
    );
    assert_eq!(
        (seen.pods.len(), seen.workloads.len()),
        (1, 2),
        "what was known stays"
    );
}

#[tokio::test(start_paused = true)]
async fn logs_come_redacted_and_a_log_that_is_not_there_is_an_answer() {
    let (fake, clock) = fake();
    let mut crashed = pod("a", "1", true);
    let ended = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
    crashed["status"]["containerStatuses"][0] =
        json!({"name": "app", "restartCount": 2, "state": ended, "lastState": ended});
    fake.has(PODS, &[crashed]);
    fake.on("/api/v1/namespaces/demo/pods/a/log", |query| {
        let previous = query.contains("previous=true");
        let text = "started\npassword=hunter2 refused\n".to_owned();
        let gone = Reply::Json(400, status(400, "previous terminated container not found"));
        Some(if previous { gone } else { Reply::Text(text) })
    });
    let watched = start(&fake, &clock);
    watched.until(1).await;
    let seen = watched.eyes.observe(&cart(), false, true).await;
    let lines: Vec<_> = seen
        .logs
        .iter()
        .map(|log| (log.previous, log.lines.len()))
        .collect();
    assert_eq!(lines, [(false, 2), (true, 0)]);
    assert!(!format!("{:?}", seen.logs).contains("hunter2"));
    assert!(seen.covers(&[Source::Logs]));
}

#[tokio::test(start_paused = true)]
async fn a_scan_lists_everything_once_and_says_what_it_could_not_see() {
    let (fake, clock) = fake();
    fake.has(PODS, &[pod("a", "1", true)]);
    fake.on("/api/v1/events", |_| {
        Some(Reply::Json(403, status(403, "forbidden")))
    });
    let read = fake.clients().read;
    let seen = Eyes::scan(&read, "cluster".into(), clock, &Limits::default()).await;
    assert_eq!((seen.pods.len(), seen.workloads.len()), (1, 2));
    assert_eq!(seen.blind_to(&[Source::Events]).len(), 1);
    assert!(seen.covers(&[Source::Pods, Source::ConfigMaps, Source::Clock]));
    assert_eq!(fake.log().len(), RESOURCES.len());
}

#[tokio::test(start_paused = true)]
async fn stopped_eyes_end_all_their_tasks() {
    let (fake, clock) = fake();
    let mut watched = start(&fake, &clock);
    watched.until(1).await;
    watched.eyes.stop().await;
    let before = fake.log().len();
    watched.until(1000).await;
    assert_eq!(fake.log().len(), before);
    assert_eq!(watched.hearing.recv().await, None);
}
