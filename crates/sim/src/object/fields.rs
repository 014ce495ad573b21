//! The top-level fields of an object besides its metadata.

use super::Raw;
use super::raw::{Json, Written};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Names that nearly all objects have: these take no memory of their own.
static KNOWN: [&str; 19] = [
    "action",
    "count",
    "data",
    "endpoints",
    "eventTime",
    "firstTimestamp",
    "involvedObject",
    "lastTimestamp",
    "message",
    "ports",
    "reason",
    "reportingComponent",
    "reportingInstance",
    "roleRef",
    "rules",
    "source",
    "spec",
    "status",
    "type",
];

/// The name of a field.
#[derive(Clone, Debug)]
enum Name {
    Known(&'static &'static str),
    Own(Box<str>),
}

impl Name {
    fn of(name: &str) -> Self {
        let known = KNOWN.binary_search(&name).ok();
        let known = known.and_then(|at| KNOWN.get(at));
        known.map_or_else(|| Self::Own(name.into()), Self::Known)
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Own(name) => name,
        }
    }
}

/// Fields by name, in the order of their names: a handful, for which a list is smaller than a map
/// and is copied in one piece.
type List = Box<[(Name, Raw)]>;

/// The fields of an object: a list of them, or one value that is written as all of them.
#[derive(Clone, Debug)]
pub struct Fields(Kept);

#[derive(Clone, Debug)]
enum Kept {
    List(List),
    Whole(Arc<Whole<dyn Written>>),
}

/// All fields as one value. It is written as a whole into what a client reads; whoever asks for one
/// field by its name gets it from a list that is then made and kept.
#[derive(Debug)]
struct Whole<T: ?Sized> {
    list: OnceLock<List>,
    value: T,
}

impl Whole<dyn Written> {
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        self.value.write(&mut text);
        text
    }

    fn list(&self) -> &List {
        self.list.get_or_init(|| {
            let all: BTreeMap<Box<str>, Raw> =
                serde_json::from_slice(&self.text()).unwrap_or_default();
            let all = all.into_iter();
            all.map(|(name, raw)| (Name::of(&name), raw)).collect()
        })
    }
}

impl Default for Fields {
    fn default() -> Self {
        Self(Kept::List(List::default()))
    }
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kept::Whole(one), Kept::Whole(other)) if Arc::ptr_eq(one, other) => true,
            (Kept::Whole(one), Kept::Whole(other)) => {
                let same = one.value.same(other.value.as_any());
                same.unwrap_or_else(|| one.text() == other.text())
            }
            _ => self.iter().eq(other.iter()),
        }
    }
}

impl Fields {
    /// All fields as one value: a struct with its fields in the order of their names, which JSON can
    /// express.
    pub fn whole(value: impl Serialize + PartialEq + Debug + Send + Sync + 'static) -> Self {
        let list = OnceLock::new();
        let value = Json::from(value);
        Self(Kept::Whole(Arc::new(Whole { list, value })))
    }

    fn list(&self) -> &List {
        match &self.0 {
            Kept::List(list) => list,
            Kept::Whole(whole) => whole.list(),
        }
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Raw> {
        let at = self.place(name).ok()?;
        self.list().get(at).map(|(_, raw)| raw)
    }

    /// Is it there?
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Sets one; gives what was there.
    pub fn insert(&mut self, name: &str, raw: Raw) -> Option<Raw> {
        match self.place(name) {
            Ok(at) => self.change(|list| {
                let (_, old) = list.get_mut(at)?;
                Some(std::mem::replace(old, raw))
            }),
            Err(at) => self.change(|list| {
                list.insert(at, (Name::of(name), raw));
                None
            }),
        }
    }

    /// Takes one away.
    pub fn remove(&mut self, name: &str) -> Option<Raw> {
        let at = self.place(name).ok()?;
        let (_, raw) = self.change(|list| list.remove(at));
        Some(raw)
    }

    /// Changes the list. What is changed is no longer one value.
    fn change<T>(&mut self, change: impl FnOnce(&mut Vec<(Name, Raw)>) -> T) -> T {
        let list = match std::mem::take(self).0 {
            Kept::List(list) => list,
            Kept::Whole(whole) => whole.list().clone(),
        };
        let mut list = list.into_vec();
        let result = change(&mut list);
        self.0 = Kept::List(list.into_boxed_slice());
        result
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.list().iter().map(|(name, raw)| (&**name, raw))
    }

    /// Their names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// Their texts, in the order of the names.
    pub fn values(&self) -> impl Iterator<Item = &Raw> {
        self.iter().map(|(_, raw)| raw)
    }

    /// Appends them as JSON, each with a comma before it.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Kept::List(list) => {
                for (name, raw) in list {
                    out.push(b',');
                    super::append(out, &**name);
                    out.push(b':');
                    raw.write(out);
                }
            }
            Kept::Whole(whole) => {
                let text = whole.text();
                if let Some(inside) = text.get(1..text.len().saturating_sub(1)) {
                    out.push(b',');
                    out.extend_from_slice(inside);
                }
            }
        }
    }

    /// About how many bytes their text has.
    pub(super) fn len_hint(&self) -> usize {
        match &self.0 {
            Kept::List(list) => list.iter().map(|(_, raw)| raw.len_hint()).sum(),
            // An Event's.
            Kept::Whole(_) => 700,
        }
    }

    /// Takes over from others what both have alike.
    pub(super) fn share(&mut self, others: &Self) {
        if let Kept::List(list) = &mut self.0 {
            for (name, raw) in list {
                if let Some(other) = others.get(name) {
                    raw.share(other);
                }
            }
        }
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.list().binary_search_by(|(one, _)| (**one).cmp(name))
    }
}

/// Of fields whose names differ.
impl<'name> FromIterator<(&'name str, Raw)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'name str, Raw)>>(all: I) -> Self {
        let all: BTreeMap<&str, Raw> = all.into_iter().collect();
        let list = all.into_iter().map(|(name, raw)| (Name::of(name), raw));
        Self(Kept::List(list.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_a_map_in_the_order_of_their_names() {
        let raw = |number: u8| Raw::of(&number).unwrap();
        let mut fields: Fields = [("status", raw(1)), ("own", raw(2)), ("spec", raw(3))]
            .into_iter()
            .collect();
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["own", "spec", "status"]);
        assert_eq!(fields.insert("spec", raw(4)), Some(raw(3)));
        assert_eq!(fields.get("spec"), Some(&raw(4)));
        assert_eq!(fields.remove("own"), Some(raw(2)));
        assert_eq!(fields.get("own"), None);
        assert!(!fields.contains_key("own") && fields.contains_key("status"));
    }

    #[test]
    fn one_value_is_all_fields_until_one_of_them_is_changed() {
        #[derive(Debug, PartialEq, Serialize)]
        struct Event {
            count: u8,
            own: Option<u8>,
        }
        let raw = |number: u8| Raw::of(&number).unwrap();
        let text = |fields: &Fields| {
            let mut text = Vec::new();
            fields.write(&mut text);
            String::from_utf8(text).unwrap()
        };
        let mut fields = Fields::whole(Event {
            count: 1,
            own: None,
        });
        assert_eq!(text(&fields), r#","count":1,"own":null"#);
        assert_eq!(fields.get("count"), Some(&raw(1)));
        let list: Fields = fields
            .iter()
            .map(|(name, raw)| (name, raw.clone()))
            .collect();
        assert_eq!(list, fields);
        assert_eq!(text(&list), text(&fields));
        assert_eq!(fields.insert("count", raw(2)), Some(raw(1)));
        fields.insert("more", raw(3));
        assert_eq!(text(&fields), r#","count":2,"more":3,"own":null"#);
        assert_ne!(list, fields);
    }

    #[test]
    fn known_names_are_in_order() {
        assert!(KNOWN.is_sorted());
    }
}
