//! Requests and responses: raw bytes whose body is decoded when someone asks, and written anew only when it was edited.

use super::{
    error::{WireError, WireErrorKind},
    error_code::ErrorCode,
    header::{Client, Head, read_response_header, write_response_header},
    payload::Piece,
    read::Reader,
    table::{ApiInfo, ApiKey, RequestBody, ResponseBody},
    types::{Str, Tags},
    write::Writer,
};
use bytes::Bytes;

/// A request as it came: its header is parsed, its body is opaque until asked for.
#[derive(Clone, Debug)]
pub struct Request {
    head: Head,
    info: &'static ApiInfo,
    client: Client,
    /// The frame's payload; None once the body was edited.
    raw: Option<Bytes>,
    body_at: usize,
    body: Option<RequestBody>,
}

impl Request {
    /// Parses the header of a frame's payload. Fails with `UnknownApi` or `UnsupportedVersion` when no more than the
    /// head can be read; `Head::read` still gives that.
    pub fn parse(frame: Bytes) -> Result<Request, WireError> {
        let mut reader = Reader::new(frame.clone());
        let head = Head::read(&mut reader)?;
        let fail = |kind| {
            WireError::new("RequestHeader", 0, kind).within(head.api.name().unwrap_or(""), head.version)
        };
        let info = head.api.info().ok_or_else(|| fail(WireErrorKind::UnknownApi(head.api.0)))?;
        if !info.supports(head.version) {
            return Err(fail(WireErrorKind::UnsupportedVersion {
                api: info.name,
                version: head.version,
                min: info.min_version,
                max: info.max_version,
            }));
        }
        let client =
            Client::read(&mut reader, info, head.version).map_err(|e| e.within(info.name, head.version))?;
        let body_at = reader.position();
        Ok(Request { head, info, client, raw: Some(frame), body_at, body: None })
    }

    /// A request made here.
    pub fn new(
        version: i16,
        correlation_id: i32,
        client_id: Option<Str>,
        body: RequestBody,
    ) -> Option<Request> {
        let head = Head { api: body.api(), version, correlation_id };
        let info = head.api.info().filter(|info| info.supports(version))?;
        let client = Client { client_id, ..Client::default() };
        Some(Request { head, info, client, raw: None, body_at: 0, body: Some(body) })
    }

    pub fn api(&self) -> ApiKey {
        self.head.api
    }
    pub fn info(&self) -> &'static ApiInfo {
        self.info
    }
    pub fn version(&self) -> i16 {
        self.head.version
    }
    pub fn correlation_id(&self) -> i32 {
        self.head.correlation_id
    }
    pub fn client_id(&self) -> Option<&Str> {
        self.client.client_id.as_ref()
    }

    /// Bytes of a frame's payload before its body.
    pub fn header_len(&self) -> usize {
        self.body_at
    }

    /// The decoded body, decoded at the first call.
    pub fn body(&mut self) -> Result<&RequestBody, WireError> {
        self.decode()?;
        self.decoded()
    }

    /// The body if someone asked for it before.
    pub fn decoded(&self) -> Result<&RequestBody, WireError> {
        self.body.as_ref().ok_or_else(|| self.missing())
    }

    /// The body for editing: the raw form is given up.
    pub fn body_mut(&mut self) -> Result<&mut RequestBody, WireError> {
        self.decode()?;
        self.raw = None;
        let missing = self.missing();
        self.body.as_mut().ok_or(missing)
    }

    /// The decoded body, taken out.
    pub fn into_body(mut self) -> Result<RequestBody, WireError> {
        self.decode()?;
        let missing = self.missing();
        self.body.ok_or(missing)
    }

    fn missing(&self) -> WireError {
        WireError::new("body", 0, WireErrorKind::UnexpectedNull).within(self.info.name, self.head.version)
    }

    fn decode(&mut self) -> Result<(), WireError> {
        if let (None, Some(raw)) = (&self.body, &self.raw) {
            let mut reader = Reader::new(raw.clone());
            reader.bytes(self.body_at)?;
            self.body = Some(RequestBody::read(self.head.api, self.head.version, &mut reader)?);
        }
        Ok(())
    }

    /// The frame with its length prefix: the original bytes where nothing was edited.
    pub fn encode(&self) -> Result<Vec<Piece>, WireError> {
        let mut writer = Writer::frame();
        match (&self.raw, &self.body) {
            (Some(raw), _) => writer.bytes(raw),
            (None, Some(body)) => {
                self.client.write(&mut writer, self.info, self.head);
                body.write(self.head.version, &mut writer)?;
            }
            (None, None) => return Err(self.missing()),
        }
        Ok(writer.finish_frame())
    }

    /// The reply that fails this request whole; None where its api and version have no place for an error.
    pub fn answer(&mut self, code: ErrorCode) -> Result<Option<Response>, WireError> {
        let version = self.version();
        let body = self.body()?.answer(version, code);
        Ok(body.map(|body| Response::new(self, body)))
    }
}

/// A response: decoded (as the embedded broker and this crate's own answers are), or a frame from elsewhere.
#[derive(Clone, Debug)]
pub struct Response {
    pub api: ApiKey,
    pub version: i16,
    pub correlation_id: i32,
    /// Tagged fields of the header, kept for a rewrite.
    pub header_tags: Tags,
    pub body: ResponseBody,
}

impl Response {
    /// A response to `request`.
    pub fn new(request: &Request, body: ResponseBody) -> Response {
        Response {
            api: request.api(),
            version: request.version(),
            correlation_id: request.correlation_id(),
            header_tags: Tags::default(),
            body,
        }
    }

    /// Decodes a frame's payload that answers a request of this api and version.
    pub fn parse(api: ApiKey, version: i16, frame: Bytes) -> Result<Response, WireError> {
        let mut reader = Reader::new(frame);
        let unknown = || WireError::new("", 0, WireErrorKind::UnknownApi(api.0));
        let info = api.info().ok_or_else(unknown)?;
        let (correlation_id, header_tags) = read_response_header(&mut reader, info, version)?;
        let body = ResponseBody::read(api, version, &mut reader)?;
        Ok(Response { api, version, correlation_id, header_tags, body })
    }

    /// The frame with its length prefix, large payloads as pieces of their own.
    pub fn encode(&self) -> Result<Vec<Piece>, WireError> {
        let mut writer = Writer::frame();
        let unknown = || WireError::new("", 0, WireErrorKind::UnknownApi(self.api.0));
        let info = self.api.info().ok_or_else(unknown)?;
        write_response_header(&mut writer, info, self.version, self.correlation_id, &self.header_tags);
        self.body.write(self.version, &mut writer)?;
        Ok(writer.finish_frame())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// librdkafka 2.16.1 asks for all topics with a four-byte null where the version has a one-byte one. Kafka reads the first
    /// byte as the null and lets the three at the end be; so must we, or the client never hears of a topic.
    #[test]
    fn librdkafka_leaves_bytes_behind_metadata_13() {
        let frame = include_bytes!("../../tests/data/requests/librdkafka-2.16.1-metadata-13-all-topics.bin");
        let mut request = Request::parse(Bytes::from_static(frame)).unwrap();
        assert_eq!((request.api(), request.version()), (ApiKey::Metadata, 13));
        let RequestBody::Metadata(body) = request.body().unwrap() else { panic!("not a metadata request") };
        assert_eq!(body.topics, None);
    }
}
