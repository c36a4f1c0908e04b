//! A policy while its script runs: what the words have said so far, and the checks when it is complete.

use super::Surroundings;
use super::call::Call;
use super::host::Host;
use crate::policy::error::Place;
use crate::policy::fault::Fault;
use crate::policy::rule::{Action, Head, Kind};
use crate::policy::schema::{Schema, Schemas};
use crate::policy::secrets::Secrets;
use crate::policy::selector::Selectors;
use crate::policy::state::StateStore;
use crate::policy::trigger::Triggers;
use rhai::FnPtr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Rules one policy may have.
pub const RULES: usize = 10_000;

/// What a script has said.
pub struct Draft {
    pub name: String,
    /// `policy(…)` was there.
    pub is_named: bool,
    pub purpose: String,
    pub seed: Option<u64>,
    pub expires: Option<(Duration, Place)>,
    pub observe: bool,
    pub default_deny: Option<Place>,
    pub rules: Vec<RuleDraft>,
    /// The closures given to rules, in the order the script gives them.
    pub closures: Vec<FnPtr>,
    pub tests: Vec<TestDraft>,
    /// Windows, counters and maps that it names.
    pub state_names: Vec<(String, crate::policy::state::Kind)>,
    pub text: Arc<str>,
    pub state: Arc<StateStore>,
    pub secrets: Secrets,
    /// Where schemas are found, and those that were named.
    pub found: Schemas,
    pub schemas: Vec<Arc<Schema>>,
}

/// A test that the script holds.
#[derive(Clone)]
pub struct TestDraft {
    pub name: String,
    pub place: Place,
    pub closure: FnPtr,
}

/// A rule while it is being written.
pub struct RuleDraft {
    pub head: Head,
    pub place: Place,
    pub selectors: Selectors,
    pub triggers: Triggers,
    pub actions: Vec<(Action, Place)>,
    /// Of how many of these an `on_unparsable` spoke already.
    pub unparsable_chosen: usize,
    pub named: Option<String>,
    pub observe: bool,
    pub expires: Option<(Duration, Place)>,
}

/// An error of the whole, found when the script has run.
#[derive(Debug)]
pub struct Incomplete {
    pub place: Place,
    pub message: String,
}

impl Draft {
    pub fn new(name: String, text: Arc<str>, around: Surroundings) -> Self {
        let Surroundings { state, secrets, schemas: found } = around;
        Self {
            name,
            is_named: false,
            purpose: String::new(),
            seed: None,
            expires: None,
            observe: false,
            default_deny: None,
            rules: Vec::new(),
            closures: Vec::new(),
            tests: Vec::new(),
            state_names: Vec::new(),
            text,
            state,
            secrets,
            found,
            schemas: Vec::new(),
        }
    }

    /// Whether nothing was said yet that rests on the policy's name.
    pub fn is_untouched(&self) -> bool {
        !self.is_named && self.rules.is_empty() && self.state_names.is_empty() && self.tests.is_empty()
    }

    /// What can be said only when all is there.
    pub fn check(&self) -> Result<(), Incomplete> {
        for rule in &self.rules {
            rule.check()?;
            if let (Some((_, place)), Kind::Security) = (self.expires, rule.kind()) {
                let message = format!(
                    "`expires` would end the security rule of line {}: what protects does not end by itself; \
                     move its chaos rules to a policy of their own",
                    rule.place.line
                );
                return Err(Incomplete { place, message });
            }
        }
        if let (Some((_, place)), Some(_)) = (self.expires, self.default_deny) {
            let message =
                "`expires` would end `default_deny()`: what protects does not end by itself".to_owned();
            return Err(Incomplete { place, message });
        }
        Ok(())
    }
}

impl RuleDraft {
    pub fn new(head: Head, place: Place) -> Self {
        Self {
            head,
            place,
            selectors: Selectors::default(),
            triggers: Triggers::default(),
            actions: Vec::new(),
            unparsable_chosen: 0,
            named: None,
            observe: false,
            expires: None,
        }
    }

    /// A rule that only writes down protects.
    pub fn kind(&self) -> Kind {
        self.actions.iter().find_map(|(action, _)| action.kind()).unwrap_or(Kind::Security)
    }

    fn check(&self) -> Result<(), Incomplete> {
        if self.actions.is_empty() {
            let message =
                format!("this {} rule has no action: it says what, and not what to do", self.head.word());
            return Err(Incomplete { place: self.place, message });
        }
        self.check_faults()?;
        self.check_quotas()?;
        self.check_route()?;
        if let (Some((_, place)), Kind::Security) = (self.expires, self.kind()) {
            let message = "`expires` on a security rule: what protects does not end by itself".to_owned();
            return Err(Incomplete { place, message });
        }
        Ok(())
    }
}

impl RuleDraft {
    /// Faults on records strike and count records, those in replies change what is said, other faults are about exchanges.
    fn check_faults(&self) -> Result<(), Incomplete> {
        let kind = |action: &Action| match action {
            Action::Fault(Fault::Record(_)) => Some("records"),
            Action::Fault(Fault::Reply(_)) => Some("what replies say"),
            Action::Fault(_) => Some("exchanges"),
            _ => None,
        };
        let mut kinds = self.actions.iter().filter_map(|at| kind(&at.0).map(|about| (about, at)));
        if let Some((first, (before, _))) = kinds.next()
            && let Some((other, (action, place))) = kinds.find(|(other, _)| *other != first)
        {
            let message = format!(
                "`{action}` does not go with `{before}`: one is about {other}, one about {first}; write two rules"
            );
            return Err(Incomplete { place: *place, message });
        }
        let on_records = |(action, _): &&(Action, Place)| matches!(action, Action::Fault(Fault::Record(_)));
        let mut rest = self.actions.iter().filter(on_records).skip_while(|(action, _)| !recounts(action));
        if let (Some((first, _)), Some((action, place))) = (rest.next(), rest.next()) {
            let message = format!(
                "`{first}` changes which records there are: `{action}` stands before it, or in a rule of its own"
            );
            return Err(Incomplete { place: *place, message });
        }
        Ok(())
    }
}

impl RuleDraft {
    /// A quota counts all that its selectors let through, part by part.
    fn check_quotas(&self) -> Result<(), Incomplete> {
        let is_quota = |action: &Action| matches!(action, Action::Quota(_));
        let Some((quota, place)) = self.actions.iter().find(|(action, _)| is_quota(action)) else {
            return Ok(());
        };
        let fail = |place: Place, message: String| Err(Incomplete { place, message });
        if !self.selectors.records.is_empty() {
            let why = format!("`{quota}` counts whole batches, so its rule cannot choose single records");
            return fail(*place, why);
        }
        if !self.triggers.is_always() {
            return fail(*place, format!("`{quota}` counts everything, so its rule has no trigger"));
        }
        let other = self.actions.iter().find(|(action, _)| !is_quota(action) && *action != Action::Audit);
        match other {
            Some((action, place)) => fail(
                *place,
                format!("`{action}` does not go with `{quota}`, which comes last: write two rules"),
            ),
            None => Ok(()),
        }
    }
}

impl RuleDraft {
    /// A rule routes to one topic: all that it selects, or what the checks before it refuse.
    fn check_route(&self) -> Result<(), Incomplete> {
        let is_route = |(action, _): &&(Action, Place)| matches!(action, Action::Route(_));
        let Some(at) = self.actions.iter().position(|action| is_route(&action)) else { return Ok(()) };
        let (before, behind) = self.actions.split_at(at);
        let fail = |place: Place, message: String| Err(Incomplete { place, message });
        if let Some((_, place)) = behind.iter().skip(1).find(is_route) {
            return fail(*place, "`route` stands once in a rule".to_owned());
        }
        if let Some((check, place)) = behind.iter().find(|(action, _)| action.checks_records()) {
            return fail(*place, format!("`{check}` stands before `route`, which takes what it refuses"));
        }
        let denies = |(action, _): &&(Action, Place)| matches!(action, Action::Deny(_));
        if let Some((deny, place)) = before.iter().chain(behind).find(denies) {
            return fail(
                *place,
                format!("`{deny}` does not go with `route`: one refuses, the other takes in"),
            );
        }
        Ok(())
    }
}

fn recounts(action: &Action) -> bool {
    matches!(action, Action::Fault(Fault::Record(fault)) if fault.recounts())
}

/// A rule as the script holds it.
#[derive(Clone)]
pub struct RuleHandle {
    host: Rc<Host>,
    index: usize,
}

impl RuleHandle {
    /// Begins a rule.
    pub fn begin(host: &Rc<Host>, call: &Call<'_, '_>, head: Head) -> Result<Self, String> {
        host.draft(call.word, |draft| {
            if draft.rules.len() >= RULES {
                return Err(format!("a policy has at most {RULES} rules"));
            }
            draft.rules.push(RuleDraft::new(head, call.place()));
            Ok(Self { host: Rc::clone(host), index: draft.rules.len() - 1 })
        })?
    }

    /// Changes the rule.
    pub fn edit<T>(
        &self,
        call: &Call<'_, '_>,
        act: impl FnOnce(&mut RuleDraft) -> Result<T, String>,
    ) -> Result<T, String> {
        self.host.draft(call.word, |draft| match draft.rules.get_mut(self.index) {
            Some(rule) => act(rule),
            None => Err("this rule belongs to another policy".to_owned()),
        })?
    }

    /// Adds a selector or trigger, which stands before the first action.
    pub fn select(
        &self,
        call: &Call<'_, '_>,
        heads: &[&str],
        act: impl FnOnce(&mut RuleDraft) -> Result<(), String>,
    ) -> Result<(), String> {
        self.edit(call, |rule| {
            let head = rule.head.word();
            if !heads.contains(&head) {
                return Err(cannot_select(call.word, head, heads));
            }
            if let Some((action, _)) = rule.actions.first() {
                return Err(format!(
                    "`{}` stands before the first action of a rule, which here is `{action}`",
                    call.word
                ));
            }
            act(rule)
        })
    }

    /// Adds an action.
    pub fn act(&self, call: &Call<'_, '_>, heads: &[&str], action: Action) -> Result<(), String> {
        self.edit(call, |rule| {
            let head = rule.head.word();
            if !heads.contains(&head) {
                return Err(format!(
                    "`{}` is no action of {head}; it is one of {}",
                    call.word,
                    heads.join(", ")
                ));
            }
            let kinds = |action: &Action| action.kind();
            if let (Some(new), Some(Some(old))) =
                (action.kind(), rule.actions.iter().map(|(a, _)| kinds(a)).find(Option::is_some))
                && new != old
            {
                return Err(format!(
                    "`{}` does not go with `{}`: a rule protects or harms, and security comes first; \
                     write two rules",
                    call.word, rule.actions[0].0
                ));
            }
            rule.actions.push((action, call.place()));
            Ok(())
        })
    }

    /// Keeps a closure; says under which index, and its text.
    pub fn keep(&self, call: &Call<'_, '_>, closure: FnPtr) -> Result<(usize, String), String> {
        self.host.draft(call.word, |draft| {
            let text = closure_text(&draft.text, call.place());
            draft.closures.push(closure);
            (draft.closures.len() - 1, text)
        })
    }
}

fn cannot_select(word: &str, head: &str, heads: &[&str]) -> String {
    let why = match (word, head) {
        ("principal" | "client_id", "on_connect") => ": no principal or client id exists yet there",
        ("header" | "key" | "value", _) => ": no records are there",
        ("group", "on_produce" | "on_fetch") => ": the request names no group",
        (_, "on_create") => ": a limit does not depend on chance, time or records",
        (_, "on_access") => ": access does not depend on chance or time",
        _ => "",
    };
    format!("`{word}` is nothing that {head} has{why}; it goes with {}", heads.join(", "))
}

/// The text of the call at `place` as far as its parentheses reach, blanks put together: closures that read
/// alike are alike.
fn closure_text(text: &str, place: Place) -> String {
    let Some(line_start) = place.line.checked_sub(1).and_then(|skip| {
        text.split_inclusive('\n').take(skip).map(str::len).reduce(|a, b| a + b).or(Some(0))
    }) else {
        return String::new();
    };
    let rest = text.get(line_start..).unwrap_or_default();
    let from: String = rest.chars().skip(place.column.saturating_sub(1)).collect();
    let Some((_, inside)) = from.split_once('(') else { return String::new() };
    let (mut depth, mut quote, mut escaped) = (1u32, None, false);
    let mut taken = String::new();
    for c in inside.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None => match c {
                '"' | '`' => quote = Some(c),
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            },
        }
        if depth == 0 {
            break;
        }
        taken.push(c);
    }
    taken.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closure_is_known_by_its_text() {
        let text = "let x = 1;\non_produce(\"a\")\n  .each(|cx, record| {\n    if f(record) == \")\" { cx.deny(\"no\") }\n  });\n";
        let place = Place { line: 3, column: 4 };
        assert_eq!(closure_text(text, place), "|cx, record| { if f(record) == \")\" { cx.deny(\"no\") } }");
        assert_eq!(closure_text(text, Place { line: 99, column: 1 }), "");
        let quoted = r#"on_produce().when(|cx| cx.topic == "a\")\\" && f(`")`)).deny();"#;
        let place = Place { line: 1, column: 14 };
        assert_eq!(closure_text(quoted, place), r#"|cx| cx.topic == "a\")\\" && f(`")`)"#);
    }
}
