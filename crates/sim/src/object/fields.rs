//! The top-level fields of an object besides its metadata.

use super::Raw;
use std::any::Any;
use std::collections::BTreeMap;
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
#[derive(Clone, Debug, Default)]
pub struct Fields {
    list: Box<[(Name, Raw)]>,
    /// What was read from the texts; most objects are never asked.
    read: OnceLock<Box<Reads>>,
}

/// What was read, for all who ask again.
#[derive(Clone, Debug, Default)]
struct Reads {
    /// See [`Fields::read_once`].
    all: Known,
    /// See [`Fields::read_field`].
    spec: Known,
    status: Known,
}

impl Reads {
    /// Of a field of its own.
    fn of(&mut self, name: &str) -> Option<&mut Known> {
        match name {
            "spec" => Some(&mut self.spec),
            "status" => Some(&mut self.status),
            _ => None,
        }
    }
}

/// What was read from one text or several.
#[derive(Clone, Debug, Default)]
struct Known(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Known {
    /// One type is remembered; another one is read each time.
    fn get<T: Send + Sync + 'static>(&self, read: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
        if let Some(known) = self.0.get() {
            let known = Arc::clone(known).downcast();
            return known.ok().or_else(|| read().map(Arc::new));
        }
        let new = Arc::new(read()?);
        // Who was faster has read the same.
        self.0.set(Arc::clone(&new) as Arc<_>).ok();
        Some(new)
    }
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
        self.forget(name);
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
        self.forget(name);
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
    pub fn read_once<T: Send + Sync + 'static>(
        &self,
        read: impl FnOnce() -> Option<T>,
    ) -> Option<Arc<T>> {
        self.read.get_or_init(Box::default).all.get(read)
    }

    /// What is read from the text of `spec` or `status`: once for all states and objects that share
    /// it. One type is remembered; another one, and any other field, is read each time. `None` when
    /// there is no such field, or it cannot be read.
    pub fn read_field<T: Send + Sync + 'static>(
        &self,
        name: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Arc<T>> {
        let text = self.get(name)?.text();
        let reads = self.read.get_or_init(Box::default);
        match name {
            "spec" => reads.spec.get(|| read(text)),
            "status" => reads.status.get(|| read(text)),
            _ => read(text).map(Arc::new),
        }
    }

    /// Forgets what was read of a field that changes.
    fn forget(&mut self, name: &str) {
        if let Some(reads) = self.read.get_mut() {
            reads.all = Known::default();
            if let Some(known) = reads.of(name) {
                *known = Known::default();
            }
        }
    }

    /// Takes over from others what both have alike.
    pub(super) fn share(&mut self, others: &Self) {
        for (name, raw) in &mut self.list {
            let Some(other) = others.get(name).filter(|other| *other == raw) else {
                continue;
            };
            *raw = other.clone();
            let mut theirs = others.read.get().cloned();
            let theirs = theirs.as_mut().and_then(|reads| reads.of(name));
            if let Some(known) = theirs.filter(|known| known.0.get().is_some()) {
                self.read.get_or_init(Box::default);
                let own = self.read.get_mut().and_then(|reads| reads.of(name));
                if let Some(own) = own {
                    *own = std::mem::take(known);
                }
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
        let all: BTreeMap<&str, Raw> = all.into_iter().collect();
        let list = all.into_iter().map(|(name, raw)| (Name::of(name), raw));
        Self {
            list: list.collect(),
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
        let number = |fields: &Fields, of: u8| fields.read_once(|| Some(of)).map(|it| *it);
        assert_eq!(fields.read_once(|| None::<u8>), None);
        assert_eq!(number(&fields, 7), Some(7));
        assert_eq!(number(&fields.clone(), 8), Some(7));
        assert_eq!(
            fields.read_once(|| Some("other")).as_deref(),
            Some(&"other")
        );
        fields.insert("spec", raw(2));
        assert_eq!(number(&fields, 8), Some(8));
        fields.remove("spec");
        assert_eq!(number(&fields, 9), Some(9));
    }

    #[test]
    fn what_was_read_of_a_field_holds_until_that_field_changes() {
        let raw = |number: u8| Raw::of(&number).unwrap();
        let number =
            |fields: &Fields, of: u8| fields.read_field("spec", |_| Some(of)).map(|it| *it);
        let mut fields: Fields = [("spec", raw(1)), ("status", raw(1))].into_iter().collect();
        assert_eq!(fields.read_field("data", |_| Some(1)), None);
        assert_eq!(number(&fields, 7), Some(7));
        fields.insert("status", raw(2));
        assert_eq!(number(&fields, 8), Some(7));
        let mut alike: Fields = [("spec", raw(1))].into_iter().collect();
        alike.share(&fields);
        assert_eq!(number(&alike, 8), Some(7));
        fields.insert("spec", raw(2));
        assert_eq!(number(&fields, 8), Some(8));
    }

    #[test]
    fn known_names_are_in_order() {
        assert!(KNOWN.is_sorted());
    }
}
