//! Makes and ends the pods of a Job.

use super::count::{Counted, INDEX, index};
use super::{COMPONENT, Look, TRACKING};
use crate::cluster::later;
use crate::controllers::common::{count, until};
use crate::controllers::pods::{self, Pod, Template};
use crate::controllers::replicaset::slow_start;
use crate::object::Object;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// The wait after the first failure; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(10);
/// The longest wait (`MaxJobPodFailureBackOff`).
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// So many pods are made in one look at most.
const BURST: usize = 500;

impl Look<'_> {
    /// Brings the number of active pods in line. Gives when to try again.
    pub(super) fn manage(
        &mut self,
        active: &mut Vec<Pod>,
        all: &[Pod],
        counted: &Counted,
    ) -> Option<Duration> {
        let wanted = self.wanted(counted, active.len());
        let surplus = active.len().saturating_sub(wanted);
        if surplus > 0 {
            active.sort_by_key(|pod| (pod.ready(), !pod.node.is_empty()));
            for pod in active.drain(..surplus) {
                pods::delete(self.cluster, COMPONENT, &self.object, &pod);
            }
            return None;
        }
        let missing = wanted.saturating_sub(active.len()).min(BURST);
        if missing == 0 {
            return None;
        }
        if let Some(wait) = self.back_off() {
            return Some(wait);
        }
        let taken: BTreeSet<i64> = active
            .iter()
            .chain(all)
            .filter(|pod| pod.active())
            .filter_map(index)
            .chain(counted.indexes.iter().copied())
            .collect();
        let free = (0..).filter(|index| !taken.contains(index));
        let mut free = free.take(missing).collect::<Vec<_>>().into_iter();
        let mut made = Vec::new();
        let result = slow_start(missing, || {
            let pod = self.draft(free.next().filter(|_| self.spec.indexed()));
            match pods::create(self.cluster, COMPONENT, &self.object, pod) {
                Ok(pod) => made.push(Pod::of(&pod)),
                Err(refusal) if pods::namespace_terminating(&refusal) => {}
                Err(refusal) => return Err(refusal),
            }
            Ok(())
        });
        active.extend(made);
        result.is_err().then_some(FIRST_WAIT)
    }

    /// How many pods should be active.
    fn wanted(&self, counted: &Counted, active: usize) -> usize {
        if self.spec.suspend {
            return 0;
        }
        let parallelism = self.spec.parallelism();
        let number = match self.spec.completions() {
            None if counted.succeeded > 0 => count(active),
            None => parallelism,
            Some(completions) => {
                let done = if self.spec.indexed() {
                    count(counted.indexes.len())
                } else {
                    counted.succeeded
                };
                completions.saturating_sub(done).min(parallelism)
            }
        };
        usize::try_from(number).unwrap_or(0)
    }

    /// How long to wait after the last failure.
    fn back_off(&self) -> Option<Duration> {
        let (number, last) = self.failures.get(self.key).copied()?;
        let doublings = number.saturating_sub(1).min(16);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        until(later(last, wait), self.cluster.now())
    }

    fn draft(&self, index: Option<i64>) -> Object {
        let mut pod = Template::of(&self.spec.template).pod(self.cluster, &self.object);
        pod.meta.finalizers.push(TRACKING.to_owned());
        let (job, uid) = (&self.object.meta.name, &self.object.meta.uid);
        for (label, value) in [
            ("batch.kubernetes.io/controller-uid", uid),
            ("batch.kubernetes.io/job-name", job),
            ("controller-uid", uid),
            ("job-name", job),
        ] {
            pod.meta.labels.insert(label.to_owned(), value.to_string());
        }
        let Some(index) = index else { return pod };
        pod.meta.generate_name = format!("{job}-{index}-").into();
        pod.meta
            .annotations
            .insert(INDEX.to_owned(), index.to_string());
        pod.meta.labels.insert(INDEX.to_owned(), index.to_string());
        let mut spec: Value = pod.spec();
        let variable = json!({"name": "JOB_COMPLETION_INDEX", "valueFrom": {
            "fieldRef": {"apiVersion": "v1", "fieldPath": format!("metadata.labels['{INDEX}']")},
        }});
        let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                let env = container.entry("env").or_insert_with(|| json!([]));
                env.as_array_mut()
                    .into_iter()
                    .for_each(|env| env.push(variable.clone()));
            }
        }
        if let Some(map) = spec.as_object_mut() {
            map.insert("hostname".to_owned(), json!(format!("{job}-{index}")));
        }
        pod.set("spec", &spec);
        pod
    }
}
