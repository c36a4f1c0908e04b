//! What keeps an answer in proportion to its request: a request names a partition in four bytes, as often as it likes.

use std::collections::HashMap;

use crate::wire::Str;

/// What a request says of partitions, each of them once, in the order in which they are first named. Of what is said of one more
/// than once the last counts.
pub(super) struct Merged<T> {
    topics: Vec<(Str, Vec<(i32, T)>)>,
    topic_places: HashMap<Str, usize>,
    partition_places: HashMap<(usize, i32), usize>,
}

impl<T> Default for Merged<T> {
    fn default() -> Self {
        Merged { topics: Vec::new(), topic_places: HashMap::new(), partition_places: HashMap::new() }
    }
}

impl<T> Merged<T> {
    /// Names a topic, of whose partitions nothing need be said.
    pub fn name(&mut self, topic: &Str) -> usize {
        if let Some(place) = self.topic_places.get(topic) {
            return *place;
        }
        let place = self.topics.len();
        self.topic_places.insert(topic.clone(), place);
        self.topics.push((topic.clone(), Vec::new()));
        place
    }

    pub fn say(&mut self, topic: &Str, partition: i32, said: T) {
        let topic_place = self.name(topic);
        let Some((_, partitions)) = self.topics.get_mut(topic_place) else { return };
        let place = *self.partition_places.entry((topic_place, partition)).or_insert(partitions.len());
        match partitions.get_mut(place) {
            Some((_, before)) => *before = said,
            None => partitions.push((partition, said)),
        }
    }

    pub fn into_topics(self) -> Vec<(Str, Vec<(i32, T)>)> {
        self.topics
    }
}

/// Bytes of error messages in one answer.
const MOST_TOLD: usize = 1 << 20;

/// Messages for the errors of one answer, as long as they are not too much; then the codes have to do.
pub(super) struct Told {
    left: usize,
}

impl Default for Told {
    fn default() -> Self {
        Told { left: MOST_TOLD }
    }
}

impl Told {
    pub fn message(&mut self, message: Option<Str>) -> Option<Str> {
        let message = message?;
        self.left = self.left.saturating_sub(message.len());
        (self.left > 0).then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_stands_once_with_what_was_said_last() {
        let mut merged = Merged::default();
        let (a, b) = (Str::from_static("a"), Str::from_static("b"));
        merged.say(&b, 1, 'x');
        merged.name(&a);
        merged.say(&b, 0, 'y');
        merged.say(&b, 1, 'z');
        assert_eq!(merged.into_topics(), [(b, vec![(1, 'z'), (0, 'y')]), (a, vec![])]);
    }

    #[test]
    fn messages_end_where_they_are_too_much() {
        let mut told = Told::default();
        let long = Str::from("m".repeat(1000));
        let messages = (0..5000).filter_map(|_| told.message(Some(long.clone()))).count();
        assert_eq!(messages, MOST_TOLD / 1000);
        assert_eq!(told.message(Some(Str::from_static("x"))), None, "nor a short one behind it");
    }
}
