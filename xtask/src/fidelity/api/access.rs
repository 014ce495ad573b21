//! Who may do what: 401, 403, roles, reviews.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::idle_pod;
use crate::fidelity::Check;
use crate::fidelity::client::Client;
use crate::fidelity::room::{Room, same, text};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

pub(super) const CHECKS: &[Check] = &[
    Check::new("rbac: denials say who, what and where", denials),
    Check::new("rbac: no token, wrong token", strangers),
    Check::new("rbac: a role and its binding", role_and_binding),
    Check::new("rbac: names of resources", resource_names),
    Check::new("rbac: nobody grants what he has not", escalation),
    Check::new("rbac: roleRef is immutable", role_ref),
    Check::new(
        "review: SelfSubjectAccessReview and SubjectAccessReview",
        access_reviews,
    ),
    Check::new("review: SelfSubjectRulesReview", rules_review),
    Check::new("review: TokenReview and SelfSubjectReview", token_reviews),
];

/// A ServiceAccount; returns who it is and its client.
fn account(room: &Room, name: &str) -> Result<(String, Client)> {
    let path = format!("serviceaccounts/{name}");
    if room.read(&path)?.code == 404 {
        room.create("serviceaccounts", &json!({ "metadata": { "name": name } }))?;
    }
    let request =
        json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let made = room.create(&format!("{path}/token"), &request)?;
    let token = text(&made["status"]["token"]);
    let user = format!("system:serviceaccount:{}:{name}", room.namespace);
    Ok((user, room.target.admin.with_token(Some(&token))))
}

/// A role in the room, bound to one of its ServiceAccounts.
fn grant(room: &Room, account: &str, role: &str, rules: &Value) -> Result<()> {
    room.create(
        "roles",
        &json!({ "metadata": { "name": role }, "rules": rules }),
    )?;
    let binding = json!({
        "metadata": { "name": role },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role },
        "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": room.namespace }],
    });
    room.create("rolebindings", &binding).map(drop)
}

fn denials(room: &Room) -> Result<()> {
    let (user, poor) = account(room, "poor")?;
    let namespace = &room.namespace;
    let denied = |method: Method, path: &str, message: String| -> Result<Value> {
        let answer = poor
            .request(method, &room.path(path))
            .json(&json!({}))
            .send()?;
        answer.refused(403, "Forbidden", &message)
    };
    let message = format!(
        "pods is forbidden: User \"{user}\" cannot list resource \"pods\" in API group \"\" in the namespace \"{namespace}\""
    );
    same!(
        denied(Method::GET, "pods", message)?["details"],
        json!({ "kind": "pods" })
    );
    let message = format!(
        "pods \"p\" is forbidden: User \"{user}\" cannot get resource \"pods\" in API group \"\" in the namespace \"{namespace}\""
    );
    denied(Method::GET, "pods/p", message)?;
    let message = format!(
        "nodes is forbidden: User \"{user}\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
    );
    denied(Method::GET, "/api/v1/nodes", message)?;
    let message = format!(
        "deployments.apps \"it\" is forbidden: User \"{user}\" cannot update resource \"deployments/scale\" \
         in API group \"apps\" in the namespace \"{namespace}\""
    );
    denied(Method::PUT, "deployments/it/scale", message)?;
    let message = format!(
        "deployments.apps is forbidden: User \"{user}\" cannot watch resource \"deployments\" in API group \"apps\" at the cluster scope"
    );
    denied(Method::GET, "/apis/apps/v1/deployments?watch=true", message)?;
    let message = format!("forbidden: User \"{user}\" cannot get path \"/metrics\"");
    same!(
        denied(Method::GET, "/metrics", message)?["details"],
        json!({})
    );
    Ok(())
}

fn strangers(room: &Room) -> Result<()> {
    let wrong = room.target.admin.with_token(Some("wrong"));
    let answer = wrong.request(Method::GET, &room.path("pods")).send()?;
    answer.refused(401, "Unauthorized", "Unauthorized")?;
    let nobody = room.target.admin.with_token(None);
    let message = format!(
        "pods is forbidden: User \"system:anonymous\" cannot list resource \"pods\" in API group \"\" in the namespace \"{}\"",
        room.namespace
    );
    let answer = nobody.request(Method::GET, &room.path("pods")).send()?;
    answer.refused(403, "Forbidden", &message)?;
    // The version and the state of health are for all.
    for path in ["/version", "/healthz", "/readyz", "/livez"] {
        same!(nobody.request(Method::GET, path).send()?.code, 200);
    }
    Ok(())
}

/// The answer's code for a request of somebody.
fn code(room: &Room, who: &Client, method: Method, path: &str) -> Result<u16> {
    Ok(who
        .request(method, &room.path(path))
        .json(&json!({}))
        .send()?
        .code)
}

fn role_and_binding(room: &Room) -> Result<()> {
    let (_, who) = account(room, "reader")?;
    same!(code(room, &who, Method::GET, "configmaps")?, 403);
    let rules =
        json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"] }]);
    grant(room, "reader", "read", &rules)?;
    room.wait("the role to count", |room| {
        Ok(code(room, &who, Method::GET, "configmaps")? == 200)
    })?;
    same!(
        code(room, &who, Method::GET, "configmaps/kube-root-ca.crt")?,
        200
    );
    same!(code(room, &who, Method::GET, "configmaps?watch=true")?, 403);
    same!(
        code(room, &who, Method::DELETE, "configmaps/kube-root-ca.crt")?,
        403
    );
    same!(
        code(
            room,
            &who,
            Method::GET,
            "/api/v1/namespaces/default/configmaps"
        )?,
        403
    );
    room.delete("rolebindings/read")?.is(200)?;
    room.wait("the end of the role", |room| {
        Ok(code(room, &who, Method::GET, "configmaps")? == 403)
    })
}

fn resource_names(room: &Room) -> Result<()> {
    let (_, who) = account(room, "picky")?;
    let rules = json!([
        { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"], "resourceNames": ["kube-root-ca.crt"] },
        { "apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["*"] },
    ]);
    grant(room, "picky", "pick", &rules)?;
    let one = "configmaps/kube-root-ca.crt";
    room.wait("the role to count", |room| {
        Ok(code(room, &who, Method::GET, one)? == 200)
    })?;
    same!(code(room, &who, Method::GET, "configmaps/other")?, 403);
    same!(code(room, &who, Method::GET, "configmaps")?, 403);
    same!(code(room, &who, Method::GET, "deployments/it/scale")?, 404);
    same!(code(room, &who, Method::GET, "deployments/it")?, 403);
    Ok(())
}

fn escalation(room: &Room) -> Result<()> {
    let (user, who) = account(room, "climber")?;
    let rules = json!([{ "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create", "get"] }]);
    grant(room, "climber", "climb", &rules)?;
    room.wait("the role to count", |room| {
        Ok(code(room, &who, Method::GET, "roles/climb")? == 200)
    })?;
    let more = json!({
        "metadata": { "name": "more" },
        "rules": [{ "apiGroups": [""], "resources": ["secrets"], "verbs": ["get"] }],
    });
    let answer = who
        .request(Method::POST, &room.path("roles"))
        .json(&more)
        .send()?;
    let status = answer.status(403, "Forbidden")?;
    let begin = format!(
        "roles.rbac.authorization.k8s.io \"more\" is forbidden: user \"{user}\" (groups=[\"system:serviceaccounts\" \
         \"system:serviceaccounts:{}\" \"system:authenticated\"]) is attempting to grant RBAC permissions not \
         currently held:\n{{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\"]}}",
        room.namespace
    );
    same!(status["message"], begin);
    Ok(())
}

fn role_ref(room: &Room) -> Result<()> {
    grant(room, "default", "one", &json!([]))?;
    let change = json!({ "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "two" } });
    let answer = room.patch(
        crate::fidelity::room::MERGE_PATCH,
        "rolebindings/one",
        &change,
    )?;
    let message = "RoleBinding.rbac.authorization.k8s.io \"one\" is invalid: roleRef: Invalid value: \
        {\"APIGroup\":\"rbac.authorization.k8s.io\",\"Kind\":\"Role\",\"Name\":\"two\"}: cannot change roleRef";
    answer.refused(422, "Invalid", message)?;
    Ok(())
}

fn access_reviews(room: &Room) -> Result<()> {
    let attributes = json!({ "verb": "list", "resource": "pods", "namespace": room.namespace });
    let ask = json!({ "spec": { "resourceAttributes": attributes } });
    let own = format!("{REVIEWS}/selfsubjectaccessreviews");
    same!(room.create(&own, &ask)?["status"]["allowed"], true);
    let (user, who) = account(room, "asker")?;
    let answer = who.request(Method::POST, &own).json(&ask).send()?.is(201)?;
    same!(answer["status"], json!({ "allowed": false }));
    grant(
        room,
        "asker",
        "list",
        &json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] }]),
    )?;
    let other = json!({ "spec": { "user": user, "resourceAttributes": attributes } });
    let path = format!("{REVIEWS}/subjectaccessreviews");
    room.wait("the role to count", |room| {
        Ok(room.create(&path, &other)?["status"]["allowed"] == true)
    })?;
    let answer = room.create(&path, &other)?;
    let reason = format!(
        "RBAC: allowed by RoleBinding \"list/{0}\" of Role \"list\" to ServiceAccount \"asker/{0}\"",
        room.namespace
    );
    same!(answer["status"]["reason"], reason);
    Ok(())
}

fn rules_review(room: &Room) -> Result<()> {
    let (_, who) = account(room, "asker")?;
    grant(
        room,
        "asker",
        "list",
        &json!([{ "apiGroups": [""], "resources": ["pods"], "verbs": ["list"] }]),
    )?;
    let ask = json!({ "spec": { "namespace": room.namespace } });
    let path = format!("{REVIEWS}/selfsubjectrulesreviews");
    let wanted = json!({ "verbs": ["list"], "apiGroups": [""], "resources": ["pods"] });
    room.wait("the role to be listed", |_| {
        let answer = who
            .request(Method::POST, &path)
            .json(&ask)
            .send()?
            .is(201)?;
        let rules = answer["status"]["resourceRules"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        Ok(answer["status"]["incomplete"] == false && rules.contains(&wanted))
    })
}

fn token_reviews(room: &Room) -> Result<()> {
    let (user, who) = account(room, "it")?;
    let own = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = who
        .request(Method::POST, own)
        .json(&json!({}))
        .send()?
        .is(201)?;
    let info = &answer["status"]["userInfo"];
    same!(info["username"], user);
    let groups = json!([
        "system:serviceaccounts",
        format!("system:serviceaccounts:{}", room.namespace),
        "system:authenticated",
    ]);
    same!(info["groups"], groups);
    let request =
        json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    let token = room.create("serviceaccounts/it/token", &request)?["status"]["token"].take();
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let good = room.create(path, &json!({ "spec": { "token": token } }))?;
    same!(good["status"]["authenticated"], true);
    same!(good["status"]["user"]["username"], user);
    let bad = room.create(path, &json!({ "spec": { "token": "wrong" } }))?;
    same!(bad["status"].get("authenticated"), None);
    same!(bad["status"]["error"], "invalid bearer token");
    room.create("pods", &idle_pod("it")).map(drop)
}
