//! The pods of a StatefulSet: their numbers, names and claims.

use super::{COMPONENT, Look, REVISION_LABEL, Refused};
use crate::controllers::common::create;
use crate::controllers::events;
use crate::controllers::pods::{self, Pod, Template};
use crate::object::{Key, Object};
use crate::registry::DeleteOptions;
use crate::resources::ids;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The number of a pod of this set, by its name.
pub(super) fn ordinal(set: &str, pod: &str) -> Option<i64> {
    let number = pod.strip_prefix(set)?.strip_prefix('-')?;
    let canonical = number == "0" || !number.starts_with(['0', '+', '-']);
    number.parse().ok().filter(|_| canonical)
}

impl Look<'_> {
    /// Creates a member, with its claims.
    pub(super) fn make(&mut self, ordinal: i64) -> Result<(), Refused> {
        self.make_claims(ordinal)?;
        let pod = self.draft(ordinal);
        let set = self.object.meta.name.to_string();
        let name = pod.meta.name.to_string();
        match create(self.cluster, ids::PODS, pod) {
            Ok(_) => {
                let message = format!("Create Pod {name} in StatefulSet {set} successful");
                events::normal(
                    self.cluster,
                    COMPONENT,
                    &self.object,
                    "SuccessfulCreate",
                    &message,
                );
                Ok(())
            }
            Err(refusal) if pods::namespace_terminating(&refusal) => Ok(()),
            Err(why) => {
                let message = format!("Create Pod {name} in StatefulSet {set} failed error: {why}");
                events::warning(
                    self.cluster,
                    COMPONENT,
                    &self.object,
                    "FailedCreate",
                    &message,
                );
                Err(Refused)
            }
        }
    }

    /// Deletes a member.
    pub(super) fn end(&mut self, pod: &Pod) {
        if self
            .cluster
            .delete(&pod.key(), &DeleteOptions::default())
            .is_ok()
        {
            let (name, set) = (pod.name(), &self.object.meta.name);
            let message = format!("Delete Pod {name} in StatefulSet {set} successful");
            events::normal(
                self.cluster,
                COMPONENT,
                &self.object,
                "SuccessfulDelete",
                &message,
            );
        }
    }

    /// Members below the partition are of the current revision, all others of the new one.
    fn draft(&self, ordinal: i64) -> Object {
        let rolling = &self.spec.update_strategy;
        let below = self
            .spec
            .ordinals
            .start
            .saturating_add(rolling.rolling_update.partition);
        let revision = if rolling.r#type != "OnDelete" && ordinal < below {
            &self.current
        } else {
            &self.update
        };
        let mut pod = Template::of(&revision.template).pod(self.cluster, &self.object);
        let name = format!("{}-{ordinal}", self.object.meta.name);
        pod.meta.name = name.as_str().into();
        let labels = [
            ("statefulset.kubernetes.io/pod-name", name.clone()),
            ("apps.kubernetes.io/pod-index", ordinal.to_string()),
            (REVISION_LABEL, revision.name().to_owned()),
        ];
        pod.meta
            .labels
            .extend(labels.map(|(label, value)| (label.to_owned(), value)));
        let mut spec: Value = pod.spec();
        let own = self.claims(ordinal);
        let mut volumes: Vec<Value> = own
            .iter()
            .map(|(volume, claim)| {
                json!({"name": volume, "persistentVolumeClaim": {"claimName": claim.meta.name}})
            })
            .collect();
        let others = spec
            .get("volumes")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        volumes.extend(others.into_iter().filter(|one| {
            own.iter()
                .all(|(volume, _)| one.get("name") != Some(&json!(volume)))
        }));
        if let Some(map) = spec.as_object_mut() {
            map.insert("hostname".to_owned(), json!(name));
            if !self.spec.service_name.is_empty() {
                map.insert("subdomain".to_owned(), json!(self.spec.service_name));
            }
            if !volumes.is_empty() {
                map.insert("volumes".to_owned(), json!(volumes));
            }
        }
        pod.set("spec", &spec);
        pod
    }

    /// The claims of a member, by the names of their volumes.
    fn claims(&self, ordinal: i64) -> Vec<(String, Object)> {
        let row = self.cluster.resources.get(ids::PERSISTENT_VOLUME_CLAIMS);
        let meta = &self.object.meta;
        let one = |template: &Value| {
            let template = Object::from_value(template.clone()).ok()?;
            let volume = template.meta.name.to_string();
            let name = format!("{volume}-{}-{ordinal}", meta.name);
            let mut claim = Object::new(row, &meta.namespace, &name);
            claim.meta.labels = template.meta.labels.clone();
            claim.meta.annotations = template.meta.annotations.clone();
            claim.meta.labels.extend(match_labels(&self.object));
            if let Some(spec) = template.fields.get("spec") {
                claim.fields.insert("spec", spec.clone());
            }
            claim.set("status", &json!({"phase": "Pending"}));
            Some((volume, claim))
        };
        self.spec
            .volume_claim_templates
            .iter()
            .filter_map(one)
            .collect()
    }

    /// Creates the claims of a member that are missing. One that is being deleted has to go first.
    pub(super) fn make_claims(&mut self, ordinal: i64) -> Result<(), Refused> {
        for (_, claim) in self.claims(ordinal) {
            let key: Key = claim.key(ids::PERSISTENT_VOLUME_CLAIMS);
            if let Some(known) = self.cluster.store.get(&key) {
                if known.meta.deletion_timestamp.is_some() {
                    return Err(Refused);
                }
                continue;
            }
            let set = &self.object.meta.name;
            let what = format!(
                "Claim {} Pod {set}-{ordinal} in StatefulSet {set}",
                key.name
            );
            match create(self.cluster, ids::PERSISTENT_VOLUME_CLAIMS, claim) {
                Ok(_) => {
                    let message = format!("Create {what} success");
                    let object = &self.object;
                    events::normal(
                        self.cluster,
                        COMPONENT,
                        object,
                        "SuccessfulCreate",
                        &message,
                    );
                }
                Err(why) => {
                    let message = format!("Create {what} failed error: {why}");
                    let object = &self.object;
                    events::warning(self.cluster, COMPONENT, object, "FailedCreate", &message);
                    return Err(Refused);
                }
            }
        }
        Ok(())
    }
}

/// `spec.selector.matchLabels`, which each claim gets (`getPersistentVolumeClaims`).
fn match_labels(set: &Object) -> BTreeMap<String, String> {
    let spec: Value = set.spec();
    let labels = spec.pointer("/selector/matchLabels").cloned();
    let labels = labels.and_then(|labels| serde_json::from_value(labels).ok());
    labels.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::ordinal;

    #[test]
    fn only_names_that_the_set_gives_are_members() {
        assert_eq!(ordinal("db", "db-0"), Some(0));
        assert_eq!(ordinal("db", "db-12"), Some(12));
        for other in ["db", "db-", "db-x", "db-01", "db--1", "db-+1", "web-0"] {
            assert_eq!(ordinal("db", other), None, "{other}");
        }
    }
}
