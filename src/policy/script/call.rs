//! How a word is registered: with any number of arguments of any type, so that a wrong one is told by the word
//! itself, with what it wants and what it got, and not by "function not found".

use super::draft::RuleHandle;
use crate::policy::error::Place;
use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, Position};
use std::any::{TypeId, type_name};
use std::ops::RangeInclusive;

/// The most arguments a word takes; longer lists are written as arrays.
pub const MOST: usize = 12;

/// A call of a word.
pub struct Call<'a, 'b> {
    pub word: &'static str,
    pub position: Position,
    args: &'a mut [&'b mut Dynamic],
}

/// Registers a word that stands alone.
pub fn word<T: rhai::Variant + Clone>(
    engine: &mut Engine,
    word: &'static str,
    arguments: RangeInclusive<usize>,
    act: impl Fn(Call<'_, '_>) -> Result<T, String> + Clone + 'static,
) {
    registered::note::<T>(word, Form::Alone, &arguments);
    for n in arguments {
        let act = act.clone();
        let types = vec![TypeId::of::<Dynamic>(); n];
        engine.register_raw_fn(word, types, move |context, args| {
            let position = context.call_position();
            act(Call { word, position, args }).map_err(|message| fail(message, position))
        });
    }
}

/// Registers a word that follows a value of type `T` with a dot.
pub fn method<T: rhai::Variant + Clone, R: rhai::Variant + Clone>(
    engine: &mut Engine,
    word: &'static str,
    arguments: RangeInclusive<usize>,
    act: impl Fn(&mut T, Call<'_, '_>) -> Result<R, String> + Clone + 'static,
) {
    registered::note::<R>(word, Form::After(type_name::<T>()), &arguments);
    for n in arguments {
        let act = act.clone();
        let mut types = vec![TypeId::of::<T>()];
        types.extend(vec![TypeId::of::<Dynamic>(); n]);
        engine.register_raw_fn(word, types, move |context, args| {
            let position = context.call_position();
            let result = match args.split_first_mut() {
                Some((this, rest)) => match this.write_lock::<T>() {
                    Some(mut this) => act(&mut this, Call { word, position, args: rest }),
                    None => Err(format!("`{word}` cannot be used on this value")),
                },
                None => Err(format!("`{word}` stands alone")),
            };
            result.map_err(|message| fail(message, position))
        });
    }
}

/// Registers a word of a rule that is being written: it gives the rule back, for the next word.
pub fn rule_word(
    engine: &mut Engine,
    word: &'static str,
    arguments: RangeInclusive<usize>,
    act: impl Fn(&mut RuleHandle, Call<'_, '_>) -> Result<(), String> + Clone + 'static,
) {
    method(engine, word, arguments, move |rule: &mut RuleHandle, call| {
        act(rule, call).map(|()| rule.clone())
    });
}

/// Registers what is read of a value of type `T`, as `value.name`.
pub fn member<T: rhai::Variant + Clone, R: rhai::Variant + Clone>(
    engine: &mut Engine,
    name: &'static str,
    read: impl Fn(&mut T) -> R + 'static,
) {
    registered::note::<R>(name, Form::Member(type_name::<T>()), &(0..=0));
    engine.register_get(name, read);
}

/// An error of a word, as Rhai carries it.
pub fn fail(message: String, position: Position) -> Box<EvalAltResult> {
    EvalAltResult::ErrorRuntime(message.into(), position).into()
}

impl Call<'_, '_> {
    pub fn place(&self) -> Place {
        self.position.into()
    }

    pub fn len(&self) -> usize {
        self.args.len()
    }

    pub fn value(&self, at: usize) -> Dynamic {
        self.args.get(at).map_or(Dynamic::UNIT, |value| value.flatten_clone())
    }

    /// A text.
    pub fn text(&self, at: usize) -> Result<String, String> {
        let value = self.value(at);
        match value.is_string() {
            true => Ok(value.to_string()),
            false => Err(self.wants("a text", &value)),
        }
    }

    /// All arguments as texts; arrays among them are laid out.
    pub fn texts(&self) -> Result<Vec<String>, String> {
        let mut texts = Vec::new();
        for at in 0..self.len() {
            self.texts_at(at, &mut texts)?;
        }
        match texts.iter().find(|text| text.len() > 1_024) {
            Some(_) => Err(format!("a pattern of `{}` is longer than 1024 bytes", self.word)),
            None => Ok(texts),
        }
    }

    /// As `texts`, and at least one.
    pub fn some_texts(&self) -> Result<Vec<String>, String> {
        match self.texts()? {
            texts if texts.is_empty() => Err(format!("`{}` wants at least one text", self.word)),
            texts => Ok(texts),
        }
    }

    fn texts_at(&self, at: usize, texts: &mut Vec<String>) -> Result<(), String> {
        let value = self.value(at);
        if let Some(list) = value.clone().try_cast::<Array>() {
            for item in list {
                match item.is_string() {
                    true => texts.push(item.to_string()),
                    false => return Err(self.wants("texts", &item)),
                }
            }
            return Ok(());
        }
        texts.push(self.text(at)?);
        Ok(())
    }

    /// A whole number of at least `least`.
    pub fn integer(&self, at: usize, least: i64) -> Result<i64, String> {
        let value = self.value(at);
        match value.as_int() {
            Ok(n) if n >= least => Ok(n),
            _ => Err(self.wants(&format!("a whole number of at least {least}"), &value)),
        }
    }

    /// A number, whole or not.
    pub fn number(&self, at: usize) -> Result<f64, String> {
        let value = self.value(at);
        match (value.as_float(), value.as_int()) {
            (Ok(x), _) if x.is_finite() => Ok(x),
            (_, Ok(n)) => Ok(n as f64),
            _ => Err(self.wants("a number", &value)),
        }
    }

    /// A time as `"200ms"`.
    pub fn duration(&self, at: usize) -> Result<std::time::Duration, String> {
        let value = self.value(at);
        match value.is_string() {
            true => super::values::duration(&value.to_string()),
            false => Err(self.wants("a time such as \"200ms\" or \"5m\"", &value)),
        }
    }

    /// A closure.
    pub fn closure(&self, at: usize) -> Result<FnPtr, String> {
        let value = self.value(at);
        value.clone().try_cast::<FnPtr>().ok_or_else(|| self.wants("a closure such as |cx| …", &value))
    }

    /// The error for an argument of the wrong kind.
    pub fn wants(&self, what: &str, got: &Dynamic) -> String {
        format!("`{}` wants {what}, not {}", self.word, describe(got))
    }
}

/// A value as an error message shows it.
pub fn describe(value: &Dynamic) -> String {
    let shown = |text: String| {
        let short: String = text.chars().take(40).collect();
        if short.len() < text.len() { format!("{short}…") } else { short }
    };
    match value {
        v if v.is_unit() => "()".to_owned(),
        v if v.is_string() => format!("the text \"{}\"", shown(v.to_string())),
        v if v.is_int() || v.is_float() || v.is_bool() => v.to_string(),
        v if v.is_array() => "a list".to_owned(),
        v if v.is_map() => "a map".to_owned(),
        v if v.is_fnptr() => "a closure".to_owned(),
        v => format!("a value of type {}", v.type_name().rsplit("::").next().unwrap_or_default()),
    }
}

/// How a word stands in a script. Types are named as Rust names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Alone,
    /// `value.word(…)`
    After(&'static str),
    /// `value.word`
    Member(&'static str),
}

/// How a word can be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub word: &'static str,
    pub form: Form,
    pub arguments: RangeInclusive<usize>,
    pub gives: &'static str,
}

/// Which words an engine has: for the definitions, and the test that all of them are in the reference.
pub mod registered {
    use super::{Form, Signature};
    use std::any::type_name;
    use std::cell::RefCell;
    use std::ops::RangeInclusive;

    thread_local! {
        /// None: nobody wants to know.
        static SIGNATURES: RefCell<Option<Vec<Signature>>> = const { RefCell::new(None) };
    }

    pub fn note<R>(word: &'static str, form: Form, arguments: &RangeInclusive<usize>) {
        SIGNATURES.with(|signatures| {
            if let Some(signatures) = &mut *signatures.borrow_mut() {
                let (arguments, gives) = (arguments.clone(), type_name::<R>());
                signatures.push(Signature { word, form, arguments, gives });
            }
        });
    }

    /// The words of the engines that `make` makes, as they are registered.
    pub fn during(make: impl FnOnce()) -> Vec<Signature> {
        SIGNATURES.with(|signatures| *signatures.borrow_mut() = Some(Vec::new()));
        make();
        SIGNATURES.with(|signatures| signatures.borrow_mut().take()).unwrap_or_default()
    }
}
