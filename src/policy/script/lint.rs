//! What can be seen in a script's syntax tree before it runs: a closure that changes a variable it captured,
//! and a misspelt word after `cx.` or `record.`.
//!
//! A captured variable is a copy per worker thread: changing it would give each thread its own truth. What is
//! not seen here fails when it happens, as captured values are made constant (see `closure`).

use super::objects::{CX_MEMBERS, RECORD_MEMBERS};
use super::vocabulary::nearest;
use crate::policy::error::Place;
use rhai::{AST, ASTNode, Expr, FnPtr, ScriptFuncDef, Stmt};
use std::collections::HashMap;

/// What is wrong, and where.
pub type Fault = (Place, String);

/// Refuses closures that change what they captured.
pub fn captured_variables(ast: &AST) -> Result<(), Fault> {
    let captured = captures(ast);
    for function in ast.iter_fn_def() {
        let Some(count) = captured.get(function.name.as_str()) else { continue };
        let names: Vec<&str> = function.params.iter().take(*count).map(|name| name.as_str()).collect();
        let mut found: Option<(String, Place)> = None;
        walk(ast, function, &mut |node| {
            if let (None, Some((name, place))) = (&found, changed(node))
                && names.contains(&name)
            {
                found = Some((name.to_owned(), place));
            }
        });
        // a closure's own `let` of the same name is another variable
        if let Some((name, place)) = found
            && !declares(ast, function, &name)
        {
            let message = format!(
                "the closure changes `{name}`, which it captured: each worker thread would have its own; use \
                 window(…), which all share"
            );
            return Err((place, message));
        }
    }
    Ok(())
}

/// Refuses words after the closure's parameters that `cx` or a record do not have.
pub fn members(ast: &AST, closure: &FnPtr, takes_record: bool) -> Result<(), Fault> {
    let Some(function) = ast.iter_fn_def().find(|f| f.name.as_str() == closure.fn_name()) else {
        return Ok(());
    };
    let own: Vec<&str> =
        function.params.iter().skip(closure.curry().len()).map(|name| name.as_str()).collect();
    let wanted = if takes_record { 2 } else { 1 };
    if own.len() != wanted {
        let message = format!(
            "this closure wants {} ({}), and has {}",
            if takes_record { "two parameters" } else { "one parameter" },
            if takes_record { "|cx, record|" } else { "|cx|" },
            own.len()
        );
        return Err((function.body.start_position().into(), message));
    }
    let mut found = None;
    walk(ast, function, &mut |node| {
        let ASTNode::Expr(Expr::Dot(pair, ..)) = node else { return };
        let Expr::Variable(variable, ..) = &pair.lhs else { return };
        let known = match own.iter().position(|name| *name == variable.1.as_str()) {
            Some(0) => CX_MEMBERS,
            Some(1) => RECORD_MEMBERS,
            _ => return,
        };
        let Some((name, place)) = member(&pair.rhs) else { return };
        if found.is_none() && !known.contains(&name) {
            let hint = nearest(name, known.iter().copied());
            found = Some((place, format!("`{}` has no `{name}`{hint}", variable.1)));
        }
    });
    match found {
        Some(fault) if !own.iter().any(|name| declares(ast, function, name)) => Err(fault),
        _ => Ok(()),
    }
}

/// The first name after a dot.
fn member(expression: &Expr) -> Option<(&str, Place)> {
    match expression {
        Expr::Property(property, position) => Some((property.2.as_str(), (*position).into())),
        Expr::MethodCall(call, position) | Expr::FnCall(call, position) => {
            Some((call.name.as_str(), (*position).into()))
        }
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => member(&pair.lhs),
        _ => None,
    }
}

/// How many parameters of each anonymous function are captured variables: the parser gives them to `curry`.
fn captures(ast: &AST) -> HashMap<String, usize> {
    let mut captures = HashMap::new();
    ast.walk(&mut |path| {
        let call = match path.last() {
            Some(ASTNode::Expr(Expr::FnCall(call, _))) => call,
            Some(ASTNode::Stmt(Stmt::FnCall(call, _))) => call,
            _ => return true,
        };
        if call.name.as_str() == "curry"
            && let Some(Expr::DynamicConstant(constant, _)) = call.args.first()
            && let Some(closure) = constant.read_lock::<FnPtr>()
        {
            captures.insert(closure.fn_name().to_owned(), call.args.len() - 1);
        }
        true
    });
    captures
}

/// The variable that a node changes.
fn changed<'a>(node: &ASTNode<'a>) -> Option<(&'a str, Place)> {
    match node {
        ASTNode::Stmt(Stmt::Assignment(assignment)) => root(&assignment.1.lhs),
        ASTNode::Expr(Expr::Dot(pair, ..)) => {
            let method = match &pair.rhs {
                Expr::MethodCall(call, _) => call.name.as_str(),
                _ => return None,
            };
            const CHANGING: &[&str] = &[
                "push",
                "pop",
                "shift",
                "insert",
                "append",
                "truncate",
                "retain",
                "drain",
                "splice",
                "sort",
                "reverse",
                "mixin",
                "fill_with",
                "pad",
                "chop",
            ];
            CHANGING.contains(&method).then(|| root(&pair.lhs)).flatten()
        }
        _ => None,
    }
}

/// The variable at the root of `a`, `a.b`, `a[0].b`.
fn root(expression: &Expr) -> Option<(&str, Place)> {
    match expression {
        Expr::Variable(variable, _, position) => Some((variable.1.as_str(), (*position).into())),
        Expr::Dot(pair, ..) | Expr::Index(pair, ..) => root(&pair.lhs),
        _ => None,
    }
}

fn declares(ast: &AST, function: &ScriptFuncDef, name: &str) -> bool {
    let mut found = false;
    walk(ast, function, &mut |node| match node {
        ASTNode::Stmt(Stmt::Var(variable, ..)) => found |= variable.0.name.as_str() == name,
        ASTNode::Stmt(Stmt::For(parts, _)) => {
            found |= parts.0.name.as_str() == name
                || parts.1.as_ref().is_some_and(|counter| counter.name.as_str() == name);
        }
        _ => {}
    });
    found
}

/// Looks at every node of one function.
fn walk(ast: &AST, function: &ScriptFuncDef, look: &mut dyn FnMut(&ASTNode<'_>)) {
    alone(ast, function).walk(&mut |path| {
        if let Some(node) = path.last() {
            look(node);
        }
        true
    });
}

/// The statements of one function.
pub fn statements(ast: &AST, function: &ScriptFuncDef) -> Vec<Stmt> {
    let mut statements = Vec::new();
    alone(ast, function).walk(&mut |path| {
        if let [ASTNode::Stmt(statement)] = path {
            statements.push((*statement).clone());
        }
        true
    });
    statements
}

/// A tree of one function only: the engine shows bodies only through whole trees.
fn alone(ast: &AST, function: &ScriptFuncDef) -> AST {
    let mut alone = ast.clone_functions_only();
    alone.retain_functions(|_, _, name, params| {
        name == function.name.as_str() && params == function.params.len()
    });
    alone
}
