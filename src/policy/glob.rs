//! Glob patterns: `*` is any run of bytes, `?` one character, `\` takes the next byte as it is.
//!
//! Patterns are compiled once, when a policy is loaded. Most that people write are a name, a prefix or `*`,
//! and these never reach the general matcher.

use std::fmt;

/// One compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: Box<str>,
    shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Any,
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    Suffix(Box<[u8]>),
    General(Box<[Token]>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8),
    One,
    Run,
}

impl Glob {
    pub fn new(pattern: &str) -> Self {
        let tokens = tokens(pattern);
        let literal = |part: &[Token]| -> Option<Box<[u8]>> {
            part.iter().map(|t| if let Token::Byte(b) = t { Some(*b) } else { None }).collect()
        };
        let shape = match tokens.as_slice() {
            [Token::Run] => Shape::Any,
            [start @ .., Token::Run] if literal(start).is_some() => {
                Shape::Prefix(literal(start).unwrap_or_default())
            }
            [Token::Run, end @ ..] if literal(end).is_some() => {
                Shape::Suffix(literal(end).unwrap_or_default())
            }
            all => match literal(all) {
                Some(exact) => Shape::Exact(exact),
                None => Shape::General(all.into()),
            },
        };
        Self { text: pattern.into(), shape }
    }

    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        match &self.shape {
            Shape::Any => true,
            Shape::Exact(exact) => **exact == *name,
            Shape::Prefix(prefix) => name.starts_with(prefix),
            Shape::Suffix(suffix) => name.ends_with(suffix),
            Shape::General(tokens) => general(tokens, name),
        }
    }

    /// The one name this pattern stands for, when it has no wildcard.
    pub fn exact(&self) -> Option<&[u8]> {
        match &self.shape {
            Shape::Exact(exact) => Some(exact),
            _ => None,
        }
    }

    pub fn is_any(&self) -> bool {
        self.shape == Shape::Any
    }

    /// Whether every name that `other` matches is matched by this one. When in doubt it says no.
    pub fn covers(&self, other: &Glob) -> bool {
        covers(&tokens(&self.text), &tokens(&other.text))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut bytes = pattern.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'*' if tokens.last() == Some(&Token::Run) => {}
            b'*' => tokens.push(Token::Run),
            b'?' => tokens.push(Token::One),
            b'\\' => tokens.push(Token::Byte(bytes.next().unwrap_or(b'\\'))),
            other => tokens.push(Token::Byte(other)),
        }
    }
    tokens
}

/// Greedy matching that goes back to the last `*` only: no recursion, at most pattern times name.
fn general(tokens: &[Token], name: &[u8]) -> bool {
    let (mut t, mut n) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    loop {
        match tokens.get(t) {
            Some(Token::Run) => {
                resume = Some((t + 1, n));
                t += 1;
                continue;
            }
            Some(Token::Byte(byte)) if name.get(n) == Some(byte) => {
                t += 1;
                n += 1;
                continue;
            }
            Some(Token::One) if n < name.len() => {
                t += 1;
                n += character_len(&name[n..]);
                continue;
            }
            None if n == name.len() => return true,
            _ => {}
        }
        match resume {
            Some((after, from)) if from < name.len() => {
                resume = Some((after, from + 1));
                t = after;
                n = from + 1;
            }
            _ => return false,
        }
    }
}

/// The same over the tokens of another pattern: a `*` of it is taken by a `*` only.
fn covers(tokens: &[Token], other: &[Token]) -> bool {
    let takes = |token: &Token, theirs: &Token| match (token, theirs) {
        (Token::Byte(a), Token::Byte(b)) => a == b,
        // a character may be more than one byte
        (Token::One, Token::Byte(byte)) => byte.is_ascii(),
        (Token::One, Token::One) => true,
        _ => false,
    };
    let (mut t, mut n) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(t), other.get(n)) {
            (Some(Token::Run), _) => {
                resume = Some((t + 1, n));
                t += 1;
                continue;
            }
            (Some(token), Some(theirs)) if takes(token, theirs) => {
                t += 1;
                n += 1;
                continue;
            }
            (None, None) => return true,
            _ => {}
        }
        match resume {
            Some((after, from)) if from < other.len() => {
                resume = Some((after, from + 1));
                (t, n) = (after, from + 1);
            }
            _ => return false,
        }
    }
}

/// Bytes of the UTF-8 character that starts `rest`; what is not UTF-8 counts byte by byte.
fn character_len(rest: &[u8]) -> usize {
    let announced = match rest.first() {
        Some(0xC2..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF4) => 4,
        _ => return 1,
    };
    match rest.get(1..announced) {
        Some(tail) if tail.iter().all(|b| b & 0xC0 == 0x80) => announced,
        _ => 1,
    }
}

/// A list of patterns as the words of the language take them: any of the includes and none of the excludes
/// (written with a leading `!`). Excludes alone mean "all but".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    includes: Box<[Glob]>,
    excludes: Box<[Glob]>,
}

impl Patterns {
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let (mut includes, mut excludes) = (Vec::new(), Vec::new());
        for pattern in patterns {
            match pattern.as_ref().strip_prefix('!') {
                Some(excluded) => excludes.push(Glob::new(excluded)),
                None => includes.push(Glob::new(pattern.as_ref())),
            }
        }
        Self { includes: includes.into(), excludes: excludes.into() }
    }

    pub fn matches(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        (self.includes.is_empty() || self.includes.iter().any(|g| g.matches(name)))
            && !self.excludes.iter().any(|g| g.matches(name))
    }

    /// True for a list that lets every name through.
    pub fn is_any(&self) -> bool {
        self.excludes.is_empty() && (self.includes.is_empty() || self.includes.iter().any(Glob::is_any))
    }

    /// No name can pass: every include is a plain name that an exclude takes away again.
    pub fn is_never(&self) -> bool {
        let taken = |g: &Glob| {
            self.excludes.iter().any(|x| x.is_any() || g.exact().is_some_and(|name| x.matches(name)))
        };
        match self.includes.is_empty() {
            true => self.excludes.iter().any(Glob::is_any),
            false => self.includes.iter().all(taken),
        }
    }

    /// Whether every name that passes `other` passes this list. When in doubt it says no.
    pub fn covers(&self, other: &Patterns) -> bool {
        let all = || self.includes.is_empty() || self.includes.iter().any(Glob::is_any);
        let included = match other.includes.is_empty() {
            true => all(),
            false => {
                all()
                    || other.includes.iter().all(|theirs| self.includes.iter().any(|own| own.covers(theirs)))
            }
        };
        // what is excluded here must not pass there
        included
            && self.excludes.iter().all(|own| {
                let excluded = other.excludes.iter().any(|theirs| theirs.covers(own));
                let exact = |g: &Glob| g.exact().is_some_and(|name| !own.matches(name));
                excluded || !other.includes.is_empty() && other.includes.iter().all(exact)
            })
    }

    /// Whether it names only what is exempt. What has no name at all is then let through as well.
    pub fn only_excludes(&self) -> bool {
        self.includes.is_empty()
    }

    pub fn includes(&self) -> &[Glob] {
        &self.includes
    }
}

impl fmt::Display for Patterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.includes.iter().map(|g| ("", g)).chain(self.excludes.iter().map(|g| ("!", g)));
        for (i, (mark, glob)) in all.enumerate() {
            write!(f, "{}{mark}{glob}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shapes_match_what_they_say() {
        for (pattern, yes, no) in [
            ("*", vec!["", "a", "anything"], vec![]),
            ("orders", vec!["orders"], vec!["order", "orders2", ""]),
            ("orders-*", vec!["orders-", "orders-eu"], vec!["orders", "x-orders-eu"]),
            ("*-dlq", vec!["-dlq", "a-dlq"], vec!["a-dlq2"]),
            ("a*c*e", vec!["ace", "abcde", "acce"], vec!["acd", "ec"]),
            ("a?c", vec!["abc", "aéc", "a€c", "a😀c"], vec!["ac", "abbc", "a€€c"]),
            ("a\\*b", vec!["a*b"], vec!["axb", "ab"]),
            ("**x**", vec!["x", "axb"], vec!["ab"]),
            ("", vec![""], vec!["a"]),
        ] {
            let glob = Glob::new(pattern);
            for name in yes {
                assert!(glob.matches(name), "{pattern} should match {name:?}");
            }
            for name in no {
                assert!(!glob.matches(name), "{pattern} should not match {name:?}");
            }
        }
    }

    #[test]
    fn a_question_mark_takes_one_byte_of_what_is_not_utf8() {
        assert!(Glob::new("a?b").matches([b'a', 0xE0, b'b']));
        assert!(!Glob::new("a?b").matches([b'a', 0xFF, 0xFE, b'b']));
        // it begins as a character of three bytes would
        assert!(Glob::new("a?bb").matches([b'a', 0xE0, b'b', b'b']));
    }

    #[test]
    fn excludes_alone_mean_all_but() {
        let all_but = Patterns::new(["!secret-*"]);
        assert!(all_but.matches("orders"));
        assert!(!all_but.matches("secret-1"));
        let some = Patterns::new(["orders*", "!orders-test"]);
        assert!(some.matches("orders-eu"));
        assert!(!some.matches("orders-test"));
        assert!(!some.matches("payments"));
    }

    #[test]
    fn lists_know_whether_they_are_all_or_nothing() {
        assert!(Patterns::default().is_any());
        assert!(Patterns::new(["a", "*"]).is_any());
        assert!(Patterns::new(["***"]).is_any(), "stars in a row are one");
        assert!(!Patterns::new(["*", "!a"]).is_any());
        assert!(Patterns::new(["a", "!a"]).is_never());
        assert!(Patterns::new(["!*"]).is_never());
        assert!(!Patterns::new(["a*", "!ab"]).is_never());
    }

    #[test]
    fn many_stars_on_a_long_name_end_soon() {
        let glob = Glob::new(&"*a".repeat(60));
        let name = ["a".repeat(59), "b".repeat(100_000)].concat();
        assert!(!glob.matches(name));
    }

    /// The obvious recursive definition, as the oracle.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                slow(rest, name) || name.split_first().is_some_and(|(_, n)| slow(pattern, n))
            }
            (Some((b'?', rest)), Some((_, n))) => slow(rest, n),
            (Some((p, rest)), Some((c, n))) => p == c && slow(rest, n),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_recursive_definition(pattern in "[ab*?]{0,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(Glob::new(&pattern).matches(&name), slow(pattern.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn patterns_cover_others() {
        for (wide, narrow, covers) in [
            ("*", "*", true),
            ("*", "a?b*", true),
            ("x*", "xy", true),
            ("x*", "xy*z", true),
            ("xy", "x*", false),
            ("x*", "*x", false),
            ("*x", "a*bx", true),
            ("a*b*c", "a*c", false),
            ("a*c", "a*b*c", true),
            ("a?c", "abc", true),
            ("a?c", "a?c", true),
            ("a?c", "aéc", false),
            ("a?c", "a*c", false),
            ("a*", "a", true),
            ("\\*", "*", false),
        ] {
            assert_eq!(Glob::new(wide).covers(&Glob::new(narrow)), covers, "{wide} {narrow}");
        }
        for (wide, narrow, covers) in [
            (&["*"][..], &["!a"][..], true),
            (&["a*", "b*"], &["ab", "b"], true),
            (&["a*"], &["ab", "b"], false),
            (&["!a"], &["b"], true),
            (&["!a"], &["b*"], false),
            (&["!a"], &["*", "!a*"], true),
            (&["x*", "!xz"], &["xy"], true),
            (&["x*", "!xz"], &["x*"], false),
            (&["a"], &["!b"], false),
        ] {
            assert_eq!(Patterns::new(wide).covers(&Patterns::new(narrow)), covers, "{wide:?} {narrow:?}");
        }
    }
}
