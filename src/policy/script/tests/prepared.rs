//! Closures made ready say what Rhai's own calls say.

use super::*;
use crate::policy::script::closure::with_thread;
use crate::policy::script::objects::{Cx, RecordHandle};
use crate::policy::script::prepared::Prepared;
use proptest::prelude::*;
use rhai::Dynamic;

fn expression() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "1",
        "2.5",
        "\"a\"",
        "()",
        "true",
        "n",
        "list",
        "v",
        "record.offset",
        "record.key()",
        "record.value()",
        "record.value(\"$.a\")",
        "record.value(\"$.b\")",
        "record.value(\"$..c\")",
        "record.header(\"h\")",
        "cx.topic",
        "cx.principal",
        "cx.group",
        "list.len()",
        "list[0]",
        "list[7]",
        "record",
        "i",
    ])
    .prop_map(str::to_owned);
    let tree = leaf.prop_recursive(3, 24, 3, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            (
                two.clone(),
                prop::sample::select(vec!["+", "-", "==", "!=", "<", ">=", "&&", "||", "??", "in"])
            )
                .prop_map(|((a, b), operator)| format!("({a} {operator} {b})")),
            two.clone().prop_map(|(a, b)| format!("[{a}, {b}]")),
            two.clone().prop_map(|(a, b)| format!("#{{ a: {a}, b: {b} }}.b")),
            two.clone().prop_map(|(a, b)| format!("twice({a}, {b})")),
            two.prop_map(|(a, b)| format!("(if {a} == 1 {{ {a} }} else {{ {b} }})")),
            inner.clone().prop_map(|a| format!("{a}.own()")),
            inner.clone().prop_map(|a| format!("{a}.to_string().len()")),
            inner.clone().prop_map(|a| format!("`<${{{a}}}>`")),
            inner.clone().prop_map(|a| format!("list.map(|x| [x, {a}])")),
            inner.clone().prop_map(|a| format!("{a}.contains(\"a\")")),
            inner.prop_map(|a| format!("(switch {a} {{ 1 => 5, \"a\" if n == 3 => 6, _ => {a} }})")),
        ]
    });
    tree.boxed()
}

fn block() -> impl Strategy<Value = String> {
    let leaf = (expression(), 0..9_u8).prop_map(|(a, kind)| match kind {
        0 => format!("let v = {a};"),
        1 => format!("v = {a};"),
        2 => format!("return {a};"),
        3 => format!("cx.deny(`${{{a}}}`);"),
        4 => format!("throw {a};"),
        5 => format!("v += {a};"),
        6 => format!("record = {a};"),
        7 => format!("let same = list; same.push({a}); same.len();"),
        _ => format!("{a};"),
    });
    let block = prop::collection::vec(leaf, 1..4).prop_map(|lines| lines.join(" "));
    block.prop_recursive(2, 12, 2, |inner| {
        let with = (expression(), inner.clone(), inner.clone());
        prop_oneof![
            with.clone().prop_map(|(a, x, y)| format!("if {a} == true {{ {x} }} else {{ {y} }}")),
            with.clone()
                .prop_map(|(a, x, y)| format!("for i in 0..2 {{ if i == {a} {{ break; }} {x} }} {y}")),
            with.clone().prop_map(|(a, x, y)| format!("try {{ {x} {a}; }} catch (error) {{ {y} }}")),
            with.prop_map(|(a, x, y)| format!("{{ {x} }} let i = {a}; while i == 1 {{ i = 2; {y} }}")),
        ]
    })
}

fn cx_of(principal: &str) -> Rc<CxData> {
    Rc::new(CxData {
        principal: principal.into(),
        topic: Some("a".into()),
        may_deny: true,
        ..CxData::default()
    })
}

/// The answer, or the error as people see it, and what was denied.
fn told(cx: &CxData, answer: Result<Dynamic, Box<rhai::EvalAltResult>>) -> String {
    let said = match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{:?}", explain(&error)),
    };
    format!("{said} {:?}", cx.take_denied())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_prepared_closure_answers_as_a_call_does(body in block()) {
        let text = format!(
            "fn twice(a, b) {{ [a, b, a] }} fn own() {{ [this, record_of(this)] }} fn record_of(x) {{ `${{x}}` }}
             let n = 3; let list = [1, \"a\"];
             |cx, record| {{ let v = 0; let i = n + list.len(); {body} }}"
        );
        with_thread(|thread| {
            let Ok(ast) = thread.engine.compile(&text) else { return Ok(()) };
            let closure = thread.engine.eval_ast::<FnPtr>(&ast).unwrap();
            let prepared = Prepared::new(&ast, closure.clone()).unwrap();
            let (ada, bob) = (cx_of("ada"), cx_of("bob"));
            let headers = HeadersBuf::new();
            for (cx, value) in [
                (&ada, Some(r#"{"a":1,"b":"a","x":[{"c":true}]}"#)), (&ada, Some(r#"{"b":2.5}"#)), (&bob, None),
                (&bob, Some(r#"{"a":"a","a":[1]}"#)), (&ada, Some("no json")),
            ] {
                let record = Record {
                    attributes: 0,
                    timestamp_delta: 0,
                    offset_delta: 0,
                    key: Some(b"k"),
                    value: value.map(str::as_bytes),
                    headers: headers.as_headers(),
                };
                let shown = Seen { record: &record, offset: 1, timestamp: 2 };
                let arguments = (Cx(Rc::clone(cx)), RecordHandle::new(&shown, Rc::default()));
                let plain = thread.host.budget.under(engine::CALL, || closure.call::<Dynamic>(&thread.engine, &ast, arguments));
                let plain = told(cx, plain);
                let ours = thread.host.budget.under(engine::CALL, || prepared.call(&thread.engine, cx, Some(&shown)));
                prop_assert_eq!(told(cx, ours), plain, "{}", &text);
            }
            Ok(())
        })?;
    }
}
