//! Budgets and evictions through the API: whatever pods, budgets, readiness and order there are, no
//! eviction breaks a budget.

use super::*;
use crate::api::testing::post;
use crate::api::{self, Answer};
use proptest::prelude::*;

/// Something that happens between evictions, or one.
#[derive(Clone, Debug)]
enum Deed {
    Evict(usize),
    Ready(usize, bool),
    Scale(u32),
    Budget(Value),
    /// So many milliseconds.
    Pass(u64),
}

fn budget() -> impl Strategy<Value = Value> {
    let share = |percent: u32| format!("{percent}%");
    prop_oneof![
        (0..7_u32).prop_map(|number| json!({"minAvailable": number})),
        (0..=100_u32).prop_map(move |percent| json!({"minAvailable": share(percent)})),
        (0..7_u32).prop_map(|number| json!({"maxUnavailable": number})),
        (0..=100_u32).prop_map(move |percent| json!({"maxUnavailable": share(percent)})),
    ]
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let one = prop_oneof![
        6 => (0..12_usize).prop_map(Deed::Evict),
        2 => (0..12_usize, any::<bool>()).prop_map(|(index, ready)| Deed::Ready(index, ready)),
        1 => (0..9_u32).prop_map(Deed::Scale),
        1 => budget().prop_map(Deed::Budget),
        2 => (100..3_000_u64).prop_map(Deed::Pass),
    ];
    proptest::collection::vec(one, 1..30)
}

/// A Deployment's pods and some that nobody controls, under one budget.
struct Guarded {
    world: World,
    deployment: Key,
    budget: Key,
}

impl Guarded {
    fn new(replicas: u32, bare: u32, budget: Value) -> Self {
        let mut world = World::new();
        world.cluster.add_administrator("admin");
        let mut web = workload("web", replicas, "good");
        web["spec"]["template"]["metadata"]["labels"]["tier"] = json!("shop");
        let deployment = world.create(ids::DEPLOYMENTS, web);
        for number in 0..bare {
            let pod = json!({
                "metadata": {"name": format!("bare-{number}"), "namespace": "a", "labels": {"tier": "shop"}},
                "spec": {"containers": [{"name": "main", "image": "good"}]},
            });
            world.create(ids::PODS, pod);
        }
        let spec = guarding(budget);
        let object = json!({"metadata": {"name": "web", "namespace": "a"}, "spec": spec});
        let budget = world.create(ids::POD_DISRUPTION_BUDGETS, object);
        world.pass(5);
        Self {
            world,
            deployment,
            budget,
        }
    }

    fn act(&mut self, deed: &Deed) {
        match deed {
            Deed::Evict(index) => {
                self.evict(*index);
            }
            Deed::Ready(index, ready) => {
                let pod = self.pick(*index);
                // What has not started is never ready.
                let runs = |pod: &Key| self.world.get(pod)["status"]["phase"] == "Running";
                if let Some(pod) = pod.filter(runs) {
                    let word = if *ready { "True" } else { "False" };
                    let mut status = self.world.get(&pod)["status"].clone();
                    status["conditions"] = json!([{"type": "Ready", "status": word}]);
                    self.world.cluster.set_status(&pod, &status);
                }
                // A budget knows only what its controller has counted, here as in Kubernetes.
                self.settle();
            }
            Deed::Scale(replicas) => {
                let replicas = *replicas;
                self.world
                    .spec(&self.deployment, |spec| spec["replicas"] = json!(replicas));
                self.settle();
            }
            Deed::Budget(budget) => {
                let spec = guarding(budget.clone());
                self.world.spec(&self.budget, |old| *old = spec);
            }
            Deed::Pass(millis) => self.world.cluster.pass(Duration::from_millis(*millis)),
        }
    }

    fn settle(&mut self) {
        self.world.cluster.pass(Duration::from_millis(200));
    }

    fn pick(&self, index: usize) -> Option<Key> {
        let names = self.world.names(ids::PODS);
        let name = names.get(index % names.len().max(1))?;
        Some(Key::new(ids::PODS, "a", name))
    }

    /// Asks the API to evict a pod: the answer's code.
    fn evict(&mut self, index: usize) -> Option<u16> {
        let pod = self.pick(index)?;
        let url = format!("/api/v1/namespaces/a/pods/{}/eviction", pod.name);
        let body = json!({"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": "a"}});
        match api::handle(&mut self.world.cluster, &post(&url, &body.to_string())) {
            Answer::Whole(whole) => Some(whole.code),
            other => panic!("{other:?}"),
        }
    }

    /// How many pods are ready and stay.
    fn healthy(&self) -> i64 {
        let pods = self.world.list(ids::PODS);
        let healthy = pods.iter().filter(|pod| {
            pod["metadata"]["deletionTimestamp"].is_null()
                && pod["status"]["conditions"][0]["status"] == "True"
        });
        i64::try_from(healthy.count()).unwrap()
    }

    /// How many pods there should be, by the documentation of the budget's fields: the size that
    /// controllers ask for, or for a plain `minAvailable` the pods there are. And how many of them
    /// have to be healthy.
    fn wanted(&self) -> (i64, i64) {
        let pods = self.world.list(ids::PODS);
        let controlled = pods
            .iter()
            .any(|pod| !pod["metadata"]["ownerReferences"].is_null());
        let size = &self.world.get(&self.deployment)["spec"]["replicas"];
        let expected = if controlled {
            size.as_i64().unwrap()
        } else {
            0
        };
        let spec = &self.world.get(&self.budget)["spec"];
        let number = |value: &Value| match value.as_str() {
            Some(text) => {
                let percent: i64 = text.strip_suffix('%').unwrap().parse().unwrap();
                Some((percent * expected + 99) / 100)
            }
            None => value.as_i64(),
        };
        if spec["minAvailable"].is_number() {
            let all = i64::try_from(pods.len()).unwrap();
            return (all, number(&spec["minAvailable"]).unwrap());
        }
        let least = number(&spec["minAvailable"]);
        let most = number(&spec["maxUnavailable"]);
        (
            expected,
            least.unwrap_or_else(|| expected - most.unwrap()).max(0),
        )
    }
}

fn guarding(mut budget: Value) -> Value {
    budget["selector"] = json!({"matchLabels": {"tier": "shop"}});
    budget
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_budget_is_broken_by_eviction(
        replicas in 0..8_u32, bare in 0..4_u32, budget in budget(), deeds in deeds(),
    ) {
        let mut guarded = Guarded::new(replicas, bare, budget);
        for deed in &deeds {
            let before = guarded.healthy();
            guarded.act(deed);
            let after = guarded.healthy();
            if matches!(deed, Deed::Evict(_)) && after < before {
                let (_, desired) = guarded.wanted();
                prop_assert!(after >= desired, "{deed:?}: {before} -> {after} of {desired}");
                prop_assert_eq!(after, before - 1);
            }
        }
    }

    #[test]
    fn a_budget_with_room_lets_as_many_go_as_there_is_room_for(
        replicas in 0..8_u32, bare in 0..4_u32, budget in budget(),
    ) {
        let mut guarded = Guarded::new(replicas, bare, budget);
        let (expected, desired) = guarded.wanted();
        let room = if expected > 0 { (guarded.healthy() - desired).max(0) } else { 0 };
        let all = guarded.world.names(ids::PODS).len();
        // No time passes between them.
        let codes: Vec<u16> = (0..all).filter_map(|index| guarded.evict(index)).collect();
        let let_go = codes.iter().filter(|code| **code == 201).count();
        prop_assert_eq!(i64::try_from(let_go).unwrap(), room);
        prop_assert!(codes.iter().all(|code| matches!(code, 201 | 429)), "{codes:?}");
    }
}
