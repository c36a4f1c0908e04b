use super::*;
use crate::wire::api::{alter_configs, incremental_alter_configs, metadata, sasl_authenticate};
use crate::wire::sample::Draw;
use crate::wire::table::{APIS, RequestBody, ResponseBody};
use crate::wire::{Request, Response};
use proptest::prelude::*;
use std::io::Write;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A disk that is asked for nothing until it may, and tells that it is asked.
struct Slow(Memory, Arc<Mutex<()>>, mpsc::SyncSender<()>);

impl Write for Slow {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.2.try_send(());
        drop(self.1.lock().unwrap());
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn frame(request: &Request) -> Bytes {
    let pieces = request.encode().unwrap();
    let all: Vec<u8> = pieces
        .iter()
        .flat_map(|piece| match piece {
            crate::wire::Piece::Bytes(bytes) => bytes.to_vec(),
            crate::wire::Piece::Source(_) => panic!("a request from a file"),
        })
        .collect();
    Bytes::from(all).slice(4..)
}

fn read(bytes: &[u8]) -> (Vec<Record>, Option<Problem>) {
    let reader = match Reader::new(bytes) {
        Ok(reader) => reader,
        Err(problem) => return (Vec::new(), Some(problem)),
    };
    let (mut records, mut problem) = (Vec::new(), None);
    for record in reader {
        match record {
            Ok(record) => records.push(record),
            Err(found) => problem = Some(found),
        }
    }
    (records, problem)
}

fn metadata() -> (Request, Response) {
    let topics = vec![metadata::MetadataRequestTopic { name: Some("t".into()), ..Default::default() }];
    let body = metadata::Request { topics: Some(topics), ..Default::default() };
    let mut request = Request::new(9, 7, Some("client".into()), body.into()).unwrap();
    let response = request.answer(crate::wire::ErrorCode::NONE).unwrap().unwrap();
    (Request::parse(frame(&request)).unwrap(), response)
}

fn captured(most: u64, act: impl FnOnce(&Capture)) -> Vec<u8> {
    let file = Memory::default();
    let (capture, ended) = Capture::to(file.clone(), most).unwrap();
    act(&capture);
    capture.end();
    assert!(ended.wait(Duration::from_secs(60)));
    assert!(!capture.is_on());
    file.0.lock().unwrap().clone()
}

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 2, 3));

#[test]
fn what_passes_is_read_again() {
    let (request, response) = metadata();
    let bytes = captured(1 << 20, |capture| {
        capture.opened(3, &"public".into(), PEER, true);
        capture.request(3, (&"User:ada".into(), &"public".into(), PEER), &request, &frame(&request));
        capture.answer(3, &response);
        capture.closed(3);
    });
    let (records, problem) = read(&bytes);
    assert!(problem.is_none(), "{problem:?}");
    let what: Vec<What> = records.into_iter().map(|record| record.what).collect();
    assert_eq!(what[0], What::Opened { listener: "public".into(), peer: PEER, tls: true });
    let What::Request { principal, frame, body_left_out: false, .. } = &what[1] else { panic!("{what:?}") };
    assert_eq!(&**principal, "User:ada");
    let mut again = Request::parse(frame.clone()).unwrap();
    assert_eq!(
        (again.correlation_id(), again.client_id().map(|id| id.to_string())),
        (7, Some("client".into()))
    );
    assert!(again.body().is_ok());
    let What::Answer { api, version, frame } = &what[2] else { panic!("{what:?}") };
    assert_eq!(Response::parse(*api, *version, frame.clone()).unwrap().correlation_id, 7);
    assert_eq!(what[3..], [What::Closed]);
}

#[test]
fn credentials_are_left_out() {
    let body = sasl_authenticate::Request {
        auth_bytes: crate::wire::types::Sensitive(Bytes::from_static(b"\0ada\0a-password")),
        ..Default::default()
    };
    let request = Request::new(2, 1, None, body.into()).unwrap();
    let request = Request::parse(frame(&request)).unwrap();
    let bytes = captured(1 << 20, |capture| {
        capture.request(1, (&"User:ANONYMOUS".into(), &"l".into(), PEER), &request, &frame(&request));
    });
    assert!(!bytes.windows(10).any(|window| window == b"a-password"));
    let (records, _) = read(&bytes);
    assert!(matches!(&records[0].what, What::Request { body_left_out: true, .. }), "{records:?}");
}

const SECRET: &[u8] = b"what nobody may read";

fn shows(bytes: &[u8]) -> bool {
    bytes.windows(SECRET.len()).any(|window| window == SECRET)
}

/// Messages of every api and version, in which what is typed as sensitive says the secret.
#[test]
fn no_sensitive_field_of_any_api_is_written() {
    let mut secret = std::collections::BTreeSet::new();
    for info in APIS {
        let bytes = captured(1 << 30, |capture| {
            let versions = info.min_version..=info.max_version;
            for (version, seed) in versions.flat_map(|version| (0..8).map(move |seed| (version, seed))) {
                let mut draw = Draw::new(seed).with_secret(SECRET);
                let asked = RequestBody::sample(info.key, version, &mut draw).unwrap();
                let said = ResponseBody::sample(info.key, version, &mut draw).unwrap();
                if format!("{asked:?}{said:?}").contains("bytes not shown") {
                    secret.insert(info.key.0);
                }
                let made = Request::new(version, 1, None, asked).unwrap();
                let frame = frame(&made);
                let request = Request::parse(frame.clone()).unwrap();
                capture.request(1, (&"User:ada".into(), &"l".into(), PEER), &request, &frame);
                capture.answer(1, &Response::new(&request, said));
            }
            assert_eq!(capture.dropped(), 0);
        });
        assert!(!shows(&bytes), "{:?}", info.key);
    }
    for key in &secret {
        assert!(is_secret(ApiKey(*key)), "{key}");
    }
    // of SaslAuthenticate, delegation tokens, SCRAM users and telemetry
    assert_eq!(secret.into_iter().collect::<Vec<_>>(), [36, 38, 39, 40, 41, 51, 72]);
}

#[test]
fn configurations_are_left_out() {
    let value = || Some(std::str::from_utf8(SECRET).unwrap().into());
    let config = alter_configs::AlterableConfig {
        name: "ssl.key.password".into(),
        value: value(),
        ..Default::default()
    };
    let resource = alter_configs::AlterConfigsResource { configs: vec![config], ..Default::default() };
    let whole = alter_configs::Request { resources: vec![resource], ..Default::default() };
    let config = incremental_alter_configs::AlterableConfig {
        name: "sasl.jaas.config".into(),
        value: value(),
        ..Default::default()
    };
    let resource =
        incremental_alter_configs::AlterConfigsResource { configs: vec![config], ..Default::default() };
    let part = incremental_alter_configs::Request { resources: vec![resource], ..Default::default() };
    for body in [RequestBody::from(whole), part.into()] {
        let made = Request::new(1, 1, None, body).unwrap();
        let frame = frame(&made);
        let request = Request::parse(frame.clone()).unwrap();
        assert!(shows(&frame));
        let bytes = captured(1 << 20, |capture| {
            capture.request(1, (&"User:ada".into(), &"l".into(), PEER), &request, &frame);
        });
        assert!(!shows(&bytes) && bytes.len() > HEADER.len(), "{:?}", request.api());
    }
}

/// What waits for the disk does not keep in memory what it leaves out.
#[test]
fn a_body_that_is_left_out_is_not_kept() {
    struct Watched {
        bytes: Bytes,
        _alive: Arc<()>,
    }
    impl AsRef<[u8]> for Watched {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    let body = sasl_authenticate::Request {
        auth_bytes: crate::wire::types::Sensitive(Bytes::from(vec![7; 50_000])),
        ..Default::default()
    };
    let made = frame(&Request::new(2, 1, Some("c".into()), body.into()).unwrap());
    let (file, gate, alive) = (Memory::default(), Arc::new(Mutex::new(())), Arc::new(()));
    let (asked, is_asked) = mpsc::sync_channel(1);
    let (capture, ended) = Capture::to(Slow(file.clone(), gate.clone(), asked), 1 << 20).unwrap();
    let closed = gate.lock().unwrap();
    capture.opened(1, &"l".into(), PEER, false);
    // the writer is at the disk, so what comes now stays in the queue
    is_asked.recv_timeout(Duration::from_secs(60)).unwrap();
    {
        let frame = Bytes::from_owner(Watched { bytes: made, _alive: alive.clone() });
        let request = Request::parse(frame.clone()).unwrap();
        capture.request(1, (&"User:ada".into(), &"l".into(), PEER), &request, &frame);
    }
    assert_eq!(Arc::strong_count(&alive), 1);
    drop(closed);
    capture.end();
    assert!(ended.wait(Duration::from_secs(60)));
    let (records, problem) = read(&file.0.lock().unwrap());
    assert!(problem.is_none());
    let What::Request { frame, body_left_out: true, .. } = &records[1].what else { panic!("{records:?}") };
    assert!(frame.len() < 40 && frame[..2] == 36i16.to_be_bytes(), "{frame:?}");
}

#[test]
fn a_full_capture_says_so_and_is_not_larger() {
    let bytes = captured(300, |capture| {
        for session in 0..100 {
            capture.opened(session, &"public".into(), PEER, false);
        }
    });
    assert!(bytes.len() <= 300, "{}", bytes.len());
    let (records, problem) = read(&bytes);
    assert!(problem.is_none() && records.len() > 3);
    assert_eq!(records.last().unwrap().what, What::Full);
}

#[test]
fn what_cannot_be_written_as_fast_as_it_comes_is_counted() {
    let (file, gate) = (Memory::default(), Arc::new(Mutex::new(())));
    let (capture, ended) =
        Capture::to(Slow(file.clone(), gate.clone(), mpsc::sync_channel(1).0), 1 << 30).unwrap();
    let closed = gate.lock().unwrap();
    for session in 0..20_000 {
        capture.opened(session, &"public".into(), PEER, false);
    }
    let dropped = capture.dropped();
    // the queue and the writer's buffer take eleven thousand of these
    assert!(dropped > 5_000, "{dropped}");
    // the end waits for no disk
    let capture = Arc::new(capture);
    let (told, end) = mpsc::sync_channel(1);
    let ending = capture.clone();
    std::thread::spawn(move || {
        ending.end();
        let _ = told.send(());
    });
    assert!(end.recv_timeout(Duration::from_secs(20)).is_ok(), "it waits for a disk that does nothing");
    assert!(!ended.wait(Duration::ZERO) && !capture.is_on());
    drop(closed);
    // there was no room to wake the writer: the flag ends it
    assert!(ended.wait(Duration::from_secs(60)));
    let (records, problem) = read(&file.0.lock().unwrap());
    assert!(problem.is_none());
    let told: u64 = records.iter().map(|r| if let What::Dropped(n) = r.what { n } else { 0 }).sum();
    let opened = records.iter().filter(|r| matches!(r.what, What::Opened { .. })).count() as u64;
    assert_eq!((told, opened), (dropped, 20_000 - dropped));
}

#[test]
fn a_damaged_capture_is_told_with_its_place() {
    let bytes = captured(1 << 20, |capture| {
        for session in 0..3 {
            capture.opened(session, &"public".into(), PEER, false);
        }
    });
    let record = (bytes.len() - HEADER.len()) / 3;
    let second = (HEADER.len() + record) as u64;
    let (records, problem) = read(&bytes[..bytes.len() - record - 1]);
    let problem = problem.unwrap();
    assert_eq!((records.len(), problem.offset), (1, second));
    assert!(problem.to_string().contains("in the middle of a record"), "{problem}");
    let mut turned = bytes.clone();
    turned[second as usize + 20] ^= 1;
    let (records, problem) = read(&turned);
    let problem = problem.unwrap();
    assert_eq!((records.len(), problem.offset), (1, second));
    assert!(problem.what.contains("checksum"), "{problem}");
    // a length that nothing stands behind is not believed
    let mut long = bytes[..second as usize].to_vec();
    long.extend_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 2, 3]);
    assert!(read(&long).1.unwrap().what.contains("3 of 2147483647 bytes"));
    long[second as usize] = 0xff;
    assert!(read(&long).1.unwrap().what.contains("cannot be"));
    assert_eq!(read(b"GET / HTTP/1.1").1.unwrap().offset, 0);
    assert_eq!(read(b"").1.unwrap().offset, 0);
}

fn records() -> impl Strategy<Value = Record> {
    let text = || "[a-zA-Z:é]{0,20}".prop_map(|text| Str::from(text.as_str()));
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let peer =
        || prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    let what = prop_oneof![
        (text(), peer(), any::<bool>()).prop_map(|(listener, peer, tls)| What::Opened {
            listener,
            peer,
            tls
        }),
        (text(), text(), peer(), bytes(), any::<bool>()).prop_map(
            |(principal, listener, peer, frame, body_left_out)| What::Request {
                principal,
                listener,
                peer,
                frame,
                body_left_out
            }
        ),
        (any::<i16>(), any::<i16>(), bytes()).prop_map(|(api, version, frame)| What::Answer {
            api: ApiKey(api),
            version,
            frame
        }),
        Just(What::Closed),
        any::<u64>().prop_map(What::Dropped),
    ];
    (any::<u64>(), any::<u64>(), what).prop_map(|(time, session, what)| Record { time, session, what })
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(records in proptest::collection::vec(records(), 0..20)) {
        let mut bytes = HEADER.to_vec();
        records.iter().for_each(|record| bytes.extend(record.encode()));
        let (again, problem) = read(&bytes);
        prop_assert!(problem.is_none());
        prop_assert_eq!(again, records);
    }

    /// Cut or turned anywhere, what stands before the damage is read, and what is wrong is told of a record's beginning.
    #[test]
    fn damage_is_found(records in proptest::collection::vec(records(), 1..8), at in any::<prop::sample::Index>(), cut in any::<bool>(), turn in 1u8..) {
        let mut bytes = HEADER.to_vec();
        let mut starts = vec![bytes.len()];
        for record in &records {
            bytes.extend(record.encode());
            starts.push(bytes.len());
        }
        let at = HEADER.len() + at.index(bytes.len() - HEADER.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= turn }
        let whole = starts.iter().filter(|start| **start <= at).count() - 1;
        let (again, problem) = read(&bytes);
        prop_assert_eq!(&again[..], &records[..whole]);
        match problem {
            Some(problem) => prop_assert_eq!(problem.offset, starts[whole] as u64),
            None => prop_assert!(cut && starts.contains(&at)),
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        read(&bytes);
        let mut with_header = HEADER.to_vec();
        with_header.extend(bytes);
        read(&with_header);
    }

    /// The checksum holds, and the content is anything.
    #[test]
    fn any_content_is_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = HEADER.to_vec();
        bytes.extend((content.len() as u32).to_be_bytes());
        bytes.extend(crc32c::crc32c(&content).to_be_bytes());
        bytes.extend(content);
        read(&bytes);
    }
}

/// A state in which nothing is queued, and so many records are untold.
fn state(untold: u64) -> super::write::State {
    super::write::State::new(untold)
}

#[test]
fn what_is_missing_is_told_when_the_capture_is_dropped_too() {
    let file = Memory::default();
    let (capture, ended) = Capture::to(file.clone(), 1 << 20).unwrap();
    capture.closed(1);
    capture.missed();
    drop(capture);
    assert!(ended.wait(Duration::from_secs(60)));
    let (records, problem) = read(&file.0.lock().unwrap());
    assert!(problem.is_none());
    let what: Vec<_> = records.into_iter().map(|record| record.what).collect();
    assert_eq!(what, [What::Closed, What::Dropped(1)]);
}

#[test]
fn the_last_record_says_whether_there_was_room_for_it() {
    use super::write::{File, untold};
    let full = |left, missed| {
        let mut file = File { sink: std::io::BufWriter::new(Vec::new()), left };
        let full = untold(&mut file, &state(missed)).unwrap();
        let records = read(&[HEADER, file.sink.buffer()].concat()).0;
        (full, records.into_iter().map(|record| record.what).collect::<Vec<_>>())
    };
    assert_eq!(full(1 << 10, 0), (false, vec![]));
    assert_eq!(full(1 << 10, 3), (false, vec![What::Dropped(3)]));
    assert_eq!(full(30, 3), (true, vec![What::Full]));
}

#[test]
fn a_record_fits_when_the_last_one_fits_behind_it() {
    use super::write::{File, LAST};
    let record = Record { time: 1, session: 2, what: What::Closed };
    let size = record.encode().len() as u64;
    for (room, fits) in [(size + LAST, true), (size + LAST - 1, false)] {
        let mut file = File { sink: std::io::BufWriter::new(Vec::new()), left: room };
        assert_eq!(file.record(&record).unwrap(), fits, "{room}");
    }
}

#[test]
fn frames_count_by_their_bytes_while_they_wait() {
    let (file, gate) = (Memory::default(), Arc::new(Mutex::new(())));
    let (asked, is_asked) = mpsc::sync_channel(1);
    let (capture, ended) = Capture::to(Slow(file.clone(), gate.clone(), asked), 1 << 30).unwrap();
    is_asked.recv_timeout(Duration::from_secs(60)).unwrap();
    while file.0.lock().unwrap().len() < HEADER.len() {
        std::thread::yield_now();
    }
    let closed = gate.lock().unwrap();
    let large = Bytes::from(vec![0; 24 << 20]);
    let (request, _) = metadata();
    let who = (&"User:ada".into(), &"public".into(), PEER);
    // the writer has the first, and stands before the disk with it
    capture.request(1, who, &request, &large);
    is_asked.recv_timeout(Duration::from_secs(60)).unwrap();
    for _ in 0..2 {
        capture.request(1, who, &request, &large);
    }
    assert_eq!(capture.dropped(), 0, "64 MiB may wait");
    capture.request(1, who, &request, &large);
    assert_eq!(capture.dropped(), 1);
    drop(closed);
    drop(capture);
    assert!(ended.wait(Duration::from_secs(60)));
    let (records, problem) = read(&file.0.lock().unwrap());
    assert!(problem.is_none());
    let kinds: Vec<bool> = records.iter().map(|r| matches!(r.what, What::Request { .. })).collect();
    assert_eq!(kinds, [true, true, true, false]);
}

#[test]
fn a_record_may_be_as_long_as_a_frame_with_its_names() {
    for (length, said) in [(LONGEST, "in the middle of a record"), (LONGEST + 1, "cannot be")] {
        let head = [(length as u32).to_be_bytes(), [0; 4]].concat();
        let (_, problem) = read(&[HEADER, &head].concat());
        let problem = problem.unwrap();
        assert!(problem.what.contains(said), "{problem}");
    }
}
