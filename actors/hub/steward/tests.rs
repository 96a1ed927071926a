//! A service's Hub over its life: started by who asks, kept on disk, reborn, gone, told of who is
//! gone.

use std::sync::atomic::Ordering;

use super::*;
use crate::admin::{Command, Outcome};
use crate::effect::Query;
use crate::extension::{DomainRole, Extension, List};
use crate::hub::remembered;
use crate::keys::Kind as RowKind;
use crate::messages::Mail;
use crate::testing::{WANTED, World, jid, run, settings};
use rookery_protocol::xml::Element;
use rookery_storage::{KeyRange, Tree};

const NS: &str = "urn:guests";
const EVERYWHERE: &str = "urn:everywhere";
const GUEST: RowKind = RowKind(0x10);

/// Remembers who signed.
const GUESTBOOK: Extension = Extension {
    name: "guestbook",
    kinds: &[GUEST],
    service_namespaces: &[EVERYWHERE],
    domain: Some(&Anywhere),
    service: Some(Service {
        host: |_| "guests",
        identity: ("store", "file", "Guests"),
        features: &[],
        namespaces: &[NS],
        has_locals: false,
        make: |_| Box::<Guestbook>::default(),
    }),
    ..Extension::NONE
};

const LIST: List = &[&GUESTBOOK];

struct Anywhere;

impl DomainRole for Anywhere {
    fn iq(&self, request: &Stanza, _: &Element, _: &Site, fx: &mut Effects) {
        fx.result(request, None);
    }
}

#[derive(Default)]
struct Guestbook {
    guests: Vec<String>,
}

fn key(seat: Seat, guest: &str) -> Vec<u8> {
    keys::row(seat.owner, GUEST, guest.as_bytes())
}

impl ServiceRole for Guestbook {
    fn load(&mut self, _: RowKind, rest: &[u8], _: &[u8]) {
        self.guests.push(String::from_utf8_lossy(rest).into_owned());
    }

    fn iq(&mut self, request: &Stanza, payload: &Element, seat: Seat, fx: &mut Effects) {
        let guest = request.from.as_ref().expect("a sender").bare_str();
        match payload.name() {
            "sign" => {
                self.guests.push(guest.to_owned());
                fx.put(Tree::Account, key(seat, guest), vec![1]);
                fx.result(request, None);
                fx.route(Stanza::message(MessageType::Headline).with_to(seat.jid.clone()));
            }
            "read" => {
                let query = Query::Get(Tree::Account, key(seat, guest));
                fx.read(request, 1, vec![query]);
            }
            "panic" => std::panic::panic_any(WANTED),
            _ => {
                let guests = Element::new(NS, "guests").with_text(self.guests.join(" "));
                fx.result(request, Some(guests));
            }
        }
    }

    fn read_done(
        &mut self,
        _: u32,
        request: Option<&Stanza>,
        rows: Vec<Row>,
        _: Seat,
        fx: &mut Effects,
    ) {
        let found = Element::new(NS, "found").with_text(rows.len().to_string());
        fx.result(request.expect("the request"), Some(found));
    }

    fn removed(&mut self, account: &Jid, seat: Seat, fx: &mut Effects) {
        self.guests.retain(|it| it != account.as_str());
        fx.delete(Tree::Account, key(seat, account.as_str()));
    }
}

fn ask(id: &str, what: &str) -> String {
    format!("<iq type='set' id='{id}' to='guests.test'><{what} xmlns='{NS}'/></iq>")
}

async fn gone(world: &World) {
    world
        .until("the service has left", |realm| {
            !realm.directory.keys().iter().any(|it| it == "guests.test")
        })
        .await;
}

#[test]
fn a_service_answers_from_a_hub_that_comes_and_goes_and_keeps_what_was_written() {
    run(async {
        let world = World::new(&["ann", "bob"], LIST);
        let mut ann = world.login("ann", "a").await;
        ann.say(&ask("1", "sign")).await;
        let signed = ann.hear("id='1'").await;
        assert!(
            signed.contains("type='result'") && signed.contains("from='guests.test'"),
            "{signed}"
        );
        ann.say(&ask("2", "read")).await;
        assert!(
            ann.hear("id='2'")
                .await
                .contains("<found xmlns='urn:guests'>1<")
        );
        gone(&world).await;
        let mut bob = world.login("bob", "b").await;
        bob.say(&ask("3", "sign")).await;
        bob.hear("id='3'").await;
        drop((ann, bob));
        let world = world.restart().await;
        let mut bob = world.login("bob", "b").await;
        bob.say(&ask("4", "list")).await;
        assert!(bob.hear("id='4'").await.contains(">ann@test bob@test<"));
        drop(bob);
        world.end().await;
    });
}

/// Asked again after a crash, what found nothing to change might undo what was asked for after it.
#[test]
fn what_changed_nothing_is_not_asked_again_either() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        ann.say("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
            .await;
        ann.hear("<enabled").await;
        ann.say(&ask("1", "list")).await;
        ann.hear("id='1'").await;
        // Nobody has asked for a count, which would be written for itself.
        let handled = || remembered::gather(world.sessions(1))[0].handled.count;
        world
            .until("that it was handled is on the disk", |_| handled() == 1)
            .await;
        drop(ann);
        world.end().await;
    });
}

#[test]
fn the_result_of_a_change_waits_for_the_disk() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        ann.say(&ask("1", "list")).await;
        ann.hear("id='1'").await;
        world.disk.hold();
        ann.say(&ask("2", "sign")).await;
        ann.say(&ask("3", "list")).await;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        world.disk.go_on();
        let before = ann.before("id='3'").await.concat();
        assert!(before.contains("id='2'"), "in order: {before}");
        drop(ann);
        world.end().await;
    });
}

#[test]
fn a_service_that_panics_answers_so_and_loads_again() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        ann.say(&ask("1", "sign")).await;
        ann.say(&ask("2", "panic")).await;
        assert!(ann.hear("id='2'").await.contains("internal-server-error"));
        ann.say(&ask("3", "list")).await;
        assert!(ann.hear("id='3'").await.contains(">ann@test<"));
        assert_eq!(world.realm().gauges.panics.load(Ordering::Relaxed), 1);
        drop(ann);
        world.end().await;
    });
}

#[test]
fn a_service_whose_shell_dies_is_reborn_from_the_disk() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        ann.say(&ask("1", "sign")).await;
        ann.hear("id='1'").await;
        world.realm().post(&jid("guests.test"), Mail::Fault, false);
        gone(&world).await;
        ann.say(&ask("2", "list")).await;
        assert!(ann.hear("id='2'").await.contains(">ann@test<"));
        drop(ann);
        world.end().await;
    });
}

#[test]
fn nobody_lives_at_a_service_and_extensions_that_answer_everywhere_do() {
    run(async {
        let world = World::new(&["ann"], LIST);
        let mut ann = world.login("ann", "a").await;
        for (id, to, ns, answer) in [
            ("1", "guests.test", EVERYWHERE, "type='result'"),
            ("2", "guests.test", "urn:unheard-of", "service-unavailable"),
            ("3", "guests.test/x", NS, "service-unavailable"),
            ("4", "ann@guests.test", NS, "item-not-found"),
            ("5", "other.test", NS, "remote-server-not-found"),
        ] {
            let request = format!("<iq type='get' id='{id}' to='{to}'><x xmlns='{ns}'/></iq>");
            ann.say(&request).await;
            let heard = ann.hear(&format!("id='{id}'")).await;
            assert!(heard.contains(answer), "{heard}");
        }
        ann.say("<message to='guests.test' id='6'><body/></message>")
            .await;
        assert!(ann.hear("id='6'").await.contains("service-unavailable"));
        drop(ann);
        world.end().await;
    });
}

#[test]
fn a_removed_account_is_forgotten_by_services_here_and_asleep() {
    run(async {
        for asleep in [false, true] {
            let mut settings = settings();
            if !asleep {
                settings.engine.retire = std::time::Duration::from_secs(2);
            }
            let users = ["ann", "bob"].into_iter().map(str::to_owned);
            let world = World::with(settings, users, LIST);
            let mut ann = world.login("ann", "a").await;
            ann.say(&ask("1", "sign")).await;
            ann.hear("id='1'").await;
            if asleep {
                gone(&world).await;
            }
            let (removed, _) = world
                .realm()
                .administer(Command::DeleteUser(jid("ann@test")))
                .await;
            assert!(matches!(removed, Outcome::Done));
            drop(ann);
            let mut bob = world.login("bob", "b").await;
            bob.say(&ask("2", "list")).await;
            let list = bob.hear("id='2'").await;
            assert!(!list.contains("ann@test"), "asleep {asleep}: {list}");
            drop(bob);
            gone(&world).await;
            let farewells = KeyRange::prefix(b"farewell:");
            assert!(world.range(Tree::Meta, &farewells).is_empty());
            world.end().await;
        }
    });
}
