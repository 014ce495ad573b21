//! Who asks, for what, whether they may, and the audit line about it.

use super::request::Request;
use super::route::{Route, Target};
use super::{Answer, Whole};
use crate::audit::{self, Entry, Stage};
use crate::auth::{self, Attributes, Decision, User};
use crate::cluster::Cluster;
use crate::status::Status;
use http::Method;
use jiff::Timestamp;
use serde_json::Value;

/// A request as the authorizer sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    verb: &'static str,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    path: Option<String>,
}

impl Wish {
    /// Of a request. Objects are told by their resource, everything else by its path.
    pub(super) fn of(cluster: &Cluster, request: &Request, route: &Route) -> Self {
        match route {
            Route::Objects(target) => Self::objects(cluster, request, target),
            Route::Review {
                group,
                plural,
                namespace,
            } => Self {
                verb: verb(request, false),
                group: (*group).to_owned(),
                version: "v1".to_owned(),
                resource: (*plural).to_owned(),
                namespace: namespace.clone().unwrap_or_default(),
                ..Self::default()
            },
            Route::Other(_) => Self {
                verb: path_verb(&request.method),
                path: Some(request.path.clone()),
                ..Self::default()
            },
        }
    }

    fn objects(cluster: &Cluster, request: &Request, target: &Target) -> Self {
        let row = cluster.resources.get(target.shown);
        // A list of one object by its name is a wish for that object.
        let selected = || {
            let fields = request.query.get("fieldSelector")?;
            let name = fields.strip_prefix("metadata.name=")?;
            (!name.contains(',')).then(|| name.to_owned())
        };
        let name = target.name.clone().or_else(selected).unwrap_or_default();
        let namespace = match &target.namespace {
            Some(namespace) => namespace.clone(),
            None if &*row.plural == "namespaces" => target.name.clone().unwrap_or_default(),
            None => String::new(),
        };
        Self {
            verb: verb(request, target.name.is_some()),
            group: row.group.to_string(),
            version: row.version.to_string(),
            resource: row.plural.to_string(),
            subresource: target.subresource.clone().unwrap_or_default(),
            namespace,
            name,
            path: None,
        }
    }

    fn attributes(&self) -> Attributes<'_> {
        Attributes {
            verb: self.verb,
            group: &self.group,
            resource: &self.resource,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            path: self.path.as_deref(),
        }
    }
}

fn verb(request: &Request, named: bool) -> &'static str {
    match (&request.method, named) {
        (&Method::GET | &Method::HEAD, _) if request.query.flag("watch") => "watch",
        (&Method::GET | &Method::HEAD, true) => "get",
        (&Method::GET | &Method::HEAD, false) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, true) => "delete",
        (&Method::DELETE, false) => "deletecollection",
        _ => "",
    }
}

fn path_verb(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// What is known of a request besides its answer.
#[derive(Debug)]
pub(super) struct Session {
    received: Timestamp,
    wish: Wish,
    user: User,
    impersonated: Option<User>,
    decision: Option<Decision>,
}

impl Session {
    /// Before anything is known.
    pub(super) fn new(cluster: &Cluster, wish: Wish) -> Self {
        Self {
            received: cluster.now(),
            wish,
            user: User::anonymous(),
            impersonated: None,
            decision: None,
        }
    }

    /// Finds out who asks: 401; and whether they may: 403.
    pub(super) fn enter(&mut self, cluster: &Cluster, request: &Request) -> Result<User, Status> {
        let store = &cluster.store;
        let token = request.token.as_deref();
        self.user = cluster.tokens.authenticate(store, token, cluster.now())?;
        if let Some((name, groups)) = &request.impersonate {
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            self.impersonated = Some(auth::impersonate(store, &self.user, name, &groups)?);
        }
        let user = self.impersonated.as_ref().unwrap_or(&self.user);
        let wish = self.wish.attributes();
        let decision = auth::authorize(store, user, &wish);
        let allowed = decision.allowed;
        let refusal = auth::forbidden(user, &wish, &decision.reason);
        let user = user.clone();
        self.decision = Some(decision);
        if allowed { Ok(user) } else { Err(refusal) }
    }

    /// Writes the audit line.
    pub(super) fn audit(
        &self,
        cluster: &mut Cluster,
        request: &Request,
        answer: &Answer,
        refusal: Option<&Status>,
    ) {
        let (stage, code) = match answer {
            Answer::Whole(Whole { code, .. }) => (Stage::ResponseComplete, *code),
            Answer::List(_) | Answer::Advance(_) => (Stage::ResponseComplete, 200),
            Answer::Watch(_) | Answer::Log(_) => (Stage::ResponseStarted, 200),
        };
        let body: Option<Value> = serde_json::from_slice(&request.body).ok();
        // Of an object that is sent whole the line tells what the path does not
        // (`LogRequestObject`); a patch is no object.
        let is_whole = matches!(request.method, Method::POST | Method::PUT);
        let text = |path: &str| {
            let body = body.as_ref().filter(|_| is_whole);
            let found = body.and_then(|body| body.pointer(path)?.as_str());
            found.unwrap_or_default()
        };
        let mut wish = self.wish.attributes();
        if wish.name.is_empty() {
            wish.name = text("/metadata/name");
        }
        if wish.namespace.is_empty() {
            wish.namespace = text("/metadata/namespace");
        }
        let id = cluster.audit.next_id();
        let line = audit::line(&Entry {
            id: &id,
            stage,
            uri: &request.uri(),
            user: &self.user,
            impersonated: self.impersonated.as_ref(),
            source: "127.0.0.1",
            user_agent: &request.user_agent,
            wish,
            version: &self.wish.version,
            precondition: (text("/metadata/uid"), text("/metadata/resourceVersion")),
            code,
            refusal,
            body: body.as_ref(),
            received: self.received,
            now: cluster.now(),
            decision: self.decision.as_ref(),
        });
        cluster.audit.push(line);
    }
}
