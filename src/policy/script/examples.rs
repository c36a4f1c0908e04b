//! One runnable example for each word: a whole policy, with a test wherever a test can see what the word does. `policy docs`
//! prints them, and a test here runs them, so that none of them is wrong.
//!
//! In the files each begins with a line `// # word`.

const FILES: &[&str] = &[
    include_str!("examples/policies.rhai"),
    include_str!("examples/heads.rhai"),
    include_str!("examples/selectors.rhai"),
    include_str!("examples/triggers.rhai"),
    include_str!("examples/protect.rhai"),
    include_str!("examples/faults.rhai"),
    include_str!("examples/reply_faults.rhai"),
    include_str!("examples/record_faults.rhai"),
    include_str!("examples/link_faults.rhai"),
    include_str!("examples/broker_faults.rhai"),
    include_str!("examples/values.rhai"),
    include_str!("examples/testing.rhai"),
];

/// What a word's example begins with.
const MARK: &str = "// # ";

/// All examples: the word, and the policy.
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().flat_map(|file| file.split(MARK)).filter_map(|section| {
        let (word, policy) = section.split_once('\n')?;
        Some((word.trim(), policy.trim()))
    })
}

/// The example of a word.
pub fn of(word: &str) -> Option<&'static str> {
    all().find(|(of, _)| *of == word).map(|(_, policy)| policy)
}

#[cfg(test)]
mod tests {
    use super::super::call::{Form, Signature, registered};
    use super::super::engine::engine;
    use super::super::host::Host;
    use super::super::vocabulary::WORDS;
    use super::*;
    use crate::policy::load::Script;
    use crate::policy::secrets::Secrets;
    use crate::policy::testing;

    /// No test inside a policy can see what they do.
    const UNSEEN: &[&str] = &["policy", "named", "audit", "seed", "headers", "reorder", "stale_metadata"];

    /// Those that are shipped.
    fn schemas() -> crate::policy::schema::Schemas {
        crate::policy::schema::Schemas::new(Some(
            concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schemas").into(),
        ))
    }

    /// The failures of an example's tests. An error: it does not load.
    fn run(policy: &str) -> Result<Vec<String>, String> {
        let script = Script { file: "example.rhai".into(), text: policy.into() };
        let report = testing::run(&[script], &Secrets::made_up(), &schemas())
            .map_err(|errors| errors[0].to_string())?;
        Ok(report.outcomes.into_iter().filter_map(|outcome| outcome.failure).map(|f| f.to_string()).collect())
    }

    /// A policy without the lines outside tests that use a word.
    fn without(policy: &str, word: &str) -> String {
        let (call, mut in_test) = (format!("{word}("), false);
        let lines = policy.lines().filter(|line| {
            in_test |= line.starts_with("test(");
            let uses = line
                .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '(')
                .any(|piece| piece.split_inclusive('(').any(|piece| piece == call));
            if in_test {
                in_test = !line.starts_with("});");
                return true;
            }
            !uses
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn signatures() -> Vec<Signature> {
        registered::during(|| drop(engine(&Host::new())))
    }

    /// Whether tests see what a word does: it is of a rule or of a policy, not of a test.
    fn is_seen(word: &str) -> bool {
        !UNSEEN.contains(&word) && !FILES[FILES.len() - 1].contains(&format!("{MARK}{word}\n"))
    }

    #[test]
    fn every_word_has_an_example_that_uses_it() {
        let missing: Vec<_> = WORDS.iter().map(|word| word.name).filter(|word| of(word).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?} have no example in src/policy/script/examples");
        for (word, policy) in all() {
            assert!(WORDS.iter().any(|known| known.name == word), "there is no word {word}");
            assert!(policy.contains(&format!("{word}(")), "the example of {word} does not use it");
            assert_eq!(all().filter(|(other, _)| *other == word).count(), 1, "{word} has two examples");
            assert!(policy.lines().count() <= 16, "{word}");
        }
    }

    #[test]
    fn every_example_holds() {
        for (word, policy) in all() {
            let failed = run(policy).unwrap_or_else(|error| panic!("the example of {word}: {error}"));
            assert!(failed.is_empty(), "the example of {word}: {failed:?}");
        }
    }

    #[test]
    fn every_example_fails_without_its_word() {
        let of_rules: Vec<&str> = signatures()
            .iter()
            .filter(|signature| matches!(signature.form, Form::After(to) if to.ends_with("RuleHandle")))
            .map(|signature| signature.word)
            .collect();
        for (word, policy) in all().filter(|(word, _)| is_seen(word)) {
            let taken = without(policy, word);
            assert_ne!(taken, policy, "{word}");
            match run(&taken) {
                Ok(failed) => assert!(!failed.is_empty(), "{word} can be taken out of\n{policy}"),
                // what a rule is about and does is shown by a test, not by what does not load
                Err(error) => assert!(!of_rules.contains(&word), "{word}: {error}\n{taken}"),
            }
        }
    }
}
