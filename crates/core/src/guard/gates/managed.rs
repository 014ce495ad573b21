//! A template that Argo CD, Flux or Helm keeps is changed at its source, or with a person's word.

use super::{Gate, Ruled, ask, pass};
use crate::guard::Scene;
use crate::guard::scene::{sources_of, writes_template};
use crate::world::{Field, Meta, Source};

pub(super) struct Managed;

/// Annotations and labels by which the tools mark what is theirs.
const MARKS: &[(&str, &str)] = &[
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("kustomize.toolkit.fluxcd.io/name", "Flux"),
    ("helm.toolkit.fluxcd.io/name", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
];

/// Field managers of the tools.
const MANAGERS: &[(&str, &str)] = &[
    ("argocd-controller", "Argo CD"),
    ("argocd-application-controller", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm-controller", "Flux"),
    ("flux", "Flux"),
    ("helm", "Helm"),
];

impl Gate for Managed {
    fn name(&self) -> &'static str {
        "managed"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        if writes_template(&step.action) {
            sources_of(&step.target.kind)
        } else {
            Vec::new()
        }
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        if !writes_template(&scene.step.action) {
            return pass("no field is changed that a deployment tool keeps");
        }
        let target = &scene.step.target;
        let Some(workload) = scene.workload() else {
            return ask(format!("who manages {target} was not seen"));
        };
        match marked(&workload.metadata).or_else(|| writes(&workload.metadata)) {
            Some((tool, by)) => ask(format!(
                "{target} is managed by {tool} ({by}): change it there, or the change is undone"
            )),
            None => pass(format!("no deployment tool manages {target}")),
        }
    }
}

fn marked(meta: &Meta) -> Option<(&'static str, String)> {
    let helm_label = meta.labels.get("app.kubernetes.io/managed-by");
    if helm_label.is_some_and(|by| by == "Helm") {
        return Some(("Helm", "app.kubernetes.io/managed-by".to_owned()));
    }
    let has = |key: &str| meta.annotations.contains_key(key) || meta.labels.contains_key(key);
    let found = MARKS.iter().find(|(key, _)| has(key));
    found.map(|(key, tool)| (*tool, (*key).to_owned()))
}

fn writes(meta: &Meta) -> Option<(&'static str, String)> {
    let owners = meta.managed_fields.iter();
    let mut of_template = owners.filter(|entry| entry.touches.contains(&Field::Template));
    of_template.find_map(|entry| {
        let known = MANAGERS.iter().find(|(name, _)| *name == entry.manager);
        known.map(|(name, tool)| (*tool, format!("field manager {name}")))
    })
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::world::{Field, ManagedField, Meta, Source};

    fn owner(change: impl Fn(&mut Meta)) -> Stage {
        Stage::memory().with(|s| s.edit_workloads(|w| change(&mut w.metadata)))
    }

    fn manager(name: &str, field: Field) -> Stage {
        owner(|meta| {
            meta.managed_fields.push(ManagedField {
                manager: name.to_owned(),
                touches: [field].into(),
                ..ManagedField::default()
            });
        })
    }

    #[test]
    fn what_nobody_manages_passes() {
        Stage::memory().says("managed", Verdict::Pass, "no deployment tool");
        manager("kubectl-edit", Field::Template).says("managed", Verdict::Pass, "no deployment");
        manager("helm", Field::Replicas).says("managed", Verdict::Pass, "no deployment tool");
    }

    #[test]
    fn each_tool_asks() {
        for (key, tool) in super::MARKS {
            owner(|meta| {
                meta.annotations.insert((*key).to_owned(), "x".to_owned());
            })
            .says("managed", Verdict::Ask, tool);
            owner(|meta| {
                meta.labels.insert((*key).to_owned(), "x".to_owned());
            })
            .says("managed", Verdict::Ask, tool);
        }
        for (name, tool) in super::MANAGERS {
            manager(name, Field::Template).says("managed", Verdict::Ask, tool);
        }
        owner(|meta| {
            let label = "app.kubernetes.io/managed-by".to_owned();
            meta.labels.insert(label, "Helm".to_owned());
        })
        .says("managed", Verdict::Ask, "Helm");
    }

    #[test]
    fn deleting_a_pod_changes_nothing_that_they_manage() {
        Stage::delete_pod()
            .with(|s| {
                s.edit_workloads(|w| {
                    let mark = "meta.helm.sh/release-name".to_owned();
                    w.metadata.annotations.insert(mark, "x".to_owned());
                });
            })
            .says("managed", Verdict::Pass, "no field");
    }

    #[test]
    fn blind_to_the_workload_asks() {
        Stage::memory()
            .blind(Source::Deployments)
            .says("managed", Verdict::Ask, "not seen");
        Stage::memory().with(|s| s.snapshot.workloads.clear()).says(
            "managed",
            Verdict::Ask,
            "not seen",
        );
    }
}
