//! What faults do to records, whatever is drawn for them.

use super::*;

const DRAWS: i64 = 60;

/// The values that a fault leaves of a produced batch, for one draw after the other; and how often it was applied.
fn struck(fault: &str, sent: &[&str]) -> (Vec<Vec<Vec<u8>>>, u64) {
    let world = one(&format!("expires(\"1h\"); on_produce(\"t\").{fault};"));
    let mut left = Vec::new();
    for count in 0..DRAWS {
        let mut request = producing_payloads(&[("t", batch(sent, count))], -1);
        world.ask(&who("User:a"), &mut request);
        request.body().unwrap();
        let Ok(RequestBody::Produce(body)) = request.decoded() else { panic!("no produce") };
        let payload = body.topic_data[0].partition_data[0].records.to_bytes().unwrap();
        let values = with_codecs(|decompressor, _| {
            let batch = batches(&payload).next().unwrap().unwrap();
            let records = Records::open(batch.bytes, &batch.header, decompressor, 1 << 20).unwrap();
            records.map(|record| record.unwrap().value.unwrap_or_default().to_vec()).collect::<Vec<_>>()
        });
        left.push(values);
    }
    (left, world.counts(0).1)
}

#[test]
fn records_that_are_reordered_are_never_where_they_were() {
    let (left, _) = struck("reorder()", &["a", "b"]);
    assert!(left.iter().all(|values| values[..] == [b"b", b"a"]), "{left:?}");
    let (left, _) = struck("reorder()", &["a", "b", "c"]);
    let orders: BTreeSet<_> = left.into_iter().collect();
    assert!(!orders.contains(&vec![b"a".to_vec(), b"b".to_vec(), b"c".to_vec()]));
    assert_eq!(orders.len(), 5, "every other order");
    let (left, applied) = struck("reorder()", &["a"]);
    assert!(applied == 0 && left.iter().all(|values| values[..] == [b"a"]));
}

#[test]
fn a_corrupt_value_differs_in_one_bit_anywhere() {
    let (left, applied) = struck("corrupt_record(\"value\")", &["abc"]);
    let bits: BTreeSet<u32> = left
        .iter()
        .map(|values| {
            let [a, b, c] = values[0][..] else { panic!("{values:?}") };
            let changed = u32::from_be_bytes([0, a ^ b'a', b ^ b'b', c ^ b'c']);
            assert_eq!(changed.count_ones(), 1, "{values:?}");
            changed.trailing_zeros()
        })
        .collect();
    assert_eq!(applied, DRAWS as u64);
    assert!((0..3).all(|byte| bits.iter().any(|bit| bit / 8 == byte)), "{bits:?}");
}

#[test]
fn a_batch_whose_checksum_is_wrong_is_lost_with_all_its_records() {
    let world = one("expires(\"1h\"); on_produce(\"t\").corrupt_record(\"checksum\");");
    world.ask(&who("User:a"), &mut producing_payloads(&[("t", batch(&["a", "b", "c"], 0))], -1));
    assert_eq!(world.counts(0).1, 3);
}

#[test]
fn json_is_cut_short_and_values_are_made_longer() {
    let (left, _) = struck("poison(\"truncated_json\")", &["{}"]);
    assert!(left.iter().all(|values| values[0] == b"{"), "{left:?}");
    let lengths: BTreeSet<usize> =
        struck("poison(\"truncated_json\")", &["[1,2]"]).0.iter().map(|values| values[0].len()).collect();
    assert_eq!(lengths, (1..5).collect());
    for (sent, left_is, times) in
        [("ab", &b"ab "[..], DRAWS as u64), ("abc", b"abc", 0), ("abcd", b"abcd", 0)]
    {
        let (left, applied) = struck("oversize(3)", &[sent]);
        assert!(left.iter().all(|values| values[0] == left_is), "{left:?}");
        assert_eq!(applied, times, "{sent}");
    }
    let (left, _) = struck("poison(\"random_bytes\", 8)", &["x"]);
    assert!(left.iter().all(|values| values[0].len() == 8));
}
