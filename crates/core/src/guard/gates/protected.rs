//! Namespaces that are never written to: the system's, our own, the configured ones, and those that
//! the API server itself depends on.

use super::{Gate, Ruled, deny, pass};
use crate::guard::Scene;
use crate::world::Source;

pub(super) struct Protected;

impl Gate for Protected {
    fn name(&self) -> &'static str {
        "protected"
    }

    fn needs(&self, scene: &Scene<'_>) -> Vec<Source> {
        let step = scene.step;
        if step.target.namespace.is_empty() {
            Vec::new()
        } else {
            vec![Source::WebhookConfigurations, Source::ApiServices]
        }
    }

    fn check(&self, scene: &Scene<'_>) -> Ruled {
        let name = scene.step.target.namespace.as_str();
        if name.is_empty() {
            return pass("the object lives in no namespace");
        }
        let guarded = &scene.snapshot.guarded_namespaces;
        let why = scene.policy.protects(name, guarded);
        why.map_or_else(|| pass(format!("{name} is not protected")), deny)
    }
}

#[cfg(test)]
mod tests {
    use crate::guard::Verdict;
    use crate::guard::stage::Stage;
    use crate::world::Source;

    fn in_namespace(name: &str) -> Stage {
        Stage::memory().with(|s| s.step.target.namespace = name.to_owned())
    }

    #[test]
    fn an_ordinary_namespace_and_a_node_pass() {
        Stage::memory().says("protected", Verdict::Pass, "demo is not protected");
        Stage::cordon()
            .blind(Source::ApiServices)
            .says("protected", Verdict::Pass, "no namespace");
    }

    #[test]
    fn protected_namespaces_are_denied() {
        for name in ["kube-system", "kube-public", "flux-system"] {
            in_namespace(name).says("protected", Verdict::Deny, "system namespace");
        }
        in_namespace("sre")
            .with(|s| s.policy.own_namespace = Some("sre".to_owned()))
            .says("protected", Verdict::Deny, "own namespace");
        in_namespace("bank")
            .with(|s| {
                s.policy.protected_namespaces.insert("bank".to_owned());
            })
            .says("protected", Verdict::Deny, "protected_namespaces");
        in_namespace("certs")
            .with(|s| {
                let guarded = &mut s.snapshot.guarded_namespaces;
                guarded.webhooks.insert("certs".to_owned());
            })
            .says("protected", Verdict::Deny, "webhook");
        in_namespace("metrics")
            .with(|s| {
                let guarded = &mut s.snapshot.guarded_namespaces;
                guarded.api_services.insert("metrics".to_owned());
            })
            .says("protected", Verdict::Deny, "API service");
    }

    #[test]
    fn blind_to_webhooks_or_api_services_asks() {
        for source in [Source::WebhookConfigurations, Source::ApiServices] {
            Stage::memory()
                .blind(source)
                .says("protected", Verdict::Ask, "not seen");
        }
    }
}
