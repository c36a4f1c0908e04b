//! The words that protect and shape, and what names a rule or makes it watch only.

use super::call::{rule_word, word};
use super::host::Host;
use super::schema::schema_at;
use super::values::{SecretName, how};
use crate::policy::action::{Edit, HashKey, How, Mask, OnUnparsable, Route, SealTarget, SealWay, Target};
use crate::policy::error::Place;
use crate::policy::glob::{Glob, Patterns};
use crate::policy::rule::Action;
use crate::policy::schema::Schema;
use crate::policy::selector::When;
use crate::policy::template::Template;
use rhai::Engine;
use std::rc::Rc;
use std::sync::Arc;

const ALL: &[&str] = &["on_access", "on_connect", "on_produce", "on_fetch", "on_request"];
const AUDITED: &[&str] = &["on_access", "on_connect", "on_produce", "on_fetch", "on_request", "on_create"];
const RECORDS: &[&str] = &["on_produce", "on_fetch"];

pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    rule_word(engine, "deny", 0..=1, |rule, call| {
        let reason = if call.len() > 0 { Some(call.text(0)?) } else { None };
        rule.act(&call, ALL, Action::Deny(reason))
    });
    rule_word(engine, "allow", 0..=0, |rule, call| rule.act(&call, &["on_access"], Action::Allow));
    rule_word(engine, "audit", 0..=0, |rule, call| rule.act(&call, AUDITED, Action::Audit));
    rule_word(engine, "mask", 2..=3, |rule, call| {
        let target = Target::parse(&call.text(0)?).map_err(|error| error.to_string())?;
        let schema = if call.len() > 2 { Some(schema_at(&call, 2)?) } else { None };
        let mask = Mask { target, how: how(&call, 1)?, schema, on_unparsable: OnUnparsable::default() };
        mask.fits()?;
        if let Target::Value(_) = mask.target {
            rule.edit(&call, |rule| reads_alike(&rule.actions, mask.schema.as_ref()))?;
        }
        rule.act(&call, RECORDS, Action::Edit(Edit::Mask(mask)))
    });
    rule_word(engine, "on_unparsable", 1..=1, |rule, call| {
        let choice = match call.text(0)?.as_str() {
            "empty" => OnUnparsable::Empty,
            "null" => OnUnparsable::Null,
            "error" => OnUnparsable::Error,
            "pass" => OnUnparsable::Pass,
            other => {
                return Err(format!("\"{other}\" is none of \"empty\", \"null\", \"error\", \"pass\""));
            }
        };
        rule.edit(&call, |rule| {
            let mut found = false;
            // those before have said what they want
            for (action, _) in rule.actions.iter_mut().skip(rule.unparsable_chosen) {
                match action {
                    Action::Edit(Edit::Mask(mask)) => (mask.on_unparsable, found) = (choice, true),
                    Action::Edit(Edit::Seal(seal)) if seal.way == SealWay::Encrypt => {
                        (seal.on_unparsable, found) = (choice, true);
                    }
                    _ => {}
                }
            }
            rule.unparsable_chosen = rule.actions.len();
            match found {
                true => Ok(()),
                false => Err("`on_unparsable` follows the masks and encryptions it is about".to_owned()),
            }
        })
    });
    headers(engine);
    rule_word(engine, "route", 1..=2, |rule, call| {
        let reason = if call.len() > 1 { Some(call.text(1)?) } else { None };
        let route = Route::new(call.text(0)?, reason)?;
        rule.act(&call, &["on_produce"], Action::Route(route))
    });
    rule_word(engine, "each", 1..=1, |rule, call| {
        let closure = call.closure(0)?;
        // looked at before the closure is kept: indexes must not depend on what is refused
        rule.edit(&call, |_| Ok(()))?;
        let (index, text) = rule.keep(&call, closure)?;
        rule.act(&call, RECORDS, Action::Each(When { closure: index, text }))
    });
    rule_word(engine, "named", 1..=1, |rule, call| {
        let name = call.text(0)?;
        if name.is_empty() || name.len() > 100 {
            return Err("a rule's name has at most 100 bytes".to_owned());
        }
        rule.edit(&call, |rule| match rule.named.replace(name) {
            None => Ok(()),
            Some(_) => Err("`named` stands once in a rule".to_owned()),
        })
    });
    rule_word(engine, "observe", 0..=0, |rule, call| {
        rule.edit(&call, |rule| {
            rule.observe = true;
            Ok(())
        })
    });
    rule_word(engine, "expires", 1..=1, |rule, call| {
        let time = call.duration(0)?;
        rule.edit(&call, |rule| match rule.expires.replace((time, call.place())) {
            None => Ok(()),
            Some(_) => Err("`expires` stands once in a rule".to_owned()),
        })
    });
    secrets(engine, host);
}

/// A value is JSON or of one schema: a rule that took it for both would hide every value.
pub fn reads_alike(actions: &[(Action, Place)], schema: Option<&Arc<Schema>>) -> Result<(), String> {
    let other = actions.iter().find(|(action, _)| match action {
        Action::Edit(Edit::Mask(Mask { target: Target::Value(_), schema: known, .. })) => {
            known.as_ref() != schema
        }
        Action::Edit(Edit::Seal(seal)) => seal.target != SealTarget::Whole && schema.is_some(),
        _ => false,
    });
    match other {
        Some((other, _)) => Err(format!(
            "`{other}` takes the value for something else: what looks into it in one rule names the same schema, or none"
        )),
        None => Ok(()),
    }
}

fn headers(engine: &mut Engine) {
    rule_word(engine, "set_header", 2..=2, |rule, call| {
        let name = call.text(0)?;
        if name.is_empty() {
            return Err("a header has a name".to_owned());
        }
        let value = Template::parse(&call.text(1)?)?;
        rule.act(&call, RECORDS, Action::Edit(Edit::SetHeader { name, value }))
    });
    rule_word(engine, "remove_header", 1..=super::call::MOST, |rule, call| {
        let names = Patterns::new(call.some_texts()?);
        rule.act(&call, RECORDS, Action::Edit(Edit::RemoveHeader(names)))
    });
    rule_word(engine, "require_header", 1..=1, |rule, call| {
        let name = Glob::new(&call.text(0)?);
        rule.act(&call, &["on_produce"], Action::RequireHeader(name))
    });
}

fn secrets(engine: &mut Engine, host: &Rc<Host>) {
    word(engine, "secret", 1..=1, |call| Ok(SecretName(call.text(0)?)));
    let own = Rc::clone(host);
    word(engine, "hash", 1..=1, move |call| {
        let value = call.value(0);
        let Some(SecretName(name)) = value.clone().try_cast::<SecretName>() else {
            return Err(call.wants("a key: secret(\"name\")", &value));
        };
        let key = own.draft(call.word, |draft| draft.secrets.find(&name))??;
        Ok(How::Hash(HashKey::new(name, &key)))
    });
}
