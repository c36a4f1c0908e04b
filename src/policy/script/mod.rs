//! The language: Rhai scripts that, run once, build rules of plain Rust data; and the closures of theirs that
//! run per exchange or record.
//!
//! One file a group of words. Each thread has an engine of its own (`engine`), on which the words act through
//! a [`Host`](host::Host). Loading ([`read`]) gives a [`Policy`]: its rules carry no Rhai value. A closure is
//! found by its index in the thread's own run of the same text (`closure`), so nothing of Rhai is ever shared.

mod actions;
mod call;
pub mod closure;
pub mod definitions;
mod disk_faults;
mod draft;
pub mod engine;
pub mod examples;
mod faults;
mod heads;
pub mod host;
mod limit;
mod link_faults;
mod lint;
pub mod objects;
pub mod pending;
mod prepared;
mod quota;
mod record_faults;
mod reply_faults;
mod schema;
mod seal;
mod selectors;
mod shared;
pub mod testing;
mod triggers;
mod values;
pub mod vocabulary;

pub use draft::RULES;

use super::error::{LoadError, Place};
use super::random::identity;
use super::rule::{Action, PolicyInfo, canonical};
use super::schema::Schemas;
use super::secrets::Secrets;
use super::state::StateStore;
use draft::{Draft, RuleDraft};
use rhai::{AST, Engine, EvalAltResult, FnPtr, Position, Scope};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The longest script.
pub const SCRIPT_BYTES: usize = 1 << 20;

/// A policy as its script says it, not yet alive.
#[derive(Debug)]
pub struct Policy {
    pub info: Arc<PolicyInfo>,
    pub rules: Vec<RuleSpec>,
    pub default_deny: Option<Place>,
    pub tests: Vec<TestSpec>,
    /// Windows, counters and maps that it names.
    pub state_names: Vec<(String, super::state::Kind)>,
}

/// A rule with its name.
#[derive(Debug)]
pub struct RuleSpec {
    pub name: String,
    pub spec: RuleParts,
}

/// What a rule is made of.
#[derive(Debug)]
pub struct RuleParts {
    pub head: super::rule::Head,
    pub place: Place,
    pub selectors: super::selector::Selectors,
    pub triggers: super::trigger::Triggers,
    pub actions: Vec<Action>,
    pub kind: super::rule::Kind,
    pub observe: bool,
    pub expires: Option<Duration>,
}

/// A test in a policy file.
#[derive(Debug, Clone)]
pub struct TestSpec {
    pub name: String,
    pub place: Place,
}

/// What a script needs from outside.
#[derive(Debug, Clone)]
pub struct Surroundings {
    pub state: Arc<StateStore>,
    pub secrets: Secrets,
    pub schemas: Schemas,
}

/// Runs a script and gives the policy it describes.
pub fn read(file: &Path, text: &Arc<str>, around: &Surroundings) -> Result<Policy, LoadError> {
    if text.len() > SCRIPT_BYTES {
        return Err(LoadError::of_file(file, format!("the script is longer than {SCRIPT_BYTES} bytes")));
    }
    closure::with_thread(|thread| {
        let run = run(&thread.engine, &thread.host, file, text, around)?;
        policy(file, text, around, run)
    })
}

/// A script that has run.
struct Run {
    draft: Draft,
    ast: AST,
}

/// Compiles and runs a script from nothing.
fn run(
    engine: &Engine,
    host: &Rc<host::Host>,
    file: &Path,
    text: &Arc<str>,
    around: &Surroundings,
) -> Result<Run, LoadError> {
    let fail = |(place, message): (Place, String)| LoadError::at(file, text, place, message);
    let ast = engine.compile(&**text).map_err(|error| fail(explain_parse(&error)))?;
    lint::captured_variables(&ast).map_err(fail)?;
    let stem = file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    host.begin(Draft::new(stem, Arc::clone(text), around.clone()));
    let result = host.budget.under(engine::LOAD, || engine.run_ast_with_scope(&mut Scope::new(), &ast));
    let draft = host.end();
    result.map_err(|error| fail(explain(&error)))?;
    let Some(draft) = draft else {
        return Err(LoadError::of_file(file, "the script ended while another was loaded"));
    };
    Ok(Run { draft, ast })
}

fn policy(file: &Path, text: &Arc<str>, around: &Surroundings, run: Run) -> Result<Policy, LoadError> {
    let fail = |(place, message): (Place, String)| LoadError::at(file, text, place, message);
    let Run { draft, ast } = run;
    draft.check().map_err(|incomplete| fail((incomplete.place, incomplete.message)))?;
    for rule in &draft.rules {
        let closures = rule.selectors.when.iter().map(|when| (when.closure, false));
        let each = rule.actions.iter().filter_map(|(action, _)| match action {
            Action::Each(each) => Some((each.closure, true)),
            _ => None,
        });
        for (index, takes_record) in closures.chain(each) {
            if let Some(closure) = draft.closures.get(index) {
                lint::members(&ast, closure, takes_record).map_err(fail)?;
            }
        }
    }
    let info = Arc::new(PolicyInfo {
        name: draft.name,
        purpose: draft.purpose,
        file: file.to_owned(),
        text: Arc::clone(text),
        hash: identity([text.as_bytes()]),
        seed: draft.seed,
        expires: draft.expires.map(|(time, _)| time),
        observe: draft.observe,
        closures: draft.closures.len(),
        secrets: around.secrets.clone(),
        schemas: around.schemas.pinned(&draft.schemas),
    });
    let tests = draft.tests.iter().map(|test| TestSpec { name: test.name.clone(), place: test.place });
    Ok(Policy {
        rules: named(draft.rules).map_err(fail)?,
        info,
        default_deny: draft.default_deny,
        tests: tests.collect(),
        state_names: draft.state_names,
    })
}

/// Gives each rule its name: what `.named` says, else its canonical form and its ordinal among equals.
fn named(drafts: Vec<RuleDraft>) -> Result<Vec<RuleSpec>, (Place, String)> {
    let mut equals: HashMap<String, usize> = HashMap::new();
    let mut given: HashMap<String, Place> = HashMap::new();
    let mut rules = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let kind = draft.kind();
        let actions: Vec<Action> = draft.actions.into_iter().map(|(action, _)| action).collect();
        let name = match draft.named {
            Some(name) => {
                if let Some(other) = given.insert(name.clone(), draft.place) {
                    let message = format!("the rule of line {} is named \"{name}\" already", other.line);
                    return Err((draft.place, message));
                }
                name
            }
            None => {
                let form = canonical(&draft.head, &draft.selectors, &draft.triggers, &actions);
                let ordinal = equals.entry(form.clone()).or_insert(0);
                *ordinal += 1;
                if *ordinal == 1 { form } else { format!("{form} #{ordinal}") }
            }
        };
        let spec = RuleParts {
            head: draft.head,
            place: draft.place,
            selectors: draft.selectors,
            triggers: draft.triggers,
            actions,
            kind,
            observe: draft.observe,
            expires: draft.expires.map(|(time, _)| time),
        };
        rules.push(RuleSpec { name, spec });
    }
    Ok(rules)
}

/// The closures of a script, from a run of their own.
fn closures(
    thread: &closure::Thread,
    info: &PolicyInfo,
    state: &Arc<StateStore>,
) -> Result<(AST, Vec<FnPtr>), LoadError> {
    let around = Surroundings {
        state: Arc::clone(state),
        secrets: info.secrets.clone(),
        schemas: info.schemas.clone(),
    };
    let run = run(&thread.engine, &thread.host, &info.file, &info.text, &around)?;
    Ok((run.ast, run.draft.closures))
}

/// The tests of a script, from a run of their own.
fn tests(
    thread: &closure::Thread,
    info: &PolicyInfo,
    around: &Surroundings,
) -> Result<(AST, Vec<draft::TestDraft>), LoadError> {
    let run = run(&thread.engine, &thread.host, &info.file, &info.text, around)?;
    Ok((run.ast, run.draft.tests))
}

/// Where and why a script cannot be read.
fn explain_parse(error: &rhai::ParseError) -> (Place, String) {
    let place = error.position().into();
    match error.err_type() {
        rhai::ParseErrorType::Reserved(word) if matches!(word.as_str(), "eval" | "import" | "export") => {
            (place, format!("`{word}` is not there: a policy is one file and runs no other"))
        }
        rhai::ParseErrorType::BadInput(rhai::LexError::ImproperSymbol(word, _))
            if matches!(word.as_str(), "eval" | "import" | "export") =>
        {
            (place, format!("`{word}` is not there: a policy is one file and runs no other"))
        }
        kind => (place, kind.to_string()),
    }
}

/// Where and why a run failed: the innermost error, in the language's own terms.
fn explain(error: &EvalAltResult) -> (Place, String) {
    let inner = error.unwrap_inner();
    let at = |position: Position| match position.is_none() {
        true => error.position().into(),
        false => Place::from(position),
    };
    let message = match inner {
        EvalAltResult::ErrorFunctionNotFound(signature, _) => vocabulary::explain_missing(signature),
        EvalAltResult::ErrorRuntime(value, _) => value.to_string(),
        EvalAltResult::ErrorTerminated(reason, _) => format!("the script was stopped: {reason}"),
        EvalAltResult::ErrorAssignmentToConstant(name, _) => {
            format!(
                "`{name}` cannot be changed here: it was captured, or is a constant; use window(…), counter(…) or shared_map(…)"
            )
        }
        EvalAltResult::ErrorNonPureMethodCallOnConstant(name, _) => {
            format!(
                "`{name}` would change what was captured, or a constant; use window(…), counter(…) or shared_map(…)"
            )
        }
        EvalAltResult::ErrorStackOverflow(_) => "functions call each other too deeply".to_owned(),
        EvalAltResult::ErrorParsing(kind, _) => kind.to_string(),
        other => {
            let mut plain = other.to_string();
            // the position is given apart
            if let Some(at) = plain.rfind(" (line ") {
                plain.truncate(at);
            }
            plain
        }
    };
    (at(inner.position()), message)
}

#[cfg(test)]
mod tests;
