//! Which resource, object and subresource a path names.

use super::request::decode;
use crate::object::Key;
use crate::resources::{ResourceId, Resources};
use crate::status::{Details, Reason, Status};

/// What a path leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Objects that are kept.
    Objects(Target),
    /// A review, answered and not kept: its group (`authorization.k8s.io`) and plural.
    Review {
        /// API group.
        group: &'static str,
        /// Plural name.
        plural: &'static str,
        /// For `localsubjectaccessreviews`.
        namespace: Option<String>,
    },
    /// Everything else: discovery, health, version.
    Other(Vec<String>),
}

/// Resource, object and subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The resource as it was asked for.
    pub shown: ResourceId,
    /// Where its objects are kept: another one for Events of `events.k8s.io`, and for versions of a
    /// custom resource.
    pub stored: ResourceId,
    /// `None`: all namespaces, or cluster-wide.
    pub namespace: Option<String>,
    /// `None`: the collection.
    pub name: Option<String>,
    /// `status`, `scale`, ...
    pub subresource: Option<String>,
}

impl Target {
    /// Key of the object; its name is empty for the collection.
    pub fn key(&self) -> Key {
        Key::new(
            self.stored,
            self.namespace.as_deref().unwrap_or_default(),
            self.name.as_deref().unwrap_or_default(),
        )
    }
}

/// Resources that only answer.
pub const REVIEWS: [(&str, &str, &str, bool); 6] = [
    (
        "authentication.k8s.io",
        "selfsubjectreviews",
        "SelfSubjectReview",
        false,
    ),
    (
        "authentication.k8s.io",
        "tokenreviews",
        "TokenReview",
        false,
    ),
    (
        "authorization.k8s.io",
        "localsubjectaccessreviews",
        "LocalSubjectAccessReview",
        true,
    ),
    (
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        false,
    ),
    (
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        false,
    ),
    (
        "authorization.k8s.io",
        "subjectaccessreviews",
        "SubjectAccessReview",
        false,
    ),
];

/// Reads a path.
pub fn parse(resources: &Resources, path: &str) -> Result<Route, Status> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    let parts: Vec<String> = parts.map(|part| decode(part, false)).collect();
    let texts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match texts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Ok(Route::Other(parts)),
    };
    if let Some(review) = review(group, version, rest) {
        return Ok(review);
    }
    let known =
        |one: &crate::Resource| one.served && *one.group == *group && *one.version == *version;
    if !resources.iter().any(|(_, one)| known(one)) {
        return Ok(Route::Other(parts));
    }
    let target = objects(resources, group, version, rest).ok_or_else(unknown_resource)?;
    Ok(Route::Objects(target))
}

fn review(group: &str, version: &str, rest: &[&str]) -> Option<Route> {
    let (namespace, plural) = match rest {
        [plural] => (None, *plural),
        ["namespaces", namespace, plural] => (Some((*namespace).to_owned()), *plural),
        _ => return None,
    };
    let found = REVIEWS.iter().find(|(its, name, _, namespaced)| {
        *its == group && *name == plural && *namespaced == namespace.is_some()
    });
    let (group, plural, ..) = found.filter(|_| version == "v1")?;
    Some(Route::Review {
        group,
        plural,
        namespace,
    })
}

fn objects(resources: &Resources, group: &str, version: &str, rest: &[&str]) -> Option<Target> {
    let find = |plural: &str| resources.by_path(group, version, plural);
    let target = |shown, namespace: Option<&str>, name: Option<&str>, sub: &[&str]| Target {
        shown,
        stored: resources.stored(shown),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
        subresource: (!sub.is_empty()).then(|| sub.join("/")),
    };
    if let ["namespaces", namespace, plural, rest @ ..] = rest
        && let Some(id) = find(plural)
        && resources.get(id).namespaced
    {
        let (name, sub) = rest
            .split_first()
            .map_or((None, rest), |(name, sub)| (Some(*name), sub));
        return Some(target(id, Some(namespace), name, sub));
    }
    let (plural, rest) = rest.split_first()?;
    let id = find(plural)?;
    let Some((name, sub)) = rest.split_first() else {
        return Some(target(id, None, None, &[]));
    };
    let row = resources.get(id);
    let served = sub.first().is_none_or(|one| row.has(one));
    (!row.namespaced && served).then(|| target(id, None, Some(name), sub))
}

/// 404: there is no such resource.
pub fn unknown_resource() -> Status {
    Status::new(
        Reason::NotFound,
        "the server could not find the requested resource",
    )
    .with_details(Details::default())
}

/// 405.
pub fn not_allowed() -> Status {
    Status::new(
        Reason::MethodNotAllowed,
        "the server does not allow this method on the requested resource",
    )
    .with_details(Details::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::ids;

    fn target(path: &str) -> Target {
        match parse(&Resources::default(), path).unwrap() {
            Route::Objects(target) => target,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_name_collections_objects_and_subresources() {
        let list = target("/api/v1/pods");
        assert_eq!(
            (list.shown, list.namespace, list.name),
            (ids::PODS, None, None)
        );
        let log = target("/api/v1/namespaces/shop/pods/cart/log");
        assert_eq!(log.namespace.as_deref(), Some("shop"));
        assert_eq!(log.name.as_deref(), Some("cart"));
        assert_eq!(log.subresource.as_deref(), Some("log"));
        let namespace = target("/api/v1/namespaces/shop/finalize");
        assert_eq!(namespace.shown, ids::NAMESPACES);
        assert_eq!(namespace.subresource.as_deref(), Some("finalize"));
        let scale = target("/apis/apps/v1/namespaces/shop/deployments/cart/scale");
        assert_eq!(scale.shown, ids::DEPLOYMENTS);
    }

    #[test]
    fn events_of_both_groups_are_kept_once() {
        let event = target("/apis/events.k8s.io/v1/namespaces/shop/events");
        assert_eq!((event.shown, event.stored), (ids::EVENTS_V1, ids::EVENTS));
    }

    #[test]
    fn what_is_not_served_is_refused() {
        let resources = Resources::default();
        let refused = parse(&resources, "/api/v1/namespaces/shop/things").unwrap_err();
        assert_eq!(refused.code, 404);
        let other = parse(&resources, "/apis/none.example/v1/things").unwrap();
        assert!(matches!(other, Route::Other(_)));
    }
}
