use super::super::clock::Clock;
use super::super::generation::{Settings, Shared};
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const SLOW: &str = r#"on_request("Heartbeat").delay("1h").named("slow");"#;
const MASK: &str = r#"on_fetch("t").mask("$.email", "all");"#;

struct World {
    policies: Arc<Policies>,
    clock: Clock,
}

impl World {
    fn new(folder: &[(&str, &str)]) -> Self {
        let clock = Clock::manual();
        let settings = Settings { clock: clock.clone(), ..Settings::default() };
        let world = Self { policies: Policies::new(Shared::new(settings)), clock };
        world.reload(folder).unwrap();
        world
    }

    fn reload(&self, folder: &[(&str, &str)]) -> Result<(), Vec<LoadError>> {
        let script = |(file, text): &(&str, &str)| Script {
            file: Path::new("policies").join(file),
            text: (*text).into(),
        };
        self.policies.load(&folder.iter().map(script).collect::<Vec<_>>()).map(|_| ())
    }

    fn change(&self) -> Change<'_> {
        Change { policies: &self.policies, security: false }
    }

    fn allowed(&self) -> Change<'_> {
        Change { security: true, ..self.change() }
    }

    fn put(&self, name: &str, text: &str) -> Result<bool, Refused> {
        self.change().put(New { name, text, is_rule: false, ttl: None })
    }

    fn put_for(&self, name: &str, text: &str, seconds: u64) -> Result<bool, Refused> {
        self.change().put(New { name, text, is_rule: false, ttl: Some(Duration::from_secs(seconds)) })
    }

    /// The rules in force, in the order they are met.
    fn rules(&self) -> Vec<String> {
        let current = self.policies.current();
        current.policies.iter().flat_map(|p| &p.rules).map(|rule| rule.policy.name.clone()).collect()
    }
}

#[test]
fn what_is_added_and_what_is_in_the_folder_leave_each_other_alone() {
    let world = World::new(&[("a.rhai", MASK), ("m.rhai", SLOW)]);
    assert_eq!(world.put("c", SLOW), Ok(true));
    assert_eq!(world.rules(), ["a", "c", "m"], "by name, wherever they come from");
    world.reload(&[("b.rhai", SLOW)]).unwrap();
    assert_eq!(world.rules(), ["b", "c"]);
    assert_eq!(world.put("c", &format!("{SLOW}\n{}", SLOW.replace("slow", "more"))), Ok(false));
    assert_eq!(world.rules(), ["b", "c", "c"]);
    world.change().remove("c", false).unwrap();
    assert_eq!(world.rules(), ["b"]);
    assert_eq!(world.change().remove("c", false), Err(Refused::Missing("there is no policy \"c\"".into())));
}

#[test]
fn a_clash_is_refused_on_either_side() {
    let world = World::new(&[("a.rhai", SLOW), ("file.rhai", "policy(\"name\", \"x\");")]);
    for name in ["a", "name", "file"] {
        let refused = world.put(name, SLOW);
        assert!(matches!(&refused, Err(Refused::Clash(why)) if why.contains(".rhai")), "{name}: {refused:?}");
    }
    assert!(matches!(world.change().remove("a", false), Err(Refused::Clash(_))));
    world.put("b", SLOW).unwrap();
    for file in ["b.rhai", "other.rhai"] {
        let errors = world.reload(&[(file, &format!("policy(\"b\", \"x\");{SLOW}"))]).unwrap_err();
        let said = errors[0].to_string();
        assert!(said.starts_with(&format!("policies/{file}: ")) && said.contains("admin API"), "{said}");
    }
    let errors = world.reload(&[("b.rhai", "policy(\"else\", \"x\");")]).unwrap_err();
    assert!(errors[0].to_string().contains("admin API"), "{}", errors[0]);
    assert_eq!(world.rules(), ["a", "b"], "the old set stays");
}

#[test]
fn a_script_that_does_not_load_changes_nothing_and_says_where() {
    let world = World::new(&[]);
    world.put("a", SLOW).unwrap();
    let number = world.policies.number();
    let Err(Refused::Script(errors)) = world.put("a", &format!("{SLOW}\non_fetch().dealy(\"1s\");")) else {
        panic!("it was taken")
    };
    let error = &errors[0];
    assert_eq!((error.file.to_str(), error.line, error.column), (Some("api/a.rhai"), 2, 12));
    assert_eq!(error.source.as_deref(), Some("on_fetch().dealy(\"1s\");"));
    let other = world.put("a", &format!("policy(\"b\", \"x\");{SLOW}"));
    assert!(
        matches!(&other, Err(Refused::Script(e)) if e[0].message.contains("names itself \"b\"")),
        "{other:?}"
    );
    for name in ["", ".a", "a/b", "a b", &"x".repeat(101)] {
        assert!(matches!(world.put(name, SLOW), Err(Refused::Invalid(_))), "{name}");
    }
    assert!(matches!(world.put("b", " \n"), Err(Refused::Invalid(_))));
    assert_eq!(world.policies.number(), number);
}

#[test]
fn one_rule_has_the_name_it_was_given() {
    let world = World::new(&[]);
    let put = |text| world.change().put(New { name: "r", text, is_rule: true, ttl: None });
    assert_eq!(put("on_request(\"Heartbeat\").delay(\"1h\"); // why"), Ok(true));
    assert_eq!(world.policies.current().policies[0].rules[0].name, "r");
    assert_eq!(put("on_request(\"Heartbeat\").delay(\"2m\")"), Ok(false));
    let two = format!("{SLOW}{}", SLOW.replace("slow", "more"));
    for text in [two.as_str(), "default_deny();", "let x = 1;"] {
        let refused = put(text);
        assert!(matches!(&refused, Err(Refused::Script(_))), "{text}: {refused:?}");
    }
    world.put("p", SLOW).unwrap();
    assert!(matches!(world.change().remove("p", true), Err(Refused::Clash(_))));
    world.change().remove("r", true).unwrap();
    assert_eq!(world.rules(), ["p"]);
}

#[test]
fn a_time_to_live_ends_it_and_frees_its_name() {
    let world = World::new(&[("a.rhai", SLOW)]);
    world.put_for("b", SLOW, 10).unwrap();
    world.put("c", SLOW).unwrap();
    // Its own end comes before.
    world.put_for("d", &format!("expires(\"5s\"); {SLOW}"), 10).unwrap();
    let rule = world.policies.current().policy("b").unwrap().rules[0].clone();
    let second = Duration::from_secs(1);
    assert_eq!((rule.expires_at(), world.policies.next_end()), (Some(10 * second), Some(5 * second)));
    world.clock.advance(5 * second);
    assert_eq!(world.policies.drop_ended(), ["d"]);
    world.clock.advance(4 * second);
    assert!(!rule.is_expired(world.clock.now()) && world.policies.drop_ended().is_empty());
    // Put again it lives on.
    assert_eq!(world.put_for("b", SLOW, 10), Ok(false));
    world.clock.advance(9 * second);
    assert!(world.policies.drop_ended().is_empty());
    world.clock.advance(second);
    assert!(rule.is_expired(world.clock.now()));
    assert_eq!(world.policies.drop_ended(), ["b"]);
    assert_eq!((world.rules(), world.policies.next_end()), (vec!["a".to_owned(), "c".to_owned()], None));
    assert!(matches!(world.put_for("b", SLOW, 0), Err(Refused::Invalid(_))));
}

#[test]
fn what_is_switched_off_comes_back_with_what_it_counted() {
    let text = format!("{SLOW}{}", SLOW.replace("slow", "other"));
    let world = World::new(&[("a.rhai", &text)]);
    let rule = world.policies.current().policies[0].rules[0].clone();
    rule.life.counters.matched();
    let number = world.policies.number();
    assert_eq!(world.change().switch("a", Some("slow"), true), Ok(false), "it is on");
    assert_eq!(world.policies.number(), number);
    assert_eq!(world.change().switch("a", Some("slow"), false), Ok(true));
    assert!(world.policies.current().rule(rule.key).is_none(), "what it holds is let go");
    assert_eq!(world.rules().len(), 1);
    // A reload that does not touch it leaves it off, and one that does too, as long as there is a rule of its name.
    world.reload(&[("a.rhai", &text), ("b.rhai", SLOW)]).unwrap();
    world.reload(&[("a.rhai", &format!("{text} "))]).unwrap();
    assert_eq!(world.rules().len(), 1);
    world.change().switch("a", Some("slow"), true).unwrap();
    let back = world.policies.current().rule(rule.key).unwrap().clone();
    assert!(back.continues(&rule) && Arc::ptr_eq(&back.life.counters, &rule.life.counters));
    assert_eq!(world.change().switch("a", None, false), Ok(true));
    assert!(world.rules().is_empty());
    world.reload(&[]).unwrap();
    world.reload(&[("a.rhai", &text)]).unwrap();
    assert_eq!(world.rules().len(), 2, "what went and came back is on");
    assert!(matches!(world.change().switch("a", Some("none"), false), Err(Refused::Missing(_))));
    assert!(matches!(world.change().switch("none", None, false), Err(Refused::Missing(_))));
}

#[test]
fn what_protects_is_changed_only_by_who_may_and_says_so() {
    let world = World::new(&[("a.rhai", &format!("{MASK}{SLOW}")), ("d.rhai", "default_deny();")]);
    let security =
        |result: Result<bool, Refused>| assert!(matches!(result, Err(Refused::Security(_))), "{result:?}");
    let mask = world.policies.current().policies[0].rules[0].name.clone();
    security(world.change().switch("a", None, false));
    security(world.change().switch("a", Some(&mask), false));
    security(world.change().switch("d", None, false));
    for text in [MASK, "default_deny();", "on_access(\"Read\").topic(\"t\").principal(\"User:x\").allow();"] {
        security(world.put("new", text));
    }
    assert_eq!(world.change().switch("a", Some("slow"), false), Ok(true), "faults are anybody's");
    assert_eq!(world.rules(), ["a"]);
    assert_eq!(world.allowed().put(New { name: "new", text: MASK, is_rule: false, ttl: None }), Ok(true));
    security(world.put("new", SLOW));
    assert!(matches!(world.change().remove("new", false), Err(Refused::Security(_))));
    let ends =
        world.allowed().put(New { name: "x", text: MASK, is_rule: true, ttl: Some(Duration::from_secs(1)) });
    assert!(matches!(&ends, Err(Refused::Script(e)) if e[0].line == 1), "{ends:?}");
    assert_eq!(world.change().reset().unwrap().kept, ["new"]);
    assert_eq!(world.allowed().switch("d", None, false), Ok(true));
    assert_eq!(world.policies.current().default_deny(), (false, false));
    world.change().switch("d", None, true).unwrap();
    assert_eq!(world.policies.current().default_deny(), (true, false));
    world.allowed().remove("new", false).unwrap();
}

/// A policy of faults that was switched off, and whose file then got a mask: the mask holds.
#[test]
fn what_was_switched_off_as_a_fault_never_opens_what_protects_later() {
    let world = World::new(&[("a.rhai", SLOW), ("b.rhai", SLOW)]);
    world.change().switch("a", None, false).unwrap();
    world.change().switch("b", Some("slow"), false).unwrap();
    assert!(world.rules().is_empty());
    let mask = MASK.replace(';', ".named(\"slow\");");
    world.reload(&[("a.rhai", &format!("{SLOW}{MASK}default_deny();")), ("b.rhai", &mask)]).unwrap();
    assert_eq!(world.rules(), ["a", "b"], "the masks, and nothing of the faults");
    assert_eq!(world.policies.current().default_deny(), (true, false));
}

#[test]
fn a_reset_goes_back_to_what_the_folder_says() {
    let world = World::new(&[("a.rhai", SLOW)]);
    world.put("b", SLOW).unwrap();
    world.put("c", SLOW).unwrap();
    world.change().switch("a", None, false).unwrap();
    // Put again it is on again, whatever was switched off before.
    world.change().switch("c", None, false).unwrap();
    assert_eq!(world.rules(), ["b"]);
    world.put("c", SLOW).unwrap();
    assert_eq!(world.rules(), ["b", "c"]);
    let done = world.change().reset().unwrap();
    assert_eq!(done, Reset { removed: vec!["b".into(), "c".into()], kept: vec![], enabled: 1 });
    assert_eq!(world.rules(), ["a"]);
    let number = world.policies.number();
    assert_eq!(world.change().reset(), Ok(Reset::default()));
    assert_eq!(world.policies.number(), number, "nothing was there to do");
}

#[test]
fn what_is_added_is_bounded() {
    let world = World::new(&[]);
    let long = format!("{SLOW}//{}", "x".repeat(SCRIPT_BYTES - SLOW.len() - 2));
    (0..8).for_each(|n| assert_eq!(world.put(&format!("p{n}"), &long), Ok(true)));
    assert!(matches!(world.put("more", SLOW), Err(Refused::Full(_))));
    assert_eq!(world.put("p0", SLOW), Ok(false));
    (8..ADDED).for_each(|n| assert_eq!(world.put(&format!("p{n}"), SLOW), Ok(true)));
    assert!(matches!(world.put("more", SLOW), Err(Refused::Full(_))));
    assert!(
        matches!(world.put("p1", &format!("{long} ")), Err(Refused::Script(_))),
        "longer than a script may be"
    );
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Remove(usize),
    Switch(usize, bool),
    /// The folder holds the policies whose bits are set.
    Reload(u8),
    Reset,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3usize).prop_map(Step::Put),
        (0..3usize).prop_map(Step::Remove),
        (0..3usize, any::<bool>()).prop_map(|(n, on)| Step::Switch(n, on)),
        (0..8u8).prop_map(Step::Reload),
        Just(Step::Reset),
    ];
    prop::collection::vec(step, 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is done in whatever order, in force is what the folder has and what was added, less what is off; and what is
    /// refused changes nothing.
    #[test]
    fn in_force_is_the_folder_and_what_was_added_less_what_is_off(steps in steps()) {
        const NAMES: [&str; 3] = ["a", "b", "c"];
        let world = World::new(&[]);
        let (mut folder, mut added, mut off) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for step in steps {
            match step {
                Step::Put(n) => {
                    let taken = world.put(NAMES[n], SLOW);
                    prop_assert_eq!(taken.is_ok(), !folder.contains(&n));
                    if taken.is_ok() {
                        prop_assert_eq!(taken, Ok(added.insert(n)));
                        off.remove(&n);
                    }
                }
                Step::Remove(n) => {
                    prop_assert_eq!(world.change().remove(NAMES[n], false).is_ok(), added.remove(&n));
                }
                Step::Switch(n, on) => {
                    let is_there = folder.contains(&n) || added.contains(&n);
                    let changed = world.change().switch(NAMES[n], None, on);
                    prop_assert_eq!(changed.is_ok(), is_there);
                    if is_there {
                        prop_assert_eq!(changed, Ok(if on { off.remove(&n) } else { off.insert(n) }));
                    }
                }
                Step::Reload(bits) => {
                    let next: BTreeSet<usize> = (0..3).filter(|n| bits & (1 << n) != 0).collect();
                    let files: Vec<String> = next.iter().map(|n| format!("{}.rhai", NAMES[*n])).collect();
                    let files: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), SLOW)).collect();
                    let taken = world.reload(&files).is_ok();
                    prop_assert_eq!(taken, next.is_disjoint(&added));
                    if taken {
                        folder = next;
                    }
                }
                Step::Reset => {
                    let done = world.change().reset().unwrap();
                    prop_assert_eq!((done.removed.len(), done.enabled), (added.len(), off.len()));
                    added.clear();
                    off.clear();
                }
            }
            off.retain(|n| folder.contains(n) || added.contains(n));
            let in_force: Vec<&str> =
                folder.union(&added).filter(|n| !off.contains(*n)).map(|n| NAMES[*n]).collect();
            prop_assert_eq!(world.rules(), in_force);
        }
    }
}

#[test]
fn a_time_to_live_is_at_most_a_year() {
    let world = World::new(&[]);
    let longest = LONGEST.as_secs();
    for seconds in [0, longest + 1, 2 * longest] {
        assert!(matches!(world.put_for("a", SLOW, seconds), Err(Refused::Invalid(_))), "{seconds}");
    }
    for seconds in [1, longest - 1, longest] {
        world.put_for("a", SLOW, seconds).unwrap();
    }
}

#[test]
fn a_policy_is_off_as_a_whole_or_in_some_of_its_rules() {
    let world = World::new(&[("a.rhai", SLOW)]);
    world.put("b", SLOW).unwrap();
    let off = || {
        let off = world.policies.current().off.clone();
        (off.has_policy("a"), off.has_policy("b"), off.count())
    };
    assert_eq!(off(), (false, false, 0));
    world.change().switch("a", Some("slow"), false).unwrap();
    assert_eq!(off(), (false, false, 1), "a rule of it is not all of it");
    world.change().switch("a", None, false).unwrap();
    assert_eq!(off(), (true, false, 2));
    let origins = ["a", "b"].map(|name| world.policies.current().policy(name).unwrap().origin.name());
    assert_eq!(origins, ["folder", "api"]);
}
