//! Protobuf's wire format, walked by the descriptors of a `.proto` file: whether bytes are one message of it and hold nothing else. A
//! field that the message does not have is an error, as otherwise almost any bytes would be a message. Numbers are not looked at: any
//! number passes for a closed enum, a boolean or an integer of 32 bits. Nor is how often a field stands there.

use super::{DEPTH, Files, Invalid};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// Message indexes of a schema registry's frame, one a level.
const LEVELS: usize = 16;

pub(super) struct ProtoSchema {
    message: MessageDescriptor,
    /// The message's place in its file: of the outermost one among its like, and so on.
    place: Vec<usize>,
}

impl ProtoSchema {
    pub fn new(name: &str, message: &str, files: impl Files + Send + Sync + 'static) -> Result<Self, String> {
        let mut resolver = ChainFileResolver::new();
        resolver.add(Folder(files));
        // what comes with Protobuf itself
        resolver.add(GoogleFileResolver::new());
        let mut compiler = Compiler::with_file_resolver(resolver);
        // its Debug names file, line and column, where it has them
        let fail = |error: protox::Error| match error.file() {
            Some(_) => format!("{error:?}"),
            None => error.to_string(),
        };
        let fail = |error| match fail(error) {
            why if why.contains(name) => why,
            why => format!("{name}: {why}"),
        };
        compiler.include_imports(true).open_file(name).map_err(fail)?;
        let pool: DescriptorPool = compiler.descriptor_pool();
        let found = pool.get_message_by_name(message);
        let Some(found) = found.filter(|found| found.parent_file().name() == name) else {
            let file = pool.get_file_by_name(name);
            let known =
                file.iter().flat_map(|file| file.messages()).map(|found| found.full_name().to_owned());
            let known: Vec<String> = known.take(20).collect();
            return Err(format!("{name}: there is no message `{message}`; it has {}", known.join(", ")));
        };
        let mut place = Vec::new();
        let mut inner = found.clone();
        loop {
            let name = inner.full_name().to_owned();
            let at = |mut like: Box<dyn Iterator<Item = MessageDescriptor> + '_>| {
                like.position(|other| other.full_name() == name)
            };
            let Some(outer) = inner.parent_message() else {
                place.extend(at(Box::new(inner.parent_file().messages())));
                break;
            };
            place.extend(at(Box::new(outer.child_messages())));
            inner = outer;
        }
        place.reverse();
        Ok(Self { message: found, place })
    }

    pub fn check(&self, value: &[u8]) -> Result<(), Invalid> {
        Walk { rest: value }.message(&self.message, DEPTH)
    }

    /// Behind the id of a frame stands which message of the file it is: a count and places, zig-zag, or a zero for the first.
    pub fn check_framed(&self, value: &[u8]) -> Result<(), Invalid> {
        let mut walk = Walk { rest: value };
        let place = match walk.zigzag()? {
            0 => vec![0],
            count => {
                let count = usize::try_from(count).ok().filter(|count| *count <= LEVELS);
                let count = count.ok_or_else(|| Invalid::new("", "its frame names no message"))?;
                let mut place = Vec::with_capacity(count);
                for _ in 0..count {
                    place.push(usize::try_from(walk.zigzag()?).unwrap_or(usize::MAX));
                }
                place
            }
        };
        if place != self.place {
            return Err(Invalid::new("", "its frame names another message"));
        }
        walk.message(&self.message, DEPTH)
    }
}

/// The folder's files as what imports name.
struct Folder<F>(F);

impl<F: Files> FileResolver for Folder<F> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        if name.starts_with("google/protobuf/") {
            return Err(protox::Error::file_not_found(name));
        }
        let text = self.0.text(name).map_err(protox::Error::new)?;
        let text =
            std::str::from_utf8(&text).map_err(|_| protox::Error::new(format!("{name} is no UTF-8 text")))?;
        File::from_source(name, text)
    }
}

/// How a field's bytes are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Varint,
    Eight,
    Length,
    Four,
}

fn wire(kind: &Kind) -> Wire {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Wire::Eight,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Wire::Four,
        Kind::String | Kind::Bytes | Kind::Message(_) => Wire::Length,
        _ => Wire::Varint,
    }
}

/// A value being walked.
struct Walk<'w> {
    rest: &'w [u8],
}

impl<'w> Walk<'w> {
    /// All that is left, as one message.
    fn message(mut self, message: &MessageDescriptor, depth: usize) -> Result<(), Invalid> {
        let depth = depth.checked_sub(1).ok_or_else(|| Invalid::new("", "it is nested too deeply"))?;
        let mut required: Vec<u32> =
            message.fields().filter(FieldDescriptor::is_required).map(|field| field.number()).collect();
        while !self.rest.is_empty() {
            let tag = self.varint()?;
            let number = u32::try_from(tag >> 3).unwrap_or_default();
            let Some(field) = message.get_field(number) else {
                return Err(Invalid::new("", format!("there is no field {number}")));
            };
            required.retain(|required| *required != number);
            self.field(&field, tag & 7, depth)
                .map_err(|invalid| invalid.within(&format!(".{}", field.name())))?;
        }
        let missing = required.first().and_then(|number| message.get_field(*number));
        match missing {
            Some(field) => Err(Invalid::new(format!(".{}", field.name()), "is not there")),
            None => Ok(()),
        }
    }

    fn field(&mut self, field: &FieldDescriptor, laid_out: u64, depth: usize) -> Result<(), Invalid> {
        let (kind, is_list) = (field.kind(), field.is_list());
        let wants = wire(&kind);
        let has = match laid_out {
            0 => Wire::Varint,
            1 => Wire::Eight,
            2 => Wire::Length,
            5 => Wire::Four,
            _ => return Err(Invalid::new("", "is laid out as no field is")),
        };
        if has == wants {
            return self.value(&kind, depth);
        }
        if has != Wire::Length || !is_list {
            return Err(Invalid::new("", "is of another type"));
        }
        // packed, which every reader takes for either
        let mut packed = Walk { rest: self.bytes()? };
        while !packed.rest.is_empty() {
            packed.value(&kind, depth)?;
        }
        Ok(())
    }

    fn value(&mut self, kind: &Kind, depth: usize) -> Result<(), Invalid> {
        match (wire(kind), kind) {
            (Wire::Varint, _) => self.varint().map(drop),
            (Wire::Eight, _) => self.take(8).map(drop),
            (Wire::Four, _) => self.take(4).map(drop),
            (Wire::Length, Kind::Message(message)) => Walk { rest: self.bytes()? }.message(message, depth),
            (Wire::Length, Kind::String) => {
                std::str::from_utf8(self.bytes()?).map(drop).map_err(|_| Invalid::new("", "is no UTF-8"))
            }
            (Wire::Length, _) => self.bytes().map(drop),
        }
    }

    fn take(&mut self, size: usize) -> Result<&'w [u8], Invalid> {
        let (taken, rest) =
            self.rest.split_at_checked(size).ok_or_else(|| Invalid::new("", "ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> Result<&'w [u8], Invalid> {
        let size = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        self.take(size)
    }

    fn varint(&mut self) -> Result<u64, Invalid> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else { break };
            if shift == 63 && *byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Invalid::new("", "is no number"))
    }

    fn zigzag(&mut self) -> Result<i64, Invalid> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }
}
