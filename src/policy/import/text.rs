//! Strangers' texts in a script: as literals, as comments, as names; and their regular expressions as globs.

/// Longer ones are not taken: patterns may be 1,024 bytes long.
const TEXT: usize = 1_000;
/// Globs that one regular expression may become.
const GLOBS: usize = 10;
/// Groups within groups.
const DEPTH: usize = 8;

/// A text as Rhai reads it. Nothing but ASCII letters, digits and plain signs stands as it is.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('"');
    out
}

/// A text in a comment: one line, whatever it holds. Our own notes have an ellipsis here and there.
pub fn comment(text: &str) -> String {
    let plain = |c: char| (' '..='~').contains(&c) || c == '…';
    text.chars().flat_map(|c| if plain(c) { vec![c] } else { c.escape_unicode().collect() }).collect()
}

/// A name for a policy and its file.
pub fn slug(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let slug: String = text.chars().take(60).map(plain).collect();
    match slug.trim_matches('-') {
        "" => "interceptor".to_owned(),
        slug => slug.to_owned(),
    }
}

/// The globs that match what a regular expression matches whole. None: there are none, or too many.
pub fn globs(regex: &str) -> Option<Vec<String>> {
    if regex.len() > TEXT {
        return None;
    }
    let regex = regex.strip_prefix('^').unwrap_or(regex);
    let ends = regex.ends_with('$') && !regex.ends_with("\\$");
    let regex = if ends { &regex[..regex.len() - 1] } else { regex };
    let chars: Vec<char> = regex.chars().collect();
    let mut at = 0;
    let globs = alternatives(&chars, &mut at, 0)?;
    let mut globs = (at == chars.len()).then_some(globs)?;
    globs.sort();
    globs.dedup();
    // one that takes all makes the others needless
    if globs.iter().any(|glob| glob == "*") {
        return Some(vec!["*".to_owned()]);
    }
    // a name is never empty, and a pattern that is matches nothing
    globs.iter().all(|glob| !glob.is_empty()).then_some(globs)
}

fn alternatives(chars: &[char], at: &mut usize, depth: usize) -> Option<Vec<String>> {
    if depth > DEPTH {
        return None;
    }
    let mut all = sequence(chars, at, depth)?;
    while chars.get(*at) == Some(&'|') {
        *at += 1;
        all.extend(sequence(chars, at, depth)?);
        if all.len() > GLOBS {
            return None;
        }
    }
    Some(all)
}

fn sequence(chars: &[char], at: &mut usize, depth: usize) -> Option<Vec<String>> {
    let mut sofar = vec![String::new()];
    while let Some(c) = chars.get(*at) {
        let next = match c {
            '|' | ')' => break,
            '(' => {
                *at += 1;
                if chars.get(*at) == Some(&'?') {
                    if chars.get(*at + 1) != Some(&':') {
                        return None;
                    }
                    *at += 2;
                }
                let inside = alternatives(chars, at, depth + 1)?;
                if chars.get(*at) != Some(&')') {
                    return None;
                }
                inside
            }
            '.' => match chars.get(*at + 1) {
                Some('*') => {
                    *at += 1;
                    vec!["*".to_owned()]
                }
                Some('+') => {
                    *at += 1;
                    vec!["?*".to_owned()]
                }
                _ => vec!["?".to_owned()],
            },
            '\\' => {
                *at += 1;
                let escaped = *chars.get(*at)?;
                // letters and digits after it are classes and references
                (!escaped.is_alphanumeric()).then(|| vec![plain(escaped)])?
            }
            '[' | ']' | '{' | '}' | '*' | '+' | '?' | '^' | '$' => return None,
            c => vec![plain(*c)],
        };
        *at += 1;
        // what is repeated was more than one piece
        if matches!(chars.get(*at), Some('*' | '+' | '?' | '{')) {
            return None;
        }
        sofar = sofar
            .iter()
            .flat_map(|before| next.iter().map(move |after| format!("{before}{after}")))
            .collect();
        if sofar.len() > GLOBS {
            return None;
        }
    }
    Some(sofar)
}

/// A character as a glob has it.
fn plain(c: char) -> String {
    match c {
        '*' | '?' | '\\' | '!' => format!("\\{c}"),
        c => c.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_plain_sign_is_escaped_by_its_number() {
        assert_eq!(literal("a\"\\ é\n😀"), r#""a\"\\ \u00e9\u000a\U0001f600""#);
    }

    #[test]
    fn a_regular_expression_becomes_so_many_globs_and_no_more() {
        let letters = |count: u8| (b'a'..b'a' + count).map(char::from).collect::<Vec<_>>();
        let either = |count| letters(count).iter().map(char::to_string).collect::<Vec<_>>().join("|");
        assert_eq!(globs(&either(10)).map(|globs| globs.len()), Some(10));
        assert_eq!(globs(&either(11)), None);
        assert_eq!(globs("(a|b)(c|d|e|f|g)").map(|globs| globs.len()), Some(10));
        assert_eq!(globs("(a|b|c)(d|e|f|g)"), None);
        let nested = |depth: usize| format!("{}a{}", "(".repeat(depth), ")".repeat(depth));
        assert_eq!(globs(&nested(8)), Some(vec!["a".to_owned()]));
        assert_eq!((globs(&nested(9)), globs(&nested(10))), (None, None));
        assert_eq!(globs(&"a".repeat(1_000)), Some(vec!["a".repeat(1_000)]));
        assert_eq!((globs(&"a".repeat(1_001)), globs(&"a".repeat(1_002))), (None, None));
    }
}
