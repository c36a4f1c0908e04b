//! Quotas around a request: what it used is counted, and what was too much is said in its answer.
//!
//! As in Kafka the answer is given first and the session is muted after it. Produce is counted by the bytes of the request when
//! it has been taken in, Fetch by the bytes of its records when they are at hand (one that is over its quota is answered
//! empty, and its bytes are not counted), every request by the time it took a worker, topics by the partitions that they
//! create or delete.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Kind, Payer, Quotas, TokenBucket};
use crate::broker::broker::Broker;
use crate::broker::context::{Context, Reply, ReplyFuture, ReplyTo};
use crate::broker::{ApiError, route};
use crate::wire::{ApiKey, ErrorCode, Piece, Request, RequestBody, Response};

/// Carries out one request of a client that may have a quota. `size`: bytes of the request.
pub(in crate::broker) fn metered(
    broker: &Arc<Broker>,
    cx: &Context,
    to: ReplyTo,
    size: usize,
    body: RequestBody,
) -> Reply {
    let payer = Payer::of(cx);
    let started = Instant::now();
    let reply = route::dispatch(broker, cx, to, body);
    let spent = started.elapsed();
    let quotas = &broker.quotas;
    let mut throttle = Duration::ZERO;
    if to.api == ApiKey::Produce {
        throttle = quotas.record(Kind::Produce, &payer, size as f64);
    }
    // A fetch counts its own time, because its answer depends on it.
    if to.api != ApiKey::Fetch {
        throttle = throttle.max(quotas.record(Kind::Request, &payer, percent(spent)));
    }
    match reply {
        Reply::Now(response) => {
            let answer = said(response, throttle);
            Reply::Metered { response: Box::pin(std::future::ready(answer)), barrier: false, mute: throttle }
        }
        Reply::Later { response, barrier } => {
            let broker = Arc::clone(broker);
            let timed = Timed { future: response, spent: Duration::ZERO };
            let response = async move {
                let (response, spent) = timed.await;
                // Too late for this answer; it counts for the next one.
                broker.quotas.note(Kind::Request, &payer, percent(spent));
                said(response, throttle)
            };
            Reply::Metered { response: Box::pin(response), barrier, mute: throttle }
        }
        other => other,
    }
}

/// Bytes of a request as it came, where they are counted.
pub(in crate::broker) fn size_of(request: &Request) -> usize {
    if request.api() != ApiKey::Produce {
        return 0;
    }
    let pieces = request.encode().unwrap_or_default();
    // Without the length before it.
    pieces.iter().map(Piece::len).sum::<usize>().saturating_sub(4)
}

/// The answer with the time that it names, or that its handler has named, whichever is longer.
fn said(response: Option<Response>, throttle: Duration) -> (Option<Response>, Duration) {
    let Some(mut response) = response else { return (None, throttle) };
    let mut mute = throttle;
    if let Some(named) = response.body.throttle_time_ms() {
        *named = (*named).max(millis(throttle));
        mute = Duration::from_millis(u64::try_from(*named).unwrap_or(0));
    }
    (Some(response), mute)
}

pub(in crate::broker) fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

/// Of one thread's time, as Kafka counts it.
fn percent(spent: Duration) -> f64 {
    spent.as_secs_f64() * 100.0
}

/// How long a future has kept a worker busy.
struct Timed {
    future: ReplyFuture,
    spent: Duration,
}

impl Future for Timed {
    type Output = (Option<Response>, Duration);

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Self::Output> {
        let started = Instant::now();
        let polled = self.future.as_mut().poll(cx);
        self.spent += started.elapsed();
        polled.map(|output| (output, self.spent))
    }
}

/// A fetch by a client that may have a quota.
pub(in crate::broker) struct Metering {
    payer: Payer,
    started: Instant,
}

impl Metering {
    /// None where nobody has a quota.
    pub fn begin(quotas: &Quotas, cx: &Context) -> Option<Metering> {
        quotas.concern_clients().then(|| Metering { payer: Payer::of(cx), started: Instant::now() })
    }

    /// The most bytes worth reading.
    pub fn most_bytes(&self, quotas: &Quotas) -> usize {
        quotas.most_fetched(&self.payer).unwrap_or(usize::MAX)
    }

    /// The time that the request has taken so far, to be given to `fetched`.
    pub fn spent(&self) -> Duration {
        self.started.elapsed()
    }

    /// Counts a fetch that is about to be answered. Otherwise for how long it is to be answered empty.
    pub fn fetched(&self, quotas: &Quotas, bytes: usize, spent: Duration) -> Option<Duration> {
        let for_time = quotas.record(Kind::Request, &self.payer, percent(spent));
        let throttle = quotas.record(Kind::Fetch, &self.payer, bytes as f64).max(for_time);
        if throttle.is_zero() {
            return None;
        }
        quotas.note(Kind::Fetch, &self.payer, -(bytes as f64));
        Some(throttle)
    }
}

/// The partitions that one request creates or deletes, of a client that may have a quota for them (KIP-599).
pub(in crate::broker) struct Mutations {
    /// None where it has none.
    payer: Option<Payer>,
    /// Nothing more is done once the quota is used up; otherwise it is done and only the client is told to wait.
    strict: bool,
    throttle: Duration,
}

impl Mutations {
    /// `strict`: from the api's version on that knows the error.
    pub fn begin(quotas: &Quotas, cx: &Context, strict: bool) -> Mutations {
        let payer = quotas.concern_clients().then(|| Payer::of(cx));
        Mutations { payer, strict, throttle: Duration::ZERO }
    }

    /// Asks for so many partitions.
    pub fn take(&mut self, quotas: &Quotas, partitions: usize) -> Result<(), ApiError> {
        let Some(payer) = &self.payer else { return Ok(()) };
        let Some((limit, purse)) = quotas.limit(Kind::Mutation, payer) else { return Ok(()) };
        let (windows, now_ms) = (quotas.mutation_windows, quotas.now_ms());
        let mut mutated = quotas.mutated.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = mutated.entry(purse, now_ms, || TokenBucket::full(windows, limit, now_ms));
        let wait = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        if self.strict {
            let excess_ms = bucket.excess_ms(windows, limit, now_ms);
            if excess_ms > 0 {
                self.throttle = self.throttle.max(wait(excess_ms));
                let message = "The throttling quota has been exceeded.";
                return Err(ApiError::new(ErrorCode::THROTTLING_QUOTA_EXCEEDED, message));
            }
        }
        bucket.take(windows, limit, partitions as f64, now_ms);
        if !self.strict {
            self.throttle = self.throttle.max(wait(bucket.excess_ms(windows, limit, now_ms)));
        }
        Ok(())
    }

    /// What the answer says.
    pub fn throttle_time_ms(&self) -> i32 {
        millis(self.throttle)
    }
}
