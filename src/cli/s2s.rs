//! `rookery s2s`: other servers, and what this one thinks of them.

mod rules;
mod servers;
mod trace;

use super::order::{Make, give};
use super::{Failure, Place, shown};
use crate::control::{Answer, Order, ask};
use crate::opening::Start;
use clap::Subcommand;
use rookery_actors::admin::servers::Server;
use rookery_config::Pattern;
use serde_json::json;

/// What is asked of other servers, or done about them.
#[derive(Debug, Subcommand)]
pub(super) enum S2s {
    /// The servers that are connected, waited for, or were refused lately
    List,
    /// All that is known of one domain
    Show {
        /// The domain
        domain: String,
    },
    /// Try again now to reach a domain, whatever was wrong before
    Retry {
        /// The domain
        domain: String,
    },
    /// Go the whole way to a domain, tell of every step, and say what is wrong; no stanza is sent
    Trace {
        /// The domain
        domain: String,
        /// In whose name: one of this server's domains or services [default: the first domain]
        #[arg(long, value_name = "DOMAIN")]
        from: Option<String>,
    },
    /// Speak with a domain no more: example.net, *.example.net for all below it, * for all others
    Block {
        /// Domains, or patterns of such; the closest that covers a domain decides
        #[arg(required = true, value_name = "DOMAIN")]
        domains: Vec<Pattern>,
    },
    /// Speak with a domain, even if it belongs to others that are blocked
    Allow {
        /// Domains, or patterns of such
        #[arg(required = true, value_name = "DOMAIN")]
        domains: Vec<Pattern>,
    },
    /// Take back what was said by `block` or `allow`: the settings decide
    Forget {
        /// Domains, or patterns of such, as they were given
        #[arg(required = true, value_name = "DOMAIN")]
        domains: Vec<Pattern>,
    },
    /// Which domains are blocked and allowed
    Rules,
}

pub(super) fn s2s(place: &Place, order: S2s, start: Start) -> Result<(), Failure> {
    match order {
        S2s::List => {
            let answer = ask_running(place, &Order::Servers { domain: None })?;
            told(place, answer, servers::list)
        }
        S2s::Show { domain } => {
            let domain = Some(domain);
            let answer = ask_running(place, &Order::Servers { domain })?;
            told(place, answer, |all| all.iter().map(servers::show).collect())
        }
        S2s::Retry { domain } => {
            let order = Order::Retry {
                domain: domain.clone(),
            };
            ask_running(place, &order)?;
            match place.json {
                true => shown::json(&json!({ "ok": true, "domain": domain })),
                false => shown::text(&format!(
                    "{domain} is being called. See: rookery s2s show {domain}\n"
                )),
            }
            Ok(())
        }
        S2s::Trace { domain, from } => trace::trace(place, domain, from),
        S2s::Block { domains } => rule(place, domains, Some(false), start),
        S2s::Allow { domains } => rule(place, domains, Some(true), start),
        S2s::Forget { domains } => rule(place, domains, None, start),
        S2s::Rules => {
            let done = give(place.settings()?, &Order::Rules, Make::No, start)?;
            let Answer::Rules(rules) = done.answer else {
                return Err(Failure::new("failed", "the server answered something else"));
            };
            match place.json {
                true => shown::json(&json!({ "rules": rules })),
                false => shown::text(&rules::table(&rules)),
            }
            Ok(())
        }
    }
}

/// Tells what was asked of other servers.
fn told(
    place: &Place,
    answer: Answer,
    in_words: impl FnOnce(&[Server]) -> String,
) -> Result<(), Failure> {
    let Answer::Servers(servers) = answer else {
        return Err(Failure::new("failed", "the server answered something else"));
    };
    match place.json {
        true => shown::json(&json!({ "servers": servers })),
        false => shown::text(&in_words(&servers)),
    }
    Ok(())
}

/// Asks the running server; there is nothing to be told of others where none runs.
fn ask_running(place: &Place, order: &Order) -> Result<Answer, Failure> {
    let data = place.settings()?.data;
    let answer = ask(&data, order)
        .map_err(|error| Failure::new("not_running", format!("{}: {error}", data.display())))?;
    Ok(answer?)
}

/// Makes the rule for each of the patterns, or takes it back.
fn rule(
    place: &Place,
    patterns: Vec<Pattern>,
    allow: Option<bool>,
    start: Start,
) -> Result<(), Failure> {
    for pattern in patterns {
        let order = Order::Rule {
            pattern: pattern.clone(),
            allow,
        };
        give(place.settings()?, &order, Make::Yes, start)?;
        match place.json {
            true => shown::json(&json!({ "ok": true, "domain": pattern })),
            false => shown::text(&rules::done(&pattern, allow)),
        }
    }
    Ok(())
}
