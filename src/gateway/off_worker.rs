//! Decisions that compute for milliseconds, away from the workers that serve sessions.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::available_parallelism,
};
use tokio::runtime::{Handle, RuntimeFlavor};

/// As many as there are cores: more would not be decided sooner, and each has a thread that takes its worker's place, until
/// there are no more threads for those who read files.
static PLACES: LazyLock<Places> =
    LazyLock::new(|| Places::new(available_parallelism().map_or(1, usize::from)));

/// Rules that look into many records compute for milliseconds: the sessions of this worker go on elsewhere meanwhile.
/// A runtime of one thread has no elsewhere.
pub(super) fn off_worker<T>(heavy: bool, decide: impl FnOnce() -> T) -> T {
    off_worker_within(&PLACES, heavy, decide)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the worker's other tasks move to another thread, and a decision borrows what spawn_blocking would have to own"
)]
fn off_worker_within<T>(places: &Places, heavy: bool, decide: impl FnOnce() -> T) -> T {
    let has_others =
        || Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread);
    if heavy
        && has_others()
        && let Some(_place) = places.enter()
    {
        return tokio::task::block_in_place(decide);
    }
    decide()
}

/// A number of places that are free, or not.
struct Places {
    taken: AtomicUsize,
    most: usize,
}

/// A place that is taken until this is dropped, also by a panic.
struct Place<'a>(&'a Places);

impl Places {
    fn new(most: usize) -> Places {
        Places { taken: AtomicUsize::new(0), most }
    }

    fn enter(&self) -> Option<Place<'_>> {
        let one_more = |taken: usize| (taken < self.most).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, one_more).ok().map(|_| Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn no_more_leave_their_worker_than_there_are_places() {
        let places = Places::new(2);
        let (first, second) = (places.enter(), places.enter());
        assert!(first.is_some() && second.is_some() && places.enter().is_none());
        drop(first);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _place = places.enter().unwrap();
            panic!("a decision that fails");
        }));
        assert!(panicked.is_err());
        assert!(places.enter().is_some(), "the place came back");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn whoever_finds_no_place_decides_where_it_is() {
        tokio::spawn(async {
            let places = Places::new(1);
            let taken = |heavy| off_worker_within(&places, heavy, || places.taken.load(Relaxed));
            assert_eq!((taken(true), taken(false)), (1, 0));
            let place = places.enter();
            assert_eq!(taken(true), 1, "it has none of its own");
            drop(place);
            assert_eq!((taken(true), places.taken.load(Relaxed)), (1, 0));
        })
        .await
        .unwrap();
    }
}
