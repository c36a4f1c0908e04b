//! Protobuf's wire format, walked by the descriptors of a `.proto` file: whether bytes are one message of it and hold nothing else. A
//! field that the message does not have is an error, as otherwise almost any bytes would be a message. Numbers are not looked at: any
//! number passes for a closed enum, a boolean or an integer of 32 bits. Nor is how often a field stands there.

mod reach;
mod walk;

use super::edit::{Masker, Nothing, Patch, Paths};
use super::reader::Reader;
use super::{Files, Invalid};
use prost_reflect::{DescriptorPool, MessageDescriptor};
use protox::Compiler;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

/// Message indexes of a schema registry's frame, one a level.
const LEVELS: usize = 16;

pub(super) struct ProtoSchema {
    message: MessageDescriptor,
    /// The message's place in its file: of the outermost one among its like, and so on.
    place: Vec<usize>,
    required: walk::Required,
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
        let required = pool.all_messages().filter_map(|message| {
            let numbers: Box<[u32]> =
                message.fields().filter(|field| field.is_required()).map(|field| field.number()).collect();
            (!numbers.is_empty()).then(|| (message.full_name().into(), numbers))
        });
        Ok(Self { message: found, place, required: required.collect() })
    }

    pub fn check(&self, value: &[u8]) -> Result<(), Invalid> {
        self.edit(value, 0, &mut Nothing, &mut Patch::new(value, &mut Vec::new()))
    }

    /// Behind the id of a frame stands which message of the file it is: a count and places, zig-zag, or a zero for the first. Where
    /// the message itself begins.
    pub fn framed(&self, value: &[u8], at: usize) -> Result<usize, Invalid> {
        let mut reader = Reader::new(value, at);
        let place = match reader.zigzag()? {
            0 => vec![0],
            count => {
                let count = usize::try_from(count).ok().filter(|count| *count <= LEVELS);
                let count = count.ok_or_else(|| Invalid::new("", "its frame names no message"))?;
                let mut place = Vec::with_capacity(count);
                for _ in 0..count {
                    place.push(usize::try_from(reader.zigzag()?).unwrap_or(usize::MAX));
                }
                place
            }
        };
        match place == self.place {
            true => Ok(reader.at()),
            false => Err(Invalid::new("", "its frame names another message")),
        }
    }

    /// Masks what is found in the message that begins at `at`.
    pub fn edit(
        &self,
        value: &[u8],
        at: usize,
        masker: &mut impl Masker,
        patch: &mut Patch<'_>,
    ) -> Result<(), Invalid> {
        walk::walk(&self.message, &self.required, Reader::new(value, at), masker, patch)
    }

    /// How many kinds of places the paths find in values of this message; fails with the first that cannot be masked so.
    pub fn reach(&self, paths: &mut impl Paths) -> Result<usize, String> {
        reach::reach(&self.message, paths)
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
