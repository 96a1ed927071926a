//! The service, as XEP-0060 plays it: who asks, what he is told, and who hears of it; with a store
//! in memory and without actors.

mod audience;
mod bounds;
mod items;
mod lists;
mod options;
mod people;

use rookery_actors::effect::{Effect, Effects, Origin, Query};
use rookery_actors::keys::{self, AccountId};
use rookery_actors::site::Site;
use rookery_config::Settings;
use rookery_storage::{Direction, KeyRange, Store, Tree};

use super::*;
use crate::extensions::LIST;
use crate::extensions::scene::{NOW, jid, settings, stanza, text};

const SERVICE: &str = "pubsub.a.test";
const OWNER: AccountId = AccountId(7);
const ALICE: &str = "alice@a.test/r";
const BOB: &str = "bob@b.test/r";
const EVE: &str = "eve@evil.test/r";
const ROOT: &str = "root@a.test/r";

/// The service of a.test, whose administrator is root, and its store.
struct Stage {
    site: Site,
    store: Store,
    board: Board<Commons>,
    now: u64,
}

impl Stage {
    fn new() -> Stage {
        Stage::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Stage {
        Stage {
            site: Site::new(settings(change), LIST),
            store: Store::temporary(),
            board: Board::new(Commons::default()),
            now: NOW,
        }
    }

    /// With a node "n" of alice's, configured so.
    fn with_node(fields: &[(&str, &str)]) -> Stage {
        let mut stage = Stage::new();
        let made = stage.create(ALICE, "n", fields);
        assert!(made[0].contains("type='result'"), "{made:?}");
        stage
    }

    fn create(&mut self, from: &str, node: &str, fields: &[(&str, &str)]) -> Vec<String> {
        let form = form(ns::PUBSUB_NODE_CONFIG, fields);
        let configure = format!("<configure>{form}</configure>");
        self.set(from, &format!("<create node='{node}'/>{configure}"))
    }

    fn get(&mut self, from: &str, inside: &str) -> Vec<String> {
        self.iq(from, "get", ns::PUBSUB, inside)
    }

    fn set(&mut self, from: &str, inside: &str) -> Vec<String> {
        self.iq(from, "set", ns::PUBSUB, inside)
    }

    fn own(&mut self, from: &str, kind: &str, inside: &str) -> Vec<String> {
        self.iq(from, kind, ns::PUBSUB_OWNER, inside)
    }

    fn iq(&mut self, from: &str, kind: &str, ns: &str, inside: &str) -> Vec<String> {
        let pubsub = format!("<pubsub xmlns='{ns}'>{inside}</pubsub>");
        self.ask(from, kind, &pubsub)
    }

    /// Everything that is said in answer to an IQ, the answer first.
    fn ask(&mut self, from: &str, kind: &str, payload: &str) -> Vec<String> {
        let request = format!("<iq type='{kind}' id='q'>{payload}</iq>");
        let request = stanza(&request).with_from(jid(from)).with_to(jid(SERVICE));
        let payload = request.payload().expect("a payload");
        self.decide(|board, seat, fx| board.iq(&request, &payload, seat, fx))
    }

    /// The same of a message.
    fn tell(&mut self, from: &str, inside: &str) -> Vec<String> {
        let message = stanza(&format!("<message id='m'>{inside}</message>"));
        let message = message.with_from(jid(from)).with_to(jid(SERVICE));
        self.decide(|board, seat, fx| board.message(&message, seat, fx))
    }

    fn decide(
        &mut self,
        decision: impl FnOnce(&mut Board<Commons>, Seat, &mut Effects),
    ) -> Vec<String> {
        self.now += 1;
        let own = jid(SERVICE);
        let seat = Seat {
            owner: OWNER,
            jid: &own,
            domain: "a.test",
            site: &self.site,
        };
        let mut fx = Effects::new(self.now, Origin::Elsewhere);
        decision(&mut self.board, seat, &mut fx);
        let (mut said, mut reads) = (Vec::new(), Vec::new());
        loop {
            let rows = std::mem::take(&mut fx.rows);
            self.store.commit(vec![rows]).expect("it is stored");
            for effect in fx.take() {
                match effect {
                    Effect::Route(envelope) => said.push(text(&envelope.stanza)),
                    Effect::Read(read) => reads.push(read),
                    other => panic!("{other:?}"),
                }
            }
            let Some(read) = reads.pop() else {
                return said;
            };
            let rows = read
                .queries
                .iter()
                .flat_map(|it| it.rows(&self.store).expect("it can be read"));
            let rows = rows.collect();
            let (step, request) = (read.step, read.request);
            ServiceRole::read_done(&mut self.board, step, request.as_ref(), rows, seat, &mut fx);
        }
    }

    /// The service begins anew, from what is on the disk.
    fn restart(&mut self) {
        self.board = Board::new(Commons::default());
        let query = Query::Range {
            tree: Tree::Account,
            range: keys::loaded(OWNER),
            limit: usize::MAX,
            backwards: false,
        };
        for (key, value) in query.rows(&self.store).expect("it can be read") {
            let (_, kind, rest) = keys::split(&key).expect("a key");
            self.board.load(kind, rest, &value);
        }
    }
}

fn form(kind: &str, fields: &[(&str, &str)]) -> String {
    let field = |(var, value): &(&str, &str)| {
        format!("<field var='pubsub#{var}'><value>{value}</value></field>")
    };
    let fields: String = fields.iter().map(field).collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{kind}</value>\
         </field>{fields}</x>"
    )
}

fn publish(node: &str, id: &str) -> String {
    format!("<publish node='{node}'><item id='{id}'><t xmlns='urn:t'>{id}!</t></item></publish>")
}

fn subscribe(node: &str, jid: &str) -> String {
    format!("<subscribe node='{node}' jid='{jid}'/>")
}

/// What an error says: its type, its condition, and the one of XEP-0060.
fn verdict(said: &[String]) -> String {
    assert_eq!(said.len(), 1, "one answer: {said:?}");
    let answer = stanza(&said[0]);
    match answer.error() {
        Some(error) => {
            let extra = error.extra.map(|it| it.name().to_owned());
            format!("{} {}", error.condition.as_str(), extra.unwrap_or_default())
        }
        None => answer.kind.type_attr().unwrap_or_default().to_owned(),
    }
}

/// The ids in an answer or event.
fn ids(text: &str) -> Vec<&str> {
    let parts = text.split("<item id='").skip(1);
    parts
        .map(|it| it.split('\'').next().unwrap_or(""))
        .collect()
}

/// Examples 2, 10 and 14, and §5.3.
#[test]
fn the_service_says_what_it_is_and_what_it_has() {
    let mut stage = Stage::with_node(&[("title", "News")]);
    stage.create(ALICE, "secret", &[("access_model", "whitelist")]);
    let query = |what: &str, node: &str| {
        format!("<query xmlns='http://jabber.org/protocol/disco#{what}'{node}/>")
    };
    let info = &stage.ask(EVE, "get", &query("info", ""))[0];
    assert!(
        info.contains("<identity category='pubsub' type='service'"),
        "{info}"
    );
    for feature in ["pubsub'", "pubsub#create-nodes'", "disco#items'"] {
        let var = format!("<feature var='http://jabber.org/protocol/{feature}");
        assert!(info.contains(&var), "{feature}");
    }
    assert!(info.contains("var='urn:xmpp:ping'") && !info.contains("presence"));
    let items = &stage.ask(EVE, "get", &query("items", ""))[0];
    assert!(
        items.contains("<item jid='pubsub.a.test' node='n' name='News'/>"),
        "{items}"
    );
    assert!(!items.contains("secret"), "nobody's business");
    assert!(stage.ask(ALICE, "get", &query("items", ""))[0].contains("secret"));
    stage.set(ALICE, &publish("n", "i"));
    let node = &stage.ask(EVE, "get", &query("info", " node='n'"))[0];
    assert!(
        node.contains("<identity category='pubsub' type='leaf' name='News'/>"),
        "{node}"
    );
    for (var, value) in [
        ("creator", "alice@a.test"),
        ("owner", "alice@a.test"),
        ("num_subscribers", "0"),
        ("creation_date", "2023-11-14T22:13:20Z"),
    ] {
        let at = node.find(&format!("var='pubsub#{var}'")).expect(var);
        assert!(
            node[at..].split("</field>").next().unwrap().contains(value),
            "{var}: {node}"
        );
    }
    let listed = &stage.ask(EVE, "get", &query("items", " node='n'"))[0];
    assert!(
        listed.contains("<item jid='pubsub.a.test' name='i'/>"),
        "{listed}"
    );
    let absent = stage.ask(EVE, "get", &query("info", " node='x'"));
    assert_eq!(verdict(&absent), "item-not-found ");
}

/// XEP-0059 with disco#items (§5.2).
#[test]
fn a_long_list_of_nodes_comes_in_pages() {
    let mut stage = Stage::with(|it| it.pubsub.service.own = 1_000);
    for number in 0..502 {
        stage.create(ALICE, &format!("n{number:03}"), &[]);
    }
    let query = |set: &str| {
        let ns = ns::DISCO_ITEMS;
        format!("<query xmlns='{ns}'>{set}</query>")
    };
    let all = &stage.ask(EVE, "get", &query(""))[0];
    assert_eq!(all.matches("<item ").count(), 500);
    assert!(all.contains("<last>n499</last>") && all.contains("<count>502</count>"));
    let set = "<set xmlns='http://jabber.org/protocol/rsm'><after>n499</after></set>";
    let rest = &stage.ask(EVE, "get", &query(set))[0];
    assert_eq!(rest.matches("<item ").count(), 2, "{rest}");
}

/// Examples 124 to 139.
#[test]
fn nodes_are_made_by_users_of_this_server() {
    let mut stage = Stage::new();
    assert_eq!(verdict(&stage.set(ALICE, "<create node='n'/>")), "result");
    assert_eq!(verdict(&stage.set(BOB, "<create node='n'/>")), "conflict ");
    assert_eq!(verdict(&stage.set(BOB, "<create node='m'/>")), "result");
    assert_eq!(verdict(&stage.set(EVE, "<create node='e'/>")), "forbidden ");
    let instant = stage.set(ALICE, "<create/>").remove(0);
    let name = instant.split("<create node='").nth(1).expect("its name");
    let name = name.split('\'').next().expect("it ends");
    assert_eq!(name.len(), 32);
    stage.restart();
    let of_alice = stage.get(ALICE, "<affiliations/>").remove(0);
    for node in ["n", name] {
        let entry = format!("<affiliation node='{node}' affiliation='owner'/>");
        assert!(of_alice.contains(&entry), "{of_alice}");
    }
    assert!(!of_alice.contains("node='m'"));
    for model in ["presence", "roster"] {
        let made = stage.create(ALICE, model, &[("access_model", model)]);
        assert_eq!(
            verdict(&made),
            "not-acceptable unsupported-access-model",
            "nobody's presence is seen"
        );
    }
}

/// Examples 99 to 104, 142 to 170: the whole life of a node.
#[test]
fn what_is_published_is_told_kept_shown_retracted_and_purged() {
    let mut stage = Stage::with_node(&[("notify_retract", "1"), ("max_items", "2")]);
    assert_eq!(verdict(&stage.set(BOB, &publish("n", "x"))), "forbidden ");
    assert_eq!(
        verdict(&stage.set(ALICE, &publish("m", "x"))),
        "item-not-found "
    );
    let subscribed = stage.set(BOB, &subscribe("n", "bob@b.test"));
    assert!(subscribed[0].contains("jid='bob@b.test' subscription='subscribed' node='n'"));
    let said = stage.set(ALICE, &publish("n", "one"));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("<publish node='n'><item id='one'/></publish>"));
    assert!(said[1].starts_with("<message") && said[1].contains("to='bob@b.test'"));
    assert!(said[1].contains("from='pubsub.a.test'") && said[1].contains("<items node='n'>"));
    assert!(
        said[1].contains("<item id='one' publisher='alice@a.test'>"),
        "{said:?}"
    );
    stage.set(ALICE, &publish("n", "two"));
    stage.set(ALICE, &publish("n", "three"));
    stage.restart();
    let items = stage.get(EVE, "<items node='n'/>").remove(0);
    assert_eq!(ids(&items), ["two", "three"], "two are kept");
    let last = stage.get(EVE, "<items node='n' max_items='1'/>").remove(0);
    assert_eq!(ids(&last), ["three"]);
    let named = stage
        .get(EVE, "<items node='n'><item id='two'/></items>")
        .remove(0);
    assert_eq!(ids(&named), ["two"]);
    let none = stage
        .get(EVE, "<items node='n'><item id='x'/></items>")
        .remove(0);
    assert!(
        none.contains("<items node='n'/>") && none.contains("result"),
        "{none}"
    );
    let gone = stage.set(ALICE, "<retract node='n'><item id='two'/></retract>");
    assert!(
        gone[1].contains("<items node='n'><retract id='two'/></items>"),
        "{gone:?}"
    );
    assert_eq!(
        verdict(&stage.set(ALICE, "<retract node='n'><item id='two'/></retract>")),
        "item-not-found "
    );
    let purged = stage.own(ALICE, "set", "<purge node='n'/>");
    assert!(purged[1].contains("<purge node='n'/>"), "{purged:?}");
    let deleted = "<delete node='n'><redirect uri='xmpp:pubsub.b.test?;node=m'/></delete>";
    assert_eq!(verdict(&stage.own(BOB, "set", deleted)), "forbidden ");
    let deleted = stage.own(ALICE, "set", deleted);
    assert!(
        deleted[1].contains("<delete node='n'><redirect uri='xmpp:pubsub.b.test?;node=m'/>"),
        "{deleted:?}"
    );
    assert_eq!(
        verdict(&stage.own(ALICE, "set", "<delete node='n'/>")),
        "item-not-found "
    );
    let rest = KeyRange::prefix(&OWNER.0.to_be_bytes());
    // Of the node itself only where it is now.
    for (tree, left) in [(Tree::Account, 1), (Tree::Pubsub, 0)] {
        let rows = stage.store.range(tree, &rest, 9, Direction::Forward);
        assert_eq!(rows.expect("it can be read").len(), left, "{tree}");
    }
}

/// Example 103: without payloads, and §6.1.7: the last item for who subscribes.
#[test]
fn who_subscribes_hears_the_last_item_with_or_without_what_it_holds() {
    for (payloads, held) in [("1", true), ("0", false)] {
        let mut stage = Stage::with_node(&[("deliver_payloads", payloads)]);
        stage.set(ALICE, &publish("n", "i"));
        let said = stage.set(BOB, &subscribe("n", BOB));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("<delay") && said[1].contains("id='i'"));
        assert!(said[1].contains(&format!("to='{BOB}'")), "as he subscribed");
        assert_eq!(said[1].contains("<t xmlns='urn:t'>"), held);
        assert_eq!(stage.set(BOB, &subscribe("n", BOB)).len(), 1, "once");
    }
    let mut stage = Stage::with_node(&[("send_last_published_item", "never")]);
    stage.set(ALICE, &publish("n", "i"));
    assert_eq!(stage.set(BOB, &subscribe("n", BOB)).len(), 1);
}

/// Examples 138 to 152.
#[test]
fn a_node_is_configured_by_its_owner() {
    let mut stage = Stage::with_node(&[("notify_config", "1")]);
    stage.set(BOB, &subscribe("n", BOB));
    let offered = stage.own(ALICE, "get", "<configure node='n'/>").remove(0);
    assert!(!offered.contains("<value>presence</value>") && offered.contains("whitelist"));
    assert!(offered.contains("pubsub#contact") && offered.contains("pubsub#max_payload_size"));
    for (from, node, error) in [
        (BOB, "n", "forbidden "),
        (ALICE, "x", "item-not-found "),
        (ROOT, "n", "result"),
    ] {
        let asked = stage.own(from, "get", &format!("<configure node='{node}'/>"));
        assert_eq!(verdict(&asked), error, "{from} {node}");
    }
    let configure = |fields: &[(&str, &str)]| {
        let form = form(ns::PUBSUB_NODE_CONFIG, fields);
        format!("<configure node='n'>{form}</configure>")
    };
    let changed = configure(&[
        ("title", "T"),
        ("item_expire", "60"),
        ("contact", "bob@b.test"),
    ]);
    let said = stage.own(ALICE, "set", &changed);
    assert!(said[1].contains("<configuration node='n'>") && said[1].contains(">T</value>"));
    stage.restart();
    stage.set(ALICE, &publish("n", "i"));
    assert_eq!(ids(&stage.get(EVE, "<items node='n'/>")[0]), ["i"]);
    stage.now += 61_000;
    assert!(
        ids(&stage.get(EVE, "<items node='n'/>")[0]).is_empty(),
        "it has expired"
    );
    stage.set(ALICE, &publish("n", "j"));
    let rows = stage
        .store
        .range(Tree::Pubsub, &KeyRange::all(), 9, Direction::Forward);
    assert_eq!(
        rows.expect("rows").len(),
        2,
        "what has expired is swept away"
    );
}

/// §8.1.2 and §8.2.5.2: what a node cannot be here is neither offered nor taken.
#[test]
fn a_node_is_not_configured_as_it_cannot_be() {
    let mut stage = Stage::with_node(&[]);
    let offered = stage.own(ALICE, "get", "<configure node='n'/>").remove(0);
    let configure = |fields: &[(&str, &str)]| {
        let form = form(ns::PUBSUB_NODE_CONFIG, fields);
        format!("<configure node='n'>{form}</configure>")
    };
    let (model, nodes) = (
        "not-acceptable unsupported-access-model",
        "feature-not-implemented unsupported",
    );
    for (field, value, error) in [
        ("access_model", "presence", model),
        ("access_model", "roster", model),
        ("node_type", "collection", nodes),
        ("max_payload_size", "999999999", "not-acceptable "),
        ("item_expire", "soon", "not-acceptable "),
        ("contact", "@", "not-acceptable "),
        ("send_last_published_item", "sometimes", "not-acceptable "),
        ("itemreply", "anybody", "not-acceptable "),
        ("publish_node_full", "burst", "not-acceptable "),
        // Which ask for the presences of people whom nobody here sees.
        ("presence_based_delivery", "1", "not-acceptable "),
        ("purge_offline", "1", "not-acceptable "),
        ("tempsub", "1", "not-acceptable "),
    ] {
        let refused = stage.own(ALICE, "set", &configure(&[(field, value)]));
        assert_eq!(verdict(&refused), error, "{field} {value}");
        assert!(!offered.contains("purge_offline") && !offered.contains("tempsub"));
    }
    let default = stage.own(ALICE, "get", "<default type='leaf'/>").remove(0);
    assert!(default.contains("pubsub#access_model"), "{default}");
    for (kind, error) in [("collection", nodes), ("leaves", "bad-request ")] {
        let asked = stage.own(ALICE, "get", &format!("<default type='{kind}'/>"));
        assert_eq!(verdict(&asked), error, "{kind}");
    }
}
