//! Which metrics clients are asked to push (KIP-714): the settings of a subscription, their checks, and what they say.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Regex, RegexBuilder};

use super::definition::{Definition, Kind, Mode, Source, Valid, list_items};
use super::topic::Described;
use crate::broker::ApiError;
use crate::wire::ErrorCode;

const INTERVAL: &str = "interval.ms";
const MATCH: &str = "match";
const METRICS: &str = "metrics";

const DEFAULT_INTERVAL_MS: i32 = 300_000;
/// In place of a prefix: everything.
const ALL_METRICS: &str = "*";

/// In the order of their names.
pub const METRICS_CONFIGS: &[Definition] = &[
    metrics(INTERVAL, Kind::Int, "300000", "Time between two pushes of a client."),
    metrics(MATCH, Kind::List, "", "Selectors of clients; without any, all."),
    metrics(METRICS, Kind::List, "", "Prefixes of the metrics that are asked for."),
];

const fn metrics(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    documentation: &'static str,
) -> Definition {
    Definition::new(name, kind, Some(default), Valid::Any, Mode::Dynamic, documentation)
}

/// Memory that a pattern may take once compiled, and again to match with: there may be thousands.
const MAX_PATTERN_BYTES: usize = 1 << 17;

/// What a selector may look at.
const SELECTORS: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// A subscription, read.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub name: String,
    /// Milliseconds between two pushes.
    pub interval_ms: i32,
    /// Prefixes of metric names; `*` is all.
    pub metrics: Vec<String>,
    /// What a client must be: the selector's name and a pattern for the whole of its value. All of them, or it is not meant.
    pub selectors: Vec<(String, Regex)>,
}

impl Subscription {
    /// Settings were checked when they were made.
    pub fn new(name: &str, values: &BTreeMap<String, String>) -> Self {
        let items = |name: &str| {
            let items = values.get(name).map_or("", String::as_str);
            list_items(items).map(str::to_owned).collect::<Vec<_>>()
        };
        let interval = values.get(INTERVAL).and_then(|text| text.trim().parse().ok());
        Subscription {
            name: name.to_owned(),
            interval_ms: interval.unwrap_or(DEFAULT_INTERVAL_MS),
            metrics: items(METRICS),
            // Of a selector that stands twice Kafka keeps the last, so there are as many as kinds of them.
            selectors: items(MATCH)
                .iter()
                .filter_map(|pattern| selector(pattern))
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect(),
        }
    }
}

/// What one client is to push: the prefixes of all subscriptions that mean it, and milliseconds between two pushes, the shortest of
/// theirs. `client` gives the value of a selector, if it is known.
pub fn wanted(
    subscriptions: &[Subscription],
    client: impl Fn(&str) -> Option<String>,
) -> (BTreeSet<String>, i32) {
    let means = |subscription: &&Subscription| {
        let fits =
            |(name, pattern): &(String, Regex)| client(name).is_some_and(|value| pattern.is_match(&value));
        subscription.selectors.iter().all(fits)
    };
    let (mut metrics, mut interval_ms) = (BTreeSet::new(), DEFAULT_INTERVAL_MS);
    for subscription in subscriptions.iter().filter(means) {
        metrics.extend(subscription.metrics.iter().cloned());
        interval_ms = interval_ms.min(subscription.interval_ms);
    }
    if metrics.contains(ALL_METRICS) {
        metrics.retain(|prefix| prefix == ALL_METRICS);
    }
    (metrics, interval_ms)
}

/// `client_id=a.*`, as Java's `split` and `matches` take it: the value must match whole.
fn selector(text: &str) -> Option<(String, Regex)> {
    let (name, pattern) = text.split_once('=')?;
    let (name, pattern) = (name.trim(), pattern.trim());
    if !SELECTORS.contains(&name) || pattern.is_empty() || pattern.contains('=') {
        return None;
    }
    let pattern = RegexBuilder::new(&format!("^(?:{pattern})$"))
        .size_limit(MAX_PATTERN_BYTES)
        .dfa_size_limit(MAX_PATTERN_BYTES)
        .build();
    Some((name.to_owned(), pattern.ok()?))
}

/// Checks all settings of a subscription; codes and messages are Kafka's.
pub fn check(values: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let request = |message| Err(ApiError::new(ErrorCode::INVALID_REQUEST, message));
    let config = |message| Err(ApiError::new(ErrorCode::INVALID_CONFIG, message));
    for name in values.keys() {
        if METRICS_CONFIGS.iter().all(|definition| definition.name != name) {
            return request(format!("Unknown client metrics configuration: {name}"));
        }
    }
    for definition in METRICS_CONFIGS {
        let Some(value) = values.get(definition.name) else { continue };
        if let Err(problem) = definition.check(value) {
            return config(problem);
        }
        if definition.name == INTERVAL
            && !value.trim().parse::<i32>().is_ok_and(|ms| (100..=3_600_000).contains(&ms))
        {
            return request(format!(
                "Invalid value {value} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
            ));
        }
        if definition.name == MATCH
            && let Some(wrong) = list_items(value).find(|item| selector(item).is_none())
        {
            return config(format!("Illegal client matching pattern: {wrong}"));
        }
    }
    Ok(())
}

/// One setting of a subscription, as DescribeConfigs shows it.
pub fn describe(definition: &Definition, values: &BTreeMap<String, String>) -> Described {
    let name = definition.name;
    match values.get(name) {
        Some(value) => {
            let mut seen = BTreeSet::new();
            let value = match definition.kind {
                Kind::List => {
                    list_items(value).filter(|item| seen.insert(*item)).collect::<Vec<_>>().join(",")
                }
                _ => value.clone(),
            };
            let source = Source::ClientMetrics;
            Described { value: Some(value.clone()), source, synonyms: vec![(name, value, source)] }
        }
        None => Described {
            value: definition.default.map(str::to_owned),
            source: Source::Default,
            synonyms: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(name: &str, value: &str) -> (i16, String) {
        let values = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        match check(&values) {
            Ok(()) => (0, String::new()),
            Err(error) => (error.code.0, error.message.unwrap().to_string()),
        }
    }

    #[test]
    fn values_are_refused_in_kafkas_words() {
        for fine in [
            ("interval.ms", "100"),
            ("match", "client_id=\\w+-a.*, client_source_port=9.*"),
            ("metrics", "*"),
        ] {
            assert_eq!(problem(fine.0, fine.1), (0, String::new()));
        }
        assert_eq!(
            problem("interval.ms", "99"),
            (
                42,
                "Invalid value 99 for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                    .to_owned()
            )
        );
        let number = "Invalid value x for configuration interval.ms: Not a number of type INT";
        assert_eq!(problem("interval.ms", "x"), (40, number.to_owned()));
        assert_eq!(problem("no", "1"), (42, "Unknown client metrics configuration: no".to_owned()));
        let huge = "client_id=(\\w{50}){50}";
        for wrong in ["foo=bar", "client_id", "client_id=[", "client_id=", "client_id=a=b", huge] {
            let message = format!("Illegal client matching pattern: {wrong}");
            assert_eq!(problem("match", wrong), (40, message));
        }
    }

    #[test]
    fn a_subscription_says_what_it_asks_of_whom() {
        let values =
            [("interval.ms", "1000"), ("metrics", "a.,b."), ("match", "client_id=ab.,client_source_port=1")];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let subscription = Subscription::new("s", &values);
        assert_eq!(
            (subscription.interval_ms, subscription.metrics),
            (1000, vec!["a.".to_owned(), "b.".to_owned()])
        );
        let [(name, pattern), _] = &subscription.selectors[..] else { panic!() };
        assert_eq!(name, "client_id");
        assert!(pattern.is_match("abc") && !pattern.is_match("abcd") && !pattern.is_match("xabc"));
        assert_eq!(Subscription::new("s", &BTreeMap::new()).interval_ms, 300_000);
        let twice = BTreeMap::from([("match".to_owned(), "client_id=a,client_id=b".to_owned())]);
        let [(_, pattern)] = &Subscription::new("s", &twice).selectors[..] else { panic!() };
        assert!(pattern.is_match("b") && !pattern.is_match("a"), "Kafka keeps the last of them");
    }

    #[test]
    fn a_client_pushes_what_all_that_mean_it_ask_for() {
        let subscription = |interval: &str, metrics: &str, selectors: &str| {
            let values = [("interval.ms", interval), ("metrics", metrics), ("match", selectors)];
            let values =
                values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            Subscription::new("s", &values)
        };
        let mut subscriptions = vec![
            subscription("60000", "a.,b.", "client_id=x.*"),
            subscription("1000", "c.", "client_id=y"),
            subscription("90000", "b.", ""),
            subscription("100", "d.", "client_id=x1,client_source_port=1"),
        ];
        let client = |name: &str| (name == "client_id").then(|| "x1".to_owned());
        let (metrics, interval_ms) = wanted(&subscriptions, client);
        assert_eq!(
            (metrics.into_iter().collect::<Vec<_>>(), interval_ms),
            (vec!["a.".into(), "b.".into()], 60_000)
        );
        subscriptions.push(subscription("400000", "*", ""));
        let (metrics, interval_ms) = wanted(&subscriptions, client);
        assert_eq!((metrics.into_iter().collect::<Vec<_>>(), interval_ms), (vec!["*".into()], 60_000));
        assert_eq!(wanted(&[], client), (BTreeSet::new(), 300_000));
    }
}
