//! Which runbook: by what the evidence says. An alert's hint picks among those, and no others.

use super::format::Runbook;
use super::library::Library;
use crate::diagnose::Diagnosis;
use crate::ids::RunbookId;

/// What [`choose`] found.
#[derive(Clone, Copy, Debug)]
pub enum Choice<'a> {
    /// Use this one.
    Runbook(&'a Runbook),
    /// The alert names a runbook that is not for what the evidence shows: a person decides.
    Disagree {
        /// The runbook that the alert names.
        hinted: &'a Runbook,
        /// The one that the evidence would have chosen, if any.
        by_evidence: Option<&'a Runbook>,
    },
    /// No runbook is for this fault: a person decides.
    None,
}

/// Chooses by evidence: among the runbooks whose `applies` matches, the one that the hint names, else
/// the most specific one (a reason before a class, then the fewest faults, then the id).
///
/// `hint` is an alert's `runbook_id` label or its name. A hint that names no runbook of the library
/// says nothing.
pub fn choose<'a>(library: &'a Library, diagnosis: &Diagnosis, hint: Option<&str>) -> Choice<'a> {
    let mut matching: Vec<&Runbook> = library
        .iter()
        .filter(|runbook| runbook.applies.iter().any(|a| a.matches(diagnosis)))
        .collect();
    matching.sort_by_key(|runbook| {
        let mut entries = runbook.applies.iter();
        let by_reason = entries.any(|a| a.reason.is_some() && a.matches(diagnosis));
        (!by_reason, runbook.applies.len(), runbook.id.clone())
    });
    let by_evidence = matching.first().copied();
    let hinted: Vec<&Runbook> = hint.map_or_else(Vec::new, |hint| named(library, hint));
    let is_hinted = |runbook: &&&Runbook| hinted.iter().any(|hinted| hinted.id == runbook.id);
    let agreed = matching.iter().find(is_hinted).copied();
    match (agreed, hinted.first().copied(), by_evidence) {
        (Some(runbook), _, _) | (None, None, Some(runbook)) => Choice::Runbook(runbook),
        (None, Some(hinted), by_evidence) => Choice::Disagree {
            hinted,
            by_evidence,
        },
        (None, None, None) => Choice::None,
    }
}

/// The runbook of that id, or those that list an alert of that name.
fn named<'a>(library: &'a Library, hint: &str) -> Vec<&'a Runbook> {
    if let Some(runbook) = library.get(&RunbookId::from(hint)) {
        return vec![runbook];
    }
    let lists = |runbook: &&Runbook| runbook.alerts.iter().any(|alert| alert == hint);
    library.iter().filter(lists).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::{Confidence, FaultClass};
    use crate::testkit::reference;
    use crate::world::Kind;
    use jiff::{SignedDuration, Timestamp};
    use std::collections::BTreeMap;

    fn diagnosis(class: FaultClass, reason: &str) -> Diagnosis {
        Diagnosis {
            class,
            reason: reason.to_owned(),
            owner: reference(Kind::Deployment, "demo", "cart"),
            subject: reference(Kind::Pod, "demo", "cart-1-a"),
            container: None,
            since: Timestamp::UNIX_EPOCH,
            persistence: SignedDuration::ZERO,
            path: Vec::new(),
            changes: Vec::new(),
            evidence: Vec::new(),
            confidence: Confidence(90),
            confidence_rows: Vec::new(),
            blind: Vec::new(),
        }
    }

    fn chosen(library: &Library, class: FaultClass, hint: Option<&str>) -> String {
        match choose(library, &diagnosis(class, "not_found"), hint) {
            Choice::Runbook(runbook) => runbook.id.to_string(),
            Choice::Disagree { hinted, .. } => format!("disagree with {}", hinted.id),
            Choice::None => "none".to_owned(),
        }
    }

    #[test]
    fn evidence_chooses_and_a_hint_picks_among_what_it_allows() {
        use FaultClass as F;
        let library = Library::built_in();
        let table = [
            (F::ImagePullFailure, None, "RB_IMAGEPULL"),
            (F::OomKilled, None, "RB_OOM"),
            (F::CrashLoop, None, "RB_CRASHLOOP"),
            (F::ProbeFailure, None, "RB_CRASHLOOP"),
            (F::RolloutStuck, None, "RB_CRASHLOOP"),
            (F::ConfigMissing, None, "RB_CONTAINERCREATING"),
            (F::ContainerStuck, None, "RB_CONTAINERCREATING"),
            (F::Unschedulable, None, "RB_CONTAINERCREATING"),
            (F::NodeNotReady, None, "RB_NODE_NOTREADY"),
            (F::NodeCordoned, None, "RB_NODE_UNSCHEDULABLE"),
            (F::NodePressure, None, "none"),
            (F::Unexplained, None, "none"),
            (F::OomKilled, Some("RB_OOM"), "RB_OOM"),
            (F::OomKilled, Some("RB_CRASHLOOP"), "RB_CRASHLOOP"),
            (F::OomKilled, Some("KubePodCrashLooping"), "RB_CRASHLOOP"),
            (
                F::OomKilled,
                Some("RB_IMAGEPULL"),
                "disagree with RB_IMAGEPULL",
            ),
            (
                F::OomKilled,
                Some("KubeNodeNotReady"),
                "disagree with RB_NODE_NOTREADY",
            ),
            (F::NodePressure, Some("RB_OOM"), "disagree with RB_OOM"),
            (F::OomKilled, Some("SomeAlert"), "RB_OOM"),
            (F::NodePressure, Some("SomeAlert"), "none"),
        ];
        for (class, hint, expected) in table {
            assert_eq!(chosen(&library, class, hint), expected, "{class} {hint:?}");
        }
    }

    #[test]
    fn a_reason_is_more_specific_than_a_class() {
        let text = |id: &str, applies: &str| {
            format!(
                "---\nid: {id}\ntitle: A test\napplies: {applies}\nsteps:\n  - name: events\n    \
                 tool: get_pod_events\n---\nText.\n"
            )
        };
        let texts = BTreeMap::from([
            (
                "a.md".to_owned(),
                text("RB_TAGS", "[ImagePullFailure/not_found, CrashLoop]"),
            ),
            (
                "b.md".to_owned(),
                text("RB_AUTH", "[ImagePullFailure/auth]"),
            ),
        ]);
        let library = Library::load(&texts).expect("no problems");
        assert_eq!(
            chosen(&library, FaultClass::ImagePullFailure, None),
            "RB_TAGS"
        );
        let auth = chosen(&library, FaultClass::ImagePullFailure, Some("RB_AUTH"));
        assert_eq!(auth, "disagree with RB_AUTH");
    }
}
