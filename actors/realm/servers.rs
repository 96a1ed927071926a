//! What an administrator sees of other servers, and does about them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rookery_config::{Pattern, Policy};
use rookery_protocol::error::{StreamCondition, StreamError};
use smol_str::SmolStr;
use tokio::sync::oneshot;

use super::Realm;
use crate::admin::servers::{Link, Pair, Server, Stream, Trouble};
use crate::admin::{Failure, Outcome, Servers};
use crate::fence::Verdict;
use crate::keeper::Committed;
use crate::link::remote_in;
use crate::messages::{Mail, ToLink};
use crate::roll::Entry;
use crate::trace;

/// Domains that are listed for nothing but that they came and were not believed.
const REFUSED: usize = 20;
/// A Link that reads its rows answers when it has them.
const PATIENCE: Duration = Duration::from_secs(5);

impl Realm {
    /// Does what is ordered.
    pub(super) async fn servers(self: &Arc<Realm>, order: Servers) -> Outcome {
        let done = match order {
            Servers::Rule(pattern, verdict) => self.rule(pattern, verdict).await,
            Servers::Retry(domain) => self.retry(&domain),
            Servers::Rules => return Outcome::Rules(self.site.fence.rules()),
            Servers::List(domain) => {
                return Outcome::Servers(self.others(domain.as_deref()).await);
            }
            Servers::Trace { to, from } => {
                let traced = trace::trace(self, &to, from.as_deref()).await;
                return traced.map_or_else(Outcome::Failed, Outcome::Trace);
            }
        };
        done.map_or_else(Outcome::Failed, |()| Outcome::Done)
    }

    /// Makes a rule, and ends what is against it.
    async fn rule(
        self: &Arc<Realm>,
        pattern: Pattern,
        verdict: Option<Verdict>,
    ) -> Result<(), Failure> {
        let commit = |frame| async {
            match self.keeper.committed(frame).await {
                Committed::Durable => Ok(()),
                Committed::Refused => Err(Failure::Store("the disk is full".to_owned())),
            }
        };
        let fence = &self.site.fence;
        let ordered = fence.order(pattern.clone(), verdict, self.site.now(), commit);
        ordered.await?;
        for key in self.links.keys() {
            let Some(remote) = remote_in(&key).filter(|it| pattern.covers(it)) else {
                continue;
            };
            let order = match self.site.blocks(remote) {
                true => ToLink::Block,
                false => ToLink::Retry,
            };
            // One that retires meanwhile has nothing to give up, and nothing to try.
            let _ = self.links.send(&key, Mail::Link(order));
        }
        for entry in self.roll.all() {
            let facts = entry.facts();
            if facts.pairs.iter().any(|it| self.site.blocks(&it.remote)) {
                let error = StreamError::new(StreamCondition::PolicyViolation);
                entry.close(error.with_text("this domain is not welcome here"));
            }
        }
        Ok(())
    }

    fn retry(&self, domain: &str) -> Result<(), Failure> {
        let keys = self.links.keys().into_iter();
        let its = keys.filter(|key| remote_in(key) == Some(domain));
        let sent = its.map(|key| self.links.send(&key, Mail::Link(ToLink::Retry)));
        match sent.filter(Result::is_ok).count() {
            0 => Err(Failure::NoLink),
            _ => Ok(()),
        }
    }

    /// The domains with which something is going on, or this one whatever is, by name.
    async fn others(&self, domain: Option<&str>) -> Vec<Server> {
        // A component has a Link, and is no other server.
        let is_wanted =
            |it: &str| domain.is_none_or(|domain| domain == it) && !self.site.is_here(it);
        let mut others = BTreeMap::new();
        if let Some(domain) = domain {
            self.other(&mut others, domain);
        }
        for (key, described) in self.ask_links(&is_wanted) {
            let (Some(remote), Ok(Ok(link))) = (
                remote_in(&key),
                tokio::time::timeout(PATIENCE, described).await,
            ) else {
                continue;
            };
            self.other(&mut others, remote).links.push(link);
        }
        for entry in self.roll.all() {
            let stream = shown(&entry);
            let mut remotes: Vec<_> = stream.pairs.iter().map(|it| it.remote.clone()).collect();
            remotes.sort_unstable();
            remotes.dedup();
            for remote in remotes.iter().filter(|it| is_wanted(it)) {
                self.other(&mut others, remote).streams.push(stream.clone());
            }
        }
        for domain in self
            .roll
            .troubled(REFUSED)
            .iter()
            .filter(|it| is_wanted(it))
        {
            self.other(&mut others, domain);
        }
        others.into_values().collect()
    }

    /// Asks all Links to such domains how they are.
    fn ask_links(
        &self,
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Vec<(SmolStr, oneshot::Receiver<Link>)> {
        let keys = self.links.keys().into_iter();
        let its = keys.filter(|key| remote_in(key).is_some_and(is_wanted));
        let ask = |key: SmolStr| {
            let (answer, described) = oneshot::channel();
            let sent = self.links.send(&key, Mail::Link(ToLink::Describe(answer)));
            sent.is_ok().then_some((key, described))
        };
        its.filter_map(ask).collect()
    }

    fn other<'a>(&self, others: &'a mut BTreeMap<String, Server>, domain: &str) -> &'a mut Server {
        others.entry(domain.to_owned()).or_insert_with(|| {
            let refused = self.roll.last_trouble(false, domain);
            Server {
                domain: domain.to_owned(),
                blocked: self.site.blocks(domain),
                secure: self.site.settings.s2s.policy_for(domain) == Policy::Secure,
                refused: refused.map(|(since, what)| Trouble { since, what }),
                ..Server::default()
            }
        })
    }
}

/// A stream as it is told of.
fn shown(entry: &Entry) -> Stream {
    let facts = entry.facts();
    let pair = |it: &crate::roll::Proved| Pair {
        local: it.local.to_string(),
        remote: it.remote.to_string(),
        security: it.by,
        external: it.external,
        both: it.both,
    };
    Stream {
        outbound: entry.outbound,
        since: entry.since,
        address: facts.address.map(|it| it.to_string()),
        tls: facts.tls,
        certificate: facts.certificate,
        counted: entry.counted.load(Ordering::Relaxed),
        received: entry.received.load(Ordering::Relaxed),
        sent: entry.sent.load(Ordering::Relaxed),
        pairs: facts.pairs.iter().map(pair).collect(),
    }
}
