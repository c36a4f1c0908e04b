//! The memory that all sessions share, as metrics: what is taken, what there is, how often somebody waited or was refused.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts};

/// One budget of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryStatus {
    /// What it is for: the metric label.
    pub memory: &'static str,
    pub taken: usize,
    pub limit: usize,
    /// How often somebody had to wait for it.
    pub waits: u64,
    /// How often somebody waited in vain.
    pub refusals: u64,
}

/// Where the budgets are.
pub trait MemorySource: Send + Sync {
    fn memory(&self) -> Vec<MemoryStatus>;
}

/// Collects the budgets. Their number and names are fixed.
pub struct MemoryCollector {
    source: Arc<dyn MemorySource>,
    taken: IntGaugeVec,
    limit: IntGaugeVec,
    waits: IntCounterVec,
    refusals: IntCounterVec,
    filling: Mutex<()>,
}

impl MemoryCollector {
    pub fn new(source: Arc<dyn MemorySource>) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["memory"]);
        let counter = |name: &str, help: &str| IntCounterVec::new(Opts::new(name, help), &["memory"]);
        Ok(Self {
            source,
            taken: gauge("tollgate_memory_taken_bytes", "Memory of requests or held responses in use.")?,
            limit: gauge("tollgate_memory_limit_bytes", "What there is of it.")?,
            waits: counter("tollgate_memory_waits_total", "How often a session had to wait for it.")?,
            refusals: counter(
                "tollgate_memory_refusals_total",
                "How often a session waited in vain, and ended.",
            )?,
            filling: Mutex::new(()),
        })
    }
}

impl Collector for MemoryCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.taken.desc(), self.limit.desc(), self.waits.desc(), self.refusals.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let _filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        // The budgets keep the counts; these are filled anew.
        self.waits.reset();
        self.refusals.reset();
        for budget in self.source.memory() {
            let labels = [budget.memory];
            self.taken.with_label_values(&labels).set(bytes(budget.taken));
            self.limit.with_label_values(&labels).set(bytes(budget.limit));
            self.waits.with_label_values(&labels).inc_by(budget.waits);
            self.refusals.with_label_values(&labels).inc_by(budget.refusals);
        }
        let gauges = [&self.taken, &self.limit].into_iter().flat_map(Collector::collect);
        gauges.chain([&self.waits, &self.refusals].into_iter().flat_map(Collector::collect)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Source;

    impl MemorySource for Source {
        fn memory(&self) -> Vec<MemoryStatus> {
            let status = |memory, taken| MemoryStatus { memory, taken, limit: 100, waits: 3, refusals: 1 };
            vec![status("request", 5), status("response", 0)]
        }
    }

    #[test]
    fn what_the_budgets_say_is_shown_and_scrapes_do_not_add_up() {
        let registry = prometheus::Registry::new();
        registry.register(Box::new(MemoryCollector::new(Arc::new(Source)).unwrap())).unwrap();
        for _ in 0..2 {
            let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
            for line in [
                "tollgate_memory_taken_bytes{memory=\"request\"} 5\n",
                "tollgate_memory_limit_bytes{memory=\"response\"} 100\n",
                "tollgate_memory_waits_total{memory=\"request\"} 3\n",
                "tollgate_memory_refusals_total{memory=\"response\"} 1\n",
            ] {
                assert!(text.contains(line), "{line} is not in {text}");
            }
        }
    }
}
