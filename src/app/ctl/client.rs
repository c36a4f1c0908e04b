//! One HTTP or HTTPS request, over hyper's client: what the server already stands on, so nothing is added to the program for it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::app::cli::Ctl;
use crate::app::config::Config;
use crate::app::failure::Failure;
use crate::app::values::Address;
use crate::security::SecretBytes;
use crate::security::SecretString;
use crate::security::tls::{ClientFiles, client};

/// For the whole exchange: a script may take its time to load.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const ANSWER_BYTES: usize = 256 << 20;

/// Where to ask, and as whom.
pub struct Client {
    address: Address,
    token: Option<SecretString>,
    tls: Option<Arc<ClientConfig>>,
}

/// What the server said.
pub struct Answer {
    pub status: u16,
    body: Vec<u8>,
}

impl Client {
    /// What was typed goes before the settings.
    pub fn new(ctl: &Ctl, config: &Config) -> Result<Self, Failure> {
        let (mut address, is_https) = match (&ctl.admin, &config.admin) {
            (Some(typed), _) => address_of(typed)?,
            (None, Some(address)) => (address.clone(), config.admin_tls.is_some()),
            (None, None) => {
                return Err(Failure::usage("the setting `admin` is off; --admin says where to ask"));
            }
        };
        if address.is_unspecified() {
            // What listens everywhere listens here.
            address = Address::new("127.0.0.1", address.port);
        }
        let token = match (&ctl.token_file, &config.admin_token, &config.admin_token_file) {
            (Some(file), _, _) => Some(read_token(file)?),
            (None, Some(token), _) => Some(
                last_word(token.expose()).ok_or_else(|| Failure::usage("TOLLGATE_ADMIN_TOKEN is empty"))?,
            ),
            (None, None, Some(file)) => Some(read_token(file)?),
            (None, None, None) => None,
        };
        let tls = is_https.then(|| trusting(ctl, config)).transpose()?;
        Ok(Self { address, token, tls })
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask("GET", path, None)
    }

    /// Asks for a change below `/v1`.
    pub fn change(
        &self,
        method: &str,
        parts: &[&str],
        ttl: Option<&str>,
        security: bool,
        text: Option<String>,
    ) -> Result<Answer, Failure> {
        let ttl = ttl.map(|ttl| format!("ttl={}", encoded(ttl)));
        let security = security.then(|| "security=true".to_owned());
        let query: Vec<String> = ttl.into_iter().chain(security).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        self.ask(method, &format!("{}{query}", path(parts)), text)
    }

    fn ask(&self, method: &str, path: &str, text: Option<String>) -> Result<Answer, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Failure::cannot(format!("cannot start: {e}")))?;
        let cannot = |e: &dyn std::fmt::Display| {
            Failure::cannot(format!("the server at {} cannot be asked: {e}", self.address))
        };
        let asked = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.exchange(method, path, text)).await });
        match asked {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(cannot(&error)),
            Err(_) => Err(cannot(&format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }

    async fn exchange(&self, method: &str, path: &str, text: Option<String>) -> io::Result<Answer> {
        let stream = TcpStream::connect((self.address.host.as_str(), self.address.port)).await?;
        let Some(tls) = &self.tls else { return self.over(stream, method, path, text).await };
        let name = ServerName::try_from(self.address.host.clone()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await.map_err(explained)?;
        self.over(stream, method, path, text).await
    }

    async fn over(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        method: &str,
        path: &str,
        text: Option<String>,
    ) -> io::Result<Answer> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        let asked = async {
            let mut request =
                Request::builder().method(method).uri(path).header(header::HOST, self.address.to_string());
            if text.is_some() {
                request = request.header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
            }
            if let Some(token) = &self.token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
            }
            let request =
                request.body(text.map_or_else(Body::empty, Body::from)).map_err(io::Error::other)?;
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            let status = response.status().as_u16();
            let body =
                to_bytes(Body::new(response.into_body()), ANSWER_BYTES).await.map_err(io::Error::other)?;
            Ok(Answer { status, body: body.into() })
        };
        tokio::pin!(connection);
        tokio::pin!(asked);
        tokio::select! {
            answer = &mut asked => answer,
            ended = &mut connection => match ended {
                // All that was said is read by now, or it never comes.
                Ok(()) => asked.await,
                Err(error) => Err(io::Error::other(error)),
            },
        }
    }
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim_end().to_owned()
    }

    pub fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| {
            let status = StatusCode::from_u16(self.status).map_or_else(|_| String::new(), |s| s.to_string());
            Failure::cannot(format!("what answered ({status}) is no admin address of Tollgate"))
        })
    }
}

/// A path below `/v1`, of parts that may hold anything.
pub fn path(parts: &[&str]) -> String {
    parts.iter().fold("/v1".to_owned(), |path, part| format!("{path}/{}", encoded(part)))
}

/// Percent-encoded but for what RFC 3986 calls unreserved.
fn encoded(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                made.push(char::from(byte))
            }
            _ => made.push_str(&format!("%{byte:02X}")),
        }
    }
    made
}

/// `host:port`, or a URL without a path.
fn address_of(typed: &str) -> Result<(Address, bool), Failure> {
    let secured = typed.strip_prefix("https://");
    let rest = secured.or_else(|| typed.strip_prefix("http://")).unwrap_or(typed);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let address = rest.parse().map_err(|e| Failure::usage(format!("--admin {typed}: {e}")))?;
    Ok((address, secured.is_some()))
}

/// Whom to trust, and what to show.
fn trusting(ctl: &Ctl, config: &Config) -> Result<Arc<ClientConfig>, Failure> {
    let own = config.admin_tls.as_ref().map(|tls| &tls.certificate);
    let Some(ca) = ctl.ca.as_ref().or(own) else {
        return Err(Failure::usage("--ca says whom to trust over HTTPS: a PEM file of authorities"));
    };
    let files = ClientFiles { ca: ca.clone(), certificate: ctl.certificate.clone(), key: ctl.key.clone() };
    client(&files).map_err(|error| Failure::usage(error.to_string()))
}

/// rustls names what is wrong; what that means is said here where it is not plain.
fn explained(error: io::Error) -> io::Error {
    let text = error.to_string();
    match text.contains("CaUsedAsEndEntity") {
        true => io::Error::other(format!(
            "{text}: its certificate is marked as an authority's; make it with basicConstraints=CA:FALSE"
        )),
        false => error,
    }
}

fn read_token(file: &Path) -> Result<SecretString, Failure> {
    let cannot = |why: String| Failure::usage(format!("no token can be read from {}: {why}", file.display()));
    let opened = std::fs::File::open(file).map_err(|e| cannot(e.to_string()))?;
    let bytes = SecretBytes::read_from(opened).map_err(|e| cannot(e.to_string()))?;
    let text = bytes.into_text().ok_or_else(|| cannot("it is not UTF-8".to_owned()))?;
    let line = text.expose().lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    line.and_then(last_word).ok_or_else(|| cannot("there is none in it".to_owned()))
}

/// The token of a line, which is `TOKEN` or `NAME TOKEN`.
fn last_word(line: &str) -> Option<SecretString> {
    line.split_whitespace().last().map(|token| SecretString::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_hold_anything() {
        assert_eq!(path(&["policies", "a b/ü"]), "/v1/policies/a%20b%2F%C3%BC");
        assert_eq!(path(&["..", "?#%"]), "/v1/../%3F%23%25");
    }

    #[test]
    fn addresses_are_urls_or_not() {
        for typed in ["127.0.0.1:9644", "http://127.0.0.1:9644", "http://127.0.0.1:9644/"] {
            assert_eq!(address_of(typed).unwrap().0.to_string(), "127.0.0.1:9644");
        }
        assert!(address_of("https://localhost:1").unwrap().1 && !address_of("http://localhost:1").unwrap().1);
        for typed in ["https://localhost", "localhost", "http://localhost:1/v1", "ftp://localhost:1"] {
            assert!(address_of(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn the_first_token_of_a_file_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens");
        std::fs::write(&file, "# me\n\nme 0123456789abcdef\nother x\n").unwrap();
        assert_eq!(read_token(&file).unwrap().expose(), "0123456789abcdef");
        std::fs::write(&file, "# none\n").unwrap();
        assert!(read_token(&file).is_err());
    }
}
