//! A closure, made ready to be called for every record.
//!
//! Rhai calls a function by its name: it looks that up, makes a scope and puts the arguments into it; and for each method in the
//! body it looks for a function of the script, of that name for that type and then for any, before it takes the native one. What all
//! calls of a closure have in common is done here once: its body is kept with a scope in which the parameters stand, and calls of what
//! no function of the script is named like are marked as native.

use super::objects::{Cx, CxData, Literals, RecordHandle};
use crate::policy::action::Seen;
use rhai::{
    AST, Caches, Dynamic, Engine, EvalAltResult, EvalContext, Expr, Expression, FnCallExpr, FnCallHashes,
    FnPtr, GlobalRuntimeState, Identifier, ImmutableString, Module, Scope, Shared, Stmt, StmtBlock,
};
use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

/// The memory of a record of more bytes than that is not kept for the next.
const KEPT: usize = 64 << 10;

pub struct Prepared {
    /// A block.
    body: Expr,
    lib: Shared<Module>,
    /// Of the parameters: what was captured, `cx`, and the record if it takes one.
    names: Vec<Identifier>,
    captured: Vec<Dynamic>,
    /// Nothing that a call does can change what was captured.
    constant: bool,
    takes_record: bool,
    literals: Rc<Literals>,
    /// None while a call has it, and after one that failed.
    warm: RefCell<Option<Warm>>,
}

/// What calls leave to the next: besides the scope, which native function a word with such arguments is.
struct Warm {
    global: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
}

impl Prepared {
    /// None: the script has no such function.
    pub fn new(ast: &AST, mut closure: FnPtr) -> Option<Self> {
        seal(&mut closure);
        let captured = closure.curry().to_vec();
        let function = ast.iter_fn_def().find(|function| {
            function.name.as_str() == closure.fn_name()
                && (1..=2).contains(&function.params.len().saturating_sub(captured.len()))
        })?;
        let mut statements = super::lint::statements(ast, function);
        let mut marking = Marking {
            functions: ast.iter_fn_def().map(|function| function.name.as_str()).collect(),
            paths: Vec::new(),
        };
        statements.iter_mut().for_each(|statement| marking.statement(statement));
        let literals = Rc::new(Literals::new(marking.paths));
        let (start, end) = (function.body.start_position(), function.body.end_position());
        Some(Self {
            body: Expr::Stmt(Box::new(StmtBlock::new(statements, start, end))),
            lib: ast.shared_lib().clone(),
            names: function.params.iter().map(|name| name.as_str().into()).collect(),
            constant: captured.iter().all(Dynamic::is_shared),
            takes_record: function.params.len() == captured.len() + 2,
            captured,
            literals,
            warm: RefCell::default(),
        })
    }

    /// Calls it, with a record if it takes one.
    pub fn call(
        &self,
        engine: &Engine,
        cx: &Rc<CxData>,
        record: Option<&Seen<'_>>,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        if self.takes_record != record.is_some() {
            let message = "a `.each` takes |cx, record|, a `.when` takes |cx|";
            return Err(EvalAltResult::ErrorRuntime(message.into(), self.body.position()).into());
        }
        let mut warm = self.warm.take().unwrap_or_else(|| Warm::new(engine, &self.lib));
        self.arrange(&mut warm.scope, cx, record);
        // Operations are counted for each call.
        warm.global.num_operations = 0;
        let mut context = EvalContext::new(engine, &mut warm.global, &mut warm.caches, &mut warm.scope, None);
        let answer = match context.eval_expression_tree(&Expression::from(&self.body)) {
            Ok(answer) => answer.flatten(),
            Err(error) => match *error {
                EvalAltResult::Return(answer, _) => answer.flatten(),
                error => return Err(Box::new(error)),
            },
        };
        if record.is_some_and(|shown| shown.size() > KEPT) {
            warm.scope.rewind(0);
        }
        self.warm.replace(Some(warm));
        Ok(answer)
    }

    /// Puts the arguments where the parameters stand; all of them anew unless the last call left them as they were.
    fn arrange(&self, scope: &mut Scope<'static>, cx: &Rc<CxData>, record: Option<&Seen<'_>>) {
        let own = self.names.get(self.captured.len()..).unwrap_or_default();
        if self.constant && scope.len() == self.names.len() {
            let kept = |name: &Identifier, position: usize, scope: &mut Scope<'static>| {
                let Some(value) = scope.get_mut(name) else { return false };
                match (position, record) {
                    (0, _) => keep_cx(value, cx),
                    (_, Some(record)) => keep_record(value, record),
                    (_, None) => false,
                }
            };
            if own.iter().enumerate().all(|(position, name)| kept(name, position, scope)) {
                return;
            }
        }
        scope.rewind(0);
        let given = [
            Some(Dynamic::from(Cx(Rc::clone(cx)))),
            record.map(|shown| Dynamic::from(RecordHandle::new(shown, Rc::clone(&self.literals)))),
        ];
        let values = self.captured.iter().cloned().chain(given.into_iter().flatten());
        scope.extend(self.names.iter().cloned().zip(values));
    }
}

/// Whether the variable can stay, holding this `cx`.
fn keep_cx(value: &mut Dynamic, cx: &Rc<CxData>) -> bool {
    if value.is_shared() {
        return false;
    }
    let Some(mut held) = value.write_lock::<Cx>() else { return false };
    if !Rc::ptr_eq(&held.0, cx) {
        held.0 = Rc::clone(cx);
    }
    true
}

/// Whether the variable can stay, holding this record in the memory of the last.
fn keep_record(value: &mut Dynamic, shown: &Seen<'_>) -> bool {
    !value.is_shared() && value.write_lock::<RecordHandle>().is_some_and(|mut held| held.fill(shown))
}

impl Warm {
    fn new(engine: &Engine, lib: &Shared<Module>) -> Self {
        let mut global = engine.new_global_runtime_state();
        global.lib.push(lib.clone());
        // that of a function called from outside
        global.level = 1;
        Self { global, caches: Caches::new(), scope: Scope::new() }
    }
}

/// Makes what a closure captured constant: a change of it is an error wherever it happens.
fn seal(closure: &mut FnPtr) {
    for captured in closure.iter_curry_mut() {
        if captured.is_shared() {
            if let Some(mut value) = captured.write_lock::<Dynamic>() {
                let sealed = std::mem::take(&mut *value).into_read_only();
                *value = sealed;
            }
        } else {
            *captured = std::mem::take(captured).into_read_only();
        }
    }
}

/// A walk through a body that marks what is native. What it does not go into is as before, and slower.
struct Marking<'a> {
    /// The script's own functions.
    functions: HashSet<&'a str>,
    /// Paths that records are asked for, as literals.
    paths: Vec<ImmutableString>,
}

impl Marking<'_> {
    fn statement(&mut self, statement: &mut Stmt) {
        match statement {
            Stmt::If(flow, _) | Stmt::While(flow, _) | Stmt::TryCatch(flow, _) | Stmt::Do(flow, ..) => {
                self.expression(&mut flow.expr);
                self.block(&mut flow.body);
                self.block(&mut flow.branch);
            }
            Stmt::For(parts, _) => {
                self.expression(&mut parts.2.expr);
                self.block(&mut parts.2.body);
            }
            Stmt::Switch(parts, _) => {
                self.expression(&mut parts.0);
                for case in &mut parts.1.expressions {
                    self.expression(&mut case.lhs);
                    self.expression(&mut case.rhs);
                }
            }
            Stmt::Var(parts, ..) => self.expression(&mut parts.1),
            Stmt::Assignment(parts) => {
                self.expression(&mut parts.1.lhs);
                self.expression(&mut parts.1.rhs);
            }
            Stmt::FnCall(call, _) => self.call(call),
            Stmt::Block(block) => self.block(block),
            Stmt::Expr(expression) => self.expression(expression),
            Stmt::BreakLoop(Some(expression), ..) | Stmt::Return(Some(expression), ..) => {
                self.expression(expression);
            }
            _ => {}
        }
    }

    fn block(&mut self, block: &mut StmtBlock) {
        block.as_mut().iter_mut().for_each(|statement| self.statement(statement));
    }

    fn expression(&mut self, expression: &mut Expr) {
        match expression {
            Expr::MethodCall(call, _) => {
                if let ("value", [Expr::StringConstant(path, _)]) = (call.name.as_str(), &*call.args) {
                    self.paths.push(path.clone());
                }
                self.call(call);
            }
            Expr::FnCall(call, _) => self.call(call),
            Expr::Dot(pair, ..) | Expr::Index(pair, ..) => {
                self.expression(&mut pair.lhs);
                self.expression(&mut pair.rhs);
            }
            Expr::And(parts, _) | Expr::Or(parts, _) | Expr::Coalesce(parts, _) => {
                parts.iter_mut().for_each(|part| self.expression(part));
            }
            Expr::InterpolatedString(parts, _) | Expr::Array(parts, _) => {
                parts.iter_mut().for_each(|part| self.expression(part));
            }
            Expr::Map(parts, _) => parts.0.iter_mut().for_each(|(_, value)| self.expression(value)),
            Expr::Stmt(block) => self.block(block),
            _ => {}
        }
    }

    fn call(&mut self, call: &mut FnCallExpr) {
        if !call.hashes.is_native_only() && !self.functions.contains(call.name.as_str()) {
            call.hashes = FnCallHashes::from_native_only(call.hashes.native());
        }
        call.args.iter_mut().for_each(|argument| self.expression(argument));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::script::closure::with_thread;
    use crate::wire::record::{Headers, HeadersBuf, Record};

    #[test]
    fn the_memory_of_a_short_record_serves_the_next_and_that_of_a_long_one_goes() {
        with_thread(|thread| {
            let ast = thread.engine.compile("|cx, record| record.size").unwrap();
            let prepared = Prepared::new(&ast, thread.engine.eval_ast(&ast).unwrap()).unwrap();
            let cx = Rc::new(CxData::default());
            for (bytes, kept) in [(10, true), (KEPT, true), (KEPT + 1, false), (10, true)] {
                let value = vec![b'x'; bytes];
                let record = Record {
                    attributes: 0,
                    timestamp_delta: 0,
                    offset_delta: 0,
                    key: None,
                    value: Some(&value),
                    headers: Headers::default(),
                };
                let shown = Seen { record: &record, offset: 0, timestamp: 0 };
                let size = prepared.call(&thread.engine, &cx, Some(&shown)).unwrap();
                assert_eq!(size.as_int(), Ok(bytes as i64));
                let warm = prepared.warm.borrow();
                assert_eq!(!warm.as_ref().unwrap().scope.is_empty(), kept, "{bytes}");
            }
            let (value, mut headers) = (vec![b'x'; KEPT], HeadersBuf::new());
            headers.push(b"h", Some(&value));
            let record = Record {
                attributes: 0,
                timestamp_delta: 0,
                offset_delta: 0,
                key: None,
                value: None,
                headers: headers.as_headers(),
            };
            assert_eq!(Seen { record: &record, offset: 0, timestamp: 0 }.size(), KEPT + 1);
            let error = prepared.call(&thread.engine, &cx, None).unwrap_err();
            assert!(error.to_string().contains("|cx, record|"), "{error}");
        });
    }
}
