//! What earlier incidents teach: how often, over which time, what was tried, did it help, and the
//! name of the pattern.

use super::kin::{Kinship, alike, kinship};
use super::{MAX_PAST, code, lasted};
use crate::diagnose::FaultClass;
use crate::incident::{Incident, Outcome};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// So many incidents within [`BURST`] are one storm.
const STORM: usize = 3;

/// See [`STORM`].
const BURST: SignedDuration = SignedDuration::from_hours(1);

/// A named pattern with what it asks for.
struct Pattern {
    name: &'static str,
    advice: &'static str,
}

pub(super) fn section(incident: &Incident, past: &[Incident]) -> Vec<String> {
    let mut kin: Vec<_> = past
        .iter()
        .filter(|other| other.id != incident.id && other.opened_at <= incident.opened_at)
        .filter(|other| alike(incident, other))
        .collect();
    kin.sort_by_key(|other| (other.opened_at, other.id.clone()));
    let kin = kin.split_off(kin.len().saturating_sub(MAX_PAST));
    let Some(first) = kin.first() else {
        return vec![
            "- No earlier incident shares its alert, workload, pod or node.".to_owned(),
            "- Pattern: **first of its kind**. Watch whether it comes back.".to_owned(),
        ];
    };
    let shares = |of: fn(&Kinship) -> bool| {
        kin.iter()
            .filter(|other| of(&kinship(incident, other)))
            .count()
    };
    let mut lines = vec![format!(
        "- {} earlier {} over {} ({} share the alert's name, {} the workload or pod, {} the node).",
        kin.len(),
        if kin.len() == 1 {
            "incident"
        } else {
            "incidents"
        },
        lasted(first.opened_at, incident.opened_at),
        shares(|kin| kin.alert),
        shares(|kin| kin.object),
        shares(|kin| kin.node),
    )];
    lines.push(format!(
        "- Faults: {}.",
        counted(kin.iter().map(|i| i.fingerprint.class.to_string()))
    ));
    lines.push(format!(
        "- Ends: {}.",
        counted(kin.iter().map(|i| ending(i).to_owned()))
    ));
    lines.extend(tried(&kin));
    let Pattern { name, advice } = pattern(incident, &kin);
    lines.push(format!("- Pattern: **{name}**. {advice}"));
    lines
}

fn counted(words: impl Iterator<Item = String>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(word, count)| (std::cmp::Reverse(*count), word.clone()));
    let each = counts
        .into_iter()
        .map(|(word, count)| format!("{count} × {}", code(&word)));
    each.collect::<Vec<_>>().join(", ")
}

fn ending(incident: &Incident) -> &'static str {
    match incident.outcome {
        Some(Outcome::Fixed) => "repaired by us",
        Some(Outcome::Recovered) if incident.was_acted_on() => "recovered after our action",
        Some(Outcome::Recovered) => "recovered without us",
        Some(Outcome::Merged(_)) => "merged",
        Some(Outcome::Gone) => "object gone",
        Some(Outcome::Expired) => "expired",
        None => "not ended",
    }
}

/// What was tried, by the word of the action, and whether it helped.
fn tried(kin: &[&Incident]) -> Vec<String> {
    let mut words: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let attempts = kin.iter().flat_map(|incident| &incident.attempts);
    for attempt in attempts.filter(|attempt| !attempt.is_undo) {
        let word = attempt.what.split(':').next().unwrap_or_default();
        let [times, helped, not] = words.entry(word).or_default();
        *times += 1;
        *helped += usize::from(attempt.helped == Some(true));
        *not += usize::from(attempt.helped == Some(false));
    }
    if words.is_empty() {
        return vec!["- Nothing was tried by the agent.".to_owned()];
    }
    let line = |(word, [times, helped, not]): (&str, [usize; 3])| {
        format!(
            "- Tried: {} {times} ×, helped {helped} ×, did not help {not} ×.",
            code(word)
        )
    };
    words.into_iter().map(line).collect()
}

/// The first pattern that fits, the most telling one first.
fn pattern(incident: &Incident, kin: &[&Incident]) -> Pattern {
    let same = |other: &&&Incident| {
        kinship(incident, other).object && other.fingerprint.class == incident.fingerprint.class
    };
    let same: Vec<&Incident> = kin.iter().filter(same).copied().collect();
    let attempts = same.iter().flat_map(|other| &other.attempts);
    let undo_free = attempts.filter(|attempt| !attempt.is_undo);
    let (helped, not) = undo_free.fold((0_usize, 0_usize), |(helped, not), attempt| match attempt
        .helped
    {
        Some(true) => (helped + 1, not),
        Some(false) => (helped, not + 1),
        None => (helped, not),
    });
    let burst = kin
        .iter()
        .filter(|other| incident.opened_at.duration_since(other.opened_at) <= BURST);
    let recovered =
        |other: &&Incident| other.outcome == Some(Outcome::Recovered) && !other.was_acted_on();
    if helped > 0 && incident.fingerprint.class == FaultClass::OomKilled {
        named(
            "memory runs out again",
            "More memory only delays it: look for a leak or for growing load before the limit is raised again.",
        )
    } else if helped > 0 {
        named(
            "the repair does not last",
            "It mends the symptom each time: find what breaks it again.",
        )
    } else if not > 0 {
        named(
            "the repair does not help",
            "Do not repeat it: the cause is another one.",
        )
    } else if burst.count() + 1 >= STORM {
        named(
            "a storm",
            "Several incidents within an hour: look for one common cause, as a node, a rollout or a dependency.",
        )
    } else if node_bound(incident, kin) {
        named(
            "bound to a node",
            "Different workloads fail on one node: look at the node, not at them.",
        )
    } else if same.len() >= 2 && periodic(incident, &same) {
        named(
            "periodic",
            "It comes at even intervals: look for a scheduled job, a certificate or a batch load.",
        )
    } else if same.len() >= 2 && same.iter().all(recovered) {
        named(
            "comes and goes by itself",
            "Let the alert wait longer, or find the load that brings it.",
        )
    } else if same.is_empty() {
        named(
            "a new fault in a known place",
            "Compare what is shared before treating them as one.",
        )
    } else {
        named(
            "recurring",
            "It comes back: find the cause before the next time.",
        )
    }
}

fn named(name: &'static str, advice: &'static str) -> Pattern {
    Pattern { name, advice }
}

/// Two or more other workloads failed on the node of this incident.
fn node_bound(incident: &Incident, kin: &[&Incident]) -> bool {
    let others = kin
        .iter()
        .filter(|other| kinship(incident, other).node && !other.owner.same_name(&incident.owner));
    others.count() >= 2
}

/// All intervals within a fifth of the longest.
fn periodic(incident: &Incident, same: &[&Incident]) -> bool {
    let times: Vec<i64> = same
        .iter()
        .map(|other| other.opened_at.as_second())
        .chain([incident.opened_at.as_second()])
        .collect();
    let gaps = times.iter().zip(times.iter().skip(1)).map(|(a, b)| b - a);
    let (Some(least), Some(most)) = (gaps.clone().min(), gaps.max()) else {
        return false;
    };
    least > 0 && (most - least) * 5 <= most
}
