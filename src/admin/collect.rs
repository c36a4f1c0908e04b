//! Metrics whose labels clients can grow (topics, groups), kept to a number of series that was decided beforehand.
//!
//! Who may create a topic or a group may create a hundred thousand. The first ones up to a cap get a series of their own for as
//! long as they exist; what comes later is summed under [`OTHER`], and how many were is a metric itself.

use std::collections::{BTreeSet, HashSet};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Opts};

use super::handles::{PoliciesView, RuleStatus};

/// The label value of everything beyond the cap.
pub const OTHER: &str = "_other";

/// A set of series no larger than its cap: first come, first kept, until it goes away.
#[derive(Debug)]
pub struct BoundedSeries<K> {
    cap: usize,
    kept: BTreeSet<K>,
}

impl<K: Ord + Hash + Clone> BoundedSeries<K> {
    pub fn new(cap: usize) -> Self {
        Self { cap, kept: BTreeSet::new() }
    }

    /// Sorts what exists now: says for each of `present`, in its order, whether it has a series of its own. Those that went
    /// away leave their place to others.
    pub fn admit<'a>(&mut self, present: impl Iterator<Item = &'a K> + Clone) -> Vec<bool>
    where
        K: 'a,
    {
        let now: HashSet<&K> = present.clone().collect();
        self.kept.retain(|key| now.contains(key));
        present
            .map(|key| {
                let room = self.kept.len() < self.cap;
                self.kept.contains(key) || (room && self.kept.insert(key.clone()))
            })
            .collect()
    }
}

/// How far one group is behind in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPosition {
    pub group: Arc<str>,
    pub topic: Arc<str>,
    pub partition: i32,
    pub committed: i64,
    pub high_watermark: i64,
}

/// One partition and where its readable records end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionPosition {
    pub topic: Arc<str>,
    pub partition: i32,
    pub log_start_offset: i64,
    pub high_watermark: i64,
    /// Its disk failed or its records are damaged: what is known of its offsets is worth nothing.
    pub offline: bool,
}

/// What the broker knows; asked on a blocking thread at each scrape.
pub trait LagSource: Send + Sync {
    /// Every partition that is served and that each group has committed an offset for.
    fn groups(&self) -> Vec<GroupPosition>;
    /// Every partition.
    fn partitions(&self) -> Vec<PartitionPosition>;
}

type GroupKey = (Arc<str>, Arc<str>, i32);
type PartitionKey = (Arc<str>, i32);

/// Lag of groups and high watermarks of partitions.
pub struct LagCollector {
    source: Arc<dyn LagSource>,
    groups: Mutex<BoundedSeries<GroupKey>>,
    partitions: Mutex<BoundedSeries<PartitionKey>>,
    lag: IntGaugeVec,
    high_watermark: IntGaugeVec,
    log_start: IntGaugeVec,
    offline: IntGauge,
    beyond: IntGaugeVec,
    /// Gauges are filled and read in one go; two scrapes at once would mix.
    filling: Mutex<()>,
}

impl LagCollector {
    /// `cap` is the most series of each metric.
    pub fn new(source: Arc<dyn LagSource>, cap: usize) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        Ok(Self {
            source,
            groups: Mutex::new(BoundedSeries::new(cap)),
            partitions: Mutex::new(BoundedSeries::new(cap)),
            lag: gauge(
                "tollgate_group_lag",
                "Records between a group's committed offset and the high watermark.",
                &["group", "topic", "partition"],
            )?,
            high_watermark: gauge(
                "tollgate_partition_high_watermark",
                "Offset after the last record consumers can read.",
                &["topic", "partition"],
            )?,
            log_start: gauge(
                "tollgate_partition_log_start_offset",
                "Offset of the first record kept.",
                &["topic", "partition"],
            )?,
            offline: IntGauge::new(
                "tollgate_partitions_offline",
                "Partitions that are not served: their disk failed or their records are damaged.",
            )?,
            beyond: gauge(
                "tollgate_metric_series_beyond_cap",
                "Series summed under _other because their metric has as many as it may.",
                &["metric"],
            )?,
            filling: Mutex::new(()),
        })
    }

    fn fill_groups(&self) {
        let rows = self.source.groups();
        let keys: Vec<_> = rows.iter().map(|r| (r.group.clone(), r.topic.clone(), r.partition)).collect();
        let own = lock(&self.groups).admit(keys.iter());
        self.lag.reset();
        let mut beyond = 0;
        let mut other = 0_i64;
        for (row, own) in rows.iter().zip(own) {
            // A commit past the end happens: the log was truncated, or someone committed nonsense.
            let lag = row.high_watermark.saturating_sub(row.committed).max(0);
            if own {
                let partition = row.partition.to_string();
                self.lag.with_label_values(&[&*row.group, &*row.topic, &partition]).set(lag);
            } else {
                beyond += 1;
                other = other.saturating_add(lag);
            }
        }
        if beyond > 0 {
            self.lag.with_label_values(&[OTHER, OTHER, OTHER]).set(other);
        }
        self.beyond.with_label_values(&["tollgate_group_lag"]).set(beyond);
    }

    fn fill_partitions(&self) {
        let mut rows = self.source.partitions();
        let all = rows.len();
        // Their last offsets would look like an empty log, or one that nobody writes to.
        rows.retain(|row| !row.offline);
        self.offline.set(i64::try_from(all - rows.len()).unwrap_or(i64::MAX));
        let keys: Vec<_> = rows.iter().map(|r| (r.topic.clone(), r.partition)).collect();
        let own = lock(&self.partitions).admit(keys.iter());
        self.high_watermark.reset();
        self.log_start.reset();
        let mut beyond = 0;
        let mut other = (0_i64, 0_i64);
        for (row, own) in rows.iter().zip(own) {
            if own {
                let partition = row.partition.to_string();
                let labels = [&*row.topic, partition.as_str()];
                self.high_watermark.with_label_values(&labels).set(row.high_watermark);
                self.log_start.with_label_values(&labels).set(row.log_start_offset);
            } else {
                beyond += 1;
                other.0 = other.0.saturating_add(row.high_watermark);
                other.1 = other.1.saturating_add(row.log_start_offset);
            }
        }
        if beyond > 0 {
            self.high_watermark.with_label_values(&[OTHER, OTHER]).set(other.0);
            self.log_start.with_label_values(&[OTHER, OTHER]).set(other.1);
        }
        self.beyond.with_label_values(&["tollgate_partition_high_watermark"]).set(beyond);
    }
}

impl Collector for LagCollector {
    fn desc(&self) -> Vec<&Desc> {
        let vecs = [self.lag.desc(), self.high_watermark.desc(), self.log_start.desc(), self.beyond.desc()];
        [vecs.concat(), self.offline.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _filling = lock(&self.filling);
        self.fill_groups();
        self.fill_partitions();
        let all = [&self.lag, &self.high_watermark, &self.log_start, &self.beyond];
        all.into_iter().flat_map(|vec| vec.collect()).chain(self.offline.collect()).collect()
    }
}

/// What the rules did: matched, applied, could not apply.
pub struct RuleCollector {
    policies: Arc<dyn PoliciesView>,
    rules: Mutex<BoundedSeries<(String, String)>>,
    counters: [IntCounterVec; 3],
    filling: Mutex<()>,
}

impl RuleCollector {
    /// `cap` is the most rules with series of their own.
    pub fn new(policies: Arc<dyn PoliciesView>, cap: usize) -> Result<Self, prometheus::Error> {
        let counter =
            |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["policy", "rule", "kind"]);
        Ok(Self {
            policies,
            rules: Mutex::new(BoundedSeries::new(cap)),
            counters: [
                counter("tollgate_rule_matched_total", "What a rule's selectors let through.")?,
                counter("tollgate_rule_applied_total", "Of what matched, what the rule was applied to.")?,
                counter("tollgate_rule_could_not_apply_total", "Of what matched, where the rule failed.")?,
            ],
            filling: Mutex::new(()),
        })
    }
}

impl Collector for RuleCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.counters.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _filling = lock(&self.filling);
        let status = self.policies.policies();
        let rules: Vec<(&str, &RuleStatus)> = status
            .policies
            .iter()
            .flat_map(|policy| policy.rules.iter().map(|rule| (policy.name.as_str(), rule)))
            .collect();
        let keys: Vec<(String, String)> =
            rules.iter().map(|(policy, rule)| ((*policy).to_owned(), rule.name.clone())).collect();
        let own = lock(&self.rules).admit(keys.iter());
        // The rules keep the counts; these are filled anew, and a rule that is gone takes its series with it.
        self.counters.iter().for_each(|counter| counter.reset());
        for ((policy, rule), own) in rules.into_iter().zip(own) {
            let labels = match own {
                true => [policy, rule.name.as_str(), rule.kind.as_str()],
                false => [OTHER, OTHER, OTHER],
            };
            let counts = [rule.matched, rule.applied, rule.could_not_apply];
            for (counter, count) in self.counters.iter().zip(counts) {
                counter.with_label_values(&labels).inc_by(count);
            }
        }
        self.counters.iter().flat_map(Collector::collect).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::handles::{PoliciesStatus, PolicyCounts, PolicyScript, PolicyStatus};
    use super::*;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Source {
        groups: Mutex<Vec<GroupPosition>>,
        partitions: Mutex<Vec<PartitionPosition>>,
    }

    impl LagSource for Source {
        fn groups(&self) -> Vec<GroupPosition> {
            lock(&self.groups).clone()
        }
        fn partitions(&self) -> Vec<PartitionPosition> {
            lock(&self.partitions).clone()
        }
    }

    fn group(name: &str, partition: i32, committed: i64, high_watermark: i64) -> GroupPosition {
        GroupPosition { group: name.into(), topic: "t".into(), partition, committed, high_watermark }
    }

    fn scrape(registry: &prometheus::Registry) -> String {
        prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
    }

    fn collector(cap: usize) -> (Arc<Source>, prometheus::Registry) {
        let source = Arc::new(Source::default());
        let registry = prometheus::Registry::new();
        registry.register(Box::new(LagCollector::new(source.clone(), cap).unwrap())).unwrap();
        (source, registry)
    }

    #[test]
    fn lag_is_what_is_left_to_read_and_never_negative() {
        let (source, registry) = collector(10);
        *lock(&source.groups) = vec![group("g", 0, 3, 10), group("g", 1, 12, 10)];
        let text = scrape(&registry);
        assert!(text.contains("tollgate_group_lag{group=\"g\",partition=\"0\",topic=\"t\"} 7\n"), "{text}");
        assert!(text.contains("tollgate_group_lag{group=\"g\",partition=\"1\",topic=\"t\"} 0\n"), "{text}");
        assert!(!text.contains("\"_other\""), "{text}");
    }

    /// A log that could not be recovered showed a high watermark of 0.
    #[test]
    fn an_offline_partition_is_counted_and_shows_no_offsets() {
        let (source, registry) = collector(10);
        let partition = |partition, offline| PartitionPosition {
            topic: "t".into(),
            partition,
            log_start_offset: 0,
            high_watermark: 7,
            offline,
        };
        *lock(&source.partitions) = vec![partition(0, false), partition(1, false)];
        assert!(scrape(&registry).contains("tollgate_partitions_offline 0\n"));
        *lock(&source.partitions) = vec![partition(0, false), partition(1, true)];
        let text = scrape(&registry);
        assert!(text.contains("tollgate_partitions_offline 1\n"), "{text}");
        assert!(
            text.contains("tollgate_partition_high_watermark{partition=\"0\",topic=\"t\"} 7\n"),
            "{text}"
        );
        assert!(!text.contains("partition=\"1\""), "{text}");
    }

    #[test]
    fn beyond_the_cap_is_summed_and_counted() {
        let (source, registry) = collector(2);
        *lock(&source.groups) = (0..5).map(|p| group("g", p, 0, 10)).collect();
        *lock(&source.partitions) = (0..3)
            .map(|partition| PartitionPosition {
                topic: "t".into(),
                partition,
                log_start_offset: 1,
                high_watermark: 100,
                offline: false,
            })
            .collect();
        let text = scrape(&registry);
        assert_eq!(text.matches("tollgate_group_lag{group=\"g\"").count(), 2);
        assert!(
            text.contains("tollgate_group_lag{group=\"_other\",partition=\"_other\",topic=\"_other\"} 30\n")
        );
        assert!(text.contains("tollgate_metric_series_beyond_cap{metric=\"tollgate_group_lag\"} 3\n"));
        assert!(
            text.contains("tollgate_partition_high_watermark{partition=\"_other\",topic=\"_other\"} 100\n")
        );
        assert!(
            text.contains("tollgate_partition_log_start_offset{partition=\"_other\",topic=\"_other\"} 1\n")
        );
    }

    #[test]
    fn what_goes_away_leaves_its_place_and_its_series() {
        let (source, registry) = collector(1);
        *lock(&source.groups) = vec![group("old", 0, 0, 1), group("new", 0, 0, 2)];
        assert!(scrape(&registry).contains("group=\"old\""));
        *lock(&source.groups) = vec![group("new", 0, 0, 2)];
        let text = scrape(&registry);
        assert!(text.contains("group=\"new\"") && !text.contains("group=\"old\""), "{text}");
        assert!(text.contains("tollgate_metric_series_beyond_cap{metric=\"tollgate_group_lag\"} 0\n"));
    }

    struct Rules(Vec<RuleStatus>);

    impl PoliciesView for Rules {
        fn counts(&self) -> PolicyCounts {
            PolicyCounts::default()
        }

        fn policy(&self, _: &str) -> Option<PolicyScript> {
            None
        }

        fn policies(&self) -> PoliciesStatus {
            let policy = PolicyStatus {
                name: "p".into(),
                purpose: String::new(),
                file: "p.rhai".into(),
                origin: "folder".into(),
                enabled: true,
                mode: "enforce".into(),
                expires_in_ms: None,
                rules: self.0.clone(),
            };
            PoliciesStatus { generation: 1, policies: vec![policy], refused_change: None }
        }
    }

    #[test]
    fn rules_count_what_they_did_and_scrapes_do_not_add_up() {
        let rule = |name: &str, matched| RuleStatus {
            name: name.into(),
            line: 1,
            kind: "security".into(),
            enabled: true,
            observe: false,
            expires_in_ms: None,
            matched,
            applied: matched - 1,
            could_not_apply: 1,
        };
        let rules = Arc::new(Rules(vec![rule("a", 5), rule("b", 7), rule("c", 9)]));
        let registry = prometheus::Registry::new();
        registry.register(Box::new(RuleCollector::new(rules, 1).unwrap())).unwrap();
        for _ in 0..2 {
            let text = scrape(&registry);
            for line in [
                "tollgate_rule_matched_total{kind=\"security\",policy=\"p\",rule=\"a\"} 5\n",
                "tollgate_rule_applied_total{kind=\"security\",policy=\"p\",rule=\"a\"} 4\n",
                "tollgate_rule_could_not_apply_total{kind=\"security\",policy=\"p\",rule=\"a\"} 1\n",
                "tollgate_rule_matched_total{kind=\"_other\",policy=\"_other\",rule=\"_other\"} 16\n",
            ] {
                assert!(text.contains(line), "{line} is not in {text}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_cap_holds_and_who_is_in_stays_in(
            cap in 0_usize..8,
            rounds in proptest::collection::vec(proptest::collection::vec(0_u8..12, 0..20), 1..10),
        ) {
            let mut series = BoundedSeries::new(cap);
            let mut before: HashSet<u8> = HashSet::new();
            for present in rounds {
                let own = series.admit(present.iter());
                let kept: HashSet<u8> =
                    present.iter().zip(&own).filter(|&(_, own)| *own).map(|(key, _)| *key).collect();
                let distinct: HashSet<u8> = present.iter().copied().collect();
                prop_assert_eq!(kept.len(), distinct.len().min(cap), "no place stays empty");
                for key in before.intersection(&distinct) {
                    prop_assert!(kept.contains(key));
                }
                before = kept;
            }
        }
    }
}
