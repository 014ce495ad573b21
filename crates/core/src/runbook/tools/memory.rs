//! `increase_memory_limit`, `patch_resources`: the limit doubled, within bounds, the request kept.
//!
//! Nobody can know from outside whether more memory helps, so it is tried once: a second kill of the
//! same workload within the policy's window is a leak or a change of load, and a person's case.

mod room;

use super::{Param, Proposal, Run, Tool, WRITE_FIELDS, oom, owner};
use crate::plan::{Action, MemoryChange};
use crate::runbook::advance::Context;
use crate::runbook::format::RunbookStep;
use crate::world::{Container, Object, Pod, Quantity, Source, Workload};
use jiff::Timestamp;
use std::collections::BTreeMap;

pub(in crate::runbook) const INCREASE_MEMORY_LIMIT: Tool = Tool {
    names: &["increase_memory_limit", "patch_resources"],
    fields: WRITE_FIELDS,
    needs: &[
        Source::Pods,
        Source::Nodes,
        Source::ResourceQuotas,
        Source::LimitRanges,
    ],
    params: &[
        Param {
            name: "at_least",
            accepts: is_memory,
            form: "a memory quantity such as 256Mi",
        },
        Param {
            name: "at_most",
            accepts: is_memory,
            form: "a memory quantity such as 4Gi",
        },
    ],
    run: Run::Write(propose),
    repeats: false,
};

/// Smallest new limit, unless the runbook says otherwise.
const AT_LEAST: u64 = 256 << 20;
/// Largest new limit, unless the runbook says otherwise.
const AT_MOST: u64 = 4 << 30;

/// Smallest and largest new limit in bytes, as the settings of a step say.
pub(in crate::runbook) fn memory_bounds(with: &BTreeMap<String, String>) -> (u64, u64) {
    let bound = |key: &str| {
        let set = with.get(key);
        set.and_then(|text| Quantity::from(text.as_str()).value())
    };
    let most = bound("at_most").unwrap_or(AT_MOST);
    // Whoever caps it below what is usual has said nothing about the least.
    (bound("at_least").unwrap_or(AT_LEAST.min(most)), most)
}

fn is_memory(text: &str) -> bool {
    Quantity::from(text).value().is_some_and(|bytes| bytes > 0)
}

fn propose(cx: &Context<'_>, def: &RunbookStep) -> Proposal {
    let Some((pod, name)) = killed(cx) else {
        return Proposal::Pass("no container was killed for its memory lately".to_owned());
    };
    change(cx, def, pod, &name).unwrap_or_else(Proposal::Person)
}

fn change(cx: &Context<'_>, def: &RunbookStep, pod: &Pod, name: &str) -> Result<Proposal, String> {
    let workload = owner::template_owner(cx)?;
    let template = owner::in_template(workload, name)?;
    let window = cx.policy.oom_again_window;
    let since = cx.snapshot.taken_at.saturating_sub(window);
    let since = since.unwrap_or(Timestamp::MIN);
    let top = owner::topmost(cx);
    let before = [
        (
            cx.history.memory_raised_since(&top, since),
            "we raised its limit",
        ),
        (
            cx.history.oom_killed_since(&top, since),
            "an earlier incident of this kind",
        ),
    ];
    if let Some((_, what)) = before.iter().find(|(is_so, _)| *is_so) {
        return Err(format!(
            "killed for its memory again within {} h after {what}",
            window.as_hours()
        ));
    }
    let effective = pod.spec.container(name);
    let effective = effective.ok_or_else(|| format!("the pod has no container {name}"))?;
    let (limit, request) = effective_memory(effective)?;
    same_as_template(template, limit)?;

    let (at_least, at_most) = memory_bounds(&def.with);
    let new = new_limit(limit, at_least, at_most)?;
    room::check(
        cx,
        workload,
        pod,
        &room::Raise {
            name,
            limit,
            request,
            new,
        },
    )?;

    let set = &template.resources.requests;
    let action = Action::SetMemory {
        container: name.to_owned(),
        limit: MemoryChange {
            from: template.resources.limits.get("memory").cloned(),
            to: Some(Quantity::bytes(new)),
        },
        request: MemoryChange {
            from: set.get("memory").cloned(),
            to: Some(kept_request(template, effective, limit)),
        },
    };
    let target = Object::Workload(workload.clone());
    Ok(owner::propose(cx, def, action, &target, Vec::new()))
}

/// The doubled limit within bounds; an error when that would be no increase.
fn new_limit(limit: u64, at_least: u64, at_most: u64) -> Result<u64, String> {
    let new = limit.saturating_mul(2).max(at_least).min(at_most);
    if new > limit {
        return Ok(new);
    }
    Err(format!(
        "the limit is {} and the runbook raises it to at most {}",
        Quantity::bytes(limit),
        Quantity::bytes(at_most)
    ))
}

/// The request that the template sets, else the one that the pod really had: with a higher limit and
/// no request, defaulting would raise the request to the limit.
fn kept_request(template: &Container, effective: &Container, limit: u64) -> Quantity {
    let set = template.resources.requests.get("memory");
    let had = effective.resources.requests.get("memory");
    set.or(had)
        .cloned()
        .unwrap_or_else(|| Quantity::bytes(limit))
}

/// Limit and request in force, in bytes.
fn effective_memory(container: &Container) -> Result<(u64, u64), String> {
    let value = |quantity: Option<&Quantity>| quantity.and_then(Quantity::value);
    let limit = value(container.resources.limits.get("memory")).filter(|bytes| *bytes > 0);
    let limit = limit.ok_or_else(|| {
        format!(
            "container {} has no memory limit: the node itself ran out of memory",
            container.name
        )
    })?;
    let request = value(container.resources.requests.get("memory")).unwrap_or(limit);
    Ok((limit, request))
}

/// The template must still have the limit that the killed container ran with: another one means
/// that somebody (a person, a rollout, a VPA) is changing it already.
fn same_as_template(template: &Container, effective: u64) -> Result<(), String> {
    match template.resources.limits.get("memory") {
        Some(set) if set.value() != Some(effective) => Err(format!(
            "the template sets a memory limit of {set} and the killed container had {}",
            Quantity::bytes(effective)
        )),
        Some(_) | None => Ok(()),
    }
}

/// The pod and container that were killed: the ones of the diagnosis if they were, else the first.
fn killed<'a>(cx: &Context<'a>) -> Option<(&'a Pod, String)> {
    let shown = owner::pod(cx).into_iter();
    let mut kills: Vec<(&Pod, &str)> = Vec::new();
    for pod in shown.chain(owner::pods(cx)) {
        let containers = pod.container_statuses();
        let killed = containers.filter(|c| oom::kill(cx, c).is_some());
        kills.extend(killed.map(|c| (&**pod, c.name.as_str())));
    }
    let named = cx.diagnosis.container.as_deref();
    let of_diagnosis = kills.iter().find(|(_, name)| Some(*name) == named);
    let kill = of_diagnosis.or_else(|| kills.first())?;
    Some((kill.0, kill.1.to_owned()))
}

/// Memory limits of all containers of the workload's pods together, in bytes.
fn total_limit(workload: &Workload) -> u64 {
    let containers = &workload.spec.template.spec.containers;
    let limits = containers
        .iter()
        .filter_map(|c| c.resources.limits.get("memory"));
    limits.filter_map(Quantity::value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_below_the_usual_least_needs_no_least_of_its_own() {
        let bounds = |set: &[(&str, &str)]| {
            let set = set
                .iter()
                .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()));
            memory_bounds(&set.collect())
        };
        assert_eq!(bounds(&[]), (AT_LEAST, AT_MOST));
        assert_eq!(bounds(&[("at_most", "128Mi")]), (128 << 20, 128 << 20));
        let both = [("at_least", "512Mi"), ("at_most", "1Gi")];
        assert_eq!(bounds(&both), (512 << 20, 1 << 30));
    }

    #[test]
    fn the_limit_is_doubled_within_its_bounds() {
        const MI: u64 = 1 << 20;
        let table = [
            (1, Ok(256 * MI)),
            (32 * MI, Ok(256 * MI)),
            (127 * MI, Ok(256 * MI)),
            (128 * MI, Ok(256 * MI)),
            (128 * MI + 1, Ok(256 * MI + 2)),
            (256 * MI, Ok(512 * MI)),
            (2047 * MI, Ok(4094 * MI)),
            (2048 * MI, Ok(4096 * MI)),
            (2049 * MI, Ok(4096 * MI)),
            (4095 * MI, Ok(4096 * MI)),
            (4096 * MI, Err(())),
            (8192 * MI, Err(())),
            (u64::MAX, Err(())),
        ];
        for (limit, expected) in table {
            let new = new_limit(limit, AT_LEAST, AT_MOST).map_err(|_| ());
            assert_eq!(new, expected, "{limit}");
        }
    }

    #[test]
    fn a_memory_quantity_is_a_positive_number() {
        for (text, is) in [
            ("256Mi", true),
            ("4Gi", true),
            ("0", false),
            ("much", false),
            ("-1Gi", false),
        ] {
            assert_eq!(is_memory(text), is, "{text}");
        }
    }

    use crate::diagnose::FaultClass;
    use crate::history::ActOutcome;
    use crate::runbook::scene::{AT, Scene, done};
    use crate::testkit::{World, reference, world};
    use crate::world::other::{LimitRangeItem, LimitRangeSpec, QuotaStatus};
    use crate::world::{Kind, LimitRange, Map, Meta, ResourceQuota};
    use std::collections::BTreeMap;

    fn cart(request: &str, limit: &str) -> World {
        world(AT)
            .node("node1")
            .deployment("demo", "cart")
            .revision(1)
            .memory(request, limit)
            .pod("cart-1-a")
            .crash_loop(137, "OOMKilled", 10, 2)
    }

    fn scene(world: World) -> Scene {
        Scene::new(FaultClass::OomKilled, world).with("RB_OOM")
    }

    fn memory(key: &str, value: &str) -> Map<String, Quantity> {
        Map::from([(key.to_owned(), Quantity::from(value))])
    }

    fn in_demo(name: &str) -> Meta {
        Meta {
            name: name.to_owned(),
            namespace: "demo".to_owned(),
            ..Meta::default()
        }
    }

    #[test]
    fn the_request_that_is_set_stays() {
        let step = scene(cart("128Mi", "256Mi")).step();
        assert_eq!(
            step.describe(),
            "patch_memory_limit:demo/cart/app:256Mi→512Mi"
        );
        let Action::SetMemory { request, .. } = step.action else {
            panic!("memory");
        };
        let kept = Some(Quantity::from("128Mi"));
        assert_eq!((request.from, request.to), (kept.clone(), kept));
        assert_eq!(step.check.time_to_failure_ms, 5000);
    }

    #[test]
    fn without_a_request_the_one_in_force_is_written_down() {
        let request_of = |world: World| {
            let Action::SetMemory { request, .. } = scene(world).step().action else {
                panic!("memory");
            };
            (request.from, request.to)
        };
        // Defaulting: the request is the limit.
        let limit = (None, Some(Quantity::from("256Mi")));
        assert_eq!(request_of(cart("", "256Mi")), limit);
        let defaulted = cart("", "256Mi").edit_pod(|pod| {
            let resources = &mut pod.spec.containers[0].resources;
            resources.requests = memory("memory", "64Mi");
        });
        assert_eq!(request_of(defaulted), (None, Some(Quantity::from("64Mi"))));
    }

    #[test]
    fn a_limit_that_only_the_pod_has_is_doubled_too() {
        let from_limit_range = cart("", "").edit_pod(|pod| {
            pod.spec.containers[0].resources.limits = memory("memory", "300Mi");
        });
        assert_eq!(
            scene(from_limit_range).says(),
            "patch_memory_limit:demo/cart/app:unset→600Mi"
        );
    }

    #[test]
    fn what_more_memory_cannot_cure_is_a_persons_case() {
        let edited = cart("", "512Mi").edit_pod(|pod| {
            pod.spec.containers[0].resources.limits = memory("memory", "256Mi");
        });
        let sidecar = cart("", "256Mi").edit_workload(|w| {
            w.spec.template.spec.containers[0].name = "other".into();
        });
        let table = [
            (cart("", ""), "has no memory limit"),
            (
                cart("", "4Gi"),
                "the limit is 4Gi and the runbook raises it to at most 4Gi",
            ),
            (
                edited,
                "the template sets a memory limit of 512Mi and the killed container had 256Mi",
            ),
            (sidecar, "is not in the template"),
        ];
        for (world, why) in table {
            let says = scene(world).says();
            assert!(
                says.starts_with("person: raise: ") && says.contains(why),
                "{says}"
            );
        }
    }

    #[test]
    fn a_second_kill_within_the_window_is_a_persons_case() {
        let raise = || Action::SetMemory {
            container: "app".into(),
            limit: MemoryChange::default(),
            request: MemoryChange::default(),
        };
        let cart_ref = reference(Kind::Deployment, "demo", "cart");
        let mut made_anew = cart_ref.clone();
        made_anew.uid = "before".into();
        let refused = Some(ActOutcome::Refused { why: "no".into() });
        let unknown = Some(ActOutcome::Unknown {
            why: "no answer".into(),
        });
        let another = reference(Kind::Deployment, "demo", "shop");
        let table = [
            (&cart_ref, 1, Some(done()), true),
            (&cart_ref, 7 * 24, Some(done()), true),
            (&cart_ref, 7 * 24 + 1, Some(done()), false),
            (&made_anew, 1, Some(done()), true),
            (&cart_ref, 1, unknown, true),
            (&cart_ref, 1, None, true),
            (&cart_ref, 1, refused, false),
            (&another, 1, Some(done()), false),
        ];
        for (target, hours, outcome, person) in table {
            let says = scene(cart("", "256Mi"))
                .acted(raise(), target, hours, outcome)
                .says();
            assert_eq!(
                says.contains("killed for its memory again"),
                person,
                "{says}"
            );
        }
    }

    #[test]
    fn limit_ranges_are_kept() {
        let range = |kind: &str, max: &str, ratio: &str| LimitRange {
            metadata: in_demo("bounds"),
            spec: LimitRangeSpec {
                limits: vec![LimitRangeItem {
                    kind: kind.to_owned(),
                    max: if max.is_empty() {
                        Map::default()
                    } else {
                        memory("memory", max)
                    },
                    max_limit_request_ratio: if ratio.is_empty() {
                        Map::default()
                    } else {
                        memory("memory", ratio)
                    },
                    ..LimitRangeItem::default()
                }],
            },
        };
        let table = [
            (range("Container", "512Mi", ""), true),
            (range("Container", "511Mi", ""), false),
            (range("Container", "much", ""), false),
            (range("Pod", "512Mi", ""), true),
            (range("Pod", "511Mi", ""), false),
            (range("PersistentVolumeClaim", "1", ""), true),
            (range("Container", "", "4"), true),
            (range("Container", "", "3.9"), false),
        ];
        for (range, fits) in table {
            let shown = format!("{range:?}");
            let scene = scene(cart("128Mi", "256Mi")).seen(|s| s.limit_ranges = vec![range]);
            assert_eq!(
                scene.says().starts_with("patch_memory_limit"),
                fits,
                "{shown}"
            );
        }
    }

    #[test]
    fn the_quota_has_room_for_all_replicas_and_the_surge() {
        // Two replicas get 256Mi more each, and one more pod of 512Mi runs meanwhile: 1Gi.
        let quota = |hard: &str, used: &str| ResourceQuota {
            metadata: in_demo("team"),
            status: QuotaStatus {
                hard: memory("limits.memory", hard),
                used: if used.is_empty() {
                    Map::default()
                } else {
                    memory("limits.memory", used)
                },
            },
        };
        let table = [
            (quota("1536Mi", "512Mi"), true),
            (quota("1535Mi", "512Mi"), false),
            (quota("1Gi", ""), true),
            (quota("1023Mi", ""), false),
            (quota("much", "1"), false),
            (quota("64Gi", "much"), false),
        ];
        for (quota, fits) in table {
            let shown = format!("{quota:?}");
            let world = cart("128Mi", "256Mi").replicas(2);
            let scene = scene(world).seen(|s| s.quotas = vec![quota]);
            assert_eq!(
                scene.says().starts_with("patch_memory_limit"),
                fits,
                "{shown}"
            );
        }
    }

    #[test]
    fn the_node_has_room() {
        let on = |memory: &'static str| {
            cart("128Mi", "256Mi").edit_node(move |node| {
                let memory = Quantity::from(memory);
                node.status.allocatable.insert("memory".into(), memory);
            })
        };
        assert!(scene(on("512Mi")).says().starts_with("patch_memory_limit"));
        assert!(scene(on("511Mi")).says().contains("no room for 512Mi"));
        let neighbour = on("639Mi").pod("cart-1-b");
        assert!(
            scene(neighbour)
                .says()
                .contains("and 128Mi of it is requested by others")
        );
        let crowded = |beside: u64| {
            let beside = BTreeMap::from([("node1".to_owned(), beside)]);
            scene(on("1Gi")).seen(move |snapshot| snapshot.neighbours = beside)
        };
        assert!(crowded(512 << 20).says().starts_with("patch_memory_limit"));
        assert!(
            crowded(513 << 20)
                .says()
                .contains("513Mi of it is requested by others")
        );
        let unknown = scene(on("1Gi")).seen(|snapshot| snapshot.neighbours.clear());
        assert!(
            unknown
                .says()
                .contains("what else runs on node node1 is unknown")
        );
        let elsewhere = cart("128Mi", "256Mi").edit_pod(|pod| pod.spec.node_name = "node9".into());
        assert!(
            scene(elsewhere)
                .says()
                .contains("the memory of node node9 is unknown")
        );
    }

    #[test]
    fn what_was_not_seen_is_a_persons_case() {
        for source in INCREASE_MEMORY_LIMIT.needs {
            let says = scene(cart("", "256Mi").unseen(*source))
                .tool("increase_memory_limit")
                .says();
            assert!(says.starts_with("person: it: not seen"), "{says}");
        }
    }

    #[test]
    fn the_runbook_sets_the_bounds() {
        let lower = scene(cart("", "256Mi")).edited("RB_OOM", "at_most: 4Gi", "at_most: 300Mi");
        assert_eq!(lower.says(), "patch_memory_limit:demo/cart/app:256Mi→300Mi");
    }
}
