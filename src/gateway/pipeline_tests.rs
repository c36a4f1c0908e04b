//! What an exchange holds on to at each stage.

use super::super::{budget::Budget, limits::Limits, metrics::Metrics, upstream::Upstream};
use super::*;
use crate::policy::{
    generation::{Policies, Settings, Shared},
    load::Script,
};
use crate::wire::api::heartbeat::{HeartbeatRequest, HeartbeatResponse};

/// Answers every heartbeat at once.
struct Agreeable;

impl Upstream for Agreeable {
    fn submit(&self, _: &Arc<Caller>, request: Request) -> Submitted {
        Submitted::Now(Some(Response::new(&request, HeartbeatResponse::default().into())))
    }

    fn unknown_api_versions(&self, _: &Arc<Caller>, _: i32) -> Response {
        unreachable!("no test asks for it")
    }
}

fn gateway(limits: Limits, policy: &str) -> Arc<Gateway> {
    let policies = Policies::new(Shared::new(Settings::default()));
    policies.load(&[Script { file: "p.rhai".into(), text: policy.into() }]).unwrap();
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    Gateway::new(limits, metrics, Arc::new(Agreeable), policies, None)
}

fn caller() -> Arc<Caller> {
    Arc::new(Caller {
        session: 1,
        principal: Str::from_static("User:ANONYMOUS"),
        client_id: None,
        remote: [127, 0, 0, 1].into(),
        listener: Str::from_static("test"),
        advertised_host: Str::default(),
        advertised_port: 0,
    })
}

/// Bytes that tell whether anything still refers to them.
struct Watched {
    bytes: Vec<u8>,
    _alive: Arc<()>,
}

impl AsRef<[u8]> for Watched {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A heartbeat on its way, counted against the budget, and what tells whether its frame is still in memory.
fn heartbeat(gateway: &Gateway) -> (Request, Exchange, Arc<()>) {
    let body = HeartbeatRequest { group_id: Str::from_static("g"), ..Default::default() };
    let made = Request::new(4, 1, Some(Str::from_static("c")), body.into()).unwrap();
    let pieces = made.encode().unwrap();
    let frame: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| match piece {
            Piece::Bytes(bytes) => bytes.to_vec(),
            Piece::Source(_) => Vec::new(),
        })
        .skip(4)
        .collect();
    let alive = Arc::new(());
    let mut share = Share::new(&gateway.request_memory);
    assert!(share.try_grow(frame.len()));
    let request = Request::parse(Bytes::from_owner(Watched { bytes: frame, _alive: alive.clone() })).unwrap();
    let exchange = Exchange::new(&request, share);
    (request, exchange, alive)
}

const DELAYED: &str = r#"policy("slow", "x"); expires("1h"); on_request("Heartbeat").delay("40s");"#;

#[tokio::test(start_paused = true)]
async fn a_delayed_answer_keeps_neither_its_requests_frame_nor_memory_for_it() {
    let gateway = gateway(Limits::default(), DELAYED);
    let pipeline = Pipeline::new(gateway.clone());
    let (request, exchange, alive) = heartbeat(&gateway);
    let Taken::Go(waiting) = pipeline.request(&caller(), request, exchange) else { panic!() };
    let counted = gateway.request_memory.taken();
    assert!(Arc::strong_count(&alive) > 1 && counted > 0, "the rules may still ask for it, so it counts");
    let due = pipeline.complete(waiting.exchange, waiting.answered, false).await.unwrap();
    assert!(due.release.is_some(), "it is held back");
    assert_eq!((Arc::strong_count(&alive), gateway.request_memory.taken()), (1, 0));
    assert_eq!(gateway.held.taken(), due.in_memory());
}

#[tokio::test(start_paused = true)]
async fn a_response_that_finds_no_memory_in_time_ends_its_session() {
    let gateway = gateway(Limits { held_bytes: 100, ..Limits::default() }, DELAYED);
    let mut others = Share::new(&gateway.held);
    assert!(others.try_grow(90));
    let pipeline = Pipeline::new(gateway.clone());
    let (request, exchange, _) = heartbeat(&gateway);
    let Taken::Go(waiting) = pipeline.request(&caller(), request, exchange) else { panic!() };
    let due = pipeline.complete(waiting.exchange, waiting.answered, false).await.unwrap();
    assert_eq!(due.closing, Some(Closing::Close(EndCause::ResponseMemory)));
    assert!(due.pieces.is_empty() && due.release.is_none());
    assert_eq!((gateway.held.waits(), gateway.held.refusals()), (1, 1));
}

#[tokio::test]
async fn an_answer_lost_behind_a_lost_request_does_not_bring_the_session_back_to_executing() {
    let gateway = gateway(Limits::default(), DELAYED);
    let pipeline = Pipeline::new(gateway.clone());
    pipeline.fall_silent(SILENT);
    pipeline.fall_silent(SILENT_EXECUTING);
    let (request, exchange, _) = heartbeat(&gateway);
    assert!(matches!(pipeline.request(&caller(), request, exchange), Taken::Nothing));
    assert_eq!(pipeline.silence.load(Relaxed), SILENT);
}

/// Two stretches of a file, of `each` bytes.
fn fetched(each: usize) -> Response {
    use crate::wire::api::fetch::{FetchPartitionData, FetchResponse, FetchableTopicResponse};
    let payload = || Payload::Pieces(vec![Piece::Source(Arc::new(InFile(vec![7; each])))]);
    let partition = || FetchPartitionData { records: payload(), ..Default::default() };
    let topic = FetchableTopicResponse { partitions: vec![partition(), partition()], ..Default::default() };
    let body = FetchResponse { responses: vec![topic], ..Default::default() };
    Response {
        api: ApiKey::Fetch,
        version: 12,
        correlation_id: 1,
        header_tags: Default::default(),
        body: body.into(),
    }
}

struct InFile(Vec<u8>);

impl crate::wire::ByteSource for InFile {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> std::io::Result<()> {
        let from = pos as usize;
        buf.copy_from_slice(&self.0[from..from + buf.len()]);
        Ok(())
    }
}

#[tokio::test]
async fn two_fetches_that_each_need_most_of_the_memory_do_not_wait_for_each_other() {
    let budget = Budget::new(300);
    let time = Duration::from_secs(20);
    let fetch = async || {
        let mut share = Share::new(&budget);
        let mut response = fetched(100);
        bring_to_memory(&mut response, &mut share, time).await.unwrap();
        assert_eq!(share.bytes(), 200);
    };
    tokio::join!(fetch(), fetch(), fetch());
    assert_eq!((budget.taken(), budget.refusals()), (0, 0));
    // More than there is in all is read when nobody else has any.
    let mut share = Share::new(&budget);
    bring_to_memory(&mut fetched(1_000), &mut share, time).await.unwrap();
    assert_eq!(share.bytes(), 300);
}
