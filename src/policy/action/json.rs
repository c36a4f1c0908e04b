//! Finds what paths name in JSON text, in one pass, without a tree: the byte spans of the values found.
//!
//! The whole text is validated as it is read (RFC 8259, UTF-8, escapes that make characters, a bounded depth), also
//! where no path leads: a text that only half of its readers accept is one in which something may hide. Of
//! members that stand twice, both are found.

use std::borrow::Cow;
use std::fmt;

mod scan;
mod string;

use self::scan::Scan;
use self::string::unescape;
pub(super) use self::string::{string_content, write_string};
use super::path::{Path, To};

/// States of one matcher: bits of a word.
const MAX_STATES: usize = 64;

/// The text is no JSON, or none that is accepted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unparsable {
    /// Byte in the text.
    pub at: usize,
    pub problem: &'static str,
}

impl fmt::Display for Unparsable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not JSON at byte {}: {}", self.at, self.problem)
    }
}

impl std::error::Error for Unparsable {}

/// A value in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
    /// Which of the paths found it.
    pub path: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// In its quotes. `escaped`: there is a backslash in it.
    String {
        escaped: bool,
    },
    Number,
    Bool,
    Null,
    Array,
    Object,
}

/// A value found, borrowed from the text where it can be.
#[derive(Debug, Clone, PartialEq)]
pub enum JsonValue<'a> {
    String(Cow<'a, str>),
    /// As it is written: no digit is lost.
    Number(&'a str),
    Bool(bool),
    Null,
    /// An array or object, as it is written.
    Raw(&'a str),
}

impl<'a> JsonValue<'a> {
    /// What `span`, found in `text`, holds.
    pub fn of(text: &'a str, span: &Span) -> Self {
        let raw = text.get(span.start..span.end).unwrap_or_default();
        match span.kind {
            Kind::String { escaped } => Self::String(string_content(raw, escaped)),
            Kind::Number => Self::Number(raw),
            Kind::Bool => Self::Bool(raw == "true"),
            Kind::Null => Self::Null,
            Kind::Array | Kind::Object => Self::Raw(raw),
        }
    }

    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Number(raw) => raw.parse().ok(),
            _ => None,
        }
    }

    /// The text of a string, number or boolean.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            Self::Number(raw) => Some(raw),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Null | Self::Raw(_) => None,
        }
    }
}

/// The value at `path`, for those who want one: of a definite path whose members repeat the last, as most readers
/// have it, else the first. Who guards something looks at all of them: [`PathSet::find`].
pub fn value<'a>(text: &'a [u8], path: &Path) -> Result<Option<JsonValue<'a>>, Unparsable> {
    let mut spans = Vec::new();
    let text = PathSet::new([path]).find(text, &mut spans)?;
    let span = if path.is_definite() { spans.last() } else { spans.first() };
    Ok(span.map(|span| JsonValue::of(text, span)))
}

/// Paths compiled to be looked for together.
///
/// Each step of each path is a state; which states are active in a container is a word, so that one pass follows all
/// paths at once.
#[derive(Debug, Clone, Default)]
pub struct PathSet {
    machines: Vec<Machine>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    /// A step of a path each; where a path ends, a state without a step.
    names: Vec<Box<[u8]>>,
    indexes: Vec<usize>,
    /// Which path a state belongs to.
    paths: Vec<usize>,
    start: u64,
    accept: u64,
    deep: u64,
    key: u64,
    index: u64,
    any: u64,
}

impl PathSet {
    /// Paths are known by their place in `paths`.
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut machines = Vec::<Machine>::new();
        for (number, path) in paths.into_iter().enumerate() {
            let needed = path.steps().len() + 1;
            // A path has at most 33 states, so that a new machine always has room.
            let machine =
                machines.pop_if(|machine| machine.paths.len() + needed <= MAX_STATES).unwrap_or_default();
            machines.push(machine.with(number, path));
        }
        Self { machines }
    }

    pub fn is_empty(&self) -> bool {
        self.machines.is_empty()
    }

    pub(super) fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// Validates `text` and puts what the paths find into `spans`, in the order of their starts, the longer first.
    /// Returns `text`, now known to be UTF-8.
    pub fn find<'a>(&self, text: &'a [u8], spans: &mut Vec<Span>) -> Result<&'a str, Unparsable> {
        spans.clear();
        let valid = std::str::from_utf8(text)
            .map_err(|error| Unparsable { at: error.valid_up_to(), problem: "the bytes are not UTF-8" })?;
        for machine in &self.machines {
            Scan::new(text, machine, spans).document()?;
        }
        if spans.len() > 1 {
            spans.sort_by(|a, b| (a.start, b.end, a.path).cmp(&(b.start, a.end, b.path)));
        }
        Ok(valid)
    }
}

impl Machine {
    fn with(mut self, number: usize, path: &Path) -> Self {
        self.start |= 1 << self.paths.len();
        for step in path.steps() {
            let bit = 1 << self.paths.len();
            let (mut name, mut index) = (Box::default(), 0);
            match &step.to {
                To::Key(key) => {
                    self.key |= bit;
                    name = key.as_bytes().into();
                }
                To::Index(at) => {
                    self.index |= bit;
                    index = *at;
                }
                To::Any => self.any |= bit,
            }
            if step.deep {
                self.deep |= bit;
            }
            self.state(number, name, index);
        }
        self.accept |= 1 << self.paths.len();
        self.state(number, Box::default(), 0);
        self
    }

    fn state(&mut self, number: usize, name: Box<[u8]>, index: usize) {
        self.names.push(name);
        self.indexes.push(index);
        self.paths.push(number);
    }

    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Whether a path ends here.
    #[inline]
    pub(super) fn finds(&self, active: u64) -> bool {
        active & self.accept != 0
    }

    /// Whether a path asks for an element by its place.
    pub(super) fn counts(&self) -> bool {
        self.index != 0
    }

    /// The paths that end here.
    pub(super) fn found(&self, active: u64) -> impl Iterator<Item = usize> + '_ {
        let found = active & self.accept;
        (0..MAX_STATES)
            .filter(move |state| found >> state & 1 == 1)
            .filter_map(|at| self.paths.get(at).copied())
    }

    /// All that some member leads to.
    pub(super) fn below_members(&self, active: u64) -> Vec<u64> {
        let waiting = (0..MAX_STATES).filter(|state| (active & self.key) >> state & 1 == 1);
        let named = waiting.filter_map(|state| self.names.get(state));
        let named = named.map(|name| self.below_member(active, name, false));
        std::iter::once(self.below(active)).chain(named).collect()
    }

    /// All that some element leads to.
    pub(super) fn below_elements(&self, active: u64) -> Vec<u64> {
        let waiting = (0..MAX_STATES).filter(|state| (active & self.index) >> state & 1 == 1);
        let numbered = waiting.filter_map(|state| self.indexes.get(state));
        let numbered = numbered.map(|index| self.below_element(active, *index));
        std::iter::once(self.below(active)).chain(numbered).collect()
    }

    #[inline]
    fn below(&self, active: u64) -> u64 {
        (active & self.deep) | (active & self.any) << 1
    }

    #[inline]
    pub(super) fn below_member(&self, active: u64, raw: &[u8], escaped: bool) -> u64 {
        let mut next = self.below(active);
        let mut waiting = active & self.key;
        if waiting == 0 {
            return next;
        }
        let unescaped;
        let key = if escaped {
            unescaped = std::str::from_utf8(raw).map(unescape).unwrap_or_default();
            unescaped.as_bytes()
        } else {
            raw
        };
        while waiting != 0 {
            let state = waiting.trailing_zeros() as usize;
            if self.names.get(state).is_some_and(|name| **name == *key) {
                next |= 2 << state;
            }
            waiting &= waiting - 1;
        }
        next
    }

    #[inline]
    pub(super) fn below_element(&self, active: u64, index: usize) -> u64 {
        let mut next = self.below(active);
        let mut waiting = active & self.index;
        while waiting != 0 {
            let state = waiting.trailing_zeros() as usize;
            if self.indexes.get(state) == Some(&index) {
                next |= 2 << state;
            }
            waiting &= waiting - 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::scan::MAX_DEPTH;
    use super::*;
    use proptest::prelude::*;

    fn find(text: &str, paths: &[&str]) -> Result<Vec<(usize, String)>, Unparsable> {
        let paths: Vec<_> = paths.iter().map(|path| Path::parse(path).unwrap()).collect();
        let mut spans = Vec::new();
        PathSet::new(&paths).find(text.as_bytes(), &mut spans)?;
        Ok(spans.iter().map(|span| (span.path, text[span.start..span.end].to_owned())).collect())
    }

    fn found(text: &str, path: &str) -> Vec<String> {
        find(text, &[path]).unwrap().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn paths_find_their_values() {
        let text = r#" {"a":{"b":1,"c":[10,{"b":"x"},[30]]},"b":null,"a b":true,"d":[]} "#;
        assert_eq!(found(text, "$.a.b"), ["1"]);
        assert_eq!(found(text, "$['a b']"), ["true"]);
        assert_eq!(found(text, "$.a.c[0]"), ["10"]);
        assert_eq!(found(text, "$.a.c[*]"), ["10", r#"{"b":"x"}"#, "[30]"]);
        assert_eq!(found(text, "$.a.c[*].b"), [r#""x""#]);
        assert_eq!(found(text, "$..b"), ["1", r#""x""#, "null"]);
        assert_eq!(found(text, "$..[0]"), ["10", "30"]);
        assert_eq!(found(text, "$..c..b"), [r#""x""#]);
        assert_eq!(found(text, "$"), [text.trim()]);
        assert_eq!(found(text, "$.*"), [r#"{"b":1,"c":[10,{"b":"x"},[30]]}"#, "null", "true", "[]"]);
        assert_eq!(found(text, "$.a[0]"), [""; 0], "a member is no element");
        assert_eq!(found(text, "$.nothing.b"), [""; 0]);
        assert_eq!(found("[[1,2],[3]]", "$[*][1]"), ["2"]);
        assert_eq!(found("3", "$"), ["3"]);
        assert_eq!(found("3", "$.a"), [""; 0]);
    }

    #[test]
    fn depth_is_that_of_what_is_open() {
        for one in ["[1]", "{\"a\":1}"] {
            let many = format!("[{}]", vec![one; 3 * MAX_DEPTH].join(","));
            assert_eq!(found(&many, "$[300]"), [one]);
            assert_eq!(found(&format!("[{many}]"), "$[0][300]"), [one]);
        }
    }

    #[test]
    fn names_compare_after_escapes_and_repeat() {
        assert_eq!(found(r#"{"em\u0061il":1,"email":2,"Email":3,"email\u0000":4}"#, "$.email"), ["1", "2"]);
        assert_eq!(found(r#"{"\ud83d\ude00":1,"😀":2}"#, "$['😀']"), ["1", "2"]);
        assert_eq!(found(r#"{"a\"b":1,"a\/b":2}"#, r#"$['a"b']"#), ["1"]);
        assert_eq!(found(r#"{"":1}"#, "$['']"), ["1"]);
    }

    #[test]
    fn many_paths_at_once_and_nested_ones_outermost_first() {
        let text = r#"{"a":{"b":{"c":1}}}"#;
        let all = find(text, &["$.a.b.c", "$.a", "$.a.b", "$.a", "$..c"]).unwrap();
        let order: Vec<_> = all.iter().map(|(path, _)| *path).collect();
        assert_eq!(order, [1, 3, 2, 0, 4]);

        // More than one machine's states.
        let paths: Vec<_> = (0..100).map(|i| format!("$.a{i}.b.c.d")).collect();
        let paths: Vec<_> = paths.iter().map(String::as_str).collect();
        let text = r#"{"a7":{"b":{"c":{"d":1}}},"a99":{"b":{"c":{"d":2}}}}"#;
        assert_eq!(find(text, &paths).unwrap(), [(7, "1".to_owned()), (99, "2".to_owned())]);
    }

    #[test]
    fn what_is_no_json_is_refused_and_placed() {
        for (text, at) in [
            ("", 0),
            ("  ", 2),
            ("{", 1),
            (r#"{"a"}"#, 4),
            (r#"{"a":}"#, 5),
            (r#"{"a":1,}"#, 7),
            (r#"{a:1}"#, 1),
            ("[1,]", 3),
            ("[1 2]", 3),
            ("01", 1),
            ("1.", 2),
            (".5", 0),
            ("+1", 0),
            ("1e", 2),
            ("-", 1),
            ("nul", 0),
            ("NaN", 0),
            ("{} x", 3),
            ("'a'", 0),
            ("\"a\u{1}\"", 2),
            (r#""\x""#, 1),
            (r#""\u12g4""#, 1),
            (r#""\ud800""#, 1),
            (r#""\ud800\n""#, 1),
            (r#""\udc00""#, 1),
            (r#""abc"#, 4),
            (r#""abcdefghijklmnop"#, 17),
            ("// no\n1", 0),
            ("\u{feff}1", 0),
        ] {
            assert_eq!(find(text, &["$.a"]).unwrap_err().at, at, "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
        }
        let mut spans = Vec::new();
        let path = Path::parse("$").unwrap();
        assert_eq!(PathSet::new([&path]).find(b"\"\xff\"", &mut spans).unwrap_err().at, 1);
        let deep = |n: usize| ["[".repeat(n), "]".repeat(n)].concat();
        assert!(find(&deep(MAX_DEPTH), &["$"]).is_ok());
        assert!(find(&deep(MAX_DEPTH + 1), &["$"]).is_err());
        assert!(find(&"[".repeat(1 << 20), &["$"]).is_err());
    }

    #[test]
    fn values_for_selectors() {
        let of =
            |text: &'static str, path: &str| value(text.as_bytes(), &Path::parse(path).unwrap()).unwrap();
        let text = r#"{"s":"a\tb","n":-1.5e3,"t":true,"z":null,"o":{"x":[1, 2]},"s2":"","d":1,"d":2}"#;
        assert_eq!(of(text, "$.s"), Some(JsonValue::String("a\tb".into())));
        assert!(matches!(of(text, "$.s2"), Some(JsonValue::String(Cow::Borrowed("")))));
        assert_eq!(of(text, "$.n").unwrap().as_f64(), Some(-1500.0));
        assert_eq!(of(text, "$.t"), Some(JsonValue::Bool(true)));
        assert_eq!(of(text, "$.z"), Some(JsonValue::Null));
        assert_eq!(of(text, "$.o.x"), Some(JsonValue::Raw("[1, 2]")));
        assert_eq!(of(text, "$.missing"), None);
        assert_eq!(of(text, "$.d").unwrap().as_text(), Some("2"), "the last, as most readers have it");
        assert_eq!(of(text, "$..x[*]").unwrap().as_text(), Some("1"));
        assert!(value(b"{", &Path::parse("$.a").unwrap()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The same texts are JSON as for serde_json, near JSON and far from it.
        #[test]
        fn the_same_texts_are_json(text in r#"([\[\]{}:,"\\ue0-2.\-+ a\n]|"a":|true|null|\\u00|\\ud83d\\ude00){0,12}"#) {
            let ours = find(&text, &["$..a"]).is_ok();
            // serde_json refuses numbers too large for its tree; these are JSON all the same.
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            prop_assume!(!theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range")));
            prop_assert_eq!(ours, theirs.is_ok(), "{}", text);
        }

        #[test]
        fn any_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let path = Path::parse("$..*").unwrap();
            let mut spans = Vec::new();
            let _ = PathSet::new([&path]).find(&bytes, &mut spans);
        }

        #[test]
        fn strings_survive_writing_and_reading(text in any::<String>(), padding in 0usize..9) {
            let mut out = vec![b' '; padding];
            write_string(&mut out, &text);
            let path = Path::parse("$").unwrap();
            prop_assert_eq!(value(&out, &path).unwrap(), Some(JsonValue::String(text.clone().into())));
            // And as another writer escapes it, every character.
            let mut escaped = String::from("\"");
            for unit in text.encode_utf16() {
                escaped += &format!("\\u{unit:04x}");
            }
            escaped.push('"');
            prop_assert_eq!(value(escaped.as_bytes(), &path).unwrap(), Some(JsonValue::String(text.into())));
        }
    }

    #[test]
    fn numbers_and_escapes_are_as_the_grammar_has_them() {
        let set = PathSet::default();
        assert!(set.is_empty() && !PathSet::new([&Path::parse("$.a").unwrap()]).is_empty());
        // without a path nothing is looked at: so with one
        let set = PathSet::new([&Path::parse("$.a").unwrap()]);
        let valid = |text: &str| set.find(text.as_bytes(), &mut Vec::new()).is_ok();
        for number in ["0", "-0", "12", "0.5", "-12.5e10", "1e5", "1E+5", "1e-5", "10e0"] {
            assert!(valid(&format!("[{number}]")), "{number}");
        }
        for number in ["", "-", "01", "1.", "1e", "1e+", "1e-", "+1", ".5", "0x1", "1e5.5", "--1", "1+", "-a"]
        {
            assert!(!valid(&format!("[{number}]")) || number.is_empty(), "{number}");
        }
        for (text, is) in [
            (r#""\ud83d\ude00""#, true),
            (r#""\ud83d\u0041""#, false),
            (r#""\ud83dxxdc00""#, false),
            (r#""\ud83d""#, false),
            (r#""\ude00""#, false),
            (r#""\u00e9""#, true),
            (r#""\u00g9""#, false),
        ] {
            assert_eq!(valid(text), is, "{text}");
        }
    }

    #[test]
    fn what_stands_side_by_side_is_not_deep() {
        let set = PathSet::new([&Path::parse("$.a").unwrap()]);
        for one in ["[]", "{}", "[1]", r#"{"a":1}"#] {
            let many = format!("[{}{one}]", format!("{one},").repeat(1_000));
            assert!(set.find(many.as_bytes(), &mut Vec::new()).is_ok(), "{one}");
        }
        let error = set.find(b"[1,]", &mut Vec::new()).unwrap_err();
        assert!(error.to_string().starts_with("not JSON at byte 3: "), "{error}");
    }
}
