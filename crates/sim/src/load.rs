//! Reads objects from files: manifests, `kubectl get -A -o yaml`, `kubectl cluster-info dump`, or a
//! folder of them.
//!
//! Objects that carry a uid come from a running cluster. A load with any of them is a *picture*:
//! uids, times and statuses stay as they are, and no controller, scheduler or kubelet runs, because
//! what they would do to it is not what was seen. A load without is a set of manifests, which are
//! created one by one as `kubectl create` does it (defaults, admission, validation, unknown fields
//! refused), and come to life.

use crate::api;
use crate::cluster::Cluster;
use crate::object::{Key, NotAnObject, Object};
use crate::resources::{ResourceId, ids};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Largest file that is read, in bytes: a YAML dump of ten thousand pods has about 100 MiB.
pub const MAX_FILE: u64 = 512 << 20;

/// A namespace has its service account after so long, and pods need it.
const SETTLED: Duration = Duration::from_secs(1);

/// Where an object was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<Path>,
    /// Which document of the file, from 1.
    pub document: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, document {}", self.file.display(), self.document)
    }
}

/// An object and where it was read.
#[derive(Clone, Debug)]
pub struct Read {
    /// Where.
    pub place: Place,
    /// What.
    pub object: Object,
    /// As it was written, of an object that comes from no running cluster.
    manifest: Option<Value>,
}

/// Why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or folder cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than [`MAX_FILE`].
    #[error("{} is larger than {} MiB: load it in parts", path.display(), MAX_FILE >> 20)]
    TooLarge {
        /// Which.
        path: PathBuf,
    },
    /// Not JSON or YAML. The text names line and column of the file.
    #[error("{place}: {why}")]
    Syntax {
        /// Where.
        place: Place,
        /// Why.
        why: String,
    },
    /// JSON or YAML, but no object.
    #[error("{place}: not an object of Kubernetes: {source}")]
    NotAnObject {
        /// Where.
        place: Place,
        /// Why.
        source: NotAnObject,
    },
    /// A field that every object needs.
    #[error("{place}: {missing} is not set: every object needs apiVersion, kind and metadata.name")]
    Incomplete {
        /// Where.
        place: Place,
        /// The field.
        missing: &'static str,
    },
    /// A manifest of a kind that is not served.
    #[error(
        "{place}: no matches for kind \"{kind}\" in version \"{api_version}\": load its \
         CustomResourceDefinition too, or take the object out"
    )]
    UnknownKind {
        /// Where.
        place: Place,
        /// Its kind.
        kind: String,
        /// Its version.
        api_version: String,
    },
    /// The API refused a manifest.
    #[error("{place}: {status}: correct the manifest")]
    Refused {
        /// Where.
        place: Place,
        /// As the API says it.
        status: String,
    },
    /// Nothing in it.
    #[error("{} holds no objects: expected *.yaml, *.yml or *.json with manifests, or the output of `kubectl get -A -o yaml`", path.display())]
    Nothing {
        /// The file or folder.
        path: PathBuf,
    },
}

/// Reads a file, or all `*.yaml`, `*.yml` and `*.json` files of a folder and the folders in it, in
/// the order of their names.
pub fn read(path: &Path) -> Result<Vec<Read>, LoadError> {
    let mut objects = Vec::new();
    for file in files(path)? {
        objects.extend(read_file(&file)?);
    }
    if objects.is_empty() {
        return Err(LoadError::Nothing {
            path: path.to_owned(),
        });
    }
    Ok(objects)
}

/// Whether the objects are a picture of a running cluster: any of them has a uid.
pub fn is_picture(objects: &[Read]) -> bool {
    objects.iter().any(|one| !one.object.meta.uid.is_empty())
}

fn files(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let wrong = |source| LoadError::Io {
        path: path.to_owned(),
        source,
    };
    if !std::fs::metadata(path).map_err(wrong)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(wrong)?;
    let paths: Result<BTreeSet<PathBuf>, _> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect();
    let mut found = Vec::new();
    for path in paths.map_err(wrong)? {
        let extension = path.extension().and_then(|extension| extension.to_str());
        // A link could lead back into its own folder.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if matches!(extension, Some("yaml" | "yml" | "json")) {
            found.push(path);
        }
    }
    Ok(found)
}

fn read_file(path: &Path) -> Result<Vec<Read>, LoadError> {
    let wrong = |source| LoadError::Io {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(wrong)?.len() > MAX_FILE {
        return Err(LoadError::TooLarge {
            path: path.to_owned(),
        });
    }
    let text = std::fs::read_to_string(path).map_err(wrong)?;
    parse(path, &text)
}

/// Reads the objects of a text; `file` only names it in errors.
pub fn parse(file: &Path, text: &str) -> Result<Vec<Read>, LoadError> {
    let file: Arc<Path> = file.into();
    let mut objects = Vec::new();
    let place = |document| Place {
        file: Arc::clone(&file),
        document,
    };
    let values = values(text).map_err(|(document, why)| LoadError::Syntax {
        place: place(document),
        why,
    })?;
    for (index, value) in values.into_iter().enumerate() {
        take(value, None, &place(index + 1), &mut objects)?;
    }
    Ok(objects)
}

/// The objects of a text, one document after the other. What looks like JSON is read as such first
/// because YAML's parser is many times slower, and dumps are large.
fn values(text: &str) -> Result<Vec<Value>, (usize, String)> {
    let mut all = Vec::new();
    for document in documents(text) {
        let wrong = |why| (all.len() + 1, why);
        if !document.trim_start().starts_with('{') {
            all.push(yaml(&document).map_err(wrong)?);
            continue;
        }
        // Without its last line's end: a document that breaks off does so on that line.
        let stream = serde_json::Deserializer::from_str(document.trim_end()).into_iter();
        match stream.collect::<Result<Vec<Value>, _>>() {
            Ok(values) => all.extend(values),
            // A map of YAML may begin like one of JSON.
            Err(error) => all.push(yaml(&document).map_err(|_| wrong(error.to_string()))?),
        }
    }
    Ok(all)
}

/// The documents of a text, each with as many empty lines in front as it stands below the top,
/// so that errors name the line of the file.
fn documents(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        let is_mark = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
        if is_mark {
            all.push("\n".repeat(number + 1));
        } else if let Some(document) = all.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    let says_something = |document: &String| {
        let mut lines = document.lines().map(str::trim);
        lines.any(|line| !line.is_empty() && !line.starts_with('#'))
    };
    all.retain(says_something);
    all
}

fn yaml(text: &str) -> Result<Value, String> {
    // The files are the user's own: no limit but that of a file.
    let options = serde_saphyr::options! { budget: None, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| error.to_string())
}

/// Takes one object, or those of a list. `kubectl cluster-info dump` prints typed lists whose items
/// do not say what they are: `list` says it for them.
fn take(
    value: Value,
    list: Option<(&str, &str)>,
    place: &Place,
    objects: &mut Vec<Read>,
) -> Result<(), LoadError> {
    let Value::Object(mut map) = value else {
        return match value {
            Value::Null => Ok(()),
            _ => Err(LoadError::NotAnObject {
                place: place.clone(),
                source: NotAnObject::NotAMap,
            }),
        };
    };
    let text = |map: &serde_json::Map<String, Value>, field: &str| {
        map.get(field).and_then(Value::as_str).map(str::to_owned)
    };
    let kind = text(&map, "kind").unwrap_or_default();
    let version = text(&map, "apiVersion").unwrap_or_default();
    if kind.ends_with("List")
        && map
            .get("items")
            .is_some_and(|items| items.is_array() || items.is_null())
    {
        let of = kind.trim_end_matches("List");
        let of = (!of.is_empty()).then_some((version.as_str(), of));
        let Some(Value::Array(items)) = map.remove("items") else {
            return Ok(());
        };
        for item in items {
            take(item, of, place, objects)?;
        }
        return Ok(());
    }
    if let Some((version, kind)) = list {
        map.entry("apiVersion").or_insert_with(|| version.into());
        map.entry("kind").or_insert_with(|| kind.into());
    }
    let value = Value::Object(map);
    let has_uid = value
        .pointer("/metadata/uid")
        .is_some_and(|uid| !uid.is_null());
    let manifest = (!has_uid).then(|| value.clone());
    let object = Object::from_value(value).map_err(|source| LoadError::NotAnObject {
        place: place.clone(),
        source,
    })?;
    let missing = [
        ("apiVersion", object.api_version.is_empty()),
        ("kind", object.kind.is_empty()),
        (
            "metadata.name",
            object.meta.name.is_empty() && object.meta.generate_name.is_empty(),
        ),
    ];
    if let Some((missing, _)) = missing.into_iter().find(|(_, is_missing)| *is_missing) {
        return Err(LoadError::Incomplete {
            place: place.clone(),
            missing,
        });
    }
    objects.push(Read {
        place: place.clone(),
        object,
        manifest,
    });
    Ok(())
}

/// Objects of kinds that are not served and were left out of a picture: how many by `Kind.version`.
pub type LeftOut = BTreeMap<String, usize>;

/// Puts the objects of a picture into a cluster as they are, with their uids, times and statuses.
/// Meant for [`Cluster::empty`]: nothing in it moves. Namespaces that are only named are added.
pub fn picture(cluster: &mut Cluster, objects: Vec<Read>) -> LeftOut {
    let mut left_out = LeftOut::new();
    let mut namespaces = BTreeSet::from(["kube-system".to_owned()]);
    for Read { object, .. } in definitions_first(objects) {
        let Some(resource) = cluster.resources.by_kind(&object.api_version, &object.kind) else {
            let what = format!("{}.{}", object.kind, object.api_version);
            *left_out.entry(what).or_default() += 1;
            continue;
        };
        if !object.meta.namespace.is_empty() {
            namespaces.insert(object.meta.namespace.to_string());
        }
        cluster.store.put(resource, object);
    }
    for name in namespaces {
        add_namespace(cluster, &name);
    }
    left_out
}

fn add_namespace(cluster: &mut Cluster, name: &str) {
    let row = cluster.resources.get(ids::NAMESPACES).clone();
    let mut namespace = Object::new(&row, "", name);
    namespace.set("status", &serde_json::json!({"phase": "Active"}));
    // Refused where the picture holds it already.
    drop(cluster.create(ids::NAMESPACES, namespace));
}

/// Namespaces and definitions of kinds before what needs them, else as they were read.
pub fn definitions_first(mut objects: Vec<Read>) -> Vec<Read> {
    objects.sort_by_key(|one| match &*one.object.kind {
        "CustomResourceDefinition" => 0,
        "Namespace" => 1,
        _ => 2,
    });
    objects
}

/// Creates manifests one by one, definitions and namespaces first. A moment of the cluster's time
/// goes by where a namespace is new.
pub fn manifests(cluster: &mut Cluster, objects: Vec<Read>) -> Result<(), LoadError> {
    for Read {
        place,
        object,
        manifest,
    } in definitions_first(objects)
    {
        let resource = resource_of(cluster, &object, &place)?;
        if resource == ids::PODS {
            settle(cluster, &object.meta.namespace);
        }
        let value = manifest.unwrap_or_else(|| object.to_value());
        let created = api::create(cluster, resource, &object.meta.namespace, &value);
        created.map_err(|status| LoadError::Refused {
            place,
            status: status.to_string(),
        })?;
    }
    Ok(())
}

/// Lets the service account of a new namespace come.
fn settle(cluster: &mut Cluster, namespace: &str) {
    let namespace = if namespace.is_empty() {
        api::DEFAULT_NAMESPACE
    } else {
        namespace
    };
    let account = Key::new(ids::SERVICE_ACCOUNTS, namespace, "default");
    if cluster.store.get(&account).is_none() {
        cluster.pass(SETTLED);
    }
}

fn resource_of(cluster: &Cluster, object: &Object, place: &Place) -> Result<ResourceId, LoadError> {
    let (api_version, kind) = (&object.api_version, &object.kind);
    let found = cluster.resources.by_kind(api_version, kind);
    found.ok_or_else(|| LoadError::UnknownKind {
        place: place.clone(),
        kind: kind.to_string(),
        api_version: api_version.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Read> {
        parse(Path::new("shop.yaml"), text).unwrap()
    }

    fn error(text: &str) -> String {
        parse(Path::new("shop.yaml"), text).unwrap_err().to_string()
    }

    fn names(objects: &[Read]) -> Vec<String> {
        let name = |one: &Read| format!("{} {}", one.object.kind, one.object.meta.name);
        objects.iter().map(name).collect()
    }

    fn cluster() -> Cluster {
        Cluster::empty(1, "2026-01-01T00:00:00Z".parse().unwrap())
    }

    const TWO: &str = "# the shop\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n\
                       # nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n";

    #[test]
    fn documents_lists_and_json_are_read() {
        assert_eq!(names(&parsed(TWO)), ["ConfigMap a", "Namespace b"]);
        let list = "kind: List\napiVersion: v1\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: p}}\n";
        assert_eq!(names(&parsed(list)), ["Pod p"]);
        let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}
                      {"apiVersion":"v1","kind":"Pod","metadata":{"name":"q"}}"#;
        assert_eq!(names(&parsed(json)), ["Pod p", "Pod q"]);
    }

    #[test]
    fn documents_may_be_json_or_yaml_that_begins_like_it() {
        let json = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"}}"#;
        let flow = "{apiVersion: v1, kind: Pod, metadata: {name: q}}";
        let text = format!("{json}\n---\n{flow}\n---\n{json}\n");
        assert_eq!(names(&parsed(&text)), ["Pod p", "Pod q", "Pod p"]);
        let text = error(&format!("{json}\n---\n{{\"kind\" 1}}\n"));
        assert!(text.starts_with("shop.yaml, document 2: "), "{text}");
        assert!(text.contains("line 3"), "{text}");
    }

    #[test]
    fn items_of_a_typed_list_are_what_the_list_says() {
        let list = r#"{"kind":"DeploymentList","apiVersion":"apps/v1","items":[{"metadata":{"name":"d"}}]}"#;
        let objects = parsed(list);
        assert_eq!(names(&objects), ["Deployment d"]);
        assert_eq!(&*objects[0].object.api_version, "apps/v1");
    }

    #[test]
    fn json_that_breaks_off_does_so_on_its_last_line() {
        let text = "{\"kind\": \"Pod\", \"metadata\": {\n";
        let error = parse(Path::new("cut.json"), text).unwrap_err();
        let error = error.to_string();
        assert!(error.ends_with("at line 1 column 29"), "{error}");
    }

    #[test]
    fn errors_name_file_document_and_line() {
        let broken = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\nkind: [\n";
        let text = error(broken);
        assert!(text.starts_with("shop.yaml, document 2: "), "{text}");
        assert!(text.contains("line 5") || text.contains("line 6"), "{text}");
        let nameless = "apiVersion: v1\nkind: Pod\n";
        assert_eq!(
            error(nameless),
            "shop.yaml, document 1: metadata.name is not set: every object needs apiVersion, kind \
             and metadata.name"
        );
        assert!(error("- a\n- b\n").contains("not an object"));
    }

    #[test]
    fn a_picture_keeps_uids_times_and_statuses_and_gets_the_namespaces_it_names() {
        let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"shop",
            "uid":"u-1","creationTimestamp":"2020-01-01T00:00:00Z","resourceVersion":"77"},
            "status":{"phase":"Failed"}}
            {"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"w","uid":"u-2"}}"#;
        let objects = parsed(pod);
        assert!(is_picture(&objects));
        let mut cluster = cluster();
        let left_out = picture(&mut cluster, objects);
        assert_eq!(
            left_out,
            LeftOut::from([("Widget.example.com/v1".to_owned(), 1)])
        );
        let found = cluster
            .store
            .get(&Key::new(ids::PODS, "shop", "p"))
            .unwrap();
        assert_eq!(&*found.meta.uid, "u-1");
        assert_eq!(
            found.meta.creation_timestamp,
            "2020-01-01T00:00:00Z".parse().ok()
        );
        assert_eq!(found.to_value()["status"]["phase"], "Failed");
        for name in ["shop", "kube-system"] {
            assert!(
                cluster
                    .store
                    .get(&Key::new(ids::NAMESPACES, "", name))
                    .is_some()
            );
        }
    }

    #[test]
    fn manifests_are_created_namespaces_first_and_an_unknown_kind_is_an_error() {
        let objects = parsed(TWO);
        assert!(!is_picture(&objects));
        let mut cluster = Cluster::new(1, "2026-01-01T00:00:00Z".parse().unwrap());
        manifests(&mut cluster, objects).unwrap();
        assert!(
            cluster
                .store
                .get(&Key::new(ids::NAMESPACES, "", "b"))
                .is_some()
        );
        let widget = parsed("apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\n");
        let error = manifests(&mut cluster, widget).unwrap_err().to_string();
        assert!(error.contains("no matches for kind \"Widget\""), "{error}");
    }

    #[test]
    fn a_manifest_gets_the_defaults_of_the_api_and_the_namespace_of_kubectl() {
        let mut cluster = Cluster::new(1, "2026-01-01T00:00:00Z".parse().unwrap());
        let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n\
                    spec: {containers: [{name: main, image: nginx}]}\nstatus: {phase: Running}\n";
        manifests(&mut cluster, parsed(text)).unwrap();
        let key = Key::new(ids::PODS, "default", "p");
        let pod = cluster.store.get(&key).unwrap().to_value();
        let container = &pod["spec"]["containers"][0];
        assert_eq!(container["imagePullPolicy"], "Always");
        assert_eq!(pod["spec"]["serviceAccountName"], "default");
        assert_eq!(
            pod["status"]["phase"], "Pending",
            "a status is not the user's to say"
        );
    }

    #[test]
    fn what_the_api_refuses_is_told_with_file_document_and_field() {
        let mut cluster = Cluster::new(1, "2026-01-01T00:00:00Z".parse().unwrap());
        let mut refused = |second: &str| {
            let first = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a}\n---\n";
            let objects = parsed(&format!("{first}{second}"));
            manifests(&mut cluster, objects).unwrap_err().to_string()
        };
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";
        let nameless = refused(&format!("{pod}spec: {{containers: [{{image: nginx}}]}}\n"));
        assert!(
            nameless.starts_with(
                "shop.yaml, document 2: Pod \"p\" is invalid: spec.containers[0].name: Required value"
            ),
            "{nameless}"
        );
        let misspelt = refused(&format!("{pod}spec: {{contaners: []}}\n"));
        assert!(
            misspelt.contains("document 2") && misspelt.contains("\"spec.contaners\""),
            "{misspelt}"
        );
    }

    #[test]
    fn a_folder_is_read_in_the_order_of_names_and_an_empty_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = read(folder.path()).unwrap_err().to_string();
        assert!(nothing.contains("holds no objects"), "{nothing}");
        let pod = |name| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\n");
        std::fs::write(folder.path().join("b.yaml"), pod("second")).unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        std::fs::write(folder.path().join("a/x.yml"), pod("first")).unwrap();
        std::fs::write(folder.path().join("logs.txt"), "no object").unwrap();
        let objects = read(folder.path()).unwrap();
        assert_eq!(names(&objects), ["Pod first", "Pod second"]);
    }
}
