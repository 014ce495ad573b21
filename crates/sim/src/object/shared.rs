//! Parts of objects that many have alike.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// A part that the states of one object, and objects of one owner, share until one of them changes
/// it: a clone is the same memory, and nothing takes none.
#[derive(Clone, Debug)]
pub struct Shared<T>(Option<Arc<T>>);

/// What can be empty.
pub trait Empty: Default + PartialEq + 'static {
    /// Nothing.
    const EMPTY: &'static Self;
}

impl Empty for BTreeMap<String, String> {
    const EMPTY: &'static Self = &Self::new();
}

impl<T: PartialEq + 'static> Empty for Vec<T> {
    const EMPTY: &'static Self = &Self::new();
}

impl<T: Empty> Shared<T> {
    /// Takes over another's memory when both are alike.
    pub(super) fn share(&mut self, other: &Self) {
        if self == other {
            self.0.clone_from(&other.0);
        }
    }
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Empty> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self((value != *T::EMPTY).then(|| Arc::new(value)))
    }
}

impl<T: Empty> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::EMPTY)
    }
}

impl<T: Empty + Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl<T: Empty> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) if Arc::ptr_eq(one, other) => true,
            _ => **self == **other,
        }
    }
}

#[expect(
    clippy::into_iter_without_iter,
    reason = "`iter` is that of what it dereferences to"
)]
impl<'all, T> IntoIterator for &'all Shared<T>
where
    T: Empty,
    &'all T: IntoIterator,
{
    type Item = <&'all T as IntoIterator>::Item;
    type IntoIter = <&'all T as IntoIterator>::IntoIter;

    fn into_iter(self) -> Self::IntoIter {
        (**self).into_iter()
    }
}

impl<T: Empty + Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(out)
    }
}

impl<'de, T: Empty + Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        T::deserialize(input).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_ones_own() {
        let mut one: Shared<Vec<u8>> = vec![1].into();
        let other = one.clone();
        one.push(2);
        assert_eq!((one.len(), other.len()), (2, 1));
    }

    #[test]
    fn what_is_alike_is_kept_once() {
        let one: Shared<Vec<u8>> = vec![1].into();
        let mut other: Shared<Vec<u8>> = vec![1].into();
        other.share(&one);
        assert!(std::ptr::eq(one.as_ptr(), other.as_ptr()));
        assert!(Shared::from(Vec::<u8>::new()).0.is_none());
    }
}
