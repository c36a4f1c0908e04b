//! What closures see: `cx` and the record. What they share is in `shared`.

use super::call::{Form, fail, member, method, registered};
use crate::policy::selector::ValuePath;
use bytes::Bytes;
use rhai::{Dynamic, Engine, ImmutableString, Position};
use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// The exchange, or the part of it, that a closure looks at.
#[derive(Clone)]
pub struct Cx(pub Rc<CxData>);

/// What `cx` knows. Absent things are `()`.
#[derive(Default)]
pub struct CxData {
    pub principal: ImmutableString,
    pub client_id: ImmutableString,
    pub listener: ImmutableString,
    pub ip: ImmutableString,
    pub api: ImmutableString,
    pub version: i64,
    pub topic: Option<ImmutableString>,
    pub partition: Option<i64>,
    pub group: Option<ImmutableString>,
    pub transactional_id: Option<ImmutableString>,
    /// `cx.deny` can be said here.
    pub may_deny: bool,
    pub denied: RefCell<Option<String>>,
    pub was_denied: Cell<bool>,
}

impl CxData {
    /// What was denied since the last look.
    pub fn take_denied(&self) -> Option<String> {
        self.was_denied.replace(false).then(|| self.denied.borrow_mut().take().unwrap_or_default())
    }
}

/// A record.
#[derive(Clone)]
pub struct RecordHandle(pub Rc<RecordData>);

pub struct RecordData {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Bytes, Option<Bytes>)>,
    pub offset: i64,
    pub timestamp: i64,
}

/// Paths that closures asked for, compiled.
type Paths = RefCell<HashMap<ImmutableString, Rc<ValuePath>>>;
const PATHS: usize = 256;

pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Cx>("cx");
    engine.register_type_with_name::<RecordHandle>("record");
    context(engine);
    record(engine);
}

/// The names that can follow `cx.` and `record.`, for the check at load.
pub const CX_MEMBERS: &[&str] = &[
    "principal",
    "client_id",
    "listener",
    "ip",
    "api",
    "version",
    "topic",
    "partition",
    "group",
    "transactional_id",
    "deny",
];
pub const RECORD_MEMBERS: &[&str] = &["value", "key", "header", "headers", "offset", "timestamp", "size"];

fn context(engine: &mut Engine) {
    let optional = |text: &Option<ImmutableString>| text.clone().map_or(Dynamic::UNIT, Dynamic::from);
    member(engine, "principal", |cx: &mut Cx| cx.0.principal.clone());
    member(engine, "client_id", |cx: &mut Cx| cx.0.client_id.clone());
    member(engine, "listener", |cx: &mut Cx| cx.0.listener.clone());
    member(engine, "ip", |cx: &mut Cx| cx.0.ip.clone());
    member(engine, "api", |cx: &mut Cx| cx.0.api.clone());
    member(engine, "version", |cx: &mut Cx| cx.0.version);
    member(engine, "topic", move |cx: &mut Cx| optional(&cx.0.topic));
    member(engine, "partition", |cx: &mut Cx| cx.0.partition.map_or(Dynamic::UNIT, Dynamic::from));
    member(engine, "group", move |cx: &mut Cx| optional(&cx.0.group));
    member(engine, "transactional_id", move |cx: &mut Cx| optional(&cx.0.transactional_id));
    method(engine, "deny", 0..=1, |cx: &mut Cx, call| {
        if !cx.0.may_deny {
            return Err("`cx.deny` belongs into `.each`; a `.when` says true or false".to_owned());
        }
        let reason = match call.value(0) {
            reason if reason.is_unit() => "refused by policy".to_owned(),
            reason => reason.to_string(),
        };
        *cx.0.denied.borrow_mut() = Some(reason);
        cx.0.was_denied.set(true);
        Ok(())
    });
}

fn record(engine: &mut Engine) {
    member(engine, "offset", |record: &mut RecordHandle| record.0.offset);
    member(engine, "timestamp", |record: &mut RecordHandle| record.0.timestamp);
    member(engine, "size", |record: &mut RecordHandle| {
        let len = |part: &Option<Bytes>| part.as_ref().map_or(0, |bytes| bytes.len() as i64);
        len(&record.0.key) + len(&record.0.value)
    });
    // not by `method`: they are what closures on records spend their time with
    let after = Form::After(type_name::<RecordHandle>());
    registered::note::<Dynamic>("key", after, &(0..=0));
    registered::note::<Dynamic>("value", after, &(0..=1));
    registered::note::<Dynamic>("header", after, &(1..=1));
    registered::note::<rhai::Array>("headers", after, &(1..=1));
    engine
        .register_fn("key", |record: &mut RecordHandle| text(record.0.key.as_ref()))
        .register_fn("value", |record: &mut RecordHandle| text(record.0.value.as_ref()))
        .register_fn("header", |record: &mut RecordHandle, name: ImmutableString| {
            let found = record.0.headers.iter().rev().find(|(n, _)| n[..] == *name.as_bytes());
            found.map_or(Dynamic::UNIT, |(_, value)| text(value.as_ref()))
        })
        .register_fn("headers", |record: &mut RecordHandle, name: ImmutableString| {
            let named = record.0.headers.iter().filter(|(n, _)| n[..] == *name.as_bytes());
            named.map(|(_, value)| text(value.as_ref())).collect::<rhai::Array>()
        });
    let paths = Rc::new(Paths::default());
    engine.register_fn(
        "value",
        move |record: &mut RecordHandle,
              path: ImmutableString|
              -> Result<Dynamic, Box<rhai::EvalAltResult>> {
            let path = compiled(&paths, path).map_err(|message| fail(message, Position::NONE))?;
            let Some(value) = &record.0.value else { return Ok(Dynamic::UNIT) };
            Ok(path.first(value).map_or(Dynamic::UNIT, dynamic))
        },
    );
}

fn compiled(paths: &Paths, text: ImmutableString) -> Result<Rc<ValuePath>, String> {
    if let Some(path) = paths.borrow().get(&text) {
        return Ok(Rc::clone(path));
    }
    let path = Rc::new(ValuePath::parse(&text)?);
    let mut paths = paths.borrow_mut();
    if paths.len() >= PATHS {
        paths.clear();
    }
    paths.insert(text, Rc::clone(&path));
    Ok(path)
}

/// Bytes as a script sees them: null is `()`, what is not UTF-8 is shown as far as it can be.
pub fn text(bytes: Option<&Bytes>) -> Dynamic {
    match bytes {
        None => Dynamic::UNIT,
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned().into(),
    }
}

/// A JSON value as Rhai has it; null is `()`.
pub fn dynamic(value: serde_json::Value) -> Dynamic {
    match value {
        serde_json::Value::Null => Dynamic::UNIT,
        serde_json::Value::Bool(truth) => truth.into(),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => n.into(),
            (None, Some(x)) => x.into(),
            (None, None) => n.to_string().into(),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(items) => items.into_iter().map(dynamic).collect::<rhai::Array>().into(),
        serde_json::Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name.into(), dynamic(value)));
            Dynamic::from_map(fields.collect())
        }
    }
}

/// A value of Rhai as JSON has it; what JSON does not know, by its text.
pub fn json(value: &Dynamic) -> serde_json::Value {
    if let Some(map) = value.clone().try_cast::<rhai::Map>() {
        return map.iter().map(|(name, value)| (name.to_string(), json(value))).collect();
    }
    if let Some(list) = value.clone().try_cast::<rhai::Array>() {
        return list.iter().map(json).collect();
    }
    match value {
        v if v.is_unit() => serde_json::Value::Null,
        v if v.is_bool() => v.as_bool().unwrap_or_default().into(),
        v if v.is_int() => v.as_int().unwrap_or_default().into(),
        v if v.is_float() => v.as_float().unwrap_or_default().into(),
        v => v.to_string().into(),
    }
}
