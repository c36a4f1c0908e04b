//! The Rhai engine of a thread: which packages it has, and its limits.
//!
//! One engine a thread; nothing of it is ever shared. The limits are the same in debug and release, so that a
//! script that loads on a developer's machine loads in production.

use super::host::Host;
use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicBlobPackage, BasicFnPackage, BasicIteratorPackage,
    BasicMapPackage, BasicMathPackage, BasicStringPackage, BitFieldPackage, LogicPackage, MoreStringPackage,
    Package,
};
use rhai::{Dynamic, Engine};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What a script may use up in one run.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub operations: u64,
    pub wall: Duration,
}

/// Of the run when a policy is loaded, and of one test in it.
pub const LOAD: Limit = Limit { operations: 500_000, wall: Duration::from_secs(10) };
/// Of one call of a closure.
pub const CALL: Limit = Limit { operations: 100_000, wall: Duration::from_millis(500) };

const CALL_LEVELS: usize = 16;
const EXPRESSION_DEPTH: usize = 48;
const FUNCTION_EXPRESSION_DEPTH: usize = 32;
const STRING_BYTES: usize = 4 << 20;
const ARRAY_ITEMS: usize = 10_000;
const MAP_ITEMS: usize = 10_000;
const VARIABLES: usize = 1_000;
const FUNCTIONS: usize = 1_000;

/// Limits are looked at once in so many operations: short closures never read the clock.
const OPERATIONS_PER_LOOK: u64 = 256;

/// What is left of the current run's limit.
#[derive(Debug)]
pub struct Budget {
    limit: Cell<Limit>,
    started: Cell<Option<Instant>>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { limit: Cell::new(LOAD), started: Cell::new(None) }
    }
}

impl Budget {
    /// Does something under a limit; what runs around it (a test runs closures) has its own back afterwards.
    /// Operations are counted by the engine, from zero for each run.
    pub fn under<T>(&self, limit: Limit, act: impl FnOnce() -> T) -> T {
        let before = (self.limit.replace(limit), self.started.replace(None));
        let result = act();
        self.limit.set(before.0);
        self.started.set(before.1);
        result
    }

    fn exceeded(&self, operations: u64) -> Option<&'static str> {
        if !operations.is_multiple_of(OPERATIONS_PER_LOOK) {
            return None;
        }
        let limit = self.limit.get();
        if operations > limit.operations {
            return Some("it takes too many operations");
        }
        match self.started.get() {
            None => self.started.set(Some(Instant::now())),
            Some(started) if started.elapsed() > limit.wall => return Some("it takes too long"),
            Some(_) => {}
        }
        None
    }
}

/// An engine with the words of the language and nothing else: no files, network, clock, sleep, random,
/// modules or eval. `LanguageCorePackage` is left out: it brings `sleep`.
pub fn engine(host: &Rc<Host>) -> Engine {
    let mut engine = Engine::new_raw();
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicBlobPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    BitFieldPackage::new().register_into_engine(&mut engine);

    engine
        .set_max_call_levels(CALL_LEVELS)
        .set_max_expr_depths(EXPRESSION_DEPTH, FUNCTION_EXPRESSION_DEPTH)
        .set_max_string_size(STRING_BYTES)
        .set_max_array_size(ARRAY_ITEMS)
        .set_max_map_size(MAP_ITEMS)
        .set_max_variables(VARIABLES)
        .set_max_functions(FUNCTIONS)
        .set_max_modules(0)
        .set_strict_variables(true);
    for symbol in ["eval", "import", "export"] {
        engine.disable_symbol(symbol);
    }
    let budget = Rc::clone(host);
    engine.on_progress(move |operations| budget.budget.exceeded(operations).map(Dynamic::from));
    engine.on_print(|text| tracing::debug!(target: "tollgate::policy", "print: {text}"));
    engine.on_debug(|text, _, position| tracing::debug!(target: "tollgate::policy", "{position}: {text}"));

    super::heads::register(&mut engine, host);
    super::selectors::register(&mut engine);
    super::triggers::register(&mut engine);
    super::actions::register(&mut engine, host);
    super::limit::register(&mut engine);
    super::quota::register(&mut engine);
    super::seal::register(&mut engine, host);
    super::faults::register(&mut engine);
    super::disk_faults::register(&mut engine, host);
    super::record_faults::register(&mut engine);
    super::reply_faults::register(&mut engine);
    super::link_faults::register(&mut engine, host);
    super::schema::register(&mut engine, host);
    super::values::register(&mut engine);
    super::objects::register(&mut engine);
    super::shared::register(&mut engine, host);
    super::testing::register(&mut engine, host);
    engine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_so_many_operations_and_so_much_time() {
        let budget = Budget::default();
        let limit = |operations, wall| Limit { operations, wall };
        budget.under(limit(512, Duration::from_secs(3_600)), || {
            for operations in 1..=512 {
                assert_eq!(budget.exceeded(operations), None, "{operations}");
            }
            assert_eq!(budget.exceeded(768), Some("it takes too many operations"));
        });
        budget.under(limit(u64::MAX, Duration::ZERO), || {
            let looks = (1..1_000_000).map(|look| budget.exceeded(look * OPERATIONS_PER_LOOK));
            assert_eq!(looks.flatten().next(), Some("it takes too long"));
        });
        budget.under(limit(u64::MAX, Duration::from_secs(3_600)), || {
            assert!((1..1_000).all(|look| budget.exceeded(look * OPERATIONS_PER_LOOK).is_none()));
        });
    }
}
