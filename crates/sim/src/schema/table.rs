//! Reads the table.

use super::{Field, Info, OrElse, Type};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The table: types by number, and their numbers by kind.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) types: Vec<Info>,
    pub(super) kinds: BTreeMap<&'static str, usize>,
    /// The type of JSON schemas.
    pub(super) schemas: Option<usize>,
}

type Names = BTreeMap<&'static str, usize>;

pub(super) static TABLE: LazyLock<Table> =
    LazyLock::new(|| Table::parse(include_str!("types.txt")));

/// A custom resource: its metadata is everybody's, and nothing is known of the rest.
pub(super) static CUSTOM: LazyLock<Info> = LazyLock::new(|| {
    let field = |name, kind| Field {
        name,
        kind,
        ..Field::default()
    };
    let metadata = TABLE
        .types
        .iter()
        .position(|one| one.name == "meta.v1.ObjectMeta");
    Info {
        fields: vec![
            field("apiVersion", Type::String),
            field("kind", Type::String),
            field("metadata", metadata.map_or(Type::Any, Type::Object)),
        ],
        ..Info::default()
    }
});

impl Table {
    fn parse(text: &'static str) -> Self {
        let lines = || text.lines().filter(|line| !line.starts_with('#'));
        let heads = lines().filter(|line| !line.starts_with(' '));
        let names: Names = heads
            .filter_map(|line| line.split(' ').next())
            .enumerate()
            .map(|(number, name)| (name, number))
            .collect();
        let mut table = Self {
            schemas: names.get("apiextensions.v1.JSONSchemaProps").copied(),
            ..Self::default()
        };
        for line in lines() {
            match (line.strip_prefix(' '), table.types.last_mut()) {
                (Some(line), Some(info)) => info.fields.push(field(line, &names)),
                _ => table.head(line),
            }
        }
        for info in &mut table.types {
            info.fields.sort_by_key(|field| field.name);
        }
        table.finish();
        table
    }

    fn head(&mut self, line: &'static str) {
        let mut words = line.split(' ');
        let mut info = Info {
            name: words.next().unwrap_or_default(),
            ..Info::default()
        };
        for word in words {
            if word == "atomic" {
                info.atomic = true;
                continue;
            }
            self.kinds.insert(word, self.types.len());
            info.kind = Some(word);
            // Every kind has these two; in protobuf they stand beside the object.
            info.fields.extend(["apiVersion", "kind"].map(|name| Field {
                name,
                kind: Type::String,
                ..Field::default()
            }));
        }
        self.types.push(info);
    }

    /// What a field takes over from the type that it is of.
    fn finish(&mut self) {
        let atomic: Vec<bool> = self.types.iter().map(|info| info.atomic).collect();
        let defaults: Vec<Map<String, Value>> = self.types.iter().map(defaults).collect();
        for field in self.types.iter_mut().flat_map(|info| &mut info.fields) {
            if let Type::Object(number) = field.kind {
                field.atomic |= atomic.get(number).copied().unwrap_or_default();
            }
            if let Type::List(items) = &field.kind
                && let Type::Object(number) = **items
                && let Some(all) = defaults.get(number)
            {
                let keys = field.keys.iter();
                let known = keys.filter_map(|key| Some((key.clone(), all.get(key)?.clone())));
                field.key_defaults = known.collect();
            }
        }
    }
}

fn defaults(info: &Info) -> Map<String, Value> {
    let fields = info.fields.iter();
    let known = fields.filter_map(|one| Some((one.name.to_owned(), one.default.clone()?)));
    known.collect()
}

fn field(line: &'static str, names: &Names) -> Field {
    let mut words = line.split(' ');
    let mut field = Field {
        name: words.next().unwrap_or_default(),
        ..Field::default()
    };
    let path = words.next().unwrap_or_default().split('.');
    field.path = path.filter_map(|number| number.parse().ok()).collect();
    field.kind = kind(words.next().unwrap_or_default(), names);
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match name {
            "?" => field.omits_zero = true,
            "!" => field.required = true,
            "atomic" => field.atomic = true,
            "default" => field.default = serde_json::from_str(value).ok(),
            "strategy" => field.strategy = value,
            "key" => field.merge_key = Some(value.to_owned()),
            "list" => field.is_set = true,
            "keys" => field.keys = value.split(',').map(str::to_owned).collect(),
            _ => {}
        }
    }
    field
}

fn kind(word: &str, names: &Names) -> Type {
    if let Some(items) = word.strip_prefix("[]") {
        return Type::List(Box::new(kind(items, names)));
    }
    if let Some(values) = word.strip_prefix("{}") {
        return Type::Map(Box::new(kind(values, names)));
    }
    match word {
        "string" => Type::String,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "double" => Type::Double,
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "time" => Type::Time,
        "micro-time" => Type::MicroTime,
        "quantity" => Type::Quantity,
        "int-or-string" => Type::IntOrString,
        "schema-or-bool" => Type::Schema(OrElse::Bool),
        "schema-or-list" => Type::Schema(OrElse::List),
        "schema-or-strings" => Type::Schema(OrElse::Strings),
        name => names.get(name).copied().map_or(Type::Any, Type::Object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types that stand for any JSON.
    const ANY: [&str; 3] = ["raw", "fields", "json"];

    #[test]
    fn every_word_of_the_table_is_understood() {
        let text = include_str!("types.txt");
        for line in text.lines().filter_map(|line| line.strip_prefix(' ')) {
            let words: Vec<&str> = line.split(' ').collect();
            let field = field(line, &BTreeMap::new());
            assert!(!field.path.is_empty(), "{line}");
            let bare = words[2].trim_start_matches(['[', ']', '{', '}']);
            let known = kind(bare, &BTreeMap::new()) != Type::Any
                || ANY.contains(&bare)
                || TABLE.types.iter().any(|one| one.name == bare);
            assert!(known, "{line}");
            let attributes = [
                "?",
                "!",
                "atomic",
                "default=",
                "strategy=",
                "key=",
                "list=set",
                "keys=",
            ];
            for word in &words[3..] {
                assert!(attributes.iter().any(|one| word.starts_with(one)), "{line}");
            }
        }
    }

    #[test]
    fn names_and_numbers_of_a_type_are_its_own() {
        for info in &TABLE.types {
            let mut paths: Vec<&[u32]> = info.fields.iter().map(|one| &*one.path).collect();
            paths.retain(|path| !path.is_empty());
            let all = paths.len();
            paths.sort_unstable();
            paths.dedup();
            assert_eq!(paths.len(), all, "{}", info.name);
        }
    }
}
