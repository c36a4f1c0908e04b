//! A response frame without its length, as it comes from a broker behind the gateway; api and version stand before it, as the
//! session knows them from its request. Read, it must be writable, and its errors and lists must be there to be looked at.

use bytes::Bytes;
use tollgate::wire::{Payload, Response, WireErrorKind};

use super::requests::understood;

pub fn run(data: &[u8]) {
    let Some((head, frame)) = data.split_first_chunk::<4>() else { return };
    let (info, version) = understood(head);
    let Ok(mut response) = Response::parse(info.key, version, Bytes::copy_from_slice(frame)) else { return };
    check(&response);
    let mut errors = 0;
    response.body.errors(&mut |_| errors += 1);
    // Of what it lists, every other stays.
    let mut keep = false;
    response.body.retain(version, &mut |_| {
        keep = !keep;
        keep
    });
    check(&response);
}

fn check(response: &Response) {
    let pieces = response.encode().expect("what was read can be written");
    let bytes = Payload::Pieces(pieces).to_bytes().expect("pieces in memory");
    match Response::parse(response.api, response.version, bytes.slice(4..)) {
        Ok(_) => {}
        // The allowance goes by the size on the wire, and what wasted bytes there is written shorter.
        Err(error) if error.kind == WireErrorKind::TooLarge => {}
        Err(error) => panic!("our own writing is not read: {error}"),
    }
}
