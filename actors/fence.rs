//! Which domains this server speaks with: what the settings say, and, before them, what was ordered
//! while it ran. Orders are kept in `Tree::Meta`; in memory there is one map, and the closest
//! [`Pattern`] that covers a domain decides.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use rookery_config::{Pattern, settings::S2s};
use rookery_storage::record::{Record, decode, encode};
use rookery_storage::{Direction, Frame, KeyRange, Store, StoreError, Tree};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::admin::Failure;
use crate::effect::Millis;

/// As many rules may be ordered: all of them are in memory.
pub const RULES: usize = 10_000;

const PREFIX: &[u8] = b"fence/";

/// What a rule says of the domains that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// They are spoken with.
    Allow,
    /// They are not.
    Block,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For whom it holds.
    pub pattern: Pattern,
    /// What it says.
    pub verdict: Verdict,
    /// When it was ordered; none: the settings say so.
    pub since: Option<Millis>,
}

/// The rules there are.
pub struct Fence {
    /// Of the settings.
    written: Vec<Rule>,
    /// All that hold, by [`Pattern::key`].
    rules: ArcSwap<BTreeMap<String, Rule>>,
    /// Whoever changes them has this.
    turn: Mutex<()>,
}

impl Fence {
    /// The rules of the settings.
    pub fn new(s2s: &S2s) -> Fence {
        let of = |patterns: &[Pattern], verdict| {
            let rule = move |pattern: &Pattern| Rule {
                pattern: pattern.clone(),
                verdict,
                since: None,
            };
            patterns.iter().map(rule).collect::<Vec<Rule>>()
        };
        let written = [
            of(&s2s.block, Verdict::Block),
            of(&s2s.allow, Verdict::Allow),
        ]
        .concat();
        let rules = written.iter().map(by_key).collect();
        Fence {
            written,
            rules: ArcSwap::from_pointee(rules),
            turn: Mutex::default(),
        }
    }

    /// Reads what was ordered before. A rule that cannot be read is left where it is, and said.
    pub(crate) fn load(&self, store: &Store) -> Result<(), StoreError> {
        let range = KeyRange::prefix(PREFIX);
        let mut rules = BTreeMap::clone(&self.rules.load());
        for (key, value) in store.range(Tree::Meta, &range, usize::MAX, Direction::Forward)? {
            match read(&key, &value) {
                Some(rule) => rules.extend([by_key(&rule)]),
                None => tracing::error!("a rule about other servers cannot be read"),
            }
        }
        self.rules.store(rules.into());
        Ok(())
    }

    /// Whether nothing is spoken with this domain, an address's prepared one.
    pub fn blocks(&self, domain: &str) -> bool {
        let rules = self.rules.load();
        if rules.is_empty() {
            return false;
        }
        let closest = Pattern::covering(domain).find_map(|key| rules.get(key));
        closest.is_some_and(|rule| rule.verdict == Verdict::Block)
    }

    /// All that hold.
    pub fn rules(&self) -> Vec<Rule> {
        self.rules.load().values().cloned().collect()
    }

    /// Makes a rule, or takes one back, so that the settings alone decide; `commit` has it on the
    /// disk. Nothing changes where that fails.
    pub(crate) async fn order<C>(
        &self,
        pattern: Pattern,
        verdict: Option<Verdict>,
        now: Millis,
        commit: impl FnOnce(Frame) -> C,
    ) -> Result<(), Failure>
    where
        C: Future<Output = Result<(), Failure>>,
    {
        let _turn = self.turn.lock().await;
        let mut rules = BTreeMap::clone(&self.rules.load());
        let rule = verdict.map(|verdict| Rule {
            pattern: pattern.clone(),
            verdict,
            since: Some(now),
        });
        let key = [PREFIX, pattern.as_str().as_bytes()].concat();
        let mut frame = Frame::new();
        match &rule {
            Some(rule) => {
                let ordered = rules.values().filter(|it| it.since.is_some());
                if ordered.count() >= RULES && !rules.contains_key(pattern.key()) {
                    return Err(Failure::TooMany(RULES));
                }
                frame.put(Tree::Meta, key, row(rule)?);
            }
            None => drop(frame.delete(Tree::Meta, key)),
        }
        commit(frame).await?;
        let written = || {
            self.written
                .iter()
                .find(|it| it.pattern == pattern)
                .cloned()
        };
        rules.remove(pattern.key());
        rules.extend(rule.or_else(written).iter().map(by_key));
        self.rules.store(rules.into());
        Ok(())
    }
}

fn by_key(rule: &Rule) -> (String, Rule) {
    (rule.pattern.key().to_owned(), rule.clone())
}

#[derive(Serialize, Deserialize)]
struct RuleRow {
    verdict: Verdict,
    since: Millis,
}

impl Record for RuleRow {
    const VERSION: u8 = 1;
}

fn row(rule: &Rule) -> Result<Vec<u8>, Failure> {
    let row = RuleRow {
        verdict: rule.verdict,
        since: rule.since.unwrap_or_default(),
    };
    encode(&row).map_err(|problem| Failure::Store(problem.to_string()))
}

fn read(key: &[u8], value: &[u8]) -> Option<Rule> {
    let pattern = std::str::from_utf8(key.strip_prefix(PREFIX)?).ok()?;
    let row: RuleRow = decode(value).ok()?;
    Some(Rule {
        pattern: pattern.parse().ok()?,
        verdict: row.verdict,
        since: Some(row.since),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(work)
    }

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    fn settings(block: &[&str], allow: &[&str]) -> S2s {
        S2s {
            block: block.iter().map(|it| pattern(it)).collect(),
            allow: allow.iter().map(|it| pattern(it)).collect(),
            ..S2s::default()
        }
    }

    fn order(fence: &Fence, store: &Store, text: &str, verdict: Option<Verdict>) {
        let commit = |frame| async move {
            store.commit(vec![frame]).expect("a disk");
            Ok(())
        };
        now(fence.order(pattern(text), verdict, 7, commit)).expect("done");
    }

    #[test]
    fn the_closest_rule_decides() {
        let fence = Fence::new(&settings(&["*", "bad.example"], &["*.example"]));
        let rows = [
            ("a.test", true),
            ("example", true),
            ("good.example", false),
            ("bad.example", true),
            ("x.bad.example", false),
        ];
        for (domain, blocked) in rows {
            assert_eq!(fence.blocks(domain), blocked, "{domain}");
        }
        assert!(!Fence::new(&settings(&[], &[])).blocks("a.test"));
    }

    #[test]
    fn an_order_goes_before_the_settings_and_lasts() {
        let store = Store::temporary();
        let written = settings(&["a.test"], &[]);
        let fence = Fence::new(&written);
        order(&fence, &store, "a.test", Some(Verdict::Allow));
        order(&fence, &store, "*.b.test", Some(Verdict::Block));
        let again = Fence::new(&written);
        again.load(&store).expect("a store");
        for fence in [&fence, &again] {
            assert!(!fence.blocks("a.test") && fence.blocks("x.b.test"));
            let since: Vec<_> = fence.rules().iter().map(|it| it.since).collect();
            assert_eq!(since, [Some(7), Some(7)]);
        }
        order(&again, &store, "a.test", None);
        order(&again, &store, "*.b.test", None);
        assert!(again.blocks("a.test") && !again.blocks("x.b.test"));
        let last = Fence::new(&written);
        last.load(&store).expect("a store");
        assert_eq!(last.rules(), again.rules());
        assert_eq!(last.rules().len(), 1);
    }

    #[test]
    fn what_the_disk_refuses_changes_nothing() {
        let fence = Fence::new(&settings(&[], &[]));
        let refuse = |_| async { Err(Failure::Store("full".into())) };
        let order = fence.order(pattern("a.test"), Some(Verdict::Block), 7, refuse);
        assert!(now(order).is_err());
        assert!(!fence.blocks("a.test"));
    }

    #[test]
    fn rules_have_a_bound() {
        let fence = Fence::new(&settings(&[], &[]));
        let rules = (0..RULES).map(|number| {
            let rule = Rule {
                pattern: pattern(&format!("d{number}.test")),
                verdict: Verdict::Block,
                since: Some(1),
            };
            by_key(&rule)
        });
        fence.rules.store(std::sync::Arc::new(rules.collect()));
        let commit = |_| async { Ok(()) };
        let order = |text| now(fence.order(pattern(text), Some(Verdict::Allow), 7, commit));
        assert_eq!(order("more.test"), Err(Failure::TooMany(RULES)));
        assert_eq!(order("d0.test"), Ok(()));
    }
}
