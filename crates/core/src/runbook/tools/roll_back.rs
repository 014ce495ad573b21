//! `rollback_deployment`: back to the newest revision that is known to be good. Works for
//! Deployments, StatefulSets and DaemonSets.

use super::{Proposal, Run, Tool, WRITE_FIELDS, owner};
use crate::history::Act;
use crate::ids::Uid;
use crate::plan::{Action, Revision, current, revisions};
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{ConfigMapMeta, Container, Field, Object, Pod, Source, Workload};
use jiff::Timestamp;
use std::sync::Arc;

pub(in crate::runbook) const ROLLBACK_DEPLOYMENT: Tool = Tool {
    names: &["rollback_deployment"],
    fields: WRITE_FIELDS,
    needs: &[
        Source::Pods,
        Source::ReplicaSets,
        Source::ControllerRevisions,
    ],
    params: &[],
    run: Run::Write(propose),
    repeats: false,
};

fn propose(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    match owner::template_owner(cx) {
        Ok(workload) => roll_back(cx, def, workload).unwrap_or_else(Proposal::Person),
        Err(why) => Proposal::Person(why),
    }
}

fn roll_back(
    cx: &Context<'_>,
    def: &RunbookStep,
    workload: &Arc<Workload>,
) -> Result<Proposal, String> {
    let all = revisions(cx.snapshot, workload);
    let Some(now) = current(workload, &all) else {
        let name = workload.reference();
        return Ok(Proposal::Later(format!(
            "the controller has not caught up with {name}: its current revision is unknown"
        )));
    };
    let older = all.iter().filter(|revision| revision.number < now.number);
    let good = older
        .filter(|revision| revision.digest.is_none() || revision.digest != now.digest)
        .find_map(|revision| Some((revision, known_good(cx, revision, &all)?)));
    let Some((good, proved_at)) = good else {
        return Ok(Proposal::Pass(
            "no earlier revision is known to be good".to_owned(),
        ));
    };
    let unbound = |revision: &Revision<'_>| {
        format!(
            "the template of revision {} was not read: a roll back cannot be bound to it",
            revision.number
        )
    };
    let action = Action::RollBack {
        from: now.bound().ok_or_else(|| unbound(now))?,
        to: good.bound().ok_or_else(|| unbound(good))?,
    };
    let mut asks = edited_since(cx, good, proved_at);
    if !cx.came_with_revision() {
        asks.push("the fault did not come with the newest revision".to_owned());
    }
    let target = Object::Workload(workload.clone());
    Ok(owner::propose(cx, def, action, &target, asks))
}

/// Since when the revision is known to be good: it still has ready pods (the time is when the newest
/// of them started), or the record saw it fully available for 10 minutes. One that we left because
/// it did not work has to have been seen good after that.
fn known_good(
    cx: &Context<'_>,
    revision: &Revision<'_>,
    all: &[Revision<'_>],
) -> Option<Timestamp> {
    let ready = revision.pods(cx.snapshot).filter(|pod| pod.is_ready());
    let newest = ready.map(|pod| started(pod)).max();
    let recorded = || cx.history.known_good.get(revision.uid()).copied();
    let proved_at = newest.or_else(recorded)?;
    let mut since = cx.history.happened_since(proved_at);
    let was_left = since.any(|act| left(act, all) == Some(revision.uid()));
    (!was_left).then_some(proved_at)
}

/// The revision that the act turned away from: rolled back from, or given another image or more
/// memory. Then it is the newest that was there and has what the act changed.
fn left<'a>(act: &'a Act, all: &[Revision<'a>]) -> Option<&'a Uid> {
    let had = |container: &Container| match &act.step.action {
        Action::SetImage { from, .. } => container.image == *from,
        Action::SetMemory { limit, .. } => {
            container.resources.limits.get("memory") == limit.from.as_ref()
        }
        Action::RollBack { .. }
        | Action::DeletePod
        | Action::Evict
        | Action::Cordon
        | Action::Uncordon => false,
    };
    match &act.step.action {
        Action::RollBack { from, .. } => Some(&from.uid),
        Action::SetImage { container, .. } | Action::SetMemory { container, .. } => {
            let found = all.iter().find(|revision| {
                let owner = revision.meta.controller();
                let created = revision.meta.creation_timestamp;
                owner.is_some_and(|owner| owner.uid == act.step.target.uid)
                    && created.is_none_or(|at| at <= act.at)
                    && revision.template.spec.container(container).is_some_and(had)
            });
            found.map(|found| &found.meta.uid)
        }
        Action::DeletePod | Action::Evict | Action::Cordon | Action::Uncordon => None,
    }
}

/// When the oldest of the pod's containers started: all of them work with what they read then or
/// later. An unknown time is as old as can be, so that every edit counts as later.
fn started(pod: &Pod) -> Timestamp {
    let running = pod
        .container_statuses()
        .filter_map(|c| c.state.running.as_ref());
    let oldest = running.filter_map(|running| running.started_at).min();
    oldest.or(pod.status.start_time).unwrap_or(Timestamp::MIN)
}

/// Why the older revision may not work as it did: a ConfigMap that it uses was edited since, or it
/// cannot be told.
fn edited_since(cx: &Context<'_>, revision: &Revision<'_>, proved_at: Timestamp) -> Vec<String> {
    let used = revision.template.spec.config_maps();
    if used.is_empty() {
        return Vec::new();
    }
    let blind = cx.snapshot.blind_to(&[Source::ConfigMaps]);
    if let Some((_, why)) = blind.first() {
        return vec![format!("ConfigMaps were not seen: {why}")];
    }
    let namespace = &revision.meta.namespace;
    let mut asks = Vec::new();
    for name in used {
        let map = cx
            .snapshot
            .config_maps
            .iter()
            .find(|map| map.metadata.name == name && map.metadata.namespace == *namespace);
        match map.map(|map| edited_at(map)) {
            Some(Some(at)) if at <= proved_at => {}
            Some(Some(at)) => asks.push(format!(
                "ConfigMap {name} was edited at {at}, after revision {} was last seen good at {proved_at}",
                revision.number
            )),
            Some(None) => asks.push(format!("it is unknown when ConfigMap {name} was edited")),
            None => asks.push(format!(
                "ConfigMap {name}, which revision {} uses, was not seen",
                revision.number
            )),
        }
    }
    asks
}

/// When somebody last wrote the ConfigMap's data; without that, when it was created.
fn edited_at(map: &ConfigMapMeta) -> Option<Timestamp> {
    let managers = map.metadata.managed_fields.iter();
    let edits = managers
        .filter(|m| m.touches.contains(&Field::Data))
        .filter_map(|m| m.time);
    edits.max().or(map.metadata.creation_timestamp)
}

#[cfg(test)]
mod tests {
    use crate::diagnose::FaultClass;
    use crate::plan::{Action, MemoryChange};
    use crate::runbook::scene::{AT, Scene, done};
    use crate::testkit::{World, reference, world};
    use crate::world::pod::{EnvFrom, LocalName};
    use crate::world::{Field, Kind, PodSpec, Quantity, Source};

    const BACK: &str = "rollback:demo/cart:rev 2→1";

    /// Revision 1 ran for an hour; revision 2 crashes.
    fn cart() -> World {
        good()
            .revision(2)
            .image("img.test/cart:2")
            .pod("cart-2-a")
            .crash_loop(1, "Error", 10, 3)
    }

    fn good() -> World {
        world(AT)
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
    }

    fn uses_config(spec: &mut PodSpec) {
        let name = LocalName {
            name: "settings".into(),
            optional: false,
        };
        spec.containers[0].env_from = vec![EnvFrom {
            config_map_ref: Some(name),
            secret_ref: None,
        }];
    }

    fn configured() -> World {
        world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .template(uses_config)
            .pod("cart-1-a")
            .revision(2)
            .image("img.test/cart:2")
            .pod("cart-2-a")
            .crash_loop(1, "Error", 10, 3)
    }

    fn scene(world: World) -> Scene {
        let scene = Scene::new(FaultClass::CrashLoop, world);
        scene.tool("rollback_deployment").came_with_revision()
    }

    fn known_good(name: &str, scene: Scene) -> Scene {
        let mut scene = scene;
        let uid = reference(Kind::ReplicaSet, "demo", name).uid;
        scene
            .history
            .known_good
            .insert(uid, scene.snapshot.taken_at);
        scene
    }

    #[test]
    fn a_revision_with_ready_pods_is_known_to_be_good() {
        let step = scene(cart()).step();
        assert_eq!(step.describe(), BACK);
        assert_eq!(step.asks, Vec::<String>::new());
        let Action::RollBack { from, to } = step.action else {
            panic!("a roll back");
        };
        assert_eq!((from.name.as_str(), to.name.as_str()), ("cart-2", "cart-1"));
        assert_ne!(from.template, to.template);
    }

    #[test]
    fn without_ready_pods_only_the_record_makes_one_good() {
        let gone = || {
            good()
                .unready()
                .revision(2)
                .image("x:2")
                .pod("cart-2-a")
                .unready()
        };
        let says = scene(gone()).says();
        assert!(
            says.contains("no earlier revision is known to be good"),
            "{says}"
        );
        assert_eq!(known_good("cart-1", scene(gone())).says(), BACK);
        let current_only = known_good("cart-2", scene(gone())).says();
        assert!(current_only.starts_with("person"), "{current_only}");
    }

    #[test]
    fn the_newest_good_revision_is_taken() {
        let three = || {
            good()
                .revision(2)
                .image("img.test/cart:2")
                .pod("cart-2-a")
                .unready()
                .revision(3)
                .image("img.test/cart:3")
                .pod("cart-3-a")
                .unready()
        };
        assert_eq!(scene(three()).says(), "rollback:demo/cart:rev 3→1");
        let both = known_good("cart-2", scene(three()));
        assert_eq!(both.says(), "rollback:demo/cart:rev 3→2");
    }

    #[test]
    fn the_first_revision_and_one_with_the_same_template_have_nothing_to_go_back_to() {
        let first = world(AT)
            .deployment("demo", "cart")
            .revision(1)
            .pod("cart-1-a")
            .unready();
        assert!(
            scene(first)
                .says()
                .contains("no earlier revision is known to be good")
        );
        let same = good().revision(2).pod("cart-2-a").unready();
        assert!(
            scene(same)
                .says()
                .contains("no earlier revision is known to be good")
        );
    }

    #[test]
    fn a_fault_that_the_revision_did_not_bring_asks() {
        let scene = Scene::new(FaultClass::CrashLoop, cart()).tool("rollback_deployment");
        let asks = format!("{BACK} asks: the fault did not come with the newest revision");
        assert_eq!(scene.says(), asks);
    }

    #[test]
    fn a_config_map_edited_since_asks() {
        let edited = |ago| {
            let world = configured().config_map("demo", "settings");
            scene(world.managed("kubectl-edit", &[Field::Data], ago)).says()
        };
        // The ready pod of revision 1 started an hour ago.
        assert_eq!(edited(3601), BACK);
        assert_eq!(edited(3600), BACK);
        assert!(
            edited(3599).contains("asks: ConfigMap settings was edited at"),
            "{}",
            edited(3599)
        );
        let labels_only = configured()
            .config_map("demo", "settings")
            .managed("x", &[], 10);
        assert_eq!(scene(labels_only).says(), BACK);
        let other = configured()
            .config_map("demo", "settings")
            .config_map("demo", "other");
        let other = other.managed("kubectl-edit", &[Field::Data], 10);
        assert_eq!(scene(other).says(), BACK);
    }

    #[test]
    fn a_config_map_that_was_not_seen_asks() {
        let missing = scene(configured()).says();
        assert!(
            missing.contains("ConfigMap settings, which revision 1 uses, was not seen"),
            "{missing}"
        );
        let blind = configured()
            .config_map("demo", "settings")
            .unseen(Source::ConfigMaps);
        let blind = scene(blind).says();
        assert!(blind.contains("ConfigMaps were not seen"), "{blind}");
        let unknown = configured().config_map("demo", "settings");
        let unknown = scene(unknown).seen(|snapshot| {
            let mut map = (*snapshot.config_maps[0]).clone();
            map.metadata.creation_timestamp = None;
            snapshot.config_maps = vec![map.into()];
        });
        assert!(
            unknown
                .says()
                .contains("it is unknown when ConfigMap settings was edited")
        );
    }

    #[test]
    fn a_template_that_was_not_read_cannot_be_bound() {
        let scene = scene(cart().from_watch());
        assert!(
            scene
                .says()
                .contains("was not read: a roll back cannot be bound to it")
        );
    }

    #[test]
    fn a_controller_that_has_not_caught_up_is_waited_for() {
        let behind = cart().edit_workload(|w| {
            w.metadata.generation = 5;
            w.status.observed_generation = 4;
        });
        let says = scene(behind).says();
        assert!(
            says.starts_with("later: ") && says.contains("has not caught up"),
            "{says}"
        );
    }

    #[test]
    fn a_revision_that_we_rolled_away_from_has_to_be_seen_good_after_that() {
        let away = |hours| {
            let scene = scene(cart());
            let Action::RollBack { from, to } = scene.step().action else {
                panic!("a roll back");
            };
            let action = Action::RollBack { from: to, to: from };
            let cart = reference(Kind::Deployment, "demo", "cart");
            scene.acted(action, &cart, hours, done()).says()
        };
        // Its ready pod started an hour ago.
        assert!(
            away(0).contains("no earlier revision is known to be good"),
            "{}",
            away(0)
        );
        assert_eq!(away(2), BACK);
    }

    #[test]
    fn a_revision_whose_image_or_memory_we_changed_has_to_be_seen_good_after_that() {
        let away = |action: &Action, hours| {
            let scene = scene(cart());
            let cart = reference(Kind::Deployment, "demo", "cart");
            scene.acted(action.clone(), &cart, hours, done()).says()
        };
        let image = |from: &str| Action::SetImage {
            container: "app".into(),
            from: from.into(),
            to: "img.test/cart:9".into(),
        };
        let first = image("img.test/cart:1");
        let none = "no earlier revision is known to be good";
        assert!(away(&first, 0).contains(none), "{}", away(&first, 0));
        assert_eq!(away(&first, 2), BACK, "its ready pod started an hour ago");
        let second = image("img.test/cart:2");
        assert_eq!(away(&second, 0), BACK, "the newer one was left, not this");
        let memory = Action::SetMemory {
            container: "app".into(),
            limit: MemoryChange {
                from: None,
                to: Some(Quantity::from("256Mi")),
            },
            request: MemoryChange {
                from: None,
                to: None,
            },
        };
        // Both have no limit: the newer one is the one that ran.
        assert_eq!(away(&memory, 0), BACK);
    }

    #[test]
    fn a_ready_pod_without_a_start_proves_nothing_about_edits() {
        let edited =
            configured()
                .config_map("demo", "settings")
                .managed("x", &[Field::Data], 90_000);
        let scene = scene(edited).seen(|snapshot| {
            let mut pod = (*snapshot.pods[0]).clone();
            pod.status.start_time = None;
            pod.status.container_statuses[0].state.running = None;
            snapshot.pods[0] = pod.into();
        });
        assert!(scene.says().contains("edited at"), "{}", scene.says());
    }

    #[test]
    fn owners_without_a_template_to_go_back_to_are_a_persons_case() {
        let custom = cart().edit_workload(|_| {}).owned_by("Rollout", "cart");
        let table = [
            (custom, "is a custom resource"),
            (
                world(AT).job("demo", "load").pod("load-a").unready(),
                "the template of a Job is immutable",
            ),
            (
                world(AT).bare_pod("demo", "alone").unready(),
                "has no controller",
            ),
        ];
        for (world, why) in table {
            let says = scene(world).says();
            assert!(
                says.starts_with("person: it: ") && says.contains(why),
                "{says}"
            );
        }
    }

    #[test]
    fn stateful_and_daemon_sets_go_back_too() {
        for kind in ["stateful", "daemon"] {
            let set = match kind {
                "stateful" => world(AT).stateful_set("demo", "cart"),
                _ => world(AT).daemon_set("demo", "cart"),
            };
            let set = set
                .revision(1)
                .pod("cart-0")
                .revision(2)
                .image("x:2")
                .pod("cart-1")
                .unready();
            assert_eq!(scene(set).says(), BACK, "{kind}");
        }
    }
}
