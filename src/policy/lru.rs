//! A map of bounded size that forgets what was used longest ago.
//!
//! Entries sit in one vector and are linked by index: no allocation for an entry once the map is full.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

const NONE: u32 = u32::MAX;

pub struct Lru<K, V> {
    capacity: usize,
    index: HashMap<K, u32>,
    nodes: Vec<Node<K, V>>,
    newest: u32,
    oldest: u32,
}

struct Node<K, V> {
    key: K,
    value: V,
    newer: u32,
    older: u32,
}

impl<K: Hash + Eq + Clone, V> Lru<K, V> {
    /// An empty map of at most `capacity` entries (at least one).
    pub fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, NONE as usize - 1);
        Self { capacity, index: HashMap::new(), nodes: Vec::new(), newest: NONE, oldest: NONE }
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The value under `key`, now the most recently used.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = *self.index.get(key)?;
        self.touch(at);
        self.nodes.get_mut(at as usize).map(|node| &mut node.value)
    }

    /// The value under `key` without counting as a use.
    #[cfg(test)]
    pub fn peek<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.index.get(key).and_then(|at| self.nodes.get(*at as usize)).map(|node| &node.value)
    }

    /// The value under `key`, made when missing. Says which entry had to go for it.
    pub fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> (&mut V, Option<(K, V)>) {
        if let Some(&at) = self.index.get(&key) {
            self.touch(at);
            return (&mut self.nodes[at as usize].value, None);
        }
        let node = Node { key: key.clone(), value: make(), newer: NONE, older: NONE };
        let (at, evicted) = if self.nodes.len() < self.capacity {
            self.nodes.push(node);
            ((self.nodes.len() - 1) as u32, None)
        } else {
            let at = self.oldest;
            self.unlink(at);
            let old = std::mem::replace(&mut self.nodes[at as usize], node);
            self.index.remove(&old.key);
            (at, Some((old.key, old.value)))
        };
        self.index.insert(key, at);
        self.link_newest(at);
        (&mut self.nodes[at as usize].value, evicted)
    }

    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.index.remove(key)?;
        self.unlink(at);
        let removed = self.nodes.swap_remove(at as usize);
        // the entry that was last now sits at `at`: what pointed at it must follow
        if let Some(moved) = self.nodes.get(at as usize) {
            let (newer, older) = (moved.newer, moved.older);
            self.index.insert(moved.key.clone(), at);
            match newer {
                NONE => self.newest = at,
                n => self.nodes[n as usize].older = at,
            }
            match older {
                NONE => self.oldest = at,
                o => self.nodes[o as usize].newer = at,
            }
        }
        Some(removed.value)
    }

    /// Takes out what was used longest ago.
    pub fn pop_oldest(&mut self) -> Option<V> {
        let key = self.nodes.get(self.oldest as usize)?.key.clone();
        self.remove(&key)
    }

    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.nodes.iter_mut().map(|node| &mut node.value)
    }

    fn touch(&mut self, at: u32) {
        if self.newest != at {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    fn unlink(&mut self, at: u32) {
        let (newer, older) = (self.nodes[at as usize].newer, self.nodes[at as usize].older);
        match newer {
            NONE => self.newest = older,
            n => self.nodes[n as usize].older = older,
        }
        match older {
            NONE => self.oldest = newer,
            o => self.nodes[o as usize].newer = newer,
        }
    }

    fn link_newest(&mut self, at: u32) {
        let before = self.newest;
        self.nodes[at as usize].newer = NONE;
        self.nodes[at as usize].older = before;
        match before {
            NONE => self.oldest = at,
            n => self.nodes[n as usize].newer = at,
        }
        self.newest = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut lru = Lru::new(2);
        lru.get_or_insert_with("a", || 1);
        lru.get_or_insert_with("b", || 2);
        assert_eq!(lru.get_mut("a"), Some(&mut 1));
        let (_, evicted) = lru.get_or_insert_with("c", || 3);
        assert_eq!(evicted, Some(("b", 2)));
        assert_eq!(lru.peek("b"), None);
        assert_eq!(lru.len(), 2);
    }

    proptest! {
        /// Against a list kept in order of use.
        #[test]
        fn agrees_with_a_plain_list(
            capacity in 1usize..6, doings in proptest::collection::vec((0u8..3, 0u8..9), 0..200)
        ) {
            let mut lru = Lru::new(capacity);
            let mut list: Vec<(u8, u8)> = Vec::new();
            for (step, (what, key)) in doings.into_iter().enumerate() {
                let at = list.iter().position(|(k, _)| *k == key);
                match what {
                    0 => {
                        let (_, evicted) = lru.get_or_insert_with(key, || step as u8);
                        let entry = at.map_or((key, step as u8), |at| list.remove(at));
                        let gone = (at.is_none() && list.len() == capacity).then(|| list.remove(0));
                        list.push(entry);
                        prop_assert_eq!(evicted, gone);
                    }
                    1 => {
                        let entry = at.map(|at| list.remove(at));
                        list.extend(entry);
                        prop_assert_eq!(lru.get_mut(&key).map(|v| *v), entry.map(|(_, v)| v));
                    }
                    _ => {
                        let entry = at.map(|at| list.remove(at));
                        prop_assert_eq!(lru.remove(&key), entry.map(|(_, v)| v));
                    }
                }
                prop_assert_eq!(lru.len(), list.len());
            }
            for (key, value) in list {
                prop_assert_eq!(lru.peek(&key), Some(&value));
            }
        }
    }
}
