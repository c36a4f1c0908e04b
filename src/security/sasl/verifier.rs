//! Checks clear-text passwords against records: slow by design, so off the async workers, bounded, and remembered.
//!
//! - At most half the cores derive keys at once, and a bounded number of logins wait for a turn: guessing
//!   passwords cannot take the machine from those who are logged in.
//! - A login that succeeded is remembered by a keyed hash of name, record and password, so that a thousand
//!   clients reconnecting after a restart of theirs cost a hash each. The record is part of the hash: a changed
//!   password forgets the old one by itself. Failures are never remembered.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::super::credential::{ScramHash, ScramRecord};
use super::super::principal::UserName;
use super::super::secret::{NoRandomness, SecretBytes};
use super::super::users::Users;
use super::SaslFailure;

/// Logins that may wait for a turn to derive a key.
const MAX_WAITING: usize = 256;
/// Successes remembered: at most twice this many, 32 bytes each.
const REMEMBERED: usize = 4_096;

const HASH: ScramHash = ScramHash::Sha256;

#[derive(Debug)]
pub(super) struct PasswordVerifier {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    key: SecretBytes,
    remembered: Mutex<Generations>,
}

impl PasswordVerifier {
    pub(super) fn new() -> Result<Self, NoRandomness> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            turns: Arc::new(Semaphore::new((cores / 2).max(1))),
            waiting: AtomicUsize::new(0),
            key: SecretBytes::random(32)?,
            remembered: Mutex::new(Generations::new(REMEMBERED)),
        })
    }

    /// Succeeds when `password` is the user's. A user that does not exist takes the same way and the same time.
    pub(super) async fn verify(
        &self,
        users: &Users,
        name: &UserName,
        password: &[u8],
    ) -> Result<(), SaslFailure> {
        // Made in either case, for the time it takes.
        let decoy = users.decoy(HASH, name.as_str());
        let found = users.find(name.as_str()).and_then(|user| user.record(HASH)).cloned();
        let exists = found.is_some();
        let record = found.unwrap_or(decoy);

        let fingerprint = self.fingerprint(name, &record, password);
        if self.remembered().contains(&fingerprint) {
            return Ok(());
        }
        let password = SecretBytes::new(password.to_vec());
        let matches = self.derive(move || record.matches(HASH, password.expose())).await?;
        if !(matches && exists) {
            return Err(SaslFailure::InvalidCredentials);
        }
        self.remembered().insert(fingerprint);
        Ok(())
    }

    async fn derive(&self, check: impl FnOnce() -> bool + Send + 'static) -> Result<bool, SaslFailure> {
        let place = Place::take(&self.waiting).ok_or(SaslFailure::Overloaded)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| SaslFailure::Internal)?;
        drop(place);
        // The turn moves into the work: a session that is closed meanwhile does not free it early.
        let work = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            check()
        });
        work.await.map_err(|_| SaslFailure::Internal)
    }

    fn fingerprint(&self, name: &UserName, record: &ScramRecord, password: &[u8]) -> [u8; 32] {
        // The name is the only part of unknown length before the last: a NUL, which no name contains, ends it.
        let mut input = Vec::with_capacity(name.as_str().len() + 1 + 64 + password.len());
        input.extend_from_slice(name.as_str().as_bytes());
        input.push(0);
        input.extend_from_slice(record.stored_key.expose());
        input.extend_from_slice(record.server_key.expose());
        input.extend_from_slice(password);
        let input = SecretBytes::new(input);
        let mac = HASH.hmac(self.key.expose(), input.expose());
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(mac.expose()) {
            *to = *from;
        }
        out
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, Generations> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue, given back when dropped, also by a login that was cancelled while it waited.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < MAX_WAITING).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A bounded set that forgets roughly what was longest unused: when the young half is full it becomes the old
/// half, and what was old and not asked for again is gone.
#[derive(Debug)]
struct Generations {
    young: HashSet<[u8; 32]>,
    old: HashSet<[u8; 32]>,
    capacity: usize,
}

impl Generations {
    fn new(capacity: usize) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), capacity }
    }

    fn contains(&mut self, item: &[u8; 32]) -> bool {
        if self.young.contains(item) {
            return true;
        }
        let old = self.old.remove(item);
        if old {
            self.insert(*item);
        }
        old
    }

    fn insert(&mut self, item: [u8; 32]) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(item);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::credential::MIN_ITERATIONS;
    use super::super::super::secret::SecretString;
    use super::super::super::users::User;
    use super::*;

    fn users(password: &str) -> Users {
        let mut users = Users::new().unwrap();
        let user = User::with_password(&SecretString::new(password.into()), MIN_ITERATIONS).unwrap();
        users.insert("alice".parse().unwrap(), user);
        users
    }

    fn remembered(verifier: &PasswordVerifier) -> usize {
        let set = verifier.remembered();
        set.young.len() + set.old.len()
    }

    #[tokio::test]
    async fn only_successes_are_remembered() {
        let verifier = PasswordVerifier::new().unwrap();
        let users = users("right");
        let alice: UserName = "alice".parse().unwrap();
        for name in ["alice", "nobody"] {
            let name = name.parse().unwrap();
            assert_eq!(verifier.verify(&users, &name, b"wrong").await, Err(SaslFailure::InvalidCredentials));
        }
        assert_eq!(remembered(&verifier), 0);
        assert_eq!(verifier.verify(&users, &alice, b"right").await, Ok(()));
        assert_eq!(remembered(&verifier), 1);
        assert_eq!(verifier.verify(&users, &alice, b"wrong").await, Err(SaslFailure::InvalidCredentials));
    }

    #[tokio::test]
    async fn what_is_remembered_needs_no_turn() {
        let verifier = PasswordVerifier::new().unwrap();
        let users = users("right");
        let alice: UserName = "alice".parse().unwrap();
        verifier.verify(&users, &alice, b"right").await.unwrap();
        verifier.turns.close();
        assert_eq!(verifier.verify(&users, &alice, b"right").await, Ok(()));
        assert_eq!(verifier.verify(&users, &alice, b"other").await, Err(SaslFailure::Internal));
    }

    #[tokio::test]
    async fn a_changed_password_forgets_the_old_one() {
        let verifier = PasswordVerifier::new().unwrap();
        let alice: UserName = "alice".parse().unwrap();
        verifier.verify(&users("old"), &alice, b"old").await.unwrap();
        let changed = users("new");
        assert_eq!(verifier.verify(&changed, &alice, b"old").await, Err(SaslFailure::InvalidCredentials));
        assert_eq!(verifier.verify(&changed, &alice, b"new").await, Ok(()));
        let mut without = changed;
        without.remove("alice");
        assert_eq!(verifier.verify(&without, &alice, b"new").await, Err(SaslFailure::InvalidCredentials));
    }

    #[tokio::test]
    async fn the_queue_is_bounded_and_a_cancelled_login_leaves_it() {
        let verifier = Arc::new(PasswordVerifier::new().unwrap());
        let all = u32::try_from(verifier.turns.available_permits()).unwrap();
        let busy = verifier.turns.clone().acquire_many_owned(all).await.unwrap();
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(verifier.derive(|| true))).collect();
        for login in &mut waiting {
            assert!(futures_poll(login).is_none());
        }
        assert_eq!(verifier.derive(|| true).await, Err(SaslFailure::Overloaded));
        drop(waiting.pop());
        let mut next = Box::pin(verifier.derive(|| true));
        assert!(futures_poll(&mut next).is_none(), "the place that was left is taken");
        drop(waiting);
        drop(busy);
        assert_eq!(next.await, Ok(true));
        assert_eq!(verifier.waiting.load(Ordering::Relaxed), 0);
    }

    fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn generations_are_bounded_and_keep_what_is_used() {
        let item = |n: u32| {
            let mut item = [0; 32];
            item[..4].copy_from_slice(&n.to_be_bytes());
            item
        };
        let mut set = Generations::new(10);
        set.insert(item(0));
        for n in 1..1_000 {
            set.insert(item(n));
            assert!(set.contains(&item(0)), "in use, so never forgotten");
            assert!(set.young.len() + set.old.len() <= 20);
        }
        assert!(!set.contains(&item(1)));
    }
}
