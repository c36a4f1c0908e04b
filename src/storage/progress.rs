//! How far a log is committed, and everybody who waits for it to be further: producers for one offset, fetches for
//! any news. The committer moves it; nobody polls.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use tokio::sync::{Notify, oneshot};

use super::StorageError;

/// The committed end of one log.
#[derive(Debug)]
pub(crate) struct Progress {
    high_watermark: AtomicI64,
    ended: OnceLock<StorageError>,
    waiters: Mutex<Vec<(i64, Waker)>>,
    watchers: Mutex<Watchers>,
}

#[derive(Debug, Default)]
struct Watchers {
    next: u64,
    by_id: HashMap<u64, Arc<Notify>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    pub fn new(high_watermark: i64) -> Self {
        Progress {
            high_watermark: AtomicI64::new(high_watermark),
            ended: OnceLock::new(),
            waiters: Mutex::default(),
            watchers: Mutex::default(),
        }
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// Why nothing more will be committed, if so.
    pub fn ended(&self) -> Option<&StorageError> {
        self.ended.get()
    }

    /// Everything below `offset` is committed. [`Progress::wake`] must follow.
    pub fn advance(&self, offset: i64) {
        self.high_watermark.store(offset, Ordering::Release);
    }

    /// Wakes those whose offset is committed, and all watchers.
    pub fn wake(&self) {
        let offset = self.high_watermark();
        let ready: Vec<Waker> = lock(&self.waiters)
            .extract_if(.., |(until, _)| *until <= offset)
            .map(|(_, waker)| waker)
            .collect();
        ready.into_iter().for_each(Waker::wake);
        self.notify_watchers();
    }

    /// Nothing more will be committed. The first reason stays.
    pub fn end(&self, reason: StorageError) {
        let _ = self.ended.set(reason);
        let all = std::mem::take(&mut *lock(&self.waiters));
        all.into_iter().for_each(|(_, waker)| waker.wake());
        self.notify_watchers();
    }

    pub fn notify_watchers(&self) {
        for notify in lock(&self.watchers).by_id.values() {
            notify.notify_one();
        }
    }

    pub fn subscribe(self: &Arc<Self>, notify: &Arc<Notify>) -> Subscription {
        let mut watchers = lock(&self.watchers);
        let id = watchers.next;
        watchers.next += 1;
        watchers.by_id.insert(id, Arc::clone(notify));
        Subscription { progress: Arc::clone(self), id }
    }

    pub fn ticket(self: &Arc<Self>, until: i64) -> Ticket {
        Ticket { progress: Arc::clone(self), until, registered: None }
    }

    fn outcome(&self, until: i64) -> Option<Result<(), StorageError>> {
        if self.high_watermark() >= until { Some(Ok(())) } else { self.ended().cloned().map(Err) }
    }
}

/// While it lives, the `Notify` it was made with gets `notify_one` whenever the log's high watermark or log start
/// offset moves, or the log goes offline or is deleted.
#[derive(Debug)]
pub struct Subscription {
    progress: Arc<Progress>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.progress.watchers).by_id.remove(&self.id);
    }
}

/// Resolves when everything up to one append is committed as the flush mode has it, or never will be.
#[derive(Debug)]
#[must_use = "an append is not durable before its ticket says so"]
pub struct Ticket {
    progress: Arc<Progress>,
    until: i64,
    registered: Option<Waker>,
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        Ticket { progress: Arc::clone(&self.progress), until: self.until, registered: None }
    }
}

impl Ticket {
    /// Whether it would resolve to `Ok` at once.
    pub fn is_committed(&self) -> bool {
        self.progress.high_watermark() >= self.until
    }

    /// Blocks the thread until it resolves; not for async workers.
    pub fn wait(mut self) -> Result<(), StorageError> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(outcome) = Pin::new(&mut self).poll(&mut context) {
                return outcome;
            }
            std::thread::park();
        }
    }
}

impl Future for Ticket {
    type Output = Result<(), StorageError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(outcome) = this.progress.outcome(this.until) {
            return Poll::Ready(outcome);
        }
        if this.registered.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return Poll::Pending;
        }
        let mut waiters = lock(&this.progress.waiters);
        // Looked at again under the lock that `wake` takes after the watermark has moved.
        if let Some(outcome) = this.progress.outcome(this.until) {
            return Poll::Ready(outcome);
        }
        waiters.push((this.until, context.waker().clone()));
        this.registered = Some(context.waker().clone());
        Poll::Pending
    }
}

/// The answer of a committer thread to a request other than an append.
#[derive(Debug)]
#[must_use = "the request may fail"]
pub struct Completion<T>(oneshot::Receiver<Result<T, StorageError>>);

pub(crate) type Reply<T> = oneshot::Sender<Result<T, StorageError>>;

impl<T> Completion<T> {
    pub(crate) fn new() -> (Reply<T>, Self) {
        let (reply, receiver) = oneshot::channel();
        (reply, Completion(receiver))
    }

    /// Blocks the thread until it resolves; panics on an async worker.
    pub fn wait(self) -> Result<T, StorageError> {
        self.0.blocking_recv().unwrap_or(Err(StorageError::Closed))
    }
}

impl<T> Future for Completion<T> {
    type Output = Result<T, StorageError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(StorageError::Closed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ticket_resolves_when_its_offset_is_committed() {
        let progress = Arc::new(Progress::new(0));
        let (first, second) = (progress.ticket(5), progress.ticket(6));
        assert!(progress.ticket(0).await.is_ok());
        let waiting = tokio::spawn(first);
        tokio::task::yield_now().await;
        progress.advance(5);
        progress.wake();
        assert!(waiting.await.unwrap().is_ok());
        assert!(!second.is_committed());
        progress.end(StorageError::Closed);
        assert!(matches!(second.await, Err(StorageError::Closed)));
        // What was committed before stays so.
        assert!(progress.ticket(5).await.is_ok());
        assert!(lock(&progress.waiters).is_empty());
    }

    #[test]
    fn a_ticket_can_be_waited_for_by_a_thread() {
        let progress = Arc::new(Progress::new(0));
        let ticket = progress.ticket(3);
        let thread = std::thread::spawn(move || ticket.wait());
        progress.advance(2);
        progress.wake();
        progress.advance(3);
        progress.wake();
        assert!(thread.join().unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_subscription_is_told_until_it_is_dropped() {
        let progress = Arc::new(Progress::new(0));
        let notify = Arc::new(Notify::new());
        let subscription = progress.subscribe(&notify);
        progress.advance(1);
        progress.wake();
        notify.notified().await;
        // Another one is told as well, and still is when the first is gone.
        let another = Arc::new(Notify::new());
        let stays = progress.subscribe(&another);
        progress.wake();
        notify.notified().await;
        another.notified().await;
        drop(subscription);
        progress.wake();
        another.notified().await;
        drop(stays);
        assert!(lock(&progress.watchers).by_id.is_empty());
    }
}
