//! Which of the fit nodes is best: most room, fewest pods of the same owner, preferences.

use super::cache::{Cache, NodeInfo};
use super::pod::{PodInfo, Spec};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Each kind of score is brought to 0..=100, as the real one does, and counts so much.
const ROOM: i64 = 1;
const OWNER: i64 = 2;
const NODE_AFFINITY: i64 = 2;
const POD_AFFINITY: i64 = 2;
const TAINTS: i64 = 3;

/// The best nodes; more than one when they are equal.
pub(super) fn best(
    cache: &Cache,
    spec: &Spec,
    info: &PodInfo,
    nodes: &[(&Arc<str>, &NodeInfo)],
) -> Vec<Arc<str>> {
    let liked = liked(cache, spec, info);
    let siblings = info
        .owner
        .as_ref()
        .and_then(|owner| cache.owners.get(owner));
    let all = |score: &dyn Fn(&Arc<str>, &NodeInfo) -> i64| -> Vec<i64> {
        nodes.iter().map(|(name, node)| score(name, node)).collect()
    };
    let parts = [
        (ROOM, all(&|_, node| room(node, info))),
        (
            OWNER,
            few_best(all(&|name, _| {
                siblings.and_then(|on| on.get(name).copied()).unwrap_or(0)
            })),
        ),
        (
            NODE_AFFINITY,
            many_best(all(&|name, node| preferred_node(spec, name, node))),
        ),
        (
            POD_AFFINITY,
            many_best(all(&|_, node| preferred_pods(&liked, node))),
        ),
        (TAINTS, few_best(all(&|_, node| unwanted(spec, node)))),
    ];
    let score = |index: usize| -> i64 {
        parts
            .iter()
            .map(|(weight, scores)| weight * scores.get(index).copied().unwrap_or(0))
            .sum()
    };
    let scores: Vec<i64> = (0..nodes.len()).map(score).collect();
    let Some(most) = scores.iter().max() else {
        return Vec::new();
    };
    let best = nodes
        .iter()
        .zip(&scores)
        .filter(|(_, score)| *score == most);
    best.map(|((name, _), _)| Arc::clone(name)).collect()
}

/// `LeastAllocated` over CPU and memory; a pod that asks for nothing counts as a small one.
fn room(node: &NodeInfo, info: &PodInfo) -> i64 {
    let part = |name: &str, least: i64| {
        let all = node.allocatable.get(name);
        let wanted = info.requests.get(name).max(least);
        let left = all
            .saturating_sub(node.used.get(name))
            .saturating_sub(wanted)
            .max(0);
        left.saturating_mul(100).checked_div(all).unwrap_or(0)
    };
    i64::midpoint(part("cpu", 100), part("memory", 200 << 20))
}

fn preferred_node(spec: &Spec, name: &str, node: &NodeInfo) -> i64 {
    let terms = spec.affinity.node_affinity.preferred.iter();
    let matched = terms.filter(|one| one.preference.matches(name, &node.labels));
    matched.map(|one| one.weight).sum()
}

/// Pods that this one wants near (a positive weight) or far.
struct Liked<'a> {
    weight: i64,
    topology: &'a str,
    /// How many of them there are in each place.
    counts: BTreeMap<&'a str, i64>,
}

fn liked<'a>(cache: &'a Cache, spec: &'a Spec, info: &PodInfo) -> Vec<Liked<'a>> {
    let affinity = &spec.affinity;
    let near = affinity.pod_affinity.preferred.iter().map(|one| (1, one));
    let far = affinity.pod_anti_affinity.preferred.iter();
    let each = near.chain(far.map(|one| (-1, one)));
    each.map(|(sign, one)| {
        let term = &one.pod_affinity_term;
        let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
        for (key, (_, other)) in &cache.pods {
            if term.means(&info.namespace, other)
                && let Some(place) = cache.node_label(key, &term.topology_key)
            {
                let count = counts.entry(place).or_default();
                *count = count.saturating_add(1);
            }
        }
        Liked {
            weight: one.weight.saturating_mul(sign),
            topology: &term.topology_key,
            counts,
        }
    })
    .collect()
}

fn preferred_pods(liked: &[Liked<'_>], node: &NodeInfo) -> i64 {
    let each = liked.iter().map(|one| {
        let place = node.labels.get(one.topology);
        let count = place.and_then(|place| one.counts.get(place.as_str()));
        one.weight.saturating_mul(count.copied().unwrap_or(0))
    });
    each.sum()
}

fn unwanted(spec: &Spec, node: &NodeInfo) -> i64 {
    let soft = node
        .taints
        .iter()
        .filter(|taint| taint.effect == "PreferNoSchedule");
    let bad = soft.filter(|taint| !spec.tolerations.iter().any(|one| one.tolerates(taint)));
    i64::try_from(bad.count()).unwrap_or(i64::MAX)
}

/// The most becomes 100.
fn many_best(scores: Vec<i64>) -> Vec<i64> {
    let least = scores.iter().min().copied().unwrap_or(0);
    let span = scores.iter().max().copied().unwrap_or(0) - least;
    let scale = |score| i64::checked_div((score - least) * 100, span).unwrap_or(0);
    scores.into_iter().map(scale).collect()
}

/// The least becomes 100.
fn few_best(scores: Vec<i64>) -> Vec<i64> {
    many_best(scores.into_iter().map(|score| -score).collect())
}
