//! What policies cost an exchange. `cargo bench --bench evaluate`.
//!
//! Rules that cannot match, for a client and for a topic; a closure over each record; a mask from frame to frame.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate::policy::load::Script;
use tollgate::policy::{ExchangeContext, PlanSlot, Policies, Settings, Shared, Who};
use tollgate::wire::api::produce;
use tollgate::wire::record::{BatchBuilder, BatchHeader, Compressor, Headers};
use tollgate::wire::{Payload, Piece, Request};

const RECORDS: usize = 100;
/// What a record costs must not grow with its batch.
const MANY_RECORDS: usize = 100_000;

fn policies(text: &str) -> Arc<Policies> {
    let policies = Policies::new(Shared::new(Settings::default()));
    let script = Script { file: "bench.rhai".into(), text: Arc::from(text) };
    policies.load(&[script]).unwrap();
    policies
}

fn who() -> Who {
    Who {
        principal: "User:ada".into(),
        client_id: "bench".into(),
        listener: "default".into(),
        remote_ip: [127, 0, 0, 1].into(),
    }
}

/// The frame of a Produce request of one batch.
fn frame(records: usize) -> Bytes {
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(BatchHeader::default(), &mut compressor);
    for n in 0..records {
        let value = format!("{{\"user\":\"u{}\",\"status\":\"ok\",\"amount\":{n}}}", n % 10);
        builder.append(n as i64, Some(b"key"), Some(value.as_bytes()), Headers::default()).unwrap();
    }
    let partition = produce::PartitionProduceData {
        records: Payload::Bytes(builder.finish().unwrap()),
        ..Default::default()
    };
    let topic = produce::TopicProduceData {
        name: "orders".into(),
        partition_data: vec![partition],
        ..Default::default()
    };
    let body = produce::Request { acks: -1, topic_data: vec![topic], ..Default::default() };
    let request = Request::new(12, 1, Some("bench".into()), body.into()).unwrap();
    let mut frame = Vec::new();
    for piece in request.encode().unwrap() {
        if let Piece::Bytes(bytes) = piece {
            frame.extend_from_slice(&bytes);
        }
    }
    Bytes::from(frame).slice(4..)
}

fn evaluate(c: &mut Criterion) {
    let others = |head: &str| -> String { (0..1_000).map(|n| head.replace("{n}", &n.to_string())).collect() };
    let frame = frame(RECORDS);
    let who = who();
    let mut group = c.benchmark_group("evaluate");
    for (name, text) in [
        ("no rules", String::new()),
        ("1,000 rules about others", others("on_produce(\"orders\").principal(\"User:{n}\").deny();\n")),
        ("1,000 rules about other topics", others("on_produce(\"t-{n}\").deny();\n")),
        ("a fault that draws", "on_produce(\"orders\").chance(0.01).delay(\"1ms\");".to_owned()),
        ("access with default_deny", {
            "default_deny(); on_access(\"Write\").topic(\"orders\").principal(\"User:ada\").allow();"
                .to_owned()
        }),
    ] {
        let policies = policies(&text);
        let mut slot = PlanSlot::default();
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut request = Request::parse(frame.clone()).unwrap();
                let plan = slot.plan(&policies, &who);
                let cx = ExchangeContext { who: &who, session: 1 };
                black_box(plan.on_request(&cx, &mut request))
            });
        });
    }
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (name, text) in [
        ("each, empty", "on_produce(\"orders\").each(|cx, record| {});"),
        (
            "each, fraud window",
            r#"let failures = window("failures", "60s");
            on_produce("orders").each(|cx, record| {
                let user = record.value("$.user");
                if user == () { return; }
                if failures.count(user) >= 5 { return cx.deny("too many failed attempts"); }
                if record.value("$.status") == "failed" { failures.add(user); }
            });"#,
        ),
        ("value selector", "on_produce(\"orders\").value(\"$.amount\", \"> 1000\").deny();"),
        ("mask", "on_produce(\"orders\").mask(\"$.user\", \"all\");"),
    ] {
        let policies = policies(text);
        let mut slot = PlanSlot::default();
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut request = Request::parse(frame.clone()).unwrap();
                let plan = slot.plan(&policies, &who);
                let cx = ExchangeContext { who: &who, session: 1 };
                black_box(plan.on_request(&cx, &mut request))
            });
        });
    }
    group.throughput(Throughput::Elements(MANY_RECORDS as u64));
    group.bench_function("each, a window that every record of 100,000 fills", |b| {
        let policies = policies(
            r#"let seen = window("seen", "60s");
            on_produce("orders").each(|cx, record| {
                if seen.count(record.offset % 1000) >= 1000000 { return cx.deny("too many"); }
                seen.add(record.offset % 1000);
            });"#,
        );
        let frame = self::frame(MANY_RECORDS);
        let mut slot = PlanSlot::default();
        b.iter(|| {
            let mut request = Request::parse(frame.clone()).unwrap();
            let plan = slot.plan(&policies, &who);
            let cx = ExchangeContext { who: &who, session: 1 };
            black_box(plan.on_request(&cx, &mut request))
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500));
    targets = evaluate
}
criterion_main!(benches);
