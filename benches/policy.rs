//! What masks and encryption cost. `cargo bench --bench policy`; throughput counts uncompressed bytes of values.
//!
//! The batches are of about 1,000 records of about 1 KB of JSON each, as `benches/record.rs` has them.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate::policy::action::{
    Edit, EditContext, EditRule, How, Keyring, Mask, OnUnparsable, Path, PathSet, RecordEdits, Seal,
    SealTarget, SealWay, Seen, Target,
};
use tollgate::policy::secrets::Secrets;
use tollgate::policy::template::Field;
use tollgate::wire::record::{BatchBuilder, BatchHeader, Compression, Compressor, Headers};

#[path = "support/json.rs"]
mod json;

const LIMIT: usize = 64 << 20;

/// Selects one record of so many.
struct OneOf(i64);

impl EditContext for OneOf {
    fn selects(&mut self, _: usize, record: &Seen<'_>) -> bool {
        self.0 != 0 && record.offset % self.0 == 0
    }

    fn say(&self, _: usize, _: Field, _: &mut String) {}
}

fn batch(codec: Compression) -> Bytes {
    let mut header = BatchHeader::default();
    header.set_compression(codec);
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    for n in 0..1000 {
        builder.append(n as i64, Some(b"key"), Some(json::value(n).as_bytes()), Headers::default()).unwrap();
    }
    builder.finish().unwrap()
}

fn edits(masks: &[(&str, How)]) -> RecordEdits {
    let edits = masks
        .iter()
        .map(|(target, how)| {
            let target = Target::parse(target).unwrap();
            Edit::Mask(Mask { target, how: how.clone(), schema: None, on_unparsable: OnUnparsable::Error })
        })
        .collect();
    RecordEdits::new(vec![EditRule { name: "bench".to_owned(), edits, observe: false }])
}

/// One encryption or decryption, of `$` or what a path finds.
fn sealing(way: SealWay, path: &str) -> RecordEdits {
    let key = Secrets::made_up().seal_key("bench").unwrap();
    let target = match path {
        "$" => SealTarget::Whole,
        path => SealTarget::Field(path.parse().unwrap()),
    };
    let keys = Arc::new(Keyring::new([("bench".to_owned(), key)]));
    let edits = vec![Edit::Seal(Seal { way, target, keys, on_unparsable: OnUnparsable::Error })];
    RecordEdits::new(vec![EditRule { name: "bench".to_owned(), edits, observe: false }])
}

fn mask(c: &mut Criterion) {
    let size: u64 = (0..1000).map(|n| json::value(n).len() as u64).sum();
    let mut group = c.benchmark_group("policy");
    group.throughput(Throughput::Bytes(size));

    let values: Vec<_> = (0..1000).map(json::value).collect();
    for text in ["$.email", "$..sku", "$.nothing"] {
        let path: Path = text.parse().unwrap();
        let paths = PathSet::new([&path]);
        let mut spans = Vec::new();
        group.bench_function(format!("find {text}"), |b| {
            b.iter(|| {
                let found = values.iter().map(|value| {
                    paths.find(black_box(value.as_bytes()), &mut spans).unwrap();
                    spans.len()
                });
                found.sum::<usize>()
            });
        });
    }

    let email = edits(&[("$.email", How::Email)]);
    for codec in Compression::ALL {
        let batch = batch(codec);
        group.bench_function(format!("mask $.email, {}", codec.name()), |b| {
            b.iter(|| email.apply(black_box(&batch), LIMIT, &mut OneOf(1)).unwrap().payload.unwrap().len());
        });
    }
    let lz4 = batch(Compression::Lz4);
    let many = edits(&[
        ("$.email", How::Email),
        ("$.card.number", How::KeepLast(4)),
        ("$.address.street", How::All),
        ("$.lines[*].price", How::All),
    ]);
    group.bench_function("mask four paths, lz4", |b| {
        b.iter(|| many.apply(black_box(&lz4), LIMIT, &mut OneOf(1)).unwrap().payload.unwrap().len());
    });
    group.bench_function("mask one record of a hundred, lz4", |b| {
        b.iter(|| email.apply(black_box(&lz4), LIMIT, &mut OneOf(100)).unwrap().payload.unwrap().len());
    });
    group.bench_function("select none, lz4", |b| {
        b.iter(|| email.apply(black_box(&lz4), LIMIT, &mut OneOf(0)).unwrap().records_changed);
    });
    for codec in [Compression::None, Compression::Lz4] {
        let plain = batch(codec);
        for path in ["$.email", "$"] {
            let encrypt = sealing(SealWay::Encrypt, path);
            group.bench_function(format!("encrypt {path}, {}", codec.name()), |b| {
                b.iter(|| {
                    encrypt.apply(black_box(&plain), LIMIT, &mut OneOf(1)).unwrap().payload.unwrap().len()
                });
            });
            let stored = encrypt.apply(&plain, LIMIT, &mut OneOf(1)).unwrap().payload.unwrap();
            let decrypt = sealing(SealWay::Decrypt, path);
            group.bench_function(format!("decrypt {path}, {}", codec.name()), |b| {
                b.iter(|| {
                    decrypt.apply(black_box(&stored), LIMIT, &mut OneOf(1)).unwrap().payload.unwrap().len()
                });
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500));
    targets = mask
}
criterion_main!(benches);
