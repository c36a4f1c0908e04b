//! A capture after its header, and the content of one record under a checksum that holds: records or a problem with its place.

use tollgate::policy::capture::{HEADER, Reader};

pub fn run(data: &[u8]) {
    read(data);
    let mut record = (data.len() as u32).to_be_bytes().to_vec();
    record.extend(checksum(data).to_be_bytes());
    record.extend(data);
    if let Some(content) = read(&record) {
        assert_eq!(content, record, "a record that was read is written as it was");
    }
}

/// The records written again, when all of them can be read.
fn read(data: &[u8]) -> Option<Vec<u8>> {
    let bytes = [HEADER, data].concat();
    let reader = Reader::new(&bytes[..]).expect("it has a header");
    let mut again = Vec::new();
    for record in reader {
        match record {
            Ok(record) => again.extend(record.encode()),
            Err(problem) => {
                assert!(problem.offset >= HEADER.len() as u64 && problem.offset <= bytes.len() as u64);
                return None;
            }
        }
    }
    Some(again)
}

/// CRC-32C, a bit at a time.
fn checksum(data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}
