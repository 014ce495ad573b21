//! What the API answers when it refuses: `meta/v1.Status`, with the reasons, codes and messages of
//! `k8s.io/apimachinery/pkg/api/errors`.

use crate::resources::Resource;
use serde::Serialize;

/// Why a request was refused (`metav1.StatusReason`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "Kubernetes' own words")]
pub enum Reason {
    Unauthorized,
    Forbidden,
    NotFound,
    AlreadyExists,
    Conflict,
    Gone,
    Invalid,
    BadRequest,
    MethodNotAllowed,
    NotAcceptable,
    UnsupportedMediaType,
    RequestEntityTooLarge,
    TooManyRequests,
    InternalError,
    Expired,
    ServiceUnavailable,
    Timeout,
    /// None is given (`metav1.StatusReasonUnknown`): on the wire the field is left out.
    Unknown,
}

impl Reason {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands references")]
    fn is_unknown(&self) -> bool {
        *self == Self::Unknown
    }

    /// The HTTP status code that goes with it.
    pub fn code(self) -> u16 {
        match self {
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::Invalid => 422,
            Self::BadRequest => 400,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::UnsupportedMediaType => 415,
            Self::RequestEntityTooLarge => 413,
            Self::TooManyRequests => 429,
            Self::InternalError | Self::Unknown => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

/// One field that is wrong, or one part of why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// `FieldValueRequired`, `FieldValueInvalid`, `FieldManagerConflict`, `DisruptionBudget`, ...;
    /// empty where it has no name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is wrong, for a person.
    pub message: String,
    /// Path of the field; empty where it is not about one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What the refusal is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Name of the object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// API group of the resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Resource (`pods`) or, for `Invalid`, kind (`Pod`), as Kubernetes does it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// uid of the object, where it is known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// Try again after so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
#[serde(into = "Wire")]
pub struct Status {
    /// Why.
    pub reason: Reason,
    /// HTTP status; [`Reason::code`] but for the few that Kubernetes answers otherwise.
    pub code: u16,
    /// For a person.
    pub message: String,
    /// About what. Boxed, because refusals are rare and results are many.
    pub details: Option<Box<Details>>,
}

/// A [`Status`] as it goes over the wire.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    kind: &'static str,
    api_version: &'static str,
    metadata: serde_json::Value,
    status: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Reason::is_unknown")]
    reason: Reason,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Box<Details>>,
    code: u16,
}

impl From<Status> for Wire {
    fn from(status: Status) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: serde_json::Value::Object(serde_json::Map::new()),
            status: "Failure",
            message: status.message,
            reason: status.reason,
            details: status.details,
            code: status.code,
        }
    }
}

impl Status {
    /// A refusal with nothing but a reason and a message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            code: reason.code(),
            message: message.into(),
            details: None,
        }
    }

    /// The same, with details.
    #[must_use]
    pub fn with_details(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    fn about(reason: Reason, resource: &Resource, name: &str, message: String) -> Self {
        Self::new(reason, message).with_details(Details {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.plural.to_string(),
            ..Details::default()
        })
    }

    /// 404: there is no such object.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified());
        Self::about(Reason::NotFound, resource, name, message)
    }

    /// 409: the name is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified());
        Self::about(Reason::AlreadyExists, resource, name, message)
    }

    /// 409: somebody was faster, or a precondition does not hold; `why` is the second half of the
    /// message (see [`Status::stale`]).
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.qualified()
        );
        Self::about(Reason::Conflict, resource, name, message)
    }

    /// 409: the resourceVersion that was sent is not the newest.
    pub fn stale(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403: not allowed; `why` is the second half of the message.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let qualified = resource.qualified();
        let message = if name.is_empty() {
            format!("{qualified} is forbidden: {why}")
        } else {
            format!("{qualified} \"{name}\" is forbidden: {why}")
        };
        Self::about(Reason::Forbidden, resource, name, message)
    }

    /// 422: fields are wrong. The message is made of the causes as Kubernetes does it.
    pub fn invalid(resource: &Resource, name: &str, causes: Vec<Cause>) -> Self {
        let each: Vec<String> = causes
            .iter()
            .map(|cause| match cause.field.as_str() {
                "" => cause.message.clone(),
                field => format!("{field}: {}", cause.message),
            })
            .collect();
        let why = match each.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let kind = if resource.group.is_empty() {
            resource.kind.to_string()
        } else {
            format!("{}.{}", resource.kind, resource.group)
        };
        let message = format!("{kind} \"{name}\" is invalid: {why}");
        Self::new(Reason::Invalid, message).with_details(Details {
            name: name.to_owned(),
            group: resource.group.to_string(),
            kind: resource.kind.to_string(),
            causes,
            ..Details::default()
        })
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }
}
