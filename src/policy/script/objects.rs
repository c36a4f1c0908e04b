//! What closures see: `cx` and the record. What they share is in `shared`.

use super::call::{Form, fail, member, method, registered};
use crate::policy::action::Seen;
use crate::policy::action::json::{JsonValue, PathSet, Span};
use crate::policy::selector::ValuePath;
use rhai::{Dynamic, Engine, ImmutableString, Position};
use std::any::type_name;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Range;
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

/// A record in a script.
#[derive(Clone)]
pub struct RecordHandle(Rc<RecordData>);

/// A record's own copy of what a batch holds, in one buffer that the next record uses again.
#[derive(Default)]
struct RecordData {
    bytes: Vec<u8>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Vec<(Range<usize>, Option<Range<usize>>)>,
    offset: i64,
    timestamp: i64,
    literals: Rc<Literals>,
    found: RefCell<Found>,
}

/// What the literals found in the value: they look together, when the first of them is asked for.
#[derive(Default)]
struct Found {
    looked: bool,
    spans: Vec<Span>,
}

/// The paths that stand in a closure as literals.
#[derive(Default)]
pub struct Literals {
    /// Known by their place in memory (each time it runs, a script gives the same text), and the number of the path.
    texts: Vec<(ImmutableString, usize)>,
    paths: Vec<ValuePath>,
    set: PathSet,
}

impl Literals {
    /// Those among them that are paths; of very many some.
    pub fn new(texts: Vec<ImmutableString>) -> Self {
        let mut literals = Self::default();
        for text in texts {
            let Ok(path) = ValuePath::parse(&text) else { continue };
            let number = literals.paths.iter().position(|known| *known == path).unwrap_or_else(|| {
                literals.paths.push(path);
                literals.paths.len() - 1
            });
            literals.texts.push((text, number));
            if literals.texts.len() == LITERALS {
                break;
            }
        }
        literals.set = PathSet::new(literals.paths.iter().map(|path| &path.path));
        literals
    }

    fn number(&self, text: &ImmutableString) -> Option<usize> {
        self.texts.iter().find(|(known, _)| known.ptr_eq(text)).map(|(_, number)| *number)
    }
}

impl RecordHandle {
    pub fn new(shown: &Seen<'_>, literals: Rc<Literals>) -> Self {
        let mut data = RecordData { literals, ..RecordData::default() };
        data.fill(shown);
        Self(Rc::new(data))
    }

    /// Makes it this record, if nobody else has the one it is.
    pub fn fill(&mut self, shown: &Seen<'_>) -> bool {
        let data = Rc::get_mut(&mut self.0);
        data.map(|data| data.fill(shown)).is_some()
    }
}

impl RecordData {
    fn fill(&mut self, Seen { record, offset, timestamp }: &Seen<'_>) {
        let bytes = &mut self.bytes;
        bytes.clear();
        let mut keep = |part: &[u8]| {
            let start = bytes.len();
            bytes.extend_from_slice(part);
            start..bytes.len()
        };
        self.key = record.key.map(&mut keep);
        self.value = record.value.map(&mut keep);
        self.headers.clear();
        self.headers.extend(record.headers.into_iter().map(|h| (keep(h.key), h.value.map(&mut keep))));
        (self.offset, self.timestamp) = (*offset, *timestamp);
        self.found.get_mut().looked = false;
    }

    /// The value that a literal path leads to.
    fn at(&self, number: usize) -> Option<Dynamic> {
        let value = self.value()?;
        let mut found = self.found.borrow_mut();
        if !found.looked {
            found.looked = true;
            if self.literals.set.find(value, &mut found.spans).is_err() {
                found.spans.clear();
            }
        }
        let mut spans = found.spans.iter().filter(|span| span.path == number);
        let definite = self.literals.paths.get(number)?.path.is_definite();
        let span = if definite { spans.next_back() } else { spans.next() }?;
        let text = std::str::from_utf8(value.get(span.start..span.end)?).ok()?;
        self::found(JsonValue::of(text, &Span { start: 0, end: text.len(), ..*span }))
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|range| self.part(range))
    }

    fn value(&self) -> Option<&[u8]> {
        self.value.as_ref().map(|range| self.part(range))
    }

    /// Those of a name, in order.
    fn headers(&self, name: &str) -> impl DoubleEndedIterator<Item = Option<&[u8]>> {
        let named = self.headers.iter().filter(move |(key, _)| self.part(key) == name.as_bytes());
        named.map(|(_, value)| value.as_ref().map(|range| self.part(range)))
    }
}

/// Paths that closures asked for, compiled, and where what they find is put.
#[derive(Default)]
struct Paths {
    compiled: HashMap<ImmutableString, Rc<ValuePath>>,
    spans: Vec<Span>,
}

const PATHS: usize = 256;
const LITERALS: usize = 16;

impl Paths {
    fn compiled(&mut self, text: &ImmutableString) -> Result<Rc<ValuePath>, String> {
        if let Some(path) = self.compiled.get(text) {
            return Ok(Rc::clone(path));
        }
        let path = Rc::new(ValuePath::parse(text)?);
        if self.compiled.len() >= PATHS {
            self.compiled.clear();
        }
        self.compiled.insert(text.clone(), Rc::clone(&path));
        Ok(path)
    }
}

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
        let len = |part: Option<&[u8]>| part.map_or(0, |bytes| bytes.len() as i64);
        len(record.0.key()) + len(record.0.value())
    });
    // not by `method`: they are what closures on records spend their time with
    let after = Form::After(type_name::<RecordHandle>());
    registered::note::<Dynamic>("key", after, &(0..=0));
    registered::note::<Dynamic>("value", after, &(0..=1));
    registered::note::<Dynamic>("header", after, &(1..=1));
    registered::note::<rhai::Array>("headers", after, &(1..=1));
    engine
        .register_fn("key", |record: &mut RecordHandle| text(record.0.key()))
        .register_fn("value", |record: &mut RecordHandle| text(record.0.value()))
        .register_fn("header", |record: &mut RecordHandle, name: ImmutableString| {
            record.0.headers(&name).next_back().map_or(Dynamic::UNIT, text)
        })
        .register_fn("headers", |record: &mut RecordHandle, name: ImmutableString| {
            record.0.headers(&name).map(text).collect::<rhai::Array>()
        });
    let paths = RefCell::new(Paths::default());
    engine.register_fn(
        "value",
        move |record: &mut RecordHandle,
              path: ImmutableString|
              -> Result<Dynamic, Box<rhai::EvalAltResult>> {
            if let Some(number) = record.0.literals.number(&path) {
                return Ok(record.0.at(number).unwrap_or(Dynamic::UNIT));
            }
            let mut paths = paths.borrow_mut();
            let path = paths.compiled(&path).map_err(|message| fail(message, Position::NONE))?;
            let Some(value) = record.0.value() else { return Ok(Dynamic::UNIT) };
            Ok(path.first(value, &mut paths.spans, found).flatten().unwrap_or(Dynamic::UNIT))
        },
    );
}

/// A value that was found, as Rhai has it. None: no JSON after all.
pub fn found(value: JsonValue<'_>) -> Option<Dynamic> {
    Some(match value {
        JsonValue::String(text) => ImmutableString::from(&*text).into(),
        JsonValue::Number(raw) => match raw.parse::<i64>() {
            Ok(n) => n.into(),
            Err(_) => dynamic(serde_json::from_str(raw).ok()?),
        },
        JsonValue::Raw(raw) => dynamic(serde_json::from_str(raw).ok()?),
        JsonValue::Bool(truth) => truth.into(),
        JsonValue::Null => Dynamic::UNIT,
    })
}

/// Bytes as a script sees them: null is `()`, what is not UTF-8 is shown as far as it can be.
pub fn text(bytes: Option<impl AsRef<[u8]>>) -> Dynamic {
    match bytes {
        None => Dynamic::UNIT,
        Some(bytes) => String::from_utf8_lossy(bytes.as_ref()).into_owned().into(),
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
