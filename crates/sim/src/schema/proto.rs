//! Protobuf as client-go sends it: four letters, then a `runtime.Unknown` that names the kind and
//! holds the object (`k8s.io/apimachinery/pkg/runtime/serializer/protobuf`).
//!
//! Read into the JSON that the same client would have sent: what Go leaves out of JSON is left out.

use super::read::time_text;
use super::wire::{Broken, Fields, Wire};
use super::{Field, Info, OrElse, Type};
use crate::base64;
use jiff::Timestamp;
use serde_json::{Map, Value};

/// What such a body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// Deeper objects are not read (`JSONSchemaProps` hold each other).
const MAX_DEPTH: usize = 100;

/// Reads an object as JSON.
pub(crate) fn decode(body: &[u8]) -> Result<Value, Broken> {
    let unknown = body.strip_prefix(MAGIC).ok_or(Broken::Prefix)?;
    let (version, kind) = type_meta(first(unknown, 1)?.unwrap_or_default())?;
    let raw = first(unknown, 2)?.unwrap_or_default();
    if kind.is_empty() {
        return Err(Broken::Kind);
    }
    // Options are of every group.
    let options = || kind.ends_with("Options").then(|| Type::of_name(&kind))?;
    let found = Type::of_kind(&version, &kind).or_else(options);
    let Some(info) = found.as_ref().and_then(|kind| kind.schema().info()) else {
        return Err(Broken::NotRegistered(kind, version));
    };
    let mut object = message(info, raw, 0)?;
    object.insert("apiVersion".to_owned(), version.into());
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

/// `apiVersion` and `kind`.
fn type_meta(bytes: &[u8]) -> Result<(String, String), Broken> {
    let text = |number| Ok(lossy(first(bytes, number)?.unwrap_or_default()));
    Ok((text(1)?, text(2)?))
}

/// Go makes U+FFFD of what is no UTF-8, too, when it writes JSON.
fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn message(info: &Info, bytes: &[u8], depth: usize) -> Result<Map<String, Value>, Broken> {
    if depth > MAX_DEPTH {
        return Err(Broken::Depth);
    }
    let mut object = Map::new();
    embedded(info, &mut Vec::new(), bytes, &mut object, depth)?;
    Ok(object)
}

/// Reads the fields of a message, or of one that is embedded in it at `path`, into an object.
fn embedded(
    info: &Info,
    path: &mut Vec<u32>,
    bytes: &[u8],
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), Broken> {
    for field in Fields::of(bytes) {
        let (number, wire) = field?;
        path.push(number);
        let mut fields = info.fields.iter();
        match (fields.find(|one| one.path.starts_with(path)), wire) {
            (Some(field), wire) if field.path == *path => put(object, field, wire, depth)?,
            (Some(_), Wire::Bytes(inner)) => embedded(info, path, inner, object, depth)?,
            _ => {}
        }
        path.pop();
    }
    Ok(())
}

fn put(
    object: &mut Map<String, Value>,
    field: &Field,
    wire: Wire<'_>,
    depth: usize,
) -> Result<(), Broken> {
    let name = field.name;
    match &field.kind {
        Type::List(kind) => {
            let items = object
                .entry(name)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = items {
                push(items, name, kind, wire, depth)?;
            }
        }
        Type::Map(kind) => {
            let (key, value) = entry(name, kind, wire, depth)?;
            let map = object
                .entry(name)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = map {
                map.insert(key, value);
            }
        }
        kind => {
            let value = single(name, kind, wire, depth)?;
            if value.is_null() || field.omits_zero && is_zero(&value) {
                object.remove(name);
            } else {
                object.insert(name.to_owned(), value);
            }
        }
    }
    Ok(())
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

/// One more item, or many numbers at once.
fn push(
    items: &mut Vec<Value>,
    name: &'static str,
    kind: &Type,
    wire: Wire<'_>,
    depth: usize,
) -> Result<(), Broken> {
    let is_number = matches!(kind, Type::Int32 | Type::Int64 | Type::Bool);
    let Some(packed) = wire.bytes().filter(|_| is_number) else {
        items.push(single(name, kind, wire, depth)?);
        return Ok(());
    };
    let mut packed = Fields::of(packed);
    while !packed.is_empty() {
        let number = Wire::Varint(packed.next_varint()?);
        items.push(single(name, kind, number, depth)?);
    }
    Ok(())
}

fn entry(
    name: &'static str,
    kind: &Type,
    wire: Wire<'_>,
    depth: usize,
) -> Result<(String, Value), Broken> {
    let bytes = wire.bytes().ok_or(Broken::WrongWire(name))?;
    let mut key = String::new();
    let mut value = None;
    for field in Fields::of(bytes) {
        match field? {
            (1, Wire::Bytes(text)) => key = lossy(text),
            (2, wire) => value = Some(single(name, kind, wire, depth)?),
            _ => {}
        }
    }
    // What is zero may be left out on the wire.
    let empty = || match kind {
        Type::Int32 | Type::Int64 => Ok(Value::from(0)),
        Type::Bool => Ok(Value::from(false)),
        kind => single(name, kind, Wire::Bytes(&[]), depth),
    };
    Ok((key, value.map_or_else(empty, Ok)?))
}

/// One value. Null is none at all.
fn single(name: &'static str, kind: &Type, wire: Wire<'_>, depth: usize) -> Result<Value, Broken> {
    let value = match (kind, wire) {
        (Type::Int32, Wire::Varint(_)) => {
            let number = wire.varint().and_then(|number| i32::try_from(number).ok());
            number.ok_or(Broken::Value(name))?.into()
        }
        (Type::Int64, Wire::Varint(number)) => number.cast_signed().into(),
        (Type::Bool, Wire::Varint(number)) => (number != 0).into(),
        (Type::Double, Wire::Fixed64(bits)) => f64::from_bits(bits).into(),
        (Type::Int32 | Type::Int64 | Type::Bool | Type::Double, _) => {
            return Err(Broken::WrongWire(name));
        }
        (kind, Wire::Bytes(bytes)) => of_bytes(name, kind, bytes, depth)?,
        _ => return Err(Broken::WrongWire(name)),
    };
    Ok(value)
}

/// One value that is text or a message.
fn of_bytes(name: &'static str, kind: &Type, bytes: &[u8], depth: usize) -> Result<Value, Broken> {
    let invalid = || Broken::Value(name);
    match kind {
        Type::String => Ok(lossy(bytes).into()),
        Type::Bytes => Ok(base64::encode(bytes).into()),
        Type::Time | Type::MicroTime => moment(bytes, *kind == Type::MicroTime, invalid),
        Type::Quantity => Ok(match first(bytes, 1)? {
            Some(text) if !text.is_empty() => lossy(text).into(),
            _ => "0".into(),
        }),
        Type::IntOrString => int_or_string(bytes),
        Type::Any | Type::Custom => match first(bytes, 1)? {
            Some(raw) if !raw.is_empty() => serde_json::from_slice(raw).map_err(|_| invalid()),
            _ => Ok(Value::Null),
        },
        Type::Schema(or_else) => schema(name, *or_else, bytes, depth),
        Type::Object(_) => match kind.schema().info() {
            Some(info) => Ok(message(info, bytes, depth.saturating_add(1))?.into()),
            None => Ok(Value::Null),
        },
        // A list among the values of a map is a message of its own: its items are its first field.
        Type::List(kind) => {
            let mut items = Vec::new();
            for field in Fields::of(bytes) {
                if let (1, wire) = field? {
                    push(&mut items, name, kind, wire, depth)?;
                }
            }
            Ok(items.into())
        }
        Type::Int32 | Type::Int64 | Type::Bool | Type::Double | Type::Map(_) => Err(invalid()),
    }
}

/// The last bytes that are sent as this field.
fn first(bytes: &[u8], wanted: u32) -> Result<Option<&[u8]>, Broken> {
    let mut found = None;
    for field in Fields::of(bytes) {
        let (number, wire) = field?;
        if number == wanted {
            found = wire.bytes();
        }
    }
    Ok(found)
}

/// Seconds and nanoseconds; nothing at all is no time.
fn moment(bytes: &[u8], micro: bool, invalid: impl Fn() -> Broken) -> Result<Value, Broken> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::of(bytes) {
        match field? {
            (1, wire) => seconds = wire.varint().ok_or_else(&invalid)?,
            (2, wire) => nanos = wire.varint().ok_or_else(&invalid)?,
            _ => {}
        }
    }
    let nanos = i32::try_from(nanos).map_err(|_| invalid())?;
    let time = Timestamp::new(seconds, nanos).map_err(|_| invalid())?;
    Ok(time_text(time, micro).into())
}

/// Its type (1: text), the number, the text.
fn int_or_string(bytes: &[u8]) -> Result<Value, Broken> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in Fields::of(bytes) {
        match field? {
            (1, Wire::Varint(kind)) => is_text = kind == 1,
            (2, wire) => number = wire.varint().unwrap_or(0),
            (3, Wire::Bytes(bytes)) => text = lossy(bytes),
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// A JSON schema, or what may stand in its place.
fn schema(name: &'static str, kind: OrElse, bytes: &[u8], depth: usize) -> Result<Value, Broken> {
    let one = Type::of_schema();
    let mut list: Vec<Value> = Vec::new();
    let mut found = match kind {
        OrElse::Bool => Value::Bool(false),
        OrElse::List | OrElse::Strings => Value::Null,
    };
    for field in Fields::of(bytes) {
        match (kind, field?) {
            (OrElse::Bool, (1, wire)) => found = single(name, &Type::Bool, wire, depth)?,
            (OrElse::Bool, (2, wire)) | (_, (1, wire)) => {
                return single(name, &one, wire, depth);
            }
            (OrElse::List, (2, wire)) => list.push(single(name, &one, wire, depth)?),
            (OrElse::Strings, (2, wire)) => list.push(single(name, &Type::String, wire, depth)?),
            _ => {}
        }
    }
    Ok(if list.is_empty() { found } else { list.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// The field of `JSONSchemaProps` that holds another one: `not`.
    const NOT: u32 = 28;

    fn varint(mut value: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while value > 127 {
            out.push(u8::try_from(value & 127 | 128).unwrap());
            value >>= 7;
        }
        out.push(u8::try_from(value).unwrap());
        out
    }

    /// A field with bytes.
    fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
        let tag = usize::try_from(number << 3 | 2).unwrap();
        [varint(tag), varint(bytes.len()), bytes.to_vec()].concat()
    }

    /// A field with a small number.
    fn number(field: u32, value: u8) -> Vec<u8> {
        vec![u8::try_from(field << 3).unwrap(), value]
    }

    fn unknown(version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &meta), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let metadata = [
            field(1, b"settings"),
            field(2, b""),
            number(7, 0),
            field(8, b""),
            field(11, &[field(1, b"team"), field(2, b"red")].concat()),
        ];
        let data = [field(1, b"a"), field(2, b"1")].concat();
        let binary = [field(1, b"b"), field(2, b"hi")].concat();
        let raw = [
            field(1, &metadata.concat()),
            field(2, &data),
            field(3, &binary),
            number(4, 0),
        ];
        let read = decode(&unknown("v1", "ConfigMap", &raw.concat())).unwrap();
        let wanted = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "settings", "labels": {"team": "red"}},
            "data": {"a": "1"}, "binaryData": {"b": "aGk="}, "immutable": false,
        });
        assert_eq!(read, wanted);
    }

    #[test]
    fn embedded_messages_and_special_types_are_read() {
        let probe = [
            field(
                1,
                &field(
                    2,
                    &[
                        field(1, b"/healthz"),
                        field(2, &[number(1, 0), number(2, 80), field(3, b"")].concat()),
                    ]
                    .concat(),
                ),
            ),
            number(2, 0),
            number(4, 10),
        ];
        let limits = [field(1, b"memory"), field(2, &field(1, b"64Mi"))].concat();
        let container = [
            field(1, b"app"),
            field(8, &field(1, &limits)),
            field(10, &probe.concat()),
        ];
        let raw = field(2, &[field(2, &container.concat()), number(4, 0)].concat());
        let read = decode(&unknown("v1", "Pod", &raw)).unwrap();
        let container = json!({
            "name": "app", "resources": {"limits": {"memory": "64Mi"}},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 80}, "periodSeconds": 10},
        });
        assert_eq!(read["spec"]["containers"], json!([container]));
        // A pointer to zero is not nothing.
        assert_eq!(read["spec"]["terminationGracePeriodSeconds"], 0);
    }

    #[test]
    fn times_lists_and_maps_of_lists_are_read() {
        let renewed = [number(1, 10), vec![2 << 3, 0x98, 0x8C, 0xEB, 0xDC, 3]].concat();
        let lease = field(2, &field(4, &renewed));
        let read = decode(&unknown("coordination.k8s.io/v1", "Lease", &lease)).unwrap();
        assert_eq!(read["spec"]["renewTime"], "1970-01-01T00:00:10.999999Z");
        let gone = field(1, &field(9, &number(1, 1)));
        let read = decode(&unknown("v1", "Pod", &gone)).unwrap();
        assert_eq!(
            read["metadata"]["deletionTimestamp"],
            "1970-01-01T00:00:01Z"
        );
        let extra = [
            field(1, b"scopes"),
            field(2, &[field(1, b"a"), field(1, b"b")].concat()),
        ];
        let review = field(2, &field(5, &extra.concat()));
        let read = decode(&unknown(
            "authorization.k8s.io/v1",
            "SubjectAccessReview",
            &review,
        ));
        assert_eq!(
            read.unwrap()["spec"]["extra"],
            json!({"scopes": ["a", "b"]})
        );
    }

    #[test]
    fn numbers_come_one_by_one_or_packed() {
        let context = |groups: Vec<u8>| field(2, &field(14, &groups));
        let wanted = json!([1, 2, 3]);
        for groups in [
            [number(4, 1), number(4, 2), number(4, 3)].concat(),
            field(4, &[1, 2, 3]),
        ] {
            let read = decode(&unknown("v1", "Pod", &context(groups))).unwrap();
            assert_eq!(
                read["spec"]["securityContext"]["supplementalGroups"],
                wanted
            );
        }
    }

    #[test]
    fn options_are_of_every_group() {
        let raw = [number(1, 0), field(4, b"Background")].concat();
        let read = decode(&unknown("apps/v1", "DeleteOptions", &raw)).unwrap();
        assert_eq!(read["gracePeriodSeconds"], 0);
        assert_eq!(read["propagationPolicy"], "Background");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let table = [
            (b"{}".to_vec(), Broken::Prefix),
            (MAGIC.to_vec(), Broken::Kind),
            (
                unknown("v1", "Nothing", b""),
                Broken::NotRegistered("Nothing".to_owned(), "v1".to_owned()),
            ),
            (
                unknown("v1", "ConfigMap", &number(1, 1)),
                Broken::WrongWire("metadata"),
            ),
            (unknown("v1", "ConfigMap", &[0x0A, 9]), Broken::End),
        ];
        for (body, wanted) in table {
            assert_eq!(decode(&body), Err(wanted));
        }
    }

    #[test]
    fn a_deep_schema_is_refused_before_the_stack_ends() {
        let nested = |depth| {
            let schema = (0..depth).fold(Vec::new(), |inner, _| field(NOT, &inner));
            let spec = field(7, &field(4, &field(1, &schema)));
            let kind = "CustomResourceDefinition";
            decode(&unknown("apiextensions.k8s.io/v1", kind, &field(2, &spec)))
        };
        assert!(nested(90).is_ok());
        assert_eq!(nested(400), Err(Broken::Depth));
    }

    proptest! {
        #[test]
        fn broken_messages_never_panic(
            raw in prop::collection::vec(any::<u8>(), 0..200), kind in any::<prop::sample::Index>(),
        ) {
            let kinds: Vec<&str> = crate::schema::kinds().map(|(kind, _)| kind).collect();
            let (version, kind) = kind.get(&kinds).rsplit_once('/').unwrap();
            if let Ok(value) = decode(&unknown(version, kind, &raw)) {
                prop_assert!(value.is_object());
            }
            decode(&raw).ok();
            decode(&[MAGIC, &raw].concat()).ok();
        }
    }
}
