//! The words of the language in Rhai's definition format (`*.d.rhai`), for editors with Rhai's language server: made of how
//! the words are registered and what the reference says of them. Types of arguments are left open (`?`): the words say
//! themselves what they want.

use super::call::{Form, MOST, Signature, registered};
use super::engine::engine;
use super::host::Host;
use super::vocabulary::{WORDS, Word};
use std::fmt::Write;

/// The text of a definition file.
pub fn definitions() -> String {
    let signatures = registered::during(|| drop(engine(&Host::new())));
    let mut out = String::from("module static;\n");
    for signature in &signatures {
        let word = WORDS.iter().find(|word| word.name == signature.word);
        let (least, most) = (*signature.arguments.start(), *signature.arguments.end());
        // as many as one likes are told once
        for count in if most >= MOST { least..=least } else { least..=most } {
            out.push('\n');
            if let Some(word) = word.filter(|_| !matches!(signature.form, Form::Member(_))) {
                let _ = writeln!(out, "/// {}\n///\n/// ```rhai\n/// {}\n/// ```", word.does, word.usage);
            }
            let _ = writeln!(out, "{}", written(signature, word, count, most >= MOST));
        }
    }
    out
}

fn written(signature: &Signature, word: Option<&Word>, count: usize, more: bool) -> String {
    let mut parameters = Vec::new();
    let receiver = match signature.form {
        Form::Alone => None,
        Form::After(receiver) | Form::Member(receiver) => Some(named(receiver)),
    };
    if let Some(receiver) = &receiver {
        parameters.push(format!("{}: {receiver}", receiver.to_lowercase()));
    }
    let names = word.map_or_else(Vec::new, |word| arguments(word.usage));
    for at in 0..count {
        let known =
            names.get(at).filter(|name| Some((*name).clone()) != receiver.as_ref().map(|r| r.to_lowercase()));
        parameters.push(match known {
            Some(name) if !name.is_empty() => format!("{name}: ?"),
            _ => format!("argument_{}: ?", at + 1),
        });
    }
    if more {
        let rest = names.get(count).map_or("more", String::as_str);
        parameters.push(format!("...{}: ?", if rest.is_empty() { "more" } else { rest }));
    }
    let get = if matches!(signature.form, Form::Member(_)) { "get " } else { "" };
    let gives = match named(signature.gives) {
        nothing if nothing == "()" => String::new(),
        gives => format!(" -> {gives}"),
    };
    format!("fn {get}{}({}){gives};", signature.word, parameters.join(", "))
}

/// The names of arguments in `word(name, name?)`; empty where it shows a value instead.
fn arguments(usage: &str) -> Vec<String> {
    let inside =
        usage.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let name = |shown: &str| {
        let shown = shown.trim().trim_end_matches(['?', '…']);
        let is_name = shown.starts_with(|c: char| c.is_ascii_lowercase())
            && shown.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_name && !RESERVED.contains(&shown) { shown.to_owned() } else { String::new() }
    };
    let mut names: Vec<String> = inside.split(',').map(name).collect();
    // the same name twice names nothing
    for at in 1..names.len() {
        if names[..at].contains(&names[at]) {
            names[at].clear();
        }
    }
    names
}

/// Names of the reference that the format keeps for itself.
const RESERVED: &[&str] = &["fn", "op", "type", "let", "const", "module", "import", "with", "as", "static"];

/// A type as scripts would call it, from Rust's name of it.
fn named(rust: &str) -> String {
    match rust {
        "()" => "()".to_owned(),
        "i64" => "int".to_owned(),
        "f64" => "float".to_owned(),
        "bool" => "bool".to_owned(),
        other if other.contains("Vec<") => "Array".to_owned(),
        other => match other.rsplit("::").next().unwrap_or_default() {
            "Dynamic" => "?".to_owned(),
            "ImmutableString" | "String" => "String".to_owned(),
            own => own.trim_end_matches("Handle").trim_end_matches("Name").to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_for_editors_is_as_the_words_are() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/policies/tollgate.d.rhai");
        let kept = std::fs::read_to_string(file).unwrap_or_default();
        assert!(
            kept == definitions(),
            "policies/tollgate.d.rhai is not what the words are; write it with `cargo run -- policy definitions > \
             policies/tollgate.d.rhai`"
        );
    }

    #[test]
    fn every_word_is_defined() {
        let defined = definitions();
        for word in WORDS {
            assert!(defined.contains(&format!("\nfn {}(", word.name)), "{}", word.name);
        }
        for member in super::super::objects::CX_MEMBERS.iter().chain(super::super::objects::RECORD_MEMBERS) {
            let (property, method) = (format!("\nfn get {member}("), format!("\nfn {member}("));
            assert!(defined.contains(&property) || defined.contains(&method), "{member}");
        }
    }

    #[test]
    fn a_definition_says_how_a_word_is_called_and_what_it_does() {
        let defined = definitions();
        for line in [
            "/// makes a field unreadable; of values that are not JSON by their schema",
            "/// .mask(path, how, schema?)",
            "fn mask(rule: Rule, path: ?, how: ?) -> Rule;",
            "fn mask(rule: Rule, path: ?, how: ?, schema: ?) -> Rule;",
            "fn on_produce(...topics: ?) -> Rule;",
            "fn topic(rule: Rule, patterns: ?, ...more: ?) -> Rule;",
            "fn get principal(cx: Cx) -> String;",
            "fn value(record: Record, path: ?) -> ?;",
            "fn window(name: ?, argument_2: ?) -> Tally;",
            "fn policy(name: ?);",
        ] {
            assert!(defined.lines().any(|other| other == line), "{line}:\n{defined}");
        }
    }
}
