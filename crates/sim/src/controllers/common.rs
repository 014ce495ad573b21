//! What several controllers need: conditions, parts of a number, templates.

use crate::admission::{self, For};
use crate::cluster::Cluster;
use crate::object::{Key, Object};
use crate::patch::Writer;
use crate::resources::ResourceId;
use crate::selector::LabelSelector;
use crate::status::Status;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Label that tells the ReplicaSets (and pods) of a Deployment apart.
pub(super) const HASH_LABEL: &str = "pod-template-hash";

/// The longest that a failed look is put off (`workqueue.DefaultTypedControllerRateLimiter`).
const MAX_BACK_OFF: Duration = Duration::from_secs(1000);

/// A condition in a status: of all kinds the union of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// `True`, `False` or `Unknown`.
    pub(super) status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observed_generation: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_probe_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_update_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_transition_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

impl Condition {
    /// A condition that has just come to be.
    pub(super) fn new(
        kind: &str,
        status: &str,
        reason: &str,
        message: &str,
        at: Timestamp,
    ) -> Self {
        Self {
            kind: kind.to_owned(),
            status: status.to_owned(),
            last_transition_time: Some(at),
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Self::default()
        }
    }
}

/// The condition of this type.
pub(super) fn condition<'list>(list: &'list [Condition], kind: &str) -> Option<&'list Condition> {
    list.iter().find(|one| one.kind == kind)
}

/// Sets a condition. One of the same status and reason stays as it is; one of the same status keeps
/// its time of transition.
pub(super) fn set_condition(list: &mut Vec<Condition>, mut new: Condition) {
    if let Some(old) = condition(list, &new.kind) {
        if old.status == new.status && old.reason == new.reason {
            return;
        }
        if old.status == new.status {
            new.last_transition_time = old.last_transition_time;
        }
    }
    remove_condition(list, &new.kind);
    list.push(new);
}

/// Takes a condition away.
pub(super) fn remove_condition(list: &mut Vec<Condition>, kind: &str) {
    list.retain(|one| one.kind != kind);
}

/// `intstr.IntOrString`: a number, or a percentage of one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum IntOrPercent {
    /// A number.
    Int(i64),
    /// As in `25%`.
    Percent(String),
}

impl IntOrPercent {
    /// The number it means of `total`; a text that is no percentage means 0.
    pub(super) fn of(&self, total: i64, round_up: bool) -> i64 {
        match self {
            Self::Int(number) => *number,
            Self::Percent(text) => {
                let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
                let product = percent.saturating_mul(total);
                product.saturating_add(if round_up { 99 } else { 0 }) / 100
            }
        }
    }
}

/// A length as the counts of an API are kept.
pub(super) fn count(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Is it not worth writing (`omitempty`)?
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
pub(super) fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A template without what tells nothing: the hash label and nulls.
pub(super) fn bare_template(template: &Value) -> Value {
    let mut bare = without_nulls(template);
    let labels = bare.pointer_mut("/metadata/labels");
    if let Some(labels) = labels.and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    bare
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, one)| !one.is_null());
            Value::Object(
                kept.map(|(key, one)| (key.clone(), without_nulls(one)))
                    .collect(),
            )
        }
        Value::Array(list) => Value::Array(list.iter().map(without_nulls).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// A short, stable name for a template: SHA-256 of its JSON (keys sorted) and of how many
/// collisions there were, as ten characters of the alphabet of generated names. (Kubernetes hashes
/// Go's own print of its structs; only that it is stable and short matters to anybody.)
pub(super) fn template_hash(bare: &Value, collisions: i64) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hasher = Sha256::new();
    hasher.update(sorted(bare).to_string());
    if collisions > 0 {
        hasher.update(collisions.to_be_bytes());
    }
    let letters = hasher.finalize();
    let letter = |byte: &u8| {
        let index = usize::from(*byte) % ALPHABET.len();
        ALPHABET.get(index).copied().map_or('x', char::from)
    };
    letters.iter().take(10).map(letter).collect()
}

/// What two specs of workloads have in common whose templates say the same: SHA-256 of the JSON (keys
/// sorted) of what [`bare_template`] leaves.
pub(super) fn template_digest(spec: &str) -> [u8; 32] {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Spec {
        template: Value,
    }
    let spec: Spec = serde_json::from_str(spec).unwrap_or_default();
    Sha256::digest(sorted(&bare_template(&spec.template)).to_string()).into()
}

/// The same value with the keys of its maps in order, whatever order they came in.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<_, _> = map.iter().collect();
            let pairs = ordered.into_iter();
            Value::Object(pairs.map(|(key, one)| (key.clone(), sorted(one))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

/// Creates an object the way of any request: with defaults, admission and quota.
pub(super) fn create(
    cluster: &mut Cluster,
    resource: ResourceId,
    object: Object,
) -> Result<Arc<Object>, Status> {
    let draft = draft(cluster, resource, object)?;
    place(cluster, resource, draft)
}

/// What an object becomes before it has a name: the same for all that are made alike in one look.
pub(super) fn draft(
    cluster: &mut Cluster,
    resource: ResourceId,
    object: Object,
) -> Result<Object, Status> {
    let writer = writer(cluster);
    admission::draft(cluster, resource, object, &writer)
}

/// Creates an object from its draft.
pub(super) fn place(
    cluster: &mut Cluster,
    resource: ResourceId,
    draft: Object,
) -> Result<Arc<Object>, Status> {
    let writer = writer(cluster);
    admission::place(cluster, resource, draft, &writer, For::Inside)
}

fn writer(cluster: &Cluster) -> Writer<'static> {
    Writer {
        manager: "kube-controller-manager",
        subresource: "",
        applied: false,
        now: cluster.now_seconds(),
    }
}

/// Did anything but the status change?
pub(super) fn more_than_status(old: Option<&Object>, new: &Object) -> bool {
    let Some(old) = old else { return true };
    old.meta.generation != new.meta.generation
        || old.meta.deletion_timestamp != new.meta.deletion_timestamp
        || old.meta.labels != new.meta.labels
        || old.meta.annotations != new.meta.annotations
        || old.meta.owner_references != new.meta.owner_references
        || old.meta.finalizers != new.meta.finalizers
        || old.fields.get("spec") != new.fields.get("spec")
}

/// The key of the controlling owner, when it is of this kind.
pub(super) fn controller_key(object: &Object, kind: &str, resource: ResourceId) -> Option<Key> {
    let owner = object
        .meta
        .controller()
        .filter(|owner| owner.kind == kind)?;
    Some(Key::new(resource, &object.meta.namespace, &owner.name))
}

/// Failed looks in a row, by key: the wait until the next doubles from 5 ms to 1000 s.
#[derive(Debug, Default)]
pub(super) struct BackOff(BTreeMap<Key, u32>);

impl BackOff {
    /// It failed: how long to wait.
    pub(super) fn failed(&mut self, key: &Key) -> Duration {
        let times = self.0.entry(key.clone()).or_default();
        let wait =
            Duration::from_millis(5).saturating_mul(1_u32.checked_shl(*times).unwrap_or(u32::MAX));
        *times = times.saturating_add(1).min(31);
        wait.min(MAX_BACK_OFF)
    }

    /// It worked.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }
}

/// The objects of one resource that nobody controls: whom a selector may adopt. Only an index of
/// what the store has; each entry is looked up again before it is used.
#[derive(Debug, Default)]
pub(super) struct Orphans(BTreeSet<Key>);

impl Orphans {
    /// Hears of an object's new state. True when it has become free, or free under other labels.
    pub(super) fn hear(&mut self, key: &Key, old: Option<&Object>, new: Option<&Object>) -> bool {
        match new {
            Some(new) if new.meta.controller().is_none() => {
                self.0.insert(key.clone());
                old.is_none_or(|old| {
                    old.meta.controller().is_some() || old.meta.labels != new.meta.labels
                })
            }
            _ => {
                self.0.remove(key);
                false
            }
        }
    }

    /// Those of a namespace that a selector selects and that are not on their way out.
    pub(super) fn selected(
        &self,
        cluster: &Cluster,
        resource: ResourceId,
        namespace: &str,
        selector: &LabelSelector,
    ) -> Vec<Key> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let first = Key::new(resource, namespace, "");
        let keys = self.0.range(first..);
        keys.take_while(|key| key.resource == resource && &*key.namespace == namespace)
            .filter(|key| {
                cluster.store.get(key).is_some_and(|one| {
                    one.meta.controller().is_none()
                        && one.meta.deletion_timestamp.is_none()
                        && selector.matches(&one.meta.labels)
                })
            })
            .cloned()
            .collect()
    }
}

/// Brings the owner references of what `owner` owns or may own in line with its selector: takes in
/// the free ones that are selected and fit, lets go of its own that are not selected. Gives what it
/// owns then.
pub(super) fn claim(
    cluster: &mut Cluster,
    owner: &Object,
    resource: ResourceId,
    selector: &LabelSelector,
    orphans: &Orphans,
    fits: impl Fn(&Object) -> bool,
) -> Vec<Arc<Object>> {
    if owner.meta.deletion_timestamp.is_none() {
        let namespace = Arc::clone(&owner.meta.namespace);
        for key in orphans.selected(cluster, resource, &namespace, selector) {
            if !cluster.store.get(&key).is_some_and(|object| fits(object)) {
                continue;
            }
            let reference = owner.as_controller();
            cluster.modify(&key, |object| object.meta.owner_references.push(reference));
        }
    }
    let mut claimed = cluster.store.owned(resource, &owner.meta.uid);
    claimed.retain(|object| {
        let reference = object.meta.controller();
        if reference.is_none_or(|reference| *reference.uid != *owner.meta.uid) {
            return false;
        }
        let selected = selector.matches(&object.meta.labels);
        if !selected
            && owner.meta.deletion_timestamp.is_none()
            && object.meta.deletion_timestamp.is_none()
        {
            let uid = Arc::clone(&owner.meta.uid);
            cluster.modify(&object.key(resource), |object| {
                object.meta.owner_references.retain(|one| *one.uid != *uid);
            });
        }
        selected
    });
    claimed
}

/// How long until `at`; `None` when it is past.
pub(super) fn until(at: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = at.duration_since(now);
    Duration::try_from(left).ok().filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn percentages_round_surge_up_and_unavailable_down() {
        let quarter = IntOrPercent::Percent("25%".to_owned());
        assert_eq!(quarter.of(3, true), 1);
        assert_eq!(quarter.of(3, false), 0);
        assert_eq!(IntOrPercent::Int(2).of(3, true), 2);
    }

    #[test]
    fn a_hash_depends_on_what_a_template_says_and_not_on_its_order_or_label() {
        let one = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1, "y": null}});
        let two = json!({"spec": {"x": 1}, "metadata": {"labels": {HASH_LABEL: "h", "a": "b"}}});
        let hash = |value| template_hash(&bare_template(value), 0);
        assert_eq!(hash(&one), hash(&two));
        assert_ne!(hash(&one), template_hash(&bare_template(&one), 1));
        assert_eq!(hash(&one).len(), 10);
    }

    #[test]
    fn a_failure_is_put_off_longer_each_time_up_to_a_limit() {
        let mut back_off = BackOff::default();
        let key = Key::new(ResourceId(0), "", "a");
        let waits: Vec<_> = (0..40).map(|_| back_off.failed(&key)).collect();
        assert_eq!(waits[0], Duration::from_millis(5));
        assert_eq!(waits[3], Duration::from_millis(40));
        assert_eq!(waits[39], MAX_BACK_OFF);
        back_off.forget(&key);
        assert_eq!(back_off.failed(&key), Duration::from_millis(5));
    }
}
