//! Where in an object something is, in the words of Go's encoding/json and of strict decoding.

use super::Type;

/// Where in the object.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    before: Option<&'p Self>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
pub(super) enum Step<'p> {
    Root,
    /// A field of a type.
    Field(&'p str, &'static str),
    /// A key of a map, or a field that is not known.
    Key(&'p str),
    Item(usize),
}

impl<'p> Place<'p> {
    /// The object itself.
    pub(super) const ROOT: Self = Self {
        before: None,
        step: Step::Root,
    };

    /// A place in this one.
    pub(super) fn then<'q>(&'q self, step: Step<'q>) -> Place<'q>
    where
        'p: 'q,
    {
        Place {
            before: Some(self),
            step,
        }
    }

    /// `spec.containers[0].name`
    pub(super) fn path(&self) -> String {
        let before = self.before.map(Place::path).unwrap_or_default();
        match self.step {
            Step::Root => String::new(),
            Step::Item(index) => format!("{before}[{index}]"),
            Step::Field(name, _) | Step::Key(name) if before.is_empty() => name.to_owned(),
            Step::Field(name, _) | Step::Key(name) => format!("{before}.{name}"),
        }
    }

    /// The Go type of the innermost field, and the fields up to it: `Container`,
    /// `spec.containers.name`.
    fn field(&self) -> Option<(&'static str, String)> {
        let before = self.before.and_then(Place::field);
        let Step::Field(name, owner) = self.step else {
            return before;
        };
        let path = match before {
            Some((_, path)) => format!("{path}.{name}"),
            None => name.to_owned(),
        };
        Some((owner, path))
    }

    /// `UnmarshalTypeError` of Go's encoding/json.
    pub(super) fn mismatch(&self, value: &str, kind: &Type) -> String {
        let wanted = go_type(kind);
        match self.field() {
            Some((owner, path)) => format!(
                "json: cannot unmarshal {value} into Go struct field {owner}.{path} of type {wanted}"
            ),
            None => format!("json: cannot unmarshal {value} into Go value of type {wanted}"),
        }
    }
}

/// What Go calls a type.
fn go_type(kind: &Type) -> String {
    match kind {
        Type::String => "string".to_owned(),
        Type::Int32 => "int32".to_owned(),
        Type::Int64 => "int64".to_owned(),
        Type::Double => "float64".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Bytes => "[]uint8".to_owned(),
        Type::Time => "v1.Time".to_owned(),
        Type::MicroTime => "v1.MicroTime".to_owned(),
        Type::Quantity => "resource.Quantity".to_owned(),
        Type::IntOrString => "intstr.IntOrString".to_owned(),
        Type::Any | Type::Custom => "map[string]interface {}".to_owned(),
        Type::Schema(_) => "v1.JSONSchemaProps".to_owned(),
        Type::Object(_) => {
            let name = kind.schema().info().map_or("", |info| info.name);
            name.split_once('.')
                .map_or(name, |(_, name)| name)
                .to_owned()
        }
        Type::List(items) => format!("[]{}", go_type(items)),
        Type::Map(values) => format!("map[string]{}", go_type(values)),
    }
}
