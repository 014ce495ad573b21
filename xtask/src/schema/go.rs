//! The tags of Go's struct fields: `json:"replicas,omitempty" protobuf:"varint,1,opt,name=replicas"`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// What the tags of a field say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// Its number in protobuf, after those of the fields that embed it.
    pub(super) path: Vec<u32>,
    /// Zero is the same as not said: Go leaves it out of JSON.
    pub(super) omits_zero: bool,
}

enum Field {
    Named {
        name: String,
        tag: Tag,
    },
    /// A struct whose fields stand in JSON as if they were this one's.
    Embedded {
        type_name: String,
        number: u32,
    },
}

/// The structs of one Go package.
pub(super) struct Package(BTreeMap<String, Vec<Field>>);

impl Package {
    /// Reads the files of a folder that declare types.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut structs = BTreeMap::new();
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("types") && name.ends_with(".go") {
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                parse(&text, &mut structs);
            }
        }
        Ok(Self(structs))
    }

    /// The tags of a struct's fields, by their JSON names.
    pub(super) fn tags(&self, name: &str) -> Result<BTreeMap<String, Tag>> {
        let fields = self
            .0
            .get(name)
            .with_context(|| format!("no struct {name}"))?;
        let mut tags = BTreeMap::new();
        for field in fields {
            match field {
                Field::Named { name, tag } => {
                    tags.insert(name.clone(), tag.clone());
                }
                Field::Embedded { type_name, number } => {
                    for (name, mut tag) in self.tags(type_name)? {
                        tag.path.insert(0, *number);
                        tags.insert(name, tag);
                    }
                }
            }
        }
        Ok(tags)
    }
}

fn parse(text: &str, structs: &mut BTreeMap<String, Vec<Field>>) {
    let mut current = None;
    for line in text.lines() {
        let declared = line.strip_prefix("type ");
        if let Some(name) = declared.and_then(|rest| rest.strip_suffix(" struct {")) {
            structs.insert(name.to_owned(), Vec::new());
            current = Some(name);
        } else if let Some(name) = declared.and_then(|rest| rest.strip_suffix(" struct{}")) {
            structs.insert(name.to_owned(), Vec::new());
        } else if line.starts_with('}') {
            current = None;
        } else if let Some(fields) = current.and_then(|name| structs.get_mut(name)) {
            fields.extend(field(line.trim()));
        }
    }
}

/// A field with a number in protobuf; nothing for comments and the rest.
fn field(line: &str) -> Option<Field> {
    let (declared, tags) = line.split_once('`')?;
    if declared.starts_with("//") {
        return None;
    }
    let protobuf = tag(tags, "protobuf")?;
    let number = protobuf.split(',').nth(1)?.parse().ok()?;
    let type_name = declared.split_whitespace().last()?;
    let json = tag(tags, "json")?;
    let (name, options) = json.split_once(',').unwrap_or((json, ""));
    if name.is_empty() {
        return Some(Field::Embedded {
            type_name: type_name.to_owned(),
            number,
        });
    }
    let omits = options
        .split(',')
        .any(|one| one == "omitempty" || one == "omitzero");
    Some(Field::Named {
        name: name.to_owned(),
        tag: Tag {
            path: vec![number],
            omits_zero: omits && !type_name.starts_with('*'),
        },
    })
}

fn tag<'t>(tags: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = tags.split_once(&format!("{name}:\""))?;
    Some(rest.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
// Volume is `json:\"no\" protobuf:\"bytes,9,opt\"`
type Volume struct {
	// name
	Name string `json:\"name\" protobuf:\"bytes,1,opt,name=name\"`
	VolumeSource `json:\",inline\" protobuf:\"bytes,2,opt,name=volumeSource\"`
	metav1.TypeMeta `json:\",inline\"`
}

type Nothing struct{}

type VolumeSource struct {
	HostPath *HostPath `json:\"hostPath,omitempty\" protobuf:\"bytes,1,opt,name=hostPath\"`
	Medium string `json:\"medium,omitempty\" protobuf:\"bytes,3,opt,name=medium\"`
}
";

    #[test]
    fn embedded_fields_have_the_numbers_of_both() {
        let mut structs = BTreeMap::new();
        parse(SOURCE, &mut structs);
        let package = Package(structs);
        assert!(package.tags("Nothing").unwrap().is_empty());
        let tags = package.tags("Volume").unwrap();
        let tag = |path: &[u32], omits_zero| Tag {
            path: path.to_vec(),
            omits_zero,
        };
        assert_eq!(tags.len(), 3);
        assert_eq!(tags["name"], tag(&[1], false));
        assert_eq!(tags["hostPath"], tag(&[2, 1], false));
        assert_eq!(tags["medium"], tag(&[2, 3], true));
    }
}
