//! The OpenAPI 3.1 description, from the table of routes. The shapes are written here; a test holds every answer against them.

use serde_json::{Map, Value, json};

use super::guard::Guard;
use super::table::{Answer, ROUTES, Route, Shape};

/// The whole description.
pub(super) fn description() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.name().to_ascii_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate admin",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Metrics, health and status; and changes of the policies while the process runs. What is added here is \
                            kept in memory only.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "Where tokens are set." },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "Without tokens, where clients show certificates.",
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let in_path = route
        .parameters()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = route.query.iter().map(|parameter| {
        json!({
            "name": parameter.name,
            "in": "query",
            "description": parameter.what,
            "schema": { "type": parameter.kind },
        })
    });
    let refusals = route.refusals();
    let responses: Map<String, Value> = route
        .answers
        .iter()
        .chain(&refusals)
        .map(|answer| (answer.status.to_string(), response(answer)))
        .collect();
    let mut operation = json!({
        "operationId": route.operation.name(),
        "summary": route.summary,
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": responses,
    });
    if let Some(what) = route.body {
        operation["requestBody"] = json!({
            "required": true,
            "description": what,
            "content": { "text/plain": { "schema": { "type": "string" } } },
        });
    }
    if route.guard != Guard::Open {
        // Nothing on a loopback address that asks for neither.
        operation["security"] = json!([{}, { "token": [] }, { "certificate": [] }]);
    }
    operation
}

fn response(answer: &Answer) -> Value {
    let (kind, schema) = match answer.shape {
        Shape::Text => ("text/plain", json!({ "type": "string" })),
        Shape::Any => ("application/json", json!({ "type": "object" })),
        Shape::Named(name) => ("application/json", reference(name)),
    };
    json!({ "description": answer.what, "content": { kind: { "schema": schema } } })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object: its fields, and which of them may be absent.
fn object(fields: &[(&str, Value)], optional: &[&str]) -> Value {
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    let required: Vec<&str> =
        fields.iter().map(|(name, _)| *name).filter(|name| !optional.contains(name)).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let count = || json!({ "type": "integer", "minimum": 0 });
    let yes = || json!({ "type": "boolean" });
    let one_of = |values: &[&str]| json!({ "type": "string", "enum": values });
    let rule = || {
        vec![
            ("name", text()),
            ("line", count()),
            ("kind", one_of(&["security", "chaos"])),
            ("enabled", yes()),
            ("observe", yes()),
            ("expires_in_ms", count()),
            ("matched", count()),
            ("applied", count()),
            ("could_not_apply", count()),
        ]
    };
    let policy = || {
        vec![
            ("name", text()),
            ("purpose", text()),
            ("file", text()),
            ("origin", one_of(&["folder", "api"])),
            ("enabled", yes()),
            ("mode", one_of(&["enforce", "observe"])),
            ("expires_in_ms", count()),
            ("rules", list(reference("Rule"))),
        ]
    };
    let with = |mut fields: Vec<(&'static str, Value)>, more: (&'static str, Value)| {
        fields.push(more);
        fields
    };
    let expires = &["expires_in_ms"];
    let session = [
        ("id", count()),
        ("listener", text()),
        ("remote_address", text()),
        ("principal", text()),
        ("client_id", text()),
        ("client_software", text()),
        ("state", text()),
        ("age_ms", count()),
        ("requests", count()),
        ("in_flight", count()),
        ("bytes_in", count()),
        ("bytes_out", count()),
    ];
    let error =
        [("file", text()), ("line", count()), ("column", count()), ("message", text()), ("source", text())];
    let changed =
        [("generation", count()), ("created", yes()), ("changed", yes()), ("policy", reference("Policy"))];
    let reset =
        [("generation", count()), ("removed", list(text())), ("kept", list(text())), ("enabled", count())];
    let policies =
        [("generation", count()), ("policies", list(reference("Policy"))), ("refused_change", text())];
    json!({
        "Rule": object(&rule(), expires),
        "RuleOfPolicy": object(&with(rule(), ("policy", text())), expires),
        "Rules": object(&[("generation", count()), ("rules", list(reference("RuleOfPolicy")))], &[]),
        "Policy": object(&policy(), expires),
        "PolicyScript": object(&with(policy(), ("text", text())), expires),
        "Policies": object(&policies, &["refused_change"]),
        "Session": object(&session, &["client_id", "client_software"]),
        "Sessions": object(
            &[("total", count()), ("sessions", list(reference("Session"))), ("next", count())],
            &["next"],
        ),
        "Changed": object(&changed, &["policy"]),
        "Reset": object(&reset, &[]),
        "ScriptError": object(&error, &["source"]),
        "Problem": object(
            &[("error", text()), ("message", text()), ("errors", list(reference("ScriptError")))],
            &["errors"],
        ),
    })
}
