//! Running the closures of rules.
//!
//! Each thread runs the script of a policy once, when it first meets one of its closures, and keeps the
//! closures by index. The key is the policy's own loading: an exchange that holds a generation meets the
//! closures of that generation, whatever was loaded since.

use super::engine::{self, CALL};
use super::host::Host;
use super::objects::CxData;
use super::pending::Pending;
use super::prepared::Prepared;
use super::testing::Bench;
use super::{Surroundings, explain};
use crate::policy::action::Seen;
use crate::policy::error::{LoadError, Place};
use crate::policy::rule::PolicyInfo;
use crate::policy::state::StateStore;
use rhai::{Dynamic, Engine};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Weak};

/// The engine of a thread and the scripts it has run.
pub struct Thread {
    pub engine: Engine,
    pub host: Rc<Host>,
    scripts: RefCell<Vec<Rc<Script>>>,
}

struct Script {
    policy: Weak<PolicyInfo>,
    state: Weak<StateStore>,
    /// None: what the rule names is no closure of the script.
    closures: Vec<Option<Prepared>>,
}

thread_local! {
    static THREAD: Rc<Thread> = Rc::new(Thread::new());
}

/// Lends this thread's engine.
pub fn with_thread<T>(act: impl FnOnce(&Thread) -> T) -> T {
    let thread = THREAD.with(Rc::clone);
    act(&thread)
}

/// Why a closure gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosureError {
    pub place: Place,
    pub message: String,
}

impl std::fmt::Display for ClosureError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.place.line, self.message)
    }
}

/// A closure of a policy.
#[derive(Debug, Clone, Copy)]
pub struct Closure<'a> {
    pub policy: &'a Arc<PolicyInfo>,
    pub index: usize,
    pub state: &'a Arc<StateStore>,
}

/// Asks a `.when`. Windows can be read and not filled.
pub fn when(closure: Closure<'_>, cx: &Rc<CxData>) -> Result<bool, ClosureError> {
    let answer = with_thread(|thread| thread.call(closure, cx, None))?;
    answer.as_bool().map_err(|found| ClosureError {
        place: Place::default(),
        message: format!("a `.when` says true or false, not {found}"),
    })
}

/// Shows a record to an `.each`: the reason when it denies it. Additions to windows join `additions`, and
/// are dropped again when the record is denied.
pub fn each(
    closure: Closure<'_>,
    cx: &Rc<CxData>,
    record: &Seen<'_>,
    additions: &mut Pending,
) -> Result<Option<String>, ClosureError> {
    with_thread(|thread| {
        additions.keep();
        thread.host.additions(|a| a.gather(std::mem::take(additions)));
        let result = thread.call(closure, cx, Some(record));
        *additions = thread.host.additions(|a| a.finish());
        let denied = cx.take_denied();
        if result.is_err() || denied.is_some() {
            additions.take_back();
        }
        result.map(|_| denied)
    })
}

impl Thread {
    fn new() -> Self {
        let host = Host::new();
        Self { engine: engine::engine(&host), host, scripts: RefCell::new(Vec::new()) }
    }

    fn call(
        &self,
        closure: Closure<'_>,
        cx: &Rc<CxData>,
        record: Option<&Seen<'_>>,
    ) -> Result<Dynamic, ClosureError> {
        let script = self.script(closure.policy, closure.state)?;
        let prepared = script.closures.get(closure.index).and_then(Option::as_ref);
        let prepared = prepared.ok_or_else(|| ClosureError {
            place: Place::default(),
            message: "the closure was not found when the script ran again".to_owned(),
        })?;
        let call = || prepared.call(&self.engine, cx, record);
        self.host.budget.under(CALL, call).map_err(|error| {
            let (place, message) = explain(&error);
            ClosureError { place, message }
        })
    }

    /// This thread's run of a policy's script.
    fn script(&self, policy: &Arc<PolicyInfo>, state: &Arc<StateStore>) -> Result<Rc<Script>, ClosureError> {
        let is_this = |script: &&Rc<Script>| {
            std::ptr::eq(script.policy.as_ptr(), Arc::as_ptr(policy))
                && std::ptr::eq(script.state.as_ptr(), Arc::as_ptr(state))
        };
        // the borrow ends here: a script that runs may come back
        if let Some(script) = self.scripts.borrow().iter().find(is_this) {
            return Ok(Rc::clone(script));
        }
        let (ast, closures) = super::closures(self, policy, state).map_err(|error| ClosureError {
            place: Place { line: error.line, column: error.column },
            message: error.message,
        })?;
        let script = Rc::new(Script {
            policy: Arc::downgrade(policy),
            state: Arc::downgrade(state),
            closures: closures.into_iter().map(|closure| Prepared::new(&ast, closure)).collect(),
        });
        let mut scripts = self.scripts.borrow_mut();
        scripts.retain(|script| script.policy.strong_count() > 0 && script.state.strong_count() > 0);
        scripts.push(Rc::clone(&script));
        Ok(script)
    }

    /// Runs one test of a policy on a bench.
    pub fn test(
        &self,
        info: &PolicyInfo,
        name: &str,
        around: &Surroundings,
        bench: Rc<dyn Bench>,
    ) -> Result<(), LoadError> {
        let (ast, tests) = super::tests(self, info, around)?;
        let Some(test) = tests.into_iter().find(|test| test.name == name) else {
            return Err(LoadError::of_file(&info.file, format!("there is no test \"{name}\"")));
        };
        *self.host.bench.borrow_mut() = Some(bench);
        let call = || test.closure.call::<Dynamic>(&self.engine, &ast, ());
        let result = self.host.budget.under(engine::LOAD, call);
        *self.host.bench.borrow_mut() = None;
        result.map(|_| ()).map_err(|error| {
            let (place, message) = explain(&error);
            let place = if place.line == 0 { test.place } else { place };
            LoadError::at(&info.file, &info.text, place, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::clock::Clock;
    use crate::policy::schema::Schemas;
    use crate::policy::secrets::Secrets;
    use std::path::Path;
    use std::time::Duration;

    fn policy(state: &Arc<StateStore>) -> Arc<PolicyInfo> {
        let around = Surroundings {
            state: Arc::clone(state),
            secrets: Secrets::made_up(),
            schemas: Schemas::default(),
        };
        let text =
            r#"policy("p"); let w = window("w", "60s"); on_produce().when(|cx| w.count("k") > 0).deny();"#;
        super::super::read(Path::new("p.rhai"), &Arc::from(text), &around).unwrap().info
    }

    fn asked(policy: &Arc<PolicyInfo>, state: &Arc<StateStore>) -> bool {
        when(Closure { policy, index: 0, state }, &Rc::new(CxData::default())).unwrap()
    }

    fn held() -> usize {
        with_thread(|thread| thread.scripts.borrow().len())
    }

    #[test]
    fn a_thread_keeps_a_script_as_long_as_its_policy_and_its_state_live() {
        let state = || StateStore::new(Clock::manual());
        let (first, second) = (state(), state());
        let (one, two) = (policy(&first), policy(&first));
        let fill = |state: &Arc<StateStore>| state.window("p", "w", Duration::from_secs(60)).add(b"sk", 1);
        fill(&first);
        assert!(asked(&one, &first) && asked(&two, &first) && asked(&one, &first));
        assert_eq!(held(), 2);
        // the same policy, of another state
        assert!(!asked(&one, &second));
        assert!(asked(&one, &first));
        assert_eq!(held(), 3);
        drop(second);
        let three = policy(&first);
        assert!(asked(&three, &first));
        assert_eq!(held(), 3, "one, two and three");
        drop(two);
        let four = policy(&first);
        assert!(asked(&four, &first) && asked(&one, &first));
        assert_eq!(held(), 3, "one, three and four");
    }

    #[test]
    fn an_error_says_its_line() {
        let error = ClosureError { place: Place { line: 3, column: 7 }, message: "no".to_owned() };
        assert_eq!(error.to_string(), "line 3: no");
    }
}
