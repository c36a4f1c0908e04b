//! Metrics of the policies as a whole: what they forgot, could not write down or did not take. None of it may
//! happen silently.

use super::handles::{LineCounts, PoliciesView};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};
use std::sync::{Arc, Mutex, PoisonError};

/// Reads the counts that the policies keep.
pub struct PolicyCollector {
    policies: Arc<dyn PoliciesView>,
    generation: IntGauge,
    refused_changes: IntCounter,
    evicted_subjects: IntCounter,
    evicted_window_keys: IntCounter,
    closure_failures: IntCounter,
    lines: IntCounterVec,
    /// Counters are filled and read in one go; two scrapes at once would mix.
    filling: Mutex<()>,
}

impl PolicyCollector {
    pub fn new(policies: Arc<dyn PoliciesView>) -> Result<Self, prometheus::Error> {
        Ok(Self {
            policies,
            generation: IntGauge::new(
                "tollgate_policy_generation",
                "Number of the set of policies in force; counts the sets taken into force since the start.",
            )?,
            refused_changes: IntCounter::new(
                "tollgate_policy_refused_changes_total",
                "Changes on disk that were not taken; the set before stayed in force.",
            )?,
            evicted_subjects: IntCounter::new(
                "tollgate_policy_evicted_subjects_total",
                "Subjects forgotten to make room: what is counted and drawn about them starts at zero.",
            )?,
            evicted_window_keys: IntCounter::new(
                "tollgate_policy_evicted_window_keys_total",
                "Keys that windows forgot to make room.",
            )?,
            closure_failures: IntCounter::new(
                "tollgate_policy_closure_failures_total",
                "Closures that failed: security rules then refuse, chaos rules let pass.",
            )?,
            lines: IntCounterVec::new(
                Opts::new("tollgate_policy_lines_total", "Lines for the journal and the audit trail."),
                &["file", "outcome"],
            )?,
            filling: Mutex::new(()),
        })
    }
}

impl Collector for PolicyCollector {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.generation.desc(),
            self.refused_changes.desc(),
            self.evicted_subjects.desc(),
            self.evicted_window_keys.desc(),
            self.closure_failures.desc(),
            self.lines.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.policies.counts();
        self.generation.set(i64::try_from(counts.generation).unwrap_or(i64::MAX));
        let fill = |counter: &IntCounter, count| {
            counter.reset();
            counter.inc_by(count);
        };
        fill(&self.refused_changes, counts.refused_changes);
        fill(&self.evicted_subjects, counts.evicted_subjects);
        fill(&self.evicted_window_keys, counts.evicted_window_keys);
        fill(&self.closure_failures, counts.closure_failures);
        for (file, LineCounts { written, dropped }) in [("journal", counts.journal), ("audit", counts.audit)]
        {
            fill(&self.lines.with_label_values(&[file, "written"]), written);
            fill(&self.lines.with_label_values(&[file, "dropped"]), dropped);
        }
        [
            self.generation.collect(),
            self.refused_changes.collect(),
            self.evicted_subjects.collect(),
            self.evicted_window_keys.collect(),
            self.closure_failures.collect(),
            self.lines.collect(),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::super::handles::{PoliciesStatus, PolicyCounts, PolicyScript};
    use super::*;

    struct Counts(Mutex<PolicyCounts>);

    impl PoliciesView for Counts {
        fn policy(&self, _: &str) -> Option<PolicyScript> {
            None
        }

        fn policies(&self) -> PoliciesStatus {
            PoliciesStatus::default()
        }

        fn counts(&self) -> PolicyCounts {
            *self.0.lock().unwrap()
        }
    }

    #[test]
    fn what_policies_gave_up_is_shown_as_it_stands() {
        let counts = Arc::new(Counts(Mutex::new(PolicyCounts {
            generation: 3,
            refused_changes: 1,
            evicted_subjects: 20,
            evicted_window_keys: 30,
            closure_failures: 40,
            journal: LineCounts { written: 5, dropped: 6 },
            audit: LineCounts { written: 7, dropped: 8 },
        })));
        let registry = prometheus::Registry::new();
        registry.register(Box::new(PolicyCollector::new(counts.clone()).unwrap())).unwrap();
        let scrape = || prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for _ in 0..2 {
            let text = scrape();
            for line in [
                "tollgate_policy_generation 3\n",
                "tollgate_policy_refused_changes_total 1\n",
                "tollgate_policy_evicted_subjects_total 20\n",
                "tollgate_policy_evicted_window_keys_total 30\n",
                "tollgate_policy_closure_failures_total 40\n",
                "tollgate_policy_lines_total{file=\"journal\",outcome=\"written\"} 5\n",
                "tollgate_policy_lines_total{file=\"journal\",outcome=\"dropped\"} 6\n",
                "tollgate_policy_lines_total{file=\"audit\",outcome=\"written\"} 7\n",
                "tollgate_policy_lines_total{file=\"audit\",outcome=\"dropped\"} 8\n",
            ] {
                assert!(text.contains(line), "{line} is not in {text}");
            }
        }
        counts.0.lock().unwrap().generation = 4;
        assert!(scrape().contains("tollgate_policy_generation 4\n"));
    }
}
