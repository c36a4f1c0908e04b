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

const LIMIT: usize = 64 << 20;

/// JSON of about a kilobyte that compresses like JSON does, not like a constant.
fn value(n: u64) -> String {
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut lines = String::new();
    for i in 0..6 {
        let (sku, price, quantity) = (draw() % 100_000, draw() % 9_999, draw() % 9 + 1);
        let comma = if i == 0 { "" } else { "," };
        lines += &format!(
            r#"{comma}{{"sku":"SKU-{sku:06}","description":"article number {i}","price":{}.{:02},"quantity":{quantity},"gift":false}}"#,
            price / 100,
            price % 100
        );
    }
    format!(
        r#"{{"id":"{:016x}","email":"user{}@example.com","name":"Customer {}","card":{{"number":"4{:015}","expires":"12/29"}},"address":{{"street":"{} Long Street","city":"Springfield","country":"US"}},"created":{},"lines":[{lines}],"notes":null}}"#,
        draw(),
        draw() % 1_000_000,
        draw() % 10_000,
        draw() % 1_000_000_000_000_000,
        draw() % 1000,
        draw() % 2_000_000_000,
    )
}

/// A batch of 1,000 records of about 1 KB.
fn batch(codec: Compression) -> Bytes {
    let mut header = BatchHeader::default();
    header.set_compression(codec);
    let mut compressor = Compressor::new();
    let mut builder = BatchBuilder::new(header, &mut compressor);
    for n in 0..1000 {
        let key = format!("user-{}", n % 97);
        builder
            .append(n as i64, Some(key.as_bytes()), Some(value(n).as_bytes()), Headers::default())
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
