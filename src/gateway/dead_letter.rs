//! Letters to dead-letter topics: produced to the upstream before the rest of their request, which goes on only when they
//! have arrived.
//!
//! In this order nothing is lost whatever happens between: letters that did not arrive take the answer of their partition with them,
//! of whose batch then nothing is stored, and the client sends it again (or is told that it cannot be). Were the rest stored first, an
//! error would make a producer number its next batch like one that is stored already. The session's next request waits meanwhile:
//! the rest takes its place in the order only then.
//!
//! The letters are the gateway's own doing: no policy meets them again, so none can go in a circle, and neither the rules' access control nor
//! ACLs of the client are asked, as producers need not be allowed to write to dead-letter topics themselves. Quotas count
//! them as the client's. The topic is made where the upstream makes topics that are asked for.
//!
//! Of a batch that goes whole nothing is left to send: it is answered here, and no broker has looked at its numbers or its epoch.
//!
//! All of it runs in a task of its own: a client that leaves does not tear letters and rest apart.

use super::{
    budget::Share,
    in_flight::{Answered, Waiting},
    listener::Gateway,
    pipeline::{self, Decided, Exchange, Pipeline, Taken},
    upstream::{Caller, Submitted},
};
use crate::policy::{
    evaluate::ExchangeContext,
    generation::Who,
    letters::Bundle,
    plan::Plan,
    verdict::{Letters, Passing, Routed},
};
use crate::wire::{
    ErrorCode, Payload, Request, RequestBody, Response, ResponseBody, Str,
    api::{Answer, Part, metadata, produce},
};
use bytes::Bytes;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};
use std::time::Duration;

/// Of what is asked in the gateway's own name: topics by name, creation by asking.
const PRODUCE_VERSION: i16 = 11;
const METADATA_VERSION: i16 = 9;
/// How often, and how long after one another, a topic is looked for that has just been made or moves.
const TRIES: u32 = 4;
const PAUSE: Duration = Duration::from_millis(100);
/// What the upstream may take for one batch of letters.
const TIMEOUT_MS: i32 = 30_000;
/// Of the records of a refused batch so many are named.
const MOST_NAMED: usize = 1_000;

/// Why letters did not arrive.
struct Undelivered {
    code: ErrorCode,
    why: String,
}

/// One request of which records are routed.
struct Delivery {
    gateway: Arc<Gateway>,
    caller: Arc<Caller>,
    plan: Arc<Plan>,
    who: Arc<Who>,
    /// With the parts that go on, and those of which nothing is left.
    request: Request,
    /// With the place of each among the request's parts.
    routed: Vec<(usize, Routed)>,
    twice: bool,
    /// How long the upstream wants to hear nothing of the client.
    mute: Duration,
    /// The request's memory, as long as anything here refers to it.
    _share: Option<Share>,
}

impl Pipeline {
    /// Sends the letters of a request, then what is left of it.
    pub(super) fn deliver(
        &self,
        caller: &Arc<Caller>,
        request: Request,
        mut exchange: Exchange,
        mut decided: Decided,
    ) -> Taken {
        let kept = |at: usize| decided.answers.iter().take(at).filter(|answer| answer.is_none()).count();
        let place = |at: usize| if decided.answers.is_empty() { at } else { kept(at) };
        if let Some(held) = decided.verdict.held.take() {
            // its letters are not kept waiting
            held.rule.life.counters.could_not_apply();
        }
        let routed = std::mem::take(&mut decided.verdict.routed);
        let routed = routed.into_iter().map(|routed| (place(routed.at), routed)).collect();
        let delivery = Delivery {
            gateway: self.gateway.clone(),
            caller: caller.clone(),
            plan: decided.plan.clone(),
            who: decided.who.clone(),
            request,
            routed,
            twice: decided.verdict.duplicate,
            mute: Duration::ZERO,
            _share: exchange.share.take(),
        };
        let failed = Arc::new(AtomicBool::new(false));
        exchange.unsayable = Some(failed.clone());
        exchange.decided = Some(Box::new(decided));
        exchange.recorded = exchange.asked.then_some(caller.session);
        let task = tokio::spawn(delivery.run(failed.clone()));
        let answered = Answered::Metered(Box::pin(async move {
            task.await.unwrap_or_else(|error| {
                tracing::error!(%error, "letters were not delivered");
                failed.store(true, Relaxed);
                (None, Duration::ZERO)
            })
        }));
        Taken::Barrier(Waiting { exchange, answered })
    }
}

impl Delivery {
    /// The answer to the request, and how long the client is not to be heard then. `failed`: there is none, and it went wrong.
    async fn run(mut self, failed: Arc<AtomicBool>) -> (Option<Response>, Duration) {
        let answer = self.answer().await;
        if answer.is_err() {
            failed.store(true, Relaxed);
        }
        (answer.ok().flatten(), self.mute)
    }

    async fn answer(&mut self) -> Result<Option<Response>, ()> {
        let version = self.request.version();
        let silent = matches!(self.request.body(), Ok(RequestBody::Produce(produce)) if produce.acks == 0);
        let parts = self.request.body().map_err(|_| ())?.parts(version);
        let mut answers: Vec<Option<Answer>> = vec![None; parts.len()];
        let mut routed = std::mem::take(&mut self.routed);
        // nobody waits for another's letters while his own are still to be sent
        routed.sort_by_key(|(_, routed)| matches!(routed.passage, Passing::Earlier(_)));
        for (place, routed) in &mut routed {
            let sent = self.send(routed).await;
            if sent.is_err() {
                self.plan.letters_lost(routed);
            }
            let cx = ExchangeContext { who: &self.who, session: self.caller.session };
            let lost = sent.as_ref().err().map(|undelivered| &*undelivered.why);
            self.plan.routed(&cx, &self.request, routed, lost);
            let answer = match sent {
                Ok(()) => routed.all.then(|| Answer::from(ErrorCode::NONE)),
                Err(undelivered) => {
                    tracing::warn!(topic = %routed.topic, partition = routed.partition, why = undelivered.why,
                        "records could not be routed, and their batch is refused");
                    Some(undelivered.answer(routed))
                }
            };
            if let Some(slot) = answers.get_mut(*place) {
                *slot = answer;
            }
        }
        let failed = |answer: &Option<Answer>| answer.as_ref().is_some_and(|a| a.code != ErrorCode::NONE);
        let none_failed = !answers.iter().any(failed);
        let original = self.request.clone();
        let said = if answers.iter().all(Option::is_some) {
            None
        } else {
            let keep: Vec<bool> = answers.iter().map(Option::is_none).collect();
            let mut request = self.request.clone();
            request.body_mut().map_err(|_| ())?.keep(&keep);
            let again = self.twice.then(|| request.clone());
            let submitted = pipeline::submit(&self.gateway, &self.caller, request);
            let said = self.said(submitted).await?;
            if let Some(again) = again {
                let submitted = self.gateway.upstream.submit(&self.caller, again);
                self.said(submitted).await?;
            }
            said
        };
        if silent {
            return if none_failed { Ok(None) } else { Err(()) };
        }
        if let Some(Response { body: ResponseBody::Produce(said), .. }) = &said {
            for (place, routed) in &routed {
                if let Some(part) = parts.get(*place) {
                    tell(&self.plan, routed, part, said);
                }
            }
        }
        if answers.iter().all(Option::is_none) {
            return said.map(Some).ok_or(());
        }
        let body = original.decoded().map_err(|_| ())?;
        let body = body.merge(version, &answers, said.map(|said| said.body)).ok_or(())?;
        Ok(Some(Response::new(&original, body)))
    }

    /// Sees to it that all letters of a part have arrived.
    async fn send(&mut self, routed: &mut Routed) -> Result<(), Undelivered> {
        let carrier = match &routed.passage {
            Passing::Earlier(passage) => {
                let why =
                    "an earlier attempt of the same batch did not bring its records to the dead-letter topic";
                let lost = || Undelivered { code: ErrorCode::NOT_ENOUGH_REPLICAS, why: why.to_owned() };
                return if passage.arrived().await { Ok(()) } else { Err(lost()) };
            }
            Passing::Own(carrier) => Some(carrier.clone()),
            Passing::Unknown => None,
        };
        for letters in std::mem::take(&mut routed.letters) {
            for batch in &letters.batches {
                let bundle = Bundle::of(&letters.topic, &batch.records);
                if carrier.as_ref().is_some_and(|carrier| carrier.has_arrived(bundle)) {
                    continue;
                }
                self.post(&letters, routed.partition, &batch.payload).await?;
                if let Some(carrier) = &carrier {
                    carrier.one_arrived(bundle);
                }
            }
        }
        if let Some(carrier) = carrier {
            carrier.all_arrived();
        }
        Ok(())
    }

    /// Produces one batch of letters, and waits until the upstream has it safe.
    async fn post(&mut self, to: &Letters, partition: i32, batch: &Bytes) -> Result<(), Undelivered> {
        let mut last = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        for attempt in 0..TRIES {
            if attempt > 0 {
                tokio::time::sleep(PAUSE * attempt).await;
            }
            let partitions = match self.partitions(&to.topic).await {
                Ok(partitions) => partitions,
                Err(code) if moves(code) => {
                    last = code;
                    continue;
                }
                Err(code) => return Err(Undelivered::of(&to.topic, code, None)),
            };
            let data = produce::PartitionProduceData {
                index: partition.rem_euclid(partitions),
                records: Payload::Bytes(batch.clone()),
                ..Default::default()
            };
            let topic = produce::TopicProduceData {
                name: to.topic.clone(),
                partition_data: vec![data],
                ..Default::default()
            };
            let body = produce::Request {
                acks: -1,
                timeout_ms: TIMEOUT_MS,
                topic_data: vec![topic],
                ..Default::default()
            };
            let Some(ResponseBody::Produce(said)) = self.ask(PRODUCE_VERSION, body.into()).await else {
                return Err(Undelivered::of(&to.topic, ErrorCode::NETWORK_EXCEPTION, None));
            };
            let Some(answer) = said.responses.first().and_then(|topic| topic.partition_responses.first())
            else {
                return Err(Undelivered::of(&to.topic, ErrorCode::UNKNOWN_SERVER_ERROR, None));
            };
            match ErrorCode(answer.error_code) {
                ErrorCode::NONE => return Ok(()),
                code if moves(code) => last = code,
                code => return Err(Undelivered::of(&to.topic, code, answer.error_message.as_deref())),
            }
        }
        Err(Undelivered::of(&to.topic, last, None))
    }

    /// How many partitions a topic has; asking makes it where the upstream makes topics.
    async fn partitions(&mut self, topic: &Str) -> Result<i32, ErrorCode> {
        let asked = metadata::MetadataRequestTopic { name: Some(topic.clone()), ..Default::default() };
        let body = metadata::Request {
            topics: Some(vec![asked]),
            allow_auto_topic_creation: true,
            ..Default::default()
        };
        let Some(ResponseBody::Metadata(said)) = self.ask(METADATA_VERSION, body.into()).await else {
            return Err(ErrorCode::NETWORK_EXCEPTION);
        };
        let Some(topic) = said.topics.first() else { return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) };
        match (topic.error_code, i32::try_from(topic.partitions.len())) {
            (0, Ok(partitions)) if partitions > 0 => Ok(partitions),
            (0, _) => Err(ErrorCode::LEADER_NOT_AVAILABLE),
            (code, _) => Err(ErrorCode(code)),
        }
    }

    async fn ask(&mut self, version: i16, body: RequestBody) -> Option<ResponseBody> {
        let request =
            Request::new(version, self.request.correlation_id(), self.request.client_id().cloned(), body)?;
        let submitted = self.gateway.upstream.submit(&self.caller, request);
        self.said(submitted).await.ok().flatten().map(|response| response.body)
    }

    /// Err: the upstream would close the connection.
    async fn said(&mut self, submitted: Submitted) -> Result<Option<Response>, ()> {
        match submitted {
            Submitted::Now(response) => Ok(response),
            Submitted::Later { response, .. } => Ok(response.await),
            Submitted::Metered { response, mute, .. } => {
                let (response, then) = response.await;
                self.mute = self.mute.max(mute).max(then);
                Ok(response)
            }
            Submitted::Close => Err(()),
        }
    }
}

/// Where a topic is found again a moment later, if anywhere.
fn moves(code: ErrorCode) -> bool {
    [
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode::LEADER_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER,
    ]
    .contains(&code)
}

/// Tells a part's passage what became of the rest of its batch.
fn tell(plan: &Plan, routed: &Routed, part: &Part, said: &produce::Response) {
    let same =
        |topic: &&produce::TopicProduceResponse| topic.name == part.name && topic.topic_id == part.topic_id;
    let mut answers = said.responses.iter().filter(same).flat_map(|topic| &topic.partition_responses);
    let Some(answer) = answers.find(|answer| answer.index == part.partition) else { return };
    let stored = match ErrorCode(answer.error_code) {
        ErrorCode::NONE | ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Some(true),
        // it may be stored all the same
        ErrorCode::REQUEST_TIMED_OUT
        | ErrorCode::NETWORK_EXCEPTION
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::KAFKA_STORAGE_ERROR
        | ErrorCode::UNKNOWN_SERVER_ERROR => None,
        _ => Some(false),
    };
    plan.rest_of(routed, stored);
}

impl Undelivered {
    /// What the client is told: try again, where that may help, under a code that says that nothing was stored and does not speak of the
    /// topic that it produced to; else that these records are not taken.
    fn of(topic: &str, code: ErrorCode, message: Option<&str>) -> Self {
        let told = match code.is_retriable() || code == ErrorCode::UNKNOWN_SERVER_ERROR {
            true => ErrorCode::NOT_ENOUGH_REPLICAS,
            false => ErrorCode::INVALID_RECORD,
        };
        let message = message.map(|message| format!(", {message}")).unwrap_or_default();
        Self { code: told, why: format!("the dead-letter topic {topic} does not take them: {code}{message}") }
    }

    fn answer(&self, routed: &Routed) -> Answer {
        let named = match self.code {
            ErrorCode::INVALID_RECORD => MOST_NAMED,
            _ => 0,
        };
        let records = routed.records.iter().take(named);
        Answer {
            code: self.code,
            message: Some(Str::from(self.why.as_str())),
            records: records.map(|at| (*at as i32, Str::from(self.why.as_str()))).collect(),
        }
    }
}
