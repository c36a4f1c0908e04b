//! Puts answers made up here into an upstream's reply: request order is kept, every part gets one answer, and nothing the
//! upstream said of an answered part gets through.
//!
//! An answered part may have been forwarded all the same (executed, then failed), and a request may name a part twice. Where
//! the upstream answered a part as often as it was asked for, its answers belong to the askings in order; where it answered
//! less often, those askings get them that were not answered here.

use super::Answer;
use crate::wire::types::{Str, Tags, Uuid};
use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// A partition of a request or reply: topic name and id (whichever the version has), and index.
pub(super) type Key = (Str, Uuid, i32);

/// A topic of a reply, whatever the api calls it.
pub(super) struct Topic<P> {
    pub name: Str,
    pub id: Uuid,
    pub partitions: Vec<P>,
    pub unknown_tags: Tags,
}

/// `Exchange::merge` for a flat list: each requested key gets its answer or what the upstream said of it, then follows what
/// the upstream added unasked (if `leftovers`).
pub(super) fn merge_flat<K: Hash + Eq + Clone, V>(
    requested: impl Iterator<Item = K>,
    answers: &[Option<Answer>],
    said: impl Iterator<Item = (K, V)>,
    leftovers: bool,
    fail: impl Fn(&K, &Answer) -> V,
) -> Vec<V> {
    let mut merged = Vec::new();
    merge(requested, answers, said, leftovers, fail, |_, value| merged.push(value));
    merged
}

/// `Exchange::merge` for topics holding partitions; `index` tells a partition's.
pub(super) fn merge_nested<P>(
    requested: impl Iterator<Item = Key>,
    answers: &[Option<Answer>],
    said: impl Iterator<Item = Topic<P>>,
    leftovers: bool,
    index: impl Fn(&P) -> i32,
    fail: impl Fn(&Key, &Answer) -> P,
) -> Vec<Topic<P>> {
    let mut tags: HashMap<(Str, Uuid), Tags> = HashMap::new();
    let mut partitions = Vec::new();
    for topic in said {
        if !topic.unknown_tags.is_empty() {
            tags.insert((topic.name.clone(), topic.id), topic.unknown_tags);
        }
        for partition in topic.partitions {
            partitions.push(((topic.name.clone(), topic.id, index(&partition)), partition));
        }
    }
    let mut merged: Vec<Topic<P>> = Vec::new();
    merge(
        requested,
        answers,
        partitions.into_iter(),
        leftovers,
        fail,
        |(name, id, _), partition| match merged.last_mut() {
            Some(topic) if topic.name == name && topic.id == id => topic.partitions.push(partition),
            _ => {
                let topic = (name, id);
                let unknown_tags = tags.remove(&topic).unwrap_or_default();
                let (name, id) = topic;
                merged.push(Topic { name, id, partitions: vec![partition], unknown_tags });
            }
        },
    );
    merged
}

/// A topic as a request names it: by its name, or by its id where it has no name.
#[derive(Clone, Debug)]
pub(super) struct NameOrId {
    pub name: Str,
    pub id: Uuid,
}

impl NameOrId {
    fn key(&self) -> (&Str, Option<Uuid>) {
        (&self.name, self.name.is_empty().then_some(self.id))
    }
}

impl PartialEq for NameOrId {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for NameOrId {}

impl Hash for NameOrId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// Tells how a topic of a reply, which has both name and id, was named in the request.
pub(super) struct Asked(HashMap<NameOrId, usize>);

impl Asked {
    pub(super) fn new(requested: impl Iterator<Item = NameOrId>) -> Self {
        let mut left = HashMap::new();
        for topic in requested {
            *left.entry(topic).or_default() += 1;
        }
        Asked(left)
    }

    /// By its name if it was asked for by name and not yet found as often, else by its id.
    pub(super) fn resolve(&mut self, name: Option<&Str>, id: Uuid) -> NameOrId {
        let by_name = NameOrId { name: name.cloned().unwrap_or_default(), id };
        let by_id = NameOrId { name: Str::default(), id };
        if !self.use_up(&by_name) && self.use_up(&by_id) { by_id } else { by_name }
    }

    fn use_up(&mut self, topic: &NameOrId) -> bool {
        match self.0.get_mut(topic) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

/// What request and reply say of a key that the reply has.
#[derive(Default)]
struct Account {
    asked: usize,
    answered: usize,
    /// Where its values stand among all that was said.
    said: VecDeque<usize>,
    /// The upstream answered every asking.
    aligned: bool,
}

fn merge<K: Hash + Eq + Clone, V>(
    requested: impl Iterator<Item = K>,
    answers: &[Option<Answer>],
    said: impl Iterator<Item = (K, V)>,
    leftovers: bool,
    fail: impl Fn(&K, &Answer) -> V,
    mut push: impl FnMut(K, V),
) {
    let mut accounts: HashMap<K, Account> = HashMap::new();
    let mut values: Vec<Option<(K, V)>> = Vec::new();
    for (key, value) in said {
        accounts.entry(key.clone()).or_default().said.push_back(values.len());
        values.push(Some((key, value)));
    }
    let requested: Vec<(K, Option<&Answer>)> =
        requested.enumerate().map(|(i, key)| (key, answers.get(i).and_then(Option::as_ref))).collect();
    for (key, answer) in &requested {
        if let Some(account) = accounts.get_mut(key) {
            account.asked += 1;
            account.answered += usize::from(answer.is_some());
        }
    }
    for account in accounts.values_mut() {
        account.aligned = account.said.len() >= account.asked;
    }
    for (key, answer) in requested {
        let mut own = None;
        if let Some(account) = accounts.get_mut(&key)
            && (answer.is_none() || account.aligned)
        {
            own = account.said.pop_front().and_then(|at| values.get_mut(at)?.take());
        }
        match (answer, own) {
            (Some(answer), _) => {
                let failed = fail(&key, answer);
                push(key, failed);
            }
            (None, Some((_, value))) => push(key, value),
            (None, None) => {}
        }
    }
    if leftovers {
        for (key, value) in values.into_iter().flatten() {
            if accounts.get(&key).is_none_or(|account| account.answered == 0) {
                push(key, value);
            }
        }
    }
}
