//! When a rule fires: native, and deterministic per subject.
//!
//! `every`, `nth`, `first` and `after` count the different events of a subject that matched the rule. A retry
//! (of a produced batch, of a fetch from the same offset) is the same event: it is not counted again, and a
//! trigger that names events one by one fires at the first attempt only, or a client could never get past it.
//! `chance` draws again for every attempt.

use super::identity::{Met, Repeat, Subjects};
use super::random::{Draws, Event};
use super::replay::Forced;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The triggers of one rule: all must hold. Without one, always.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Triggers {
    pub chance: Option<f64>,
    pub every: Option<u64>,
    pub nth: Option<u64>,
    pub first: Option<u64>,
    pub after: Option<u64>,
    /// From and to, counted from the rule's activation.
    pub during: Option<(Duration, Duration)>,
    pub at_most: Option<u64>,
}

/// What of a rule outlives one generation, as far as triggers need it.
#[derive(Debug, Default)]
pub struct Fired(AtomicU64);

impl Fired {
    /// Counts one firing unless there were `limit` already.
    pub(super) fn take(&self, limit: u64) -> bool {
        let one_more = |fired: u64| (fired < limit).then(|| fired + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

/// The rule as its triggers know it.
#[derive(Debug, Clone, Copy)]
pub struct Firing<'a> {
    pub rule: u64,
    /// The generation that brought it: its events count from there.
    pub born: u64,
    pub seed: u64,
    /// Time since the rule's activation.
    pub age: Duration,
    pub fired: &'a Fired,
    /// Of a replay: what it fires at, whatever its triggers say.
    pub forced: Option<&'a Forced>,
}

impl Triggers {
    /// Whether the rule fires at this event. The draws that come back go on where `chance` stopped, for
    /// what the action draws itself; the event is what the journal names.
    pub fn fire(&self, firing: Firing<'_>, met: &Met, subjects: &Subjects) -> Option<(Draws, Event)> {
        let mut result = None;
        subjects.meet(met, firing.rule, firing.born, |count, meeting| {
            let n = count.matched;
            if let Some(after) = self.after
                && n > after
                && count.passed_at.is_none()
            {
                count.passed_at = Some(met.ordinal);
            }
            let named = |holds: bool| meeting.fresh && holds;
            let counted = self.every.is_none_or(|every| named(n.is_multiple_of(every)))
                && self.nth.is_none_or(|nth| named(n == nth))
                && self.first.is_none_or(|first| named(n <= first))
                && self.after.is_none_or(|after| match met.repeat {
                    Repeat::Attempt(_) => count.passed_at.is_some_and(|from| met.ordinal >= from),
                    Repeat::Place => n > after,
                });
            let event = Event { subject: met.subject, ordinal: meeting.ordinal, attempt: meeting.attempt };
            let mut draws = Draws::new(firing.seed, firing.rule, event);
            // drawn before the rest is looked at: what an action draws must not depend on the time of day
            let chosen = self.chance.is_none_or(|p| draws.chance(p));
            let fires = match firing.forced {
                Some(forced) => forced.has(event.subject, event.ordinal, event.attempt),
                None => {
                    counted
                        && chosen
                        && self.during.is_none_or(|(from, to)| from <= firing.age && firing.age < to)
                        && self.at_most.is_none_or(|limit| firing.fired.take(limit))
                }
            };
            if fires {
                result = Some((draws, event));
            }
            fires
        });
        result
    }

    /// For what is done record by record: the part fires as a whole by everything but `chance`, which is
    /// drawn for each record (see [`Triggers::record`]).
    pub fn fire_for_records(&self, firing: Firing<'_>, met: &Met, subjects: &Subjects) -> bool {
        Triggers { chance: None, ..self.clone() }.fire(firing, met, subjects).is_some()
    }

    /// Whether the rule fires at this record.
    pub fn record(&self, firing: Firing<'_>, event: Event) -> bool {
        self.chance.is_none_or(|p| Draws::new(firing.seed, firing.rule, event).chance(p))
    }

    /// Whether a fault on records strikes this one. `every`, `nth`, `first` and `after` count the records of the
    /// subject whatever is in them: at produce by their ordinal, at fetch by their offset. A batch that is sent again is
    /// struck again only by what draws. The draws that come back go on where `chance` stopped.
    pub fn strike(&self, firing: Firing<'_>, event: Event) -> Option<Draws> {
        let n = event.ordinal.saturating_add(1);
        let named = |holds: bool| event.attempt == 0 && holds;
        let mut draws = Draws::new(firing.seed, firing.rule, event);
        let chosen = self.chance.is_none_or(|p| draws.chance(p));
        if let Some(forced) = firing.forced {
            return forced.has(event.subject, event.ordinal, event.attempt).then_some(draws);
        }
        let strikes = chosen
            && self.every.is_none_or(|every| named(n.is_multiple_of(every)))
            && self.nth.is_none_or(|nth| named(n == nth))
            && self.first.is_none_or(|first| named(n <= first))
            && self.after.is_none_or(|after| n > after)
            && self.during.is_none_or(|(from, to)| from <= firing.age && firing.age < to)
            && self.at_most.is_none_or(|limit| firing.fired.take(limit));
        strikes.then_some(draws)
    }

    pub fn is_always(&self) -> bool {
        *self == Self::default()
    }

    /// Whether an event must be counted or drawn about: what has no record in it, as an empty reply, is not one.
    pub fn needs_event(&self) -> bool {
        self.chance.is_some()
            || self.every.is_some()
            || self.nth.is_some()
            || self.first.is_some()
            || self.after.is_some()
    }
}

impl fmt::Display for Triggers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(p) = self.chance {
            write!(f, ".chance({p})")?;
        }
        for (word, n) in
            [("every", self.every), ("nth", self.nth), ("first", self.first), ("after", self.after)]
        {
            if let Some(n) = n {
                write!(f, ".{word}({n})")?;
            }
        }
        if let Some((from, to)) = self.during {
            write!(f, ".during({from:?}, {to:?})")?;
        }
        match self.at_most {
            Some(n) => write!(f, ".at_most({n})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATE: Duration = Duration::from_secs(5);

    /// Which of `n` different events of one subject fire.
    fn fired(triggers: &Triggers, n: u64) -> Vec<u64> {
        let (subjects, fired) = (Subjects::default(), Fired::default());
        let firing = Firing { rule: 1, born: 0, seed: 2, age: LATE, fired: &fired, forced: None };
        (1..=n).filter(|_| triggers.fire(firing, &subjects.next(7, 0), &subjects).is_some()).collect()
    }

    fn with(set: impl FnOnce(&mut Triggers)) -> Triggers {
        let mut triggers = Triggers::default();
        set(&mut triggers);
        triggers
    }

    #[test]
    fn without_one_always() {
        assert_eq!(fired(&Triggers::default(), 3), [1, 2, 3]);
    }

    #[test]
    fn counting_triggers_name_events() {
        assert_eq!(fired(&with(|t| t.every = Some(3)), 10), [3, 6, 9]);
        assert_eq!(fired(&with(|t| t.nth = Some(4)), 10), [4]);
        assert_eq!(fired(&with(|t| t.first = Some(2)), 10), [1, 2]);
        assert_eq!(fired(&with(|t| t.after = Some(7)), 10), [8, 9, 10]);
        assert_eq!(fired(&with(|t| t.at_most = Some(2)), 10), [1, 2]);
        let combined = with(|t| (t.after, t.every, t.at_most) = (Some(3), Some(2), Some(2)));
        assert_eq!(fired(&combined, 10), [4, 6]);
    }

    #[test]
    fn chance_draws_by_the_event() {
        let half = with(|t| t.chance = Some(0.5));
        let first = fired(&half, 1_000);
        assert_eq!(first, fired(&half, 1_000));
        assert!((400..600).contains(&first.len()), "{} of 1000", first.len());
    }

    #[test]
    fn during_counts_from_the_activation() {
        let (subjects, fired) = (Subjects::default(), Fired::default());
        let triggers = with(|t| t.during = Some((Duration::from_secs(10), Duration::from_secs(25))));
        let fires = |seconds| {
            let firing = Firing {
                rule: 1,
                born: 0,
                seed: 2,
                age: Duration::from_secs(seconds),
                fired: &fired,
                forced: None,
            };
            triggers.fire(firing, &subjects.next(7, 0), &subjects).is_some()
        };
        assert_eq!([9, 10, 24, 25].map(fires), [false, true, true, false]);
    }

    #[test]
    fn at_most_is_per_rule_over_all_subjects() {
        let (subjects, fired) = (Subjects::default(), Fired::default());
        let firing = Firing { rule: 1, born: 0, seed: 2, age: LATE, fired: &fired, forced: None };
        let triggers = with(|t| t.at_most = Some(3));
        let hits =
            (0..10).filter(|s| triggers.fire(firing, &subjects.next(*s, 0), &subjects).is_some()).count();
        assert_eq!(hits, 3);
    }

    #[test]
    fn a_retried_batch_is_the_same_event() {
        let (subjects, fired) = (Subjects::default(), Fired::default());
        let firing = Firing { rule: 1, born: 0, seed: 2, age: LATE, fired: &fired, forced: None };
        let produce = |triggers: &Triggers, crc| {
            triggers.fire(firing, &subjects.produced(7, 0, crc, 10, 1), &subjects).is_some()
        };
        let second = with(|t| t.nth = Some(2));
        assert_eq!([1, 2, 2, 1, 3].map(|crc| produce(&second, crc)), [false, true, false, false, false]);

        let subjects = Subjects::default();
        let produce = |triggers: &Triggers, crc| {
            triggers.fire(firing, &subjects.produced(7, 0, crc, 10, 1), &subjects).is_some()
        };
        let after = with(|t| t.after = Some(1));
        let crcs = [1, 2, 1, 2, 3];
        assert_eq!(crcs.map(|crc| produce(&after, crc)), [false, true, false, true, true]);
    }

    #[test]
    fn a_retry_draws_again() {
        let (subjects, fired) = (Subjects::default(), Fired::default());
        let firing = Firing { rule: 1, born: 0, seed: 2, age: LATE, fired: &fired, forced: None };
        let half = with(|t| t.chance = Some(0.5));
        let draws: Vec<bool> = (0..64)
            .map(|_| half.fire(firing, &subjects.produced(7, 0, 1, 10, 1), &subjects).is_some())
            .collect();
        assert!(draws.contains(&true) && draws.contains(&false));
    }

    #[test]
    fn a_fetch_from_the_same_offset_repeats_its_draw_until_the_rule_fires() {
        let (subjects, fired) = (Subjects::default(), Fired::default());
        let firing = Firing { rule: 1, born: 0, seed: 2, age: LATE, fired: &fired, forced: None };
        let half = with(|t| t.chance = Some(0.5));
        for offset in 0..50 {
            let fetch = || half.fire(firing, &Met::at_place(7, offset), &subjects).is_some();
            while fetch() {}
            assert!((0..5).all(|_| !fetch()), "once passed at {offset}, always passed");
        }
    }

    #[test]
    fn draws_do_not_depend_on_who_else_is_there() {
        let half = with(|t| t.chance = Some(0.5));
        let run = |noise: bool| -> Vec<bool> {
            let (subjects, fired) = (Subjects::default(), Fired::default());
            let firing = Firing { rule: 1, born: 0, seed: 2, age: LATE, fired: &fired, forced: None };
            (0..200)
                .map(|i| {
                    if noise {
                        half.fire(firing, &subjects.next(1_000 + i % 3, 0), &subjects);
                        half.fire(Firing { rule: 99, ..firing }, &Met::at_place(7, 3), &subjects);
                    }
                    half.fire(firing, &subjects.next(7, 0), &subjects).is_some()
                })
                .collect()
        };
        assert_eq!(run(false), run(true));
    }

    #[test]
    fn after_counts_the_places_of_fetches() {
        let (subjects, fired) = (Subjects::default(), Fired::default());
        let firing = Firing { rule: 1, born: 0, seed: 2, age: LATE, fired: &fired, forced: None };
        let after = with(|t| t.after = Some(2));
        let fires = [10, 20, 20, 30, 30, 40]
            .map(|offset| after.fire(firing, &Met::at_place(7, offset), &subjects).is_some());
        assert_eq!(fires, [false, false, false, true, true, true]);
    }

    /// Of what is done record by record: the part fires by its counts, each record by its own draw.
    #[test]
    fn a_part_fires_by_all_but_chance_which_is_of_records() {
        let (subjects, fired) = (Subjects::default(), Fired::default());
        let firing = Firing { rule: 1, born: 0, seed: 2, age: LATE, fired: &fired, forced: None };
        let third = with(|t| (t.chance, t.nth) = (Some(0.5), Some(3)));
        let parts: Vec<bool> =
            (0..5).map(|_| third.fire_for_records(firing, &subjects.next(7, 0), &subjects)).collect();
        assert_eq!(parts, [false, false, true, false, false]);

        let record = |triggers: &Triggers, offset| {
            triggers.record(firing, super::super::identity::fetched_record("t", 0, offset))
        };
        let drawn: Vec<bool> = (0..1_000).map(|offset| record(&third, offset)).collect();
        let hits = drawn.iter().filter(|hit| **hit).count();
        assert!((400..600).contains(&hits), "{hits} of 1000");
        assert!((0..1_000).all(|offset| record(&third, offset) == drawn[offset as usize]));
        assert!((0..100).all(|offset| record(&Triggers::default(), offset)), "without one always");
    }

    #[test]
    fn records_are_struck_from_the_beginning_of_a_time_to_before_its_end() {
        let fired = Fired::default();
        let triggers = with(|t| t.during = Some((Duration::from_secs(10), Duration::from_secs(25))));
        let strikes = |seconds| {
            let age = Duration::from_secs(seconds);
            let firing = Firing { rule: 1, born: 0, seed: 2, age, fired: &fired, forced: None };
            triggers.strike(firing, Event { subject: 7, ordinal: 0, attempt: 0 }).is_some()
        };
        assert_eq!([9, 10, 24, 25, 26].map(strikes), [false, true, true, false, false]);
    }

    #[test]
    fn triggers_are_shown_as_they_are_written() {
        let all = Triggers {
            chance: Some(0.25),
            every: Some(2),
            nth: Some(3),
            first: Some(4),
            after: Some(5),
            during: Some((Duration::from_secs(6), Duration::from_secs(7))),
            at_most: Some(8),
        };
        let shown = ".chance(0.25).every(2).nth(3).first(4).after(5).during(6s, 7s).at_most(8)";
        assert_eq!((all.to_string().as_str(), Triggers::default().to_string().as_str()), (shown, ""));
    }
}
