//! Which bytes of a segment have been compared with their CRC since the start. What this process wrote itself was
//! checked when it came; what it found was written by another one, at another time, and the disk may have changed it.

use std::sync::Mutex;

use super::lock;

/// Stretches remembered a segment; readers mostly follow each other, so they join into a few.
const MAX_STRETCHES: usize = 16;

/// The bytes of one segment that were there at start, and those of them that were found good.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    found: u64,
    /// Start and end; they neither touch nor overlap.
    good: Mutex<Vec<(u64, u64)>>,
}

impl Checked {
    /// The first `found` bytes were there before.
    pub fn found(found: u64) -> Self {
        Checked { found, good: Mutex::default() }
    }

    /// Whether nothing from `start` to `end` is left to check.
    pub fn covers(&self, start: u64, end: u64) -> bool {
        let end = end.min(self.found);
        start >= end || lock(&self.good).iter().any(|(from, to)| *from <= start && end <= *to)
    }

    /// Everything from `start` to `end` is good.
    pub fn add(&self, start: u64, end: u64) {
        let (mut start, mut end) = (start, end.min(self.found));
        if start >= end {
            return;
        }
        let mut good = lock(&self.good);
        good.retain(|(from, to)| {
            let apart = *to < start || end < *from;
            if !apart {
                (start, end) = (start.min(*from), end.max(*to));
            }
            apart
        });
        if good.len() >= MAX_STRETCHES {
            // The shortest is the cheapest to check again.
            let shortest = good.iter().enumerate().min_by_key(|(_, (from, to))| to - from);
            if let Some((at, _)) = shortest {
                good.swap_remove(at);
            }
        }
        good.push((start, end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_join_and_only_what_was_found_needs_a_check() {
        let checked = Checked::found(1000);
        assert!(!checked.covers(0, 1) && !checked.covers(999, 5000));
        assert!(checked.covers(1000, 5000), "written since");
        checked.add(0, 100);
        checked.add(200, 300);
        assert!(checked.covers(20, 100) && checked.covers(200, 300) && !checked.covers(50, 250));
        checked.add(100, 200);
        assert!(checked.covers(0, 300) && !checked.covers(0, 301));
        checked.add(900, 4000);
        assert!(checked.covers(950, 9000));
        assert!(Checked::default().covers(0, u64::MAX));
    }

    #[test]
    fn a_bounded_number_of_stretches_is_remembered() {
        let checked = Checked::found(u64::MAX);
        for n in 0..100 {
            checked.add(n * 100, n * 100 + 1 + n);
        }
        assert_eq!(lock(&checked.good).len(), MAX_STRETCHES);
        assert!(checked.covers(9900, 9999) && !checked.covers(0, 1));
    }
}
