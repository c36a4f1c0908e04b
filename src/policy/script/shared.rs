//! What closures share across sessions: windows, counters and maps. Their words take any value: a missing `$.user` is `()`, and
//! `()` is a key under which nothing ever is.

use super::call::{Call, method, word};
use super::host::Host;
use super::objects::{dynamic, json};
use super::pending::Tally;
use crate::policy::state::{Kind, STATES_PER_POLICY, SharedMap, VALUE_BYTES};
use rhai::{Dynamic, Engine, ImmutableString};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A window or a counter.
#[derive(Clone)]
struct TallyHandle(Tally);

#[derive(Clone)]
struct SharedMapHandle(Arc<SharedMap>);

pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    engine.register_type_with_name::<TallyHandle>("window or counter");
    engine.register_type_with_name::<SharedMapHandle>("shared_map");
    let own = Rc::clone(host);
    word(engine, "window", 2..=2, move |call| {
        let length = call.duration(1)?;
        if length < Duration::from_millis(1) {
            return Err("a window is at least a millisecond long".to_owned());
        }
        let name = named(&own, &call, Kind::Window(length))?;
        own.draft(call.word, |draft| {
            TallyHandle(Tally::Window(draft.state.window(&draft.name, &name, length)))
        })
    });
    let own = Rc::clone(host);
    word(engine, "counter", 1..=1, move |call| {
        let name = named(&own, &call, Kind::Counter)?;
        own.draft(call.word, |draft| TallyHandle(Tally::Counter(draft.state.counter(&draft.name, &name))))
    });
    let own = Rc::clone(host);
    word(engine, "shared_map", 1..=1, move |call| {
        let name = named(&own, &call, Kind::Map)?;
        own.draft(call.word, |draft| SharedMapHandle(draft.state.shared_map(&draft.name, &name)))
    });
    counts(engine, host);
    values(engine, host);
}

/// Notes that the policy has state of this name and kind.
fn named(host: &Host, call: &Call<'_, '_>, kind: Kind) -> Result<String, String> {
    let name = call.text(0)?;
    if name.is_empty() || name.len() > 100 {
        return Err(format!("a {} has a name of at most 100 bytes", kind.word()));
    }
    host.draft(call.word, |draft| {
        let mut known = draft.state_names.iter().filter(|(known, _)| *known == name);
        if let (Kind::Window(length), Some(before)) =
            (kind, known.clone().find_map(|(_, kind)| length_of(*kind)))
            && before != length
        {
            return Err(format!("the window \"{name}\" was {before:?} long before"));
        }
        if !known.any(|(_, known)| *known == kind) {
            if draft.state_names.len() >= STATES_PER_POLICY {
                return Err(format!("a policy has at most {STATES_PER_POLICY} windows, counters and maps"));
            }
            draft.state_names.push((name.clone(), kind));
        }
        Ok(name)
    })?
}

fn length_of(kind: Kind) -> Option<Duration> {
    match kind {
        Kind::Window(length) => Some(length),
        _ => None,
    }
}

fn counts(engine: &mut Engine, host: &Rc<Host>) {
    let own = Rc::clone(host);
    method(engine, "count", 1..=1, move |tally: &mut TallyHandle, call| {
        Ok(with_key(&call.value(0), |key| key.map_or(0, |key| own.additions(|a| a.count(&tally.0, key)))))
    });
    let own = Rc::clone(host);
    method(engine, "add", 1..=2, move |tally: &mut TallyHandle, call| {
        let least = match &tally.0 {
            Tally::Window(_) => 0,
            Tally::Counter(_) => i64::MIN,
        };
        let n = if call.len() > 1 { call.integer(1, least)? } else { 1 };
        with_key(&call.value(0), |key| match key {
            Some(key) => own.additions(|a| a.add(&tally.0, key, n)),
            None => Ok(()),
        })
    });
}

fn values(engine: &mut Engine, host: &Rc<Host>) {
    let own = Rc::clone(host);
    method(engine, "get", 1..=1, move |map: &mut SharedMapHandle, call| {
        let found = with_key(&call.value(0), |key| key.map(|key| own.additions(|a| a.value(&map.0, key))));
        Ok(found.map_or(Dynamic::UNIT, dynamic))
    });
    let own = Rc::clone(host);
    method(engine, "set", 2..=2, move |map: &mut SharedMapHandle, call| {
        let value = json(&call.value(1));
        let bytes = match &value {
            serde_json::Value::String(text) => text.len(),
            other => other.to_string().len(),
        };
        if bytes > VALUE_BYTES {
            return Err(format!("a value of a shared_map has at most {VALUE_BYTES} bytes, this one {bytes}"));
        }
        with_key(&call.value(0), |key| match key {
            Some(key) => own.additions(|a| a.set(&map.0, key, value)),
            None => Ok(()),
        })
    });
    let own = Rc::clone(host);
    method(engine, "remove", 1..=1, move |map: &mut SharedMapHandle, call| {
        with_key(&call.value(0), |key| match key {
            Some(key) => own.additions(|a| a.set(&map.0, key, serde_json::Value::Null)),
            None => Ok(()),
        })
    });
}

/// Does something with what a value counts under; nothing counts under `()`. `1` and `"1"` are different keys.
fn with_key<T>(value: &Dynamic, act: impl FnOnce(Option<&[u8]>) -> T) -> T {
    if value.is_unit() {
        return act(None);
    }
    let Some(text) = value.read_lock::<ImmutableString>() else {
        return act(Some(&[b"v", value.to_string().as_bytes()].concat()));
    };
    // most are short
    let mut room = [b's'; 64];
    match room.get_mut(1..=text.len()) {
        Some(rest) => {
            rest.copy_from_slice(text.as_bytes());
            act(room.get(..=text.len()))
        }
        None => act(Some(&[b"s", text.as_bytes()].concat())),
    }
}
