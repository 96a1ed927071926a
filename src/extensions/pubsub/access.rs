//! Who may do what at a node: XEP-0060 §4.1 and §4.5 as two tables.

use rookery_protocol::error::{Condition, StanzaError};
use rookery_protocol::jid::Jid;

use super::circle::Affiliation;
use super::config::{Access, Publishers};
use super::node::Node;
use super::problem::{forbidden, with};

/// What somebody is to the account, or at the service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// The account itself; at the service nobody.
    Owner,
    /// He may see its presence, and is in these groups of its roster.
    Contact(Vec<String>),
    /// Nothing.
    Stranger,
    /// Anybody who comes to the service, which is nobody's.
    Guest,
}

/// Whether `jid` may see the items of a node, and be told of them (§4.5, §6.5.1).
pub fn may_read(node: &Node, jid: &Jid, standing: &Standing) -> Result<(), StanzaError> {
    match (standing, node.people().affiliation(jid)) {
        (Standing::Owner, _) => return Ok(()),
        (_, Affiliation::Owner | Affiliation::Publisher | Affiliation::Member) => return Ok(()),
        (_, Affiliation::Outcast | Affiliation::PublishOnly) => return Err(forbidden()),
        (_, Affiliation::None) => {}
    }
    let refused = |extra| Err(with(Condition::NotAuthorized, extra));
    match (node.config.access, standing) {
        (Access::Open, _) => Ok(()),
        (Access::Presence | Access::Roster, Standing::Stranger | Standing::Guest) => {
            refused("presence-subscription-required")
        }
        (Access::Presence, _) => Ok(()),
        (Access::Roster, Standing::Contact(groups)) => {
            match groups
                .iter()
                .any(|group| node.config.groups.contains(group))
            {
                true => Ok(()),
                false => refused("not-in-roster-group"),
            }
        }
        (Access::Authorize, _) if node.people().has_subscriber(jid) => Ok(()),
        (Access::Authorize, _) => refused("not-subscribed"),
        _ => Err(with(Condition::NotAllowed, "closed-node")),
    }
}

/// Whether `jid` may publish (§4.1, §7.1.3.1).
pub fn may_publish(node: &Node, jid: &Jid, standing: &Standing) -> bool {
    if *standing == Standing::Owner {
        return true;
    }
    match (node.people().affiliation(jid), node.config.publishers) {
        (Affiliation::Outcast, _) => false,
        (Affiliation::Owner | Affiliation::Publisher | Affiliation::PublishOnly, _) => true,
        (_, Publishers::Open) => true,
        (_, Publishers::Subscribers) => node.people().has_subscriber(jid),
        (_, Publishers::Named) => false,
    }
}

/// Whether `jid` may configure, purge and delete the node, and say who may what.
pub fn is_owner(node: &Node, jid: &Jid, standing: &Standing) -> bool {
    *standing == Standing::Owner || node.people().affiliation(jid) == Affiliation::Owner
}

#[cfg(test)]
mod tests {
    use rookery_actors::effect::{Effects, Origin};
    use rookery_actors::keys::AccountId;

    use super::*;
    use crate::extensions::pubsub::circle::Subscription;
    use crate::extensions::pubsub::config::Config;
    use crate::extensions::pubsub::node::Nodes;
    use crate::extensions::scene::jid;

    fn said(access: Access, standing: &Standing, affiliation: Affiliation) -> String {
        let (mut nodes, mut fx) = (Nodes::default(), Effects::new(0, Origin::Elsewhere));
        let config = Config {
            access,
            groups: vec!["Friends".into()],
            ..Config::default()
        };
        let node = nodes.create("n", config, None, AccountId(1), &mut fx);
        let eve = jid("eve@b.test");
        node.affiliate(&eve, affiliation, AccountId(1), &mut fx);
        match may_read(node, &eve, standing) {
            Ok(()) => "ok".to_owned(),
            Err(error) => {
                let extra = error.extra.map(|it| it.name().to_owned());
                format!("{} {}", error.condition.as_str(), extra.unwrap_or_default())
            }
        }
    }

    /// §4.5 and attacks U03.
    #[test]
    fn the_table_of_access() {
        let friend = Standing::Contact(vec!["Friends".into()]);
        let other = Standing::Contact(vec![]);
        let none = Affiliation::None;
        let subscribe = "not-authorized presence-subscription-required";
        for (access, to_friend, to_other, to_stranger) in [
            (Access::Open, "ok", "ok", "ok"),
            (Access::Presence, "ok", "ok", subscribe),
            (
                Access::Roster,
                "ok",
                "not-authorized not-in-roster-group",
                subscribe,
            ),
            (
                Access::Authorize,
                "not-authorized not-subscribed",
                "not-authorized not-subscribed",
                "not-authorized not-subscribed",
            ),
            (
                Access::Whitelist,
                "not-allowed closed-node",
                "not-allowed closed-node",
                "not-allowed closed-node",
            ),
        ] {
            assert_eq!(said(access, &Standing::Owner, none), "ok");
            assert_eq!(said(access, &friend, none), to_friend, "{access:?}");
            assert_eq!(said(access, &other, none), to_other, "{access:?}");
            assert_eq!(
                said(access, &Standing::Stranger, none),
                to_stranger,
                "{access:?}"
            );
            assert_eq!(said(access, &Standing::Stranger, Affiliation::Member), "ok");
            assert_eq!(said(access, &friend, Affiliation::Outcast), "forbidden ");
            assert_eq!(
                said(access, &friend, Affiliation::PublishOnly),
                "forbidden "
            );
        }
    }

    #[test]
    fn who_publishes() {
        let (mut nodes, mut fx) = (Nodes::default(), Effects::new(0, Origin::Elsewhere));
        let account = AccountId(1);
        let node = nodes.create("n", Config::default(), None, account, &mut fx);
        let (eve, stranger) = (jid("eve@b.test/r"), &Standing::Stranger);
        assert!(may_publish(node, &eve, &Standing::Owner));
        assert!(!may_publish(node, &eve, stranger));
        node.config.publishers = Publishers::Subscribers;
        assert!(!may_publish(node, &eve, stranger));
        node.subscribe(&jid("eve@b.test"), Subscription::NEW, account, &mut fx);
        assert!(may_publish(node, &eve, stranger));
        assert!(node.affiliate(&eve, Affiliation::Outcast, account, &mut fx));
        assert!(!may_publish(node, &eve, stranger));
        assert!(node.affiliate(&eve, Affiliation::PublishOnly, account, &mut fx));
        assert!(may_publish(node, &eve, stranger) && !is_owner(node, &eve, stranger));
    }
}
