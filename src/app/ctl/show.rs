//! What people read of the server's answers. Programs take `--json`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::values::Span;

/// The policies, a line each.
pub fn policies(value: &Value) -> String {
    let mut rows = vec![["POLICY", "FROM", "STATE", "ENDS IN", "RULES", "APPLIED"].map(str::to_owned)];
    for policy in list(&value["policies"]) {
        let rules = list(&policy["rules"]);
        let applied: u64 = rules.iter().map(|rule| number(&rule["applied"])).sum();
        rows.push([
            text(&policy["name"]),
            text(&policy["origin"]),
            state(policy),
            left(policy),
            rules.len().to_string(),
            applied.to_string(),
        ]);
    }
    let mut shown = table(&rows);
    if let Some(why) = value["refused_change"].as_str() {
        shown.push_str(&format!("\nThe last change of the folder was not taken:\n{why}\n"));
    }
    shown
}

/// All rules, a line each.
pub fn rules(value: &Value) -> String {
    let mut rows = vec![
        ["POLICY", "LINE", "KIND", "STATE", "ENDS IN", "MATCHED", "APPLIED", "FAILED", "RULE"]
            .map(str::to_owned),
    ];
    for rule in list(&value["rules"]) {
        rows.push([
            text(&rule["policy"]),
            number(&rule["line"]).to_string(),
            text(&rule["kind"]),
            state(rule),
            left(rule),
            number(&rule["matched"]).to_string(),
            number(&rule["applied"]).to_string(),
            number(&rule["could_not_apply"]).to_string(),
            text(&rule["name"]),
        ]);
    }
    table(&rows)
}

/// A policy: what it is, its rules, its script.
pub fn policy(value: &Value) -> String {
    let mut shown = format!("{}: {}\n", text(&value["name"]), text(&value["purpose"]));
    shown.push_str(&format!("from {} ({}), {}", text(&value["file"]), text(&value["origin"]), state(value)));
    match left(value).as_str() {
        "-" => shown.push('\n'),
        left => shown.push_str(&format!(", ends in {left}\n")),
    }
    let of = json!({ "rules": value["rules"] });
    let rows = rules(&of);
    // The first column is the policy itself.
    for line in rows.lines() {
        shown.push_str("  ");
        shown.push_str(line.trim_start_matches("POLICY").trim_start());
        shown.push('\n');
    }
    shown.push('\n');
    let script = text(&value["text"]);
    shown.push_str(script.trim_end());
    shown.push('\n');
    shown
}

/// What a change came to.
pub fn changed(what: &str, done: &str, value: &Value) -> String {
    if value["changed"] == false {
        return format!("{what} was {done} already\n");
    }
    let policy = &value["policy"];
    let done = match done {
        "added" if value["created"] == false => "changed",
        done => done,
    };
    let until = match left(policy).as_str() {
        "-" if matches!(done, "added" | "changed") => ", until it is removed or the server ends".to_owned(),
        left if matches!(done, "added" | "changed") => format!(", ends in {left}"),
        _ => String::new(),
    };
    format!("{what} {done}{until}\n")
}

/// What a reset did.
pub fn reset(value: &Value) -> String {
    let names = |value: &Value| list(value).iter().map(text).collect::<Vec<_>>().join(", ");
    let mut shown = format!(
        "{} removed, {} switched on again\n",
        list(&value["removed"]).len(),
        number(&value["enabled"])
    );
    if !list(&value["removed"]).is_empty() {
        shown.push_str(&format!("removed: {}\n", names(&value["removed"])));
    }
    if !list(&value["kept"]).is_empty() {
        shown.push_str(&format!("kept, because they have security rules: {}\n", names(&value["kept"])));
    }
    shown
}

/// A server in a few numbers.
pub struct Status<'a> {
    pub is_ready: bool,
    /// In its own words.
    pub ready: String,
    pub policies: &'a Value,
}

impl Status<'_> {
    fn counts(&self) -> [(&'static str, u64); 5] {
        let policies = list(&self.policies["policies"]);
        let rules: Vec<&Value> = policies.iter().flat_map(|policy| list(&policy["rules"])).collect();
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        [
            ("generation", number(&self.policies["generation"])),
            ("policies", count(policies.len())),
            ("added", count(policies.iter().filter(|policy| policy["origin"] == "api").count())),
            ("rules", count(rules.len())),
            ("switched_off", count(rules.iter().filter(|rule| rule["enabled"] == false).count())),
        ]
    }

    pub fn json(&self) -> Value {
        let mut value = json!({ "ready": self.is_ready, "readiness": self.ready });
        for (name, count) in self.counts() {
            value[name] = count.into();
        }
        if let Some(why) = self.policies["refused_change"].as_str() {
            value["refused_change"] = why.into();
        }
        value
    }

    pub fn text(&self) -> String {
        let [generation, policies, added, rules, off] = self.counts().map(|(_, count)| count);
        let mut shown = format!(
            "{}\npolicies: {policies} ({added} added while it runs), generation {generation}\nrules: {rules} ({off} \
             switched off)\n",
            self.ready
        );
        if let Some(why) = self.policies["refused_change"].as_str() {
            shown.push_str(&format!("The last change of the folder was not taken:\n{why}\n"));
        }
        shown
    }
}

fn state(value: &Value) -> String {
    match (&value["enabled"], &value["mode"], &value["observe"]) {
        (Value::Bool(false), _, _) => "off",
        (_, Value::String(mode), _) if mode == "observe" => "observes",
        (_, _, Value::Bool(true)) => "observes",
        _ => "on",
    }
    .to_owned()
}

/// What is left of its life.
fn left(value: &Value) -> String {
    match value["expires_in_ms"].as_u64() {
        // Whole seconds are enough for people, once there are some.
        Some(ms) if ms >= 10_000 => Span(Duration::from_secs(ms.div_ceil(1000))).to_string(),
        Some(ms) => Span(Duration::from_millis(ms)).to_string(),
        None => "-".to_owned(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Columns as wide as what stands in them. Names are strangers' words: what a terminal would obey is not printed.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let plain =
        |cell: &String| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(plain)).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut shown = String::new();
    for row in &rows {
        let line: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect();
        shown.push_str(line.trim_end());
        shown.push('\n');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_for_people() {
        let rule = json!({ "policy": "slow", "name": "a\u{1b}[2Jb", "line": 3, "kind": "chaos", "enabled": false, "observe": false,
            "expires_in_ms": 599_001, "matched": 12, "applied": 3, "could_not_apply": 0 });
        assert_eq!(
            rules(&json!({ "rules": [rule] })),
            "POLICY  LINE  KIND   STATE  ENDS IN  MATCHED  APPLIED  FAILED  RULE\n\
             slow    3     chaos  off    10m      12       3        0       a [2Jb\n"
        );
    }

    #[test]
    fn what_came_of_a_change() {
        let done = |created, changed, ms: Option<u64>| json!({ "created": created, "changed": changed, "policy": { "expires_in_ms": ms } });
        assert_eq!(changed("slow", "added", &done(true, true, Some(60_000))), "slow added, ends in 1m\n");
        assert_eq!(
            changed("slow", "added", &done(false, true, None)),
            "slow changed, until it is removed or the server ends\n"
        );
        assert_eq!(changed("slow", "disabled", &done(false, false, None)), "slow was disabled already\n");
        assert_eq!(changed("slow", "removed", &done(false, true, None)), "slow removed\n");
    }
}
