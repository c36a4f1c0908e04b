//! A journal made to happen again: of every fault exactly the injections that the journal has, whatever a draw, a count or
//! the time of day would say now.
//!
//! An injection is known by its rule (policy and name), its subject and which event of it; that a rule is there for it is what
//! `Replay::missing` asks. Draws of parameters are made again from the journal's seed. What the journal does not name does not happen.
//! Selectors are asked as ever: an injection whose client does not come, or comes with something else, stays out, and a second
//! journal shows it.

use serde::Deserialize;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::io::BufRead;
use std::sync::Arc;

/// Injections that one replay holds; a journal with more is refused.
const INJECTIONS: usize = 10_000_000;
/// The longest line that is read.
const LINE_BYTES: usize = 1 << 20;

/// A journal, by rule.
#[derive(Debug, Default)]
pub struct Replay {
    rules: HashMap<(String, String), Arc<Forced>>,
    /// Injections in it.
    pub injections: usize,
    /// Lines that its writer could not write: so much will be missing.
    pub dropped: u64,
}

/// What one rule has to do.
#[derive(Debug, Default, Clone)]
pub struct Forced {
    /// Subject, ordinal and attempt.
    events: HashSet<(u128, u64, u32)>,
    /// The seed its parameters were drawn from.
    pub seed: Option<u64>,
}

impl Forced {
    pub fn has(&self, subject: u128, ordinal: u64, attempt: u32) -> bool {
        self.events.contains(&(subject, ordinal, attempt))
    }
}

/// Why a journal cannot be replayed.
#[derive(Debug, PartialEq, Eq)]
pub struct ReplayError {
    pub line: usize,
    pub message: String,
}

impl fmt::Display for ReplayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for ReplayError {}

/// A line of a journal, as far as it matters here.
#[derive(Deserialize)]
struct Line {
    seed: Option<u64>,
    policy: Option<String>,
    rule: Option<String>,
    subject_id: Option<String>,
    n: Option<u64>,
    attempt: Option<u32>,
    #[serde(default)]
    observed: bool,
    dropped_lines: Option<u64>,
    /// Of a request that waited: what ended that.
    released_by: Option<String>,
    /// A subject that had to be forgotten.
    evicted_subject: Option<String>,
}

impl Replay {
    /// Reads a journal.
    pub fn read(mut journal: impl BufRead) -> Result<Self, ReplayError> {
        let mut replay = Self::default();
        let mut rules: HashMap<(String, String), Forced> = HashMap::new();
        for number in 1.. {
            let at = |message: String| ReplayError { line: number, message };
            let mut text = Vec::new();
            let mut limited = std::io::Read::take(&mut journal, LINE_BYTES as u64);
            limited.read_until(b'\n', &mut text).map_err(|error| at(error.to_string()))?;
            if text.is_empty() {
                break;
            }
            if text.len() == LINE_BYTES {
                return Err(at(format!("longer than {LINE_BYTES} bytes: this is no journal")));
            }
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line: Line = serde_json::from_slice(&text).map_err(|error| at(error.to_string()))?;
            replay.dropped += line.dropped_lines.unwrap_or_default();
            let tells_something_else =
                line.dropped_lines.is_some() || line.evicted_subject.is_some() || line.released_by.is_some();
            if line.observed || tells_something_else {
                continue;
            }
            let (Some(policy), Some(rule), Some(n)) = (line.policy, line.rule, line.n) else {
                return Err(
                    at("it has no `policy`, `rule` and `n`: this is no line of a journal".to_owned()),
                );
            };
            let subject = line.subject_id.as_deref().and_then(|id| u128::from_str_radix(id, 16).ok());
            let subject =
                subject.ok_or_else(|| at("it has no `subject_id` of 32 hexadecimal digits".to_owned()))?;
            let forced = rules.entry((policy, rule)).or_default();
            if let (Some(one), Some(other)) = (forced.seed, line.seed)
                && one != other
            {
                return Err(at(format!(
                    "the rule drew from seed {one} before and from {other} here: these are two runs"
                )));
            }
            forced.seed = forced.seed.or(line.seed);
            forced.events.insert((subject, n, line.attempt.unwrap_or_default()));
            replay.injections += 1;
            if replay.injections > INJECTIONS {
                return Err(at(format!("more than {INJECTIONS} injections")));
            }
        }
        replay.rules = rules.into_iter().map(|(rule, forced)| (rule, Arc::new(forced))).collect();
        Ok(replay)
    }

    /// What a rule has to do: nothing, when the journal does not name it.
    pub fn of(&self, policy: &str, rule: &str) -> Arc<Forced> {
        self.rules.get(&(policy.to_owned(), rule.to_owned())).map(Arc::clone).unwrap_or_default()
    }

    /// The rules of the journal that are not among these, as `policy: rule`.
    pub fn missing<'a>(&self, rules: impl Iterator<Item = (&'a str, &'a str)>) -> BTreeSet<String> {
        let there: HashSet<(&str, &str)> = rules.collect();
        let names =
            self.rules.keys().filter(|(policy, rule)| !there.contains(&(policy.as_str(), rule.as_str())));
        names.map(|(policy, rule)| format!("{policy}: {rule}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rule: &str, subject: u128, n: u64, seed: u64) -> String {
        format!(
            "{{\"time\":1,\"seed\":{seed},\"policy\":\"p\",\"rule\":\"{rule}\",\"subject\":\"s\",\"subject_id\":\"{subject:032x}\",\
             \"n\":{n},\"attempt\":1,\"fault\":\"fail\",\"when\":\"before\",\"session\":1,\"correlation_id\":2}}\n"
        )
    }

    #[test]
    fn a_journal_is_read_by_rule() {
        let text = [
            line("a", 7, 3, 5),
            line("a", 7, 4, 5).replace("\"when\"", "\"released_by\":\"time\",\"when\""),
            "{\"time\":1,\"dropped_lines\":4}\n\n{\"time\":1,\"evicted_subject\":\"00\"}\n".to_owned(),
            line("b", 8, 0, 6),
            line("a", 7, 9, 5).replace("\"when\"", "\"observed\":true,\"when\""),
        ]
        .concat();
        let replay = Replay::read(text.as_bytes()).unwrap();
        assert_eq!((replay.injections, replay.dropped), (2, 4));
        let a = replay.of("p", "a");
        assert_eq!((a.seed, a.has(7, 3, 1), a.has(7, 3, 0), a.has(7, 9, 1)), (Some(5), true, false, false));
        assert!(!replay.of("q", "a").has(7, 3, 1));
        assert_eq!(replay.missing([("p", "a")].into_iter()), BTreeSet::from(["p: b".to_owned()]));
    }

    #[test]
    fn what_is_no_journal_is_refused_by_line() {
        for (text, number, says) in [
            ("{}\n".to_owned(), 1, "no line of a journal"),
            (line("a", 1, 1, 1) + "not json\n", 2, "expected"),
            (line("a", 1, 1, 1).replace("subject_id", "subject_hash"), 1, "32 hexadecimal digits"),
            ([line("a", 1, 1, 1), line("a", 1, 2, 2)].concat(), 2, "two runs"),
            ("x".repeat(LINE_BYTES + 5), 1, "longer than"),
        ] {
            let error = Replay::read(text.as_bytes()).unwrap_err();
            assert!(error.line == number && error.message.contains(says), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let error = Replay::read(&b"\n{\"n\":1}\n"[..]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: it has no `policy`, `rule` and `n`: this is no line of a journal"
        );
    }
}
