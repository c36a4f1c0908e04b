//! The order of the rooms, enforced: lower rooms never import higher ones, broker and gateway never import each other, and
//! `unsafe` is allowed nowhere.
//!
//! The scanner reads paths (`crate::room::…`, `crate::{a, b}`, `super::super::room`) in code, not in comments or strings.
//! Its own tests below show that it finds what it is meant to find.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may import, ground floor first. `app` joins the others and may import all.
const ROOMS: [(&str, &[&str]); 8] = [
    ("wire", &[]),
    ("storage", &["wire"]),
    ("broker", &["wire", "storage"]),
    ("security", &["wire"]),
    ("policy", &["wire", "security"]),
    ("gateway", &["wire", "security", "policy"]),
    // Reads handles it is given, so it knows nobody.
    ("admin", &[]),
    ("app", &["wire", "storage", "broker", "security", "policy", "gateway", "admin"]),
];

#[test]
fn lower_rooms_never_import_higher_ones() {
    let source = source_folder();
    let violations: Vec<String> = rust_files(&source)
        .iter()
        .flat_map(|path| {
            let relative = path.strip_prefix(&source).unwrap();
            violations(relative, &fs::read_to_string(path).unwrap())
        })
        .collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn every_room_has_its_place_in_the_order() {
    let found: BTreeSet<String> = fs::read_dir(source_folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "lib" && name != "main")
        .collect();
    let listed: BTreeSet<String> = ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(found, listed, "a room is missing in src, or in the list of this test");
}

#[test]
fn the_map_describes_every_room_in_order() {
    let root = fs::read_to_string(source_folder().join("lib.rs")).unwrap();
    let described: Vec<&str> = root
        .lines()
        .filter_map(|line| line.strip_prefix("//! - [`")?.split_once("`]: "))
        .map(|(room, _)| room)
        .collect();
    assert_eq!(described, ROOMS.map(|(room, _)| room), "a paragraph a room, ground floor first");
}

#[test]
fn imports_go_one_way() {
    for (i, (room, may)) in ROOMS.iter().enumerate() {
        for lower in *may {
            assert!(ROOMS[..i].iter().any(|(name, _)| name == lower), "{room} stands below {lower}");
        }
    }
}

#[test]
fn unsafe_code_is_allowed_nowhere() {
    let root = fs::read_to_string(source_folder().join("lib.rs")).unwrap();
    assert!(tokens(&root).join("").contains("#![forbid(unsafe_code)]"));
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What a file, named by its path below `src`, imports and may not.
fn violations(file: &Path, text: &str) -> Vec<String> {
    let parts: Vec<&str> = file.iter().filter_map(|part| part.to_str()).collect();
    let (Some(first), depth) = (parts.first(), module_depth(&parts)) else { return Vec::new() };
    let room = first.trim_end_matches(".rs");
    // The roots name every room, and import nothing of them.
    let Some((_, may)) = ROOMS.iter().find(|(name, _)| *name == room) else { return Vec::new() };
    imports(text, depth)
        .into_iter()
        .filter(|import| import != room && !may.contains(&import.as_str()))
        .filter(|import| import == "*" || ROOMS.iter().any(|(name, _)| name == import))
        .map(|import| format!("src/{} imports {import}, which {room} must not know", file.display()))
        .collect()
}

/// How many modules deep the module of a file is: `gateway/mod.rs` is 1, `gateway/session.rs` 2.
fn module_depth(parts: &[&str]) -> usize {
    match parts.last() {
        Some(&"mod.rs") => parts.len() - 1,
        _ => parts.len(),
    }
}

/// The top-level modules that a text names through `crate` or through enough `super`s; `*` for all of them.
fn imports(text: &str, depth: usize) -> BTreeSet<String> {
    let tokens = tokens(text);
    let mut found = BTreeSet::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let mut supers = 0;
        if token == "super" {
            supers = 1;
            while tokens.get(at).is_some_and(|t| t == "::")
                && tokens.get(at + 1).is_some_and(|t| t == "super")
            {
                supers += 1;
                at += 2;
            }
        }
        // Modules inside the file make the way to the root longer: more `super`s than the depth reach it as well.
        let from_root = token == "crate" || (supers > 0 && supers >= depth);
        if from_root && tokens.get(at).is_some_and(|t| t == "::") {
            first_names(&tokens[at + 1..], &mut found);
        }
    }
    found
}

/// The first name of a path, or of each path in a group.
fn first_names(tokens: &[String], found: &mut BTreeSet<String>) {
    if tokens.first().is_none_or(|t| t != "{") {
        found.extend(tokens.first().cloned());
        return;
    }
    let mut nesting = 0;
    let mut at_start = false;
    for token in tokens {
        match token.as_str() {
            "{" => {
                nesting += 1;
                at_start = nesting == 1;
            }
            "}" => {
                nesting -= 1;
                if nesting == 0 {
                    return;
                }
            }
            "," => at_start = nesting == 1,
            name if at_start => {
                found.insert(name.to_owned());
                at_start = false;
            }
            _ => {}
        }
    }
}

/// Names and punctuation of Rust code, without comments, strings and characters. `::` is one token.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let peek = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c.is_whitespace() {
            i += 1;
        } else if c == '/' && peek(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && peek(i + 1) == '*' {
            i = after_block_comment(&chars, i);
        } else if c == '"' {
            i = after_string(&chars, i);
        } else if c == '\'' {
            i = after_quote(&chars, i);
        } else if c.is_alphanumeric() || c == '_' {
            let start = i;
            while peek(i).is_alphanumeric() || peek(i) == '_' {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            let is_prefix = matches!(word.as_str(), "r" | "b" | "br" | "c" | "cr");
            match peek(i) {
                '"' if is_prefix && !word.contains('r') => i = after_string(&chars, i),
                '"' | '#' if is_prefix && word.contains('r') && raw_hashes(&chars, i).is_some() => {
                    i = after_raw_string(&chars, i);
                }
                _ => tokens.push(word),
            }
        } else if c == ':' && peek(i + 1) == ':' {
            tokens.push("::".into());
            i += 2;
        } else {
            tokens.push(c.to_string());
            i += 1;
        }
    }
    tokens
}

fn after_block_comment(chars: &[char], start: usize) -> usize {
    let (mut i, mut nesting) = (start, 0);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (nesting, i) = (nesting + 1, i + 2),
            ('*', Some('/')) => (nesting, i) = (nesting - 1, i + 2),
            _ => i += 1,
        }
        if nesting == 0 {
            break;
        }
    }
    i
}

fn after_string(chars: &[char], quote: usize) -> usize {
    let mut i = quote + 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// How many `#` stand before the quote of a raw string, if it is one.
fn raw_hashes(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    (chars.get(at + hashes) == Some(&'"')).then_some(hashes)
}

fn after_raw_string(chars: &[char], at: usize) -> usize {
    let hashes = raw_hashes(chars, at).unwrap_or(0);
    let mut i = at + hashes + 1;
    while i < chars.len() {
        let ends = chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
        i += 1;
        if ends {
            return i + hashes;
        }
    }
    i
}

/// A character literal is passed over; of a lifetime only the quote is.
fn after_quote(chars: &[char], quote: usize) -> usize {
    match (chars.get(quote + 1), chars.get(quote + 2)) {
        (Some('\\'), _) => {
            let mut i = quote + 3;
            while i < chars.len() && chars[i] != '\'' {
                i += 1;
            }
            i + 1
        }
        (Some(_), Some('\'')) => quote + 3,
        _ => quote + 1,
    }
}

mod the_scanner {
    use super::*;

    #[track_caller]
    fn finds(file: &str, text: &str, expected: &[&str]) {
        let found = violations(Path::new(file), text);
        let names: Vec<&str> = found
            .iter()
            .map(|line| line.split_once(" imports ").unwrap().1.split(',').next().unwrap())
            .collect();
        assert_eq!(names, expected, "{text}");
    }

    #[test]
    fn finds_every_way_to_name_a_room() {
        for text in [
            "use crate::gateway::Session;",
            "pub(crate) use crate::gateway;",
            "use crate::{wire::Frame, gateway::{Session, broker}};",
            "use crate::{\n    wire,\n    gateway,\n};",
            "fn f() { crate::gateway::start() }",
            "fn f(x: &crate :: gateway::X) {}",
            "macro_rules! m { () => { $crate::gateway::X } }",
            "use super::super::gateway;",
            "mod tests { use super::super::super::gateway::X; }",
        ] {
            finds("broker/fetch.rs", text, &["gateway"]);
        }
        finds("broker/mod.rs", "use super::gateway;", &["gateway"]);
        finds("broker/fetch.rs", "use crate::*;", &["*"]);
        finds("broker/fetch.rs", "use crate::{app, gateway};", &["app", "gateway"]);
    }

    #[test]
    fn knows_the_order() {
        finds("gateway/session.rs", "use crate::broker::Broker;", &["broker"]);
        finds("broker/broker.rs", "use crate::security::Principal;", &["security"]);
        finds("wire/frame.rs", "use crate::storage::Log;", &["storage"]);
        finds("policy/mod.rs", "use crate::gateway::X;", &["gateway"]);
        finds("admin/routes.rs", "use crate::wire::X;", &["wire"]);
        finds("storage/log.rs", "use crate::wire::record::Batch; use crate::storage::Files;", &[]);
        finds("gateway/session.rs", "use crate::{policy, security, wire};", &[]);
        finds("app/build.rs", "use crate::{admin, broker, gateway, policy, security, storage, wire};", &[]);
    }

    #[test]
    fn is_not_misled() {
        for text in [
            "// use crate::gateway;",
            "//! See [`crate::gateway`].",
            "/* use crate::gateway; /* nested */ use crate::gateway; */",
            "const X: &str = \"use crate::gateway;\";",
            "const X: &str = \"\\\" use crate::gateway;\";",
            "const X: &str = r#\"\" use crate::gateway;\"#;",
            "const X: &[u8] = b\"crate::gateway\";",
            "use super::gateway;",
            "mod gateway; use self::gateway::X;",
            "use crate::wire::gateway::X;",
            "use crate::{wire::{gateway, x}, storage};",
            "let gateway = crate_::gateway();",
        ] {
            finds("broker/fetch.rs", text, &[]);
        }
        for text in [
            "let c = '\"'; use crate::gateway; let d = '\"';",
            "fn f<'a>(x: &'a str) { let c = '\\''; crate::gateway::x() }",
            "let r = r; use crate::gateway; // \"",
            "let r#type = 1; use crate::gateway;",
        ] {
            finds("broker/fetch.rs", text, &["gateway"]);
        }
    }

    #[test]
    fn leaves_the_roots_alone() {
        finds("lib.rs", "use crate::gateway;", &[]);
        finds("main.rs", "use crate::gateway;", &[]);
    }
}
