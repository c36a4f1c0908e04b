//! A message, from its first byte to its last: whether it is one of the schema, and what masks do to it on the way.
//!
//! Readers take the last of what stands more than once, and merge messages: so everything is masked wherever it stands, and where
//! the places of elements matter no message may stand twice.

use super::super::edit::{Held, Masker, Patch, Put};
use super::super::reader::{Reader, put_varint};
use super::super::{DEPTH, Invalid};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use std::collections::HashMap;

/// Walks all that is left, as one message.
pub(super) fn walk<M: Masker>(
    message: &MessageDescriptor,
    required: &Required,
    reader: Reader<'_>,
    masker: &mut M,
    patch: &mut Patch<'_>,
) -> Result<(), Invalid> {
    let spot = Spot { places: masker.start(), inside: false };
    Walk { required, masker, patch }.message(reader, message, DEPTH, spot)
}

/// How a field's bytes are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint,
    Eight,
    Length,
    Four,
}

impl Wire {
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Self::Eight,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Self::Four,
            Kind::String | Kind::Bytes | Kind::Message(_) => Self::Length,
            _ => Self::Varint,
        }
    }
}

/// What stands before a field.
struct Tag {
    start: usize,
    number: u32,
    wire: Wire,
}

impl Tag {
    fn read(reader: &mut Reader<'_>) -> Result<(usize, u32, u64), Invalid> {
        let start = reader.at();
        let tag = reader.varint()?;
        Ok((start, u32::try_from(tag >> 3).unwrap_or_default(), tag & 7))
    }

    fn new((start, number, wire): (usize, u32, u64)) -> Result<Self, Invalid> {
        let wire = match wire {
            0 => Wire::Varint,
            1 => Wire::Eight,
            2 => Wire::Length,
            5 => Wire::Four,
            _ => return Err(Invalid::new("", "is laid out as no field is")),
        };
        Ok(Self { start, number, wire })
    }
}

/// Where a field begins that may be left out.
#[derive(Clone, Copy)]
struct Gone {
    start: usize,
    /// Nobody tells it from one that is zero, and nobody writes one that is: masked to zero it is left out, or whoever reads the bytes
    /// would know that it was none.
    zero: bool,
}

/// Where the walk is, for the masks.
#[derive(Clone, Copy)]
struct Spot {
    places: u64,
    /// In something that is hidden as a whole.
    inside: bool,
}

/// The numbers of the fields that must be there, by the names of those messages that have any. Looked up once a message: to go through
/// all its fields costs more than to walk most messages.
pub(super) type Required = HashMap<Box<str>, Box<[u32]>>;

struct Walk<'w, 'p, M> {
    required: &'w Required,
    masker: &'w mut M,
    patch: &'w mut Patch<'p>,
}

impl<M: Masker> Walk<'_, '_, M> {
    fn message(
        &mut self,
        mut reader: Reader<'_>,
        message: &MessageDescriptor,
        depth: usize,
        spot: Spot,
    ) -> Result<(), Invalid> {
        let depth = deeper(depth)?;
        let mut required: Vec<u32> = match self.required.is_empty() {
            true => Vec::new(),
            false => self.required.get(message.full_name()).map(|all| all.to_vec()).unwrap_or_default(),
        };
        let mut seen = Seen::default();
        while reader.left() > 0 {
            let tag = Tag::read(&mut reader)?;
            let Some(field) = message.get_field(tag.1) else {
                return Err(Invalid::new("", format!("there is no field {}", tag.1)));
            };
            required.retain(|required| *required != tag.1);
            let places = self.masker.member(spot.places, field.name().as_bytes());
            self.field(&mut reader, &field, tag, depth, Spot { places, ..spot }, &mut seen)
                .map_err(|invalid| invalid.within(&format!(".{}", field.name())))?;
        }
        let missing = required.first().and_then(|number| message.get_field(*number));
        match missing {
            Some(field) => Err(Invalid::new(format!(".{}", field.name()), "is not there")),
            None => Ok(()),
        }
    }

    fn field(
        &mut self,
        reader: &mut Reader<'_>,
        field: &FieldDescriptor,
        tag: (usize, u32, u64),
        depth: usize,
        spot: Spot,
        seen: &mut Seen,
    ) -> Result<(), Invalid> {
        let (tag, kind) = (Tag::new(tag)?, field.kind());
        let is_many = field.is_list() || field.is_map();
        let (mut below, mut put) = (spot, Put::Kept);
        if is_many && self.masker.finds(spot.places) {
            put = self.masker.mask(spot.places, Held::Other, spot.inside);
            below.inside |= put != Put::Kept;
        }
        let counts = self.masker.counts();
        match (Wire::of(&kind) == tag.wire, &kind) {
            (true, Kind::Message(entry)) if field.is_map() => self.entry(reader, entry, depth, below)?,
            (true, _) if field.is_list() => {
                self.element(reader, &kind, depth, below, seen.next(counts, tag.number))?;
            }
            (true, _) => {
                if counts && matches!(kind, Kind::Message(_)) && seen.next(counts, tag.number) > 0 {
                    return Err(Invalid::new("", "stands twice"));
                }
                let gone = (!field.is_required())
                    .then(|| Gone { start: tag.start, zero: !field.supports_presence() });
                self.value(reader, &kind, depth, below, gone)?;
            }
            // packed, which every reader takes for either
            (false, _) if field.is_list() && tag.wire == Wire::Length => {
                let (mark, start) = (self.patch.mark(), reader.at());
                let size = length(reader)?;
                let said = start..reader.at();
                let mut packed = reader.part(size)?;
                while packed.left() > 0 {
                    self.element(&mut packed, &kind, depth, below, seen.next(counts, tag.number))?;
                }
                self.patch.resize(mark, said, reader.at(), false);
            }
            (false, _) => return Err(Invalid::new("", "is of another type")),
        }
        match put {
            Put::Kept => Ok(()),
            // a list or map that is not there is empty
            Put::Null | Put::Zero => {
                self.patch.replace(tag.start..reader.at());
                Ok(())
            }
            _ => Err(impossible()),
        }
    }

    fn element(
        &mut self,
        reader: &mut Reader<'_>,
        kind: &Kind,
        depth: usize,
        list: Spot,
        number: usize,
    ) -> Result<(), Invalid> {
        let places = self.masker.element(list.places, number);
        self.value(reader, kind, depth, Spot { places, ..list }, None)
    }

    /// A value without its tag; `gone`: if it may be left out.
    fn value(
        &mut self,
        reader: &mut Reader<'_>,
        kind: &Kind,
        depth: usize,
        spot: Spot,
        gone: Option<Gone>,
    ) -> Result<(), Invalid> {
        let start = reader.at();
        let held = match (Wire::of(kind), kind) {
            (Wire::Varint, _) => reader.varint().map(|_| Held::Other)?,
            (Wire::Eight, _) => reader.take(8).map(|_| Held::Other)?,
            (Wire::Four, _) => reader.take(4).map(|_| Held::Other)?,
            (Wire::Length, Kind::Message(message)) => {
                let mark = self.patch.mark();
                let size = length(reader)?;
                let said = start..reader.at();
                let (mut below, mut put) = (spot, Put::Kept);
                if self.masker.finds(spot.places) {
                    put = self.masker.mask(spot.places, Held::Other, spot.inside);
                    below.inside |= put != Put::Kept;
                }
                self.message(reader.part(size)?, message, depth, below)?;
                self.patch.resize(mark, said, reader.at(), false);
                return self.put(kind, put, start..reader.at(), gone);
            }
            (Wire::Length, _) => {
                let size = length(reader)?;
                let bytes = reader.take(size)?;
                match kind {
                    Kind::String => Held::Text(text(bytes)?),
                    _ => Held::Bytes(bytes),
                }
            }
        };
        if !self.masker.finds(spot.places) {
            return Ok(());
        }
        let put = self.masker.mask(spot.places, held, spot.inside);
        self.put(kind, put, start..reader.at(), gone)
    }

    fn put(
        &mut self,
        kind: &Kind,
        put: Put,
        range: std::ops::Range<usize>,
        gone: Option<Gone>,
    ) -> Result<(), Invalid> {
        if self.patch.is_too_long() {
            return Err(Invalid::new("", "what masks make of it is too long"));
        }
        match (put, gone) {
            (Put::Kept, _) => Ok(()),
            (Put::Null, Some(Gone { start, .. })) | (Put::Zero, Some(Gone { start, zero: true })) => {
                self.patch.replace(start..range.end);
                Ok(())
            }
            _ => match write(kind, put, self.masker.text(), self.patch.replace(range)) {
                true => Ok(()),
                // nothing of what was read so far goes on then
                false => Err(impossible()),
            },
        }
    }

    /// An entry of a map: a message of a key and a value, in any order.
    fn entry(
        &mut self,
        reader: &mut Reader<'_>,
        entry: &MessageDescriptor,
        depth: usize,
        map: Spot,
    ) -> Result<(), Invalid> {
        let depth = deeper(depth)?;
        let (mark, start) = (self.patch.mark(), reader.at());
        let size = length(reader)?;
        let said = start..reader.at();
        let mut part = reader.part(size)?;
        let (key_kind, value_kind) =
            (entry.map_entry_key_field().kind(), entry.map_entry_value_field().kind());
        let places = match map.places {
            0 => 0,
            places => self.masker.member(places, key_of(part.clone(), &key_kind)?.as_bytes()),
        };
        let mut seen = Seen::default();
        while part.left() > 0 {
            let tag = Tag::read(&mut part)?;
            let (kind, places, name) = match tag.1 {
                1 => (&key_kind, 0, ".key"),
                2 => (&value_kind, places, ".value"),
                other => return Err(Invalid::new("", format!("there is no field {other}"))),
            };
            let within = |invalid: Invalid| invalid.within(name);
            let tag = Tag::new(tag).map_err(within)?;
            if tag.wire != Wire::of(kind) {
                return Err(within(Invalid::new("", "is of another type")));
            }
            if matches!(kind, Kind::Message(_)) && seen.next(self.masker.counts(), tag.number) > 0 {
                return Err(within(Invalid::new("", "stands twice")));
            }
            let gone = (tag.number == 2).then_some(Gone { start: tag.start, zero: false });
            self.value(&mut part, kind, depth, Spot { places, ..map }, gone).map_err(within)?;
        }
        self.patch.resize(mark, said, reader.at(), false);
        Ok(())
    }
}

/// How often fields stood in a message, if it is asked for.
#[derive(Default)]
struct Seen(Vec<(u32, usize)>);

impl Seen {
    /// How often the field stood there before.
    fn next(&mut self, counts: bool, number: u32) -> usize {
        if !counts {
            return 0;
        }
        match self.0.iter_mut().find(|(known, _)| *known == number) {
            Some((_, times)) => {
                *times += 1;
                *times
            }
            None => {
                self.0.push((number, 0));
                0
            }
        }
    }
}

fn deeper(depth: usize) -> Result<usize, Invalid> {
    depth.checked_sub(1).ok_or_else(|| Invalid::new("", "it is nested too deeply"))
}

fn impossible() -> Invalid {
    Invalid::new("", "cannot be masked so")
}

fn length(reader: &mut Reader<'_>) -> Result<usize, Invalid> {
    Ok(usize::try_from(reader.varint()?).unwrap_or(usize::MAX))
}

fn text(bytes: &[u8]) -> Result<&str, Invalid> {
    std::str::from_utf8(bytes).map_err(|_| Invalid::new("", "is no UTF-8"))
}

/// The key of an entry, as it is written in a path. Readers would take the last of several.
fn key_of(mut entry: Reader<'_>, kind: &Kind) -> Result<String, Invalid> {
    let mut found = None;
    while entry.left() > 0 {
        let tag = Tag::new(Tag::read(&mut entry)?)?;
        let (number, bytes) = match tag.wire {
            Wire::Varint => (entry.varint()?, &[][..]),
            Wire::Eight => (0, entry.take(8)?),
            Wire::Four => (0, entry.take(4)?),
            Wire::Length => {
                let size = length(&mut entry)?;
                (0, entry.take(size)?)
            }
        };
        if tag.number != 1 {
            continue;
        }
        if tag.wire != Wire::of(kind) {
            return Err(Invalid::new(".key", "is of another type"));
        }
        if found.is_some() {
            return Err(Invalid::new(".key", "stands twice"));
        }
        let four = bytes.first_chunk::<4>().copied().unwrap_or_default();
        let eight = bytes.first_chunk::<8>().copied().unwrap_or_default();
        found = Some(match kind {
            Kind::String => text(bytes).map_err(|invalid| invalid.within(".key"))?.to_owned(),
            Kind::Bool => (number != 0).to_string(),
            Kind::Int32 => (number as i32).to_string(),
            Kind::Int64 => (number as i64).to_string(),
            Kind::Uint32 => (number as u32).to_string(),
            Kind::Sint32 => (((number as u32) >> 1) as i32 ^ -((number & 1) as i32)).to_string(),
            Kind::Sint64 => ((number >> 1) as i64 ^ -((number & 1) as i64)).to_string(),
            Kind::Fixed32 => u32::from_le_bytes(four).to_string(),
            Kind::Sfixed32 => i32::from_le_bytes(four).to_string(),
            Kind::Fixed64 => u64::from_le_bytes(eight).to_string(),
            Kind::Sfixed64 => i64::from_le_bytes(eight).to_string(),
            _ => number.to_string(),
        });
    }
    Ok(found.unwrap_or_else(|| match kind {
        Kind::String => String::new(),
        Kind::Bool => "false".to_owned(),
        _ => "0".to_owned(),
    }))
}

/// Writes what stands instead of a value of this type, without a tag. False: there is no such value.
pub(super) fn write(kind: &Kind, put: Put, text: &str, out: &mut Vec<u8>) -> bool {
    /// As the bytes of a number.
    macro_rules! number {
        ($type:ty, $bytes:expr) => {{
            let number = match put {
                Put::Zero => Some(<$type>::default()),
                Put::Text => text.parse::<$type>().ok(),
                _ => None,
            };
            match number {
                Some(number) => {
                    let bytes: fn($type, &mut Vec<u8>) = $bytes;
                    bytes(number, out);
                    true
                }
                None => false,
            }
        }};
    }
    match kind {
        Kind::String | Kind::Bytes if put == Put::Text => {
            put_varint(text.len() as u64, out);
            out.extend_from_slice(text.as_bytes());
            true
        }
        Kind::String | Kind::Bytes => false,
        Kind::Message(message) => {
            let is_empty = put == Put::Zero && !message.fields().any(|field| field.is_required());
            if is_empty {
                out.push(0);
            }
            is_empty
        }
        Kind::Enum(kind) => {
            let value = match put {
                Put::Zero => Some(kind.default_value()),
                Put::Text => kind.get_value_by_name(text),
                _ => None,
            };
            let Some(value) = value else { return false };
            put_varint(i64::from(value.number()) as u64, out);
            true
        }
        Kind::Bool => number!(bool, |value, out| out.push(u8::from(value))),
        // below zero they take ten bytes, as those of 64 bits do
        Kind::Int32 => number!(i32, |value, out| put_varint(i64::from(value) as u64, out)),
        Kind::Int64 => number!(i64, |value, out| put_varint(value as u64, out)),
        Kind::Uint32 => number!(u32, |value, out| put_varint(value.into(), out)),
        Kind::Uint64 => number!(u64, put_varint),
        Kind::Sint32 => number!(i32, |value, out| super::super::reader::put_zigzag(value.into(), out)),
        Kind::Sint64 => number!(i64, super::super::reader::put_zigzag),
        Kind::Fixed32 => number!(u32, |value, out| out.extend_from_slice(&value.to_le_bytes())),
        Kind::Sfixed32 => number!(i32, |value, out| out.extend_from_slice(&value.to_le_bytes())),
        Kind::Fixed64 => number!(u64, |value, out| out.extend_from_slice(&value.to_le_bytes())),
        Kind::Sfixed64 => number!(i64, |value, out| out.extend_from_slice(&value.to_le_bytes())),
        Kind::Float => number!(f32, |value, out| out.extend_from_slice(&value.to_le_bytes())),
        Kind::Double => number!(f64, |value, out| out.extend_from_slice(&value.to_le_bytes())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_entry_is_read_as_its_kind_is_written() {
        let key = |kind: &Kind, entry: &[u8]| key_of(Reader::new(entry, 0), kind);
        let least = |bytes: &[u8]| [&[8][..], bytes].concat();
        let ten = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        let (four, eight) =
            ([&[0x0d][..], &[0xfe, 0xff, 0xff, 0xff]].concat(), [&[9][..], &[0xff; 8]].concat());
        for (kind, entry, read) in [
            (Kind::String, b"\x0a\x02ab".to_vec(), "ab"),
            (Kind::Bool, least(&[1]), "true"),
            (Kind::Bool, least(&[0]), "false"),
            (Kind::Int32, least(&ten), "-1"),
            (Kind::Int64, least(&ten), "-1"),
            (Kind::Uint32, least(&ten), "4294967295"),
            (Kind::Uint64, least(&ten), "18446744073709551615"),
            (Kind::Sint32, least(&[5]), "-3"),
            (Kind::Sint32, least(&[6]), "3"),
            (Kind::Sint32, least(&[0xff, 0xff, 0xff, 0xff, 15]), "-2147483648"),
            (Kind::Sint64, least(&[5]), "-3"),
            (Kind::Sint64, least(&[6]), "3"),
            (Kind::Sint64, least(&ten), "-9223372036854775808"),
            (Kind::Fixed32, four.clone(), "4294967294"),
            (Kind::Sfixed32, four, "-2"),
            (Kind::Fixed64, eight.clone(), "18446744073709551615"),
            (Kind::Sfixed64, eight, "-1"),
            // left out, it is what its kind has for nothing
            (Kind::String, b"\x12\x01v".to_vec(), ""),
            (Kind::Bool, vec![16, 1], "false"),
            (Kind::Sint64, vec![], "0"),
        ] {
            assert_eq!(key(&kind, &entry).as_deref(), Ok(read), "{kind:?} {entry:?}");
        }
        for (kind, entry, why) in [
            (Kind::Int32, &[0x0a, 1, b'a'][..], "$.key: is of another type"),
            (Kind::Int32, &[8, 1, 8, 1], "$.key: stands twice"),
            (Kind::String, &[0x0a, 1, 0xff], "$.key: is no UTF-8"),
            (Kind::String, &[0x0a, 2, b'a'], "$: ends too early"),
        ] {
            assert_eq!(key(&kind, entry).unwrap_err().to_string(), why);
        }
    }
}
