//! A request frame without its length, as it comes from a client. Api and version are bent to ones there are. Read, it must
//! be writable and say the same again; and whatever the gateway asks of it (parts, answers, what is left of it) must work.

use bytes::{Bytes, BytesMut};
use tollgate::wire::api::Answer;
use tollgate::wire::read::Reader;
use tollgate::wire::table::{APIS, ApiInfo};
use tollgate::wire::write::Writer;
use tollgate::wire::{ApiKey, ErrorCode, Payload, Request, RequestBody, ResponseBody};

pub fn run(data: &[u8]) {
    let Some((head, rest)) = data.split_first_chunk::<4>() else { return };
    let (info, version) = understood(head);
    let mut frame = BytesMut::with_capacity(data.len());
    frame.extend_from_slice(&info.key.0.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(rest);
    let Ok(request) = Request::parse(frame.freeze()) else { return };
    let Ok(body) = request.into_body() else { return };
    let written = write(|writer| body.write(version, writer).expect("what was read can be written"));
    let again = read(info.key, version, written.clone());
    let Some(again) = again else { return };
    assert_eq!(write(|writer| again.write(version, writer).expect("again")), written);

    let parts = body.parts(version);
    let (_, _) = (body.whole(version), body.also(version));
    for code in [ErrorCode::UNKNOWN_SERVER_ERROR, ErrorCode::TOPIC_AUTHORIZATION_FAILED] {
        if let Some(answer) = body.answer(version, code) {
            check_response(info.key, version, &answer);
        }
    }
    // Every other part is answered here, the rest by nobody.
    let odd: Vec<bool> = (0..parts.len()).map(|n| n % 2 == 1).collect();
    let mut kept = body.clone();
    kept.keep(&odd);
    write(|writer| kept.write(version, writer).expect("what is left can be written"));
    let answers: Vec<Option<Answer>> =
        odd.iter().map(|keep| (!keep).then(|| ErrorCode::TOPIC_AUTHORIZATION_FAILED.into())).collect();
    let upstream = kept.answer(version, ErrorCode::NONE);
    for upstream in [None, upstream] {
        if let Some(merged) = body.merge(version, &answers, upstream) {
            check_response(info.key, version, &merged);
        }
    }
}

/// The api and version nearest to what the first four bytes say.
pub(crate) fn understood(head: &[u8; 4]) -> (&'static ApiInfo, i16) {
    let [key, version] = [[head[0], head[1]], [head[2], head[3]]].map(i16::from_be_bytes);
    let info = ApiKey(key).info().unwrap_or(&APIS[usize::from(key.unsigned_abs()) % APIS.len()]);
    let versions = info.max_version - info.min_version + 1;
    let version =
        if info.supports(version) { version } else { info.min_version + version.rem_euclid(versions) };
    (info, version)
}

fn read(key: ApiKey, version: i16, bytes: Bytes) -> Option<RequestBody> {
    let mut reader = Reader::new(bytes);
    match RequestBody::read(key, version, &mut reader) {
        Ok(body) => Some(body),
        // The allowance goes by the size on the wire, and what wasted bytes there is written shorter.
        Err(error) if error.kind == tollgate::wire::WireErrorKind::TooLarge => None,
        Err(error) => panic!("our own writing is not read: {error}"),
    }
}

fn check_response(key: ApiKey, version: i16, body: &ResponseBody) {
    let written = write(|writer| body.write(version, writer).expect("an answer made up can be written"));
    match ResponseBody::read(key, version, &mut Reader::new(written)) {
        Ok(_) => {}
        Err(error) if error.kind == tollgate::wire::WireErrorKind::TooLarge => {}
        Err(error) => panic!("our own answer is not read: {error}"),
    }
}

pub(crate) fn write(write: impl FnOnce(&mut Writer)) -> Bytes {
    let mut writer = Writer::new();
    write(&mut writer);
    Payload::Pieces(writer.finish()).to_bytes().expect("pieces in memory")
}
