//! Record batches: once as they come, and once with the bytes as the records of a batch that is in order outside, for every
//! codec, since a mutation that must guess a CRC never gets that far. What is read can be written and says the same again.

use bytes::Bytes;
use tollgate::wire::record::{
    BATCH_OVERHEAD, BatchHeader, Compression, Rebuild, RecordError, Records, batches, check_records,
    sealed_header, validate_produce, verify_crc, with_codecs,
};

/// Decompressed bytes a batch may take here.
const LIMIT: usize = 1 << 20;
const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

pub fn run(data: &[u8]) {
    as_they_come(data);
    if let Some((&[codec, count], body)) = data.split_first_chunk::<2>() {
        in_order_outside(CODECS[usize::from(codec) % CODECS.len()], i32::from(count), body);
    }
}

fn as_they_come(data: &[u8]) {
    let mut walk = batches(data);
    for batch in &mut walk {
        let Ok(batch) = batch else { break };
        let _ = verify_crc(batch.bytes);
        let _ = read(batch.bytes, &batch.header);
    }
    walk.tail();
}

fn in_order_outside(codec: Compression, record_count: i32, body: &[u8]) {
    let mut header = BatchHeader {
        batch_length: i32::try_from(BATCH_OVERHEAD - 12 + body.len()).expect("inputs are small"),
        record_count,
        last_offset_delta: (record_count - 1).max(0),
        ..BatchHeader::default()
    };
    header.set_compression(codec);
    let mut batch = sealed_header(&header, body).to_vec();
    batch.extend_from_slice(body);
    let batch = Bytes::from(batch);
    let header = BatchHeader::parse(&batch).expect("its own header");
    verify_crc(&batch).expect("its own checksum");
    let records = read(&batch, &header);
    let produced = validate_produce(&batch).is_ok();
    let checked = with_codecs(|decompressor, _| check_records(&batch, &header, decompressor, LIMIT));
    if let Ok(checked) = checked {
        let records = records.expect("what was checked can be read");
        assert_eq!(records.len(), usize::try_from(record_count).expect("not negative"));
        assert!(checked.uncompressed_size <= LIMIT);
        if produced {
            again(&batch, &header);
        }
    }
}

/// A record, owned.
type Owned = (i64, i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>);

fn read(batch: &[u8], header: &BatchHeader) -> Result<Vec<Owned>, RecordError> {
    with_codecs(|decompressor, _| {
        Records::open(batch, header, decompressor, LIMIT)?
            .map(|record| {
                let record = record?;
                let headers: Vec<_> =
                    record.headers.map(|h| (h.key.to_vec(), h.value.map(<[u8]>::to_vec))).collect();
                assert_eq!(headers.len(), record.headers.len());
                let [key, value] = [record.key, record.value].map(|bytes| bytes.map(<[u8]>::to_vec));
                Ok((record.timestamp_delta, record.offset_delta, key, value, headers))
            })
            .collect()
    })
}

/// Written anew by the way an edited batch is.
fn again(batch: &Bytes, header: &BatchHeader) {
    let rebuilt = with_codecs(|decompressor, compressor| {
        let mut rebuild = Rebuild::of(header, compressor)?;
        for record in Records::open(batch, header, decompressor, LIMIT)? {
            rebuild.push(&record?)?;
        }
        rebuild.finish()
    });
    let rebuilt = rebuilt.expect("what was read can be written");
    let after = BatchHeader::parse(&rebuilt).expect("our own header");
    verify_crc(&rebuilt).expect("our own checksum");
    assert_eq!(read(&rebuilt, &after), read(batch, header));
}
