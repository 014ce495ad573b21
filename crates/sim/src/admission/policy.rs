//! ValidatingAdmissionPolicy: CEL says which requests of clients are refused
//! (`k8s.io/apiserver/pkg/admission/plugin/policy/validating`).
//!
//! Every request of a client on objects is asked about; what the controllers inside write is not.
//! Parameters are not read: a policy that wants them is one that cannot be configured. Of the actions
//! only `Deny` is carried out. An expression that cannot be compiled is found at its first use.

use super::expression::{ExpressionError, evaluate};
use crate::auth::User;
use crate::cluster::Cluster;
use crate::object::{Key, Object};
use crate::resources::{Resource, ids};
use crate::selector::LabelSelector;
use crate::status::{Cause, Details, Reason, Status};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A request on one object.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'request> {
    /// Its resource.
    pub row: &'request Resource,
    /// `status`, `scale`, ...; empty for the object itself.
    pub subresource: &'request str,
    /// Who asks.
    pub user: &'request User,
    /// Whether it is a trial.
    pub dry_run: bool,
    /// As it is; `None`: it is created.
    pub old: Option<&'request Object>,
    /// As it would be; `None`: it is deleted.
    pub new: Option<&'request Object>,
}

/// `ValidatingAdmissionPolicySpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PolicySpec {
    failure_policy: Option<String>,
    param_kind: Option<Value>,
    match_constraints: Matches,
    match_conditions: Vec<Named>,
    variables: Vec<Named>,
    validations: Vec<Validation>,
}

/// `ValidatingAdmissionPolicyBindingSpec`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BindingSpec {
    policy_name: String,
    match_resources: Matches,
    validation_actions: Vec<String>,
}

/// `MatchResources`. Every resource is kept in one version, so `matchPolicy` makes no difference.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Matches {
    namespace_selector: Option<Value>,
    object_selector: Option<Value>,
    resource_rules: Vec<Rule>,
    exclude_resource_rules: Vec<Rule>,
}

/// `NamedRuleWithOperations`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    api_groups: Vec<String>,
    api_versions: Vec<String>,
    operations: Vec<String>,
    resources: Vec<String>,
    resource_names: Vec<String>,
    scope: Option<String>,
}

/// `MatchCondition` and `Variable`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    expression: String,
}

/// `Validation`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Validation {
    expression: String,
    message: String,
    message_expression: String,
    reason: Option<String>,
}

/// Why a policy refuses.
#[derive(Debug)]
struct Denial {
    message: String,
    reason: Reason,
}

impl Denial {
    /// Something could not be evaluated.
    fn failed(message: String) -> Self {
        Self {
            message,
            reason: Reason::Invalid,
        }
    }
}

/// Refuses what a policy with a binding refuses.
pub fn check(cluster: &Cluster, asked: &Asked<'_>) -> Result<(), Status> {
    if &*asked.row.group == "admissionregistration.k8s.io" {
        // Nobody can lock himself out (`IsExemptAdmissionConfigurationResource`).
        return Ok(());
    }
    let policies = cluster.store.list(ids::VALIDATING_POLICIES, None);
    for object in policies {
        let policy: PolicySpec = object.spec();
        if !policy.match_constraints.match_request(cluster, asked) {
            continue;
        }
        let mut bindings = cluster.store.list(ids::VALIDATING_POLICY_BINDINGS, None);
        let denies = bindings.find(|binding| {
            let spec: BindingSpec = binding.spec();
            spec.policy_name == *object.meta.name
                && spec.validation_actions.iter().any(|one| one == "Deny")
                && spec.match_resources.match_request(cluster, asked)
        });
        if let Some(binding) = denies
            && let Err(denial) = policy.judge(cluster, asked)
        {
            let message = format!(
                "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {}",
                object.meta.name, binding.meta.name, denial.message
            );
            return Err(refusal(asked, &message, denial.reason));
        }
    }
    Ok(())
}

/// `admission.NewForbidden`, with the reason and code of the validation.
fn refusal(asked: &Asked<'_>, message: &str, reason: Reason) -> Status {
    let mut status = Status::forbidden(asked.row, asked.name(), message);
    status.reason = reason;
    status.code = reason.code();
    let details = status.details.get_or_insert_with(Box::<Details>::default);
    details.causes.push(Cause {
        reason: String::new(),
        message: message.to_owned(),
        field: String::new(),
    });
    status
}

impl Asked<'_> {
    fn operation(&self) -> &'static str {
        match (self.old, self.new) {
            (None, _) => "CREATE",
            (Some(_), Some(_)) => "UPDATE",
            (Some(_), None) => "DELETE",
        }
    }

    fn either(&self) -> Option<&Object> {
        self.new.or(self.old)
    }

    fn name(&self) -> &str {
        self.either().map_or("", |object| &object.meta.name)
    }

    fn namespace(&self) -> &str {
        self.either().map_or("", |object| &object.meta.namespace)
    }

    /// The variables of its expressions.
    fn variables(&self, cluster: &Cluster) -> Map<String, Value> {
        let shown = |object: Option<&Object>| object.map_or(Value::Null, Object::to_value);
        let key = Key::new(ids::NAMESPACES, "", self.namespace());
        let namespace = cluster.store.get(&key).map(AsRef::as_ref);
        let variables = [
            ("object", shown(self.new)),
            ("oldObject", shown(self.old)),
            ("namespaceObject", shown(namespace)),
            ("request", self.request()),
            ("variables", json!({})),
        ];
        variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// `admission/v1.AdmissionRequest`.
    fn request(&self) -> Value {
        let row = self.row;
        let kind = json!({"group": row.group, "version": row.version, "kind": row.kind});
        let resource = json!({
            "group": row.group, "version": row.version, "resource": row.plural,
        });
        json!({
            "kind": kind, "requestKind": kind,
            "resource": resource, "requestResource": resource,
            "subResource": self.subresource, "requestSubResource": self.subresource,
            "name": self.name(), "namespace": self.namespace(),
            "operation": self.operation(), "userInfo": self.user, "dryRun": self.dry_run,
        })
    }
}

impl Matches {
    fn match_request(&self, cluster: &Cluster, asked: &Asked<'_>) -> bool {
        let included = self.resource_rules.is_empty()
            || self.resource_rules.iter().any(|rule| rule.matches(asked));
        included
            && !self
                .exclude_resource_rules
                .iter()
                .any(|rule| rule.matches(asked))
            && self.match_namespace(cluster, asked)
            && self.match_object(asked)
    }

    /// The namespace that it is in, or that it is; other objects of the cluster always match.
    fn match_namespace(&self, cluster: &Cluster, asked: &Asked<'_>) -> bool {
        if !asked.row.namespaced && &*asked.row.plural != "namespaces" {
            return true;
        }
        if !asked.row.namespaced {
            return asked.either().is_some_and(|object| {
                picks(self.namespace_selector.as_ref(), &object.meta.labels)
            });
        }
        let key = Key::new(ids::NAMESPACES, "", asked.namespace());
        let labels = cluster.store.get(&key).map(|one| one.meta.labels.clone());
        picks(
            self.namespace_selector.as_ref(),
            &labels.unwrap_or_default(),
        )
    }

    fn match_object(&self, asked: &Asked<'_>) -> bool {
        let mut states = [asked.old, asked.new].into_iter().flatten();
        states.any(|object| picks(self.object_selector.as_ref(), &object.meta.labels))
    }
}

fn picks(selector: Option<&Value>, labels: &BTreeMap<String, String>) -> bool {
    let Some(selector) = selector else {
        return true;
    };
    LabelSelector::from_value(selector).is_some_and(|selector| selector.matches(labels))
}

impl Rule {
    fn matches(&self, asked: &Asked<'_>) -> bool {
        let row = asked.row;
        let named = self.resource_names.is_empty()
            || self.resource_names.iter().any(|one| one == asked.name());
        let in_scope = match self.scope.as_deref() {
            Some("Namespaced") => row.namespaced,
            Some("Cluster") => !row.namespaced,
            _ => true,
        };
        let resource = self.resources.iter().any(|one| {
            let (resource, sub) = one.split_once('/').unwrap_or((one, ""));
            is_or_all(resource, &row.plural) && is_or_all(sub, asked.subresource)
        });
        let has = |list: &[String], wanted: &str| list.iter().any(|one| is_or_all(one, wanted));
        named
            && in_scope
            && resource
            && has(&self.api_groups, &row.group)
            && has(&self.api_versions, &row.version)
            && has(&self.operations, asked.operation())
    }
}

fn is_or_all(one: &str, wanted: &str) -> bool {
    one == "*" || one == wanted
}

impl PolicySpec {
    /// Err says why the request is refused.
    fn judge(&self, cluster: &Cluster, asked: &Asked<'_>) -> Result<(), Denial> {
        if self.param_kind.is_some() {
            let why = "failed to configure binding: parameters are not read by this cluster";
            return self.on_failure(why.to_owned());
        }
        let mut variables = asked.variables(cluster);
        for condition in &self.match_conditions {
            match is_true(&condition.expression, &variables) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(why) => return self.on_failure(why),
            }
        }
        self.define(&mut variables);
        for validation in &self.validations {
            match is_true(&validation.expression, &variables) {
                Ok(true) => {}
                Ok(false) => return Err(validation.denial(&variables)),
                Err(why) => self.on_failure(why)?,
            }
        }
        Ok(())
    }

    fn on_failure(&self, why: String) -> Result<(), Denial> {
        match self.failure_policy.as_deref() {
            Some("Ignore") => Ok(()),
            _ => Err(Denial::failed(why)),
        }
    }

    /// Adds the policy's own variables, each of which sees those before it. One that cannot be
    /// evaluated is left out: whoever uses it fails.
    fn define(&self, variables: &mut Map<String, Value>) {
        for variable in &self.variables {
            let value = evaluate(&variable.expression, variables);
            if let (Ok(value), Some(Value::Object(own))) = (value, variables.get_mut("variables")) {
                own.insert(variable.name.clone(), value);
            }
        }
    }
}

fn is_true(expression: &str, variables: &Map<String, Value>) -> Result<bool, String> {
    let failed =
        |why: ExpressionError| format!("expression '{expression}' resulted in error: {why}");
    Ok(evaluate(expression, variables).map_err(failed)? == true)
}

impl Validation {
    fn denial(&self, variables: &Map<String, Value>) -> Denial {
        let reason = match self.reason.as_deref() {
            Some("Unauthorized") => Reason::Unauthorized,
            Some("Forbidden") => Reason::Forbidden,
            Some("RequestEntityTooLarge") => Reason::RequestEntityTooLarge,
            _ => Reason::Invalid,
        };
        Denial {
            message: self.says(variables),
            reason,
        }
    }

    /// Its message expression, else its message, else the expression that failed.
    fn says(&self, variables: &Map<String, Value>) -> String {
        if !self.message_expression.is_empty()
            && let Ok(Value::String(text)) = evaluate(&self.message_expression, variables)
            && !text.trim().is_empty()
            && !text.trim().contains('\n')
        {
            return text.trim().to_owned();
        }
        match self.message.trim() {
            "" => format!("failed expression: {}", self.expression.trim()),
            message => message.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::{post, request};
    use crate::api::{Answer, handle};
    use http::Method;

    const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
    const MAPS: &str = "/api/v1/namespaces/default/configmaps";

    fn send(cluster: &mut Cluster, request: &crate::api::Request) -> (u16, Value) {
        match handle(cluster, request) {
            Answer::Whole(whole) => (whole.code, serde_json::from_slice(&whole.body).unwrap()),
            other => panic!("{other:?}"),
        }
    }

    /// A cluster with one policy about ConfigMaps, bound without further conditions.
    fn cluster(more: &Value) -> Cluster {
        let mut cluster = Cluster::new(1, "2026-01-01T00:00:00Z".parse().unwrap());
        cluster.add_administrator("admin");
        let mut spec = json!({
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["*"], "operations": ["*"],
                "resources": ["configmaps"],
            }]},
        });
        let fields = spec.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        let policy = json!({"metadata": {"name": "p"}, "spec": spec});
        let binding = json!({"metadata": {"name": "b"},
            "spec": {"policyName": "p", "validationActions": ["Deny"]}});
        for (plural, body) in [
            ("validatingadmissionpolicies", policy),
            ("validatingadmissionpolicybindings", binding),
        ] {
            let made = send(
                &mut cluster,
                &post(&format!("{GROUP}/{plural}"), &body.to_string()),
            );
            assert_eq!(made.0, 201, "{made:?}");
        }
        cluster
    }

    fn map(name: &str, value: &str) -> String {
        json!({"metadata": {"name": name, "labels": {"tier": value}}, "data": {"a": value}})
            .to_string()
    }

    fn create(cluster: &mut Cluster, name: &str, value: &str) -> (u16, Value) {
        send(cluster, &post(MAPS, &map(name, value)))
    }

    #[test]
    fn a_request_is_refused_in_the_words_of_the_real_one() {
        let mut cluster = cluster(&json!({"validations": [
            {"expression": "object.data.a == 'good'", "message": "only good ones"}]}));
        assert_eq!(create(&mut cluster, "one", "good").0, 201);
        let (code, status) = create(&mut cluster, "two", "bad");
        let message =
            "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: only good ones";
        assert_eq!(code, 422);
        assert_eq!(
            status["message"],
            format!("configmaps \"two\" is forbidden: {message}")
        );
        assert_eq!(status["reason"], "Invalid");
        assert_eq!(
            status["details"],
            json!({"name": "two", "kind": "configmaps", "causes": [{"message": message}]})
        );
    }

    #[test]
    fn trials_updates_and_deletes_are_told_apart() {
        let mut cluster = cluster(&json!({"validations": [{
            "expression": "request.operation == 'CREATE' || request.dryRun",
            "messageExpression": "request.userInfo.username + ' may not ' + request.operation",
            "reason": "Forbidden",
        }]}));
        create(&mut cluster, "one", "a");
        let path = format!("{MAPS}/one");
        let trial = request(Method::PUT, &format!("{path}?dryRun=All"), &map("one", "b"));
        assert_eq!(send(&mut cluster, &trial).0, 200);
        for method in [Method::PUT, Method::DELETE] {
            let body = if method == Method::PUT {
                map("one", "b")
            } else {
                String::new()
            };
            let (code, status) = send(&mut cluster, &request(method, &path, &body));
            assert_eq!(code, 403, "{status}");
            let says = status["message"].as_str().unwrap();
            assert!(says.contains("kubernetes-admin may not "), "{says}");
        }
    }

    #[test]
    fn what_cannot_be_evaluated_refuses_unless_failures_are_ignored() {
        let broken = |failure: &str| {
            let expression = json!([{"expression": "object.data.gone == 'x'"}]);
            json!({"validations": expression, "failurePolicy": failure})
        };
        let (code, status) = create(&mut cluster(&broken("Fail")), "one", "a");
        assert_eq!(code, 422);
        assert!(
            status["message"]
                .as_str()
                .unwrap()
                .contains("resulted in error"),
            "{status}"
        );
        assert_eq!(create(&mut cluster(&broken("Ignore")), "one", "a").0, 201);
        let params = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}});
        assert_eq!(create(&mut cluster(&params), "one", "a").0, 422);
    }

    #[test]
    fn conditions_variables_and_selectors_narrow_a_policy() {
        let never = json!([{"expression": "false"}]);
        let by_name = json!({"validations": never,
            "matchConditions": [{"name": "n", "expression": "object.metadata.name == 'two'"}]});
        let mut narrow = cluster(&by_name);
        assert_eq!(create(&mut narrow, "one", "a").0, 201);
        assert_eq!(create(&mut narrow, "two", "a").0, 422);

        let variable = json!({"variables": [{"name": "v", "expression": "object.data.a"}],
            "validations": [{"expression": "variables.v == 'a'"}]});
        let mut with_variable = cluster(&variable);
        assert_eq!(create(&mut with_variable, "one", "a").0, 201);
        let (_, status) = create(&mut with_variable, "two", "b");
        let says = status["message"].as_str().unwrap();
        assert!(
            says.ends_with("failed expression: variables.v == 'a'"),
            "{says}"
        );

        let mut by_label = json!({"validations": never});
        by_label["matchConstraints"] = json!({
            "objectSelector": {"matchLabels": {"tier": "b"}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}},
            "resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"],
                "resources": ["*"]}],
        });
        let mut labelled = cluster(&by_label);
        assert_eq!(create(&mut labelled, "one", "a").0, 201);
        assert_eq!(create(&mut labelled, "two", "b").0, 422);
    }
}
