//! Maps that are only ever asked.

use std::borrow::Borrow;
use std::hash::Hash;

/// Found by name, and never gone through: the order of its entries, which differs from run to run,
/// cannot get into a history. It gives memory back when most of what was in it is gone.
#[derive(Debug)]
pub(crate) struct Lookup<K, V>(Map<K, V>);

#[expect(clippy::disallowed_types, reason = "its order cannot be seen")]
type Map<K, V> = std::collections::HashMap<K, V>;

/// So much room is never given back.
const LEAST: usize = 64;

impl<K, V> Default for Lookup<K, V> {
    fn default() -> Self {
        Self(Map::default())
    }
}

impl<K: Eq + Hash, V> Lookup<K, V> {
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.0.get(key)
    }

    pub(crate) fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        self.0.get_mut(key)
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Sets an entry; gives what was there.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// The entry, made when there is none.
    pub(crate) fn or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.0.entry(key).or_default()
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let removed = self.0.remove(key);
        if self.0.capacity() > LEAST && self.0.len() < self.0.capacity() / 8 {
            self.0.shrink_to(self.0.len().saturating_mul(2));
        }
        removed
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_takes_no_room() {
        let mut map = Lookup::default();
        for number in 0..10_000 {
            map.insert(number, ());
        }
        for number in 10..10_000 {
            map.remove(&number);
        }
        assert!((0..10).all(|number| map.contains_key(&number)));
        assert!(map.0.capacity() <= LEAST, "{}", map.0.capacity());
    }
}
