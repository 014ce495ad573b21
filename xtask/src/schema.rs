//! `cargo xtask schema` writes the table of Kubernetes' types that the simulator reads, checks and
//! describes objects by: `crates/sim/src/schema/types.txt`.
//!
//! Types, defaults and merge rules are those of the API server's OpenAPI documents. The numbers of
//! fields in protobuf, and which fields are left out when they are zero, are those of the tags in
//! the Go sources. Both come from the Go modules of the Kubernetes that the lab runs. Descriptions
//! are left out.

mod go;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::lab::binaries::KUBERNETES;
use go::{Package, Tag};

/// Where the table is kept.
const TABLE: &str = "crates/sim/src/schema/types.txt";

const ABOUT: &str = "\
# The types of Kubernetes VERSION: written by `cargo xtask schema`, read by schema.rs.
# A type's line: name, the kind that it is, `atomic` where apply owns it as one value.
# A field's line: name, number in protobuf (2.1: field 1 of what is embedded as 2), type, and
#   ?           left out when it is zero     !            required
#   default=    what it is if not said       atomic       a map that apply owns as one value
#   strategy=   of a strategic merge         key=         by which that merges a list
#   list=set    each value by itself (apply) keys=        by which apply tells items apart
";

/// Schemas that Go writes and reads by code of their own.
const SPECIAL: [(&str, &str); 10] = [
    ("io.k8s.apimachinery.pkg.api.resource.Quantity", "quantity"),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "fields"),
    (
        "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        "micro-time",
    ),
    ("io.k8s.apimachinery.pkg.apis.meta.v1.Time", "time"),
    ("io.k8s.apimachinery.pkg.runtime.RawExtension", "raw"),
    (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        "int-or-string",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        "json",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        "schema-or-list",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        "schema-or-bool",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        "schema-or-strings",
    ),
];

/// Where the Go packages lie, by the beginning of their schemas' names.
const PACKAGES: [(&str, &str, &str); 4] = [
    ("io.k8s.api.", "k8s.io/api", ""),
    (
        "io.k8s.apimachinery.pkg.apis.",
        "k8s.io/apimachinery",
        "pkg/apis",
    ),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.",
        "k8s.io/apiextensions-apiserver",
        "pkg/apis",
    ),
    (
        "io.k8s.kube-aggregator.pkg.apis.",
        "k8s.io/kube-aggregator",
        "pkg/apis",
    ),
];

/// Where discovery and watches have their types: servers tell them, nobody sends them.
const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

type Schemas = BTreeMap<String, Value>;

/// Writes the table.
pub fn write(root: &Path) -> Result<()> {
    let schemas = read_documents(&module("k8s.io/kubernetes", KUBERNETES)?)?;
    let kinds = kinds(&schemas);
    let mut go = Sources::default();
    let mut text = ABOUT.replace("VERSION", KUBERNETES.trim_start_matches('v'));
    for name in reachable(&schemas, kinds.keys()) {
        let schema = schemas.get(&name).with_context(|| format!("no {name}"))?;
        let tags = go.tags(&name)?;
        describe(&mut text, &name, schema, &tags, kinds.get(&name))
            .with_context(|| format!("cannot describe {name}"))?;
    }
    let path = root.join(TABLE);
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// The folder of a Go module, fetched if it is not there.
fn module(name: &str, version: &str) -> Result<PathBuf> {
    let module = format!("{name}@{version}");
    let output = Command::new("go")
        .args(["mod", "download", "-json", &module])
        .output()
        .context("cannot start go")?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .with_context(|| format!("go says nothing of {module}"))?;
    match told["Dir"].as_str() {
        Some(folder) => Ok(folder.into()),
        None => bail!("cannot fetch {module}: {}", told["Error"]),
    }
}

/// The schemas of all versions that are neither alpha nor beta.
fn read_documents(kubernetes: &Path) -> Result<Schemas> {
    let folder = kubernetes.join("api/openapi-spec/v3");
    let mut schemas = Schemas::new();
    for entry in fs::read_dir(&folder).context("Kubernetes has no OpenAPI documents")? {
        let path = entry?.path();
        let name = path.to_string_lossy();
        if !name.ends_with("_openapi.json") || name.contains("alpha") || name.contains("beta") {
            continue;
        }
        let text = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        let mut document: Value =
            serde_json::from_slice(&text).with_context(|| format!("{name} is no JSON"))?;
        if let Value::Object(some) = document["components"]["schemas"].take() {
            schemas.extend(some);
        }
    }
    Ok(schemas)
}

/// The kinds that clients send, by the name of their schema: `apps/v1/Deployment`.
fn kinds(schemas: &Schemas) -> BTreeMap<String, String> {
    let mut kinds = BTreeMap::new();
    for (name, schema) in schemas {
        let is_list = schema["properties"].get("items").is_some();
        let all = schema["x-kubernetes-group-version-kind"].as_array();
        let told = ["WatchEvent", "API"].map(|one| format!("{META}{one}"));
        if is_list || told.iter().any(|one| name.starts_with(one)) {
            continue;
        }
        // Options are of every group: the core group stands for all.
        let mut all: Vec<&Value> = all.into_iter().flatten().collect();
        all.sort_by_key(|one| one["group"].as_str());
        if let Some(one) = all.first() {
            let text = |part: &str| one[part].as_str().unwrap_or_default();
            let kind = format!("{}/{}/{}", text("group"), text("version"), text("kind"));
            kinds.insert(name.clone(), kind.trim_start_matches('/').to_owned());
        }
    }
    kinds
}

/// All schemas that these are made of, and they themselves.
fn reachable<'n>(schemas: &Schemas, from: impl Iterator<Item = &'n String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next: Vec<String> = from.cloned().collect();
    while let Some(name) = next.pop() {
        if special(&name).is_some() || found.contains(&name) {
            continue;
        }
        let properties = schemas
            .get(&name)
            .and_then(|one| one["properties"].as_object());
        for property in properties.into_iter().flat_map(|all| all.values()) {
            next.extend(inner(property));
        }
        found.insert(name);
    }
    found
}

/// The schema that a property, its items or its values refer to.
fn inner(property: &Value) -> Option<String> {
    [
        property,
        &property["items"],
        &property["additionalProperties"],
    ]
    .into_iter()
    .find_map(reference)
}

fn reference(property: &Value) -> Option<String> {
    let direct = property["$ref"].as_str();
    let wrapped = || property["allOf"].as_array()?.first()?["$ref"].as_str();
    let path = direct.or_else(wrapped)?;
    Some(path.rsplit('/').next()?.to_owned())
}

fn special(name: &str) -> Option<&'static str> {
    SPECIAL
        .iter()
        .find(|(one, _)| *one == name)
        .map(|(_, word)| *word)
}

/// `core.v1.Pod`
fn short(name: &str) -> &str {
    let mut all = PACKAGES.iter();
    all.find_map(|(prefix, ..)| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// The Go packages that were read so far.
#[derive(Default)]
struct Sources(BTreeMap<PathBuf, Package>);

impl Sources {
    /// The tags of the fields of a schema's Go type, by their JSON names.
    fn tags(&mut self, name: &str) -> Result<BTreeMap<String, Tag>> {
        let package = PACKAGES
            .iter()
            .find(|(prefix, ..)| name.starts_with(prefix));
        let (prefix, path, folder) = package.with_context(|| format!("{name}: of no package"))?;
        let (package, name) = name[prefix.len()..]
            .rsplit_once('.')
            .with_context(|| format!("{name}: no type"))?;
        let version = KUBERNETES.replacen("v1.", "v0.", 1);
        let folder = module(path, &version)?
            .join(folder)
            .join(package.replace('.', "/"));
        if !self.0.contains_key(&folder) {
            self.0.insert(folder.clone(), Package::read(&folder)?);
        }
        self.0[&folder].tags(name)
    }
}

fn describe(
    text: &mut String,
    name: &str,
    schema: &Value,
    tags: &BTreeMap<String, Tag>,
    kind: Option<&String>,
) -> Result<()> {
    text.push_str(short(name));
    for word in kind.into_iter().map(String::as_str).chain(map_type(schema)) {
        text.push(' ');
        text.push_str(word);
    }
    text.push('\n');
    let mut lines = Vec::new();
    for (field, property) in schema["properties"].as_object().into_iter().flatten() {
        match tags.get(field) {
            Some(tag) => lines.push((&tag.path, line(field, property, tag, schema)?)),
            // Every kind has these two; in protobuf they stand beside the object.
            None if kind.is_some() && (field == "kind" || field == "apiVersion") => {}
            None => bail!("{field}: has no tag"),
        }
    }
    lines.sort();
    for (_, line) in lines {
        text.push_str(&line);
    }
    Ok(())
}

fn line(field: &str, property: &Value, tag: &Tag, schema: &Value) -> Result<String> {
    let path: Vec<String> = tag.path.iter().map(u32::to_string).collect();
    let kind = type_of(property).with_context(|| format!("cannot tell the type of {field}"))?;
    // Lists, maps and objects that are not there are not sent either.
    let simple = !kind.contains(['[', '{', '.']);
    let mut words = vec![field.to_owned(), path.join("."), kind];
    if simple && tag.omits_zero {
        words.push("?".to_owned());
    }
    let required = schema["required"].as_array();
    if required.is_some_and(|all| all.iter().any(|one| one == field)) {
        words.push("!".to_owned());
    }
    let default = &property["default"];
    let plain = default.is_string() || default.is_number() || default.is_boolean();
    if plain && *default != "" && *default != 0 && *default != false {
        words.push(format!("default={default}"));
    }
    words.extend(map_type(property).map(str::to_owned));
    for (name, key) in [
        ("strategy", "x-kubernetes-patch-strategy"),
        ("key", "x-kubernetes-patch-merge-key"),
    ] {
        words.extend(
            property[key]
                .as_str()
                .map(|value| format!("{name}={value}")),
        );
    }
    if property["x-kubernetes-list-type"] == "set" {
        words.push("list=set".to_owned());
    }
    if let Some(keys) = property["x-kubernetes-list-map-keys"].as_array() {
        let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
        words.push(format!("keys={}", keys.join(",")));
    }
    Ok(format!(" {}\n", words.join(" ")))
}

/// `atomic`; the other way is what maps are anyway.
fn map_type(schema: &Value) -> Option<&str> {
    let word = schema["x-kubernetes-map-type"].as_str();
    word.filter(|word| *word == "atomic")
}

fn type_of(property: &Value) -> Result<String> {
    if let Some(name) = reference(property) {
        return Ok(special(&name).unwrap_or(short(&name)).to_owned());
    }
    let format = property["format"].as_str().unwrap_or_default();
    Ok(
        match (property["type"].as_str().unwrap_or_default(), format) {
            ("string", "byte") => "bytes".to_owned(),
            ("string", "") => "string".to_owned(),
            ("integer", "int32" | "int64") => format.to_owned(),
            ("boolean", "") => "bool".to_owned(),
            ("number", "double") => "double".to_owned(),
            ("array", "") => format!("[]{}", type_of(&property["items"])?),
            ("object", "") if property["additionalProperties"].is_object() => {
                format!("{{}}{}", type_of(&property["additionalProperties"])?)
            }
            (kind, format) => bail!("unknown type {kind:?} of format {format:?}"),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_is_one_line() {
        let tag = Tag {
            path: vec![6],
            omits_zero: false,
        };
        let schema = json!({ "required": ["ports"] });
        let ports = json!({
            "type": "array", "default": [],
            "items": { "allOf": [{ "$ref": "#/components/schemas/io.k8s.api.core.v1.ContainerPort" }] },
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
            "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "containerPort",
        });
        assert_eq!(
            line("ports", &ports, &tag, &schema).unwrap(),
            " ports 6 []core.v1.ContainerPort ! strategy=merge key=containerPort keys=containerPort,protocol\n"
        );
    }

    #[test]
    fn types_have_short_names() {
        let limits = json!({ "type": "object", "additionalProperties": {
            "$ref": "#/components/schemas/io.k8s.apimachinery.pkg.api.resource.Quantity" } });
        assert_eq!(type_of(&limits).unwrap(), "{}quantity");
        assert!(type_of(&json!({ "type": "object" })).is_err());
    }
}
