//! In which shape an answer is wanted (`Accept`).

use super::request::Request;
use crate::status::{Details, Reason, Status};

/// Which part of the object a row of a Table carries (`includeObject`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Kubernetes' own words")]
pub enum Include {
    None,
    Metadata,
    Object,
}

/// The shape of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Objects as they are.
    Plain,
    /// `meta.k8s.io/v1` Table: what kubectl prints.
    Table(Include),
    /// `meta.k8s.io/v1` PartialObjectMetadata(List).
    Partial,
}

/// One media type with its parameters.
struct Media<'text> {
    name: &'text str,
    parameters: Vec<(&'text str, &'text str)>,
}

impl<'text> Media<'text> {
    fn parse(text: &'text str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        Self {
            name: parts.next().unwrap_or_default(),
            parameters: parts.filter_map(|part| part.split_once('=')).collect(),
        }
    }

    fn get(&self, name: &str) -> Option<&'text str> {
        let mut all = self.parameters.iter();
        all.find(|(one, _)| *one == name).map(|(_, value)| *value)
    }

    /// JSON is YAML: both are answered with the same text.
    fn is_text(&self) -> bool {
        matches!(
            self.name,
            "application/json" | "application/yaml" | "application/*" | "*/*"
        )
    }
}

/// The first wanted media type that can be given; 406 where there is none.
pub fn shape(request: &Request) -> Result<Shape, Status> {
    if request.accept.trim().is_empty() {
        return Ok(Shape::Plain);
    }
    let wanted = request.accept.split(',').map(Media::parse);
    for media in wanted.filter(Media::is_text) {
        match media.get("as") {
            None => return Ok(Shape::Plain),
            Some("Table") if media.get("v") == Some("v1") => {
                return Ok(Shape::Table(match request.query.get("includeObject") {
                    Some("None") => Include::None,
                    Some("Object") => Include::Object,
                    _ => Include::Metadata,
                }));
            }
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => {
                return Ok(Shape::Partial);
            }
            Some(_) => {}
        }
    }
    Err(not_acceptable())
}

/// The first version of aggregated discovery that is wanted and known (`v2`, `v2beta1`); `None`:
/// plain discovery.
pub fn discovery(request: &Request) -> Option<&'static str> {
    for media in request.accept.split(',').map(Media::parse) {
        match (media.get("as"), media.get("v")) {
            (Some("APIGroupDiscoveryList"), Some("v2")) if media.is_text() => return Some("v2"),
            (None, _) if media.is_text() => return None,
            _ => {}
        }
    }
    None
}

/// 406.
pub fn not_acceptable() -> Status {
    Status::new(
        Reason::NotAcceptable,
        "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch",
    )
    .with_details(Details::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::get;

    fn wanted(accept: &str) -> Result<Shape, Status> {
        let mut request = get("/api/v1/pods");
        accept.clone_into(&mut request.accept);
        shape(&request)
    }

    #[test]
    fn the_first_that_can_be_given_is_given() {
        let kubectl = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
        assert_eq!(wanted(kubectl).unwrap(), Shape::Table(Include::Metadata));
        let client_go = "application/vnd.kubernetes.protobuf,application/json";
        assert_eq!(wanted(client_go).unwrap(), Shape::Plain);
        assert_eq!(wanted("").unwrap(), Shape::Plain);
        assert_eq!(wanted("text/html").unwrap_err().code, 406);
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(wanted(metadata).unwrap(), Shape::Partial);
    }
}
