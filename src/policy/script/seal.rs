//! `encrypt(path, key)` and `decrypt(path, key)`.

use super::actions::reads_alike;
use super::call::{Call, rule_word};
use super::host::Host;
use super::values::SecretName;
use crate::policy::action::{Edit, Keyring, OnUnparsable, Seal, SealTarget, SealWay, Target};
use crate::policy::rule::Action;
use rhai::{Array, Engine};
use std::rc::Rc;
use std::sync::Arc;

/// Keys of one action: one in use, and those it took the place of.
const KEYS: usize = 16;

pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    for (word, way, head) in
        [("encrypt", SealWay::Encrypt, "on_produce"), ("decrypt", SealWay::Decrypt, "on_fetch")]
    {
        let own = Rc::clone(host);
        rule_word(engine, word, 2..=2, move |rule, call| {
            let (target, keys) = (target(&call)?, Arc::new(keys(&call, &own)?));
            if let SealTarget::Field(_) = target {
                rule.edit(&call, |rule| reads_alike(&rule.actions, None))?;
            }
            let seal = Seal { way, target, keys, on_unparsable: OnUnparsable::default() };
            rule.act(&call, &[head], Action::Edit(Edit::Seal(seal)))
        });
    }
}

fn target(call: &Call<'_, '_>) -> Result<SealTarget, String> {
    let text = call.text(0)?;
    if text == "value" || text == "$" {
        return Ok(SealTarget::Whole);
    }
    match Target::parse(&text) {
        Ok(Target::Value(path)) => Ok(SealTarget::Field(path)),
        Ok(_) => Err(format!(
            "`{}` works on values, not on `{text}`: keys choose partitions and headers route; encrypt what they are made of",
            call.word
        )),
        Err(error) => Err(error.to_string()),
    }
}

fn keys(call: &Call<'_, '_>, host: &Rc<Host>) -> Result<Keyring, String> {
    let value = call.value(1);
    let list = value.clone().try_cast::<Array>().unwrap_or_else(|| vec![value.clone()]);
    if list.is_empty() || list.len() > KEYS {
        return Err(format!("`{}` wants one to {KEYS} keys", call.word));
    }
    let mut keys = Vec::new();
    for one in list {
        let Some(SecretName(name)) = one.clone().try_cast::<SecretName>() else {
            return Err(call.wants("a key: secret(\"name\"), or a list of them, the one in use first", &one));
        };
        if keys.iter().any(|(known, _)| *known == name) {
            return Err(format!("the key `{name}` is named twice"));
        }
        let key = host.draft(call.word, |draft| draft.secrets.seal_key(&name))??;
        keys.push((name, key));
    }
    Ok(Keyring::new(keys))
}
