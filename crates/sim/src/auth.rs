//! Who asks, and what they may do: bearer tokens, RBAC, impersonation, and the reviews that answer
//! questions about both.

mod bootstrap;
mod escalation;
mod rbac;
mod review;

use crate::object::Object;
use crate::status::{Details, Reason, Status};
use crate::store::Store;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use bootstrap::bootstrap;
pub use escalation::check_escalation;
pub use rbac::{Decision, authorize};
pub use review::{Reviewer, review};

/// The group that may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of everybody who is known.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody who is not.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user who is nobody.
pub const ANONYMOUS: &str = "system:anonymous";

/// Most tokens that are kept; the oldest are forgotten first.
const MAX_TOKENS: usize = 10_000;

/// A user (`authentication/v1.UserInfo`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct User {
    /// Name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// What stays when somebody else gets the name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// Groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// More that is known.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user who is known, in these groups and in [`AUTHENTICATED`].
    pub fn new(name: &str, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|one| (*one).to_owned()).collect();
        if !groups.iter().any(|one| one == AUTHENTICATED) {
            groups.push(AUTHENTICATED.to_owned());
        }
        Self {
            username: name.to_owned(),
            groups,
            ..Self::default()
        }
    }

    /// Nobody.
    pub fn anonymous() -> Self {
        Self {
            username: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        let everybody = format!("system:serviceaccounts:{namespace}");
        Self {
            uid: uid.to_owned(),
            ..Self::new(
                &format!("system:serviceaccount:{namespace}:{name}"),
                &["system:serviceaccounts", &everybody],
            )
        }
    }

    /// Is it in a group?
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|one| one == group)
    }
}

/// A token's user, and how long it is good.
#[derive(Clone, Debug)]
struct Entry {
    user: User,
    /// Never for those that were given at the start.
    expires: Option<Timestamp>,
    issued: u64,
}

/// Which token is whose. A token is a random text that means nothing by itself.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    entries: BTreeMap<String, Entry>,
    issued: u64,
}

impl Tokens {
    /// Adds a token; without `expires` it is good for ever.
    pub fn add(&mut self, token: &str, user: User, expires: Option<Timestamp>) {
        self.issued = self.issued.saturating_add(1);
        let entry = Entry {
            user,
            expires,
            issued: self.issued,
        };
        self.entries.insert(token.to_owned(), entry);
        if self.entries.len() > MAX_TOKENS {
            let passing = self.entries.iter().filter(|(_, one)| one.expires.is_some());
            let oldest = passing.min_by_key(|(_, one)| one.issued);
            if let Some(oldest) = oldest.map(|(token, _)| token.clone()) {
                self.entries.remove(&oldest);
            }
        }
    }

    /// Whose token it is; `None` when it is nobody's, has expired, or its service account is gone.
    pub fn user(&self, store: &Store, token: &str, now: Timestamp) -> Option<&User> {
        let entry = self.entries.get(token)?;
        if entry.expires.is_some_and(|expires| expires <= now) {
            return None;
        }
        let alive = match service_account(&entry.user.username) {
            None => true,
            Some((namespace, name)) => {
                let key = crate::object::Key::new(
                    crate::resources::ids::SERVICE_ACCOUNTS,
                    namespace,
                    name,
                );
                let account = store.get(&key);
                account.is_some_and(|account| *account.meta.uid == *entry.user.uid)
            }
        };
        alive.then_some(&entry.user)
    }

    /// Who asks: the user of the bearer token, or nobody without one. 401 for a token that is not
    /// good.
    pub fn authenticate(
        &self,
        store: &Store,
        bearer: Option<&str>,
        now: Timestamp,
    ) -> Result<User, Status> {
        match bearer {
            None => Ok(User::anonymous()),
            Some(token) => self
                .user(store, token, now)
                .cloned()
                .ok_or_else(|| Status::new(Reason::Unauthorized, "Unauthorized")),
        }
    }
}

/// Namespace and name of a service account, from a user's name.
pub fn service_account(username: &str) -> Option<(&str, &str)> {
    let rest = username.strip_prefix("system:serviceaccount:")?;
    rest.split_once(':')
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or any other.
    pub verb: &'a str,
    /// API group.
    pub group: &'a str,
    /// Resource; empty when `path` is what is wanted.
    pub resource: &'a str,
    /// Subresource; empty for none.
    pub subresource: &'a str,
    /// Namespace; empty for the cluster's scope.
    pub namespace: &'a str,
    /// Name; empty for all.
    pub name: &'a str,
    /// Path that is no resource's.
    pub path: Option<&'a str>,
}

/// 403, in the words of the real server; `why` is what the authorizer said, mostly nothing.
pub fn forbidden(user: &User, wish: &Attributes<'_>, why: &str) -> Status {
    let why = if why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    };
    let who = &user.username;
    if let Some(path) = wish.path {
        let message = format!(
            "forbidden: User {who:?} cannot {} path {path:?}{why}",
            wish.verb
        );
        return Status::new(Reason::Forbidden, message).with_details(Details::default());
    }
    let qualified = if wish.group.is_empty() {
        wish.resource.to_owned()
    } else {
        format!("{}.{}", wish.resource, wish.group)
    };
    let subject = if wish.name.is_empty() {
        qualified
    } else {
        format!("{qualified} {:?}", wish.name)
    };
    let resource = if wish.subresource.is_empty() {
        wish.resource.to_owned()
    } else {
        format!("{}/{}", wish.resource, wish.subresource)
    };
    let place = if wish.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {:?}", wish.namespace)
    };
    let message = format!(
        "{subject} is forbidden: User {who:?} cannot {} resource {resource:?} in API group {:?} {place}{why}",
        wish.verb, wish.group
    );
    Status::new(Reason::Forbidden, message).with_details(Details {
        name: wish.name.to_owned(),
        group: wish.group.to_owned(),
        kind: wish.resource.to_owned(),
        ..Details::default()
    })
}

/// 403 unless the user may do it.
pub fn require(store: &Store, user: &User, wish: &Attributes<'_>) -> Result<Decision, Status> {
    let decision = authorize(store, user, wish);
    if decision.allowed {
        Ok(decision)
    } else {
        Err(forbidden(user, wish, &decision.reason))
    }
}

/// Who somebody acts as, by the headers `Impersonate-User` and `Impersonate-Group`; 403 when they may
/// not, 500 (as the real server answers) when groups are named and no user.
pub fn impersonate(
    store: &Store,
    user: &User,
    name: &str,
    groups: &[&str],
) -> Result<User, Status> {
    if name.is_empty() {
        return Err(Status::new(
            Reason::InternalError,
            format!("Internal error occurred: requested {groups:?} without impersonating a user"),
        ));
    }
    let account = service_account(name);
    let wish = match account {
        Some((namespace, name)) => Attributes {
            verb: "impersonate",
            resource: "serviceaccounts",
            namespace,
            name,
            ..Attributes::default()
        },
        None => Attributes {
            verb: "impersonate",
            resource: "users",
            name,
            ..Attributes::default()
        },
    };
    require(store, user, &wish)?;
    for group in groups {
        let wish = Attributes {
            verb: "impersonate",
            resource: "groups",
            name: group,
            ..Attributes::default()
        };
        require(store, user, &wish)?;
    }
    let mut other = match account {
        Some((namespace, name)) if groups.is_empty() => User::service_account(namespace, name, ""),
        _ => User {
            username: name.to_owned(),
            groups: groups.iter().map(|one| (*one).to_owned()).collect(),
            ..User::default()
        },
    };
    let group = if name == ANONYMOUS {
        UNAUTHENTICATED
    } else {
        AUTHENTICATED
    };
    if !other.is_in(group) {
        other.groups.push(group.to_owned());
    }
    Ok(other)
}

/// Top-level list of an object, as `T`.
fn list<T: serde::de::DeserializeOwned>(object: &Object, name: &str) -> Vec<T> {
    object.field(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Cluster;
    use crate::resources::{ResourceId, ids};
    use serde_json::{Value, json};

    pub(super) fn start() -> Timestamp {
        "2026-01-01T00:00:00Z".parse().unwrap()
    }

    pub(super) fn cluster(objects: Vec<(ResourceId, Value)>) -> Cluster {
        let mut cluster = Cluster::empty(1, start());
        for (resource, object) in bootstrap() {
            cluster.create(resource, object).unwrap();
        }
        for (resource, value) in objects {
            cluster
                .create(resource, Object::from_value(value).unwrap())
                .unwrap();
        }
        cluster
    }

    fn role(rules: &Value) -> Vec<(ResourceId, Value)> {
        vec![
            (
                ids::ROLES,
                json!({"metadata": {"name": "r", "namespace": "n"}, "rules": rules}),
            ),
            (
                ids::ROLE_BINDINGS,
                json!({"metadata": {"name": "b", "namespace": "n"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
                "subjects": [{"kind": "ServiceAccount", "name": "poor", "namespace": "n"}]}),
            ),
        ]
    }

    fn poor() -> User {
        User::service_account("n", "poor", "u")
    }

    fn wish<'a>(verb: &'a str, resource: &'a str) -> Attributes<'a> {
        Attributes {
            verb,
            resource,
            namespace: "n",
            ..Attributes::default()
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of wishes")]
    fn rules_say_what_may_be_done() {
        let rules = json!([
            {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
            {"verbs": ["*"], "apiGroups": ["apps"], "resources": ["deployments/scale"], "resourceNames": ["web"]},
        ]);
        let cluster = cluster(role(&rules));
        let named = |one: Attributes<'static>, group, subresource, name| Attributes {
            group,
            subresource,
            name,
            ..one
        };
        let table = [
            (wish("list", "pods"), true),
            (wish("delete", "pods"), false),
            (named(wish("get", "pods"), "", "log", "a"), true),
            (named(wish("get", "pods"), "", "exec", "a"), false),
            (
                Attributes {
                    namespace: "other",
                    ..wish("list", "pods")
                },
                false,
            ),
            (
                Attributes {
                    namespace: "",
                    ..wish("list", "pods")
                },
                false,
            ),
            (
                named(wish("update", "deployments"), "apps", "scale", "web"),
                true,
            ),
            (
                named(wish("update", "deployments"), "apps", "scale", "api"),
                false,
            ),
            (
                named(wish("update", "deployments"), "apps", "", "web"),
                false,
            ),
            (
                Attributes {
                    verb: "get",
                    path: Some("/version"),
                    ..Attributes::default()
                },
                true,
            ),
            (
                Attributes {
                    verb: "get",
                    path: Some("/apis/apps/v1"),
                    ..Attributes::default()
                },
                true,
            ),
            (
                Attributes {
                    verb: "get",
                    path: Some("/metrics"),
                    ..Attributes::default()
                },
                false,
            ),
        ];
        for (wish, allowed) in table {
            assert_eq!(
                authorize(&cluster.store, &poor(), &wish).allowed,
                allowed,
                "{wish:?}"
            );
        }
        let admin = User::new("admin", &[MASTERS]);
        assert!(authorize(&cluster.store, &admin, &wish("delete", "nodes")).allowed);
        let said = authorize(&cluster.store, &poor(), &wish("list", "pods")).reason;
        assert_eq!(
            said,
            "RBAC: allowed by RoleBinding \"b/n\" of Role \"r\" to ServiceAccount \"poor/n\""
        );
    }

    #[test]
    fn refusals_have_the_recorded_words() {
        let message = |wish| forbidden(&poor(), &wish, "").message;
        assert_eq!(
            message(wish("list", "pods")),
            "pods is forbidden: User \"system:serviceaccount:n:poor\" cannot list resource \"pods\" in API group \"\" in the namespace \"n\""
        );
        assert_eq!(
            message(Attributes {
                group: "apps",
                subresource: "scale",
                name: "it",
                ..wish("update", "deployments")
            }),
            "deployments.apps \"it\" is forbidden: User \"system:serviceaccount:n:poor\" cannot update resource \"deployments/scale\" in API group \"apps\" in the namespace \"n\""
        );
        assert_eq!(
            message(Attributes {
                verb: "get",
                path: Some("/metrics"),
                ..Attributes::default()
            }),
            "forbidden: User \"system:serviceaccount:n:poor\" cannot get path \"/metrics\""
        );
        assert_eq!(
            message(Attributes {
                verb: "list",
                resource: "nodes",
                ..Attributes::default()
            }),
            "nodes is forbidden: User \"system:serviceaccount:n:poor\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
    }

    #[test]
    fn the_usual_roles_are_there_and_aggregate() {
        let bind = |name: &str| {
            (
                ids::ROLE_BINDINGS,
                json!({"metadata": {"name": name, "namespace": "n"},
            "roleRef": {"kind": "ClusterRole", "name": name}, "subjects": [{"kind": "User", "name": name}]}),
            )
        };
        let more = json!({"metadata": {"name": "x", "labels": {"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
            "rules": [{"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["things"]}]});
        let cluster = cluster(vec![
            bind("view"),
            bind("edit"),
            bind("admin"),
            (ids::CLUSTER_ROLES, more),
        ]);
        let may = |who: &str, wish: Attributes<'_>| {
            authorize(&cluster.store, &User::new(who, &[]), &wish).allowed
        };
        for who in ["view", "edit", "admin"] {
            assert!(may(who, wish("list", "pods")), "{who}");
            assert!(
                may(
                    who,
                    Attributes {
                        group: "example.com",
                        ..wish("get", "things")
                    }
                ),
                "{who}"
            );
        }
        assert!(!may("view", wish("get", "secrets")) && may("edit", wish("get", "secrets")));
        assert!(!may("view", wish("delete", "pods")) && may("edit", wish("delete", "pods")));
        let roles = Attributes {
            group: "rbac.authorization.k8s.io",
            ..wish("create", "roles")
        };
        assert!(!may("edit", roles) && may("admin", roles));
    }

    #[test]
    fn tokens_end_with_their_time_and_their_account() {
        let account = json!({"metadata": {"name": "poor", "namespace": "n"}});
        let mut cluster = cluster(vec![(ids::SERVICE_ACCOUNTS, account)]);
        let key = crate::object::Key::new(ids::SERVICE_ACCOUNTS, "n", "poor");
        let uid = cluster.store.get(&key).unwrap().meta.uid.to_string();
        let mut tokens = Tokens::default();
        let hour = start() + jiff::SignedDuration::from_hours(1);
        tokens.add("t", User::service_account("n", "poor", &uid), Some(hour));
        tokens.add("admin", User::new("admin", &[MASTERS]), None);
        assert!(
            tokens
                .authenticate(&cluster.store, Some("t"), start())
                .is_ok()
        );
        assert_eq!(
            tokens
                .authenticate(&cluster.store, Some("t"), hour)
                .unwrap_err()
                .code,
            401
        );
        assert_eq!(
            tokens
                .authenticate(&cluster.store, Some("x"), start())
                .unwrap_err()
                .message,
            "Unauthorized"
        );
        assert_eq!(
            tokens
                .authenticate(&cluster.store, None, start())
                .unwrap()
                .username,
            ANONYMOUS
        );
        cluster.store.remove(&key);
        assert!(
            tokens
                .authenticate(&cluster.store, Some("t"), start())
                .is_err()
        );
    }

    #[test]
    fn impersonation_needs_the_right_for_it() {
        let cluster = cluster(Vec::new());
        let admin = User::new("admin", &[MASTERS]);
        let other = impersonate(&cluster.store, &admin, "jane", &["devs"]).unwrap();
        assert_eq!(
            (
                other.username.as_str(),
                other.is_in("devs"),
                other.is_in(AUTHENTICATED)
            ),
            ("jane", true, true)
        );
        let refused = impersonate(&cluster.store, &poor(), "jane", &[]).unwrap_err();
        assert_eq!(
            refused.message,
            "users \"jane\" is forbidden: User \"system:serviceaccount:n:poor\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
        );
    }

    #[test]
    fn nobody_grants_what_they_do_not_have() {
        let rules = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["create"], "apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"]}]);
        let cluster = cluster(role(&rules));
        let grant = |verbs: Value| {
            Object::from_value(json!({"metadata": {"name": "s", "namespace": "n"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]}))
            .unwrap()
        };
        let check =
            |user: &User, object: &Object| check_escalation(&cluster, ids::ROLES, object, user);
        assert!(check(&poor(), &grant(json!(["get"]))).is_ok());
        let refused = check(&poor(), &grant(json!(["delete"]))).unwrap_err();
        assert!(refused.message.contains("is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\"]}"), "{}", refused.message);
        assert!(check(&User::new("admin", &[MASTERS]), &grant(json!(["*"]))).is_ok());
    }
}
