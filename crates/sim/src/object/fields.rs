//! The top-level fields of an object besides its metadata.

use super::Raw;
use std::any::Any;
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

type Read = Arc<dyn Any + Send + Sync>;

/// Fields by name, in the order of their names: a handful, for which a list is smaller than a map
/// and is copied in one piece.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    list: Box<[(Name, Raw)]>,
    /// What was read from the texts; see [`Fields::read_once`]. (Boxed: most objects have none.)
    read: OnceLock<Box<Read>>,
}

impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Fields {
    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Raw> {
        let at = self.place(name).ok()?;
        self.list.get(at).map(|(_, raw)| raw)
    }

    /// Is it there?
    pub fn contains_key(&self, name: &str) -> bool {
        self.place(name).is_ok()
    }

    /// Sets one; gives what was there.
    pub fn insert(&mut self, name: &str, raw: Raw) -> Option<Raw> {
        self.read.take();
        match self.place(name) {
            Ok(at) => {
                let (_, old) = self.list.get_mut(at)?;
                Some(std::mem::replace(old, raw))
            }
            Err(at) => {
                self.change(|list| list.insert(at, (Name::of(name), raw)));
                None
            }
        }
    }

    /// Takes one away.
    pub fn remove(&mut self, name: &str) -> Option<Raw> {
        self.read.take();
        let at = self.place(name).ok()?;
        let (_, raw) = self.change(|list| list.remove(at));
        Some(raw)
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut Vec<(Name, Raw)>) -> T) -> T {
        let mut list = std::mem::take(&mut self.list).into_vec();
        let result = change(&mut list);
        self.list = list.into_boxed_slice();
        result
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.list.iter().map(|(name, raw)| (&**name, raw))
    }

    /// Their names, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// Their texts, in the order of the names.
    pub fn values(&self) -> impl Iterator<Item = &Raw> {
        self.iter().map(|(_, raw)| raw)
    }

    /// What all who are interested in these fields read from them: read once, and again only when a
    /// field has changed. One type is remembered; another one is read each time.
    pub fn read_once<T: Send + Sync + 'static>(&self, read: impl Fn() -> T) -> Arc<T> {
        let known = self.read.get_or_init(|| Box::new(Arc::new(read())));
        let known = Arc::clone(&**known).downcast();
        known.unwrap_or_else(|_| Arc::new(read()))
    }

    /// Takes over from others what both have alike.
    pub(super) fn share(&mut self, others: &Self) {
        for (name, raw) in &mut self.list {
            if let Some(other) = others.get(name).filter(|other| *other == raw) {
                *raw = other.clone();
            }
        }
    }

    fn place(&self, name: &str) -> Result<usize, usize> {
        self.list.binary_search_by(|(one, _)| (**one).cmp(name))
    }
}

/// Of fields whose names differ.
impl<'name> FromIterator<(&'name str, Raw)> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'name str, Raw)>>(all: I) -> Self {
        let all = all.into_iter().map(|(name, raw)| (Name::of(name), raw));
        let mut list: Vec<_> = all.collect();
        list.sort_by(|(one, _), (other, _)| (**one).cmp(other));
        Self {
            list: list.into_boxed_slice(),
            read: OnceLock::new(),
        }
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
    fn what_was_read_holds_until_a_field_changes() {
        let raw = |number: u8| Raw::of(&number).unwrap();
        let mut fields: Fields = [("spec", raw(1))].into_iter().collect();
        assert_eq!(*fields.read_once(|| 7), 7);
        assert_eq!(*fields.clone().read_once(|| 8), 7);
        assert_eq!(*fields.read_once(|| "other"), "other");
        fields.insert("spec", raw(2));
        assert_eq!(*fields.read_once(|| 8), 8);
        fields.remove("spec");
        assert_eq!(*fields.read_once(|| 9), 9);
    }

    #[test]
    fn known_names_are_in_order() {
        assert!(KNOWN.is_sorted());
    }
}
