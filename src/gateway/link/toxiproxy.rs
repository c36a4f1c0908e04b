//! Toxiproxy's API (version 2), without HTTP: what is asked, what is answered. Its documentation is the README of Toxiproxy.
//!
//! Other than there, a proxy's upstream must be a listener of this gateway (400 otherwise), there are at most [`PROXIES`] proxies
//! with [`TOXICS`] toxics each, and a proxy without a host listens on 127.0.0.1.

use super::{
    proxies::{Entry, PROXIES, Proxies, Proxy, TOXICS, resolve},
    toxic::Toxic,
};
use crate::policy::fault::link::Way;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use tokio::sync::MutexGuard;

/// The version of Toxiproxy whose API this is.
pub const VERSION: &str = "2.12.0";
const NAME_BYTES: usize = 256;

/// An answer: status, and a body in JSON if there is one.
pub type Answer = (u16, Option<Value>);

/// What could not be done.
#[derive(Debug)]
struct Refused {
    status: u16,
    error: String,
}

fn refused<T>(status: u16, error: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { status, error: error.into() })
}

impl Refused {
    fn json(&self) -> Map<String, Value> {
        let fields = [("error", json!(self.error)), ("status", json!(self.status))];
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
    }
}

type All<'a> = MutexGuard<'a, BTreeMap<String, Proxy>>;

impl Proxies {
    /// Answers a request for a path, as it came.
    pub async fn call(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let path: Vec<String> = path.split('/').skip(1).map(decoded).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.answer(method, &path, body)
            .await
            .unwrap_or_else(|refused| (refused.status, Some(Value::Object(refused.json()))))
    }

    async fn answer(&self, method: &str, path: &[&str], body: &[u8]) -> Result<Answer, Refused> {
        match (method, path) {
            ("GET", ["version"]) => Ok((200, Some(json!({ "version": VERSION })))),
            ("POST", ["reset"]) => self.reset().await,
            ("GET", ["proxies"]) => {
                let all = self.all.lock().await;
                let shown = all.iter().map(|(name, proxy)| (name.clone(), shown(proxy)));
                Ok((200, Some(Value::Object(shown.collect()))))
            }
            ("POST", ["proxies"]) => self.create(&object(body)?).await,
            ("POST", ["populate"]) => Ok(self.populate(body).await),
            (_, ["proxies", proxy, rest @ ..]) => {
                let mut all = self.all.lock().await;
                let Some(found) = all.get_mut(*proxy) else { return refused(404, "proxy not found") };
                match (method, rest) {
                    ("GET", []) => Ok((200, Some(shown(found)))),
                    ("POST" | "PATCH", []) => self.change(found, &object(body)?).await,
                    ("DELETE", []) => {
                        found.stop().await;
                        all.remove(*proxy);
                        Ok((204, None))
                    }
                    ("GET", ["toxics"]) => {
                        Ok((200, Some(Value::Array(found.toxics.iter().map(shown_toxic).collect()))))
                    }
                    ("POST", ["toxics"]) => self.add(found, &object(body)?),
                    ("GET", ["toxics", toxic]) => {
                        let entry = &found.toxics[at(found, toxic)?];
                        Ok((200, Some(shown_toxic(entry))))
                    }
                    ("POST" | "PATCH", ["toxics", toxic]) => self.update(found, toxic, &object(body)?),
                    ("DELETE", ["toxics", toxic]) => {
                        let at = at(found, toxic)?;
                        found.toxics.remove(at);
                        found.changed();
                        Ok((204, None))
                    }
                    (_, [] | ["toxics"] | ["toxics", _]) => Ok((405, None)),
                    _ => Ok((404, None)),
                }
            }
            (_, ["version" | "reset" | "proxies" | "populate"]) => Ok((405, None)),
            _ => Ok((404, None)),
        }
    }

    /// Every proxy is there again, and has no toxics.
    async fn reset(&self) -> Result<Answer, Refused> {
        let mut all = self.all.lock().await;
        for proxy in all.values_mut() {
            if !proxy.is_enabled() {
                self.begin(proxy).await?;
            }
            proxy.toxics.clear();
            proxy.changed();
        }
        Ok((204, None))
    }

    async fn create(&self, input: &Map<String, Value>) -> Result<Answer, Refused> {
        let mut proxy = Proxy::new(text(input, "name")?, text(input, "listen")?, text(input, "upstream")?);
        let enabled = flag(input, "enabled")?.unwrap_or(true);
        for (field, value) in [("name", &proxy.name), ("upstream", &proxy.upstream)] {
            if value.is_empty() {
                return refused(400, format!("missing required field: {field}"));
            }
        }
        let mut all = self.all.lock().await;
        if all.contains_key(&proxy.name) {
            return refused(409, "proxy already exists");
        }
        self.has_room(&all, &proxy).await?;
        if enabled {
            self.begin(&mut proxy).await?;
        }
        let answer = shown(&proxy);
        all.insert(proxy.name.clone(), proxy);
        Ok((201, Some(answer)))
    }

    async fn has_room(&self, all: &All<'_>, proxy: &Proxy) -> Result<(), Refused> {
        if proxy.name.len() > NAME_BYTES {
            return refused(400, format!("a name has at most {NAME_BYTES} bytes"));
        }
        if all.len() >= PROXIES && !all.contains_key(&proxy.name) {
            return refused(400, format!("there are {PROXIES} proxies, and no more can be made"));
        }
        self.is_upstream(&proxy.upstream).await
    }

    async fn is_upstream(&self, upstream: &str) -> Result<(), Refused> {
        match self.is_listener(upstream).await {
            true => Ok(()),
            false => refused(
                400,
                format!("upstream {upstream} is not a listener of this gateway, which leads nowhere else"),
            ),
        }
    }

    async fn begin(&self, proxy: &mut Proxy) -> Result<(), Refused> {
        match self.start(proxy).await {
            Ok(()) => Ok(()),
            Err(error) => refused(500, format!("listen {}: {error}", proxy.listen)),
        }
    }

    /// Makes all of these, leaving alone those that are there like this already.
    async fn populate(&self, body: &[u8]) -> Answer {
        let mut made: Option<Vec<Value>> = None;
        let result = self.populate_into(body, &mut made).await;
        let (status, mut answer) = match result {
            Ok(()) => (201, Map::new()),
            Err(refused) => (refused.status, refused.json()),
        };
        answer.insert("proxies".to_owned(), json!(made));
        (status, Some(Value::Object(answer)))
    }

    async fn populate_into(&self, body: &[u8], made: &mut Option<Vec<Value>>) -> Result<(), Refused> {
        let Value::Array(items) = parsed(body)? else { return refused(400, "bad request body: not a list") };
        let mut wanted = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let Value::Object(item) = item else { return refused(400, "bad request body: not a proxy") };
            let proxy = Proxy::new(text(item, "name")?, text(item, "listen")?, text(item, "upstream")?);
            for (field, value) in [("name", &proxy.name), ("upstream", &proxy.upstream)] {
                if value.is_empty() {
                    return refused(400, format!("missing required field: {field} at proxy {}", n + 1));
                }
            }
            wanted.push((proxy, flag(item, "enabled")?.unwrap_or(true)));
        }
        let mut all = self.all.lock().await;
        let made = made.get_or_insert_default();
        for (mut proxy, enabled) in wanted {
            self.has_room(&all, &proxy).await?;
            if let Some(existing) = all.get_mut(&proxy.name) {
                if !differs(existing, &proxy.listen, &proxy.upstream).await? {
                    made.push(shown(existing));
                    continue;
                }
                existing.stop().await;
            }
            if enabled {
                self.begin(&mut proxy).await?;
            }
            made.push(shown(&proxy));
            all.insert(proxy.name.clone(), proxy);
        }
        Ok(())
    }

    async fn change(&self, proxy: &mut Proxy, input: &Map<String, Value>) -> Result<Answer, Refused> {
        let listen = some_text(input, "listen")?.unwrap_or_else(|| proxy.listen.clone());
        let upstream = some_text(input, "upstream")?.unwrap_or_else(|| proxy.upstream.clone());
        let enabled = flag(input, "enabled")?.unwrap_or(proxy.is_enabled());
        self.is_upstream(&upstream).await?;
        if differs(proxy, &listen, &upstream).await? {
            proxy.stop().await;
            (proxy.listen, proxy.upstream) = (listen, upstream);
        }
        match (enabled, proxy.is_enabled()) {
            (true, false) => self.begin(proxy).await?,
            (false, true) => proxy.stop().await,
            _ => {}
        }
        Ok((200, Some(shown(proxy))))
    }

    fn add(&self, proxy: &mut Proxy, input: &Map<String, Value>) -> Result<Answer, Refused> {
        let stream = some_text(input, "stream")?.unwrap_or_else(|| "downstream".to_owned());
        let kind = text(input, "type")?;
        let toxicity = toxicity(input)?.unwrap_or(1.0);
        let name = text(input, "name")?;
        let way = match stream.to_lowercase().as_str() {
            "upstream" => Way::Up,
            "downstream" => Way::Down,
            _ => return refused(400, "stream was invalid, can be either upstream or downstream"),
        };
        let name = if name.is_empty() { format!("{kind}_{stream}") } else { name };
        let Some(mut toxic) = Toxic::of_kind(&kind) else { return refused(400, "invalid toxic type") };
        if proxy.toxics.iter().any(|entry| entry.name == name) {
            return refused(409, "toxic already exists");
        }
        if proxy.toxics.len() >= TOXICS || name.len() > NAME_BYTES {
            return refused(
                400,
                format!("a proxy has {TOXICS} toxics, with names of {NAME_BYTES} bytes, at most"),
            );
        }
        take(&mut toxic, input)?;
        let entry = Entry { id: self.next_id(), name, stream, way, toxicity, toxic };
        let answer = shown_toxic(&entry);
        proxy.toxics.push(entry);
        proxy.changed();
        Ok((200, Some(answer)))
    }

    fn update(&self, proxy: &mut Proxy, name: &str, input: &Map<String, Value>) -> Result<Answer, Refused> {
        let at = at(proxy, name)?;
        let entry = &mut proxy.toxics[at];
        let toxicity = toxicity(input)?;
        take(&mut entry.toxic, input)?;
        entry.toxicity = toxicity.unwrap_or(entry.toxicity);
        entry.id = self.next_id();
        let answer = shown_toxic(entry);
        proxy.changed();
        Ok((200, Some(answer)))
    }
}

/// Where a toxic is among those of its proxy.
fn at(proxy: &Proxy, name: &str) -> Result<usize, Refused> {
    match proxy.toxics.iter().position(|entry| entry.name == name) {
        Some(at) => Ok(at),
        None => refused(404, "toxic not found"),
    }
}

/// Whether a proxy would have to begin anew to be this.
async fn differs(proxy: &Proxy, listen: &str, upstream: &str) -> Result<bool, Refused> {
    match resolve(listen).await {
        Ok(address) => Ok(proxy.listen != address.to_string() || proxy.upstream != upstream),
        Err(error) => refused(500, format!("listen {listen}: {error}")),
    }
}

fn shown(proxy: &Proxy) -> Value {
    json!({
        "name": proxy.name,
        "listen": proxy.listen,
        "upstream": proxy.upstream,
        "enabled": proxy.is_enabled(),
        "toxics": proxy.toxics.iter().map(shown_toxic).collect::<Vec<_>>(),
    })
}

fn shown_toxic(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "type": entry.toxic.kind(),
        "stream": entry.stream,
        "toxicity": entry.toxicity,
        "attributes": entry.toxic.attributes(),
    })
}

fn parsed(body: &[u8]) -> Result<Value, Refused> {
    // what follows the first value is nobody's business, as with Toxiproxy
    match serde_json::Deserializer::from_slice(body).into_iter().next() {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => refused(400, format!("bad request body: {error}")),
        None => refused(400, "bad request body: EOF"),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, Refused> {
    match parsed(body)? {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        _ => refused(400, "bad request body: not an object"),
    }
}

fn some_text(input: &Map<String, Value>, name: &str) -> Result<Option<String>, Refused> {
    match input.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => refused(400, format!("bad request body: {name} is a text")),
    }
}

fn text(input: &Map<String, Value>, name: &str) -> Result<String, Refused> {
    Ok(some_text(input, name)?.unwrap_or_default())
}

fn flag(input: &Map<String, Value>, name: &str) -> Result<Option<bool>, Refused> {
    match input.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => refused(400, format!("bad request body: {name} is true or false")),
    }
}

fn toxicity(input: &Map<String, Value>) -> Result<Option<f64>, Refused> {
    match input.get("toxicity") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(toxicity) => Ok(Some(toxicity)),
            None => refused(400, "bad request body: toxicity is a number"),
        },
    }
}

fn take(toxic: &mut Toxic, input: &Map<String, Value>) -> Result<(), Refused> {
    let mut taken = toxic.clone();
    let result = match input.get("attributes") {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Object(attributes)) => taken.update(attributes),
        Some(_) => Err("attributes are an object".to_owned()),
    };
    match result {
        Ok(()) => {
            *toxic = taken;
            Ok(())
        }
        Err(error) => refused(400, format!("bad request body: {error}")),
    }
}

/// `%20` in a path.
fn decoded(segment: &str) -> String {
    let bytes = segment.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *byte == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}
