//! Schemas by their names, and the word that holds values against them.

use super::call::{Call, rule_word, word};
use super::host::Host;
use crate::policy::rule::Action;
use crate::policy::schema::{Options, Schema};
use rhai::{Array, Dynamic, Engine, Map};
use std::rc::Rc;
use std::sync::Arc;

/// What stands for a schema in a script.
#[derive(Clone)]
struct SchemaName(Arc<Schema>);

pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    engine.register_type_with_name::<SchemaName>("schema");
    let host = Rc::clone(host);
    word(engine, "schema", 1..=2, move |call| {
        let (name, options) = (call.text(0)?, options(&call)?);
        host.draft(call.word, |draft| {
            let schema = draft.found.find(&name, &options)?;
            if !draft.schemas.contains(&schema) {
                draft.schemas.push(Arc::clone(&schema));
            }
            Ok(SchemaName(schema))
        })?
    });
    rule_word(engine, "validate", 1..=1, |rule, call| {
        let schema = schema_at(&call, 0)?;
        rule.act(&call, &["on_produce"], Action::Validate(schema))
    });
}

/// A schema that a word is given.
pub fn schema_at(call: &Call<'_, '_>, at: usize) -> Result<Arc<Schema>, String> {
    let value = call.value(at);
    match value.clone().try_cast::<SchemaName>() {
        Some(SchemaName(schema)) => Ok(schema),
        None => Err(call.wants("a schema: schema(\"order.json\")", &value)),
    }
}

fn options(call: &Call<'_, '_>) -> Result<Options, String> {
    let mut options = Options::default();
    if call.len() < 2 {
        return Ok(options);
    }
    let given = call.value(1);
    let Some(map) = given.clone().try_cast::<Map>() else {
        return Err(call.wants("options such as #{ framed: true }", &given));
    };
    for (name, value) in map {
        match name.as_str() {
            "framed" => {
                options.framed =
                    value.as_bool().map_err(|_| "the option `framed` wants true or false".to_owned())?;
            }
            "ids" => {
                let list = value.clone().try_cast::<Array>().unwrap_or_else(|| vec![value.clone()]);
                let id = |id: &Dynamic| id.as_int().ok().and_then(|id| u32::try_from(id).ok());
                let ids = list.iter().map(id).collect::<Option<Vec<u32>>>().filter(|ids| !ids.is_empty());
                let mut ids = ids.ok_or("the option `ids` wants a registry's ids of the schema: [7, 12]")?;
                // in whatever order, they are the same schema
                ids.sort_unstable();
                ids.dedup();
                options.ids = ids;
            }
            "message" if value.is_string() => options.message = Some(value.to_string()),
            "message" => return Err("the option `message` wants the name of a message".to_owned()),
            other => {
                let near = super::vocabulary::nearest(other, ["framed", "ids", "message"].into_iter());
                return Err(format!("there is no option `{other}`{near}"));
            }
        }
    }
    match options.framed || options.ids.is_empty() {
        true => Ok(options),
        false => Err("`ids` are said by frames: `framed: true` belongs to it".to_owned()),
    }
}
