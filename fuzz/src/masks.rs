//! Masks on the values of records: the value may be anything. A mask leaves JSON as JSON, nothing where it was told to, and
//! is done when it is done: masking again changes nothing that matters to who reads.

use bytes::Bytes;
use tollgate::policy::action::{
    Edit, EditContext, EditError, EditRule, How, Mask, OnUnparsable, RecordEdits, Seen, Target,
};
use tollgate::policy::template::Field;
use tollgate::wire::record::{BatchBuilder, BatchHeader, Headers, Records, batches, with_codecs};

const LIMIT: usize = 1 << 20;
const TARGETS: [&str; 8] = ["$", "$.a", "$..a", "$.*", "$.a[*].b", "$.a[0]", "key", "headers.a"];
const UNPARSABLE: [OnUnparsable; 4] =
    [OnUnparsable::Empty, OnUnparsable::Null, OnUnparsable::Error, OnUnparsable::Pass];

struct Everything;

impl EditContext for Everything {
    fn selects(&mut self, _rule: usize, _record: &Seen<'_>) -> bool {
        true
    }

    fn say(&self, _rule: usize, _field: Field, _out: &mut String) {}
}

pub fn run(data: &[u8]) {
    let Some((&[what, how], value)) = data.split_first_chunk::<2>() else { return };
    let target = TARGETS[usize::from(what) % TARGETS.len()];
    let target = Target::parse(target).expect("one of ours");
    let hows =
        [How::All, How::Email, How::KeepFirst(usize::from(how >> 4)), How::KeepLast(usize::from(how >> 4))];
    let mask = Mask {
        target: target.clone(),
        how: hows[usize::from(how) % hows.len()].clone(),
        schema: None,
        on_unparsable: UNPARSABLE[usize::from(how >> 2) % UNPARSABLE.len()],
    };
    let on_unparsable = mask.on_unparsable;
    let edits = RecordEdits::new(vec![EditRule {
        name: "fuzz".to_owned(),
        edits: vec![Edit::Mask(mask)],
        observe: false,
    }]);
    let Some(batch) = batch(value) else { return };
    let edited = match edits.apply(&batch, LIMIT, &mut Everything) {
        Ok(edited) => edited,
        Err(EditError::Unparsable { .. }) => {
            assert_eq!(on_unparsable, OnUnparsable::Error);
            return;
        }
        Err(error) => panic!("a batch of ours cannot be edited: {error}"),
    };
    let Some(masked) = edited.payload else { return };
    let twice = edits.apply(&masked, LIMIT, &mut Everything);
    if edited.unparsable == 0 {
        let twice = twice.expect("what was masked is still JSON");
        assert_eq!(twice.unparsable, 0, "what was masked is still JSON");
    }
    assert_eq!(count(&masked), count(&batch));
}

/// A batch with one record: the same bytes as key, value and header.
fn batch(value: &[u8]) -> Option<Bytes> {
    let headers = &mut tollgate::wire::record::HeadersBuf::new();
    headers.push(b"a", Some(value));
    with_codecs(|_, compressor| {
        let mut builder = BatchBuilder::new(BatchHeader::default(), compressor);
        builder.append(1, Some(value), Some(value), headers.as_headers()).ok()?;
        builder.append(2, None, None, Headers::default()).ok()?;
        builder.finish().ok()
    })
}

fn count(payload: &[u8]) -> usize {
    with_codecs(|decompressor, _| {
        let batch = batches(payload).next().expect("a batch").expect("whole");
        let records = Records::open(batch.bytes, &batch.header, decompressor, LIMIT).expect("readable");
        records.inspect(|record| assert!(record.is_ok(), "readable")).count()
    })
}
