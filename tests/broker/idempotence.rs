//! Idempotent producers: retries are recognised, gaps refused, over restarts too; and a property test of it all against
//! a model that only knows what Kafka promises.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use tollgate::storage::files::Crash;
use tollgate::wire::Str;
use tollgate::wire::api::init_producer_id;

use crate::bench::*;

async fn produce(bench: &Bench, records: bytes::Bytes) -> (i16, i64) {
    let answer = bench.produce("t", 0, records).await;
    (answer.error_code, answer.base_offset)
}

#[tokio::test]
async fn retries_are_answered_with_the_first_offset() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    for n in 0..7 {
        assert_eq!(produce(&bench, sequenced(1, 0, n, &["x"])).await, (0, i64::from(n)));
    }
    bench.hand.advance(Duration::from_secs(60));
    let repeated = bench.produce("t", 0, sequenced(1, 0, 2, &["x"])).await;
    assert_eq!((repeated.error_code, repeated.base_offset, repeated.log_append_time_ms), (0, 2, NOW));
    assert_eq!(produce(&bench, sequenced(1, 0, 1, &["x"])).await, (45, -1), "beyond the window");
    assert_eq!(produce(&bench, sequenced(1, 0, 8, &["x"])).await, (45, -1), "a gap");
    assert_eq!(produce(&bench, sequenced(1, 0, 6, &["x", "y"])).await, (45, -1), "another count");
    assert_eq!(produce(&bench, sequenced(1, 1, 3, &["x"])).await, (45, -1), "a new epoch begins at 0");
    assert_eq!(produce(&bench, sequenced(1, 1, 0, &["x"])).await, (0, 7));
    assert_eq!(produce(&bench, sequenced(1, 0, 7, &["x"])).await, (47, -1), "an old epoch");
    assert_eq!(produce(&bench, sequenced(2, 0, 5, &["x"])).await, (0, 8), "nobody remembers this one");
    assert_eq!(produce(&bench, sequenced(3, 0, i32::MAX, &["x"])).await, (0, 9));
    assert_eq!(produce(&bench, sequenced(3, 0, 0, &["x"])).await, (0, 10), "sequences wrap");
}

#[tokio::test]
async fn producers_are_remembered_over_a_restart() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    for n in 0..6 {
        produce(&bench, sequenced(1, 0, n, &["x"])).await;
    }
    let bench = bench.restart().await;
    assert_eq!(produce(&bench, sequenced(1, 0, 5, &["x"])).await, (0, 5));
    assert_eq!(produce(&bench, sequenced(1, 0, 6, &["x"])).await, (0, 6));
    // Now without the file that a clean end writes: the log itself remembers.
    let again = bench.crashed(Crash::Process).await;
    assert_eq!(produce(&again, sequenced(1, 0, 2, &["x"])).await, (0, 2));
    assert_eq!(produce(&again, sequenced(1, 0, 9, &["x"])).await, (45, -1));
    assert_eq!(produce(&again, sequenced(1, 0, 7, &["x"])).await, (0, 7));
}

#[tokio::test]
async fn idle_producers_are_forgotten() {
    let bench = Bench::with(&[
        ("producer.id.expiration.ms", "1000"),
        ("producer.id.expiration.check.interval.ms", "20000"),
    ])
    .await;
    bench.create("t", 1).await;
    produce(&bench, sequenced(1, 0, 0, &["x"])).await;
    assert_eq!(bench.broker.view(10).shown[0].producers, 1);
    for _ in 0..3 {
        // The broker looks every ten seconds: let it come to rest before time moves on.
        while bench.hand.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        bench.hand.advance(Duration::from_secs(10));
        tokio::task::yield_now().await;
    }
    while bench.broker.view(10).shown[0].producers > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn producer_ids_are_never_given_twice() {
    let bench = Bench::new().await;
    let mut given = std::collections::HashSet::new();
    let mut bench = Some(bench);
    for _ in 0..3 {
        let now = bench.take().unwrap();
        for version in (0..=5).chain([3; 1200]) {
            let answer =
                answer!(InitProducerId, now.ask(version, init_producer_id::Request::default()).await);
            assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
            assert!(given.insert(answer.producer_id), "{} again", answer.producer_id);
        }
        bench = Some(now.restart().await);
    }
    let bench = bench.unwrap();
    for (id, code) in [("", 42), ("payments", 35)] {
        let request =
            init_producer_id::Request { transactional_id: Some(Str::from(id)), ..Default::default() };
        let answer = answer!(InitProducerId, bench.ask(5, request).await);
        assert_eq!((answer.error_code, answer.producer_id), (code, -1));
    }
}

/// What a producer does next.
#[derive(Debug, Clone)]
enum Step {
    /// Sends its next batch.
    Send {
        producer: usize,
        records: usize,
    },
    /// Sends one of its batches again.
    Again {
        producer: usize,
        back: usize,
    },
    /// Sends a batch that leaves a gap.
    Skip {
        producer: usize,
    },
    /// Begins a new epoch.
    Bump {
        producer: usize,
    },
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let producer = 0..3_usize;
    let step = prop_oneof![
        6 => (producer.clone(), 1..4_usize).prop_map(|(producer, records)| Step::Send { producer, records }),
        4 => (producer.clone(), 0..7_usize).prop_map(|(producer, back)| Step::Again { producer, back }),
        1 => producer.clone().prop_map(|producer| Step::Skip { producer }),
        1 => producer.prop_map(|producer| Step::Bump { producer }),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..40)
}

/// A producer as it sees itself.
#[derive(Debug, Default)]
struct Model {
    epoch: i16,
    next: i32,
    /// Sequence, records, offset of what this epoch has sent.
    sent: Vec<(i32, usize, i64)>,
}

async fn run(steps: Vec<Step>) {
    let mut bench = Bench::new().await;
    bench.create("t", 1).await;
    let mut models: HashMap<usize, Model> = HashMap::new();
    let mut log: Vec<String> = Vec::new();
    for step in steps {
        match step {
            Step::Send { producer, records } => {
                let model = models.entry(producer).or_default();
                let texts: Vec<String> =
                    (0..records).map(|n| format!("{producer}.{}.{}.{n}", model.epoch, model.next)).collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                let batch = sequenced(producer as i64, model.epoch, model.next, &texts);
                let offset = log.len() as i64;
                assert_eq!(produce(&bench, batch).await, (0, offset));
                log.extend(texts.iter().map(|text| text.to_string()));
                model.sent.push((model.next, records, offset));
                model.next += records as i32;
            }
            Step::Again { producer, back } => {
                let model = models.entry(producer).or_default();
                let Some(at) = model.sent.len().checked_sub(back + 1) else { continue };
                let (sequence, records, offset) = model.sent[at];
                let batch = sequenced(producer as i64, model.epoch, sequence, &vec!["again"; records]);
                let expected = if back < 5 { (0, offset) } else { (45, -1) };
                assert_eq!(produce(&bench, batch).await, expected);
            }
            Step::Skip { producer } => {
                let model = models.entry(producer).or_default();
                if !model.sent.is_empty() {
                    let batch = sequenced(producer as i64, model.epoch, model.next + 1, &["gap"]);
                    assert_eq!(produce(&bench, batch).await, (45, -1));
                }
            }
            Step::Bump { producer } => {
                let model = models.entry(producer).or_default();
                *model = Model { epoch: model.epoch + 1, ..Model::default() };
            }
            Step::Restart => bench = bench.restart().await,
        }
    }
    let stored: Vec<String> =
        values(&bench.fetch("t", 0, 0).await.records).into_iter().map(|(_, value)| value).collect();
    assert_eq!(stored, log, "every batch once, in order");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_repeated_the_log_has_every_batch_once(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}
