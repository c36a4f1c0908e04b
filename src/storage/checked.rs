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

    /// Up to where nothing is left to check from `start` on: `start` itself where all is, `u64::MAX` where nothing is.
    pub fn covered_to(&self, start: u64) -> u64 {
        if start >= self.found {
            return u64::MAX;
        }
        let good = lock(&self.good);
        match good.iter().find(|(from, to)| *from <= start && start < *to) {
            Some((_, to)) if *to >= self.found => u64::MAX,
            Some((_, to)) => *to,
            None => start,
        }
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
        assert_eq!((checked.covered_to(0), checked.covered_to(999)), (0, 999));
        assert_eq!(checked.covered_to(1000), u64::MAX, "written since");
        checked.add(0, 100);
        checked.add(200, 300);
        assert_eq!([20, 100, 200].map(|start| checked.covered_to(start)), [100, 100, 300]);
        checked.add(100, 200);
        assert_eq!([0, 299, 300].map(|start| checked.covered_to(start)), [300, 300, 300]);
        checked.add(900, 4000);
        assert_eq!(checked.covered_to(950), u64::MAX);
        assert_eq!(Checked::default().covered_to(0), u64::MAX);
    }

    #[test]
    fn a_bounded_number_of_stretches_is_remembered() {
        let checked = Checked::found(u64::MAX);
        for n in 0..100 {
            checked.add(n * 100, n * 100 + 1 + n);
        }
        assert_eq!(lock(&checked.good).len(), MAX_STRETCHES);
        assert_eq!((checked.covered_to(9900), checked.covered_to(0)), (10_000, 0));

        // It is the shortest that is forgotten, not the first.
        let checked = Checked::found(u64::MAX);
        checked.add(0, 50_000);
        for n in 0..100 {
            checked.add(100_000 + n * 100, 100_000 + n * 100 + 10);
        }
        assert_eq!(checked.covered_to(0), 50_000);
    }
}
