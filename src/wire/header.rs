//! Request and response headers (KIP-482): versions 1 and 2 of the request's, 0 and 1 of the response's.

use super::{
    error::WireError,
    read::Reader,
    schema::{Cx, Wire, read_tags, write_tags},
    table::{ApiInfo, ApiKey},
    types::{Str, Tags},
    write::Writer,
};

/// The fixed part every request begins with, whatever its api and version: it can be read when nothing else can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
}

/// Bytes of [`Head`].
pub const HEAD_LEN: usize = 8;

impl Head {
    pub fn read(reader: &mut Reader) -> Result<Head, WireError> {
        reader.field = "RequestHeader";
        Ok(Head { api: ApiKey(reader.i16()?), version: reader.i16()?, correlation_id: reader.i32()? })
    }
}

/// What follows the head: who speaks, and tags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Client {
    pub client_id: Option<Str>,
    pub tags: Tags,
}

impl Client {
    /// Reads the rest of a request's header, of an api and version that are known.
    pub fn read(reader: &mut Reader, info: &ApiInfo, version: i16) -> Result<Client, WireError> {
        reader.field = "RequestHeader.client_id";
        // The client id kept its old encoding in the flexible header.
        let cx = Cx { nullable: true, ..Cx::new(version, false) };
        let client_id = Option::<Str>::read(reader, cx)?;
        let mut tags = Tags::default();
        if info.is_flexible(version) {
            reader.field = "RequestHeader.tags";
            tags = read_tags(reader, |_, _| Ok(false))?;
        }
        Ok(Client { client_id, tags })
    }

    pub fn write(&self, writer: &mut Writer, info: &ApiInfo, head: Head) {
        writer.i16(head.api.0);
        writer.i16(head.version);
        writer.i32(head.correlation_id);
        self.client_id.write(writer, Cx { nullable: true, ..Cx::new(head.version, false) });
        if info.is_flexible(head.version) {
            write_tags(writer, Vec::new(), &self.tags);
        }
    }
}

/// True when the response's header has tags. ApiVersions never has: a client must read it before it knows the versions.
pub fn response_is_flexible(info: &ApiInfo, version: i16) -> bool {
    info.is_flexible(version) && info.key != ApiKey::ApiVersions
}

/// `tags` are those of a response from elsewhere; our own has none.
pub fn write_response_header(
    writer: &mut Writer,
    info: &ApiInfo,
    version: i16,
    correlation_id: i32,
    tags: &Tags,
) {
    writer.i32(correlation_id);
    if response_is_flexible(info, version) {
        write_tags(writer, Vec::new(), tags);
    }
}

/// Reads a response's header: its correlation id and tags.
pub fn read_response_header(
    reader: &mut Reader,
    info: &ApiInfo,
    version: i16,
) -> Result<(i32, Tags), WireError> {
    reader.field = "ResponseHeader";
    let correlation_id = reader.i32()?;
    let mut tags = Tags::default();
    if response_is_flexible(info, version) {
        tags = read_tags(reader, |_, _| Ok(false))?;
    }
    Ok((correlation_id, tags))
}
