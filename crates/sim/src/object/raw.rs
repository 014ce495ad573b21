//! One top-level field of an object.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use std::any::Any;
use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::{Arc, OnceLock};

/// A part of an object: JSON text that is kept as it is, or a value that is written as text when
/// somebody asks for text. Two are equal when their text is.
///
/// What components inside write (a pod's status, an Event) is a value: most of it is read by other
/// components inside, which take the value, and little of it by a client. What a client sent is text.
#[derive(Clone, Debug)]
pub struct Raw(Kept);

#[derive(Clone, Debug)]
enum Kept {
    Text(Arc<Text>),
    Value(Arc<dyn Written>),
}

#[derive(Debug)]
struct Text {
    text: Box<RawValue>,
    /// See [`Raw::read_once`].
    read: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// A value that stands for the JSON that it is written as. Two of one type are equal exactly when
/// they are written alike: what is equal is not written into the store again.
pub(crate) trait Written: Debug + Send + Sync {
    /// Appends the JSON.
    fn write(&self, out: &mut Vec<u8>);
    /// The value itself.
    fn as_any(&self) -> &dyn Any;
    /// Is another value equal? `None` when it is of another type.
    fn same(&self, other: &dyn Any) -> Option<bool>;
    /// What it was made from, which another object may have as it is.
    fn base(&self) -> Option<&Raw> {
        None
    }
}

/// A value that is written as its fields are. The text is made when it is first asked for, and kept:
/// who reads once reads again, and so do others.
#[derive(Debug)]
pub(super) struct Json<T> {
    value: T,
    text: OnceLock<Box<[u8]>>,
}

impl<T> From<T> for Json<T> {
    fn from(value: T) -> Self {
        let text = OnceLock::new();
        Self { value, text }
    }
}

impl<T: Serialize + PartialEq + Debug + Send + Sync + 'static> Written for Json<T> {
    fn write(&self, out: &mut Vec<u8>) {
        let text = self.text.get_or_init(|| {
            let mut text = Vec::new();
            super::append(&mut text, &self.value);
            text.into_boxed_slice()
        });
        out.extend_from_slice(text);
    }

    fn as_any(&self) -> &dyn Any {
        &self.value
    }

    fn same(&self, other: &dyn Any) -> Option<bool> {
        other.downcast_ref().map(|other| self.value == *other)
    }
}

impl Raw {
    /// The text of a value. `None` only for a value that JSON cannot express.
    pub fn of(value: &impl Serialize) -> Option<Self> {
        serde_json::value::to_raw_value(value).ok().map(Self::from)
    }

    /// A value that is kept as it is. It has to be one that JSON can express, and equal to another
    /// of its type exactly when both are written alike.
    pub fn value(value: impl Serialize + PartialEq + Debug + Send + Sync + 'static) -> Self {
        Self::written(Json::from(value))
    }

    /// A value that is written in a way of its own.
    pub(crate) fn written(value: impl Written + 'static) -> Self {
        Self(Kept::Value(Arc::new(value)))
    }

    /// The text.
    pub fn text(&self) -> Cow<'_, str> {
        match &self.0 {
            Kept::Text(kept) => Cow::Borrowed(kept.text.get()),
            Kept::Value(value) => {
                let mut text = Vec::new();
                value.write(&mut text);
                Cow::Owned(String::from_utf8(text).unwrap_or_default())
            }
        }
    }

    /// Appends the text.
    pub fn write(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Kept::Text(kept) => out.extend_from_slice(kept.text.get().as_bytes()),
            Kept::Value(value) => value.write(out),
        }
    }

    /// About how many bytes the text has.
    pub fn len_hint(&self) -> usize {
        match &self.0 {
            Kept::Text(kept) => kept.text.get().len(),
            // A pod's status, as nearly all of them are.
            Kept::Value(_) => 2_000,
        }
    }

    /// The value, where it is one of this type and no text.
    pub fn as_value<T: 'static>(&self) -> Option<&T> {
        let Kept::Value(value) = &self.0 else {
            return None;
        };
        value.as_any().downcast_ref()
    }

    /// Takes over from another one what both have alike.
    pub(super) fn share(&mut self, other: &Self) {
        let base = match &other.0 {
            Kept::Text(_) => None,
            Kept::Value(value) => value.base(),
        };
        if let Some(alike) = base.filter(|base| *base == self) {
            *self = alike.clone();
        } else if self == other {
            *self = other.clone();
        }
    }

    /// What is read from the text: once for all who share it. One type is remembered; another one is
    /// read each time, and so is what is a value. `None` when it cannot be read.
    pub fn read_once<T: Send + Sync + 'static>(
        &self,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<Arc<T>> {
        let Kept::Text(kept) = &self.0 else {
            return read(&self.text()).map(Arc::new);
        };
        if let Some(known) = kept.read.get() {
            let known = Arc::clone(known).downcast();
            return known.ok().or_else(|| read(kept.text.get()).map(Arc::new));
        }
        let new = Arc::new(read(kept.text.get())?);
        // Who was faster has read the same.
        kept.read.set(Arc::clone(&new) as Arc<_>).ok();
        Some(new)
    }
}

/// Text that is JSON.
impl From<Box<RawValue>> for Raw {
    fn from(text: Box<RawValue>) -> Self {
        let read = OnceLock::new();
        Self(Kept::Text(Arc::new(Text { text, read })))
    }
}

impl PartialEq for Raw {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kept::Text(one), Kept::Text(other)) => {
                Arc::ptr_eq(one, other) || one.text.get() == other.text.get()
            }
            (Kept::Value(one), Kept::Value(other)) if Arc::ptr_eq(one, other) => true,
            (Kept::Value(one), Kept::Value(other)) => {
                let same = one.same(other.as_any());
                same.unwrap_or_else(|| self.text() == Self(Kept::Value(Arc::clone(other))).text())
            }
            _ => self.text() == other.text(),
        }
    }
}

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Kept::Text(kept) => kept.text.serialize(out),
            Kept::Value(_) => RawValue::from_string(self.text().into_owned())
                .map_err(serde::ser::Error::custom)?
                .serialize(out),
        }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(input).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_value_is_equal_to_the_text_that_it_is_written_as() {
        let value = Raw::value(vec![1, 2]);
        assert_eq!(value, Raw::of(&json!([1, 2])).unwrap());
        assert_eq!(value, Raw::value(vec![1_u8, 2]));
        assert_ne!(value, Raw::value(vec![2, 1]));
        assert_eq!(value.as_value(), Some(&vec![1, 2]));
        assert_eq!(value.as_value::<u8>(), None);
        assert_eq!(serde_json::to_string(&value).unwrap(), "[1,2]");
    }

    #[test]
    fn what_was_read_of_a_text_is_shared_with_the_text() {
        let raw = Raw::of(&1).unwrap();
        let number = |raw: &Raw, of: u8| raw.read_once(|_| Some(of)).map(|it| *it);
        assert_eq!(raw.read_once(|_| None::<u8>), None);
        assert_eq!(number(&raw, 7), Some(7));
        assert_eq!(number(&raw.clone(), 8), Some(7));
        let other = raw.read_once(|_| Some("other"));
        assert_eq!(other.as_deref(), Some(&"other"));
        assert_eq!(number(&Raw::of(&1).unwrap(), 8), Some(8));
    }
}
