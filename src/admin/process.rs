//! Metrics of the process itself, from `/proc/self`, under the names every Prometheus client gives them.
//!
//! Where there is no `/proc` the families are absent rather than zero.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntGauge, IntGaugeVec, Opts};

/// Linux counts CPU time for user space in hundredths of a second on every architecture Rust builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU, memory, descriptors and version of this process.
pub struct ProcessCollector {
    cpu: Counter,
    resident: IntGauge,
    descriptors: IntGauge,
    build: IntGaugeVec,
}

impl ProcessCollector {
    pub fn new() -> Result<Self, prometheus::Error> {
        let build = IntGaugeVec::new(
            Opts::new("tollgate_build_info", "The version that runs; always 1."),
            &["version"],
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            cpu: Counter::new("process_cpu_seconds_total", "User and system CPU time spent, in seconds.")?,
            resident: IntGauge::new("process_resident_memory_bytes", "Resident memory, in bytes.")?,
            descriptors: IntGauge::new("process_open_fds", "File descriptors open.")?,
            build,
        })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        [self.cpu.desc(), self.resident.desc(), self.descriptors.desc(), self.build.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = self.build.collect();
        if let Some(stat) = fs::read_to_string("/proc/self/stat").ok().and_then(|text| Stat::parse(&text)) {
            // A counter can only be added to; concurrent scrapes are kept apart by the admin room.
            self.cpu.inc_by((stat.cpu_seconds - self.cpu.get()).max(0.0));
            families.extend(self.cpu.collect());
        }
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
            families.extend(self.resident.collect());
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // One of them is the directory being read.
            self.descriptors.set(i64::try_from(entries.count()).unwrap_or(i64::MAX) - 1);
            families.extend(self.descriptors.collect());
        }
        families
    }
}

struct Stat {
    cpu_seconds: f64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The command's name may hold spaces and parentheses; what follows the last one is regular.
        let (_, rest) = text.rsplit_once(") ")?;
        let mut fields = rest.split(' ').skip(11);
        let user: f64 = fields.next()?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        Some(Self { cpu_seconds: (user + system) / TICKS_PER_SECOND })
    }
}

fn resident_bytes() -> Option<i64> {
    // In kilobytes already: `statm` counts pages, whose size would have to be asked for.
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_an_odd_name() {
        let stat =
            Stat::parse("7 (a) b) (c) S 1 7 7 0 -1 4194304 9 9 9 9 150 50 0 0 20 0 1 0 5 6 7").unwrap();
        assert_eq!(stat.cpu_seconds, 2.0);
        assert!(Stat::parse("").is_none());
        assert!(Stat::parse("7 (x) S 1").is_none());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_descriptors() {
        let collector = ProcessCollector::new().unwrap();
        let registry = prometheus::Registry::new();
        registry.register(Box::new(collector)).unwrap();
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for family in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds"] {
            let line = text.lines().find(|l| l.starts_with(family)).unwrap_or_else(|| panic!("{family}"));
            let value: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
            assert!(value >= 0.0, "{line}");
        }
        assert!(text.contains(concat!("tollgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1")));
        assert!(resident_bytes().unwrap() > 1024 * 1024);
    }
}
