//! Record batches: what an append (header, CRC), a look inside (iterate) and an edit (rebuild) cost.
//!
//! `cargo bench --bench record`. Throughput counts uncompressed bytes of records.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate::wire::record::{
    self, BatchBuilder, BatchHeader, Compression, Compressor, Decompressor, Headers, Rebuild, Records,
    batches,
};

#[path = "support/json.rs"]
mod json;

const LIMIT: usize = 64 << 20;

/// A batch of 1,000 records of about 1 KB.
fn batch(codec: Compression) -> Bytes {
    let mut header = BatchHeader::default();
    header.set_compression(codec);
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    for n in 0..1000 {
        let key = format!("user-{}", n % 97);
        builder
            .append(n as i64, Some(key.as_bytes()), Some(json::value(n).as_bytes()), Headers::default())
            .unwrap();
    }
    builder.finish().unwrap()
}

fn record(c: &mut Criterion) {
    let plain = batch(Compression::None);
    let small: BytesMut = (0..1000).flat_map(|_| plain[..61].iter().copied().chain([0; 100])).collect();
    let small = {
        let mut small = small;
        for batch in small.chunks_mut(161) {
            batch[8..12].copy_from_slice(&149i32.to_be_bytes());
        }
        small.freeze()
    };

    let mut group = c.benchmark_group("record");
    group.throughput(Throughput::Elements(1000));
    group.bench_function("scan 1000 headers", |b| {
        b.iter(|| batches(black_box(&small)).map(|batch| batch.unwrap().header.last_offset()).max());
    });

    let size = (plain.len() - record::BATCH_OVERHEAD) as u64;
    group.throughput(Throughput::Bytes(size));
    group.bench_function("crc", |b| b.iter(|| record::verify_crc(black_box(&plain))));
    for codec in Compression::ALL {
        let batch = batch(codec);
        let header = BatchHeader::parse(&batch).unwrap();
        let (mut decompressor, mut compressor) = (Decompressor::new(), Compressor::new());
        group.bench_function(format!("iterate {}", codec.name()), |b| {
            b.iter(|| {
                let records = Records::open(black_box(&batch), &header, &mut decompressor, LIMIT).unwrap();
                records.map(|record| record.unwrap().value.map_or(0, <[u8]>::len)).sum::<usize>()
            });
        });
        let mut out = BytesMut::new();
        group.bench_function(format!("rebuild {}", codec.name()), |b| {
            b.iter(|| {
                out.clear();
                let mut rebuild = Rebuild::of(&header, &mut compressor).unwrap();
                for record in Records::open(black_box(&batch), &header, &mut decompressor, LIMIT).unwrap() {
                    rebuild.push(&record.unwrap()).unwrap();
                }
                rebuild.finish_into(&mut out).unwrap();
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(std::time::Duration::from_secs(2)).warm_up_time(std::time::Duration::from_millis(500));
    targets = record
}
criterion_main!(benches);
